"""Measure how much it matters where a lesion falls on the grid.

    python benchmarks/phases.py

Drawn lesions on drawn skin, each moved through all phases of a half-lesion grid at three sizes, and
swept with the embedded classifier. For each size: the map's peak over the phases, how far the
region's centre strays from the lesion's, in strides, and on average (bias); and in how many phases
the lesion is found at the default threshold.
"""

import argparse

import numpy as np

import slidewin
from slidewin.scene import draw_lesion, draw_skin

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
    print("| size | peak, worst lesion: min ... max | stray, max | bias | found in phases |")
    print("| --- | --- | --- | --- | --- |")
    for size in SIZES:
        spreads, strays, found = [], [], []
        for seed in range(options.lesions):
            peaks = []
            for shift in np.ndindex(STEPS, STEPS):
                peak, stray = measure(classifier, size, np.array(shift) / STEPS, seed)
                peaks.append(peak)
                found.append(stray is not None)
                if stray is not None:
                    strays.append(stray)
            spreads.append((min(peaks), max(peaks)))
        low, high = min(spreads, key=lambda spread: spread[0] - spread[1])
        distance = np.abs(strays).max() if strays else np.nan
        bias = np.abs(np.mean(strays, axis=0)).max() if strays else np.nan
        print(
            f"| {size:g} px | {low:.3f} ... {high:.3f} | {distance:.2f} strides | {bias:.3f} "
            f"strides | {sum(found)} of {len(found)} |"
        )


def measure(
    classifier: slidewin.Classifier, size: float, phase: np.ndarray, seed: int
) -> tuple[float, np.ndarray | None]:
    """Peak of the map on a lesion, and where its region's centre is from it, in strides."""
    stride = size / 2
    side = round(8 * size)
    centre = np.round(4 * size + phase * stride)
    skin = draw_skin((side, side), random_state=seed)
    photo, mask = draw_lesion(skin, centre=(centre[0], centre[1]), diameter=size, random_state=seed)
    found = slidewin.locate(photo, classifier, lesion_size=size, target="lesion", verbose=0)
    truth = np.argwhere(mask).mean(axis=0) + 0.5
    near = [r for r in found.regions if np.hypot(*np.subtract(r.centre, truth)) < size]
    peak = float(found.pixels[mask].max())
    return peak, (np.subtract(near[0].centre, truth) / stride if near else None)


if __name__ == "__main__":
    main()
