"""What a comparison promises before it runs, and of whom it then speaks."""

import importlib
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from rivals import Rival
from test_comparison import LESION, make_photos
from toys import SIDE, dark_middle

import slidewin
from slidewin.comparison import Comparison, Row, compare, open_dataset
from slidewin.comparison.entry import TABLES, check_sweep, look_through, refuse_other
from slidewin.comparison.methods import SWEEP, Setup
from slidewin.comparison.notes import verdict
from slidewin.comparison.run import hash_layers, hash_own, run
from slidewin.comparison.table import sort_rows
from slidewin.errors import ArgumentError, ArgumentTypeError, OutputExistsError, SlidewinError
from slidewin.metrics import Difference
from slidewin.output import write_png
from slidewin.report.compared import draw_comparison


@pytest.fixture
def photos(tmp_path):
    return make_photos(tmp_path / "test", 0)


@pytest.fixture(scope="module")
def toy():
    return slidewin.load_classifier(
        dark_middle, classes=["background", "lesion"], input_size=SIDE, context=2
    )


def test_a_mask_that_is_none_is_told_before_any_map_and_leaves_nothing(photos, toy, tmp_path):
    mask = photos / "masks" / "p1.png"
    mended = mask.read_bytes()
    write_png(mask, np.full((7, 9), 255, np.uint8), overwrite=True)
    out = tmp_path / "out"
    with pytest.raises(ArgumentError, match=r"p1.png.* 7 x 9"):
        compare(photos, toy, methods=[], lesion_size=LESION, output=out, verbose=0)
    assert not out.exists()

    samples = [sample for sample in open_dataset(photos) if sample.name == "p1"]
    setup = Setup(toy, target="lesion", lesion_size=LESION)
    made = run([SWEEP], samples, setup, folder=out, verbose=0)
    assert made.result(SWEEP, "p1").heatmap is not None  # maps know nothing of masks
    mask.write_bytes(mended)
    assert look_through(samples, "photos", verbose=0).shapes == ((40, 64),)


def test_what_is_read_is_known_by_photos_and_truth(photos):
    def sha256(samples):
        return look_through(samples, "photos", verbose=0).sha256

    samples = open_dataset(photos)
    assert sha256(samples) == sha256(open_dataset(photos))
    grouped = [replace(sample, group="Ada") for sample in samples]
    lesions = [replace(sample, lesions=()) for sample in samples]
    assert len({sha256(one) for one in (samples, samples[1:], grouped, lesions)}) == 4


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        ({"lesion_size": (1, 2, 3)}, ArgumentError, "one size is needed"),
        ({"lesion_size": (64, 28)}, ArgumentError, "not a size to look for"),
        ({"stride": -1}, ArgumentError, "more than 0"),
        ({"n_draws": 0}, ArgumentError, "n_draws=0"),
        ({"n_draws": 9.5}, ArgumentTypeError, "n_draws=9.5"),
        ({"max_passes": 0}, ArgumentError, "max_passes=0"),
        ({"random_state": -1}, ArgumentError, "random_state=-1"),
    ],
)
def test_what_would_fail_everywhere_is_told_at_once(photos, toy, tmp_path, wrong, error, words):
    options = {"methods": [], "lesion_size": LESION, "output": tmp_path / "out", "verbose": 0}
    with pytest.raises(error, match=words):
        compare(photos, toy, **(options | wrong))
    assert not (tmp_path / "out").exists()


def test_what_fails_for_some_photos_alone_is_a_matter_of_theirs(toy):
    setup = Setup(toy, target="lesion", lesion_size="2%")
    check_sweep(setup, [(40, 40), (400, 400)])  # less than a pixel of the first
    with pytest.raises(SlidewinError, match="not a size to look for"):
        check_sweep(setup, [(40, 40), (30, 30)])


ASKED = {
    "classifier": "abc",
    "target": "lesion",
    "labels": None,
    "lesion_size": ("4%", 40.0),
    "stride": None,
    "random_state": 0,
    "max_passes": 10,
    "n_draws": 9,
    "attention": None,
    "dataset_sha256": "def",
    "validation_sha256": None,
}


