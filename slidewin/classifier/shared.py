"""What overlapping windows share: one pass over a level instead of one for each window.

A chain of convolutions, poolings and pointwise layers without padding gives, at each cell, what it
would give for the window under that cell alone. So a network that turns one window into one cell
turns a whole level into all of its windows, each computed once; equal to rounding.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ReceptiveField", "SharedPass", "aligned", "find_shared_pass", "receptive_field"]

# Layers that keep the lattice of cells as it is.
_POINTWISE = (
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


class SharedPass(NamedTuple):
    """The layers that turn one window into one cell, and the step from cell to cell."""

    body: "nn.Sequential"
    stride: int

    def pays(self, tops: Sequence[int], lefts: Sequence[int], side: int) -> bool:
        """Whether its passes, one for each way that origins lie, see less than the windows do.

        Examples
        --------
        >>> shared = SharedPass(body=None, stride=8)
        >>> shared.pays([0, 16, 32, 37], [0, 16], 64), shared.pays([0, 37], [0, 61], 64)
        (True, False)
        """
        seen = [
            sum(origins[group[-1]] - origins[group[0]] + side for group in groups)
            for origins, groups in ((o, aligned(o, self.stride)) for o in (tops, lefts))
        ]
        return seen[0] * seen[1] < len(tops) * len(lefts) * side**2


def find_shared_pass(module: "nn.Module", input_size: int) -> SharedPass | None:
    """Find how a network's windows can share their work, exactly.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode.
    input_size : int
        Side of a window.

    Returns
    -------
    SharedPass or None
        None for all but a plain ``nn.Sequential`` of layers without padding that see exactly one
        window, followed by global average pooling and flattening.

    Examples
    --------
    >>> from slidewin.network import window_network
    >>> find_shared_pass(window_network(2), 64).stride
    8
    >>> find_shared_pass(window_network(2), 72) is None
    True
    """
    from torch import nn

    if type(module) is not nn.Sequential or len(module) < 3 or _is_altered(module):
        return None
    pool, flatten = module[-2], module[-1]
    if type(pool) is not nn.AdaptiveAvgPool2d or pool.output_size not in (1, (1, 1)):
        return None
    if type(flatten) is not nn.Flatten or (flatten.start_dim, flatten.end_dim) != (1, -1):
        return None
    body = nn.Sequential(*list(module)[:-2])
    if any(_is_padded(layer) or _looks_around(layer) for layer in body):
        return None
    field = receptive_field(body)
    return SharedPass(body, field.stride) if field and field.size == input_size else None


def aligned(origins: Sequence[int], stride: int) -> list[list[int]]:
    """Indices of origins, in groups that lie whole strides apart.

    Examples
    --------
    >>> aligned([0, 16, 32, 37], 8)
    [[0, 1, 2], [3]]
    """
    groups: dict[int, list[int]] = {}
    for index, origin in enumerate(origins):
        groups.setdefault(origin % stride, []).append(index)
    return list(groups.values())


def _is_padded(layer: "nn.Module") -> bool:
    # Other modes than zeros pad by what was noted when the layer was made.
    mode = getattr(layer, "padding_mode", "zeros")
    return mode != "zeros" or getattr(layer, "padding", 0) not in (0, (0, 0), "valid")


def _looks_around(layer: "nn.Module") -> bool:
    """Whether it is a batch norm that takes its statistics from what it is given."""
    return getattr(layer, "running_mean", 0) is None or getattr(layer, "running_var", 0) is None


def _is_altered(module: "nn.Module") -> bool:
    """Whether a method was put in another's place, or somebody listens in.

    Who listens would hear of levels instead of windows.
    """
    return any(
        part._forward_hooks
        or part._forward_pre_hooks
        or any(callable(value) and hasattr(type(part), name) for name, value in vars(part).items())
        for part in module.modules()
    )


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
        if type(layer) in [getattr(nn, name) for name in _POINTWISE]:
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
