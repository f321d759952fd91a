"""The run: methods by photos, each method in processes of its own, resumed where it was cut off."""

import hashlib
import inspect
import os
import signal
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, cast

import cloudpickle
import joblib
from tqdm import tqdm

from slidewin.classifier import Classifier
from slidewin.comparison.methods import ATTENTION, Localizer, Setup
from slidewin.comparison.results import Result, Store, hash_file, result_key
from slidewin.comparison.sample import Sample
from slidewin.comparison.worker import Job
from slidewin.errors import OutputError
from slidewin.image import read_image
from slidewin.versions import versions
from slidewin.workers import count_workers

__all__ = ["Run", "hash_layers", "hash_own", "run"]

_MOST_DEATHS = 3
"""After so many photos in a row of which a method's process dies, the rest is not tried."""

_VERSIONED = ("builtins", "slidewin", "torch", "torchvision")
"""Packages whose layers are known by their versions."""

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class Run:
    """Results of methods by photos.

    Attributes
    ----------
    store : Store
    paths : dict of (str, str) to Path
        Where the result of a method and photo is, by their names.
    computed : int
        Results that this call computed; the others were there.
    """

    def __init__(self, store: Store, paths: dict[tuple[str, str], Path]) -> None:
        self.store = store
        self.paths = paths
        self.computed = 0

    def result(self, method: str, photo: str, *, with_map: bool = True) -> Result:
        """The result of a method and photo, or what is known of it besides the map.

        Raises
        ------
        OutputError
            If its file is damaged or gone.
        """
        path = self.paths[method, photo]
        result = self.store.read(path, with_map=with_map)
        if result is None:
            raise OutputError(f"{path}: the result is gone; run the comparison again")
        return result


