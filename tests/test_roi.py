import json
import pickle

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import slidewin
from slidewin.errors import ArgumentError, ArgumentTypeError, ImageReadError
from slidewin.heatmap import HeatLayer, HeatMap
from slidewin.mask import (
    RegionOfInterest,
    has_skin_colour,
    otsu_threshold,
    percentile_threshold,
    read_roi,
    roi_from_clusters,
    roi_from_edges,
    roi_from_geojson,
    roi_from_image,
    roi_from_map,
    roi_from_polygon,
    roi_from_skin,
    threshold_mask,
)
from slidewin.output import write_png
from slidewin.region import find_regions, to_geojson

SKIN, CLOTH, MOLE = (200, 150, 130), (60, 90, 200), (35, 35, 45)

masks = hnp.arrays(bool, (5, 7))


def a_map(values):
    values = np.asarray(values, np.float32)
    rows, cols = (np.arange(length) + 0.5 for length in values.shape)
    layer = HeatLayer(values, rows=rows, cols=cols)
    return HeatMap(values.shape, [layer], method="by hand", unit="raw")


def written(folder, thing):
    path = folder / "drawn.geojson"
    path.write_text(thing if isinstance(thing, str) else json.dumps(thing), encoding="utf-8")
    return path


# The region itself


def test_regions_of_interest_combine_and_say_how_they_were_made():
    left = RegionOfInterest([[True, True, False, False]], {"by": "left half"})
    ends = RegionOfInterest([[True, False, False, True]], {"by": "ends"})
    np.testing.assert_array_equal((left & ends).inside, [[True, False, False, False]])
    np.testing.assert_array_equal((left | ends).inside, [[True, True, False, True]])
    np.testing.assert_array_equal((~left).inside, [[False, False, True, True]])
    assert repr(left | ~ends) == "RegionOfInterest((left half or not ends), 75% of 1 x 4 px)"
    assert json.loads(json.dumps(dict((left | ~ends).made_by))) == {
        "by": "or",
        "of": [{"by": "left half"}, {"by": "not", "of": [{"by": "ends"}]}],
    }


def test_an_array_combines_with_a_region_from_either_side():
    roi, array = RegionOfInterest([[True, True, False]]), np.array([[False, True, True]])
    for both in (roi & array, array & roi):
        assert isinstance(both, RegionOfInterest)
        np.testing.assert_array_equal(both, [[False, True, False]])
    for either in (roi | array, array | roi):
        assert isinstance(either, RegionOfInterest)
        assert either.inside.all()


@settings(max_examples=30)
@given(masks, masks)
def test_de_morgan_s_laws_hold_and_the_complement_of_the_complement_is_the_region(one, other):
    a, b = RegionOfInterest(one), RegionOfInterest(other)
    np.testing.assert_array_equal(~(a & b), ~a | ~b)
    np.testing.assert_array_equal(~(a | b), ~a & ~b)
    np.testing.assert_array_equal(~~a, a)


def test_a_region_of_interest_is_never_changed_nor_is_what_it_was_made_of():
    array = np.zeros((2, 3), bool)
    roi = RegionOfInterest(array, {"by": "hand", "points": [1]})
    array[:] = True
    assert not roi.inside.any()
    with pytest.raises(ValueError, match="read-only"):
        roi.inside[0, 0] = True
    with pytest.raises(TypeError):
        roi.made_by["by"] = "another"
    copy = pickle.loads(pickle.dumps(roi))
    assert not copy.inside.flags.writeable
    assert copy.made_by == roi.made_by


@pytest.mark.parametrize(
    ("inside", "made_by", "error", "words"),
    [
        ([[1, 0]], {"by": "hand"}, ArgumentTypeError, "bool"),
        ([True, False], {"by": "hand"}, ArgumentError, r"\(H, W\)"),
        (np.zeros((0, 3), bool), {"by": "hand"}, ArgumentError, r"\(H, W\)"),
        ([[True]], {}, ArgumentTypeError, "by"),
        ([[True]], {"by": "hand", "size": np.float32(2)}, ArgumentTypeError, "JSON"),
    ],
)
def test_what_is_no_region_of_interest_is_refused(inside, made_by, error, words):
    with pytest.raises(error, match=words):
        RegionOfInterest(inside, made_by)


