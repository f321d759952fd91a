"""Boxes: whether the boxes round what is flagged fit the lesions, and how many there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from slidewin.errors import ArgumentError
from slidewin.metrics.truth import Lesions, Mask, Pixels, counted, split_lesions

__all__ = ["BOX_IOUS", "BoxAccuracy", "BoxMatches", "match_boxes", "max_box_accuracy"]

BOX_IOUS = (0.3, 0.5, 0.7)
"""How well a box must fit: the three levels of MaxBoxAccV2."""

_TAUS = np.arange(100) / 100

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class BoxMatches:
    """Boxes of one photo at the thresholds 0, 0.01 ... 0.99. Made by :func:`match_boxes`.

    Attributes
    ----------
    matched : ndarray of shape (3, 100), int64
        Lesions that have a box of their own of IoU 0.3, 0.5 and 0.7 or more.
    boxes : ndarray of shape (100,), int64
        How many boxes there are.
    n_lesions : int
    scale : {"relative", "absolute"}
    """

    matched: Counts
    boxes: Counts
    n_lesions: int
    scale: str


@dataclass(frozen=True)
class BoxAccuracy:
    """MaxBoxAccV2, and what it does not ask.

    Each tuple holds a figure for IoU 0.3, 0.5 and 0.7, at the threshold that is best for it: of
    equally good ones that with the fewest boxes.

    Attributes
    ----------
    accuracy : tuple of float
        Share of the photos with lesions in which a box fits a lesion. Boxes that fit nothing cost
        nothing: 25 boxes for one lesion are as good as one.
    threshold : tuple of float
        An oracle's: chosen on these very photos, as published.
    recall : tuple of float
        Share of the lesions that have a box of their own.
    precision : tuple of float
        Share of the boxes that have a lesion of their own; 0 if there are no boxes.
    boxes_per_photo : tuple of float
        Over all photos, those without lesions among them.
    scale : {"relative", "absolute"}
    """

    accuracy: tuple[float, ...]
    threshold: tuple[float, ...]
    recall: tuple[float, ...]
    precision: tuple[float, ...]
    boxes_per_photo: tuple[float, ...]
    scale: str

    @property
    def value(self) -> float:
        """MaxBoxAccV2: mean accuracy of the three levels."""
        return float(np.mean(self.accuracy))


def match_boxes(
    pixels: Pixels,
    lesions: Lesions,
    *,
    scale: Literal["relative", "absolute"],
    ignore: Mask | None = None,
) -> BoxMatches:
    """Match the boxes of one photo with its lesions, at all thresholds.

    Parameters
    ----------
    pixels : ndarray of shape (H, W), floating
        A map of any size; NaN where not assessed. What is not above 0 is never flagged.
    lesions : ndarray of shape (H, W), bool, or sequence of such
        One mask whose 8-connected pieces are the lesions, or a mask for each lesion; empty for a
        photo without.
    scale : {"relative", "absolute"}
        Whether thresholds are shares of the photo's own maximum, as published, so that something is
        always found; or values of the map, the same for all photos.
    ignore : ndarray of shape (H, W), bool, optional
        Where the map is taken as not assessed.

    Returns
    -------
    BoxMatches

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If `pixels` is no map, the masks are no masks of its shape, or `scale` is unknown.

    Notes
    -----
    Boxes go round the 8-connected pieces of what reaches the threshold, and their IoU counts
    pixels. The published code first rounds maps to 256 levels, and its boxes may be off by a
    pixel. It takes up to 100 labellings of the photo, up to a second a megapixel.

    References
    ----------
    Choe et al., "Evaluation for weakly supervised object localization: protocol, metrics, and
    datasets", IEEE TPAMI 2022, arXiv:2007.04178.
    """
    if scale not in ("relative", "absolute"):
        raise ArgumentError(f"scale={scale!r}: choose relative or absolute")
    masks, shape = split_lesions(lesions)
    where = counted(pixels, np.zeros(shape, np.bool_), ignore)
    values = np.where(where, pixels, 0).astype(np.float32)
    top = max(float(values.max(initial=0)), 0.0) if scale == "relative" else 1.0
    truth = np.array([_box(mask) for mask in masks]).reshape(-1, 4)
    matched = np.zeros((len(BOX_IOUS), _TAUS.size), np.int64)
    boxes = np.zeros(_TAUS.size, np.int64)
    before, corner = -1, np.zeros(2, np.int64)
    for i, bound in enumerate((_TAUS * top).astype(np.float32)):
        flagged = (values >= bound) & (values > 0)
        area = int(np.count_nonzero(flagged))
        if area == before:  # a rising threshold that spares nothing changes nothing
            matched[:, i], boxes[i] = matched[:, i - 1], boxes[i - 1]
        elif area:
            found = _boxes(flagged) + np.tile(corner, 2)
            overlaps = _box_ious(found, truth)
            boxes[i] = len(found)
            matched[:, i] = [_pairs(overlaps >= least) for least in BOX_IOUS]
            # A rising threshold flags nothing outside of these boxes.
            ends = [*found[:, :2].min(axis=0) - corner, *found[:, 2:].max(axis=0) - corner]
            values = values[ends[0] : ends[2], ends[1] : ends[3]]
            corner = corner + ends[:2]
        before = area
    return BoxMatches(matched, boxes, len(masks), scale)


def max_box_accuracy(photos: Sequence[BoxMatches]) -> BoxAccuracy:
    """MaxBoxAccV2 of a set of photos, with lesion recall and boxes per photo beside it.

    Parameters
    ----------
    photos : sequence of BoxMatches
        One for each photo, with lesions or without, all on one scale.

    Returns
    -------
    BoxAccuracy

    Raises
    ------
    ArgumentError
        If there are no photos, or they are on different scales.

    Examples
    --------
    >>> pixels = np.zeros((6, 8), np.float32)
    >>> pixels[1:4, 1:4], pixels[5, 6] = 0.8, 0.4
    >>> lesion = np.zeros((6, 8), bool)
    >>> lesion[1:4, 1:5] = True
    >>> scored = max_box_accuracy([match_boxes(pixels, lesion, scale="absolute")])
    >>> scored.accuracy, scored.threshold, scored.boxes_per_photo
    ((1.0, 1.0, 1.0), (0.41, 0.41, 0.41), (1.0, 1.0, 1.0))
    """
    if not photos:
        raise ArgumentError("photos is empty; pass what match_boxes made of each photo")
    scale = photos[0].scale
    if any(photo.scale != scale for photo in photos):
        raise ArgumentError("photos: some are on a relative and some on an absolute scale")
    n_lesions = sum(photo.n_lesions for photo in photos)
    boxes = np.sum([photo.boxes for photo in photos], axis=0)
    matched = np.sum([photo.matched for photo in photos], axis=0)
    right = np.sum([photo.matched > 0 for photo in photos], axis=0)
    best = [int(np.lexsort((_TAUS, boxes, -row))[0]) for row in right]
    figures = (matched[range(len(BOX_IOUS)), best], boxes[best])
    return BoxAccuracy(
        accuracy=_shares(
            right[range(len(BOX_IOUS)), best], sum(photo.n_lesions > 0 for photo in photos)
        ),
        threshold=tuple(_TAUS[best].tolist()),
        recall=_shares(figures[0], n_lesions),
        precision=_shares(figures[0], np.maximum(figures[1], 1)),
        boxes_per_photo=_shares(figures[1], len(photos)),
        scale=scale,
    )


def _box(mask: Mask) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of a mask, half-open."""
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    return top, left, top + height, left + width


