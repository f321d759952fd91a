"""The graph of a network: which layers and functions its forward calls, in what order."""

import copy
from typing import Any

from torch import fx, nn

__all__ = ["graph_of", "is_pooling"]


def graph_of(module: nn.Module) -> fx.Graph:
    """What a module's forward does, layer by layer.

    Not by ``torch.fx.symbolic_trace``: while that looks, no other thread may call any module.

    Parameters
    ----------
    module : torch.nn.Module
        Its forward is called once, with what is no tensor, in a stand-in that shares its tensors.

    Returns
    -------
    torch.fx.Graph

    Raises
    ------
    Exception
        Of any kind, if the forward is no fixed graph of layers and functions.

    Examples
    --------
    >>> [n.name for n in graph_of(nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())).nodes]
    ['image', '_0', '_1', 'output']
    """
    tensors = [*module.parameters(), *module.buffers()]
    stand_in = copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})
    tracer = fx.Tracer()
    tracer.root, tracer.graph, tracer.tensor_attrs = stand_in, fx.Graph(), {}

    def noted(name: str) -> Any:
        return lambda *args, **kwargs: tracer.create_proxy("call_module", name, args, kwargs)

    for name, part in stand_in.named_modules():
        if name and tracer.is_leaf_module(part, name):
            part.forward = noted(name)
    result = stand_in(tracer.create_proxy("placeholder", "image", (), {}))
    tracer.create_node("output", "output", (tracer.create_arg(result),), {})
    return tracer.graph


def is_pooling(name: str, options: dict[Any, Any]) -> bool:
    """Whether a call takes the mean over all rows and columns."""
    if name == "adaptive_avg_pool2d":
        return list(options.values()) in ([1], [(1, 1)])
    dims = options.get("dim", options.get(1))
    return (
        name == "mean" and isinstance(dims, tuple | list) and sorted(d % 4 for d in dims) == [2, 3]
    )
