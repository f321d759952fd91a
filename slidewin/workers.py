"""Workers: how many, with how many threads each, and what travels to them."""

import sys
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import cloudpickle
import joblib
from threadpoolctl import threadpool_limits

from slidewin.errors import ArgumentError

__all__ = ["Parked", "cap_threads", "count_workers", "spread", "thread_counts_kept"]

Thing = TypeVar("Thing")
Result = TypeVar("Result")


def count_workers(n_jobs: int | None) -> int:
    """Number of workers, as joblib understands ``n_jobs`` here and now, within the cores.

    Raises
    ------
    ArgumentError
        If ``n_jobs`` is 0 or not a whole number.
    """
    if n_jobs is not None and (
        isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or not n_jobs
    ):
        raise ArgumentError(
            f"n_jobs={n_jobs!r}: give a number of workers from 1 up, -1 for all cores, or None "
            "for what joblib.parallel_config says (1 by default)"
        )
    return min(int(joblib.effective_n_jobs(n_jobs)), int(joblib.cpu_count()))


def cap_threads(n: int) -> None:
    """Let the calling worker compute with ``n`` threads.

    OpenMP counts threads for each calling thread and torch for the process; so workers set both,
    all to the same number, and whoever started them gives the old numbers back.
    """
    threadpool_limits(n)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(n)


@contextmanager
def thread_counts_kept() -> Iterator[None]:
    """Give back the process's thread counts, whatever workers made of them."""
    torch = sys.modules.get("torch")
    before = None if torch is None else torch.get_num_threads()
    with threadpool_limits(None):
        try:
            yield
        finally:
            # Set even if it reads the same here: what threads to come inherit may differ.
            if torch is not None:
                torch.set_num_threads(before)


def spread(
    function: Callable[[Thing], Result], things: Iterable[Thing], *, n_jobs: int | None = None
) -> Iterator[Result]:
    """Do the same with many things, such as photos, by several workers.

    Parameters
    ----------
    function : callable
        Called with one thing at a time; what it uses itself should have ``n_jobs=1``.
    things : iterable
        Taken as they are needed, a few ahead.
    n_jobs : int, optional
        Workers, as for :class:`slidewin.SlidingWindow`. Threads, unless ``joblib.parallel_config``
        says otherwise; each computes with its share of the cores.

    Yields
    ------
    What the function returned, in the order of the things.

    Examples
    --------
    >>> list(spread(abs, [-1, 2, -3], n_jobs=2))
    [1, 2, 3]
    """
    workers = count_workers(n_jobs)
    threads = None if workers == 1 else max(1, int(joblib.cpu_count()) // workers)
    pool = joblib.Parallel(n_jobs=workers, prefer="threads", return_as="generator")
    with thread_counts_kept():
        yield from pool(joblib.delayed(_capped)(function, thing, threads) for thing in things)


def _capped(function: Callable[[Thing], Result], thing: Thing, threads: int | None) -> Result:
    if threads is not None:
        cap_threads(threads)
    return function(thing)


class Parked:
    """An object that travels to each worker process once, however many tasks name it.

    Within a process it is the object itself. Pickled, it is a path; the first task in a process
    opens it, and later ones find it there.

    Parameters
    ----------
    thing : object
        Anything that cloudpickle can pickle, if it is to leave the process.
    folder : path
        Where to park it; must last as long as the tasks do.
    """

    _opened: tuple[str, Any] | None = None  # the last one opened in this process

    def __init__(self, thing: Any, folder: Path) -> None:
        self._thing = thing
        self._path = folder / uuid.uuid4().hex

    def __getstate__(self) -> dict[str, Any]:
        if not self._path.exists():
            part = self._path.with_suffix(".part")
            part.write_bytes(cloudpickle.dumps(self._thing))
            part.replace(self._path)
        return {"_thing": None, "_path": self._path}

    def fetch(self) -> Any:
        """Return the object, in whichever process this is."""
        if self._thing is not None:
            return self._thing
        if Parked._opened is None or Parked._opened[0] != self._path.name:
            # Written a moment ago by the process that started this one.
            thing = cloudpickle.loads(self._path.read_bytes())
            Parked._opened = (self._path.name, thing)
        return Parked._opened[1]
