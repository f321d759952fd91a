import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from toys import SIDE, dark_middle

from slidewin.classifier import load_classifier
from slidewin.errors import ArgumentError, ArgumentTypeError, ClassifierError
from slidewin.saliency import RISE, Occlusion
from slidewin.saliency.surroundings import surroundings

CLASSES = ["background", "lesion"]
PATCH = SIDE // 4  # half of a lesion, which fills half of a window's width


def spot(shape, place, size, colour=0, ground=200):
    """A plain photo with a square of another colour, its upper left corner at a place."""
    photo = np.full((*shape, 3), ground, np.uint8)
    photo[place[0] : place[0] + size, place[1] : place[1] + size] = colour
    return photo


def darkness(patches):
    """Probability that grows with the dark pixels of a patch, wherever they are."""
    found = 1 - patches.mean(axis=(1, 2, 3)) / 255
    return np.stack([1 - found, found], axis=1)


def by_darkness(**options):
    return load_classifier(darkness, classes=CLASSES, input_size=SIDE, **options)


def any_size(scale=8.0):
    """The same, as a network that takes any size: one logit."""
    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1))
    with torch.no_grad():
        module[-1].weight.fill_(-scale / 3)
        module[-1].bias.fill_(scale / 2)
    return load_classifier(module, classes=CLASSES, input_size=SIDE)


def uniform(value):
    def answer(patches):
        return np.tile([1 - value, value], (len(patches), 1))

    return load_classifier(answer, classes=CLASSES, input_size=SIDE)


# Occlusion.


def test_occlusion_is_the_drop_that_each_patch_makes(dark):
    photo = spot((SIDE, SIDE), (6, 8), 4, ground=255)
    (layer,) = Occlusion(dark).localize(photo).layers
    origins = [0, 2, 4, 6, 8, 10, 12]
    np.testing.assert_array_equal(layer.rows, np.add(origins, PATCH / 2))
    np.testing.assert_array_equal(layer.cols, np.add(origins, PATCH / 2))
    middle = np.zeros((SIDE, SIDE), bool)
    middle[4:12, 4:12] = True  # all that this classifier looks at
    black = (photo[..., 0] == 0) & middle
    for i, top in enumerate(origins):
        for j, left in enumerate(origins):
            hidden = black[top : top + PATCH, left : left + PATCH].sum()
            assert layer.values[i, j] == pytest.approx(hidden / middle.sum(), abs=1e-6)
    assert layer.values.max() == pytest.approx(16 / 64)


def test_a_patch_takes_the_colour_of_its_surroundings():
    # Black patches would look like lesions, and grey ones be darker or lighter than the skin.
    for ground in (0, 90, 255):
        photo = np.full((24, 40, 3), ground, np.uint8)
        for on in ("input", "windows"):
            heat = Occlusion(by_darkness(), on=on, lesion_size=8).localize(photo)
            assert not heat.to_pixels().any()


def test_surroundings_outvote_a_lesion_and_follow_the_light():
    photo = np.empty((1, 128, 128, 3), np.uint8)
    photo[..., 0] = np.linspace(120, 240, 128)
    photo[..., 1:] = 100
    lit = photo.copy()
    photo[0, 48:80, 48:80] = 10
    before = photo.copy()
    around = surroundings(photo, 64)
    # Of a lit side it keeps the side; of the lesion nothing: that is 90 darker at the least.
    assert np.abs(around.astype(int) - lit).max() <= 20
    np.testing.assert_array_equal(photo, before)


def test_what_speaks_against_is_no_evidence():
    bright = spot((SIDE, SIDE), (6, 6), 4, colour=255, ground=100)
    assert not Occlusion(by_darkness()).localize(bright).to_pixels().any()
    assert Occlusion(by_darkness(), target="background").localize(bright).to_pixels().any()


# RISE.


def test_rise_weighs_masks_by_what_they_let_the_classifier_find():
    classifier, photo = by_darkness(), spot((SIDE, SIDE), (2, 9), 4)
    rise = RISE(classifier, n_masks=6, random_state=3)
    (masks,) = rise._masks(SIDE, SIDE, 6)
    assert masks.shape == (6, SIDE, SIDE)
    hidden = surroundings(photo[None], SIDE)[0]
    expected = np.zeros((SIDE, SIDE))
    for mask in masks:
        seen = np.rint(hidden + mask[..., None] * (photo - hidden.astype(float))).astype(np.uint8)
        expected += classifier.predict_proba(seen[None])[0, 1] * mask
    (layer,) = rise.localize(photo).layers
    np.testing.assert_allclose(layer.values, expected / masks.sum(0), rtol=1e-5)


