"""Images that are nearly the same, which must not be in two splits.

A classifier scored on what it has learned from looks better than it is. Collections hold the same
picture twice: saved anew, resized, mirrored, with other colours, or a second shot a moment later.
Such pairs are found by a 128-bit difference hash (the signs of the differences between
neighbouring cells of an 8 x 9 and of a 9 x 8 thumbnail), and confirmed on fine detail, since two
round moles in the middle of two photos have much the same hash.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import cv2
import joblib
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from slidewin.errors import SlidewinWarning
from slidewin.image import read_image
from slidewin.training.table import Row, torn_groups

__all__ = ["keep_together", "near_identical"]

_SIDE = 64  # of the thumbnails
_COARSE = 16
# Chosen on training images of ISIC 2017: of 24 pairs that look the same to the eye these find 20,
# and of the 1.7 million others, each laid in eight ways, none.
_BITS = 24  # of 128 that may differ
_COARSE_ALIKE = 0.85
_FINE_ALIKE = 0.65  # correlation of detail of less than ...
_FINE, _SHIFT = 2.0, 6  # ... 2 px, at most 6 px off
_CLIP = 3.0  # in medians of the detail's size
_BLANK = 2.0  # standard deviation below which a thumbnail is like no other
_CHUNK = 256
_NAMED = 3  # pairs that a warning names

Thumbnails = NDArray[np.uint8]


def keep_together(
    rows: Sequence[Row],
    *,
    held_out: Sequence[Row] = (),
    n_jobs: int | None = None,
    verbose: bool = False,
) -> list[Row]:
    """Put near-identical images, and those of one group, into one split.

    Those whose split was drawn by lot go where the first of them is, or where a given split has
    one. Splits that a table gives are never changed.

    Parameters
    ----------
    rows : sequence of Row
        All that one classifier is trained and validated on.
    held_out : sequence of Row
        What it is to be tested on: of these the groups alone are looked at, no file is opened.
    n_jobs : int, optional
        Threads that read files.
    verbose : bool
        Show progress.

    Returns
    -------
    list of Row
        In the order given.

    Raises
    ------
    ImageReadError
        If a file cannot be read.

    Warns
    -----
    SlidewinWarning
        If near-identical images are in two splits that the tables give, or images of one group,
        those held out included.
    """
    pairs = near_identical(rows, n_jobs=n_jobs, verbose=verbose)
    first: dict[str, int] = {}
    mates = [(first.setdefault(row.group, i), i) for i, row in enumerate(rows) if row.group]
    kept = list(rows)
    for cluster in _clusters(len(rows), [*pairs, *mates]):
        given = [i for i in cluster if not rows[i].by_lot]
        split = rows[(given or cluster)[0]].split
        for i in cluster:
            if rows[i].by_lot:
                kept[i] = replace(rows[i], split=split)
    _warn_of_leaks([(kept[i], kept[j]) for i, j in pairs if kept[i].split != kept[j].split])
    _warn_of_groups([*kept, *held_out])
    return kept


def near_identical(
    rows: Sequence[Row], *, n_jobs: int | None = None, verbose: bool = False
) -> list[tuple[int, int]]:
    """Find pairs of images that are nearly the same.

    Found are pictures saved anew, resized, blurred, in other light or colours, turned by quarters,
    mirrored, and most of those whose border was trimmed by 3 %. A picture of the same lesion from
    elsewhere is not, nor is a blank one.

    Parameters
    ----------
    rows : sequence of Row
        Every image is compared with every other: ten thousand take a quarter of a minute,
        beside the time to read them, and 150 MB.
    n_jobs : int, optional
        Threads that read files.
    verbose : bool
        Show progress.

    Returns
    -------
    list of (int, int)
        Indices into `rows`, the lower one first, the pairs most alike first.

    Raises
    ------
    ImageReadError
        If a file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from slidewin.output import write_png
    >>> from slidewin.scene import draw_skin
    >>> from slidewin.training.table import read_table
    >>> images = [draw_skin((96, 128), random_state=seed) for seed in range(3)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name, image in zip("abcd", [*images, images[0][:, ::-1]], strict=True):
    ...         write_png(Path(folder, f"{name}.png"), image)
    ...     near_identical(read_table(folder))
    [(0, 3)]
    """
    read = joblib.Parallel(n_jobs=n_jobs, prefer="threads")(
        joblib.delayed(_thumbnail)(row) for row in tqdm(rows, "likeness", disable=not verbose)
    )
    thumbnails = np.array(read, np.uint8).reshape(-1, _SIDE, _SIDE)
    hashes, coarse = _hash(thumbnails), _vectors(thumbnails)
    found: dict[tuple[int, int], float] = {}
    for turned in _eight_ways(thumbnails):
        for i, j in _candidates(hashes, coarse, _hash(turned), _vectors(turned)):
            likeness = _likeness(thumbnails[i], turned[j])
            if likeness >= _FINE_ALIKE:
                found[i, j] = max(likeness, found.get((i, j), 0))
    return sorted(found, key=lambda pair: (-found[pair], pair))


def _thumbnail(row: Row) -> Thumbnails:
    grey = cv2.cvtColor(read_image(row.file), cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def _eight_ways(thumbnails: Thumbnails) -> Iterator[Thumbnails]:
    """Give the thumbnails turned by quarters, plain and mirrored."""
    for side in (thumbnails, thumbnails[:, :, ::-1]):
        for quarters in range(4):
            yield np.ascontiguousarray(np.rot90(side, quarters, axes=(1, 2)))


def _shrunk(thumbnails: Thumbnails, h: int, w: int) -> NDArray[np.float32]:
    small = [cv2.resize(t, (w, h), interpolation=cv2.INTER_AREA) for t in thumbnails]
    return np.array(small, np.float32).reshape(-1, h, w)


def _hash(thumbnails: Thumbnails) -> NDArray[np.uint64]:
    """Pack the signs of differences between neighbouring cells into (n, 2) words."""
    across = np.diff(_shrunk(thumbnails, 8, 9), axis=2) > 0
    down = np.diff(_shrunk(thumbnails, 9, 8), axis=1) > 0
    bits = np.concatenate([across.reshape(-1, 64), down.reshape(-1, 64)], axis=1)
    return np.packbits(bits, axis=1).view(np.uint64)


def _vectors(thumbnails: Thumbnails) -> NDArray[np.float32]:
    """Cells (n, 256) of each thumbnail less their mean, of length 1, or 0 for a blank one."""
    cells = _shrunk(thumbnails, _COARSE, _COARSE).reshape(-1, _COARSE**2)
    cells -= cells.mean(axis=1, keepdims=True)
    length = np.linalg.norm(cells, axis=1, keepdims=True)
    return np.where(length < _BLANK * _COARSE, 0, cells / np.maximum(length, 1))


def _candidates(
    hashes: NDArray[np.uint64],
    coarse: NDArray[np.float32],
    turned_hashes: NDArray[np.uint64],
    turned_coarse: NDArray[np.float32],
) -> Iterator[tuple[int, int]]:
    """Give the pairs i < j that are alike from afar."""
    for start in range(0, len(hashes), _CHUNK):
        differing = np.zeros((min(_CHUNK, len(hashes) - start), len(hashes) - start), np.uint8)
        for word in range(hashes.shape[1]):
            one, other = hashes[start : start + _CHUNK, word], turned_hashes[start:, word]
            differing += np.bitwise_count(one[:, None] ^ other)
        i, j = np.nonzero(np.triu(differing <= _BITS, 1))
        i, j = i + start, j + start
        alike = np.einsum("ij,ij->i", coarse[i], turned_coarse[j]) >= _COARSE_ALIKE
        yield from zip(i[alike].tolist(), j[alike].tolist(), strict=True)


def _likeness(one: Thumbnails, other: Thumbnails) -> float:
    """Give the largest correlation of fine detail over small shifts."""
    middle = _detail(other)[_SHIFT:-_SHIFT, _SHIFT:-_SHIFT]
    return float(cv2.matchTemplate(_detail(one), middle, cv2.TM_CCOEFF_NORMED).max())


def _detail(thumbnail: Thumbnails) -> NDArray[Any]:
    grey = thumbnail.astype(np.float32)
    detail = grey - cv2.GaussianBlur(grey, (0, 0), _FINE)
    # Clipped, lest the black bar beside two photos outweigh all that is in them.
    most = _CLIP * float(np.median(np.abs(detail))) + 0.5
    return np.asarray(np.clip(detail, -most, most))


def _clusters(n: int, pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Indices that pairs join, each cluster in order.

    >>> _clusters(5, [(0, 3), (3, 4)])
    [[0, 3, 4], [1], [2]]
    """
    parent = list(range(n))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return i

    for i, j in pairs:
        low, high = sorted((root(i), root(j)))
        parent[high] = low
    clusters: dict[int, list[int]] = {}
    for i in range(n):
        clusters.setdefault(root(i), []).append(i)
    return list(clusters.values())


def _warn_of_leaks(leaks: Sequence[tuple[Row, Row]]) -> None:
    if not leaks:
        return
    named = "; ".join(
        " and ".join(f"{row.file} ({row.split})" for row in pair) for pair in leaks[:_NAMED]
    )
    more = f"; and {len(leaks) - _NAMED} more" if len(leaks) > _NAMED else ""
    warnings.warn(
        f"{len(leaks)} pairs of near-identical images are in two splits, so that figures come out "
        f"too good: {named}{more}. Give both images of a pair one split, leave one out, or leave "
        "the column 'split' empty: lots keep such images together",
        SlidewinWarning,
        stacklevel=3,
    )


def _warn_of_groups(rows: Sequence[Row]) -> None:
    torn = list(torn_groups(rows))
    if not torn:
        return
    more = f" and {len(torn) - _NAMED} more" if len(torn) > _NAMED else ""
    warnings.warn(
        f"{len(torn)} groups (patients or lesions) have images in two splits, so that figures may "
        f"come out too good: {', '.join(torn[:_NAMED])}{more}. Photos for validation count as "
        "'val'. Leave the column 'split' empty, and lots keep a group together; or, if these are "
        "different patients by one name, name them apart",
        SlidewinWarning,
        stacklevel=3,
    )
