"""Workers: how many, with how many threads each, and what travels to them."""

import os
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any, Self, TypeVar

import cloudpickle
import joblib
from threadpoolctl import OpenBLASController, threadpool_limits

from slidewin.errors import ArgumentError

__all__ = [
    "Parked",
    "cap_threads",
    "count_workers",
    "spread",
    "thread_counts_kept",
    "threads_each",
]

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
    # Another worker may be importing it: then it is there, and cannot do anything yet.
    if (set_threads := getattr(sys.modules.get("torch"), "set_num_threads", None)) is not None:
        set_threads(n)


# Who borrows the process's thread counts: how many, and what the first of them found.
_BORROWERS: list[object] = []
_FOUND: list[tuple[threadpool_limits, int | None]] = []
_COUNTS_LOCK = Lock()


@contextmanager
def thread_counts_kept() -> Iterator[None]:
    """Give back the process's thread counts, whatever workers made of them.

    Of several that overlap, in several threads, the last gives back what the first has found.
    """
    me = object()
    with _COUNTS_LOCK:
        if not _BORROWERS:
            get_threads = getattr(sys.modules.get("torch"), "get_num_threads", None)
            _FOUND.append((threadpool_limits(None), None if get_threads is None else get_threads()))
        _BORROWERS.append(me)
    try:
        yield
    finally:
        with _COUNTS_LOCK:
            _BORROWERS.remove(me)
            if not _BORROWERS:
                limits, before = _FOUND.pop()
                # Of OpenBLAS the thread that set it first has the say, while it lives: a worker.
                OpenBLASController.clear_controlling_thread(force=True)
                limits.restore_original_limits()
                OpenBLASController.clear_controlling_thread()
                # Set even if it reads the same here: what threads to come inherit may differ.
                if (torch := sys.modules.get("torch")) is not None:
                    torch.set_num_threads(_usual_threads() if before is None else before)


def _usual_threads() -> int:
    """Threads that torch takes when it is imported, if nobody has said otherwise."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdigit() and int(told) else int(joblib.cpu_count())


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
    # One thing a task: joblib would batch what is quick, and take ever more of them ahead.
    pool = joblib.Parallel(n_jobs=workers, prefer="threads", return_as="generator", batch_size=1)
    threads = threads_each(workers)
    with thread_counts_kept(), Parked(function) as parked:
        yield from pool(joblib.delayed(_call)(parked, thing, threads) for thing in things)


def threads_each(workers: int) -> int | None:
    """Threads that each of several workers computes with; None for one, which has them all."""
    return None if workers == 1 else max(1, int(joblib.cpu_count()) // workers)


def _call(parked: "Parked", thing: Any, threads: int | None) -> Any:
    if threads is not None:
        cap_threads(threads)
    return parked.fetch()(thing)


class Parked:
    """An object that travels to each worker process once, however many tasks name it.

    Within a process it is the object itself. Pickled, it is a path in a temporary folder, which is
    made when it first travels; the first task in a process opens it, and later ones find it there.

    Parameters
    ----------
    thing : object
        Anything that cloudpickle can pickle, if it is to leave the process.
    """

    _opened: tuple[str, Any] | None = None  # the last one opened in this process

    def __init__(self, thing: Any) -> None:
        self._thing = thing
        self._folder: TemporaryDirectory[str] | None = None
        self._path: Path | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def __getstate__(self) -> dict[str, Any]:
        if self._path is None:
            pickled = cloudpickle.dumps(self._thing)  # before there is anything to clean up
            self._folder = TemporaryDirectory(prefix="slidewin-")
            path = Path(self._folder.name) / uuid.uuid4().hex
            path.write_bytes(pickled)
            self._path = path
        return {"_thing": None, "_folder": None, "_path": self._path}

    def fetch(self) -> Any:
        """Return the object, in whichever process this is."""
        if self._path is None or self._thing is not None:
            return self._thing
        if Parked._opened is None or Parked._opened[0] != self._path.name:
            # Written a moment ago by the process that started this one.
            thing = cloudpickle.loads(self._path.read_bytes())
            Parked._opened = (self._path.name, thing)
        return Parked._opened[1]