@pytest.mark.parametrize("n_masks", [2, 10])
def test_every_pixel_is_shown_just_half_of_the_time(n_masks):
    rise = RISE(by_darkness(), n_masks=n_masks)
    masks = np.concatenate(list(rise._masks(37, 61, 3)))
    assert masks.shape == (n_masks, 37, 61)
    assert (masks.min(), masks.max()) == (0, 1)
    np.testing.assert_allclose(masks.mean(0), 0.5, atol=1e-6)


@settings(max_examples=10)
@given(place=st.tuples(st.integers(0, SIDE - 4), st.integers(0, SIDE - 4)))
def test_rise_finds_the_place_with_masks_enough(place):
    photo = spot((SIDE, SIDE), place, 4)
    (layer,) = RISE(by_darkness(), n_masks=2000).localize(photo).layers
    peak = np.unravel_index(np.argmax(layer.values), layer.values.shape)
    assert np.abs(np.add(peak, 0.5) - np.add(place, 2)).max() <= PATCH


def test_the_same_seed_gives_the_same_map_and_no_other_state_is_touched():
    photo = spot((40, 56), (10, 20), 6)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    maps = [
        RISE(by_darkness(), on="windows", lesion_size=8, random_state=seed, batch_size=batch)
        .localize(photo)
        .layers[0]
        .values
        for seed, batch in ((0, 64), (0, 64), (0, 5), (1, 64))
    ]
    np.testing.assert_array_equal(maps[0], maps[1])
    np.testing.assert_allclose(maps[2], maps[0], rtol=1e-6)
    assert np.abs(maps[3] - maps[0]).max() > 1e-3
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


# Both.


@pytest.mark.parametrize("method", [Occlusion, RISE])
@pytest.mark.parametrize("on", ["input", "windows"])
def test_a_constant_classifier_gives_a_constant_map(method, on):
    heat = method(uniform(0.25), on=on, lesion_size=(6, 12)).localize(spot((30, 44), (9, 9), 8))
    np.testing.assert_allclose(heat.to_pixels(), 0.25 if method is RISE else 0, rtol=1e-6)


@pytest.mark.parametrize("method", [Occlusion, RISE])
@pytest.mark.parametrize("on", ["input", "photo", "levels", "windows"])
@pytest.mark.parametrize("place", [(4, 40), (20, 8)])
def test_a_spot_is_found_in_every_use(method, on, place):
    photo = spot((32, 64), place, 6)
    options = {"n_masks": 1000} if method is RISE and on != "windows" else {}
    if on in ("levels", "windows"):
        options["lesion_size"] = 8
    heat = method(any_size(), on=on, max_passes=10**6, **options).localize(photo)
    assert (heat.method, heat.unit, heat.settings["on"]) == (method.method, "raw", on)
    peak = np.unravel_index(np.argmax(heat.to_pixels()), (32, 64))
    # A patch, in photo px; with the photo shrunk, one along each of its sides.
    patch = np.array([8, 16]) if on == "input" else np.array([4, 4])
    assert (np.abs(np.add(peak, 0.5) - np.add(place, 3)) <= patch).all()


@pytest.mark.parametrize("on", ["input", "windows"])
@pytest.mark.parametrize(
    ("method", "options", "each"), [(Occlusion, {}, 50), (RISE, {"n_masks": 12}, 12)]
)
def test_the_cost_is_what_was_planned(method, options, each, on):
    asked = []

    def counting(patches):
        asked.append(len(patches))
        return darkness(patches)

    classifier = load_classifier(counting, classes=CLASSES, input_size=SIDE)
    explainer = method(classifier, on=on, lesion_size=8, batch_size=7, **options)
    photo = spot((30, 44), (9, 9), 8)
    asked.clear()
    explainer.localize(photo)
    windows = len(explainer.plan(photo.shape)) if on == "windows" else 1
    assert sum(asked) == explainer.passes(photo.shape) == each * windows
    assert max(asked) <= 7
    with pytest.raises(ArgumentError, match=rf"would take {sum(asked):,} passes"):
        method(classifier, on=on, lesion_size=8, max_passes=sum(asked) - 1, **options).localize(
            photo
        )