def _boxes(flagged: Mask) -> Counts:
    """Boxes (n, 4) of the 8-connected pieces."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(
        flagged.view(np.uint8), connectivity=8, ltype=cv2.CV_32S
    )
    left, top, width, height = np.asarray(stats, np.int64)[1:, :4].T
    return np.stack([top, left, top + height, left + width], axis=1)


def _box_ious(boxes: Counts, truth: Counts) -> npt.NDArray[np.float64]:
    """IoU (n, k) of each box with each box of the truth, in pixels."""
    starts = np.maximum(boxes[:, None, :2], truth[None, :, :2])
    ends = np.minimum(boxes[:, None, 2:], truth[None, :, 2:])
    both = np.maximum(ends - starts, 0).prod(axis=2)
    areas = [(box[:, 2:] - box[:, :2]).prod(axis=1) for box in (boxes, truth)]
    return np.asarray(both / (areas[0][:, None] + areas[1] - both))


def _pairs(fits: Mask) -> int:
    """How many lesions can have a box of their own."""
    fitting = fits[fits.any(axis=1)]
    if min(fitting.shape) < 2:
        return int(fitting.any())
    partners = maximum_bipartite_matching(csr_array(fitting), perm_type="column")
    return int(np.count_nonzero(partners >= 0))


def _shares(part: npt.ArrayLike, whole: npt.ArrayLike) -> tuple[float, ...]:
    """NaN of nothing."""
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = np.divide(part, whole, dtype=np.float64)
    return tuple(np.where(np.asarray(whole) > 0, shares, np.nan).tolist())
