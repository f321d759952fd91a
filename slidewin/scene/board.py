"""What else hands lie on: a wooden table, paper."""

import cv2
import numpy as np
import numpy.typing as npt

from slidewin.scene.noise import Field, generator, ramp, size_of, smooth_noise, to_pixels

__all__ = ["draw_paper", "draw_wood"]


def draw_wood(
    shape: tuple[int, int], *, random_state: int | np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Draw a wooden board: year rings along the grain, fibres, and knots dark as moles.

    Parameters
    ----------
    shape : (int, int)
        Height and width in pixels.
    random_state : int or numpy.random.Generator
        Seed; the same seed draws the same board.

    Returns
    -------
    ndarray of shape (height, width, 3), uint8, RGB

    Examples
    --------
    >>> draw_wood((32, 48), random_state=0).shape
    (32, 48, 3)
    """
    shape, rng = size_of(shape), generator(random_state)
    side = min(shape)
    y = np.arange(shape[0], dtype=np.float32)[:, None]
    x = np.arange(shape[1], dtype=np.float32)[None, :]
    # The cut goes through the rings aslant, and round the knots they give way.
    depth = y / side * np.float32(rng.uniform(4, 14)) + 0.9 * smooth_noise(shape, side / 2, rng)
    dark = np.zeros(shape, np.float32)
    for _ in range(int(rng.integers(0, 4))):
        row, col = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        radius = side * np.float32(rng.uniform(0.02, 0.09))
        away = np.hypot((y - row) * np.float32(rng.uniform(1, 1.6)), x - col) / radius
        depth = depth + np.float32(rng.uniform(1, 3)) * np.exp(-(away**2) / 6)
        dark = np.maximum(dark, ramp(1.2 - away, 0, 0.5) * np.float32(rng.uniform(0.4, 0.9)))
    rings = 0.5 + 0.5 * np.sin(2 * np.pi * depth)
    fibre = cv2.GaussianBlur(rng.standard_normal(shape, np.float32), (0, 0), sigmaX=9, sigmaY=0.7)
    tone = rng.uniform(0.35, 1.0)
    colour = np.array((0.80, 0.62, 0.42), np.float32) * np.float32(tone)
    colour = colour * np.exp(rng.normal(0, 0.08, 3)).astype(np.float32)
    light = 1 - np.float32(rng.uniform(0.06, 0.3)) * rings**2 + np.float32(0.35) * fibre
    light = light * (1 + 0.05 * smooth_noise(shape, side / 2, rng)) * (1 - 0.75 * dark)
    board = light[:, :, None] * colour
    if rng.random() < 0.5:
        board = board.transpose(1, 0, 2) if shape[0] == shape[1] else board[::-1]
    return to_pixels(np.ascontiguousarray(board))


def draw_paper(
    shape: tuple[int, int], *, random_state: int | np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Draw a sheet of paper: white to brown, some with lines of print, some with stains.

    Parameters
    ----------
    shape : (int, int)
        Height and width in pixels.
    random_state : int or numpy.random.Generator
        Seed; the same seed draws the same sheet.

    Returns
    -------
    ndarray of shape (height, width, 3), uint8, RGB

    Examples
    --------
    >>> draw_paper((32, 48), random_state=0).shape
    (32, 48, 3)
    """
    shape, rng = size_of(shape), generator(random_state)
    side = min(shape)
    colour = np.array((0.94, 0.93, 0.90), np.float32)
    if rng.random() < 0.4:  # kraft
        colour = np.array((0.78, 0.62, 0.45), np.float32)
    light = 1 + 0.02 * smooth_noise(shape, 2, rng) + 0.06 * smooth_noise(shape, side / 2, rng)
    sheet: Field = light[:, :, None] * colour * np.float32(rng.uniform(0.8, 1.05))
    ink = np.zeros(shape, np.float32)
    if rng.random() < 0.5:
        pitch = max(4, int(side * rng.uniform(0.03, 0.12)))
        words = rng.random((shape[0] // pitch + 1, 4 * shape[1] // pitch + 1)) < 0.7
        letters = cv2.resize(words.astype(np.float32), shape[::-1], interpolation=cv2.INTER_NEAREST)
        within = (np.arange(shape[0]) % pitch) < 0.5 * pitch
        ink = letters * within[:, None] * ramp(smooth_noise(shape, 1.2, rng), -0.8, 0.2)
    for _ in range(int(rng.integers(0, 5))):  # coffee, ink
        row, col = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        radius = side * rng.uniform(0.02, 0.15)
        y, x = np.arange(shape[0])[:, None] - row, np.arange(shape[1])[None, :] - col
        away = np.hypot(y, x) / radius + 0.12 * smooth_noise(shape, max(2.0, radius / 2), rng)
        stain = ramp(1.0 - away, 0, 0.12).astype(np.float32) * np.float32(rng.uniform(0.2, 0.9))
        tint = np.array((0.35, 0.20, 0.10), np.float32) * np.float32(rng.uniform(0.3, 1.5))
        sheet = sheet * (1 - stain[:, :, None]) + stain[:, :, None] * tint * light[:, :, None]
    return to_pixels(sheet * (1 - 0.85 * ink)[:, :, None])
