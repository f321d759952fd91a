"""The heat map: rendered by hand, then laws 3, 4 and 5 of the sweep for all lattices."""

import json
import pickle
import tracemalloc
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from slidewin import heatmap
from slidewin.errors import ArgumentError, ArgumentTypeError
from slidewin.grid import plan_grid
from slidewin.heatmap import HeatLayer, HeatMap

law = settings(deadline=None, max_examples=100)  # a busy machine is not a failure
nan = np.nan


def heat_map(photo_shape, *layers, unit="raw", **options) -> HeatMap:
    layers = tuple(HeatLayer(*layer) for layer in layers)
    return HeatMap(photo_shape, layers, method="by hand", unit=unit, **options)


def pixels(photo_shape, *layers, **options):
    return heat_map(photo_shape, *layers, **options).to_pixels()


def places(length: int):
    """Irregular places, some beyond the photo; in quarters, so that weights are exact."""
    quarters = st.integers(-8, 4 * 40)
    return st.lists(quarters, min_size=length, max_size=length, unique=True).map(
        lambda drawn: np.sort(drawn) / 4
    )


@st.composite
def lattices(draw, elements=None):
    elements = st.floats(0, 1, width=32) if elements is None else elements
    shape = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    values = draw(hnp.arrays(np.float32, shape, elements=elements))
    return values, draw(places(shape[0])), draw(places(shape[1]))


raw_values = st.floats(-(2.0**126), 2.0**126, width=32)
shapes = st.tuples(st.integers(1, 40), st.integers(1, 40))


# By hand.


def test_between_centres_values_are_blended_and_beyond_them_held():
    got = pixels((1, 8), ([[0, 12, 24]], [0.5], [2.0, 4.0, 7.0]))
    np.testing.assert_array_equal(got, np.float32([[0, 0, 3, 9, 14, 18, 22, 24]]))
    assert got.dtype == np.float32


def test_four_by_four_pixels_from_two_by_two_windows():
    got = pixels((4, 4), ([[0, 4], [8, 12]], [1, 3], [1, 3]))
    np.testing.assert_array_equal(
        got, np.float32([[0, 1, 3, 4], [2, 3, 5, 6], [6, 7, 9, 10], [8, 9, 11, 12]])
    )


def test_rows_and_columns_are_not_confused():
    got = pixels((2, 3), ([[1, 2, 3], [4, 5, 6]], [0.5, 1.5], [0.5, 1.5, 2.5]))
    np.testing.assert_array_equal(got, [[1, 2, 3], [4, 5, 6]])


def test_layers_are_merged_by_the_maximum_and_nan_only_where_all_are():
    at = ([0.5], [0.5, 1.5, 2.5, 3.5])
    got = pixels((1, 4), ([[1, 5, nan, nan]], *at), ([[2, 3, 4, nan]], *at))
    np.testing.assert_array_equal(got, [[2, 5, 4, nan]])


def test_a_value_not_assessed_takes_the_pixels_that_it_bears_on_and_no_more():
    # The pixel at 2.5 stands on a value that was assessed: its neighbours bear no weight there.
    cols = [0.5, 2.5, 4.5]
    np.testing.assert_array_equal(
        pixels((1, 6), ([[nan, 1, 1]], [0.5], cols)), [[nan, nan, 1, 1, 1, 1]]
    )
    np.testing.assert_array_equal(
        pixels((1, 6), ([[1, 1, nan]], [0.5], cols)), [[1, 1, 1, nan, nan, nan]]
    )
    np.testing.assert_array_equal(
        pixels((3, 2), ([[nan], [2], [3]], [0.5, 1.5, 2.5], [1.0])), [[nan, nan], [2, 2], [3, 3]]
    )


def test_nothing_assessed_is_all_nan():
    heat = heat_map((2, 2), ([[nan]], [1], [1]), unit="probability")
    assert np.isnan(heat.to_pixels()).all()
    assert "nothing assessed" in repr(heat)


