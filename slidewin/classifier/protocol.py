"""What every classifier looks like to the rest of slidewin, whoever made it."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slidewin.errors import ArgumentError, ArgumentTypeError, ClassifierError, SharingError

__all__ = ["ANY_LESION", "BACKGROUND", "Classifier", "SharedWindows", "copy_about"]

BACKGROUND = "background"
ANY_LESION = "lesion"
_DEFAULT_CONTEXT = 2.0
_DEFAULT_THRESHOLD = 0.5
# Softmax in float32 over a handful of classes is good to 1e-6; pipelines that round are not.
_ROW_TOLERANCE = 1e-3


class Classifier(ABC):
    """A classifier of close-ups: patches in, probabilities out, checked on every call.

    Made by :func:`slidewin.load_classifier`; adapters implement :meth:`_predict` alone.

    Parameters
    ----------
    classes : sequence of str
        Label of each column, in order, all different, at least two.
    input_size : int
        Side ``S`` of the patches, in pixels.
    context : float, default 2.0
        Window side over lesion diameter in the close-ups it was trained on, at least 1.
    target : str, optional
        What counts as found where the caller does not say: a label, or ``"lesion"`` for every
        class but ``"background"``. By default the last class.
    thresholds : mapping of str to float, optional
        Default threshold in (0, 1] of each target; 0.5 for targets without one.

    Attributes
    ----------
    classes_ : ndarray of shape (k,), str
    input_size : int
    context : float
    target : str
    thresholds : dict of str to float
    """

    def __init__(
        self,
        *,
        classes: Sequence[str],
        input_size: int,
        context: float | None = None,
        target: str | None = None,
        thresholds: Mapping[str, float] | None = None,
    ) -> None:
        if isinstance(classes, str) or not isinstance(classes, Iterable):
            raise ArgumentTypeError(
                f"classes={classes!r}: give a sequence of labels, such as "
                "['background', 'melanoma']"
            )
        labels = [str(c) for c in classes]
        if len(labels) < 2 or len(set(labels)) < len(labels):
            raise ArgumentError(
                f"classes={labels}: at least two different labels are needed, one for each column "
                "that the classifier returns, in its order"
            )
        if isinstance(input_size, bool) or not isinstance(input_size, int | np.integer):
            raise ArgumentTypeError(
                f"input_size={input_size!r}: give the side of the classifier's input in pixels, "
                "a whole number such as 64"
            )
        if input_size < 2:
            raise ArgumentError(f"input_size={input_size}: at least 2 pixels are needed")
        context = _DEFAULT_CONTEXT if context is None else _number(context, "context")
        if not 1 <= context < np.inf:
            raise ArgumentError(
                f"context={context}: the window's side over the lesion's diameter is at least 1; "
                "2 means that a lesion fills half of the window's width"
            )
        self.classes_ = np.array(labels)
        self.input_size = int(input_size)
        self.context = context
        self.target = labels[-1] if target is None else target
        self.target_columns(self.target)  # refuses a target that no class answers to
        thresholds = {} if thresholds is None else thresholds
        if not isinstance(thresholds, Mapping):
            raise ArgumentTypeError(
                f"thresholds={thresholds!r}: give one for each target, such as {{'melanoma': 0.7}}"
            )
        self.thresholds = {
            str(name): _number(value, f"thresholds[{name!r}]") for name, value in thresholds.items()
        }
        for name, value in self.thresholds.items():
            self.target_columns(name)
            if not 0 < value <= 1:
                raise ArgumentError(
                    f"thresholds[{name!r}]={value}: a probability in (0, 1] is needed"
                )

    def predict_proba(self, patches: ArrayLike) -> NDArray[np.float32]:
        """Classify a batch of patches.

        Parameters
        ----------
        patches : ndarray of shape (n, S, S, 3), uint8
            RGB, with ``S = input_size``.

        Returns
        -------
        ndarray of shape (n, k), float32
            Probabilities in [0, 1]; rows sum to 1.

        Raises
        ------
        ArgumentError
            If the patches have another shape or dtype.
        ClassifierError
            If the classifier returned anything but probabilities. What it raises itself is
            passed on.
        """
        side = self.input_size
        wanted = f"this classifier takes (n, {side}, {side}, 3) of uint8, RGB"
        try:
            patches = np.asarray(patches)
        except ValueError as error:
            raise ArgumentError(f"patches: no one array ({error}); {wanted}") from error
        if patches.shape[1:] != (side, side, 3) or patches.dtype != np.uint8:
            raise ArgumentError(
                f"patches: found shape {patches.shape} of {patches.dtype}; {wanted}"
            )
        if len(patches) == 0:
            return np.empty((0, len(self.classes_)), np.float32)
        return self._checked(self._predict(patches), len(patches))

    def predict_windows(
        self,
        image: NDArray[np.uint8],
        tops: Sequence[int],
        lefts: Sequence[int],
        *,
        batch_size: int = 64,
    ) -> NDArray[np.float32]:
        """Classify the windows of a lattice laid over an image, cut one by one.

        Parameters
        ----------
        image : ndarray of shape (h, w, 3), uint8
        tops, lefts : sequence of int, of lengths m and n
            First rows and first columns of the windows, which lie within the image.
        batch_size : int
            Windows that are cut at a time.

        Returns
        -------
        ndarray of shape (m, n, k), float32
            As :meth:`predict_proba` answers for each.

        Raises
        ------
        ClassifierError
            As :meth:`predict_proba` does.
        """
        side = self.input_size
        corners = [(top, left) for top in tops for left in lefts]
        values = []
        for start in range(0, len(corners), batch_size):
            batch = [image[t : t + side, c : c + side] for t, c in corners[start:][:batch_size]]
            values.append(self.predict_proba(np.stack(batch)))
        return np.concatenate(values).reshape(len(tops), len(lefts), -1)

    def share(
        self,
        stride: int,  # noqa: ARG002
        *,
        precision: str = "model",  # noqa: ARG002
    ) -> "SharedWindows":
        """Let windows that overlap share their work.

        Parameters
        ----------
        stride : int
            Distance between windows, in pixels of the classifier's input.
        precision : {"model", "auto"}
            ``"auto"`` computes in half precision where the processor does.

        Raises
        ------
        SharingError
            If they cannot; the message says why.
        """
        raise SharingError(
            f"{type(self).__name__} classifies windows one by one: only torch modules, and "
            "estimators on slidewin.features, are known from within"
        )

    @abstractmethod
    def _predict(self, patches: NDArray[np.uint8]) -> Any:
        """Return probabilities (n, k) for patches (n, S, S, 3), n >= 1, unchecked."""

    def _checked(self, returned: Any, n: int) -> NDArray[np.float32]:
        try:
            values = np.asarray(returned)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ClassifierError(
                f"the classifier returned {type(returned).__name__}, which is no array of "
                f"probabilities ({error})"
            ) from error
        k = len(self.classes_)
        if values.shape != (n, k):
            raise ClassifierError(
                f"the classifier returned shape {values.shape} for {n} patches; ({n}, {k}) is "
                f"needed, a probability for each of the classes {self._labels()}"
            )
        if values.dtype.kind not in "fiu":
            raise ClassifierError(
                f"the classifier returned {values.dtype}; probabilities in [0, 1] are needed"
            )
        if np.isnan(values).any():
            raise ClassifierError(
                f"the classifier returned NaN for {np.isnan(values).any(axis=1).sum()} of {n} "
                "patches; probabilities in [0, 1] are needed. Look for NaN in its weights"
            )
        low, high = float(values.min()), float(values.max())
        if not (low >= -_ROW_TOLERANCE and high <= 1 + _ROW_TOLERANCE):
            raise ClassifierError(
                f"the classifier returned values from {low:.4g} to {high:.4g}; probabilities in "
                "[0, 1] are needed. If these are logits, apply softmax first"
            )
        probabilities: NDArray[np.float32] = values.astype(np.float32)
        sums = probabilities.sum(axis=1)
        if np.abs(sums - 1).max() > _ROW_TOLERANCE:
            raise ClassifierError(
                f"the classifier's rows sum to {sums.min():.4g} ... {sums.max():.4g}; the "
                f"probabilities of the classes {self._labels()} must sum to 1"
            )
        return probabilities.clip(0, 1)

    def target_columns(self, target: str | None = None) -> list[int]:
        """Columns whose probabilities add up to that of a target.

        Parameters
        ----------
        target : str, optional
            A label of ``classes_``, or ``"lesion"`` for every class but ``"background"``; the
            classifier's own target by default.

        Raises
        ------
        ArgumentError
            If no class answers to it.
        """
        target = self.target if target is None else target
        labels = self._labels()
        if target in labels:
            return [labels.index(target)]
        if target == ANY_LESION and BACKGROUND in labels:
            return [i for i, label in enumerate(labels) if label != BACKGROUND]
        accepted = [*labels, ANY_LESION] if BACKGROUND in labels else labels
        raise ArgumentError(
            f"target={target!r}: no class has this label; choose one of {', '.join(accepted)}"
        )

    def target_probability(
        self, probabilities: NDArray[np.float32], target: str | None = None
    ) -> NDArray[np.float32]:
        """Probability (n,) of a target from probabilities (n, k) of the classes."""
        summed: NDArray[np.float32] = probabilities[:, self.target_columns(target)].sum(axis=1)
        return summed.clip(max=1)

    def threshold(self, target: str | None = None) -> float:
        """Default threshold of a target, by default of the classifier's own."""
        self.target_columns(target)  # refuses a target that no class answers to
        return self.thresholds.get(self.target if target is None else target, _DEFAULT_THRESHOLD)

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Hold the classifier ready for many calls, from several threads even; then restore it."""
        yield

    @abstractmethod
    def fingerprint(self) -> str | None:
        """Hash of all that its answers depend on, or None where that cannot be told."""

    def _labels(self) -> list[str]:
        return [str(c) for c in self.classes_]

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(classes={self._labels()}, input_size={self.input_size}, "
            f"context={self.context:g}, target={self.target!r})"
        )


class SharedWindows(ABC):
    """Windows of a lattice, classified together: what they have in common is computed once.

    Attributes
    ----------
    spacing : int
        In pixels; windows that lie whole spacings apart share most.
    saving : float
        Arithmetic that windows take one by one, over that which is done together; estimated.
    precision : str
        In which they are computed.
    dense_is_free : bool
        Whether windows at every spacing cost no more than those at a stride.
    """

    spacing: int
    saving: float
    precision: str
    dense_is_free: bool

    @abstractmethod
    def predict(
        self, image: NDArray[np.uint8], tops: Sequence[int], lefts: Sequence[int]
    ) -> NDArray[np.float32]:
        """As :meth:`Classifier.predict_windows`, equal to it to rounding."""

    @abstractmethod
    def blame(self, patch: NDArray[np.uint8]) -> str:
        """Say what makes a window's answer differ from that which it has by itself."""


def copy_about(about: Mapping[str, Any] | None) -> dict[str, Any]:
    """A copy of what is known of a classifier."""
    if about is not None and not isinstance(about, Mapping):
        raise ArgumentTypeError(f"about={about!r}: a mapping is needed, such as {{'data': 'ours'}}")
    return dict(about or {})


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ArgumentTypeError(f"{name}={value!r}: a number is needed")
    return float(value)
