"""``slidewin locate``: find the target in photos."""

import argparse
import csv
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slidewin.errors import ArgumentError, SlidewinError
from slidewin.grid import size_in_pixels
from slidewin.image import images_in, read_image
from slidewin.output import make_folder, refuse_existing
from slidewin.workers import spread

if TYPE_CHECKING:
    from slidewin.classifier import Classifier
    from slidewin.finding import Finding

__all__ = ["add_locate"]


_SUMMARY = (
    "photo",
    "status",
    "height",
    "width",
    "target",
    "threshold",
    "regions",
    "best_score",
    "best_centre_row",
    "best_centre_col",
    "best_radius",
    "share_assessed",
    "seconds",
    "error",
)


def add_locate(commands: Any) -> None:
    """Add the command to the parser's ``commands``."""
    words = "find the target in photos"
    locate = commands.add_parser("locate", help=words, description=words)
    locate.set_defaults(run=_locate)
    locate.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="file or folder")
    locate.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    locate.add_argument("--classifier", metavar="FILE", help="by default the embedded one")
    locate.add_argument("--target", help="a label, or 'lesion' for all but the background")
    locate.add_argument(
        "--lesion-size",
        nargs="+",
        metavar="SIZE",
        help="one diameter or the smallest and largest, in pixels, or in %% of the short side "
        "(default: 4%% 40%%)",
    )
    locate.add_argument(
        "--threshold",
        type=float,
        help="probability from which a pixel counts (default: a region reaches the classifier's "
        "own, and extends as far as the map has half of it)",
    )
    locate.add_argument(
        "--roi",
        help="assess only: skin, edges, clusters, otsu, or what FILE.geojson or FILE.png holds",
    )
    locate.add_argument(
        "--stride",
        type=float,
        help="in lesions (default: 0.5, or about 0.25 where windows share their work and more of "
        "them cost no more)",
    )
    locate.add_argument(
        "--engine",
        choices=("auto", "shared", "windows"),
        default="auto",
        help="whether overlapping windows share their work (default: where that is exact)",
    )
    locate.add_argument(
        "--precision",
        choices=("model", "auto"),
        default="model",
        help="auto: half precision, if a sample of windows stays within the tolerance",
    )
    locate.add_argument(
        "--tolerance",
        type=float,
        default=1e-4,
        help="largest difference that sharing may make to a probability (default: 1e-4)",
    )
    locate.add_argument(
        "--refine-above",
        type=float,
        metavar="P",
        help="where windows go one by one: first every other one, then of those between the ones "
        "next to a probability of P or more (default: all)",
    )
    locate.add_argument("--batch-size", type=int, default=64)
    locate.add_argument("--n-jobs", type=int, help="workers, over photos; -1 is all cores")
    locate.add_argument("--max-pixels", type=int, help="refuse larger photos")
    locate.add_argument("--overwrite", action="store_true")
    locate.add_argument("--quiet", action="store_true")


def _locate(options: argparse.Namespace) -> int:
    from slidewin.classifier import load_classifier

    classifier = load_classifier(options.classifier)
    photos = _photos(options.photos)
    _check_usage(classifier, options)
    summary = options.output / "summary.csv"
    if not options.overwrite:
        refuse_existing(options.output, [summary.name])
    make_folder(options.output)
    failures = 0
    with summary.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, _SUMMARY)
        table.writeheader()
        # One photo a worker; the workers of a single photo share its tiles.
        alone = {"n_jobs": options.n_jobs, "verbose": not options.quiet}
        each = alone if len(photos) == 1 else {"n_jobs": 1, "verbose": False}
        rows = spread(
            partial(_locate_one, classifier=classifier, options=options, **each),
            photos,
            n_jobs=1 if len(photos) == 1 else options.n_jobs,
        )
        for photo, row in zip(photos, rows, strict=True):
            failures += row["status"] != "assessed"
            table.writerow(row)
            stream.flush()
            if row["status"] != "assessed":
                print(f"slidewin locate: {row['error']}", file=sys.stderr)
            elif not options.quiet:
                best = f", best {row['best_score']}" if row["regions"] else ""
                print(f"{photo}: {row['regions']} found{best} -> {options.output / photo.stem}")
    if not options.quiet:
        print(f"{len(photos) - failures} photos assessed, {failures} failed; see {summary}")
    return 1 if failures else 0


