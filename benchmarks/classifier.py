"""Measure a classifier on photos that it never saw.

    python benchmarks/classifier.py DATA [--classifier FILE] [--json FILE] [--quick] [-o DIR]

DATA is a folder with ``isic_2017_cc0``, ``pad_ufes_20``, ``fusc_2021``, ``hands`` and
``nci_moles``; only rows of the split ``test`` are read, and of the hands those that are not trained
on. Intervals are of 95 %: by bootstrap over patients, or photos where patients are not known, and
Wilson's for shares of photos. With ``-o`` all photos are written with their regions circled.

Seven pictures of ISIC's test split have a near-identical one in the others and are left out. Scenes
are of two photographed hands: their interval does not know of other hands.

Lesions of ISIC's test split are laid into every other FUSC photo, 28 to 64 px wide, and onto the
photographed hands. A candidate hits where it lies in the lesion; wounds are no lesions.
"""

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

import slidewin
from slidewin.classifier import Classifier
from slidewin.metrics import (
    bootstrap_interval,
    expected_calibration_error,
    false_regions,
    find_candidates,
    froc,
    iou,
    judge_candidates,
    wilson_interval,
)
from slidewin.output import write_png
from slidewin.report import draw_regions
from slidewin.scene import find_skin, lay_real_hand, lay_real_lesion
from slidewin.scene.laid import luma_and_skin
from slidewin.training import read_table
from slidewin.training.leaks import near_identical
from slidewin.training.table import SPLITS

PAD_SIZES = (0.08, 0.60)  # of the short side
LAID_SIZES = (28.0, 64.0)  # px
FREE_SIZES = {"default": None, "28 to 64 px": LAID_SIZES}
NCI_SIZES = (6.0, 45.0)  # px
TEST_HANDS = ("7_IMG_5935.jpg", "7_IMG_5978.jpg")
SCENES = 20  # of each kind
NEAR_A_WOUND = 100  # px: there is skin of the same limb
LARGEST_LAID = 0.5  # of its picture: larger lesions show no skin of their own
JITTER = 1.25  # of the size of windows on lesions, either way
OF_THE_SIZE = (0.65, 1.6)  # a lesion's diameter in those of its level: what training calls a lesion
BESIDE = 0.25  # diameters: windows centred just beside a lesion are neither right nor wrong
PER_LESION, PER_PHOTO, PER_HAND = 4, 20, 150  # windows

Photo = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Record = dict[str, Any]


# --- what is measured, one photo at a time, in processes of their own --------------------------


class Job(NamedTuple):
    """One photo's measurement: ``ask(classifier, output, *arguments)``."""

    kind: str
    ask: Callable[..., Record]
    arguments: tuple[Any, ...]

    def run(self, file: str | None, output: Path | None) -> Record:
        """Load the classifier and ask."""
        return self.ask(slidewin.load_classifier(file), output, *self.arguments)


def isic_windows(classifier: Classifier, _: Path | None, row: Record) -> Record:
    photo, lesion = read(row)
    centre, diameter = np.argwhere(lesion).mean(axis=0) + 0.5, diameter_of(lesion)
    patch, padded = cut(photo, centre, classifier.context * diameter, classifier)
    probability = classifier.predict_proba(patch[None])
    of_any = float(classifier.target_probability(probability, "lesion")[0])
    of_melanoma = float(classifier.target_probability(probability, "melanoma")[0])
    return {
        "group": row["file"],
        "melanoma": row["label"] == "melanoma",
        "score": of_melanoma / max(of_any, 1e-12),
        "padded": padded,
        "on": windows_on(classifier, photo, lesion, row["file"]),
        "off": windows_off(classifier, photo, lesion, row["file"], PER_LESION),
    }


def background_windows(classifier: Classifier, _: Path | None, row: Record, n: int) -> Record:
    photo = slidewin.read_image(row["file"])
    nowhere = np.zeros(photo.shape[:2], np.bool_)
    return {
        "group": row["file"],
        "off": windows_off(classifier, photo, nowhere, row["file"], n),
    }


