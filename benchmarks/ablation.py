"""Leave one thing out of the training at a time, and see what is lost.

    python benchmarks/ablation.py DATA [--parts photos distortions] [--windows N] [--epochs N]

Short trainings on ``isic_2017_cc0`` and ``fusc_2021``, all alike but for what is left out, judged
by photos of their validation splits, drawn scenes of other seeds, and the train split of
``pad_ufes_20``, which is not trained on. No test photo is opened. The first table judges whole
photos; the second asks of each distortion whether it helps to tell the windows on lesions from the
others in smartphone photos.
"""

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import hadamard
from scipy.stats import t
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from slidewin.classifier import Classifier
from slidewin.errors import SlidewinWarning
from slidewin.training.data import TrainingData, read_data
from slidewin.training.distort import DISTORTIONS
from slidewin.training.judge import calibrate_on, false_and_found, set_thresholds
from slidewin.training.learner import INPUT_SIZE, Trained, new_learner
from slidewin.training.recipe import draw_windows, learn
from slidewin.training.validation import Swept, sweep_photos
from slidewin.training.windows import WindowSource

Tables = dict[str, list[dict[str, Any]]]
CONTEXT = 2.0  # of the embedded classifier
RUNS = 32  # trainings that screen the distortions
GROUNDS = ("photo", "drawn scene")  # kinds of photos, with a lesion and without


def photos(data: TrainingData, options: argparse.Namespace) -> Tables:
    """What mining, context negatives and calibration each bring on whole photos."""
    arms, calibrations = [], []
    n, whole = options.windows, {"rounds": 1, "n_windows": options.windows}
    for name, settings in (
        ("all of it", whole),
        ("all of it, another seed", whole | {"random_state": 1}),
        ("no mining, but as many windows", {"rounds": 0, "n_windows": 2 * n}),
        ("no context negatives", whole | {"context_negatives": False}),
    ):
        classifier = learn(
            data, epochs=options.epochs, calibrate=False, n_jobs=2, verbose=True, **settings
        )
        swept = sweep_photos(classifier, data.photos, verbose=True)
        calibrated, record = calibrate_on(classifier, swept)
        last = classifier.about["rounds"][-1]
        arms.append({"trained with": name} | at_half(last) | chosen(classifier, calibrated))
        if name == "all of it":
            for when, judged in (("before", swept), ("after", calibrated)):
                calibrations.append(judge(when, classifier, judged, record[when]))
    return {"left out, uncalibrated": arms, "calibration": calibrations}


def judge(
    when: str, classifier: Trained, swept: list[Swept], calibration: dict[str, Any]
) -> dict[str, Any]:
    """What calibration does; each half of the photos is judged by a fit on the other."""
    grounds = [one for one in swept if one.photo.kind in GROUNDS]
    likely = [
        f"{came_true:.2f} of {said:.2f}"
        for said, came_true in zip(calibration["said"], calibration["came_true"], strict=True)
        if said >= 0.5
    ]
    return {
        "calibration": when,
        **at_half(false_and_found(grounds)),
        **chosen(classifier, swept),
        "calibration error": calibration["expected_calibration_error"],
        "Brier score": calibration["brier"],
        "came true of what was said": ", ".join(likely),
    }


def at_half(figures: dict[str, float]) -> dict[str, float]:
    """False regions and lesions found, as a table names them."""
    return {
        f"{key.replace('_', ' ')}, at 0.5": value
        for key, value in figures.items()
        if key.startswith(("false", "sensitivity"))
    }


def chosen(classifier: Trained, swept: list[Swept]) -> dict[str, Any]:
    """The threshold that training would choose, and what it finds on the same photos."""
    threshold = set_thresholds(classifier, swept, n_jobs=2)["lesion"]["threshold"]
    judged = [one.judge("lesion", [threshold]) for one in swept]
    found, there = sum(int(found[0]) for _, found, _ in judged), sum(n for *_, n in judged)
    return {"threshold chosen": threshold, "found at it": f"{found} of {there}"}


