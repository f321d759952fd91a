"""A comparison in pictures: of all that was compared, what can be taken in at a glance."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from slidewin.comparison import Comparison, Row
from slidewin.comparison.gallery import Gallery
from slidewin.comparison.methods import SWEEP
from slidewin.report.curves import (
    Line,
    Point,
    draw_cost,
    draw_froc,
    draw_precision_recall,
)
from slidewin.report.sheet import PhotoMaps, draw_maps

__all__ = ["PICTURES", "draw_comparison"]

PICTURES = ("froc.png", "precision_recall.png", "cost.png", "maps.png")
"""All that may be drawn of a comparison."""

_MOST_LINES = 6  # of methods, besides the sweep and the baselines
_MOST_MAPS = 5
_MOST_PHOTOS = 3  # with lesions, and as many without
_PRESENT = "grad-cam@input"  # what most people have


def draw_comparison(comparison: Comparison) -> dict[str, bytes]:
    """Draw a comparison.

    Parameters
    ----------
    comparison : Comparison
        What :func:`slidewin.compare` returns.

    Returns
    -------
    dict of str to bytes
        PNG files by name: ``froc.png`` and ``precision_recall.png`` of the sweep, the six methods
        that are best by FROC, Grad-CAM as it is usually used, and the two best baselines, each in
        its best variant; ``cost.png`` of all methods; ``maps.png`` of some photos, taken evenly in
        order of name, with lesions and without. A method that refused some photos comes after those
        that did all, and says of how many it is. Those that nothing is known for are not there.

    Raises
    ------
    MissingPackageError
        If matplotlib is not installed.
    """
    rows = [row for row in comparison.best() if row.photos]
    methods = [row for row in rows if row.kind not in ("sweep", "baseline")]
    few = [
        *(row for row in rows if row.kind == "sweep"),
        *methods[:_MOST_LINES],
        *(row for row in methods[_MOST_LINES:] if row.method == _PRESENT),
        *[row for row in rows if row.kind == "baseline"][:2],
    ]
    drawn = {}
    if found := [row for row in few if "found" in row.curves]:  # none where there is no lesion
        lines = [_line(row, "false_per_photo", "found") for row in found]
        drawn["froc.png"] = draw_froc(lines)
    if pixels := [row for row in few if "recall" in row.curves]:
        lines = [_line(row, "recall", "precision") for row in pixels]
        chance = pixels[0].figures.get("pxap_chance")
        drawn["precision_recall.png"] = draw_precision_recall(lines, prevalence=chance)
    priced = [row for row in rows if row.figures.get("seconds_per_mp", 0) > 0]
    if points := [_point(row) for row in priced if "froc_luna16" in row.figures]:
        drawn["cost.png"] = draw_cost(points)
    if few and comparison.gallery is not None:
        chosen = [*(row.method for row in few if row.kind == "sweep")]
        chosen += [row.method for row in methods[: _MOST_MAPS - 1]]
        chosen += [row.method for row in few if row.method == _PRESENT]
        chosen += [row.method for row in few if row.kind == "baseline"][:1]
        drawn["maps.png"] = _sheet(comparison.gallery, list(dict.fromkeys(chosen)))
    return drawn


def _line(row: Row, x: str, y: str) -> Line:
    curves = row.curves
    low, high = curves.get(f"{y}_low"), curves.get(f"{y}_high")
    banded = row.kind == "sweep"  # more bands than one hide each other
    return Line(
        _named(row),
        curves[x],
        curves[y],
        low=low if banded else None,
        high=high if banded else None,
        kind=_kind(row),
    )


def _point(row: Row) -> Point:
    low, high = row.intervals.get("froc_luna16", (None, None))
    figures = row.figures
    return Point(
        _named(row),
        figures["seconds_per_mp"],
        figures["froc_luna16"],
        low=low,
        high=high,
        kind=_kind(row),
    )


def _named(row: Row) -> str:
    named = row.method if row.kind == "sweep" else f"{row.method}, {row.variant}"
    return named if row.is_whole else f"{named}, {row.did} photos"


def _kind(row: Row) -> Literal["sweep", "method", "baseline"]:
    if row.kind == "sweep":
        return "sweep"
    return "baseline" if row.kind == "baseline" else "method"


def _sheet(gallery: Gallery, methods: Sequence[str]) -> bytes:
    """Photos by methods, each method on one scale."""
    variants = {method: gallery.variant(method) for method in methods}
    # A method that made no map has no variant, and the sweep no other.
    named = {
        method: f"{method}, {variant}" if variant and method != SWEEP else method
        for method, variant in variants.items()
    }
    with_lesions = [name for name in gallery.names if gallery.lesions[name]]
    without = [name for name in gallery.names if not gallery.lesions[name]]
    photos = []
    for name in (*_evenly(with_lesions), *_evenly(without)):
        shown = gallery.show(name, methods)
        maps = {named[method]: made for method, made in shown.maps.items()}
        photos.append(PhotoMaps(shown.name, shown.photo, shown.lesions, maps))
    scales = {}
    for method in methods:
        if variants[method] != "raw":  # others are from 0 to 1
            continue
        made = [of for one in photos if not isinstance(of := one.maps[named[method]], str)]
        highest = max((float(np.nan_to_num(pixels).max()) for pixels in made), default=1.0)
        if highest > 0:
            scales[named[method]] = (0.0, highest)
    return draw_maps(photos, scales=scales)


def _evenly(names: Sequence[str]) -> list[str]:
    """Some of them, from the first to the last."""
    places = np.linspace(0, len(names) - 1, min(_MOST_PHOTOS, len(names))).round().astype(int)
    return [names[i] for i in places]
