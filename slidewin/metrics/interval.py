"""Intervals: how much a figure would change with other photos of the same kind."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from slidewin.errors import ArgumentError

__all__ = [
    "Difference",
    "bootstrap_difference",
    "bootstrap_interval",
    "draw_groups",
    "wilson_interval",
]

Indices = npt.NDArray[np.intp]


def bootstrap_interval(
    groups: npt.ArrayLike,
    statistic: Callable[[Indices], float],
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
    drawn = [statistic(cases) for cases in draw_groups(groups, n=n, random_state=random_state)]
    if np.isnan(drawn).all():
        return float("nan"), float("nan")
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    return float(low), float(high)


def draw_groups(
    groups: npt.ArrayLike, *, n: int = 1000, random_state: int = 0
) -> Iterator[Indices]:
    """Draw whole groups with replacement, `n` times: the cases of each draw, some repeatedly.

    Parameters are those of :func:`bootstrap_interval`.
    """
    _, which = np.unique(np.asarray(groups), return_inverse=True)
    members = np.split(np.argsort(which, kind="stable"), np.cumsum(np.bincount(which))[:-1])
    rng = np.random.default_rng(random_state)
    for _ in range(n):
        drawn = rng.integers(len(members), size=len(members))
        yield np.concatenate([members[i] for i in drawn])


class Difference(NamedTuple):
    """By how much one figure exceeds another.

    Attributes
    ----------
    value : float
        On all cases.
    low, high : float
        95 % interval. If it does not hold 0, the two differ.
    """

    value: float
    low: float
    high: float


def bootstrap_difference(
    groups: npt.ArrayLike,
    ours: Callable[[Indices], float],
    theirs: Callable[[Indices], float],
    *,
    n: int = 1000,
    random_state: int = 0,
) -> Difference:
    """Difference of two statistics of the same cases, with its 95 % interval.

    Both are asked about the same draws: what makes a case hard for both falls out, and the interval
    is narrower than those of the two suggest.

    Parameters
    ----------
    groups : array_like of shape (m,)
        The group (patient, photo) of each case: cases of a group are drawn together.
    ours, theirs : callable
        Take indices of cases, with repetitions; return a number, or NaN where they have none.
    n : int
        How many times to draw.
    random_state : int
        Seed.

    Returns
    -------
    Difference
        Of `ours` less `theirs`; draws without a number of either are left out.

    Examples
    --------
    >>> ours, theirs = np.array([0.5, 1.0, 0.25, 0.5]), np.array([0.25, 0.75, 0.0, 0.25])
    >>> bootstrap_difference(
    ...     range(4), lambda drawn: ours[drawn].mean(), lambda drawn: theirs[drawn].mean())
    Difference(value=0.25, low=0.25, high=0.25)
    """

    def difference(drawn: Indices) -> float:
        return ours(drawn) - theirs(drawn)

    low, high = bootstrap_interval(groups, difference, n=n, random_state=random_state)
    return Difference(float(difference(np.arange(np.asarray(groups).size))), low, high)


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
