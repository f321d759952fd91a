"""Coarse to fine: what is classified, what stands between, and what it is worth."""

import importlib.util
import json
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import SIDE, dark_middle

import slidewin
from slidewin.cli import main
from slidewin.errors import ArgumentError, SharingError, SweepError
from slidewin.grid import Level, plan_grid
from slidewin.output import write_png
from slidewin.sweep import SlidingWindow
from slidewin.sweep.coarse import check_stride, fill_between, first_windows

nan = np.nan


def three_classes(patches):
    """Background, dark, and bright in the first channel: probabilities of three classes."""
    x = patches.reshape(len(patches), -1, 3)
    dark, bright = 1 - x.mean(axis=(1, 2)) / 255, x[:, :, 0].mean(axis=1) / 510
    return np.stack([1 - dark, dark * (1 - bright), dark * bright], axis=1)


def sweep_of(function, *, classes=("background", "lesion"), **options):
    classifier = slidewin.load_classifier(function, classes=list(classes), input_size=SIDE)
    return SlidingWindow(classifier, **{"lesion_size": (8, 20), "verbose": 0, **options})


def blobs(shape, seed=0):
    """White, with some dark discs."""
    rng = np.random.default_rng(seed)
    rows, cols = np.indices(shape) + 0.5
    photo = np.full((*shape, 3), 250, np.uint8)
    for _ in range(3):
        centre, radius = rng.uniform((0, 0), shape), rng.uniform(3, 12)
        photo[np.hypot(rows - centre[0], cols - centre[1]) < radius] = rng.integers(0, 90, 3)
    return photo


def levels(shape, side, stride):
    return Level((100, 100), 10.0, shape, side, stride)