def test_regions_of_two_photos_do_not_combine():
    with pytest.raises(ArgumentError, match=r"\(1, 2\) and \(2, 1\)"):
        RegionOfInterest([[True, True]]) & RegionOfInterest([[True], [True]])


# With heat maps


def test_outside_of_the_region_a_heat_map_is_not_assessed_and_inside_it_keeps_its_values():
    heatmap = a_map([[0.9, 0.2, 0.7]])
    pixels = heatmap.restrict(RegionOfInterest([[False, True, True]])).to_pixels()
    np.testing.assert_array_equal(pixels, np.float32([[np.nan, 0.2, 0.7]]))


def test_locate_takes_a_region_of_interest():
    photo = np.full((64, 64, 3), 200, np.uint8)
    classifier = slidewin.load_classifier(
        lambda patches: np.full((len(patches), 2), 0.5), classes=["background", "spot"],
        input_size=16,
    )  # fmt: skip
    roi = roi_from_polygon([(0, 0), (0, 64), (32, 64), (32, 0)], photo.shape)
    found = slidewin.locate(photo, classifier, lesion_size=16, threshold=0.5, roi=roi, verbose=0)
    assert found.mask[:32].all()
    assert np.isnan(found.pixels[32:]).all()


@settings(max_examples=30)
@given(
    hnp.arrays(np.float32, (5, 7), elements=st.floats(-3, 3, width=32)),
    masks,
    st.floats(-3, 3, width=32),
)
def test_to_restrict_and_then_threshold_is_to_threshold_and_then_intersect(values, inside, at):
    heatmap, roi = a_map(values), RegionOfInterest(inside)
    restricted = threshold_mask(heatmap.restrict(roi).to_pixels(), at)
    np.testing.assert_array_equal(restricted, threshold_mask(heatmap.to_pixels(), at) & inside)


def test_a_policy_that_looks_at_the_map_sees_the_region_alone():
    pixels = np.float32([[100, 100, 1, 1, 3, 3]])
    inside = RegionOfInterest([[False, False, True, True, True, True]])
    assert otsu_threshold(pixels).value == 100
    assert otsu_threshold(a_map(pixels).restrict(inside)).value == 3


def test_another_map_makes_a_region_by_any_threshold_and_never_where_it_was_not_assessed():
    cam = np.float32([[0.0, 0.1, 5.0, 6.0, np.nan]])
    middle = [[False, False, True, True, False]]
    for threshold in (5, otsu_threshold(cam), percentile_threshold(cam, 60)):
        np.testing.assert_array_equal(roi_from_map(cam, threshold), middle)
    roi = roi_from_map(a_map(cam), otsu_threshold(cam))
    assert roi.made_by["by"] == "heat map (by hand)"
    assert roi.made_by["threshold"]["policy"] == "Otsu"


# Polygons


def test_a_polygon_holds_the_pixels_whose_centres_it_holds():
    # From (0.4, 0.4) to (1.6, 2.4): the centres at 0.5 and 1.5, and at 0.5 and 1.5.
    corners = [(0.4, 0.4), (0.4, 2.4), (1.6, 2.4), (1.6, 0.4)]
    expected = [[True, True, False], [True, True, False], [False, False, False]]
    for vertices in (corners, corners[::-1], [*corners, corners[0]]):
        np.testing.assert_array_equal(roi_from_polygon(vertices, (3, 3)), expected)


def test_the_square_of_one_pixel_holds_that_pixel_alone():
    roi = roi_from_polygon([(1, 2), (1, 3), (2, 3), (2, 2)], (3, 4, 3))
    assert np.argwhere(roi.inside).tolist() == [[1, 2]]


def test_a_triangle_is_filled_row_by_row():
    roi = roi_from_polygon([(0, 0.1), (4, 4.1), (4, 0)], (4, 4))
    np.testing.assert_array_equal(roi, np.tri(4, dtype=bool))


points = st.tuples(st.integers(-3, 12), st.integers(-3, 12))


