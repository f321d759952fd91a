"""The default network, made to be swept.

No padding anywhere, so a window's output depends on the window's pixels alone; every layer is
local; and the receptive field is exactly one window: 64 px, not 59 and a rim that nothing sees.
The head stays a convolution as large as a window's feature map. Global average pooling after it
changes nothing for one window (the map is 1 x 1) and lets a whole photo through as well.
"""

from collections.abc import Iterable
from typing import NamedTuple

from torch import nn

from slidewin.errors import ArgumentError

__all__ = ["ReceptiveField", "receptive_field", "window_network"]

# (kernel, stride, share of `width`) of each convolution. Kernels of 4 stand where a stride of 2
# would otherwise leave a row and a column of its input unread.
_BODY = ((4, 2, 1), (3, 1, 1), (3, 2, 2), (3, 1, 2), (4, 2, 4), (3, 1, 4))
_HEAD_KERNEL = 3

# Layers that keep the lattice of cells as it is.
_POINTWISE = (
    nn.BatchNorm2d,
    nn.ReLU,
    nn.LeakyReLU,
    nn.ELU,
    nn.GELU,
    nn.SiLU,
    nn.Sigmoid,
    nn.Tanh,
    nn.Identity,
    nn.Dropout,
    nn.Dropout2d,
)


def window_network(n_classes: int, *, width: int = 32, dropout: float = 0.2) -> nn.Sequential:
    """Build an untrained network for windows of 64 x 64 pixels.

    Six convolutions with a total stride of 8 and a convolutional head. At ``width=32`` it has
    0.35 million parameters and takes 22 million multiplications a window.

    Parameters
    ----------
    n_classes : int
        Number of classes, at least 2.
    width : int
        Channels of the first layer; later ones have two and four times as many.
    dropout : float
        Share of feature channels dropped before the head while training.

    Returns
    -------
    torch.nn.Sequential
        Maps ``(n, 3, 64, 64)`` to logits ``(n, n_classes)``. A larger input gives the mean of
        its windows' logits at stride 8.

    Examples
    --------
    >>> import torch
    >>> network = window_network(3).eval()
    >>> network(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2, 3])
    >>> receptive_field(network[:-2])  # all but the pooling and flattening
    ReceptiveField(size=64, stride=8, start=0)
    """
    if n_classes < 2 or width < 1:
        raise ArgumentError(
            f"n_classes={n_classes}, width={width}: at least 2 classes are needed, background "
            "among them, and 1 channel"
        )
    layers: list[nn.Module] = []
    channels = 3
    for kernel, stride, share in _BODY:
        layers += [
            nn.Conv2d(channels, width * share, kernel, stride, bias=False),
            nn.BatchNorm2d(width * share),
            nn.ReLU(),
        ]
        channels = width * share
    layers += [
        nn.Dropout2d(dropout),
        nn.Conv2d(channels, n_classes, _HEAD_KERNEL),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    ]
    return nn.Sequential(*layers)


class ReceptiveField(NamedTuple):
    """What one cell of a feature map sees of the input.

    Cell ``i`` along an axis sees the ``size`` input pixels from ``start + i * stride``, so its
    centre is ``start + i * stride + size / 2`` in the convention that pixel centres are at +0.5.
    """

    size: int
    stride: int
    start: int

    def centre(self, cell: int) -> float:
        """Centre of a cell in input coordinates.

        Examples
        --------
        >>> ReceptiveField(size=3, stride=2, start=0).centre(1)
        3.5
        """
        return self.start + cell * self.stride + self.size / 2


def receptive_field(layers: Iterable[nn.Module]) -> ReceptiveField | None:
    """Size, stride and start of the receptive field of a chain of layers.

    Parameters
    ----------
    layers : torch.nn.Sequential, or other iterable of layers
        A chain of convolutions, poolings and pointwise layers, square kernels.

    Returns
    -------
    ReceptiveField or None
        None where the chain has a layer whose geometry is not that of a sliding kernel.

    Examples
    --------
    >>> receptive_field(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2)))
    ReceptiveField(size=4, stride=2, start=0)
    >>> receptive_field(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1)))
    ReceptiveField(size=3, stride=1, start=-1)
    >>> receptive_field(nn.Sequential(nn.Flatten())) is None
    True
    """
    size, stride, start = 1, 1, 0
    for layer in layers:
        if isinstance(layer, _POINTWISE):
            continue
        if not isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            return None
        geometry = [
            _square(layer.kernel_size),
            _square(layer.stride),
            _square(layer.padding),
            _square(getattr(layer, "dilation", 1)),
        ]
        if None in geometry:
            return None
        kernel, step, padding, dilation = (int(g) for g in geometry if g is not None)
        size += (kernel - 1) * dilation * stride
        start -= padding * stride
        stride *= step
    return ReceptiveField(size, stride, start)


def _square(value: object) -> int | None:
    """One number for both axes, or None where the axes differ or the value is a word."""
    if isinstance(value, int):
        return value
    if isinstance(value, tuple) and len(set(value)) == 1 and isinstance(value[0], int):
        return value[0]
    return None
