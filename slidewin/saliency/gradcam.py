"""Grad-CAM as a localiser, on its own scale.

The maps of the usual libraries are stretched per photo so that something always lights up. This one
is not: values are raw, comparable from photo to photo for one network, and have no unit.
"""

from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from slidewin.classifier import Classifier
from slidewin.classifier.module import ModuleClassifier
from slidewin.errors import ArgumentError, ClassifierError, MissingPackageError
from slidewin.heatmap import HeatLayer, HeatMap
from slidewin.image import check_image

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["GradCAM"]


class GradCAM:
    """Gradient-weighted class activation maps of a torch classifier: a localiser.

    Parameters
    ----------
    classifier : Classifier
        Made from a torch module by :func:`slidewin.load_classifier`.
    target : str, optional
        As for the sweep; the classifier's own by default. For a target of several classes the
        score is the log of their summed exponentials.
    layer : str, optional
        Name of the layer, as in ``module.named_modules()``. By default the last one whose output
        has more than one cell.
    on : {"input", "photo"}
        What the network sees: the photo shrunk to the classifier's input, as is usual; or the
        photo as it is, for networks that take any size.

    Notes
    -----
    Computed by torchcam without its normalisation. On a photo as it is, memory grows by some 300
    bytes a pixel for the default network.

    References
    ----------
    Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
    Localization", ICCV 2017, https://doi.org/10.1109/ICCV.2017.74

    Examples
    --------
    >>> import slidewin
    >>> photo = np.zeros((96, 128, 3), np.uint8)
    >>> GradCAM(slidewin.load_classifier(), on="photo").localize(photo).unit
    'raw'
    """

    method = "Grad-CAM"

    def __init__(
        self,
        classifier: Classifier,
        *,
        target: str | None = None,
        layer: str | None = None,
        on: Literal["input", "photo"] = "input",
    ) -> None:
        if not isinstance(classifier, ModuleClassifier):
            raise ClassifierError(
                f"Grad-CAM needs the gradients of a torch module, and {type(classifier).__name__} "
                "has none; pass load_classifier(module, ...)"
            )
        if on not in ("input", "photo"):
            raise ArgumentError(f"on={on!r}: choose 'input' or 'photo'")
        if layer is not None and layer not in dict(classifier.module.named_modules()):
            known = [name for name, _ in classifier.module.named_modules() if name]
            raise ArgumentError(f"layer={layer!r}: the module has {', '.join(known)}")
        classifier.target_columns(target)
        self.classifier = classifier
        self.target = classifier.target if target is None else target
        self.layer = layer
        self.on = on

    def localize(self, photo: ArrayLike) -> HeatMap:
        """Map what speaks for the target over a photo.

        Parameters
        ----------
        photo : ndarray of shape (H, W, 3), uint8

        Returns
        -------
        HeatMap
            One layer of raw values, 0 and up, at the centres of what each cell sees.

        Raises
        ------
        ArgumentError
            If the photo is smaller than what the network needs.
        MissingPackageError
            If torchcam is not installed.
        """
        photo = check_image(photo)
        height, width = photo.shape[:2]
        side = self.classifier.input_size
        seen = photo
        if self.on == "input":
            seen = np.asarray(cv2.resize(photo, (side, side), interpolation=cv2.INTER_AREA))
        elif min(height, width) < side:
            raise ArgumentError(
                f"photo: {height} x {width} pixels are fewer than the {side} that the network "
                "needs along each side; use on='input'"
            )
        with self.classifier.borrowed():
            layer = self._last_layer() if self.layer is None else self.layer
            values = self._cam(seen, layer)
        rows, cols = (
            self._centres(cells, layer, length) * of / length
            for cells, length, of in zip(values.shape, seen.shape, (height, width), strict=False)
        )
        return HeatMap(
            (height, width),
            (HeatLayer(values, rows=rows, cols=cols),),
            method=self.method,
            unit="raw",
            settings={"target": self.target, "layer": layer, "on": self.on},
        )

    def _cam(self, image: NDArray[np.uint8], layer: str) -> NDArray[np.float32]:
        import torch

        try:
            from torchcam.methods import GradCAM as Extractor
        except ImportError as error:
            raise MissingPackageError(
                "Grad-CAM needs torchcam: pip install 'slidewin[cam]'"
            ) from error
        columns = self.classifier.target_columns(self.target)
        binary = len(self.classifier.classes_) == 2

        def score(logits: "torch.Tensor") -> "torch.Tensor":
            logits = logits.reshape(-1)
            if len(logits) == 1 and binary:  # one number, which speaks for the second class
                return logits[0] if columns == [1] else -logits[0]
            return logits[columns].logsumexp(0)

        module = self.classifier.module
        with torch.enable_grad(), Extractor(module, layer) as extractor:
            # Gradients are asked for at the input too, so that frozen weights do no harm.
            output = module(self.classifier.to_input(image[None]).requires_grad_())
            (cam,) = extractor(scores=output, targets=score, normalized=False)
        return cam[0].float().cpu().numpy()

    def _last_layer(self) -> str:
        """The last layer to finish that has more than one cell."""
        import torch

        found: list[str] = []

        def note(name: str) -> Any:
            def hook(_: "nn.Module", __: Any, output: Any) -> None:
                if (
                    isinstance(output, torch.Tensor)
                    and output.ndim == 4
                    and output[0, 0].numel() > 1
                ):
                    found.append(name)

            return hook

        side = self.classifier.input_size
        named = [(name, layer) for name, layer in self.classifier.module.named_modules() if name]
        handles = [layer.register_forward_hook(note(name)) for name, layer in named]
        try:
            self.classifier.predict_proba(np.zeros((1, side, side, 3), np.uint8))
        finally:
            for handle in handles:
                handle.remove()
        if not found:
            raise ClassifierError(
                "the module has no layer with a map of more than one cell, which Grad-CAM needs"
            )
        return found[-1]

    def _centres(self, cells: int, layer: str, length: int) -> NDArray[np.float64]:
        """Centres of a feature map's cells along one axis of the network's input."""
        from torch import nn

        from slidewin.network import receptive_field

        module = self.classifier.module
        if isinstance(module, nn.Sequential) and layer.isdigit():
            field = receptive_field(module[: int(layer) + 1])
            if field is not None:
                return np.array([field.centre(i) for i in range(cells)], np.float64)
        # Padded networks spread their cells evenly over the input.
        return (np.arange(cells) + 0.5) * length / cells
