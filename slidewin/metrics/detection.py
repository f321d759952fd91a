"""Detection: which lesions were found, and at what cost in false finds.

Lesions are given as one bool mask ``(H, W)``, whose 8-connected pieces are the lesions, or as a
sequence of such masks, one a lesion.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from slidewin.errors import ArgumentError, ArgumentTypeError
from slidewin.metrics.candidate import Candidate
from slidewin.region import Region

__all__ = ["Froc", "Judged", "false_regions", "froc", "iou", "judge_candidates"]

Mask = npt.NDArray[np.bool_]
Lesions = Mask | Sequence[Mask]


class Judged(NamedTuple):
    """What the candidates of one photo are worth.

    Attributes
    ----------
    hits : tuple of float
        For each lesion the best score that hit it, ``-inf`` if none did.
    false : tuple of float
        The scores of the candidates that hit nothing.
    """

    hits: tuple[float, ...]
    false: tuple[float, ...]


def judge_candidates(
    candidates: Sequence[Candidate],
    lesions: Lesions,
    *,
    tolerance: float = 0.0,
    ignore: Mask | None = None,
) -> Judged:
    """Tell the candidates that hit a lesion from those that do not.

    Parameters
    ----------
    candidates : sequence of Candidate
        Those of one photo.
    lesions : ndarray of shape (H, W), bool, or sequence of such
        One mask whose 8-connected pieces are the lesions, or a mask for each lesion.
    tolerance : float
        In pixels: a candidate this near to a lesion hits it. One near to several hits the nearest.
    ignore : ndarray of shape (H, W), bool, optional
        Candidates in here count for nothing. Leave lesions that are out of scope out of `lesions`.

    Returns
    -------
    Judged
        A lesion counts once, with its best candidate; further hits on it are neither true nor
        false.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If the masks are not bool, of one shape and with a pixel in each lesion; or a candidate lies
        outside of them.

    Examples
    --------
    >>> truth = np.array([[True, False, False, False]])
    >>> judge_candidates([Candidate(0.5, 1.5, 0.9), Candidate(0.5, 3.5, 0.2)], truth, tolerance=1)
    Judged(hits=(0.9,), false=(0.2,))
    """
    masks, shape = _instances(lesions)
    _check_ignore(ignore, shape)
    distances = [
        cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for mask in masks
    ]
    hits = [-np.inf] * len(masks)
    false = []
    for row, col, score in candidates:
        at = int(row), int(col)
        if not (0 <= row < shape[0] and 0 <= col < shape[1]):
            raise ArgumentError(
                f"candidates: row {row:g}, column {col:g} is outside of the masks' shape {shape}; "
                "pass masks of the photo's size"
            )
        if ignore is not None and ignore[at]:
            continue
        away = [float(distance[at]) for distance in distances]
        nearest = int(np.argmin(away)) if away else -1
        if away and away[nearest] <= tolerance:
            hits[nearest] = max(hits[nearest], score)
        else:
            false.append(score)
    return Judged(tuple(hits), tuple(false))


@dataclass(frozen=True, eq=False)
class Froc:
    """Lesions found against false candidates per photo, at every threshold.

    Attributes
    ----------
    thresholds : ndarray of shape (n,), float64
        Descending, from infinity (nothing counts) to the lowest score of any candidate.
    sensitivity : ndarray of shape (n,), float64
        Share of all lesions that a candidate at or above the threshold hits; NaN without lesions.
    false_per_photo : ndarray of shape (n,), float64
        Over all photos, those without lesions among them.
    n_lesions, n_photos : int
    """

    thresholds: npt.NDArray[np.float64]
    sensitivity: npt.NDArray[np.float64]
    false_per_photo: npt.NDArray[np.float64]
    n_lesions: int
    n_photos: int

    def sensitivity_at(self, false_per_photo: float) -> float:
        """Largest sensitivity at no more than so many false candidates per photo."""
        return float(self.sensitivity[self._last(false_per_photo)])

    def threshold_at(self, false_per_photo: float) -> float:
        """Lowest threshold at which there are no more than so many false candidates per photo."""
        return float(self.thresholds[self._last(false_per_photo)])

    def _last(self, false_per_photo: float) -> int:
        if not false_per_photo >= 0:
            raise ArgumentError(
                f"false_per_photo={false_per_photo!r}: a number from 0 up is needed"
            )
        return int(np.searchsorted(self.false_per_photo, false_per_photo, side="right")) - 1


def froc(photos: Sequence[Judged]) -> Froc:
    """Free-response operating characteristic of a set of photos.

    Parameters
    ----------
    photos : sequence of Judged
        One for each photo, with lesions or without.

    Returns
    -------
    Froc

    Raises
    ------
    ArgumentError
        If there are no photos.

    Notes
    -----
    Every score is a threshold, the lowest and infinity included, and equal scores fall together:
    a detector that hits each lesion and nothing else has a sensitivity of 1 at 0 false candidates
    per photo, also where all its scores are one.

    References
    ----------
    Bunch et al., "A free response approach to the measurement and characterization of radiographic
    observer performance", Proc. SPIE 127 (1977), doi:10.1117/12.955926.

    Examples
    --------
    >>> curve = froc([Judged(hits=(0.9,), false=(0.4,)), Judged(hits=(), false=(0.95,))])
    >>> curve.thresholds, curve.sensitivity, curve.false_per_photo
    (array([ inf, 0.95, 0.9 , 0.4 ]), array([0., 0., 1., 1.]), array([0. , 0.5, 0.5, 1. ]))
    """
    if not photos:
        raise ArgumentError("photos is empty; pass what judge_candidates made of each photo")
    hits = np.array([score for photo in photos for score in photo.hits], np.float64)
    false = np.array([score for photo in photos for score in photo.false], np.float64)
    scores = np.concatenate([hits[hits > -np.inf], false])
    thresholds = np.concatenate([[np.inf], np.unique(scores)[::-1]])
    with np.errstate(invalid="ignore"):
        sensitivity = _count_from(hits, thresholds) / np.float64(hits.size)
    rate = _count_from(false, thresholds) / len(photos)
    return Froc(thresholds, sensitivity, rate, hits.size, len(photos))


def false_regions(
    regions: Sequence[Region], lesions: Lesions, *, ignore: Mask | None = None
) -> tuple[tuple[Region, ...], Mask]:
    """Tell the regions that touch a lesion from those that do not.

    Parameters
    ----------
    regions : sequence of Region
        Those of one photo.
    lesions : ndarray of shape (H, W), bool, or sequence of such
        One mask whose 8-connected pieces are the lesions, or a mask for each lesion.
    ignore : ndarray of shape (H, W), bool, optional
        Regions that lie more than half in here are not false.

    Returns
    -------
    false : tuple of Region
        The regions that share no pixel with a lesion, in the order given.
    found : ndarray of shape (n,), bool
        For each lesion, whether a region shares a pixel with it.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If the masks are not bool, of one shape and with a pixel in each lesion.

    Examples
    --------
    >>> from slidewin.region import find_regions
    >>> mask = np.array([[True, True, False, True]])
    >>> regions = find_regions(mask.astype(np.float32), mask)
    >>> false, found = false_regions(regions, np.array([[True, False, False, False]]))
    >>> [region.bbox for region in false], found
    ([(0, 3, 1, 4)], array([ True]))
    """
    masks, shape = _instances(lesions)
    _check_ignore(ignore, shape)
    found = np.zeros(len(masks), np.bool_)
    false = []
    for region in regions:
        top, left, bottom, right = region.bbox
        box = np.s_[top:bottom, left:right]
        pixels = _pixels(region)
        touched = np.array([bool(mask[box][pixels].any()) for mask in masks], np.bool_)
        found |= touched
        ignored = 0 if ignore is None else np.count_nonzero(ignore[box] & pixels)
        if not touched.any() and 2 * ignored <= region.area:
            false.append(region)
    return tuple(false), found


def iou(mask: Mask, truth: Mask) -> float:
    """Intersection over union of two masks; NaN where both are empty.

    Parameters
    ----------
    mask, truth : ndarray of shape (H, W), bool

    Examples
    --------
    >>> iou(np.array([[True, True, False]]), np.array([[False, True, True]]))
    0.3333333333333333
    """
    for name, array in (("mask", mask), ("truth", truth)):
        _check_mask(name, array)
    if mask.shape != truth.shape:
        raise ArgumentError(f"mask, truth: found shapes {mask.shape} and {truth.shape}; one needed")
    union = np.count_nonzero(mask | truth)
    return float(np.count_nonzero(mask & truth) / union) if union else float("nan")


def _count_from(
    scores: npt.NDArray[np.float64], thresholds: npt.NDArray[np.float64]
) -> npt.NDArray[np.intp]:
    """How many scores reach each threshold."""
    return scores.size - np.searchsorted(np.sort(scores), thresholds)


def _pixels(region: Region) -> Mask:
    """The region's own pixels within its box: those to the right of an odd number of its edges."""
    top, left, bottom, right = region.bbox
    steps = np.zeros((bottom - top + 1, right - left + 1), np.int64)
    for ring in (region.contour, *region.holes):
        start, end = ring - (top, left), np.roll(ring, -1, axis=0) - (top, left)
        down = start[:, 1] == end[:, 1]
        ends = np.sort(np.stack([start[down, 0], end[down, 0]]), axis=0)
        np.add.at(steps, (ends[0], start[down, 1]), 1)
        np.add.at(steps, (ends[1], start[down, 1]), -1)
    crossings = steps.cumsum(axis=0).cumsum(axis=1)
    return np.asarray(crossings[:-1, :-1] % 2 == 1)


