"""``slidewin train``: train a classifier on close-ups and lesion-free photos."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Literal

from slidewin.errors import ArgumentError, MissingPackageError
from slidewin.output import make_folder, refuse_existing, write_bytes, write_text

__all__ = ["add_train"]


_TOLD = ("rounds", "refit", "calibration", "thresholds", "validation_windows", "padding")
_MODELS: dict[str, Literal["network", "features"]] = {
    ".safetensors": "network",
    ".skops": "features",
}


def add_train(commands: Any) -> None:
    """Add the command to the parser's ``commands``."""
    words = "train a classifier on close-ups and lesion-free photos"
    train = commands.add_parser("train", help=words, description=words)
    train.set_defaults(run=_train)
    train.add_argument(
        "--lesions", nargs="+", required=True, metavar="TABLE", help="CSV or folder of close-ups"
    )
    train.add_argument(
        "--negatives",
        nargs="+",
        required=True,
        metavar="TABLE",
        help="CSV or folder of photos without lesions; masks mark places to keep clear of",
    )
    train.add_argument(
        "--photos",
        nargs="+",
        default=[],
        metavar="TABLE",
        help="CSV of photos of lesions with masks, to calibrate and choose thresholds by",
    )
    train.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="FILE.safetensors for a network, FILE.skops for colours and textures without one",
    )
    train.add_argument(
        "--classes",
        nargs="+",
        default=["melanoma"],
        metavar="LABEL",
        help="labels that are classes of their own; the rest is 'other_lesion'",
    )
    train.add_argument(
        "--rename", nargs="+", default=[], metavar="OLD=NEW", help="other words for labels"
    )
    train.add_argument(
        "--no-lesion",
        nargs="+",
        default=[],
        metavar="LABEL",
        help="labels of negatives whose masks mark no lesion (wounds, say)",
    )
    train.add_argument(
        "--group-column",
        metavar="COLUMN",
        help="column that names the patient or lesion; no group is in two splits",
    )
    train.add_argument("--rounds", type=int, default=2, help="of mining hard negatives")
    train.add_argument("--windows", type=int, help="to draw before each fit")
    train.add_argument(
        "--drawn", type=int, default=300, help="drawn pieces of cloth, and hands and skin with them"
    )
    train.add_argument("--epochs", type=int, default=6, help="of each fit")
    train.add_argument("--context", type=float, default=2.0, help="window over lesion diameter")
    train.add_argument("--random-state", type=int, default=0)
    train.add_argument("--n-jobs", type=int)
    train.add_argument("--overwrite", action="store_true")
    train.add_argument("--quiet", action="store_true")


def _train(options: argparse.Namespace) -> int:
    from slidewin.classifier import save_file
    from slidewin.report.training import draw_reliability, draw_rounds
    from slidewin.training import train

    # What would lose the training at its end is refused at its beginning.
    if options.output.suffix not in _MODELS:
        raise ArgumentError(
            f"{options.output}: networks are kept in .safetensors files, estimators in .skops files"
        )
    record = options.output.with_suffix(".training")
    names = ("about.json", "rounds.csv", "rounds.png", "reliability.png")
    if not options.overwrite:
        refuse_existing(options.output.parent, [options.output.name])
        refuse_existing(record, names)
    renamed = dict(pair.partition("=")[::2] for pair in options.rename)
    if not all(renamed.values()):
        raise ArgumentError(
            f"--rename {' '.join(options.rename)}: give pairs, such as MEL=melanoma"
        )
    make_folder(record)
    classifier = train(
        options.lesions,
        options.negatives,
        model=_MODELS[options.output.suffix],
        photos=options.photos,
        named=options.classes,
        rename=renamed,
        no_lesion=options.no_lesion,
        group_column=options.group_column,
        context=options.context,
        rounds=options.rounds,
        n_windows=options.windows,
        n_drawn=options.drawn,
        epochs=options.epochs,
        random_state=options.random_state,
        n_jobs=options.n_jobs,
        verbose=not options.quiet,
    )
    save_file(classifier, options.output, overwrite=options.overwrite)
    about = classifier.about
    rounds = about["rounds"]
    lines = [",".join(rounds[0]), *(",".join(map(str, point.values())) for point in rounds)]
    texts = {
        "about.json": json.dumps(about, indent=2) + "\n",
        "rounds.csv": "\n".join(lines) + "\n",
    }
    for name, text in texts.items():
        write_text(record / name, text, overwrite=options.overwrite)
    try:
        write_bytes(record / "rounds.png", draw_rounds(rounds), overwrite=options.overwrite)
        if about["calibration"]:
            diagram = draw_reliability(about["calibration"])
            write_bytes(record / "reliability.png", diagram, overwrite=options.overwrite)
    except MissingPackageError as error:  # the figures are in about.json as numbers
        print(f"slidewin train: {error}", file=sys.stderr)
    if not options.quiet:
        print(json.dumps({name: about[name] for name in _TOLD}, indent=2))
        print(f"written to {options.output}; the record is in {record}")
    return 0
