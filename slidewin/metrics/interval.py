"""Intervals: how much a figure would change with other photos of the same kind."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from slidewin.errors import ArgumentError

__all__ = ["bootstrap_interval", "wilson_interval"]


def bootstrap_interval(
    groups: npt.ArrayLike,
    statistic: Callable[[npt.NDArray[np.intp]], float],
    *,
    n: int = 1000,
    random_state: int = 0,
) -> tuple[float, float]:
    """95 % interval of a statistic, by drawing whole groups with replacement.

    Parameters
    ----------
    groups : array_like of shape (m,)
        The group (patient, photo) of each case: cases of a group are drawn together.
    statistic : callable
        Takes indices of cases, with repetitions; returns a number, or NaN where it has none.
    n : int
        How many times to draw.
    random_state : int
        Seed.

    Returns
    -------
    low, high : float
        The 2.5th and 97.5th percentile; draws without a number are left out.

    References
    ----------
    Efron and Tibshirani, "An introduction to the bootstrap", 1993, chapter 13.

    Examples
    --------
    >>> values = np.arange(100.0)
    >>> low, high = bootstrap_interval(np.arange(100), lambda drawn: values[drawn].mean())
    >>> low < 49.5 < high
    True
    """
    _, which = np.unique(np.asarray(groups), return_inverse=True)
    members = np.split(np.argsort(which, kind="stable"), np.cumsum(np.bincount(which))[:-1])
    rng = np.random.default_rng(random_state)
    drawn = [
        statistic(
            np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])
        )
        for _ in range(n)
    ]
    if np.isnan(drawn).all():
        return float("nan"), float("nan")
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    return float(low), float(high)


def wilson_interval(hits: int, n: int) -> tuple[float, float]:
    """95 % interval of a share, ``hits`` of ``n``.

    References
    ----------
    Wilson, J. Am. Stat. Assoc. 22:209 (1927), doi:10.1080/01621459.1927.10502953.

    Examples
    --------
    >>> low, high = wilson_interval(4, 5)
    >>> print(f"{low:.2f} to {high:.2f}")
    0.38 to 0.96
    """
    if not 0 <= hits <= n or n < 1:
        raise ArgumentError(f"hits={hits!r}, n={n!r}: 0 <= hits <= n and n >= 1 are needed")
    z, p = 1.959964, hits / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))
