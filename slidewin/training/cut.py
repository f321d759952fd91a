"""Cutting a window out of a picture at any angle, and laying a lesion on the ground of another."""

import cv2
import numpy as np
from numpy.typing import NDArray

from slidewin.training.source import Lesion

__all__ = ["Centre", "cut", "lay"]

Patch = NDArray[np.uint8]
Centre = tuple[float, ...] | NDArray[np.intp]

# Warping samples points: from this many pixels for one on, they are averaged first, lest it alias.
_COARSE = 1.5


def cut(
    image: Patch,
    centre: Centre,
    scale: float,
    side: int,
    rng: np.random.Generator,
    *,
    beyond: tuple[int, int, int] | None = None,
) -> Patch:
    """Cut a window turned and mirrored at random.

    Parameters
    ----------
    image : ndarray of shape (h, w, 3), uint8
    centre : (float, float)
        Row and column of the window's centre; a pixel's own centre is at a whole number.
    scale : float
        Pixels of the picture for one of the window.
    side : int
        Of the window, in its own pixels.
    rng : numpy.random.Generator
    beyond : (int, int, int), optional
        Colour of what lies beyond the picture's border; by default its mirror image does.

    Returns
    -------
    ndarray of shape (side, side, 3), uint8
    """
    matrix = _affine((centre[0], centre[1]), scale, side, rng)
    if scale > _COARSE:
        half = scale * side * 0.75
        r0, c0 = (max(0, int(x - half)) for x in centre)
        r1, c1 = (int(x + half) + 1 for x in centre)
        blurred = cv2.blur(image[r0:r1, c0:c1], (round(scale), round(scale)))
        image = np.asarray(blurred, np.uint8)
        matrix = matrix - np.array([[0, 0, c0], [0, 0, r0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    border = cv2.BORDER_REFLECT_101 if beyond is None else cv2.BORDER_CONSTANT
    warped = cv2.warpAffine(
        image, matrix, (side, side), flags=flags, borderMode=border, borderValue=beyond or ()
    )
    return np.asarray(warped, np.uint8)


def lay(
    lesion: Lesion, centre: Centre, scale: float, ground: Patch, rng: np.random.Generator
) -> Patch:
    """Colour the ground as a lesion, turned and mirrored at random, colours its own skin.

    Parameters
    ----------
    lesion : Lesion
    centre : (float, float)
        Row and column in its picture of what is to be the window's centre.
    scale : float
        Pixels of the picture for one of the window.
    ground : ndarray of shape (S, S, 3), uint8
        A window; it is left as it is.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of shape (S, S, 3), uint8
    """
    size = (ground.shape[1], ground.shape[0])
    matrix = _affine((centre[0], centre[1]), scale, size[0], rng)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    sigma = max(rng.uniform(0.5, 2.5), 0.5 * scale)
    cover = cv2.GaussianBlur(lesion.mask.astype(np.float32), (0, 0), sigma)
    cover = cv2.warpAffine(cover, matrix, size, flags=flags)[:, :, None]
    image = lesion.image if scale <= _COARSE else cv2.blur(lesion.image, (round(scale),) * 2)
    image = cv2.warpAffine(image, matrix, size, flags=flags)
    ratio = np.minimum(image / lesion.skin_colour, 1.6)
    laid = ground * (1 + cover * rng.uniform(0.75, 1.0) * (ratio - 1))
    return np.asarray(np.clip(laid + 0.5, 0, 255), np.uint8)


def _affine(
    centre: tuple[float, float], scale: float, side: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Matrix from window to picture: turned and mirrored at random about ``centre``."""
    angle = rng.uniform(0, 2 * np.pi)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn[:, 0] *= rng.choice((-1, 1))
    middle = np.array([centre[1], centre[0]])
    return np.column_stack([turn, middle - turn @ np.full(2, (side - 1) / 2)])
