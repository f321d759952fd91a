import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from slidewin.errors import ArgumentError, ArgumentTypeError
from slidewin.heatmap import HeatLayer, HeatMap
from slidewin.mask import (
    Threshold,
    budget_threshold,
    default_threshold,
    drop_specks,
    hysteresis_threshold,
    otsu_threshold,
    percentile_threshold,
    threshold_mask,
    tuned_threshold,
)
from slidewin.mask.tuned import affordable

NAN = np.nan

values = st.integers(-4, 4).map(float)
maps = hnp.arrays(np.float32, (4, 6), elements=st.one_of(st.just(NAN), values))
assessed = maps.filter(lambda pixels: not np.isnan(pixels).all())


# The threshold itself


def test_a_threshold_says_its_policy_and_figures_and_flags_what_reaches_it():
    threshold = Threshold(0.5, "best Dice", figures={"dice": 0.75, "photos": 4})
    assert repr(threshold) == "Threshold(0.5, best Dice, dice 0.75, photos 4)"
    assert json.loads(json.dumps(threshold.to_dict())) == {
        "value": 0.5, "weak": None, "policy": "best Dice", "figures": {"dice": 0.75, "photos": 4},
    }  # fmt: skip
    np.testing.assert_array_equal(threshold.mask(np.float32([[0.4, 0.5, NAN]])), [[0, 1, 0]])


def test_a_threshold_is_never_changed_and_travels_to_workers():
    threshold = Threshold(np.float32(0.25), figures={"photos": 4})
    with pytest.raises(AttributeError):
        threshold.value = 0.3
    with pytest.raises(TypeError):
        threshold.figures["photos"] = 5
    copy = pickle.loads(pickle.dumps(threshold))
    assert copy == threshold
    assert hash(copy) == hash(threshold)
    assert type(copy.value) is float


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((NAN,), ArgumentError, "threshold"),
        ((1e300,), ArgumentError, "threshold"),
        (("0.5",), ArgumentTypeError, "threshold"),
        ((0.5, 0.3), ArgumentTypeError, "policy"),
        ((0.5, "hysteresis", 0.6), ArgumentError, "weak"),
        ((0.5, "hysteresis", NAN), ArgumentError, "weak"),
        ((0.5, "fixed", None, {"size": {1}}), ArgumentTypeError, "figures"),
    ],
)
def test_what_is_no_threshold_is_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        Threshold(*arguments)


# Hysteresis


def test_what_is_weak_counts_where_it_is_joined_edge_to_edge_to_what_is_strong():
    pixels = np.float32(
        [
            [0.9, 0.5, 0.1, 0.5, 0.5],
            [0.1, 0.5, 0.1, 0.1, 0.9],
            [0.5, 0.1, 0.5, NAN, 0.5],
            [0.1, 0.1, 0.5, NAN, 0.5],
        ]
    )
    flagged = [
        [1, 1, 0, 1, 1],
        [0, 1, 0, 0, 1],
        [0, 0, 0, 0, 1],
        [0, 0, 0, 0, 1],
    ]
    np.testing.assert_array_equal(hysteresis_threshold(0.5, 0.9).mask(pixels), flagged)


@settings(max_examples=40)
@given(maps, values, values)
def test_hysteresis_keeps_the_pieces_of_the_weak_mask_that_hold_a_strong_pixel(pixels, one, other):
    weak, strong = sorted((one, other))
    pieces, n = ndimage.label(pixels >= weak)
    expected = [k for k in range(1, n + 1) if (pixels[pieces == k] >= strong).any()]
    mask = hysteresis_threshold(weak, strong).mask(pixels)
    np.testing.assert_array_equal(mask, np.isin(pieces, expected))
    np.testing.assert_array_equal(
        hysteresis_threshold(strong, strong).mask(pixels), threshold_mask(pixels, strong)
    )


# The default


def test_a_region_reaches_the_threshold_and_extends_as_far_as_the_map_has_half_of_it():
    pixels = np.float32(
        [
            [0.3, 0.4, 0.8, 0.5, 0.2, 0.7],
            [0.1, 0.5, 0.1, NAN, 0.5, 0.4],
            [0.9, 0.1, 0.4, 0.4, 0.1, 0.1],
        ]
    )
    flagged = [
        [0, 1, 1, 1, 0, 0],
        [0, 1, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0],
    ]
    threshold = default_threshold(0.8)
    assert (threshold.value, threshold.weak) == (0.8, 0.4)
    np.testing.assert_array_equal(threshold.mask(pixels), flagged)
    # The whole of a piece is weighed, and not what of it is strong.
    flagged[2][0] = 0
    np.testing.assert_array_equal(threshold.mask(pixels, least_area=4), flagged)
    assert not threshold.mask(pixels, least_area=5).any()


