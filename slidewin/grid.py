"""The plan of a sweep: which windows of the photo are looked at, at which levels, and at what cost.

The unit of everything is the lesion. A classifier was trained on windows ``context`` times as wide
as the lesion, ``input_size`` px across; so to look for lesions of ``L`` photo px the photo is
resampled until they measure ``input_size / context`` px (a *level*), and windows of exactly
``input_size`` px are laid over it, half a lesion apart. A range of lesion sizes is a pyramid of
levels. Everything is decided here, before anything runs, and never changed.

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
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt

from slidewin.errors import ArgumentError, ArgumentTypeError

__all__ = [
    "LESION_SHARE",
    "MAX_LADDER_RATIO",
    "MAX_WINDOWS",
    "Grid",
    "Level",
    "Window",
    "photo_size",
    "plan_grid",
]

LESION_SHARE = (0.04, 0.40)
"""Lesions looked for when no size is given: from 4 % to 40 % of the photo's short side."""

MAX_LADDER_RATIO = math.sqrt(2)
"""Largest ratio between the lesion sizes of neighbouring levels."""

MAX_WINDOWS = 20_000_000
"""Largest grid that is planned unless the caller asks for more."""

Coordinates = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Window:
    """One window, as a box in continuous photo coordinates (pixel edges at whole numbers).

    Attributes
    ----------
    level : int
        Index of the level in the grid.
    m, n : int
        Row and column of the window in the level's lattice, and so of its value in ``H[m, n]``.
    top, left : float
        Upper left corner, in photo px. A window of a padded level reaches beyond the photo.
    height, width : float
        Sides, in photo px: ``context * lesion_size``, but for the rounding of the level to whole
        pixels, which may differ between the axes.
    """

    level: int
    m: int
    n: int
    top: float
    left: float
    height: float
    width: float

    @property
    def centre(self) -> tuple[float, float]:
        """Row and column of the centre, in photo px."""
        return self.top + self.height / 2, self.left + self.width / 2


@dataclass(frozen=True)
class Level:
    """The photo resampled for one lesion size, and the lattice of windows laid over it.

    Positions in a level count from the corner of the *padded* level, with pixel edges at whole
    numbers. What is not a field is derived from the fields, so a level is small to keep and send.

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
        return (
            _count(self.shape[0], self.side, self.stride),
            _count(self.shape[1], self.side, self.stride),
        )

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


@dataclass(frozen=True, repr=False)
class Grid:
    """An immutable plan: every window of a sweep. Made by :func:`plan_grid`.

    A sequence of :class:`Window`, ordered by level (finest first), lattice row, lattice column.
    Windows are made when asked for, so a grid of millions takes no more memory than a small one.

    Attributes
    ----------
    photo_shape : tuple of int
        Rows and columns of the photo.
    levels : tuple of Level
        One for each lesion size, the smallest lesions (the finest level) first.
    input_size : int
        Side of every window in level px, as the classifier takes it.
    context : float
        Window side over lesion diameter.
    lesion_size : tuple of float
        Smallest and largest lesion sought, in photo px.
    stride : float
        Distance between windows as it was asked for, in lesion diameters.
    """

    photo_shape: tuple[int, int]
    levels: tuple[Level, ...]
    input_size: int
    context: float
    lesion_size: tuple[float, float]
    stride: float

    def __len__(self) -> int:
        return sum(len(level) for level in self.levels)

    def __getitem__(self, index: int) -> Window:
        i = operator.index(index)
        if i < 0:
            i += len(self)
        if i >= 0:
            for k, level in enumerate(self.levels):
                if i < len(level):
                    m, n = divmod(i, level.lattice[1])
                    top, left = level.to_photo(level.tops[m], level.lefts[n])
                    return Window(k, m, n, float(top), float(left), *level.window_shape)
                i -= len(level)
        raise IndexError(f"window {index} of a grid that has {len(self)}")

    def __iter__(self) -> Iterator[Window]:
        for k, level in enumerate(self.levels):
            height, width = level.window_shape
            tops, lefts = (axis.tolist() for axis in level.to_photo(level.tops, level.lefts))
            for m, top in enumerate(tops):
                for n, left in enumerate(lefts):
                    yield Window(k, m, n, top, left, height, width)

    def __repr__(self) -> str:
        smallest, largest = self.lesion_size
        sought = f"{smallest:g}" if smallest == largest else f"{smallest:g} to {largest:g}"
        header = ("lesion", "level", "lattice", "windows", "side", "stride")
        table = [header, *map(self._row, self.levels)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ["  ".join(map(str.rjust, row, widths)) for row in table]
        for k, level in enumerate(self.levels, start=1):
            lines[k] += "  padded by reflection" if level.is_padded else ""
        return "\n".join(
            [
                f"Grid: photo {_by(self.photo_shape)} px, lesions of {sought} px "
                "(lesion, side and stride in photo px)",
                *lines,
                f"windows in all: {len(self):,} of {_by((self.input_size,) * 2)} level px, "
                f"{len(self) * self.input_size**2 / 1e6:,.2f} megapixels to classify; "
                f"H takes {4 * len(self) / 1e3:,.1f} kB a class",
            ]
        )

    def _row(self, level: Level) -> tuple[str, ...]:
        """One level's line in the table; side and stride in photo px, before rounding."""
        zoom = self.context * level.lesion_size / self.input_size
        return (
            f"{level.lesion_size:.1f}",
            _by(level.shape),
            _by(level.lattice),
            f"{len(level):,}",
            f"{level.side * zoom:.1f}",
            f"{level.stride * zoom:.1f}",
        )


