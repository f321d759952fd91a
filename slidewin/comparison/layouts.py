"""How data sets lie on disk: tables, folders, and the layouts of public ones.

Each reader takes a root and a split and lists the samples, or answers None where its layout is not
there. :mod:`slidewin.comparison.dataset` says what each layout is.
"""

import csv
import io
import re
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from slidewin.comparison.coco import read_coco
from slidewin.comparison.outline import Box, MaskFile, Outline
from slidewin.comparison.sample import Sample
from slidewin.errors import ArgumentError, SlidewinWarning
from slidewin.image import images_in

__all__ = ["LAYOUTS", "READERS", "list_tables"]

Record = dict[str, str]

_GROUPS = ("group", "patient_id", "patient")
_CORNERS = ("y0", "x0", "y1", "x1")
_NONE = "none"
_NAMED = 5  # files that a message names


def read_table_layout(root: Path, split: str | None) -> list[Sample] | None:
    """One row a lesion, or one a photo."""
    found = [(path, rows) for path, rows in _tables(root) if "file" in rows[0]]
    if not found:
        return None
    table, rows = _only(root, found)
    if split is not None:
        given = sorted({row.get("split", "") for row in rows})
        if split not in given:
            raise ArgumentError(f"{table}: found the splits {given}, and {split!r} is none of them")
        rows = [row for row in rows if row["split"] == split]
    by_photo: defaultdict[str, list[Record]] = defaultdict(list)
    for row in rows:
        by_photo[row["file"]].append(row)
    _require(table, [table.parent / file for file in by_photo])
    samples = [_from_rows(table, file, several) for file, several in by_photo.items()]
    _require(table, _mask_files(samples))
    return samples


def _from_rows(table: Path, file: str, rows: list[Record]) -> Sample:
    photo = table.parent / file
    groups = {next((row[key] for key in _GROUPS if row.get(key)), None) for row in rows}
    if len(groups) > 1:
        raise ArgumentError(f"{table}: found {file} in the groups {sorted(map(str, groups))}")
    ids = {row.get("lesion_id") for row in rows}  # one may be of several photos, or one of several
    group = groups.pop() or (ids.pop() if len(ids) == 1 else None) or None
    lesions: list[Outline] = []
    of_each: list[str] = []
    for row in rows:
        mask, corners = row.get("mask"), [row.get(key) or "" for key in _CORNERS]
        if mask == _NONE and len(rows) == 1:
            continue
        if mask and mask != _NONE:
            whole = len(rows) > 1 or bool(row.get("lesion_id"))
            lesions.append(MaskFile(table.parent / mask, photo, whole=whole))
        elif all(corners) and not mask:
            try:
                top, left, bottom, right = map(float, corners)
            except ValueError:
                raise ArgumentError(
                    f"{table}: {file} has the box {', '.join(corners)}; numbers are needed"
                ) from None
            lesions.append(Box((top, left, bottom, right), f"{table}, {file}"))
        else:
            raise ArgumentError(
                f"{table}: found neither mask nor box for {file}, or {_NONE!r} beside another row "
                f"of it; give its mask, {', '.join(_CORNERS)}, or {_NONE!r} as its mask if there "
                "is no lesion"
            )
        of_each.append(row.get("label") or "")
    labels = dict.fromkeys(row["label"] for row in rows if row.get("label"))
    return Sample(
        Path(file).with_suffix("").as_posix(),
        photo,
        tuple(lesions),
        group,
        label=", ".join(labels),
        labels=tuple(of_each) if len(set(of_each)) > 1 else (),
    )


