"""Methods that go back through a network to its input, pixel by pixel, computed by Captum.

All are raw and none is smoothed: maps of single pixels are noisy. What they attribute to a pixel is
one number a colour, and may be below 0. Where that means evidence against the target (integrated
gradients) the colours' sum is kept where it is above 0; where it only means that the pixel would
have to become darker (the others), the colours' largest magnitude is.
"""

import warnings
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from slidewin.classifier import Classifier
from slidewin.classifier.module import ModuleClassifier
from slidewin.errors import ArgumentError, ClassifierError, MissingPackageError
from slidewin.saliency.explainer import Explainer, Images, Values
from slidewin.saliency.surroundings import surroundings

if TYPE_CHECKING:
    import torch

__all__ = ["Deconvolution", "FromCaptum", "GuidedBackprop", "IntegratedGradients", "Saliency"]


class FromCaptum(Explainer):
    """What Captum attributes to each pixel."""

    classifier: ModuleClassifier

    @abstractmethod
    def _maps(self, images: Images, inputs: "torch.Tensor") -> "torch.Tensor":
        """Maps (n, h, w) for images and the normalised inputs (n, 3, h, w) made of them."""

    def explain(self, images: Images) -> Values:
        """As :meth:`Explainer.explain`; a cell is a pixel."""
        with _captum(self.method):
            # Gradients are asked for at the input, so that frozen weights do no harm.
            maps = self._maps(images, self.classifier.to_input(images).requires_grad_())
        values: Values = maps.detach().float().cpu().numpy()
        return values

    def passes_each(self) -> int:
        """One pass there and back."""
        return 2


class Saliency(FromCaptum):
    """Sensitivity: by how much the score changes with a pixel, up or down. A localiser.

    Parameters
    ----------
    classifier : Classifier
        Made from a torch module by :func:`slidewin.load_classifier`.
    **options
        ``target``, ``on``, ``lesion_size`` ...: as for :class:`Explainer`.

    Notes
    -----
    The score is the target's log odds (see :class:`Explainer`). The map is the magnitude of its
    gradient in the network's normalised input, the largest of the three colours', computed by
    Captum. On a photo as it is, memory grows by some 450 bytes a pixel for the default network.

    References
    ----------
    K. Simonyan, A. Vedaldi, A. Zisserman, "Deep Inside Convolutional Networks: Visualising Image
    Classification Models and Saliency Maps", 2013, https://arxiv.org/abs/1312.6034

    Examples
    --------
    >>> import slidewin
    >>> photo = np.zeros((96, 128, 3), np.uint8)
    >>> (layer,) = Saliency(slidewin.load_classifier(), on="photo").localize(photo).layers
    >>> layer.values.shape
    (96, 128)
    """

    method = "saliency"
    _attribution: ClassVar[str] = "Saliency"

    def _maps(self, images: Images, inputs: "torch.Tensor") -> "torch.Tensor":  # noqa: ARG002
        import captum.attr

        from slidewin.saliency.score import TargetScore

        scored = TargetScore(self.classifier, self.target)
        found = getattr(captum.attr, self._attribution)(scored).attribute(inputs, target=0)
        maps: torch.Tensor = found.abs().amax(1)
        return maps


class _ThroughReLUs(Saliency):
    """The gradient, with another rule for going back through a ReLU."""

    def prepare(self) -> Mapping[str, Any]:
        """Refuse networks in which the rule has nothing to hold on to."""
        import torch
        from torch import nn

        from slidewin.saliency.score import TargetScore

        calls: list[None] = []
        relus = [part for part in self.classifier.module.modules() if isinstance(part, nn.ReLU)]
        handles = [
            one.register_forward_hook(lambda _, __, ___: calls.append(None)) for one in relus
        ]
        side = self.classifier.input_size
        images = np.zeros((1, side, side, 3), np.uint8)
        try:
            with torch.inference_mode(False), torch.enable_grad():
                inputs = self.classifier.to_input(images).requires_grad_()
                score = TargetScore(self.classifier, self.target)(inputs)
        finally:
            for handle in handles:
                handle.remove()
        computed = _count_relus(score)
        equal = "there the map would be the plain gradient's. Use Saliency, or a CAM"
        if not calls:
            raise ClassifierError(
                f"{self.method} changes how nn.ReLU layers hand gradients back, and the network "
                f"calls none: {equal}"
            )
        if computed > len(calls):
            raise ClassifierError(
                f"{self.method} changes how nn.ReLU layers hand gradients back, and "
                f"{computed - len(calls)} of the network's {computed} ReLUs are functions, not "
                f"layers: {equal}, or make them layers"
            )
        return {}


class GuidedBackprop(_ThroughReLUs):
    """Guided backpropagation: the gradient, along paths on which it is above 0. A localiser.

    Parameters, score, cost and memory are those of :class:`Saliency`.

    Notes
    -----
    At every ``nn.ReLU``, what is below 0 of the gradient is cut off on its way back, and what the
    ReLU cut off on the way there as well. Other activations hand it back as it is; a network that
    calls no ``nn.ReLU``, or calls ReLUs as functions, is refused: there it would silently be the
    plain gradient. It shows edges that the network sees, for any target much the same (Adebayo et
    al., "Sanity Checks for Saliency Maps", 2018, https://arxiv.org/abs/1810.03292).

    References
    ----------
    J. T. Springenberg, A. Dosovitskiy, T. Brox, M. Riedmiller, "Striving for Simplicity: The All
    Convolutional Net", ICLR Workshops 2015, https://arxiv.org/abs/1412.6806

    Examples
    --------
    >>> import slidewin
    >>> photo = np.zeros((96, 128, 3), np.uint8)
    >>> GuidedBackprop(slidewin.load_classifier()).localize(photo).method
    'guided backpropagation'
    """

    method = "guided backpropagation"
    _attribution = "GuidedBackprop"