@settings(max_examples=40)
@given(maps, st.floats(0.1, 4), st.floats(0.1, 4))
def test_a_higher_threshold_flags_nothing_that_a_lower_one_does_not(pixels, one, other):
    low, high = (default_threshold(value).mask(pixels) for value in sorted((one, other)))
    assert not (high & ~low).any()


@pytest.mark.parametrize(("value", "error"), [
    (0.0, ArgumentError), (-1, ArgumentError), (NAN, ArgumentError), ("0.5", ArgumentTypeError),
])  # fmt: skip
def test_what_has_no_half_is_no_default_threshold(value, error):
    with pytest.raises(error, match=r"threshold|value"):
        default_threshold(value)


# Otsu


def between(sample, threshold):
    """Variance between the classes below a threshold and from it up."""
    upper = sample >= threshold
    if upper.all() or not upper.any():
        return 0.0
    share = upper.mean()
    return share * (1 - share) * (sample[upper].mean() - sample[~upper].mean()) ** 2


def test_otsu_parts_two_heaps_and_says_how_far_apart_they_are():
    threshold = otsu_threshold(np.float32([[1, 1, 1, 5, NAN]]))
    assert threshold == Threshold(5.0, "Otsu", figures={"separability": 1.0})
    # Below 8, 0 and 2; from there up, 8 and 10: 16 of a variance of 17.
    assert otsu_threshold(np.float32([[0, 2, 8, 10]])).figures["separability"] == pytest.approx(
        16 / 17
    )


@settings(max_examples=60)
@given(assessed)
def test_no_threshold_parts_the_map_better_than_otsu_s(pixels):
    sample = pixels[~np.isnan(pixels)].astype(np.float64)
    best = max(between(sample, value) for value in sample)
    threshold = otsu_threshold(pixels)
    assert between(sample, threshold.value) == pytest.approx(best)
    variance = sample.var()
    assert threshold.figures["separability"] == pytest.approx(best / variance if variance else 0)


@settings(max_examples=30)
@given(assessed.filter(lambda pixels: np.nanmin(pixels) < np.nanmax(pixels)))
def test_otsu_neither_has_a_scale_nor_counts_what_was_not_assessed(pixels):
    mask = otsu_threshold(pixels).mask(pixels)
    sample = pixels[~np.isnan(pixels)].astype(np.float64)
    best = between(sample, otsu_threshold(pixels).value)
    for scaled in (pixels * np.float32(2.0**120), pixels * np.float32(2.0**-100)):
        flagged = otsu_threshold(scaled).mask(scaled)
        assert between(sample, pixels[flagged].min()) == pytest.approx(best)
    more = np.hstack([np.full((4, 9), NAN, np.float32), pixels])
    np.testing.assert_array_equal(otsu_threshold(more).mask(more)[:, 9:], mask)


def test_of_a_flat_map_otsu_flags_nothing():
    for level in (0.0, -2.0, 0.7):
        pixels = np.float32([[level, level, NAN]])
        threshold = otsu_threshold(pixels)
        assert not threshold.mask(pixels).any()
        assert threshold.figures == {"separability": 0.0}


# Percentiles


@pytest.mark.parametrize(("percent", "flagged"), [(0, 4), (25, 3), (50, 2), (75, 1), (100, 1)])
def test_a_percentile_flags_that_share_of_the_assessed_pixels(percent, flagged):
    pixels = np.float32([[3, 1, NAN], [4, NAN, 2]])
    threshold = percentile_threshold(pixels, percent)
    assert threshold.mask(pixels).sum() == flagged
    assert threshold.figures == {"share_flagged": flagged / 4}
    assert threshold.policy == f"percentile {percent}"


@settings(max_examples=30)
@given(assessed, st.floats(0, 100))
def test_no_more_than_a_pixel_less_than_the_share_beyond_the_percentile_is_flagged(pixels, percent):
    n = np.count_nonzero(~np.isnan(pixels))
    flagged = percentile_threshold(pixels, percent).mask(pixels).sum()
    assert flagged >= max(1, n * (1 - percent / 100) - 1 - 1e-9)


@pytest.mark.parametrize("percent", [-1, 100.1, NAN, "50", [50]])
def test_what_is_no_percentage_is_refused(percent):
    with pytest.raises(ArgumentError, match="percent"):
        percentile_threshold(np.zeros((2, 2), np.float32), percent)


@pytest.mark.parametrize("policy", [otsu_threshold, lambda heat: percentile_threshold(heat, 50)])
def test_a_map_without_values_to_choose_by_is_refused(policy):
    for pixels, words in (
        (np.full((2, 2), NAN, np.float32), "nothing of it was assessed"),
        (np.float32([[0, np.inf]]), "infinity"),
    ):
        with pytest.raises(ArgumentError, match=words):
            policy(pixels)
    for pixels in (np.zeros((2, 2), np.uint8), np.zeros(3, np.float32), "map"):
        with pytest.raises(ArgumentTypeError, match="heatmap"):
            policy(pixels)


