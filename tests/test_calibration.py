import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from slidewin.errors import ArgumentError
from slidewin.metrics import expected_calibration_error
from slidewin.training.calibration import (
    FALSE_REGIONS_ALLOWED,
    THRESHOLDS,
    Calibration,
    choose_threshold,
    fit_calibration,
    reliability,
)


def softmax(z):
    powers = np.exp(z - z.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def sampled(p, rng):
    return (p.cumsum(axis=1) < rng.random((len(p), 1))).sum(axis=1)


def test_with_two_classes_it_is_scikit_learns_logistic_regression_on_the_log_odds():
    rng = np.random.default_rng(0)
    z = rng.normal(0, 2, 4000)
    labels = (rng.random(4000) < 1 / (1 + np.exp(-(0.5 * z - 1)))).astype(int)
    p = 1 / (1 + np.exp(-z))
    ours = fit_calibration(np.stack([1 - p, p], axis=1), labels)
    theirs = LogisticRegression(C=1e9, tol=1e-8).fit(z[:, None], labels)
    assert 1 / ours.temperature == pytest.approx(theirs.coef_[0, 0], rel=1e-3)
    assert ours.bias[1] == pytest.approx(theirs.intercept_[0], abs=1e-3)


def test_an_overconfident_network_that_expects_too_many_lesions_is_put_right():
    rng = np.random.default_rng(1)
    true_scores = rng.normal((4, 0, -1), 1, (30_000, 3))
    labels = sampled(softmax(true_scores), rng)
    stated = softmax(3 * (true_scores - [4, 0, -1]))
    fit = fit_calibration(stated, labels)
    assert fit.temperature == pytest.approx(3, rel=0.1)
    assert fit.bias == pytest.approx((0, -4, -5), abs=0.25)
    assert expected_calibration_error(labels > 0, 1 - stated[:, 0]) > 0.3
    assert expected_calibration_error(labels > 0, 1 - fit.apply(stated)[:, 0]) < 0.02


@given(st.integers(0, 1000), st.floats(0.2, 5))
def test_calibration_keeps_rows_probabilities_and_a_temperature_keeps_their_order(seed, heat):
    p = np.random.default_rng(seed).dirichlet(np.ones(3), 5)
    out = Calibration(heat, (0.0, 0.0, 0.0)).apply(p)
    assert out.sum(axis=1) == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(out.argmax(axis=1), p.argmax(axis=1))


def test_a_class_that_is_missing_is_named():
    with pytest.raises(ArgumentError, match=r"\[1\]"):
        fit_calibration(np.full((4, 3), 1 / 3), np.array([0, 2, 0, 2]))


def test_reliability_by_hand():
    points = reliability(np.array([True, False, True, True]), np.array([0.75, 0.75, 0.75, 0.75]))
    assert points["expected_calibration_error"] == 0
    assert points["brier"] == pytest.approx(3 / 16)
    assert (points["said"], points["came_true"]) == ([0.75], [0.75])


def ladder(*at_or_above):
    """False regions in photos that have one each up to the given threshold numbers."""
    return np.array([[int(t < last) for t in range(len(THRESHOLDS))] for last in at_or_above])


def test_the_threshold_is_the_lowest_that_keeps_false_regions_rare_in_every_kind_of_photo():
    found = np.arange(len(THRESHOLDS))[::-1]
    # Three photos of a foot: from number 3 on, one in three has a false region, which is allowed.
    feet = ladder(3, 3, 9)
    chosen = choose_threshold(feet, ["foot"] * 3, found, 100)
    assert chosen.threshold == THRESHOLDS[3]
    assert chosen.false_regions_per_photo == {"foot": round(FALSE_REGIONS_ALLOWED, 3)}
    assert chosen.sensitivity == found[3] / 100
    assert chosen.rule_met
    # One cloth that keeps its false region to number 20 decides, however many feet there are.
    both = np.concatenate([feet, ladder(20)])
    chosen = choose_threshold(both, ["foot"] * 3 + ["cloth"], found, 100)
    assert chosen.threshold == THRESHOLDS[20]


def test_a_dip_among_low_thresholds_where_regions_melt_into_one_does_not_count():
    false = np.ones((1, len(THRESHOLDS)), int)
    false[0, 2] = 0
    false[0, 10:] = 0
    chosen = choose_threshold(false, ["foot"], np.zeros(len(THRESHOLDS), int), 0)
    assert chosen.threshold == THRESHOLDS[10]
    assert chosen.sensitivity is None


def test_where_no_threshold_is_high_enough_the_highest_is_taken():
    false = np.ones((2, len(THRESHOLDS)), int)
    chosen = choose_threshold(false, ["a", "a"], false[0], 1)
    assert chosen.threshold == THRESHOLDS[-1]
    assert not chosen.rule_met
