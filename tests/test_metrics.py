import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from slidewin.errors import ArgumentError, ArgumentTypeError
from slidewin.metrics import (
    Candidate,
    Difference,
    Judged,
    bootstrap_difference,
    bootstrap_interval,
    expected_calibration_error,
    false_regions,
    find_candidates,
    froc,
    iou,
    judge_candidates,
    wilson_interval,
)
from slidewin.region import find_regions


def mask_of(*rows):
    return np.array([[char == "#" for char in row] for row in rows])


def regions_of(*rows):
    mask = mask_of(*rows)
    return find_regions(mask.astype(np.float32), mask)


# --- candidates ---------------------------------------------------------------------------------


def test_each_peak_is_a_candidate_best_first():
    scores = np.zeros((9, 9))
    scores[2, 2], scores[6, 7] = 0.4, 0.9
    found = find_candidates(scores, radius=2)
    assert found[:2] == [Candidate(6.5, 7.5, 0.9), Candidate(2.5, 2.5, 0.4)]


def test_a_better_peak_suppresses_those_within_the_radius_and_no_others():
    scores = np.full((1, 20), np.nan)
    scores[0, [2, 5, 8]] = 0.5, 0.9, 0.6
    assert [c.col for c in find_candidates(scores, radius=2.9)] == [5.5, 8.5, 2.5]
    assert [c.col for c in find_candidates(scores, radius=3.0)] == [5.5]


def test_what_was_suppressed_suppresses_nothing():
    scores = np.full((1, 20), np.nan)
    scores[0, [2, 5, 8]] = 0.5, 0.6, 0.9
    assert [c.col for c in find_candidates(scores, radius=3.0)] == [8.5, 2.5]


def test_a_plateau_is_one_candidate_at_its_centroid():
    scores = np.zeros((8, 8))
    scores[2:4, 3:7] = 0.7
    assert find_candidates(scores, radius=8) == [Candidate(3.0, 5.0, 0.7)]


def test_a_terrace_below_a_peak_is_no_candidate():
    scores = np.array([0.1, 0.2, 0.5, 0.5, 0.5, 0.5, 0.9, 0.3])[None]
    assert find_candidates(scores, radius=0) == [Candidate(0.5, 6.5, 0.9)]


def test_a_flat_map_has_one_candidate_and_a_map_not_assessed_none():
    assert find_candidates(np.full((4, 6), 0.3), radius=1) == [Candidate(2.0, 3.0, 0.3)]
    assert find_candidates(np.full((4, 6), np.nan), radius=1) == []


def test_peaks_beside_what_was_not_assessed_count():
    scores = np.array([[np.nan, 0.4, 0.1], [np.nan, np.nan, 0.1]])
    assert find_candidates(scores, radius=1)[0] == Candidate(0.5, 1.5, 0.4)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble, ">f4"])
def test_maps_of_any_floating_type_have_candidates(dtype):
    scores = np.array([[0.25, 0.75, 0.5]], dtype)
    assert find_candidates(scores, radius=0) == [Candidate(0.5, 1.5, 0.75)]


def test_raw_maps_below_zero_have_candidates_too():
    scores = np.array([[-9.0, -3.0, -9.0]], np.float32)
    assert find_candidates(scores, radius=0) == [Candidate(0.5, 1.5, -3.0)]


MAPS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.sampled_from([np.nan, 0.0, 0.25, 0.5, 0.75, 1.0]),
)


@settings(max_examples=100, deadline=None)
@given(MAPS, st.floats(0, 6))
def test_candidates_are_apart_in_order_and_hold_the_best(scores, radius):
    found = find_candidates(scores, radius=radius)
    assert [c.score for c in found] == sorted((c.score for c in found), reverse=True)
    if not np.isnan(scores).all():
        assert found[0].score == np.nanmax(scores)
    places = np.array([(int(c.row), int(c.col)) for c in found])
    for i, place in enumerate(places):
        others = np.delete(places, i, axis=0)
        assert (np.hypot(*(others - place).T) > radius).all()


