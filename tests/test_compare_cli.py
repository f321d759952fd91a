import re
import subprocess
import sys

import numpy as np
import pytest

import slidewin
from slidewin.cli import main
from slidewin.comparison import Comparison
from slidewin.comparison.methods import USES, known_methods
from slidewin.errors import SlidewinError
from slidewin.output import write_png


@pytest.fixture
def scenes(tmp_path):
    """Drawn hands on printed cloth, with a melanoma and without, to compare by and to choose by."""
    for split, seeds in (("test", (0, 1, 2)), ("val", (3, 4))):
        for name in ("photos", "masks"):
            (tmp_path / split / name).mkdir(parents=True)
        for seed in seeds:
            scene = slidewin.draw_scene(
                (160, 200), lesion_size=16, random_state=seed, lesion=seed % 2 == 0
            )
            write_png(tmp_path / split / "photos" / f"{seed}.png", scene.photo)
            mask = scene.mask.astype(np.uint8) * 255
            write_png(tmp_path / split / "masks" / f"{seed}.png", mask)
    return tmp_path


@pytest.fixture
def model(network, tmp_path):
    from slidewin.classifier import save_file

    save_file(network, tmp_path / "model.safetensors")
    return str(tmp_path / "model.safetensors")


def test_compare_prints_a_table_and_writes_tables_and_figures(
    scenes, model, tmp_path, capsys, monkeypatch
):
    pytest.importorskip("torchcam")
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    arguments = ["compare", str(scenes / "test"), "--validation", str(scenes / "val")]
    arguments += ["--classifier", model, "--target", "lesion", "--lesion-size", "10%"]
    arguments += ["--methods", "grad-cam@input", "baseline-darkness", "attention"]
    arguments += ["--draws", "20", "--n-jobs", "2", "-o", str(out)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    for words in ("sliding-window", "grad-cam@input", "baseline-darkness *", "attention=FILE"):
        assert words in printed
    made = "table.json, table.csv, table.md, froc.png, precision_recall.png, cost.png, maps.png"
    assert printed.endswith(f"written to {out}: {made}\n")
    compared = Comparison.from_json((out / "table.json").read_text())
    assert {row.method for row in compared.rows} == {
        "sliding-window", "grad-cam@input", "baseline-darkness", "attention"
    }  # fmt: skip
    assert {row.variant for row in compared.rows if row.method == "grad-cam@input"} == {
        "raw", "minmax", "scaled", "gated"
    }  # fmt: skip
    assert compared.settings["target"] == "lesion"
    assert (out / "table.csv").read_bytes().decode() == compared.to_csv()
    assert (out / "table.md").read_text() == compared.to_markdown()
    for name in ("froc", "precision_recall", "cost", "maps"):
        assert (out / f"{name}.png").read_bytes()[1:4] == b"PNG"

    # It goes on where it was, and leaves no figure that it has not drawn.
    monkeypatch.setattr("slidewin.report.compared.draw_comparison", lambda _: {"froc.png": b"new"})
    assert main([*arguments, "--quiet"]) == 0
    assert [path.name for path in out.glob("*.png")] == ["froc.png"]
    assert (out / "froc.png").read_bytes() == b"new"
    again = Comparison.from_json((out / "table.json").read_text())
    assert again.rows == compared.rows
    assert again.settings["computed_maps"] == 0
    assert capsys.readouterr().out == ""

    assert main([*arguments, "--target", "melanoma"]) == 2
    told = capsys.readouterr().err
    assert "with target='lesion'; choose another folder, or pass overwrite=True" in told
    assert (out / "froc.png").read_bytes() == b"new"


def test_a_figure_that_is_nobodys_is_left_alone(scenes, model, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "froc.png").write_bytes(b"mine")
    assert main(["compare", str(scenes / "test"), "--classifier", model, "-o", str(out)]) == 2
    assert "froc.png there already" in capsys.readouterr().err
    assert [path.read_bytes() for path in out.iterdir()] == [b"mine"]


def test_validation_photos_of_the_same_data_set_have_its_layout(scenes, model, monkeypatch, capsys):
    for split in ("test", "val"):  # in the way of the folders
        (scenes / split / "labels.csv").write_text("file,mask\nphotos/0.png,none\n")
    opened = []

    def stop(dataset, *_, validation, **__):
        opened.append((len(dataset), len(validation)))
        raise SlidewinError("enough")

    monkeypatch.setattr("slidewin.comparison.compare", stop)
    shown = ["compare", str(scenes), "--split", "test", "--layout", "folder", "--classifier", model]
    assert main([*shown, "--validation-split", "val", "-o", str(scenes / "out")]) == 2
    held = ["--validation", str(scenes / "val"), "--validation-layout", "folder"]
    assert main([*shown, *held, "-o", str(scenes / "out")]) == 2
    assert opened == [(3, 2)] * 2


def test_who_interrupts_is_told_how_it_goes_on(scenes, model, monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("slidewin.comparison.compare", interrupt)
    asked = ["compare", str(scenes / "test"), "--classifier", model, "-o", str(scenes / "out")]
    assert main(asked) == 130
    told = capsys.readouterr().err
    assert told.endswith("what was written so far is whole; the same command goes on from there\n")


HELP = """
import atexit
import sys
from slidewin.cli import main
atexit.register(lambda: print("torch" in sys.modules))
main(["compare", "--help"])
"""


def test_help_names_all_methods_without_torch():
    command = [sys.executable, "-c", HELP]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    words = set(re.split(r"[\s,;]+", told))
    assert {name.partition("@")[0] for name in known_methods()} <= words
    assert {f"@{use}" for use in USES} <= words
    assert told.endswith("False\n")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (["--methods", "gradcam"], "names nothing"),
        (["--lesion-size", "1", "2", "3"], "one size is needed"),
        (["--lesion-size", "big"], "give pixels, or per cent"),
        (["--lesion-size", "64", "28"], "not a size to look for"),
        (["--stride", "-1"], "it must be more than 0"),
        (["--max-passes", "-1"], "max_passes=-1"),
        (["--draws", "-3"], "n_draws=-3"),
        (["--random-state", "-1"], "random_state=-1"),
        (["--target", "freckle"], "no class has this label"),
        (["--labels", "freckle"], "the data set gives none"),
        (["--attention", "nowhere"], "no such file"),
        (["--validation", "nowhere"], "no such folder"),
        (["--layout", "coco"], "(coco)"),
        (["--layout", "dicom"], "choose 'auto', 'table'"),
        (["--n-jobs", "0"], "n_jobs=0"),
    ],
)
def test_wrong_usage_is_told_before_anything_runs(scenes, model, tmp_path, capsys, wrong, words):
    out = tmp_path / "out"
    arguments = ["compare", str(scenes / "test"), "--classifier", model, "-o", str(out)]
    assert main([*arguments, *wrong]) == 2
    assert words in capsys.readouterr().err
    assert not list(out.rglob("*.npz"))