def read_folder_layout(root: Path, split: str | None) -> list[Sample] | None:
    """``photos/`` and ``masks/``."""
    folders = [root / name for name in ("photos", "images") if (root / name).is_dir()]
    masked = root / "masks"
    if not folders or not (masked.is_dir() or (root / "lesion_free").is_dir()):
        return None
    _refuse_split(root, split)
    if len(folders) > 1:
        raise ArgumentError(f"{root}: found photos/ and images/; put all photos into one of them")
    photos = _by_name(folders[0])
    masks: defaultdict[str, list[MaskFile]] = defaultdict(list)
    for key, path in _by_name(masked).items():
        match = re.fullmatch(r"(.+)_(?:(\d+)|mask|segmentation|lesion)", key)
        numbered = False
        if key not in photos and match is not None:
            key, numbered = match[1], match[2] is not None
        if key not in photos:
            raise ArgumentError(
                f"{path}: found no photo {folders[0].name}/{key}.*; give it, or leave the mask out"
            )
        masks[key].append(MaskFile(path, photos[key], whole=numbered))
    if bare := sorted(set(photos) - set(masks)):
        raise ArgumentError(
            f"{root}: found no mask for {_some(bare)}; give one in masks/, black all over if a "
            "photo shows no lesion, or move such photos to lesion_free/"
        )
    for key, files in masks.items():
        if len(files) > 1 and not all(file.whole for file in files):
            raise ArgumentError(
                f"{masked}: found {_some([file.path.name for file in files])} for the photo {key}; "
                "give one mask, or one a lesion: "
                f"{key}_1.png, {key}_2.png ..."
            )
    ignored = _by_name(root / "ignore")
    free = _by_name(root / "lesion_free")
    if lost := sorted(set(ignored) - set(photos) - set(free)):
        raise ArgumentError(f"{root / 'ignore'}: found no photo for {_some(lost)}")
    samples = [Sample(key, photo, tuple(masks[key])) for key, photo in photos.items()]
    samples += [Sample(key, photo) for key, photo in free.items()]
    return [
        Sample(one.name, one.photo, one.lesions, ignore=_whole(ignored.get(one.name), one.photo))
        for one in samples
    ]


def read_isic(root: Path, split: str | None) -> list[Sample] | None:
    """``ISIC_0000000.jpg`` and ``ISIC_0000000_segmentation.png``."""
    photos, masks = _isic_files(root)
    if not masks:
        return None
    _refuse_split(root, split)
    return _paired(root, photos, masks)


def read_ham10000(root: Path, split: str | None) -> list[Sample] | None:
    """ISIC's names, and a table that tells which images are of one lesion."""
    found = [(p, rows) for p, rows in _tables(root) if {"image_id", "lesion_id"} <= set(rows[0])]
    if not found:
        return None
    _refuse_split(root, split)
    table, rows = _only(root, found)
    photos, masks = _isic_files(table.parent)
    about = {row["image_id"]: row for row in rows}
    if unknown := sorted(set(photos) - set(about)):
        raise ArgumentError(f"{table}: found no row for {_some(unknown)}; add it, or leave it out")
    return _paired(root, photos, masks, about, group="lesion_id", label="dx")


def read_pad_ufes(root: Path, split: str | None) -> list[Sample] | None:
    """PAD-UFES-20, and masks of which it has none itself."""
    found = [(p, rows) for p, rows in _tables(root) if {"img_id", "patient_id"} <= set(rows[0])]
    if not found:
        return None
    _refuse_split(root, split)
    table, rows = _only(root, found)
    about = {Path(row["img_id"]).stem: row for row in rows}
    photos: list[Path] = []
    masks: list[Path] = []
    for path in images_in(table.parent):
        suffixed = re.fullmatch(r".+_(mask|segmentation)", path.stem, re.IGNORECASE)
        within = any("mask" in part.lower() for part in path.relative_to(table.parent).parts[:-1])
        (masks if suffixed or within else photos).append(path)
    of_photos = {stem: p for stem, p in _by_stem(photos).items() if stem in about}
    of_masks = _by_stem(masks, r"_(mask|segmentation)$")
    return _paired(root, of_photos, of_masks, about, group="patient_id", label="diagnostic")


def read_ph2(root: Path, split: str | None) -> list[Sample] | None:
    """``IMD002/IMD002_Dermoscopic_Image/IMD002.bmp`` and ``IMD002/IMD002_lesion/``."""
    if not root.is_dir():
        return None
    folders = [p for p in root.rglob("IMD*_Dermoscopic_Image") if p.is_dir()]
    if not folders:
        return None
    _refuse_split(root, split)
    photos = _by_stem(path for folder in folders for path in images_in(folder))
    beside = [folder.with_name(f"{folder.name.split('_')[0]}_lesion") for folder in folders]
    masks = _by_stem((path for folder in beside for path in images_in(folder)), "_lesion$")
    return _paired(root, photos, masks)


READERS: Mapping[str, Callable[[Path, str | None], list[Sample] | None]] = {
    "table": read_table_layout,
    "pad-ufes": read_pad_ufes,
    "ham10000": read_ham10000,
    "coco": read_coco,
    "folder": read_folder_layout,
    "ph2": read_ph2,
    "isic": read_isic,
}

LAYOUTS = tuple(READERS)
"""Names of the layouts, in the order in which they are looked for."""


