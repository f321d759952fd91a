"""Measure what is found on drawn hands on printed cloth, lesion and blots told apart by the truth.

    python benchmarks/scenes.py [--scenes 40]

The embedded classifier at its default target, threshold and lesion sizes, on scenes of seeds from
1000 up, half of them without the lesion. The classifier was trained on other scenes by the same
code, among much else.
"""

import argparse
from collections import Counter

import numpy as np

import slidewin

FIRST_SEED = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--n-jobs", type=int)
    options = parser.parse_args()
    classifier = slidewin.load_classifier()
    print(
        f"classifier {classifier.fingerprint()[:12]}, target {classifier.target!r}, "
        f"threshold {classifier.threshold()}"
    )
    print("| scenes | n | lesion found | regions on the hand | on the cloth | scenes without |")
    print("| --- | --- | --- | --- | --- | --- |")
    for lesion in (True, False):
        seeds = range(FIRST_SEED + (not lesion), FIRST_SEED + options.scenes, 2)
        places: Counter[str] = Counter()
        found, clean = 0, 0
        for seed in seeds:
            scene = slidewin.draw_scene(random_state=seed, lesion=lesion)
            here = places_of(scene, classifier, options.n_jobs)
            found += here["lesion"] > 0
            clean += here["cloth"] == 0
            places += here
        n = len(seeds)
        print(
            f"| {'with a lesion' if lesion else 'without'} | {n} | "
            f"{f'{found} of {n}' if lesion else '-'} | {places['hand'] / n:.2f} a scene | "
            f"{places['cloth'] / n:.2f} a scene | {clean} of {n} |"
        )


def places_of(
    scene: "slidewin.scene.Scene", classifier: slidewin.Classifier, n_jobs: int | None
) -> Counter[str]:
    """Count the regions by what they touch: the lesion, else the cloth's blots, else the hand."""
    regions = slidewin.locate(scene.photo, classifier, n_jobs=n_jobs, verbose=0).regions
    places: Counter[str] = Counter()
    for region in regions:
        row, col = (int(x) for x in region.centre)
        top, left, bottom, right = region.bbox
        if scene.mask[row, col] or scene.mask[top:bottom, left:right].mean() > 0.25:
            places["lesion"] += 1
        else:
            places["hand" if np.mean(scene.skin[top:bottom, left:right]) > 0.5 else "cloth"] += 1
    return places


if __name__ == "__main__":
    main()
