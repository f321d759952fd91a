"""Benchmarks are code too."""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest

import slidewin
from slidewin.comparison.dataset import open_dataset
from slidewin.output import write_png
from slidewin.saliency import load_attention
from slidewin.training import read_table

FOLDER = Path(slidewin.__file__).parents[1] / "benchmarks"


def benchmark(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_a_benchmark_says_how_it_is_run(name):
    assert f"python benchmarks/{name}.py" in benchmark(name).__doc__


def disc(shape, centre, radius):
    rows, cols = np.indices(shape) + 0.5
    return np.hypot(rows - centre[0], cols - centre[1]) <= radius


def test_a_window_within_the_photo_needs_no_padding(dark):
    photo = np.arange(40 * 50 * 3, dtype=np.uint8).reshape(40, 50, 3)
    side = dark.input_size
    patch, padded = benchmark("classifier").cut(photo, np.array([20.0, 30.0]), side, dark)
    assert padded == 0
    np.testing.assert_array_equal(patch, photo[20 - side // 2 :, 30 - side // 2 :][:side, :side])


def test_a_window_s_padding_is_mirrored_and_its_share_told(dark):
    photo = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3)
    patch, padded = benchmark("classifier").cut(photo, np.array([0.0, 8.0]), 16, dark)
    assert padded == 0.5
    np.testing.assert_array_equal(patch[8:], photo[:8])
    np.testing.assert_array_equal(patch[:8], photo[1:9][::-1])


def test_windows_of_a_sweep_are_told_what_they_should_say(dark):
    lesion = disc((96, 96), (48, 48), 8)
    photo = np.where(lesion[:, :, None], 0, 255).astype(np.uint8).repeat(3, axis=2)
    asked = benchmark("classifier")
    truth, probability = asked.sweep_windows(dark, photo, lesion, (16, 64))
    assert truth.any()
    assert probability[truth].min() > 0.4
    # Windows for larger lesions hold this one too; they are neither right nor wrong.
    assert probability[~truth].max() < 0.4
    truth, _ = asked.sweep_windows(dark, photo, np.zeros_like(lesion), (16, 64))
    assert not truth.any()
    assert truth.size > probability.size


def test_groups_of_windows_are_scored_together():
    auc, low, high = benchmark("classifier").auc(
        [{"group": group} for group in "abcd"],
        [[1, 1], [1], [0, 0], [0]],
        [[0.9, 0.4], [0.8], [0.5, 0.1], [0.2]],
        50,
    )
    assert auc == pytest.approx(8 / 9)
    assert low <= auc <= high == 1


@pytest.mark.parametrize(
    ("value", "less_is_better", "words"),
    [(0.9, False, "aim"), (0.8, False, "yes"), (0.7, False, "**no**"),
     (0.7, True, "aim"), (0.85, True, "**no**"), (np.nan, False, "**no**")],
)  # fmt: skip
def test_a_figure_says_what_it_reaches(value, less_is_better, words):
    at_least, aim = (0.8, 0.7) if less_is_better else (0.8, 0.9)
    figure = benchmark("classifier").Figure("", at_least, aim, value, 0, 1)
    assert figure.reached == words


def test_what_is_said_is_put_beside_what_came_true(capsys):
    truth, said = np.array([1, 0, 1, 1, 0, 0], bool), np.array([0.6, 0.6, 0.6, 0.6, 0.2, 0.0])
    benchmark("classifier").show_calibration([{"group": "a", "windows": (truth, said)}], 10)
    printed = capsys.readouterr().out
    assert "Of 6 windows 50.00% show a lesion: 0 said of all is off by 0.5000." in printed
    assert "| 0.1 to 0.3 | 1 | 0.20 | 0.000" in printed
    assert "| 0.5 to 0.7 | 4 | 0.60 | 0.750" in printed


def test_effects_of_a_screening_design_are_those_that_went_in():
    design = np.array([[a, b, a == b] for a in (0, 1) for b in (0, 1)] * 2, bool)
    outcome = 0.5 + 0.1 * design[:, 0] - 0.02 * design[:, 2]
    words = benchmark("ablation").effects_of(design, outcome)
    assert [text.split(" (")[0] for text in words] == ["+0.1000", "+0.0000", "-0.0200"]
    rng = np.random.default_rng(0)
    noisy = benchmark("ablation").effects_of(design, outcome + rng.normal(0, 0.01, 8))
    low, high = noisy[0].split("(")[1][:-1].split(" to ")
    assert float(low) < 0.1 < float(high)
    assert float(high) - float(low) < 0.1


def test_the_phase_benchmark_measures_where_a_lesion_was_put(dark):
    peak, stray = benchmark("phases").measure(dark, 16.0, np.zeros(2), 0)
    assert 0 <= peak <= 1
    assert stray is None or np.abs(stray).max() < 1


def test_the_features_benchmark_times_ways_that_agree_to_the_last_bit():
    times = benchmark("features").measure((100, 120), 1)
    assert len(times) == 4
    assert all(seconds.shape == (1,) for seconds in times.values())


def test_the_features_benchmark_fits_all_kinds_of_windows():
    assert benchmark("features").fit_seconds(300) > 0


def test_the_sweep_benchmark_compares_ways_that_agree(network):
    pytest.importorskip("torchcam")
    asked = benchmark("sweep")
    photo = asked.draw((120, 150))
    assert photo.shape == (120, 150, 3)
    heat = asked.sweeper(network).localize(photo).layers[0].values
    np.testing.assert_allclose(asked.batched(network, photo), heat, atol=1e-5)
    assert asked.monai_windows(photo) == 4 * 6
    assert len(asked.one_at_a_time(network, photo, 3)) == 3
    assert asked.gradcam(network, photo).ndim == 3
    # By hand: a tile of 80 x 80 px has 39 x 39 cells after the first layer, of 32 x 3 x 4 x 4.
    assert asked.flops(network, photo[:80, :80]) > 2 * 39**2 * 32 * 3 * 16


def test_a_figure_of_the_sweep_benchmark_says_whether_it_is_reached():
    asked = benchmark("sweep")
    most = asked.Figure("", "cost", 1.2, at_most=True)
    assert most.line([1.1, 1.0, 1.3]) == "| cost | 1.1 | 1 to 1.3 | at most 1.2 | yes |"
    assert asked.Figure("", "gain", 8).line([7.0]) == "| gain | 7 | 7 to 7 | at least 8 | **no** |"


def test_the_backends_benchmark_leaves_out_what_cannot_run(capsys):
    asked = benchmark("backends")
    ways = {}
    asked.attempt(ways, "works", lambda: lambda: 1)
    asked.attempt(ways, "fails", lambda: 1 / 0)
    assert list(ways) == ["works"]
    assert "fails: ZeroDivisionError" in capsys.readouterr().out


@pytest.fixture
def data(tmp_path):
    """A folder of data as benchmarks/tasks.py reads it, a few pictures of each source."""
    rng = np.random.default_rng(0)

    def put(source, names, splits, lesion, **columns):
        folder = tmp_path / "data" / source
        for name in ("images", "masks"):
            (folder / name).mkdir(parents=True)
        header = ["file", "mask", "label", "split", *columns]
        lines = []
        for i, (name, split) in enumerate(zip(names, splits, strict=True)):
            # Not alike: near-identical pictures are kept in one split.
            photo = np.full((160, 160, 3), (205, 160, 140), np.float32)
            photo += cv2.GaussianBlur(rng.normal(0, 90, (160, 160, 1)), (0, 0), 12)[..., None]
            mask = lesion(i)
            photo[mask] = (90, 55, 45)
            write_png(folder / "images" / f"{name}.png", photo.clip(0, 255).astype(np.uint8))
            write_png(folder / "masks" / f"{name}.png", mask.astype(np.uint8) * 255)
            about = [values[i] for values in columns.values()]
            lines.append([f"images/{name}.png", f"masks/{name}.png", "melanoma", split, *about])
        table = "\n".join(",".join(map(str, line)) for line in [header, *lines])
        (folder / "labels.csv").write_text(table + "\n")

    spot = disc((160, 160), (80, 80), 20)
    put("isic_2017_cc0", "abcd", ["train", "val", "test", "test"], lambda i: spot)
    put(
        "pad_ufes_20", "efm", ["val", "test", "train"],
        lambda i: spot | disc((160, 160), (40, 40), 9),
        patient_id=["Ada", "Bo", "Cy"], lesion_id=[1, 2, 3],
    )  # fmt: skip
    small = disc((160, 160), (30, 30), 8)
    beside = disc((160, 160), (60, 30), 8)
    put(
        "fusc_2021", "ghijklop", ["train", "train", "val", "val", "test", "test", "train", "train"],
        lambda i: small | beside if i == 1 else small,
    )  # fmt: skip
    (tmp_path / "data" / "hands" / "images").mkdir(parents=True)
    (tmp_path / "data" / "nci_moles").mkdir()
    (tmp_path / "data" / "nci_moles" / "boxes.csv").write_text("file,x0,y0,x1,y1\n")
    hand = rng.integers(0, 256, (64, 64, 3), np.uint8)
    # What decodes a file goes by its content, not by its name.
    write_png(tmp_path / "data" / "hands" / "images" / "7_IMG_5874.jpg", hand)
    return tmp_path / "data"


def test_the_tasks_are_data_sets_and_tables_to_train_from(data, tmp_path):
    output = tmp_path / "tasks"
    benchmark("tasks").main([str(data), str(output)])
    laid = open_dataset(output / "melanoma-laid" / "test")
    assert [(sample.name, sample.read()[1].max()) for sample in laid] == [
        ("photos/k", 1),
        ("photos/l", 0),
    ]
    assert laid[0].label == "melanoma"
    # The lesion that is laid in is none of the photo's wound, which is no lesion here.
    assert not laid[0].read()[1][disc((160, 160), (30, 30), 8)].any()
    val = open_dataset(output / "melanoma-laid" / "val")
    assert [(sample.group, sample.read()[1].max()) for sample in val] == [
        ("i", 1), ("i", 0), ("j", 1), ("j", 0),
    ]  # fmt: skip
    (pad,) = open_dataset(output / "pad" / "test")
    assert (pad.group, pad.read()[1].max()) == ("Bo", 1)
    ulcers = [sample.read() for sample in open_dataset(output / "ulcer" / "test")]
    assert [truth.max() for _, truth, *_ in ulcers if truth.shape == (160, 160)] == [1, 1]
    # Too small a photo for a part of it to count as one without a wound.
    assert len(ulcers) == 2
    # Of the wounds that are near one another there is no close-up, for it would show both.
    closeups = read_table(output / "ulcer" / "closeups.csv", group_column="group")
    assert [(row.file.name, row.split, row.group) for row in closeups] == [
        ("g_1.png", "train", "g"), ("o_1.png", "train", "o"), ("p_1.png", "train", "p"),
        ("i_1.png", "val", "i"), ("j_1.png", "val", "j"),
    ]  # fmt: skip
    for name in ("negatives.csv", "photos.csv"):
        for row in read_table(output / "ulcer" / name):
            assert slidewin.read_image(row.mask).any()
            assert slidewin.read_image(row.file).shape == (160, 160, 3)


def test_beside_a_wound_lies_a_photo_without():
    photo, wounds = np.full((400, 512, 3), 90, np.uint8), np.zeros((400, 512), bool)
    photo[:, :40] = 0  # what pads it
    wounds[100:140, 200:260] = True
    without = benchmark("tasks").without
    assert without(photo, wounds) == np.s_[156:400, 40:512]
    wounds[300:310, 100:110] = True
    assert without(photo, wounds) == np.s_[0:400, 276:512]
    wounds[:, 400] = True
    assert without(photo, wounds) is None  # no side is 128 px wide
    assert without(photo, np.zeros_like(wounds)) is None


def test_attention_is_fitted_to_labels_of_photos_of_the_train_split(data, tmp_path, capsys):
    benchmark("tasks").main([str(data), str(tmp_path), "--attention"])
    laid = tmp_path / "melanoma-laid"
    assert [(sample.group, sample.read()[1].max()) for sample in open_dataset(laid / "train")] == [
        ("g", 1), ("h", 0), ("o", 1), ("p", 0),
    ]  # fmt: skip
    file = laid / "attention.safetensors"
    pooling = load_attention(file, slidewin.load_classifier(), verbose=0)
    assert (pooling.target, pooling.lesion_size) == ("lesion", (28, 64))
    assert pooling.training_["photos"] + pooling.training_["validation"]["photos"] == 4
    said = f"--target lesion --lesion-size 28 64 --attention {file}"
    assert said in capsys.readouterr().out


def test_the_photos_of_the_task_are_those_of_the_classifier_s_benchmark(data, tmp_path):
    tasks, asked = benchmark("tasks"), benchmark("classifier")
    tasks.main([str(data), str(tmp_path / "tasks"), "--limit", "1"])
    (sample,) = open_dataset(tmp_path / "tasks" / "melanoma-laid" / "test")
    jobs = [job for job in asked.plan(data, quick=False) if job.kind == "laid"]
    row, lesion_row = jobs[0].arguments
    photo, mask = asked.lay(*asked.read(row), lesion_row)
    np.testing.assert_array_equal(sample.read()[0], photo)
    np.testing.assert_array_equal(sample.read()[1] == 1, mask)
