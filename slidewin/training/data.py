"""What a training run has read and drawn, split into what is learned from and what is judged by."""

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np
from tqdm import tqdm

from slidewin.classifier.protocol import BACKGROUND
from slidewin.errors import ArgumentError, SlidewinWarning
from slidewin.image import read_image
from slidewin.training.drawn import draw_backgrounds, draw_lesions
from slidewin.training.leaks import keep_together
from slidewin.training.source import Background, Lesion, read_mask
from slidewin.training.table import SPLITS, Row, read_tables
from slidewin.training.validation import ValidationPhoto, draw_photos, lay_photos

__all__ = ["OTHER_LESION", "TrainingData", "read_data"]

OTHER_LESION = "other_lesion"
# For each drawn piece of cloth: drawn lesions of each kind, and validation scenes.
_DRAWN_LESIONS, _DRAWN_SCENES = 0.2, 0.07
_DRAWN_FOR_VALIDATION = 0.2
# What is drawn, and the classes that it may be of: the first that there is.
_DRAWN_KINDS = {"melanoma": ("melanoma",), "mole": ("nevus", OTHER_LESION)}


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Lesions and photos by split, ``"train"`` and ``"val"``.

    Attributes
    ----------
    classes : list of str
    lesions, negatives, drawn : dict of str to lists
        Close-ups, photos without lesions, and drawn ones.
    photos : list of ValidationPhoto
        Whole photos with known truth, of the validation split alone.
    n_drawn : int
        Drawn pieces of cloth, from which the number of all else that is drawn follows.
    about : dict
        What was read, for the record.
    """

    classes: list[str]
    lesions: dict[str, list[Lesion]]
    negatives: dict[str, list[Background]]
    drawn: dict[str, list[Background]]
    photos: list[ValidationPhoto]
    n_drawn: int
    about: dict[str, Any]


def read_data(
    lesions: Sequence[str | Path],
    negatives: Sequence[str | Path],
    photos: Sequence[str | Path],
    *,
    named: Sequence[str],
    rename: Mapping[str, str],
    no_lesion: Sequence[str],
    group_column: str | None,
    context: float,
    n_drawn: int,
    random_state: int,
    n_jobs: int | None,
    verbose: bool,
) -> TrainingData:
    """Read and draw all that :func:`slidewin.training.train` needs; it explains the parameters."""
    if not lesions or not negatives:
        raise ArgumentError(
            f"{'negatives' if lesions else 'lesions'}: none given; a classifier learns from "
            "lesions and from photos that hold none"
        )
    sources = [*lesions, *negatives, *photos]
    tables = read_tables(sources, group_column=group_column, splits=SPLITS)
    held_out = [row for table in tables for row in table if row.split == "test"]
    tables = [[row for row in table if row.split != "test"] for table in tables]
    sizes = [sum(map(len, tables[: len(lesions)])), sum(map(len, tables[: -len(photos) or None]))]
    rows = [row for table in tables for row in table]
    _warn_of_unknown(no_lesion, rows[sizes[0] : sizes[1]])
    rows[sizes[0] : sizes[1]] = [
        replace(row, mask=None if row.label in no_lesion else row.mask)
        for row in rows[sizes[0] : sizes[1]]
    ]
    # All photos of lesions serve validation, wherever their table would have them.
    rows[sizes[1] :] = [replace(row, split="val", by_lot=False) for row in rows[sizes[1] :]]
    rows = [replace(row, label=rename.get(row.label, row.label)) for row in rows]
    for row in [*rows[: sizes[0]], *rows[sizes[1] :]]:
        if row.label == BACKGROUND:
            raise ArgumentError(
                f"{row.file}: labelled {BACKGROUND!r} in a table of lesions; pictures without a "
                "lesion belong to the negatives"
            )
    rows = keep_together(rows, held_out=held_out, n_jobs=n_jobs, verbose=verbose)
    of_lesions, of_negatives, of_photos = (
        rows[: sizes[0]],
        rows[sizes[0] : sizes[1]],
        rows[sizes[1] :],
    )
    if len(set(named)) < len(named) or {BACKGROUND, OTHER_LESION} & set(named):
        raise ArgumentError(
            f"named={list(named)}: labels of lesions, each once; {BACKGROUND!r} and "
            f"{OTHER_LESION!r} are there by themselves"
        )
    if not any(row.label for row in of_lesions):
        named = ()  # pictures without labels are lesions, and no more is known
    others = any(row.label not in named for row in of_lesions)
    classes = [BACKGROUND, *([OTHER_LESION] if others else []), *named]

    def column(row: Row) -> int:
        return classes.index(row.label if row.label in classes else OTHER_LESION)

    masks: dict[Path, list[Path]] = {}
    for row in [*of_lesions, *of_photos]:
        if row.mask is not None:
            masks.setdefault(row.file, []).append(row.mask)

    def beside(row: Row) -> list[Path]:
        return [mask for mask in masks.get(row.file, ()) if mask != row.mask]

    pool = joblib.Parallel(n_jobs=n_jobs, prefer="threads")
    closeups = pool(
        joblib.delayed(Lesion.read)(
            row,
            column(row),
            context=context,
            others=beside(row),
        )
        for row in tqdm(of_lesions, "lesions", disable=not verbose)
    )
    grounds = pool(
        joblib.delayed(Background.read)(row)
        for row in tqdm(of_negatives, "negatives", disable=not verbose)
    )
    lesions_by, negatives_by, drawn_by = {}, {}, {}
    for split, share in (("train", 1.0), ("val", _DRAWN_FOR_VALIDATION)):
        lesions_by[split] = [
            x for x, row in zip(closeups, of_lesions, strict=True) if x and row.split == split
        ]
        negatives_by[split] = [
            x for x, row in zip(grounds, of_negatives, strict=True) if row.split == split
        ]
        _require_all(lesions_by[split], negatives_by[split], classes, split)
        drawn_by[split] = draw_backgrounds(
            round(n_drawn * share), seed=(random_state, split == "val"), pool=pool
        )
    columns = {
        kind: classes.index(known[0])
        for kind, names in _DRAWN_KINDS.items()
        if (known := [name for name in names if name in classes])
    }
    lesions_by["train"] += draw_lesions(
        round(n_drawn * _DRAWN_LESIONS), columns=columns, seed=(random_state, 2)
    )
    outlined = pool(
        joblib.delayed(_read_photo)(row, column(row), beside(row))
        for row in tqdm(of_photos, "photos", disable=not verbose)
    )
    return TrainingData(
        classes=classes,
        lesions=lesions_by,
        negatives=negatives_by,
        drawn=drawn_by,
        photos=[
            *lay_photos(negatives_by["val"], lesions_by["val"], seed=(random_state, 3)),
            *draw_photos(
                round(n_drawn * _DRAWN_SCENES),
                column=columns.get("melanoma"),
                seed=(random_state, 4),
                pool=pool,
            ),
            *outlined,
        ],
        n_drawn=n_drawn,
        about={
            "tables": ["/".join(Path(source).parts[-2:]) for source in sources],
            "lesions": _count([row for x, row in zip(closeups, of_lesions, strict=True) if x]),
            "lesions_too_small_to_use": sum(x is None for x in closeups),
            "negatives": _count(of_negatives),
            "validation_photos_of_lesions": len(of_photos),
            "settings": {
                "named": list(named),
                "rename": dict(rename),
                "no_lesion": list(no_lesion),
                "group_column": group_column,
            },
        },
    )


def _read_photo(row: Row, column: int, others: Sequence[Path]) -> ValidationPhoto:
    """Read a photo with one lesion; of others in it another row speaks."""
    if row.mask is None:
        raise ArgumentError(
            f"{row.file}: no mask; photos for validation need their lesions outlined, and photos "
            "without lesions belong to the negatives"
        )
    image = read_image(row.file)
    shape = image.shape[:2]
    image = Background.shrunk(image, None).image
    size = (image.shape[1], image.shape[0])
    inside, *elsewhere = (
        cv2.resize(read_mask(mask, shape), size, interpolation=cv2.INTER_AREA) > 127
        for mask in (row.mask, *others)
    )
    if not inside.any():
        raise ArgumentError(f"{row.mask}: outlines nothing; leave the photo out")
    return ValidationPhoto(
        image,
        np.where(inside, np.uint8(column), np.uint8(0)),
        kind="photo of a lesion",
        group=row.group or str(row.file),
        ignore=np.logical_or.reduce(elsewhere) & ~inside if elsewhere else None,
    )


def _require_all(
    lesions: Sequence[Lesion], negatives: Sequence[Background], classes: Sequence[str], split: str
) -> None:
    seen = {lesion.label for lesion in lesions}
    missing = [name for column, name in enumerate(classes) if column and column not in seen]
    if missing or not negatives:
        raise ArgumentError(
            f"split {split!r} has no images of {', '.join(missing) or 'negatives'}: some of each "
            "are needed in both splits. Add some; where the tables name no split, lots give one "
            "group in ten to 'val', so that few groups may leave it empty: name the split of some"
        )


def _warn_of_unknown(no_lesion: Collection[str], rows: Sequence[Row]) -> None:
    known = sorted({row.label for row in rows if row.label})
    if unknown := sorted(set(no_lesion) - set(known)):
        warnings.warn(
            f"no_lesion: no negative has the label {', '.join(unknown)}; found "
            f"{', '.join(known) or 'no labels'} in splits 'train' and 'val'",
            SlidewinWarning,
            stacklevel=2,
        )


def _count(rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for row in rows:
        split = counts.setdefault(row.split, {})
        split[row.label or "unlabelled"] = split.get(row.label or "unlabelled", 0) + 1
    return counts
