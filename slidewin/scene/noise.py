"""Smooth random fields: what cloth, skin and pigment are all made of."""

from operator import index
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from slidewin.errors import ArgumentError, ArgumentTypeError

__all__ = ["Field", "blur", "generator", "ramp", "ridges", "size_of", "smooth_noise", "to_pixels"]

Field = npt.NDArray[np.float32]

_LONGEST = 16_000  # px; OpenCV's warps end at 32 767, and the cloth is drawn with a margin


def generator(random_state: int | np.random.Generator) -> np.random.Generator:
    """Return the generator that an integer seed stands for, or the generator itself.

    Raises
    ------
    ArgumentTypeError, ArgumentError
        If `random_state` is neither, or a negative number.
    """
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, bool) or not isinstance(random_state, int | np.integer):
        raise ArgumentTypeError(
            f"random_state is {random_state!r}: give an integer or a numpy.random.Generator"
        )
    if random_state < 0:
        raise ArgumentError(f"random_state is {random_state}: give an integer of 0 or more")
    return np.random.default_rng(int(random_state))


def size_of(shape: tuple[int, ...], least: int = 1) -> tuple[int, int]:
    """Return `shape` as (height, width) after checking that it is one.

    Raises
    ------
    ArgumentTypeError, ArgumentError
        If it is not two whole numbers, or one of them is out of bounds.
    """
    try:
        height, width = map(index, shape)
    except (TypeError, ValueError):
        raise ArgumentTypeError(
            f"shape is {shape!r}: give (height, width), two whole numbers of pixels"
        ) from None
    if not least <= min(height, width) <= max(height, width) <= _LONGEST:
        raise ArgumentError(f"shape is {shape!r}: both sides must have {least} to {_LONGEST} px")
    return height, width


def smooth_noise(shape: tuple[int, int], scale: float, rng: np.random.Generator) -> Field:
    """Return noise of about unit variance whose bumps are about `scale` pixels apart.

    Value noise: normal numbers on a coarse grid, interpolated by cubics [1]_.

    References
    ----------
    .. [1] K. Perlin, "An image synthesizer", SIGGRAPH 1985, doi:10.1145/325165.325247.
    """
    height, width = shape
    if scale <= 1:
        return rng.standard_normal((height, width), np.float32)
    rows, cols = max(1, round(height / scale)), max(1, round(width / scale))
    coarse = rng.standard_normal((rows + 1, cols + 1), np.float32) * np.float32(1.25)
    # Interpolation is flat in the outer half cell: draw half a cell more on each side, cut it off.
    top, left = -(-height // (2 * rows)), -(-width // (2 * cols))
    fine = cv2.resize(coarse, (width + 2 * left, height + 2 * top), interpolation=cv2.INTER_CUBIC)
    return np.asarray(fine[top : top + height, left : left + width], np.float32)


def ridges(shape: tuple[int, int], scale: float, width: float, rng: np.random.Generator) -> Field:
    """Return a net of thin lines, 1 on a line and 0 off it: the zero crossings of smooth noise."""
    lines = np.exp(-np.square(smooth_noise(shape, scale, rng) / np.float32(width)))
    return np.asarray(lines, np.float32)


def ramp(values: npt.NDArray[Any], low: float | Field, high: float | Field) -> Field:
    """Return a smooth step: 0 up to `low`, 1 from `high` on."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def blur(image: npt.NDArray[Any], sigma: float) -> Field:
    """Return `image` after a Gaussian blur of `sigma` pixels."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)


def to_pixels(image: Field) -> npt.NDArray[np.uint8]:
    """Return an image in [0, 1] as uint8."""
    return np.asarray(np.clip(image * 255 + 0.5, 0, 255), np.uint8)
