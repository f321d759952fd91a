"""Adapter for scikit-learn estimators."""

import math
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from slidewin.classifier.protocol import Classifier, SharedWindows, copy_about
from slidewin.classifier.scores import calibrated, check_calibration, logarithms
from slidewin.errors import ArgumentError, ClassifierError, SharingError

__all__ = ["EstimatorClassifier"]


class EstimatorClassifier(Classifier):
    """A fitted scikit-learn estimator as a classifier.

    Parameters
    ----------
    estimator : object with ``predict_proba`` and ``classes_``
        Gets the patches as rows of ``S * S * 3`` values, uint8, in the order of
        ``patch.reshape(-1)``. Scaling and features belong into a pipeline; if that begins with
        :class:`slidewin.features.WindowFeatures`, overlapping windows share their features.
        A ``CalibratedClassifierCV`` belongs into the pipeline too: round the whole of it, it hides
        the features, and nothing is shared.
    input_size : int, optional
        By default from the estimator's ``n_features_in_``.
    classes : sequence of str, optional
        Names for the estimator's ``classes_``, in their order; by default these as text.
    temperature, bias : float, and sequence of k floats, optional
        Calibration: probabilities are ``softmax(log(p) / temperature + bias)``; 1 and 0 by default.
    about : mapping, optional
        What is known of it (data, versions ...), kept in the file when it is saved.
    **description
        As for :class:`Classifier`.
    """

    def __init__(
        self,
        estimator: Any,
        *,
        classes: Any = None,
        input_size: int | None = None,
        temperature: float = 1.0,
        bias: Sequence[float] | None = None,
        about: Mapping[str, Any] | None = None,
        **description: Any,
    ) -> None:
        known = getattr(estimator, "classes_", None)
        if known is None:
            raise ClassifierError(
                f"{type(estimator).__name__} has no classes_; fit it before it is swept"
            )
        name = type(estimator).__name__
        features = getattr(estimator, "n_features_in_", None)
        super().__init__(
            classes=known if classes is None else classes,
            input_size=_side_of(features, name) if input_size is None else input_size,
            **description,
        )
        if len(self.classes_) != len(known):
            raise ArgumentError(
                f"classes={self._labels()}: {len(self.classes_)} labels for an estimator of "
                f"{len(known)} classes; name its classes_ {[str(label) for label in known]}, in "
                "their order"
            )
        side, values = self.input_size, self.input_size**2 * 3
        if features not in (None, values):
            raise ArgumentError(
                f"input_size={side}: patches of {side} x {side} x 3 have {values} values, and "
                f"{name} was fitted on {features}"
            )
        self.estimator = estimator
        self.temperature, self.bias = check_calibration(temperature, bias, len(self.classes_))
        self.about = copy_about(about)

    def _predict(self, patches: NDArray[np.uint8]) -> Any:
        return self._calibrated(self.estimator.predict_proba(patches.reshape(len(patches), -1)))

    def _calibrated(self, returned: Any) -> Any:
        if self.temperature == 1 and not any(self.bias):
            return returned
        known = self._checked(returned, len(returned))
        return calibrated(logarithms(known), self.temperature, self.bias)

    def from_features(self, rows: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Probabilities (n, k) for what the first step of a pipeline made of windows."""
        return self._checked(self._calibrated(self.estimator[1:].predict_proba(rows)), len(rows))

    def share(self, stride: int, *, precision: str = "model") -> SharedWindows:  # noqa: ARG002
        """As :meth:`Classifier.share`, for pipelines whose first step knows of a lattice."""
        steps = getattr(self.estimator, "steps", None)
        if steps is None or not hasattr(steps[0][1], "of_lattice"):
            raise SharingError(
                f"{type(self.estimator).__name__} classifies windows one by one; a pipeline that "
                "begins with slidewin.features.WindowFeatures shares them"
            )
        return _SharedFeatures(self, stride)

    def fingerprint(self) -> str | None:
        """Hash of the estimator's parameters and fitted state; None where it cannot be pickled."""
        try:
            # Pickled and back, arrays lie in memory as they would in any other process.
            estimator = pickle.loads(pickle.dumps(self.estimator))  # noqa: S301
        except (pickle.PicklingError, TypeError, AttributeError):
            return None
        described = (self._labels(), self.input_size, self.temperature, self.bias)
        return str(joblib.hash((estimator, *described), hash_name="sha1"))


class _SharedFeatures(SharedWindows):
    """Features of all windows of an image, computed together: the same values, bit for bit."""

    spacing = 1
    precision = "that of the features"
    dense_is_free = False  # the estimator is asked for each window

    def __init__(self, classifier: EstimatorClassifier, stride: int) -> None:
        self.classifier = classifier
        # Overlap alone: each pixel is described once, not once for each window that sees it.
        self.saving = (classifier.input_size / stride) ** 2

    def predict(
        self, image: NDArray[np.uint8], tops: Sequence[int], lefts: Sequence[int]
    ) -> NDArray[np.float32]:
        described = self.classifier.estimator[0].of_lattice(image, tops, lefts)
        rows = described.reshape(len(tops) * len(lefts), -1)
        return self.classifier.from_features(rows).reshape(len(tops), len(lefts), -1)

    def blame(self, patch: NDArray[np.uint8]) -> str:  # noqa: ARG002
        return "the features of its first step depend on more than the window"


def _side_of(features: int | None, name: str) -> int:
    if features is None:
        raise ArgumentError(f"input_size: {name} does not say on what it was fitted; pass one")
    side = math.isqrt(features // 3)
    if side * side * 3 != features:
        raise ArgumentError(
            f"input_size: {name} was fitted on {features} features, which are not S * S * 3 for "
            "any S; fit it on patches reshaped to rows, or put what it needs into a pipeline"
        )
    return side