def _paired(
    root: Path,
    photos: Mapping[str, Path],
    masks: Mapping[str, Path],
    about: Mapping[str, Record] | None = None,
    *,
    group: str = "",
    label: str = "",
) -> list[Sample]:
    """Photos that show one lesion each, with its mask; those without one are left out, aloud."""
    bare, lost = sorted(set(photos) - set(masks)), sorted(set(masks) - set(photos))
    both = sorted(set(photos) & set(masks))
    if not both:
        raise ArgumentError(
            f"{root}: found {len(photos)} photos and {len(masks)} masks, and none of one name; a "
            "photo without its lesion's mask cannot be scored"
        )
    if bare or lost:
        warnings.warn(
            f"{root}: left out {len(bare)} photos without a mask"
            + (f" ({_some(bare)})" if bare else "")
            + f" and {len(lost)} masks without a photo"
            + (f" ({_some(lost)})" if lost else ""),
            SlidewinWarning,
            stacklevel=4,
        )
    rows = about or {}
    return [
        Sample(
            name,
            photos[name],
            (MaskFile(masks[name], photos[name], whole=True),),
            rows.get(name, {}).get(group) or None,
            label=rows.get(name, {}).get(label) or "",
        )
        for name in both
    ]


def _isic_files(root: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Photos and masks; ISIC's superpixels, among the photos, are neither."""
    files = images_in(root) if root.is_dir() else []
    photos = [path for path in files if re.fullmatch(r"ISIC_\d+", path.stem)]
    masks = [path for path in files if re.fullmatch(r"ISIC_\d+_segmentation", path.stem)]
    return _by_stem(photos), _by_stem(masks, "_segmentation$")


def _by_stem(paths: Iterable[Path], suffix: str = "") -> dict[str, Path]:
    named: dict[str, Path] = {}
    for path in paths:
        stem = re.sub(suffix, "", path.stem, flags=re.IGNORECASE) if suffix else path.stem
        if stem in named:
            raise ArgumentError(f"found {named[stem]} and {path} for {stem}; leave one of them out")
        named[stem] = path
    return named


def _by_name(folder: Path) -> dict[str, Path]:
    """Images by their path in a folder, without suffix."""
    named: dict[str, Path] = {}
    for path in images_in(folder) if folder.is_dir() else []:
        key = path.relative_to(folder).with_suffix("").as_posix()
        if key in named:
            raise ArgumentError(
                f"found {named[key]} and {path.name}, of one name but for the suffix; rename one"
            )
        named[key] = path
    return named


def _whole(mask: Path | None, photo: Path) -> tuple[Outline, ...]:
    return () if mask is None else (MaskFile(mask, photo, whole=True),)


def list_tables(root: Path) -> list[Path]:
    """The tables that lie in a root, or that it is."""
    inside = [*root.glob("*.csv"), *root.glob("HAM10000_metadata*")] if root.is_dir() else [root]
    files = {path for path in inside if path.is_file()}
    return sorted(path for path in files if path.suffix in (".csv", ".tab", ""))


def _tables(root: Path) -> Iterator[tuple[Path, list[Record]]]:
    """The tables of a root with their rows; not those without any."""
    for path in list_tables(root):
        try:
            text = path.read_text(encoding="utf-8-sig")
            # Where a comma is a decimal point, Excel parts columns by semicolons.
            delimiter = max(",;\t", key=text.partition("\n")[0].count)
            reader = csv.DictReader(io.StringIO(text), delimiter=delimiter, restval="")
            rows = [{k: (v or "").strip() for k, v in row.items() if k} for row in reader]
        except (UnicodeDecodeError, csv.Error) as error:
            raise ArgumentError(f"{path}: no CSV in UTF-8 ({error}); save it as one") from error
        if rows:
            yield path, rows


def _only(root: Path, found: list[tuple[Path, list[Record]]]) -> tuple[Path, list[Record]]:
    if len(found) > 1:
        raise ArgumentError(
            f"{root}: found {_some([path.name for path, _ in found])}; give the path of the one "
            "that is meant"
        )
    return found[0]


def _mask_files(samples: Iterable[Sample]) -> list[Path]:
    return [o.path for one in samples for o in one.lesions if isinstance(o, MaskFile)]


def _require(table: Path, files: Iterable[Path]) -> None:
    if missing := [str(path) for path in files if not path.is_file()]:
        raise ArgumentError(
            f"{table}: names files that are not there: {_some(missing)}; paths are relative to the "
            "table"
        )


def _refuse_split(root: Path, split: str | None) -> None:
    if split is not None:
        raise ArgumentError(
            f"split={split!r}: {root} has no splits; leave it out, or move its photos to a folder "
            f"{split}/ of the same layout"
        )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
