"""Where cells stand, by hand and by probing."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from slidewin.saliency.cells import Following, Lattice


def followed(module, *, shape=(24, 24), channels=1):
    """Where the cells of what a module returns stand."""
    image = torch.zeros(1, channels, *shape)
    with torch.no_grad(), Following(image) as following:
        return following.lattice(module.eval()(image))


def conv(*args, **options):
    return nn.Conv2d(1, 1, *args, **options)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize(
    ("module", "first", "step"),
    [
        (nn.Identity(), 0.5, 1),
        (nn.Sequential(nn.ReLU(inplace=True), nn.BatchNorm2d(1), nn.Dropout2d()), 0.5, 1),
        (nn.Sequential(conv(3), conv(3)), 2.5, 1),
        (nn.Sequential(conv(3), nn.ReLU(), nn.MaxPool2d(2), conv(3)), 4, 2),
        (conv(7, stride=2, padding=3), 0.5, 2),
        (conv(3, dilation=4), 4.5, 1),
        (nn.Sequential(nn.AvgPool2d(3, stride=2), nn.AvgPool2d(3, stride=2)), 3.5, 4),
        (conv(4, padding="same"), 1, 1),
        (conv(3, padding="valid"), 1.5, 1),
        (conv(3, padding=1, padding_mode="reflect"), 0.5, 1),
        (nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), conv(3, stride=2)), 1.5, 2),
        (nn.MaxPool2d(3, 2, ceil_mode=True), 1.5, 2),
        (nn.AvgPool2d(2), 1, 2),
    ],
)
def test_places_that_can_be_worked_out_by_hand(module, first, step):
    assert followed(module) == Lattice((-2, -1), (first, first), (step, step))


def test_rows_and_columns_may_differ():
    assert followed(conv((3, 5), stride=(1, 2))) == Lattice((-2, -1), (1.5, 2.5), (1, 2))
    padded = followed(nn.ZeroPad2d((2, 0, 5, 0)))
    assert padded == Lattice((-2, -1), (-4.5, -1.5), (1, 1))
    assert padded.places(0, 2).tolist() == [-4.5, -3.5]
    assert padded.places(1, 3).tolist() == [-1.5, -0.5, 0.5]


class Residual(nn.Module):
    """A ResNet's block, with a gate of one cell, and its layers as functions."""

    def __init__(self, stride):
        super().__init__()
        self.one, self.two = conv(3, stride=stride, padding=1), conv(3, padding=1)
        self.short, self.gate = conv(1, stride=stride), nn.AdaptiveAvgPool2d(1)

    def forward(self, x):
        y = self.two(torch.relu_(self.one(x)))
        return torch.relu(y * self.gate(y).sigmoid() + self.short(x))


def test_a_resnets_cells_stand_at_their_upper_left():
    stem = [conv(7, stride=2, padding=3), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    blocks = [Residual(stride) for stride in (1, 2, 2, 2)]
    assert followed(nn.Sequential(*stem, nn.Sequential(*blocks)), shape=(64, 64)) == Lattice(
        (-2, -1), (0.5, 0.5), (32, 32)
    )


class Norm(nn.Module):
    """Over channels, moved to the end and back, as in a ConvNeXt."""

    def forward(self, x):
        last = nn.functional.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2])
        return torch.permute(last, (0, 3, -3, -2))


class Last(nn.Module):
    def forward(self, x):
        return x.permute(0, 2, 3, 1)


def test_axes_are_followed_where_they_are_moved():
    patches = conv(4, stride=4)
    assert followed(nn.Sequential(patches, Norm(), conv(2, stride=2))) == Lattice(
        (-2, -1), (4, 4), (8, 8)
    )
    assert followed(nn.Sequential(patches, Last())) == Lattice((-3, -2), (2, 2), (4, 4))


def test_cells_in_groups_and_parts_are_followed():
    class Parts(nn.Module):
        def forward(self, x):
            one, other = x.chunk(2, dim=1)
            return torch.cat([other, one], dim=1)

    module = nn.Sequential(nn.AvgPool2d(2), nn.ChannelShuffle(2), Parts())
    assert followed(module, channels=4) == Lattice((-2, -1), (1, 1), (2, 2))


@pytest.mark.parametrize(
    "layer",
    [
        nn.ConvTranspose2d(1, 1, 2),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Upsample(scale_factor=2),
        nn.Sequential(Last(), nn.Conv2d(24, 1, 1)),
    ],
)
def test_what_is_not_known_is_not_guessed(layer):
    assert followed(nn.Sequential(layer, nn.ReLU())) is None


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
def test_cells_stand_where_probing_finds_them(layers, length):
    module = nn.Sequential(*layers).eval().double()
    # NaN in one row of the input turns to NaN all that depends on it, whatever the weights are.
    probes = torch.zeros(length, 1, length, length, dtype=torch.float64)
    probes[torch.arange(length), :, torch.arange(length)] = torch.nan
    with torch.no_grad():
        try:
            found = module(probes).isnan()
        except RuntimeError:  # too small for these layers
            assume(False)
        depends = found.any(dim=(1, 3)).T.numpy()  # (cells, rows of the input)
    lattice = followed(module.float(), shape=(length, length))
    seen = [np.flatnonzero(rows) for rows in depends]
    size = apart = 1
    for layer in layers:
        kernel, stride = getattr(layer, "kernel_size", 1), getattr(layer, "stride", 1)
        kernel, stride = (n if isinstance(n, int) else n[0] for n in (kernel, stride))
        dilation = getattr(layer, "dilation", 1)
        size += (kernel - 1) * apart * (dilation if isinstance(dilation, int) else dilation[0])
        apart *= stride
    # Where a field does not reach over the border.
    whole = [i for i, s in enumerate(seen) if s.size and s[-1] - s[0] + 1 == size]
    assume(whole)
    for cell in whole:
        assert lattice.places(0, len(seen))[cell] == (seen[cell][0] + seen[cell][-1] + 1) / 2
