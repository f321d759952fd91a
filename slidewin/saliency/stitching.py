"""The maps of overlapping windows, made into one map of their level.

Along one axis, windows of 8 px with three cells each, 4 px apart::

    level px    0   2   4   6   8   10  12
                [   a   b   c   ]                  cells at 2, 4, 6: they speak for 1 to 7
                        [   d   e   f   ]          cells at 6, 8, 10
    stitched        a   b  c+d  e   f

A window's cells speak for what lies under them, out to half a cell beyond the outermost, and the
less the farther from their middle. Where windows do not fall on each other's cells, what lies
between a window's own is taken.

How a lesion falls on the lattice changes its peak: one real lesion of 32 px, moved over 36 phases
of a lattice 16 px apart, had a lowest peak of 0.64 of the highest by Grad-CAM, 0.49 by HiResCAM and
0.61 by the gradient's pixels; by a plain mean 0.64, 0.49 and 0.64; by interpolating each cell from
window to window, which spreads a peak over the lattice's stride, 0.40, 0.37 and 0.65. The peak of
the gradient's pixels lay 7 px from the lesion's centre, by the plain mean 13 px.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from slidewin.grid import Level

__all__ = ["Stitching"]

_SAME = 1e-6  # of a cell: places nearer to each other are one


class Stitching:
    """One map for a level, from those of its windows; they may come in any order.

    Parameters
    ----------
    level : Level
    rows, cols : ndarray of shape (r,) and (c,), float64
        Where the cells of a window's map stand, in px from the window's upper left corner.

    Attributes
    ----------
    rows, cols : ndarray, float64
        Where the cells of the level's map stand, in px of the padded level.

    Notes
    -----
    Memory is 8 bytes for each cell of the level's map.

    Examples
    --------
    >>> level = Level(photo_shape=(8, 12), lesion_size=4.0, shape=(8, 12), side=8, stride=4)
    >>> cells = np.array([2.0, 4.0, 6.0])
    >>> stitching = Stitching(level, cells, cells)
    >>> stitching.add(0, 0, np.ones((3, 3)))
    >>> stitching.add(0, 1, np.full((3, 3), 3.0))
    >>> stitching.cols, stitching.values[0]
    (array([ 2.,  4.,  6.,  8., 10.]), array([1., 1., 2., 3., 3.], dtype=float32))
    """

    def __init__(self, level: Level, rows: NDArray[np.float64], cols: NDArray[np.float64]) -> None:
        self.rows, self._down = _shares(level.tops, rows, level.stride)
        self.cols, self._across = _shares(level.lefts, cols, level.stride)
        self._sum = np.zeros((len(self.rows), len(self.cols)))

    def add(self, m: int, n: int, values: NDArray[np.floating]) -> None:
        """Add the map of the window at row `m` and column `n` of the lattice."""
        (rows, down), (cols, across) = self._down[m], self._across[n]
        self._sum[rows, cols] += down @ values @ across.T

    @property
    def values(self) -> NDArray[np.float32]:
        """The level's map; whole once every window's has been added."""
        return self._sum.astype(np.float32)


def _shares(
    origins: Sequence[int], cells: NDArray[np.float64], stride: int
) -> tuple[NDArray[np.float64], list[tuple[slice, NDArray[np.float64]]]]:
    """Places of the level's cells along an axis, and the shares that windows' cells have in them.

    Of each window the places that it has a say in, and a matrix (places, cells). At every place the
    shares of all windows sum to 1.
    """
    spacing = float(np.diff(cells).mean()) if len(cells) > 1 else float(stride)
    first, last = origins[0] + cells[0], origins[-1] + cells[-1]
    places = np.arange(first, last - _SAME * spacing, spacing)
    places = np.append(places, last)
    middle, half = (cells[0] + cells[-1]) / 2, (cells[-1] - cells[0] + spacing) / 2
    at = places - np.asarray(origins, np.float64)[:, np.newaxis]
    say = (1 - np.abs(at - middle) / half).clip(0)
    total = say.sum(axis=0)
    # Windows with few cells may leave gaps; a heat map interpolates over them.
    heard = total > _SAME
    places, at, say = places[heard], at[:, heard], say[:, heard] / total[heard]
    shares = []
    for origin_at, origin_say in zip(at, say, strict=True):
        (spoken,) = np.nonzero(origin_say)
        within = slice(spoken[0], spoken[-1] + 1)
        between = [np.interp(origin_at[within], cells, one) for one in np.eye(len(cells))]
        shares.append((within, origin_say[within, np.newaxis] * np.stack(between, axis=1)))
    return places, shares
