import cv2
import numpy as np
import pytest

from slidewin.errors import ArgumentError, ArgumentTypeError
from slidewin.scene import find_skin, lay_real_hand, lay_real_lesion

SKIN = (200, 150, 130)


def plain(shape, colour=SKIN):
    return np.full((*shape, 3), colour, np.uint8)


def close_up(colour=(100, 60, 50), side=60):
    """A disc of 24 px on skin, and its mask."""
    mask = np.zeros((side, side), np.uint8)
    cv2.circle(mask, (side // 2, side // 2), 12, 1, -1)
    image = plain((side, side))
    image[mask > 0] = colour
    return image, mask > 0


def hand_on_paper(side=220):
    """An arm from the bottom and a fist, in skin's colour, with a dark shadow on the right."""
    photo = plain((side, side), (225, 225, 228))
    shadow = (40, 40, 41)
    for colour, shift in ((shadow, 10), (SKIN, 0)):
        cv2.rectangle(photo, (80 + shift, 120), (140 + shift, side), colour, -1)
        cv2.circle(photo, (110 + shift, 100), 55, colour, -1)
    return photo


# --- skin ---------------------------------------------------------------------------------------


def test_skin_is_found_where_all_round_is_skin():
    photo = plain((50, 80))
    photo[:, 60:] = (60, 90, 200)
    found = find_skin(photo, reach=10)
    rows, cols = np.nonzero(found)
    assert (rows.min(), rows.max()) == (10, 39)
    assert (cols.min(), cols.max()) == (10, 49)


def test_places_stay_clear_of_what_is_barred_and_of_what_is_rough():
    photo, barred = plain((60, 60)), np.zeros((60, 60), bool)
    barred[:, 30] = True
    cols = np.nonzero(find_skin(photo, reach=8, keep_clear=barred))[1]
    assert np.abs(cols - 30).min() == 9
    photo[:, :30:2] = (150, 100, 80)
    assert np.nonzero(find_skin(photo, reach=4))[1].min() > 26


def test_a_photo_smaller_than_the_reach_has_no_place():
    assert not find_skin(plain((10, 40)), reach=6).any()


# --- lesions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("diameter", [12.0, 24.0, 40.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_lesion_lies_where_and_as_large_as_it_was_asked_for(diameter, seed):
    photo, mask = lay_real_lesion(
        plain((100, 120)), *close_up(), centre=(41.5, 70), diameter=diameter, random_state=seed
    )
    centre = np.argwhere(mask).mean(axis=0) + 0.5
    assert centre == pytest.approx((41.5, 70), abs=0.5)
    assert 2 * np.sqrt(mask.sum() / np.pi) == pytest.approx(diameter, rel=0.06)
    assert photo[41, 70] == pytest.approx((100, 60, 50), abs=2)
    assert photo[5, 5] == pytest.approx(SKIN)


def test_a_lopsided_lesion_lies_with_its_centroid_on_the_spot():
    mask = np.zeros((60, 60), bool)
    mask[10:50, 10:20] = mask[40:50, 10:50] = True
    _, laid = lay_real_lesion(
        plain((100, 100)), plain((60, 60)), mask, centre=(50, 50), diameter=30, random_state=1
    )
    assert np.argwhere(laid).mean(axis=0) + 0.5 == pytest.approx((50, 50), abs=0.6)


def test_it_colours_other_skin_as_it_colours_its_own():
    image, mask = close_up((100, 75, 65))  # half of the light
    photo, _ = lay_real_lesion(
        plain((50, 50), (90, 60, 40)), image, mask, centre=(25, 25), diameter=20, random_state=0
    )
    assert photo[25, 25] == pytest.approx((45, 30, 20), abs=1)


def test_black_corners_are_not_taken_for_skin():
    image, mask = close_up((100, 75, 65))
    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3)
    image[away > 5] = 8
    photo, _ = lay_real_lesion(
        plain((50, 50)), image, mask, centre=(25, 25), diameter=20, random_state=0
    )
    assert photo[25, 25] == pytest.approx((100, 75, 65), abs=2)


def test_the_ground_s_texture_carries_through_and_nothing_is_written_to():
    rng = np.random.default_rng(0)
    ground = np.asarray(plain((60, 60)) + rng.integers(-9, 10, (60, 60, 1)), np.uint8)
    before = ground.copy()
    image, mask = close_up((100, 75, 65))
    for array in (ground, image, mask):
        array.flags.writeable = False
    photo, laid = lay_real_lesion(ground, image, mask, centre=(30, 30), diameter=40, random_state=0)
    core = cv2.erode(laid.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert np.corrcoef(photo[core][:, 0], ground[core][:, 0])[0, 1] > 0.95
    np.testing.assert_array_equal(ground, before)


def test_a_lesion_over_the_photo_s_border_is_cut_off():
    _, mask = lay_real_lesion(
        plain((40, 40)), *close_up(), centre=(0, 20), diameter=20, random_state=0
    )
    assert mask.sum() == pytest.approx(np.pi * 100 / 2, rel=0.1)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"mask": np.zeros((60, 60), bool)}, ArgumentError, "mask is empty"),
        ({"mask": np.zeros((60, 61), bool)}, ArgumentError, "mask has shape"),
        ({"mask": np.zeros((60, 60))}, ArgumentTypeError, "bool"),
        ({"diameter": 2}, ArgumentError, "diameter"),
        ({"photo": np.zeros((5, 5), np.uint8)}, ArgumentError, "RGB"),
    ],
)
def test_what_cannot_be_laid_is_refused(change, error, words):
    image, mask = close_up()
    given = {"photo": plain((40, 40)), "image": image, "mask": mask, "diameter": 10} | change
    with pytest.raises(error, match=words):
        lay_real_lesion(
            given.pop("photo"), given.pop("image"), given.pop("mask"),
            centre=(20, 20), random_state=0, **given,
        )  # fmt: skip