def test_a_restricted_map_is_nan_outside_the_region():
    heat = heat_map((2, 3), ([[0.5]], [1], [1.5]))
    once = heat.restrict(np.array([[True, True, False], [False, True, True]]))
    np.testing.assert_array_equal(once.to_pixels(), [[0.5, 0.5, nan], [nan, 0.5, 0.5]])
    twice = once.restrict(np.array([[False, True, True], [True, True, False]]))
    np.testing.assert_array_equal(twice.to_pixels(), [[nan, 0.5, nan], [nan, 0.5, nan]])
    assert not np.isnan(heat.to_pixels()).any()
    assert twice.layers is heat.layers
    np.testing.assert_array_equal(once.to_pixels(rows=(1, 2)), [[nan, 0.5, 0.5]])


def test_the_repr_is_one_short_line():
    heat = heat_map((4, 5), ([[0.25, nan]], [2], [1, 3]), ([[0.75]], [2], [2]))
    assert repr(heat) == "HeatMap(by hand, raw, photo 4 x 5 px, 2 layers, 0.25 to 0.75)"
    corner = np.zeros((4, 5), bool)
    corner[:2, :2] = True
    assert repr(heat.restrict(corner)).endswith("0.25 to 0.75, within 20% of the photo)")
    assert repr(heat.layers) == "(HeatLayer(1 x 2, 0.25 to 0.25), HeatLayer(1 x 1, 0.75 to 0.75))"


# Laws.


@law
@given(shapes, lattices(), raw_values)
def test_a_constant_lattice_gives_exactly_a_constant_map(shape, lattice, constant):
    values, rows, cols = lattice
    got = pixels(shape, (np.full_like(values, constant), rows, cols))
    np.testing.assert_array_equal(got, np.full(shape, np.float32(constant)))


def test_a_flat_part_of_a_map_is_exactly_flat():
    got = pixels((1, 12), ([[0.1, 0.1, 0.9]], [0.5], [0.5, 7.5, 12.2]))
    np.testing.assert_array_equal(got[:, :8], np.full((1, 8), np.float32(0.1)))


def test_no_rounding_carries_a_pixel_beyond_the_lattice():
    # In float32, -1 + (7e-8 - -1) is 1.2e-7. The pixel at 2.5 is a hair short of the second place.
    got = pixels((1, 3), ([[-1, 7e-8]], [0.5], [0.5, 2.5 + 1e-9]))
    assert got.max() == np.float32(7e-8)


@law
@given(shapes, lattices(st.floats(0, 1, width=32) | st.just(nan)))
def test_rendering_is_the_sum_of_hat_functions(shape, lattice):
    values, rows, cols = lattice
    hats = [
        np.array([np.interp(np.arange(n) + 0.5, at, unit) for unit in np.eye(len(at))]).T
        for n, at in zip(shape, (rows, cols), strict=True)
    ]
    expected = hats[0] @ np.nan_to_num(values.astype(np.float64)) @ hats[1].T
    expected[(hats[0] > 0) @ np.isnan(values) @ (hats[1].T > 0)] = nan
    np.testing.assert_allclose(pixels(shape, lattice), expected, atol=1e-6)


@law
@given(shapes, lattices(raw_values))
def test_no_pixel_lies_outside_the_range_of_the_lattice(shape, lattice):
    got = pixels(shape, lattice)
    assert lattice[0].min() <= got.min()
    assert got.max() <= lattice[0].max()


@law
@given(st.data())
def test_a_window_that_alone_answers_one_lights_only_pixels_inside_itself(data):
    input_size = data.draw(st.integers(2, 24), "input_size")
    context = data.draw(st.floats(1, min(3, input_size)), "context")
    grid = plan_grid(
        data.draw(shapes, "photo_shape"),
        lesion_size=(
            data.draw(st.floats(3, 8), "smallest"),
            data.draw(st.floats(8, 40), "largest"),
        ),
        input_size=input_size,
        context=context,
        stride=context / 2 * data.draw(st.floats(0.4, 1), "stride"),
    )
    window = grid[data.draw(st.integers(0, len(grid) - 1), "window")]
    lattice = [np.zeros(level.lattice) for level in grid.levels]
    lattice[window.level][window.m, window.n] = 1
    layers = [
        (values, level.row_centres, level.col_centres)
        for values, level in zip(lattice, grid.levels, strict=True)
    ]
    rows, cols = np.nonzero(pixels(grid.photo_shape, *layers))
    level = grid.levels[window.level]
    top, left = level.to_photo(level.tops[window.m], level.lefts[window.n])
    bottom, right = level.to_photo(
        level.tops[window.m] + level.side, level.lefts[window.n] + level.side
    )
    assert ((top <= rows + 0.5) & (rows + 0.5 <= bottom)).all()
    assert ((left <= cols + 0.5) & (cols + 0.5 <= right)).all()