def _instances(lesions: Lesions) -> tuple[list[Mask], tuple[int, ...]]:
    """One mask for each lesion, and the shape of the photo."""
    if isinstance(lesions, np.ndarray) and lesions.ndim == 2:
        _check_mask("lesions", lesions)
        count, labels = cv2.connectedComponents(lesions.astype(np.uint8), connectivity=8)
        return [np.asarray(labels == label) for label in range(1, count)], lesions.shape
    masks = list(lesions)
    for mask in masks:
        _check_mask("lesions", mask)
    if len({mask.shape for mask in masks}) != 1 or not all(mask.any() for mask in masks):
        raise ArgumentError(
            "lesions: pass one mask (H, W), empty for a photo without a lesion, or masks of one "
            "shape with a pixel in each"
        )
    return masks, masks[0].shape


def _check_mask(name: str, mask: Any) -> None:
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.ndim != 2:
        found = getattr(mask, "dtype", type(mask).__name__)
        raise ArgumentTypeError(f"{name}: got {found}; pass a mask (H, W) of bool")


def _check_ignore(ignore: Mask | None, shape: tuple[int, ...]) -> None:
    if ignore is None:
        return
    _check_mask("ignore", ignore)
    if ignore.shape != shape:
        raise ArgumentError(f"ignore: found shape {ignore.shape}; the lesions' is {shape}")
