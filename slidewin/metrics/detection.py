"""Detection: which lesions were hit, and by what.

Lesions are the caller's: one that lies where a map was not assessed can only be missed, and one
that is out of scope is left out of the lesions and put among what is ignored.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from slidewin.errors import ArgumentError
from slidewin.metrics.candidate import Candidate
from slidewin.metrics.truth import Lesions, Mask, check_mask, split_lesions
from slidewin.region import Region

__all__ = ["Judged", "false_regions", "judge_candidates", "struck_lesions"]


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
    struck, n_lesions = struck_lesions(candidates, lesions, tolerance=tolerance, ignore=ignore)
    hits = [-np.inf] * n_lesions
    false = []
    for score, lesion in struck:
        if lesion is None:
            false.append(score)
        else:
            hits[lesion] = max(hits[lesion], score)
    return Judged(tuple(hits), tuple(false))


def struck_lesions(
    candidates: Sequence[Candidate],
    lesions: Lesions,
    *,
    tolerance: float = 0.0,
    ignore: Mask | None = None,
) -> tuple[list[tuple[float, int | None]], int]:
    """Score of each candidate that is not ignored and the lesion it hits, and how many there are.

    Parameters and errors are those of :func:`judge_candidates`.
    """
    masks, shape = split_lesions(lesions)
    if ignore is not None:
        check_mask("ignore", ignore, shape)
    distances = [
        cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for mask in masks
    ]
    struck: list[tuple[float, int | None]] = []
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
        struck.append((score, nearest if away and away[nearest] <= tolerance else None))
    return struck, len(masks)


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
    masks, shape = split_lesions(lesions)
    if ignore is not None:
        check_mask("ignore", ignore, shape)
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
