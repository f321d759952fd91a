"""``slidewin compare``: the sweep against other localisers, on photos whose lesions are known."""

import argparse
import sys
from pathlib import Path
from typing import Any, NoReturn

from slidewin.errors import MissingPackageError
from slidewin.output import refuse_existing, write_bytes

__all__ = ["add_compare"]


def add_compare(commands: Any) -> None:
    """Add the command to the parser's ``commands``."""
    words = "compare the sweep with Grad-CAM and others, on photos whose lesions are known"
    compare = commands.add_parser("compare", help=words, description=words, add_help=False)
    compare.set_defaults(run=_compare)
    compare.add_argument("-h", "--help", action=_Help, nargs=0, help="show this help and exit")
    compare.add_argument(
        "dataset",
        metavar="DATASET",
        help="folder, CSV or JSON of photos and masks; photos without lesions among them",
    )
    compare.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="for maps, tables and figures; a comparison that was cut off goes on in its folder, "
        "and methods may be added to one",
    )
    compare.add_argument(
        "--overwrite", action="store_true", help="replace tables and figures of another comparison"
    )
    compare.add_argument(
        "--validation",
        metavar="DATASET",
        help="other photos, of which scales, thresholds and the gate are chosen",
    )
    compare.add_argument(
        "--layout",
        default="auto",
        help="of the data set: table, folder, coco, isic, ham10000, ph2 or pad-ufes; and of "
        "validation photos that are a split of it",
    )
    compare.add_argument(
        "--validation-layout", default="auto", metavar="LAYOUT", help="of --validation, likewise"
    )
    compare.add_argument("--split", help="of the data set, such as test (default: all of it)")
    compare.add_argument("--validation-split", metavar="SPLIT", help="of the validation photos")
    compare.add_argument(
        "--methods",
        nargs="+",
        default=["all"],
        metavar="METHOD",
        help="names or patterns, such as 'grad-cam@*'; CAMs of another layer than the last are "
        "'grad-cam:LAYER@levels' (default: all; they are listed below)",
    )
    compare.add_argument("--classifier", metavar="FILE", help="by default the embedded one")
    compare.add_argument("--target", help="a label, or 'lesion' for all but the background")
    compare.add_argument(
        "--labels",
        nargs="+",
        metavar="LABEL",
        help="lesions that are to be found, by their labels in the data set; the others are "
        "ignored (default: all, whatever the target)",
    )
    compare.add_argument(
        "--lesion-size",
        nargs="+",
        metavar="SIZE",
        help="one diameter or the smallest and largest, in pixels, or in %% of the short side "
        "(default: 4%% 40%%)",
    )
    compare.add_argument(
        "--stride", type=float, help="in lesions (default: each method's own, mostly 0.5)"
    )
    compare.add_argument(
        "--attention", metavar="FILE", help="an attention pooling, saved, for those methods"
    )
    compare.add_argument(
        "--max-passes",
        type=int,
        metavar="N",
        help="refuse methods that take more passes of the network for a photo; 0 leaves each its "
        "own limit (default: 10000)",
    )
    compare.add_argument("--draws", type=int, default=1000, help="for intervals (default: 1000)")
    compare.add_argument("--random-state", type=int, default=0)
    compare.add_argument("--n-jobs", type=int, help="methods at once; -1 is all cores")
    compare.add_argument("--quiet", action="store_true")


def _compare(options: argparse.Namespace) -> int:
    from slidewin.comparison import compare, open_dataset
    from slidewin.comparison.contest import MAX_PASSES
    from slidewin.comparison.entry import TABLES
    from slidewin.report.compared import PICTURES, draw_comparison

    # Where there is a table, `compare` says whether what is there may be replaced.
    if not options.overwrite and not (options.output / TABLES[0]).exists():
        refuse_existing(options.output, PICTURES)
    dataset = open_dataset(options.dataset, layout=options.layout, split=options.split)
    if options.validation is None and options.validation_split is not None:
        options.validation, options.validation_layout = options.dataset, options.layout
    held = None
    if options.validation is not None:
        held = open_dataset(
            options.validation, layout=options.validation_layout, split=options.validation_split
        )
    compared = compare(
        dataset,
        options.classifier,
        methods=options.methods,
        validation=held,
        target=options.target,
        labels=options.labels,
        lesion_size=options.lesion_size,
        stride=options.stride,
        attention=options.attention,
        max_passes=MAX_PASSES if options.max_passes is None else options.max_passes or None,
        output=options.output,
        overwrite=options.overwrite,
        n_draws=options.draws,
        n_jobs=options.n_jobs,
        random_state=options.random_state,
        verbose=not options.quiet,
    )
    drawn = {}
    try:
        drawn = draw_comparison(compared)
    except MissingPackageError as error:  # the figures are in table.json as numbers
        print(f"slidewin compare: {error}", file=sys.stderr)
    for name in PICTURES:
        if name in drawn:
            write_bytes(options.output / name, drawn[name], overwrite=True)
        else:  # one that is there is of tables that are no more
            (options.output / name).unlink(missing_ok=True)
    if not options.quiet:
        print(compared)
        print(f"written to {options.output}: {', '.join((*TABLES, *drawn))}")
    return 0


class _Help(argparse.Action):
    """Help with the names of all methods, which are gathered when they are asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        from slidewin.comparison.methods import known_methods

        uses: dict[str, list[str]] = {}
        for name in known_methods():
            method, at, use = name.partition("@")
            uses.setdefault(method, []).append(at + use)
        alike: dict[str, list[str]] = {}
        for method, of in uses.items():
            alike.setdefault(" or ".join(of), []).append(method)
        named = [
            ", ".join(methods) + (f", each with {of} after it" if of else "")
            for of, methods in alike.items()
        ]
        parser.epilog = f"Methods: {'; '.join(named)}."
        parser.print_help()
        parser.exit()
