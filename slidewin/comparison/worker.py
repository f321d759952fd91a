"""The worker: one method, in a process of its own, over one photo after another.

Started by :mod:`slidewin.comparison.run` with the path of what it is to do. It says on standard
output which photo is done, and ends when whoever started it is gone.
"""

import os
import sys
import threading
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import cloudpickle
import numpy as np

from slidewin.comparison.methods import Localizer, Setup
from slidewin.comparison.results import NOTHING, Cost, Result, Store, lightened
from slidewin.comparison.sample import Sample
from slidewin.errors import SlidewinError, SlidewinWarning
from slidewin.heatmap import HeatMap
from slidewin.image import read_image
from slidewin.workers import cap_threads

__all__ = ["Job", "work"]


@dataclass(frozen=True)
class Job:
    """What a worker is to do.

    Attributes
    ----------
    method : str
    setup : Setup
    photos : tuple of (Sample, Path)
        And where the result of each is to be written.
    folder : Path
        Of the results.
    threads, at_once : int
        To compute with, and how many workers there are.
    """

    method: str
    setup: Setup
    photos: tuple[tuple[Sample, Path], ...]
    folder: Path
    threads: int
    at_once: int


def work(job: Job, done: TextIO) -> None:
    """Make the maps of a job, writing a line for each."""
    cap_threads(job.threads)
    store = Store(job.folder)
    idle = _Memory()
    kept: dict[tuple[int, ...], Localizer] = {}
    for i, (sample, path) in enumerate(job.photos):
        result = _made(job, sample, idle, kept, first=i == 0)
        if result.refused:
            result = replace(result, max_passes=job.setup.max_passes)
        store.write(path, result)
        done.write(f"{i}\n")
        done.flush()


def _made(
    job: Job,
    sample: Sample,
    idle: "_Memory",
    kept: dict[tuple[int, ...], Localizer],
    *,
    first: bool,
) -> Result:
    try:
        # What is true of the photo is no method's business, nor part of a result's key.
        photo = read_image(sample.photo)
        # A lesion size in per cent is another for each shape of photo.
        shape = photo.shape if job.setup.by_shape else ()
        idle.start()
        start, cpu = time.perf_counter(), time.process_time()
        # Of what a method warns, our own is kept; the rest is its libraries' talk.
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", SlidewinWarning)
            if shape not in kept:
                kept.clear()
                kept[shape] = job.setup.make(job.method, photo.shape)
            heat: Any = kept[shape].localize(photo)  # of the caller's own methods, anything
        if not isinstance(heat, HeatMap):
            return Result(
                None,
                f"its localize returned {type(heat).__name__}; a slidewin.HeatMap is needed, whose "
                "layers have an array's values and the places in the photo that they are of",
            )
        spent = time.perf_counter() - start, time.process_time() - cpu
        peak = idle.peak()
        if heat.photo_shape != photo.shape[:2]:
            return Result(None, f"its map is of {heat.photo_shape} for a photo of {photo.shape}")
        pixels = photo.shape[0] * photo.shape[1]
        cost = Cost(*spent, peak, pixels, job.threads, job.at_once, first)
        said = tuple(dict.fromkeys(str(one.message) for one in warned))
        if np.isnan(heat.to_pixels()).all():
            return Result(None, NOTHING, cost=cost, warned=said)
        return Result(lightened(heat), cost=cost, warned=said)
    except MemoryError:
        return Result(None, "out of memory", lasting=False)
    except SlidewinError as error:
        return Result(None, str(error))
    except Exception as error:  # noqa: BLE001 - of whatever kind, it is told, and the others go on
        # torch has no MemoryError of its own on a processor.
        lasting = "alloc" not in str(error).lower()
        return Result(None, f"{type(error).__name__}: {error}", lasting=lasting)


class _Memory:
    """The process's memory at its peak, beyond what it holds when this is made."""

    def __init__(self) -> None:
        self._idle = _status("VmRSS") or _largest()

    def start(self) -> None:
        """Forget earlier peaks, where the system lets us; else the peak is that of all photos."""
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")

    def peak(self) -> int | None:
        """Bytes at the peak since the start; None where the system does not tell."""
        # On Linux, ru_maxrss starts with that of the process's parent; VmHWM is its own.
        highest = _status("VmHWM") or _largest()
        return None if highest is None or self._idle is None else max(0, highest - self._idle)


def _status(name: str) -> int | None:
    """A figure of Linux's for this process, in bytes."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), None)


def _largest() -> int | None:
    """The most bytes that the process has held, where there is no ``/proc``."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(largest if sys.platform == "darwin" else largest * 1024)


def _end_with_parent() -> None:
    """End when standard input is closed: whoever started us, and would read, is gone."""
    sys.stdin.buffer.read()
    os._exit(1)


def main() -> None:
    """Do the job whose path is the argument."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # What a method prints is no answer of ours.
    done = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    # Written a moment ago by the process that started this one.
    job: Job = cloudpickle.loads(Path(sys.argv[1]).read_bytes())
    work(job, done)


if __name__ == "__main__":
    main()
