"""Skin of every tone: mottled, creased, shaded, with hairs if wanted."""

import cv2
import numpy as np
import numpy.typing as npt

from slidewin.errors import ArgumentError
from slidewin.scene.noise import (
    Field,
    blur,
    generator,
    ramp,
    ridges,
    size_of,
    smooth_noise,
    to_pixels,
)

__all__ = ["bare_skin", "draw_skin", "hairs"]

# One colour for each Fitzpatrick type, I to VI, as phones show it in room light.
_TONES = np.array(
    [
        (0.93, 0.78, 0.70),
        (0.88, 0.69, 0.58),
        (0.79, 0.59, 0.46),
        (0.66, 0.47, 0.35),
        (0.49, 0.33, 0.24),
        (0.31, 0.21, 0.16),
    ],
    np.float32,
)


def bare_skin(
    shape: tuple[int, int], rng: np.random.Generator, tone: float, grain: float, relief: float
) -> Field:
    """Return evenly lit skin, RGB in [0, 1], its creases `grain` px apart and `relief` deep."""
    side = min(shape)
    colour = np.array([np.interp(tone, range(1, 7), channel) for channel in _TONES.T], np.float32)
    colour = colour * np.exp(rng.normal(0, (0.015, 0.022, 0.035))).astype(np.float32)
    melanin = 0.016 * smooth_noise(shape, side / 2.5, rng)
    melanin += 0.013 * smooth_noise(shape, side / 8, rng)
    melanin += 0.012 * smooth_noise(shape, 5 * grain, rng)
    blood = 0.022 * smooth_noise(shape, side / 3, rng)
    blood += 0.016 * smooth_noise(shape, 6 * grain, rng)
    blood += 0.012 * smooth_noise(shape, 2 * grain, rng)
    # Creases are nets of thin lines, in two sizes; between them the skin is a little raised.
    strength = relief * np.clip(1 + 0.4 * smooth_noise(shape, side / 3, rng), 0.2, 2)
    creases = 0.075 * ridges(shape, 1.6 * grain, 0.35, rng)
    creases += 0.060 * ridges(shape, grain, 0.45, rng)
    fine = 0.022 * smooth_noise(shape, grain / 2, rng) - strength * creases
    blood = np.maximum(blood, -0.03)
    absorbed = np.stack([melanin, 1.25 * melanin + blood, 1.5 * melanin + 0.8 * blood], -1)
    return np.asarray(colour * np.exp(-absorbed) * (1 + fine + 0.03)[..., None], np.float32)


def hairs(shape: tuple[int, int], rng: np.random.Generator, count: int, length: float) -> Field:
    """Return how much of each pixel is hair, in [0, 1]: arcs that mostly lie the same way."""
    canvas = np.zeros(shape, np.uint8)
    lie = rng.uniform(0, 2 * np.pi)
    for _ in range(count):
        start = rng.uniform((0, 0), (shape[1], shape[0]))
        bend = rng.normal(0, 0.6)
        angle = lie + rng.normal(0, 0.45) + bend * np.linspace(0, 1, 9)
        step = rng.lognormal(0, 0.35) * length / 8
        path = start + step * np.cumsum(np.stack([np.cos(angle), np.sin(angle)], -1), 0)
        shade = int(rng.integers(70, 200))
        # Fixed-point coordinates, 1/16 px.
        cv2.polylines(
            canvas, [np.round(path * 16).astype(np.int32)], False, shade, 1, cv2.LINE_AA, 4
        )
    return np.asarray(canvas / 255, np.float32)


def draw_skin(
    shape: tuple[int, int],
    *,
    random_state: int | np.random.Generator,
    tone: float | None = None,
    hairy: bool = False,
) -> npt.NDArray[np.uint8]:
    """Draw a piece of skin without lesions.

    Parameters
    ----------
    shape : (int, int)
        Height and width in pixels.
    random_state : int or numpy.random.Generator
        Seed; the same seed draws the same skin.
    tone : float, optional
        Fitzpatrick type, 1 (palest) to 6 (darkest), fractions allowed; any, by default.
    hairy : bool
        Draw hairs.

    Returns
    -------
    skin : ndarray of shape (height, width, 3), uint8, RGB

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If an argument is not one of these.

    Examples
    --------
    >>> pale = draw_skin((32, 48), random_state=0, tone=1)
    >>> dark = draw_skin((32, 48), random_state=0, tone=6)
    >>> bool(pale.mean() > dark.mean())
    True
    """
    shape = size_of(shape)
    rng = generator(random_state)
    if tone is not None and not 1 <= tone <= 6:
        raise ArgumentError(f"tone is {tone!r}: give a Fitzpatrick type, 1 (palest) to 6 (darkest)")
    side = min(shape)
    tone = float(rng.uniform(1, 6)) if tone is None else tone
    skin = bare_skin(shape, rng, tone, rng.uniform(2.5, 7), rng.uniform(0.3, 0.9))
    # Hairs have a generator of their own: the same skin is under them and without them.
    of_hairs = np.random.default_rng(rng.integers(2**63))
    if hairy:
        count, length = int(of_hairs.integers(10, 60)), of_hairs.uniform(0.1, 0.4) * side
        cover = hairs(shape, of_hairs, count, length)
        skin = skin * (1 - 0.75 * cover)[..., None]
    # A limb curves away from the light: a slant, steeper towards one side.
    turn = rng.uniform(0, 2 * np.pi)
    y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :]
    slant = np.float32(np.cos(turn)) * x + np.float32(np.sin(turn)) * y
    light = 1 - np.float32(rng.uniform(0, 0.35)) * ramp(slant, rng.uniform(-1.2, 0.5), 1.6)
    light *= np.float32(rng.uniform(0.8, 1.1)) * (1 + 0.04 * smooth_noise(shape, side / 2, rng))
    # Shadows on skin are warm: red light travels furthest in it.
    skin = skin * np.stack([light**0.85, light, light**1.12], -1)
    skin = blur(skin, rng.uniform(0.4, 1.1))
    skin += np.float32(rng.uniform(0.002, 0.012)) * smooth_noise(shape, 1, rng)[..., None]
    return to_pixels(skin)
