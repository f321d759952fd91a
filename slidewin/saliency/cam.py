"""Grad-CAM and its relatives: what a layer's feature maps say, weighted by what they are worth.

Let ``A`` be a layer's activations, of shape (channels, rows, cols), and ``g`` the gradient of the
target's log odds in them. Every method sums over the channels and cuts off what is below 0:

========== ==================================================
Grad-CAM   ``A`` times the mean of ``g`` over rows and cols
Grad-CAM++ ``A`` times the sum of ``g``, above 0 and damped
HiResCAM   ``A`` times ``g``, cell by cell
LayerCAM   ``A`` times ``g`` where above 0, cell by cell
Score-CAM  ``A`` times the score of what a channel lets through
Eigen-CAM  ``A`` along its first principal direction
========== ==================================================
"""

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from slidewin.errors import MissingPackageError
from slidewin.saliency.explainer import ALONE
from slidewin.saliency.layer import CAM

if TYPE_CHECKING:
    import torch

    from slidewin.saliency.score import TargetScore

__all__ = ["EigenCAM", "GradCAM", "GradCAMPlusPlus", "HiResCAM", "LayerCAM", "ScoreCAM"]

_FLAT = 1e-8  # a channel that is the same everywhere lets nothing through


class _FromTorchcam(CAM):
    """What torchcam computes, without its normalisation."""

    _extractor: ClassVar[str]

    def _maps(self, inputs: "torch.Tensor") -> "torch.Tensor":
        try:
            from torchcam import methods
        except ImportError as error:
            raise MissingPackageError(
                f"{self.method} needs torchcam: pip install 'slidewin[cam]'"
            ) from error
        from slidewin.saliency.score import TargetScore

        make = getattr(methods, self._extractor)
        scored = TargetScore(self.classifier, self.target)
        with make(scored, f"module.{self._hooked}") as extractor:
            (cams,) = extractor(class_idx=0, scores=scored(inputs), normalized=False)
            # It sums as if NaN were 0; here it is refused.
            for kept in (*extractor.hook_a, *extractor.hook_g):
                if kept is not None and not kept.isfinite().all():
                    cams = cams + np.nan
        maps: torch.Tensor = cams
        return maps


class _FromGradients(CAM):
    """What is computed here from activations and gradients, each (n, channels, rows, cols)."""

    @abstractmethod
    def _combine(self, activations: "torch.Tensor", gradients: "torch.Tensor") -> "torch.Tensor":
        """Maps (n, rows, cols), of which what is below 0 is cut off."""

    def _maps(self, inputs: "torch.Tensor") -> "torch.Tensor":
        import torch

        from slidewin.saliency.score import TargetScore

        scores, activations = self._overheard(TargetScore(self.classifier, self.target), inputs)
        (gradients,) = torch.autograd.grad(scores.sum(), activations)
        with torch.no_grad():
            return self._combine(activations, gradients).relu()