def test_a_heat_map_and_its_pixels_have_the_same_thresholds():
    layer = HeatLayer([[0, 1, 5]], rows=[0.5], cols=[0.5, 1.5, 2.5])
    heatmap = HeatMap((1, 3), [layer], method="by hand", unit="raw")
    assert otsu_threshold(heatmap) == otsu_threshold(heatmap.to_pixels())
    assert percentile_threshold(heatmap, 50).value == 1


# The validation optimum


MAPS = [np.float32([[0.1, 0.4, 0.6, 0.9]]), np.float32([[0.2, 0.7, NAN, 0.3]])]
TRUTHS = [np.array([[0, 1, 0, 1]], bool), np.array([[0, 0, 1, 0]], bool)]


@pytest.mark.parametrize(
    ("score", "value", "figure"),
    [
        # At 0.4: 2 of 3 flagged in the first photo; the second has no lesion that was assessed.
        ("dice", 0.4, 4 / 5),
        # At 0.4: 2 hits of 4 flagged; at 0.9: 1 of 1. Of equally good ones the highest.
        ("f1", 0.9, 2 / 3),
        # At 0.4: all of the lesion, and 2 of 5 others; at 0.9: half of it, and none.
        ("youden", 0.4, 1 - 2 / 5),
    ],
)
def test_the_threshold_that_agrees_best_with_the_truth_is_taken(score, value, figure):
    threshold = tuned_threshold(MAPS, TRUTHS, score=score)
    assert threshold.value == np.float32(value)
    assert threshold.figures[score] == pytest.approx(figure)
    assert threshold.figures["photos"] == (1 if score == "dice" else 2)


def agreement(score, pixels, truths, threshold):
    """The score, by its definition, from the masks."""
    flagged = [p >= threshold for p in pixels]
    truths = [t & ~np.isnan(p) for p, t in zip(pixels, truths, strict=True)]
    hit = [np.count_nonzero(f & t) for f, t in zip(flagged, truths, strict=True)]
    if score == "dice":
        return np.mean(
            [
                2 * h / (f.sum() + t.sum())
                for h, f, t in zip(hit, flagged, truths, strict=True)
                if t.any()
            ]
        )
    n_flagged, n_lesion = sum(f.sum() for f in flagged), sum(t.sum() for t in truths)
    if score == "f1":
        return 2 * sum(hit) / (n_flagged + n_lesion)
    n_other = sum(np.count_nonzero(~np.isnan(p)) for p in pixels) - n_lesion
    return sum(hit) / n_lesion - (n_flagged - sum(hit)) / max(n_other, 1)


@pytest.mark.parametrize("score", ["dice", "f1", "youden"])
@settings(max_examples=40)
@given(st.lists(st.tuples(assessed, hnp.arrays(bool, (4, 6))), min_size=1, max_size=3))
def test_no_threshold_agrees_better_than_the_one_taken(score, photos):
    pixels, truths = zip(*photos, strict=True)
    if not any((t & ~np.isnan(p)).any() for p, t in photos):
        with pytest.raises(ArgumentError, match="no assessed pixel is lesion"):
            tuned_threshold(pixels, truths, score=score)
        return
    threshold = tuned_threshold(pixels, truths, score=score)
    every = np.unique(np.concatenate([p[~np.isnan(p)] for p in pixels]))
    best = max(agreement(score, pixels, truths, value) for value in every)
    assert threshold.figures[score] == pytest.approx(best)
    assert agreement(score, pixels, truths, threshold.value) == pytest.approx(best)


def test_of_many_values_a_thousand_are_tried():
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(100, 150)).astype(np.float32)
    truth = rng.random(pixels.shape) < 0.3
    pixels[truth] += 1.5
    threshold = tuned_threshold([pixels], [truth], score="f1")
    best = max(agreement("f1", [pixels], [truth], v) for v in np.sort(pixels[truth])[::7])
    assert threshold.figures["f1"] == pytest.approx(best, abs=1e-3)


def test_maps_without_their_truths_are_refused():
    with pytest.raises(ArgumentError, match="2 and 1"):
        tuned_threshold(MAPS, TRUTHS[:1])
    with pytest.raises(ArgumentError, match=r"\(1, 4\) and \(1, 3\)"):
        tuned_threshold(MAPS[:1], [TRUTHS[0][:, :3]])
    with pytest.raises(ArgumentTypeError, match="bool"):
        tuned_threshold(MAPS[:1], [TRUTHS[0].astype(int)])
    with pytest.raises(ArgumentError, match="dice, f1, youden"):
        tuned_threshold(MAPS, TRUTHS, score="iou")
    with pytest.raises(ArgumentError, match="no assessed pixel"):
        tuned_threshold([], [])


