import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from rivals import Rival
from toys import SIDE, dark_middle

import slidewin
from slidewin.comparison import Comparison, Row, compare, open_dataset
from slidewin.comparison import run as run_module
from slidewin.comparison.gallery import Gallery
from slidewin.comparison.methods import SWEEP, USES, Setup, choose_methods
from slidewin.comparison.notes import verdict
from slidewin.comparison.results import Result, Store, lightened
from slidewin.comparison.run import Run
from slidewin.comparison.table import FIGURES
from slidewin.comparison.variants import make_scale, survey_map
from slidewin.errors import ArgumentError, ArgumentTypeError, OutputError, OutputExistsError
from slidewin.heatmap import HeatLayer, HeatMap
from slidewin.metrics import Difference
from slidewin.output import write_png
from slidewin.report.compared import draw_comparison

ODD = 40
LESION = 10


def make_photos(folder: Path, seed: int) -> Path:
    """Five photos, of light skin: three with a dark disc, two with a faint one, no lesion."""
    rng = np.random.default_rng(seed)
    for name in ("photos", "masks"):
        (folder / name).mkdir(parents=True)
    for i in range(5):
        height = ODD if i == 1 else 48
        photo = rng.integers(200, 230, (height, 64, 3), dtype=np.uint8)
        mask = np.zeros((height, 64), np.uint8)
        at = (int(rng.integers(12, 52)), int(rng.integers(12, height - 12)))
        if i < 3:
            cv2.circle(mask, at, LESION // 2, 255, -1)
            photo[mask > 0] = 20
        else:
            cv2.circle(photo, at, LESION // 2, (150, 150, 150), -1)
        write_png(folder / "photos" / f"p{i}.png", photo)
        write_png(folder / "masks" / f"p{i}.png", mask)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return make_photos(tmp_path_factory.mktemp("data") / "test", 0)


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    return make_photos(tmp_path_factory.mktemp("data") / "val", 1)


@pytest.fixture(scope="module")
def toy():
    return slidewin.load_classifier(
        dark_middle, classes=["background", "lesion"], input_size=SIDE, context=2
    )


@pytest.fixture(scope="module")
def told(photos, held, toy, tmp_path_factory):
    """One comparison, with rivals of every kind, that most tests look at."""
    acts = ("refuse", "err", "starve", "die", "exit", "array", "blank")
    own = {act: Rival(act, odd=ODD) for act in acts}
    own |= {"good": Rival(), "eat": Rival("eat"), "never": Rival("refuse"), "talk": Rival("talk")}
    return compare(
        photos,
        toy,
        methods=[SWEEP, "baseline-uniform", "grad-cam@input"],
        own=own,
        validation=held,
        lesion_size=LESION,
        output=tmp_path_factory.mktemp("out"),
        n_draws=50,
        n_jobs=2,
        verbose=0,
    )


def row(compared, method, variant):
    (found,) = [one for one in compared.rows if (one.method, one.variant) == (method, variant)]
    return found


def test_the_sweep_and_rivals_are_scored(told):
    sweep, good = row(told, SWEEP, "as is"), row(told, "good", "scaled")
    assert sweep.figures["froc_luna16"] == good.figures["froc_luna16"] == 1
    assert sweep.figures["photo_auroc"] == good.figures["photo_auroc"] == 1
    assert good.figures["dice_tuned"] == good.figures["pxap_all"] == 1  # darkness is the truth
    assert row(told, "baseline-uniform", "raw").figures["photo_auroc"] == 0.5
    assert good.sweep_ahead["froc_luna16"] == Difference(0, 0, 0)
    assert good.sweep_ahead["pxap_all"].value < 0
    assert any("loses to good" in note for note in told.notes)
    assert any("Sought is 'lesion'" in note for note in told.notes)
    assert "5 maps came with a warning, first talk of p0: careful" in told.notes
    assert str(told) == told.to_text()
    assert told.rows[-1].photos == 0
    assert not any("wholly there" in note for note in told.notes)  # a blank map hides no lesion


def test_what_the_lattice_allows_is_told_of_the_sweep_alone(told):
    ceilings = {
        (one.method, one.variant): one.figures["dice_ceiling"]
        for one in told.rows
        if "dice_ceiling" in one.figures
    }
    ((which, ceiling),) = ceilings.items()
    assert which == (SWEEP, "as is")
    assert 0.5 < ceiling < 1
    assert row(told, SWEEP, "as is").figures["dice_oracle"] <= ceiling
    assert any(f"allows a Dice of {ceiling:.3f} at best" in note for note in told.notes)


def test_lesions_are_scored_one_by_one(told):
    good, flat = row(told, "good", "scaled").figures, row(told, "baseline-uniform", "raw").figures
    assert good["peak_recall"] == good["lesion_dice_tuned"] == 1  # darkness is the truth
    assert row(told, "good", "raw").figures["lesion_dice_tuned"] == 1
    assert flat["peak_recall"] == 0  # its one peak is its middle
    assert "lesion_dice_fixed" not in row(told, "good", "raw").figures
    # All are of one size, so none is smaller than the median.
    assert not any("small" in name for one in told.rows for name in one.figures)


def test_small_lesions_and_pointing_beside_one_are_told_apart(toy, tmp_path):
    for name in ("photos", "masks"):
        (tmp_path / name).mkdir()
    for name, away in (("beside", 2), ("farther", 4)):
        photo, mask = np.full((48, 64, 3), 220, np.uint8), np.zeros((48, 64), np.uint8)
        photo[10:24, 10:24], mask[10:24, 10:24] = 20, 255
        photo[30:34, 40:44], mask[30:34, 40:44] = 150, 255  # small, and too faint for 0.5
        photo[16, 23 + away] = 0  # the darkest of all
        write_png(tmp_path / "photos" / f"{name}.png", photo)
        write_png(tmp_path / "masks" / f"{name}.png", mask)
    compared = compare(
        tmp_path, toy, methods=[], own={"good": Rival()}, lesion_size=LESION,
        output=tmp_path / "out", n_draws=9, verbose=0,
    )  # fmt: skip
    figures = row(compared, "good", "minmax").figures
    assert figures["lesion_dice_small_fixed"] == 0
    assert figures["lesion_dice_fixed"] == pytest.approx(0.5, abs=0.01)  # the large ones are found
    assert figures["pointing"] == 0
    assert figures["pointing_stride"] == 0.5  # windows are 5 px apart


def test_what_is_found_in_lesion_free_photos_is_told_where_enough_lesions_are(told):
    for one in told.rows:
        for share in (80, 90, 95):
            specificity = one.figures.get(f"specificity_{share}")
            detections = one.figures.get(f"free_detections_{share}")
            assert (specificity is None) == (detections is None)
            if specificity is not None:
                assert detections >= 1 - specificity
                assert (detections > 0) == (specificity < 1)
    stretched = row(told, "good", "minmax").figures
    assert row(told, "good", "scaled").figures["free_detections_80"] == 0
    assert stretched["free_detections_80"] >= 1
    assert stretched["free_flagged_80"] > 0
    assert row(told, "good", "raw").figures["free_flagged_80"] == 0


def test_the_files_have_all_figures_and_the_page_those_that_fit(told):
    page, head = told.to_markdown(), told.to_csv().splitlines()[0].split(",")
    assert set(FIGURES) <= set(head)
    for name in ("dice_ceiling", "peak_recall", "lesion_dice_tuned", "free_detections_80"):
        assert f"| {FIGURES[name]} |" in page
    assert FIGURES["free_flagged_95"] not in page
    assert "free_flagged_95" in row(told, SWEEP, "as is").figures


def test_a_stretched_map_lights_up_every_photo(told):
    raw, stretched = row(told, "good", "raw"), row(told, "good", "minmax")
    assert raw.figures["photo_auroc"] == 1
    assert stretched.figures["photo_auroc"] == 0.5
    assert stretched.figures["free_detected_fixed"] == 1
    assert row(told, "good", "scaled").figures["free_detected_fixed"] == 0
    assert row(told, "good", "gated").figures["free_detected_fixed"] == 0
    assert "dice_fixed" not in raw.figures  # there is no 0.5 on a scale of one's own
    assert raw.figures["dice_tuned"] == 1
    assert raw.figures["threshold_tuned"] > 1


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ("refuse", "this photo is not to my taste"),
        ("err", "ZeroDivisionError: a mistake of my own"),
        ("starve", "out of memory"),
        ("die", "its process was killed (SIGKILL)"),
        ("exit", "its process ended with status 3"),
        ("array", "its localize returned ndarray; a slidewin.HeatMap is needed"),
        ("blank", "nothing was assessed"),
    ],
)
def test_a_method_that_fails_on_a_photo_is_a_row_with_the_reason(told, act, reason):
    failing = row(told, act, "scaled")
    assert failing.photos == 4
    assert failing.did == "4 of 5"
    assert failing.refused.startswith(f"1 of 5 photos: {reason}")
    assert f"1 of 5 validation photos: {reason}" in failing.refused
    (note,) = [note for note in told.notes if "some of these 5" in note]
    assert f"{act} of 4" in note  # it was chosen for on what it did
    assert failing.figures["froc_luna16"] == 1  # of the photos that it did
    assert failing.sweep_ahead["froc_luna16"].value == 0  # on these same photos


