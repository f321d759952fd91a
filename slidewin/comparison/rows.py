"""Rows: the figures of each method and variant, their intervals, and the sweep beside them."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slidewin.comparison.methods import SWEEP, kind_of
from slidewin.comparison.results import NOTHING
from slidewin.comparison.run import Run
from slidewin.comparison.sample import Sample
from slidewin.comparison.score import PhotoScore, Scored
from slidewin.comparison.table import Row
from slidewin.comparison.variants import AS_IS, name_thresholds
from slidewin.metrics import (
    CAMELYON16_RATES,
    LUNA16_RATES,
    Difference,
    Judged,
    PixelCounts,
    draw_photos,
    drawn_auroc,
    drawn_froc,
    drawn_pxap,
    drawn_sensitivity,
    drawn_specificity,
    froc,
    lesion_free_photos,
    max_box_accuracy,
    oracle_overlap,
    overlap_at,
    pixel_average_precision,
    pool_counts,
)

__all__ = ["PAIRED", "make_rows"]

PAIRED = ("froc_luna16", "pxap_all", "specificity_80")
"""Figures in which the sweep is set against each method, photo by photo."""

_RATES = (0.0, *(2 ** (k / 4) for k in range(-20, 13)))  # from 1/32 to 8 false candidates a photo
_RECALLS = tuple(k / 100 for k in range(1, 101))

Draws = dict[str, NDArray[np.float64]]
Which = tuple[str, str]


def make_rows(
    run: Run,
    scored: Scored,
    methods: Sequence[str],
    samples: Sequence[Sample],
    validation: Sequence[Sample] = (),
    *,
    n_draws: int = 1000,
    random_state: int = 0,
) -> list[Row]:
    """Make the rows of all methods and variants, in no order.

    Parameters
    ----------
    run : Run
        What the maps cost, and why some are missing.
    scored : Scored
    methods : sequence of str
    samples, validation : sequence of Sample
    n_draws : int
        Draws of groups for the intervals.
    random_state : int
    """
    groups = {
        sample.name: f"group {sample.group}" if sample.group else sample.name for sample in samples
    }

    @cache
    def drawn(which: Which, names: tuple[str, ...]) -> Draws:
        weights = weigh(names)
        return _drawn([scored.photos[which][name] for name in names], weights)

    @cache
    def weigh(names: tuple[str, ...]) -> NDArray[np.float64]:
        drawn_of = [groups[name] for name in names]
        weights = draw_photos(drawn_of, n=n_draws, random_state=random_state)
        # Of a single group all draws are alike, and no measure of what another would have given.
        return weights if len(set(drawn_of)) > 1 else weights[:1]

    rows = []
    sweep = (SWEEP, AS_IS)
    for method in methods:
        refused, cost = _records(run, method, samples)
        held = _refusals(run, method, validation, "validation photos")
        mine = [which for which in scored.photos if which[0] == method]
        if not mine:
            kind, asked = kind_of(method), len(samples)
            rows.append(Row(method, "", kind, 0, refused or NOTHING, asked=asked))
        refused = "; ".join(filter(None, (refused, held)))
        for which in mine:
            photos = scored.photos[which]
            names = tuple(photos)
            draws = drawn(which, names)
            figures = _figures(which, list(photos.values()), scored)
            figures |= {name: float(values[0]) for name, values in draws.items()}
            ahead = {}
            common = tuple(name for name in names if name in scored.photos.get(sweep, {}))
            if method != SWEEP and common:
                ours, theirs = drawn(sweep, common), drawn(which, common)
                ahead = {name: _interval(ours[name] - theirs[name]) for name in PAIRED}
            rows.append(
                Row(
                    method,
                    which[1],
                    kind_of(method),
                    len(photos),
                    refused,
                    figures={k: v for k, v in (figures | cost).items() if np.isfinite(v)},
                    intervals={
                        name: interval[1:]
                        for name, values in draws.items()
                        if np.isfinite(interval := _interval(values)).all()
                    },
                    sweep_ahead={k: v for k, v in ahead.items() if np.isfinite(v).all()},
                    curves=_curves(list(photos.values()), weigh(names)),
                    asked=len(samples),
                )
            )
    return rows


def _drawn(photos: Sequence[PhotoScore], weights: NDArray[np.float64]) -> Draws:
    """Figures of all photos, first, and of each draw."""
    judged = [photo.judged for photo in photos]
    has_lesion = [bool(photo.judged.hits) for photo in photos]
    made = {
        "froc_luna16": drawn_sensitivity(judged, weights, LUNA16_RATES),
        "froc_camelyon16": drawn_sensitivity(judged, weights, CAMELYON16_RATES),
        "sensitivity_at_1": drawn_sensitivity(judged, weights, (1.0,)),
        "pxap_all": drawn_pxap([photo.counts for photo in photos], weights),
        "photo_auroc": drawn_auroc([photo.highest for photo in photos], has_lesion, weights),
    }
    for share in (80, 90, 95):
        name = f"specificity_{share}"
        made[name] = drawn_specificity(judged, weights, sensitivity=share / 100)
    return made


def _curves(photos: Sequence[PhotoScore], weights: NDArray[np.float64]) -> dict[str, Any]:
    """FROC with its band, and precision against recall, at places enough to draw them by."""
    if not any(photo.judged.hits for photo in photos):
        return {}
    judged = [photo.judged for photo in photos]
    bands = [_interval(of_rate) for of_rate in drawn_froc(judged, weights, _RATES).T]
    pooled = pool_counts([photo.counts for photo in photos])
    # Where there is no interval, all that is known is that it is a share.
    ends = {"found": 0, "found_low": 0, "found_high": 1}
    curves = {
        "false_per_photo": _RATES,
        **{
            name: tuple(np.nan_to_num(column, nan=end).tolist())
            for (name, end), column in zip(ends.items(), np.transpose(bands), strict=True)
        },
    }
    if pooled.n_lesion:
        found = np.cumsum(pooled.lesion[::-1])
        flagged = found + np.cumsum(pooled.other[::-1])
        at = np.searchsorted(found, np.ceil(np.array(_RECALLS) * pooled.n_lesion))
        curves |= {"recall": _RECALLS, "precision": tuple((found[at] / flagged[at]).tolist())}
    return curves


def _interval(values: NDArray[np.float64]) -> Difference:
    """The first, which is of all photos, and the 95 % interval of the draws."""
    draws = values[1:][~np.isnan(values[1:])]
    # Where half of the draws have no figure, the rest is a choice of lucky ones.
    if draws.size * 2 < values.size - 1 or not draws.size:
        return Difference(float(values[0]), float("nan"), float("nan"))
    low, high = np.percentile(draws, (2.5, 97.5))
    return Difference(float(values[0]), float(low), float(high))


def _figures(which: Which, photos: Sequence[PhotoScore], scored: Scored) -> dict[str, float]:
    """Figures that are of all photos alone."""
    method, variant = which
    counts = [photo.counts for photo in photos]
    judged = [photo.judged for photo in photos]
    positive = [photo for photo in photos if photo.judged.hits]
    pxap = pixel_average_precision(counts)
    weights = np.ones((1, len(photos)))
    has_lesion = [bool(photo.judged.hits) for photo in photos]
    top = drawn_auroc([photo.highest_mean for photo in photos], has_lesion, weights)
    figures = {
        "pxap_pos": pxap.positives.value,
        "pxap_macro": pxap.macro.value,
        "pxap_chance": pxap.all_photos.chance,
        "photo_auroc_top": float(top[0]),
        "pointing": _mean([photo.pointing for photo in positive]),
        "pointing_near": _mean([photo.pointing_near for photo in positive]),
        "pointing_stride": _mean([photo.pointing_stride for photo in positive]),
        "peak_recall": _mean([photo.peaks for photo in positive]),
        "dice_ceiling": _mean([photo.ceiling for photo in positive]),
        "energy": _mean([photo.energy.share for photo in positive]),
        "energy_lift": _mean([photo.energy.lift for photo in positive]),
    }
    for kind in positive[0].boxes if positive else ():
        boxes = max_box_accuracy([photo.boxes[kind] for photo in positive])
        figures |= {
            f"box_{kind}": boxes.value,
            f"box_{kind}_recall": _mean(boxes.recall),
            f"box_{kind}_per_photo": _mean(boxes.boxes_per_photo),
        }
    if any(photo.counts.n_lesion for photo in photos):
        oracle = oracle_overlap(counts)
        figures |= {"iou_oracle": oracle.macro_iou, "dice_oracle": oracle.macro_dice}
    for name, threshold in name_thresholds(which, scored.thresholds).items():
        overlap = overlap_at(counts, threshold)
        # Candidates are on the map's own scale, pixels in bins of it.
        least = scored.scales[method].value(threshold) if variant == "raw" else threshold
        lesions = [lesion for photo in positive for lesion in photo.outlined[name]]
        small = [lesion.dice for lesion in lesions if lesion.diameter < 2 * scored.radius]
        free = lesion_free_photos(judged, counts, threshold)
        found = lesion_free_photos(judged, counts, least)
        figures |= {
            f"iou_{name}": overlap.macro_iou,
            f"dice_{name}": overlap.macro_dice,
            f"lesion_dice_{name}": _mean([lesion.dice for lesion in lesions]),
            f"lesion_dice_small_{name}": _mean(small),
            f"free_detected_{name}": found.with_detection,
            f"free_detections_{name}": found.detections_per_photo,
            f"free_flagged_{name}": free.flagged,
        }
        if name == "tuned":
            figures |= {"micro_dice_tuned": overlap.micro_dice, "threshold_tuned": least}
    return figures | _where_found(which, judged, counts, scored)


def _where_found(
    which: Which, judged: Sequence[Judged], counts: Sequence[PixelCounts], scored: Scored
) -> dict[str, float]:
    """What is found in lesion-free photos at the thresholds that find enough of the lesions."""
    curve = froc(judged)
    figures: dict[str, float] = {}
    for share in (80, 90, 95):
        least = curve.threshold_finding(share / 100)
        if np.isnan(least):
            continue
        binned = least
        if which[1] == "raw":
            binned = float(scored.scales[which[0]].bins(np.array([least], np.float32))[0])
        found = lesion_free_photos(judged, counts, least)
        figures |= {
            f"free_detections_{share}": found.detections_per_photo,
            f"free_flagged_{share}": lesion_free_photos(judged, counts, binned).flagged,
        }
    return figures


def _records(run: Run, method: str, samples: Sequence[Sample]) -> tuple[str, dict[str, float]]:
    """Why a method has no map of some photos, and what the others cost."""
    refused = _refusals(run, method, samples, "photos")
    results = [run.result(method, sample.name, with_map=False) for sample in samples]
    costs = [result.cost for result in results if result.cost is not None]
    warmed = [cost for cost in costs if not cost.first] or costs
    if not warmed:
        return refused, {}
    figures: dict[str, Any] = {
        "seconds_per_mp": float(np.median([c.seconds / c.pixels for c in warmed])) * 1e6,
        "cpu_seconds_per_mp": float(np.median([c.cpu_seconds / c.pixels for c in warmed])) * 1e6,
        "seconds": float(sum(cost.seconds for cost in costs)),
    }
    peaks = [cost.peak_bytes for cost in costs if cost.peak_bytes is not None]
    if peaks:
        figures["peak_mib"] = max(peaks) / 2**20
    return refused, figures


def _refusals(run: Run, method: str, samples: Sequence[Sample], photos: str) -> str:
    """Of how many of the photos a method has no map, and why."""
    results = {sample.name: run.result(method, sample.name, with_map=False) for sample in samples}
    reasons = {name: result.refused for name, result in results.items() if result.refused}
    if not reasons:
        return ""
    name, reason = next(iter(reasons.items()))
    refused = reason if len(set(reasons.values())) == 1 else f"{reason} ({name})"
    if len(reasons) == len(samples) and photos == "photos":
        return refused
    return f"{len(reasons)} of {len(samples)} {photos}: {refused}"


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
