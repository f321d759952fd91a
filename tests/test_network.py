import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from slidewin.classifier.receptive import ReceptiveField, receptive_field
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


def test_receptive_fields_that_can_be_worked_out_by_hand():
    conv, pool, relu = nn.Conv2d(1, 1, 3), nn.MaxPool2d(2), nn.ReLU()
    assert receptive_field([]) == ReceptiveField(1, 1, 0)
    assert receptive_field([relu, nn.BatchNorm2d(1), nn.Dropout2d()]) == ReceptiveField(1, 1, 0)
    assert receptive_field([conv, conv]) == ReceptiveField(5, 1, 0)
    assert receptive_field([conv, relu, pool, conv]) == ReceptiveField(8, 2, 0)
    assert receptive_field([nn.Conv2d(1, 1, 7, stride=2, padding=3)]) == ReceptiveField(7, 2, -3)
    assert receptive_field([nn.Conv2d(1, 1, 3, dilation=4)]) == ReceptiveField(9, 1, 0)
    assert receptive_field([nn.AvgPool2d(3, stride=2)] * 2) == ReceptiveField(7, 4, 0)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(1, 1, (3, 1)),
        nn.Conv2d(1, 1, 3, stride=(2, 1)),
        nn.Conv2d(1, 1, 3, padding="same"),
        nn.ConvTranspose2d(1, 1, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(1, 1),
        nn.Upsample(scale_factor=2),
        nn.Sequential(nn.Conv2d(1, 1, 3)),
    ],
)
def test_a_layer_that_is_no_square_sliding_kernel_has_no_receptive_field(layer):
    assert receptive_field([nn.Conv2d(1, 1, 3), layer]) is None


@st.composite
def chains(draw) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for _ in range(draw(st.integers(1, 4))):
        kernel = draw(st.integers(1, 5))
        stride, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2))
        kind = draw(st.sampled_from(["conv", "max", "average", "pointwise"]))
        half = draw(st.integers(0, kernel // 2))
        if kind == "conv":
            padding = draw(st.integers(0, 3))
            layers.append(nn.Conv2d(1, 1, kernel, stride, padding, dilation))
        elif kind == "max":
            layers.append(nn.MaxPool2d(kernel, stride, half, dilation))
        elif kind == "average":
            layers.append(nn.AvgPool2d(kernel, draw(st.sampled_from([None, stride])), half))
        else:
            layers.append(draw(st.sampled_from([nn.BatchNorm2d(1), nn.Tanh(), nn.Identity()])))
    return layers


@settings(max_examples=60, deadline=None)
@given(layers=chains(), length=st.integers(20, 40))
def test_the_receptive_field_is_what_probing_finds(layers, length):
    field = receptive_field(layers)
    assume(field.size <= length)
    module = nn.Sequential(*layers).eval().double()
    # NaN in one row of the input turns to NaN all that depends on it, whatever the weights are.
    probes = torch.zeros(length, 1, length, length, dtype=torch.float64)
    probes[torch.arange(length), :, torch.arange(length)] = torch.nan
    with torch.no_grad():
        depends = module(probes).isnan().any(dim=(1, 3)).T.numpy()  # (cells, rows of the input)
    whole = 0
    for cell, rows in enumerate(depends):
        first = field.start + cell * field.stride
        found = np.flatnonzero(rows)
        assert not found.size or (first <= found[0] and found[-1] < first + field.size)
        if first >= 0 and first + field.size <= length:
            assert (found[0], found[-1] + 1) == (first, first + field.size)
            assert field.centre(cell) == (found[0] + found[-1] + 1) / 2
            whole += 1
    assume(whole)
