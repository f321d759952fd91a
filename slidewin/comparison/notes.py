"""Notes: how a comparison was done, what is missing and why, and where the sweep is behind."""

import math
from collections import Counter
from collections.abc import Sequence
from statistics import mean

from slidewin.comparison.methods import SWEEP
from slidewin.comparison.rows import PAIRED
from slidewin.comparison.run import Run
from slidewin.comparison.sample import Sample
from slidewin.comparison.score import Scored
from slidewin.comparison.table import FIGURES, Comparison, Row
from slidewin.comparison.variants import AS_IS

__all__ = ["how_done", "verdict"]

_MOST_LABELS = 8  # that a note names

# Beside those that are paired: what says how good maps are. Of those called free, less is better.
# IoU goes with Dice; energy is no figure to rank by, as it depends on what is added to a map.
_UNPAIRED = (
    *("froc_camelyon16", "sensitivity_at_1", "pxap_pos", "pxap_macro"),
    *("specificity_90", "specificity_95", "photo_auroc", "photo_auroc_top"),
    *("dice_fixed", "dice_tuned", "dice_oracle", "lesion_dice_tuned", "lesion_dice_small_tuned"),
    *("micro_dice_tuned", "box_relative", "box_absolute"),
    *("pointing", "pointing_near", "peak_recall"),
    *(f"free_{what}_tuned" for what in ("detected", "detections", "flagged")),
    "free_detections_80",
)


def how_done(
    scored: Scored,
    samples: Sequence[Sample],
    validation: Sequence[Sample],
    made: Run,
    methods: Sequence[str],
    *,
    target: str,
    labels: Sequence[str] | None = None,
) -> list[str]:
    """How it was done, and what is missing and why."""
    n_lesions = sum(scored.lesions.values())
    free = sum(n == 0 for n in scored.lesions.values())
    groups = len({sample.group or sample.name for sample in samples})
    notes = [
        f"{len(samples)} photos, {len(samples) - free} with {n_lesions} lesions and {free} "
        "without; "
        + (
            f"95 % intervals by {groups} groups."
            if groups > 1
            else "of one group: no intervals, nor by how much the sweep is ahead."
        ),
        f"All on the same pixels: {scored.ignored:.1%} left out, which some method did not assess "
        "or the data set says to ignore"
        + (
            f"; of lesions that lie wholly there, {scored.unseen}, none counts."
            if scored.unseen
            else "."
        ),
    ]
    if n_lesions:
        notes.append(f"Sought is {target!r}. " + _what_counts(scored, samples, labels))
    notes.append(
        f"Candidates at most {scored.radius:.1f} px apart, half {scored.radius_of}, count as one"
        + ("; one hits the lesion that it is on." if n_lesions else ".")
    )
    if n_lesions:
        ceilings = [photo.ceiling for photo in scored.photos.get((SWEEP, AS_IS), {}).values()]
        if known := [ceiling for ceiling in ceilings if not math.isnan(ceiling)]:
            notes.append(
                f"The sweep's lattice allows a Dice of {mean(known):.3f} at best, by values fitted "
                "to these lesions: what is missing to it the classifier has lost."
            )
    if not free:
        notes.append("No photo is without lesions: nothing is known of false alarms there.")
    positive, negative = scored.validation
    if not positive + negative:
        notes.append(
            "Without validation photos there are no thresholds tuned, no 'scaled' and no 'gated' "
            "maps: raw maps rank places, but nothing says what is much of them."
        )
    elif not positive:
        notes.append("No validation photo has lesions: no threshold is tuned, no map 'scaled'.")
    elif scored.gate is None:
        notes.append("Validation photos of both kinds are needed for a gate: no maps are 'gated'.")
    if positive:
        notes.append(
            f"Chosen on {positive} validation photos with lesions and {negative} without: "
            "thresholds (Dice), scales (99.9th percentile)"
            + ("." if scored.gate is None else f", and the gate, {scored.gate:.3f} (Youden).")
        )
        did = {
            method: sum(
                not made.result(method, one.name, with_map=False).refused for one in validation
            )
            for method in methods
        }
        if fewer := [f"{m} of {n}" for m, n in did.items() if 0 < n < len(validation)]:
            notes.append(
                f"Methods that refused some of these {len(validation)} are chosen for on fewer: "
                f"{', '.join(fewer)}."
            )
    results = {
        (method, sample.name): made.result(method, sample.name, with_map=False)
        for method in methods
        for sample in samples
    }
    if warned := {which: result.warned for which, result in results.items() if result.warned}:
        (method, photo), said = next(iter(warned.items()))
        notes.append(
            f"{len(warned)} maps came with a warning, first {method} of {photo}: {said[0]}"
        )
    if costs := [result.cost for result in results.values() if result.cost is not None]:
        threads, at_once = ({getattr(c, name) for c in costs} for name in ("threads", "at_once"))
        notes.append(
            f"Costs in a fresh process for each method, of {_span(threads, 'thread')}, "
            f"{_span(at_once)} at once: median of the photos after the first, and the largest "
            "memory beyond the idle process's with the classifier loaded; in it are the libraries "
            "that a method imports, such as captum and torchcam."
        )
    return notes


