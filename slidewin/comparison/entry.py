"""The entry: what a comparison is asked, refused before anything runs where it is of no use."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import cloudpickle
from tqdm import tqdm

from slidewin.comparison.dataset import open_dataset
from slidewin.comparison.methods import SWEEP, Localizer, Setup
from slidewin.comparison.results import hash_file
from slidewin.comparison.sample import Sample
from slidewin.comparison.table import Comparison
from slidewin.errors import ArgumentError, ArgumentTypeError, OutputExistsError, SlidewinError
from slidewin.output import refuse_existing
from slidewin.workers import spread

if TYPE_CHECKING:
    from slidewin.sweep import SlidingWindow

__all__ = [
    "TABLES",
    "Dataset",
    "Seen",
    "check_count",
    "check_labels",
    "check_own",
    "check_sweep",
    "list_samples",
    "look_through",
    "refuse_leaks",
    "refuse_other",
]

TABLES = ("table.json", "table.csv", "table.md")
"""In the order in which they are written: by the first, a later call knows whose the others are."""

Dataset = str | os.PathLike[str] | Sequence[Sample]

_ALIKE = {
    "classifier": "another classifier",
    "target": "target={!r}",
    "labels": "labels={!r}",
    "lesion_size": "lesion_size={!r}",
    "stride": "stride={!r}",
    "random_state": "random_state={!r}",
    "dataset_sha256": "other photos, or others of their lesions",
}
"""What a comparison must share with one that goes on in its folder, and words for what differs."""

_UNTOLD = (
    "a classifier that has no fingerprint, such as a function, and may have been another than this"
)

_ADDED = {"validation_sha256": "other validation photos", "attention": "another attention"}
"""What it must share if it has any: one without may have it added, as it may have methods."""


@dataclass(frozen=True)
class Seen:
    """What is known of photos that have been read.

    Attributes
    ----------
    shapes : tuple of (int, int)
        Rows and columns of each.
    sha256 : str
        Of the photos and all that is true of them.
    """

    shapes: tuple[tuple[int, int], ...]
    sha256: str


def check_count(name: str, value: Any, *, least: int) -> int:
    """Return an argument as a whole number, or say why it is none from `least` up."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ArgumentTypeError(f"{name}={value!r}: a whole number from {least} up is needed")
    if value < least:
        raise ArgumentError(f"{name}={value}: a whole number from {least} up is needed")
    return int(value)


def list_samples(dataset: Dataset, name: str) -> tuple[Sample, ...]:
    """The photos of a data set, or of a sequence of them, under the argument's name."""
    if isinstance(dataset, str | os.PathLike):
        return open_dataset(dataset)
    samples = tuple(dataset)
    for sample in samples:
        if not isinstance(sample, Sample):
            raise ArgumentTypeError(
                f"{name}: found {type(sample).__name__}; pass the path of a data set, or what "
                "slidewin.comparison.open_dataset returns"
            )
    if not samples:
        raise ArgumentError(f"{name}: there are no photos; pass at least one")
    if len({sample.name for sample in samples}) < len(samples):
        raise ArgumentError(f"{name}: photos share a name; each needs one of its own")
    return samples


def check_labels(labels: str | Sequence[str] | None, samples: Sequence[Sample]) -> list[str] | None:
    """The labels whose lesions count, in order; None for all.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If they are none, or no lesion of the photos has one of them.
    """
    if labels is None:
        return None
    asked = [labels] if isinstance(labels, str) else list(labels)
    if wrong := [label for label in asked if not isinstance(label, str)]:
        raise ArgumentTypeError(f"labels: found {wrong[0]!r}; labels of lesions, str, are needed")
    if not asked:
        raise ArgumentError("labels is empty; name those that count, or leave it out for all")
    known = sorted({label for sample in samples for label in sample.label_of_each if label})
    if unknown := sorted(set(asked) - set(known)):
        there = f"there are {', '.join(map(repr, known))}" if known else "the data set gives none"
        raise ArgumentError(f"labels: {unknown[0]!r} is the label of no lesion; {there}")
    return sorted(set(asked))


def check_own(own: Mapping[str, Localizer]) -> None:
    """Refuse methods of the caller's that cannot travel to other processes.

    Raises
    ------
    ArgumentTypeError
        If one does not pickle.
    """
    for name, one in own.items():
        try:
            cloudpickle.dumps(one)
        except Exception as error:
            raise ArgumentTypeError(
                f"own[{name!r}]: found {type(one).__name__}, which does not pickle "
                f"({type(error).__name__}: {error}); methods run in other processes: let it make "
                "what does not travel when localize is called"
            ) from error