@settings(max_examples=60)
@given(st.lists(points, min_size=3, max_size=8))
def test_filling_agrees_with_opencv_s_test_of_points_off_the_outline(vertices):
    ring = np.array(vertices, np.float32)
    sides = np.array(
        [
            [cv2.pointPolygonTest(ring, (row + 0.5, col + 0.5), False) for col in range(9)]
            for row in range(8)
        ]
    )
    if not (sides > 0).any():
        return
    roi = roi_from_polygon(vertices, (8, 9))
    np.testing.assert_array_equal(roi.inside[sides != 0], sides[sides != 0] > 0)


@settings(max_examples=40)
@given(st.floats(1, 7), st.floats(1, 7))
def test_two_polygons_with_an_edge_in_common_neither_overlap_nor_leave_a_gap(top, bottom):
    left = roi_from_polygon([(-1, -1), (-1, top), (7, bottom), (7, -1)], (6, 8))
    right = roi_from_polygon([(7, 9), (7, bottom), (-1, top), (-1, 9)], (6, 8))
    assert (left.inside ^ right.inside).all()


def test_what_lies_outside_of_the_photo_is_cut_off():
    roi = roi_from_polygon([(-50, -60), (-50, 1), (70, 1), (70, -60)], (3, 3))
    np.testing.assert_array_equal(roi, [[True, False, False]] * 3)
    with pytest.raises(ArgumentError, match="nothing of the photo"):
        roi_from_polygon([(4, 4), (4, 8), (8, 8)], (3, 3))


@pytest.mark.parametrize(
    "vertices",
    [[(0, 0), (1, 1)], [(0, 0), (1, 1), (np.nan, 0)], [(0, 0), (1, 1), (1e300, 0)],
     [(0,), (1,), (2,)], [(0, 0), (1, 1), ("1", 0)], 5, None, [[0, 1], [1], [2, 3]],
     [(True, False), (True, True), (False, False)]],
)  # fmt: skip
def test_what_is_no_polygon_is_refused(vertices):
    with pytest.raises(ArgumentError, match="vertices"):
        roi_from_polygon(vertices, (3, 3))


# GeoJSON files


@settings(max_examples=40)
@given(hnp.arrays(bool, (6, 8)).filter(np.any))
def test_regions_written_as_geojson_come_back_pixel_by_pixel(tmp_path_factory, mask):
    text = to_geojson(find_regions(mask.astype(np.float32), mask), label="spot")
    path = written(tmp_path_factory.mktemp("roi"), text)
    np.testing.assert_array_equal(roi_from_geojson(path, mask.shape), mask)


def square(x, y, side):
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]


def feature(geometry, **classification):
    properties = {"objectType": "annotation"}
    if classification:
        properties["classification"] = classification
    return {"type": "Feature", "id": "0", "geometry": geometry, "properties": properties}


ONE = {"type": "Polygon", "coordinates": [square(1, 0, 2)], "plane": {"c": -1}}
HOLED = {"type": "MultiPolygon", "coordinates": [[square(4, 1, 3), square(5, 2, 1)]]}
OF_ONE = np.array([[0, 1, 1, 0, 0, 0, 0]] * 2 + [[0] * 7] * 2, bool)
OF_HOLED = np.array([[0] * 7] + [[0, 0, 0, 0, 1, b, 1] for b in (1, 0, 1)], bool)


@pytest.mark.parametrize(
    "thing",
    [
        {"type": "FeatureCollection", "features": [feature(ONE), feature(HOLED, name="x")]},
        [feature(ONE), feature(HOLED)],
        {"type": "GeometryCollection", "geometries": [ONE, HOLED]},
        feature({"type": "GeometryCollection", "geometries": [HOLED, ONE]}),
        "\ufeff" + json.dumps([ONE, HOLED]),
    ],
)
def test_what_qupath_exports_is_read_x_before_y_with_its_holes(tmp_path, thing):
    roi = roi_from_geojson(written(tmp_path, thing), (4, 7))
    np.testing.assert_array_equal(roi, OF_ONE | OF_HOLED)
    assert roi.made_by["file"] == "drawn.geojson"
    assert len(roi.made_by["file_sha256"]) == 64


