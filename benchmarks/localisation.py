"""Measure whether the sweep points at the lesion, on photos never trained on.

    python benchmarks/localisation.py DATA [-o DIR]

DATA is a folder with ``pad_ufes_20`` (smartphone close-ups with masks; its test split is used) and
``nci_moles`` (wide-field photos with a box round one spot). With ``-o`` the overlays of all photos
are written, so that the misses can be looked at.
"""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import slidewin
from slidewin.classifier import Classifier
from slidewin.output import write_png
from slidewin.report import draw_regions

PAD_LESIONS = (0.08, 0.60)  # of the short side
NCI_LESIONS = (6, 45)  # pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--classifier", help="by default the embedded one")
    parser.add_argument("--split", default="test", help="of pad_ufes_20")
    parser.add_argument("--n-jobs", type=int)
    options = parser.parse_args()
    classifier = slidewin.load_classifier(options.classifier)
    print(f"classifier {classifier.fingerprint()[:12]}, target 'lesion'")
    print(f"threshold {classifier.threshold('lesion')}\n")
    pad_ufes(classifier, options)
    nci(classifier, options)


def pad_ufes(classifier: Classifier, options: argparse.Namespace) -> None:
    """Share of photos in which the best region's centre lies in the true mask, by diagnosis."""
    folder = options.data / "pad_ufes_20"
    hits: dict[str, list[bool]] = {}
    misses, regions, central = [], 0, 0
    for row in rows_of(folder / "labels.csv"):
        if row["split"] != options.split:
            continue
        photo = slidewin.read_image(folder / row["file"])
        mask = slidewin.read_image(folder / row["mask"])[:, :, 0] > 127
        size = tuple(share * min(photo.shape[:2]) for share in PAD_LESIONS)
        found = locate(photo, classifier, size, options)
        hit = bool(found.regions) and bool(mask[tuple(int(x) for x in found.regions[0].centre)])
        hits.setdefault(row["label"], []).append(hit)
        regions += len(found.regions)
        central += bool(mask[photo.shape[0] // 2, photo.shape[1] // 2])
        if not hit:
            misses.append(f"{Path(row['file']).stem} ({row['label']})")
        save(found, options, "hit" if hit else "miss", row["file"])
    total = [hit for group in hits.values() for hit in group]
    print(f"pad_ufes_20 {options.split}: best region's centre in the true mask")
    print("| diagnosis | photos | hit | share | 95 % interval |\n| --- | --- | --- | --- | --- |")
    for label, group in [*sorted(hits.items()), ("all", total)]:
        low, high = wilson(sum(group), len(group))
        share = sum(group) / len(group)
        print(f"| {label} | {len(group)} | {sum(group)} | {share:.2f} | {low:.2f} to {high:.2f} |")
    print(f"for comparison, the centre of the photo: {central / len(total):.2f}")
    print(f"regions per photo: {regions / len(total):.1f}")
    print(f"missed: {', '.join(misses) or 'none'}\n")


def nci(classifier: Classifier, options: argparse.Namespace) -> None:
    """Whether the boxed spot is among the regions, and at which rank."""
    folder = options.data / "nci_moles"
    print("nci_moles: a region's centre in the true box")
    print("| photo | rank | of regions | score |\n| --- | --- | --- | --- |")
    for row in rows_of(folder / "boxes.csv"):
        photo = slidewin.read_image(folder / row["file"])
        found = locate(photo, classifier, NCI_LESIONS, options)
        x0, y0, x1, y1 = (int(row[key]) for key in ("x0", "y0", "x1", "y1"))
        ranks = [
            rank
            for rank, region in enumerate(found.regions, start=1)
            if y0 <= region.centre[0] <= y1 and x0 <= region.centre[1] <= x1
        ]
        rank = str(ranks[0]) if ranks else "missed"
        score = f"{found.regions[ranks[0] - 1].score:.3f}" if ranks else "-"
        print(f"| {row['file']} | {rank} | {len(found.regions)} | {score} |")
        save(found, options, "nci", row["file"])


def locate(
    photo: np.ndarray,
    classifier: Classifier,
    size: tuple[float, float],
    options: argparse.Namespace,
) -> slidewin.Finding:
    return slidewin.locate(
        photo, classifier, lesion_size=size, target="lesion", n_jobs=options.n_jobs, verbose=0
    )


def save(found: slidewin.Finding, options: argparse.Namespace, group: str, file: str) -> None:
    if options.output is not None:
        folder = options.output / group
        folder.mkdir(parents=True, exist_ok=True)
        picture = draw_regions(found.photo, found.regions, assessed=found.assessed)
        write_png(folder / f"{Path(file).stem}.png", picture, overwrite=True)


def rows_of(table: Path) -> Iterator[dict[str, str]]:
    with table.open(newline="", encoding="utf-8") as stream:
        yield from csv.DictReader(stream)


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson, J. Am. Stat. Assoc. 22:209, 1927)."""
    z, p = 1.96, hits / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, middle - half), min(1.0, middle + half)


if __name__ == "__main__":
    main()
