import os
import warnings
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from slidewin.errors import ImageMissingError, SlidewinWarning
from slidewin.output import write_png
from slidewin.scene import draw_lesion, draw_scene, draw_skin
from slidewin.training.leaks import keep_together, near_identical
from slidewin.training.table import Row, read_table

DATA = Path(os.environ.get("SLIDEWIN_DATA", Path(__file__).parents[2] / "shared" / "data"))


def draw(seed):
    """A lesion in the middle of a close-up, as all are."""
    skin = draw_skin((160, 200), random_state=seed)
    return draw_lesion(skin, centre=(80, 100), diameter=60, random_state=seed)[0]


@pytest.fixture
def row_of(tmp_path):
    """Write an image and give the row of a table that names it."""

    def write(image, name, split="train", **known):
        write_png(tmp_path / f"{name}.png", image)
        return Row(tmp_path / f"{name}.png", None, "", split, **known)

    return write


def saved_anew(image):
    _, file = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 40])
    return cv2.imdecode(file, cv2.IMREAD_COLOR)


WAYS = {
    "copied": lambda x: x,
    "saved anew": saved_anew,
    "smaller": lambda x: cv2.resize(x, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA),
    "larger": lambda x: cv2.resize(x, None, fx=2, fy=2),
    "blurred": lambda x: cv2.GaussianBlur(x, (0, 0), 1),
    "in warmer light": lambda x: np.uint8(np.clip(x * np.array([1.1, 0.95, 0.7]), 0, 255)),
    "mirrored": lambda x: np.ascontiguousarray(x[:, ::-1]),
    "turned": lambda x: np.ascontiguousarray(np.rot90(x)),
    "turned and mirrored": lambda x: np.ascontiguousarray(x.transpose(1, 0, 2)),
    "trimmed": lambda x: x[3:-3, 3:-3],
}


@pytest.mark.parametrize("way", WAYS)
def test_an_image_is_known_again(way, row_of):
    rows = [row_of(draw(seed), str(seed)) for seed in range(3)]
    assert near_identical([*rows, row_of(WAYS[way](draw(1)), "again")]) == [(1, 3)]


def test_other_lesions_on_other_skin_are_other_images(row_of):
    assert near_identical([row_of(draw(seed), str(seed)) for seed in range(40)]) == []


def test_one_lesion_more_is_no_new_photo_and_another_hand_is(row_of):
    scenes = [draw_scene((300, 400), random_state=seed) for seed in range(6)]
    rows = [row_of(scene.photo, str(i)) for i, scene in enumerate(scenes)]
    assert near_identical(rows) == []
    edited = scenes[2].photo.copy()
    cv2.circle(edited, (200, 150), 6, (60, 30, 20), -1)
    assert near_identical([*rows, row_of(edited, "edited")]) == [(2, 6)]


def test_blank_images_are_like_no_other(row_of):
    blank = np.full((50, 50, 3), 255, np.uint8)
    assert near_identical([row_of(blank, "a"), row_of(blank, "b")]) == []


def test_photos_that_share_a_black_bar_share_no_more(row_of):
    photos = [draw_skin((128, 128), random_state=seed) for seed in range(12)]
    for photo in photos:
        photo[:, 96:] = 0
    assert near_identical([row_of(photo, str(i)) for i, photo in enumerate(photos)]) == []


def test_the_pairs_most_alike_come_first(row_of):
    image = draw(0)
    worse = cv2.GaussianBlur(saved_anew(image), (0, 0), 2)
    rows = [row_of(worse, "worse"), row_of(image, "a"), row_of(image, "b")]
    assert near_identical(rows) == [(1, 2), (0, 1), (0, 2)]


@pytest.mark.parametrize("rows", [0, 1])
def test_few_images_are_no_pair(rows, row_of):
    assert near_identical([row_of(draw(0), "a")][:rows]) == []


def test_a_missing_image_is_named(tmp_path):
    with pytest.raises(ImageMissingError, match=r"nowhere\.png"):
        near_identical([Row(tmp_path / "nowhere.png", None, "", "train")])


def test_what_lots_tore_apart_is_put_together(row_of):
    rows = [
        row_of(draw(0), "a", "val", by_lot=True),
        row_of(draw(1), "b", "train", by_lot=True),
        row_of(draw(0), "c", "train", by_lot=True),
    ]
    kept = keep_together(rows)
    assert [row.split for row in kept] == ["val", "train", "val"]
    assert [replace(row, split="") for row in kept] == [replace(row, split="") for row in rows]


def test_lots_follow_a_split_that_a_table_gives(row_of):
    rows = [row_of(draw(0), "a", "val", by_lot=True), row_of(draw(0), "b", "train")]
    assert [row.split for row in keep_together(rows)] == ["train", "train"]


def test_a_group_goes_where_one_of_its_images_goes(row_of):
    rows = [
        row_of(draw(0), "a", "train"),
        row_of(draw(0), "b", "val", group="Ada", by_lot=True),
        row_of(draw(1), "c", "val", group="Ada", by_lot=True),
        row_of(draw(2), "d", "val", group="Bo", by_lot=True),
    ]
    assert [row.split for row in keep_together(rows)] == ["train", "train", "train", "val"]


def test_a_leak_between_given_splits_is_told(row_of):
    rows = [row_of(draw(i), f"{i}{split}", split) for i in range(5) for split in ("train", "val")]
    with pytest.warns(SlidewinWarning, match=r"5 pairs.*0train\.png \(train\).*and 2 more.*lots"):
        assert keep_together(rows) == rows


def test_a_group_follows_the_split_that_another_table_gives_it(row_of):
    rows = [
        row_of(draw(0), "close_up", "train", group="Ada", by_lot=True),
        row_of(draw(1), "photo", "val", group="Ada"),
    ]
    assert [row.split for row in keep_together(rows)] == ["val", "val"]


def test_a_group_that_tables_tear_apart_is_told(row_of):
    rows = [
        row_of(draw(0), "close_up", "train", group="Ada"),
        row_of(draw(1), "photo", "val", group="Ada"),
        row_of(draw(2), "other", "val", group="Bo"),
    ]
    with pytest.warns(SlidewinWarning, match=r"1 groups .*: Ada\. Photos"):
        assert keep_together(rows) == rows


def test_a_group_that_is_held_out_elsewhere_is_told_and_no_file_of_it_opened(row_of, tmp_path):
    rows = [row_of(draw(0), "a", "train", group="Ada", by_lot=True)]
    held_out = [Row(tmp_path / "nowhere.png", None, "", "test", group="Ada")]
    with pytest.warns(SlidewinWarning, match=r"1 groups .*: Ada\. Photos"):
        assert keep_together(rows, held_out=held_out) == rows


def test_no_leak_is_no_news(row_of):
    rows = [row_of(draw(0), "a"), row_of(draw(0), "b"), row_of(draw(1), "c", "val")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert keep_together(rows) == rows


@pytest.mark.skipif(not (DATA / "isic_2017_cc0").is_dir(), reason="real photos are not here")
def test_a_melanoma_saved_in_two_colours_is_found_among_real_close_ups():
    rows = read_table(DATA / "isic_2017_cc0" / "labels.csv")
    twins = ("ISIC_0000162.jpg", "ISIC_0014826.jpg")
    pair = [row for row in rows if row.file.name in twins]
    others = [row for row in rows[::40] if row.file.name not in twins]
    assert near_identical([*pair, *others]) == [(0, 1)]
