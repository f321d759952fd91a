"""A network as a chain that conserves relevance: what layer-wise relevance propagation goes along.

By Captum's rules as they are, a layer's bias keeps a part of the relevance that it is handed: in
the default network, whose biases are large, all of it. So here the network is rebuilt without:

- batch norms are folded into the layers before them, and the last layer's bias, which belongs to no
  place, is left out of the score;
- beside the colours goes a channel of ones. Each layer takes its bias from there, evenly from all
  of its field, and hands the ones on as their mean; what they get is shared out over pixels;
- the first layer measures colours from the ends of their range (the bounded rule), so that dark
  pixels can speak as loud as bright ones. It is given the bounds as further channels;
- the layers between pass on what speaks for them alone (alpha 1, beta 0). With a bias of its own
  above 0, and inputs that are never below, there is no division by nothing.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from captum.attr import LRP
from captum.attr._utils.lrp_rules import EpsilonRule
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from slidewin.classifier.tracing import graph_of, is_pooling
from slidewin.errors import ClassifierError

__all__ = ["Chain"]

_WEIGHTED = (nn.Conv2d, nn.Linear)
_POOLING = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
_INERT = (nn.Dropout, nn.Dropout2d, nn.Identity)
_SHAPE_CALLS = ("size", "getattr", "getitem")  # for a view alone


class Chain:
    """A network rebuilt so that relevance is conserved from its scores to its input.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode. It is copied, not changed.
    mean, std : sequence of 3 floats
        With which inputs are normalised, as fractions of full scale.

    Attributes
    ----------
    bias : torch.Tensor of shape (k,)
        Of the scores, which is left out.

    Raises
    ------
    ClassifierError
        If it is no chain of layers that relevance is known to be conserved in; it names the layer.
    """

    def __init__(self, module: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        named = _layers(module)
        first, last = _checked(named)
        layers = [layer for _, layer in named]
        self._bounds = [[(end - m) / s for m, s in zip(mean, std, strict=True)] for end in (0, 1)]
        self._rules: list[tuple[nn.Module, EpsilonRule]] = []
        channels = ones = 1
        for i, layer in enumerate(layers):
            if isinstance(layer, nn.Linear):  # each channel may be a map, laid flat
                ones = layer.in_features // channels
            if isinstance(layer, _WEIGHTED):
                layers[i], shared = _carrying(layer, first=i == first, last=i == last, ones=ones)
                self._rules.append((layers[i], _Shared(shared)))
                channels, ones = len(layer.weight), 1
            elif isinstance(layer, nn.Flatten):  # of which Captum has not heard
                self._rules.append((layer, EpsilonRule()))
        bias = layers[last].bias
        self.bias = bias.detach().clone()
        bias.data.zero_()
        self._network = nn.Sequential(*layers).eval()

    def relevance(self, inputs: torch.Tensor, column: int) -> torch.Tensor:
        """Relevance (n, h, w) of normalised inputs (n, 3, h, w) for one of the scores.

        It sums to the score less its bias.
        """
        x = inputs.detach().float()
        ends = [x.new_tensor(end).view(1, 3, 1, 1).expand_as(x) for end in self._bounds]
        given = torch.cat([x, *(-end for end in ends), torch.ones_like(x[:, :1])], dim=1)
        for layer, rule in self._rules:  # Captum takes them off again
            layer.rule = rule
        shares = LRP(self._network).attribute(given.requires_grad_(), target=column)
        relevance: torch.Tensor = shares.detach().sum(1)
        return relevance


class _Shared(EpsilonRule):  # type: ignore[misc]
    """Relevance is shared out by other weights than those that the layer computes with."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self._weight = weight

    def _manipulate_weights(self, module: Any, inputs: Any, outputs: Any) -> None:  # noqa: ARG002
        # A copy: Captum puts a layer's own weights back by writing over what it finds.
        module.weight.data = self._weight.clone()
        module.bias.data = torch.zeros_like(module.bias.data)


def _carrying(layer: Any, *, first: bool, last: bool, ones: int) -> tuple[nn.Module, torch.Tensor]:
    """A layer that takes ones and hands them on, and the weights by which it shares relevance."""
    weight = layer.weight.detach().float()
    bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach().float()
    none = weight.new_zeros(len(weight), ones, *weight.shape[2:])
    even = torch.full_like(none, 1 / none[0].numel())
    above, below = weight.clamp(min=0), weight.clamp(max=0)
    bounds = [above, below] if first else []
    own = torch.cat([weight, *map(torch.zeros_like, bounds), none], dim=1)
    share = none if last else even * bias.clamp(min=0).view(-1, *[1] * (weight.ndim - 1))
    shared = torch.cat([weight if first or last else above, *bounds, share], dim=1)
    if not last:
        on = torch.cat([torch.zeros_like(own[:1, ones:]), even[:1]], dim=1)
        own, shared = torch.cat([own, on]), torch.cat([shared, on])
        bias = torch.cat([bias, bias.new_zeros(1)])
    carrying = copy.deepcopy(layer)  # made anew, it would draw random weights
    carrying.weight, carrying.bias = nn.Parameter(own), nn.Parameter(bias.clone())
    return carrying, shared


