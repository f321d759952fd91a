"""One door for every classifier."""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from slidewin.classifier.estimator import EstimatorClassifier
from slidewin.classifier.function import FunctionClassifier
from slidewin.classifier.keras import KERAS_FILES, KerasClassifier, is_keras
from slidewin.classifier.module import ModuleClassifier
from slidewin.classifier.onnx import OnnxClassifier
from slidewin.classifier.pickled import PICKLED, open_pickled
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
    trusted: bool = False,
) -> Classifier:
    """Make a classifier that can be swept.

    Parameters
    ----------
    source : path, torch.nn.Module, Keras model, fitted scikit-learn estimator, callable or None
        None is the embedded default. An estimator gets its patches as rows of ``S * S * 3``
        values, a callable as ``(n, S, S, 3)``, both uint8. A path ends in

        - ``.safetensors`` or ``.skops``: saved by slidewin, which brings its own description;
        - ``.onnx``: any ONNX file; if exported by slidewin, with its description;
        - ``.pt``, ``.pth``, ``.ts``, ``.torchscript`` (torch modules, TorchScript), ``.pkl``,
          ``.pickle`` or ``.joblib``: only with ``trusted=True``.
    classes : sequence of str
        Label of each column, in the order in which the classifier returns them. Needed for
        networks and callables; an estimator has its own.
    input_size : int
        Side ``S`` of the classifier's input in pixels. Needed for modules and callables, and for
        other networks that do not declare it.
    context : float, default 2.0
        Window side over lesion diameter in the close-ups it was trained on.
    mean, std : sequence of 3 floats, or float
        Networks only: the input is ``(pixel / 255 - mean) / std``; 0 and 1 by default. A network
        that wants values from 0 to 255 has ``std=1/255``.
    logits : bool, default True
        Networks only: whether it returns logits or probabilities.
    target : str, optional
        What counts as found by default: a label, or ``"lesion"`` for every class but
        ``"background"``. Otherwise the last class.
    thresholds : mapping of str to float, optional
        Default threshold of each target; 0.5 otherwise.
    trusted : bool, default False
        Whether a file may run code when it is opened, as pickles and TorchScript can, and skops
        files of types that slidewin cannot check.

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
    for_networks = {"mean": mean, "std": std, "logits": logits}
    given = {
        name: value for name, value in (description | for_networks).items() if value is not None
    }
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if path.suffix.lower() == ".onnx":
            return OnnxClassifier(path, **given)
        if path.suffix.lower() in PICKLED:
            opened: Any = open_pickled(path, trusted=trusted)
            return load_classifier(opened, **given)
        if path.suffix.lower() in KERAS_FILES:
            raise ArgumentError(
                f"{path}: a Keras model is given as an object, since its file may hold code: "
                "load_classifier(keras.saving.load_model(path), classes=[...]), if you trust it"
            )
    if source is None or isinstance(source, str | os.PathLike | Classifier):
        if given:
            raise ArgumentError(
                f"{', '.join(given)}: a saved classifier (.safetensors, .skops) has its own "
                "description; leave them out"
            )
        if isinstance(source, Classifier):
            return source
        if source is None:
            with as_file(files("slidewin") / "models" / "default.safetensors") as path:
                return load_file(path)
        if Path(source).suffix.lower() == ".skops":
            from slidewin.classifier.skops import load_estimator  # brings scikit-learn

            return load_estimator(Path(source), trusted=trusted)
        return load_file(os.fspath(source))
    if isinstance(source, type):
        raise ArgumentTypeError(
            f"source: found the class {source.__name__}; give an instance of it, trained or fitted"
        )
    if is_keras(source):  # before modules, which a model is too where torch runs it
        return KerasClassifier(source, **_described(source, given, "classes"))
    if _is_module(source):
        return ModuleClassifier(source, **_described(source, given, "classes", "input_size"))
    if surplus := [name for name in for_networks if name in given]:
        raise ArgumentError(
            f"{', '.join(surplus)}: only for torch modules, Keras models and ONNX files, not for "
            f"{type(source).__name__}; put the scaling into the pipeline or function"
        )
    if hasattr(source, "predict_proba"):
        return EstimatorClassifier(source, **description)
    if not callable(source):
        raise ArgumentTypeError(
            f"source: found {type(source).__name__}; give the path of a .safetensors, .skops or "
            ".onnx file, a torch module, a Keras model, a fitted estimator with predict_proba, or "
            "a callable"
        )
    return FunctionClassifier(source, **_described(source, given, "classes", "input_size"))


def _described(source: object, given: dict[str, Any], *needed: str) -> dict[str, Any]:
    if missing := [name for name in needed if name not in given]:
        raise ArgumentError(
            f"{' and '.join(missing)}: needed for {type(source).__name__}, e.g. "
            "classes=['background', 'melanoma'], input_size=64"
        )
    return given


def _is_module(source: object) -> "TypeGuard[nn.Module]":
    # Whoever has a module has imported torch; nobody else should pay for it.
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(source, torch.nn.Module)
