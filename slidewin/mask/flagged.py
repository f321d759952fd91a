"""Flagged pixels: those whose value reaches a threshold, in pieces that are no specks.

A mask is ``(H, W)`` bool, of the photo's size. A pixel that was not assessed is never in it: False
means "not flagged", and only the heat map knows whether anything was looked at there.
"""

import cv2
import numpy as np
import numpy.typing as npt

from slidewin.errors import ArgumentError, ArgumentTypeError

__all__ = ["count_pieces", "drop_specks", "speck_area", "threshold_mask"]

# Of a region, in diameters of the smallest lesion sought. Regions extend to half of the threshold,
# and those on lesions are wide: on validation photos 0.7 lets the threshold be lower than 0.5 does,
# for as many false regions, and finds more; 0.8 loses lesions again.
_LEAST_WIDTH = 0.7


def threshold_mask(
    pixels: npt.NDArray[np.floating], threshold: float, *, weak: float | None = None
) -> npt.NDArray[np.bool_]:
    """Flag the assessed pixels whose value reaches a threshold.

    Parameters
    ----------
    pixels : ndarray of shape (H, W), floating
        A heat map in photo pixels; NaN where nothing was assessed. It is not written to.
    threshold : float
        The smallest value that counts: a pixel equal to it is flagged.
    weak : float, optional
        Hysteresis [1]_: a pixel from here up is flagged as well if pixels from here up join it,
        edge to edge, to one that reaches `threshold`. By default there is none.

    Returns
    -------
    ndarray of shape (H, W), bool
        True where assessed and ``>= threshold``, or joined to that. It is the caller's to change.

    Raises
    ------
    ArgumentTypeError
        If `pixels` is not an array of floating-point numbers, or `threshold` or `weak` is
        no number.
    ArgumentError
        If `pixels` is not two-dimensional, a threshold is not finite in float32, or `weak` is
        above `threshold`.

    Notes
    -----
    All sides are compared as float32, the type that heat maps are kept in. The float32 nearest to
    0.7 is a little less than the float64 of that name, and the one nearest to 0.1 a little more:
    between types, whether a pixel *equal* to the threshold counts would depend on the number.
    Hysteresis takes about 6 bytes of working memory a pixel.

    References
    ----------
    .. [1] Canny, "A computational approach to edge detection", IEEE Trans. Pattern Anal. Mach.
       Intell. 8:679 (1986), doi:10.1109/TPAMI.1986.4767851, section on thresholding.

    Examples
    --------
    >>> pixels = np.array([[0.2, 0.7], [np.nan, 0.9]], dtype=np.float32)
    >>> threshold_mask(pixels, 0.7)
    array([[False,  True],
           [False,  True]])
    >>> threshold_mask(np.float32([[0.9, 0.6, 0.2, 0.6]]), 0.7, weak=0.5)
    array([[ True,  True, False, False]])
    """
    if not isinstance(pixels, np.ndarray) or pixels.dtype.kind != "f":
        found = getattr(pixels, "dtype", type(pixels).__name__)
        raise ArgumentTypeError(
            f"pixels: got {found}; pass a heat map as an array of floating-point numbers "
            "with NaN where nothing was assessed"
        )
    if pixels.ndim != 2:
        raise ArgumentError(f"pixels: got shape {pixels.shape}; pass one map of shape (H, W)")
    bound = _finite("threshold", threshold)
    values = pixels.astype(np.float32, copy=False)
    # NaN compares False: what was not assessed is not flagged.
    strong: npt.NDArray[np.bool_] = values >= bound
    if weak is None:
        return strong
    lower = _finite("weak", weak)
    if lower > bound:
        raise ArgumentError(
            f"weak: got {weak!r}, above threshold={threshold!r}; pass the lower of the two as weak"
        )
    if not strong.any():
        return strong
    count, pieces = cv2.connectedComponents(
        (values >= lower).view(np.uint8), connectivity=4, ltype=cv2.CV_32S
    )
    kept = np.zeros(count, np.bool_)
    kept[pieces[strong]] = True
    return np.asarray(kept[pieces], np.bool_)


def speck_area(lesion_size: float, *, width: float = _LEAST_WIDTH) -> float:
    """Area below which a piece is a speck: a disc somewhat narrower than the lesion.

    Parameters
    ----------
    lesion_size : float
        Diameter of the smallest lesion sought, in pixels.
    width : float, default 0.7
        Of the disc, in diameters of the lesion.

    Examples
    --------
    >>> round(speck_area(20), 1)
    153.9
    """
    return float(np.pi / 4 * (width * lesion_size) ** 2)


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
    _check(mask, least_area)
    if least_area <= 1 or not mask.any():
        return mask.copy()
    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        mask.view(np.uint8), connectivity=4, ltype=cv2.CV_32S
    )
    kept = np.asarray(stats)[:, cv2.CC_STAT_AREA] >= least_area
    kept[0] = False  # label 0 is what is not in the mask
    return np.asarray(kept[labels], np.bool_)


def count_pieces(mask: npt.NDArray[np.bool_], least_area: float = 0.0) -> int:
    """Count the pieces of a mask that :func:`drop_specks` would leave.

    Examples
    --------
    >>> count_pieces(np.array([[True, False, True], [True, False, False]]), 2)
    1
    """
    _check(mask, least_area)
    if not mask.any():
        return 0
    _, _, stats, _ = cv2.connectedComponentsWithStats(
        mask.view(np.uint8), connectivity=4, ltype=cv2.CV_32S
    )
    return int(np.count_nonzero(np.asarray(stats)[1:, cv2.CC_STAT_AREA] >= least_area))


def _check(mask: npt.NDArray[np.bool_], least_area: float) -> None:
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.ndim != 2:
        found = getattr(mask, "dtype", type(mask).__name__)
        raise ArgumentTypeError(f"mask: got {found}; pass one mask (H, W) of bool")
    if not 0 <= least_area < np.inf:
        raise ArgumentError(f"least_area: got {least_area!r}; pass a number of pixels from 0 up")


def _finite(name: str, threshold: float) -> np.float32:
    number = np.asarray(threshold)
    if number.ndim != 0 or number.dtype.kind not in "fiu":
        raise ArgumentTypeError(f"{name}: got {threshold!r}; pass one number")
    with np.errstate(over="ignore"):
        bound = np.float32(number)
    if not np.isfinite(bound):
        raise ArgumentError(f"{name}: got {threshold!r}; pass a finite number")
    return bound