def plan_grid(
    photo_shape: Sequence[int],
    *,
    lesion_size: float | tuple[float, float] | None = None,
    input_size: int = 64,
    context: float = 2.0,
    stride: float = 0.5,
    max_windows: int = MAX_WINDOWS,
) -> Grid:
    """Plan the windows in which a classifier of close-ups looks for lesions in a photo.

    Parameters
    ----------
    photo_shape : sequence of int
        Shape of the photo, ``(H, W)`` or ``(H, W, 3)``.
    lesion_size : float or (float, float), optional
        Diameter of the lesions sought, in photo px, at least 1; or the smallest and the largest.
        By default 4 % to 40 % of the photo's short side (:data:`LESION_SHARE`).
    input_size : int, default 64
        Side of the classifier's input, in px, at least 2.
    context : float, default 2.0
        Window side over lesion diameter, as the classifier was trained; 1 to `input_size`.
    stride : float, default 0.5
        Distance between neighbouring windows, in lesion diameters; at most ``context / 2``, which
        is half a window's side. Rounded to whole level px.
    max_windows : int, default 20 000 000
        Refuse to plan more windows than this.

    Returns
    -------
    Grid
        The plan; print it to see what will be done and at what cost.

    Raises
    ------
    ArgumentError
        A value is out of range, the stride is more than half a window's side, or the grid would
        have more than `max_windows` windows. Nothing has been allocated by then.
    ArgumentTypeError
        An argument is not a number, or not of the kind described.

    Notes
    -----
    Lesion sizes form a geometric ladder that holds both ends of the range, with neighbours at most
    sqrt(2) apart (:data:`MAX_LADDER_RATIO`). Each level is the whole photo at scale
    ``input_size / (context * lesion_size)``, rounded to whole pixels. The last window of each row
    and column is shifted back to the border, so every pixel lies in at least one window, no two
    windows coincide, and all have exactly the classifier's size. A side of a level shorter than a
    window is padded by reflection to exactly one window.

    Windows no further apart than half a side are what lets the rendered map light only pixels that
    a window has seen: a value fades to nothing at the centre of the next window.

    The plan takes memory in proportion to the rows and columns of its lattices, not to the windows.

    Examples
    --------
    >>> grid = plan_grid((480, 672, 3), lesion_size=(96, 400))
    >>> grid
    Grid: photo 480 x 672 px, lesions of 96 to 400 px (lesion, side and stride in photo px)
    lesion      level  lattice  windows   side  stride
      96.0  160 x 224   7 x 11       77  192.0    48.0
     127.7  120 x 168    5 x 8       40  255.4    63.9
     169.9   90 x 127    3 x 5       15  339.8    84.9
     226.0    68 x 95    2 x 3        6  452.0   113.0
     300.7    51 x 72    1 x 2        2  601.4   150.3  padded by reflection
     400.0    38 x 54    1 x 1        1  800.0   200.0  padded by reflection
    windows in all: 141 of 64 x 64 level px, 0.58 megapixels to classify; H takes 0.6 kB a class
    >>> len(grid), grid[0].centre, grid[-1].level
    (141, (96.0, 96.0), 5)
    """
    height, width = photo_size(photo_shape)
    input_size = _integer("input_size", input_size, at_least=2)
    max_windows = _integer("max_windows", max_windows, at_least=1)
    context = _number("context", context)
    if not 1 <= context <= input_size:
        raise ArgumentError(
            f"context={context:g} is not between 1 (the window is as wide as the lesion) and "
            f"input_size={input_size} (the lesion is one pixel wide); "
            "pass the window side over the lesion diameter that the classifier was trained with"
        )
    stride = _number("stride", stride)
    lesion_px = input_size / context
    if not 0 < stride <= context / 2:
        raise ArgumentError(
            f"stride={stride:g} lesion diameters is {stride * lesion_px:g} px at the size that the "
            f"classifier sees, where a window's side is {input_size} px; it must be more than 0 "
            f"and at most half the side, {input_size / 2:g} px, which is stride={context / 2:g}"
        )
    # Both clips only undo rounding: stride is positive and at most half a side.
    stride_px = min(max(round(stride * lesion_px), 1), input_size // 2)
    sizes = _lesion_range(lesion_size, min(height, width))
    levels = tuple(
        Level(
            photo_shape=(height, width),
            lesion_size=size,
            shape=(_resampled(height, lesion_px / size), _resampled(width, lesion_px / size)),
            side=input_size,
            stride=stride_px,
        )
        for size in _ladder(*sizes)
    )
    n_windows = sum(math.prod(level.lattice) for level in levels)
    if n_windows > max_windows:
        raise ArgumentError(
            f"{n_windows:,} windows would be needed for lesion_size={sizes} in a photo of "
            f"{height} x {width} px with stride={stride:g}, but max_windows={max_windows:,}; "
            "look for larger lesions, take a larger stride, or raise max_windows"
        )
    return Grid((height, width), levels, input_size, context, sizes, stride)


def photo_size(photo_shape: Sequence[int]) -> tuple[int, int]:
    """Rows and columns of a photo from its shape, ``(H, W)`` or ``(H, W, 3)``, as Python integers.

    Raises
    ------
    ArgumentError
        There are not two or three lengths, the third is not 3, or the photo is empty.
    ArgumentTypeError
        Not a sequence of integers.

    Examples
    --------
    >>> photo_size((480, 640, 3))
    (480, 640)
    """
    wanted = "(H, W) or (H, W, 3), as photo.shape gives it for an RGB photo"
    try:
        lengths = [_integer("a length", length, at_least=1) for length in photo_shape]
    except TypeError:
        raise ArgumentTypeError(f"photo_shape={photo_shape!r} is not {wanted}") from None
    except ArgumentError:
        raise ArgumentError(f"photo_shape={photo_shape!r} is of a photo without pixels") from None
    if len(lengths) not in (2, 3) or lengths[2:] not in ([], [3]):
        raise ArgumentError(f"photo_shape={photo_shape!r} is not {wanted}")
    return lengths[0], lengths[1]


def _count(length: int, side: int, stride: int) -> int:
    """How many windows `_origins` lays along an axis, without laying them."""
    return 1 - (side - length) // stride if length > side else 1


def _origins(length: int, side: int, stride: int) -> tuple[int, ...]:
    """Every `stride`-th origin, the last shifted back to the border."""
    last = max(length - side, 0)
    return (*range(0, last, stride), last)


def _padding(length: int, side: int) -> tuple[int, int]:
    """Pixels to add before and after an axis so that one window fits."""
    missing = max(side - length, 0)
    return missing // 2, missing - missing // 2


def _resampled(length: int, scale: float) -> int:
    return max(1, round(length * scale))


def _ladder(smallest: float, largest: float) -> list[float]:
    """Geometric steps from `smallest` to `largest`, both exact, as few as the ratio allows."""
    # The slack keeps rounding from adding a step to a range of a whole number of half octaves.
    steps = math.ceil(math.log(largest / smallest, MAX_LADDER_RATIO) - 1e-9)
    steps = max(steps, int(smallest < largest))
    return [float(size) for size in np.geomspace(smallest, largest, steps + 1)]


def _lesion_range(lesion_size: Any, short_side: int) -> tuple[float, float]:
    """Smallest and largest lesion to look for, in photo px."""
    if lesion_size is None:
        smallest, largest = (max(1.0, share * short_side) for share in LESION_SHARE)
        return smallest, largest
    try:
        ends = list(lesion_size)
    except TypeError:
        ends = [lesion_size, lesion_size]
    sizes = [_number("lesion_size", end) for end in ends]
    if len(sizes) != 2 or not 1 <= sizes[0] <= sizes[1] < math.inf:
        raise ArgumentError(
            f"lesion_size={lesion_size!r} is not a size to look for; pass a diameter in photo px "
            "or the pair (smallest, largest), finite and at least 1"
        )
    return sizes[0], sizes[1]


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ArgumentTypeError(f"{name} must be a number, not {value!r}")
    return float(value)


def _integer(name: str, value: Any, *, at_least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ArgumentTypeError(f"{name} must be a whole number, not {value!r}")
    if value < at_least:
        raise ArgumentError(f"{name}={value} must be at least {at_least}")
    return int(value)


def _by(shape: tuple[int, int]) -> str:
    return f"{shape[0]} x {shape[1]}"