def test_points_and_lines_among_the_polygons_are_passed_over(tmp_path):
    point = {"type": "Point", "coordinates": [1, 2]}
    line = {"type": "LineString", "coordinates": [[0, 0], [6, 3]]}
    many = [dict(one, type=f"Multi{one['type']}", coordinates=[]) for one in (point, line)]
    path = written(tmp_path, [feature(point), feature(ONE), *map(feature, many), feature(line)])
    np.testing.assert_array_equal(roi_from_geojson(path, (4, 7)), OF_ONE)
    path = written(tmp_path, [feature(ONE, name="skin"), feature(point, name="nail")])
    with pytest.raises(ArgumentError, match="no Polygon or MultiPolygon in features of class"):
        roi_from_geojson(path, (4, 7), label="nail")


def test_the_features_of_one_class_can_be_taken_alone(tmp_path):
    path = written(tmp_path, [feature(ONE, name="skin"), feature(HOLED, names=["ink", "ruler"])])
    np.testing.assert_array_equal(roi_from_geojson(path, (4, 7), label="skin"), OF_ONE)
    np.testing.assert_array_equal(roi_from_geojson(path, (4, 7), label="ink: ruler"), OF_HOLED)
    with pytest.raises(ArgumentError, match="class 'nail'"):
        roi_from_geojson(path, (4, 7), label="nail")


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        ("{", "cannot be read as GeoJSON"),
        ("[" * 100_000, "cannot be read as GeoJSON"),
        ('{"features": []}', "holds a None"),
        ("null", "holds a NoneType"),
        ("[]", "holds no Polygon"),
        ({"type": "FeatureCollection"}, "holds a NoneType"),
        ({"type": "Point", "coordinates": [1, 2]}, "holds no Polygon or MultiPolygon, and nothing"),
        ({"type": ["Polygon"]}, "no GeoJSON"),
        (feature(None), "holds a NoneType"),
        ({"type": "Polygon", "coordinates": []}, "without rings"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}, "three or more positions"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, float("nan")]]]}, "finite"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 10**400]]]}, "finite"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], {"x": 0}]]}, "finite"),
        ({"type": "Polygon", "coordinates": {"0": 1}}, "without rings"),
        ({"type": "MultiPolygon", "coordinates": [[square(90, 90, 5)]]}, "of another photo"),
    ],
)
def test_a_file_that_holds_no_polygons_of_the_photo_is_refused_by_name(tmp_path, thing, words):
    with pytest.raises(ArgumentError, match=rf"drawn\.geojson.*{words}"):
        roi_from_geojson(written(tmp_path, thing), (4, 7))


def test_a_file_that_is_no_text_or_not_there_is_refused(tmp_path):
    (tmp_path / "binary.geojson").write_bytes(b"\xff\xfe\x00")
    for name, words in (("binary.geojson", "cannot be read"), ("none.geojson", "cannot be opened")):
        with pytest.raises(ArgumentError, match=rf"{name}.*{words}"):
            roi_from_geojson(tmp_path / name, (4, 7))
    with pytest.raises(ArgumentTypeError, match="path"):
        roi_from_geojson(7, (4, 7))


# Pictures


@pytest.mark.parametrize("colour", [1, 255, (255, 0, 0)])
def test_a_picture_of_black_and_one_other_colour_is_a_region_of_interest(tmp_path, colour):
    inside = np.array([[True, False, True], [False, False, True]])
    write_png(tmp_path / "roi.png", np.uint8(inside[..., None] * np.uint8(colour) * [1, 1, 1]))
    roi = roi_from_image(tmp_path / "roi.png", (2, 3))
    np.testing.assert_array_equal(roi, inside)
    assert roi.made_by["file"] == "roi.png"


@pytest.mark.parametrize(
    ("grey", "words"),
    [([[0, 128, 255]], "one other colour"), ([[0, 0, 0]], "nothing of the photo"),
     ([[0, 255]], "1 x 2 px")],
)  # fmt: skip
def test_a_picture_that_leaves_a_doubt_is_refused(tmp_path, grey, words):
    write_png(tmp_path / "roi.png", np.uint8(grey))
    with pytest.raises(ArgumentError, match=rf"roi\.png.*{words}"):
        roi_from_image(tmp_path / "roi.png", (1, 3))


