"""Probabilities that mean what they say, and the threshold that follows from them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from slidewin.classifier.scores import calibrated, logarithms
from slidewin.errors import ArgumentError
from slidewin.mask.tuned import affordable
from slidewin.metrics import expected_calibration_error

__all__ = ["Calibration", "Operating", "choose_threshold", "fit_calibration", "reliability"]

Probabilities = NDArray[np.floating[Any]]

THRESHOLDS = tuple(np.round(1 / (1 + np.exp(-np.arange(-4.5, 6.1, 0.25))), 3).tolist())
"""Candidates for a default threshold: evenly spaced in log-odds, 0.011 to 0.998."""
FALSE_REGIONS_ALLOWED = 1 / 3


class Calibration(NamedTuple):
    """``softmax(logits / temperature + bias)``."""

    temperature: float
    bias: tuple[float, ...]

    def apply(self, probabilities: Probabilities) -> NDArray[np.float32]:
        """Calibrate probabilities (..., k); what they lack to logits falls out of the softmax.

        Examples
        --------
        >>> Calibration(2.0, (0.0, 0.0)).apply(np.array([0.1, 0.9])).round(2)
        array([0.25, 0.75], dtype=float32)
        """
        scores = calibrated(logarithms(probabilities), self.temperature, self.bias)
        return np.asarray(scores, np.float32)


def fit_calibration(probabilities: Probabilities, labels: NDArray[np.integer[Any]]) -> Calibration:
    """Fit a temperature and a bias for each class by maximum likelihood.

    A temperature undoes overconfidence; the biases make up for classes that are rarer in photos
    than in training, which no temperature can. With two classes this is Platt's scaling.

    Parameters
    ----------
    probabilities : ndarray of shape (n, k), floating
        As the network gives them, uncalibrated, on windows that it was not trained on.
    labels : ndarray of shape (n,), integer
        Column of the true class; every class is there.

    Returns
    -------
    Calibration
        The first bias is 0.

    Raises
    ------
    ArgumentError
        If a class is missing.

    Notes
    -----
    scikit-learn's ``CalibratedClassifierCV`` has the temperature without a bias for each class,
    which windows of photos, nearly all of them background, need most.

    References
    ----------
    Guo et al., "On calibration of modern neural networks", ICML 2017, arXiv:1706.04599.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> logit = rng.normal(0, 2, 5000)
    >>> labels = (rng.random(5000) < 1 / (1 + np.exp(-logit))).astype(int)
    >>> far_too_sure = 1 / (1 + np.exp(-3 * logit + 6))
    >>> fit = fit_calibration(np.stack([1 - far_too_sure, far_too_sure], axis=1), labels)
    >>> round(fit.temperature, 1), [round(b, 1) for b in fit.bias]
    (3.0, [0.0, 2.0])
    """
    k = probabilities.shape[1]
    if missing := sorted(set(range(k)) - set(np.unique(labels).tolist())):
        raise ArgumentError(
            f"labels: no window of the classes {missing}; calibration needs some of each"
        )
    scores = logarithms(probabilities)
    truth = np.eye(k)[labels]

    def loss(free: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = scores * np.exp(free[0]) + np.concatenate([[0], free[1:]])
        z -= z.max(axis=1, keepdims=True)
        p = np.exp(z)
        p /= p.sum(axis=1, keepdims=True)
        wrong = (p - truth) / len(labels)
        nll = -logarithms((p * truth).sum(axis=1)).mean()
        slope = np.concatenate([[np.exp(free[0]) * (wrong * scores).sum()], wrong.sum(axis=0)[1:]])
        return float(nll), slope

    found = minimize(loss, np.zeros(k), jac=True, method="L-BFGS-B")
    return Calibration(float(np.exp(-found.x[0])), (0.0, *map(float, found.x[1:])))


def reliability(is_true: NDArray[np.bool_], probability: Probabilities) -> dict[str, Any]:
    """Brier score, expected calibration error and the points of a reliability diagram.

    Parameters
    ----------
    is_true : ndarray of shape (n,), bool
    probability : ndarray of shape (n,), in [0, 1]

    Returns
    -------
    dict
        ``brier``; ``expected_calibration_error`` over 15 bins; ``said`` and ``came_true``, mean
        probability and share of true cases in ten bins, for a diagram.
    """
    came_true, said = calibration_curve(is_true, probability, n_bins=10)
    return {
        "brier": round(float(brier_score_loss(is_true, probability)), 5),
        "expected_calibration_error": round(expected_calibration_error(is_true, probability), 5),
        "said": said.round(4).tolist(),
        "came_true": came_true.round(4).tolist(),
    }


class Operating(NamedTuple):
    """A threshold, and what it does on the photos that it was chosen on."""

    threshold: float
    false_regions_per_photo: dict[str, float]
    sensitivity: float | None
    rule_met: bool


def choose_threshold(
    false: NDArray[np.integer[Any]],
    kinds: Sequence[str],
    found: NDArray[np.integer[Any]],
    n_lesions: int,
) -> Operating:
    """Take the lowest threshold at which lesion-free photos have few enough false regions.

    That is at most one in three photos, in each kind of photo: an average over kinds would let many
    easy photos pay for the hard ones.

    Parameters
    ----------
    false : ndarray of shape (n, t), integer
        False regions in each lesion-free photo at each of ``THRESHOLDS``.
    kinds : sequence of n str
    found : ndarray of shape (t,), integer
        Lesions found at each threshold.
    n_lesions : int
        Of how many.

    Returns
    -------
    Operating
        At the highest threshold if none is high enough, which ``rule_met`` tells.
    """
    # From the top down: a dip among low thresholds, where regions melt into one, does not count.
    place, rates = affordable(false.T[::-1], kinds, FALSE_REGIONS_ALLOWED)
    chosen = len(THRESHOLDS) - 1 - place
    return Operating(
        THRESHOLDS[chosen],
        {kind: round(rate, 3) for kind, rate in rates.items()},
        round(float(found[chosen] / n_lesions), 3) if n_lesions else None,
        max(rates.values()) <= FALSE_REGIONS_ALLOWED,
    )
