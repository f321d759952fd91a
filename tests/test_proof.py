"""Either way of classifying windows gives one map, and a sample of windows proves it."""

import joblib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from toys import SIDE, dark_middle

import slidewin
from slidewin.classifier.function import FunctionClassifier
from slidewin.classifier.lattice import half_precision
from slidewin.classifier.protocol import SharedWindows
from slidewin.errors import ArgumentError, SharingError, SlidewinWarning, SweepError
from slidewin.grid import plan_grid
from slidewin.network import window_network
from slidewin.pyramid import read_bands
from slidewin.sweep import SlidingWindow
from slidewin.sweep.proof import windows_to_check

CLASSES = ["background", "lesion"]


class Together(SharedWindows):
    """Shares nothing, and answers for some windows by so much too high."""

    spacing, saving, dense_is_free = 1, 2.0, False

    def __init__(self, classifier, is_wrong, excess, precision):
        self.classifier, self.is_wrong, self.excess = classifier, is_wrong, excess
        self.precision = precision

    def predict(self, image, tops, lefts):
        values = self.classifier.predict_windows(image, tops, lefts)
        for m, top in enumerate(tops):
            for n, left in enumerate(lefts):
                if self.is_wrong(image[top : top + SIDE, left : left + SIDE]):
                    values[m, n] += self.excess
        return values

    def blame(self, patch):
        return "the toy is to blame"


class Sharing(FunctionClassifier):
    """A function whose windows are classified together; wrongly, if so told."""

    def __init__(self, is_wrong=lambda patch: True, excess=0.0, half_excess=0.0):
        super().__init__(dark_middle, classes=CLASSES, input_size=SIDE)
        self.is_wrong = is_wrong
        self.excess = {"model": excess, "auto": half_excess}
        self.asked = []

    def share(self, stride, *, precision="model"):
        self.asked.append((stride, precision))
        return Together(self, self.is_wrong, self.excess[precision], f"that of {precision}")


def raised(error):
    def raises(patch):
        raise error

    return raises


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


# --- which windows are checked ------------------------------------------------------------------


@settings(max_examples=60)
@given(
    shape=st.tuples(st.integers(1, 150), st.integers(1, 150)),
    sizes=st.tuples(st.floats(2, 30), st.floats(1, 5)),
    stride=st.sampled_from([0.25, 0.5, 1.0]),
)
def test_enough_windows_of_every_level_are_checked_its_corners_among_them(shape, sizes, stride):
    smallest, ratio = sizes
    grid = plan_grid(shape, lesion_size=(smallest, smallest * ratio), input_size=8, stride=stride)
    chosen = windows_to_check(grid, 64)
    assert windows_to_check(grid, 64) == chosen
    assert len(chosen) == len(grid.levels)
    assert sum(map(len, chosen)) >= min(64, len(grid))
    assert sum(map(len, chosen)) <= 64 + 5 * len(grid.levels)
    for windows, level in zip(chosen, grid.levels, strict=True):
        rows, cols = level.lattice
        assert windows == sorted(set(windows))
        assert all(0 <= row < rows and 0 <= col < cols for row, col in windows)
        assert {(0, 0), (0, cols - 1), (rows - 1, 0), (rows - 1, cols - 1)} <= set(windows)


def test_windows_that_are_shifted_back_are_checked_more_than_others():
    grid = plan_grid((803, 805), lesion_size=4, input_size=8)
    (rows, cols) = grid.levels[0].lattice
    (windows,) = windows_to_check(grid, 64)
    assert len(windows) == 64
    assert sum(row == rows - 1 or col == cols - 1 for row, col in windows) >= 16


@pytest.mark.parametrize("shape", [(1, 1), (5, 90), (SIDE, SIDE), (SIDE + 1, SIDE), (30, 33)])
def test_of_a_tiny_plan_every_window_is_checked(shape):
    photo = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    sweep = SlidingWindow(Sharing(), lesion_size=SIDE / 2, engine="shared")
    checked = sweep.localize(photo).settings["engine"]["checked_windows"]
    assert checked == min(64, len(sweep.plan(shape))) == len(sweep.plan(shape))


