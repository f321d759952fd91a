import json

import cv2
import numpy as np
import pytest
from toys import SIDE, dark_middle

import slidewin
from slidewin.errors import ArgumentError, ArgumentTypeError, OutputError, OutputExistsError
from slidewin.finding import OUTPUTS, Finding
from slidewin.heatmap import HeatLayer, HeatMap
from slidewin.mask import (
    RegionOfInterest,
    Threshold,
    budget_threshold,
    otsu_threshold,
    percentile_threshold,
    roi_from_skin,
)


@pytest.fixture
def photo():
    """Grey, with a dark square of 12 px centred at row 40, column 70."""
    photo = np.full((90, 120, 3), 220, np.uint8)
    photo[34:46, 64:76] = 10
    return photo


@pytest.fixture
def found(photo, dark):
    return slidewin.locate(photo, dark, lesion_size=12, threshold=0.5)


def test_a_dark_square_is_found_where_it_is(found):
    (region,) = found.regions
    assert region.centre == pytest.approx((40, 70), abs=3)
    assert region.score == found.pixels.max()
    top, left, bottom, right = region.bbox
    assert found.mask[top:bottom, left:right].any()
    assert found.mask.sum() == region.area
    assert repr(found).startswith("Finding('lesion' by sliding window, photo 90 x 120 px, 1 at 0.5")


def test_a_piece_much_narrower_than_the_smallest_lesion_is_no_region(photo, dark):
    found = slidewin.locate(photo, dark, lesion_size=12, threshold=0.5)
    assert found.least_area == pytest.approx(np.pi / 4 * 8.4**2)
    peak = float(found.pixels.max())
    assert slidewin.locate(photo, dark, lesion_size=12, threshold=peak).regions == ()


def test_the_mask_holds_the_pixels_at_or_above_the_threshold(photo, dark):
    found = slidewin.locate(photo, dark, lesion_size=12, threshold=0.5)
    np.testing.assert_array_equal(found.mask, found.pixels >= np.float32(0.5))


def test_by_default_a_region_extends_as_far_as_the_map_has_half_of_the_threshold(
    photo, dark, tmp_path
):
    found = slidewin.locate(photo, dark, lesion_size=12)
    assert (found.threshold, found.chosen.weak) == (0.5, 0.25)
    assert found.chosen.policy == "the classifier's default"
    # One dark square on a plain ground: all that has half of the threshold is joined to it.
    np.testing.assert_array_equal(found.mask, found.pixels >= np.float32(0.25))
    plain = slidewin.locate(photo, dark, lesion_size=12, threshold=0.5)
    assert (plain.chosen.policy, plain.chosen.weak) == ("fixed", None)
    assert plain.mask.sum() < found.mask.sum()
    assert len(found.regions) == len(plain.regions) == 1
    assert "1 at 0.5 or above, from 0.25 around them" in repr(found)
    found.save(tmp_path)
    chosen = json.loads((tmp_path / "settings.json").read_text())["threshold_chosen"]
    assert (chosen["value"], chosen["weak"]) == (0.5, 0.25)
    (feature,) = json.loads((tmp_path / "regions.geojson").read_text())["features"]
    known = feature["properties"]["metadata"]
    assert (known["threshold"], known["threshold_weak"]) == (0.5, 0.25)


def test_what_has_half_of_the_threshold_and_nothing_that_reaches_it_is_no_region(photo, dark):
    photo[34:46, 64:76] = 150  # a third as dark as black
    found = slidewin.locate(photo, dark, lesion_size=12)
    assert found.chosen.weak < found.pixels.max() < found.threshold
    assert found.regions == ()


def test_a_threshold_is_taken_as_it_is(photo, dark):
    given = Threshold(0.6, "by eye", weak=0.1)
    assert slidewin.locate(photo, dark, lesion_size=12, threshold=given).chosen is given


