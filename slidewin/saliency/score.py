"""The one number that a map explains."""

import torch
from torch import nn

from slidewin.classifier.module import ModuleClassifier
from slidewin.errors import ClassifierError

__all__ = ["TargetScore"]


class TargetScore(nn.Module):
    """A classifier's network, with the target's score for its only output.

    The score is the target's log odds, calibrated as for the sweep, whose probability is their
    sigmoid: the log of the summed exponentials of the target's logits, less that of all others. Of
    two classes that is the difference of their logits, and of a network with one output that
    output. Where the network returns probabilities, the score is the target's.

    Parameters
    ----------
    classifier : ModuleClassifier
        Its module is used as it is, under the name ``module``.
    target : str

    Notes
    -----
    A class's logit alone would leave out what speaks against the others: much of what a network
    knows of a lesion may be that it is no background.
    """

    def __init__(self, classifier: ModuleClassifier, target: str) -> None:
        super().__init__()
        self.classifier = classifier
        self.module = classifier.module
        self.columns = classifier.target_columns(target)
        k = len(classifier.classes_)
        self.others = [column for column in range(k) if column not in self.columns]

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Scores (n, 1) for normalised inputs (n, 3, h, w): class 0 to torchcam and Captum.

        Raises
        ------
        ClassifierError
            If the network returns anything but finite scores for the classes of each image.
        """
        return self.of(self.outputs(inputs))

    def outputs(self, inputs: torch.Tensor) -> torch.Tensor:
        """What the network returns, (n, k), or (n, 1) where it gives one number for two classes.

        Raises
        ------
        ClassifierError
            As :meth:`forward`.
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
        return output.reshape(n, -1)

    def of(self, outputs: torch.Tensor) -> torch.Tensor:
        """Scores (n, 1) for what the network returned."""
        # Calibrated as for the sweep; where these are probabilities, that changes nothing.
        temperature, bias = self.classifier.temperature, outputs.new_tensor(self.classifier.bias)
        if outputs.shape[1] < len(bias):  # one number, which speaks for the second class
            second = outputs / temperature + bias[1] - bias[0]
            return second if self.columns == [1] else -second
        calibrated = outputs / temperature + bias
        wanted = calibrated[:, self.columns]
        if not self.classifier.logits:
            return wanted.sum(1, keepdim=True)
        others = calibrated[:, self.others]
        return wanted.logsumexp(1, keepdim=True) - others.logsumexp(1, keepdim=True)