def put_table(folder, asked):
    rows = tuple(Row(method, "raw", "explanation", 1) for method in (SWEEP, "lrp@input"))
    (folder / TABLES[0]).write_text(Comparison(rows, (), asked).to_json())


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"target": "melanoma"}, "target='lesion'"),
        ({"labels": ["nevus"]}, "labels=None"),
        ({"lesion_size": 20.0}, r"lesion_size=\['4%', 40.0\]"),
        ({"stride": 0.5}, "stride=None"),
        ({"random_state": 1}, "random_state=0"),
        ({"classifier": "other"}, "another classifier"),
        ({"dataset_sha256": "other"}, "other photos, or others of their lesions"),
    ],
)
def test_another_comparison_is_not_written_over(tmp_path, changed, words):
    put_table(tmp_path, ASKED)
    with pytest.raises(OutputExistsError, match=f"{words}; choose another folder"):
        refuse_other(tmp_path, ASKED | changed, [SWEEP, "lrp@input"])


def test_the_same_comparison_goes_on_and_may_get_more(tmp_path):
    refuse_other(tmp_path, ASKED, [SWEEP])  # an empty folder
    put_table(tmp_path, ASKED)
    more = {"attention": "ghi", "validation_sha256": "jkl", "n_draws": 99, "max_passes": None}
    for asked in (ASKED, ASKED | more):
        refuse_other(tmp_path, asked, [SWEEP, "lrp@input", "rise@input"])
    with pytest.raises(OutputExistsError, match=r"methods that this one leaves out \(lrp@input\)"):
        refuse_other(tmp_path, ASKED, [SWEEP])
    put_table(tmp_path, ASKED | more)
    with pytest.raises(OutputExistsError, match="other validation photos, another attention"):
        refuse_other(tmp_path, ASKED, [SWEEP, "lrp@input"])


def test_a_table_without_a_word_of_labels_is_of_all(tmp_path):
    put_table(tmp_path, {name: value for name, value in ASKED.items() if name != "labels"})
    refuse_other(tmp_path, ASKED, [SWEEP, "lrp@input"])
    with pytest.raises(OutputExistsError, match="with labels=None;"):
        refuse_other(tmp_path, ASKED | {"labels": ["nevus"]}, [SWEEP, "lrp@input"])


def test_lesions_of_other_labels_are_neither_hit_nor_miss(photos, toy, tmp_path):
    labels = {"p0": "melanoma", "p1": "nevus"}
    samples = [replace(one, label=labels.get(one.name, "")) for one in open_dataset(photos)]

    def compared(**options):
        return compare(
            samples, toy, methods=[], lesion_size=LESION, output=tmp_path / "out", n_draws=9,
            verbose=0, **options,
        )  # fmt: skip

    sought = compared(labels="melanoma")
    assert sought.gallery.lesions == {"p0": 1, "p1": 0, "p2": 0, "p3": 0, "p4": 0}
    assert sought.settings["labels"] == ["melanoma"]
    (sweep,) = sought.rows
    assert sweep.figures["froc_luna16"] == sweep.figures["photo_auroc"] == 1
    # The dark discs of p1 and p2 would be detections otherwise.
    assert sweep.figures["free_detected_fixed"] == 0
    assert any("Lesions labelled melanoma count" in note for note in sought.notes)
    assert (sought.gallery.show("p1", []).lesions == 0).all()
    with pytest.raises(OutputExistsError, match=r"than this, labels=\['melanoma'\];"):
        compared()
    with pytest.raises(OutputExistsError, match=r"than this, labels=\['melanoma'\];"):
        compared(labels=["melanoma", "nevus"])
    assert compared(labels=["melanoma"], overwrite=True).rows[0].figures["froc_luna16"] == 1
    everything = compared(overwrite=True)
    assert everything.gallery.lesions == {"p0": 1, "p1": 1, "p2": 1, "p3": 0, "p4": 0}
    assert any("whatever its label; photos by label:" in note for note in everything.notes)


