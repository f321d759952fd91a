"""The photo at every level of a plan, a band of rows at a time, in one reading from top to bottom.

Each level is made from the nearest finer one, by averaging over areas, as the rows of that one
come in; so no level, and not the photo either, is ever whole in memory. A row of a level is a sum
of rows of its parent, with the same weights however the parent's rows arrive::

    parent rows     0     1     2     3     4
    level rows       [   0   ][   1   ][   2   ]      row 1 = (1/2 row 1 + row 2 + ...) / 1.67
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from slidewin.grid import Level

__all__ = ["Band", "read_bands", "resample"]

# Rows of a level made at a time: few, so that little of a block's matrix of weights is zero.
_BLOCK = 16
# Bytes of a photo read at a time, unless it is stored in chunks, which are read whole.
_READ = 1 << 22


@dataclass(frozen=True, eq=False)
class Band:
    """Some lattice rows of a level, and the pixels that their windows see.

    Attributes
    ----------
    index : int
        Of the level.
    level : Level
    rows : (int, int)
        First lattice row, and the one after the last.
    image : ndarray of shape (h, w, 3), uint8
        Rows of the padded level, from the first window's top to the last one's bottom.
    """

    index: int
    level: Level
    rows: tuple[int, int]
    image: NDArray[np.uint8]


def read_bands(photo: Any, levels: Sequence[Level], *, most_rows: int) -> Iterator[Band]:
    """Read a photo once, from top to bottom, and give all windows of all levels.

    Parameters
    ----------
    photo : array of shape (H, W, 3), uint8
        Anything that gives rows when sliced: an array, a memory map, a zarr array.
    levels : sequence of Level
        Finest first.
    most_rows : int
        Lattice rows in a band, at most; a level's bands are as even as can be.

    Yields
    ------
    Band
        Each level's from top to bottom; levels alternate.

    Notes
    -----
    Memory holds the rows read at a time, and of each level as many rows as a band has.
    """
    root = _Rows(photo.shape[:2])
    streams = [root]
    for index, level in enumerate(levels):
        height, width = level.shape
        # None that has grown: that is blurred already.
        finer = [
            stream
            for stream in streams
            if height <= stream.shape[0] <= root.shape[0]
            and width <= stream.shape[1] <= root.shape[1]
        ]
        parent = min(finer, key=lambda stream: math.prod(stream.shape), default=root)
        stream = _LevelRows(parent.shape, level, index, most_rows)
        parent.children.append(stream)
        streams.append(stream)
    step = _rows_to_read(photo)
    for top in range(0, photo.shape[0], step):
        rows = np.asarray(photo[top : top + step])
        # What is stored in large chunks is resampled in smaller pieces: these become floats.
        piece = max(1, _READ // max(1, rows[0].nbytes))
        for start in range(0, len(rows), piece):
            yield from root.feed(rows[start : start + piece])


def resample(photo: NDArray[np.uint8], level: Level) -> NDArray[np.uint8]:
    """Bring a photo to a level's scale, padded by reflection where it is smaller than a window.

    Parameters
    ----------
    photo : ndarray of shape (H, W, 3), uint8
    level : Level
        One of the levels planned for this photo.

    Returns
    -------
    ndarray of shape (h, w, 3), uint8
        Averaged over areas where it shrinks, bilinear where it grows; where it does neither, it
        may be a view of the photo.
    """
    (band,) = read_bands(photo, [level], most_rows=level.lattice[0])
    return band.image


def _rows_to_read(photo: Any) -> int:
    """Rows that are read at a time: whole chunks, so that none is decoded twice."""
    rows = max(1, _READ // (int(photo.shape[1]) * 3))
    chunks = getattr(photo, "chunks", None)
    chunk = chunks[0] if isinstance(chunks, tuple) and chunks else 1
    chunk = max(1, chunk) if isinstance(chunk, int) else 1
    return max(1, rows // chunk) * chunk


class _Rows:
    """Rows of an image as they come, handed on to the levels that are made from them."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self.children: list[_LevelRows] = []

    def feed(self, rows: NDArray[np.uint8]) -> Iterator[Band]:
        """Take the next rows, and give what bands they complete, here and further on."""
        for child in self.children:
            yield from child.feed(rows)


