"""Heat maps and masks as pictures, each with a look of its own for what was not assessed."""

import math

import cv2
import numpy as np
import numpy.typing as npt

from slidewin.errors import ArgumentError, ArgumentTypeError

__all__ = ["Picture", "check_array", "draw_heatmap", "draw_mask", "hatching"]

Picture = npt.NDArray[np.uint8]

_HATCH = (112, 208)  # grey between the hatch lines and on them: no colour of the map is grey


def draw_heatmap(
    pixels: npt.NDArray[np.floating], *, low: float = 0.0, high: float = 1.0
) -> Picture:
    """Colour a heat map on an absolute scale, from dark (low) to bright (high).

    Parameters
    ----------
    pixels : ndarray of shape (H, W), floating
        NaN where not assessed: hatched in greys, which the colour map has none of.
    low, high : float
        Finite values at the ends of the colour map; what lies beyond gets the colour of the end.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If `pixels` is no map, or `low` and `high` are not finite with ``low < high``.

    Notes
    -----
    The colours are *inferno*, by Nathaniel Smith and Stéfan van der Walt: equal steps in value look
    equal, also in print and to the colour-blind. One temporary of the map's size is made.

    Examples
    --------
    >>> draw_heatmap(np.array([[0.0, 1.0, np.nan]], dtype=np.float32)).tolist()
    [[[0, 0, 4], [252, 255, 164], [112, 112, 112]]]
    """
    check_array("pixels", pixels, np.floating, (None, None))
    if not -math.inf < low < high < math.inf:
        raise ArgumentError(f"low, high: got {low!r} and {high!r}; pass low < high, both finite")
    level = np.clip(pixels, float(low), float(high))
    level -= float(low)
    level *= 255 / (high - low)
    np.rint(level, out=level)
    hidden = np.isnan(level)
    level[hidden] = 0
    coloured = cv2.applyColorMap(level.astype(np.uint8), cv2.COLORMAP_INFERNO)
    picture = np.asarray(cv2.cvtColor(coloured, cv2.COLOR_BGR2RGB), dtype=np.uint8)
    if hidden.any():
        stripes = hatching(pixels.shape)[..., np.newaxis]
        np.copyto(picture, stripes, where=hidden[..., np.newaxis])
    return picture


def draw_mask(mask: npt.NDArray[np.bool_], assessed: npt.NDArray[np.bool_]) -> Picture:
    """Draw a mask in three greys.

    Parameters
    ----------
    mask, assessed : ndarray of shape (H, W), bool
        What is flagged, and what was looked at.

    Returns
    -------
    ndarray of shape (H, W), uint8
        0 where not flagged, 255 where flagged, 128 where not assessed, whatever the mask says
        there.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If the two are not bool and of one shape.

    Examples
    --------
    >>> draw_mask(np.array([[False, True, False]]), np.array([[True, True, False]]))
    array([[  0, 255, 128]], dtype=uint8)
    """
    check_array("mask", mask, np.bool_, (None, None))
    check_array("assessed", assessed, np.bool_, mask.shape)
    picture = mask.astype(np.uint8)
    picture *= 255
    picture[~assessed] = 128
    return picture


def hatching(shape: tuple[int, ...]) -> Picture:
    """Diagonal light stripes on mid grey, for a picture of this size.

    Pixel (r, c) depends on r + c alone, so this is a view on H + W bytes.
    """
    height, width = shape[:2]
    period = max(8, min(height, width) // 50)
    phase = np.arange(height + width - 1) % period - (period - 1) / 2
    # Distance from the middle of the stripe, softened over a pixel at its edges.
    lit = np.clip(period / 8 + 0.5 - np.abs(phase), 0, 1)
    greys = np.rint(_HATCH[0] + lit * (_HATCH[1] - _HATCH[0])).astype(np.uint8)
    return np.lib.stride_tricks.sliding_window_view(greys, width)


def check_array(
    name: str,
    array: npt.NDArray[np.generic],
    kind: type[np.generic],
    shape: tuple[int | None, ...],
) -> None:
    """Refuse an array of another kind, or of another shape; None stands for any length."""
    if not isinstance(array, np.ndarray) or not np.issubdtype(array.dtype, kind):
        found = getattr(array, "dtype", type(array).__name__)
        raise ArgumentTypeError(f"{name}: got {found}; pass an array of {kind.__name__}")
    fits = len(shape) == array.ndim and array.size > 0
    if not fits or any(want not in (None, n) for want, n in zip(shape, array.shape, strict=True)):
        wanted = ", ".join(str(n or letter) for n, letter in zip(shape, "HWC", strict=False))
        raise ArgumentError(f"{name}: got shape {array.shape}; pass an array of shape ({wanted})")
