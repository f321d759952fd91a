"""Measure what going coarse to fine saves, and what it loses.

    python benchmarks/coarse.py DATA

DATA is the folder that ``benchmarks/classifier.py`` takes. The embedded classifier looks for
lesions at its default threshold, in photos of lesions, in lesions laid into other photos, and in
scenes. The bound is chosen on validation photos alone: the largest at which, and below which, no
more than 1 % of the lesions found by the full sweep are lost. Test photos are then swept twice,
window by window: in full, and refined above that bound; the two take turns at being first.

Validation photos are those that the trainer keeps for that: the split ``val``, or where a table has
none, what the trainer draws by lot. They are few, so every lesion of ISIC's that can be cut out is
laid into one of them; scenes are drawn. No bound above the threshold is considered: values that
lie between those of windows would count as found.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

import slidewin
from slidewin.heatmap import HeatMap
from slidewin.mask import default_threshold, speck_area
from slidewin.metrics import wilson_interval
from slidewin.sweep.coarse import fill_between, first_windows
from slidewin.training import read_table
from slidewin.training.leaks import keep_together

TARGET = "lesion"
LOST = 0.01  # of the lesions that the full sweep finds
SMALLEST, BOUNDS = 0.001, 16  # evenly spaced in logarithm up to the threshold
SCENES = 20

Photo = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Sizes = tuple[float, float] | None
Made = tuple[Photo, Mask, Sizes]


class Case(NamedTuple):
    """A photo with known truth, made when it is its turn."""

    kind: str
    make: Callable[[], Made]


class Record(NamedTuple):
    """What the two sweeps made of a test photo; a photo without a lesion has none to be found."""

    kind: str
    found: bool
    lost: bool
    windows: int
    classified: int
    seconds: float
    refined_seconds: float


# --- photos -------------------------------------------------------------------------------------


def of_lesion(row: dict[str, Any]) -> Made:
    from classifier import PAD_SIZES, read

    photo, lesion = read(row)
    smallest, largest = (share * min(photo.shape[:2]) for share in PAD_SIZES)
    return photo, lesion, (smallest, largest)


def laid_in(row: dict[str, Any], lesion_row: dict[str, Any] | None) -> Made:
    from classifier import LAID_SIZES, lay, read

    photo, wound = read(row)
    if lesion_row is None:
        return photo, np.zeros(wound.shape, np.bool_), LAID_SIZES
    return *lay(photo, wound, lesion_row), LAID_SIZES


def scene(seed: int, hand: Path | None, row: dict[str, Any] | None, lesion: bool) -> Made:
    from classifier import read

    if hand is None:
        here = slidewin.draw_scene(random_state=seed, lesion=lesion)
    else:
        close_up = read(row) if row else None
        here = slidewin.scene.lay_real_hand(
            slidewin.read_image(hand), lesion=close_up, random_state=seed
        )
    return here.photo, here.mask, None


def test_photos(data: Path, limit: int | None) -> list[Case]:
    """Those that ``benchmarks/classifier.py`` sweeps."""
    from classifier import plan

    make = {"pad": lambda row, _width: of_lesion(row), "laid": laid_in, "scene": scene}
    return first(
        [
            Case(job.kind, partial(make[job.kind], *job.arguments))
            for job in plan(data, quick=limit is not None)
            if job.kind in make
        ],
        limit,
    )


def validation_photos(data: Path, limit: int | None) -> list[Case]:
    """Photos that nothing was fitted to."""
    from classifier import can_be_laid, rows_of

    feet = by_lot(data / "fusc_2021" / "labels.csv", None)
    pads = by_lot(data / "pad_ufes_20" / "labels.csv", "patient_id")
    lesions = [
        row for row in rows_of(data / "isic_2017_cc0" / "labels.csv", "val") if can_be_laid(row)
    ]
    return first(
        [
            *(Case("laid", partial(laid_in, *rows)) for rows in zip(cycle(feet), lesions)),
            *(Case("pad", partial(of_lesion, row)) for row in pads),
            *(Case("scene", partial(scene, 3000 + i, None, None, True)) for i in range(SCENES)),
        ],
        limit,
    )


def by_lot(table: Path, group_column: str | None) -> list[dict[str, Any]]:
    """Rows that the trainer takes from the train split for validation."""
    from classifier import rows_of

    rows = keep_together(read_table(table, group_column=group_column))
    files = {row.file for row in rows if row.split == "val"}
    return [row for row in rows_of(table, "train") if row["file"] in files]


def first(cases: Sequence[Case], limit: int | None) -> list[Case]:
    """At most so many of each kind."""
    kinds: defaultdict[str, list[Case]] = defaultdict(list)
    for case in cases:
        kinds[case.kind].append(case)
    return [case for group in kinds.values() for case in group[:limit]]


# --- the bound ----------------------------------------------------------------------------------


def simulate(
    sweep: slidewin.SlidingWindow,
    photo_shape: tuple[int, ...],
    probabilities: Sequence[NDArray[np.float32]],
    bound: float,
) -> tuple[tuple[NDArray[np.float32], ...], float]:
    """What a sweep refined above a bound gives, from a full one's; and its share of windows."""
    grid = sweep.plan(photo_shape)
    refined, n = [], 0
    for level, full in zip(grid.levels, probabilities, strict=True):
        flat = full.reshape(-1, full.shape[-1])
        found = sweep.classifier.target_probability(flat, sweep.target).reshape(level.lattice)
        filled = fill_between(level, full, found >= bound)
        rest = np.isnan(filled[..., 0])
        filled[rest] = full[rest]
        refined.append(filled)
        n += np.count_nonzero(rest | first_windows(level))
    return tuple(refined), n / len(grid)