def _check_usage(classifier: "Classifier", options: argparse.Namespace) -> None:
    """Refuse at once what would be refused for every photo."""
    from slidewin.finding import check_threshold
    from slidewin.mask import check_roi
    from slidewin.sweep import SlidingWindow

    size = size_in_pixels(options.lesion_size, 1000)
    sweep = SlidingWindow(
        classifier,
        lesion_size=size,
        target=options.target,
        stride=options.stride,
        engine=options.engine,
        tolerance=options.tolerance,
        precision=options.precision,
        refine_above=options.refine_above,
        batch_size=options.batch_size,
        n_jobs=options.n_jobs,
    )
    grid = sweep.plan((1000, 1000))
    if options.engine == "shared":
        classifier.share(grid.levels[0].stride)
    if options.threshold is not None:
        check_threshold(options.threshold, "probability")
    if options.roi is not None:
        check_roi(options.roi)


def _locate_one(
    photo: Path,
    classifier: "Classifier",
    options: argparse.Namespace,
    *,
    n_jobs: int | None,
    verbose: bool,
) -> dict[str, Any]:
    from slidewin.finding import locate
    from slidewin.mask import read_roi

    start = time.perf_counter()
    try:
        budget = {} if options.max_pixels is None else {"max_pixels": options.max_pixels}
        image = read_image(photo, **budget)
        size = size_in_pixels(options.lesion_size, min(image.shape[:2]))
        found = locate(
            image,
            classifier,
            lesion_size=size,
            target=options.target,
            threshold=options.threshold,
            stride=options.stride,
            engine=options.engine,
            tolerance=options.tolerance,
            precision=options.precision,
            refine_above=options.refine_above,
            batch_size=options.batch_size,
            n_jobs=n_jobs,
            verbose=verbose,
        )
        if options.roi is not None:
            roi = read_roi(options.roi, image, found.heatmap, lesion_size=size)
            found = found.within(roi)
        found.save(options.output / photo.stem, overwrite=options.overwrite)
    except SlidewinError as error:
        return {"photo": photo, "status": "failed", "error": f"{photo}: {error}"}
    return _row(photo, found, time.perf_counter() - start)


def _row(photo: Path, found: "Finding", seconds: float) -> dict[str, Any]:
    row: dict[str, Any] = {
        "photo": photo,
        "status": "assessed",
        "height": found.photo.shape[0],
        "width": found.photo.shape[1],
        "target": found.label,
        "threshold": found.threshold,
        "regions": len(found.regions),
        "share_assessed": f"{found.assessed.mean():.4f}",
        "seconds": f"{seconds:.2f}",
    }
    if found.regions:
        best = found.regions[0]
        row |= {
            "best_score": f"{best.score:.4f}",
            "best_centre_row": f"{best.centre[0]:.1f}",
            "best_centre_col": f"{best.centre[1]:.1f}",
            "best_radius": f"{best.radius:.1f}",
        }
    return row


def _photos(given: Sequence[Path]) -> list[Path]:
    """Files, and the images of folders, each of which must get a folder of its own."""
    photos: list[Path] = []
    for path in given:
        if path.is_dir():
            inside = images_in(path)
            if not inside:
                raise ArgumentError(f"{path}: no images in this folder")
            photos += inside
        else:
            photos.append(path)
    named: dict[str, Path] = {}
    for photo in photos:
        if photo.stem in ("", ".", ".."):
            raise ArgumentError(f"{photo}: no folder can be named after this file; rename it")
        other = named.setdefault(photo.stem, photo)
        if other is not photo:
            raise ArgumentError(
                f"{other} and {photo} would both be written to {photo.stem}/; run them into two "
                "folders"
            )
    return photos
