"""Write the two real tasks of the comparison as data sets.

    python benchmarks/tasks.py DATA OUTPUT [--limit N] [--attention]

DATA is a folder with ``isic_2017_cc0``, ``pad_ufes_20``, ``fusc_2021`` and ``hands``. Written are

``melanoma-laid/{val,test}``
    Lesions of ISIC's val and test splits laid into FUSC photos, 28 to 64 px wide. Of the test
    photos every other one has a lesion, as in ``benchmarks/classifier.py``; the val photos, which
    are few, are there once with a lesion and once as they are. Wounds are no lesions.
``melanoma-laid/train``, ``melanoma-laid/attention.safetensors``
    With ``--attention``: lesions of ISIC's train split laid into every other one of up to 80 FUSC
    train photos, and attention over the embedded classifier's windows, fitted to whether a photo
    has a lesion, not to where. That classifier itself was fitted to these photos and lesions, where
    it is surer than elsewhere: attention learned there may do worse on others.
``pad/{val,test}``
    PAD-UFES-20, one lesion a photo, grouped by patient.
``ulcer/{val,test}``
    FUSC photos and their wounds, each piece of a mask one. All but a photo or two have a wound, so
    beside each stands the largest part of it to one side of its wounds: a photo without.
``ulcer/closeups.csv``, ``negatives.csv``, ``photos.csv``
    What a classifier of wounds is trained on, of FUSC's train split alone.

Neither FUSC nor PAD-UFES-20 has a val split: it is drawn from train by lot, a tenth as for the
embedded classifier, which was not fitted to it, and for wounds a fifth. Classifiers are calibrated
on val photos, and thresholds chosen; test photos choose nothing.
"""

import argparse
import csv
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from classifier import (
    LAID_SIZES,
    SPLITS,
    Mask,
    Photo,
    Record,
    diameter_of,
    lay,
    read,
    rows_of,
    to_be_laid,
    without_twins,
)

import slidewin
from slidewin.metrics.truth import split_lesions
from slidewin.output import make_folder, write_png
from slidewin.saliency import AttentionPooling
from slidewin.training.leaks import keep_together
from slidewin.training.table import read_tables

SOURCES = (
    "isic_2017_cc0/labels.csv",
    "pad_ufes_20/labels.csv",
    "fusc_2021/labels.csv",
    "hands/images/7_IMG_5874.jpg",
)
HALF = 2.2  # diameters from a wound's centre to its close-up's border: windows at any angle fit in
LEAST = 12.0  # px, the smallest diameter that training learns from
STRAY = 0.01  # of a wound's area: what the pen left beside it
AWAY = 16  # px between a wound and the part of its photo that counts as without
SMALLEST = 128  # px, the least side of such a part
TAUGHT = 80  # photos that attention is fitted to
COLUMNS = ("file", "mask", "label", "split", "group", "lesion_id")


Rows = dict[str, dict[str, list[Record]]]


