import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from slidewin.errors import ArgumentError, ArgumentTypeError
from slidewin.mask import drop_specks, threshold_mask

maps = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=9),
    elements=st.one_of(st.just(np.float32(np.nan)), st.floats(0, 1, width=32)),
)


def test_a_pixel_equal_to_the_threshold_is_flagged_and_one_not_assessed_is_not():
    pixels = np.array([[0.49, 0.5, 0.51], [np.nan, 0.0, 1.0]], dtype=np.float32)
    flagged = [[False, True, True], [False, False, True]]
    mask = threshold_mask(pixels, 0.5)
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, flagged)


@pytest.mark.parametrize("number", [0.1, 0.7])  # nearest float32: above the one, below the other
@pytest.mark.parametrize("kind", [float, np.float32, np.float64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_means_equal_in_float32_however_the_two_numbers_are_kept(number, kind, dtype):
    assert threshold_mask(np.full((1, 1), number, dtype), kind(number)).all()


def test_a_map_of_which_nothing_was_assessed_has_nothing_flagged_at_any_threshold():
    pixels = np.full((40, 50), np.nan, dtype=np.float32)
    assert not threshold_mask(pixels, 0.0).any()
    assert not threshold_mask(pixels, -1.0).any()


@settings(max_examples=50)
@given(maps, st.floats(0, 1, width=32))
def test_flagging_agrees_with_the_definition_and_leaves_the_map_alone(pixels, threshold):
    before = pixels.copy()
    pixels.flags.writeable = False
    mask = threshold_mask(pixels, threshold)
    np.testing.assert_array_equal(pixels, before)
    expected = [[not np.isnan(v) and v >= threshold for v in row] for row in pixels.tolist()]
    np.testing.assert_array_equal(mask, np.array(expected, dtype=bool).reshape(pixels.shape))


@settings(max_examples=50)
@given(maps, st.floats(0, 1, width=32), st.floats(0, 1, width=32))
def test_a_higher_threshold_never_flags_more(pixels, one, other):
    low, high = sorted((one, other))
    assert not (threshold_mask(pixels, high) & ~threshold_mask(pixels, low)).any()


@pytest.mark.parametrize("threshold", [np.nan, np.inf, -np.inf, 1e300])
def test_a_threshold_that_is_not_finite_in_float32_is_refused(threshold):
    with pytest.raises(ArgumentError, match=r"threshold.*finite"):
        threshold_mask(np.zeros((2, 2), np.float32), threshold)


@pytest.mark.parametrize("threshold", ["0.5", None, [0.5], np.array([0.5])])
def test_a_threshold_that_is_no_number_is_refused(threshold):
    with pytest.raises(ArgumentTypeError, match="threshold"):
        threshold_mask(np.zeros((2, 2), np.float32), threshold)


@pytest.mark.parametrize("pixels", [np.zeros(3, np.float32), np.zeros((1, 2, 2), np.float32)])
def test_what_is_not_one_map_is_refused(pixels):
    with pytest.raises(ArgumentError, match=r"pixels.*\(H, W\)"):
        threshold_mask(pixels, 0.5)


@pytest.mark.parametrize("pixels", [[[0.5]], np.zeros((2, 2), np.uint8), np.zeros((2, 2), object)])
def test_pixels_that_cannot_hold_nan_are_refused(pixels):
    with pytest.raises(ArgumentTypeError, match=r"pixels.*NaN"):
        threshold_mask(pixels, 0.5)


SPECKS = np.array(
    [
        [1, 1, 0, 0, 1],
        [1, 0, 0, 1, 0],
        [0, 0, 1, 1, 1],
    ],
    dtype=bool,
)


@pytest.mark.parametrize(("least", "kept"), [(0, 8), (1, 8), (2, 7), (3, 7), (3.5, 4), (5, 0)])
def test_pieces_smaller_than_the_least_area_are_dropped(least, kept):
    before = SPECKS.copy()
    result = drop_specks(SPECKS, least)
    assert result.sum() == kept
    assert not (result & ~SPECKS).any()
    np.testing.assert_array_equal(SPECKS, before)


def test_what_is_no_mask_or_no_area_is_refused():
    with pytest.raises(ArgumentTypeError, match="mask: got float64"):
        drop_specks(SPECKS.astype(float), 2)
    for wrong in (-1, float("nan"), float("inf")):
        with pytest.raises(ArgumentError, match="least_area"):
            drop_specks(SPECKS, wrong)