def test_a_method_that_refuses_all_is_a_row_without_figures(told):
    assert row(told, "never", "").refused == "this photo is not to my taste"
    cam = row(told, "grad-cam@input", "")
    assert "torch module" in cam.refused
    for one in (cam, row(told, "never", "")):
        assert not one.figures
        assert one.photos == 0
        assert one.method in told.to_text()
    assert told.rows[-1].photos == 0


def test_costs_are_those_of_a_fresh_process_for_each_method(told):
    pids = {
        method: {
            told.gallery._run.result(method, name).heatmap.settings["pid"]
            for name in told.gallery.names
        }
        for method in ("good", "eat", "talk")
    }
    assert all(len(of_method) == 1 for of_method in pids.values())
    assert len(set.union(*pids.values()) - {os.getpid()}) == 3
    eaten = row(told, "eat", "raw").figures
    assert eaten["seconds_per_mp"] > 0
    assert eaten["cpu_seconds_per_mp"] > 0
    assert eaten["peak_mib"] > 60
    assert eaten["peak_mib"] - row(told, "good", "raw").figures["peak_mib"] > 30
    assert any(re.search(r"of (1 thread|\d+ threads), 2 at once", note) for note in told.notes)


def test_tables_are_written_and_come_back(told, tmp_path):
    again = Comparison.from_json(told.to_json())
    assert again == told
    lines = list(csv.DictReader(io.StringIO(told.to_csv())))
    assert [(line["method"], line["variant"]) for line in lines] == [
        (one.method, one.variant) for one in told.rows
    ]
    for line, one in zip(lines, told.rows, strict=True):
        assert all(float(line[name]) == value for name, value in one.figures.items())
        for name, interval in one.intervals.items():
            assert (float(line[f"{name}_low"]), float(line[f"{name}_high"])) == interval
    table = told.to_markdown().splitlines()
    assert len({line.count("|") for line in table[: 2 + len(told.rows)]}) == 1
    assert "*baseline-uniform*" in told.to_markdown()