@settings(max_examples=100, deadline=None)
@given(MAPS)
def test_without_suppression_candidates_are_the_regional_maxima(scores):
    expected = 0
    for value in np.unique(scores[~np.isnan(scores)]):
        for region in eight_connected(scores == value):
            around = grown(region)
            expected += not (scores[around] > value).any()
    found = find_candidates(scores, radius=0)
    # Centroids of two plateaus may share a pixel; then one is left.
    assert len(found) <= expected
    assert len({(int(c.row), int(c.col)) for c in found}) == len(found)
    if expected <= 1:
        assert len(found) == expected


def eight_connected(mask):
    left = mask.copy()
    while left.any():
        piece = np.zeros_like(mask)
        piece[tuple(np.argwhere(left)[0])] = True
        while (bigger := grown(piece) & mask).sum() > piece.sum():
            piece = bigger
        left &= ~piece
        yield piece


def grown(mask):
    padded = np.pad(mask, 1)
    h, w = mask.shape
    return np.any([padded[i : i + h, j : j + w] for i in range(3) for j in range(3)], axis=0)


@pytest.mark.parametrize("scores", [np.zeros((2, 2), int), np.zeros(4), [[0.0]]])
def test_what_is_no_map_is_refused(scores):
    with pytest.raises(ArgumentTypeError, match="scores"):
        find_candidates(scores, radius=1)


@pytest.mark.parametrize("radius", [-1, np.nan, np.inf])
def test_what_is_no_radius_is_refused(radius):
    with pytest.raises(ArgumentError, match="radius"):
        find_candidates(np.zeros((2, 2)), radius=radius)


# --- judging and FROC ---------------------------------------------------------------------------

TWO_LESIONS = mask_of(
    "##....",
    "##....",
    "......",
    "....##",
)


def at(row, col, score):
    return Candidate(row + 0.5, col + 0.5, score)


def test_a_lesion_counts_once_with_its_best_candidate():
    candidates = [at(0, 0, 0.3), at(1, 1, 0.8), at(2, 3, 0.5)]
    for order in (candidates, candidates[::-1]):
        assert judge_candidates(order, TWO_LESIONS) == Judged(hits=(0.8, -np.inf), false=(0.5,))


def test_tolerance_is_in_pixels_and_the_nearest_lesion_is_hit():
    candidates = [at(3, 2, 0.9)]  # two columns from the second lesion, two rows from the first
    assert judge_candidates(candidates, TWO_LESIONS, tolerance=1.9).false == (0.9,)
    lesions = [mask_of("#....."), mask_of("...#..")]
    assert judge_candidates([at(0, 2, 0.9)], lesions, tolerance=5).hits == (-np.inf, 0.9)


def test_ignored_candidates_count_for_nothing():
    ignore = mask_of("......", "......", "...#..", "......")
    candidates = [at(0, 0, 0.8), at(2, 3, 0.5)]
    assert judge_candidates(candidates, TWO_LESIONS, ignore=ignore).false == ()


def test_pieces_that_touch_at_a_corner_are_one_lesion_unless_given_apart():
    mask = mask_of("#..", ".#.", "...")
    assert len(judge_candidates([], mask).hits) == 1
    apart = [mask_of("#..", "...", "..."), mask_of("...", ".#.", "...")]
    assert len(judge_candidates([], apart).hits) == 2


@pytest.mark.parametrize("score", [0.1, 0.5, 1.0])
def test_a_perfect_detector_scores_one_also_where_its_scores_tie(score):
    photos = [Judged((score,), ()), Judged((score, score), ()), Judged((), ())]
    assert froc(photos).sensitivity_at(0) == 1.0


def test_a_perfect_detector_of_differing_scores_scores_one():
    # Codes that drop the lowest threshold give 0.667.
    assert froc([Judged((0.9, 0.8, 0.7), ())]).sensitivity_at(0) == 1.0


