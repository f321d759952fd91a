import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import slidewin
from slidewin.errors import ArgumentError, ClassifierError, SharingError
from slidewin.features import WindowFeatures, patch_classifier
from slidewin.sweep import SlidingWindow

SIDE = 16


def rows_of(patches):
    return patches.reshape(len(patches), -1)


def fitted_features(side=SIDE, **options):
    return WindowFeatures(**options).fit(np.zeros((1, side * side * 3), np.uint8))


def described(patch):
    """Features of one patch, by name."""
    features = fitted_features(len(patch))
    names = features.get_feature_names_out()
    return dict(zip(names, features.transform(rows_of(patch[None]))[0], strict=True))


def noise_of(n, side=SIDE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), np.uint8)


def dark_and_light(n=60):
    """Patches that a lesion would darken in the middle, and such as have none."""
    patches = noise_of(n) // 4 + 160
    patches[::2, 4:12, 4:12] -= 100
    return patches, np.where(np.arange(n) % 2, "background", "lesion")


# What scikit-learn asks of them.


@parametrize_with_checks([WindowFeatures(), WindowFeatures(n_jobs=2)])
def test_the_features_are_a_transformer_as_scikit_learn_means_it(estimator, check):
    check(estimator)


IN_PLACE = "a Pipeline fits its steps in place, and scikit-learn expects as much of its own"
NO_PIXELS = "its features are numbers from -3 to 3, which as pixels are black"


@parametrize_with_checks(
    [patch_classifier(HistGradientBoostingClassifier(max_iter=5))],
    expected_failed_checks=lambda estimator: {
        "check_dont_overwrite_parameters": IN_PLACE,
        "check_estimators_overwrite_params": IN_PLACE,
        "check_classifiers_train": NO_PIXELS,
    },
)
def test_the_classifier_is_one_as_scikit_learn_means_it(estimator, check):
    check(estimator)


# What is known of a window.


def test_a_window_of_one_colour_has_its_colour_and_no_texture():
    patch = np.empty((SIDE, SIDE, 3), np.uint8)
    patch[...] = 30, 60, 90
    found = described(patch)
    for region in range(4):
        assert [found[f"{c}_mean_{region}"] for c in ("red", "green", "blue")] == [30, 60, 90]
        assert found[f"red_share_{region}"] == 30 / 181
        assert found[f"grey_spread_{region}"] == found[f"edges_at_1_{region}"] == 0
        assert found[f"flat_at_1_{region}"] == 1
    assert found["contrast_03_0"] == 0


def test_a_region_is_seen_by_its_own_pixels():
    patch = np.full((SIDE, SIDE, 3), 200, np.uint8)
    patch[4:12, 4:12] = 100  # the box in the middle and the first ring
    patch[6:10, 6:10] = 50
    found = described(patch)
    assert [found[f"green_mean_{region}"] for region in range(4)] == [50, 100, 200, 200]
    assert found["contrast_12_1"] == -100 / 301
    assert found["contrast_23_1"] == 0


def test_spread_and_skewness_are_those_of_the_pixels():
    patch = noise_of(1)[0]
    found = described(patch)
    core = patch[6:10, 6:10].reshape(-1, 3).astype(float)
    assert found["grey_spread_0"] == pytest.approx(core.sum(axis=1).std())
    assert found["red_green_spread_0"] == pytest.approx((core[:, 0] - core[:, 1]).std())
    green = core[:, 1] - core[:, 1].mean()
    skewness = (green**3).mean() / ((green**2).mean() ** 1.5 + 1)
    assert found["skewness_0"] == pytest.approx(skewness)


def test_stripes_are_coherent_edges_without_roundness():
    patch = np.zeros((SIDE, SIDE, 3), np.uint8)
    patch[:, ::4] = patch[:, 1::4] = 255
    found = described(patch)
    assert found["coherence_at_1_0"] > 0.999
    assert abs(found["roundness_at_1_0"]) < 1e-9


def test_edges_round_the_middle_are_round():
    rows, cols = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    disc = np.clip(np.hypot(rows, cols) * 20, 0, 255).astype(np.uint8)
    found = described(np.repeat(disc[:, :, None], 3, axis=2))
    assert found["roundness_at_1_1"] > 0.3  # 1 / pi on an even circle


def test_what_lies_in_one_quarter_alone_is_asymmetric():
    patch = np.full((SIDE, SIDE, 3), 100, np.uint8)
    assert described(patch)["red_asymmetry_0"] == 0
    patch[6:8, 6:8] = 200
    assert described(patch)["red_asymmetry_0"] == 100 / 301


@pytest.mark.parametrize("side", [1, 2, 7, 8, 13, SIDE])
def test_turned_or_mirrored_a_window_keeps_its_features(side):
    patches, features = noise_of(5, side), fitted_features(side)
    expected = features.transform(rows_of(patches))
    for quarters in range(4):
        turned = np.rot90(patches, quarters, axes=(1, 2))
        for same in (turned, turned[:, ::-1]):
            np.testing.assert_array_equal(features.transform(rows_of(same)), expected)


def test_every_feature_has_a_name_of_its_own():
    names = fitted_features().get_feature_names_out()
    assert len(set(names)) == len(names) == fitted_features().transform(rows_of(noise_of(1))).size


# One answer, two ways to it.


