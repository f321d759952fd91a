"""What all networks have in common: a normalised input, and scores that become probabilities."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slidewin.classifier.protocol import Classifier, copy_about
from slidewin.errors import ArgumentError, ArgumentTypeError, ClassifierError

__all__ = ["NetworkClassifier", "calibrated", "check_calibration", "logarithms"]

# What rounding may take from or add to rows of probabilities in single precision.
_ROUNDING = 2e-6
# Rows of logits that sum to 1 by chance: in single precision one in a million, in half precision
# one in some hundred, so there it takes as many rows as these to tell.
_TELLING_ROWS = 8
_LEAST = 1e-12  # a probability of 0 has no logarithm


class NetworkClassifier(Classifier):
    """A network as a classifier, whatever runs it.

    Parameters
    ----------
    mean, std : sequence of 3 floats, or float, optional
        The input is ``(pixel / 255 - mean) / std``. By default 0 and 1.
    logits : bool, default True
        Whether the network returns logits (softmax, or sigmoid for one number, is applied) or
        probabilities.
    temperature : float, default 1.0
        Calibration of logits: probabilities are ``softmax(logits / temperature + bias)``. Above 1
        softens them.
    bias : sequence of k floats, optional
        See ``temperature``; 0 by default. One logit ``z`` of two classes counts as ``(0, z)``.
    about : mapping, optional
        What is known of it (data, versions ...), kept in the file when it is saved.
    **description
        As for :class:`Classifier`.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger: On Calibration of Modern Neural Networks, 2017,
    https://arxiv.org/abs/1706.04599 (vector scaling, with one scale for all classes).
    """

    def __init__(
        self,
        *,
        mean: Sequence[float] | float | None = None,
        std: Sequence[float] | float | None = None,
        logits: bool = True,
        temperature: float = 1.0,
        bias: Sequence[float] | None = None,
        about: Mapping[str, Any] | None = None,
        **description: Any,
    ) -> None:
        super().__init__(**description)
        self.mean = _three(mean, "mean", 0.0)
        self.std = _three(std, "std", 1.0)
        if not all(s > 0 for s in self.std):
            raise ArgumentError(f"std={self.std}: every value must be above 0")
        if not isinstance(logits, bool):
            raise ArgumentTypeError(
                f"logits={logits!r}: True if the network returns logits, False if probabilities"
            )
        self.logits = logits
        self.temperature, self.bias = check_calibration(temperature, bias, len(self.classes_))
        if not logits and (self.temperature != 1 or any(self.bias)):
            raise ArgumentError(
                f"temperature={temperature!r}, bias={bias!r}: these calibrate logits, and "
                "logits=False says that the network returns probabilities"
            )
        self.about = copy_about(about)

    def to_probabilities(self, scores: ArrayLike, *, eps: float | None = None) -> NDArray[Any]:
        """Probabilities (n, k) for what the network returned, calibrated.

        Parameters
        ----------
        scores : ndarray of shape (n, k), or (n, 1) or (n,) for two classes
            Of any other shape they are returned as they are.
        eps : float, optional
            Precision in which they were computed, where their dtype does not tell. Rows of
            probabilities in half precision are made to sum to 1 again.

        Raises
        ------
        ClassifierError
            If they are probabilities already, and ``logits`` says otherwise.
        """
        scores = np.asarray(scores)
        k = len(self.classes_)
        if scores.dtype.kind not in "fiu":
            return scores  # refused by predict_proba, in words
        if eps is None:
            eps = float(np.finfo(scores.dtype).eps) if scores.dtype.kind == "f" else 0.0
        scores = scores.astype(np.float64)
        if scores.ndim == 1:
            scores = scores[:, None]
        if scores.shape[1:] == (1,) and k == 2:
            rest = np.zeros_like(scores) if self.logits else 1 - scores
            scores = np.hstack([rest, scores])
        elif (
            self.logits
            and scores.shape[1:] == (k,)
            and (eps < _ROUNDING or len(scores) >= _TELLING_ROWS)
            and (scores >= 0).all()
            and (np.abs(scores.sum(axis=1) - 1) < max(_ROUNDING, eps)).all()
        ):
            raise ClassifierError(
                "the network's rows are probabilities already (not negative, sum to 1), and "
                "softmax would flatten them; pass logits=False"
            )
        if scores.shape[1:] != (k,):
            return scores
        if not self.logits:
            sums = scores.sum(axis=1, keepdims=True)
            is_rounding = eps > _ROUNDING and (np.abs(sums - 1) <= k * eps).all()
            return scores / sums if is_rounding else scores
        return calibrated(scores, self.temperature, self.bias)

    def _described(self) -> tuple[Any, ...]:
        """All that answers depend on beside the network itself."""
        calibration = (self.temperature, self.bias)
        return self._labels(), self.input_size, self.mean, self.std, self.logits, *calibration


def _three(
    value: Sequence[float] | float | None, name: str, default: float
) -> tuple[float, float, float]:
    values = _numbers(default if value is None else value)
    values = np.full(3, values) if values.ndim == 0 else values
    if values.shape != (3,) or not np.isfinite(values).all():
        raise ArgumentError(
            f"{name}={value!r}: give one finite number for each of red, green and blue, as "
            "fractions of full scale, or one for all"
        )
    return float(values[0]), float(values[1]), float(values[2])


def calibrated(
    scores: NDArray[Any], temperature: float, bias: Sequence[float]
) -> NDArray[np.float64]:
    """Probabilities (..., k) for logits, or logarithms of probabilities, (..., k)."""
    with np.errstate(invalid="ignore"):  # infinity becomes NaN, which predict_proba refuses
        shifted = scores / temperature + bias
        powers = np.exp(shifted - shifted.max(axis=-1, keepdims=True))
    probabilities: NDArray[np.float64] = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities


def logarithms(probabilities: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Logarithms of probabilities (..., k); what they lack to logits falls out of a softmax."""
    return np.log(np.maximum(np.asarray(probabilities, np.float64), _LEAST))


def check_calibration(
    temperature: float, bias: Sequence[float] | None, k: int
) -> tuple[float, tuple[float, ...]]:
    """Both as floats, or the reason why they calibrate nothing."""
    heat = _numbers(temperature)
    if heat.ndim or not 0 < heat < np.inf:
        raise ArgumentError(f"temperature={temperature!r}: one number above 0 is needed")
    shift = np.zeros(k) if bias is None else _numbers(bias)
    if shift.shape != (k,) or not np.isfinite(shift).all():
        raise ArgumentError(f"bias={bias!r}: one finite number for each of {k} classes is needed")
    return float(heat), tuple(float(b) for b in shift)


def _numbers(value: Any) -> NDArray[np.float64]:
    """As an array of numbers, or NaN for what has none."""
    try:
        return np.asarray(value, float)
    except (TypeError, ValueError, OverflowError):
        return np.array(np.nan)
