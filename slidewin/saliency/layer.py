"""Methods that look at one layer of a network."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slidewin.classifier import Classifier
from slidewin.classifier.module import ModuleClassifier
from slidewin.errors import ArgumentError, ClassifierError
from slidewin.saliency.explainer import Explainer, Images, Values

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["CAM"]


class CAM(Explainer):
    """Class activation maps of one layer of a torch classifier: the base of the family.

    Parameters
    ----------
    classifier : Classifier
        Made from a torch module by :func:`slidewin.load_classifier`.
    layer : str, optional
        Name of the layer, as in ``module.named_modules()``. By default the last one whose output
        has more than one cell.
    **options
        As for :class:`Explainer`.

    Notes
    -----
    A cell stands at the centre of its receptive field in a ``torch.nn.Sequential`` of plain layers;
    in other modules the cells are taken to be spread evenly, as they are in padded networks.

    Where the layer's output is changed in place by the next, it is explained as changed.

    A head that is a convolution sees a window as one cell, so it is not chosen, but images larger
    than a window as a map of the classes. With ``on="levels"`` and ``"photo"`` that is worth asking
    for: with the default network ``layer="19"``, where lesions stand out clearer than in the layer
    before, and the map is what the log odds of single windows are made of.
    """

    classifier: ModuleClassifier

    def __init__(self, classifier: Classifier, *, layer: str | None = None, **options: Any) -> None:
        super().__init__(classifier, **options)
        known = [name for name, _ in self.classifier.module.named_modules() if name]
        if layer is not None and layer not in known:
            raise ArgumentError(f"layer={layer!r}: the module has {', '.join(known)}")
        self.layer = layer
        self._hooked = ""

    @abstractmethod
    def _maps(self, inputs: "torch.Tensor") -> "torch.Tensor":
        """Maps (n, rows, cols) for normalised inputs (n, 3, h, w) that ask for gradients."""

    def explain(self, images: Images) -> Values:
        """As :meth:`Explainer.explain`."""
        import torch

        if not self._hooked:
            self.prepare()
        with torch.enable_grad():
            # Gradients are asked for at the input too, so that frozen weights do no harm.
            maps = self._maps(self.classifier.to_input(images).requires_grad_())
        values: Values = maps.detach().float().cpu().numpy()
        return values

    def prepare(self) -> Mapping[str, Any]:
        """Find the layer; it is noted in the settings."""
        self._hooked, _ = self._examined()
        return {"layer": self._hooked}

    def passes_each(self) -> int:
        """One pass there and back."""
        return 2

    def centres(self, cells: int, length: int) -> NDArray[np.float64]:
        """As :meth:`Explainer.centres`: of receptive fields, where these are known."""
        from torch import nn

        from slidewin.classifier.receptive import receptive_field

        module = self.classifier.module
        layers = list(module) if isinstance(module, nn.Sequential) else []
        # A layer may stand in a chain more than once; what is kept is its last output.
        hooked = module.get_submodule(self._hooked)
        ends = [i for i, other in enumerate(layers) if other is hooked]
        if ends and (field := receptive_field(layers[: ends[-1] + 1])) is not None:
            return np.array([field.centre(i) for i in range(cells)], np.float64)
        # Padded networks spread their cells evenly over the input.
        return super().centres(cells, length)

    def _place(self) -> str:
        return f" on layer {self._hooked!r}"

    def _overheard(
        self, score: "Callable[[torch.Tensor], torch.Tensor]", inputs: "torch.Tensor"
    ) -> "tuple[torch.Tensor, torch.Tensor]":
        """Scores of inputs, and what the layer last returned on the way there."""
        kept: list[torch.Tensor] = []
        layer = self.classifier.module.get_submodule(self._hooked)
        handle = layer.register_forward_hook(lambda _, __, output: kept.append(output))
        try:
            scores = score(inputs)
        finally:
            handle.remove()
        return scores, kept[-1]

    def _examined(self) -> tuple[str, int]:
        """The layer asked for, or the last to finish with more than one cell; and its channels."""
        import torch

        # Of each layer that returns a map, in the order of finishing: its channels and cells.
        found: dict[str, tuple[int, int]] = {}

        def note(name: str) -> Any:
            def hook(_: "nn.Module", __: Any, output: Any) -> None:
                if isinstance(output, torch.Tensor) and output.ndim == 4:
                    found.pop(name, None)
                    found[name] = output.shape[1], output[0, 0].numel()

            return hook

        side = self.classifier.input_size
        named = [(name, layer) for name, layer in self.classifier.module.named_modules() if name]
        handles = [layer.register_forward_hook(note(name)) for name, layer in named]
        try:
            with self.classifier.borrowed(), torch.no_grad():
                patch = np.zeros((1, side, side, 3), np.uint8)
                self.classifier.scores(self.classifier.to_input(patch))
        finally:
            for handle in handles:
                handle.remove()
        if self.layer is not None and self.layer not in found:
            raise ArgumentError(
                f"layer={self.layer!r}: returns no map of shape (n, channels, height, width); "
                f"these do: {', '.join(found)}"
            )
        maps = [name for name, (_, cells) in found.items() if cells > 1]
        if self.layer is None and not maps:
            raise ClassifierError(
                f"the module has no layer with a map of more than one cell, which {self.method} "
                "needs"
            )
        name = maps[-1] if self.layer is None else self.layer
        return name, found[name][0]
