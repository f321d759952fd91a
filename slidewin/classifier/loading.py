"""One door for every classifier."""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any, TypeGuard

from slidewin.classifier.function import EstimatorClassifier, FunctionClassifier
from slidewin.classifier.module import ModuleClassifier
from slidewin.classifier.protocol import Classifier
from slidewin.classifier.storage import load_file
from slidewin.errors import ArgumentError, ArgumentTypeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

__all__ = ["load_classifier"]


def load_classifier(
    source: "str | os.PathLike[str] | nn.Module | Callable[..., Any] | Any | None" = None,
    *,
    classes: Sequence[str] | None = None,
    input_size: int | None = None,
    context: float | None = None,
    mean: Sequence[float] | float | None = None,
    std: Sequence[float] | float | None = None,
    logits: bool | None = None,
    target: str | None = None,
    thresholds: Mapping[str, float] | None = None,
) -> Classifier:
    """Make a classifier that can be swept.

    Parameters
    ----------
    source : path, torch.nn.Module, fitted scikit-learn estimator, callable or None
        None is the embedded default. A file must be one that slidewin saved. An estimator gets
        its patches as rows of ``S * S * 3`` values, a callable as ``(n, S, S, 3)``, both uint8.
    classes : sequence of str
        Label of each column, in the order in which the classifier returns them. Needed for
        modules and callables; an estimator has its own.
    input_size : int
        Side ``S`` of the classifier's input in pixels. Needed for modules and callables.
    context : float, default 2.0
        Window side over lesion diameter in the close-ups it was trained on.
    mean, std : sequence of 3 floats, or float
        Modules only: the input is ``(pixel / 255 - mean) / std``; 0 and 1 by default.
    logits : bool, default True
        Modules only: whether it returns logits or probabilities.
    target : str, optional
        What counts as found by default: a label, or ``"lesion"`` for every class but
        ``"background"``. Otherwise the last class.
    thresholds : mapping of str to float, optional
        Default threshold of each target; 0.5 otherwise.

    Returns
    -------
    Classifier

    Raises
    ------
    ModelFileError
        If a file cannot be loaded, or is of a kind that may run code.
    ArgumentError, ArgumentTypeError
        If a description is missing, wrong, or given for a file, which has its own.

    Examples
    --------
    >>> import numpy as np
    >>> def by_darkness(patches):
    ...     dark = 1 - patches.mean(axis=(1, 2, 3)) / 255
    ...     return np.stack([1 - dark, dark], axis=1)
    >>> classifier = load_classifier(by_darkness, classes=["background", "lesion"], input_size=8)
    >>> classifier
    FunctionClassifier(classes=['background', 'lesion'], input_size=8, context=2, target='lesion')
    >>> classifier.predict_proba(np.zeros((1, 8, 8, 3), np.uint8))
    array([[0., 1.]], dtype=float32)
    """
    description: dict[str, Any] = {
        "classes": classes,
        "input_size": input_size,
        "context": context,
        "target": target,
        "thresholds": thresholds,
    }
    for_modules = {"mean": mean, "std": std, "logits": logits}
    given = [name for name, value in (description | for_modules).items() if value is not None]
    if source is None or isinstance(source, str | os.PathLike | Classifier):
        if given:
            raise ArgumentError(
                f"{', '.join(given)}: a saved classifier has its own description; leave them out"
            )
        if isinstance(source, Classifier):
            return source
        if source is None:
            with as_file(files("slidewin") / "models" / "default.safetensors") as path:
                return load_file(path)
        return load_file(os.fspath(source))
    if isinstance(source, type):
        raise ArgumentTypeError(
            f"source: found the class {source.__name__}; give an instance of it, trained or fitted"
        )
    is_module = _is_module(source)
    surplus = [name for name, value in for_modules.items() if value is not None]
    if surplus and not is_module:
        raise ArgumentError(
            f"{', '.join(surplus)}: only for torch modules, not for {type(source).__name__}; put "
            "the scaling into the pipeline or function"
        )
    if hasattr(source, "predict_proba") and not is_module:
        return EstimatorClassifier(source, **description)
    if not is_module and not callable(source):
        raise ArgumentTypeError(
            f"source: found {type(source).__name__}; give the path of a .safetensors file, a "
            "torch module, a fitted estimator with predict_proba, or a callable"
        )
    missing = [name for name in ("classes", "input_size") if description[name] is None]
    if missing:
        raise ArgumentError(
            f"{' and '.join(missing)}: needed for {type(source).__name__}, e.g. "
            "classes=['background', 'melanoma'], input_size=64"
        )
    if _is_module(source):
        return ModuleClassifier(
            source, mean=mean, std=std, logits=True if logits is None else logits, **description
        )
    return FunctionClassifier(source, **description)


def _is_module(source: object) -> "TypeGuard[nn.Module]":
    # Whoever has a module has imported torch; nobody else should pay for it.
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(source, torch.nn.Module)
