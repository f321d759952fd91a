"""Pixel average precision, IoU and Dice."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score, f1_score

from slidewin.errors import ArgumentError, ArgumentTypeError
from slidewin.mask import threshold_mask, tuned_threshold
from slidewin.metrics import (
    best_threshold,
    count_pixels,
    dice,
    iou,
    lesion_dice,
    oracle_overlap,
    overlap_at,
    pixel_average_precision,
    pool_counts,
)


def row(*values):
    return np.array([values], np.float32)


def lesion_at(*columns, width=4):
    return np.isin(np.arange(width), columns)[None]


def photo(values, *columns, **options):
    return count_pixels(row(*values), lesion_at(*columns, width=len(values)), **options)


# --- average precision --------------------------------------------------------------------------


def test_average_precision_by_hand():
    # Down the ranks: a lesion (precision 1), another, a lesion (2 of 3), another.
    scored = pixel_average_precision([photo([0.9, 0.8, 0.5, 0.1], 0, 2)])
    assert scored.positives.value == pytest.approx((1 + 2 / 3) / 2)
    assert scored.positives.chance == 0.5
    assert scored.positives.gain == pytest.approx((5 / 6 - 0.5) / 0.5)


@pytest.mark.parametrize("exact", [False, True])
def test_equal_scores_fall_together_so_a_flat_map_gets_the_chance_level(exact):
    for columns in ((0,), (3,), (1, 2)):
        scored = pixel_average_precision([photo([0.4] * 4, *columns, exact=exact)])
        assert scored.macro.value == scored.macro.chance == len(columns) / 4
        assert scored.macro.gain == 0


def test_what_is_lit_up_in_a_photo_without_lesions_costs_and_can_turn_the_ranking():
    bare = lesion_at()
    lesion = lesion_at(0)
    sharp, calm = row(0.9, 0.1, 0.1, 0.1), row(0.6, 0.7, 0.0, 0.0)
    stretched = [count_pixels(sharp, lesion), count_pixels(row(0.1, 0.95, 0.95, 0.95), bare)]
    absolute = [count_pixels(calm, lesion), count_pixels(row(0.0, 0.0, 0.0, 0.0), bare)]
    ours, theirs = pixel_average_precision(absolute), pixel_average_precision(stretched)
    assert theirs.positives.value == theirs.macro.value == 1
    assert ours.positives.value == 0.5
    assert theirs.all_photos.value == 0.25
    assert ours.all_photos.value == 0.5
    assert ours.all_photos.chance == 1 / 8


def test_a_perfect_map_scores_one_and_an_inverted_one_less_than_chance():
    perfect = pixel_average_precision([photo([1, 1, 0, 0], 0, 1), photo([0, 0, 0, 0])])
    assert [part.value for part in perfect] == [1, 1, 1]
    assert [part.gain for part in perfect] == [1, 1, 1]
    assert pixel_average_precision([photo([0, 1, 1, 1], 0)]).macro.gain == 0


def test_nothing_is_stretched():
    noise = np.random.default_rng(0).random((60, 80)).astype(np.float32) * np.float32(5e-7)
    truth = np.zeros((60, 80), bool)
    truth[20:30, 20:40] = True
    counts = count_pixels(noise, truth)
    assert sum(counts.flagged(0.001)) == 0
    assert overlap_at([counts], 0.5).macro_dice == 0
    assert pixel_average_precision([counts]).macro.gain == pytest.approx(0)


@pytest.mark.parametrize("exact", [False, True])
def test_what_was_not_assessed_and_what_is_ignored_is_in_no_sum(exact):
    kept = photo([0.9, 0.8, 0.5, 0.1], 0, 2, exact=exact)
    pixels = row(0.9, np.nan, 0.8, 0.5, 0.1, 1.0, np.nan)
    truth = lesion_at(0, 1, 3, 5, width=7)
    cut = count_pixels(pixels, truth, ignore=lesion_at(5, width=7), exact=exact)
    for name in ("scores", "lesion", "other"):
        assert np.array_equal(getattr(cut, name), getattr(kept, name))


def test_a_photo_whose_lesion_is_ignored_counts_as_one_without():
    counts = count_pixels(row(0.9, 0.2), lesion_at(0, width=2), ignore=lesion_at(0, width=2))
    assert counts.n_lesion == 0
    assert counts.n_pixels == 1
    assert np.isnan(overlap_at([counts], 0.5).dice[0])


def test_without_lesions_there_is_no_average_precision():
    scored = pixel_average_precision([photo([0.9, 0.1])])
    assert all(np.isnan(part.value) for part in scored)
    nothing = count_pixels(np.full((2, 2), np.nan, np.float32), np.ones((2, 2), bool))
    assert np.isnan(pixel_average_precision([nothing]).all_photos.value)
    assert np.isnan(nothing.prevalence)


def test_binned_counts_are_as_small_whatever_the_photo():
    truth = np.zeros((300, 400), bool)
    scores = np.random.default_rng(0).random(truth.shape).astype(np.float32)
    assert count_pixels(scores, truth).scores.size == 1001
    assert count_pixels(scores[:2], truth[:2]).scores.size == 1001


def test_nothing_of_the_caller_s_is_changed():
    pixels, truth = row(0.9, np.nan, 0.1), lesion_at(0, width=3)
    pixels.flags.writeable = truth.flags.writeable = False
    assert count_pixels(np.asfortranarray(pixels), truth).n_pixels == 2


MAPS = st.integers(1, 4).flatmap(
    lambda n: st.tuples(
        *[
            st.tuples(
                hnp.arrays(np.float32, (3, 5), elements=st.integers(0, 12).map(lambda k: k / 12)),
                hnp.arrays(bool, (3, 5)),
            )
        ]
        * n
    )
)


@settings(max_examples=60)
@given(MAPS)
def test_exact_average_precision_is_scikit_learn_s(maps):
    counts = [count_pixels(pixels, truth, exact=True) for pixels, truth in maps]
    scored = pixel_average_precision(counts)
    positives = [pair for pair in maps if pair[1].any()]
    if not positives:
        assert np.isnan(scored.macro.value)
        return

    def reference(pairs):
        pixels, truth = (
            np.concatenate([part.ravel() for part in parts]) for parts in zip(*pairs, strict=True)
        )
        return average_precision_score(truth, pixels)

    assert scored.all_photos.value == pytest.approx(reference(maps))
    assert scored.positives.value == pytest.approx(reference(positives))
    assert scored.macro.value == pytest.approx(np.mean([reference([pair]) for pair in positives]))
    assert scored.all_photos.chance == pytest.approx(np.mean([truth for _, truth in maps]))


@settings(max_examples=60)
@given(MAPS)
def test_bins_lose_nothing_where_scores_are_farther_apart_than_they(maps):
    binned = pixel_average_precision([count_pixels(*pair) for pair in maps])
    exact = pixel_average_precision([count_pixels(*pair, exact=True) for pair in maps])
    assert np.allclose(binned, exact, equal_nan=True)


@settings(max_examples=60)
@given(MAPS)
def test_a_monotone_rescaling_leaves_average_precision_alone(maps):
    def score(scaled):
        return pixel_average_precision(
            [count_pixels(scaled(pixels), truth, exact=True) for pixels, truth in maps]
        )

    before, after = score(lambda pixels: pixels), score(lambda pixels: np.exp(3 * pixels) - 40)
    assert np.allclose(before, after, equal_nan=True)


@settings(max_examples=60)
@given(MAPS, st.booleans())
def test_photos_pooled_are_one_photo(maps, exact):
    pooled = pool_counts([count_pixels(*pair, exact=exact) for pair in maps])
    pixels, truth = (np.concatenate(parts) for parts in zip(*maps, strict=True))
    whole = count_pixels(pixels, truth, exact=exact)
    assert np.array_equal(pooled.scores, whole.scores)
    assert np.array_equal(pooled.lesion, whole.lesion)
    assert np.array_equal(pooled.other, whole.other)


def test_bins_flag_what_a_mask_of_the_same_threshold_flags():
    thousandths = (np.arange(1001) / 1000).astype(np.float32)
    pixels = np.concatenate([thousandths, np.nextafter(thousandths[1:], np.float32(0))])[None]
    truth = np.zeros(pixels.shape, bool)
    _, flagged = count_pixels(pixels, truth).flagged(np.arange(1001) / 1000)
    for k in range(0, 1001, 7):
        assert flagged[k] == np.count_nonzero(threshold_mask(pixels, k / 1000))
    _, beyond = count_pixels(pixels, truth).flagged([1.5, -1])
    assert beyond.tolist() == [0, pixels.size]


def test_in_bins_a_threshold_is_rounded_down_to_the_thousandth():
    counts = photo([0.5, 0.5004, 0.501])
    _, between = counts.flagged([0.5, 0.5007, 0.501])
    assert between.tolist() == [3, 3, 1]
    _, exact = photo([0.5, 0.5004, 0.501], exact=True).flagged([0.5, 0.5007, 0.501])
    assert exact.tolist() == [3, 1, 1]


@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_bins_are_for_probabilities_and_other_maps_are_counted_exactly(value):
    with pytest.raises(ArgumentError, match="exact=True"):
        photo([0.5, value], 0)
    assert photo([0.5, value], 0, exact=True).n_pixels == 2


def test_what_cannot_be_counted_is_refused():
    with pytest.raises(ArgumentError, match="infinity"):
        photo([0.5, np.inf], 0, exact=True)
    with pytest.raises(ArgumentTypeError, match="pixels"):
        count_pixels(np.zeros((1, 2), int), lesion_at(0, width=2))
    with pytest.raises(ArgumentTypeError, match="truth"):
        count_pixels(row(0.5, 0.5), row(0, 1))
    with pytest.raises(ArgumentError, match="truth"):
        count_pixels(row(0.5, 0.5), lesion_at(0, width=3))
    with pytest.raises(ArgumentError, match="ignore"):
        count_pixels(row(0.5, 0.5), lesion_at(0, width=2), ignore=lesion_at(0))
    with pytest.raises(ArgumentError, match="photos is empty"):
        pixel_average_precision([])
    with pytest.raises(ArgumentError, match="one way"):
        pixel_average_precision([photo([0.5], 0), photo([0.5], 0, exact=True)])


# --- overlap ------------------------------------------------------------------------------------


def test_overlap_by_hand():
    photos = [photo([0.9, 0.9, 0.1, 0.1], 1, 2), photo([0.9, 0.1, 0.1, 0.1], 0)]
    overlap = overlap_at(photos, 0.5)
    assert overlap.iou.tolist() == [1 / 3, 1]
    assert overlap.dice.tolist() == [1 / 2, 1]
    assert overlap.macro_iou == pytest.approx(2 / 3)
    assert overlap.macro_dice == 0.75
    assert overlap.micro_iou == 2 / 4
    assert overlap.micro_dice == 4 / 6


def test_a_lesion_with_nothing_flagged_scores_nought_and_is_not_left_out():
    overlap = overlap_at([photo([0.1, 0.1], 0), photo([0.9, 0.1], 0)], 0.5)
    assert overlap.dice.tolist() == [0, 1]
    assert overlap.macro_dice == overlap.macro_iou == 0.5


def test_a_photo_without_lesions_is_in_no_mean_and_costs_in_the_pooled_figures():
    positive, empty, lit = photo([0.9, 0.1], 0), photo([0.1, 0.1]), photo([0.9, 0.9])
    for bare in (empty, lit):
        overlap = overlap_at([positive, bare], 0.5)
        assert np.isnan(overlap.iou[1])
        assert np.isnan(overlap.dice[1])
        assert overlap.macro_iou == overlap.macro_dice == 1
    assert overlap_at([positive, empty], 0.5).micro_iou == 1
    assert overlap_at([positive, lit], 0.5).micro_iou == 1 / 3
    alone = overlap_at([empty], 0.5)
    assert np.isnan([alone.macro_iou, alone.macro_dice, alone.micro_iou]).all()


@settings(max_examples=60)
@given(MAPS, st.integers(0, 12).map(lambda k: k / 12))
def test_overlap_of_counts_is_that_of_masks_and_its_pooled_dice_is_scikit_learn_s_f1(
    maps, threshold
):
    overlap = overlap_at([count_pixels(*pair, exact=True) for pair in maps], threshold)
    masks = [threshold_mask(pixels, threshold) for pixels, _ in maps]
    for i, (mask, (_, truth)) in enumerate(zip(masks, maps, strict=True)):
        if truth.any():
            assert overlap.iou[i] == pytest.approx(iou(mask, truth))
            assert overlap.dice[i] == pytest.approx(dice(mask, truth))
        else:
            assert np.isnan(overlap.iou[i])
    truths = np.concatenate([truth.ravel() for _, truth in maps])
    flagged = np.concatenate([mask.ravel() for mask in masks])
    if (truths | flagged).any():
        assert overlap.micro_dice == pytest.approx(f1_score(truths, flagged))


@settings(max_examples=60)
@given(MAPS, st.sampled_from(["dice", "f1", "youden"]))
def test_no_threshold_is_better_than_the_best_and_no_equal_one_is_higher(maps, score):
    photos = [count_pixels(*pair, exact=True) for pair in maps]
    if not any(truth.any() for _, truth in maps):
        with pytest.raises(ArgumentError, match="validation photos with lesions"):
            best_threshold(photos, score=score)
        return

    def value(threshold):
        overlap = overlap_at(photos, threshold)
        if score == "dice":
            return overlap.macro_dice
        if score == "f1":
            return overlap.micro_dice
        masks = np.array([threshold_mask(pixels, threshold) for pixels, _ in maps])
        truths = np.array([truth for _, truth in maps])
        return masks[truths].mean() - (0 if truths.all() else masks[~truths].mean())

    best = best_threshold(photos, score=score)
    assert best == tuned_threshold(*zip(*maps, strict=True), score=score).value
    for other in np.unique([pixels for pixels, _ in maps]):
        assert value(other) <= value(best) + 1e-12
        assert other <= best or value(other) < value(best)


def test_the_best_of_very_many_scores_is_found_nearly():
    rng = np.random.default_rng(0)
    truth = rng.random((200, 300)) < 0.3
    pixels = (rng.normal(size=truth.shape) + truth).astype(np.float32)
    photos = [count_pixels(pixels, truth, exact=True)]
    chosen = overlap_at(photos, best_threshold(photos)).macro_dice
    best = max(overlap_at(photos, t).macro_dice for t in np.linspace(-2, 3, 2001))
    assert chosen > best - 1e-4


def test_an_oracle_chooses_on_what_it_is_scored_on_and_beats_what_was_chosen_elsewhere():
    validation, test = [photo([0.9, 0.5, 0.1], 0)], [photo([0.9, 0.5, 0.1], 0, 1)]
    tuned = overlap_at(test, best_threshold(validation))
    oracle = oracle_overlap(test)
    assert tuned.macro_dice == pytest.approx(2 / 3)
    assert (oracle.macro_dice, oracle.threshold) == (1, 0.5)
    with pytest.raises(ArgumentError, match="score="):
        oracle_overlap(test, score="iou")


def test_one_threshold_serves_all_photos_of_an_oracle():
    photos = [photo([0.9, 0.4, 0.2], 0), photo([0.5, 0.3, 0.1], 0, 1)]
    assert oracle_overlap(photos).macro_dice < 1


def test_ignored_pixels_are_in_neither_iou_nor_dice():
    mask, truth = lesion_at(0, 1, 3), lesion_at(0, 2, 3)
    assert iou(mask, truth) == 2 / 4
    assert dice(mask, truth) == 4 / 6
    assert iou(mask, truth, ignore=lesion_at(1, 3)) == 1 / 2
    assert dice(mask, truth, ignore=lesion_at(1, 3)) == 2 / 3
    assert np.isnan(dice(lesion_at(), lesion_at()))
    with pytest.raises(ArgumentError, match="ignore"):
        dice(mask, truth, ignore=lesion_at(0, width=3))


def test_each_lesion_has_a_dice_of_its_own():
    lesions = np.zeros((20, 40), bool)
    lesions[4:8, 4:8] = lesions[4:14, 20:30] = True
    mask = lesions.copy()
    mask[4:8, 6:8] = False  # half of the small one is missed
    mask[16:, :] = True  # far from both
    small, large = lesion_dice(mask, lesions, margin=0.2)
    assert small.dice == pytest.approx(2 * 8 / (8 + 16))
    assert large.dice == 1
    assert small.diameter == pytest.approx(2 * np.sqrt(16 / np.pi))
    # With more of the surroundings, what is flagged there counts.
    assert lesion_dice(mask, lesions, margin=0.5)[1].dice < 1


def test_the_dice_of_a_lesion_takes_no_notice_of_its_neighbour():
    one, other = lesion_at(0, 1, width=6), lesion_at(3, 4, width=6)
    mask = one | other
    assert [lesion.dice for lesion in lesion_dice(mask, [one, other], margin=2)] == [1, 1]
    assert [lesion.dice for lesion in lesion_dice(one, [one, other], margin=2)] == [1, 0]
    assert np.isnan(lesion_dice(mask, [one, other], ignore=other)[1].dice)
    assert lesion_dice(one, one & ~one) == []
    with pytest.raises(ArgumentError, match="margin"):
        lesion_dice(mask, one, margin=-1)
