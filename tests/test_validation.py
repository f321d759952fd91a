from dataclasses import replace

import cv2
import joblib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import SIDE, dark_middle

from slidewin.classifier import load_classifier
from slidewin.classifier.module import ModuleClassifier
from slidewin.finding import locate
from slidewin.metrics import false_regions
from slidewin.scene import draw_lesion, draw_skin
from slidewin.training.calibration import fit_calibration
from slidewin.training.judge import calibrate_on, set_thresholds, unseen_classes
from slidewin.training.source import Background, Lesion
from slidewin.training.validation import ValidationPhoto, draw_photos, lay_photos, sweep_photos


@pytest.fixture
def classifier():
    return load_classifier(dark_middle, classes=["background", "lesion"], input_size=SIDE)


def disc(shape, centre, diameter):
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    return np.hypot(y - centre[0], x - centre[1]) <= diameter / 2


@pytest.fixture
def photo():
    """A dark disc of 40 px that is a lesion, and another that is not."""
    lesion, blot = disc((200, 300), (80, 80), 40), disc((200, 300), (100, 220), 40)
    image = np.where((lesion | blot)[..., None], 0, 255).astype(np.uint8).repeat(3, axis=2)
    return ValidationPhoto(image, lesion.astype(np.uint8), "photo", "a")


def test_windows_know_whether_they_show_a_lesion_of_their_size(photo, classifier):
    (swept,) = sweep_photos(classifier, [photo])
    probabilities, labels = swept.windows
    assert set(labels) == {0, 1}
    assert probabilities.shape == (len(labels), 2)
    # Windows on the lesion are dark in the middle; so are those on the blot, and most are white.
    assert probabilities[labels == 1, 1].mean() > 0.5
    assert np.median(probabilities[labels == 0, 1]) == 0


def test_a_blot_is_a_false_region_and_the_lesion_is_found(photo, classifier):
    (swept,) = sweep_photos(classifier, [photo])
    false, found, n = swept.judge("lesion", [0.6, 1.0])
    assert n == 1
    assert (false[0], found[0]) == (1, 1)
    free = ValidationPhoto(photo.image, np.zeros_like(photo.truth), "photo", "a")
    (swept,) = sweep_photos(classifier, [free])
    false, found, n = swept.judge("lesion", [0.6])
    assert (false[0], found[0], n) == (2, 0, 0)


@given(st.integers(0, 10_000), st.floats(0.05, 0.95), st.booleans())
@settings(max_examples=40)
def test_regions_are_counted_as_the_user_would_get_them(seed, threshold, some_unknown):
    rng = np.random.default_rng(seed)
    shape = (60, 80)
    truth = disc(shape, rng.uniform(0, 60, 2), 14) | disc(shape, rng.uniform(0, 60, 2), 9)
    ignore = disc(shape, rng.uniform(0, 60, 2), 30) if some_unknown else None
    blots = cv2.GaussianBlur(rng.integers(0, 256, (*shape, 3), dtype=np.uint8), (0, 0), 4)
    blots = cv2.normalize(blots, None, 0, 255, cv2.NORM_MINMAX)
    photo = ValidationPhoto(blots, truth.astype(np.uint8), "photo", "a", ignore)
    classifier = load_classifier(
        dark_middle,
        classes=["background", "lesion"],
        input_size=SIDE,
        thresholds={"lesion": threshold},
    )
    (swept,) = sweep_photos(classifier, [photo])
    found = locate(blots, classifier, verbose=0)  # by all that is the default
    unknown = np.zeros(shape, bool) if ignore is None else ignore
    false, hit = false_regions(found.regions, truth, ignore=unknown)
    counted = swept.judge("lesion", [threshold])
    assert [int(x) for x in (counted[0][0], counted[1][0], counted[2])] == [
        len(false), int(hit.sum()), len(hit)
    ]  # fmt: skip


def test_what_lies_where_nothing_is_known_is_neither_right_nor_wrong(photo, classifier):
    blot = disc(photo.truth.shape, (100, 220), 60)
    (swept,) = sweep_photos(classifier, [replace(photo, ignore=blot)])
    false, found, n = swept.judge("lesion", [0.6])
    assert (false[0], found[0], n) == (0, 1, 1)
    (all_known,) = sweep_photos(classifier, [photo])
    assert len(swept.windows[1]) < len(all_known.windows[1])


