from dataclasses import replace

import cv2
import numpy as np
import pytest

from slidewin.training.padding import drawn_padding_auc, padding_auc, share_outside
from slidewin.training.source import STORED_DIAMETER, Background, Lesion
from slidewin.training.windows import WindowSource


def disc(side, centre, label):
    """A lesion of the stored diameter in a square picture."""
    image = np.full((side, side, 3), 200, np.uint8)
    mask = np.zeros((side, side), np.uint8)
    cv2.circle(mask, (centre, side // 2), STORED_DIAMETER // 2, 1, -1)
    return Lesion(image, mask.astype(bool), label, Background(image))


def source_of(lesions):
    ground = Background(np.zeros((64, 64, 3), np.uint8))
    return WindowSource(lesions, [ground], [], n_classes=3, input_size=32, context=2.0)


def test_a_class_that_fills_its_pictures_is_told_by_its_padding():
    small, large = disc(300, 150, 1), disc(80, 40, 2)
    assert padding_auc([small, small, large], 2, context=2.0) == 1
    assert padding_auc([small, small, large], 1, context=2.0) == 0
    assert padding_auc([small, large], 2, context=1.0) == 0.5


def test_padding_is_measured_by_area():
    """A window of 128 pixels whose middle is on the border has half of itself outside."""
    near, nearer, outside = disc(300, 50, 1), disc(300, 40, 2), disc(300, 0, 1)
    assert padding_auc([near, nearer], 2, context=2.0) == 1
    assert padding_auc([nearer, outside], 2, context=2.0) == 0


def test_a_window_inside_its_picture_has_nothing_outside_whatever_its_side():
    lesion = disc(400, 200, 1)
    assert {share_outside(lesion, half) for half in np.linspace(20, 150, 301)} == {0.0}


@pytest.mark.parametrize("labels", [(), (1,), (2, 2)])
def test_one_class_alone_cannot_be_told_from_others(labels):
    lesions = [disc(200, 100, label) for label in labels]
    assert padding_auc(lesions, 2, context=2.0) is None
    if lesions:
        assert drawn_padding_auc(source_of(lesions), 2, n_windows=40) is None


def test_windows_of_lesions_that_lie_alike_tell_nothing():
    lesions = [disc(200, centre, label) for label in (1, 2) for centre in (60, 100)]
    assert drawn_padding_auc(source_of(lesions), 2, n_windows=1500) == pytest.approx(0.5, abs=0.06)


def test_windows_that_show_a_border_for_one_class_are_told():
    lesions = [disc(500, 250, 1), disc(STORED_DIAMETER + 4, STORED_DIAMETER // 2 + 2, 2)]
    shown = drawn_padding_auc(source_of(lesions), 2, n_windows=2000)
    assert shown is not None
    assert abs(shown - 0.5) > 0.05  # less of a border is as good a hint as more


def test_borders_of_crops_are_seen():
    """They tell lesions, some of which are shown in crops, from a background that never is."""
    source = replace(source_of([disc(500, 250, 1)]), n_classes=2)
    shown = drawn_padding_auc(source, 0, n_windows=2000)
    assert shown is not None
    assert shown > 0.55
