"""Where the cells of a feature map stand in the image, followed through a pass of the network."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.overrides import TorchFunctionMode

__all__ = ["Following", "Lattice"]

_Pair = tuple[float, float]

# Functions that slide a kernel, each with the names of its arguments in their order.
_POOLING = ("input", "kernel_size", "stride", "padding", "dilation")
_SLIDING = {
    "conv2d": ("input", "weight", "bias", "stride", "padding", "dilation"),
    "max_pool2d": _POOLING,
    "max_pool2d_with_indices": _POOLING,
    "avg_pool2d": _POOLING[:4],
}


class Lattice(NamedTuple):
    """Places of the cells of a feature map, for rows and for columns.

    Cell ``i`` stands ``first + i * step`` px from the image's border, which is the centre of its
    receptive field, also where padding has moved that over the border.

    Attributes
    ----------
    axes : (int, int)
        Of the tensor: which are rows and columns, counted from the last.
    first, step : (float, float)
    """

    axes: tuple[int, int] = (-2, -1)
    first: _Pair = (0.5, 0.5)
    step: _Pair = (1.0, 1.0)

    def places(self, axis: int, cells: int) -> NDArray[np.float64]:
        """Centres in px of so many cells along an axis, 0 for rows and 1 for columns."""
        return self.first[axis] + self.step[axis] * np.arange(cells, dtype=np.float64)

    def moved(self, by: _Pair, apart: _Pair = (1.0, 1.0)) -> "Lattice":
        """The lattice whose first cell lies `by` cells further on, and the others so far apart."""
        (top, left), (down, across) = self.first, self.step
        first = top + down * by[0], left + across * by[1]
        return self._replace(first=first, step=(down * apart[0], across * apart[1]))

    def slid(self, kernel: Any, stride: Any, padding: Any, dilation: Any) -> "Lattice":
        """That of what a kernel returns that slides over these cells."""
        (rows, cols), (down, across) = _pair(kernel), _pair(dilation)
        reach = (rows - 1) * down / 2, (cols - 1) * across / 2
        if padding == "same":  # where the two ends differ, torch pads the first one less
            top, left = reach[0] // 1, reach[1] // 1
        else:
            top, left = (0.0, 0.0) if padding == "valid" else _pair(padding)
        return self.moved((reach[0] - top, reach[1] - left), _pair(stride))


class Following(TorchFunctionMode):
    """While entered, tensors that are computed from an image know where their cells stand.

    Convolutions, poolings and padding move a lattice; what leaves the number of rows and columns as
    it is keeps the lattice of what it was given, wherever ``permute`` moves the axes. Anything else
    loses it: attention over tokens, say, or pooling to a given size.

    Parameters
    ----------
    image : torch.Tensor of shape (n, 3, h, w)

    Examples
    --------
    >>> image = torch.zeros(1, 3, 8, 8)
    >>> with Following(image) as following:
    ...     cells = torch.nn.Conv2d(3, 4, 3, stride=2, padding=1)(image).relu()
    >>> following.lattice(cells)
    Lattice(axes=(-2, -1), first=(0.5, 0.5), step=(2.0, 2.0))
    """

    def __init__(self, image: torch.Tensor) -> None:
        super().__init__()
        # Kept with the tensor, so that no other can take its place in memory.
        self._known: dict[int, tuple[torch.Tensor, Lattice]] = {}
        self._keep(image, Lattice())

    def lattice(self, tensor: torch.Tensor) -> Lattice | None:
        """Where a tensor's cells stand; None where that is not known."""
        return self._known[id(tensor)][1] if id(tensor) in self._known else None

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Compute, and note where the cells of the outcome stand."""
        kwargs = kwargs or {}
        found = func(*args, **kwargs)
        for outcome in _tensors((found,)):
            lattice = self._after(getattr(func, "__name__", ""), outcome, args, kwargs)
            if lattice is not None:
                self._keep(outcome, lattice)
            else:  # one that was changed in place
                self._known.pop(id(outcome), None)
        return found

    def _keep(self, tensor: torch.Tensor, lattice: Lattice) -> None:
        self._known[id(tensor)] = tensor, lattice

    def _after(
        self, name: str, outcome: torch.Tensor, args: Any, kwargs: Mapping[str, Any]
    ) -> Lattice | None:
        """The lattice of what a function returned."""
        given = [*_tensors(args), *_tensors(kwargs.values())]
        known = [(tensor, self.lattice(tensor)) for tensor in given]
        before = known[0][1] if known else None
        if name == "permute":
            order = kwargs.get("dims", args[1:])
            return _permuted(before, order if isinstance(order[0], int) else order[0])
        if name in _SLIDING or name == "pad":
            if before is None or before.axes != (-2, -1):
                return None
            if name == "pad":
                pads: list[int] = list(kwargs["pad"] if "pad" in kwargs else args[1])
                left, _, top, *_ = [*pads, 0, 0]
                return before.moved((-top, -left))
            return before.slid(*_geometry(name, args, kwargs))
        for tensor, lattice in known:
            if lattice is not None and _cells(tensor, lattice) == _cells(outcome, lattice):
                return lattice
        return None


def _geometry(name: str, args: Any, kwargs: Mapping[str, Any]) -> tuple[Any, Any, Any, Any]:
    """Kernel, stride, padding and dilation of a sliding function's call."""
    options = dict(zip(_SLIDING[name], args, strict=False)) | dict(kwargs)
    if "weight" in options:
        kernel, stride = options["weight"].shape[2:], options.get("stride", 1)
    else:
        kernel, stride = options["kernel_size"], options.get("stride") or options["kernel_size"]
    return kernel, stride, options.get("padding", 0), options.get("dilation", 1)


def _cells(tensor: torch.Tensor, lattice: Lattice) -> tuple[int, ...] | None:
    """How many rows and columns a tensor has, if these are its axes."""
    if tensor.ndim < -min(lattice.axes):
        return None
    return tuple(tensor.shape[axis] for axis in lattice.axes)


def _permuted(lattice: Lattice | None, order: Sequence[int]) -> Lattice | None:
    """The lattice with its axes where ``permute`` puts them."""
    if lattice is None:
        return None
    n = len(order)
    moved = [axis % n for axis in order]
    rows, cols = (moved.index(axis % n) - n for axis in lattice.axes)
    return lattice._replace(axes=(rows, cols))


def _tensors(values: Iterable[Any]) -> list[torch.Tensor]:
    """Tensors among values, and within those that are lists."""
    listed = [one if isinstance(one, list | tuple) else (one,) for one in values]
    return [one for some in listed for one in some if isinstance(one, torch.Tensor)]


def _pair(value: Any) -> _Pair:
    """A number for each axis."""
    values = list(value) if isinstance(value, Iterable) else [value]
    rows, cols = values * (2 // len(values))
    return float(rows), float(cols)