def pad(classifier: Classifier, output: Path | None, row: Record, width: float) -> Record:
    photo, lesion = read(row)
    short = min(photo.shape[:2])
    sizes = (PAD_SIZES[0] * short, PAD_SIZES[1] * short)
    found = locate(photo, classifier, "lesion", sizes)
    save(found, output, "pad", row["file"])
    return {
        "group": row["patient_id"],
        "label": row["label"],
        "skin": row["fitzpatrick"] or "unknown",
        "centre": bool(lesion[photo.shape[0] // 2, photo.shape[1] // 2]),
        "on": windows_on(classifier, photo, lesion, row["file"]),
        "windows": sweep_windows(classifier, photo, lesion, sizes),
        **candidates(found, lesion, width * short / 2),
    }


def laid(
    classifier: Classifier, output: Path | None, row: Record, lesion_row: Record | None
) -> Record:
    """A FUSC photo, with a lesion laid into it or as it is."""
    photo, wound = read(row)
    lesion = np.zeros(wound.shape, np.bool_)
    if lesion_row is not None:
        photo, lesion = lay(photo, wound, lesion_row)
    found = locate(photo, classifier, "lesion", LAID_SIZES)
    save(found, output, "laid", row["file"])
    record: Record = {
        "group": row["file"],
        "label": lesion_row["label"] if lesion_row and lesion.any() else None,
        "windows": sweep_windows(classifier, photo, lesion, LAID_SIZES),
        **candidates(found, lesion, np.sqrt(np.prod(LAID_SIZES)) / 2),
    }
    if lesion.any():
        record["iou"] = iou(found.mask, lesion)
        record["on"] = windows_on(classifier, photo, lesion, row["file"])
        return record
    for target in ("lesion", "melanoma"):
        for name, sizes in FREE_SIZES.items():
            found = locate(photo, classifier, target, sizes)
            record[f"{target}, {name} sizes"] = len(found.regions)
            save(found, output, f"free, {target}, {name} sizes", row["file"])
    return record


def scene(
    classifier: Classifier,
    output: Path | None,
    seed: int,
    hand: Path | None,
    lesion_row: Record | None,
    lesion: bool,
) -> Record:
    """A hand on printed cloth, drawn or photographed, with a lesion or without."""
    if hand is None:
        here = slidewin.draw_scene(random_state=seed, lesion=lesion)
    else:
        close_up = read(lesion_row) if lesion_row else None
        here = lay_real_hand(slidewin.read_image(hand), lesion=close_up, random_state=seed)
    record: Record = {"group": seed, "photographed": hand is not None, "lesion": lesion}
    for target in ("lesion", "melanoma"):
        found = locate(here.photo, classifier, target, None)
        false, hit = false_regions(found.regions, here.mask)
        cloth, _ = false_regions(false, here.mask, ignore=here.skin)
        record[f"{target} sought"] = {
            "found": bool(hit.any()),
            "cloth": len(cloth),
            "hand": len(false) - len(cloth),
        }
        save(found, output, f"scenes, {target}", f"{seed}.png")
    return record


def nci(classifier: Classifier, output: Path | None, row: Record) -> Record:
    found = locate(slidewin.read_image(row["file"]), classifier, "lesion", NCI_SIZES)
    save(found, output, "nci", row["file"])
    x0, y0, x1, y1 = (int(row[key]) for key in ("x0", "y0", "x1", "y1"))
    ranks = [
        rank
        for rank, region in enumerate(found.regions, start=1)
        if y0 <= region.centre[0] <= y1 and x0 <= region.centre[1] <= x1
    ]
    return {"file": row["file"].name, "rank": min(ranks, default=None), "of": len(found.regions)}


# --- photos and windows -------------------------------------------------------------------------


def rows_of(table: Path, split: str = "test") -> list[Record]:
    """Rows of a split, or all where there are no splits, with the paths of their files."""
    with table.open(newline="", encoding="utf-8") as stream:
        rows: list[Record] = [r for r in csv.DictReader(stream) if r.get("split", split) == split]
    for row in rows:
        row["file"] = table.parent / row["file"]
        row["mask"] = table.parent / row["mask"] if "mask" in row else None
    return rows


def without_twins(rows: list[Record], table: Path, split: str = "test") -> list[Record]:
    """Rows of a split of which no nearly identical picture is in the others."""
    known = read_table(table, splits=[other for other in SPLITS if other != split])
    these = read_table(table, splits=(split,))
    pairs = near_identical([*known, *these])
    twins = {these[j - len(known)].file for i, j in pairs if i < len(known) <= j}
    return [row for row in rows if row["file"] not in twins]


def read(row: Record) -> tuple[Photo, Mask]:
    photo = slidewin.read_image(row["file"])
    return photo, np.asarray(slidewin.read_image(row["mask"])[:, :, 0] > 127)


def generator(file: Path) -> np.random.Generator:
    """Randomness that goes by the file's name: what is drawn for one photo changes no other."""
    return np.random.default_rng(list(file.stem.encode()))


def diameter_of(lesion: Mask) -> float:
    return float(2 * np.sqrt(np.count_nonzero(lesion) / np.pi))


def can_be_laid(row: Record) -> bool:
    """Whether a lesion can be cut out: there is skin round it, and the border cuts off none."""
    lesion = read(row)[1]
    edge = np.concatenate([lesion[0], lesion[-1], lesion[:, 0], lesion[:, -1]])
    small = lesion.mean() < LARGEST_LAID
    return bool(small and np.count_nonzero(edge) < 0.1 * diameter_of(lesion))


def to_be_laid(rows: list[Record], n: int | None = None) -> list[Record]:
    """Rows whose lesions can be cut out, of the first ``n``, in an order by lot."""
    stock = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    return [row for row in stock[:n] if can_be_laid(row)]


def lay(photo: Photo, wound: Mask, lesion_row: Record) -> tuple[Photo, Mask]:
    """Lay a lesion near the wound, smaller than it might be where room is scarce."""
    rng = generator(lesion_row["file"])
    size = float(np.exp(rng.uniform(*np.log(LAID_SIZES))))
    places = find_skin(photo, reach=size, keep_clear=wound)
    while not places.any() and size > LAID_SIZES[0]:
        size = max(0.8 * size, LAID_SIZES[0])
        places = find_skin(photo, reach=size, keep_clear=wound)
    away = cv2.distanceTransform((~wound).astype(np.uint8), cv2.DIST_L2, 5)
    near = places & (away < NEAR_A_WOUND + size)
    spots = np.flatnonzero(near if near.any() else places)
    if not spots.size:
        return photo, np.zeros(wound.shape, np.bool_)
    row, col = divmod(int(rng.choice(spots)), photo.shape[1])
    return lay_real_lesion(
        photo, *read(lesion_row), centre=(row + 0.5, col + 0.5), diameter=size, random_state=rng
    )


def cut(
    photo: Photo, centre: NDArray[np.float64], side: float, classifier: Classifier
) -> tuple[Photo, float]:
    """A window, mirrored where it runs over the border, and the share of it that is mirrored."""
    n = max(2, round(side))
    top, left = np.round(centre - n / 2).astype(int)
    rows, cols = (
        (max(0, -first), max(0, first + n - length))
        for first, length in ((top, photo.shape[0]), (left, photo.shape[1]))
    )
    wide = np.pad(photo, (rows, cols, (0, 0)), mode="reflect") if any(rows + cols) else photo
    top, left = top + rows[0], left + cols[0]
    inside = (n - sum(rows)) * (n - sum(cols))
    way = cv2.INTER_AREA if n > classifier.input_size else cv2.INTER_LINEAR
    size = (classifier.input_size, classifier.input_size)
    patch = cv2.resize(wide[top : top + n, left : left + n], size, interpolation=way)
    return np.asarray(patch, np.uint8), float(1 - inside / n**2)


def windows_on(
    classifier: Classifier, photo: Photo, lesion: Mask, file: Path
) -> NDArray[np.float32]:
    """Probability of a lesion in windows centred within one, of about its size."""
    rng, diameter = generator(file), diameter_of(lesion)
    depth = cv2.distanceTransform(lesion.astype(np.uint8), cv2.DIST_L2, 5)
    inner = np.argwhere(depth >= 0.3 * depth.max())
    patches = []
    for spot in inner[rng.integers(len(inner), size=PER_LESION)]:
        side = classifier.context * diameter * JITTER ** rng.uniform(-1, 1)
        patches.append(cut(photo, spot + 0.5, side, classifier)[0])
    return lesion_probability(classifier, patches)


def windows_off(
    classifier: Classifier, photo: Photo, lesion: Mask, file: Path, n: int
) -> NDArray[np.float32]:
    """Probability of a lesion in windows of any size that touch none; fewer where few fit."""
    rng, shape = generator(file), np.array(photo.shape[:2])
    patches: list[Photo] = []
    for _ in range(50 * n):
        side = np.exp(rng.uniform(np.log(24), np.log(shape.min() / 2)))
        centre = rng.uniform(side / 2, shape - side / 2)
        (top, left), (bottom, right) = (
            (centre + half).astype(int) for half in (-side / 2, side / 2 + 1)
        )
        if lesion[max(0, top) : bottom, max(0, left) : right].any():
            continue
        patch, _padded = cut(photo, centre, side, classifier)
        if patch.std() >= 2:  # not the black that pads some photos
            patches.append(patch)
        if len(patches) == n:
            break
    return lesion_probability(classifier, patches)


def lesion_probability(classifier: Classifier, patches: list[Photo]) -> NDArray[np.float32]:
    """Probability of any lesion."""
    if not patches:
        return np.empty(0, np.float32)
    return classifier.target_probability(classifier.predict_proba(np.stack(patches)), "lesion")


def sweep_windows(
    classifier: Classifier, photo: Photo, lesion: Mask, sizes: tuple[float, float]
) -> tuple[Mask, NDArray[np.float32]]:
    """What each window of a sweep should say, and the probability that it gives."""
    sweep = slidewin.SlidingWindow(classifier, lesion_size=sizes, target="lesion", verbose=0)
    diameter = diameter_of(lesion)
    away = cv2.distanceTransform((~lesion).astype(np.uint8), cv2.DIST_L2, 5)
    beside = away <= BESIDE * diameter if diameter else lesion
    truths, probabilities = [], []
    levels = sweep.plan(photo.shape).levels
    for level, values in zip(levels, sweep.probabilities(photo), strict=True):
        places = np.ix_(level.row_centres.astype(int), level.col_centres.astype(int))
        fits = OF_THE_SIZE[0] <= diameter / level.lesion_size <= OF_THE_SIZE[1]
        truth = lesion[places] & fits
        counted = truth | ~beside[places]
        p = classifier.target_probability(values.reshape(-1, values.shape[-1]), "lesion")
        truths.append(truth[counted])
        probabilities.append(p.reshape(truth.shape)[counted])
    return np.concatenate(truths), np.concatenate(probabilities)


def locate(
    photo: Photo, classifier: Classifier, target: str, sizes: tuple[float, float] | None
) -> slidewin.Finding:
    return slidewin.locate(photo, classifier, lesion_size=sizes, target=target, n_jobs=1, verbose=0)


def candidates(found: slidewin.Finding, lesion: Mask, radius: float) -> Record:
    """Candidates of the map, and of darkness within the skin for comparison."""
    lesions = [lesion] if lesion.any() else lesion  # a mask is one lesion, in pieces or not
    dark = darkness(found.photo, radius)
    return {
        "judged": judge_candidates(find_candidates(found.pixels, radius=radius), lesions),
        "darkness": judge_candidates(find_candidates(dark, radius=radius), lesions),
    }


def darkness(photo: Photo, radius: float) -> NDArray[np.float32]:
    """How much darker the skin is than the skin round it; 0 off the skin."""
    small = cv2.resize(photo, None, fx=8 / radius, fy=8 / radius, interpolation=cv2.INTER_AREA)
    luma, coloured = luma_and_skin(np.asarray(small, np.uint8))
    skin = cv2.morphologyEx(coloured.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((17, 17), np.uint8))
    here, around = (
        cv2.GaussianBlur(luma * skin.astype(np.float32), (0, 0), sigma)
        / (cv2.GaussianBlur(skin.astype(np.float32), (0, 0), sigma) + np.float32(1e-3))
        for sigma in (4, 16)
    )
    dark = np.where(skin > 0, around - here, 0).astype(np.float32)
    return np.asarray(cv2.resize(dark, (photo.shape[1], photo.shape[0])), np.float32)


def save(found: slidewin.Finding, output: Path | None, group: str, file: Path | str) -> None:
    if output is not None:
        folder = output / group
        folder.mkdir(parents=True, exist_ok=True)
        picture = draw_regions(found.photo, found.regions, assessed=found.assessed)
        write_png(folder / f"{Path(file).stem}.png", picture, overwrite=True)


# --- the figures --------------------------------------------------------------------------------


FIGURES = (  # name, at least, aim; a smaller aim means that less is better
    ("melanoma against other lesions, ISIC 2017 test split, ROC AUC", 0.80, 0.87),
    ("lesion against background windows of test photos, ROC AUC", 0.995, 0.999),
    ("`pad_ufes_20` test, lesions found at 1 false candidate per photo", 0.80, 0.92),
    ("lesions laid into `fusc_2021` test photos: the same", 0.85, 0.95),
    ("hands on printed cloth with a lesion: found", 0.90, 0.98),
    ("the same scenes: false regions on the cloth per scene", 0.3, 0.05),
    ("lesion-free `fusc_2021` test photos: false regions per photo", 0.5, 0.1),
    ("IoU of the mask, lesions laid in", 0.40, 0.60),
    ("expected calibration error over windows of test photos", 0.05, 0.02),
    ("`nci_moles`: boxed spot among the three best regions", 0.8, 1.0),
)
Measured = tuple[float, float, float]  # a figure and its interval


class Figure(NamedTuple):
    """One line of the table."""

    name: str
    at_least: float
    aim: float
    value: float
    low: float
    high: float

    @property
    def less_is_better(self) -> bool:
        """Whether the levels are to be stayed below."""
        return self.aim < self.at_least

    @property
    def reached(self) -> str:
        """Which of the two levels."""
        sign = -1 if self.less_is_better else 1
        if sign * self.value >= sign * self.aim:
            return "aim"
        return "yes" if sign * self.value >= sign * self.at_least else "**no**"


def plan(data: Path, *, quick: bool) -> list[Job]:
    every, scenes = (6, 3) if quick else (1, SCENES)
    isic, pads, feet = (
        rows_of(data / name / "labels.csv")
        for name in ("isic_2017_cc0", "pad_ufes_20", "fusc_2021")
    )
    # What a candidate's reach is goes by the train split: no test mask chooses anything.
    outlines = [read(row)[1] for row in rows_of(data / "pad_ufes_20" / "labels.csv", "train")]
    width = float(np.median([diameter_of(mask) / min(mask.shape) for mask in outlines]))
    isic = without_twins(isic, data / "isic_2017_cc0" / "labels.csv")
    stock = to_be_laid(isic, len(isic) // 2 if quick else None)
    melanomas = [row for row in stock if row["label"] == "melanoma"]
    hands = [data / "hands" / "images" / name for name in TEST_HANDS]
    jobs = [Job("isic", isic_windows, (row,)) for row in isic[::every]]
    jobs += [Job("background", background_windows, (row, PER_PHOTO)) for row in feet[::every]]
    jobs += [Job("background", background_windows, ({"file": h}, PER_HAND)) for h in hands]
    jobs += [Job("pad", pad, (row, width)) for row in pads[::every]]
    jobs += [
        Job("laid", laid, (row, None if i % 2 else stock[i // 2 % len(stock)]))
        for i, row in enumerate(feet[::every])
    ]
    for i in range(2 * scenes):
        with_lesion = i % 2 == 0
        close_up = melanomas[i // 2 % len(melanomas)] if with_lesion else None
        hand = hands[i // 2 % len(hands)]
        jobs.append(Job("scene", scene, (1000 + i, None, None, with_lesion)))
        jobs.append(Job("scene", scene, (2000 + i, hand, close_up, with_lesion)))
    jobs += [Job("nci", nci, (row,)) for row in rows_of(data / "nci_moles" / "boxes.csv")]
    return jobs


def figures(records: dict[str, list[Record]], n: int) -> list[Figure]:
    """The table, ``n`` draws to an interval."""
    isic, pads, feet, scenes = (records[kind] for kind in ("isic", "pad", "laid", "scene"))
    laid_in = [r for r in feet if r["label"]]
    on, off = [*isic, *pads, *laid_in], [*records["background"], *isic]
    values = [
        auc(isic, [[r["melanoma"]] for r in isic], [[r["score"]] for r in isic], n),
        auc(
            [*on, *off],
            [np.ones(len(r["on"])) for r in on] + [np.zeros(len(r["off"])) for r in off],
            [r["on"] for r in on] + [r["off"] for r in off],
            n,
        ),
        sensitivity(pads, "judged", n),
        sensitivity(feet, "judged", n),
        share([r["lesion sought"]["found"] for r in scenes if r["lesion"]]),
        mean([r["lesion sought"]["cloth"] for r in scenes], n),
        mean([r["lesion, default sizes"] for r in feet if not r["label"]], n),
        mean([r["iou"] for r in laid_in], n),
        calibration([*feet, *pads], min(n, 200)),
        share([r["rank"] is not None and r["rank"] <= 3 for r in records["nci"]]),
    ]
    return [Figure(*row, *value) for row, value in zip(FIGURES, values, strict=True)]


def auc(records: list[Record], truths: list[Any], scores: list[Any], n: int) -> Measured:
    """ROC AUC of windows, several to a record."""
    owner = owners(records, truths)
    y, score = np.concatenate(truths), np.concatenate(scores)

    def of(drawn: Any) -> float:
        one_kind = len(np.unique(y[drawn])) < 2
        return float("nan") if one_kind else float(roc_auc_score(y[drawn], score[drawn]))

    return of(slice(None)), *bootstrap_interval(owner, of, n=n)


def sensitivity(records: list[Record], judged: str, n: int) -> Measured:
    """Share of lesions hit at one false candidate per photo."""

    def of(drawn: Iterable[int]) -> float:
        return froc([records[i][judged] for i in drawn]).sensitivity_at(1)

    groups = [str(r["group"]) for r in records]
    return of(range(len(records))), *bootstrap_interval(groups, of, n=n)


def calibration(records: list[Record], n: int) -> Measured:
    """Expected calibration error over the windows of sweeps."""
    owner, y, p = of_sweeps(records)

    def of(drawn: Any) -> float:
        return expected_calibration_error(y[drawn], p[drawn])

    return of(slice(None)), *bootstrap_interval(owner, of, n=n)


def mean(values: Any, n: int, groups: Any = None) -> Measured:
    """Mean over photos, or whatever there are several of in a group."""
    array = np.asarray(values, float)
    groups = range(len(array)) if groups is None else groups
    interval = bootstrap_interval(groups, lambda drawn: array[drawn].mean(), n=n)
    return float(array.mean()), *interval


def share(hits: list[bool]) -> Measured:
    """Share of photos."""
    return sum(hits) / len(hits), *wilson_interval(sum(hits), len(hits))


def owners(records: list[Record], windows: Iterable[Any]) -> NDArray[np.str_]:
    """The group of each window."""
    return np.repeat([str(r["group"]) for r in records], [len(several) for several in windows])


def of_sweeps(records: list[Record]) -> tuple[NDArray[np.str_], Mask, NDArray[np.float32]]:
    """Group, truth and probability of each window of sweeps."""
    truths, probabilities = zip(*(r["windows"] for r in records), strict=True)
    return owners(records, truths), np.concatenate(truths), np.concatenate(probabilities)


def show(table: list[Figure]) -> None:
    print("| figure | measured | 95 % interval | at least | aim | reached |")
    print("| --- | --- | --- | --- | --- | --- |")
    for f in table:
        bound = "at most " if f.less_is_better else ""
        print(
            f"| {f.name} | {f.value:.3f} | {f.low:.3f} to {f.high:.3f} | {bound}{f.at_least:g} | "
            f"{f.aim:g} | {f.reached} |"
        )


def show_details(records: dict[str, list[Record]], n: int) -> None:
    """What the table leaves out, and where slidewin loses."""
    isic, pads, fusc = records["isic"], records["pad"], records["laid"]
    print("\n| melanoma against other lesions, ISIC 2017 test split | ROC AUC |\n| --- | --- |")
    for name, group, key in (
        ("windows that need no padding", [r for r in isic if r["padded"] == 0], "score"),
        ("the share of padding alone", isic, "padded"),
    ):
        value = auc(group, [[r["melanoma"]] for r in group], [[r[key]] for r in group], n)
        print(f"| {name}, {len(group)} | {words(value)} |")

    print("\n| lesions found at 1 false candidate per photo | slidewin | darkest skin |")
    print("| --- | --- | --- |")
    for name, group in (("pad_ufes_20 test", pads), ("laid into fusc_2021 test", fusc)):
        ours, dark = (sensitivity(group, key, n) for key in ("judged", "darkness"))
        print(f"| {name} | {words(ours)} | {words(dark)} |")
    best = np.mean([max(r["judged"].hits) > max(r["judged"].false, default=-1) for r in pads])
    centre = np.mean([r["centre"] for r in pads])
    print(f"\npad_ufes_20: the best candidate lies in the lesion in {best:.2f} of the photos;")
    print(f"for comparison, the photo's own centre does in {centre:.2f}.")
    if best < centre:
        print("**slidewin loses to the photo's centre**: these photos were centred on the lesion.")

    for name, group, key in (
        ("pad_ufes_20 by diagnosis", pads, "label"),
        ("pad_ufes_20 by Fitzpatrick type", pads, "skin"),
        ("laid lesions by diagnosis", fusc, "label"),
    ):
        threshold = froc([r["judged"] for r in group]).threshold_at(1)
        kinds: defaultdict[str, list[bool]] = defaultdict(list)
        for r in group:
            kinds[r[key] or ""] += [score >= threshold for score in r["judged"].hits]
        print(f"\n| {name} | hit at 1 false candidate per photo |\n| --- | --- |")
        for kind, hits in sorted(kinds.items()):
            if hits:
                print(f"| {kind} | {sum(hits)} of {len(hits)} |")

    print("\n| scenes, default threshold | target | found | on the cloth | on the hand |")
    print("| --- | --- | --- | --- | --- |")
    for photographed in (False, True):
        for lesion in (True, False):
            group = [
                r
                for r in records["scene"]
                if (r["photographed"], r["lesion"]) == (photographed, lesion)
            ]
            name = (
                f"{'photographed' if photographed else 'drawn'}, {'with' if lesion else 'without'}"
            )
            for target in ("lesion", "melanoma"):
                here = [r[f"{target} sought"] for r in group]
                found = f"{sum(h['found'] for h in here)} of {len(here)}" if lesion else "-"
                cloth, hand = (np.mean([h[key] for h in here]) for key in ("cloth", "hand"))
                print(f"| {name} | {target} | {found} | {cloth:.2f} a scene | {hand:.2f} a scene |")

    print("\n| lesion-free fusc_2021, default threshold | false regions per photo |\n| --- | --- |")
    free = [r for r in fusc if not r["label"]]
    for target in ("lesion", "melanoma"):
        for sizes in FREE_SIZES:
            values = [r[f"{target}, {sizes} sizes"] for r in free]
            print(f"| target {target}, {sizes} sizes | {words(mean(values, n))} |")

    show_calibration([*fusc, *pads], n)

    print("\n| nci_moles | rank of the boxed spot | of regions |\n| --- | --- | --- |")
    for r in records["nci"]:
        print(f"| {r['file']} | {r['rank'] or 'missed'} | {r['of']} |")


def show_calibration(records: list[Record], n: int) -> None:
    """Whether what is said comes true where anything is said: most windows show no lesion."""
    owner, y, p = of_sweeps(records)
    never = expected_calibration_error(y, np.zeros_like(p))
    print(
        f"\nOf {len(y)} windows {y.mean():.2%} show a lesion: 0 said of all is off by {never:.4f}."
    )
    print("\n| said of a window | windows | in the mean | came true |\n| --- | --- | --- | --- |")
    for low, high in pairwise((0.1, 0.3, 0.5, 0.7, 0.9, np.inf)):
        of_bin = (p >= low) & (p < high)
        if of_bin.any():
            came_true = words(mean(y[of_bin], n, owner[of_bin]))
            said = p[of_bin].mean()
            print(f"| {low:g} to {min(high, 1):g} | {of_bin.sum()} | {said:.2f} | {came_true} |")


def words(value: Iterable[float]) -> str:
    return "{:.3f} ({:.3f} to {:.3f})".format(*value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--classifier", help="by default the embedded one")
    parser.add_argument("--json", type=Path, help="write the table's figures here, too")
    parser.add_argument("--quick", action="store_true", help="a sixth of the photos")
    parser.add_argument("-o", "--output", type=Path, help="folder for the photos, regions circled")
    parser.add_argument("--n-jobs", type=int, default=-1)
    options = parser.parse_args()
    classifier = slidewin.load_classifier(options.classifier)
    thresholds = {target: classifier.threshold(target) for target in ("lesion", "melanoma")}
    print(f"classifier {(classifier.fingerprint() or 'unknown')[:12]}, thresholds {thresholds}\n")

    jobs = plan(options.data, quick=options.quick)
    work = (delayed(job.run)(options.classifier, options.output) for job in jobs)
    done = Parallel(n_jobs=options.n_jobs, batch_size=1, return_as="generator")(work)
    records: defaultdict[str, list[Record]] = defaultdict(list)
    for job, record in zip(jobs, tqdm(done, total=len(jobs), unit="photo"), strict=True):
        records[job.kind].append(record)

    n = 100 if options.quick else 1000
    table = figures(records, n)
    show(table)
    show_details(records, n)
    if options.json is not None:
        rows = [{**f._asdict(), "reached": f.reached} for f in table]
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
