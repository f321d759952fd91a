"""What learns: the default network, or a scikit-learn estimator of colours and textures."""

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from slidewin.classifier.estimator import EstimatorClassifier
from slidewin.classifier.module import ModuleClassifier
from slidewin.features import patch_classifier
from slidewin.training.fit import MEAN, STD, fit_network

__all__ = ["INPUT_SIZE", "WINDOWS", "Learner", "Trained", "new_learner"]

Trained: TypeAlias = ModuleClassifier | EstimatorClassifier

INPUT_SIZE = 64
WINDOWS = {"network": 120_000, "features": 16_000}
"""Windows that each kind of learner is given for a fit, unless the caller says otherwise."""
_LEARNING_RATES = (4e-3, 2e-3)  # of the first fit, and of those that go on from it


class Learner(Protocol):
    """Fitted to windows, again and again; after each fit it gives a classifier."""

    def fit(
        self, patches: NDArray[np.uint8], labels: NDArray[np.int64], *, number: int
    ) -> tuple[Trained, float | None]:
        """Learn from windows; return the classifier, and the loss if there is one.

        Parameters
        ----------
        patches : ndarray of shape (n, S, S, 3), uint8
        labels : ndarray of shape (n,), int64
            Columns of the classes.
        number : int
            Of the fit, from 0.
        """


def new_learner(
    model: Literal["network", "features"],
    classes: Sequence[str],
    *,
    context: float,
    epochs: int,
    random_state: int,
    verbose: bool,
) -> Learner:
    """Make a learner that knows nothing yet."""
    if model == "features":
        return _FeatureLearner(classes, context, random_state)
    return _NetworkLearner(classes, context, epochs, random_state, verbose)


class _NetworkLearner:
    """The default network; each fit goes on where the last one ended."""

    def __init__(
        self, classes: Sequence[str], context: float, epochs: int, seed: int, verbose: bool
    ) -> None:
        import torch

        from slidewin.network import window_network

        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.network = window_network(len(classes))
        self.classes, self.context = classes, context
        self.epochs, self.seed, self.verbose = epochs, seed, verbose

    def fit(
        self, patches: NDArray[np.uint8], labels: NDArray[np.int64], *, number: int
    ) -> tuple[ModuleClassifier, float]:
        loss = fit_network(
            self.network,
            patches,
            labels,
            epochs=self.epochs,
            learning_rate=_LEARNING_RATES[number > 0],
            seed=self.seed + number,
            verbose=self.verbose,
        )
        classifier = ModuleClassifier(
            self.network,
            mean=MEAN,
            std=STD,
            classes=self.classes,
            input_size=INPUT_SIZE,
            context=self.context,
        )
        return classifier, round(loss, 4)


class _FeatureLearner:
    """Colours and textures for a gradient boosting of trees; each fit starts anew."""

    def __init__(self, classes: Sequence[str], context: float, seed: int) -> None:
        self.classes, self.context, self.seed = classes, context, seed

    def fit(
        self,
        patches: NDArray[np.uint8],
        labels: NDArray[np.int64],
        *,
        number: int,  # noqa: ARG002 - what it learned before is in the windows
    ) -> tuple[EstimatorClassifier, None]:
        fitted = patch_classifier(random_state=self.seed).fit(
            patches.reshape(len(patches), -1), labels
        )
        classifier = EstimatorClassifier(
            fitted, classes=self.classes, input_size=INPUT_SIZE, context=self.context
        )
        return classifier, None
