from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slidewin.errors import ArgumentError, ArgumentTypeError
from slidewin.scene import PATTERNS, draw_cloth, draw_lesion, draw_scene, draw_skin

SMALL = (180, 240)


def diameter(mask):
    """Of the disc with the mask's area."""
    return 2 * np.sqrt(np.count_nonzero(mask) / np.pi)


def around(mask, reach):
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    return (cv2.dilate(mask.astype(np.uint8), kernel) > 0) & ~mask


def pieces(mask):
    """Area of each connected piece."""
    return cv2.connectedComponentsWithStats(mask.astype(np.uint8))[2][1:, cv2.CC_STAT_AREA]


@pytest.fixture(scope="module")
def scene():
    return draw_scene(SMALL, random_state=3)


def test_a_scene_has_one_shape_and_the_types_it_names(scene):
    assert scene.photo.shape == (*SMALL, 3)
    assert scene.photo.dtype == np.uint8
    for mask in (scene.mask, scene.skin, scene.decoys):
        assert mask.shape == SMALL
        assert mask.dtype == np.bool_


def test_the_same_seed_draws_the_same_scene(scene):
    again = draw_scene(SMALL, random_state=3)
    for name in ("photo", "mask", "skin", "decoys"):
        np.testing.assert_array_equal(getattr(scene, name), getattr(again, name))
    assert again.lesion_size == scene.lesion_size


def test_a_generator_draws_what_its_seed_draws(scene):
    again = draw_scene(SMALL, random_state=np.random.default_rng(3))
    np.testing.assert_array_equal(scene.photo, again.photo)


def test_another_seed_draws_another_scene(scene):
    other = draw_scene(SMALL, random_state=4)
    assert np.mean(scene.photo != other.photo) > 0.5
    assert (scene.mask != other.mask).any()


def test_drawing_leaves_the_global_random_state_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    draw_scene((64, 64), random_state=0)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_every_scene_has_one_lesion_on_the_skin_of_the_size_named(seed):
    scene = draw_scene(SMALL, random_state=seed)
    assert len(pieces(scene.mask)) == 1
    assert not (scene.mask & ~scene.skin).any()
    assert diameter(scene.mask) == pytest.approx(scene.lesion_size, rel=0.15)
    assert 0.04 <= scene.lesion_size / min(SMALL) <= 0.06
    ring = around(scene.mask, 4) & scene.skin
    assert scene.photo[scene.mask].mean() < 0.8 * scene.photo[ring].mean()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_cloth_shows_a_dozen_blots_like_the_lesion(seed):
    scene = draw_scene(SMALL, random_state=seed)
    assert not (scene.decoys & scene.skin).any()
    sizes = 2 * np.sqrt(pieces(scene.decoys) / np.pi) / scene.lesion_size
    assert np.count_nonzero((sizes > 0.6) & (sizes < 1.6)) >= 12
    ring = around(scene.decoys, 4) & ~scene.skin
    assert scene.photo[scene.decoys].mean() < 0.8 * scene.photo[ring].mean()


def test_the_arm_leaves_the_photo_and_the_fingers_do_not(scene):
    border = np.ones(SMALL, bool)
    border[1:-1, 1:-1] = False
    assert len(pieces(scene.skin & border)) == 1
    assert len(pieces(scene.skin)) == 1
    assert 0.1 < scene.skin.mean() < 0.4


def test_without_a_lesion_the_photo_is_the_same_elsewhere(scene):
    without = draw_scene(SMALL, random_state=3, lesion=False)
    assert not without.mask.any()
    assert without.lesion_size == scene.lesion_size
    np.testing.assert_array_equal(without.skin, scene.skin)
    np.testing.assert_array_equal(without.decoys, scene.decoys)
    far = ~around(scene.mask, 12) & ~scene.mask
    np.testing.assert_array_equal(without.photo[far], scene.photo[far])
    assert without.photo[scene.mask].mean() > scene.photo[scene.mask].mean() + 20


@pytest.mark.parametrize("size", [5, 12.5, 30])
def test_the_lesion_has_the_size_asked_for(size):
    scene = draw_scene(SMALL, random_state=1, lesion_size=size)
    assert scene.lesion_size == size
    assert diameter(scene.mask) == pytest.approx(size, rel=0.15)


@pytest.mark.parametrize("shape", [(64, 64), (64, 200), (200, 64)])
def test_small_and_narrow_scenes_work(shape):
    scene = draw_scene(shape, random_state=0)
    assert scene.photo.shape == (*shape, 3)
    assert scene.mask.any()


def test_a_lesion_too_large_for_the_hand_is_refused_with_the_room_there_is():
    with pytest.raises(ArgumentError, match=r"lesion_size is 150 px: .* one of about \d+ px"):
        draw_scene(SMALL, lesion_size=150)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"shape": (10, 200)}, ArgumentError, "64 to"),
        ({"shape": 200}, ArgumentTypeError, "height, width"),
        ({"shape": (200, 100.5)}, ArgumentTypeError, "height, width"),
        ({"lesion_size": 1}, ArgumentError, "lesion_size is 1"),
        ({"lesion_size": float("nan")}, ArgumentError, "lesion_size is nan"),
        ({"random_state": "seed"}, ArgumentTypeError, "random_state is 'seed'"),
        ({"random_state": -1}, ArgumentError, "random_state is -1"),
    ],
)
def test_a_scene_says_what_is_wrong_with_an_argument(arguments, error, message):
    with pytest.raises(error, match=message):
        draw_scene(**arguments)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_cloth_is_deterministic_and_of_the_shape_asked_for(pattern):
    cloth = draw_cloth((40, 56), random_state=5, pattern=pattern)
    assert cloth.shape == (40, 56, 3)
    assert cloth.dtype == np.uint8
    np.testing.assert_array_equal(cloth, draw_cloth((40, 56), random_state=5, pattern=pattern))
    assert (cloth != draw_cloth((40, 56), random_state=6, pattern=pattern)).any()


