import json
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from slidewin.errors import ArgumentError, ArgumentTypeError, SlidewinError
from slidewin.region import Region, find_regions, to_geojson


def drawn(*rows):
    """A mask from a picture of it."""
    return np.array([[mark == "#" for mark in row] for row in rows])


def regions_of(mask):
    return find_regions(mask.astype(np.float32), mask)


def as_values(regions):
    return [(r.score, r.bbox, r.centre, r.contour.tolist()) for r in regions]


def signed_area(ring):
    """Shoelace over (x, y): positive is anticlockwise by the numbers, clockwise to the eye."""
    row, col = ring[:, 0], ring[:, 1]
    return int(np.sum(col * np.roll(row, -1) - np.roll(col, -1) * row)) / 2


def filled(rings, shape):
    """Even-odd fill by counting the vertical edges to the left of each pixel's centre."""
    crossings = np.zeros((shape[0], shape[1] + 1), dtype=int)
    for ring in rings:
        for (r0, c0), (r1, c1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            if c0 == c1:
                crossings[min(r0, r1) : max(r0, r1), c0] += 1
    return np.cumsum(crossings, axis=1)[:, :-1] % 2 == 1


masks = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))
SELF_TOUCHING = drawn("###", "#.#", "##.")
CROSSED = drawn("#.#.#", ".#.#.", "#####", ".#.#.", "#####")


def test_an_empty_mask_has_no_regions():
    assert regions_of(np.zeros((3, 4), dtype=bool)) == ()
    assert regions_of(np.zeros((0, 4), dtype=bool)) == ()


def test_a_single_pixel_is_its_unit_square():
    (region,) = regions_of(drawn("....", "..#.", "...."))
    assert region.bbox == (1, 2, 2, 3)
    assert region.centre == (1.5, 2.5)
    assert region.radius == pytest.approx(0.5**0.5)
    assert region.area == 1
    assert region.contour.tolist() == [[1, 2], [1, 3], [2, 3], [2, 2]]
    assert region.holes == ()


def test_a_mask_that_is_all_flagged_is_the_photo_itself():
    (region,) = regions_of(np.ones((3, 5), dtype=bool))
    assert region.bbox == (0, 0, 3, 5)
    assert region.contour.tolist() == [[0, 0], [0, 5], [3, 5], [3, 0]]


def test_an_l_keeps_its_six_corners_and_no_other_vertex():
    (region,) = regions_of(drawn("#..", "#..", "###"))
    assert region.area == 5
    assert region.centre == (pytest.approx(1.9), pytest.approx(1.1))
    assert region.contour.tolist() == [[0, 0], [0, 1], [2, 1], [2, 3], [3, 3], [3, 0]]


def test_a_ring_has_one_hole_that_runs_the_other_way_round():
    (region,) = regions_of(drawn("####", "#..#", "####"))
    assert region.area == 10
    assert region.contour.tolist() == [[0, 0], [0, 4], [3, 4], [3, 0]]
    assert [hole.tolist() for hole in region.holes] == [[[1, 1], [2, 1], [2, 3], [1, 3]]]


def test_a_region_inside_the_hole_of_another_is_a_region_of_its_own():
    outer, inner = regions_of(drawn("#####", "#...#", "#.#.#", "#...#", "#####"))
    assert (outer.area, inner.area) == (16, 1)
    assert len(outer.holes) == 1
    assert inner.bbox == (2, 2, 3, 3)


@pytest.mark.parametrize("mask", [drawn("#.", ".#"), drawn(".#", "#.")])
def test_two_pixels_that_touch_at_a_corner_are_two_regions(mask):
    one, other = regions_of(mask)
    assert (one.area, other.area) == (1, 1)
    assert (len(one.contour), len(other.contour)) == (4, 4)


def test_a_region_that_touches_itself_at_a_corner_has_a_hole_there_and_no_crossing_outline():
    (region,) = regions_of(SELF_TOUCHING)
    assert region.contour.tolist() == [[0, 0], [0, 3], [2, 3], [2, 2], [3, 2], [3, 0]]
    assert [hole.tolist() for hole in region.holes] == [[[1, 1], [2, 1], [2, 2], [1, 2]]]


def test_the_score_is_the_largest_value_inside_and_the_best_come_first():
    pixels = np.array([[0.6, 0.9, 0.2, 0.7, 0.7], [0.0, 0.0, 0.0, 0.7, 0.0]], dtype=np.float32)
    regions = find_regions(pixels, pixels >= 0.5)
    assert [region.score for region in regions] == [
        pytest.approx(np.float32(0.9)),
        pytest.approx(np.float32(0.7)),
    ]


