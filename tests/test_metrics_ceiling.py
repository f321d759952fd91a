"""How well a grid could outline a lesion at best."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slidewin.errors import ArgumentError, ArgumentTypeError
from slidewin.grid import plan_grid
from slidewin.heatmap import HeatLayer, HeatMap
from slidewin.metrics import count_pixels, grid_ceiling, oracle_overlap

SHAPE = (160, 200)


def disc(row, col, diameter):
    rows, cols = np.ogrid[: SHAPE[0], : SHAPE[1]]
    return np.hypot(rows + 0.5 - row, cols + 0.5 - col) <= diameter / 2


def best_dice(grid, values, truth):
    level = grid.levels[0]
    layer = HeatLayer(values, rows=level.row_centres, cols=level.col_centres)
    pixels = HeatMap(SHAPE, (layer,), method="test", unit="raw").to_pixels()
    return oracle_overlap([count_pixels(pixels, truth, exact=True)]).macro_dice


def at_places(pixels, level):
    rows, cols = (centres.astype(int) for centres in (level.row_centres, level.col_centres))
    return pixels[np.ix_(rows.clip(0, SHAPE[0] - 1), cols.clip(0, SHAPE[1] - 1))]


@settings(max_examples=8)
@given(st.floats(60, 100), st.floats(60, 140), st.floats(0.8, 3), st.integers(0, 9))
def test_no_map_of_the_grid_is_better(row, col, lesions, seed):
    grid = plan_grid(SHAPE, lesion_size=20)
    truth = disc(row, col, 20 * lesions)
    ceiling = grid_ceiling(grid, truth)
    assert 0.9 < ceiling <= 1
    level = grid.levels[0]
    inside = truth.astype(np.float32)
    share = cv2.blur(inside, (11, 11))
    away = cv2.distanceTransform(truth.astype(np.uint8), cv2.DIST_L2, 5)
    away -= cv2.distanceTransform((~truth).astype(np.uint8), cv2.DIST_L2, 5)
    noise = np.random.default_rng(seed).normal(size=level.lattice)
    for values in (
        at_places(inside, level),
        at_places(share, level),
        at_places(away, level),
        at_places(away, level) + noise,
        noise,
    ):
        assert best_dice(grid, values, truth) <= ceiling + 0.005


def test_a_map_has_the_ceiling_of_its_plan():
    grid = plan_grid(SHAPE, lesion_size=(16, 40))
    layers = [
        HeatLayer(np.zeros(level.lattice), rows=level.row_centres, cols=level.col_centres)
        for level in reversed(grid.levels)
    ]
    heat = HeatMap(SHAPE, layers, method="test", unit="raw")
    truth = disc(87.3, 91.8, 20)
    assert len(layers) > 1
    assert grid_ceiling(heat, truth) == grid_ceiling(grid, truth) < 1


def test_finer_grids_have_higher_ceilings_and_one_of_pixels_has_none():
    truth = disc(87.3, 91.8, 40) | disc(50, 50, 20)
    ceilings = [
        grid_ceiling(plan_grid(SHAPE, lesion_size=20, stride=stride), truth)
        for stride in (1.0, 0.5, 0.25, 0.125)
    ]
    assert ceilings == sorted(ceilings)
    assert ceilings[-1] > 0.98
    # A window at every pixel: any mask can be drawn.
    pixels = plan_grid((20, 24), lesion_size=4, input_size=8, stride=0.25)
    blot = np.zeros((20, 24), bool)
    blot[6:12, 7:15], blot[8, 10] = True, False
    assert grid_ceiling(pixels, blot) == 1


def test_a_lesion_that_is_small_for_the_grid_cannot_be_outlined():
    grid = plan_grid(SHAPE, lesion_size=40)
    assert grid_ceiling(grid, disc(70, 90, 6)) < 0.9 < grid_ceiling(grid, disc(80, 100, 60))


def test_only_the_finest_level_sets_the_ceiling():
    truth = disc(60, 70, 30)
    assert grid_ceiling(plan_grid(SHAPE, lesion_size=(20, 60)), truth) == grid_ceiling(
        plan_grid(SHAPE, lesion_size=20), truth
    )


def test_between_the_outermost_windows_and_the_border_little_can_be_outlined():
    grid = plan_grid(SHAPE, lesion_size=20)
    ceilings = [grid_ceiling(grid, disc(row, 100, 20)) for row in (40, 10)]
    assert ceilings[0] > 0.95
    assert ceilings[1] < 0.9


def test_a_photo_smaller_than_a_window_has_a_ceiling_too():
    full = np.ones((20, 30), bool)
    assert grid_ceiling(plan_grid((20, 30), lesion_size=40), full) == 1


def test_what_is_ignored_need_not_be_outlined():
    truth = disc(60, 70, 40)
    ragged = truth.copy()
    ragged[::2, 70:] = False
    grid = plan_grid(SHAPE, lesion_size=20)
    right_half = np.zeros(SHAPE, bool)
    right_half[:, 70:] = True
    assert grid_ceiling(grid, ragged) < 0.9
    assert grid_ceiling(grid, ragged, ignore=right_half) > 0.95
    assert np.isnan(grid_ceiling(grid, truth, ignore=truth))
    # Nor does it pull at the outline beside it.
    whole = disc(80, 100, 40)
    for column in range(90, 112, 3):
        beyond = np.zeros(SHAPE, bool)
        beyond[:, column:] = True
        assert grid_ceiling(grid, whole, ignore=beyond) > 0.98


def test_without_a_lesion_there_is_no_ceiling_and_other_photos_are_refused():
    grid = plan_grid(SHAPE, lesion_size=20)
    assert np.isnan(grid_ceiling(grid, np.zeros(SHAPE, bool)))
    with pytest.raises(ArgumentError, match="truth"):
        grid_ceiling(grid, np.zeros((5, 5), bool))
    with pytest.raises(ArgumentTypeError, match="ignore"):
        grid_ceiling(grid, np.ones(SHAPE, bool), ignore=np.zeros(SHAPE))
