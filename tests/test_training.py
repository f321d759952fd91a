import csv
import re
import warnings
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from slidewin.classifier import load_classifier, save_file
from slidewin.classifier.estimator import EstimatorClassifier
from slidewin.cli import main
from slidewin.errors import ArgumentError, SlidewinWarning
from slidewin.output import write_png
from slidewin.scene import draw_lesion, draw_skin
from slidewin.training import read_table, train
from slidewin.training.data import _read_photo
from slidewin.training.source import STORED_DIAMETER, Background, Lesion
from slidewin.training.windows import MinedPlace, WindowSource


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A table of drawn lesions with masks, and a folder of drawn photos without lesions."""
    folder = tmp_path_factory.mktemp("data")
    rows = []
    for i in range(24):
        skin = draw_skin((120, 120), random_state=i)
        kind = "melanoma" if i % 2 else "mole"
        image, mask = draw_lesion(skin, centre=(60, 60), diameter=30 + i, random_state=i, kind=kind)
        write_png(folder / f"lesion{i}.png", image)
        write_png(folder / f"mask{i}.png", mask.astype(np.uint8) * 255)
        split = ("train", "train", "val", "test")[i // 6]
        rows.append((f"lesion{i}.png", f"mask{i}.png", kind, split))
    for name in ("lesion23.png", "mask23.png"):  # a test row, which nobody is to open
        (folder / name).unlink()
    with (folder / "lesions.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("file", "mask", "label", "split"), *rows])
    whole = []
    for i in range(8):
        skin = draw_skin((140, 180), random_state=200 + i)
        kind = "melanoma" if i % 4 < 2 else "mole"
        image, mask = draw_lesion(skin, centre=(70, 90), diameter=30, random_state=i, kind=kind)
        write_png(folder / f"whole{i}.png", image)
        write_png(folder / f"outline{i}.png", mask.astype(np.uint8) * 255)
        whole.append((f"whole{i}.png", f"outline{i}.png", kind))
    with (folder / "whole.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("file", "mask", "label"), *whole])
    (folder / "photos").mkdir()
    rng = np.random.default_rng(0)
    for i in range(20):
        photo = cv2.resize(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8), (160, 120))
        write_png(folder / "photos" / f"{i}.png", photo)
    return folder


def few(data, **options):
    options = {"n_windows": 400, "n_drawn": 3, "epochs": 1, "rounds": 1, **options}
    options.setdefault("photos", [data / "whole.csv"])
    return train([data / "lesions.csv"], [data / "photos"], **options)


def test_a_lesion_is_kept_at_one_diameter(data):
    row = read_table(data / "lesions.csv")[3]
    lesion = Lesion.read(row, 2, context=2.0)
    diameter = 2 * np.sqrt(lesion.mask.sum() / np.pi)
    assert diameter == pytest.approx(STORED_DIAMETER, rel=0.03)
    assert lesion.mask[tuple(lesion.inner.T)].all()
    assert not lesion.mask[tuple(lesion.near.T)].any()
    assert lesion.is_whole


def test_a_close_up_without_a_mask_is_a_lesion_in_the_middle(data):
    row = read_table(data / "photos")[0]
    lesion = Lesion.read(row, 1, context=2.0)
    middle = np.argwhere(lesion.mask).mean(axis=0)
    assert middle == pytest.approx((np.array(lesion.mask.shape) - 1) / 2, abs=1)
    # 60 px of 120 before, STORED_DIAMETER now: the short side is twice the lesion.
    assert min(lesion.mask.shape) == pytest.approx(2 * STORED_DIAMETER, rel=0.05)


def test_a_mask_of_another_size_is_refused(data, tmp_path):
    row = read_table(data / "lesions.csv")[0]
    write_png(tmp_path / "mask.png", np.zeros((10, 10), np.uint8))
    with pytest.raises(ArgumentError, match=r"10 x 10.*120 x 120"):
        Lesion.read(replace(row, mask=tmp_path / "mask.png"), 1, context=2.0)


def source_of(lesion, backgrounds):
    return WindowSource([lesion], backgrounds, [], n_classes=2, input_size=64, context=2.0)


def test_windows_on_a_lesion_have_it_in_the_middle_and_windows_beside_it_do_not():
    """A black disc on white skin says what every window shows."""
    image = np.full((400, 400, 3), 255, np.uint8)
    mask = np.zeros((400, 400), np.uint8)
    cv2.circle(mask, (200, 200), STORED_DIAMETER // 2, 1, -1)
    image[mask > 0] = 0
    lesion = Lesion(image, mask.astype(bool), 1, Background(image, mask.astype(bool)))
    skin = Background(
        np.full((200, 200, 3), 200, np.uint8) + np.eye(200, dtype=np.uint8)[..., None] * 50,
        skin=np.ones((200, 200), bool),
    )
    source = source_of(lesion, [skin])
    rng = np.random.default_rng(0)
    for _ in range(40):
        on, label = source._lesion(rng)
        assert label == 1
        assert on[31:33, 31:33].mean() < 110
        beside, label = source._beside_a_lesion(rng)
        assert label == 0
        assert beside[31:33, 31:33].mean() > 110


def disc(side, *, label=1, diagnosis=""):
    """A black disc in the middle of a white picture, green from 0.8 diameters off."""
    image = np.full((side, side, 3), 255, np.uint8)
    mask = np.zeros((side, side), np.uint8)
    cv2.circle(mask, (side // 2, side // 2), STORED_DIAMETER // 2, 1, -1)
    near = side // 2 - STORED_DIAMETER // 2 - int(0.8 * STORED_DIAMETER) - 2
    if near > 0:
        image[:near] = image[-near:] = image[:, :near] = image[:, -near:] = (0, 255, 0)
    image[mask > 0] = 0
    surroundings = Background(image, mask.astype(bool))
    return Lesion(image, mask.astype(bool), label, surroundings, diagnosis=diagnosis)


@pytest.mark.parametrize("where", ["middle", "inner", "near"])
def test_a_picture_is_cropped_to_margins_that_have_nothing_to_do_with_it(where):
    """So its own border never shows, and a class with little room shows what others show."""
    source = source_of(disc(500), [])
    rng = np.random.default_rng(0)
    patches = [source._cropped(source._by_class[0], where, 4.0, rng) for _ in range(60)]
    shown = [patch for patch in patches if patch is not None]
    assert len(shown) > 20  # luck may ask for places that the crop leaves out
    for patch in shown:
        green = (patch[..., 1] > 200) & (patch[..., 0] < 100)
        assert not green.any()
        assert (patch[32, 32].mean() < 100) == (where != "near")


def test_lesions_that_fill_their_picture_are_shown_mirrored():
    source = source_of(disc(72), [])
    rng = np.random.default_rng(0)
    windows = [source._cropped(source._by_class[0], "middle", 2.0, rng) for _ in range(100)]
    shown = [window for window in windows if window is not None]
    assert shown
    for window in shown:
        assert window[32, 32].mean() < 100
        assert np.mean(window[0] < 100) > 0  # the mirror image


def test_places_mined_by_rare_lesions_are_not_swamped():
    photo = disc(300).surroundings
    lesions = [disc(300, diagnosis="rare"), *(disc(300, diagnosis="common") for _ in range(9))]
    mined = [MinedPlace(photo, (50.0, 50.0), 40.0)] * 1000
    mined += [MinedPlace(lesion.surroundings, (50.0, 50.0), 40.0) for lesion in lesions]
    source = replace(source_of(lesions[0], [photo]), lesions=lesions, mined=mined)
    rng = np.random.default_rng(0)
    drawn = [source._any_mined(rng).photo for _ in range(400)]
    # A third by lesions; of these a quarter of the rare diagnosis: roots of 1 and 9.
    assert 0.25 < np.mean([picture is not photo for picture in drawn]) < 0.42
    assert 0.04 < np.mean([picture is lesions[0].surroundings for picture in drawn]) < 0.13


def test_no_window_overlaps_a_place_to_keep_clear_of():
    image = np.random.default_rng(0).integers(100, 256, (200, 200, 3), dtype=np.uint8)
    image[:, 120:] = 0
    keep_clear = np.zeros((200, 200), bool)
    keep_clear[:, 120:] = True
    photo = Background(image, keep_clear)
    lesion = Lesion(image, ~keep_clear, 1, photo)
    rng = np.random.default_rng(0)
    for _ in range(60):
        assert source_of(lesion, [photo])._any_place(photo, rng).patch.min() > 0


def test_the_same_seed_draws_the_same_windows(data):
    rows = read_table(data / "lesions.csv")
    lesions = [Lesion.read(row, 1 + (row.label == "melanoma"), context=2.0) for row in rows]
    grounds = [Background.read(row) for row in read_table(data / "photos")]
    source = WindowSource(lesions, grounds, [], n_classes=3, input_size=64, context=2.0)
    patches, labels = source.draw(50, np.random.default_rng(3))
    again, labels_again = source.draw(50, np.random.default_rng(3))
    assert patches.shape == (50, 64, 64, 3)
    assert set(labels) == {0, 1, 2}
    np.testing.assert_array_equal(patches, again)
    np.testing.assert_array_equal(labels, labels_again)


def test_training_gives_a_classifier_with_its_history(data):
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    classifier = few(data)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert list(classifier.classes_) == ["background", "other_lesion", "melanoma"]
    assert classifier.thresholds.keys() == {"other_lesion", "melanoma", "lesion"}
    assert classifier.about["lesions"]["train"] == {"mole": 6, "melanoma": 6}
    first, second = classifier.about["rounds"]
    assert (first["round"], first["mined"], second["round"]) == (0, 0, 1)
    assert second["mined"] > 0
    refit = classifier.about["refit"]
    assert refit["done"] or refit["why"] == "it tells validation lesions no better"
    assert classifier.temperature == pytest.approx(
        classifier.about["calibration"]["temperature"], abs=1e-3
    )
    for target, threshold in classifier.thresholds.items():
        assert threshold == classifier.about["thresholds"][target]["threshold"]
    assert not classifier.module.training


def test_without_lesions_in_validation_photos_probabilities_stay_and_a_warning_says_so(data):
    # A network that has seen so little may well have no threshold that keeps the rule either.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SlidewinWarning)
        classifier = few(data, photos=[], n_windows=200, rounds=0)
    said = [str(warning.message) for warning in caught]
    assert any(re.search(r"not calibrated: too few windows.*other_lesion", text) for text in said)
    assert classifier.about["calibration"] is None
    assert classifier.temperature == 1


def test_features_learn_as_a_network_does_and_are_kept_in_a_file(data, tmp_path):
    classifier = few(data, model="features", rounds=1)
    assert isinstance(classifier, EstimatorClassifier)
    assert list(classifier.classes_) == ["background", "other_lesion", "melanoma"]
    assert [point["round"] for point in classifier.about["rounds"]] == [0, 1]
    assert classifier.about["refit"] == {"done": False, "why": "the classifier is no network"}
    assert classifier.temperature == pytest.approx(
        classifier.about["calibration"]["temperature"], abs=1e-3
    )
    assert classifier.about["validation_windows"]["auc_lesion_against_background"] > 0.8
    save_file(classifier, tmp_path / "m.skops")
    loaded = load_classifier(tmp_path / "m.skops")
    assert loaded.thresholds == classifier.thresholds
    assert loaded.bias == classifier.bias


def test_the_same_seed_trains_the_same_weights_for_any_number_of_threads(data):
    assert few(data).fingerprint() == few(data, n_jobs=2).fingerprint()
    assert few(data).fingerprint() != few(data, random_state=1).fingerprint()


def test_training_learns_to_tell_a_lesion_from_the_rest(data):
    classifier = few(data, n_windows=3000, epochs=4, rounds=0)
    assert classifier.about["validation_windows"]["auc_lesion_against_background"] > 0.85


def test_what_is_trained_can_be_saved_and_loaded(data, tmp_path):
    classifier = few(data)
    save_file(classifier, tmp_path / "m.safetensors")
    loaded = load_classifier(tmp_path / "m.safetensors")
    assert loaded.about == classifier.about
    assert loaded.thresholds == classifier.thresholds
    assert loaded.fingerprint() == classifier.fingerprint()


def test_photos_for_validation_must_be_outlined(data, tmp_path):
    write_png(tmp_path / "back.png", draw_skin((120, 160), random_state=300))
    with pytest.raises(ArgumentError, match="no mask; photos for validation"):
        few(data, photos=[tmp_path])


def test_a_photo_for_validation_that_is_trained_on_is_told(data):
    with pytest.warns(SlidewinWarning, match="near-identical"), pytest.raises(ArgumentError):
        # Refused in the end, for want of the class; the warning comes first.
        few(data, photos=[data / "lesions.csv"], named=("melanoma", "wart"))


@pytest.mark.parametrize("named", [("background",), ("melanoma", "melanoma"), ("other_lesion",)])
def test_classes_are_named_once_and_others_than_those_that_are_there(data, named):
    with pytest.raises(ArgumentError, match="each once"):
        few(data, named=named)


@pytest.fixture
def two_in_one(tmp_path):
    """A picture of two lesions, each outlined by a mask of its own; the rows of its table."""
    image, masks = draw_skin((200, 300), random_state=0), []
    for i, centre in enumerate([(100, 110), (100, 180)]):
        image, mask = draw_lesion(image, centre=centre, diameter=50, random_state=i)
        masks.append(mask)
        write_png(tmp_path / f"mask{i}.png", mask.astype(np.uint8) * 255)
    write_png(tmp_path / "two.png", image)
    lines = [("file", "mask", "label"), *(("two.png", f"mask{i}.png", "mole") for i in range(2))]
    with (tmp_path / "two.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(lines)
    return masks, read_table(tmp_path / "two.csv", validation=0)


def test_all_lesions_of_a_picture_are_kept_clear_of(two_in_one):
    masks, (row, other) = two_in_one
    lesion = Lesion.read(row, 1, context=2.0, others=[other.mask])
    np.testing.assert_array_equal(lesion.surroundings.keep_clear, masks[0] | masks[1])
    alone = Lesion.read(row, 1, context=2.0)
    frame = (lesion.mask.shape[1], lesion.mask.shape[0])
    deep = cv2.erode(masks[1].astype(np.uint8), np.ones((5, 5)))  # well inside the other lesion
    deep = cv2.resize(deep, frame, interpolation=cv2.INTER_NEAREST) > 0
    assert not deep[tuple(lesion.near.T)].any()
    assert deep[tuple(alone.near.T)].any()


def test_the_trainer_knows_the_lesions_that_share_a_picture(two_in_one, data, monkeypatch):
    _, rows = two_in_one
    seen = []
    read = Lesion.read
    monkeypatch.setattr(
        Lesion,
        "read",
        lambda row, label, **more: seen.append((row, more)) or read(row, label, **more),
    )
    tables = [rows[0].file.parent / "two.csv", data / "lesions.csv"]
    few_of = {"n_windows": 200, "n_drawn": 3, "epochs": 1, "rounds": 0, "calibrate": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SlidewinWarning)  # a threshold keeps no rule so soon
        train(tables, [data / "photos"], **few_of)
    assert [m.name for row, more in seen if row.file.name == "two.png" for m in more["others"]] == [
        "mask1.png",
        "mask0.png",
    ]


def test_of_two_lesions_in_a_photo_for_validation_each_leaves_the_other_out(two_in_one):
    masks, (row, other) = two_in_one
    photo = _read_photo(row, 1, [other.mask])
    np.testing.assert_array_equal(photo.truth, masks[0])
    np.testing.assert_array_equal(photo.ignore, masks[1])
    assert _read_photo(row, 1, []).ignore is None


def test_a_lesion_is_not_labelled_background(data, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text(f"file,label\n{data / 'lesion0.png'},background\n")
    with pytest.raises(ArgumentError, match=r"lesion0\.png: labelled 'background'"):
        few(data, photos=[table])


def test_drawn_moles_are_nevi_where_that_is_a_class(data, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "slidewin.training.data.draw_lesions", lambda _, *, columns, seed: asked.append(columns)
    )
    for rename, named in (({"mole": "nevus"}, ("melanoma", "nevus")), ({}, ("melanoma",))):
        with pytest.raises(TypeError):  # no list was returned
            few(data, rename=rename, named=named)
    assert asked == [{"melanoma": 1, "mole": 2}, {"melanoma": 2, "mole": 1}]


def test_patients_held_out_in_another_table_are_told(data):
    for split in ("train", "test"):
        (data / f"of_{split}.csv").write_text(f"file,patient,split\nphotos/0.png,Ada,{split}\n")
    tables = [data / "photos", data / "of_train.csv", data / "of_test.csv"]
    known = {"group_column": "patient", "named": ("wart",)}  # refused in the end: no such class
    with (
        pytest.warns(SlidewinWarning, match=r"1 groups .*: Ada\. Photos"),
        pytest.raises(ArgumentError, match="wart"),
    ):
        train([data / "lesions.csv"], tables, **known)


def test_what_surrounds_a_lesion_that_nobody_outlined_is_not_mined(data, monkeypatch, tmp_path):
    rows = [row.split(",") for row in (data / "lesions.csv").read_text().splitlines()[1:19]]
    lines = [f"{data / file},{label},{split}" for file, _, label, split in rows]
    (tmp_path / "bare.csv").write_text("\n".join(["file,label,split", *lines]))
    swept = []
    monkeypatch.setattr(
        "slidewin.training.recipe.mine", lambda _, photos, **__: swept.extend(photos) or []
    )
    options = {"n_windows": 200, "n_drawn": 0, "epochs": 1, "rounds": 1, "calibrate": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SlidewinWarning)  # a threshold keeps no rule so soon
        train([tmp_path / "bare.csv"], [data / "photos"], **options)
    assert swept
    assert all(photo.keep_clear is None for photo in swept)


def test_labels_that_are_nowhere_are_told(data):
    options = {"n_windows": 200, "rounds": 0, "calibrate": False}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SlidewinWarning)
        few(data, no_lesion=["mole"], **options)
    said = " ".join(str(warning.message) for warning in caught)
    # Lesions have that label, but it is for negatives.
    assert "no_lesion: no negative has the label mole; found no labels" in said


def test_what_surrounds_lesions_is_mined_too(data, monkeypatch):
    swept = []
    monkeypatch.setattr(
        "slidewin.training.recipe.mine", lambda _, photos, **__: swept.extend(photos) or []
    )
    few(data)
    masked = [photo for photo in swept if photo.keep_clear is not None and photo.skin is not None]
    assert len(masked) >= 12  # the train split's lesions, and drawn ones


def test_unknown_distortions_are_named(data):
    with pytest.raises(ArgumentError, match="found rain; known are hair"):
        few(data, distortions=("rain",))


def test_a_class_without_lesions_is_named(data):
    with pytest.raises(ArgumentError, match=r"'train' has no images of wart"):
        few(data, named=("melanoma", "wart"))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"epochs": 0}, "epochs=0"),
        ({"n_windows": 0}, "n_windows=0"),
        ({"rounds": -1}, "rounds=-1"),
        ({"random_state": -1}, "random_state=-1"),
        ({"context": 0.5}, "context=0.5"),
        ({"n_jobs": 0}, "n_jobs=0"),
    ],
)
def test_wrong_numbers_are_refused_before_anything_is_read(wrong, words):
    with pytest.raises(ArgumentError, match=words):
        train(["nowhere.csv"], ["nowhere"], **wrong)


def test_a_mask_of_zeros_and_ones_is_refused(data, tmp_path):
    row = read_table(data / "lesions.csv")[0]
    write_png(tmp_path / "mask.png", np.ones((120, 120), np.uint8))
    with pytest.raises(ArgumentError, match="largest value is 1; 255"):
        Lesion.read(replace(row, mask=tmp_path / "mask.png"), 1, context=2.0)
    with pytest.raises(ArgumentError, match="largest value is 1; 255"):
        Background.read(replace(row, mask=tmp_path / "mask.png"))


def test_a_lesion_that_fills_its_picture_has_no_window_beside_it():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    full = Lesion(image, np.ones((64, 64), bool), 1, Background(image, np.ones((64, 64), bool)))
    ground = Background(np.tile(image, (4, 4, 1)), skin=np.ones((256, 256), bool))
    patch, label = source_of(full, [ground])._beside_a_lesion(np.random.default_rng(0))
    assert label == 0
    assert patch.std() > 20  # noise as the ground is, not the blank that stands for nothing found


def test_negatives_are_needed(data):
    with pytest.raises(ArgumentError, match="negatives"):
        train([data / "lesions.csv"], [])


def test_the_shell_trains_too(data, tmp_path, capsys):
    out = tmp_path / "model.safetensors"
    tables = {"--lesions": "lesions.csv", "--negatives": "photos", "--photos": "whole.csv"}
    arguments = ["train", "-o", str(out), "--quiet"]
    for option, name in tables.items():
        arguments += [option, str(data / name)]
    arguments += ["--windows", "500", "--epochs", "1", "--rounds", "0", "--drawn", "3"]
    assert main(arguments) == 0
    assert "melanoma" in load_classifier(out).classes_
    record = tmp_path / "model.training"
    made = {file.name for file in record.iterdir()}
    assert made == {"about.json", "rounds.csv", "rounds.png", "reliability.png"}
    assert (record / "rounds.csv").read_text().startswith("round,mined,loss,")
    assert main(arguments) == 2
    assert "--overwrite" in capsys.readouterr().err
