"""What overlapping windows share: one pass over a level instead of one for each window.

Without padding, a chain or a graph of convolutions, poolings and pointwise layers gives at each
cell what it would give for the window under that cell alone. So a network is examined layer by
layer, and rebuilt to answer for all windows of an image at once:

- a layer that strides keeps only as much of its stride as the windows' own distance allows, and
  the layers after it are dilated instead (*à trous*: the fragments of Giusti et al., ICIP 2013,
  arXiv:1302.1700, laid out as one map), so that windows at any stride are answered for exactly;
- global average pooling becomes the average over a window's cells, a flattened map before a linear
  layer a convolution as large as a window's map, and linear layers convolutions of one cell;
- the normalisation of the input is folded into the first convolution, and batch norms into those
  before them.

Whatever is not known to be exact so is refused, with the layer and the reason.
"""

import copy
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from slidewin.classifier.dense import Mean, Normalised, over_channels, over_image
from slidewin.classifier.tracing import graph_of, is_pooling
from slidewin.errors import SharingError

__all__ = ["Cells", "Shared", "share"]

# Layers that keep the lattice of cells as it is.
_POINTWISE = (
    *("BatchNorm2d", "Dropout", "Dropout2d", "Identity"),
    *("ReLU", "LeakyReLU", "ELU", "GELU", "SiLU", "Sigmoid", "Tanh"),
)
# Functions and methods that are pointwise, join maps cell by cell, or are about shapes alone.
_POINTWISE_CALLS = ("relu", "relu_", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "tanh")
_JOINING_CALLS = ("add", "sub", "mul", "iadd", "cat", "concat")
_SHAPE_CALLS = ("size", "getattr", "getitem")
# After the pooling, a batch norm of features is one of maps, and both softmaxes go over channels.
_FEATURE_LAYERS = ("BatchNorm1d", "Softmax", "LogSoftmax")


class Cells(NamedTuple):
    """How the cells of a layer's map lie, along one axis.

    Attributes
    ----------
    n : int
        Cells in the map of one window; 1 for the features of a whole window.
    stride : int
        Pixels from cell to cell of a window.
    pooled : bool
        Whether they are features of a whole window.
    shared_n : int
        Cells in the shared map of an image as large as a window.
    """

    n: int
    stride: int
    pooled: bool = False
    shared_n: int = 0


class Shared(NamedTuple):
    """A network rebuilt to answer for all windows of an image at once.

    Attributes
    ----------
    network : torch.fx.GraphModule
        Maps an image ``(1, 3, h, w)`` of 0 to 255 to scores ``(1, k, m, n)``, one for each window
        that starts whole spacings from the image's corner.
    original : torch.fx.GraphModule
        The network as it was, to compare with, layer by layer.
    cells : dict of str to Cells
        Of each node of the original's graph.
    folded : dict of str to str
        Nodes whose work was folded into the one before: from the one before to the last of them.
    stride : int
        Distance between windows that it was built for, in pixels.
    spacing : int
        Distance between windows that it answers for; divides `stride`.
    saving : float
        Multiplications that windows by themselves take, over those that are made.
    """

    network: fx.GraphModule
    original: fx.GraphModule
    cells: dict[str, Cells]
    folded: dict[str, str]
    stride: int
    spacing: int
    saving: float


