"""How far apart windows are where nobody says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import SIDE, dark_middle

import slidewin
from slidewin.classifier import module as module_adapter
from slidewin.classifier.function import FunctionClassifier
from slidewin.classifier.protocol import SharedWindows
from slidewin.errors import ArgumentError, SharingError, SlidewinWarning
from slidewin.grid import plan_grid
from slidewin.sweep import SlidingWindow
from slidewin.sweep.stride import Plans

HALF = SIDE // 4  # px: half a lesion, which is half as wide as a window


class Together(SharedWindows):
    """Shares nothing; as dense, and as wrong, as it is told."""

    precision = "that of the toy"

    def __init__(self, classifier, *, spacing, saving, dense_is_free, excess):
        self.classifier, self.spacing, self.saving = classifier, spacing, saving
        self.dense_is_free, self.excess = dense_is_free, excess

    def predict(self, image, tops, lefts):
        return self.classifier.predict_windows(image, tops, lefts) + np.float32(self.excess)

    def blame(self, patch):
        return "the toy is to blame"


class Sharing(FunctionClassifier):
    """Says that its windows share, and counts those that go one by one."""

    def __init__(self, *, spacing=1, saving=2.0, dense_is_free=True, excess=0.0, only=None):
        super().__init__(self.counted, classes=["background", "lesion"], input_size=SIDE)
        self.known = {"spacing": spacing, "saving": saving, "dense_is_free": dense_is_free}
        self.excess, self.only, self.n = excess, only, 0

    def counted(self, patches):
        self.n += len(patches)
        return dark_middle(patches)

    def share(self, stride, *, precision="model"):
        if self.only is not None and stride != self.only:
            raise SharingError(f"windows {stride} px apart share nothing")
        return Together(self, **self.known, excess=self.excess)


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("known", "px"),
    [
        ({"spacing": 1}, 2),  # a quarter of a lesion
        ({"spacing": 2}, 2),
        ({"spacing": 4}, 4),  # between those there is nothing for free
        ({"spacing": 1, "dense_is_free": False}, 4),
        ({"spacing": 1, "saving": 0.9}, 4),  # then windows go one by one
    ],
)
def test_windows_are_closer_than_half_a_lesion_where_that_costs_nothing(known, px, noise):
    classifier = Sharing(**known)
    (level,) = SlidingWindow(classifier, lesion_size=8).plan(noise.shape).levels
    assert level.stride == px
    (level,) = SlidingWindow(classifier, lesion_size=8, engine="windows").plan(noise.shape).levels
    assert level.stride == HALF
    (level,) = SlidingWindow(classifier, lesion_size=8, stride=0.5).plan(noise.shape).levels
    assert level.stride == HALF


def test_with_the_default_network_they_are_a_network_s_stride_apart(noise, network, dark):
    sweep = SlidingWindow(network, lesion_size=(20, 50))
    grid = sweep.plan(noise.shape)
    assert {level.stride for level in grid.levels} == {8}
    assert grid.stride == 0.25
    heat = sweep.localize(noise)
    assert (heat.settings["stride"], heat.settings["engine"]["name"]) == (0.25, "shared")
    assert [layer.values.shape for layer in heat.layers] == [x.lattice for x in grid.levels]
    asked = SlidingWindow(network, lesion_size=(20, 50), stride=0.25).localize(noise)
    assert same((x.values for x in heat.layers), (x.values for x in asked.layers))
    assert SlidingWindow(dark, lesion_size=8).plan(noise.shape).stride == 0.5
    assert slidewin.locate(noise, network, lesion_size=30).heatmap.settings["stride"] == 0.25


def test_whoever_gives_up_sharing_does_not_pay_for_what_was_to_be_free(noise, dark):
    classifier = Sharing(excess=0.25)
    sweep = SlidingWindow(classifier, lesion_size=(8, 20))
    fine = sweep.plan(noise.shape)
    with pytest.warns(SlidewinWarning, match=r"by itself instead, 0\.5 lesions apart"):
        heat = sweep.localize(noise)
    alone = SlidingWindow(dark, lesion_size=(8, 20))
    coarse = alone.plan(noise.shape)
    assert fine.stride == 0.25
    assert (heat.settings["stride"], heat.settings["engine"]["name"]) == (0.5, "windows")
    assert same((x.values for x in heat.layers), (x.values for x in alone.localize(noise).layers))
    # What the proof and the tile in hand took of the fine plan, and then the coarse one.
    assert len(coarse) <= classifier.n
    with pytest.warns(SlidewinWarning, match="toy is to blame"):
        found = sweep.probabilities(noise)
    assert sweep.plan_of(noise.shape, found).levels == coarse.levels
    again = sweep.heatmap(noise.shape, found)
    assert again.settings["stride"] == 0.5
    assert same((x.values for x in again.layers), (x.values for x in heat.layers))


def test_a_stride_that_was_asked_for_is_kept_whatever_becomes_of_sharing(noise):
    sweep = SlidingWindow(Sharing(excess=0.25), lesion_size=8, stride=0.25)
    with pytest.warns(SlidewinWarning, match=r"by itself instead$"):
        heat = sweep.localize(noise)
    assert heat.settings["stride"] == 0.25


def test_where_the_fine_plan_cannot_be_shared_after_all_the_coarse_one_is_swept(noise):
    classifier = Sharing(only=HALF)
    sweep = SlidingWindow(classifier, lesion_size=8)
    heat = sweep.localize(noise)
    assert heat.settings["stride"] == 0.5
    assert "2 px apart share nothing" in heat.settings["engine"]["because"]
    assert classifier.n == len(
        SlidingWindow(classifier, lesion_size=8, stride=0.5).plan(noise.shape)
    )
    with pytest.raises(SharingError, match="2 px apart"):
        SlidingWindow(classifier, lesion_size=8, engine="shared").localize(noise)


def test_no_plan_grows_beyond_what_is_allowed_unasked(noise):
    n = len(SlidingWindow(Sharing(), lesion_size=8, stride=0.5).plan(noise.shape))
    few, many = (
        SlidingWindow(Sharing(), lesion_size=8, max_windows=most).plan(noise.shape)
        for most in (n, 4 * n)
    )
    assert (few.stride, many.stride) == (0.5, 0.25)
    assert len(few) == n < len(many) <= 4 * n
    with pytest.raises(ArgumentError, match="max_windows"):
        SlidingWindow(Sharing(), lesion_size=8, max_windows=n - 1).plan(noise.shape)


def test_shapes_of_neither_plan_are_refused(noise):
    sweep = SlidingWindow(Sharing(), lesion_size=8)
    other = SlidingWindow(Sharing(), lesion_size=8, stride=0.375).probabilities(noise)
    with pytest.raises(ArgumentError, match="probabilities: found shapes"):
        sweep.heatmap(noise.shape, other)
    (values,) = sweep.probabilities(noise)
    with pytest.raises(ArgumentError, match="probabilities: found shapes"):
        sweep.plan_of(noise.shape, [values[..., :1]])


@settings(max_examples=60)
@given(
    shape=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    size=st.floats(2, 20),
    px=st.tuples(st.integers(1, 8), st.integers(1, 8)).filter(lambda px: 2 * px[0] <= px[1]),
)
def test_plans_of_the_same_lattices_are_the_same(shape, size, px):
    fine, coarse = (
        plan_grid(shape, lesion_size=(size, 2 * size), input_size=16, stride=n / 8) for n in px
    )
    assert [level.stride for level in (*fine.levels, *coarse.levels)] == [
        *[px[0]] * len(fine.levels), *[px[1]] * len(coarse.levels)
    ]  # fmt: skip
    found = Plans(fine, coarse).of([level.lattice for level in coarse.levels])
    assert [(x.tops, x.lefts) for x in found.levels] == [(x.tops, x.lefts) for x in coarse.levels]
    assert len(fine) >= len(coarse)


def test_a_network_is_rebuilt_for_its_plan_and_its_sweep_and_then_no_more(
    noise, network, monkeypatch
):
    from slidewin.classifier import shared

    made, share = [], shared.share

    def noted(*args, **options):
        made.append(options["stride"])
        return share(*args, **options)

    monkeypatch.setattr(shared, "share", noted)
    sweep = SlidingWindow(network, lesion_size=30)
    for _ in range(3):
        sweep.heatmap(noise.shape, sweep.probabilities(noise))
    assert made == [16, 8]
    assert len(network._rebuilt) <= module_adapter._KEPT
    # Nor is one examined again that cannot be.
    network.module[0].register_forward_hook(lambda *args: None)
    for _ in range(3):
        assert sweep.plan(noise.shape).stride == 0.5
    assert made == [16, 8, 16]
