"""What a classifier is worth on photos of known truth; its calibration and its thresholds."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

from slidewin.classifier.protocol import ANY_LESION
from slidewin.errors import SlidewinWarning
from slidewin.mask import WEAK_SHARE
from slidewin.training.calibration import (
    FALSE_REGIONS_ALLOWED,
    THRESHOLDS,
    choose_threshold,
    fit_calibration,
    reliability,
)
from slidewin.training.data import OTHER_LESION, TrainingData
from slidewin.training.learner import Trained
from slidewin.training.padding import drawn_padding_auc, padding_auc
from slidewin.training.validation import Swept
from slidewin.training.windows import WindowSource

__all__ = [
    "calibrate_on",
    "false_and_found",
    "padding_figures",
    "set_thresholds",
    "unseen_classes",
    "window_figures",
]

_LEAST_PROBABILITY = 0.5  # from which a region counts in the curve over rounds, before calibration


def false_and_found(swept: Sequence[Swept]) -> dict[str, float]:
    """False regions in a photo without lesions, and share of lesions found, uncalibrated."""
    false: dict[str, list[int]] = {}
    n_found = n_lesions = 0
    for one in swept:
        wrong, found, n = one.judge(ANY_LESION, [_LEAST_PROBABILITY])
        n_found, n_lesions = n_found + int(found[0]), n_lesions + n
        if not n:
            false.setdefault(one.photo.kind, []).append(int(wrong[0]))
    rates = {f"false_regions_per_{kind}": round(float(np.mean(n)), 2) for kind, n in false.items()}
    return rates | {"sensitivity": round(n_found / max(n_lesions, 1), 3)}


def unseen_classes(swept: Sequence[Swept], classes: Sequence[str]) -> list[str]:
    """Classes that no window of the photos shows; all, where there is but one sort of photo."""
    if len({one.photo.group for one in swept}) < 2:
        return list(classes)
    seen = set(np.unique(np.concatenate([one.windows[1] for one in swept])).tolist())
    return [name for column, name in enumerate(classes) if column not in seen]


def calibrate_on(classifier: Trained, swept: Sequence[Swept]) -> tuple[list[Swept], dict[str, Any]]:
    """Calibrate a classifier, and what it has swept.

    The record says how good it is on photos that it was not fitted on: each half of them is judged
    by a fit on the other, no ground, scene or patient of a photo being in both. Lesions laid into
    photos come from one stock, and may be.
    """
    known = [one.windows for one in swept]
    fit = fit_calibration(*_joined(known))
    groups = [one.photo.group for one in swept]
    before, after, truth, cross_fitted = [], [], [], True
    for rest, half in GroupKFold(n_splits=2).split(groups, groups=groups):
        probabilities, labels = _joined([known[i] for i in half])
        others = _joined([known[i] for i in rest])
        whole = len(np.unique(others[1])) == probabilities.shape[1]
        cross_fitted &= whole
        before.append(1 - probabilities[:, 0])
        after.append(1 - (fit_calibration(*others) if whole else fit).apply(probabilities)[:, 0])
        truth.append(labels > 0)
    is_lesion = np.concatenate(truth)
    classifier.temperature, classifier.bias = fit.temperature, fit.bias
    calibrated = [
        replace(one, probabilities=tuple(map(fit.apply, one.probabilities))) for one in swept
    ]
    return calibrated, {
        "windows": len(is_lesion),
        "temperature": round(fit.temperature, 4),
        "bias": [round(b, 4) for b in fit.bias],
        "cross_fitted": cross_fitted,
        "before": reliability(is_lesion, np.concatenate(before)),
        "after": reliability(is_lesion, np.concatenate(after)),
    }


def _joined(
    known: Sequence[tuple[NDArray[np.float32], NDArray[np.int64]]],
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    probabilities, labels = zip(*known, strict=True)
    return np.concatenate(probabilities), np.concatenate(labels)


def set_thresholds(
    classifier: Trained, swept: Sequence[Swept], *, n_jobs: int | None
) -> dict[str, Any]:
    """Choose the default threshold of every target, and record how."""
    record: dict[str, Any] = {
        "rule": f"the lowest at which lesion-free validation photos of every kind have at most "
        f"{FALSE_REGIONS_ALLOWED:.2g} false regions each",
        "regions": f"reach the threshold, and extend as far as the map has {WEAK_SHARE:g} of it",
    }
    names = [str(name) for name in classifier.classes_[1:]]
    for target in dict.fromkeys([*names, ANY_LESION]):
        judged = joblib.Parallel(n_jobs=n_jobs, prefer="threads")(
            joblib.delayed(one.judge)(target, THRESHOLDS) for one in swept
        )
        free = [(j, one) for j, one in zip(judged, swept, strict=True) if not one.photo.has_lesion]
        chosen = choose_threshold(
            np.array([false for (false, _, _), _ in free]),
            [one.photo.kind for _, one in free],
            np.sum([found for _, found, _ in judged], axis=0),
            sum(n for _, _, n in judged),
        )
        if not chosen.rule_met:
            warnings.warn(
                f"threshold for {target}: even {chosen.threshold} leaves more false regions than "
                f"{FALSE_REGIONS_ALLOWED:.2g} a photo ({chosen.false_regions_per_photo}); give "
                "more negatives like these, or more rounds",
                SlidewinWarning,
                stacklevel=3,
            )
        classifier.thresholds[target] = chosen.threshold
        record[target] = chosen._asdict()
    return record


def window_figures(
    classifier: Trained, patches: NDArray[np.uint8], labels: NDArray[np.int64]
) -> dict[str, Any]:
    """How well windows of the validation split are told apart, distorted as in training."""
    probabilities = np.concatenate(
        [classifier.predict_proba(patches[i : i + 256]) for i in range(0, len(labels), 256)]
    )
    found = classifier.target_probability(probabilities, ANY_LESION)
    is_lesion = labels > 0
    figures: dict[str, Any] = {
        "windows": len(labels),
        "auc_lesion_against_background": round(float(roc_auc_score(is_lesion, found)), 4),
    }
    names = [str(name) for name in classifier.classes_]
    if OTHER_LESION in names:
        for column, name in enumerate(names[2:], start=2):
            share = probabilities[is_lesion, column] / np.maximum(found[is_lesion], 1e-9)
            auc = roc_auc_score(labels[is_lesion] == column, share)
            figures[f"auc_{name}_against_other_lesions"] = round(float(auc), 4)
    return figures


def padding_figures(
    data: TrainingData,
    sources: Mapping[str, WindowSource],
    *,
    n_windows: int,
    random_state: int,
) -> dict[str, float | None]:
    """How well the picture's border alone tells a class: in close-ups, and in windows as drawn.

    In windows as drawn, how well it tells lesions from the background too.
    """
    options = {"n_windows": n_windows, "random_state": random_state}
    figures = {
        f"auc_lesion_windows_{split}": drawn_padding_auc(source, 0, **options)
        for split, source in sources.items()
    }
    for column, name in enumerate(data.classes[2:], start=2):
        for split, source in sources.items():
            drawn = drawn_padding_auc(source, column, **options)
            figures[f"auc_{name}_close_ups_{split}"] = padding_auc(
                data.lesions[split], column, context=source.context
            )
            figures[f"auc_{name}_windows_{split}"] = drawn
    return {name: None if auc is None else round(auc, 3) for name, auc in figures.items()}