@law
@given(shapes, lattices(st.floats(0, 1, width=32) | st.just(nan)), lattices(), st.data())
def test_a_partial_rendering_is_those_rows_of_the_whole(shape, fine, coarse, data):
    heat = heat_map(shape, fine, coarse)
    start = data.draw(st.integers(0, shape[0] - 1))
    stop = data.draw(st.integers(start + 1, shape[0]))
    np.testing.assert_array_equal(heat.to_pixels(rows=(start, stop)), heat.to_pixels()[start:stop])


def test_a_rendering_does_not_depend_on_how_it_is_cut_into_strips(monkeypatch):
    rng = np.random.default_rng(0)
    heat = heat_map((37, 23), (rng.random((5, 4)), [3, 9, 17, 20, 31], [2, 8, 9, 20]))
    heat = heat.restrict(rng.random((37, 23)) < 0.9)
    whole = heat.to_pixels()
    for strip_pixels in (1, 23, 100):
        monkeypatch.setattr(heatmap, "_STRIP_PIXELS", strip_pixels)
        np.testing.assert_array_equal(heat.to_pixels(), whole)


def test_the_peak_hardly_depends_on_how_a_lesion_falls_on_the_grid():
    # A disc of 32 px under windows of 64 px, 16 px apart: half a lesion. The classifier's answer
    # rises smoothly with how much of the disc lies in the middle of the window.
    grid = plan_grid((160, 160), lesion_size=32, input_size=64, context=2)
    (level,) = grid.levels
    centres = np.arange(160) + 0.5
    peaks = {}
    for phase in np.ndindex(8, 8):
        lesion = 80 + 2 * np.array(phase)
        disc = np.hypot(centres[:, None] - lesion[0], centres - lesion[1]) <= 16
        share = [
            disc[row - 20 : row + 20, col - 20 : col + 20].sum() / disc.sum()
            for row in level.row_centres.astype(int)
            for col in level.col_centres.astype(int)
        ]
        share = np.reshape(share, level.lattice)
        answers = share**2 * (3 - 2 * share)
        got = pixels((160, 160), (answers, level.row_centres, level.col_centres))
        peaks[phase] = got.max()
        # The lesion takes its peak with it, to within half a stride (and half a pixel).
        place = np.argwhere(got == got.max()).mean(axis=0) + 0.5
        assert np.abs(place - lesion).max() <= level.stride / 2 + 0.5
    assert min(peaks.values()) >= 0.9 * max(peaks.values())


# What a map is.


def test_the_callers_arrays_are_copied_and_the_maps_own_cannot_be_written():
    values, rows, cols = np.float32([[1, 2]]), np.array([0.5]), np.array([0.5, 1.5])
    assessed = np.ones((1, 2), bool)
    heat = heat_map((1, 2), (values, rows, cols), assessed=assessed)
    values[:] = rows[:] = cols[:] = 7
    assessed[:] = False
    np.testing.assert_array_equal(heat.to_pixels(), [[1, 2]])
    (layer,) = heat.layers
    for array in (layer.values, layer.rows, layer.cols, heat.assessed):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_read_only_fortran_and_integer_values_are_welcome():
    values = np.asfortranarray([[1, 2], [3, 4]])
    values.flags.writeable = False
    np.testing.assert_array_equal(
        pixels((2, 2), (values, [0.5, 1.5], [0.5, 1.5])), [[1, 2], [3, 4]]
    )


