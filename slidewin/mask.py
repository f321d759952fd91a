"""Masks: which pixels of a heat map count as found.

A mask is ``(H, W)`` bool, of the photo's size. A pixel that was not assessed is never in it: False
means "not flagged", and only the heat map knows whether anything was looked at there.
"""

import cv2
import numpy as np
import numpy.typing as npt

from slidewin.errors import ArgumentError, ArgumentTypeError

__all__ = ["drop_specks", "speck_area", "threshold_mask"]

_LEAST_WIDTH = 0.5  # of a region, in diameters of the smallest lesion sought


def threshold_mask(pixels: npt.NDArray[np.floating], threshold: float) -> npt.NDArray[np.bool_]:
    """Flag the assessed pixels whose value reaches a threshold.

    Parameters
    ----------
    pixels : ndarray of shape (H, W), floating
        A heat map in photo pixels; NaN where nothing was assessed. It is not written to.
    threshold : float
        The smallest value that counts: a pixel equal to it is flagged.

    Returns
    -------
    ndarray of shape (H, W), bool
        True where assessed and ``>= threshold``.

    Raises
    ------
    ArgumentTypeError
        If `pixels` is not an array of floating-point numbers, or `threshold` not a number.
    ArgumentError
        If `pixels` is not two-dimensional, or `threshold` is not finite in float32.

    Notes
    -----
    Both sides are compared as float32, the type that heat maps are kept in. The float32 nearest to
    0.7 is a little less than the float64 of that name, and the one nearest to 0.1 a little more:
    between types, whether a pixel *equal* to the threshold counts would depend on the number.

    Examples
    --------
    >>> pixels = np.array([[0.2, 0.7], [np.nan, 0.9]], dtype=np.float32)
    >>> threshold_mask(pixels, 0.7)
    array([[False,  True],
           [False,  True]])
    """
    if not isinstance(pixels, np.ndarray) or pixels.dtype.kind != "f":
        found = getattr(pixels, "dtype", type(pixels).__name__)
        raise ArgumentTypeError(
            f"pixels: got {found}; pass a heat map as an array of floating-point numbers "
            "with NaN where nothing was assessed"
        )
    if pixels.ndim != 2:
        raise ArgumentError(f"pixels: got shape {pixels.shape}; pass one map of shape (H, W)")
    number = np.asarray(threshold)
    if number.ndim != 0 or number.dtype.kind not in "fiu":
        raise ArgumentTypeError(f"threshold: got {threshold!r}; pass one number")
    with np.errstate(over="ignore"):
        bound = number.astype(np.float32)
    if not np.isfinite(bound):
        raise ArgumentError(f"threshold: got {threshold!r}; pass a finite number")
    # NaN compares False: what was not assessed is not flagged.
    return pixels.astype(np.float32, copy=False) >= bound


def speck_area(lesion_size: float) -> float:
    """Area below which a piece is a speck: a disc half as wide as the smallest lesion sought.

    Parameters
    ----------
    lesion_size : float
        Diameter of the smallest lesion sought, in pixels.

    Examples
    --------
    >>> round(speck_area(20), 1)
    78.5
    """
    return float(np.pi / 4 * (_LEAST_WIDTH * lesion_size) ** 2)


def drop_specks(mask: npt.NDArray[np.bool_], least_area: float) -> npt.NDArray[np.bool_]:
    """Take the pieces smaller than an area out of a mask.

    Parameters
    ----------
    mask : ndarray of shape (H, W), bool
        It is not written to.
    least_area : float
        In pixels; 4-connected pieces of fewer are dropped.

    Returns
    -------
    ndarray of shape (H, W), bool

    Raises
    ------
    ArgumentTypeError
        If `mask` is not a bool array.
    ArgumentError
        If `least_area` is negative or not finite.

    Notes
    -----
    About 5 bytes of working memory a pixel.

    Examples
    --------
    >>> drop_specks(np.array([[True, False, True], [True, False, False]]), 2)
    array([[ True, False, False],
           [ True, False, False]])
    """
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.ndim != 2:
        found = getattr(mask, "dtype", type(mask).__name__)
        raise ArgumentTypeError(f"mask: got {found}; pass one mask (H, W) of bool")
    if not 0 <= least_area < np.inf:
        raise ArgumentError(f"least_area: got {least_area!r}; pass a number of pixels from 0 up")
    if least_area <= 1 or not mask.any():
        return mask.copy()
    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        mask.view(np.uint8), connectivity=4, ltype=cv2.CV_32S
    )
    kept = np.asarray(stats)[:, cv2.CC_STAT_AREA] >= least_area
    kept[0] = False  # label 0 is what is not in the mask
    return np.asarray(kept[labels], np.bool_)
