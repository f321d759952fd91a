"""The one number that a map explains."""

import torch
from torch import nn

from slidewin.classifier.module import ModuleClassifier
from slidewin.errors import ClassifierError

__all__ = ["TargetScore"]


class TargetScore(nn.Module):
    """A classifier's network, with the target's score for its only output.

    The score is the class's logit, calibrated as for the sweep; for a target of several classes the
    log of their summed exponentials. Where the network returns probabilities, it is their sum.

    Parameters
    ----------
    classifier : ModuleClassifier
        Its module is used as it is, under the name ``module``.
    target : str
    """

    def __init__(self, classifier: ModuleClassifier, target: str) -> None:
        super().__init__()
        self.classifier = classifier
        self.module = classifier.module
        self.columns = classifier.target_columns(target)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Scores (n, 1) for normalised inputs (n, 3, h, w): class 0 to torchcam and Captum.

        Raises
        ------
        ClassifierError
            If the network returns anything but finite scores for the classes of each image.
        """
        output = self.classifier.scores(inputs)
        n, k = len(inputs), len(self.classifier.classes_)
        is_one_number = k == 2 and output.shape in ((n, 1), (n,))
        if not (is_one_number or output.shape == (n, k)):
            images = "one photo" if n == 1 else f"{n} images"
            raise ClassifierError(
                f"the module returned shape {tuple(output.shape)} for {images}; ({n}, {k}) is "
                "needed, a score for each class"
            )
        if not output.isfinite().all():  # torchcam would take NaN for 0
            raise ClassifierError("the module returned NaN or infinity for this photo")
        # Calibrated as for the sweep; where these are probabilities, that changes nothing.
        temperature, bias = self.classifier.temperature, output.new_tensor(self.classifier.bias)
        if is_one_number:  # which speaks for the second class
            second = output.reshape(n, 1) / temperature + bias[1] - bias[0]
            return second if self.columns == [1] else -second
        wanted = (output / temperature + bias)[:, self.columns]
        if self.classifier.logits:
            return wanted.logsumexp(1, keepdim=True)
        return wanted.sum(1, keepdim=True)