def share(
    module: nn.Module,
    input_size: int,
    *,
    stride: int,
    mean: Sequence[float] = (0.0, 0.0, 0.0),
    std: Sequence[float] = (1.0, 1.0, 1.0),
) -> Shared:
    """Rebuild a network so that windows share their work, or say why they cannot.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode. It is copied, not changed.
    input_size : int
        Side of a window.
    stride : int
        Distance between windows, in pixels.
    mean, std : sequence of 3 floats
        With which inputs are normalised, as fractions of full scale.

    Returns
    -------
    Shared

    Raises
    ------
    SharingError
        If one pass over an image would not be exact; it names the layer.

    Examples
    --------
    >>> from slidewin.network import window_network
    >>> shared = share(window_network(2).eval(), 64, stride=16)
    >>> shared.spacing, round(shared.saving, 1)
    (8, 8.4)
    >>> share(nn.Sequential(nn.Conv2d(3, 2, 3, padding=1)).eval(), 64, stride=16)
    Traceback (most recent call last):
        ...
    slidewin.errors.SharingError: layer '0' (Conv2d) pads: what a window's border sees there, ...
    """
    original = _traced(module)
    builder = _Builder(original, input_size, stride)
    try:
        for node in list(builder.graph.nodes):
            builder.visit(node)
        builder.fold_normalisation(mean, std)
        network = fx.GraphModule(builder.layers, builder.graph).eval()
        network.graph.eliminate_dead_code()
        network.recompile()
    except SharingError:
        raise
    except Exception as error:  # of any layer that is not as it seemed
        raise SharingError(
            f"{type(module).__name__} cannot be rebuilt ({type(error).__name__}: {error})"
        ) from error
    return Shared(
        network=network,
        original=original,
        cells=builder.cells,
        folded=builder.folded,
        stride=stride,
        spacing=builder.spacing,
        # Where there are no products to count, each pixel is seen once, not by each window.
        saving=(
            builder.alone / stride**2 / builder.together
            if builder.together
            else (input_size / stride) ** 2
        ),
    )


def _refuse(what: str, reason: str) -> None:
    raise SharingError(f"{what} {reason}")


def _traced(module: nn.Module) -> fx.GraphModule:
    for name, part in module.named_modules():
        said = f"layer '{name}' ({type(part).__name__})" if name else type(part).__name__
        if part._forward_hooks or part._forward_pre_hooks:
            # Who listens would hear of whole images instead of windows.
            _refuse(said, "has hooks, which may change what it does")
        if any(callable(value) and hasattr(type(part), key) for key, value in vars(part).items()):
            _refuse(said, "has a method put in another's place")
    try:
        return fx.GraphModule(module, graph_of(module))
    except Exception as error:
        # Whatever a forward does with what is no tensor.
        reason = (str(error).splitlines() or ["no reason given"])[0]
        raise SharingError(
            f"{type(module).__name__} cannot be examined: its forward is no fixed graph of layers "
            f"({type(error).__name__}: {reason})"
        ) from error


