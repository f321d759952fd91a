import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidewin.training.distort import DISTORTIONS, distort


def picture(size=32):
    down, across = np.mgrid[:size, :size] * (140 / size) + 60
    return np.stack([down, across, np.full_like(down, 120)], axis=-1)


@pytest.mark.parametrize("kind", DISTORTIONS)
def test_each_distortion_changes_some_windows_and_never_the_original(kind):
    patch = picture().astype(np.uint8)
    before = patch.copy()
    changed = 0
    for seed in range(60):
        out = distort(patch, np.random.default_rng(seed), kinds=(kind,))
        assert out.shape == patch.shape
        assert out.dtype == np.uint8
        changed += bool((out != patch).any())
    assert changed > 0
    np.testing.assert_array_equal(patch, before)


@given(st.integers(0, 10_000))
def test_the_same_seed_distorts_alike_and_no_kind_leaves_the_window_as_it_is(seed):
    patch = picture().astype(np.uint8)
    one, other = (distort(patch, np.random.default_rng(seed)) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    untouched = distort(patch, np.random.default_rng(seed), kinds=())
    np.testing.assert_array_equal(untouched, patch)


def test_light_changes_colours_and_brightness_smoothly():
    flat = np.full((16, 16, 3), 100, np.uint8)
    lit = [distort(flat, np.random.default_rng(seed), kinds=("light",)) for seed in range(40)]
    assert np.std([window.mean() for window in lit]) > 5
    assert np.std([window[..., 0].mean() - window[..., 2].mean() for window in lit]) > 1
    # However it falls, light has no edges.
    steps = [
        np.abs(np.diff(window.astype(int), axis=axis)).max() for window in lit for axis in (0, 1)
    ]
    assert max(steps) <= 8