def test_nothing_is_computed_twice_or_mixed(photos, network, tmp_path):
    def again(**settings):
        options = {"methods": "baseline-centre", "lesion_size": LESION} | settings
        common = {"output": tmp_path, "overwrite": True, "n_draws": 9, "verbose": 0}
        compared = compare(photos, network, **common, **options)
        return compared.settings["computed_maps"], compared.rows

    first, rows = again()
    assert first == 10
    assert again() == (0, rows)
    assert again(methods="baseline-uniform")[0] == 5
    assert again(lesion_size=12)[0] == 10
    assert again(lesion_size=12, random_state=1)[0] == 10
    assert again()[0] == 0


def test_what_was_refused_for_its_work_is_tried_again_with_another_limit(photos, network, tmp_path):
    def again(max_passes):
        compared = compare(
            photos, network, methods="rise@input", lesion_size=LESION, output=tmp_path,
            max_passes=max_passes, n_draws=9, verbose=0,
        )  # fmt: skip
        return compared.settings["computed_maps"], compared.rows[-1].refused

    first, refused = again(10)
    assert first == 10
    assert "max_passes" in refused
    assert again(10) == (0, refused)
    assert again(None) == (5, "")
    assert again(10) == (0, "")  # what is there is there


def test_a_function_may_have_changed_and_is_computed_anew(photos, toy, tmp_path):
    options = {"methods": [], "lesion_size": LESION, "output": tmp_path, "n_draws": 9, "verbose": 0}
    for overwrite in (False, True):
        compared = compare(photos, toy, overwrite=overwrite, **options)
        assert compared.settings["computed_maps"] == 5
    with pytest.raises(OutputExistsError, match="a classifier that has no fingerprint, such as"):
        compare(photos, toy, **options)