class Deconvolution(_ThroughReLUs):
    """Deconvolution (deconvnet): the score handed back through the layers upended. A localiser.

    Parameters, score, cost and memory are those of :class:`Saliency`.

    Notes
    -----
    At every ``nn.ReLU``, what is below 0 of the gradient is cut off on its way back, whatever the
    ReLU did on the way there; so without pooling the map hardly depends on the image. Networks
    are refused as by :class:`GuidedBackprop`.

    References
    ----------
    M. D. Zeiler and R. Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014,
    https://doi.org/10.1007/978-3-319-10590-1_53

    Examples
    --------
    >>> import slidewin
    >>> photo = np.zeros((96, 128, 3), np.uint8)
    >>> Deconvolution(slidewin.load_classifier()).localize(photo).method
    'deconvolution'
    """

    method = "deconvolution"
    _attribution = "Deconvolution"


class IntegratedGradients(FromCaptum):
    """Integrated gradients: what each pixel adds, from its surroundings' colour on. A localiser.

    Parameters
    ----------
    classifier : Classifier
        Made from a torch module by :func:`slidewin.load_classifier`.
    n_steps : int, optional
        Places on the way from the baseline to the image at which the gradient is taken (Gauss and
        Legendre's). By default 16, and 8 with ``on="windows"``.
    **options
        ``target``, ``on``, ``lesion_size`` ...: as for :class:`Explainer`.

    Notes
    -----
    The baseline is the median colour of each pixel's surroundings, squares of two diameters of the
    lesions that the classifier knows: black, the usual one, looks like a lesion, and black parts of
    an image could have no value. The values of all pixels, those below 0 too, sum to the target's
    log odds in the image less those in the baseline, up to what `n_steps` leave: for windows of
    real photos and the default network 2 % with 32 steps, 4 % with 16, 7 % with 8, whose maps
    correlate by 0.99 with those of 64. What is above 0 is kept.

    Computed by Captum. An image takes `n_steps` passes there and back; memory is that of
    :class:`Saliency`.

    References
    ----------
    M. Sundararajan, A. Taly, Q. Yan, "Axiomatic Attribution for Deep Networks", ICML 2017,
    https://arxiv.org/abs/1703.01365

    Examples
    --------
    >>> import slidewin
    >>> photo = np.zeros((96, 128, 3), np.uint8)
    >>> heat = IntegratedGradients(slidewin.load_classifier()).localize(photo)
    >>> float(heat.to_pixels().max())  # all is of one colour, which is its surroundings'
    0.0
    """

    method = "integrated gradients"

    def __init__(
        self, classifier: Classifier, *, n_steps: int | None = None, **options: Any
    ) -> None:
        super().__init__(classifier, **options)
        if n_steps is None:
            n_steps = 8 if self.on == "windows" else 16
        if isinstance(n_steps, bool) or not isinstance(n_steps, int | np.integer) or n_steps < 1:
            raise ArgumentError(f"n_steps={n_steps!r}: a whole number from 1 up is needed")
        self.n_steps = int(n_steps)

    def prepare(self) -> Mapping[str, Any]:
        """As :meth:`Explainer.prepare`."""
        return {"n_steps": self.n_steps}

    def passes_each(self) -> int:
        """One pass there and back for each step."""
        return 2 * self.n_steps

    def _maps(self, images: Images, inputs: "torch.Tensor") -> "torch.Tensor":
        import captum.attr

        from slidewin.saliency.score import TargetScore

        side = self.classifier.input_size
        around = surroundings(images, min(2 * side / self.classifier.context, side))
        larger = images[0, ..., 0].size / side**2
        found = captum.attr.IntegratedGradients(
            TargetScore(self.classifier, self.target)
        ).attribute(
            inputs,
            self.classifier.to_input(around),
            target=0,
            n_steps=self.n_steps,
            internal_batch_size=max(len(images), int(self.batch_size / larger)),
        )
        maps: torch.Tensor = found.sum(1).relu()
        return maps


def _count_relus(score: "torch.Tensor") -> int:
    """How many ReLUs, layers or functions, a score was computed through."""
    seen, ahead = set(), [score.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is not None and node not in seen:
            seen.add(node)
            ahead += [before for before, _ in node.next_functions]
    return sum(node.name().startswith("ReluBackward") for node in seen)


@contextmanager
def _captum(method: str) -> Iterator[None]:
    """Captum, or how to get it; without its warning that hooks come and go."""
    import torch

    try:
        import captum.attr  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(f"{method} needs Captum: pip install 'slidewin[cam]'") from error
    with torch.inference_mode(False), torch.enable_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Setting backward hooks on ReLU")
        yield
