"""Adapters for scikit-learn estimators and for any function."""

import math
import pickle
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from slidewin.classifier.protocol import Classifier
from slidewin.errors import ArgumentError, ClassifierError

__all__ = ["EstimatorClassifier", "FunctionClassifier"]


class FunctionClassifier(Classifier):
    """Any function as a classifier.

    Parameters
    ----------
    function : callable
        Maps patches ``(n, S, S, 3)``, uint8, to probabilities ``(n, k)``. It must be safe to
        call from several threads at once, or be swept with ``n_jobs=1``.
    **description
        As for :class:`Classifier`.
    """

    def __init__(self, function: Callable[[NDArray[np.uint8]], Any], **description: Any) -> None:
        super().__init__(**description)
        self.function = function

    def _predict(self, patches: NDArray[np.uint8]) -> Any:
        return self.function(patches)

    def fingerprint(self) -> None:
        """None: what a function depends on cannot be told from outside."""


class EstimatorClassifier(Classifier):
    """A fitted scikit-learn estimator as a classifier.

    Parameters
    ----------
    estimator : object with ``predict_proba`` and ``classes_``
        Gets the patches as rows of ``S * S * 3`` values, uint8, in the order of
        ``patch.reshape(-1)``. Scaling and features belong into a pipeline.
    input_size : int, optional
        By default from the estimator's ``n_features_in_``.
    classes : sequence of str, optional
        Names for the estimator's ``classes_``, in their order; by default these as text.
    **description
        As for :class:`Classifier`.
    """

    def __init__(
        self,
        estimator: Any,
        *,
        classes: Any = None,
        input_size: int | None = None,
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

    def _predict(self, patches: NDArray[np.uint8]) -> Any:
        return self.estimator.predict_proba(patches.reshape(len(patches), -1))

    def fingerprint(self) -> str | None:
        """Hash of the estimator's parameters and fitted state; None where it cannot be pickled."""
        try:
            # Pickled and back, arrays lie in memory as they would in any other process.
            estimator = pickle.loads(pickle.dumps(self.estimator))  # noqa: S301
        except (pickle.PicklingError, TypeError, AttributeError):
            return None
        return str(joblib.hash((estimator, self._labels(), self.input_size), hash_name="sha1"))


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