def test_an_empty_detector_scores_nought():
    curve = froc([Judged((-np.inf,), ()), Judged((), ())])
    assert curve.sensitivity_at(100) == 0.0
    assert curve.thresholds.tolist() == [np.inf]


def test_scores_that_tie_fall_together():
    curve = froc([Judged((0.5, 0.5), (0.5, 0.5, 0.5))])
    assert curve.sensitivity_at(2.9) == 0.0
    assert curve.sensitivity_at(3) == 1.0


def test_without_lesions_there_is_a_false_rate_and_no_sensitivity():
    curve = froc([Judged((), (0.3, 0.2)), Judged((), ())])
    assert np.isnan(curve.sensitivity).all()
    assert np.isnan(curve.sensitivity_at(1))
    assert curve.false_per_photo.tolist() == [0, 0.5, 1.0]


def test_the_curve_is_a_step_that_keeps_its_last_value():
    curve = froc([Judged((0.9, 0.3), (0.6, 0.2)), Judged((), ())])
    assert [curve.sensitivity_at(f) for f in (0, 0.49, 0.5, 1, 99)] == [0.5, 0.5, 1, 1, 1]


def test_a_threshold_keeps_the_false_rate_that_was_asked_for():
    curve = froc([Judged((0.9, 0.3), (0.6, 0.2)), Judged((), ())])
    assert [curve.threshold_at(f) for f in (0, 0.49, 0.5, 1)] == [0.9, 0.9, 0.3, 0.2]
    assert froc([Judged((0.5,), (0.7,))]).threshold_at(0) == np.inf


def test_rates_below_zero_and_no_photos_are_refused():
    with pytest.raises(ArgumentError, match="from 0 up"):
        froc([Judged((), ())]).sensitivity_at(-0.1)
    with pytest.raises(ArgumentError, match="photos is empty"):
        froc([])