# --- hands --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scene():
    return lay_real_hand(hand_on_paper(), (180, 240), lesion=close_up(), random_state=2)


def test_a_scene_s_hand_bears_the_lesion_and_its_cloth_the_blots(scene):
    assert scene.photo.shape == (180, 240, 3)
    assert scene.mask.any()
    assert not (scene.mask & ~scene.skin).any()
    assert scene.decoys.any()
    assert not (scene.decoys & scene.skin).any()
    assert 0.1 < scene.skin.mean() < 0.6
    assert 2 * np.sqrt(scene.mask.sum() / np.pi) == pytest.approx(scene.lesion_size, rel=0.15)


def test_the_hand_is_skin_without_paper_or_shadow(scene):
    inner = cv2.erode(scene.skin.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    red, blue = scene.photo[inner & ~scene.mask][:, [0, 2]].astype(int).T
    assert np.mean(red - blue > 25) > 0.97


def test_without_the_lesion_the_scene_is_otherwise_the_same(scene):
    bare = lay_real_hand(hand_on_paper(), (180, 240), random_state=2)
    assert not bare.mask.any()
    np.testing.assert_array_equal(bare.skin, scene.skin)
    far = cv2.dilate(scene.mask.astype(np.uint8), np.ones((15, 15), np.uint8)) == 0
    assert np.mean(bare.photo[far] == scene.photo[far]) > 0.99
    assert (bare.photo[scene.mask] != scene.photo[scene.mask]).any()


def test_a_photo_of_paper_and_a_lesion_too_large_are_refused():
    with pytest.raises(ArgumentError, match="hand"):
        lay_real_hand(plain((100, 100), (220, 220, 220)), (100, 100))
    with pytest.raises(ArgumentError, match="lesion_size"):
        lay_real_hand(hand_on_paper(), (100, 100), lesion=close_up(), lesion_size=90)


def test_a_hand_that_ends_within_its_photo_is_refused_in_words():
    photo = plain((220, 220), (235, 235, 235))
    photo[40:120, 80:140] = SKIN
    with pytest.raises(ArgumentError, match="does not reach the photo's bottom"):
        lay_real_hand(photo, (120, 160))