def test_equal_scores_are_ordered_by_area_then_top_then_left():
    mask = drawn("..#.#", ".....", "#.##.")
    assert [region.bbox for region in regions_of(mask)] == [
        (2, 2, 3, 4),
        (0, 2, 1, 3),
        (0, 4, 1, 5),
        (2, 0, 3, 1),
    ]


@settings(max_examples=200)
@given(masks)
@example(SELF_TOUCHING)
@example(CROSSED)
@example(CROSSED[:, ::-1])
def test_outlines_are_exact_and_every_ring_is_a_simple_one(mask):
    regions = regions_of(mask)
    assert sum(region.area for region in regions) == mask.sum()
    painted = np.zeros(mask.shape, dtype=int)
    for region in regions:
        rings = (region.contour, *region.holes)
        assert sum(map(signed_area, rings)) == region.area
        assert signed_area(region.contour) > 0
        assert all(signed_area(hole) < 0 for hole in region.holes)
        for ring in rings:
            assert not ring.flags.writeable
            edges = np.roll(ring, -1, axis=0) - ring
            assert ((edges == 0).sum(axis=1) == 1).all()  # along a row or a column, never both
            assert ((edges == 0) != (np.roll(edges, -1, axis=0) == 0)).all()  # turns every time
            assert len(np.unique(ring, axis=0)) == len(ring)  # meets no corner twice

        inside = filled(rings, mask.shape)
        painted += inside
        rows, cols = np.nonzero(inside)
        assert region.bbox == (rows.min(), cols.min(), rows.max() + 1, cols.max() + 1)
        assert region.area == len(rows)
        assert region.centre == pytest.approx((rows.mean() + 0.5, cols.mean() + 0.5))
        assert region.contour[0].tolist() == [rows[0], cols[0]]
        distances = np.hypot(*(region.contour - region.centre).T)
        assert region.radius == distances.max()
    np.testing.assert_array_equal(painted, mask)


@settings(max_examples=50)
@given(masks)
def test_the_pieces_are_those_that_a_flood_fill_finds(mask):
    pieces = set()
    left = {(int(r), int(c)) for r, c in np.argwhere(mask)}
    while left:
        piece, border = set(), [left.pop()]
        while border:
            r, c = border.pop()
            piece.add((r, c))
            near = {(r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)} & left
            left -= near
            border += near
        pieces.add(frozenset(piece))
    regions = regions_of(mask)
    assert pieces == {
        frozenset(map(tuple, np.argwhere(filled((r.contour, *r.holes), mask.shape)).tolist()))
        for r in regions
    }


@settings(max_examples=50)
@given(masks, st.integers(0, 5), st.integers(0, 5))
def test_a_mask_that_moves_takes_everything_with_it(mask, dy, dx):
    moved = np.pad(mask, ((dy, 0), (dx, 0)))
    for here, there in zip(regions_of(mask), regions_of(moved), strict=True):
        assert there.bbox == tuple(np.add(here.bbox, (dy, dx, dy, dx)))
        assert there.centre == pytest.approx(np.add(here.centre, (dy, dx)))
        assert there.radius == pytest.approx(here.radius)
        for one, other in zip(
            (here.contour, *here.holes), (there.contour, *there.holes), strict=True
        ):
            np.testing.assert_array_equal(one + np.array([dy, dx]), other)


@settings(max_examples=50)
@given(
    hnp.arrays(np.float32, (7, 8), elements=st.sampled_from([0.0, 0.5, 0.7, 0.9, np.nan])),
)
def test_regions_are_sorted_and_each_scores_the_largest_of_its_pixels(pixels):
    mask = pixels >= 0.5
    regions = find_regions(pixels, mask)
    keys = [(-r.score, -r.area, r.bbox[0], r.bbox[1]) for r in regions]
    assert keys == sorted(keys)
    for region in regions:
        inside = filled((region.contour, *region.holes), mask.shape)
        assert region.score == pixels[inside].max()


def test_arrays_of_any_layout_are_read_and_none_is_written_to():
    rng = np.random.default_rng(0)
    pixels = rng.random((40, 30), dtype=np.float32)
    mask = pixels > 0.4
    expected = as_values(find_regions(pixels, mask))
    for layout in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2]):
        p, m = layout(pixels), layout(mask)
        p.flags.writeable = m.flags.writeable = False
        assert as_values(find_regions(p, m)) == expected
        np.testing.assert_array_equal(p, pixels)


