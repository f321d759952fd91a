"""Real photos, where the folder named by SLIDEWIN_DATA (or ../shared/data) is there."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import slidewin

DATA = Path(os.environ.get("SLIDEWIN_DATA", Path(__file__).parents[2] / "shared" / "data"))

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"no real photos at {DATA}: set SLIDEWIN_DATA to their folder"
)


def rows_of(table):
    with (DATA / table).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_real_photos_are_read_as_pillow_reads_them():
    files = [p for folder in sorted(DATA.iterdir()) for p in sorted(folder.glob("images/*"))[:3]]
    assert len(files) >= 10
    for file in files:
        with Image.open(file) as image:
            expected = np.asarray(image.convert("RGB"))
        np.testing.assert_array_equal(slidewin.read_image(file), expected)


def test_the_default_points_at_most_lesions_of_the_training_split_s_photos():
    """Not a figure: that is benchmarks/classifier.py. A map off by half a window fails here."""
    classifier = slidewin.load_classifier()
    folder = "pad_ufes_20"
    rows = [row for row in rows_of(f"{folder}/labels.csv") if row["split"] == "train"][::7]
    hits = []
    for row in rows:
        photo = slidewin.read_image(DATA / folder / row["file"])
        mask = slidewin.read_image(DATA / folder / row["mask"])[:, :, 0] > 127
        short = min(photo.shape[:2])
        found = slidewin.locate(
            photo,
            classifier,
            lesion_size=(0.15 * short, 0.60 * short),
            target="lesion",
            threshold=0.3,
            verbose=0,
        )
        best = found.regions[0].centre if found.regions else (0, 0)
        hits.append(mask[int(best[0]), int(best[1])])
    assert np.mean(hits) >= 0.6


def test_a_whole_hand_of_nine_megapixels_is_assessed_all_over():
    photo = slidewin.read_image(DATA / "hands" / rows_of("hands/labels.csv")[0]["file"])
    found = slidewin.locate(photo, slidewin.load_classifier(), lesion_size=(300, 900), verbose=0)
    assert found.assessed.all()
    assert found.pixels.shape == photo.shape[:2]
