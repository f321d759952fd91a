"""Methods that look at one layer of a network."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import ExitStack
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

    from slidewin.saliency.cells import Lattice

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
    A cell stands at the centre of its receptive field, which is followed through a pass: in a
    padded network of strides, such as a ResNet, that is half a cell nearer to the upper left than
    where cells would stand that are spread evenly. Where it cannot be followed, as through windowed
    attention, they are taken to be spread evenly.

    Where the layer's output is changed in place by the next, it is explained as changed.

    A head that is a convolution sees a window as one cell, so it is not chosen, but images larger
    than a window as a map of the classes. With ``on="levels"`` and ``"photo"`` that is worth asking
    for: with the default network ``layer="19"``, where lesions stand out clearer than in the layer
    before, and the map is what the log odds of single windows are made of. Not of Grad-CAM++, which
    needs activations above 0.
    """

    classifier: ModuleClassifier

    def __init__(self, classifier: Classifier, *, layer: str | None = None, **options: Any) -> None:
        super().__init__(classifier, **options)
        known = [name for name, _ in self.classifier.module.named_modules() if name]
        if layer is not None and layer not in known:
            raise ArgumentError(f"layer={layer!r}: the module has {', '.join(known)}")
        self.layer = layer
        self._hooked = ""
        self._lattice: Lattice | None = None

    @abstractmethod
    def _maps(self, inputs: "torch.Tensor") -> "torch.Tensor":
        """Maps (n, rows, cols) for normalised inputs (n, 3, h, w) that ask for gradients."""

    def explain(self, images: Images) -> Values:
        """As :meth:`Explainer.explain`."""
        import torch

        if not self._hooked:
            self.prepare()
        with torch.inference_mode(False), torch.enable_grad():
            # Gradients are asked for at the input too, so that frozen weights do no harm.
            maps = self._maps(self.classifier.to_input(images).requires_grad_())
        values: Values = maps.detach().float().cpu().numpy()
        return values

    def prepare(self) -> Mapping[str, Any]:
        """Find the layer; it is noted in the settings."""
        self._hooked, _, self._lattice = self._examined()
        return {"layer": self._hooked}

    def passes_each(self) -> int:
        """One pass there and back."""
        return 2

    def centres(self, cells: int, length: int, axis: int) -> NDArray[np.float64]:
        """As :meth:`Explainer.centres`: of receptive fields, where these are known."""
        if self._lattice is not None:
            return self._lattice.places(axis, cells)
        return super().centres(cells, length, axis)

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

    def _examined(self) -> tuple[str, int, "Lattice | None"]:
        """The layer asked for, or the last to finish with more than one cell.

        Returns its name, its channels, and where its cells stand.
        """
        import torch

        from slidewin.saliency.cells import Following

        # Of each layer that returns a map, in the order of finishing: channels, cells and places.
        found: dict[str, tuple[int, int, Lattice | None]] = {}
        tokens = ""  # the last layer that returned a row of them

        def note(name: str) -> Any:
            def hook(_: "nn.Module", __: Any, output: Any) -> None:
                nonlocal tokens
                if isinstance(output, torch.Tensor) and output.ndim == 4:
                    found.pop(name, None)
                    cells = output[0, 0].numel()
                    found[name] = output.shape[1], cells, following.lattice(output)
                    tokens = tokens if cells == 1 else ""
                elif isinstance(output, torch.Tensor) and output.ndim == 3 and output.shape[1] > 1:
                    tokens = name

            return hook

        side = self.classifier.input_size
        named = [(name, layer) for name, layer in self.classifier.module.named_modules() if name]
        patch = np.zeros((1, side, side, 3), np.uint8)
        with ExitStack() as stack:
            stack.enter_context(self.classifier.borrowed())
            stack.enter_context(torch.no_grad())
            for name, layer in named:
                try:
                    handle = layer.register_forward_hook(note(name))
                except RuntimeError as error:  # of TorchScript
                    raise ClassifierError(
                        f"{self.method} needs a module that can be looked into, and this one "
                        f"cannot: {error}; pass the torch module that it was made of"
                    ) from error
                stack.callback(handle.remove)
            image = self.classifier.to_input(patch)
            following = stack.enter_context(Following(image))
            self.classifier.scores(image)
        if self.layer is not None and self.layer not in found:
            raise ArgumentError(
                f"layer={self.layer!r}: returns no map of shape (n, channels, height, width); "
                f"these do: {', '.join(found)}"
            )
        maps = [name for name, (_, cells, _) in found.items() if cells > 1]
        if self.layer is None and not maps:
            raise ClassifierError(
                f"the module has no layer with a map of more than one cell, which {self.method} "
                "needs"
            )
        if self.layer is None and tokens:
            raise ClassifierError(
                f"after {maps[-1]!r}, the last layer with a map, the module goes on with tokens "
                f"({tokens!r}), of which {self.method} knows nothing; name a layer with "
                "layer=..., or choose a method that looks into none, such as Occlusion"
            )
        name = maps[-1] if self.layer is None else self.layer
        channels, _, lattice = found[name]
        return name, channels, lattice