# The photo's looks


def a_limb():
    """Skin that comes in from the top, a mole on it, and cloth with a speck of skin's colour."""
    photo = np.full((120, 160, 3), CLOTH, np.uint8)
    photo[:90, 50:110] = SKIN
    photo[40:52, 70:82] = MOLE
    photo[110, 10] = SKIN
    photo.flags.writeable = False
    limb = np.zeros((120, 160), bool)
    limb[:90, 50:110] = True
    return photo, limb


def nearly(roi, expected, *, within):
    """Whether they differ at most so many pixels from the outline."""
    near = cv2.morphologyEx(
        expected.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((2 * within + 1,) * 2, np.uint8)
    )
    return not (roi.inside ^ expected)[near == 0].any()


def test_skin_is_told_by_its_chroma_alone():
    colours = np.uint8([[SKIN, (100, 75, 65), CLOTH, (128, 128, 128), (0, 0, 0), (90, 200, 90)]])
    np.testing.assert_array_equal(has_skin_colour(colours), [[True, True] + [False] * 4])


def test_the_region_of_skin_holds_the_lesions_on_it_and_no_specks():
    photo, limb = a_limb()
    assert not has_skin_colour(photo)[46, 76]
    np.testing.assert_array_equal(roi_from_skin(photo, lesion_size=12), limb)


def test_a_hole_larger_than_the_largest_lesion_stays_a_hole():
    photo, limb = a_limb()
    roi = roi_from_skin(photo, lesion_size=(6, 8))
    assert not roi.inside[42:50, 72:80].any()
    np.testing.assert_array_equal(roi.inside[60:], limb[60:])


def test_a_lesion_at_the_photo_s_border_is_no_hole():
    photo = np.full((60, 80, 3), SKIN, np.uint8)
    photo[20:30, :10] = MOLE
    photo[20:30, 40:50] = MOLE
    roi = roi_from_skin(photo, lesion_size=(4, 12))
    assert not roi.inside[22:28, :8].any()
    assert roi.inside[:, 12:].all()


def test_colours_are_parted_as_the_eye_parts_them():
    photo = np.empty((30, 90, 3), np.uint8)
    photo[:, :30], photo[:, 30:60], photo[:, 60:] = (0, 0, 190), (90, 90, 90), (255, 255, 255)
    # In RGB grey is nearer to blue, by 162 to 286; in CIELAB to white, by 62 to 108.
    roi = roi_from_clusters(photo, n_clusters=2, clusters=0, lesion_size=2)
    assert roi.inside[:, :30].all()
    assert not roi.inside[:, 30:].any()


def test_skin_s_clusters_are_those_with_half_of_it_or_else_the_one_with_most():
    almost, barely = (154, 150, 140), (162, 150, 140)
    np.testing.assert_array_equal(has_skin_colour(np.uint8([[almost, barely]])), [[False, True]])
    photo = np.full((30, 90, 3), CLOTH, np.uint8)
    photo[:, 30:60], photo[:, 60:] = almost, (240, 170, 130)
    photo[:20, 30:60] = barely
    both = roi_from_clusters(photo, n_clusters=3, lesion_size=2)
    assert both.made_by["skin"] == [0, 0.667, 1]
    assert both.made_by["clusters"] == [1, 2]
    photo[:, 60:] = (90, 200, 90)
    photo[10:20, 30:60] = almost
    nearest = roi_from_clusters(photo, n_clusters=3, lesion_size=2)
    assert max(nearest.made_by["skin"]) == 0.333
    assert nearest.inside[:, 30:60].all()
    assert not nearest.inside[:, :30].any()
    assert not nearest.inside[:, 60:].any()


def test_clusters_are_numbered_from_the_darkest_and_the_nearest_to_skin_taken():
    photo, limb = a_limb()
    roi = roi_from_clusters(photo, n_clusters=3, lesion_size=12)
    np.testing.assert_array_equal(roi, limb)
    assert roi.made_by["colours"] == [list(MOLE), list(CLOTH), list(SKIN)]
    assert roi.made_by["clusters"] == [2]
    cloth = roi_from_clusters(photo, n_clusters=3, clusters=1, lesion_size=12)
    assert nearly(cloth, ~limb, within=6)  # inner corners are rounded off
    both = roi_from_clusters(photo, n_clusters=3, clusters=(1, 2), lesion_size=12)
    assert both.inside.all()