@pytest.mark.parametrize("corner", [(0, 0), (0, -1), (-1, 0), (-1, -1)])
@pytest.mark.parametrize("index", [0, 1, -1])
def test_a_corner_that_is_answered_for_otherwise_is_found_at_every_level(index, corner, noise):
    grid = SlidingWindow(Sharing(), lesion_size=(9, 30)).plan(noise.shape)
    level = grid.levels[index]
    bands = read_bands(noise, grid.levels, most_rows=10**6)
    (image,) = [band.image for band in bands if band.level is level]
    top, left = level.tops[corner[0]], level.lefts[corner[1]]
    wanted = image[top : top + SIDE, left : left + SIDE]
    classifier = Sharing(lambda patch: np.array_equal(patch, wanted), excess=0.25)
    with pytest.raises(SharingError, match=r"differ by 0\.25 .*tolerance=0\.0001: the toy is to"):
        SlidingWindow(classifier, lesion_size=(9, 30), engine="shared").localize(noise)


# --- what becomes of what is found --------------------------------------------------------------


def test_a_difference_within_the_tolerance_passes_and_the_largest_is_told(noise, monkeypatch):
    monkeypatch.setattr("slidewin.sweep.tiles._SHARED_PIXELS", 0)  # many tiles, this in the first
    corner = noise[:SIDE, :SIDE]
    classifier = Sharing(lambda patch: np.array_equal(patch, corner), excess=2e-4)
    sweep = SlidingWindow(classifier, lesion_size=8, tolerance=1e-3)
    engine = sweep.localize(noise).settings["engine"]
    assert engine.pop("largest_difference") == pytest.approx(2e-4, rel=1e-3)
    assert engine.pop("checked_windows") >= 64
    assert engine == {
        "name": "shared",
        "precision": "that of model",
        "saving": 2.0,
        "tolerance": 1e-3,
        "refused": {},
    }


@pytest.mark.parametrize("excess", [2e-4, -0.5, np.nan])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_beyond_the_tolerance_every_window_is_classified_by_itself(excess, n_jobs, noise, dark):
    sweep = SlidingWindow(Sharing(excess=excess), lesion_size=(8, 20), n_jobs=n_jobs)
    with pytest.warns(SlidewinWarning, match=r"the toy is to blame; every window is classified by"):
        heat = sweep.localize(noise)
    assert heat.settings["engine"]["name"] == "windows"
    assert "differ by" in heat.settings["engine"]["because"]
    alone = SlidingWindow(dark, lesion_size=(8, 20)).localize(noise)
    assert same((x.values for x in heat.layers), (x.values for x in alone.layers))


def test_whoever_gives_up_sharing_says_so_once_and_nothing_else(noise, monkeypatch):
    """However many tiles were handed out by then."""
    monkeypatch.setattr("slidewin.sweep.tiles._SHARED_PIXELS", 0)
    sweep = SlidingWindow(Sharing(excess=0.5), lesion_size=8, stride=0.25, n_jobs=2)
    with pytest.warns(SlidewinWarning, match="the toy is to blame") as caught:
        sweep.localize(noise)
    assert len(caught) == 1


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_what_fails_together_is_classified_one_by_one(n_jobs, noise, dark):
    broken = Sharing(raised(ValueError("no such map")))
    with pytest.warns(SlidewinWarning, match="cannot share their work: ValueError: no such map"):
        found = SlidingWindow(broken, lesion_size=8, n_jobs=n_jobs).probabilities(noise)
    assert same(found, SlidingWindow(dark, lesion_size=8).probabilities(noise))
    with pytest.raises(SharingError, match="ValueError: no such map"):
        SlidingWindow(broken, lesion_size=8, n_jobs=n_jobs, engine="shared").localize(noise)


