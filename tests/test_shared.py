import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from slidewin.classifier import Classifier, load_classifier
from slidewin.classifier.shared import aligned, find_shared_pass
from slidewin.network import window_network

HEAD = (nn.AdaptiveAvgPool2d(1), nn.Flatten())


def small_network():
    """Windows of 10 px to one cell, from cell to cell 4 px."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 4, 4, stride=2),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 3, 2),
            *HEAD,
        ).eval()


@given(st.integers(10, 60), st.integers(10, 60), st.integers(1, 9), st.data())
@settings(max_examples=60)
def test_sharing_answers_for_every_window_as_each_window_does_by_itself(h, w, stride, data):
    classifier = load_classifier(small_network(), classes=["a", "b", "c"], input_size=10)
    assert classifier.shares_windows
    image = np.random.default_rng(h * w).integers(0, 256, (h, w, 3), dtype=np.uint8)
    tops = [*range(0, h - 10, stride), h - 10]
    lefts = sorted(data.draw(st.sets(st.integers(0, w - 10), min_size=1, max_size=6)))
    shared = classifier.predict_windows(image, tops, lefts)
    alone = Classifier.predict_windows(classifier, image, tops, lefts)
    assert shared.shape == (len(tops), len(lefts), 3)
    np.testing.assert_allclose(shared, alone, atol=1e-5)


def test_the_default_network_shares_and_leaves_the_module_as_it_was(network):
    assert network.shares_windows
    assert find_shared_pass(network.module, 64).stride == 8
    image = np.random.default_rng(0).integers(0, 256, (150, 131, 3), dtype=np.uint8)
    tops, lefts = [0, 16, 86], [0, 16, 32, 48, 64, 67]
    network.module.train()
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    shared = network.predict_windows(image, tops, lefts)
    assert network.module.training
    for name, value in network.module.state_dict().items():
        assert torch.equal(value, before[name]), name
    alone = Classifier.predict_windows(network, image, tops, lefts)
    np.testing.assert_allclose(shared, alone, atol=1e-5)


class Pads(nn.Conv2d):
    """By its attributes without padding."""

    def forward(self, x):
        return super().forward(nn.functional.pad(x, (1, 1, 1, 1)))


def patched(layer):
    layer.forward = lambda x: nn.Conv2d.forward(layer, x) - x.mean()
    return layer


def unpadded_later(layer):
    layer.padding = (0, 0)  # which it does not look at
    return layer


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Conv2d(3, 2, 12, padding=1)],
        [nn.Conv2d(3, 2, 11)],  # two cells to a window, which are pooled
        [nn.Conv2d(3, 2, 12), nn.InstanceNorm2d(2)],
        [nn.Conv2d(3, 2, 12), nn.BatchNorm2d(2, track_running_stats=False)],
        [nn.Sequential(nn.Conv2d(3, 2, 12))],
        [Pads(3, 2, 12)],
        [patched(nn.Conv2d(3, 2, 12))],
        [unpadded_later(nn.Conv2d(3, 2, 12, padding=1, padding_mode="reflect"))],
    ],
)
def test_what_is_not_sure_to_be_exact_is_not_shared(layers):
    assert find_shared_pass(nn.Sequential(*layers, *HEAD), 12) is None


def test_a_module_of_ones_own_kind_or_another_head_is_not_shared():
    class Own(nn.Sequential):
        pass

    body = nn.Conv2d(3, 2, 12)
    assert find_shared_pass(nn.Sequential(body, *HEAD), 12) is not None
    assert find_shared_pass(Own(body, *HEAD), 12) is None
    assert find_shared_pass(nn.Sequential(body, nn.AdaptiveMaxPool2d(1), nn.Flatten()), 12) is None
    assert find_shared_pass(nn.Sequential(body, nn.AdaptiveAvgPool2d(2), nn.Flatten()), 12) is None
    assert find_shared_pass(nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(2)), 12) is None


def test_cells_that_stick_out_at_the_border_of_a_level_answer_for_no_window():
    torch.manual_seed(0)
    body = (nn.Conv2d(3, 4, 3), nn.MaxPool2d(2, ceil_mode=True), nn.Conv2d(4, 2, 2))
    classifier = load_classifier(
        nn.Sequential(*body, *HEAD).eval(), classes=["a", "b"], input_size=6
    )
    assert classifier.shares_windows
    image = np.random.default_rng(0).integers(0, 256, (13, 11, 3), dtype=np.uint8)
    tops, lefts = list(range(8)), list(range(6))
    shared = classifier.predict_windows(image, tops, lefts)
    alone = Classifier.predict_windows(classifier, image, tops, lefts)
    np.testing.assert_allclose(shared, alone, atol=1e-5)


@pytest.mark.parametrize(
    ("origins", "passes"),
    [
        ([0, 4, 8, 12], 1),  # all whole strides apart
        ([0, 4, 8, 11], 4),  # a strip, two sides and a corner
        ([0, 41, 82, 123], 0),  # sixteen passes over all would see far more than sixteen windows
    ],
)
def test_windows_are_shared_where_that_is_less_work(origins, passes, monkeypatch):
    classifier = load_classifier(small_network(), classes=["a", "b", "c"], input_size=10)
    seen = []
    one_pass = type(classifier)._in_one_pass
    monkeypatch.setattr(
        type(classifier), "_in_one_pass", lambda *args: seen.append(1) or one_pass(*args)
    )
    image = np.zeros((140, 140, 3), np.uint8)
    assert classifier.predict_windows(image, origins, origins).shape == (4, 4, 3)
    assert len(seen) == passes


def test_whoever_listens_in_hears_of_windows():
    module = window_network(2).eval()
    classifier = load_classifier(module, classes=["a", "b"], input_size=64)
    heard = []
    handle = module[0].register_forward_hook(lambda *args: heard.append(tuple(args[1][0].shape)))
    assert not classifier.shares_windows
    classifier.predict_windows(np.zeros((80, 80, 3), np.uint8), [0, 16], [0, 16])
    assert heard == [(4, 3, 64, 64)]
    handle.remove()
    assert classifier.shares_windows


def test_origins_are_grouped_by_what_is_left_of_a_stride():
    assert aligned([0, 8, 16, 19], 8) == [[0, 1, 2], [3]]
    assert aligned([5], 8) == [[0]]
    assert aligned([0, 3, 4, 7], 4) == [[0, 2], [1, 3]]