class _Builder:
    """Goes through a network's graph, from input to output, and rebuilds it."""

    def __init__(self, original: fx.GraphModule, input_size: int, stride: int) -> None:
        self.graph = copy.deepcopy(original.graph)
        self.modules = dict(original.named_modules())
        self.input_size, self.stride = input_size, stride
        self.layers: dict[str, Any] = {}
        self.cells: dict[str, Cells] = {}
        self.folded: dict[str, str] = {}
        self.spacing = 1
        self.alone = self.together = 0.0  # multiplications a window, and a pixel of an image

    def visit(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            if self.cells:
                _refuse(f"'{node.name}'", "is a second input")
            self.cells[node.name] = Cells(self.input_size, 1, shared_n=self.input_size)
        elif node.op == "output":
            self._end(node)
        elif node.op == "call_module":
            self._layer(node, self.modules[str(node.target)])
        else:
            self._call(node)

    def _kept(self, stride: int) -> int:
        """Pixels from cell to cell of the shared map, where a window's are a stride apart."""
        return math.gcd(stride, self.stride)

    def _apart(self, cells: Cells) -> int:
        """Cells of the shared map from one cell of a window to the next."""
        return cells.stride // self._kept(cells.stride)

    def _put(self, node: fx.Node, layer: nn.Module, cells: Cells) -> None:
        """Let a node of the graph be a layer of one input."""
        node.op, node.target = "call_module", f"layer_{node.name}"
        node.args, node.kwargs = (node.all_input_nodes[0],), {}
        self.layers[node.target] = layer
        self.cells[node.name] = cells
        if isinstance(layer, nn.Conv2d):
            weights = layer.weight.numel()
            self.alone += weights * cells.n**2
            self.together += weights / self._kept(cells.stride) ** 2

    def _layer(self, node: fx.Node, layer: Any) -> None:
        kind = type(layer).__name__
        name = f"layer '{node.target}' ({kind})"
        if type(layer) is not getattr(nn, kind, None):
            _refuse(name, "is of a kind that is not known to be local")
        cells = self.cells.get(node.all_input_nodes[0].name)
        if cells is None:
            raise SharingError(f"{name} is given what is no map of the input")
        if cells.pooled and kind in _FEATURE_LAYERS:
            if getattr(layer, "dim", 1) not in (1, -1):
                _refuse(name, "goes along another axis than that of the classes")
            self._refuse_own_statistics(layer, name)
            self._put(node, over_channels(layer), cells)
        elif kind in _POINTWISE:
            self._pointwise(node, layer, name, cells)
        elif kind in ("Conv2d", "MaxPool2d", "AvgPool2d"):
            self._sliding(node, layer, name, cells)
        elif kind == "AdaptiveAvgPool2d" and layer.output_size in (1, (1, 1)):
            self._pool(node, cells)
        elif kind == "Flatten" and (layer.start_dim, layer.end_dim) == (1, -1):
            self._flatten(node, cells)
        elif kind == "Linear":
            self._linear(node, layer, cells)
        else:
            _refuse(name, "looks at a window as a whole, or is not known to be local")
            self._put(node, copy.deepcopy(layer), cells)

    def _pointwise(self, node: fx.Node, layer: Any, name: str, cells: Cells) -> None:
        before = node.all_input_nodes[0]
        conv = f"layer_{before.name}"
        after_conv = type(self.layers.get(conv)) is nn.Conv2d and len(before.users) == 1
        if type(layer) is nn.BatchNorm2d:
            self._refuse_own_statistics(layer, name)
            if after_conv:
                self.layers[conv] = fuse_conv_bn_eval(self.layers[conv], layer)
                self.folded[before.name] = node.name
                self.cells[node.name] = cells
                node.replace_all_uses_with(before)
                self.graph.erase_node(node)
                return
        in_place = type(layer) is nn.ReLU and after_conv
        self._put(node, nn.ReLU(inplace=True) if in_place else copy.deepcopy(layer), cells)

    def _refuse_own_statistics(self, layer: Any, name: str) -> None:
        if getattr(layer, "running_mean", 0) is None or getattr(layer, "running_var", 0) is None:
            _refuse(name, "takes its statistics from what it is given")

    def _sliding(self, node: fx.Node, layer: Any, name: str, cells: Cells) -> None:
        kernel, step, padding, dilation = (
            _square(getattr(layer, key, 1), name, key)
            for key in ("kernel_size", "stride", "padding", "dilation")
        )
        # Other modes than zeros pad by what was noted when the layer was made.
        if padding or getattr(layer, "padding_mode", "zeros") != "zeros":
            _refuse(name, "pads: what a window's border sees there, an image goes on instead")
        if cells.pooled and kernel > 1:
            _refuse(name, "slides over what was pooled")
        reach = cells.n + 2 * padding - dilation * (kernel - 1) - 1
        if reach < 0:
            _refuse(name, f"needs more than the {cells.n} cells that a window has there")
        if getattr(layer, "ceil_mode", False) and reach % step:
            _refuse(name, "with ceil_mode cuts its last cell short at a window's border")
        moves = self._kept(cells.stride * step) // self._kept(cells.stride)
        apart = dilation * self._apart(cells)
        shared_n = (cells.shared_n - apart * (kernel - 1) - 1) // moves + 1
        now = Cells(reach // step + 1, cells.stride * step, cells.pooled, shared_n)
        shared: Any = copy.deepcopy(layer)
        if type(layer) is nn.AvgPool2d:
            shared = Mean(kernel, moves, apart, layer.divisor_override)
        elif type(layer) is nn.MaxPool2d:
            shared.stride, shared.dilation, shared.ceil_mode = moves, apart, False
        else:
            shared.stride, shared.dilation = (moves, moves), (apart, apart)
        self._put(node, shared, now)

    def _pool(self, node: fx.Node, cells: Cells) -> None:
        pooled = Mean(cells.n, 1, self._apart(cells))
        self._put(node, pooled, self._whole(cells))

    def _flatten(self, node: fx.Node, cells: Cells) -> None:
        self._put(node, nn.Identity(), cells._replace(pooled=cells.pooled or cells.n == 1))

    def _linear(self, node: fx.Node, layer: nn.Linear, cells: Cells) -> None:
        if layer.in_features % cells.n**2:
            _refuse(f"layer '{node.target}' (Linear)", "goes along the rows of a map")
        conv = over_image(layer, cells.n, self._apart(cells))
        self._put(node, conv, self._whole(cells))

    def _whole(self, cells: Cells) -> Cells:
        """Where what is made of all of a window's cells lies."""
        shared_n = cells.shared_n - self._apart(cells) * (cells.n - 1)
        return Cells(1, cells.stride, pooled=True, shared_n=shared_n)

    def _call(self, node: fx.Node) -> None:
        """Visit a function, or a method of tensors, that a forward calls."""
        name = str(getattr(node.target, "__name__", node.target))
        if name in _SHAPE_CALLS:
            return  # of use to a view alone, which is refused below or needs it no more
        said = f"'{name}' (called by the network's forward)"
        known = [self.cells.get(given.name) for given in node.all_input_nodes]
        cells = known[0] if known else None
        if cells is None:
            _refuse(said, "computes with what is no map of the input")
            return
        options: dict[Any, Any] = {**dict(enumerate(node.args[1:], start=1)), **node.kwargs}
        dim = options.get("dim", options.get(1))
        if name in ("view", "reshape") and len(node.args) == 3 and node.args[2] == -1:
            self._flatten(node, cells)
        elif len(set(known)) > 1:
            _refuse(said, "joins maps whose cells do not lie on each other's")
        elif name == "flatten" and list(options.values()) == [1]:
            self._flatten(node, cells)
        elif is_pooling(name, options):
            self._pool(node, cells)
        elif name in ("softmax", "log_softmax") and dim in (1, -1) and cells.pooled:
            node.args, node.kwargs = node.args[:1], {**node.kwargs, "dim": 1}
        elif name in ("cat", "concat") and dim != 1:
            _refuse(said, "joins maps along their sides")
        elif name not in (*_POINTWISE_CALLS, *_JOINING_CALLS) and not (
            name == "dropout" and options.get("training") is False
        ):
            _refuse(said, "is not known to be local")
        self.cells.setdefault(node.name, cells)

    def _end(self, node: fx.Node) -> None:
        cells = self.cells.get(getattr(node.args[0], "name", ""))
        if cells is None or not cells.pooled:
            _refuse("the network's output", "is no tensor (n, k) of scores for windows")
            return
        self.spacing = self._kept(cells.stride)

    def fold_normalisation(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Let the network take 0 to 255, not normalised fractions of full scale."""
        (image,) = [node for node in self.graph.nodes if node.op == "placeholder"]
        users = list(image.users)
        first = self.layers.get(f"layer_{users[0].name}") if len(users) == 1 else None
        if type(first) is not nn.Conv2d or first.groups != 1 or any(first.padding):
            with self.graph.inserting_after(image):
                node = self.graph.call_module("normalised", (image,))
            self.layers["normalised"] = Normalised(mean, std)
            for user in users:
                user.replace_input_with(image, node)
            return
        with torch.no_grad():
            weight = first.weight.double()
            scale = 1 / weight.new_tensor(std)
            shift = weight.sum((2, 3)) @ (scale * weight.new_tensor(mean))
            old = 0.0 if first.bias is None else first.bias.double()
            first.weight.copy_(weight * scale.view(1, 3, 1, 1) / 255)
            first.bias = nn.Parameter((old - shift).to(first.weight))


def _square(value: Any, name: str, key: str) -> int:
    """One number for both axes."""
    if value == "valid":
        return 0
    pair = value if isinstance(value, tuple) else (value, value)
    if len(set(pair)) != 1 or not isinstance(pair[0], int):
        _refuse(name, f"has {key}={value!r}, which is not one number for both axes")
    return int(pair[0])