class _LevelRows(_Rows):
    """A level's rows, made from its parent's."""

    def __init__(self, parent: tuple[int, int], level: Level, index: int, most_rows: int) -> None:
        super().__init__(level.shape)
        self.level, self.index = level, index
        self.same = parent == level.shape
        self.shrinks = level.shape[0] < parent[0] or level.shape[1] < parent[1]
        self.weights = _weights(parent[0], level.shape[0], area=self.shrinks)
        self.source = _Pending()  # the parent's rows, at this level's width
        self.made = _Pending()  # this level's rows
        self.block = 0
        m = level.lattice[0]
        parts = -(-m // most_rows)
        edges = [m * part // parts for part in range(parts + 1)]
        self.bands = list(pairwise(edges))

    def feed(self, rows: NDArray[np.uint8]) -> Iterator[Band]:
        if self.same:
            yield from self._take(rows)
            return
        # In float, so that nothing is rounded twice.
        self.source.add(self._as_wide(rows.astype(np.float32)))
        while self.block < len(self.weights):
            first, weights = self.weights[self.block]
            if self.source.stop < first + weights.shape[1]:
                return
            given = self.source.rows(first, first + weights.shape[1])
            made = weights @ given.reshape(len(given), -1)
            made = np.rint(made, out=made).reshape(-1, *given.shape[1:])
            self.block += 1
            if self.block < len(self.weights):
                self.source.forget(self.weights[self.block][0])
            yield from self._take(made.astype(np.uint8))

    def _as_wide(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """The parent's rows at this level's width."""
        n, m = rows.shape[1], self.shape[1]
        if self.shrinks:
            return np.asarray(cv2.resize(rows, (m, len(rows)), interpolation=cv2.INTER_AREA))
        # OpenCV's bilinear rounding depends on how many rows come at a time; shares that are
        # fractions of 2048 are exact.
        places = ((np.arange(m) + 0.5) * n / m - 0.5).clip(0, n - 1)
        left = np.floor(places).astype(np.intp)
        share = np.rint((places - left) * 2048).astype(np.float32)[:, None] / 2048
        near, far = rows[:, left], rows[:, np.minimum(left + 1, n - 1)]
        return np.asarray(near + (far - near) * share)

    def _take(self, rows: NDArray[np.uint8]) -> Iterator[Band]:
        self.made.add(rows)
        tops, side = self.level.tops, self.level.side
        while self.bands:
            start, stop = self.bands[0]
            bottom = min(tops[stop - 1] + side, self.shape[0])
            if self.made.stop < bottom:
                break
            image = self.made.rows(tops[start], bottom)
            if self.level.is_padded:
                image = np.pad(image, (*self.level.padding, (0, 0)), mode="reflect")
            self.bands.pop(0)
            if self.bands:
                self.made.forget(tops[self.bands[0][0]])
            yield Band(self.index, self.level, (start, stop), image)
        yield from super().feed(rows)


class _Pending:
    """Rows that were given and not yet forgotten."""

    def __init__(self) -> None:
        self.start = self.stop = 0
        self._parts: list[NDArray[Any]] = []

    def add(self, rows: NDArray[Any]) -> None:
        self._parts.append(rows)
        self.stop += len(rows)

    def forget(self, before: int) -> None:
        """Let go of rows above one."""
        while self._parts and self.start + len(self._parts[0]) <= before:
            self.start += len(self._parts.pop(0))
        if self._parts and before > self.start:
            self._parts[0] = self._parts[0][before - self.start :]
            self.start = before

    def rows(self, first: int, stop: int) -> NDArray[Any]:
        """Return rows that are there: a view, which what is read later leaves alone."""
        whole = np.concatenate(self._parts) if len(self._parts) > 1 else self._parts[0]
        self._parts = [whole]
        return whole[first - self.start : stop - self.start]


def _weights(n: int, m: int, *, area: bool) -> list[tuple[int, NDArray[np.float32]]]:
    """How rows of a parent of n make a level of m: of each block, the first row, and the weights.

    >>> [(first, weights.tolist()) for first, weights in _weights(3, 2, area=True)]
    [(0, [[0.66..., 0.33..., 0.0], [0.0, 0.33..., 0.66...]])]
    >>> [(first, weights.tolist()) for first, weights in _weights(1, 2, area=False)]
    [(0, [[1.0], [1.0]])]
    """
    blocks = []
    for start in range(0, m, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, m))[:, None]
        if area:
            low, high = rows * n / m, (rows + 1) * n / m
            first, stop = math.floor(low[0, 0]), math.ceil(high[-1, 0])
            cells = np.arange(first, min(stop, n))
            shares = (np.minimum(high, cells + 1) - np.maximum(low, cells)).clip(0)
        else:
            places = ((rows + 0.5) * n / m - 0.5).clip(0, n - 1)
            first, stop = math.floor(places[0, 0]), math.ceil(places[-1, 0]) + 1
            shares = (1 - np.abs(places - np.arange(first, min(stop, n)))).clip(0)
        weights = shares / shares.sum(axis=1, keepdims=True)
        blocks.append((first, weights.astype(np.float32)))
    return blocks
