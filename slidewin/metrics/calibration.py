"""Calibration: whether 0.9 means nine in ten."""

import numpy as np
import numpy.typing as npt

from slidewin.errors import ArgumentError

__all__ = ["expected_calibration_error"]


def expected_calibration_error(
    y_true: npt.ArrayLike, probability: npt.ArrayLike, *, n_bins: int = 15
) -> float:
    """How far probabilities are from what happens, on average.

    Parameters
    ----------
    y_true : array_like of shape (n,), bool or 0 and 1
    probability : array_like of shape (n,), in [0, 1]
    n_bins : int
        Bins of equal width.

    Returns
    -------
    float
        Mean over the bins, weighted by their number of cases, of the distance between the mean
        probability and the share of true cases.

    References
    ----------
    Guo et al., "On calibration of modern neural networks", ICML 2017, arXiv:1706.04599.

    Examples
    --------
    >>> expected_calibration_error([1, 0, 1, 1], [0.75, 0.75, 0.75, 0.75])
    0.0
    >>> expected_calibration_error([0, 1], [0.9, 0.9])
    0.4
    """
    y, p = np.asarray(y_true, np.float64), np.asarray(probability, np.float64)
    if y.ndim != 1 or y.shape != p.shape or not y.size:
        raise ArgumentError(
            f"y_true, probability: found shapes {y.shape} and {p.shape}; pass a truth and a "
            "probability for each case"
        )
    if not (np.isin(y, (0, 1)).all() and ((p >= 0) & (p <= 1)).all()):
        raise ArgumentError("y_true must be 0 or 1 and probability lie in [0, 1]")
    bins = np.minimum((p * n_bins).astype(np.intp), n_bins - 1)
    gaps = np.bincount(bins, p - y)
    return float(np.abs(gaps).sum() / y.size)