SCORES = st.lists(st.sampled_from([0.1, 0.3, 0.5, 0.9]), max_size=4).map(tuple)
PHOTOS = st.lists(st.builds(Judged, SCORES, SCORES), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(PHOTOS)
def test_a_photo_in_which_nothing_is_scored_never_raises_the_false_rate(photos):
    before, after = froc(photos), froc([*photos, Judged((), ())])
    assert (after.false_per_photo <= before.false_per_photo).all()
    assert np.array_equal(after.sensitivity, before.sensitivity, equal_nan=True)


@settings(max_examples=60, deadline=None)
@given(PHOTOS)
def test_the_curve_counts_what_reaches_each_threshold(photos):
    curve = froc(photos)
    assert curve.false_per_photo[0] == 0
    for threshold, share, rate in zip(
        curve.thresholds, curve.sensitivity, curve.false_per_photo, strict=True
    ):
        hits = [score >= threshold for photo in photos for score in photo.hits]
        false = [score >= threshold for photo in photos for score in photo.false]
        assert np.isnan(share) if not hits else share == np.mean(hits)
        assert rate == sum(false) / len(photos)


@pytest.mark.parametrize("scores", [(0.9, 0.8, 0.7), (0.5, 0.5, 0.5), (1e-9, 0.0, -4.0)])
def test_a_perfect_detector_has_the_scores_of_both_challenges(scores):
    # Codes that drop the lowest threshold give 0.667, and 0 where scores tie.
    curve = froc([Judged((score,), ()) for score in scores])
    assert curve.luna16 == curve.camelyon16 == 1.0


def test_an_empty_detector_has_a_score_of_nought_and_no_lesions_have_none():
    assert froc([Judged((-np.inf,), ()), Judged((), (0.3,))]).luna16 == 0.0
    bare = froc([Judged((), (0.3,))])
    assert np.isnan([bare.luna16, bare.camelyon16]).all()
    assert bare.false_per_free_photo.tolist() == [0, 1]


def test_the_scores_of_the_challenges_differ_in_where_they_look():
    # Two lesions in eight photos: one found at no cost, the other after one false candidate.
    photos = [Judged((0.9, 0.5), (0.7,)), *[Judged((), ())] * 7]
    assert froc(photos).luna16 == froc(photos).camelyon16 == 1
    # After two of them: a rate of 1/4. Only LUNA16 looks at 1/8, where half are found.
    photos[0] = Judged((0.9, 0.5), (0.7, 0.6))
    assert froc(photos).luna16 == pytest.approx((0.5 + 6) / 7)
    assert froc(photos).camelyon16 == 1


def test_false_candidates_are_counted_per_photo_per_photo_without_lesions_and_per_lesion():
    photos = [Judged((0.9, 0.8, 0.3), (0.7, 0.2)), Judged((), (0.7,)), Judged((), ())]
    curve = froc(photos)
    at = curve.thresholds.tolist().index(0.7)
    assert curve.false_per_photo[at] == pytest.approx(2 / 3)
    assert curve.false_per_free_photo[at] == 1 / 2
    assert curve.false_per_lesion[at] == pytest.approx(2 / 3)
    assert curve.false_per_lesion[-1] == 1
    assert (curve.n_lesions, curve.n_photos, curve.n_free_photos) == (3, 3, 2)
    with_lesions = froc(photos[:1])
    assert np.isnan(with_lesions.false_per_free_photo).all()
    assert np.isnan(froc(photos[1:]).false_per_lesion).all()


def test_the_highest_threshold_that_finds_enough():
    curve = froc([Judged((0.9, 0.7, 0.7, 0.2, -np.inf), (0.8,))])
    shares = (0, 0.2, 0.21, 0.6, 0.8)
    assert [curve.threshold_finding(s) for s in shares] == [np.inf, 0.9, 0.7, 0.7, 0.2]
    assert np.isnan(curve.threshold_finding(0.81))
    assert np.isnan(froc([Judged((), (0.5,))]).threshold_finding(0.5))
    with pytest.raises(ArgumentError, match="sensitivity"):
        curve.threshold_finding(80)


@settings(max_examples=60, deadline=None)
@given(PHOTOS)
def test_scores_depend_on_ranks_alone_and_a_false_candidate_never_helps(photos):
    def scores(photos):
        curve = froc(photos)
        return np.array([curve.luna16, curve.camelyon16])

    def stretched(values):
        return tuple(float(np.expm1(9 * value)) for value in values)

    rescaled = [Judged(stretched(photo.hits), stretched(photo.false)) for photo in photos]
    assert np.array_equal(scores(photos), scores(rescaled), equal_nan=True)
    worse = [Judged(photos[0].hits, (*photos[0].false, 0.95)), *photos[1:]]
    if not np.isnan(scores(photos)).any():
        assert (scores(worse) <= scores(photos)).all()


@settings(max_examples=60, deadline=None)
@given(PHOTOS)
def test_twenty_five_candidates_on_a_lesion_are_not_better_than_one(photos):
    lesion = mask_of("#####", "#####", "#####", "#####", "#####")
    many = [at(row, col, 0.5) for row in range(5) for col in range(5)]
    one, all_of_them = (judge_candidates(some, lesion) for some in (many[:1], many))
    assert one == all_of_them
    # And where one fits and the others do not, these are false.
    small = mask_of("#....", ".....", ".....", ".....", ".....")
    spread = judge_candidates(many, small)
    assert froc([spread, *photos]).luna16 <= froc([one, *photos]).luna16


def test_the_interval_of_a_score_draws_patients_whole():
    photos = [Judged((0.9,), ()), Judged((-np.inf,), (0.8,)), Judged((0.7,), ()), Judged((), ())]

    def score(drawn):
        return froc([photos[i] for i in drawn]).luna16

    low, high = bootstrap_interval(["a", "b", "c", "d"], score, n=200)
    assert low < score(range(4)) < high
    assert bootstrap_interval(["a"] * 4, score, n=20) == (score(range(4)),) * 2


@pytest.mark.parametrize(
    ("lesions", "error"),
    [
        (np.zeros((2, 2)), ArgumentTypeError),
        ([], ArgumentError),
        ([np.zeros((2, 2), bool)], ArgumentError),
        ([np.ones((2, 2), bool), np.ones((2, 3), bool)], ArgumentError),
    ],
)
def test_what_are_no_lesions_is_refused(lesions, error):
    with pytest.raises(error, match="lesions"):
        judge_candidates([], lesions)
    with pytest.raises(error, match="lesions"):
        false_regions([], lesions)


def test_candidates_and_ignored_places_belong_to_the_same_photo():
    with pytest.raises(ArgumentError, match="outside"):
        judge_candidates([at(4, 0, 0.5)], TWO_LESIONS)
    with pytest.raises(ArgumentError, match="ignore"):
        judge_candidates([], TWO_LESIONS, ignore=np.zeros((1, 1), bool))


# --- regions and masks --------------------------------------------------------------------------


def test_a_region_is_false_unless_it_shares_a_pixel_with_a_lesion():
    regions = regions_of("#.#..#")
    false, found = false_regions(regions, [mask_of("##...."), mask_of("...##.")])
    assert [region.bbox[1] for region in false] == [2, 5]
    assert found.tolist() == [True, False]


def test_a_lesion_in_the_hole_of_a_region_is_not_touched():
    ring = regions_of("#####", "#...#", "#...#", "#####")
    lesion = mask_of(".....", ".##..", "..#..", ".....")
    false, found = false_regions(ring, lesion)
    assert len(false) == 1
    assert not found.any()


def test_a_region_that_lies_more_than_half_in_what_is_ignored_is_not_false():
    regions, nothing = regions_of("####"), mask_of("....")
    assert false_regions(regions, nothing, ignore=mask_of("###."))[0] == ()
    assert len(false_regions(regions, nothing, ignore=mask_of("##.."))[0]) == 1


MASKS = hnp.arrays(bool, (6, 7))


@settings(max_examples=100, deadline=None)
@given(MASKS, MASKS)
def test_regions_and_lesions_meet_where_their_masks_do(mask, lesions):
    false, found = false_regions(find_regions(mask.astype(np.float32), mask), lesions)
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    touched = np.unique(labels[mask & lesions])
    assert len(false) == count - 1 - len(touched)
    assert sum(region.area for region in false) == np.isin(labels, touched, invert=True)[mask].sum()
    assert found.sum() == sum((piece & mask).any() for piece in eight_connected(lesions))


def test_iou_of_masks():
    mask = mask_of("##..", "##..")
    assert iou(mask, mask) == 1.0
    assert iou(mask, mask_of(".##.", ".##.")) == pytest.approx(2 / 6)
    assert iou(mask, ~mask) == 0.0
    assert np.isnan(iou(mask & ~mask, mask & ~mask))
    with pytest.raises(ArgumentError, match="shapes"):
        iou(mask, mask[:1])
    with pytest.raises(ArgumentTypeError, match="truth"):
        iou(mask, mask.astype(float))


# --- calibration and intervals ------------------------------------------------------------------


def test_calibration_error_is_the_mean_gap_of_the_bins():
    # Two cases at 0.1, one true: a gap of 0.4. Six at 0.9, three true: a gap of 0.4 the other way.
    y, p = [0, 1, 1, 1, 1, 0, 0, 0], [0.1, 0.1, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9]
    assert expected_calibration_error(y, p) == pytest.approx(0.4)
    # In one bin: half are true, the mean probability is 0.7.
    assert expected_calibration_error(y, p, n_bins=1) == pytest.approx(0.2)


def test_certainty_belongs_to_the_last_bin():
    assert expected_calibration_error([1, 1, 0], [1.0, 1.0, 0.0]) == 0.0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=20),
    st.integers(1, 20),
)
def test_calibration_error_lies_between_the_bias_and_the_mean_distance(cases, n_bins):
    y, p = (np.array(column, float) for column in zip(*cases, strict=True))
    error = expected_calibration_error(y, p, n_bins=n_bins)
    assert abs(np.mean(p - y)) - 1e-9 <= error <= np.mean(np.abs(p - y)) + 1e-9


