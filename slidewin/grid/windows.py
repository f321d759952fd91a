"""Every window of a plan, as a sequence that makes them when asked and prints what they cost."""

import math
import operator
from collections.abc import Iterator
from dataclasses import dataclass

from slidewin.grid.level import Level

__all__ = ["Grid", "Window"]


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

    def reach(self, level: int) -> float:
        """How far beyond its outermost windows a level speaks, in photo px.

        A window speaks for a lesion about its centre, so as far as that lesion goes; only the
        finest level, whose windows come nearest, answers for the border.
        """
        return self.levels[level].lesion_size / 2 if level else math.inf

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
        """One level's line in the table; side and stride as they are before `shape` is rounded."""
        side = self.context * level.lesion_size
        return (
            f"{level.lesion_size:.1f}",
            _by(level.shape),
            _by(level.lattice),
            f"{len(level):,}",
            f"{side:.1f}",
            f"{side * level.stride / level.side:.1f}",
        )


def _by(shape: tuple[int, int]) -> str:
    return f"{shape[0]} x {shape[1]}"