def finds(heatmap: HeatMap, lesion: Mask, threshold: float) -> bool:
    """Whether a region touches the lesion, as :func:`slidewin.locate` makes regions."""
    least = speck_area(heatmap.settings["lesion_size"][0])
    mask = default_threshold(threshold).mask(heatmap.to_pixels(), least_area=least)
    return bool((mask & lesion).any())


def weigh(
    classifier: slidewin.Classifier, made: Made, bounds: Sequence[float]
) -> tuple[bool, NDArray[np.bool_], NDArray[np.float64]]:
    """Whether the full sweep finds the lesion; which bounds lose it; their shares of windows."""
    photo, lesion, sizes = made
    sweep = sweeper(classifier, sizes)
    threshold = classifier.threshold(TARGET)
    full = sweep.probabilities(photo)  # shared, if it can be: it is the same to rounding
    found = finds(sweep.heatmap(photo.shape, full), lesion, threshold)
    lost, shares = np.zeros(len(bounds), np.bool_), np.zeros(len(bounds))
    for i, bound in enumerate(bounds):
        refined, shares[i] = simulate(sweep, photo.shape, full, bound)
        if found:
            lost[i] = not finds(sweep.heatmap(photo.shape, refined), lesion, threshold)
    return found, lost, shares


def choose(bounds: Sequence[float], lost: Sequence[int], n_found: int) -> float:
    """Largest of ascending bounds up to which no more than 1 % is lost; 0 if the first loses more.

    >>> choose([0.1, 0.2, 0.3, 0.4], [0, 2, 3, 1], 200)
    0.2
    """
    too_many = np.flatnonzero(np.asarray(lost) > LOST * n_found)
    within = bounds[: too_many[0]] if len(too_many) else bounds
    return float(within[-1]) if len(within) else 0.0


# --- what it is worth ---------------------------------------------------------------------------


def sweeper(
    classifier: slidewin.Classifier, sizes: Sizes, **options: Any
) -> slidewin.SlidingWindow:
    # Half a lesion, whatever a classifier that shares would get: this is for those that do not.
    return slidewin.SlidingWindow(
        classifier, lesion_size=sizes, target=TARGET, stride=0.5, n_jobs=1, verbose=0, **options
    )


def compare(
    classifier: slidewin.Classifier, case: Case, bound: float, *, refined_first: bool
) -> Record:
    """Sweep a photo both ways."""
    photo, lesion, sizes = case.make()
    sweeps = {
        "full": sweeper(classifier, sizes, engine="windows"),
        "refined": sweeper(classifier, sizes, engine="windows", refine_above=bound),
    }
    seconds, found, heatmaps = {}, {}, {}
    for name in sorted(sweeps, reverse=refined_first):
        start = time.perf_counter()
        heatmaps[name] = sweeps[name].localize(photo)
        seconds[name] = time.perf_counter() - start
        found[name] = finds(heatmaps[name], lesion, classifier.threshold(TARGET))
    return Record(
        case.kind,
        found["full"],
        found["full"] and not found["refined"],
        len(sweeps["full"].plan(photo.shape)),
        heatmaps["refined"].settings["engine"]["refinement"]["classified_windows"],
        seconds["full"],
        seconds["refined"],
    )


def show(records: Sequence[Record]) -> None:
    print("| test photos | lesions found in full | lost | windows classified | time |")
    print("| --- | --- | --- | --- | --- |")
    for kind in ("all", *dict.fromkeys(record.kind for record in records)):
        group = [record for record in records if kind in ("all", record.kind)]
        found, lost = sum(r.found for r in group), sum(r.lost for r in group)
        low, high = wilson_interval(lost, found) if found else (np.nan, np.nan)
        share = sum(r.classified for r in group) / sum(r.windows for r in group)
        each = [r.refined_seconds / r.seconds for r in group]
        ratio = sum(r.refined_seconds for r in group) / sum(r.seconds for r in group)
        print(
            f"| {kind}, {len(group)} | {found} | {lost} ({low:.1%} to {high:.1%}) | {share:.1%} | "
            f"{ratio:.2f} ({np.min(each):.2f} to {np.max(each):.2f}) |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--classifier", help="by default the embedded one")
    parser.add_argument("--limit", type=int, metavar="N", help="photos of each kind")
    options = parser.parse_args()
    classifier = slidewin.load_classifier(options.classifier)
    threshold = classifier.threshold(TARGET)
    print(
        f"classifier {(classifier.fingerprint() or 'unknown')[:12]}, target {TARGET!r}, threshold "
        f"{threshold}\n"
    )
    bounds = np.geomspace(SMALLEST, threshold, BOUNDS).round(4).tolist()
    with classifier.borrowed():
        cases = validation_photos(options.data, options.limit)
        weighed = [weigh(classifier, case.make(), bounds) for case in tqdm(cases, "validation")]
        found = sum(found for found, _, _ in weighed)
        lost = np.sum([lost for _, lost, _ in weighed], axis=0)
        shares = np.mean([shares for _, _, shares in weighed], axis=0)
        bound = choose(bounds, lost, found)
        print(f"\n{len(cases)} validation photos, lesions found by the full sweep: {found}\n")
        print("| bound | lesions lost | windows classified |\n| --- | --- | --- |")
        for row in zip(bounds, lost, shares, strict=True):
            print("| {:.4f}{} | {} | {:.1%} |".format(row[0], " *" * (row[0] == bound), *row[1:]))
        print(f"\n* chosen: refine_above={bound}\n")
        records = [
            compare(classifier, case, bound, refined_first=bool(i % 2))
            for i, case in enumerate(tqdm(test_photos(options.data, options.limit), "test"))
        ]
    show(records)


if __name__ == "__main__":
    main()