@pytest.mark.parametrize(("y", "p"), [([], []), ([1], [1.5]), ([2], [0.5]), ([1, 0], [0.5])])
def test_what_are_no_cases_is_refused(y, p):
    with pytest.raises(ArgumentError, match="probability"):
        expected_calibration_error(y, p)


def test_groups_are_drawn_whole():
    groups = np.array(["b", "a", "b", "c"])
    seen = []

    def statistic(drawn):
        seen.append(np.bincount(drawn, minlength=4))
        return 0.0

    assert bootstrap_interval(groups, statistic, n=50) == (0.0, 0.0)
    for counts in seen:
        assert counts[0] == counts[2]
        assert counts[[0, 1, 3]].sum() == 3
    assert len({tuple(counts) for counts in seen}) > 1


def test_a_bootstrap_is_repeatable_and_leaves_out_what_has_no_number():
    values = np.arange(30.0)

    def statistic(drawn):
        return np.nan if drawn[0] < 15 else values[drawn].mean()

    first = bootstrap_interval(np.arange(30), statistic, n=200, random_state=1)
    assert first == bootstrap_interval(np.arange(30), statistic, n=200, random_state=1)
    assert first[0] < 14.5 < first[1]
    assert np.isnan(bootstrap_interval(np.arange(3), lambda drawn: np.nan, n=5)).all()