def test_a_plain_cloth_has_less_in_it_than_a_printed_one():
    plain, printed = (
        np.mean([draw_cloth((96, 96), random_state=k, pattern=p).std() for k in range(8)])
        for p in ("plain", "blots")
    )
    assert printed > 1.5 * plain


def test_motifs_grow_with_the_size_asked_for():
    def motif(size):
        cloth = draw_cloth((256, 256), random_state=2, pattern="dots", motif=size)
        grey = cv2.cvtColor(cloth, cv2.COLOR_RGB2GRAY)
        _, dots = cv2.threshold(grey, 0, 255, cv2.THRESH_OTSU)
        smaller = min(pieces(dots > 0), pieces(dots == 0), key=lambda areas: areas.max())
        return 2 * np.sqrt(np.median(smaller[smaller > 20]) / np.pi)

    assert motif(16) == pytest.approx(16, rel=0.25)
    assert motif(40) == pytest.approx(40, rel=0.25)


def test_darker_tones_are_darker_and_redder():
    skins = [draw_skin((64, 64), random_state=1, tone=tone).mean((0, 1)) for tone in range(1, 7)]
    assert all(dark.sum() < pale.sum() for pale, dark in pairwise(skins))
    assert all(red > green > blue for red, green, blue in skins)


def test_hairs_darken_thin_lines_and_leave_the_skin_between_them():
    bald = draw_skin((128, 128), random_state=7, tone=2).astype(int)
    hairy = draw_skin((128, 128), random_state=7, tone=2, hairy=True).astype(int)
    assert (hairy <= bald).all()
    changed = np.mean(hairy < bald - 15)
    assert 0.01 < changed < 0.4


@pytest.mark.parametrize("kind", ["melanoma", "mole"])
@pytest.mark.parametrize("size", [4, 17, 60])
def test_a_lesion_has_the_diameter_asked_for_and_no_holes(kind, size):
    skin = draw_skin((160, 160), random_state=0, tone=2)
    skin.flags.writeable = False
    image, mask = draw_lesion(skin, centre=(80, 80), diameter=size, random_state=size, kind=kind)
    assert image.shape == skin.shape
    assert image.dtype == np.uint8
    assert diameter(mask) == pytest.approx(size, rel=0.15)
    assert len(pieces(mask)) == 1
    assert len(pieces(~mask)) == 1
    assert image[mask].mean() < skin[mask].mean()
    assert (image <= skin).all()
    corner = np.s_[:8, :8]
    np.testing.assert_array_equal(image[corner], skin[corner])


def test_a_melanoma_is_more_lopsided_and_many_coloured_than_a_mole():
    skin = np.full((128, 128, 3), 220, np.uint8)

    def traits(kind, seed):
        image, mask = draw_lesion(skin, centre=(64, 64), diameter=50, random_state=seed, kind=kind)
        outline = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[
            0
        ][0]
        roundness = 4 * np.pi * mask.sum() / cv2.arcLength(outline, True) ** 2
        inner = cv2.erode(mask.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        return roundness, image[inner].std(0).mean()

    melanomas = np.array([traits("melanoma", seed) for seed in range(8)])
    moles = np.array([traits("mole", seed) for seed in range(8)])
    assert melanomas[:, 0].max() < moles[:, 0].min()
    assert np.median(melanomas[:, 1]) > 2 * np.median(moles[:, 1])


def test_a_lesion_at_the_border_is_cut_off_there():
    skin = np.full((64, 64, 3), 220, np.uint8)
    _, mask = draw_lesion(skin, centre=(0, 32), diameter=30, random_state=1, kind="mole")
    assert mask[0].any()
    assert diameter(mask) == pytest.approx(30 / np.sqrt(2), rel=0.15)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s: draw_cloth((9, 9), random_state=0, pattern="tartan"), ArgumentError, "blots"),
        (lambda s: draw_cloth((9, 9), random_state=0, motif=-2), ArgumentError, "motif is -2"),
        (lambda s: draw_skin((9, 9), random_state=0, tone=7), ArgumentError, "tone is 7"),
        (
            lambda s: draw_lesion(s, centre=(8, 8), diameter=1, random_state=0),
            ArgumentError,
            "diameter is 1",
        ),
        (
            lambda s: draw_lesion(s, centre=(8, 99), diameter=8, random_state=0),
            ArgumentError,
            "centre is",
        ),
        (
            lambda s: draw_lesion(s, centre=(8,), diameter=8, random_state=0),
            ArgumentError,
            "centre is",
        ),
        (
            lambda s: draw_lesion(s, centre=(8, 8), diameter=8, random_state=0, kind="wart"),
            ArgumentError,
            "melanoma",
        ),
        (
            lambda s: draw_lesion(s / 255, centre=(8, 8), diameter=8, random_state=0),
            ArgumentTypeError,
            "float64",
        ),
    ],
)
def test_cloth_skin_and_lesion_say_what_is_wrong_with_an_argument(call, error, message):
    with pytest.raises(error, match=message):
        call(np.full((16, 16, 3), 200, np.uint8))