def test_a_map_and_its_layers_cannot_be_changed_but_the_rendering_can():
    heat = heat_map((1, 1), ([[0.5]], [0.5], [0.5]), settings={"a": 1})
    with pytest.raises(FrozenInstanceError):
        heat.unit = "probability"
    with pytest.raises(FrozenInstanceError):
        heat.layers[0].values = np.zeros((1, 1))
    with pytest.raises(TypeError):
        heat.settings["a"] = 2
    heat.to_pixels()[:] = 0
    assert heat.to_pixels() == 0.5


def test_a_map_survives_pickling_whole_and_read_only():
    heat = heat_map((2, 3), ([[0.25, nan]], [1], [1, 2]), settings={"stride": 0.5})
    heat = heat.restrict(np.eye(2, 3, dtype=bool))
    back = pickle.loads(pickle.dumps(heat))
    np.testing.assert_array_equal(back.to_pixels(), heat.to_pixels())
    assert repr(back) == repr(heat)
    assert back.settings == heat.settings
    assert not back.layers[0].values.flags.writeable
    assert not back.assessed.flags.writeable


def test_settings_are_kept_as_json_gives_them_back():
    made_by = {"lesion_size": (24, 96), "roi": None}
    heat = heat_map((1, 1), ([[0]], [0.5], [0.5]), settings=made_by)
    assert heat.settings == {"lesion_size": [24, 96], "roi": None}
    assert json.loads(json.dumps(dict(heat.settings))) == heat.settings
    assert heat.restrict([[True]]).settings == heat.settings


def test_a_photos_own_shape_is_accepted():
    assert heat_map((2, 3, 3), ([[0]], [1], [1])).photo_shape == (2, 3)


def test_rendering_takes_four_bytes_a_pixel_and_a_few_megabytes():
    layers = [(np.eye(40), np.arange(40) * 50.0, np.arange(40) * 50.0)] * 3
    heat = heat_map((2000, 2000), *layers)
    tracemalloc.start()
    try:
        heat.to_pixels()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * 2000 * 2000 + 4e6


# What is refused.


@pytest.mark.parametrize("value", [-0.01, 1.01])
def test_a_probability_outside_zero_to_one_is_refused_and_a_raw_value_is_not(value):
    layer = ([[0.5, value]], [1], [1, 2])
    with pytest.raises(ArgumentError, match=r"probabilities lie in \[0, 1\].*unit='raw'"):
        heat_map((3, 3), layer, unit="probability")
    assert heat_map((3, 3), layer, unit="raw").layers[0].values[0, 1] == np.float32(value)


@pytest.mark.parametrize("value", [np.inf, -np.inf, 2e38, 1e39, -1e300])
def test_infinite_and_huge_values_are_refused_without_a_warning(value):
    with pytest.raises(ArgumentError, match="infinity or a number beyond"):
        HeatLayer([[0.0, value]], [1], [1, 2])


@pytest.mark.parametrize(
    ("values", "rows", "cols", "named"),
    [
        ([1, 2], [1], [1, 2], r"values .*\(2,\)"),
        (np.zeros((0, 2)), [], [1, 2], r"values .*\(0, 2\)"),
        ([[1, 2]], [1, 2], [1, 2], r"rows .*\(2,\).*\(1,\)"),
        ([[1, 2]], [1], [1], r"cols .*\(1,\).*\(2,\)"),
        ([[1, 2]], [[1]], [1, 2], r"rows .*\(1, 1\)"),
        ([[1, 2]], [1], [2, 1], "cols .*increasing"),
        ([[1, 2]], [1], [1, 1], "cols .*increasing"),
        ([[1, 2]], [nan], [1, 2], "rows .*finite"),
        ([[1, 2]], [1], [1, np.inf], "cols .*finite"),
    ],
)
def test_a_layer_that_does_not_fit_together_is_refused_by_name(values, rows, cols, named):
    with pytest.raises(ArgumentError, match=named):
        HeatLayer(values, rows, cols)


@pytest.mark.parametrize("values", [[["a"]], [[None]], [[True]], [[1j]]])
def test_values_that_are_not_real_numbers_are_refused(values):
    with pytest.raises(ArgumentTypeError, match="values must be real numbers, not of dtype"):
        HeatLayer(values, [1], [1])