@settings(max_examples=60, deadline=None)
@given(data=st.data(), side=st.integers(1, 24), seed=st.integers(0, 99))
def test_shared_features_are_those_of_the_windows_to_the_last_bit(data, side, seed):
    h, w = (data.draw(st.integers(side, side + 30)) for _ in range(2))
    image = np.random.default_rng(seed).integers(0, 256, (h, w, 3), np.uint8)
    tops, lefts = (
        sorted(data.draw(st.sets(st.integers(0, length - side), min_size=1, max_size=5)))
        for length in (h, w)
    )
    windows = np.stack([image[t : t + side, c : c + side] for t in tops for c in lefts])
    features = fitted_features(side)
    shared = features.of_lattice(image, tops, lefts)
    assert shared.shape[:2] == (len(tops), len(lefts))
    assert np.isfinite(shared).all()
    np.testing.assert_array_equal(
        shared.reshape(len(windows), -1), features.transform(rows_of(windows))
    )


def test_how_an_image_lies_in_memory_changes_nothing():
    image = noise_of(1, 40)[0]
    frozen = np.asfortranarray(image)
    frozen.flags.writeable = False
    ways = (image, frozen, np.repeat(image, 2, axis=1)[:, ::2])
    first, *others = (fitted_features().of_lattice(way, (0, 9, 24), (3, 24)) for way in ways)
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_neither_threads_nor_how_many_patches_there_are_change_features():
    rows = rows_of(noise_of(2100, 12))  # more than are computed at a time
    all_at_once = fitted_features(12).transform(rows)
    np.testing.assert_array_equal(fitted_features(12, n_jobs=2).transform(rows), all_at_once)
    np.testing.assert_array_equal(fitted_features(12).transform(rows[-3:]), all_at_once[-3:])


def test_pixels_are_rounded_and_clipped_where_they_are_not_uint8():
    rows = rows_of(noise_of(3))
    expected = fitted_features().transform(rows)
    for same in (rows.astype(np.int64), rows.astype(np.float32), rows + 0.3):
        np.testing.assert_array_equal(fitted_features().transform(same), expected)
    beyond = np.where(rows == 255, 300.0, np.where(rows == 0, -7.0, rows))
    np.testing.assert_array_equal(fitted_features().transform(beyond), expected)


def test_rows_that_are_no_square_are_filled_up_with_black():
    rows = rows_of(noise_of(4, 3))
    short = WindowFeatures().fit(rows[:, :25])
    assert short.input_size_ == 3
    rows[:, 25:] = 0
    np.testing.assert_array_equal(
        short.transform(rows[:, :25]), WindowFeatures().fit_transform(rows)
    )


@pytest.mark.parametrize(
    ("size", "complaint"),
    [(5, r"input_size=5: .* have 75 values, and X has 768"), (0, "input_size=0"), (2.5, "=2.5")],
)
def test_an_input_size_that_does_not_fit_is_refused(size, complaint):
    with pytest.raises(ArgumentError, match=complaint):
        WindowFeatures(input_size=size).fit(rows_of(noise_of(1)))


# The classifier.


def test_the_classifier_learns_and_its_seed_is_all_its_chance():
    patches, labels = dark_and_light()
    first, second = (
        patch_classifier(random_state=seed).fit(rows_of(patches), labels) for seed in (0, 0)
    )
    other, truth = noise_of(40, seed=1) // 4 + 160, np.where(np.arange(40) % 2, "background", "l")
    other[::2, 4:12, 4:12] -= 100
    assert ((first.predict(rows_of(other)) == "background") == (truth == "background")).all()
    np.testing.assert_array_equal(
        first.predict_proba(rows_of(other)), second.predict_proba(rows_of(other))
    )


def test_a_seed_is_not_taken_for_an_estimator_that_has_its_own():
    with pytest.raises(ArgumentError, match=r"random_state=3.*of LogisticRegression"):
        patch_classifier(LogisticRegression(), random_state=3)


@pytest.fixture
def swept():
    """A classifier that shares windows, and the same one with the sharing hidden."""
    patches, labels = dark_and_light()
    scaled = make_pipeline(StandardScaler(), LogisticRegression())
    estimator = patch_classifier(scaled).fit(rows_of(patches), labels)

    class Hidden:
        classes_ = estimator.classes_
        n_features_in_ = estimator.n_features_in_
        predict_proba = staticmethod(estimator.predict_proba)

    return slidewin.load_classifier(estimator), slidewin.load_classifier(Hidden())


def test_a_sweep_that_shares_answers_as_one_that_cuts_windows(swept, noise):
    sharing, cutting = swept
    assert sharing.share(4).saving == (sharing.input_size / 4) ** 2
    with pytest.raises(SharingError, match="Hidden classifies windows one by one"):
        cutting.share(4)
    for size, stride in ((8, 0.5), ((7, 20), 0.3)):
        one, other = (
            SlidingWindow(way, lesion_size=size, stride=stride).probabilities(noise[:70, :90])
            for way in swept
        )
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


def test_a_sweep_that_shares_is_the_same_for_every_number_of_workers(swept, noise):
    one, two = (
        SlidingWindow(swept[0], lesion_size=(7, 20), n_jobs=n).probabilities(noise) for n in (1, 2)
    )
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_answer_that_is_none_is_reported_with_its_window(swept, noise):
    sharing, _ = swept
    sharing.estimator["classifier"][-1].coef_[:] = np.nan
    with pytest.raises(ClassifierError, match=r"window at row 0, column 0 of level 0.*NaN"):
        SlidingWindow(sharing, lesion_size=8).localize(noise)