SCRIPT = """
import sys
from rivals import Rival
import slidewin
if __name__ == "__main__":
    data, model, out = sys.argv[1:]
    compared = slidewin.compare(
        data, model, methods=[], own={"wait": Rival("wait"), "slow": Rival("wait")},
        lesion_size=20, output=out, n_draws=20, verbose=0)
    print(compared.settings["computed_maps"])
"""


def test_killed_in_the_middle_it_goes_on(photos, network, tmp_path):
    from slidewin.classifier import save_file

    save_file(network, tmp_path / "model.safetensors")
    (tmp_path / "script.py").write_text(SCRIPT)
    known = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}

    def command(out):
        return [sys.executable, "script.py", str(photos), "model.safetensors", str(out)]

    def made():
        return {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.npz")}

    killed = subprocess.Popen(
        command("out"), cwd=tmp_path, env=known, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while len(made()) < 7 and killed.poll() is None:  # the sweep's five, and two of a rival's
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    time.sleep(2)  # a worker ends when its standard input does, and may write one more map
    before = made()
    assert 7 <= len(before) < 15
    assert not list((tmp_path / "out").rglob("table.*"))

    told = {}
    for out in ("out", "whole"):
        done = subprocess.run(
            command(out), cwd=tmp_path, env=known, capture_output=True, text=True, check=True
        )
        told[out] = int(done.stdout)
    assert told == {"out": 15 - len(before), "whole": 15}
    assert before.items() <= made().items()

    def figures(out):
        rows = Comparison.from_json((tmp_path / out / "table.json").read_text()).rows
        return {
            (one.method, one.variant): {
                name: value
                for name, value in one.figures.items()
                if "seconds" not in name and name != "peak_mib"
            }
            for one in rows
        }

    assert figures("out") == figures("whole")


def test_all_are_scored_on_the_pixels_that_all_assessed(photos, toy, tmp_path):
    options = {"methods": [], "lesion_size": LESION, "n_draws": 9, "verbose": 0}
    alone = compare(photos, toy, own={"good": Rival()}, output=tmp_path / "a", **options)
    both = compare(
        photos, toy, own={"good": Rival(), "half": Rival("half")}, output=tmp_path / "b", **options
    )
    assert row(alone, "good", "raw").figures["pxap_all"] == 1
    chances = [row(one, "good", "raw").figures["pxap_chance"] for one in (alone, both)]
    assert chances[0] != chances[1]
    same = [row(both, name, "raw").figures for name in ("good", "half")]
    for name in ("pxap_all", "pxap_chance", "energy", "pointing", "froc_luna16"):
        assert same[0][name] == same[1][name]
    assert same[0]["froc_luna16"] == 1  # what lies where one of them has not looked is not missed
    assert any("of lesions that lie wholly there, 1, none counts" in note for note in both.notes)
    assert any("50.0% left out" in note for note in both.notes)


def test_without_validation_photos_what_needs_them_is_absent_and_the_table_says_why(
    photos, toy, tmp_path
):
    compared = compare(
        photos, toy, methods="baseline-centre", lesion_size=LESION, output=tmp_path, n_draws=9,
        verbose=0,
    )  # fmt: skip
    variants = {one.variant for one in compared.rows}
    assert variants == {"as is", "raw", "minmax"}
    assert not any("tuned" in name for one in compared.rows for name in one.figures)
    assert any("Without validation photos" in note for note in compared.notes)


def test_photos_without_any_lesion_are_compared_too(photos, toy, tmp_path):
    bare = [sample for sample in open_dataset(photos) if sample.name in ("p3", "p4")]
    compared = compare(
        bare, toy, methods=[], lesion_size=LESION, output=tmp_path, n_draws=9, verbose=0
    )
    (sweep,) = compared.rows
    assert "froc_luna16" not in sweep.figures
    assert "pxap_all" not in sweep.figures
    assert sweep.figures["free_detected_fixed"] == 0
    assert Comparison.from_json(compared.to_json()) == compared
    pytest.importorskip("matplotlib")
    assert set(draw_comparison(compared)) == {"maps.png"}


def test_what_was_chosen_on_a_photo_is_not_scored_on_it(photos, held, toy, tmp_path):
    with pytest.raises(ArgumentError, match="leave it out of one"):
        compare(photos, toy, methods=[], validation=photos, output=tmp_path)
    named = [replace(sample, name=f"validation/{sample.name}") for sample in open_dataset(photos)]
    with pytest.raises(ArgumentError, match="name 'validation/p0' is that of a validation photo"):
        compare(named, toy, methods=[], validation=held, output=tmp_path)
    mine = [replace(sample, group="Ada") for sample in open_dataset(photos)]
    theirs = [replace(sample, group="Ada") for sample in open_dataset(held)]
    with pytest.raises(ArgumentError, match="group 'Ada'"):
        compare(mine, toy, methods=[], validation=theirs, output=tmp_path)


def test_methods_are_chosen_by_name_and_pattern():
    assert choose_methods("sliding-window") == (SWEEP,)
    cams = choose_methods("grad-cam@*")
    assert cams == tuple(f"grad-cam@{use}" for use in USES)
    assert set(cams) < set(choose_methods("all"))
    assert choose_methods(["grad-cam@input"], {"mine": Rival()}) == ("grad-cam@input", "mine")
    with pytest.raises(ArgumentError, match=r"'grad-cram' names nothing; there are .*sliding"):
        choose_methods("grad-cram")
    with pytest.raises(ArgumentTypeError, match="localize"):
        choose_methods("all", {"mine": 7})
    with pytest.raises(ArgumentError, match="another method"):
        choose_methods("all", {SWEEP: Rival()})


def test_a_layer_is_named_after_a_colon(network, toy):
    asked = ["grad-cam:19@*", "*cam:14@levels", "grad-cam@levels"]
    chosen = choose_methods(asked, classifier=network)
    assert [name for name in chosen if "grad-cam" in name] == [
        "grad-cam:19@windows",
        "grad-cam@levels",
        "grad-cam:14@levels",
        "grad-cam:19@levels",
        "grad-cam:19@photo",
        "grad-cam:19@input",
    ]
    assert "layercam:14@levels" in chosen
    assert not any(":" in name for name in choose_methods("all", classifier=network))
    setup = Setup(network, target="melanoma", lesion_size=30)
    assert setup.make("grad-cam:19@levels", (200, 200)).layer == "19"
    assert setup.make("grad-cam@levels", (200, 200)).layer is None
    # Of what is no network, the methods say so themselves.
    assert choose_methods("grad-cam:19@levels", classifier=toy) == ("grad-cam:19@levels",)


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ("grad-cam:conv9@levels", r"'grad-cam:conv9@levels': layer='conv9': the module has 0, 1"),
        ("grad-cam:21@levels", r"'grad-cam:21@levels': layer='21': returns no map .*these do: 0,"),
        ("saliency:19@levels", r"'saliency:19@levels' names nothing.*as in 'grad-cam:LAYER@levels"),
        ("grad-cam:@levels", r"'grad-cam:@levels' names nothing"),
        ("grad-cam:19", r"'grad-cam:19' names nothing"),
    ],
)
def test_a_layer_that_is_not_there_is_refused_before_anything_runs(
    photos, network, tmp_path, asked, complaint
):
    with pytest.raises(ArgumentError, match=complaint):
        compare(photos, network, methods=asked, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("use", USES)
def test_explainers_are_made_as_their_names_say(network, noise, use):
    pytest.importorskip("torchcam")
    setup = Setup(network, target="melanoma", lesion_size=("20%", "40%"), max_passes=5000)
    made = setup.make(f"grad-cam@{use}", noise.shape)
    assert (made.on, made.target, made.max_passes) == (use, "melanoma", 5000)
    assert made.lesion_size == (30, 60)
    assert made.localize(noise).settings["on"] == use


def test_what_a_method_plans_is_known_before_it_runs(network, toy, noise):
    setup = Setup(network, target="melanoma", lesion_size=30, max_passes=5000)
    assert setup.passes("grad-cam@windows", noise.shape) > setup.passes(
        "grad-cam@photo", noise.shape
    )
    assert setup.passes("grad-cam@input", noise.shape) == 2
    # The sweep and baselines do not say, and what refuses has nothing to do.
    assert setup.passes(SWEEP, noise.shape) == setup.passes("baseline-edges", noise.shape) == 0
    assert setup.passes("score-cam@windows", noise.shape) > 2000
    assert replace(setup, max_passes=2000).passes("score-cam@windows", noise.shape) == 0
    assert Setup(toy, target="lesion").passes("grad-cam@windows", noise.shape) == 0


def test_the_dearest_go_first(photos, network, tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(run_module, "_attend", lambda job, *_: order.append(job.method) or 0)
    methods = ["grad-cam@input", SWEEP, "grad-cam@windows"]
    setup = Setup(network, target="melanoma", lesion_size=LESION)
    samples = open_dataset(photos)
    run_module.run(methods, samples, setup, folder=tmp_path, n_jobs=1, verbose=0)
    assert order == ["grad-cam@windows", "grad-cam@input", SWEEP]


def test_methods_that_draw_have_the_seed(network, noise):
    made = Setup(network, target="melanoma", random_state=5).make("rise@input", noise.shape)
    assert made.random_state == 5


def test_a_map_comes_back_from_its_file_bit_for_bit(tmp_path):
    store = Store(tmp_path)
    path = store.path("a/b", "left/7 é", "f" * 64)
    assert store.read(path) is None
    values = np.float32([[0.1, np.nan], [1e-20, 3]])
    layer = HeatLayer(values, rows=[1.5, 3.25], cols=[0.5, 7], reach=2.5)
    inside = np.arange(77).reshape(7, 11) % 3 > 0
    heat = HeatMap((7, 11), [layer], method="m", unit="raw", assessed=inside, settings={"a": [1]})
    store.write(path, Result(heat, warned=("careful",)))
    back = store.read(path)
    assert back.warned == ("careful",)
    np.testing.assert_array_equal(back.heatmap.to_pixels(), heat.to_pixels())
    assert dict(back.heatmap.settings) == {"a": [1]}
    assert store.read(path, with_map=False).heatmap is None
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(OutputError, match="computed anew"):
        store.read(path)
    path.unlink()
    with pytest.raises(OutputError, match="the result is gone; run the comparison again"):
        Run(store, {("a/b", "left/7 é"): path}).result("a/b", "left/7 é")


def test_results_are_read_one_at_a_time(tmp_path, monkeypatch):
    """Two threads that parse at once can fail: https://github.com/python/cpython/issues/106905."""
    store = Store(tmp_path)
    path = store.path("a", "b", "f" * 64)
    store.write(path, Result(None, "no"))
    inside, most = [], []

    def restored(arrays, with_map):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.02)
        inside.pop()

    monkeypatch.setattr("slidewin.comparison.results._restored", restored)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(store.read, [path] * 8))
    assert most == [1] * 8