def test_outside_the_region_of_interest_nothing_is_assessed(photo, dark, tmp_path):
    roi = np.zeros(photo.shape[:2], bool)
    roi[:, :60] = True
    found = slidewin.locate(photo, dark, lesion_size=12, threshold=0.5, roi=roi)
    assert found.regions == ()
    np.testing.assert_array_equal(np.isnan(found.pixels), ~roi)
    np.testing.assert_array_equal(found.assessed, roi)
    found.save(tmp_path)
    mask = slidewin.read_image(tmp_path / "mask.png")[:, :, 0]
    np.testing.assert_array_equal(mask == 128, ~roi)
    assert json.loads((tmp_path / "settings.json").read_text())["share_assessed"] == 0.5


def test_regions_of_interest_confine_one_after_the_other_and_are_both_told_of(found, tmp_path):
    left, upper = np.zeros((2, 90, 120), bool)
    left[:, :60], upper[:45] = True, True
    twice = found.within(RegionOfInterest(left, {"by": "left half"})).within(upper)
    np.testing.assert_array_equal(twice.assessed, left & upper)
    np.testing.assert_array_equal(twice.roi, left & upper)
    twice.save(tmp_path)
    roi = json.loads((tmp_path / "settings.json").read_text())["roi"]
    assert (roi["by"], roi["of"]) == ("and", [{"by": "left half"}, {"by": "array"}])
    assert roi["sha256"] == slidewin.image.hash_pixels(left & upper)
    assert found.roi is None
    assert found.assessed.all()


def test_a_region_of_interest_in_which_nothing_lies_is_refused(found, photo, dark):
    left = np.zeros((90, 120), bool)
    left[:, :60] = True
    empty = roi_from_skin(np.full_like(photo, (60, 90, 200)))
    for refused in (
        lambda: slidewin.locate(photo, dark, lesion_size=12, roi=empty),
        lambda: found.within(empty),
        lambda: found.within(left).within(~left),
    ):
        with pytest.raises(ArgumentError, match="nothing of this photo lies inside"):
            refused()
    with pytest.raises(ArgumentError, match=r"\(90, 60\).*\(90, 120\)"):
        found.within(left[:, :60])


def test_the_same_map_is_cut_at_another_threshold(found, photo, dark):
    roi = found.pixels < 0.9
    for threshold in (0.25, Threshold(0.6, "by eye", weak=0.125)):
        cut = found.within(roi).at(threshold)
        anew = slidewin.locate(photo, dark, lesion_size=12, threshold=threshold, roi=roi)
        assert cut.chosen == anew.chosen
        assert cut.settings == anew.settings
        np.testing.assert_array_equal(cut.mask, anew.mask)
        assert cut.regions[0].score == anew.regions[0].score
    assert found.threshold == 0.5
    with pytest.raises(ArgumentError, match="probability"):
        found.at(1.5)


def test_thresholds_that_policies_choose_are_taken_even_those_that_nothing_reaches(photo, dark):
    layer = HeatLayer(np.ones((1, 2)), rows=[45.0], cols=[30.0, 90.0])
    sure = HeatMap(photo.shape, (layer,), method="by hand", unit="probability")
    for threshold in (budget_threshold([sure], per_photo=0), otsu_threshold(sure)):
        assert threshold.value > 1
        assert slidewin.locate(photo, dark, lesion_size=12, threshold=threshold).regions == ()
        assert Finding(photo, sure, threshold, "lesion").regions == ()
    layer = HeatLayer([[0.0, 0.5]], rows=[45.0], cols=[30.0, 90.0])
    low = HeatMap(photo.shape, (layer,), method="by hand", unit="probability")
    all_of_it = percentile_threshold(low, 0)
    assert all_of_it.value == 0
    assert Finding(photo, low, all_of_it, "lesion").mask.all()


@pytest.mark.parametrize("value", [-0.1, 1.1, 4.5])
def test_a_threshold_chosen_on_a_map_of_another_unit_is_refused(value, photo, dark):
    with pytest.raises(ArgumentError, match="not of a map of probabilities"):
        slidewin.locate(photo, dark, lesion_size=12, threshold=Threshold(value, "Otsu"))


