"""One level of a plan: the photo at one scale, where its windows start, and where they lie.

Along one axis, for a level of 9 px, a side of 4 and a stride of 2::

    level px   0 1 2 3 4 5 6 7 8
              [- - - -]             origin 0
                  [- - - -]         origin 2
                      [- - - -]     origin 4
                        [- - - -]   origin 5, not 6: shifted back to the border

and for a level of 3 px, padded by reflection to the one window that it then has::

    level px   1 0 1 2
    padded px  0 1 2 3              padding (0, 1): the odd pixel goes to the far side
              [- - - -]             origin 0
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

__all__ = ["Level"]

Coordinates = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Level:
    """The photo resampled for one lesion size, and the lattice of windows laid over it.

    Positions in a level count from the corner of the *padded* level, with pixel edges at whole
    numbers. All else is derived from the fields, so a level is small to keep and send.

    Attributes
    ----------
    photo_shape : tuple of int
        Rows and columns of the photo.
    lesion_size : float
        Diameter of the lesions sought, in photo px.
    shape : tuple of int
        Rows and columns of the resampled photo, before padding.
    side : int
        Side of a window, in level px: the classifier's input size.
    stride : int
        Distance between neighbouring windows, in level px; at most half of `side`.

    Examples
    --------
    >>> level = Level(photo_shape=(18, 6), lesion_size=4.0, shape=(9, 3), side=4, stride=2)
    >>> level.tops, level.lefts, level.padding
    ((0, 2, 4, 5), (0,), ((0, 0), (0, 1)))
    >>> level.row_centres, level.col_centres
    (array([ 4.,  8., 12., 14.]), array([4.]))
    """

    photo_shape: tuple[int, int]
    lesion_size: float
    shape: tuple[int, int]
    side: int
    stride: int

    def __len__(self) -> int:
        return math.prod(self.lattice)

    @property
    def lattice(self) -> tuple[int, int]:
        """Rows and columns of the lattice of windows: the shape of ``H``."""
        rows, cols = self.shape
        return _count(rows, self.side, self.stride), _count(cols, self.side, self.stride)

    @cached_property
    def tops(self) -> tuple[int, ...]:
        """First row of each lattice row's windows, in padded level px; strictly increasing."""
        return _origins(self.shape[0], self.side, self.stride)

    @cached_property
    def lefts(self) -> tuple[int, ...]:
        """First column of each lattice column's windows, in padded level px."""
        return _origins(self.shape[1], self.side, self.stride)

    @property
    def padding(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Pixels to add by reflection, ``((top, bottom), (left, right))``; 0 where none are needed.

        Only an axis shorter than a window is padded, and then to exactly one window.
        """
        return _padding(self.shape[0], self.side), _padding(self.shape[1], self.side)

    @property
    def is_padded(self) -> bool:
        """Whether any side of the level is shorter than a window."""
        return min(self.shape) < self.side

    @property
    def window_shape(self) -> tuple[float, float]:
        """Height and width of a window in photo px: equal, but for the rounding of `shape`."""
        return (
            self.side * self.photo_shape[0] / self.shape[0],
            self.side * self.photo_shape[1] / self.shape[1],
        )

    @property
    def row_centres(self) -> Coordinates:
        """Photo row of the centre of each lattice row, shape (m,), strictly increasing."""
        return self.to_photo(np.array(self.tops) + self.side / 2, 0.0)[0]

    @property
    def col_centres(self) -> Coordinates:
        """Photo column of the centre of each lattice column, shape (n,), strictly increasing."""
        return self.to_photo(0.0, np.array(self.lefts) + self.side / 2)[1]

    def to_photo(self, row: npt.ArrayLike, col: npt.ArrayLike) -> tuple[Coordinates, Coordinates]:
        """Continuous photo coordinates of positions in the padded level.

        Parameters
        ----------
        row, col : float or array_like
            Positions in padded level px.

        Returns
        -------
        row, col : ndarray of float64
            The same places, in photo px.

        Examples
        --------
        >>> level = Level(photo_shape=(18, 6), lesion_size=4.0, shape=(9, 3), side=4, stride=2)
        >>> level.to_photo(0.5, 3)  # a pixel centre, and the far edge of the photo
        (array(1.), array(6.))
        """
        # Multiply before dividing: where a centre falls on a photo pixel's, it falls there exactly.
        (top, _), (left, _) = self.padding
        return (
            np.asarray((np.asarray(row, np.float64) - top) * self.photo_shape[0] / self.shape[0]),
            np.asarray((np.asarray(col, np.float64) - left) * self.photo_shape[1] / self.shape[1]),
        )

    def to_level(self, row: npt.ArrayLike, col: npt.ArrayLike) -> tuple[Coordinates, Coordinates]:
        """Positions in the padded level of continuous photo coordinates; undoes `to_photo`."""
        (top, _), (left, _) = self.padding
        return (
            np.asarray(np.asarray(row, np.float64) * self.shape[0] / self.photo_shape[0] + top),
            np.asarray(np.asarray(col, np.float64) * self.shape[1] / self.photo_shape[1] + left),
        )


def _origins(length: int, side: int, stride: int) -> tuple[int, ...]:
    """Origins of the windows along an axis: every `stride` px, the last shifted back."""
    last = max(length - side, 0)
    return (*range(0, last, stride), last)


def _count(length: int, side: int, stride: int) -> int:
    """How many windows `_origins` lays, without laying them."""
    last = max(length - side, 0)
    return -(-last // stride) + 1  # in integers, so exact however long the axis


def _padding(length: int, side: int) -> tuple[int, int]:
    """Pixels to add before and after an axis so that one window fits."""
    missing = max(side - length, 0)
    return missing // 2, missing - missing // 2