@pytest.mark.parametrize(
    ("labels", "error", "words"),
    [
        ("melanom", ArgumentError, "'melanom' is the label of no lesion; there are 'mel', 'nev'"),
        (["mel", "bcc"], ArgumentError, "'bcc' is the label of no lesion"),
        ([], ArgumentError, "labels is empty"),
        ([7], ArgumentTypeError, "found 7"),
    ],
)
def test_labels_that_no_lesion_has_are_refused_before_anything_runs(
    photos, toy, tmp_path, labels, error, words
):
    known = {"p0": "mel", "p1": "nev", "p3": "bare"}
    samples = [replace(one, label=known.get(one.name, "")) for one in open_dataset(photos)]
    samples = [replace(one, lesions=()) if one.name == "p3" else one for one in samples]
    with pytest.raises(error, match=words):
        compare(samples, toy, labels=labels, output=tmp_path / "out", verbose=0)
    with pytest.raises(ArgumentError, match="the data set gives none"):
        compare(photos, toy, labels="mel", output=tmp_path / "out", verbose=0)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("there", "now", "words"),
    [
        (None, None, "with a classifier that has no fingerprint, such as a function, and may"),
        ("abc", None, "with another classifier;"),
        (None, "abc", "with another classifier;"),
    ],
)
def test_classifiers_that_cannot_be_told_apart_are_not_one(tmp_path, there, now, words):
    put_table(tmp_path, ASKED | {"classifier": there})
    with pytest.raises(OutputExistsError, match=f"{words}.*choose another folder"):
        refuse_other(tmp_path, ASKED | {"classifier": now}, [SWEEP, "lrp@input"])


def test_a_table_that_is_nobodys_is_left_alone(tmp_path):
    (tmp_path / "table.csv").write_text("mine")
    with pytest.raises(OutputExistsError, match=r"table\.csv there already"):
        refuse_other(tmp_path, ASKED, [SWEEP])
    (tmp_path / "table.json").write_text('{"legs": 4}')
    with pytest.raises(OutputExistsError, match="no comparison"):
        refuse_other(tmp_path, ASKED, [SWEEP])


def test_a_method_of_ones_own_is_another_when_its_source_is(tmp_path, monkeypatch):
    source = "class Mine:\n    def localize(self, photo):\n        return {}\n"
    module = tmp_path / "mine_of_this_test.py"
    module.write_text(source.format("1"))
    monkeypatch.syspath_prepend(tmp_path)
    mine = importlib.import_module(module.stem).Mine()
    before = hash_own(mine)
    assert hash_own(mine) == before
    module.write_text(source.format("1 + 1"))
    assert hash_own(mine) != before
    assert hash_own(Rival("err")) != hash_own(Rival("refuse"))
    assert hash_own(object()) == hash_own(object())  # has no source


NET = """
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 2, 16), nn.Flatten())
    def forward(self, x):
        return {}self.layers(x)
"""


def test_an_edited_forward_is_another_network(photos, tmp_path, monkeypatch):
    module = tmp_path / "net_of_this_test.py"
    module.write_text(NET.format(""))
    monkeypatch.syspath_prepend(tmp_path)
    torch.manual_seed(0)
    net = importlib.import_module(module.stem).Net()

    def computed():
        classifier = slidewin.load_classifier(
            net, classes=["background", "lesion"], input_size=SIDE, context=2
        )
        compared = compare(
            photos, classifier, methods=[], lesion_size=LESION, output=tmp_path / "out", n_draws=9,
            verbose=0,
        )  # fmt: skip
        return compared.settings["computed_maps"], compared.rows[0].figures["pxap_all"]

    (n, value), (n_again, same) = computed(), computed()
    assert (n, n_again, same) == (5, 0, value)
    module.write_text(NET.format("-"))
    n, value = computed()
    assert n == 5
    assert value != same


def test_layers_of_libraries_are_known_by_their_versions(network, toy):
    assert hash_layers(network) is hash_layers(toy) is None

    class Mine(torch.nn.Identity):
        pass

    def hashed(net):
        return hash_layers(
            slidewin.load_classifier(net, classes=["background", "lesion"], input_size=SIDE)
        )

    typed = type("Typed", (torch.nn.Identity,), {"__module__": "__main__"})
    assert hashed(torch.nn.Sequential(Mine())) == hashed(Mine())
    assert len({hashed(Mine()), hashed(typed()), None}) == 3  # has no source