def test_the_outline_of_a_large_disc_is_as_exact_as_that_of_a_pixel():
    canvas = np.zeros((700, 700), dtype=np.uint8)
    cv2.circle(canvas, (350, 340), 300, 1, -1)
    mask = canvas.astype(bool)
    (region,) = regions_of(mask)
    assert signed_area(region.contour) == mask.sum()
    assert region.centre == (340.5, 350.5)
    assert region.radius == pytest.approx(300, abs=1)


def test_what_is_flagged_without_a_value_is_refused():
    pixels = np.array([[0.9, np.nan]], dtype=np.float32)
    with pytest.raises(ArgumentError, match="1 flagged pixels have no finite value"):
        find_regions(pixels, np.array([[True, True]]))


@pytest.mark.parametrize(
    ("pixels", "mask"),
    [
        (np.zeros((2, 3), np.float32), np.zeros((3, 2), bool)),
        (np.zeros(3, np.float32), np.zeros(3, bool)),
        (np.zeros((2, 3), np.float32), np.zeros((2, 3), np.uint8)),
        (np.zeros((2, 3), np.uint8), np.zeros((2, 3), bool)),
        ([[0.5]], [[True]]),
    ],
)
def test_what_is_not_a_map_and_its_mask_is_refused(pixels, mask):
    with pytest.raises(SlidewinError, match=r"pixels|mask") as caught:
        find_regions(pixels, mask)
    assert isinstance(caught.value, ArgumentError | ArgumentTypeError)


def test_geojson_says_of_each_region_what_qupath_reads():
    pixels = np.zeros((5, 6), np.float32)
    pixels[1:4, 1:5] = 0.75
    pixels[2, 2:4] = 0.0
    text = to_geojson(
        find_regions(pixels, pixels > 0), label="naevus", metadata={"photo": "é.jpg", "size": 24}
    )
    assert json.loads(text) == {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "geometry": {
                    "type": "Polygon",
                    "coordinates": [
                        [[1, 1], [5, 1], [5, 4], [1, 4], [1, 1]],
                        [[2, 2], [2, 3], [4, 3], [4, 2], [2, 2]],
                    ],
                },
                "properties": {
                    "objectType": "annotation",
                    "name": "naevus 1",
                    "classification": {"name": "naevus", "color": [0, 229, 255]},
                    "measurements": {
                        "score": 0.75,
                        "area_px": 10,
                        "radius_px": 2.5,
                        "centre_row": 2.5,
                        "centre_col": 3.0,
                    },
                    "metadata": {"photo": "é.jpg", "size": 24},
                },
            }
        ],
    }
    assert text.isascii()


@pytest.mark.parametrize("value", [float("nan"), np.float32(1), [np.zeros(3)]])
def test_metadata_that_json_cannot_hold_is_refused(value):
    with pytest.raises(ArgumentError, match="metadata"):
        to_geojson(regions_of(drawn("#")), label="lesion", metadata={"threshold": value})


def test_geojson_of_nothing_is_an_empty_collection():
    assert json.loads(to_geojson((), label="melanoma")) == {
        "type": "FeatureCollection",
        "features": [],
    }


@settings(max_examples=50)
@given(masks)
@example(SELF_TOUCHING)
def test_rings_in_geojson_are_closed_and_turn_as_the_standard_asks(mask):
    features = json.loads(to_geojson(regions_of(mask), label="lesion"))["features"]
    area = 0
    for rank, feature in enumerate(features, start=1):
        assert feature["properties"]["name"] == f"lesion {rank}"
        for number, ring in enumerate(feature["geometry"]["coordinates"]):
            assert ring[0] == ring[-1]
            assert len(ring) >= 5
            assert all(type(value) is int for vertex in ring for value in vertex)
            signed = sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairwise(ring)) / 2
            assert (signed > 0) == (number == 0)  # anticlockwise by the numbers, holes clockwise
            area += signed
    assert area == mask.sum()


def test_a_region_cannot_be_changed():
    (region,) = regions_of(drawn("#"))
    assert isinstance(region, Region)
    with pytest.raises(AttributeError):
        region.score = 1.0
    with pytest.raises(ValueError, match="read-only"):
        region.contour[0] = 0
