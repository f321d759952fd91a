"""What is true of a photo, its lesions, and which of its pixels count.

Lesions are given as one bool mask ``(H, W)``, whose 8-connected pieces are the lesions, or as a
sequence of such masks, one a lesion. A pixel counts where the map was assessed (is not NaN) and the
caller does not ask to ignore it.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from slidewin.errors import ArgumentError, ArgumentTypeError

__all__ = ["Lesions", "Mask", "Pixels", "check_mask", "counted", "split_lesions"]

Mask = npt.NDArray[np.bool_]
Lesions = Mask | Sequence[Mask]
Pixels = npt.NDArray[np.floating]


def split_lesions(lesions: Lesions) -> tuple[list[Mask], tuple[int, ...]]:
    """One mask for each lesion, and the shape of the photo.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If the masks are not bool, of one shape and with a pixel in each lesion.
    """
    if isinstance(lesions, np.ndarray) and lesions.ndim == 2:
        check_mask("lesions", lesions)
        count, labels = cv2.connectedComponents(lesions.astype(np.uint8), connectivity=8)
        return [np.asarray(labels == label) for label in range(1, count)], lesions.shape
    masks = list(lesions)
    for mask in masks:
        check_mask("lesions", mask)
    if len({mask.shape for mask in masks}) != 1 or not all(mask.any() for mask in masks):
        raise ArgumentError(
            "lesions: pass one mask (H, W), empty for a photo without a lesion, or masks of one "
            "shape with a pixel in each"
        )
    return masks, masks[0].shape


def counted(pixels: Pixels, truth: Mask, ignore: Mask | None = None) -> Mask:
    """Where a map was assessed and is not to be ignored.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If `pixels` is no map of finite numbers and NaN, or `truth` or `ignore` no mask of its
        shape.
    """
    if not isinstance(pixels, np.ndarray) or pixels.dtype.kind != "f" or pixels.ndim != 2:
        found = getattr(pixels, "dtype", type(pixels).__name__)
        raise ArgumentTypeError(
            f"pixels: got {found}; pass a map (H, W) of floating-point numbers, NaN where not "
            "assessed, as HeatMap.to_pixels gives it"
        )
    if np.isinf(pixels).any():
        raise ArgumentError("pixels hold infinity; pass finite values, NaN where not assessed")
    check_mask("truth", truth, pixels.shape)
    assessed = ~np.isnan(pixels)
    if ignore is None:
        return assessed
    check_mask("ignore", ignore, pixels.shape)
    return np.asarray(assessed & ~ignore)


def check_mask(name: str, mask: Any, shape: tuple[int, ...] | None = None) -> None:
    """Refuse what is no mask (H, W) of bool, or not of the photo's shape."""
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.ndim != 2:
        found = getattr(mask, "dtype", type(mask).__name__)
        raise ArgumentTypeError(f"{name}: got {found}; pass a mask (H, W) of bool")
    if shape is not None and mask.shape != shape:
        raise ArgumentError(f"{name}: found shape {mask.shape}; the photo's is {shape}")
