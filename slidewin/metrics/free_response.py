"""FROC: how many lesions are found, against how many false candidates."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slidewin.errors import ArgumentError
from slidewin.metrics.detection import Judged

__all__ = ["CAMELYON16_RATES", "LUNA16_RATES", "Froc", "froc"]

LUNA16_RATES = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)
"""False candidates per photo at which the LUNA16 challenge reads off the sensitivity."""

CAMELYON16_RATES = (1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)
"""Those of the CAMELYON16 challenge: the two scores are not the same metric."""


@dataclass(frozen=True, eq=False)
class Froc:
    """Lesions found against false candidates, at every threshold.

    Attributes
    ----------
    thresholds : ndarray of shape (n,), float64
        Descending, from infinity (nothing counts) to the lowest score of any candidate.
    sensitivity : ndarray of shape (n,), float64
        Share of all lesions that a candidate at or above the threshold hits; NaN without lesions.
    false_per_photo : ndarray of shape (n,), float64
        Over all photos, those without lesions among them.
    false_per_free_photo : ndarray of shape (n,), float64
        In photos without lesions, over these photos; NaN if there are none.
    n_lesions, n_photos, n_free_photos : int

    References
    ----------
    Setio et al., "Validation, comparison, and combination of algorithms for automatic detection of
    pulmonary nodules in computed tomography images: the LUNA16 challenge", Med. Image Anal. 42
    (2017), doi:10.1016/j.media.2017.06.015. Ehteshami Bejnordi et al., "Diagnostic assessment of
    deep learning algorithms for detection of lymph node metastases in women with breast cancer",
    JAMA 318 (2017), doi:10.1001/jama.2017.14585.
    """

    thresholds: npt.NDArray[np.float64]
    sensitivity: npt.NDArray[np.float64]
    false_per_photo: npt.NDArray[np.float64]
    false_per_free_photo: npt.NDArray[np.float64]
    n_lesions: int
    n_photos: int
    n_free_photos: int

    @property
    def false_per_lesion(self) -> npt.NDArray[np.float64]:
        """False candidates of all photos over all lesions; NaN without lesions.

        Per photo, a set whose photos show many lesions is punished for having them.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            rate = self.false_per_photo * self.n_photos / np.float64(self.n_lesions)
        return np.where(self.n_lesions, rate, np.nan)

    @property
    def luna16(self) -> float:
        """Mean sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false candidates per photo."""
        return self._mean_sensitivity(LUNA16_RATES)

    @property
    def camelyon16(self) -> float:
        """Mean sensitivity at 1/4, 1/2, 1, 2, 4 and 8 false candidates per photo."""
        return self._mean_sensitivity(CAMELYON16_RATES)

    def sensitivity_at(self, false_per_photo: float) -> float:
        """Largest sensitivity at no more than so many false candidates per photo."""
        return float(self.sensitivity[self._last(false_per_photo)])

    def threshold_at(self, false_per_photo: float) -> float:
        """Lowest threshold at which there are no more than so many false candidates per photo."""
        return float(self.thresholds[self._last(false_per_photo)])

    def threshold_finding(self, sensitivity: float) -> float:
        """Highest threshold at which such a share of the lesions is found; NaN if none does."""
        if not 0 <= sensitivity <= 1:
            raise ArgumentError(f"sensitivity={sensitivity!r}: a share from 0 to 1 is needed")
        reached = np.flatnonzero(self.sensitivity >= sensitivity)
        return float(self.thresholds[reached[0]]) if reached.size else float("nan")

    def _mean_sensitivity(self, rates: Sequence[float]) -> float:
        return float(np.mean([self.sensitivity_at(rate) for rate in rates]))

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
    per photo, also where all its scores are one. Beyond its last point the curve keeps its value.

    References
    ----------
    Bunch et al., "A free response approach to the measurement and characterization of radiographic
    observer performance", Proc. SPIE 127 (1977), doi:10.1117/12.955926.

    Examples
    --------
    >>> photos = [Judged(hits=(0.9,), false=(0.4,)), Judged(hits=(), false=(0.95,))]
    >>> curve = froc(photos)
    >>> curve.thresholds, curve.sensitivity, curve.false_per_photo
    (array([ inf, 0.95, 0.9 , 0.4 ]), array([0., 0., 1., 1.]), array([0. , 0.5, 0.5, 1. ]))
    >>> print(f"{curve.luna16:.3f} {curve.camelyon16:.3f}")
    0.714 0.833

    An interval, by drawing patients with replacement:

    >>> from slidewin.metrics import bootstrap_interval
    >>> patients = ["a", "b"]
    >>> low, high = bootstrap_interval(
    ...     patients, lambda drawn: froc([photos[i] for i in drawn]).luna16)
    >>> print(f"{low:.2f} to {high:.2f}")
    0.71 to 1.00
    """
    if not photos:
        raise ArgumentError("photos is empty; pass what judge_candidates made of each photo")
    free = [photo for photo in photos if not photo.hits]
    hits = np.array([score for photo in photos for score in photo.hits], np.float64)
    false = np.array([score for photo in photos for score in photo.false], np.float64)
    false_in_free = np.array([score for photo in free for score in photo.false], np.float64)
    scores = np.concatenate([hits[hits > -np.inf], false])
    thresholds = np.concatenate([[np.inf], np.unique(scores)[::-1]])
    with np.errstate(invalid="ignore"):
        sensitivity = _count_from(hits, thresholds) / np.float64(hits.size)
        free_rate = _count_from(false_in_free, thresholds) / np.float64(len(free))
    return Froc(
        thresholds=thresholds,
        sensitivity=sensitivity,
        false_per_photo=_count_from(false, thresholds) / len(photos),
        false_per_free_photo=free_rate,
        n_lesions=hits.size,
        n_photos=len(photos),
        n_free_photos=len(free),
    )


def _count_from(
    scores: npt.NDArray[np.float64], thresholds: npt.NDArray[np.float64]
) -> npt.NDArray[np.intp]:
    """How many scores reach each threshold."""
    return scores.size - np.searchsorted(np.sort(scores), thresholds)
