"""What a network knows of a window just before its last layer names a class.

A network is cut before the last of its layers that has weights: what that layer is given are the
window's features. Where the network is a chain, so is what is left of it, and windows share their
work in it as in the whole; any other network is listened to while it classifies.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from slidewin.classifier import Classifier
from slidewin.classifier.module import ModuleClassifier
from slidewin.errors import ClassifierError

__all__ = ["Embedding", "embed"]


class Embedding(ModuleClassifier):
    """A network that answers with its features and scores, to be swept like a classifier.

    Its "probabilities" are no such thing: ``n_features`` numbers of any size, and the network's
    own scores after them. Made by :func:`embed`.
    """

    def __init__(self, classifier: ModuleClassifier, module: nn.Module, width: int) -> None:
        super().__init__(
            module,
            classes=[f"value {i}" for i in range(width)],
            input_size=classifier.input_size,
            context=classifier.context,
            mean=classifier.mean,
            std=classifier.std,
        )
        self.classifier = classifier

    def split(self, values: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Features (m, n, d), and the classes' probabilities (m, n, k), of values (m, n, d + s)."""
        d = self.module.n_features
        eps = torch.finfo(self._like().dtype).eps
        return values[..., :d], self.classifier.from_scores(values[..., d:], eps=eps)

    def from_scores(self, scores: NDArray[np.float32], *, eps: float) -> NDArray[np.float32]:  # noqa: ARG002
        """The values (m, n, d + s) as they are, checked."""
        return self._checked(scores, len(scores))

    def _from_scores(self, scores: torch.Tensor) -> NDArray[Any]:
        values: NDArray[Any] = scores.float().cpu().numpy()
        return values

    def _checked(self, returned: Any, n: int) -> NDArray[np.float32]:  # noqa: ARG002
        values: NDArray[np.float32] = np.asarray(returned, np.float32)
        if not np.isfinite(values).all():
            raise ClassifierError(
                "the network has NaN or infinity among a window's features; look for NaN in its "
                "weights"
            )
        return values

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """The network's evaluation mode, on the same loan as the classifier's own."""
        with self.classifier.borrowed():
            yield


def embed(classifier: Classifier) -> Embedding | None:
    """Cut a classifier's network before its last layer with weights.

    Parameters
    ----------
    classifier : Classifier

    Returns
    -------
    Embedding or None
        None where there is no network to look into, or none of its layers is a
        ``torch.nn.Linear`` or ``torch.nn.Conv2d``.

    Examples
    --------
    >>> from slidewin.classifier import load_classifier
    >>> embedding = embed(load_classifier())
    >>> patches = np.zeros((2, 64, 64, 3), np.uint8)
    >>> embedding.module.n_features, embedding.predict_proba(patches).shape
    (128, (2, 131))
    """
    if not isinstance(classifier, ModuleClassifier):
        return None
    side, module = classifier.input_size, classifier.module
    found = _last_layer(classifier)
    if found is None:
        return None
    name, features = found
    cut: nn.Module = _Overheard(module, name)
    if type(module) is nn.Sequential and name in module._modules:
        listened = module._forward_hooks or module._forward_pre_hooks
        usual = features.ndim == (4 if isinstance(module._modules[name], nn.Conv2d) else 2)
        if usual and not listened:
            cut = _Chain(module, name)
    cut.training = False
    with classifier.borrowed(), torch.no_grad():
        values = cut(classifier.to_input(np.zeros((1, side, side, 3), np.uint8)))
    return Embedding(classifier, cut, values.shape[1])


def _last_layer(classifier: ModuleClassifier) -> tuple[str, torch.Tensor] | None:
    """Name of the last layer with weights that a window goes through, and what it was given."""
    me, side, given = get_ident(), classifier.input_size, []

    def listen(name: str) -> Any:
        def hook(_: nn.Module, args: Any) -> None:
            if get_ident() == me and args and isinstance(args[0], torch.Tensor):
                given.append((name, args[0]))

        return hook

    handles = [
        layer.register_forward_pre_hook(listen(name))
        for name, layer in classifier.module.named_modules()
        if name and isinstance(layer, nn.Linear | nn.Conv2d)
    ]
    try:
        classifier.predict_proba(np.zeros((1, side, side, 3), np.uint8))
    finally:
        for handle in handles:
            handle.remove()
    return given[-1] if given else None


class _Chain(nn.Module):
    """A chain's layers up to a last one, and from it on."""

    def __init__(self, chain: nn.Sequential, last: str) -> None:
        super().__init__()
        layers = list(chain)
        end = max(i for i, layer in enumerate(layers) if layer is chain._modules[last])
        self.body, self.head = nn.Sequential(*layers[:end]), nn.Sequential(*layers[end:])
        is_map = isinstance(layers[end], nn.Conv2d)
        self.n_features = layers[end].in_channels if is_map else layers[end].in_features
        pooled = (nn.AdaptiveAvgPool2d(1), nn.Flatten()) if is_map else ()
        self.features = nn.Sequential(*pooled)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.body(x)
        return torch.cat([self.features(x), self.head(x)], 1)


class _Overheard(nn.Module):
    """Any network, listened to at its last layer."""

    def __init__(self, network: nn.Module, last: str) -> None:
        super().__init__()
        self.network, self.last = network, last
        layer: Any = network.get_submodule(last)
        self.is_map = isinstance(layer, nn.Conv2d)
        self.n_features: int = layer.in_channels if self.is_map else layer.in_features

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        given: list[torch.Tensor] = []
        me = get_ident()  # other threads may classify with the same network

        def hook(_: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            if get_ident() == me:
                given.append(args[0])

        handle = self.network.get_submodule(self.last).register_forward_pre_hook(hook)
        try:
            scores = self.network(x)
        finally:
            handle.remove()
        scores = getattr(scores, "logits", scores)
        # Channels come first in maps and last among tokens; the mean over places is the window's.
        seen = given[-1].flatten(2).mean(2) if self.is_map else given[-1]
        seen = seen.reshape(len(x), -1, self.n_features).mean(1)
        return torch.cat([seen, scores.reshape(len(x), -1)], 1)