def test_saving_writes_what_was_found(found, tmp_path):
    found.save(tmp_path / "new" / "folder")
    folder = tmp_path / "new" / "folder"
    assert sorted(p.name for p in folder.iterdir()) == sorted(OUTPUTS)
    mask = slidewin.read_image(folder / "mask.png")[:, :, 0]
    np.testing.assert_array_equal(mask == 255, found.mask)
    assert slidewin.read_image(folder / "overlay.png").shape == found.photo.shape
    assert slidewin.read_image(folder / "heatmap.png").shape == found.photo.shape
    (feature,) = json.loads((folder / "regions.geojson").read_text())["features"]
    ring = np.array(feature["geometry"]["coordinates"][0])
    assert cv2.contourArea(ring.astype(np.float32)) == found.regions[0].area
    np.testing.assert_array_equal(ring[:-1, ::-1], found.regions[0].contour)  # x before y in files


def test_settings_say_what_made_the_files(found, tmp_path):
    found.save(tmp_path)
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert settings["threshold"] == 0.5
    assert settings["label"] == "lesion"
    assert settings["localiser"]["lesion_size"] == [12, 12]
    assert settings["photo"]["shape"] == [90, 120, 3]
    assert len(settings["photo"]["sha256"]) == 64
    assert settings["classifier"]["classes"] == ["background", "lesion"]
    assert {"slidewin", "numpy", "torch"} <= settings["versions"].keys()


def test_the_same_input_gives_the_same_files(photo, dark, tmp_path):
    for name in ("a", "b"):
        slidewin.locate(photo, dark, lesion_size=12).save(tmp_path / name)
    for output in OUTPUTS:
        assert (tmp_path / "a" / output).read_bytes() == (tmp_path / "b" / output).read_bytes()


def test_nothing_is_overwritten_unasked_and_nothing_half_written(found, tmp_path):
    (tmp_path / "mask.png").write_text("mine")
    with pytest.raises(OutputExistsError, match=r"mask.png there already.*--overwrite"):
        found.save(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mask.png"]
    assert (tmp_path / "mask.png").read_text() == "mine"
    found.save(tmp_path, overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(OUTPUTS)


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(found, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        found.save(tmp_path / "file" / "below")


def test_a_raw_map_goes_the_same_way(photo, tmp_path):
    layer = HeatLayer([[0.0, 6.0]], rows=[45.0], cols=[30.0, 90.0])
    heat = HeatMap(photo.shape, (layer,), method="by hand", unit="raw")
    found = Finding(photo, heat, threshold=4.5, label="lesion")
    (region,) = found.regions
    assert region.bbox == (0, 75, 90, 120)
    found.save(tmp_path)
    assert json.loads((tmp_path / "settings.json").read_text())["heatmap_scale"] == [0, 9]


def test_the_classifier_s_own_target_and_threshold_are_the_default(photo):
    classifier = slidewin.load_classifier(
        dark_middle,
        classes=["background", "lesion"],
        input_size=SIDE,
        target="background",
        thresholds={"background": 0.25},
    )
    found = slidewin.locate(photo, classifier, lesion_size=12)
    assert (found.label, found.threshold) == ("background", 0.25)
    assert slidewin.locate(photo, classifier, lesion_size=12, target="lesion").threshold == 0.5


@pytest.mark.parametrize("threshold", [0, -1, 1.5, float("nan")])
def test_a_threshold_that_is_no_probability_is_refused(threshold, photo, dark):
    with pytest.raises(ArgumentError, match="threshold"):
        slidewin.locate(photo, dark, lesion_size=12, threshold=threshold)


def test_a_path_is_no_photo(dark):
    with pytest.raises(ArgumentTypeError, match="photo"):
        slidewin.locate("hand.jpg", dark)


def test_photos_of_other_kinds_are_refused_in_words(dark):
    for wrong in (
        np.zeros((3, 40, 40), np.uint8),
        np.zeros((1, 40, 40, 3), np.uint8),
        np.zeros((40, 40), np.uint8),
        np.zeros((0, 40, 3), np.uint8),
        np.full((40, 40, 3), np.nan),
        np.zeros((40, 40, 3), object),
    ):
        with pytest.raises(slidewin.SlidewinError, match="photo"):
            slidewin.locate(wrong, dark)
