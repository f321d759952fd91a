import numpy as np
import pytest
import torch
from torch import nn

from slidewin.errors import ArgumentError
from slidewin.network import window_network

WINDOW, STRIDE = 64, 8


@pytest.fixture
def body(network):
    """The default network up to its map of logits, in double precision."""
    return network.module[:-2].double()


def seen_by(body, cell, shape):
    """Where the logits of a cell have a gradient, over several random inputs."""
    torch.manual_seed(0)
    x = torch.randn(8, 3, *shape, dtype=torch.float64, requires_grad=True)
    logits = body(x)[:, :, cell[0], cell[1]]
    (gradient,) = torch.autograd.grad(logits.abs().sum(), x)
    return (gradient != 0).any(dim=(0, 1)).numpy()


def test_a_window_is_exactly_what_a_cell_sees(body):
    shape = (WINDOW + 3 * STRIDE, WINDOW + 2 * STRIDE)
    for cell in [(0, 0), (1, 0), (3, 2)]:
        expected = np.zeros(shape, bool)
        top, left = (STRIDE * i for i in cell)
        expected[top : top + WINDOW, left : left + WINDOW] = True
        # No gradient beyond the window, and none of its pixels is blind, up to all four borders.
        np.testing.assert_array_equal(seen_by(body, cell, shape), expected)


@pytest.mark.parametrize("shape", [(64, 64), (72, 64), (96, 120), (83, 101)])
def test_a_larger_input_gives_the_mean_of_its_windows_logits(network, shape):
    torch.manual_seed(1)
    x = torch.randn(2, 3, *shape)
    windows = [
        x[:, :, top : top + WINDOW, left : left + WINDOW]
        for top in range(0, shape[0] - WINDOW + 1, STRIDE)
        for left in range(0, shape[1] - WINDOW + 1, STRIDE)
    ]
    with torch.no_grad():
        logits = network.module(torch.cat(windows)).unflatten(0, (len(windows), 2))
        torch.testing.assert_close(network.module(x), logits.mean(dim=0), rtol=0, atol=1e-5)


def test_each_cell_of_the_map_is_the_logits_of_its_window(body):
    torch.manual_seed(2)
    x = torch.randn(1, 3, 80, 96, dtype=torch.float64)
    logits = body(x)[0]
    assert logits.shape == (3, 3, 5)
    for i, j in np.ndindex(3, 5):
        window = x[:, :, STRIDE * i : STRIDE * i + WINDOW, STRIDE * j : STRIDE * j + WINDOW]
        torch.testing.assert_close(body(window)[0, :, 0, 0], logits[:, i, j])


def test_a_smaller_input_does_not_fit(network):
    with pytest.raises(RuntimeError):
        network.module(torch.zeros(1, 3, WINDOW - 1, WINDOW))


def test_the_cost_is_as_documented():
    network = window_network(3).eval()
    multiplications = []

    def count(layer, _, output):
        multiplications.append(output[0, 0].numel() * layer.weight.numel())

    for layer in network:
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    network(torch.zeros(1, 3, WINDOW, WINDOW))
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(0.35e6, rel=0.03)
    assert sum(multiplications) == pytest.approx(23e6, rel=0.03)


@pytest.mark.parametrize("options", [{"n_classes": 1}, {"n_classes": 3, "width": 0}])
def test_a_network_needs_classes_and_channels(options):
    with pytest.raises(ArgumentError, match=r"at least 2 classes are needed.* and 1 channel"):
        window_network(**options)