def test_a_map_denser_than_its_photo_is_kept_as_pixels():
    rng = np.random.default_rng(0)
    values = rng.random((30, 30), np.float32)
    values[4, 5] = np.nan
    places = np.linspace(1, 9, 30)
    inside = rng.random((10, 10)) > 0.1
    heat = HeatMap(
        (10, 10), [HeatLayer(values, rows=places, cols=places, reach=0.5)], method="m", unit="raw",
        assessed=inside,
    )  # fmt: skip
    light = lightened(heat)
    assert light.layers[0].values.size == 100
    np.testing.assert_array_equal(light.to_pixels(), heat.to_pixels())


@pytest.mark.parametrize("shape", [(30, 40), (600, 800)])
def test_a_thousandth_of_all_pixels_is_above_the_scale_wherever_they_are(shape):
    rng = np.random.default_rng(0)
    maps = [rng.random(shape, np.float32) * of for of in (1, 1, 3)]
    places = [np.arange(n) + 0.5 for n in shape]
    surveys = []
    for pixels in maps:
        layer = HeatLayer(pixels, rows=places[0], cols=places[1])
        heat = HeatMap(shape, [layer], method="m", unit="raw")
        surveys.append(survey_map(heat, pixels, np.ones(shape, bool)))
    constant = make_scale(surveys, surveys).constant
    n = np.size(maps)
    assert np.count_nonzero(np.array(maps) > constant) == pytest.approx(n / 1000, rel=0.04, abs=1)
    assert sum(one.n_pixels for one in surveys) == n


