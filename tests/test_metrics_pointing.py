"""The pointing game, that of energy, and pointing at several lesions."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from slidewin.errors import ArgumentError
from slidewin.metrics import (
    Candidate,
    energy_pointing,
    find_candidates,
    judge_candidates,
    peak_recall,
    pointing_game,
    pointing_tolerance,
)


def row(*values):
    return np.array([values], np.float32)


def lesion_at(*columns, width=4):
    return np.isin(np.arange(width), columns)[None]


MAPS = hnp.arrays(np.float32, (4, 6), elements=st.sampled_from([np.nan, -0.5, 0.0, 0.25, 0.5, 1.0]))
TRUTHS = hnp.arrays(bool, (4, 6))


# --- the highest pixel --------------------------------------------------------------------------


def test_the_highest_pixel_hits_or_misses():
    assert pointing_game(row(0.1, 0.9, 0.2, 0.3), lesion_at(1)) == 1
    assert pointing_game(row(0.1, 0.9, 0.2, 0.3), lesion_at(2)) == 0


@pytest.mark.parametrize("columns", [(0,), (3,), (0, 1, 2)])
def test_a_flat_map_hits_as_often_as_a_blind_guess_wherever_the_lesion_is(columns):
    assert pointing_game(row(0.3, 0.3, 0.3, 0.3), lesion_at(*columns)) == len(columns) / 4


def test_of_a_plateau_the_share_on_the_lesion_counts_and_not_its_first_pixel():
    assert pointing_game(row(0.1, 0.7, 0.7, 0.7), lesion_at(1)) == pytest.approx(1 / 3)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_a_photo_without_a_lesion_is_never_a_hit(level):
    assert np.isnan(pointing_game(row(0, 0, level, 0), lesion_at()))
    assert np.isnan(energy_pointing(row(0, 0, level, 0), lesion_at()).share)
    assert np.isnan(energy_pointing(row(0, 0, level, 0), lesion_at()).lift)
    assert np.isnan(peak_recall([Candidate(0.5, 0.5, level)], lesion_at()))


def test_tolerance_is_a_distance_in_pixels():
    pixels = np.zeros((9, 9))
    pixels[4, 4] = 1
    lesion = np.zeros((9, 9), bool)
    lesion[1, 0] = True  # 3 rows and 4 columns away
    assert pointing_game(pixels, lesion, tolerance=4.99) == 0
    assert pointing_game(pixels, lesion, tolerance=5) == 1
    assert pointing_tolerance((224, 500)) == 15
    assert pointing_tolerance((3000, 2240, 3)) == 150
    with pytest.raises(ArgumentError, match="tolerance"):
        pointing_game(pixels, lesion, tolerance=-1)


def test_what_is_ignored_or_not_assessed_is_not_pointed_at():
    pixels = row(0.1, 0.9, 0.5, np.nan)
    assert pointing_game(pixels, lesion_at(2), ignore=lesion_at(1)) == 1
    assert pointing_game(pixels, lesion_at(2, 3)) == 0
    assert np.isnan(pointing_game(pixels, lesion_at(3)))
    assert np.isnan(pointing_game(row(np.nan, np.nan), lesion_at(0, width=2)))


@settings(max_examples=60)
@given(MAPS, TRUTHS)
def test_pointing_depends_on_ranks_alone(pixels, truth):
    before = pointing_game(pixels, truth)
    after = pointing_game(np.exp(pixels.astype(float)) * 7 - 100, truth)
    assert before == pytest.approx(after, nan_ok=True)
    assert np.isnan(before) or 0 <= before <= 1


# --- several lesions ----------------------------------------------------------------------------


def test_as_many_peaks_count_as_there_are_lesions():
    lesions = lesion_at(0, 4, 8, width=10)
    pixels = row(0.9, 0, 0.8, 0, 0.7, 0, 0.1, 0, 0.6, 0)
    # The three best peaks are at 0, 2 and 4: two lesions of three.
    assert peak_recall(find_candidates(pixels, radius=1), lesions) == pytest.approx(2 / 3)
    # Suppressed within 2 px, the peak at 2 makes room for the one at 4, and that at 8 counts.
    assert peak_recall(find_candidates(pixels, radius=2), lesions) == 1


def test_two_peaks_on_one_lesion_find_one():
    peaks = [Candidate(0.5, 0.5, 0.9), Candidate(0.5, 1.5, 0.8), Candidate(0.5, 5.5, 0.7)]
    assert peak_recall(peaks, lesion_at(0, 1, 5, width=6)) == 0.5


def test_peaks_that_are_ignored_take_no_place_and_missing_peaks_hit_nothing():
    peaks = [Candidate(0.5, 2.5, 0.9), Candidate(0.5, 0.5, 0.8)]
    assert peak_recall(peaks, lesion_at(0)) == 0
    assert peak_recall(peaks, lesion_at(0), ignore=lesion_at(2)) == 1
    assert peak_recall(peaks[1:], lesion_at(0, 3)) == 0.5
    assert peak_recall([], lesion_at(0, 3)) == 0


PEAKS = st.lists(
    st.tuples(st.integers(0, 7), st.sampled_from([0.2, 0.5, 0.9])), min_size=0, max_size=5
)


@settings(max_examples=60)
@given(PEAKS, st.sets(st.integers(0, 7), min_size=1))
def test_of_peaks_that_tie_each_is_as_likely(peaks, columns):
    lesions = lesion_at(*columns, width=8)
    candidates = [Candidate(0.5, column + 0.5, score) for column, score in peaks]
    n = len(judge_candidates([], lesions).hits)
    recalls = []
    for order in permutations(candidates):
        best = sorted(order, key=lambda candidate: -candidate.score)[:n]
        hits = judge_candidates(best, lesions).hits
        recalls.append(np.mean([hit > -np.inf for hit in hits]))
    assert peak_recall(candidates, lesions) == pytest.approx(np.mean(recalls))


# --- energy -------------------------------------------------------------------------------------


def test_energy_by_hand_in_a_photo_that_is_not_square():
    pixels = np.array([[1, 2, 3], [4, 5, 6]], float)
    lesion = np.array([[False, True, False], [False, True, True]])
    energy = energy_pointing(pixels, lesion)
    assert energy.share == 13 / 21
    assert energy.chance == 0.5
    assert energy.lift == pytest.approx(26 / 21)


def test_a_map_that_is_nowhere_above_nought_has_no_energy_on_the_lesion():
    for level in (0.0, -2.0):
        energy = energy_pointing(np.full((2, 2), level), np.eye(2, dtype=bool))
        assert energy.share == energy.lift == 0
    assert energy_pointing(row(-5, 1, 1), lesion_at(0, 1, width=3)).share == 0.5


def test_energy_of_what_is_ignored_or_not_assessed_is_in_no_sum():
    energy = energy_pointing(row(2, 9, 2, np.nan), lesion_at(0, 3), ignore=lesion_at(1))
    assert energy == (0.5, 0.5)
    assert np.isnan(energy_pointing(row(1, np.nan), lesion_at(1, width=2)).share)


def test_a_constant_added_to_the_map_changes_its_energy():
    sparse, raised = row(1, 0, 0, 0), row(1, 0, 0, 0) + 1
    assert energy_pointing(sparse, lesion_at(0)).lift == 4
    assert energy_pointing(raised, lesion_at(0)).lift == pytest.approx(1.6)


@settings(max_examples=60)
@given(MAPS, TRUTHS, st.sampled_from([2.0**-30, 0.5, 2.0**30]))
def test_energy_does_not_depend_on_the_unit_and_a_flat_map_has_the_lift_of_one(pixels, truth, unit):
    before = energy_pointing(pixels, truth)
    after = energy_pointing(pixels.astype(float) * unit, truth)
    assert before == pytest.approx(after, nan_ok=True)
    assume(not np.isnan(before.share))
    assert 0 <= before.share <= 1
    flat = np.where(np.isnan(pixels), np.nan, 0.3)
    assert energy_pointing(flat, truth).lift == pytest.approx(1)