def distortions(data: TrainingData, options: argparse.Namespace) -> Tables:
    """What each distortion does for telling windows of smartphone photos apart.

    A screening design: in each of 32 trainings, of seeds of their own, every distortion is on or
    off, half of the time each, so that all trainings speak of every one, and no pair of them is
    mistaken for a third (Box, Hunter and Hunter, Statistics for Experimenters, chapter 6).
    """
    smartphone = [photo for photo in data.photos if photo.kind == "photo of a lesion"]
    # Columns with an odd number of ones: the product of two has an even number, so is none of them.
    odd = [column for column in range(RUNS) if column.bit_count() % 2]
    design = hadamard(RUNS)[:, odd[: len(DISTORTIONS)]] > 0
    results: dict[str, list[float]] = {"over all windows": [], "within a photo": []}
    for seed, on in enumerate(design):
        kinds = [kind for kind, used in zip(DISTORTIONS, on, strict=True) if used]
        classifier = fit_once(data, kinds, options, seed)
        swept = sweep_photos(classifier, smartphone, rough=True, verbose=True)
        known = [(1 - p[:, 0], y > 0) for p, y in (one.windows for one in swept)]
        within = [roc_auc_score(y, p) for p, y in known if 0 < np.count_nonzero(y) < len(y)]
        p, y = (np.concatenate(part) for part in zip(*known, strict=True))
        for name, auc in zip(results, (roc_auc_score(y, p), np.mean(within)), strict=True):
            results[name].append(float(auc))
        tqdm.write(f"training {seed}: " + ", ".join(f"{k} {v[-1]:.4f}" for k, v in results.items()))
    effects = {name: effects_of(design, np.array(auc)) for name, auc in results.items()}
    gains = [
        {"distortion": kind} | {f"gain in AUC {name}": row[i] for name, row in effects.items()}
        for i, kind in enumerate(DISTORTIONS)
    ]
    return {"distortions": gains}


def fit_once(
    data: TrainingData, kinds: list[str], options: argparse.Namespace, seed: int
) -> Classifier:
    """Fit the network as training's first round does."""
    source = WindowSource(
        lesions=data.lesions["train"],
        backgrounds=data.negatives["train"],
        drawn=data.drawn["train"],
        n_classes=len(data.classes),
        input_size=INPUT_SIZE,
        context=CONTEXT,
        distortions=kinds,
    )
    drawn = draw_windows(source, options.windows, (seed,), n_jobs=2, verbose=True)
    learner = new_learner(
        "network",
        data.classes,
        context=CONTEXT,
        epochs=options.epochs,
        random_state=seed,
        verbose=True,
    )
    return learner.fit(*drawn, number=0)[0]


def effects_of(design: NDArray[np.bool_], outcome: NDArray[np.float64]) -> list[str]:
    """Mean outcome with each factor less that without it, with its 95 % interval."""
    n, factors = design.shape
    signs = np.where(design, 1.0, -1.0)
    effects = 2 * signs.T @ outcome / n
    left = outcome - outcome.mean() - signs @ effects / 2
    freedom = n - 1 - factors
    half = t.ppf(0.975, freedom) * 2 * np.sqrt(left @ left / freedom / n)
    return [f"{x:+.4f} ({x - half:+.4f} to {x + half:+.4f})" for x in effects]


def show(rows: list[dict[str, Any]]) -> None:
    print("\n| " + " | ".join(rows[0]) + " |")
    print("| " + " | ".join("---" for _ in rows[0]) + " |")
    for row in rows:
        print("| " + " | ".join(map(str, row.values())) + " |")


PARTS = {"photos": photos, "distortions": distortions}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--windows", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    # Known: the model card tells.
    warnings.filterwarnings("ignore", "7 pairs of near-identical", SlidewinWarning)
    data = read_data(
        [options.data / "isic_2017_cc0" / "labels.csv"],
        [options.data / "fusc_2021" / "labels.csv"],
        [options.data / "pad_ufes_20" / "labels.csv"],
        named=["melanoma"],
        rename={"MEL": "melanoma"},
        no_lesion=["foot_ulcer", "no_wound"],
        group_column=None,
        context=CONTEXT,
        n_drawn=100,
        random_state=0,
        n_jobs=2,
        verbose=True,
    )
    tables: Tables = {}
    for name in options.parts:
        found = PARTS[name](data, options)
        for rows in found.values():
            show(rows)
        tables |= found
    if options.json is not None:
        options.json.write_text(json.dumps(tables, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
