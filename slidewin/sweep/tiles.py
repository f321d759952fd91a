"""Tiles: the pieces of a sweep's work, and what a worker does with one.

A tile is a block of a level's lattice with the pixels that its windows see. How a plan is cut into
tiles depends on the plan and on the way of classifying alone; so the answer is the same, bit for
bit, whoever computes which tile and when.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slidewin.classifier import Classifier
from slidewin.errors import ClassifierError, SharingError, SlidewinError, SweepError
from slidewin.grid import Grid, Level
from slidewin.pyramid import read_bands
from slidewin.sweep.way import Way
from slidewin.workers import Parked, cap_threads

__all__ = ["Answer", "Tile", "classify", "cut_tiles", "wants_memory"]

# Windows by themselves: a few hundred, so that handing a tile out costs nothing.
_WINDOWS = 22
# Windows that share: in a tile of this many pixels a side maps stay in the cache, or near it, and
# what neighbouring tiles compute twice is small beside it.
_SHARED_PIXELS = 768
_SHARED_SIDES = 4


@dataclass(frozen=True, eq=False)
class Tile:
    """A block of a level's lattice.

    Attributes
    ----------
    index : int
        Of the level.
    level : Level
    rows, cols : (int, int)
        First lattice row and column, and those after the last.
    image : ndarray of shape (h, w, 3), uint8
        What its windows see.
    checked : tuple of (int, int)
        Lattice rows and columns of the windows that are also classified by themselves.
    wanted : ndarray of shape (m, n), bool, or None
        Which of its windows are to be classified, one by one; None for all.
    """

    index: int
    level: Level
    rows: tuple[int, int]
    cols: tuple[int, int]
    image: NDArray[np.uint8]
    checked: tuple[tuple[int, int], ...] = ()
    wanted: NDArray[np.bool_] | None = None

    @property
    def tops(self) -> list[int]:
        """First rows of its windows, in its image."""
        tops = self.level.tops[slice(*self.rows)]
        return [top - tops[0] for top in tops]

    @property
    def lefts(self) -> list[int]:
        """First columns of its windows, in its image."""
        lefts = self.level.lefts[slice(*self.cols)]
        return [left - lefts[0] for left in lefts]

    @property
    def places(self) -> list[tuple[int, int]]:
        """Lattice rows and columns of the windows to classify."""
        return [
            (m, n)
            for m, n in product(range(*self.rows), range(*self.cols))
            if self.wanted is None or self.wanted[m - self.rows[0], n - self.cols[0]]
        ]

    def window(self, m: int, n: int) -> NDArray[np.uint8]:
        """What the window at a lattice row and column sees."""
        top, left = self.tops[m - self.rows[0]], self.lefts[n - self.cols[0]]
        return self.image[top : top + self.level.side, left : left + self.level.side]


class Answer(NamedTuple):
    """Probabilities (m, n, k) of a tile, NaN where not wanted, and the windows to be checked."""

    tile: tuple[int, tuple[int, int], tuple[int, int]]  # level, rows, cols
    values: NDArray[np.float32]
    checked: NDArray[np.intp]  # (c, 2): lattice rows and columns
    patches: NDArray[np.uint8]  # (c, S, S, 3)


def cut_tiles(
    photo: Any,
    grid: Grid,
    *,
    shared: bool,
    checked: list[list[tuple[int, int]]],
    wanted: Sequence[NDArray[np.bool_]] | None = None,
) -> Iterator[Tile]:
    """Cut a plan into tiles, reading the photo as they are asked for.

    Parameters
    ----------
    photo : array of shape (H, W, 3), uint8
    grid : Grid
    shared : bool
        Whether the windows of a tile share their work; tiles are larger then.
    checked : list of lists of (int, int)
        For each level, the windows to check.
    wanted : sequence of ndarray of shape (m, n), bool, optional
        For each level, the windows to classify; tiles without any are left out. By default all.

    Yields
    ------
    Tile
    """
    side, stride = grid.levels[0].side, grid.levels[0].stride
    pixels = max(_SHARED_PIXELS, _SHARED_SIDES * side)
    most = (pixels - side) // stride + 1 if shared else _WINDOWS
    for band in read_bands(photo, grid.levels, most_rows=most):
        n = band.level.lattice[1]
        parts = -(-n // most)
        edges = [n * part // parts for part in range(parts + 1)]
        for cols in pairwise(edges):
            within = None if wanted is None else wanted[band.index][slice(*band.rows), slice(*cols)]
            if within is not None and not within.any():
                continue
            lefts = band.level.lefts[slice(*cols)]
            here = [
                (row, col)
                for row, col in checked[band.index]
                if band.rows[0] <= row < band.rows[1] and cols[0] <= col < cols[1]
            ]
            # A copy, so that a tile that travels or waits holds no more than its own pixels.
            image = band.image[:, lefts[0] : lefts[-1] + side].copy()
            yield Tile(band.index, band.level, band.rows, cols, image, tuple(here), within)


def classify(parked: Parked, tile: Tile, threads: int | None) -> Answer:
    """Classify a tile's windows; run in a worker."""
    if threads is not None:
        cap_threads(threads)
    way: Way = parked.fetch()
    try:
        if way.shared is not None:
            values = way.shared.predict(tile.image, tile.tops, tile.lefts)
        elif tile.wanted is not None:
            values = _classify_some(way, tile, tile.wanted)
        else:
            values = way.classifier.predict_windows(
                tile.image, tile.tops, tile.lefts, batch_size=way.batch_size
            )
    except Exception as error:
        if isinstance(error, ClassifierError) and way.shared is not None:
            raise _placed(error, way.classifier, tile) from error
        if way.shared is not None and not wants_memory(error):
            # Whose fault it is shows when each window is classified by itself.
            raise SharingError(
                f"windows cannot share their work: {type(error).__name__}: {error}"
            ) from error
        raise _placed(error, way.classifier, tile) from error
    side = tile.level.side
    patches = [tile.window(*place) for place in tile.checked]
    return Answer(
        (tile.index, tile.rows, tile.cols),
        values,
        np.array(tile.checked, np.intp).reshape(-1, 2),
        np.stack(patches) if patches else np.empty((0, side, side, 3), np.uint8),
    )