# The budget of false regions


def regions(pixels, threshold, least_area=0.0):
    return ndimage.label(drop_specks(threshold_mask(pixels, threshold), least_area))[1]


def test_the_lowest_threshold_with_at_most_one_false_region_in_four_photos_is_taken():
    photos = [
        np.float32([[0.9, 0.1, 0.6]]),
        np.float32([[0.5, 0.1, 0.1]]),
        np.float32([[0.2, NAN, 0.2]]),
        np.float32([[0.0, 0.0, 0.0]]),
    ]
    threshold = budget_threshold(photos)
    assert threshold.value == np.float32(0.9)
    assert threshold.figures == {"false_regions_per_photo": 0.25, "photos": 4}
    assert threshold.policy == "at most 0.25 false regions a photo"
    assert budget_threshold(photos, per_photo=0.75).value == np.float32(0.5)
    # At 0.1 the regions of each of two photos melt into one; that they were more above it counts.
    assert budget_threshold(photos, per_photo=1).value == np.float32(0.5)
    assert budget_threshold(photos, per_photo=2).value == 0.0


def test_regions_smaller_than_the_least_area_do_not_count():
    photo = np.float32([[0.9, 0.1, 0.6, 0.6, 0.1]])
    assert budget_threshold([photo], per_photo=0, least_area=2).value == np.float32(0.9)
    assert budget_threshold([photo], per_photo=1, least_area=2).value == np.float32(0.1)


def test_every_kind_of_photo_must_keep_the_budget():
    photos = [np.float32([[0.9, 0.1]])] + [np.float32([[0.2, 0.1]])] * 3
    kinds = ["cloth", "skin", "skin", "skin"]
    assert budget_threshold(photos, per_photo=0.25).value == np.float32(0.9)
    by_kind = budget_threshold(photos, per_photo=0.25, kinds=kinds)
    assert by_kind.value > np.float32(0.9)
    assert by_kind.figures["false_regions_per_photo"] == 0


def test_maps_stretched_to_one_in_every_photo_can_afford_no_threshold_that_flags_anything():
    rng = np.random.default_rng(0)
    photos = [rng.random((8, 8), np.float32) for _ in range(4)]
    photos = [photo / photo.max() for photo in photos]
    threshold = budget_threshold(photos)
    assert not any(threshold.mask(photo).any() for photo in photos)


@settings(max_examples=40)
@given(
    st.lists(assessed, min_size=1, max_size=4), st.floats(0, 3), st.floats(0, 3), st.integers(0, 4)
)
def test_the_budget_is_kept_and_more_of_it_never_raises_the_threshold(photos, one, other, area):
    low, high = sorted((one, other))
    strict, lenient = (
        budget_threshold(photos, per_photo=allowed, least_area=area) for allowed in (low, high)
    )
    assert lenient.value <= strict.value
    for threshold, allowed in ((strict, low), (lenient, high)):
        rates = [
            np.mean([regions(photo, value, area) for photo in photos])
            for value in np.unique(np.concatenate(photos))
            if value >= threshold.value
        ]
        assert max(rates, default=0) <= allowed
        figure = np.mean([regions(photo, threshold.value, area) for photo in photos])
        assert threshold.figures["false_regions_per_photo"] == pytest.approx(figure)


def test_a_ladder_is_climbed_down_no_farther_than_it_can_be_afforded():
    taken = []

    def ladder():
        for counts in ([0, 0], [1, 0], [2, 1], [0, 0]):
            taken.append(counts)
            yield counts

    assert affordable(ladder(), ["cloth", "skin"], 1) == (1, {"cloth": 1.0, "skin": 0.0})
    assert len(taken) == 3
    assert affordable([[2], [0]], ["skin"], 1) == (0, {"skin": 2.0})


@pytest.mark.parametrize(
    ("photos", "options", "words"),
    [
        ([], {}, "heatmaps is empty"),
        (MAPS, {"per_photo": -1}, "per_photo"),
        (MAPS, {"per_photo": NAN}, "per_photo"),
        (MAPS, {"kinds": ["skin"]}, "kinds"),
        (MAPS, {"kinds": "ab"}, "kinds"),
        (MAPS, {"least_area": -1}, "least_area"),
        ([np.full((2, 2), NAN, np.float32)], {}, "nothing of it was assessed"),
    ],
)
def test_what_is_no_budget_is_refused(photos, options, words):
    with pytest.raises(ArgumentError, match=words):
        budget_threshold(photos, **options)