def test_clusters_are_the_same_each_time_and_leave_the_random_state_alone():
    photo = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    one, other = (
        roi_from_clusters(photo, clusters=0, lesion_size=2, random_state=3) for _ in range(2)
    )
    np.testing.assert_array_equal(one, other)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_a_photo_of_fewer_colours_has_fewer_clusters_and_one_without_skin_has_none_near_it():
    photo = np.full((30, 40, 3), CLOTH, np.uint8)
    assert not roi_from_clusters(photo).inside.any()
    assert roi_from_clusters(photo, clusters=0).inside.all()
    with pytest.raises(ArgumentError, match=r"0 \(the darkest\) to 0"):
        roi_from_clusters(photo, clusters=1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 70_000), (70_000, 1)])
def test_photos_of_any_shape_have_regions_of_interest(shape):
    photo = np.full((*shape, 3), SKIN, np.uint8)
    assert roi_from_skin(photo).inside.all()
    assert roi_from_clusters(photo).inside.all()
    assert not roi_from_edges(photo).inside.any()


def test_edges_enclose_what_lies_in_the_photo_and_what_comes_in_from_its_border():
    photo, limb = a_limb()
    assert nearly(roi_from_edges(photo, lesion_size=12), limb, within=4)
    alone = np.full((120, 160, 3), CLOTH, np.uint8)
    disc = np.hypot(*(np.indices((120, 160)) - np.array([60, 80])[:, None, None])) < 30
    alone[disc] = SKIN
    assert nearly(roi_from_edges(alone, lesion_size=12), disc, within=4)


