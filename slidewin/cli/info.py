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
    """How a sweep at half-lesion stride will classify, in words."""
    from slidewin.errors import SharingError

    stride = max(1, round(0.5 * classifier.input_size / classifier.context))
    try:
        shared = classifier.share(stride)
    except SharingError as error:
        return f"windows one by one ({error})"
    return (
        f"shared; windows every {stride} px take {shared.saving:.1f} times less arithmetic than "
        f"one by one, and every {shared.spacing} px no more"
    )


def _info(options: argparse.Namespace) -> int:
    from slidewin.classifier import check, load_classifier
    from slidewin.classifier.protocol import ANY_LESION, BACKGROUND
    from slidewin.finding import versions

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