def _classify_some(way: Way, tile: Tile, wanted: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Probabilities (m, n, k) of the windows wanted, NaN elsewhere."""
    values = np.full((*wanted.shape, len(way.classifier.classes_)), np.nan, np.float32)
    places = tile.places
    batches = [places[i : i + way.batch_size] for i in range(0, len(places), way.batch_size)]
    values[wanted] = np.concatenate(
        [way.classifier.predict_proba(np.stack([tile.window(*at) for at in b])) for b in batches]
    )
    return values


def _placed(error: Exception, classifier: Classifier, tile: Tile) -> SlidewinError:
    """The same error, with the window that it comes from, or with the tile where that is none."""
    level = tile.level
    where = f"of level {tile.index} (lesions of {level.lesion_size:.4g} px)"
    rows = f"windows of rows {tile.rows[0]} to {tile.rows[1] - 1} {where}"
    if wants_memory(error):
        place, advice = rows, "; use a smaller batch_size, engine='windows', or fewer workers"
    elif (failing := _first_failing(classifier, tile)) is not None:
        row, column, error = failing
        place, advice = f"window at row {row}, column {column} {where}", ""
        place += (
            f", centred at photo row {level.row_centres[row]:.1f}, column "
            f"{level.col_centres[column]:.1f}"
        )
    else:
        place, advice = rows, "; no window fails by itself: it depends on what a batch holds"
    if isinstance(error, SlidewinError):
        return type(error)(f"{place}: {error}{advice}")
    return SweepError(
        f"{place}: the classifier failed with {type(error).__name__}: {error}{advice}"
    )


def wants_memory(error: Exception) -> bool:
    """Whether memory ran out, by whatever name."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"  # torch's


def _first_failing(classifier: Classifier, tile: Tile) -> tuple[int, int, Exception] | None:
    """Row and column of the first window that fails by itself, and how."""
    for m, n in tile.places:
        try:
            classifier.predict_proba(tile.window(m, n)[None])
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the one looked for
            return m, n, error
    return None
