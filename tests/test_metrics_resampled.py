"""Figures of many draws at once are those of the photos drawn, taken one draw at a time."""

import numpy as np
import pytest

from slidewin.metrics import (
    CAMELYON16_RATES,
    LUNA16_RATES,
    Judged,
    bootstrap_interval,
    count_pixels,
    draw_photos,
    drawn_auroc,
    drawn_froc,
    drawn_pxap,
    drawn_sensitivity,
    drawn_specificity,
    froc,
    photo_auroc,
    pixel_average_precision,
)
from slidewin.metrics.interval import draw_groups

GROUPS = ["a", "a", "b", "c", "d", "e", "e", "f"]
N = 40


@pytest.fixture
def judged():
    """Photos with none to two lesions, scores that tie, a lesion that nobody hit."""
    rng = np.random.default_rng(1)
    photos = []
    for i in range(len(GROUPS)):
        hits = tuple(rng.integers(3, 10, size=i % 3) / 10)
        photos.append(Judged(hits, tuple(rng.integers(0, 9, size=rng.integers(0, 30)) / 10)))
    photos[1] = Judged((-np.inf,), photos[1].false)
    return photos


def each_draw():
    return [np.arange(len(GROUPS)), *draw_groups(GROUPS, n=N)]


@pytest.mark.parametrize("rates", [LUNA16_RATES, CAMELYON16_RATES, (0.5,), (0.0,)])
def test_sensitivity_is_that_of_the_photos_drawn(judged, rates):
    curves = [froc([judged[i] for i in drawn]) for drawn in each_draw()]
    expected = [np.mean([curve.sensitivity_at(rate) for rate in rates]) for curve in curves]
    found = drawn_sensitivity(judged, draw_photos(GROUPS, n=N), rates)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_sensitivities_at_many_rates_are_those_at_each(judged):
    draws, rates = draw_photos(GROUPS, n=N), (0.0, *LUNA16_RATES)
    found = drawn_froc(judged, draws, rates)
    assert found.shape == (1 + N, len(rates))
    for rate, column in zip(rates, found.T, strict=True):
        np.testing.assert_array_equal(column, drawn_sensitivity(judged, draws, (rate,)))


@pytest.mark.parametrize("sensitivity", [0.5, 0.8, 1.0])
def test_specificity_is_that_at_the_threshold_of_the_photos_drawn(judged, sensitivity):
    expected = []
    for drawn in each_draw():
        photos = [judged[i] for i in drawn]
        threshold = froc(photos).threshold_finding(sensitivity)
        free = [photo for photo in photos if not photo.hits]
        clear = [all(score < threshold for score in photo.false) for photo in free]
        expected.append(np.mean(clear) if free and np.isfinite(threshold) else np.nan)
    found = drawn_specificity(judged, draw_photos(GROUPS, n=N), sensitivity=sensitivity)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert np.isfinite(found).any()


def test_pxap_is_that_of_the_pixels_drawn():
    rng = np.random.default_rng(2)
    counts = []
    for i in range(len(GROUPS)):
        truth = rng.random((6, 7)) < (0.2 if i % 2 else 0)
        counts.append(count_pixels(rng.random((6, 7), np.float32).round(2), truth))
    expected = [
        pixel_average_precision([counts[i] for i in drawn]).all_photos.value
        for drawn in each_draw()
    ]
    found = drawn_pxap(counts, draw_photos(GROUPS, n=N))
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_auroc_is_that_of_the_photos_drawn():
    scores = np.array([0.9, 0.4, 0.4, 0.3, np.nan, 0.8, 0.1, 0.4])
    truth = np.array([True, False, True, False, True, False, True, False])
    expected = [photo_auroc(scores[drawn], truth[drawn]) for drawn in each_draw()]
    found = drawn_auroc(scores, truth, draw_photos(GROUPS, n=N))
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_draws_are_those_of_the_interval(judged):
    draws = draw_photos(GROUPS, n=N)
    found = drawn_sensitivity(judged, draws, LUNA16_RATES)[1:]
    interval = bootstrap_interval(
        GROUPS, lambda drawn: froc([judged[i] for i in drawn]).luna16, n=N
    )
    np.testing.assert_allclose(np.percentile(found, (2.5, 97.5)), interval, atol=1e-12)


def test_without_lesions_there_is_no_figure():
    photos = [Judged((), (0.5,)), Judged((), ())]
    draws = draw_photos(["a", "b"], n=3)
    assert np.isnan(drawn_sensitivity(photos, draws, LUNA16_RATES)).all()
    assert np.isnan(drawn_froc(photos, draws, LUNA16_RATES)).all()
    assert np.isnan(drawn_specificity(photos, draws, sensitivity=0.8)).all()
    assert np.isnan(drawn_auroc([0.1, 0.2], [False, False], draws)).all()
