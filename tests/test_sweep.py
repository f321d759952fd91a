import os
import threading
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info
from toys import SIDE, dark_middle

import slidewin
from slidewin.errors import (
    ArgumentError,
    ArgumentTypeError,
    ClassifierError,
    ModelFileError,
    SweepError,
)
from slidewin.pyramid import resample
from slidewin.sweep import SlidingWindow

CLASSES = ["background", "lesion"]


def classifier_of(function, **description):
    return slidewin.load_classifier(function, classes=CLASSES, input_size=SIDE, **description)


def photo_with_disc(shape, centre, diameter):
    rows, cols = np.indices(shape) + 0.5
    inside = np.hypot(rows - centre[0], cols - centre[1]) <= diameter / 2
    photo = np.full((*shape, 3), 230, np.uint8)
    photo[inside] = 20
    return photo


def test_every_window_gets_the_classifier_s_answer_at_its_place(noise, dark):
    sweep = SlidingWindow(dark, lesion_size=SIDE / 2)
    (level,) = sweep.plan(noise.shape).levels
    assert level.shape == noise.shape[:2]  # at this lesion size the level is the photo itself
    (values,) = sweep.probabilities(noise)
    for m, top in enumerate(level.tops):
        for n, left in enumerate(level.lefts):
            window = noise[None, top : top + SIDE, left : left + SIDE]
            np.testing.assert_array_equal(values[m, n], dark_middle(window)[0].astype(np.float32))


def test_a_range_of_sizes_is_a_layer_for_each_level(noise, dark):
    sweep = SlidingWindow(dark, lesion_size=(6, 24))
    heat = sweep.localize(noise)
    grid = sweep.plan(noise.shape)
    assert [layer.values.shape for layer in heat.layers] == [x.lattice for x in grid.levels]
    for layer, level in zip(heat.layers, grid.levels, strict=True):
        np.testing.assert_array_equal(layer.rows, level.row_centres)
        np.testing.assert_array_equal(layer.cols, level.col_centres)
    assert heat.settings["lesion_size"] == [6, 24]


@pytest.mark.parametrize("name", ["dark", "network"])
def test_the_map_is_the_same_for_every_number_and_kind_of_worker(name, noise, tmp_path, request):
    classifier = request.getfixturevalue(name)
    size = (9.0, 30.0)
    whole = SlidingWindow(classifier, lesion_size=size).probabilities(noise)

    def same(others):
        return all(np.array_equal(a, b) for a, b in zip(whole, others, strict=True))

    assert same(SlidingWindow(classifier, lesion_size=size, n_jobs=2).probabilities(noise))
    for backend in ("loky", "threading"):
        with joblib.parallel_config(backend, n_jobs=2):
            assert same(SlidingWindow(classifier, lesion_size=size).probabilities(noise)), backend
    np.save(tmp_path / "photo.npy", noise)
    mapped = np.load(tmp_path / "photo.npy", mmap_mode="r")
    assert same(SlidingWindow(classifier, lesion_size=size).probabilities(mapped))
    assert same(SlidingWindow(classifier, lesion_size=size).probabilities(np.asfortranarray(noise)))