def test_the_notes_say_where_the_sweep_loses():
    ahead = {"froc_luna16": Difference(-0.25, -0.4, -0.1), "pxap_all": Difference(-0.1, -0.3, 0.2)}
    rows = [Row("cam", "raw", "explanation", 3, figures={"froc_luna16": 1}, sweep_ahead=ahead)]
    notes = verdict(rows)
    assert any("FROC (LUNA16), the sweep loses to cam (raw) by 0.250." in note for note in notes)
    assert any("loses to cam (raw) by 0.100, within chance" in note for note in notes)


def test_the_notes_say_in_which_other_figures_any_is_ahead():
    sweep = {"dice_tuned": 0.8, "pxap_pos": 0.5, "free_detected_tuned": 0.25, "pointing": 0.9}
    cam = {"dice_tuned": 0.7, "pxap_pos": 0.5001, "free_detected_tuned": 0.125, "energy": 1.0}
    dark = {"dice_tuned": 0.85, "free_detected_tuned": 0.5, "pointing": 0.9, "dice_ceiling": 1.0}
    rows = [
        Row(SWEEP, "as is", "sweep", 3, figures={"froc_luna16": 0.7, **sweep, "energy": 0.1}),
        Row("cam", "gated", "explanation", 3, figures={"froc_luna16": 0.9, **cam}),
        Row("dark", "raw", "baseline", 3, figures=dark),
        Row("part", "raw", "baseline", 1, figures={"pointing": 1.0}, asked=3),
    ]
    (note,) = [note for note in verdict(rows) if note.startswith("Unpaired")]
    assert note.partition(": ")[2] == (
        "FROC (LUNA16), cam (gated) 0.900 against 0.700; "
        "Dice, threshold tuned, dark (raw) 0.850 against 0.800; "
        "lesion-free photos with a detection, threshold tuned, cam (gated) 0.125 against 0.250."
    )
    paired = replace(rows[1], sweep_ahead={"froc_luna16": Difference(-0.2, -0.3, -0.1)})
    (note,) = [note for note in verdict([rows[0], paired]) if note.startswith("Unpaired")]
    assert "LUNA16" not in note
    assert not any(note.startswith("Unpaired") for note in verdict(rows[:1]))


