"""Threads and workers, in processes whose threads nobody else has counted."""

import os
import subprocess
import sys

import joblib
import numpy as np
import pytest

from slidewin.workers import Parked, spread

SWEEP = """
import threading, time
import numpy as np
import slidewin
from threadpoolctl import threadpool_info

def threads():
    import torch
    return {"torch": torch.get_num_threads()} | {
        x["filepath"]: x["num_threads"] for x in threadpool_info()
    }

def unchanged(before):
    # Libraries may have been loaded meanwhile.
    return before == {name: n for name, n in threads().items() if name in before}

def counting(patches):
    time.sleep(0.002)
    p = max(threads().values()) / 1000
    return np.tile([1 - p, p], (len(patches), 1))

def swept(n_jobs=2, function=counting):
    classifier = slidewin.load_classifier(function, classes=["background", "lesion"], input_size=8)
    sweep = slidewin.SlidingWindow(classifier, lesion_size=4, n_jobs=n_jobs, verbose=0)
    (values,) = sweep.probabilities(np.zeros((150, 150, 3), np.uint8))
    return round(float(values[..., 1].max()) * 1000)
"""


def run(code):
    """What code prints, in a process that counts with twice as many threads as there are cores."""
    threads = str(2 * joblib.cpu_count())
    kept = {key: value for key, value in os.environ.items() if not key.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", SWEEP + code],
        env=kept | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    return done.stdout.split()


def test_workers_share_the_cores_and_give_their_threads_back():
    within, kept = run("""
import torch
before = threads()
print(swept(), unchanged(before))
""")
    assert int(within) == max(1, joblib.cpu_count() // 2)
    assert kept == "True"


def test_sweeps_that_overlap_give_back_what_the_first_has_found():
    (kept,) = run("""
import torch
before = threads()
first = threading.Thread(target=swept)
first.start()
time.sleep(0.3)
second = threading.Thread(target=swept)
second.start()
first.join(), second.join()
print(unchanged(before))
""")
    assert kept == "True"


def test_torch_may_be_imported_by_what_is_swept():
    found, threads = run("""
import sys
assert "torch" not in sys.modules
def late(patches):
    import torch
    return counting(patches)
print(swept(function=late))
import torch
print(torch.get_num_threads())
""")
    assert int(found) >= 1
    assert int(threads) == 2 * joblib.cpu_count()


def test_things_are_taken_as_they_are_needed_and_given_in_order():
    taken = []

    def things():
        for i in range(50):
            taken.append(i)
            yield i

    results = spread(lambda i: i * i, things(), n_jobs=2)
    assert [next(results) for _ in range(5)] == [0, 1, 4, 9, 16]
    assert len(taken) < 25
    assert list(results) == [i * i for i in range(5, 50)]


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_what_one_thing_raises_is_raised(backend):
    def refuses(i):
        if i == 3:
            raise ValueError("not three")
        return i

    with joblib.parallel_config(backend), pytest.raises(ValueError, match="not three"):
        list(spread(refuses, range(6), n_jobs=2))


def test_a_function_travels_to_each_process_once():
    pids = []

    class Counted:
        def __call__(self, i):
            return i

        def __reduce__(self):
            pids.append(os.getpid())
            return (Counted, ())

    with joblib.parallel_config("loky"):
        assert list(spread(Counted(), range(20), n_jobs=2)) == list(range(20))
    assert len(pids) == 1


def test_what_does_not_travel_needs_no_folder(monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", "/nowhere/at/all")
    with Parked(np.zeros(3)) as parked:
        assert parked.fetch().shape == (3,)