class DataSet:
    """Photos and masks in a folder, and the table that lists them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.rows = folder, list[Record]()
        for name in ("photos", "masks"):
            make_folder(folder / name)

    def copy(self, row: Record, **about: str) -> None:
        """Add a photo and its mask as they are."""
        names = {key: f"{kind}/{row[key].name}" for key, kind in KINDS.items()}
        for key, name in names.items():
            shutil.copyfile(row[key], self.folder / name)
        self.rows.append({**names, **about})

    def add(self, stem: str, photo: Photo, mask: Mask, **about: str) -> None:
        """Add a photo and its mask as made; black where there is no lesion."""
        names = {key: f"{kind}/{stem}.png" for key, kind in KINDS.items()}
        for name, picture in zip(names.values(), (photo, mask.astype(np.uint8) * 255), strict=True):
            write_png(self.folder / name, picture, overwrite=True)
        self.rows.append({**names, **about})

    def write(self) -> None:
        """Write the table."""
        write_table(self.folder / "labels.csv", self.rows)
        print(f"{self.folder}: {len(self.rows)} photos")


KINDS = {"file": "photos", "mask": "masks"}


def write_table(path: Path, rows: list[Record]) -> None:
    columns = [name for name in COLUMNS if any(name in row for row in rows)]
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, columns, restval="")
        table.writeheader()
        table.writerows(rows)


def splits_of(
    data: Path, sources: Sequence[str], validation: float, group_column: str | None = None
) -> Rows:
    """Rows by source and split, val drawn by lot where a source has none, as training draws it."""
    tables = [data / name for name in sources]
    known = read_tables(tables, validation=validation, group_column=group_column)
    tests = read_tables(tables, splits=("test",))
    rows = keep_together([row for table in known for row in table], n_jobs=-1)
    found: Rows = {name.partition("/")[0]: {split: [] for split in SPLITS} for name in sources}
    for row in [*rows, *(row for table in tests for row in table)]:
        source = row.file.relative_to(data).parts[0]
        found[source][row.split].append({"file": row.file, "mask": row.mask, "label": row.label})
    return found


def write_laid(
    output: Path, feet: list[Record], stock: list[Record], *, twice: bool = False
) -> list[Record]:
    """Lay the lesions of a stock into every other photo, or into all that are there as they are."""
    task = DataSet(output)
    for i, row in enumerate(feet):
        photo, wound = read(row)
        stem = row["file"].stem
        nothing = np.zeros_like(wound)
        if twice or i % 2:
            task.add(f"{stem}_as_is" if twice else stem, photo, nothing, group=stem)
        if twice or not i % 2:
            lesion = stock[(i if twice else i // 2) % len(stock)]
            laid, mask = lay(photo, wound, lesion)
            if not mask.any():  # no bare skin to lay it on
                if not twice:
                    task.add(stem, photo, nothing, group=stem)
                continue
            about = {"label": lesion["label"], "lesion_id": lesion["file"].stem}
            task.add(stem, laid, mask, group=stem, **about)
    task.write()
    return task.rows


def fit_attention(laid: Path, rows: list[Record]) -> None:
    """Fit attention to the labels of whole photos, and say how it is compared."""
    least, largest = LAID_SIZES
    pooling = AttentionPooling(slidewin.load_classifier(), target="lesion", lesion_size=LAID_SIZES)
    pooling.fit([laid / "train" / row["file"] for row in rows], ["label" in row for row in rows])
    file = laid / "attention.safetensors"
    pooling.save(file, overwrite=True)
    print(
        f"{file}: fitted to {len(rows)} photos; compare by\n"
        f"  slidewin compare {laid}/test --validation {laid}/val --target lesion "
        f"--lesion-size {least:g} {largest:g} --attention {file} -o compared"
    )


def write_pad(output: Path, rows: list[Record], patients: dict[Path, Record]) -> None:
    task = DataSet(output)
    for row in rows:
        about = patients[row["file"]]
        task.copy(row, label=row["label"], group=about["patient_id"], lesion_id=about["lesion_id"])
    task.write()


def write_ulcers(output: Path, rows: list[Record], *, parts: bool = False) -> list[Record]:
    """Write whole photos with their wounds; return the rows as their parent folder has them."""
    task = DataSet(output)
    for row in rows:
        task.copy(row, label=row["label"], group=row["file"].stem)
    whole = list(task.rows)
    for row in rows if parts else ():
        photo, wounds = read(row)
        if (part := without(photo, wounds)) is not None:
            stem = row["file"].stem
            task.add(f"{stem}_without", photo[part], wounds[part], group=stem)
    task.write()
    name = output.name
    return [{**row, **{key: f"{name}/{row[key]}" for key in KINDS}} for row in whole]


def without(photo: Photo, wounds: Mask) -> tuple[slice, slice] | None:
    """The part of a photo to one side of its wounds that shows most, less the black about it."""
    if not wounds.any():
        return None
    shown = photo.any(axis=2)
    (top, bottom), (left, right) = (ends(wounds.any(axis=axis)) for axis in (1, 0))
    sides = (
        np.s_[: max(0, top - AWAY), :], np.s_[bottom + AWAY :, :],
        np.s_[:, : max(0, left - AWAY)], np.s_[:, right + AWAY :],
    )  # fmt: skip
    first, second = max(sides, key=lambda side: np.count_nonzero(shown[side]))
    only = np.zeros_like(shown)
    only[first, second] = shown[first, second]
    if not only.any():
        return None
    (top, bottom), (left, right) = (ends(only.any(axis=axis)) for axis in (1, 0))
    if min(bottom - top, right - left) < SMALLEST:
        return None
    return slice(top, bottom), slice(left, right)


def ends(flags: Mask) -> tuple[int, int]:
    """Where a line of flags first is set, and where no more."""
    places = np.flatnonzero(flags)
    return int(places[0]), int(places[-1]) + 1


def write_closeups(output: Path, rows: list[Record], split: str) -> list[Record]:
    """Cut out every wound that is alone in its surroundings."""
    task = DataSet(output)
    for row in rows:
        photo, wounds = read(row)
        pieces, _ = split_lesions(wounds)
        for number, wound in enumerate(pieces, start=1):
            box = surroundings(wound)
            others = np.count_nonzero((wounds & ~wound)[box])
            if diameter_of(wound) < LEAST or others > STRAY * np.count_nonzero(wound):
                continue
            stem = row["file"].stem
            task.add(
                f"{stem}_{number}", photo[box], wound[box], label=row["label"], group=stem,
                split=split,
            )  # fmt: skip
    return [{**row, **{key: f"{output.name}/{row[key]}" for key in KINDS}} for row in task.rows]


def surroundings(wound: Mask) -> tuple[slice, slice]:
    """The square round a wound that its close-up shows, as far as the photo goes."""
    middle = np.argwhere(wound).mean(axis=0) + 0.5
    reach = HALF * diameter_of(wound)
    low = np.maximum(np.floor(middle - reach), 0).astype(int)
    high = np.minimum(np.ceil(middle + reach), wound.shape).astype(int)
    return slice(low[0], high[0]), slice(low[1], high[1])


def write_training(output: Path, feet: dict[str, list[Record]], val: list[Record]) -> None:
    """Write the tables of a classifier of wounds, of the train and val splits."""
    closeups = [
        row
        for split in ("train", "val")
        for row in write_closeups(output / "closeups", feet[split], split)
    ]
    train = write_ulcers(output / "train", feet["train"])
    negatives = [{**row, "split": "train"} for row in train]
    negatives += [{**row, "split": "val"} for row in val]
    write_table(output / "closeups.csv", closeups)
    write_table(output / "negatives.csv", negatives)
    wounded = [row for row in val if slidewin.read_image(output / row["mask"]).any()]
    write_table(output / "photos.csv", [{**row, "split": "val"} for row in wounded])
    print(
        f"{output}: {len(closeups)} close-ups of wounds; train a classifier by\n"
        f"  slidewin train --lesions {output}/closeups.csv --negatives {output}/negatives.csv "
        f"--photos {output}/photos.csv --classes foot_ulcer --group-column group "
        "-o ulcer.safetensors"
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--limit", type=int, help="at most so many photos of a split")
    parser.add_argument("--attention", action="store_true", help="fit it too (minutes)")
    options = parser.parse_args(arguments)
    data, output, n = options.data, options.output, options.limit
    rows = splits_of(data, SOURCES, 0.1, "patient_id")
    feet, pads = ({s: of[s][:n] for s in SPLITS} for of in (rows["fusc_2021"], rows["pad_ufes_20"]))
    isic, pad = data / SOURCES[0], data / SOURCES[1]
    patients = {row["file"]: row for split in SPLITS for row in rows_of(pad, split)}
    for split in ("val", "test"):
        stock = to_be_laid(without_twins(rows_of(isic, split), isic, split), n)
        laid = output / "melanoma-laid" / split
        write_laid(laid, feet[split], stock, twice=split == "val")
        write_pad(output / "pad" / split, pads[split], patients)
    if options.attention:
        stock = to_be_laid(without_twins(rows_of(isic, "train"), isic, "train"), n or TAUGHT)
        laid = output / "melanoma-laid"
        fit_attention(laid, write_laid(laid / "train", feet["train"][:TAUGHT], stock))
    # Classifiers of wounds are trained anew, and can spare more photos.
    limbs = splits_of(data, SOURCES[2:3], 0.2)["fusc_2021"]
    limbs = {split: rows[:n] for split, rows in limbs.items()}
    val, _ = (
        write_ulcers(output / "ulcer" / split, limbs[split], parts=True)
        for split in ("val", "test")
    )
    write_training(output / "ulcer", limbs, val)


if __name__ == "__main__":
    main()
