"""Coarse to fine: every other window of a lattice first, then those between that are worth it.

Along one axis, for windows every 2 px, the last one shifted back; the first pass takes those that
are marked, twice as far apart::

    level px      0   2   4   6   8   9
    lattice       0   1   2   3   4   5
    first pass    *       *       *   *

Between them stands what lies between their values, or, if one of those around is likely enough,
what the classifier says.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slidewin.errors import ArgumentError
from slidewin.grid import Grid, Level

__all__ = ["check_bound", "check_stride", "fill_between", "first_windows"]


def check_bound(bound: Any) -> None:
    """Refuse what is neither None nor a probability from which on to refine."""
    number = isinstance(bound, int | float) and not isinstance(bound, bool)
    if bound is not None and not (number and 0 <= bound <= 1):
        raise ArgumentError(f"refine_above={bound!r}: a probability from 0 to 1 is needed, or None")


def check_stride(grid: Grid) -> None:
    """Refuse a plan of which every other window would be too few for a first pass."""
    widest = grid.context / 4
    if grid.stride > widest:
        raise ArgumentError(
            f"stride={grid.stride:g}: refine_above begins with every other window, and these may "
            f"be at most half a window's side apart; take a stride of at most context / 4, which "
            f"is {widest:g} lesion diameters, or leave refine_above out"
        )


def first_windows(level: Level) -> NDArray[np.bool_]:
    """Windows (m, n) of a level that the first pass takes: of every other row every other one.

    The last row and the last column are among them.

    Examples
    --------
    >>> first_windows(Level((4, 13), lesion_size=2.0, shape=(4, 13), side=4, stride=2)) * 1
    array([[1, 0, 1, 0, 1, 1]])
    """
    rows, cols = _Between(level.tops), _Between(level.lefts)
    return np.asarray(rows.taken[:, None] & cols.taken)


def fill_between(
    level: Level, values: NDArray[np.float32], likely: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Fill in what a first pass has left out, but for what is to be classified.

    Parameters
    ----------
    level : Level
    values : ndarray of shape (m, n, k), float32
        Probabilities in the windows of the level; those of the first pass are read alone.
    likely : ndarray of shape (m, n), bool
        Where windows of the first pass came on something.

    Returns
    -------
    ndarray of shape (m, n, k), float32
        Of each window its own value if the first pass took it; NaN if one of the first pass's
        windows around it, of which there are up to four, is likely; else what lies bilinearly
        between their values.

    Examples
    --------
    Windows at 0, 2, 4 and 5 px, of which the first pass takes all but the second:

    >>> level = Level((4, 9), lesion_size=2.0, shape=(4, 9), side=4, stride=2)
    >>> values = np.array([[[0.5], [np.nan], [0.25], [0.75]]], np.float32)
    >>> fill_between(level, values, values[..., 0] > 0.7).ravel()
    array([0.5  , 0.375, 0.25 , 0.75 ], dtype=float32)
    >>> fill_between(level, values, values[..., 0] > 0.4).ravel()
    array([0.5 ,  nan, 0.25, 0.75], dtype=float32)
    """
    rows, cols = _Between(level.tops), _Between(level.lefts)
    filled = cols.blend(rows.blend(values, axis=0), axis=1)
    near = cols.either(rows.either(likely, axis=0), axis=1)
    filled[near & ~first_windows(level)] = np.nan
    return filled


class _Between:
    """Along one axis, the places before and after each that a first pass takes.

    A place that it takes is its own neighbour, on both sides.
    """

    def __init__(self, origins: Sequence[int]) -> None:
        at, i = np.array(origins), np.arange(len(origins))
        self.taken = (i % 2 == 0) | (i == len(at) - 1)
        self.before, self.after = i - ~self.taken, i + ~self.taken
        low, high = at[self.before], at[self.after]
        # Below 1 by a whole pixel at least: no rounding carries a value past its neighbours'.
        self.weight = ((at - low) / np.maximum(high - low, 1)).astype(np.float32)

    def blend(self, values: NDArray[np.float32], *, axis: int) -> NDArray[np.float32]:
        """Interpolate; equal neighbours give exactly their value."""
        low: NDArray[np.float32] = values.take(self.before, axis=axis)
        step = values.take(self.after, axis=axis)
        step -= low
        step *= np.expand_dims(self.weight, (1 - axis, 2))
        low += step
        return low

    def either(self, likely: NDArray[np.bool_], *, axis: int) -> NDArray[np.bool_]:
        """Whether one of the neighbours is likely."""
        return np.asarray(likely.take(self.before, axis=axis) | likely.take(self.after, axis=axis))
