"""Pointing: whether the top of a map, or its energy, lies on a lesion.

A photo without a lesion that counts has nothing to point at: NaN, never a hit.
"""

from collections.abc import Sequence
from math import comb
from typing import NamedTuple

import cv2
import numpy as np

from slidewin.errors import ArgumentError
from slidewin.metrics.candidate import Candidate
from slidewin.metrics.detection import struck_lesions
from slidewin.metrics.truth import Lesions, Mask, Pixels, counted

__all__ = [
    "Energy",
    "energy_pointing",
    "peak_recall",
    "pointing_game",
    "pointing_tolerance",
]


def pointing_tolerance(photo_shape: Sequence[int]) -> float:
    """The usual tolerance: 15 px in a photo whose short side is 224.

    References
    ----------
    Zhang et al., "Top-down neural attention by excitation backprop", IJCV 126 (2018),
    arXiv:1608.00507.

    Examples
    --------
    >>> pointing_tolerance((448, 600, 3))
    30.0
    """
    return 15 * min(photo_shape[:2]) / 224


def pointing_game(
    pixels: Pixels, truth: Mask, *, tolerance: float = 0.0, ignore: Mask | None = None
) -> float:
    """Chance that the highest pixel of a map is on a lesion.

    Parameters
    ----------
    pixels : ndarray of shape (H, W), floating
        A map on any scale; NaN where not assessed.
    truth : ndarray of shape (H, W), bool
        The pixels of all lesions.
    tolerance : float
        In pixels: this near to a lesion is on it. See :func:`pointing_tolerance`.
    ignore : ndarray of shape (H, W), bool, optional
        Pixels to leave out.

    Returns
    -------
    float
        1 or 0; where several pixels are highest, the share of them that is on a lesion, so that a
        flat map gets what a blind guess would. NaN without lesions.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If `pixels` is no map, a mask is no mask of its shape, or `tolerance` is no distance.

    References
    ----------
    Zhang et al., "Top-down neural attention by excitation backprop", IJCV 126 (2018),
    arXiv:1608.00507.

    Examples
    --------
    >>> lesion = np.array([[False, False, False, True]])
    >>> pointing_game(np.array([[0.1, 0.2, 0.7, 0.7]]), lesion)
    0.5
    >>> pointing_game(np.array([[0.1, 0.2, 0.7, 0.7]]), lesion, tolerance=1)
    1.0
    """
    where = counted(pixels, truth, ignore)
    if not 0 <= tolerance < np.inf:
        raise ArgumentError(f"tolerance={tolerance!r}: a number of pixels from 0 up is needed")
    if not (truth & where).any():
        return float("nan")
    top = where & (pixels == pixels[where].max())
    away = cv2.distanceTransform((~truth).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return float(np.mean(away[top] <= tolerance))


def peak_recall(
    candidates: Sequence[Candidate],
    lesions: Lesions,
    *,
    tolerance: float = 0.0,
    ignore: Mask | None = None,
) -> float:
    """Share of a photo's lesions that as many of a map's best peaks hit: pointing at several.

    Parameters
    ----------
    candidates : sequence of Candidate
        The map's peaks, as :func:`find_candidates` finds them.
    lesions : ndarray of shape (H, W), bool, or sequence of such
        One mask whose 8-connected pieces are the lesions, or a mask for each lesion.
    tolerance : float
        In pixels: a peak this near to a lesion hits it.
    ignore : ndarray of shape (H, W), bool, optional
        Peaks in here are not among the best.

    Returns
    -------
    float
        Expected where peaks tie for the last place, each being as likely. NaN without lesions.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        As :func:`judge_candidates`.

    Examples
    --------
    Two lesions, so the two best peaks count: one of them hits.

    >>> peaks = [Candidate(0.5, 0.5, 0.9), Candidate(0.5, 2.5, 0.8), Candidate(0.5, 4.5, 0.7)]
    >>> peak_recall(peaks, np.array([[True, False, False, False, True]]))
    0.5
    """
    struck, n = struck_lesions(candidates, lesions, tolerance=tolerance, ignore=ignore)
    if not n:
        return float("nan")
    scores = sorted((score for score, _ in struck), reverse=True)
    last = scores[n - 1] if len(scores) >= n else -np.inf
    sure = [lesion for score, lesion in struck if score > last]
    tied = [lesion for score, lesion in struck if score == last]
    places = min(n - len(sure), len(tied))
    draws = comb(len(tied), places)
    expected = 0.0
    for lesion in range(n):
        misses = comb(len(tied) - tied.count(lesion), places)
        expected += 1.0 if lesion in sure else 1 - misses / draws
    return expected / n


class Energy(NamedTuple):
    """How much of a map's energy lies on lesions.

    Attributes
    ----------
    share : float
        Of the sum of the map above 0. NaN without lesions.
    chance : float
        What a flat map gets: the share of the pixels that are of lesions.
    """

    share: float
    chance: float

    @property
    def lift(self) -> float:
        """How many times chance."""
        return self.share / self.chance if self.chance else float("nan")


def energy_pointing(pixels: Pixels, truth: Mask, *, ignore: Mask | None = None) -> Energy:
    """Energy pointing game, also known as relevance mass accuracy.

    Parameters
    ----------
    pixels : ndarray of shape (H, W), floating
        A map whose background is 0; NaN where not assessed. What is below 0 counts as 0.
    truth : ndarray of shape (H, W), bool
        The pixels of all lesions.
    ignore : ndarray of shape (H, W), bool, optional
        Pixels to leave out.

    Returns
    -------
    Energy
        Its share is 0 where the map is nowhere above 0.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If `pixels` is no map, or a mask is no mask of its shape.

    Notes
    -----
    Rank no methods by it: it changes with a constant added to the map. Over a large photo, a
    probability of 0.05 everywhere outweighs any lesion, and a sparse map wins by being sparse.

    References
    ----------
    Wang et al., "Score-CAM", CVPRW 2020, arXiv:1910.01279. Arras et al., "CLEVR-XAI", Inf. Fusion
    81 (2022), arXiv:2003.07258.

    Examples
    --------
    >>> energy = energy_pointing(np.array([[3.0, 1.0, -2.0, 0.0]]), np.eye(1, 4, dtype=bool))
    >>> energy, energy.lift
    (Energy(share=0.75, chance=0.25), 3.0)
    """
    where = counted(pixels, truth, ignore)
    on = truth & where
    if not on.any():
        return Energy(float("nan"), 0.0)
    whole = float(np.maximum(pixels[where], 0).sum(dtype=np.float64))
    part = float(np.maximum(pixels[on], 0).sum(dtype=np.float64))
    chance = float(np.mean(truth[where]))
    return Energy(part / whole if whole else 0.0, chance)