def refuse_leaks(samples: Sequence[Sample], held: Sequence[Sample]) -> None:
    """Refuse a photo, or a patient, on which things would be both chosen and scored."""
    names = {sample.name for sample in samples}
    photos = {hash_file(sample.photo): sample for sample in samples}
    groups = {sample.group: sample for sample in samples if sample.group}
    for sample in held:
        if sample.name in names:
            raise ArgumentError(
                f"dataset: the name {sample.name!r} is that of a validation photo; rename one"
            )
        if (same := photos.get(hash_file(sample.photo))) is not None:
            raise ArgumentError(
                f"validation: {sample.photo} is the photo {same.photo} of the data set; what is "
                "chosen on a photo is not scored on it: leave it out of one"
            )
        if sample.group and sample.group in groups:
            raise ArgumentError(
                f"validation: group {sample.group!r} is in the data set as well, in "
                f"{groups[sample.group].photo}; leave it out of one"
            )


def look_through(
    samples: Sequence[Sample], name: str, *, n_jobs: int | None = None, verbose: int = 1
) -> Seen:
    """Read all photos and masks once: what cannot be read or drawn is told before maps are made.

    Raises
    ------
    SlidewinError
        As :meth:`slidewin.comparison.Sample.read`.
    """
    looks = spread(_look, samples, n_jobs=n_jobs)
    seen = list(tqdm(looks, f"read {name}", len(samples), unit="photo", disable=not verbose))
    sha = hashlib.sha256()
    for _, digest in seen:
        sha.update(digest)
    return Seen(tuple(shape for shape, _ in seen), sha.hexdigest())


def _look(sample: Sample) -> tuple[tuple[int, int], bytes]:
    photo, lesions, ignore = sample.read()
    told = [sample.name, sample.group, sample.label, hash_file(sample.photo), photo.shape]
    told += sample.labels
    sha = hashlib.sha256(json.dumps(told).encode())
    sha.update(lesions.tobytes())
    sha.update(b"" if ignore is None else ignore.tobytes())
    return (photo.shape[0], photo.shape[1]), sha.digest()


def check_sweep(setup: Setup, shapes: Sequence[tuple[int, int]]) -> None:
    """Refuse at once what the sweep would refuse for every photo.

    Raises
    ------
    SlidewinError
        As :class:`slidewin.SlidingWindow` and its plan, if there is none for photos of any of the
        shapes.
    """
    refused: list[SlidewinError] = []
    for shape in dict.fromkeys(shapes):
        try:
            cast("SlidingWindow", setup.make(SWEEP, shape)).plan(shape)
        except SlidewinError as error:
            refused.append(error)
        else:
            return
    raise refused[0]


def refuse_other(folder: Path, asked: Mapping[str, Any], methods: Sequence[str]) -> None:
    """Refuse a folder whose tables are those of another comparison, or of none.

    One that was cut off goes on, and so does one that is asked again, with methods added or not.

    Parameters
    ----------
    folder : Path
    asked : mapping
        Settings of the comparison to come, under the names that it writes them by.
    methods : sequence of str

    Raises
    ------
    OutputExistsError
        Naming what differs.
    """
    path = folder / TABLES[0]
    if not path.exists():
        refuse_existing(folder, TABLES)
        return
    what_then = (
        "choose another folder, or pass overwrite=True (--overwrite on the shell): maps are kept, "
        "tables and figures replaced"
    )
    try:
        there = Comparison.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise OutputExistsError(
            f"{path}: is no comparison that this version has written; {what_then}"
        ) from error
    # In a table without a word of labels, lesions of all of them counted.
    old = {"labels": None, **there.settings}
    new = json.loads(json.dumps(dict(asked)))
    differs = [name for name in _ALIKE if name not in old or old[name] != new[name]]
    # Two that cannot be told apart need not be one.
    untold = "classifier" not in differs and new["classifier"] is None
    differs = ["classifier"] * untold + differs
    differs += [name for name in _ADDED if old.get(name) not in (None, new[name])]
    words = _ALIKE | _ADDED | ({"classifier": _UNTOLD} if untold else {})
    others = [words[name].format(old.get(name)) for name in differs]
    if left := sorted({row.method for row in there.rows} - set(methods)):
        others.append(f"methods that this one leaves out ({', '.join(left)})")
    if others:
        raise OutputExistsError(
            f"{folder}: holds a comparison with {', '.join(others)}; {what_then}"
        )