@pytest.mark.parametrize("name", ["dark", "network"])
def test_the_batch_size_changes_the_map_by_rounding_alone(name, noise, request):
    classifier = request.getfixturevalue(name)
    one, many = (
        SlidingWindow(classifier, lesion_size=40, batch_size=size).probabilities(noise)
        for size in (1, 64)
    )
    np.testing.assert_allclose(one[0], many[0], rtol=0, atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(shape=st.tuples(st.integers(1, 70), st.integers(1, 70)), p=st.floats(0, 1, width=32))
def test_a_constant_classifier_gives_a_constant_map(shape, p):
    classifier = classifier_of(lambda patches: np.tile([1 - p, p], (len(patches), 1)))
    photo = np.zeros((*shape, 3), np.uint8)
    pixels = SlidingWindow(classifier, lesion_size=(4, 12)).localize(photo).to_pixels()
    np.testing.assert_array_equal(pixels, np.full(shape, pixels[0, 0]))
    assert pixels[0, 0] == pytest.approx(p, abs=1e-6)


def test_a_classifier_that_knows_one_window_lights_that_window_alone(noise):
    top, left = 48, 64
    wanted = noise[top : top + SIDE, left : left + SIDE]

    def knows(patches):
        found = (patches == wanted).all(axis=(1, 2, 3)).astype(float)
        return np.stack([1 - found, found], axis=1)

    pixels = SlidingWindow(classifier_of(knows), lesion_size=SIDE / 2).localize(noise).to_pixels()
    rows, cols = np.nonzero(pixels)
    assert pixels[top + SIDE // 2, left + SIDE // 2] > 0.5
    assert rows.min() >= top
    assert rows.max() < top + SIDE
    assert cols.min() >= left
    assert cols.max() < left + SIDE


@settings(max_examples=25, deadline=None)
@given(
    size=st.sampled_from([12.0, 25.0, 50.0]),
    shift=st.tuples(st.integers(-30, 30), st.integers(-30, 30)),
)
def test_a_lesion_that_moves_takes_its_region_with_it(size, shift):
    def region(centre):
        photo = photo_with_disc((260, 300), centre, size)
        (found,) = slidewin.locate(
            photo, classifier_of(dark_middle), lesion_size=size, threshold=0.3
        ).regions
        return found

    before, after = region((130.0, 150.0)), region((130.0 + shift[0], 150.0 + shift[1]))
    for axis in (0, 1):
        moved = after.centre[axis] - before.centre[axis]
        assert abs(moved - shift[axis]) <= size / 4  # half a stride


def test_over_all_phases_of_the_grid_a_lesion_is_found_where_it_is_without_bias():
    size, errors, peaks = 16.0, [], []
    for row in range(8):
        for col in range(8):
            centre = (80.5 + row, 90.5 + col)
            photo = photo_with_disc((160, 180), centre, size)
            found = slidewin.locate(
                photo, classifier_of(dark_middle), lesion_size=size, threshold=0.3
            )
            errors.append(np.subtract(found.regions[0].centre, centre))
            peaks.append(found.regions[0].score)
    assert np.abs(errors).max() <= size / 4
    assert np.abs(np.mean(errors, axis=0)).max() <= 0.5  # a pixel's half, of a stride of 8
    assert min(peaks) >= 0.7 * max(peaks)


def test_a_coarse_level_does_not_answer_for_the_whole_photo():
    """One window of a 96 px photo sees a lesion of 60 px, and a map of 96 x 96 px is no answer."""

    def large_alone(patches):
        lit = dark_middle(patches)[:, 1] > 0.6
        return np.stack([~lit, lit], axis=1).astype(float)

    photo = photo_with_disc((96, 96), (48, 48), 60)
    found = slidewin.locate(photo, classifier_of(large_alone), lesion_size=(8, 60), threshold=0.5)
    assert found.assessed.all()
    assert found.mask[48, 48]
    assert not found.mask[:8].any()
    assert not found.mask[:, :8].any()


def test_levels_keep_the_photo_s_geometry():
    ramp = np.repeat(np.arange(120, dtype=np.uint8)[:, None], 90, axis=1)
    photo = np.repeat(ramp[:, :, None], 3, axis=2)
    (level,) = SlidingWindow(classifier_of(dark_middle), lesion_size=24).plan(photo.shape).levels
    image = resample(photo, level)
    rows, _ = level.to_photo(np.arange(image.shape[0]) + 0.5, 0.0)
    np.testing.assert_allclose(image[:, 0, 0], rows - 0.5, atol=1)


def test_a_photo_smaller_than_a_window_is_padded_by_its_mirror_image(dark):
    photo = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    sweep = SlidingWindow(dark, lesion_size=8)
    (level,) = sweep.plan(photo.shape).levels
    assert resample(photo, level).shape == (SIDE, SIDE, 3)
    heat = sweep.localize(photo)
    assert heat.settings["levels"][0]["padded_by_reflection"]
    assert np.isfinite(heat.to_pixels()).all()


def thread_counts(patches):
    """Answer with the numbers of threads that this worker may use, as probabilities."""
    counts = [torch.get_num_threads(), *(x["num_threads"] for x in threadpool_info())]
    p = max(counts) / 1000
    return np.tile([1 - p, p], (len(patches), 1))


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_workers_together_stay_within_the_cores(backend, noise):
    with joblib.parallel_config(backend, n_jobs=2):
        (values,) = SlidingWindow(classifier_of(thread_counts), lesion_size=8).probabilities(noise)
    assert round(float(values[..., 1].max()) * 1000) <= max(1, joblib.cpu_count() // 2)


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_thread_counts_are_given_back(backend, noise, network):
    before = torch.get_num_threads(), threadpool_info()
    torch.set_num_threads(before[0])  # from now on new threads inherit it
    with joblib.parallel_config(backend, n_jobs=2):
        SlidingWindow(network, lesion_size=40).localize(noise)
    assert (torch.get_num_threads(), threadpool_info()) == before
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(torch.get_num_threads).result() == before[0]


def test_a_classifier_travels_to_each_process_once(noise):
    pids = []

    class Counted:
        def __call__(self, patches):
            return dark_middle(patches)

        def __reduce__(self):
            pids.append(os.getpid())
            return (Counted, ())

    classifier = classifier_of(Counted())
    with joblib.parallel_config("loky", n_jobs=2):
        SlidingWindow(classifier, lesion_size=8, stride=0.125).localize(noise)
    assert len(pids) == 1


def test_the_model_is_left_as_it_was(noise, network):
    module = network.module.train()
    module[1].eval()
    modes = [layer.training for layer in module.modules()]
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    SlidingWindow(network, lesion_size=40, n_jobs=2).localize(noise)
    assert [layer.training for layer in module.modules()] == modes
    assert all(torch.equal(tensor, state[name]) for name, tensor in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())


def test_the_photo_may_be_read_only_and_is_not_changed(noise, dark):
    before = noise.copy()
    noise.flags.writeable = False
    SlidingWindow(dark, lesion_size=8).localize(noise)
    np.testing.assert_array_equal(noise, before)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_classifier_that_fails_is_reported_with_the_place(n_jobs, noise):
    def fails(patches):
        raise KeyError("no such thing")

    sweep = SlidingWindow(classifier_of(fails), lesion_size=8, n_jobs=n_jobs)
    with pytest.raises(
        SweepError,
        match=r"row \d+, column \d+ of level 0 .*photo row [\d.]+, column [\d.]+.*KeyError",
    ):
        sweep.localize(noise)


def test_the_very_window_that_fails_is_named(noise):
    (level,) = SlidingWindow(classifier_of(dark_middle), lesion_size=8).plan(noise.shape).levels
    top, left = level.tops[3], level.lefts[5]
    wanted = noise[top : top + SIDE, left : left + SIDE]

    def nan_there(patches):
        there = (patches == wanted).all(axis=(1, 2, 3))
        return np.where(there[:, None], np.nan, dark_middle(patches))

    with pytest.raises(ClassifierError, match=r"row 3, column 5 of level 0"):
        SlidingWindow(classifier_of(nan_there), lesion_size=8).localize(noise)


def test_no_window_is_blamed_for_what_its_batch_does(noise):
    def one_at_a_time(patches):
        if len(patches) > 1:
            raise ValueError("one only")
        return dark_middle(patches)

    with pytest.raises(
        SweepError, match=r"^windows of rows 0 to \d+ of level 0 .*one only; no win"
    ):
        SlidingWindow(classifier_of(one_at_a_time), lesion_size=8).localize(noise)


@pytest.mark.parametrize("error", [MemoryError, torch.OutOfMemoryError])
def test_for_want_of_memory_no_window_is_searched(error, noise):
    asked = []

    def large(patches):
        asked.append(len(patches))
        raise error("too large")

    with pytest.raises(SweepError, match=r"^windows of rows .*too large; use a smaller batch_size"):
        SlidingWindow(classifier_of(large), lesion_size=8).localize(noise)
    assert len(asked) == 1


def test_a_model_file_that_is_gone_is_not_taken_for_a_full_disk(noise, dark, monkeypatch):
    def gone(*args, **kwargs):
        raise ModelFileError("a.onnx: cannot be read")

    monkeypatch.setattr("slidewin.sweep.gather.classify", gone)
    with pytest.raises(ModelFileError, match=r"a\.onnx: cannot be read"):
        SlidingWindow(dark, lesion_size=8).localize(noise)


def test_a_classifier_that_cannot_travel_is_reported_with_what_to_do(noise):
    lock = threading.Lock()

    def locked(patches):
        with lock:
            return dark_middle(patches)

    sweep = SlidingWindow(classifier_of(locked), lesion_size=8)
    with (
        joblib.parallel_config("loky", n_jobs=2),
        pytest.raises(SweepError, match=r"cannot travel.*threads"),
    ):
        sweep.localize(noise)
    assert sweep.localize(noise).layers


def test_more_workers_than_cores_are_not_started(noise):
    sweep = SlidingWindow(classifier_of(thread_counts), lesion_size=8, n_jobs=64)
    (values,) = sweep.probabilities(noise)
    assert round(float(values[..., 1].max()) * 1000) == 1


def test_a_killed_worker_is_reported_with_what_to_do(noise):
    def dies(patches):
        os._exit(1)

    sweep = SlidingWindow(classifier_of(dies), lesion_size=8)
    with (
        joblib.parallel_config("loky", n_jobs=2),
        pytest.raises(SweepError, match=r"killed.*batch_size than 64 or fewer workers than 2"),
    ):
        sweep.localize(noise)


def test_what_is_no_probability_is_refused(noise):
    logits = classifier_of(lambda patches: np.tile([3.0, -1.0], (len(patches), 1)))
    with pytest.raises(ClassifierError, match=r"from -1 to 3.*softmax"):
        SlidingWindow(logits, lesion_size=8).localize(noise)


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        ({"batch_size": 0}, ArgumentError, "batch_size=0"),
        ({"target": "wart"}, ArgumentError, "'wart'.*background, lesion"),
        ({"lesion_size": -3}, ArgumentError, "lesion_size"),
        ({"stride": 1.5}, ArgumentError, "stride=1.5"),
        ({"n_jobs": 0}, ArgumentError, "n_jobs=0"),
        ({"n_jobs": "2"}, ArgumentError, "n_jobs='2'"),
    ],
)
def test_wrong_options_are_refused_in_words(wrong, error, words, noise, dark):
    with pytest.raises(error, match=words):
        SlidingWindow(dark, **{"lesion_size": 8, **wrong}).localize(noise)


def test_a_bare_function_is_no_classifier():
    with pytest.raises(ArgumentTypeError, match="load_classifier"):
        SlidingWindow(dark_middle)


def test_progress_shows_on_long_work_and_not_when_asked(noise, dark, capsys, monkeypatch):
    monkeypatch.setattr("slidewin.sweep.gather._PROGRESS_AFTER_S", 0)
    SlidingWindow(dark, lesion_size=8, verbose=0).localize(noise)
    assert capsys.readouterr().err == ""
    SlidingWindow(dark, lesion_size=8).localize(noise)
    assert "window" in capsys.readouterr().err
