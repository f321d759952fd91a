"""Leave one thing out of the training at a time, and see what is lost.

    python benchmarks/ablation.py DATA [--windows N] [--epochs N] [--json FILE]

Short trainings on ``isic_2017_cc0`` and ``fusc_2021``, all alike but for what is left out, judged
by photos of their validation splits, drawn scenes of other seeds, and the train split of
``pad_ufes_20``, which is not trained on. No test photo is opened. The first table judges whole
photos; the second asks of each distortion whether it helps to tell the windows on lesions from the
others in smartphone photos, whose AUC is to be read against its spread over seeds.
"""

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from slidewin.errors import SlidewinWarning
from slidewin.training.calibration import reliability
from slidewin.training.data import TrainingData, read_data
from slidewin.training.distort import DISTORTIONS
from slidewin.training.recipe import learn
from slidewin.training.validation import sweep_photos

SEEDS = (0, 1, 2)  # of the training that leaves nothing out: how much luck there is


def photos(data: TrainingData, options: argparse.Namespace) -> list[dict[str, Any]]:
    """What mining, context negatives and calibration each bring on whole photos."""
    rows = []
    for name, left_out in (
        ("all of it", {}),
        ("no mining, but as many epochs", {"rounds": 0, "epochs": 2 * options.epochs}),
        ("no context negatives", {"context_negatives": False}),
        ("no calibration", {"calibrate": False}),
    ):
        settings: dict[str, Any] = {"rounds": 1, "epochs": options.epochs, **left_out}
        classifier = learn(data, n_windows=options.windows, n_jobs=2, verbose=True, **settings)
        last = classifier.about["rounds"][-1]
        swept = sweep_photos(classifier, data.photos, verbose=True)
        probability, label = (
            np.concatenate(part) for part in zip(*(s.windows for s in swept), strict=True)
        )
        judged = reliability(label > 0, 1 - probability[:, 0])
        rows.append(
            {
                "trained with": name,
                **{key: value for key, value in last.items() if key.startswith("false")},
                "lesions found": last["sensitivity"],
                "threshold for lesions": classifier.threshold("lesion"),
                "found at it": classifier.about["thresholds"]["lesion"]["sensitivity"],
                "calibration error": judged["expected_calibration_error"],
                "Brier score": judged["brier"],
            }
        )
    return rows


def distortions(data: TrainingData, options: argparse.Namespace) -> list[dict[str, Any]]:
    """How well windows of smartphone photos are told apart after training without a distortion."""
    smartphone = [photo for photo in data.photos if photo.kind == "photo of a lesion"]
    trainings = [("nothing", (), seed) for seed in SEEDS] + [("all", DISTORTIONS, 0)]
    rows = []
    for name, gone, seed in trainings + [(kind, (kind,), 0) for kind in DISTORTIONS]:
        classifier = learn(
            data,
            n_windows=options.windows,
            epochs=options.epochs,
            rounds=0,
            distortions=[kind for kind in DISTORTIONS if kind not in gone],
            calibrate=False,
            random_state=seed,
            n_jobs=2,
            verbose=True,
        )
        known = [one.windows for one in sweep_photos(classifier, smartphone, verbose=True)]
        within = [
            roc_auc_score(y > 0, 1 - p[:, 0]) for p, y in known if 0 < np.count_nonzero(y) < len(y)
        ]
        p, y = (np.concatenate(part) for part in zip(*known, strict=True))
        rows.append(
            {
                "left out": name,
                "seed": seed,
                "AUC over all windows": round(float(roc_auc_score(y > 0, 1 - p[:, 0])), 4),
                "mean AUC within a photo": round(float(np.mean(within)), 4),
            }
        )
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    print("\n| " + " | ".join(rows[0]) + " |")
    print("| " + " | ".join("---" for _ in rows[0]) + " |")
    for row in rows:
        print("| " + " | ".join(map(str, row.values())) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--windows", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=3)
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
        context=2.0,
        n_drawn=100,
        random_state=0,
        n_jobs=2,
        verbose=True,
    )
    tables = {"photos": photos(data, options), "distortions": distortions(data, options)}
    for rows in tables.values():
        show(rows)
    if options.json is not None:
        options.json.write_text(json.dumps(tables, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