def outlined(gap):
    """Cloth with a square drawn on it, side 60 and centre (60, 80), open over so many pixels."""
    photo = np.full((120, 160, 3), CLOTH, np.uint8)
    cv2.rectangle(photo, (50, 30), (110, 90), MOLE, 3)
    photo[26:36, 80 - gap // 2 : 80 + gap // 2] = CLOTH
    return photo


def test_an_outline_s_gap_is_closed_where_it_is_narrower_than_the_smallest_lesion():
    square = np.zeros((120, 160), bool)
    square[30:91, 50:111] = True
    assert nearly(roi_from_edges(outlined(8), lesion_size=20), square, within=4)
    assert not roi_from_edges(outlined(40), lesion_size=20).inside[40:80, 60:100].any()


def test_texture_much_finer_than_a_lesion_is_no_edge():
    photo, limb = a_limb()
    noise = np.random.default_rng(0).normal(0, 25, photo.shape)
    noisy = (photo + noise).clip(0, 255).astype(np.uint8)
    assert nearly(roi_from_edges(noisy, lesion_size=24), limb, within=6)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("bars", [((0, 0), (0, 60)), ((30, 20), (40, 1))])
def test_black_bars_that_make_a_photo_fit_a_frame_are_neither_inside_nor_the_outside(bars, turns):
    photo, limb = (np.rot90(one, turns) for one in a_limb())
    noise = np.random.default_rng(0).integers(0, 12, np.add(limb.shape, np.sum(bars, axis=1)))
    framed = np.repeat(noise[..., None], 3, axis=2).astype(np.uint8)
    place = tuple(
        slice(before, before + n) for (before, _), n in zip(bars, limb.shape, strict=True)
    )
    framed[place] = photo
    of_photo = np.zeros(framed.shape[:2], bool)
    of_photo[place] = True
    roi = roi_from_edges(framed, lesion_size=12)
    assert not roi.inside[~of_photo].any()
    # Next to a bar two pixels are left out.
    differ = roi.inside[place] ^ roi_from_edges(photo, lesion_size=12).inside
    assert not differ[3:-3, 3:-3].any()


def test_a_dark_ground_off_which_a_limb_stands_is_no_bar():
    photo = np.zeros((120, 160, 3), np.uint8)
    limb = np.zeros((120, 160), np.uint8)
    cv2.ellipse(limb, (80, 100), (30, 70), 0, 0, 360, 1, cv2.FILLED)
    photo[limb > 0] = SKIN
    assert nearly(roi_from_edges(photo, lesion_size=12), limb > 0, within=5)
    black = np.zeros((40, 50, 3), np.uint8)
    assert not roi_from_edges(black).inside.any()
    black[10:13] = 200  # a stroke: taken for what lies between bars, it would be cut to nothing
    assert not roi_from_edges(black).inside[20:].any()


def test_where_no_edges_close_there_is_no_region():
    photo = np.full((90, 120, 3), 128, np.uint8)
    assert not roi_from_edges(photo).inside.any()
    photo[40:43, 20:60] = 30  # a stroke is no area
    assert not roi_from_edges(photo, lesion_size=24).inside.any()


@pytest.mark.parametrize("lesion_size", [0, -3, (9, 4), (1, 2, 3), "12", np.nan, (4, np.inf)])
@pytest.mark.parametrize("make", [roi_from_skin, roi_from_clusters, roi_from_edges])
def test_what_is_no_lesion_size_is_refused(make, lesion_size):
    with pytest.raises(ArgumentError, match="lesion_size"):
        make(np.zeros((9, 9, 3), np.uint8), lesion_size=lesion_size)


def test_whole_numbers_of_numpy_are_whole_numbers():
    photo = a_limb()[0]
    roi = roi_from_clusters(photo, n_clusters=np.int64(3), random_state=np.uint8(1))
    again = roi_from_clusters(photo, n_clusters=3, random_state=1)
    np.testing.assert_array_equal(roi, again)
    assert roi.made_by == again.made_by


@pytest.mark.parametrize(
    "options",
    [{"n_clusters": 1}, {"n_clusters": 2.5}, {"clusters": -1}, {"clusters": "cloth"},
     {"clusters": ()}, {"clusters": 0.5}, {"random_state": -1}, {"random_state": "0"}],
)  # fmt: skip
def test_what_names_no_cluster_is_refused(options):
    with pytest.raises(ArgumentError, match=next(iter(options))):
        roi_from_clusters(a_limb()[0], **options)


# By name


def test_a_word_or_a_file_stands_for_a_region_of_interest(tmp_path):
    photo, limb = a_limb()
    heat = limb.astype(np.float32)
    np.testing.assert_array_equal(read_roi("skin", photo, heat, lesion_size=12), limb)
    np.testing.assert_array_equal(read_roi("otsu", photo, heat), limb)
    assert read_roi("clusters", photo, heat, lesion_size=12).made_by["by"] == "clusters in colour"
    assert read_roi("edges", photo, heat, lesion_size=12).made_by["by"] == "closed edges"
    corners = [[50, 0], [110, 0], [110, 90], [50, 90]]
    drawn = written(tmp_path, {"type": "Polygon", "coordinates": [corners]})
    np.testing.assert_array_equal(read_roi(drawn, photo, heat), limb)
    write_png(tmp_path / "roi.png", limb.astype(np.uint8) * 255)
    np.testing.assert_array_equal(read_roi(str(tmp_path / "roi.png"), photo, heat), limb)


def test_what_stands_for_no_region_of_interest_is_refused(tmp_path):
    photo, heat = np.full((30, 40, 3), CLOTH, np.uint8), np.zeros((30, 40), np.float32)
    for source, words in (
        ("hair", "one of skin, edges, clusters, otsu"),
        ("hand.txt", "a .geojson file"),
        (str(tmp_path / "none.png"), "no such file"),
    ):
        with pytest.raises(ArgumentError, match=words):
            read_roi(source, photo, heat)
    (tmp_path / "no.png").write_bytes(b"no picture")
    with pytest.raises(ImageReadError, match=r"no\.png"):
        read_roi(tmp_path / "no.png", photo, heat)


@pytest.mark.parametrize("word", ["skin", "edges", "clusters", "otsu"])
def test_a_region_of_interest_without_anything_inside_is_refused_by_name(word):
    photo, heat = np.full((30, 40, 3), CLOTH, np.uint8), np.zeros((30, 40), np.float32)
    with pytest.raises(ArgumentError, match=f"roi='{word}'.*nothing of this photo"):
        read_roi(word, photo, heat)
