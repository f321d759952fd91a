"""Adapter for any function."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slidewin.classifier.protocol import Classifier

__all__ = ["FunctionClassifier"]


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