def test_the_interval_of_a_mean_is_about_that_of_the_normal_law():
    values = np.random.default_rng(0).normal(size=400)
    low, high = bootstrap_interval(np.arange(400), lambda drawn: values[drawn].mean())
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_a_paired_difference_is_surer_than_its_parts():
    rng = np.random.default_rng(0)
    hard = rng.normal(size=60)
    ours, theirs = hard + 0.2 + 0.1 * rng.normal(size=60), hard
    groups = np.arange(60) // 2

    def mean(values):
        return lambda drawn: values[drawn].mean()

    difference = bootstrap_difference(groups, mean(ours), mean(theirs), n=300)
    assert difference.value == pytest.approx((ours - theirs).mean())
    assert 0 < difference.low < difference.value < difference.high
    low, high = bootstrap_interval(groups, mean(ours), n=300)
    assert difference.high - difference.low < (high - low) / 3
    assert low < theirs.mean() < high  # the parts alone would not tell them apart


def test_a_difference_to_itself_is_nought_and_turns_round():
    values = np.arange(10.0)

    def mean(drawn):
        return values[drawn].mean()

    def least(drawn):
        return values[drawn].min()

    assert bootstrap_difference(range(10), mean, mean, n=50) == (0, 0, 0)
    there = bootstrap_difference(range(10), mean, least, n=50)
    back = bootstrap_difference(range(10), least, mean, n=50)
    assert there == pytest.approx(Difference(-back.value, -back.high, -back.low))


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(0, 10, 0.0, 0.278), (5, 10, 0.237, 0.763), (10, 10, 0.722, 1.0), (81, 94, 0.778, 0.918)],
)
def test_intervals_of_a_share_are_wilson_s(hits, n, low, high):
    assert wilson_interval(hits, n) == pytest.approx((low, high), abs=1e-3)


@pytest.mark.parametrize(("hits", "n"), [(1, 0), (3, 2), (-1, 2)])
def test_shares_beyond_nought_and_one_are_refused(hits, n):
    with pytest.raises(ArgumentError, match="hits"):
        wilson_interval(hits, n)
