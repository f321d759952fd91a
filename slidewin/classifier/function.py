"""Adapters for scikit-learn estimators and for any function."""

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
        if classes is not None and len(classes) != len(known):
            raise ArgumentError(
                f"classes={list(classes)}: {len(classes)} labels for an estimator of {len(known)} "
                f"classes; name its classes_ {list(known)}, in their order"
            )
        features = getattr(estimator, "n_features_in_", None)
        if input_size is None:
            input_size = _side_of(features, type(estimator).__name__)
        elif features not in (None, input_size * input_size * 3):
            raise ArgumentError(
                f"input_size={input_size}: patches of {input_size} x {input_size} x 3 have "
                f"{input_size * input_size * 3} values, and {type(estimator).__name__} was fitted "
                f"on {features}"
            )
        labels = [str(label) for label in (known if classes is None else classes)]
        super().__init__(classes=labels, input_size=input_size, **description)
        self.estimator = estimator

    def _predict(self, patches: NDArray[np.uint8]) -> Any:
        return self.estimator.predict_proba(patches.reshape(len(patches), -1))

    def fingerprint(self) -> str:
        """Hash of the estimator's parameters and fitted state."""
        return str(joblib.hash((self.estimator, self._labels(), self.input_size), hash_name="sha1"))


def _side_of(features: int | None, name: str) -> int:
    side = round((features / 3) ** 0.5) if features else 0
    if not features or side * side * 3 != features:
        raise ArgumentError(
            f"input_size: {name} was fitted on {features} features, which are not S * S * 3 for "
            "any S; pass input_size="
        )
    return side