class Locked(Rival):
    def __init__(self):
        object.__setattr__(self, "lock", threading.Lock())


def test_a_method_that_cannot_travel_is_named_before_anything_runs(photos, toy, tmp_path):
    with pytest.raises(ArgumentTypeError, match=r"own\['mine'\]: found Locked.*not pickle.*lock"):
        compare(photos, toy, own={"mine": Locked()}, output=tmp_path / "out", verbose=0)
    assert not (tmp_path / "out").exists()


AHEAD = {"froc_luna16": Difference(-0.25, -0.4, -0.1)}


def scored(method, froc, photos, kind="explanation", **more):
    curves = {"false_per_photo": (0.5, 1.0), "found": (0.0, froc)}
    figures = {"froc_luna16": froc, "seconds_per_mp": 1.0}
    return Row(method, "raw", kind, photos, figures=figures, curves=curves, asked=5, **more)


def test_what_did_a_part_is_not_ranked_with_what_did_all():
    part = scored("cam", 1.0, 1, refused="4 of 5 photos: too large", sweep_ahead=AHEAD)
    whole = scored("lrp", 0.5, 5, sweep_ahead={"froc_luna16": Difference(0.2, 0.1, 0.3)})
    sweep = scored(SWEEP, 0.7, 5, kind="sweep")
    never = Row("rise", "", "explanation", 0, "too slow", asked=5)
    rows = sort_rows([never, part, whole, sweep])
    assert [row.method for row in rows] == [SWEEP, "lrp", "cam", "rise"]
    notes = verdict(rows)
    assert any(note.startswith("Best explanation by FROC: lrp") for note in notes)
    assert not any("LUNA16), the sweep loses" in note for note in notes)
    assert any("not ranked with the others: cam (1 of 5)." in note for note in notes)
    assert any("on the photos that both did, the sweep loses to cam" in note for note in notes)
    text = Comparison(rows).to_text()
    assert "raw, 1 of 5 photos" in text
    assert "cam: 4 of 5 photos: too large" in text
    assert "| cam | raw | 1 of 5 |" in Comparison(rows).to_markdown()
    assert "cam,raw,explanation,1,5," in Comparison(rows).to_csv()
    assert Comparison.from_json(Comparison(rows).to_json()).rows == rows


def test_figures_say_of_how_many_photos_they_are(monkeypatch):
    drawn = []
    for name in ("draw_froc", "draw_cost"):
        monkeypatch.setattr(f"slidewin.report.compared.{name}", lambda all_: drawn.append(all_))
    rows = sort_rows([scored("cam", 1.0, 1), scored("lrp", 0.5, 5)])
    draw_comparison(Comparison(rows))
    assert [[one.name for one in of] for of in drawn] == [
        ["lrp, raw", "cam, raw, 1 of 5 photos"]
    ] * 2


@pytest.fixture(scope="module")
def of_one_patient(tmp_path_factory, toy):
    folder = tmp_path_factory.mktemp("one")
    samples = open_dataset(make_photos(folder / "test", 0))
    samples = [replace(sample, group="Ada") for sample in samples]
    return compare(
        samples, toy, methods=[], own={"good": Rival()}, lesion_size=["20%", "25%"],
        output=folder / "out", verbose=0,
    )  # fmt: skip


def test_of_one_patient_there_is_no_interval(of_one_patient):
    assert all(row.figures for row in of_one_patient.rows)
    assert not any(row.intervals or row.sweep_ahead for row in of_one_patient.rows)
    assert any("of one group: no intervals" in note for note in of_one_patient.notes)


def test_a_list_of_sizes_is_of_each_photos_own_short_side(of_one_patient):
    def sizes(name):
        heat = of_one_patient.gallery._run.result(SWEEP, name).heatmap
        return tuple(heat.settings["lesion_size"])

    assert of_one_patient.settings["lesion_size"] == ("20%", "25%")
    assert sizes("p0") == pytest.approx((9.6, 12))
    assert sizes("p1") == pytest.approx((8, 10))
