"""Pixels: how well a map tells the pixels of lesions from all others, over all thresholds.

A photo is counted once, into how many of its pixels have which score inside lesions and outside.
From these counts follow average precision, IoU and Dice at any threshold, and their intervals:
nothing has to look at pixels again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from slidewin.errors import ArgumentError
from slidewin.metrics.truth import Mask, Pixels, counted

__all__ = [
    "AveragePrecision",
    "PixelAveragePrecision",
    "PixelCounts",
    "count_pixels",
    "pixel_average_precision",
    "pool_counts",
]

_EDGES = (np.arange(1001) / 1000).astype(np.float32)
_EDGES.flags.writeable = False

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PixelCounts:
    """How many pixels have which score. Made by :func:`count_pixels`.

    Attributes
    ----------
    scores : ndarray of shape (n,), float32
        Ascending: every score there is; or, if `binned`, 0, 0.001 ... 1, each standing for the
        scores from it up to the next.
    lesion : ndarray of shape (n,), int64
        Pixels of lesions that have this score.
    other : ndarray of shape (n,), int64
        The others.
    binned : bool
        Whether scores are in bins.
    """

    scores: npt.NDArray[np.float32]
    lesion: Counts
    other: Counts
    binned: bool

    @property
    def n_lesion(self) -> int:
        """Pixels of lesions."""
        return int(self.lesion.sum())

    @property
    def n_pixels(self) -> int:
        """Pixels that count."""
        return self.n_lesion + int(self.other.sum())

    @property
    def prevalence(self) -> float:
        """Share of the pixels that are of lesions; NaN where none count."""
        return self.n_lesion / self.n_pixels if self.n_pixels else float("nan")

    @property
    def average_precision(self) -> float:
        """Sum of precision times gain in recall, from the highest score down; NaN without lesions.

        Equal scores fall together, and nothing is interpolated.
        """
        found = np.cumsum(self.lesion[::-1])
        flagged = found + np.cumsum(self.other[::-1])
        if not self.n_lesion:
            return float("nan")
        gained = self.lesion[::-1]
        some = gained > 0
        return float(np.sum(found[some] / flagged[some] * gained[some]) / self.n_lesion)

    def flagged(self, thresholds: npt.ArrayLike) -> tuple[Counts, Counts]:
        """Pixels of lesions, and others, whose score reaches each threshold.

        Compared as float32, as :func:`slidewin.mask.threshold_mask` does; in bins, thresholds are
        rounded down to whole thousandths.

        Examples
        --------
        >>> pixels = np.array([[0.2, 0.9, 0.5, 0.9]], np.float32)
        >>> counts = count_pixels(pixels, np.array([[False, False, True, True]]))
        >>> counts.flagged([0.5, 0.7])
        (array([2, 1]), array([1, 1]))
        """
        wanted = np.asarray(thresholds, np.float32)
        first = np.searchsorted(self.scores, wanted)
        if self.binned:
            bins = np.searchsorted(self.scores, wanted, side="right") - 1
            first = np.where(wanted > self.scores[-1], first, np.maximum(bins, 0))
        return _from(self.lesion)[first], _from(self.other)[first]


def count_pixels(
    pixels: Pixels, truth: Mask, *, ignore: Mask | None = None, exact: bool = False
) -> PixelCounts:
    """Count the pixels of one photo by their score.

    Parameters
    ----------
    pixels : ndarray of shape (H, W), floating
        A map; NaN where not assessed, which counts nowhere. Taken as float32. A mask is a map too:
        ``mask.astype(np.float32)``.
    truth : ndarray of shape (H, W), bool
        The pixels of all lesions; empty for a photo without.
    ignore : ndarray of shape (H, W), bool, optional
        Pixels to leave out: rulers, ink, lesions that are not sought.
    exact : bool
        Count every score there is, for maps on a scale of their own. By default scores are put
        into 1001 bins: [0, 0.001) and so on, the last for 1 alone.

    Returns
    -------
    PixelCounts

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If `pixels` is no map, or with scores outside [0, 1] and not `exact`; if `truth` or `ignore`
        is no mask of its shape.

    Notes
    -----
    In bins a photo takes 16 kB, however large it is. Exact, it takes up to 20 bytes a pixel and
    time to sort.

    References
    ----------
    Choe et al., "Evaluating weakly supervised object localization methods right", CVPR 2020,
    arXiv:2001.07437, whose bins these are.
    """
    where = counted(pixels, truth, ignore)
    with np.errstate(over="ignore"):
        scores = pixels[where].astype(np.float32, copy=False)
    if exact:
        levels, index = np.unique(scores, return_inverse=True)
    else:
        if scores.size and not (scores.min() >= 0 and scores.max() <= 1):
            raise ArgumentError(
                f"pixels go from {scores.min():.3g} to {scores.max():.3g}, but bins reach from 0 "
                "to 1; pass exact=True for a map on a scale of its own"
            )
        levels, index = _EDGES, np.searchsorted(_EDGES, scores, side="right") - 1
    lesion = np.bincount(index[truth[where]], minlength=levels.size)
    every = np.bincount(index, minlength=levels.size)
    return PixelCounts(levels, lesion, every - lesion, not exact)


def pool_counts(photos: Sequence[PixelCounts]) -> PixelCounts:
    """Count the pixels of several photos as those of one.

    Raises
    ------
    ArgumentError
        If there are no photos, or some are in bins and some are not.
    """
    if not photos:
        raise ArgumentError("photos is empty; pass what count_pixels made of each photo")
    binned = photos[0].binned
    if any(photo.binned != binned for photo in photos):
        raise ArgumentError("photos: some are in bins and some exact; count all in one way")
    if binned:
        lesion = np.sum([photo.lesion for photo in photos], axis=0)
        return PixelCounts(_EDGES, lesion, np.sum([p.other for p in photos], axis=0), binned)
    scores, index = np.unique(np.concatenate([p.scores for p in photos]), return_inverse=True)
    pooled = np.zeros((2, scores.size), np.int64)
    start = 0
    for photo in photos:
        at = index[start : start + photo.scores.size]  # no score twice in one photo
        pooled[0, at] += photo.lesion
        pooled[1, at] += photo.other
        start += photo.scores.size
    return PixelCounts(scores, pooled[0], pooled[1], binned)


class AveragePrecision(NamedTuple):
    """An average precision, and what a map that knows nothing would get.

    Attributes
    ----------
    value : float
        NaN without lesions.
    chance : float
        The share of the pixels that are of lesions.
    """

    value: float
    chance: float

    @property
    def gain(self) -> float:
        """How far from chance, 0, to perfect, 1."""
        room = 1 - self.chance
        return (self.value - self.chance) / room if room else float("nan")


class PixelAveragePrecision(NamedTuple):
    """Pixel average precision (PxAP) of a set of photos.

    Attributes
    ----------
    all_photos : AveragePrecision
        Pixels of all photos pooled. What a map lights up in photos without lesions costs.
    positives : AveragePrecision
        Pixels of photos with lesions pooled. The difference is the price of lighting up the others.
    macro : AveragePrecision
        Mean over the photos with lesions, in which every photo weighs the same.
    """

    all_photos: AveragePrecision
    positives: AveragePrecision
    macro: AveragePrecision


def pixel_average_precision(photos: Sequence[PixelCounts]) -> PixelAveragePrecision:
    """Average precision of pixels (PxAP), with its chance level.

    Parameters
    ----------
    photos : sequence of PixelCounts
        One for each photo, with lesions or without, all in bins or all exact.

    Returns
    -------
    PixelAveragePrecision
        In [0, 1]. Pooled over all photos, over those with lesions, and their mean.

    Raises
    ------
    ArgumentError
        If there are no photos, or some are in bins and some are not.

    References
    ----------
    Choe et al., "Evaluating weakly supervised object localization methods right", CVPR 2020,
    arXiv:2001.07437. Theirs is pooled, in per cent, and knows no photo without a lesion.

    Examples
    --------
    The map ranks the lesion second of four pixels, and lights up a photo without one:

    >>> pixels = np.array([[0.9, 0.5, 0.1, 0.0]], np.float32)
    >>> lesion = np.array([[False, True, False, False]])
    >>> scored = pixel_average_precision(
    ...     [count_pixels(pixels, lesion), count_pixels(pixels, np.zeros_like(lesion))])
    >>> scored.all_photos
    AveragePrecision(value=0.25, chance=0.125)
    >>> scored.positives, round(scored.positives.gain, 3)
    (AveragePrecision(value=0.5, chance=0.25), 0.333)
    """
    pooled = pool_counts(photos)
    positives = [photo for photo in photos if photo.n_lesion]
    nothing = AveragePrecision(float("nan"), 0.0)
    if not positives:
        return PixelAveragePrecision(nothing, nothing, nothing)
    both = pool_counts(positives)
    return PixelAveragePrecision(
        AveragePrecision(pooled.average_precision, pooled.prevalence),
        AveragePrecision(both.average_precision, both.prevalence),
        AveragePrecision(
            float(np.mean([photo.average_precision for photo in positives])),
            float(np.mean([photo.prevalence for photo in positives])),
        ),
    )


def _from(counts: Counts) -> Counts:
    """How many from each place on, and 0 beyond the last."""
    return np.append(np.cumsum(counts[::-1])[::-1], 0)
