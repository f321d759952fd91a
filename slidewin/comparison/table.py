"""The table: one row for each method and variant, the best first, the refused last."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slidewin.comparison.gallery import Gallery
    from slidewin.metrics import Difference

__all__ = ["FIGURES", "Comparison", "Row"]

FIGURES = {
    "froc_luna16": "FROC (LUNA16)",
    "froc_camelyon16": "FROC (CAMELYON16)",
    "sensitivity_at_1": "lesions found at 1 false candidate per photo",
    "pxap_all": "PxAP, all photos",
    "pxap_pos": "PxAP, photos with lesions",
    "pxap_macro": "PxAP, mean of photos with lesions",
    "pxap_chance": "PxAP by chance",
    "specificity_80": "specificity of photos at 80 % of lesions",
    "specificity_90": "specificity of photos at 90 % of lesions",
    "specificity_95": "specificity of photos at 95 % of lesions",
    "photo_auroc": "AUROC of photos, by the maximum",
    "photo_auroc_top": "AUROC of photos, by the top 0.1 %",
    "iou_fixed": "IoU at 0.5",
    "dice_fixed": "Dice at 0.5",
    "iou_tuned": "IoU, threshold tuned",
    "dice_tuned": "Dice, threshold tuned",
    "iou_oracle": "IoU, oracle",
    "dice_oracle": "Dice, oracle",
    "dice_ceiling": "best Dice that the sweep's lattice allows",
    "lesion_dice_fixed": "Dice by lesion, at 0.5",
    "lesion_dice_tuned": "Dice by lesion, threshold tuned",
    "lesion_dice_small_fixed": "Dice by lesion under the median diameter, at 0.5",
    "lesion_dice_small_tuned": "Dice by lesion under the median diameter, threshold tuned",
    "micro_dice_tuned": "Dice of all pixels, threshold tuned",
    "threshold_tuned": "threshold tuned",
    "box_relative": "MaxBoxAccV2, as published",
    "box_relative_recall": "lesions with a box of their own, as published",
    "box_relative_per_photo": "boxes per photo with lesions, as published",
    "box_absolute": "MaxBoxAccV2, one scale",
    "box_absolute_recall": "lesions with a box of their own, one scale",
    "box_absolute_per_photo": "boxes per photo with lesions, one scale",
    "pointing": "pointing game",
    "pointing_near": "pointing game, within 15/224",
    "pointing_stride": "pointing game, within half the sweep's stride",
    "peak_recall": "lesions hit by as many best peaks",
    "energy": "energy on lesions",
    "energy_lift": "energy on lesions, times chance",
    "free_detected_fixed": "lesion-free photos with a detection, at 0.5",
    "free_detected_tuned": "lesion-free photos with a detection, threshold tuned",
    "free_detections_fixed": "detections per lesion-free photo, at 0.5",
    "free_detections_tuned": "detections per lesion-free photo, threshold tuned",
    "free_flagged_fixed": "pixels of lesion-free photos flagged, at 0.5",
    "free_flagged_tuned": "pixels of lesion-free photos flagged, threshold tuned",
    **{
        f"free_{what}_{share}": f"{words} at {share} % of lesions"
        for what, words in (
            ("detections", "detections per lesion-free photo,"),
            ("flagged", "pixels of lesion-free photos flagged,"),
        )
        for share in (80, 90, 95)
    },
    "seconds_per_mp": "seconds per megapixel",
    "cpu_seconds_per_mp": "CPU seconds per megapixel",
    "peak_mib": "memory at its peak, MiB",
    "seconds": "seconds for all photos",
}
"""Names of all figures, in words. Shares are from 0 to 1."""

_SHOWN = {
    "froc_luna16": "FROC",
    "pxap_all": "PxAP",
    "specificity_80": "spec@80",
    "photo_auroc": "AUROC",
    "dice_tuned": "Dice",
    "seconds_per_mp": "s/MP",
    "peak_mib": "MiB",
}
_IN_FILES = frozenset(  # of CSV and JSON: what says little beside another column
    [f"lesion_dice{small}_fixed" for small in ("", "_small")]
    + [f"free_{what}_{share}" for what in ("detections", "flagged") for share in (90, 95)]
    + ["free_flagged_80", "pointing_stride"]
)
_PREFERRED = ("as is", "scaled", "raw", "gated", "minmax")  # of equals, the first is shown


@dataclass(frozen=True)
class Row:
    """One variant of a method.

    Attributes
    ----------
    method, variant : str
    kind : {"sweep", "explanation", "attention", "baseline", "own"}
    photos : int
        That it made a map of; its figures are of these.
    refused : str
        Why there is no map of the others, or of the first of them; likewise of validation photos.
    figures : dict of str to float
        Under the names of :data:`FIGURES`; what could not be worked out is not there.
    intervals : dict of str to (float, float)
        95 %, of some of them.
    sweep_ahead : dict of str to Difference
        By how much the sweep's figure is higher, on the same photos, with its 95 % interval.
    curves : dict of str to tuple of float
        FROC at ``false_per_photo``: ``found``, with its interval ``found_low`` and ``found_high``.
        Of the pixels of all photos ``precision`` at ``recall``.
    asked : int
        Photos that it was to make a map of; 0 where that is not known.
    """

    method: str
    variant: str
    kind: str
    photos: int
    refused: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    sweep_ahead: "Mapping[str, Difference]" = field(default_factory=dict)
    curves: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    asked: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether its figures are of all photos, and so can be set beside those of others."""
        return self.photos >= max(self.asked, 1)

    @property
    def did(self) -> str:
        """Of how many photos it made a map, such as ``"5"`` or ``"1 of 5"``."""
        whole = self.is_whole or not self.asked
        return str(self.photos) if whole else f"{self.photos} of {self.asked}"


