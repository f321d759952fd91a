"""Measure how much it matters where a lesion falls on the grid.

    python benchmarks/phases.py

Drawn lesions on drawn skin, each moved through all phases of a half-lesion grid at three sizes, and
swept with the embedded classifier at its default stride, and at half a lesion. For each size: the
map's peak over the phases, how far the region's centre strays from the lesion's, in lesions, and on
average (bias); and in how many phases the lesion is found at the default threshold.
"""

import argparse
from itertools import product

import numpy as np

import slidewin
from slidewin.scene import draw_lesion, draw_skin

STRIDES = (None, 0.5)  # lesions; None is the default
SIZES = (20.0, 40.0, 80.0)
STEPS = 8  # phases along each axis


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lesions", type=int, default=4)
    options = parser.parse_args()
    classifier = slidewin.load_classifier()
    print(
        f"classifier {classifier.fingerprint()[:12]}, target 'lesion', "
        f"threshold {classifier.threshold('lesion')}, {STEPS * STEPS} phases"
    )
    print(
        "| stride | size | peak, worst lesion: min ... max | stray, max | bias | found in phases |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for stride, size in product(STRIDES, SIZES):
        spreads, strays, found = [], [], []
        for seed in range(options.lesions):
            peaks = []
            for shift in np.ndindex(STEPS, STEPS):
                phase = np.array(shift) / STEPS
                peak, stray = measure(classifier, size, phase, seed, stride=stride)
                peaks.append(peak)
                found.append(stray is not None)
                if stray is not None:
                    strays.append(stray)
            spreads.append((min(peaks), max(peaks)))
        low, high = min(spreads, key=lambda spread: spread[0] - spread[1])
        distance = np.abs(strays).max() if strays else np.nan
        bias = np.abs(np.mean(strays, axis=0)).max() if strays else np.nan
        print(
            f"| {'default' if stride is None else stride} | {size:g} px | {low:.3f} ... {high:.3f} "
            f"| {distance:.2f} lesions | {bias:.3f} lesions | {sum(found)} of {len(found)} |"
        )


def measure(
    classifier: slidewin.Classifier,
    size: float,
    phase: np.ndarray,
    seed: int,
    *,
    stride: float | None = None,
) -> tuple[float, np.ndarray | None]:
    """Peak of the map on a lesion, and where its region's centre is from it, in lesions."""
    side = round(8 * size)
    centre = np.round(4 * size + phase * size / 2)
    skin = draw_skin((side, side), random_state=seed)
    photo, mask = draw_lesion(skin, centre=(centre[0], centre[1]), diameter=size, random_state=seed)
    found = slidewin.locate(
        photo, classifier, lesion_size=size, target="lesion", stride=stride, verbose=0
    )
    truth = np.argwhere(mask).mean(axis=0) + 0.5
    near = [r for r in found.regions if np.hypot(*np.subtract(r.centre, truth)) < size]
    peak = float(found.pixels[mask].max())
    return peak, (np.subtract(near[0].centre, truth) / size if near else None)


if __name__ == "__main__":
    main()