def run(
    methods: Sequence[str],
    samples: Sequence[Sample],
    setup: Setup,
    *,
    folder: Path,
    n_jobs: int | None = None,
    verbose: int = 1,
) -> Run:
    """Make the maps that are not there yet.

    Parameters
    ----------
    methods : sequence of str
    samples : sequence of Sample
        Of different names.
    setup : Setup
    folder : Path
        Of the results; those of other settings in it are left alone.
    n_jobs : int, optional
        Methods at once, as for :class:`slidewin.SlidingWindow`; each in a process, with its share
        of the cores.
    verbose : int

    Returns
    -------
    Run
        With a result for every method and photo, be it the reason why there is no map.
    """
    at_once = count_workers(n_jobs)
    store = Store(folder)
    paths = _paths(store, methods, samples, setup)
    made = Run(store, paths)
    jobs = []
    for method in methods:
        missing = []
        for sample in samples:
            there = store.read(paths[method, sample.name], with_map=False)
            if there is None or _may_do_now(there, setup):
                missing.append((sample, paths[method, sample.name]))
        if missing:
            threads = max(1, int(joblib.cpu_count()) // at_once)
            own = {name: one for name, one in setup.own.items() if name == method}
            mine = replace(setup, own=own)
            jobs.append(Job(method, mine, tuple(missing), folder, threads, at_once))
    if len(jobs) > at_once:  # the dearest first: one that starts last keeps one core busy alone
        shape = read_image(jobs[0].photos[0][0].photo).shape
        jobs.sort(key=lambda job: -setup.passes(job.method, shape))
    total = sum(len(job.photos) for job in jobs)
    stop = threading.Event()
    with (
        tqdm(total=total, unit="map", disable=not verbose or not total) as bar,
        tempfile.TemporaryDirectory(prefix="slidewin-") as scratch,
        ThreadPoolExecutor(at_once) as pool,
    ):
        try:
            started = [pool.submit(_attend, job, Path(scratch), bar, stop) for job in jobs]
            for one in as_completed(started):
                made.computed += one.result()
        except BaseException:
            stop.set()  # processes are ended before the pool is waited for
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return made


def _paths(
    store: Store, methods: Sequence[str], samples: Sequence[Sample], setup: Setup
) -> dict[tuple[str, str], Path]:
    """Where each result is: by a key of all that it depends on."""
    # What cannot be told apart from what it was before is computed anew.
    fingerprint = setup.classifier.fingerprint() or f"unknown {uuid.uuid4().hex}"
    common: dict[str, Any] = {
        "classifier": fingerprint,
        "target": setup.target,
        "lesion_size": setup.lesion_size,
        "stride": setup.stride,
        "random_state": setup.random_state,
        "versions": versions(),
    }
    if (layers := hash_layers(setup.classifier)) is not None:
        common["layers"] = layers
    photos = {sample.name: hash_file(sample.photo) for sample in samples}
    paths = {}
    for method in methods:
        own = setup.own.get(method)
        how = common | {"method": method}
        if method in ATTENTION and setup.attention is not None:
            how["attention"] = hash_file(setup.attention)
        if own is not None:
            how["own"] = hash_own(own)
        for name, photo in photos.items():
            paths[method, name] = store.path(method, name, result_key(how | {"photo": photo}))
    return paths


def hash_own(own: Localizer) -> str:
    """SHA-256 of a method of the caller's: what it holds, and the source of its class."""
    sha = hashlib.sha256(cloudpickle.dumps(own))
    # A class of a module is pickled by its name alone, whatever has been edited in it since.
    for one in type(own).__mro__[:-1]:
        with suppress(OSError, TypeError):  # no source: typed in, or compiled
            sha.update(inspect.getsource(one).encode())
    return sha.hexdigest()


def hash_layers(classifier: Classifier) -> str | None:
    """SHA-256 of the source of a network's own classes; None where it has none.

    The classifier's fingerprint is of its weights, and those of an edited ``forward`` are the same.
    """
    from slidewin.classifier.module import ModuleClassifier

    if not isinstance(classifier, ModuleClassifier):
        return None
    own = {
        f"{one.__module__}.{one.__qualname__}": one
        for layer in classifier.module.modules()
        for one in type(layer).__mro__
        if one.__module__.partition(".")[0] not in _VERSIONED
    }
    sha = hashlib.sha256()
    for name, one in sorted(own.items()):
        sha.update(name.encode())
        try:
            sha.update(inspect.getsource(one).encode())
        except (OSError, TypeError):
            # A class that was typed in is pickled whole, and never twice alike by two processes.
            sha.update(cloudpickle.dumps(one))
    return sha.hexdigest() if own else None


def _may_do_now(there: Result, setup: Setup) -> bool:
    """Whether what was refused might be done now."""
    allowed = there.max_passes != setup.max_passes
    return bool(there.refused) and (allowed or not there.lasting)


def _attend(job: Job, scratch: Path, bar: Any, stop: threading.Event) -> int:
    """See a job through, whatever becomes of its processes; return how many results it made."""
    store = Store(job.folder)
    left, deaths, last = list(job.photos), 0, ""
    while left and not stop.is_set():
        n, reason = _one_process(replace(job, photos=tuple(left)), scratch, bar, stop)
        left, deaths = left[n:], deaths + 1 if n == 0 else 1
        if not left or stop.is_set():
            break
        last = reason
        # It died of the photo that it was at.
        lost, left = (left, []) if deaths >= _MOST_DEATHS else (left[:1], left[1:])
        for _, path in lost:
            store.write(path, Result(None, last, lasting=False, max_passes=job.setup.max_passes))
        bar.update(len(lost))
    return len(job.photos) - len(left)


def _one_process(job: Job, scratch: Path, bar: Any, stop: threading.Event) -> tuple[int, str]:
    """Photos that one process has done, and what it ended of."""
    name = uuid.uuid4().hex
    order, log = scratch / f"{name}.pickle", scratch / f"{name}.log"
    order.write_bytes(cloudpickle.dumps(job))
    threads = dict.fromkeys(_THREADS, str(job.threads))
    # What this process can import, that one can.
    known = {"PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}
    n = 0
    with (
        log.open("wb") as said,
        subprocess.Popen(  # noqa: S603 - this Python, and a file of our own
            [sys.executable, "-m", "slidewin.comparison.worker", str(order)],
            stdin=subprocess.PIPE,  # closed when this process ends, whatever it ends of
            stdout=subprocess.PIPE,
            stderr=said,
            env=os.environ | threads | known,
            start_new_session=True,  # an interrupt is ours to pass on
        ) as process,
    ):
        threading.Thread(target=_kill_when, args=(stop, process), daemon=True).start()
        for _ in cast(IO[bytes], process.stdout):
            n += 1
            bar.update()
        status = process.wait()
    order.unlink()
    words = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    if status < 0:
        return n, f"its process was killed ({signal.Signals(-status).name}): out of memory, mostly"
    return n, f"its process ended with status {status}" + (f": {words[-1]}" if words else "")


def _kill_when(stop: threading.Event, process: "subprocess.Popen[bytes]") -> None:
    while process.poll() is None:
        if stop.wait(0.2):
            process.kill()
            return