def _layers(module: nn.Module) -> list[tuple[str, Any]]:
    """Copies of a network's layers in order, with what to call them, batch norms folded."""
    try:
        graph = graph_of(module)
    except Exception as error:  # whatever a forward does with what is no tensor
        reason = (str(error).splitlines() or ["no reason given"])[0]
        raise ClassifierError(
            f"LRP: the network's forward is no fixed graph of layers ({type(error).__name__}: "
            f"{reason})"
        ) from error
    parts = dict(module.named_modules())
    layers: list[tuple[str, Any]] = []
    before: fx.Node | None = None
    sizes: set[fx.Node] = set()
    for node in graph.nodes:
        call = str(getattr(node.target, "__name__", node.target))
        if before is not None and node.op != "call_module" and call in _SHAPE_CALLS:
            sizes.add(node)
            continue
        if node.op == "placeholder" and before is None:
            before = node
            continue
        layer = parts.get(str(node.target)) if node.op == "call_module" else None
        name = f"'{call}'" if layer is None else f"layer '{call}' ({type(layer).__name__})"
        if set(node.all_input_nodes) - sizes != {before}:
            _refuse(name, "does not take what the one before it gives, and that alone")
        before = node
        if node.op == "output":
            break
        found = _called(node, call, name) if layer is None else _copied(layer, name, layers)
        layers += [(name, one) for one in found]
    return layers


def _copied(layer: Any, name: str, layers: list[tuple[str, Any]]) -> list[Any]:
    """What a layer adds to the chain."""
    if type(layer) in _NORMS:
        if layer.running_mean is None or layer.running_var is None:
            _refuse(name, "takes its statistics from what it is given")
        if not layers or type(layers[-1][1]) not in _WEIGHTED:
            _refuse(name, "does not follow a convolution or a linear layer")
        called, weighted = layers.pop()
        is_linear = isinstance(weighted, nn.Linear)
        fused = (fuse_linear_bn_eval if is_linear else fuse_conv_bn_eval)(weighted, layer)
        layers.append((called, fused))
        return []
    if type(layer) in _INERT:
        return []
    if type(layer) is nn.ReLU:
        return [nn.ReLU()]
    is_flatten = type(layer) is nn.Flatten and (layer.start_dim, layer.end_dim) == (1, -1)
    if not is_flatten and type(layer) not in (*_WEIGHTED, *_POOLING):
        _refuse(name, "is of another kind")
    if type(layer) is nn.Conv2d and (layer.groups > 1 or layer.padding_mode != "zeros"):
        _refuse(name, f"has groups={layer.groups}, padding_mode={layer.padding_mode!r}")
    copied = copy.deepcopy(layer)
    for hooks in (copied._forward_hooks, copied._forward_pre_hooks, copied._backward_hooks):
        hooks.clear()  # who listens to the network need not hear of this
    return [copied]


def _called(node: fx.Node, call: str, name: str) -> list[Any]:
    """What a function, or a method of tensors, that a forward calls adds to the chain."""
    options: dict[Any, Any] = {**dict(enumerate(node.args[1:], start=1)), **node.kwargs}
    if call in ("relu", "relu_"):
        return [nn.ReLU()]
    if is_pooling(call, options):
        stays = call != "mean" or options.get("keepdim", options.get(2, False))
        return [nn.AdaptiveAvgPool2d(1), *([] if stays else [nn.Flatten()])]
    is_view = call in ("view", "reshape") and len(node.args) == 3 and node.args[2] == -1
    if is_view or (call == "flatten" and list(options.values()) == [1]):
        return [nn.Flatten()]
    if call == "dropout" and options.get("training") is False:
        return []
    _refuse(name, "is a call of another kind")
    return []


def _checked(named: list[tuple[str, Any]]) -> tuple[int, int]:
    """Where the first and the last layer with weights stand."""
    weighted = [i for i, (_, layer) in enumerate(named) if isinstance(layer, _WEIGHTED)]
    if len(weighted) < 2 or weighted[0] != 0 or not isinstance(named[0][1], nn.Conv2d):
        _refuse("the network", "is no convolution followed by other layers with weights")
    is_cut = False  # whether what comes has gone through a ReLU, so is never below 0
    for i, (name, layer) in enumerate(named):
        if isinstance(layer, nn.ReLU):
            if i > weighted[-1]:
                _refuse(name, "comes after the last layer with weights")
            is_cut = True
        elif i > 0 and not is_cut and i <= weighted[-1] and type(layer) is not nn.MaxPool2d:
            _refuse(name, "is given values below 0: no ReLU stands before it")
        if isinstance(layer, _WEIGHTED):
            is_cut = False
    return weighted[0], weighted[-1]


def _refuse(what: str, reason: str) -> None:
    raise ClassifierError(
        f"LRP: {what} {reason}. Relevance is known to be conserved in chains of convolutions, "
        "batch norms, ReLUs, poolings and linear layers; elsewhere maps may be noise (by Captum's "
        "own rules a ResNet-18 is 4e12 off, for a logit of 1.8). Use another method"
    )
