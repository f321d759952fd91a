"""Tables of images: what there is, what is known of it, and which split it is in.

A table is a CSV with a column ``file`` and, where known, ``mask``, ``label`` and ``split``
(``train``, ``val`` or ``test``). Paths are relative to the table. A folder stands for a table of
all images below it, and an image for a table of itself.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from slidewin.errors import ArgumentError
from slidewin.image import IMAGE_SUFFIXES, images_in

__all__ = ["SPLITS", "Row", "read_table", "read_tables", "torn_groups"]

SPLITS = ("train", "val", "test")
_NAMED = 5  # groups that a message names


@dataclass(frozen=True)
class Row:
    """One line of a table: where an image is and what is known of it.

    Attributes
    ----------
    file : Path
    mask : Path or None
    label : str
        Empty where not known.
    split : str
        One of ``SPLITS``.
    group : str
        Patient, lesion or whatever else must not be in two splits; empty for an image of its own.
    by_lot : bool
        Whether the split was drawn by lot, so that it may be drawn again.
    """

    file: Path
    mask: Path | None
    label: str
    split: str
    group: str = ""
    by_lot: bool = False


def read_table(
    source: str | Path,
    *,
    validation: float = 0.1,
    group_column: str | None = None,
    splits: Sequence[str] = ("train", "val"),
) -> list[Row]:
    r"""Read a table of images, or list a folder as one.

    Parameters
    ----------
    source : path
        A CSV file, or a folder whose images are all taken.
    validation : float
        Share of groups put from ``train`` into ``val`` where no row of the table is in ``val``.
        The choice goes by the group's name alone (the file's, where there is no group), so it is
        the same on every machine and stays when rows are added.
    group_column : str, optional
        Column that names the patient or lesion. All images of one group are in one split.
    splits : sequence of str
        Splits whose rows are wanted. Those of ``test`` are for whoever scores what was trained.

    Returns
    -------
    list of Row
        In the order of the table. No file is opened, and none need be there.

    Raises
    ------
    ArgumentError
        If there is nothing to read, the CSV has no column ``file`` or `group_column`, a split has
        another name, or the table puts one group into two splits.

    Examples
    --------
    >>> import tempfile
    >>> table = "file,patient,split\na.png,Ada,\nb.png,Ada,\nc.png,Bo,test\n"
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "table.csv")
    ...     _ = path.write_text(table)
    ...     rows = read_table(path, group_column="patient")
    >>> [(row.file.name, row.split, row.group) for row in rows]
    [('a.png', 'train', 'Ada'), ('b.png', 'train', 'Ada')]
    """
    (rows,) = read_tables([source], validation=validation, group_column=group_column, splits=splits)
    return rows


def read_tables(
    sources: Sequence[str | Path],
    *,
    validation: float = 0.1,
    group_column: str | None = None,
    splits: Sequence[str] = ("train", "val"),
) -> list[list[Row]]:
    """Read several tables or folders, as :func:`read_table` reads one.

    They need not all have the `group_column`, since photos of one source come with patients and
    those of another without; one of them must. Lots are drawn table by table; the trainer then
    keeps groups of one name together, in whatever table they are.
    """
    if not 0 <= validation <= 1:
        raise ArgumentError(f"validation={validation!r}: a share from 0 to 1 is needed")
    if isinstance(splits, str) or not set(splits) <= set(SPLITS):
        raise ArgumentError(f"splits={splits!r}: give some of {', '.join(SPLITS)}, in a tuple")
    tables = [(Path(source), _records(Path(source))) for source in sources]
    columns = {column for _, records in tables for column in records[0]}
    if group_column is not None and group_column not in columns:
        raise ArgumentError(
            f"group_column={group_column!r}: found the columns {', '.join(sorted(columns))} in "
            f"{', '.join(map(str, sources))}; name the one that tells patients or lesions apart"
        )
    return [
        [row for row in _rows(source, records, validation, group_column) if row.split in splits]
        for source, records in tables
    ]


def _rows(
    source: Path, records: list[dict[str, str]], validation: float, group_column: str | None
) -> list[Row]:
    given = {record.get("split") or "train" for record in records}
    if surplus := given - set(SPLITS):
        raise ArgumentError(
            f"{source}: found the splits {', '.join(sorted(surplus))}; known are "
            f"{', '.join(SPLITS)}"
        )
    folder = source if source.is_dir() else source.parent
    rows = []
    for record in records:
        split, mask = record.get("split") or "train", record.get("mask")
        group = (record.get(group_column) or "") if group_column else ""
        by_lot = split == "train" and "val" not in given
        if by_lot and _lot(group or record["file"]) < validation:
            split = "val"
        rows.append(
            Row(
                file=folder / record["file"],
                mask=folder / mask if mask else None,
                label=record.get("label") or "",
                split=split,
                group=group,
                by_lot=by_lot,
            )
        )
    _refuse_straddling(rows, source)
    return rows


def _records(source: Path) -> list[dict[str, str]]:
    """Read lines by column name; for a folder, its files; for an image, itself."""
    records: list[dict[str, str]]
    if source.is_dir():
        records = [{"file": path.relative_to(source).as_posix()} for path in images_in(source)]
    elif source.is_file() and source.suffix.lower() in IMAGE_SUFFIXES:
        records = [{"file": source.name}]
    elif source.is_file():
        try:
            with source.open(newline="", encoding="utf-8-sig") as stream:
                records = list(csv.DictReader(stream, restkey="", restval=""))
        except (UnicodeDecodeError, csv.Error) as error:
            raise ArgumentError(f"{source}: no CSV in UTF-8 ({error}); save it as one") from error
    else:
        raise ArgumentError(f"{source}: no such file or folder; give a CSV table or a folder")
    if not records:
        raise ArgumentError(f"{source}: no images found; give a CSV table or a folder of images")
    if "file" not in records[0]:
        raise ArgumentError(
            f"{source}: found the columns {', '.join(records[0])}; a table needs a column "
            "'file', and may have 'mask', 'label' and 'split'"
        )
    return records


def _lot(name: str) -> float:
    return crc32(name.encode()) / 2**32


def torn_groups(rows: Sequence[Row]) -> dict[str, set[str]]:
    """Groups of which there are rows in more than one split, and their splits."""
    splits: dict[str, set[str]] = {}
    for row in rows:
        if row.group:
            splits.setdefault(row.group, set()).add(row.split)
    return {name: its for name, its in splits.items() if len(its) > 1}


def _refuse_straddling(rows: Sequence[Row], source: Path) -> None:
    """Refuse a table that puts one group into two splits."""
    torn = [f"{name} ({', '.join(sorted(its))})" for name, its in torn_groups(rows).items()]
    if torn:
        more = f" and {len(torn) - _NAMED} more" if len(torn) > _NAMED else ""
        raise ArgumentError(
            f"{source}: found groups in two splits: {'; '.join(torn[:_NAMED])}{more}; give all "
            "images of a group one split, or leave the column 'split' empty to have it drawn by lot"
        )
