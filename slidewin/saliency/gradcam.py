"""Grad-CAM as a localiser, on its own scale.

The maps of the usual libraries are stretched per photo so that something always lights up. This one
is not: values are raw, comparable from photo to photo for one network, and have no unit.
"""

from threading import Lock
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

# A hook sees whatever passes through its module, so one photo at a time.
_ALONE = Lock()


class GradCAM:
    """Gradient-weighted class activation maps of a torch classifier: a localiser.

    Parameters
    ----------
    classifier : Classifier
        Made from a torch module by :func:`slidewin.load_classifier`.
    target : str, optional
        As for the sweep; the classifier's own by default. The score that a map explains is the
        class's logit, calibrated as for the sweep; for a target of several classes the log of
        their summed exponentials. Where the module returns probabilities, it is their sum.
    layer : str, optional
        Name of the layer, as in ``module.named_modules()``. By default the last one whose output
        has more than one cell.
    on : {"input", "photo"}
        What the network sees: the photo shrunk to the classifier's input, as is usual; or the
        photo as it is, for networks that take any size.

    Notes
    -----
    Computed by torchcam without its normalisation. On a photo as it is, memory grows by some 300
    bytes a pixel for the default network. Meanwhile no other thread may use the module.

    A cell stands at the centre of its receptive field in a ``torch.nn.Sequential`` of plain layers;
    in other modules the cells are taken to be spread evenly, as they are in padded networks.

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
        known = [name for name, _ in classifier.module.named_modules() if name]
        if layer is not None and layer not in known:
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
            If the photo is smaller than what the network needs, or the layer has no map.
        ClassifierError
            If the network does not take the photo, or returns no class scores for it.
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
        with _ALONE, self.classifier.borrowed():
            layer = self._hooked_layer()
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
        k = len(self.classifier.classes_)

        def score(scores: "torch.Tensor") -> "torch.Tensor":
            scores = scores.reshape(-1)
            if len(scores) < k:  # one number, which speaks for the second class
                scores = scores[0] / self.classifier.temperature
                return scores if columns == [1] else -scores
            # Calibrated as for the sweep; where these are probabilities, that changes nothing.
            bias = torch.tensor(self.classifier.bias, dtype=scores.dtype, device=scores.device)
            scores = (scores / self.classifier.temperature + bias)[columns]
            return scores.logsumexp(0) if self.classifier.logits else scores.sum()

        module = self.classifier.module
        try:
            with torch.enable_grad(), Extractor(module, layer) as extractor:
                # Gradients are asked for at the input too, so that frozen weights do no harm.
                inputs = self.classifier.to_input(image[None]).requires_grad_()
                output = self.classifier.scores(inputs)
                one_each = output.shape == (1, k) or (k == 2 and output.shape in ((1, 1), (1,)))
                if not one_each:
                    raise ClassifierError(
                        f"the module returned shape {tuple(output.shape)} for one photo; "
                        f"(1, {k}) is needed, a score for each class"
                    )
                if not output.isfinite().all():  # torchcam would take NaN for 0
                    raise ClassifierError("the module returned NaN or infinity for this photo")
                (cam,) = extractor(scores=output, targets=score, normalized=False)
        except RuntimeError as error:
            raise ClassifierError(
                f"Grad-CAM fails on layer {layer!r} for an input of {image.shape[0]} x "
                f"{image.shape[1]} pixels; try on='input' or another layer ({error})"
            ) from error
        values: NDArray[np.float32] = cam[0].float().cpu().numpy()
        return values

    def _hooked_layer(self) -> str:
        """The layer asked for, or the last to finish that has more than one cell."""
        import torch

        cells: dict[str, int] = {}  # of each layer that returns a map, in the order of finishing

        def note(name: str) -> Any:
            def hook(_: "nn.Module", __: Any, output: Any) -> None:
                if isinstance(output, torch.Tensor) and output.ndim == 4:
                    cells.pop(name, None)
                    cells[name] = output[0, 0].numel()

            return hook

        side = self.classifier.input_size
        named = [(name, layer) for name, layer in self.classifier.module.named_modules() if name]
        handles = [layer.register_forward_hook(note(name)) for name, layer in named]
        try:
            self.classifier.predict_proba(np.zeros((1, side, side, 3), np.uint8))
        finally:
            for handle in handles:
                handle.remove()
        if self.layer in cells:
            return self.layer
        if self.layer is not None:
            raise ArgumentError(
                f"layer={self.layer!r}: returns no map of shape (n, channels, height, width); "
                f"these do: {', '.join(cells)}"
            )
        maps = [name for name, n in cells.items() if n > 1]
        if not maps:
            raise ClassifierError(
                "the module has no layer with a map of more than one cell, which Grad-CAM needs"
            )
        return maps[-1]

    def _centres(self, cells: int, layer: str, length: int) -> NDArray[np.float64]:
        """Centres of a feature map's cells along one axis of the network's input."""
        from torch import nn

        from slidewin.classifier.receptive import receptive_field

        module = self.classifier.module
        layers = list(module) if isinstance(module, nn.Sequential) else []
        # A layer may stand in a chain more than once; what is kept is its last output.
        ends = [i for i, other in enumerate(layers) if other is module.get_submodule(layer)]
        if ends and (field := receptive_field(layers[: ends[-1] + 1])) is not None:
            return np.array([field.centre(i) for i in range(cells)], np.float64)
        # Padded networks spread their cells evenly over the input.
        return (np.arange(cells) + 0.5) * length / cells