def _what_counts(scored: Scored, samples: Sequence[Sample], labels: Sequence[str] | None) -> str:
    """Which lesions are to be found."""
    if labels is not None:
        return (
            f"Lesions labelled {' or '.join(labels)} count as ones to be found; all others are "
            "ignored, and photos that show those alone count as lesion-free outside of them."
        )
    known = Counter(one.label for one in samples if one.label and scored.lesions[one.name])
    named = ", ".join(f"{label} {n}" for label, n in known.most_common(_MOST_LABELS))
    return (
        "Every lesion that the data set marks counts as one to be found"
        + (f", whatever its label; photos by label: {named}" if named else "")
        + (" ..." if len(known) > _MOST_LABELS else ".")
    )


def verdict(rows: Sequence[Row]) -> list[str]:
    """The best that is not the sweep, and wherever the sweep is behind.

    Figures of fewer photos are not set beside those of all: what refused some has lines of its own.
    """
    notes = []
    whole = [row for row in rows if row.is_whole]
    shown = [row for row in Comparison(tuple(rows)).best() if row.is_whole]
    part = [row for row in rows if row.photos and not row.is_whole]
    for kind, words in (
        ("explanation", "explanation"),
        ("attention", "attention"),
        ("baseline",) * 2,
    ):
        # Of equals the variant that the table shows.
        of_kind = [row for row in shown if row.kind == kind and "froc_luna16" in row.sweep_ahead]
        if of_kind:
            best = of_kind[0]
            value, low, high = best.sweep_ahead["froc_luna16"]
            notes.append(
                f"Best {words} by FROC: {best.method} ({best.variant}), "
                f"{best.figures['froc_luna16']:.3f}; the sweep is ahead by {value:+.3f} "
                f"[{low:+.3f}, {high:+.3f}]."
            )
    notes += _losses(whole, "the sweep loses")
    notes += _behind(whole)
    if part:
        did = dict.fromkeys(f"{row.method} ({row.did})" for row in part)
        notes.append(f"Not of all photos, and so not ranked with the others: {', '.join(did)}.")
    notes += _losses(part, "on the photos that both did, the sweep loses")
    return notes


def _losses(rows: Sequence[Row], words: str) -> list[str]:
    """For each figure in which the sweep is behind any of the rows, those rows, and by how much."""
    notes = []
    for figure in PAIRED:
        behind = [
            (row, row.sweep_ahead[figure])
            for row in rows
            if figure in row.sweep_ahead and row.sweep_ahead[figure].value < 0
        ]
        named = [
            f"{row.method} ({row.variant}) by {-ahead.value:.3f}"
            + ("" if ahead.high < 0 else ", within chance")
            for row, ahead in sorted(behind, key=lambda pair: pair[1].value)
        ]
        if named:
            notes.append(f"In {FIGURES[figure]}, {words} to {'; '.join(named)}.")
    return notes


def _behind(rows: Sequence[Row]) -> list[str]:
    """In one note the other figures in which any row is ahead of the sweep, and the best of them.

    They are not paired, and so there is no interval.
    """
    sweep = next((row for row in rows if row.kind == "sweep"), None)
    paired = {figure for row in rows for figure in row.sweep_ahead}
    told = []
    for figure in (*PAIRED, *_UNPAIRED):
        sign = -1 if figure.startswith("free_") else 1
        having = [row for row in rows if figure in row.figures]
        if sweep not in having or figure in paired:
            continue
        best = max(having, key=lambda row: sign * round(row.figures[figure], 3))
        theirs, ours = (row.figures[figure] for row in (best, sweep))
        if sign * round(theirs, 3) > sign * round(ours, 3):
            named = f"{best.method} ({best.variant}) {theirs:.3f}"
            told.append(f"{FIGURES[figure]}, {named} against {ours:.3f}")
    if not told:
        return []
    return [f"Unpaired, and so without intervals, ahead of the sweep: {'; '.join(told)}."]


def _span(numbers: set[int], of: str = "") -> str:
    low, high = min(numbers), max(numbers)
    span = str(low) if low == high else f"{low} to {high}"
    return span + (f" {of}" + "s" * (high > 1) if of else "")