def test_each_half_is_judged_by_a_calibration_fitted_on_the_other(photo, classifier):
    # Of what is dark, in one group all is lesions and in the other a half.
    both = disc((200, 300), (100, 220), 40) | photo.truth.astype(bool)
    swept = sweep_photos(
        classifier, [photo, replace(photo, truth=both.astype(np.uint8), group="b")]
    )
    _, record = calibrate_on(classifier, swept)
    windows = [one.windows for one in swept]
    fits = [fit_calibration(*known) for known in windows]

    def brier(chosen):
        pairs = zip(chosen, windows, strict=True)
        missed = [fit.apply(p)[:, 1] - (y > 0) for fit, (p, y) in pairs]
        return np.mean(np.concatenate(missed) ** 2)

    assert record["after"]["brier"] == pytest.approx(brier(fits[::-1]), abs=2e-5)
    assert record["after"]["brier"] > brier(fits) + 1e-3


def test_calibration_makes_probabilities_mean_what_they_say(photo):
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * SIDE * SIDE, 2)).eval()
    with torch.no_grad():  # darkness, far too sure of itself
        module[1].weight[:] = torch.tensor([[0.0], [-16.0]]) / (3 * SIDE * SIDE)
        module[1].bias[:] = torch.tensor([0.0, 10.0])
    network = ModuleClassifier(module, classes=["background", "lesion"], input_size=SIDE)
    free = np.zeros_like(photo.truth)
    photos = [
        replace(photo, truth=truth, group=group)
        for group in ("a", "b", "c", "d")
        for truth in (photo.truth, free)
    ]
    swept = sweep_photos(network, photos)
    assert unseen_classes(swept, ["background", "lesion"]) == []
    calibrated, record = calibrate_on(network, swept)
    assert record["cross_fitted"]
    for score in ("brier", "expected_calibration_error"):
        assert record["after"][score] < record["before"][score]
    assert network.temperature == pytest.approx(record["temperature"], abs=1e-4)
    # What was swept before is what would be swept now.
    for one, other in zip(calibrated, sweep_photos(network, photos), strict=True):
        for values, again in zip(one.probabilities, other.probabilities, strict=True):
            np.testing.assert_allclose(values, again, atol=1e-3)
    record = set_thresholds(network, calibrated, n_jobs=None)
    assert network.thresholds["lesion"] == record["lesion"]["threshold"]


def test_one_sort_of_photo_is_not_enough_to_calibrate_on(photo, classifier):
    swept = sweep_photos(classifier, [photo, photo])
    assert unseen_classes(swept, ["background", "lesion"]) == ["background", "lesion"]


def test_grounds_too_small_for_a_lesion_stay_as_they_are():
    tiny = Background(np.full((20, 30, 3), (200, 150, 130), np.uint8))
    assert [photo.has_lesion for photo in lay_photos([tiny], [], seed=(0,))] == [False]


def test_lesions_are_laid_on_skin_and_each_ground_is_there_without_one_too():
    skin = draw_skin((200, 260), random_state=0)
    drawn, mask = draw_lesion(skin, centre=(100, 100), diameter=50, random_state=1)
    lesion = Lesion.cut(drawn, mask.astype(np.uint8) * 255, 2)
    blue = np.zeros_like(skin)
    blue[..., 2] = 200
    bare, laid, cloth = lay_photos([Background(skin), Background(blue)], [lesion], seed=(0,))
    assert not bare.has_lesion
    assert not cloth.has_lesion
    assert set(np.unique(laid.truth)) == {0, 2}
    changed = (laid.image != skin).any(axis=2)
    assert changed[laid.truth > 0].mean() > 0.9
    np.testing.assert_array_equal(bare.image, skin)


def test_scenes_come_in_pairs_that_differ_in_the_lesion_alone():
    with_lesion, without = draw_photos(1, column=2, seed=(0,), pool=joblib.Parallel(1))
    assert with_lesion.has_lesion
    assert not without.has_lesion
    changed = (with_lesion.image != without.image).any(axis=2)
    assert changed[with_lesion.truth == 2].any()
    far = disc(changed.shape, np.argwhere(with_lesion.truth).mean(axis=0), 300)
    assert changed[~far].mean() < 0.01
