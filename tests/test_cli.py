import csv
import json
import re

import numpy as np
import pytest

import slidewin
from slidewin.cli import main
from slidewin.finding import OUTPUTS
from slidewin.output import write_png


@pytest.fixture
def model(network, tmp_path):
    from slidewin.classifier import save_file

    save_file(network, tmp_path / "model.safetensors")
    return str(tmp_path / "model.safetensors")


@pytest.fixture
def photos(noise, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    write_png(folder / "hand.png", noise)
    write_png(folder / "foot é.png", noise[:100])
    return folder


def summary(folder):
    with (folder / "summary.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_locate_writes_a_folder_for_each_photo_and_one_table(photos, model, tmp_path, capsys):
    out = tmp_path / "out"
    status = main(
        ["locate", str(photos), "-o", str(out), "--classifier", model, "--lesion-size", "30%"]
    )
    assert status == 0
    for stem in ("hand", "foot é"):
        assert sorted(p.name for p in (out / stem).iterdir()) == sorted(OUTPUTS)
    rows = summary(out)
    assert [row["status"] for row in rows] == ["assessed", "assessed"]
    assert {row["height"] for row in rows} == {"150", "100"}
    settings = json.loads((out / "hand" / "settings.json").read_text())
    assert settings["localiser"]["lesion_size"] == [45, 45]
    assert "2 photos assessed, 0 failed" in capsys.readouterr().out


def test_a_bad_photo_is_reported_and_the_others_are_done(photos, model, tmp_path, capsys):
    (photos / "a_broken.jpg").write_bytes(b"\xff\xd8\xff but no JPEG")
    missing = photos / "nobody.png"
    out = tmp_path / "out"
    arguments = ["locate", str(photos), str(missing), "-o", str(out), "--classifier", model]
    assert main([*arguments, "--lesion-size", "40", "60", "--quiet"]) == 1
    rows = {row["photo"].split("/")[-1]: row for row in summary(out)}
    assert rows["hand.png"]["status"] == rows["foot é.png"]["status"] == "assessed"
    for name in ("a_broken.jpg", "nobody.png"):
        assert rows[name]["status"] == "failed"
        assert name in rows[name]["error"]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "a_broken.jpg" in captured.err


def test_nothing_is_overwritten_unasked(photos, model, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["locate", str(photos / "hand.png"), "-o", str(out), "--classifier", model]
    arguments += ["--lesion-size", "60", "--quiet"]
    assert main(arguments) == 0
    assert main(arguments) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0


def test_two_photos_of_one_name_are_refused_before_anything_runs(photos, model, tmp_path, capsys):
    other = tmp_path / "hand.png"
    write_png(other, np.zeros((80, 80, 3), np.uint8))
    out = tmp_path / "out"
    status = main(
        ["locate", str(photos / "hand.png"), str(other), "-o", str(out), "--classifier", model]
    )
    assert status == 2
    assert "both be written to hand" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--target", "wart"], "wart"),
        (["--lesion-size", "big"], "24 96 or 4% 40%"),
        (["--lesion-size", "1", "2", "3"], "smallest and the largest"),
        (["--threshold", "7"], "threshold"),
        (["--stride", "9"], "stride"),
        (["--n-jobs", "0"], "n_jobs=0"),
    ],
)
def test_wrong_options_are_reported_in_words(options, words, photos, model, tmp_path, capsys):
    arguments = ["locate", str(photos / "hand.png"), "-o", str(tmp_path / "out")]
    assert main([*arguments, "--classifier", model, *options]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_photo_s_name_cannot_lead_out_of_the_folder(photos, model, tmp_path, capsys):
    (photos / "...png").write_bytes((photos / "hand.png").read_bytes())
    out = tmp_path / "parent" / "out"
    assert main(["locate", str(photos / "...png"), "-o", str(out), "--classifier", model]) == 2
    assert "rename" in capsys.readouterr().err
    assert not (tmp_path / "parent").exists()


def test_a_folder_that_cannot_be_made_is_reported(photos, model, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    out = str(tmp_path / "file" / "out")
    assert main(["locate", str(photos), "-o", out, "--classifier", model]) == 2
    assert "no folder can be made" in capsys.readouterr().err


def test_a_missing_or_foreign_model_is_reported_in_words(photos, tmp_path, capsys):
    arguments = ["locate", str(photos / "hand.png"), "-o", str(tmp_path / "out")]
    assert main([*arguments, "--classifier", str(tmp_path / "none.safetensors")]) == 2
    assert "no such file" in capsys.readouterr().err
    assert main([*arguments, "--classifier", str(tmp_path / "model.pkl")]) == 2
    assert "safetensors" in capsys.readouterr().err


def test_info_describes_a_classifier(model, capsys):
    assert main(["info", model]) == 0
    said = capsys.readouterr().out
    for words in ("melanoma", "input_size=64", "threshold for lesion", "sha256", "torch"):
        assert words in said
    assert re.search(
        r"engine: shared; windows every 8 px, which is 0\.25 of a lesion, take \d+\.\d times less",
        said,
    )


def test_info_tries_a_classifier_where_asked(model, capsys):
    assert main(["info", model, "--check"]) == 0
    assert "ModuleClassifier" in capsys.readouterr().out


def test_the_demo_finds_the_lesion_and_leaves_the_cloth_alone(tmp_path, capsys):
    assert main(["demo", "-o", str(tmp_path / "demo")]) == 0
    said = capsys.readouterr().out
    assert "on the lesion" in said
    assert "on the cloth" not in said
    scene = slidewin.draw_scene(random_state=0)
    mask = slidewin.read_image(tmp_path / "demo" / "sweep" / "mask.png")[:, :, 0] == 255
    assert (mask & scene.mask).any()
    assert not (mask & scene.decoys).any()
    figure = slidewin.read_image(tmp_path / "demo" / "figure.png")
    assert figure.shape[1] > figure.shape[0]
    assert sorted(p.name for p in (tmp_path / "demo" / "sweep").iterdir()) == sorted(OUTPUTS)
    assert main(["demo", "-o", str(tmp_path / "demo")]) == 2


def test_no_output_calls_anything_benign(tmp_path, capsys):
    main(["demo", "-o", str(tmp_path)])
    written = [p.read_text(encoding="utf-8") for p in tmp_path.rglob("*.*json")]
    for words in (capsys.readouterr().out, *written):
        assert "benign" not in words.lower()
        assert "no melanoma" not in words.lower()


def test_info_describes_a_classifier_without_a_background(tmp_path, capsys):
    import torch

    from slidewin.classifier import load_classifier, save_file

    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 2))
    save_file(load_classifier(module, classes=["a", "b"], input_size=4), tmp_path / "m.safetensors")
    assert main(["info", str(tmp_path / "m.safetensors")]) == 0
    assert "threshold for b: 0.5" in capsys.readouterr().out


def test_training_is_not_begun_where_it_cannot_be_kept(tmp_path, capsys):
    arguments = ["train", "--lesions", "none.csv", "--negatives", "none"]
    assert main([*arguments, "-o", str(tmp_path / "model.pt")]) == 2
    assert ".safetensors" in capsys.readouterr().err


def test_photos_by_several_workers_are_as_by_one(photos, model, tmp_path):
    (photos / "a_broken.jpg").write_bytes(b"\xff\xd8\xff but no JPEG")
    arguments = ["locate", str(photos), "--classifier", model, "--lesion-size", "40", "--quiet"]
    assert main([*arguments, "-o", str(tmp_path / "one")]) == 1
    assert main([*arguments, "-o", str(tmp_path / "two"), "--n-jobs", "2"]) == 1
    one, two = (
        [{key: value for key, value in row.items() if key != "seconds"} for row in summary(folder)]
        for folder in (tmp_path / "one", tmp_path / "two")
    )
    assert one == two
    for name in ("heatmap.png", "mask.png"):
        whole, parted = ((tmp_path / x / "hand" / name).read_bytes() for x in ("one", "two"))
        assert whole == parted


def test_a_region_of_interest_confines_the_map(photos, model, tmp_path):
    inside = np.zeros((150, 210, 3), np.uint8)
    inside[:75] = 255
    write_png(tmp_path / "upper.png", inside)
    arguments = ["locate", str(photos / "hand.png"), "--classifier", model, "--lesion-size", "40"]
    out = tmp_path / "out"
    assert main([*arguments, "-o", str(out), "--roi", str(tmp_path / "upper.png"), "--quiet"]) == 0
    mask = slidewin.read_image(out / "hand" / "mask.png")[:, :, 0]
    assert (mask[75:] == 128).all()
    assert (mask[:75] != 128).all()
    settings = json.loads((out / "hand" / "settings.json").read_text())
    assert len(settings["roi"]["sha256"]) == 64
    assert summary(out)[0]["share_assessed"] == "0.5000"


def test_a_region_of_interest_that_no_photo_has_is_refused_at_once(photos, model, tmp_path, capsys):
    arguments = ["locate", str(photos), "--classifier", model, "-o", str(tmp_path / "out")]
    assert main([*arguments, "--roi", "elbows"]) == 2
    assert "elbows" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
