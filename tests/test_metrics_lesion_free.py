"""Photos without lesions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from slidewin.errors import ArgumentError, ArgumentTypeError
from slidewin.metrics import (
    Judged,
    count_pixels,
    find_candidates,
    froc,
    judge_candidates,
    lesion_free_photos,
    photo_auroc,
    photo_score,
)

BARE = np.zeros((2, 4), bool)
LESION = np.eye(2, 4, dtype=bool)


def counted(pixels, truth=BARE, **options):
    return count_pixels(np.asarray(pixels, np.float32), truth, **options)


CALM = counted(np.zeros((2, 4)))
LIT = counted([[0.9, 0.9, 0.1, 0.1], [0.1, 0.1, 0.1, 0.7]])


def test_detections_and_area_by_hand():
    judged = [Judged((), (0.9, 0.7, 0.1)), Judged((), (0.2,)), Judged((), ())]
    found = lesion_free_photos(judged, [LIT, CALM, CALM], 0.5)
    assert found == (1 / 3, 2 / 3, 3 / 24, 3)
    assert lesion_free_photos(judged, [LIT, CALM, CALM], 0.15)[:2] == (2 / 3, 1)
    assert lesion_free_photos(judged, [LIT, CALM, CALM], 2.0) == (0, 0, 0, 3)


def test_photos_with_lesions_are_left_out():
    judged = [Judged((0.9,), (0.8, 0.8)), Judged((), ())]
    found = lesion_free_photos(judged, [counted(np.ones((2, 4)), LESION), CALM], 0.5)
    assert found == (0, 0, 0, 1)
    none = lesion_free_photos(judged[:1], [LIT], 0.5)
    assert np.isnan(none[:3]).all()
    assert none.n_photos == 0


def test_a_score_equal_to_the_threshold_counts_as_it_does_in_masks():
    score = float(np.float32(0.7))
    assert score < 0.7
    found = lesion_free_photos([Judged((), (score,))], [counted(np.full((2, 4), score))], 0.7)
    assert found.with_detection == found.flagged == 1


def test_the_share_is_of_what_is_not_ignored_such_as_what_is_no_skin():
    cloth = np.zeros((2, 4), bool)
    cloth[:, 2:] = True
    found = lesion_free_photos(
        [Judged((), ())], [counted([[0.9, 0.9, 0, 0], [0, 0, 0.9, 0.9]], ignore=cloth)], 0.5
    )
    assert found.flagged == 0.5


def test_a_faint_map_finds_nothing_and_the_same_map_stretched_does():
    faint = np.random.default_rng(0).random((40, 40)) * 5e-7
    stretched = (faint - faint.min()) / (faint.max() - faint.min())
    bare = np.zeros((40, 40), bool)
    for pixels, expected in ((faint, 0), (stretched, 1)):
        judged = judge_candidates(find_candidates(pixels, radius=5), bare)
        found = lesion_free_photos([judged], [counted(pixels, bare)], 0.5)
        assert found.with_detection == expected
        assert (found.flagged > 0.4) == bool(expected)


def test_the_threshold_of_a_sensitivity_says_what_it_costs():
    judged = [Judged((0.9, 0.6), ()), Judged((), (0.7,)), Judged((), (0.3,))]
    counts = [LIT, counted(np.full((2, 4), 0.7)), counted(np.full((2, 4), 0.3))]
    for sensitivity, expected in ((0.5, 0), (1.0, 0.5)):
        threshold = froc(judged).threshold_finding(sensitivity)
        found = lesion_free_photos(judged, counts, threshold)
        assert found.with_detection == found.flagged == expected


def test_counts_of_other_photos_are_refused():
    with pytest.raises(ArgumentError, match="judged, counts"):
        lesion_free_photos([Judged((), ())], [], 0.5)


def test_the_score_of_a_photo_is_its_maximum_or_the_mean_of_the_highest():
    pixels = np.array([[0.1, 0.9, np.nan], [0.5, 0.3, 0.2]])
    assert photo_score(pixels) == 0.9
    assert photo_score(pixels, top=0.4) == pytest.approx(0.7)
    assert photo_score(pixels, top=1) == pytest.approx(0.4)
    assert photo_score(pixels, ignore=pixels > 0.8) == 0.5
    assert photo_score(-pixels) == -0.1
    assert np.isnan(photo_score(np.full((2, 2), np.nan)))
    with pytest.raises(ArgumentError, match="top"):
        photo_score(pixels, top=1.5)
    with pytest.raises(ArgumentTypeError, match="pixels"):
        photo_score([[0.5]])


def test_maps_stretched_photo_by_photo_cannot_tell_photos_with_lesions():
    raw = np.array([3e-3, 8e-3, 5e-2, 9e-2])
    truth = np.array([False, False, True, True])
    assert photo_auroc(raw, truth) == 1
    # What is added to the divisor, against dividing by 0, lets the raw scale through.
    stretched = raw / (raw + 1e-7)
    assert photo_auroc(stretched, truth) == 1
    assert photo_auroc(stretched, truth, decimals=3) == 0.5
    assert photo_auroc(np.ones(4), truth) == 0.5


def test_photos_without_a_score_are_left_out_and_one_kind_alone_has_no_figure():
    assert photo_auroc([0.9, np.nan, 0.1], [True, False, False]) == 1
    assert np.isnan(photo_auroc([0.9, np.nan], [True, False]))
    assert np.isnan(photo_auroc([0.9, 0.8], [False, False]))
    with pytest.raises(ArgumentError, match="has_lesion"):
        photo_auroc([0.9, 0.8], [1, 0])
    with pytest.raises(ArgumentError, match="has_lesion"):
        photo_auroc([0.9], [True, False])


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from([0.0, 0.2, 0.5, 1.0]), st.booleans()), min_size=2))
def test_the_figure_is_scikit_learn_s_counts_pairs_and_depends_on_ranks_alone(cases):
    scores, truth = (np.array(column) for column in zip(*cases, strict=True))
    if truth.all() or not truth.any():
        return
    above = np.sign(scores[truth][:, None] - scores[~truth])
    assert photo_auroc(scores, truth) == pytest.approx(((above + 1) / 2).mean())
    assert photo_auroc(scores, truth) == roc_auc_score(truth, scores)
    assert photo_auroc(scores, truth) == photo_auroc(np.exp(9 * scores), truth)
