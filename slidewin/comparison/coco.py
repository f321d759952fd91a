"""Data sets in COCO's JSON."""

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

from slidewin.comparison.outline import Box, Outline, Polygons, Runs
from slidewin.comparison.sample import Sample
from slidewin.errors import ArgumentError

__all__ = ["read_coco"]

_PHOTOS = ("", "images", "photos")


def read_coco(root: Path, split: str | None) -> list[Sample] | None:
    """List the images of a COCO file; None if there is none.

    Parameters
    ----------
    root : Path
        The JSON, or a folder that has it in itself or in ``annotations/``. Photos are looked for
        beside it, in ``images/``, ``photos/`` or a folder of its name, and likewise one folder up.
    split : str, optional
        A word of the JSON's name, such as ``val`` for ``instances_val2017.json``.

    Returns
    -------
    list of Sample, or None
        Images without annotations show no lesion; annotations with ``iscrowd`` are ignored.
        Categories are labels. An image's ``group`` or ``patient_id`` is its group.

    Raises
    ------
    ArgumentError
        If several files are it, it is not COCO's, two images have one number, a photo is missing,
        or an annotation marks nothing.

    References
    ----------
    Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014, arXiv:1405.0312;
    https://cocodataset.org/#format-data
    """
    if root.is_dir():
        paths = sorted([*root.glob("*.json"), *root.glob("annotations/*.json")])
    else:
        paths = [root] if root.suffix == ".json" else []
    files = {path: data for path in paths if (data := _read(path, asked=path == root)) is not None}
    if not files:
        return None
    if split is not None:
        files = {p: d for p, d in files.items() if split in re.findall("[a-z]+", p.stem.lower())}
    if len(files) != 1:
        raise ArgumentError(
            f"{root}: found {', '.join(path.name for path in paths)}, and {len(files)} of them for "
            f"split={split!r}; give the path of the one that is meant"
        )
    ((path, data),) = files.items()
    try:
        return _samples(path, data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, ArgumentError):
            raise
        raise ArgumentError(
            f"{path}: not as COCO has it ({type(error).__name__}: {error}); export it anew"
        ) from error


def _read(path: Path, *, asked: bool) -> dict[str, Any] | None:
    """COCO's data, or None if another's JSON lies there."""
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        if not asked:
            return None
        raise ArgumentError(f"{path}: cannot be read as JSON ({error})") from error
    known = isinstance(data, dict) and {"images", "annotations"} <= set(data)
    return data if known else None


def _samples(path: Path, data: Mapping[str, Any]) -> list[Sample]:
    kinds = {one["id"]: str(one["name"]) for one in data.get("categories", ())}
    marked: defaultdict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    for annotation in data["annotations"]:
        marked[annotation["image_id"]].append(annotation)
    images: dict[Any, Any] = {}
    for image in data["images"]:
        other = images.setdefault(image["id"], image)
        if other is not image:
            raise ArgumentError(
                f"{path}: found {other['file_name']} and {image['file_name']} under the number "
                f"{image['id']!r}, so that annotations may be of either; number images anew"
            )
    if lost := set(marked) - set(images):
        raise ArgumentError(
            f"{path}: {len(lost)} images have annotations and are not listed, such as number "
            f"{min(lost, key=str)}; export it anew"
        )
    samples = []
    for number, image in images.items():
        group = image.get("group") or image.get("patient_id")
        sizes = (image.get("height"), image.get("width"))
        lesions: list[Outline] = []
        crowds: list[Outline] = []
        for one in marked[number]:
            (crowds if one.get("iscrowd") else lesions).append(_outline(path, one))
        of_each = [
            kinds.get(one.get("category_id"), "")
            for one in marked[number]
            if not one.get("iscrowd")
        ]
        samples.append(
            Sample(
                Path(image["file_name"]).with_suffix("").as_posix(),
                _photo(path, image["file_name"]),
                tuple(lesions),
                None if group is None else str(group),
                tuple(crowds),
                ", ".join(filter(None, dict.fromkeys(of_each))),
                (int(sizes[0]), int(sizes[1])) if all(sizes) else None,
                labels=tuple(of_each) if len(set(of_each)) > 1 else (),
            )
        )
    return samples


def _photo(path: Path, name: str) -> Path:
    for folder, inner in product((path.parent, path.parent.parent), (*_PHOTOS, path.stem)):
        if (folder / inner / name).is_file():
            return folder / inner / name
    raise ArgumentError(
        f"{path}: names the photo {name}, which is neither beside it nor in images/ or photos/"
    )


def _outline(path: Path, annotation: Mapping[str, Any]) -> Outline:
    """The lesion's outline, or its box where there is none."""
    name = f"{path}, annotation {annotation.get('id', 'without id')}"
    shape = annotation.get("segmentation")
    if isinstance(shape, dict):
        counts = shape["counts"]
        rows, cols = shape["size"]
        runs = counts if isinstance(counts, str) else tuple(map(int, counts))
        return Runs(runs, (int(rows), int(cols)), name)
    if shape:
        if any(len(ring) % 2 or len(ring) < 6 for ring in shape):
            raise ArgumentError(
                f"{name}: a polygon is not three or more pairs x, y; correct it or take it out"
            )
        return Polygons(
            tuple(
                tuple((float(y), float(x)) for x, y in zip(ring[::2], ring[1::2], strict=True))
                for ring in shape
            ),
            name,
        )
    if not annotation.get("bbox"):
        raise ArgumentError(f"{name}: neither segmentation nor bbox; take it out")
    x, y, width, height = map(float, annotation["bbox"])
    return Box((y, x, y + height, x + width), name)
