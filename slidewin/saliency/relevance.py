"""Layer-wise relevance propagation, where it is sound."""

from typing import TYPE_CHECKING, Any

from slidewin.classifier import Classifier
from slidewin.errors import ClassifierError
from slidewin.saliency.explainer import Images
from slidewin.saliency.gradient import FromCaptum

if TYPE_CHECKING:
    import torch

__all__ = ["LRP"]

# Share of a score that relevance may gain or lose on its way, and what is as good as nothing.
_CONSERVED, _NOTHING = 0.01, 1e-4


class LRP(FromCaptum):
    """Layer-wise relevance propagation: the score, handed back in shares. A localiser.

    Parameters
    ----------
    classifier : Classifier
        Made from a torch module by :func:`slidewin.load_classifier`.
    **options
        ``target``, ``on``, ``lesion_size`` ...: as for :class:`Explainer`.

    Notes
    -----
    What is handed back are the classes' logits over the temperature, less their biases, which
    belong to no place: the mean by probability of those of the target, less that of all others. Of
    so much the log odds consist that other methods explain. Where it is below 0, there may be no
    evidence at all. Rules: the last layer shares by what each feature contributes, the layers
    before by what speaks for them (alpha 1, beta 0), the first by the distance of colours from the
    ends of their range (Montavon et al., https://arxiv.org/abs/1512.02479). Every layer's bias is
    shared out evenly over what the layer sees. What is above 0 is kept.

    So the shares sum to what is handed back. That is checked in every image, to 1 %, against the
    network itself: Captum's own rules lose all of it in the default network, whose biases keep it,
    and are off by 4e12 on a ResNet-18. Networks other than chains of convolutions, batch norms,
    ReLUs, poolings and linear layers are refused, with the layer and the reason.

    Computed by Captum on a copy of the network. On a photo as it is, memory grows by some 800
    bytes a pixel for the default network.

    References
    ----------
    S. Bach et al., "On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise
    Relevance Propagation", PLoS ONE 10(7), 2015, https://doi.org/10.1371/journal.pone.0130140

    Examples
    --------
    >>> import numpy as np
    >>> import slidewin
    >>> photo = np.zeros((96, 128, 3), np.uint8)
    >>> LRP(slidewin.load_classifier()).localize(photo).method
    'LRP'
    """

    method = "LRP"

    def __init__(self, classifier: Classifier, **options: Any) -> None:
        super().__init__(classifier, **options)
        if not self.classifier.logits:
            raise ClassifierError(
                "LRP hands back logits, and the classifier's network returns probabilities; pass "
                "the network without its last softmax or sigmoid, and logits=True"
            )

    def passes_each(self) -> int:
        """Two passes and one back for each class, and one to check them."""
        return 3 * len(self.classifier.classes_) + 1

    def _maps(self, images: Images, inputs: "torch.Tensor") -> "torch.Tensor":  # noqa: ARG002
        import torch

        from slidewin.saliency.chain import Chain
        from slidewin.saliency.score import TargetScore

        classifier = self.classifier
        chain = Chain(classifier.module, classifier.mean, classifier.std)
        scored = TargetScore(classifier, self.target)
        with torch.no_grad():
            outputs = scored.outputs(inputs).float()
        # By how much the score goes up with each output; of one that speaks against it, down.
        (weights,) = torch.autograd.grad(scored.of(outputs.requires_grad_()).sum(), outputs)
        outputs = outputs.detach()
        total = torch.zeros_like(inputs[:, 0], dtype=torch.float32)
        for column, weight in enumerate(weights.T):
            relevance = chain.relevance(inputs, column)
            self._check(relevance, outputs[:, column] - chain.bias[column])
            total += weight.view(-1, 1, 1) * relevance
        return total.relu()

    def _check(self, relevance: "torch.Tensor", score: "torch.Tensor") -> None:
        """Refuse relevance that is not conserved."""
        found = relevance.sum((1, 2))
        lost = (found - score).abs() - _NOTHING
        if not (lost <= _CONSERVED * score.abs()).all():  # nor is NaN
            worst = int((lost / score.abs().clamp(min=_NOTHING)).argmax())
            raise ClassifierError(
                f"LRP: relevance is not conserved in this photo: it sums to {found[worst]:.4g} "
                f"for a score of {score[worst]:.4g}, and 1 % is allowed. The network computes "
                "something else than its layers show; use another method"
            )