def test_larger_images_take_more_patches_each():
    occlusion = Occlusion(any_size(), on="photo")
    rows, cols = 7 + 8, 7 + 24  # patches 2 px apart
    assert occlusion.passes((32, 64)) == (32 * 64) // SIDE**2 * (1 + rows * cols)
    assert RISE(any_size(), on="photo").passes((32, 64)) == (32 * 64) // SIDE**2 * 256
    # At this lesion size, the only level is the photo.
    assert Occlusion(any_size(), on="levels", lesion_size=8).passes((32, 64)) == occlusion.passes(
        (32, 64)
    )


@pytest.mark.parametrize("method", [Occlusion, RISE])
def test_only_networks_of_any_size_take_whole_photos(dark, method):
    with pytest.raises(ClassifierError, match="needs a network that takes any size"):
        method(dark, on="photo")
    fixed = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE**2, 2))
    classifier = load_classifier(fixed, classes=CLASSES, input_size=SIDE)
    with pytest.raises(ClassifierError, match=r"input of 20 x 24 pixels; try on='input'"):
        method(classifier, on="photo").localize(spot((20, 24), (4, 4), 6))
    maps = nn.Sequential(nn.Conv2d(3, 2, SIDE), nn.Flatten())
    classifier = load_classifier(maps, classes=CLASSES, input_size=SIDE)
    with pytest.raises(ClassifierError, match=r"returned shape \(\d+, 90\)"):
        method(classifier, on="photo").localize(spot((20, 24), (4, 4), 6))


@pytest.mark.parametrize("method", [Occlusion, RISE])
def test_nothing_of_the_callers_is_changed(method):
    module = nn.Sequential(nn.Dropout(0.9), *any_size().module).train()
    classifier = load_classifier(module, classes=CLASSES, input_size=SIDE)
    photo = spot((20, 24), (4, 4), 6)
    photo.flags.writeable = False
    before, state = photo.copy(), torch.get_rng_state()
    first, second = (method(classifier, on="photo").localize(photo).to_pixels() for _ in "ab")
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(photo, before)
    assert all(part.training for part in module.modules())
    assert all(p.grad is None and p.requires_grad for p in module.parameters())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("method", [Occlusion, RISE])
@pytest.mark.parametrize("patch", [0, -1, 2.5, np.nan, "half", True, None])
def test_a_patch_that_cannot_be_is_refused(method, patch):
    with pytest.raises(ArgumentError, match=r"patch=.*in lesion diameters .* at most 2"):
        method(by_darkness(), patch=patch)


@pytest.mark.parametrize(
    ("options", "error", "complaint"),
    [
        ({"n_masks": 0}, ArgumentError, "n_masks=0: an even number from 2 up"),
        ({"n_masks": 7}, ArgumentError, "n_masks=7: an even number from 2 up"),
        ({"n_masks": 8.0}, ArgumentTypeError, "n_masks=8.0: a whole number"),
        ({"random_state": -1}, ArgumentError, "random_state=-1: a whole number from 0 up"),
        ({"random_state": None}, ArgumentTypeError, "random_state=None: a whole number"),
    ],
)
def test_masks_that_cannot_be_are_refused(options, error, complaint):
    with pytest.raises(error, match=complaint):
        RISE(by_darkness(), **options)


def test_settings_say_how_a_map_was_made():
    photo = spot((SIDE, SIDE), (2, 2), 4)
    occlusion = Occlusion(by_darkness(), patch=1).localize(photo).settings
    assert (occlusion["target"], occlusion["patch"]) == ("lesion", 1.0)
    rise = RISE(by_darkness(), on="windows", random_state=4, lesion_size=8).localize(photo).settings
    assert (rise["n_masks"], rise["random_state"], rise["patch"]) == (32, 4, 0.5)


def test_half_of_a_window_is_dark_middle_s_lesion():
    # What the toys' classifier is trained on, so to speak, is what patches are measured in.
    dark = load_classifier(dark_middle, classes=CLASSES, input_size=SIDE, context=4)
    assert len(Occlusion(dark).localize(spot((SIDE, SIDE), (6, 6), 4)).layers[0].rows) == 15
