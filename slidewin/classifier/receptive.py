"""What one cell of a feature map sees of its input."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import nn

__all__ = ["POINTWISE", "ReceptiveField", "receptive_field"]

POINTWISE = (
    "BatchNorm2d",
    "ReLU",
    "LeakyReLU",
    "ELU",
    "GELU",
    "SiLU",
    "Sigmoid",
    "Tanh",
    "Identity",
    "Dropout",
    "Dropout2d",
)
"""Layers that keep the lattice of cells as it is."""


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


def receptive_field(layers: "Iterable[nn.Module]") -> ReceptiveField | None:
    """Size, stride and start of the receptive field of a chain of layers.

    Parameters
    ----------
    layers : torch.nn.Sequential, or other iterable of layers
        A chain of convolutions, poolings and pointwise layers, square kernels.

    Returns
    -------
    ReceptiveField or None
        None where the chain has a layer whose geometry is not that of a sliding kernel, or not
        known: that of a class derived from torch's may be any.

    Examples
    --------
    >>> from torch import nn
    >>> receptive_field(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2)))
    ReceptiveField(size=4, stride=2, start=0)
    >>> receptive_field(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1)))
    ReceptiveField(size=3, stride=1, start=-1)
    >>> receptive_field(nn.Sequential(nn.Flatten())) is None
    True
    """
    from torch import nn

    size, stride, start = 1, 1, 0
    for layer in layers:
        if type(layer) in [getattr(nn, name) for name in POINTWISE]:
            continue
        if type(layer) not in (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d):
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