def test_of_equal_variants_the_notes_name_the_one_that_the_table_shows():
    ahead = {"froc_luna16": Difference(0, 0, 0)}
    rows = tuple(
        Row("cam", variant, "explanation", 3, figures={"froc_luna16": 0.5}, sweep_ahead=ahead)
        for variant in ("raw", "minmax", "scaled")
    )
    (shown,) = Comparison(rows).best()
    assert shown.variant == "scaled"
    assert "Best explanation by FROC: cam (scaled), 0.500;" in verdict(rows)[0]


def test_headings_of_maps_name_the_variant(told, monkeypatch):
    pytest.importorskip("matplotlib")
    sheets = []
    monkeypatch.setattr(
        "slidewin.report.compared.draw_maps",
        lambda *drawn, **scales: sheets.append((drawn, scales)),
    )
    draw_comparison(told)
    ((photos,), scales) = sheets[0]
    assert scales == {"scales": {}}
    assert next(iter(photos[0].maps)) == SWEEP
    assert {"good, scaled", "baseline-uniform, scaled"} <= set(photos[0].maps)


def test_the_gallery_shows_maps_on_one_scale(told):
    gallery = told.gallery
    assert isinstance(gallery, Gallery)
    shown = gallery.show("p1", [SWEEP, "good", "refuse", "never"])
    assert shown.photo.shape == (ODD, 64, 3)
    assert shown.lesions.max() == gallery.lesions["p1"] == 1
    assert shown.maps["good"].max() == 1
    assert gallery.show("p3", ["good"]).maps["good"].max() < 0.6
    assert shown.maps["refuse"] == shown.maps["never"] == "this photo is not to my taste"
    with pytest.raises(ArgumentError, match="nobody"):
        gallery.show("nobody", [SWEEP])
    assert json.loads(told.to_json())["rows"]
