"""``slidewin info``: describe a classifier and the versions in use."""

import argparse
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slidewin.classifier import Classifier

__all__ = ["add_info"]


def add_info(commands: Any) -> None:
    """Add the command to the parser's ``commands``."""
    words = "describe a classifier and the versions in use"
    info = commands.add_parser("info", help=words, description=words)
    info.set_defaults(run=_info)
    info.add_argument("classifier", nargs="?", metavar="FILE", help="by default the embedded one")
    info.add_argument("--check", action="store_true", help="try it on made patches, too")


def _engine(classifier: "Classifier") -> str:
    """How a sweep at the default stride will classify, in words."""
    from slidewin.sweep import SlidingWindow
    from slidewin.sweep.way import Way, choose_way

    side = 20 * classifier.input_size
    grid = SlidingWindow(classifier).plan((side, side))
    with classifier.borrowed():
        way, because = choose_way(Way(classifier, None, 1), grid, "auto", "model")
    every = f"every {grid.levels[0].stride} px, which is {grid.stride:.3g} of a lesion"
    if way.shared is None:
        return f"windows one by one, {every} ({because})"
    return f"shared; windows {every}, take {way.shared.saving:.1f} times less work than one by one"


def _info(options: argparse.Namespace) -> int:
    from slidewin.classifier import check, load_classifier
    from slidewin.classifier.protocol import ANY_LESION, BACKGROUND
    from slidewin.versions import versions

    classifier = load_classifier(options.classifier)
    print(classifier)
    print(f"sha256 {classifier.fingerprint()}")
    labels = [str(label) for label in classifier.classes_]
    for name in dict.fromkeys([*labels, *([ANY_LESION] if BACKGROUND in labels else [])]):
        if name != BACKGROUND:
            print(f"threshold for {name}: {classifier.threshold(name)}")
    print(f"engine: {_engine(classifier)}")
    about = getattr(classifier, "about", {})
    if about:
        print(json.dumps(about, indent=2))
    for package, number in versions().items():
        print(f"{package} {number}")
    if not options.check:
        return 0
    checkup = check(classifier)
    print(checkup)
    return 0 if checkup.ok else 1