def test_want_of_memory_is_no_reason_to_take_longer(noise):
    broken = Sharing(raised(MemoryError("too large")))
    with pytest.raises(SweepError, match=r"^windows of rows .*too large"):
        SlidingWindow(broken, lesion_size=8).localize(noise)


# --- engines ------------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [0.5, 0.25, 0.3])
def test_both_engines_give_one_map(stride, noise, network):
    size = (18.0, 50.0)
    shared, windows = (
        SlidingWindow(network, lesion_size=size, stride=stride, engine=engine).localize(noise)
        for engine in ("shared", "windows")
    )
    for one, other in zip(shared.layers, windows.layers, strict=True):
        np.testing.assert_allclose(one.values, other.values, rtol=0, atol=1e-5)
    told = shared.settings["engine"]
    assert (told["name"], told["precision"], told["tolerance"]) == ("shared", "float32", 1e-4)
    assert told["saving"] > 1
    assert told["checked_windows"] >= 64
    assert 0 <= told["largest_difference"] <= 1e-5
    assert windows.settings["engine"] == {"name": "windows", "because": "asked for"}


def test_auto_shares_where_it_is_exact_and_says_why_where_not(noise, network, dark):
    heat = SlidingWindow(network, lesion_size=40).localize(noise)
    assert heat.settings["engine"]["name"] == "shared"
    engine = SlidingWindow(dark, lesion_size=8).localize(noise).settings["engine"]
    assert engine["name"] == "windows"
    assert "FunctionClassifier classifies windows one by one" in engine["because"]


def test_auto_does_not_share_where_that_is_more_work(noise):
    """At 3 px three quarters of what a stride of 4 left out would have to be computed."""
    body = (nn.Conv2d(3, 2, 4, stride=4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    strided = slidewin.load_classifier(nn.Sequential(*body).eval(), classes=CLASSES, input_size=8)
    options = {"lesion_size": 4, "stride": 0.75}
    auto, shared = (
        SlidingWindow(strided, engine=engine, **options).localize(noise[:50, :60])
        for engine in ("auto", "shared")
    )
    assert auto.settings["engine"] == {
        "name": "windows",
        "because": "sharing would take 2.2 times the work at this stride",
    }
    assert shared.settings["engine"]["name"] == "shared"
    np.testing.assert_allclose(auto.layers[0].values, shared.layers[0].values, rtol=0, atol=1e-5)


def test_a_function_cannot_be_asked_to_share(noise, dark):
    with pytest.raises(SharingError, match="FunctionClassifier classifies windows one by one"):
        SlidingWindow(dark, lesion_size=8, engine="shared").localize(noise)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"engine": "fast"}, "engine='fast': choose one of auto, shared, windows"),
        ({"engine": None}, "engine=None"),
        ({"precision": "float16"}, "precision='float16': choose one of model, auto"),
        ({"tolerance": 0}, "tolerance=0: a finite number above 0"),
        ({"tolerance": -1e-4}, "tolerance=-0.0001"),
        ({"tolerance": "1e-4"}, "tolerance='1e-4'"),
        ({"tolerance": True}, "tolerance=True"),
        ({"tolerance": None}, "tolerance=None"),
        ({"tolerance": float("nan")}, "tolerance=nan"),
    ],
)
def test_wrong_words_are_refused(wrong, words, dark):
    with pytest.raises(ArgumentError, match=words):
        SlidingWindow(dark, **wrong)


FLAT = [nn.Flatten(), nn.Linear(8 * 4**2, 2)]


def test_where_no_layer_is_to_blame_rounding_is(noise):
    """No sum of many numbers comes out the same to a billionth, whatever the head."""
    for head in ([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)], FLAT):
        module = nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), *head).eval()
        classifier = slidewin.load_classifier(module, classes=CLASSES, input_size=8)
        with pytest.warns(SlidewinWarning, match="no single layer: rounding in float32 adds up"):
            SlidingWindow(classifier, lesion_size=4, tolerance=1e-12).localize(noise[:50, :50])


# --- precision ----------------------------------------------------------------------------------