def test_a_region_must_be_boolean_and_of_the_photos_shape():
    heat = heat_map((2, 3), ([[0]], [1], [1]))
    with pytest.raises(ArgumentTypeError, match="region must be boolean, not uint8"):
        heat.restrict(np.ones((2, 3), np.uint8))
    with pytest.raises(ArgumentError, match=r"\(3, 2\).*\(2, 3\)"):
        heat.restrict(np.ones((3, 2), bool))
    with pytest.raises(ArgumentTypeError, match="assessed must be boolean"):
        heat_map((2, 3), ([[0]], [1], [1]), assessed=np.ones((2, 3)))


@pytest.mark.parametrize("rows", [(0, 0), (1, 0), (-1, 2), (0, 3)])
def test_rows_outside_the_photo_cannot_be_rendered(rows):
    with pytest.raises(ArgumentError, match="2 rows"):
        heat_map((2, 3), ([[0]], [1], [1])).to_pixels(rows=rows)


@pytest.mark.parametrize("rows", [1, (1,), (0.0, 1.0), "all"])
def test_rows_must_be_a_pair_of_whole_numbers(rows):
    with pytest.raises(ArgumentTypeError, match="rows="):
        heat_map((2, 3), ([[0]], [1], [1])).to_pixels(rows=rows)


def test_a_map_needs_layers_a_known_unit_and_settings_that_json_can_hold():
    layer = HeatLayer([[0]], [1], [1])
    with pytest.raises(ArgumentError, match="layers is empty"):
        HeatMap((2, 3), (), method="by hand", unit="raw")
    with pytest.raises(ArgumentTypeError, match="not ndarray"):
        HeatMap((2, 3), (np.zeros((2, 3)),), method="by hand", unit="raw")
    with pytest.raises(ArgumentError, match="unit='percent'"):
        HeatMap((2, 3), (layer,), method="by hand", unit="percent")
    for settings_ in ({"a": np.int64(1)}, {"a": nan}, 3):
        with pytest.raises(ArgumentTypeError, match="settings cannot be written as JSON"):
            HeatMap((2, 3), (layer,), method="by hand", unit="raw", settings=settings_)


def test_a_layer_has_no_say_out_of_its_reach():
    layer = HeatLayer([[0.5]], rows=[3.0], cols=[4.0], reach=1.5)
    pixels = HeatMap((6, 8), [layer], method="by hand", unit="probability").to_pixels()
    # Pixel centres from 1.5 to 4.5 and from 2.5 to 5.5 are within reach: the ends count, for 0.
    fades = np.float32([0, 2 / 3, 2 / 3, 0])
    np.testing.assert_allclose(pixels[1:5, 2:6], 0.5 * np.outer(fades, fades), rtol=1e-6)
    assert np.isnan(pixels).sum() == 48 - 16


def test_a_lesion_in_the_outermost_window_alone_peaks_at_its_centre():
    layer = HeatLayer([[0.9, 0.0, 0.0]], rows=[50.0], cols=[40.5, 60.5, 80.5], reach=20)
    pixels = HeatMap((100, 120), [layer], method="by hand", unit="probability").to_pixels()
    row, col = np.unravel_index(np.nanargmax(pixels), pixels.shape)
    assert abs(row + 0.5 - 50) <= 0.5
    assert col + 0.5 == 40.5
    # Towards the border it fades as it does between windows.
    np.testing.assert_allclose(pixels[50, 30], pixels[50, 50], rtol=1e-5)


def test_where_one_layer_has_no_say_another_has():
    far = HeatLayer([[0.25]], rows=[3.0], cols=[4.0])
    near = HeatLayer([[0.75]], rows=[3.0], cols=[4.0], reach=2)
    pixels = HeatMap((6, 8), [far, near], method="by hand", unit="probability").to_pixels()
    assert (pixels == 0.75 * 0.75**2).sum() == 4
    assert (pixels == 0.25).sum() == 44


def test_a_negative_reach_is_refused():
    for wrong in (-1, float("nan")):
        with pytest.raises(ArgumentError, match="reach"):
            HeatLayer([[0.5]], rows=[3.0], cols=[4.0], reach=wrong)
