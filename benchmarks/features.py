"""Measure what sharing features between overlapping windows saves, and how long a fit takes.

    python benchmarks/features.py

One level of 1500 x 2000 px, windows of 64 px every 16: half a lesion apart, at two lesion diameters
to a window. All windows' features are computed four ways: for the whole level at once, and in
bands as the sweep does it, shared; and from windows cut one by one, 64 at a time and each by
itself. Every round times all of them, the cut ones on a part of the windows; printed are the median
over the rounds and, in brackets, the smallest and largest. The results are equal to the last bit,
or the script fails.

Then, how long the classifier that training makes of them takes to fit as many windows as it is
given by default; these are drawn.

Overlap alone explains a ratio of up to the number of windows that a pixel lies in, 15 here; the
rest is what it costs to begin anew for every window.
"""

import argparse
from collections.abc import Callable
from time import perf_counter, process_time

import cv2
import joblib
import numpy as np

from slidewin.features import WindowFeatures, patch_classifier
from slidewin.grid import Level
from slidewin.training.drawn import draw_backgrounds, draw_lesions
from slidewin.training.learner import WINDOWS
from slidewin.training.windows import WindowSource

SHAPE, SIDE, STRIDE = (1500, 2000), 64, 16
BAND = 4 * SIDE // STRIDE  # rows of windows that the sweep takes at a time
BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    print("| way | ms for a level | ratio to bands |\n| --- | --- | --- |")
    times = measure(SHAPE, options.rounds)
    for way, seconds in times.items():
        ms, ratio = seconds * 1000, seconds / times["shared, in bands"]
        print(f"| {way} | {spread(ms, '.0f')} | {spread(ratio, '.1f')} |")
    n = WINDOWS["features"]
    print(f"\na fit of {n} windows: {fit_seconds(n):.0f} s")


def measure(shape: tuple[int, int], rounds: int) -> dict[str, np.ndarray]:
    """Processor seconds (rounds,) that each way takes for a level of noise."""
    level = Level(shape, SIDE / 2, shape, SIDE, STRIDE)
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    image = np.asarray(cv2.GaussianBlur(image, (0, 0), 2), np.uint8)
    features = WindowFeatures(SIDE).fit(np.zeros((1, SIDE * SIDE * 3), np.uint8))
    corners = [(top, left) for top in level.tops for left in level.lefts]
    rng = np.random.default_rng(1)
    part = np.sort(rng.choice(len(corners), min(len(corners), 5 * BATCH), replace=False))

    def whole() -> np.ndarray:
        return features.of_lattice(image, level.tops, level.lefts)

    def bands() -> np.ndarray:
        rows = range(0, len(level.tops), BAND)
        parts = [features.of_lattice(image, level.tops[r : r + BAND], level.lefts) for r in rows]
        return np.concatenate(parts)

    def cut(batch: int) -> np.ndarray:
        values = []
        for start in range(0, len(part), batch):
            chosen = [corners[i] for i in part[start : start + batch]]
            windows = np.stack([image[t : t + SIDE, c : c + SIDE] for t, c in chosen])
            values.append(features.transform(windows.reshape(len(chosen), -1)))
        return np.concatenate(values)

    ways: dict[str, tuple[Callable[[], np.ndarray], float]] = {
        "shared, at once": (whole, 1.0),
        "shared, in bands": (bands, 1.0),
        f"cut, {BATCH} at a time": (lambda: cut(BATCH), len(corners) / len(part)),
        "cut, one by one": (lambda: cut(1), len(corners) / len(part)),
    }
    expected = whole().reshape(len(corners), -1)
    np.testing.assert_array_equal(bands().reshape(expected.shape), expected)
    for batch in (BATCH, 1):
        np.testing.assert_array_equal(cut(batch), expected[part])
    times = {name: np.empty(rounds) for name in ways}
    for i in range(rounds):
        for name, (run, scale) in ways.items():
            start = process_time()
            run()
            times[name][i] = (process_time() - start) * scale
    return times


def fit_seconds(n: int) -> float:
    """Seconds to fit ``n`` windows of drawn lesions and grounds, features included."""
    grounds = draw_backgrounds(30, seed=(0,), pool=joblib.Parallel(n_jobs=1))
    source = WindowSource(
        lesions=draw_lesions(30, columns={"mole": 1, "melanoma": 2}, seed=(1,)),
        backgrounds=grounds,
        drawn=grounds,
        n_classes=3,
        input_size=SIDE,
        context=2.0,
    )
    patches, labels = source.draw(n, np.random.default_rng(0))
    start = perf_counter()
    patch_classifier(random_state=0, n_jobs=-1).fit(patches.reshape(n, -1), labels)
    return perf_counter() - start


def spread(values: np.ndarray, form: str) -> str:
    low, middle, high = np.percentile(values, (0, 50, 100))
    return f"{middle:{form}} ({low:{form}} to {high:{form}})"


if __name__ == "__main__":
    main()
