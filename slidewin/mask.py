"""Masks: which pixels of a heat map count as found.

A mask is ``(H, W)`` bool, of the photo's size. A pixel that was not assessed is never in it: False
means "not flagged", and only the heat map knows whether anything was looked at there.
"""

import numpy as np
import numpy.typing as npt

from slidewin.errors import ArgumentError, ArgumentTypeError

__all__ = ["threshold_mask"]


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