HALF = half_precision(torch.device("cpu"))


def test_half_precision_is_taken_where_there_is_one_and_the_tolerance_allows_it(noise, network):
    sweep = SlidingWindow(network, lesion_size=30, precision="auto", tolerance=0.1)
    heat = sweep.localize(noise)
    told = heat.settings["engine"]
    assert told["precision"] == ("float32" if HALF is None else "bfloat16")
    assert told["tolerance"] == 0.1
    alone = SlidingWindow(network, lesion_size=30, stride=0.25, engine="windows").localize(noise)
    difference = np.abs(heat.layers[0].values - alone.layers[0].values).max()
    assert difference <= 0.1
    if HALF is not None:
        assert difference > 1e-5  # it was computed otherwise


def test_where_half_precision_is_too_coarse_the_model_s_own_is_taken_in_silence(noise, network):
    options = {"lesion_size": 30, "engine": "shared", "tolerance": 2e-6}
    tight = SlidingWindow(network, precision="auto", **options).localize(noise)
    assert tight.settings["engine"]["precision"] == "float32"
    plain = SlidingWindow(network, **options).localize(noise)
    np.testing.assert_array_equal(tight.layers[0].values, plain.layers[0].values)


def test_precisions_are_tried_one_after_the_other(noise):
    def asked(**options):
        classifier = Sharing(**options)
        sweep = SlidingWindow(classifier, lesion_size=8, stride=0.5, precision="auto")
        engine = sweep.localize(noise).settings["engine"]
        return engine.get("precision"), [precision for _, precision in classifier.asked]

    assert asked() == ("that of auto", ["auto"])
    assert asked(half_excess=0.01) == ("that of model", ["auto", "model"])
    with pytest.warns(SlidewinWarning, match="the toy is to blame") as caught:
        assert asked(half_excess=0.01, excess=0.01) == (None, ["auto", "model"])
    assert len(caught) == 1


# --- the same map, bit for bit ------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["model", "auto"])
def test_the_shared_map_is_the_same_for_every_kind_of_worker(precision, noise, network):
    options = {"engine": "shared", "precision": precision, "tolerance": 0.1}
    sweep = SlidingWindow(network, lesion_size=(20.0, 50.0), stride=0.3, **options)
    whole = sweep.probabilities(noise)
    for backend in ("loky", "threading"):
        with joblib.parallel_config(backend, n_jobs=2):
            assert same(sweep.probabilities(noise), whole), backend


def test_the_shared_map_is_the_same_for_every_number_of_threads(noise):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = window_network(2).eval()
    with torch.no_grad():
        module[-3].weight.mul_(100)  # rounding shows in the probabilities, too
    classifier = slidewin.load_classifier(module, classes=CLASSES, input_size=64)
    sweep = SlidingWindow(classifier, lesion_size=32, engine="shared")
    lone = [noise[top : top + 64, left : left + 64] for top in (0, 20, 80) for left in (0, 50, 99)]
    before, maps = torch.get_num_threads(), {}
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            maps[threads] = [sweep.probabilities(photo) for photo in (noise, noise[:64], *lone)]
    finally:
        torch.set_num_threads(before)
    assert all(map(same, maps[1], maps[2]))


def test_a_sweep_that_shares_leaves_modes_and_gradients_as_they_were(noise, network):
    module = network.module.train()
    module[1].eval()
    modes = [layer.training for layer in module.modules()]
    for parameter in module[0].parameters():
        parameter.requires_grad_(False)
    wants = [parameter.requires_grad for parameter in module.parameters()]
    SlidingWindow(network, lesion_size=40, n_jobs=2, engine="shared").localize(noise)
    assert torch.is_grad_enabled()
    assert [layer.training for layer in module.modules()] == modes
    assert [parameter.requires_grad for parameter in module.parameters()] == wants
    assert all(parameter.grad is None for parameter in module.parameters())
    module(torch.zeros(2, 3, 64, 64)).sum().backward()  # as ever