@st.composite
def any_level(draw):
    side = draw(st.integers(4, 12))
    shape = draw(st.tuples(st.integers(1, 60), st.integers(1, 60)))
    return levels(shape, side, draw(st.integers(1, side // 4)))


# --- the lattice --------------------------------------------------------------------------------


def test_every_other_window_and_the_last_are_first():
    expected = [[1, 0, 1, 1], [0, 0, 0, 0], [1, 0, 1, 1]]
    level = levels((8, 9), 4, 2)
    assert (level.tops, level.lefts) == ((0, 2, 4), (0, 2, 4, 5))
    np.testing.assert_array_equal(first_windows(level), np.array(expected) == 1)


@given(any_level())
def test_first_windows_are_those_of_twice_the_stride(level):
    twice = levels(level.shape, level.side, 2 * level.stride)
    rows, cols = np.nonzero(first_windows(level))
    corners = {(level.tops[m], level.lefts[n]) for m, n in zip(rows, cols, strict=True)}
    assert corners == {(top, left) for top in twice.tops for left in twice.lefts}
    assert len(rows) == len(twice)


def test_what_lies_between_is_filled_in_bilinearly():
    level = levels((8, 9), 4, 2)
    values = np.array([[0.0, nan, 0.4, 0.8], [nan] * 4, [0.2, nan, 0.2, 0.0]], np.float32)
    filled = fill_between(level, values[..., None], np.zeros((3, 4), bool))[..., 0]
    expected = [[0.0, 0.2, 0.4, 0.8], [0.1, 0.2, 0.3, 0.4], [0.2, 0.2, 0.2, 0.0]]
    np.testing.assert_allclose(filled, expected, atol=1e-7)


def test_the_last_window_is_as_near_as_its_place_is():
    level = levels((4, 9), 4, 3)
    assert level.lefts == (0, 3, 5)
    values = np.array([[0.0, nan, 1.0]], np.float32)[..., None]
    filled = fill_between(level, values, np.zeros((1, 3), bool))
    np.testing.assert_allclose(filled.ravel(), [0, 0.6, 1], atol=1e-7)


def test_all_round_a_likely_window_is_left_to_be_classified():
    level = levels((12, 12), 4, 2)
    values = np.where(first_windows(level), 0.5, nan).astype(np.float32)
    likely = np.zeros((5, 5), bool)
    likely[2, 4] = True
    filled = fill_between(level, values[..., None], likely)[..., 0]
    unknown = np.zeros((5, 5), bool)
    unknown[1:4, 3:] = True
    unknown[2, 4] = False
    np.testing.assert_array_equal(np.isnan(filled), unknown)
    np.testing.assert_array_equal(filled[~unknown], 0.5)


@given(any_level(), st.integers(0, 1000), st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_windows_are_left_out_or_lie_between_their_neighbours(level, seed, share):
    rng = np.random.default_rng(seed)
    values = rng.dirichlet((0.3, 0.3, 0.3), level.lattice).astype(np.float32)
    likely = rng.random(level.lattice) < share
    first = first_windows(level)
    before = values.copy()
    filled = fill_between(level, values, likely)
    np.testing.assert_array_equal(values, before)
    np.testing.assert_array_equal(filled[first], values[first])
    # Only what the first pass has seen is read.
    unread = np.where(first[..., None], values, nan).astype(np.float32)
    np.testing.assert_array_equal(fill_between(level, unread, likely & first), filled)

    def around(i, origins):
        taken = [j for j in range(len(origins)) if j % 2 == 0 or j == len(origins) - 1]
        return max(j for j in taken if j <= i), min(j for j in taken if j >= i)

    def weights(i, origins):
        low, high = around(i, origins)
        if low == high:
            return {low: 1.0}
        share = (origins[i] - origins[low]) / (origins[high] - origins[low])
        return {low: 1 - share, high: share}

    for m, n in np.ndindex(level.lattice):
        if first[m, n]:
            continue
        corners = np.ix_(around(m, level.tops), around(n, level.lefts))
        if likely[corners].any():
            assert np.isnan(filled[m, n]).all()
            continue
        expected = sum(
            a * b * values[i, j]
            for i, a in weights(m, level.tops).items()
            for j, b in weights(n, level.lefts).items()
        )
        np.testing.assert_allclose(filled[m, n], expected, atol=1e-6)
        around_it = values[corners].reshape(-1, 3)
        assert (filled[m, n] >= around_it.min(axis=0)).all()
        assert (filled[m, n] <= around_it.max(axis=0)).all()
        assert filled[m, n].sum() == pytest.approx(1, abs=1e-6)


# --- the sweep ----------------------------------------------------------------------------------


@settings(max_examples=30)
@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.integers(0, 100),
    st.sampled_from([0.0, 0.05, 0.3, 1.0]),
    st.sampled_from([0.5, 0.3, 0.125]),
)
def test_a_window_that_is_classified_is_answered_for_as_in_the_full_sweep(
    shape, seed, bound, stride
):
    photo = blobs(shape, seed)
    options = {"classes": ("background", "mole", "wart"), "target": "lesion", "stride": stride}
    sweep = sweep_of(three_classes, refine_above=bound, **options)
    whole = sweep_of(three_classes, **options)
    n_classified = 0
    for level, full, heat in zip(
        sweep.plan(photo.shape).levels,
        whole.probabilities(photo),
        sweep.probabilities(photo),
        strict=True,
    ):
        target = full[..., 1:].sum(axis=-1).clip(max=1)
        expected = fill_between(level, full, target >= np.float32(bound))
        between = np.isnan(expected)
        expected[between] = full[between]
        np.testing.assert_array_equal(heat, expected)
        # What is not classified stays below the bound: it adds nothing to what is found at it.
        reaches = heat[..., 1:].sum(axis=-1) >= bound + 1e-6
        np.testing.assert_array_equal(heat[reaches], full[reaches])
        n_classified += np.count_nonzero(between[..., 0] | first_windows(level))
    refinement = sweep.localize(photo).settings["engine"]["refinement"]
    grid = sweep.plan(photo.shape)
    assert refinement == {
        "refine_above": bound,
        "classified_windows": n_classified,
        "classified_share": round(n_classified / len(grid), 4),
    }


def test_a_bound_of_nought_leaves_no_window_out(noise):
    full = sweep_of(dark_middle).localize(noise)
    refined = sweep_of(dark_middle, refine_above=0).localize(noise)
    for one, other in zip(full.layers, refined.layers, strict=True):
        np.testing.assert_array_equal(one.values, other.values)
    assert refined.settings["engine"]["refinement"]["classified_share"] == 1


def test_no_window_is_classified_twice_and_only_so_many_as_are_told(noise):
    seen = []

    def counted(patches):
        seen.extend(patch.tobytes() for patch in patches)
        return dark_middle(patches)

    sweep = sweep_of(counted, lesion_size=8, refine_above=0.5)
    known = sweep.localize(noise).settings["engine"]
    assert known["name"] == "windows"
    n = known["refinement"]["classified_windows"]
    assert len(sweep.plan(noise.shape)) / 4 < n < len(sweep.plan(noise.shape))
    assert len(seen) == len(set(seen)) == n


@given(st.floats(0, 1, width=32), st.floats(0, 1))
@settings(max_examples=20)
def test_a_constant_classifier_gives_a_constant_map(p, bound):
    sweep = sweep_of(lambda patches: np.tile([1 - p, p], (len(patches), 1)), refine_above=bound)
    for values in sweep.probabilities(np.zeros((70, 60, 3), np.uint8)):
        np.testing.assert_array_equal(values[..., 1], values[0, 0, 1])


@pytest.mark.parametrize("windows", [1, 2, 5])
def test_the_map_does_not_depend_on_how_the_plan_is_cut(windows, monkeypatch):
    photo, options = blobs((120, 150)), {"refine_above": 0.2, "batch_size": 7}
    whole = sweep_of(dark_middle, **options).probabilities(photo)
    monkeypatch.setattr("slidewin.sweep.tiles._WINDOWS", windows)
    for one, other in zip(
        whole, sweep_of(dark_middle, **options).probabilities(photo), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_the_map_is_the_same_for_every_number_and_kind_of_worker(network):
    photo, options = blobs((300, 280)), {"lesion_size": (34, 50), "engine": "windows"}
    full = SlidingWindow(network, verbose=0, **options)
    bound = float(np.percentile(full.localize(photo).layers[0].values, 97))

    def swept(**more):
        sweep = SlidingWindow(network, refine_above=bound, verbose=0, **options, **more)
        return sweep.localize(photo)

    whole = swept()
    grid = full.plan(photo.shape)
    n = whole.settings["engine"]["refinement"]["classified_windows"]
    assert sum(first_windows(level).sum() for level in grid.levels) < n < len(grid)
    others = [swept(n_jobs=2)]
    with joblib.parallel_config("loky", n_jobs=2):
        others.append(swept())
    for other in others:
        assert other.settings == whole.settings
        for one, layer in zip(whole.layers, other.layers, strict=True):
            np.testing.assert_array_equal(one.values, layer.values)


def test_tiles_without_a_window_to_classify_are_not_handed_out(monkeypatch):
    from slidewin.sweep import gather

    handed, classify = [], gather.classify

    def noted(parked, tile, threads):
        handed.append(tile)
        return classify(parked, tile, threads)

    monkeypatch.setattr(gather, "classify", noted)
    monkeypatch.setattr("slidewin.sweep.tiles._WINDOWS", 4)
    photo = np.full((160, 160, 3), 255, np.uint8)
    sweep = sweep_of(dark_middle, lesion_size=8, refine_above=0.1)
    tiles = 100
    assert sweep.localize(photo).to_pixels().max() == 0
    assert len(handed) == tiles  # nothing likely: there is no second pass
    handed.clear()
    photo[76:84, 76:84] = 0
    assert sweep.localize(photo).layers[0].values.max() == 1
    assert tiles < len(handed) <= tiles + 16  # those that hold the square, or are next to it


def test_only_the_target_sought_is_refined():
    photo = blobs((90, 120), seed=1)
    classes = ("background", "lesion", "none")

    def never(patches):
        return np.pad(dark_middle(patches), ((0, 0), (0, 1)))

    known = {
        target: sweep_of(never, classes=classes, target=target, refine_above=0.1).localize(photo)
        for target in ("lesion", "none")
    }
    share = {
        target: heat.settings["engine"]["refinement"]["classified_share"]
        for target, heat in known.items()
    }
    assert share["none"] < 0.35 < share["lesion"] < 1


@pytest.mark.parametrize("engine", ["auto", "shared"])
def test_where_windows_share_their_work_all_are_classified_and_it_is_said(network, engine):
    photo, options = blobs((200, 220)), {"lesion_size": 40, "engine": engine, "verbose": 0}
    full = SlidingWindow(network, **options).localize(photo)
    refined = SlidingWindow(network, refine_above=0.9, **options).localize(photo)
    np.testing.assert_array_equal(full.layers[0].values, refined.layers[0].values)
    known = dict(refined.settings["engine"])
    refinement = known.pop("refinement")
    assert known == full.settings["engine"]
    assert refinement["refine_above"] == 0.9
    assert "share their work" in refinement["ignored"]


def test_a_network_that_pads_is_refined():
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 2, 3, padding=1), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    classifier = slidewin.load_classifier(
        module.eval(), classes=["a", "b"], input_size=SIDE, mean=0.5, std=0.25
    )
    options = {"lesion_size": 8, "refine_above": 1.0, "verbose": 0}
    known = SlidingWindow(classifier, **options).localize(blobs((80, 80))).settings["engine"]
    assert "pads" in known["because"]
    assert known["refinement"]["classified_share"] < 0.4
    with pytest.raises(SharingError, match="pads"):
        SlidingWindow(classifier, engine="shared", **options).localize(blobs((80, 80)))


# --- what is wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", [-0.1, 1.5, nan, "0.1", True, [0.1]])
def test_what_is_no_probability_is_refused(bound):
    with pytest.raises(ArgumentError, match=r"refine_above=.*from 0 to 1"):
        sweep_of(dark_middle, refine_above=bound)


def test_a_stride_that_leaves_no_room_for_a_coarser_one_is_refused(noise):
    sweep = sweep_of(dark_middle, stride=0.6, refine_above=0.1)
    for ask in (sweep.localize, lambda photo: sweep.plan(photo.shape)):
        with pytest.raises(
            ArgumentError, match=r"stride=0\.6: .*at most context / 4, which is 0\.5"
        ):
            ask(noise)


@given(st.integers(2, 70), st.floats(1, 4), st.floats(0.05, 1))
def test_first_windows_overlap_at_every_stride_that_is_not_refused(side, context, share):
    context = min(context, side)
    grid = plan_grid((300, 300), lesion_size=40, input_size=side, context=context,
                     stride=share * context / 4)  # fmt: skip
    check_stride(grid)
    assert 2 * grid.levels[0].stride <= side


def test_the_very_window_that_fails_is_named_and_no_other_is_blamed(noise):
    (level,) = sweep_of(dark_middle, lesion_size=8).plan(noise.shape).levels

    def window(m, n):
        top, left = level.tops[m], level.lefts[n]
        return noise[top : top + SIDE, left : left + SIDE]

    def fails_at(m, n):
        def function(patches):
            if (patches == window(m, n)).all(axis=(1, 2, 3)).any():
                raise KeyError("no such thing")
            return np.tile([0.8, 0.2], (len(patches), 1))

        return function

    sweep_of(fails_at(3, 5), lesion_size=8, refine_above=0.3).localize(noise)  # is never asked
    for bound, place in ((0.1, (3, 5)), (0.3, (4, 6))):
        with pytest.raises(SweepError, match=rf"row {place[0]}, column {place[1]} of level 0"):
            sweep_of(fails_at(*place), lesion_size=8, refine_above=bound).localize(noise)


# --- from the shell, and the benchmark ----------------------------------------------------------


def test_locate_refines_from_the_shell(network, tmp_path, capsys):
    from slidewin.classifier import save_file

    save_file(network, tmp_path / "model.safetensors")
    write_png(tmp_path / "photo.png", blobs((150, 200)))
    arguments = ["locate", str(tmp_path / "photo.png"), "-o", str(tmp_path / "out"), "--quiet"]
    arguments += ["--classifier", str(tmp_path / "model.safetensors"), "--lesion-size", "40"]
    arguments += ["--engine", "windows", "--refine-above"]
    assert main([*arguments, "0.97"]) == 0
    written = json.loads((tmp_path / "out" / "photo" / "settings.json").read_text())
    refinement = written["localiser"]["engine"]["refinement"]
    assert refinement["refine_above"] == 0.97
    assert 0 < refinement["classified_share"] < 1
    assert main([*arguments, "2", "--overwrite"]) == 2
    assert "refine_above=2.0" in capsys.readouterr().err


@pytest.fixture(scope="module")
def benchmark():
    file = Path(slidewin.__file__).parents[1] / "benchmarks" / "coarse.py"
    spec = importlib.util.spec_from_file_location("coarse", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("bound", [0.0, 0.05, 0.4])
def test_the_benchmark_foretells_what_a_sweep_gives(benchmark, bound):
    photo = blobs((120, 100), seed=2)
    sweep = sweep_of(dark_middle)
    foretold, share = benchmark.simulate(sweep, photo.shape, sweep.probabilities(photo), bound)
    refined = sweep_of(dark_middle, refine_above=bound)
    for one, other in zip(foretold, refined.probabilities(photo), strict=True):
        np.testing.assert_array_equal(one, other)
    known = refined.localize(photo).settings["engine"]["refinement"]
    assert known["classified_share"] == round(share, 4)


@pytest.mark.parametrize(
    ("lost", "bound"),
    [([0, 0, 0], 0.5), ([0, 1, 1], 0.5), ([0, 1, 2], 0.2), ([0, 2, 0], 0.1), ([2, 2, 2], 0.0)],
)
def test_the_largest_bound_that_loses_one_in_a_hundred_is_chosen(benchmark, lost, bound):
    assert benchmark.choose([0.1, 0.2, 0.5], lost, 100) == bound


def test_the_benchmark_counts_a_lesion_that_falls_between_as_lost(benchmark, capsys):
    """A spot that the classifier knows in one window alone, which the first pass leaves out."""
    photo = np.random.default_rng(3).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    (level,) = sweep_of(dark_middle, lesion_size=8).plan(photo.shape).levels
    place = level.tops[5], level.lefts[7]
    wanted = photo[place[0] : place[0] + SIDE, place[1] : place[1] + SIDE]

    def knows(patches):
        known = (patches == wanted).all(axis=(1, 2, 3)).astype(float)
        return np.stack([1 - known, known], axis=1)

    classifier = slidewin.load_classifier(
        knows, classes=["background", "lesion"], input_size=SIDE, thresholds={"lesion": 0.2}
    )
    lesion = np.zeros(photo.shape[:2], bool)
    lesion[place[0] + 4 : place[0] + 12, place[1] + 4 : place[1] + 12] = True
    made = photo, lesion, (8.0, 8.0)
    found, lost, shares = benchmark.weigh(classifier, made, [0.0, 0.1])
    assert found
    assert lost.tolist() == [False, True]
    assert shares[1] < shares[0] == 1
    record = benchmark.compare(
        classifier, benchmark.Case("laid", lambda: made), 0.1, refined_first=True
    )
    assert (record.kind, record.found, record.lost) == ("laid", True, True)
    assert record.classified < 0.4 * record.windows
    benchmark.show([record])
    assert "| all, 1 | 1 | 1 (20.7% to 100.0%) |" in capsys.readouterr().out