class GradCAM(_FromTorchcam):
    """Gradient-weighted class activation maps of a torch classifier: a localiser.

    Parameters
    ----------
    classifier, layer
        As for :class:`CAM`.
    **options
        ``target``, ``on``, ``lesion_size`` ...: as for :class:`Explainer`.

    Notes
    -----
    Computed by torchcam without its normalisation. On a photo as it is, memory grows by some 300
    bytes a pixel for the default network; at the sweep's levels by as much for each pixel of the
    largest; by windows it does not. Meanwhile no other thread may use the module.

    The score explained is the target's log odds (see :class:`Explainer`), not the class's logit as
    in the paper: of two classes the map is that of the difference of their logits.

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
    _extractor = "GradCAM"


class LayerCAM(_FromTorchcam):
    """LayerCAM: each cell weighted by its own gradient, where that is above 0. A localiser.

    Parameters, score, cost and memory are those of :class:`GradCAM`; computed by torchcam.

    References
    ----------
    Jiang et al., "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization", IEEE
    Trans. Image Process. 30, 2021, https://doi.org/10.1109/TIP.2021.3089943

    Examples
    --------
    >>> import slidewin
    >>> photo = np.zeros((96, 128, 3), np.uint8)
    >>> LayerCAM(slidewin.load_classifier()).localize(photo).method
    'LayerCAM'
    """

    method = "LayerCAM"
    _extractor = "LayerCAM"


class ScoreCAM(CAM):
    """Score-CAM: each channel weighted by the score of what it lets through. A localiser.

    Parameters are those of :class:`GradCAM`.

    Notes
    -----
    An image takes a pass for each channel of the layer and one more, 129 with the default network:
    with ``on="windows"`` most photos need more than `max_passes`. On a photo as it is, memory grows
    by some 170 bytes a pixel.

    The weights are a softmax over channels of the score, the target's log odds, so values have the
    scale of the layer's activations, and do not grow with the score. What a channel does not let
    through is 0 at the network's input, which is the colour ``mean`` of the classifier; where that
    is black it may look like a lesion.

    Computed here. torchcam 0.5.0 stretches a channel over all of the image, whose cells do not
    stand as far out as that in a network without padding: with the default network, at 24, 32 and
    40 of 64 px. Here it is interpolated between where they stand.

    References
    ----------
    Wang et al., "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks",
    CVPR Workshops 2020, https://arxiv.org/abs/1910.01279

    Examples
    --------
    >>> import slidewin
    >>> cam = ScoreCAM(slidewin.load_classifier(), on="windows", lesion_size=32)
    >>> cam.passes((512, 512, 3)) > 100_000
    True
    """

    method = "Score-CAM"
    thins_out = False

    def passes_each(self) -> int:
        """One for each channel of the layer, and one for the image itself."""
        with ALONE:
            return self._examined()[1] + 1

    def _maps(self, inputs: "torch.Tensor") -> "torch.Tensor":
        import torch

        from slidewin.saliency.score import TargetScore

        scored = TargetScore(self.classifier, self.target)
        with torch.no_grad():
            _, activations = self._overheard(scored, inputs)
            weights = [
                self._scores(scored, *one).softmax(0)
                for one in zip(inputs, activations, strict=True)
            ]
            return (torch.stack(weights)[..., None, None] * activations).sum(1).relu()

    def _scores(
        self, scored: "TargetScore", image: "torch.Tensor", channels: "torch.Tensor"
    ) -> "torch.Tensor":
        """Score of what each channel (k, rows, cols) lets through of an input (3, h, w)."""
        import torch

        least, most = channels.amin((1, 2), True), channels.amax((1, 2), True)
        masks = (channels - least) / (most - least + _FLAT)
        across, down = (
            torch.as_tensor(self._between(axis, masks.shape[axis + 1], image.shape[axis + 1]))
            .to(masks)
            for axis in (1, 0)
        )  # fmt: skip
        # As many masked images at a time as there may be windows.
        larger = image[0].numel() / self.classifier.input_size**2
        some = torch.split(masks, max(1, int(self.batch_size / larger)))
        return torch.cat([scored((down @ m @ across.T).unsqueeze(1) * image) for m in some])[:, 0]

    def _between(self, axis: int, cells: int, length: int) -> NDArray[np.float64]:
        """What each cell counts for at each px of an axis, (length, cells), rows summing to 1."""
        centres = self.centres(cells, length, axis)
        return np.stack([np.interp(np.arange(length) + 0.5, centres, e) for e in np.eye(cells)], 1)


class GradCAMPlusPlus(_FromGradients):
    """Grad-CAM++: gradients above 0, damped where many cells share in the score. A localiser.

    Parameters, score, cost and memory are those of :class:`GradCAM`.

    Notes
    -----
    Computed here by the paper's equations 10 and 19 for a score that enters through an exponential,
    without that exponential as a factor. (torchcam 0.5.0 loses the division by the denominator: it
    divides a copy.)

    The paper's layers end in a ReLU. Where a channel's activations sum to so far below 0 that the
    denominator is not above 0, its weight is 0. The map may be empty then, as of a head's own
    output (``layer="19"`` of the default network), whose scores for lesions are below 0 on skin.

    References
    ----------
    Chattopadhay et al., "Grad-CAM++: Generalized Gradient-based Visual Explanations for Deep
    Convolutional Networks", WACV 2018, https://doi.org/10.1109/WACV.2018.00097

    Examples
    --------
    >>> import slidewin
    >>> photo = np.zeros((96, 128, 3), np.uint8)
    >>> GradCAMPlusPlus(slidewin.load_classifier()).localize(photo).method
    'Grad-CAM++'
    """

    method = "Grad-CAM++"
    thins_out = False  # weights are sums over cells

    def _combine(self, activations: "torch.Tensor", gradients: "torch.Tensor") -> "torch.Tensor":
        # alpha = g^2 / (2 g^2 + g^3 sum A); divided by g^2, so that small gradients do not vanish.
        damping = 2 + gradients * activations.sum((2, 3), keepdim=True)
        # Below 0 only where activations are: there it is not defined.
        alpha = damping.reciprocal().where(damping > 0, 0)
        weights = (alpha * gradients.relu()).sum((2, 3), keepdim=True)
        return (weights * activations).sum(1)


class HiResCAM(_FromGradients):
    """HiResCAM: activations times gradients, cell by cell. A localiser.

    Parameters, score, cost and memory are those of :class:`GradCAM`. Where the layer is followed by
    nothing but linear layers, and there are two classes, the cells' values, those below 0 too, sum
    to the score but for the bias. Where those layers weigh the cells of a window differently, as
    the default network's head does, so does the map: by windows it shows the windows' lattice.

    References
    ----------
    Draelos and Carin, "Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional
    neural networks", 2020, https://arxiv.org/abs/2011.08891

    Examples
    --------
    >>> import slidewin
    >>> photo = np.zeros((96, 128, 3), np.uint8)
    >>> HiResCAM(slidewin.load_classifier()).localize(photo).method
    'HiResCAM'
    """

    method = "HiResCAM"

    def _combine(self, activations: "torch.Tensor", gradients: "torch.Tensor") -> "torch.Tensor":
        return (activations * gradients).sum(1)


class EigenCAM(CAM):
    """Eigen-CAM: activations along their first principal direction. A localiser.

    Parameters are those of :class:`GradCAM`; an image takes one pass, and on a photo as it is some
    110 bytes a pixel.

    Notes
    -----
    It asks for no class: the map is the same for every target, and shows what the layer responds
    to most. A direction has no sign of its own; it is taken so that the map's sum is above 0.

    References
    ----------
    Muhammad and Yeasin, "Eigen-CAM: Class Activation Map using Principal Components", IJCNN 2020,
    https://doi.org/10.1109/IJCNN48605.2020.9206626

    Examples
    --------
    >>> import slidewin
    >>> photo = np.zeros((96, 128, 3), np.uint8)
    >>> EigenCAM(slidewin.load_classifier()).localize(photo).method
    'Eigen-CAM'
    """

    method = "Eigen-CAM"
    thins_out = False

    def passes_each(self) -> int:
        """One pass."""
        return 1

    def _maps(self, inputs: "torch.Tensor") -> "torch.Tensor":
        import torch

        with torch.no_grad():
            _, heard = self._overheard(self.classifier.scores, inputs)
        activations = heard.float()
        if not activations.isfinite().all():  # of which there are no singular vectors
            return activations.sum(1) + np.nan
        cells = activations.flatten(2).transpose(1, 2)
        left, singular, _ = torch.linalg.svd(cells, full_matrices=False)
        maps = left[..., 0] * singular[:, :1]
        maps = (maps * maps.sum(1, keepdim=True).sign()).relu()
        shaped: torch.Tensor = maps.reshape(len(maps), *activations.shape[2:])
        return shaped
