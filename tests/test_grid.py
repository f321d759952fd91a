"""The grid: laws 1 and 2 of the sweep, first by hand, then for all sizes."""

import math
import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slidewin.errors import ArgumentError, ArgumentTypeError, SlidewinError
from slidewin.grid import LESION_SHARE, MAX_LADDER_RATIO, Level, Window, photo_size, plan_grid

law = settings(deadline=None, max_examples=100)  # a busy machine is not a failure


def level_of(length: int, *, side: int = 4, stride: int = 2) -> Level:
    return Level(
        (length, length), lesion_size=2.0, shape=(length, length), side=side, stride=stride
    )


@st.composite
def levels(draw) -> Level:
    side = draw(st.integers(2, 40))
    lengths = st.tuples(st.integers(1, 130), st.integers(1, 130))
    stride = draw(st.integers(1, side // 2))
    return Level(draw(lengths), 10.0, shape=draw(lengths), side=side, stride=stride)


@st.composite
def grids(draw):
    input_size = draw(st.integers(2, 32))
    context = draw(st.floats(1, min(4, input_size)))
    # A window is at least 4 photo px wide: small enough to count the windows one by one.
    smallest = draw(st.floats(max(1.0, 4 / context), 60))
    return plan_grid(
        draw(st.tuples(st.integers(1, 60), st.integers(1, 60))),
        lesion_size=(smallest, draw(st.floats(smallest, 4 * smallest))),
        input_size=input_size,
        context=context,
        stride=draw(st.floats(0.3, 1)) * context / 2,
    )


# By hand.


@pytest.mark.parametrize(
    ("length", "stride", "tops"),
    [
        (3, 2, (0,)),
        (4, 2, (0,)),
        (5, 2, (0, 1)),
        (6, 2, (0, 2)),
        (8, 2, (0, 2, 4)),
        (9, 2, (0, 2, 4, 5)),
        (7, 1, (0, 1, 2, 3)),
    ],
)
def test_windows_start_every_stride_and_the_last_is_shifted_back(length, stride, tops):
    level = level_of(length, stride=stride)
    assert level.tops == level.lefts == tops
    assert level.lattice == (len(tops), len(tops))


@pytest.mark.parametrize(
    ("length", "padding"), [(1, (1, 2)), (2, (1, 1)), (3, (0, 1)), (4, (0, 0)), (5, (0, 0))]
)
def test_only_a_level_smaller_than_a_window_is_padded_and_evenly(length, padding):
    level = level_of(length)
    assert level.padding == (padding, padding)
    assert level.is_padded == (padding != (0, 0))


def test_a_photo_at_the_trained_size_is_its_own_level():
    (level,) = plan_grid((96, 128, 3), lesion_size=32, input_size=64, context=2).levels
    assert level.shape == (96, 128)
    assert level.stride == 16
    assert level.tops == (0, 16, 32)
    assert level.lefts == (0, 16, 32, 48, 64)
    np.testing.assert_array_equal(level.row_centres, [32, 48, 64])
    np.testing.assert_array_equal(level.col_centres, [32, 48, 64, 80, 96])


def test_a_photo_of_larger_lesions_is_shrunk_and_its_windows_grow():
    (level,) = plan_grid((192, 256), lesion_size=64, input_size=64, context=2).levels
    assert level.shape == (96, 128)
    assert level.window_shape == (128, 128)
    np.testing.assert_array_equal(level.row_centres, [64, 96, 128])


def test_the_centre_of_a_padded_window_is_given_in_the_photo():
    grid = plan_grid((40, 20), lesion_size=32, input_size=64, context=2)
    (level,) = grid.levels
    assert level.padding == ((12, 12), (22, 22))
    assert list(grid) == [Window(0, 0, 0, top=-12.0, left=-22.0, height=64.0, width=64.0)]
    assert grid[0].centre == (20, 10)


def test_a_range_of_two_octaves_has_five_levels_with_the_finest_first():
    grid = plan_grid((480, 640), lesion_size=(24, 96))
    sizes = [level.lesion_size for level in grid.levels]
    np.testing.assert_allclose(sizes, [24, 24 * 2**0.5, 48, 48 * 2**0.5, 96])
    assert grid.lesion_size == (24, 96)


def test_without_a_lesion_size_the_range_is_a_share_of_the_short_side():
    assert LESION_SHARE == (0.04, 0.40)
    assert plan_grid((1000, 500)).lesion_size == (20, 200)
    assert plan_grid((1, 1)).lesion_size == (1, 1)


def test_the_repr_says_what_will_be_done_and_at_what_cost():
    assert repr(plan_grid((96, 128, 3), lesion_size=(32, 45))).splitlines() == [
        "Grid: photo 96 x 128 px, lesions of 32 to 45 px (lesion, side and stride in photo px)",
        "lesion     level  lattice  windows  side  stride",
        "  32.0  96 x 128    3 x 5       15  64.0    16.0",
        "  45.0   68 x 91    2 x 3        6  90.0    22.5",
        "windows in all: 21 of 64 x 64 level px, 0.09 megapixels to classify; "
        "H takes 0.1 kB a class",
    ]


def test_the_repr_tells_which_levels_are_padded():
    lines = repr(plan_grid((96, 128), lesion_size=(32, 64))).splitlines()
    assert [line.endswith("  padded by reflection") for line in lines[2:5]] == [False, False, True]


# For all sizes.


@law
@given(levels())
def test_every_pixel_of_a_level_is_covered_by_distinct_windows_in_bounds(level):
    for origins, length, padding in zip(
        (level.tops, level.lefts), level.shape, level.padding, strict=True
    ):
        padded = length + sum(padding)
        assert padded >= level.side
        assert padded == length or padded == level.side
        assert abs(padding[0] - padding[1]) <= 1
        assert origins[0] == 0
        assert origins[-1] + level.side == padded
        assert all(0 < gap <= level.stride for gap in np.diff(origins))
        covered = np.zeros(padded, bool)
        for origin in origins:
            covered[origin : origin + level.side] = True
        assert covered.all()


@law
@given(levels())
def test_the_lattice_is_counted_without_being_laid(level):
    assert level.lattice == (len(level.tops), len(level.lefts))
    assert len(level) == len(level.tops) * len(level.lefts)


@law
@given(levels(), st.floats(-300, 300), st.floats(-300, 300))
def test_coordinates_convert_there_and_back(level, row, col):
    np.testing.assert_allclose(level.to_photo(*level.to_level(row, col)), (row, col), atol=1e-9)
    np.testing.assert_allclose(level.to_level(*level.to_photo(row, col)), (row, col), atol=1e-9)


@law
@given(levels())
def test_the_corners_of_a_level_are_the_corners_of_the_photo(level):
    (top, _), (left, _) = level.padding
    assert level.to_photo(top, left) == (0, 0)
    assert level.to_photo(top + level.shape[0], left + level.shape[1]) == level.photo_shape


@law
@given(levels())
def test_window_centres_lie_in_the_photo_in_order(level):
    for centres, length in zip(
        (level.row_centres, level.col_centres), level.photo_shape, strict=True
    ):
        assert (np.diff(centres) > 0).all()
        assert 0 <= centres[0] <= centres[-1] <= length


@law
@given(grids())
def test_a_grid_is_the_sequence_of_its_windows_in_order(grid):
    windows = list(grid)
    assert len(windows) == len(grid)
    assert [grid[i] for i in range(len(grid))] == windows
    assert [grid[i] for i in range(-len(grid), 0)] == windows
    places = [(window.level, window.m, window.n) for window in windows]
    assert places == sorted(set(places))
    for window in windows[:: max(1, len(windows) // 20)]:
        level = grid.levels[window.level]
        centre = level.row_centres[window.m], level.col_centres[window.n]
        np.testing.assert_allclose(window.centre, centre)


@law
@given(grids())
def test_windows_are_never_further_apart_than_half_a_side(grid):
    for level in grid.levels:
        assert 1 <= level.stride <= grid.input_size / 2
        assert abs(level.stride - grid.stride * grid.input_size / grid.context) <= 1


@law
@given(st.floats(1, 500), st.floats(1, 500))
def test_the_ladder_of_lesions_ends_at_both_sizes_with_no_rung_too_far(one, other):
    smallest, largest = sorted((one, other))
    sizes = [
        level.lesion_size for level in plan_grid((50, 50), lesion_size=(smallest, largest)).levels
    ]
    assert sizes[0] == smallest
    assert sizes[-1] == largest
    ratios = np.divide(sizes[1:], sizes[:-1])
    assert (ratios > 1).all()
    assert (ratios <= MAX_LADDER_RATIO * (1 + 1e-8)).all()
    # No rung could be left out.
    assert len(sizes) < 2 + math.log(largest / smallest, MAX_LADDER_RATIO) + 1e-8


# What a plan is.


def test_a_grid_level_and_window_cannot_be_changed():
    grid = plan_grid((96, 128), lesion_size=32)
    for thing, name in ((grid, "levels"), (grid.levels[0], "stride"), (grid[0], "top")):
        with pytest.raises(FrozenInstanceError):
            setattr(thing, name, 0)


def test_equal_plans_are_equal_hash_equal_and_survive_pickling():
    grid, same = (plan_grid((96, 128), lesion_size=(20, 40)) for _ in range(2))
    assert grid == same == pickle.loads(pickle.dumps(grid))
    assert hash(grid) == hash(same)
    assert grid != plan_grid((96, 128), lesion_size=(20, 41))
    assert pickle.loads(pickle.dumps(grid[3])) == grid[3]


def test_a_grid_of_a_billion_windows_is_planned_and_indexed_at_once():
    grid = plan_grid((400_000, 900_000), lesion_size=30, max_windows=10**10)
    assert len(grid) == math.prod(grid.levels[0].lattice) > 10**9
    last = grid[-1]
    assert (last.m + 1, last.n + 1) == grid.levels[0].lattice
    np.testing.assert_allclose((last.top + last.height, last.left + last.width), grid.photo_shape)


def test_a_grid_too_large_is_refused_before_anything_is_allocated():
    with pytest.raises(ArgumentError, match=r"windows would be needed.*raise max_windows"):
        plan_grid((10**12, 10**12), lesion_size=20)


def test_the_limit_on_windows_is_exact():
    assert len(plan_grid((96, 128), lesion_size=32, max_windows=15)) == 15
    with pytest.raises(ArgumentError, match=r"15 windows .* max_windows=14"):
        plan_grid((96, 128), lesion_size=32, max_windows=14)


def test_an_index_beyond_the_grid_is_an_index_error():
    grid = plan_grid((96, 128), lesion_size=32)
    for index in (15, -16):
        with pytest.raises(IndexError, match="15"):
            grid[index]


# What is refused.


@pytest.mark.parametrize("stride", [0, -0.5, math.nan, 1.01, math.inf])
def test_a_stride_that_is_not_positive_or_leaves_gaps_is_refused_with_both_numbers(stride):
    with pytest.raises(ArgumentError, match=rf"stride={stride:g} .*64 px.*32 px"):
        plan_grid((96, 128), lesion_size=32, stride=stride)


def test_a_stride_of_half_a_side_is_allowed_even_where_the_side_is_odd():
    assert plan_grid((96, 128), lesion_size=32, input_size=63, stride=1.0).levels[0].stride == 31


@pytest.mark.parametrize(
    "lesion_size",
    [0, -1, 0.5, math.nan, math.inf, (4, 3), (4, math.nan), (1, 2, 3), (), [math.inf] * 2],
)
def test_a_lesion_size_that_cannot_be_looked_for_is_refused(lesion_size):
    with pytest.raises(ArgumentError, match="lesion_size="):
        plan_grid((96, 128), lesion_size=lesion_size)


@pytest.mark.parametrize(
    "options",
    [
        {"lesion_size": "32"},
        {"lesion_size": True},
        {"lesion_size": (3, None)},
        {"lesion_size": 3 + 0j},
        {"context": "2"},
        {"stride": None},
        {"stride": True},
        {"input_size": 64.0},
        {"input_size": True},
        {"max_windows": 1e6},
    ],
)
def test_an_argument_of_the_wrong_type_is_refused_by_name(options):
    (name,) = options
    with pytest.raises(ArgumentTypeError, match=name):
        plan_grid((96, 128), **options)


@pytest.mark.parametrize(
    "options",
    [
        {"context": 0.9},
        {"context": math.nan},
        {"context": 65},
        {"input_size": 1},
        {"max_windows": 0},
    ],
)
def test_an_argument_out_of_range_is_refused_by_name(options):
    (name,) = options
    with pytest.raises(ArgumentError, match=f"{name}="):
        plan_grid((96, 128), **options)


def test_numpy_numbers_are_numbers():
    plain = plan_grid((96, 128), lesion_size=(20, 40), input_size=32, stride=0.5)
    assert plain == plan_grid(
        np.array([96, 128, 3]),
        lesion_size=np.array([20.0, 40.0]),
        input_size=np.int64(32),
        stride=np.float32(0.5),
    )


@pytest.mark.parametrize(
    "shape",
    [(3,), (3, 4, 4), (1, 3, 4, 5), (0, 4), (-1, 4), (3, 4, 0), "ab", 5, (3.0, 4), (True, 4)],
)
def test_a_shape_that_is_not_a_photos_is_refused_and_shown(shape):
    with pytest.raises(SlidewinError) as refusal:
        photo_size(shape)
    assert repr(shape) in str(refusal.value)
