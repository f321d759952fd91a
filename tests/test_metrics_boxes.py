"""MaxBoxAccV2, and what it does not ask."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from slidewin.errors import ArgumentError
from slidewin.metrics import match_boxes, max_box_accuracy

SCALES = ("relative", "absolute")


def block(shape, *boxes, value=1.0):
    pixels = np.zeros(shape, np.float32)
    for top, left, bottom, right in boxes:
        pixels[top:bottom, left:right] = value
    return pixels


def scored(*photos, scale="absolute"):
    return max_box_accuracy([match_boxes(*photo, scale=scale) for photo in photos])


@pytest.mark.parametrize("scale", SCALES)
def test_a_box_that_fits_scores_one(scale):
    lesion = block((30, 47), (3, 5, 13, 25)) > 0
    result = scored((block((30, 47), (3, 5, 13, 25), value=0.995), lesion), scale=scale)
    assert result.value == 1
    assert result.recall == result.precision == result.boxes_per_photo == (1, 1, 1)


def test_a_box_is_judged_by_its_pixels():
    lesion = block((12, 12), (0, 0, 10, 10)) > 0
    # 3, 5 and 7 of 10 rows: an IoU of exactly 0.3, 0.5 and 0.7.
    for rows, expected in ((2, (0, 0, 0)), (3, (1, 0, 0)), (5, (1, 1, 0)), (7, (1, 1, 1))):
        assert scored((block((12, 12), (0, 0, rows, 10)), lesion)).accuracy == expected


def test_twenty_five_boxes_are_as_good_as_one_in_accuracy_and_no_better_in_what_stands_beside_it():
    grid = [(20 * i, 20 * j, 20 * i + 9, 20 * j + 9) for i in range(5) for j in range(5)]
    lesion = block((100, 100), grid[7]) > 0
    one = scored((block((100, 100), grid[7]), lesion))
    many = scored((block((100, 100), *grid), lesion))
    assert many.value == one.value == 1
    assert many.recall == one.recall
    assert many.boxes_per_photo == (25, 25, 25)
    assert many.precision == (1 / 25,) * 3
    assert one.precision == (1, 1, 1)


def test_of_equally_good_thresholds_that_with_the_fewest_boxes_is_taken():
    pixels = block((20, 40), (2, 2, 10, 10), value=0.8)
    pixels[15, 5:35:3] = 0.395
    result = scored((pixels, block((20, 40), (2, 2, 10, 10)) > 0))
    assert result.boxes_per_photo == (1, 1, 1)
    assert result.threshold == (0.4, 0.4, 0.4)


def test_pixels_that_touch_at_a_corner_are_in_one_box():
    lesion = block((6, 6), (1, 1, 5, 5)) > 0
    result = scored((np.eye(6, dtype=np.float32) * lesion, lesion))
    assert result.value == 1
    assert result.boxes_per_photo == (1, 1, 1)


def test_boxes_within_each_other_do_not_share_a_lesion():
    rings = np.zeros((20, 20), np.float32)
    rings[0:20, 0:20] = 0.9
    rings[1:19, 1:19] = 0
    rings[2:18, 2:18] = 0.9
    lesion = np.ones((20, 20), bool)
    result = scored((rings, lesion))
    assert result.boxes_per_photo[1] == 2
    assert result.precision[1] == 0.5


def test_relative_thresholds_find_something_in_any_map_and_absolute_ones_do_not():
    lesion = block((20, 30), (4, 4, 12, 14)) > 0
    faint = block((20, 30), (4, 4, 12, 14), value=5e-7)
    assert scored((faint, lesion), scale="relative").value == 1
    # Only at the threshold 0 is there anything: a sensible map has some value everywhere.
    absolute = scored((faint + np.float32(1e-7), lesion))
    assert absolute.value == 0
    relative = scored((faint + np.float32(1e-7), lesion), scale="relative")
    assert relative.value == 1


def test_a_photo_without_lesions_is_never_a_hit_and_its_boxes_count():
    lesion = block((10, 10), (2, 2, 6, 6)) > 0
    hit = (block((10, 10), (2, 2, 6, 6)), lesion)
    lit = (block((10, 10), (0, 0, 4, 4), (6, 6, 9, 9)), np.zeros((10, 10), bool))
    result = scored(hit, lit)
    assert result.accuracy == (1, 1, 1)
    assert result.boxes_per_photo == (1.5, 1.5, 1.5)
    assert result.precision == (1 / 3,) * 3
    alone = scored(lit)
    assert np.isnan([*alone.accuracy, *alone.recall]).all()
    assert np.isnan(alone.value)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("level", [0.0, -3.0, np.nan])
def test_a_map_that_is_nowhere_above_nought_has_no_boxes(scale, level):
    lesion = np.ones((8, 8), bool)
    result = scored((np.full((8, 8), level, np.float32), lesion), scale=scale)
    assert result.accuracy == result.recall == result.precision == (0, 0, 0)
    assert result.boxes_per_photo == (0, 0, 0)


def test_several_lesions_need_several_boxes():
    boxes = (2, 2, 8, 8), (2, 20, 8, 26)
    lesions = block((10, 30), *boxes) > 0
    assert scored((block((10, 30), boxes[0]), lesions)).recall == (0.5, 0.5, 0.5)
    assert scored((block((10, 30), boxes[0]), lesions)).accuracy == (1, 1, 1)
    assert scored((block((10, 30), *boxes), lesions)).recall == (1, 1, 1)
    # A box that fits two lesions that touch is one box.
    halves = [block((10, 10), (0, 0, 10, 5)) > 0, block((10, 10), (0, 5, 10, 10)) > 0]
    both = scored((block((10, 10), (0, 0, 10, 10)), halves))
    assert both.recall == (0.5, 0.5, 0)


def test_what_is_ignored_has_no_boxes_and_sets_no_scale():
    lesion = block((10, 10), (2, 2, 6, 6)) > 0
    pixels = block((10, 10), (2, 2, 6, 6), value=0.1)
    pixels[9, 9] = 30.0
    ignore = block((10, 10), (8, 8, 10, 10)) > 0
    photos = [match_boxes(pixels, lesion, scale="relative", ignore=ignore)]
    result = max_box_accuracy(photos)
    assert result.value == 1
    assert result.boxes_per_photo == (1, 1, 1)


def test_what_is_no_scale_and_mixed_scales_are_refused():
    lesion = np.ones((2, 2), bool)
    with pytest.raises(ArgumentError, match="scale"):
        match_boxes(np.ones((2, 2)), lesion, scale="raw")
    with pytest.raises(ArgumentError, match="truth"):
        match_boxes(np.ones((2, 3)), lesion, scale="absolute")
    with pytest.raises(ArgumentError, match="scale"):
        max_box_accuracy([match_boxes(np.ones((2, 2)), lesion, scale=scale) for scale in SCALES])
    with pytest.raises(ArgumentError, match="photos is empty"):
        max_box_accuracy([])


MAPS = st.tuples(
    hnp.arrays(np.float32, (7, 9), elements=st.sampled_from([np.nan, -1.0, 0.0, 0.25, 0.5, 1.0])),
    hnp.arrays(bool, (7, 9), elements=st.sampled_from([False, False, False, True])),
)


def by_definition(photos, scale):
    """MaxBoxAccV2 as the sum of its words."""
    accuracy = np.zeros((3, 100))
    positives = [(pixels, truth) for pixels, truth in photos if truth.any()]
    for pixels, truth in positives:
        values = np.nan_to_num(pixels)
        top = max(values.max(), 0) if scale == "relative" else 1
        for i in range(100):
            flagged = (values >= np.float32(i / 100 * float(top))) & (values > 0)
            best = max(
                (overlap(a, b) for a in boxes_of(flagged) for b in boxes_of(truth)), default=0
            )
            accuracy[:, i] += [best >= least for least in (0.3, 0.5, 0.7)]
    return accuracy.max(axis=1).mean() / len(positives) if positives else np.nan


def boxes_of(mask):
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    for rows, cols in ndimage.find_objects(labels):
        box = np.zeros(mask.shape, bool)
        box[rows, cols] = True
        yield box


def overlap(a, b):
    return (a & b).sum() / (a | b).sum()


@settings(max_examples=15)
@given(st.lists(MAPS, min_size=1, max_size=3), st.sampled_from(SCALES))
def test_accuracy_is_that_of_the_definition(photos, scale):
    result = scored(*photos, scale=scale)
    assert result.value == pytest.approx(by_definition(photos, scale), nan_ok=True)
    if not np.isnan(result.value):
        assert all(0 <= share <= 1 for share in (*result.precision, *result.recall))


@settings(max_examples=30)
@given(st.lists(MAPS, min_size=1, max_size=3))
def test_a_relative_scale_does_not_know_how_sure_a_map_is(photos):
    fainter = [(pixels / 1024, truth) for pixels, truth in photos]
    before, after = scored(*photos, scale="relative"), scored(*fainter, scale="relative")
    assert np.array_equal(before.accuracy, after.accuracy, equal_nan=True)
    assert before.boxes_per_photo == after.boxes_per_photo
