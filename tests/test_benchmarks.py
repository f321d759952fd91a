"""Benchmarks are code too."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import slidewin

FOLDER = Path(slidewin.__file__).parents[1] / "benchmarks"


def benchmark(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_a_benchmark_says_how_it_is_run(name):
    assert f"python benchmarks/{name}.py" in benchmark(name).__doc__


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(0, 10, 0.0, 0.278), (5, 10, 0.237, 0.763), (10, 10, 0.722, 1.0), (81, 94, 0.778, 0.918)],
)
def test_intervals_of_a_share_are_wilson_s(hits, n, low, high):
    assert benchmark("localisation").wilson(hits, n) == pytest.approx((low, high), abs=1e-3)


def test_the_phase_benchmark_measures_where_a_lesion_was_put(dark):
    peak, stray = benchmark("phases").measure(dark, 16.0, np.zeros(2), 0)
    assert 0 <= peak <= 1
    assert stray is None or np.abs(stray).max() < 2
