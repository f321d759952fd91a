"""Deletion and insertion."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slidewin.errors import ArgumentError, ArgumentTypeError
from slidewin.metrics import (
    blur,
    centre_out_map,
    deletion_curve,
    insertion_curve,
    local_median,
    random_map,
)

PHOTO = np.random.default_rng(0).integers(100, 200, (40, 60, 3)).astype(np.uint8)
FILL = np.full_like(PHOTO, 77)
SPOT = np.zeros((40, 60), np.float32)
SPOT[10:20, 20:30] = 1.0


def spot_left(photo):
    """How much of the spot is as it was: what depends on the spot alone."""
    return float((photo == PHOTO).all(axis=2)[SPOT > 0].mean())


def test_a_map_that_knows_deletes_at_once_and_one_that_does_not_deletes_last():
    right = deletion_curve(PHOTO, SPOT, spot_left, FILL, cell=5, steps=24)
    wrong = deletion_curve(PHOTO, -SPOT, spot_left, FILL, cell=5, steps=24)
    # The spot is a twenty-fourth of the photo: gone after the first step, or in the last.
    assert right.score.tolist() == [1.0] + [0.0] * 24
    assert wrong.score.tolist() == [1.0] * 24 + [0.0]
    assert right.auc == pytest.approx(1 / 48)
    assert wrong.auc == pytest.approx(47 / 48)


def test_insertion_is_the_other_way_round():
    right = insertion_curve(PHOTO, SPOT, spot_left, FILL, cell=5, steps=24)
    assert right.score.tolist() == [0.0] + [1.0] * 24
    assert right.auc == pytest.approx(47 / 48)


def test_the_area_under_the_curve_is_that_of_rise():
    curve = deletion_curve(PHOTO, SPOT, lambda photo: float(photo.mean()), FILL, cell=10, steps=12)
    assert np.allclose(curve.share, np.arange(13) / 12)
    rise = (curve.score.sum() - (curve.score[0] + curve.score[-1]) / 2) / 12
    assert curve.auc == pytest.approx(rise)


def test_the_photo_ends_as_its_substrate_and_back():
    seen = []
    deletion_curve(PHOTO, SPOT, lambda p: seen.append(p) or 0.0, FILL, cell=7)
    assert len(seen) == 21
    assert np.array_equal(seen[0], PHOTO)
    assert np.array_equal(seen[-1], FILL)
    back = []
    insertion_curve(PHOTO, SPOT, lambda p: back.append(p) or 0.0, FILL, cell=7)
    assert np.array_equal(back[0], FILL)
    assert np.array_equal(back[-1], PHOTO)


def test_what_was_not_assessed_or_is_ignored_is_left_as_it_is():
    pixels = SPOT.copy()
    pixels[:, :10] = np.nan
    ignore = np.zeros(pixels.shape, bool)
    ignore[:, -10:] = True
    for curve in (deletion_curve, insertion_curve):
        seen = []
        shares = curve(
            PHOTO, pixels, lambda p, seen=seen: seen.append(p) or 0.0, FILL, cell=4, ignore=ignore
        ).share
        assert shares[0] == 0
        assert shares[-1] == 1
        for photo in seen:
            assert np.array_equal(photo[:, :10], PHOTO[:, :10])
            assert np.array_equal(photo[:, -10:], PHOTO[:, -10:])


def test_equals_go_in_random_order_and_not_in_that_of_reading():
    flat = np.zeros((40, 60), np.float32)
    curves = [
        deletion_curve(PHOTO, flat, spot_left, FILL, cell=5, random_state=seed).score
        for seed in range(40)
    ]
    mean = np.mean(curves, axis=0)
    # On average the spot goes as the rest of the photo does.
    assert np.allclose(mean, np.linspace(1, 0, 21), atol=0.15)
    again = deletion_curve(PHOTO, flat, spot_left, FILL, cell=5, random_state=3)
    assert np.array_equal(again.score, curves[3])


def test_a_random_map_has_the_area_of_a_straight_line_on_average():
    areas = [
        deletion_curve(PHOTO, random_map(SPOT, random_state=seed), spot_left, FILL, cell=5).auc
        for seed in range(40)
    ]
    assert np.mean(areas) == pytest.approx(0.5, abs=0.07)


def test_centre_out_starts_in_the_middle_and_baselines_assess_what_the_map_does():
    pixels = SPOT.copy()
    pixels[:5] = np.nan
    middle = centre_out_map(np.zeros((5, 7)))
    assert np.argwhere(middle == middle.max()).tolist() == [[2, 3]]
    assert middle[0, 0] == middle[4, 6] == middle.min()
    for baseline in (centre_out_map(pixels), random_map(pixels)):
        assert baseline.dtype == np.float32
        assert np.array_equal(np.isnan(baseline), np.isnan(pixels))
    assert not np.array_equal(random_map(pixels)[5:], random_map(pixels, random_state=1)[5:])


def test_the_rank_of_a_square_is_the_mean_of_what_is_assessed_in_it():
    photo = np.full((1, 6, 3), 9, np.uint8)
    pixels = np.array([[0.9, np.nan, 0.8, 0.0, 0.5, 0.5]])  # means 0.9, 0.4 and 0.5
    order = []
    deletion_curve(
        photo,
        pixels,
        lambda p: order.append(p[0, :, 0].tolist()) or 0.0,
        photo * 0,
        cell=2,
        steps=5,
    )
    assert order[1] == [0, 9, 9, 9, 9, 9]
    assert order[3] == [0, 9, 9, 9, 0, 0]
    assert order[5] == [0, 9, 0, 0, 0, 0]


def test_neither_the_photo_nor_what_a_score_does_to_it_matters():
    photo = PHOTO.copy()
    photo.flags.writeable = False

    def careless(seen):
        value = spot_left(seen)
        seen[:] = 0
        return value

    curve = deletion_curve(photo, SPOT, careless, FILL, cell=5)
    assert np.array_equal(photo, PHOTO)
    kept = deletion_curve(PHOTO, SPOT, spot_left, FILL, cell=5)
    assert np.array_equal(curve.score, kept.score)


@settings(max_examples=30)
@given(st.integers(1, 50), st.integers(1, 30), st.integers(0, 5))
def test_every_pixel_is_changed_in_steps_of_about_equal_area(cell, steps, seed):
    noise = random_map(SPOT, random_state=seed)
    changed = []
    share = deletion_curve(
        PHOTO,
        noise,
        lambda p: changed.append((p == FILL).all(axis=2).mean()) or 0.0,
        FILL,
        cell=cell,
        steps=steps,
    ).share
    assert np.allclose(changed, share, atol=1e-3)  # a pixel may have had the colour before
    assert share[0] == 0
    assert share[-1] == 1
    assert np.abs(share - np.linspace(0, 1, steps + 1)).max() <= cell**2 / SPOT.size + 1e-9


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"photo": PHOTO[:5]}, ArgumentError, "photo, substrate, pixels"),
        ({"photo": PHOTO.astype(float)}, ArgumentTypeError, "photo"),
        ({"substrate": FILL[..., 0]}, ArgumentTypeError, "substrate"),
        ({"pixels": np.full((40, 60), np.nan)}, ArgumentError, "nothing is assessed"),
        ({"cell": 0}, ArgumentError, "cell"),
        ({"steps": 0}, ArgumentError, "steps"),
        ({"score": lambda photo: np.nan}, ArgumentError, "finite"),
    ],
)
def test_what_cannot_be_scored_is_refused(change, error, words):
    arguments = {"photo": PHOTO, "pixels": SPOT, "score": spot_left, "substrate": FILL, "cell": 5}
    with pytest.raises(error, match=words):
        deletion_curve(**{**arguments, **change})


# --- what stands in -----------------------------------------------------------------------------


def mole(shape=(200, 300), radius=12):
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    lesion = np.hypot(rows - 80.5, cols - 120.5) < radius
    photo = np.empty((*shape, 3), np.uint8)
    photo[:] = 210, 160, 140
    photo[lesion] = 60, 40, 30
    return photo, lesion


def test_a_local_median_shows_the_skin_and_not_the_lesion():
    photo, _ = mole()
    assert np.array_equal(
        np.unique(local_median(photo, size=50).reshape(-1, 3), axis=0), photo[:1, 0]
    )


def test_a_local_median_follows_the_light():
    photo, _ = mole()
    light = np.linspace(0.6, 1, photo.shape[1])[:, None]
    photo = (photo * light).astype(np.uint8)
    ground = (np.array([210, 160, 140]) * light).astype(float)
    error = np.abs(local_median(photo, size=50)[:, 30:-30] - ground[30:-30])
    assert error.max() < 6


def test_a_local_median_takes_the_skin_alone():
    photo, lesion = mole()
    photo[:, 151:] = 0, 0, 90  # cloth, from the middle of a cell that the median is taken on
    skin = np.zeros(lesion.shape, bool)
    skin[:, :151] = True
    stand_in = local_median(photo, size=50, skin=skin)
    assert (stand_in == (210, 160, 140)).all()
    assert (local_median(photo, size=50)[:, 200:] == (0, 0, 90)).all()
    with pytest.raises(ArgumentError, match="skin is empty"):
        local_median(photo, size=50, skin=skin & ~skin)


def test_a_blur_leaves_nothing_of_a_lesion_of_its_size_but_its_light():
    photo, lesion = mole()
    soft = blur(photo, sigma=30)
    assert soft.shape == photo.shape
    assert soft[lesion].astype(int).std() < photo[lesion | ~lesion].std()
    assert soft[80, 120, 0] > 180
    assert soft.mean() == pytest.approx(photo.mean(), abs=1)
    flat = np.full((30, 40, 3), 90, np.uint8)
    assert (blur(flat, sigma=500) == 90).all()
    assert (local_median(flat, size=500) == 90).all()


@pytest.mark.parametrize("value", [0, -1, np.nan, np.inf])
def test_what_is_no_size_is_refused(value):
    with pytest.raises(ArgumentError, match="sigma"):
        blur(PHOTO, sigma=value)
    with pytest.raises(ArgumentError, match="size"):
        local_median(PHOTO, size=value)
