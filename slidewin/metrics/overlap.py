"""Overlap: IoU and Dice of what is flagged with what is there.

A photo with lesions in which nothing is flagged scores 0. In a photo without lesions there is
nothing to overlap with: it is left out of the means, costs in the pooled figures, and is judged by
:func:`slidewin.metrics.lesion_free_photos`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from slidewin.errors import ArgumentError
from slidewin.metrics.pixels import PixelCounts, pool_counts
from slidewin.metrics.truth import Lesions, Mask, check_mask, split_lesions

__all__ = [
    "LesionDice",
    "Overlap",
    "best_threshold",
    "dice",
    "iou",
    "lesion_dice",
    "oracle_overlap",
    "overlap_at",
]

_MOST_THRESHOLDS = 4096

Score = Literal["dice", "f1", "youden"]
Floats = npt.NDArray[np.float64]


def iou(mask: Mask, truth: Mask, *, ignore: Mask | None = None) -> float:
    """Intersection over union of two masks; NaN where both are empty.

    Parameters
    ----------
    mask, truth : ndarray of shape (H, W), bool
    ignore : ndarray of shape (H, W), bool, optional
        Pixels to leave out.

    Examples
    --------
    >>> iou(np.array([[True, True, False]]), np.array([[False, True, True]]))
    0.3333333333333333
    """
    both, either = _meeting(mask, truth, ignore)
    return both / either if either else float("nan")


def dice(mask: Mask, truth: Mask, *, ignore: Mask | None = None) -> float:
    """Dice coefficient (F1 of pixels) of two masks; NaN where both are empty.

    Parameters are those of :func:`iou`.

    Examples
    --------
    >>> dice(np.array([[True, True, False]]), np.array([[False, True, True]]))
    0.5
    """
    both, either = _meeting(mask, truth, ignore)
    return 2 * both / (both + either) if either else float("nan")


@dataclass(frozen=True, eq=False)
class Overlap:
    """IoU and Dice of a set of photos at one threshold.

    Attributes
    ----------
    threshold : float
    iou, dice : ndarray of shape (n,), float64
        Of each photo; NaN without lesions.
    micro_iou, micro_dice : float
        Of the pixels of all photos pooled, those without lesions among them.
    """

    threshold: float
    iou: Floats
    dice: Floats
    micro_iou: float
    micro_dice: float

    @property
    def macro_iou(self) -> float:
        """Mean over the photos with lesions; NaN if there are none."""
        return _mean(self.iou)

    @property
    def macro_dice(self) -> float:
        """Mean over the photos with lesions; NaN if there are none."""
        return _mean(self.dice)


def overlap_at(photos: Sequence[PixelCounts], threshold: float) -> Overlap:
    """IoU and Dice of what reaches a threshold.

    Parameters
    ----------
    photos : sequence of PixelCounts
        One for each photo, with lesions or without.
    threshold : float
        One for all photos: fixed, or chosen on validation photos by :func:`best_threshold`.

    Raises
    ------
    ArgumentError
        If there are no photos.

    Examples
    --------
    >>> from slidewin.metrics import count_pixels
    >>> pixels = np.array([[0.9, 0.6, 0.2]], np.float32)
    >>> lesion = np.array([[True, False, False]])
    >>> photos = [count_pixels(pixels, lesion), count_pixels(pixels, np.zeros_like(lesion))]
    >>> overlap = overlap_at(photos, 0.5)
    >>> overlap.iou, overlap.macro_iou, overlap.micro_iou
    (array([0.5, nan]), 0.5, 0.25)
    """
    if not photos:
        raise ArgumentError("photos is empty; pass what count_pixels made of each photo")
    found, false = (
        np.array(counts, np.float64)
        for counts in zip(*(photo.flagged(threshold) for photo in photos), strict=True)
    )
    lesion = np.array([photo.n_lesion for photo in photos], np.float64)
    return Overlap(
        threshold=float(threshold),
        iou=np.where(lesion > 0, _ratio(found, lesion + false), np.nan),
        dice=np.where(lesion > 0, _ratio(2 * found, found + lesion + false), np.nan),
        micro_iou=float(_ratio(found.sum(), (lesion + false).sum())),
        micro_dice=float(_ratio(2 * found.sum(), (found + lesion + false).sum())),
    )


def best_threshold(photos: Sequence[PixelCounts], *, score: Score = "dice") -> float:
    """Choose the threshold that serves validation photos best.

    Parameters
    ----------
    photos : sequence of PixelCounts
        Of *validation* photos. Chosen on the photos that are scored, a threshold is an oracle's.
    score : {"dice", "f1", "youden"}
        ``"dice"``: mean Dice of the photos with lesions. ``"f1"``: Dice of the pixels of all photos
        pooled, so that photos without lesions have a say. ``"youden"``: sensitivity plus
        specificity of all pixels, which asks for little where lesions are small.

    Returns
    -------
    float
        A score that a pixel of a lesion has; of equally good ones the highest.

    Raises
    ------
    ArgumentError
        If no photo has a pixel of a lesion, or `score` is unknown.

    Notes
    -----
    Every score that a pixel of a lesion has is tried: from any other threshold, going up to the
    next of these loses nothing and spares false pixels. Of more than 4096 as many are taken, evenly
    by the number of pixels of lesions.

    References
    ----------
    Youden, "Index for rating diagnostic tests", Cancer 3 (1950).

    Examples
    --------
    >>> from slidewin.metrics import count_pixels
    >>> pixels = np.array([[0.9, 0.8, 0.7, 0.6, 0.4, 0.1, 0.1, 0.1, 0.1, 0.1]], np.float32)
    >>> lesion = np.array([[True, False, False, False, True, False, False, False, False, False]])
    >>> counts = [count_pixels(pixels, lesion)]
    >>> round(best_threshold(counts), 3), round(best_threshold(counts, score="youden"), 3)
    (0.9, 0.4)
    """
    if score not in ("dice", "f1", "youden"):
        raise ArgumentError(f"score={score!r}: choose one of dice, f1, youden")
    pooled = pool_counts(photos)
    if not pooled.n_lesion:
        raise ArgumentError(
            "photos: none has a pixel of a lesion that counts; pass validation photos with lesions"
        )
    thresholds = _worth_trying(pooled)
    if score == "dice":
        value: Floats = np.zeros(thresholds.size)
        for photo in photos:
            if photo.n_lesion:
                found, false = photo.flagged(thresholds)
                value += 2 * found / (found + photo.n_lesion + false)
    else:
        found, false = pooled.flagged(thresholds)
        if score == "f1":
            value = 2 * found / (found + pooled.n_lesion + false)
        else:
            # Without other pixels, there are none to flag by mistake.
            value = found / pooled.n_lesion - false / max(pooled.n_pixels - pooled.n_lesion, 1)
    return float(thresholds[np.flatnonzero(value == value.max())[-1]])


def oracle_overlap(photos: Sequence[PixelCounts], *, score: Score = "dice") -> Overlap:
    """IoU and Dice at the threshold that is best for these very photos: an upper bound, no result.

    Parameters and errors are those of :func:`best_threshold`. One threshold serves all photos.
    """
    return overlap_at(photos, best_threshold(photos, score=score))


class LesionDice(NamedTuple):
    """How well one lesion is outlined.

    Attributes
    ----------
    diameter : float
        Of the disc of the lesion's area, in pixels: to tell small lesions from large.
    dice : float
        Within the lesion's surroundings; NaN where all of it is ignored.
    """

    diameter: float
    dice: float


def lesion_dice(
    mask: Mask, lesions: Lesions, *, margin: float = 0.5, ignore: Mask | None = None
) -> list[LesionDice]:
    """Dice of a mask with each lesion by itself, within the lesion's widened box.

    Parameters
    ----------
    mask : ndarray of shape (H, W), bool
    lesions : ndarray of shape (H, W), bool, or sequence of such
        One mask whose 8-connected pieces are the lesions, or a mask for each lesion.
    margin : float
        By how much of its height and width the box is widened on each side.
    ignore : ndarray of shape (H, W), bool, optional
        Pixels to leave out. Within the box of a lesion, the others are left out as well.

    Returns
    -------
    list of LesionDice
        In the order of the lesions.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If the masks are not bool, of one shape and with a pixel in each lesion.

    References
    ----------
    Saporta et al., "Benchmarking saliency methods for chest X-ray interpretation", Nat. Mach.
    Intell. 4 (2022), doi:10.1038/s42256-022-00536-x: saliency maps are worst at small lesions.

    Examples
    --------
    >>> mask = np.array([[True, True, False, False, False, True]])
    >>> lesions = np.array([[True, False, False, False, True, True]])
    >>> for lesion in lesion_dice(mask, lesions):
    ...     print(f"{lesion.diameter:.2f} px: {lesion.dice:.2f}")
    1.13 px: 1.00
    1.60 px: 0.67
    """
    masks, shape = split_lesions(lesions)
    check_mask("mask", mask, shape)
    if not 0 <= margin < np.inf:
        raise ArgumentError(f"margin={margin!r}: a share of the box from 0 up is needed")
    out = np.zeros(shape, np.bool_) if ignore is None else ignore
    check_mask("ignore", out, shape)
    every = np.zeros(shape, np.bool_)
    for lesion in masks:
        every |= lesion
    scored = []
    for lesion in masks:
        left, top, width, height = cv2.boundingRect(lesion.view(np.uint8))
        down, across = int(margin * height), int(margin * width)
        box = np.s_[
            max(0, top - down) : top + height + down, max(0, left - across) : left + width + across
        ]
        others = every[box] & ~lesion[box]
        counts = lesion[box] & ~out[box]
        scored.append(
            LesionDice(
                diameter=float(2 * np.sqrt(np.count_nonzero(lesion) / np.pi)),
                dice=dice(mask[box], lesion[box], ignore=out[box] | others)
                if counts.any()
                else float("nan"),
            )
        )
    return scored


def _meeting(mask: Mask, truth: Mask, ignore: Mask | None) -> tuple[int, int]:
    """Pixels in both masks, and in either."""
    check_mask("mask", mask)
    check_mask("truth", truth)
    if mask.shape != truth.shape:
        raise ArgumentError(f"mask, truth: found shapes {mask.shape} and {truth.shape}; one needed")
    both, either = mask & truth, mask | truth
    if ignore is not None:
        check_mask("ignore", ignore, mask.shape)
        both, either = both & ~ignore, either & ~ignore
    return int(np.count_nonzero(both)), int(np.count_nonzero(either))


def _worth_trying(pooled: PixelCounts) -> npt.NDArray[np.float32]:
    """Scores that pixels of lesions have, ascending."""
    some = pooled.lesion > 0
    scores = pooled.scores[some]
    if scores.size <= _MOST_THRESHOLDS:
        return scores
    ranks = np.cumsum(pooled.lesion[some])
    return scores[np.unique(np.searchsorted(ranks, np.linspace(1, ranks[-1], _MOST_THRESHOLDS)))]


def _ratio(part: npt.ArrayLike, whole: npt.ArrayLike) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.asarray(np.divide(part, whole), np.float64)


def _mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
