"""Handing out a plan's tiles to workers, and gathering what they answer."""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from itertools import takewhile
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from slidewin.errors import SharingError
from slidewin.grid import Grid
from slidewin.sweep.failure import failures_explained
from slidewin.sweep.proof import Proof
from slidewin.sweep.tiles import classify, cut_tiles
from slidewin.sweep.way import Way
from slidewin.workers import Parked, count_workers, thread_counts_kept, threads_each

__all__ = ["gather"]

_PROGRESS_AFTER_S = 2.0


def gather(
    photo: Any,
    grid: Grid,
    way: Way,
    *,
    n_jobs: int | None,
    verbose: bool,
    proof: Proof | None = None,
    wanted: Sequence[NDArray[np.bool_]] | None = None,
) -> tuple[NDArray[np.float32], ...]:
    """Classify a plan's windows, all or some.

    Parameters
    ----------
    photo : array of shape (H, W, 3), uint8
    grid : Grid
    way : Way
        Its classifier is borrowed.
    n_jobs : int or None
    verbose : bool
        Whether to show the progress of what takes long.
    proof : Proof, optional
        Where windows share their work: what the answers are held to.
    wanted : sequence of ndarray of shape (m, n), bool, optional
        For each level, the windows to classify; by default all.

    Returns
    -------
    tuple of ndarray of shape (m, n, k), float32
        Level by level; NaN where not wanted.

    Raises
    ------
    SlidewinError
        As :meth:`slidewin.SlidingWindow.localize`; :class:`SharingError` where the proof fails.
    """
    k = len(way.classifier.classes_)
    # NaN until computed: a window that is lost by mistake shows as not assessed.
    heat = tuple(np.full((*level.lattice, k), np.nan, np.float32) for level in grid.levels)
    workers = count_workers(n_jobs)
    threads = threads_each(workers)
    pool = joblib.Parallel(
        n_jobs=workers,
        prefer="threads",
        return_as="generator_unordered",
        max_nbytes=None,  # a tile's pixels are few: no file for them
        batch_size=1,  # joblib would take ever more of quick ones ahead
    )
    with ExitStack() as stack:
        stack.enter_context(thread_counts_kept())
        parked = stack.enter_context(Parked(way))
        bar = stack.enter_context(
            tqdm(
                total=len(grid) if wanted is None else sum(map(np.count_nonzero, wanted)),
                unit="window",
                delay=_PROGRESS_AFTER_S,
                disable=not verbose,
            )
        )
        checked = [[] for _ in grid.levels] if proof is None else proof.windows
        together = way.shared is not None
        tiles = cut_tiles(photo, grid, shared=together, checked=checked, wanted=wanted)
        # Once one is wrong no more are handed out; those that are may end: joblib would warn.
        wrong: list[SharingError] = []
        tiles = takewhile(lambda _: not wrong, tiles)
        tasks = (joblib.delayed(classify)(parked, tile, threads) for tile in tiles)
        stack.enter_context(failures_explained(grid, way.batch_size, workers))
        # Closed before thread counts are given back: no worker outlives an error.
        for answer in stack.enter_context(closing(pool(tasks))):
            index, rows, cols = answer.tile
            heat[index][slice(*rows), slice(*cols)] = answer.values
            bar.update(np.count_nonzero(~np.isnan(answer.values[..., 0])))
            if proof is not None and not wrong:
                try:
                    proof.add(answer)
                except SharingError as error:
                    wrong.append(error)
        if wrong:
            raise wrong[0]
        if proof is not None:
            proof.finish()
    return heat