@dataclass(frozen=True)
class Comparison:
    """What a comparison has found.

    Attributes
    ----------
    rows : tuple of Row
        By FROC, the best first; what was refused on some photos after those, on all last.
    notes : tuple of str
        How it was done, what is missing and why, and where the sweep loses.
    settings : mapping
        What made it, as JSON can hold it.
    gallery : Gallery or None
        The photos and maps themselves; None if it was read from a file.

    Examples
    --------
    >>> rows = Row("sliding-window", "as is", "sweep", 2, figures={"froc_luna16": 0.75}),
    >>> print(Comparison(rows, ("One photo has a lesion.",)).to_markdown())
    | method | variant | photos | FROC (LUNA16) | refused |
    | --- | --- | --- | --- | --- |
    | **sliding-window** | as is | 2 | 0.750 |  |
    <BLANKLINE>
    - One photo has a lesion.
    <BLANKLINE>
    """

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    gallery: "Gallery | None" = field(default=None, repr=False, compare=False)

    def best(self) -> tuple[Row, ...]:
        """Of each method the row of its best variant by FROC; refused methods with them."""
        chosen: dict[str, Row] = {}
        for row in sorted(self.rows, key=lambda row: _PREFERRED.index(row.variant or "as is")):
            other = chosen.setdefault(row.method, row)
            if _rank(row) > _rank(other):
                chosen[row.method] = row
        return tuple(row for row in self.rows if chosen[row.method] is row)

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self) -> str:
        """A table for the terminal: each method's best variant, then the notes."""
        lines = [["", "", *_SHOWN.values(), "sweep ahead in FROC by"]]
        for row in self.best():
            name = f"{row.method} *" if row.kind == "baseline" else row.method
            if not row.photos:
                lines.append([name, "refused: " + _shortened(row.refused)])
                continue
            cells = [_cell(row, figure) for figure in _SHOWN]
            ahead = row.sweep_ahead.get("froc_luna16")
            marked = "" if ahead is None else _difference(ahead)
            part = "" if row.is_whole else f", {row.did} photos"
            lines.append([name, row.variant + part, *cells, marked])
        whole = [line for line in lines if len(line) > 2]
        widths = [max(len(line[i]) for line in whole) for i in range(len(whole[0]))]
        widths[0] = max(len(line[0]) for line in lines)
        text = []
        for line in lines:
            cells = [cell.ljust(widths[i]) for i, cell in enumerate(line[:2])]
            cells += [cell.rjust(widths[i + 2]) for i, cell in enumerate(line[2:])]
            text.append("  ".join(cells).rstrip())
        told = (
            "",
            "Of each method the variant best by FROC on these photos; all are in the files.",
            "* baseline: looks at the photo alone, but where the sweep has gated it.",
        )
        parts = [row for row in self.best() if row.photos and row.refused]
        missing = [f"{row.method}: {_shortened(row.refused)}" for row in parts]
        return "\n".join([*text, *told, *missing, *self.notes]) + "\n"

    def to_markdown(self) -> str:
        """All rows, the figures there are but for a few that are in the files, and the notes."""
        figures = [
            name
            for name in FIGURES
            if name not in _IN_FILES and any(name in row.figures for row in self.rows)
        ]
        ahead = [n for n in FIGURES if any(n in row.sweep_ahead for row in self.rows)]
        heads = ["method", "variant", "photos", *(FIGURES[name] for name in figures)]
        heads += [f"sweep ahead: {FIGURES[name]}" for name in ahead] + ["refused"]
        lines = [heads, ["---"] * len(heads)]
        for row in self.rows:
            name = {"sweep": f"**{row.method}**", "baseline": f"*{row.method}*"}.get(
                row.kind, row.method
            )
            cells = [name, row.variant, row.did, *(_cell(row, name) for name in figures)]
            cells += [
                _difference(row.sweep_ahead[name]) if name in row.sweep_ahead else ""
                for name in ahead
            ]
            lines.append([*cells, row.refused.replace("|", "\\|").replace("\n", " ")])
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"{table}\n\n" + "".join(f"- {note}\n" for note in self.notes)

    def to_csv(self) -> str:
        """All rows; a figure's interval in columns ``_low`` and ``_high``."""
        intervals = [name for name in FIGURES if any(name in row.intervals for row in self.rows)]
        ahead = [name for name in FIGURES if any(name in row.sweep_ahead for row in self.rows)]
        ends = [f"{name}_{end}" for name in intervals for end in ("low", "high")]
        told = [f"sweep_ahead_{n}{end}" for n in ahead for end in ("", "_low", "_high")]
        known = ("method", "variant", "kind", "photos", "asked")
        stream = io.StringIO(newline="")
        table = csv.DictWriter(stream, [*known, "refused", *FIGURES, *ends, *told])
        table.writeheader()
        for row in self.rows:
            cells: dict[str, Any] = {name: getattr(row, name) for name in known}
            cells |= {"refused": row.refused, **row.figures}
            for name, interval in row.intervals.items():
                cells |= dict(zip((f"{name}_low", f"{name}_high"), interval, strict=True))
            for name, difference in row.sweep_ahead.items():
                names = (f"sweep_ahead_{name}{end}" for end in ("", "_low", "_high"))
                cells |= dict(zip(names, difference, strict=True))
            table.writerow(cells)
        return stream.getvalue()

    def to_json(self) -> str:
        """All of it; :meth:`from_json` reads it again."""
        rows = [asdict(row) for row in self.rows]
        for row in rows:
            row["sweep_ahead"] = {k: list(v) for k, v in row["sweep_ahead"].items()}
        told = {"rows": rows, "notes": self.notes, "settings": dict(self.settings)}
        return json.dumps(told, indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Comparison":
        """What :meth:`to_json` has written."""
        from slidewin.metrics import Difference

        told = json.loads(text)
        rows = []
        for row in told["rows"]:
            for name in ("intervals", "curves"):
                row[name] = {k: tuple(v) for k, v in row[name].items()}
            row["sweep_ahead"] = {k: Difference(*v) for k, v in row["sweep_ahead"].items()}
            rows.append(Row(**row))
        return cls(tuple(rows), tuple(told["notes"]), told["settings"])


def sort_rows(rows: Sequence[Row]) -> tuple[Row, ...]:
    """By FROC, the best first; of those without, as they were. What refused photos goes last."""
    return tuple(sorted(rows, key=lambda row: tuple(-part for part in _rank(row))))


def _rank(row: Row) -> tuple[float, ...]:
    figures = (row.figures.get(name, -math.inf) for name in ("froc_luna16", "pxap_all"))
    return (float(row.photos > 0), float(row.is_whole), *figures)


def _cell(row: Row, figure: str) -> str:
    if figure not in row.figures:
        return ""
    text = _number(row.figures[figure])
    if figure in row.intervals:
        low, high = row.intervals[figure]
        text += f" [{_number(low)}, {_number(high)}]"
    return text


def _difference(difference: "Difference") -> str:
    value, low, high = difference
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.0f}"


def _shortened(words: str, most: int = 140) -> str:
    line = " ".join(words.split())
    return line if len(line) <= most else line[: most - 3] + "..."
