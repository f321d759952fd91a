"""``slidewin demo``: draw a photo, find the lesion in it, and compare with Grad-CAM."""

import argparse
from pathlib import Path
from typing import Any

__all__ = ["add_demo"]


def add_demo(commands: Any) -> None:
    """Add the command to the parser's ``commands``."""
    words = "draw a photo, find the lesion in it, and compare with Grad-CAM"
    demo = commands.add_parser("demo", help=words, description=words)
    demo.set_defaults(run=_demo)
    demo.add_argument("-o", "--output", type=Path, default=Path("demo"), metavar="DIR")
    demo.add_argument("--random-state", type=int, default=0, help="another number, another scene")
    demo.add_argument("--n-jobs", type=int)
    demo.add_argument("--overwrite", action="store_true")


def _demo(options: argparse.Namespace) -> int:
    from slidewin.demo import demonstrate

    shown = demonstrate(
        options.output,
        random_state=options.random_state,
        n_jobs=options.n_jobs,
        overwrite=options.overwrite,
    )
    print("A drawn hand on printed cloth, one melanoma on the hand. The sweep found:")
    for rank, (region, place) in enumerate(
        zip(shown.found.regions, shown.places, strict=True), start=1
    ):
        row, col = region.centre
        at = f"row {row:.0f}, column {col:.0f}"
        print(f"  {rank}. on the {place}, probability {region.score:.2f}, {at}")
    if "lesion" not in shown.places:
        print("  ... and missed the true lesion.")
    print(f"Look at {options.output / 'figure.png'}; the rest is in {options.output / 'sweep'}.")
    return 0
