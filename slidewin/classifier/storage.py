"""Classifiers in files, saved and loaded without running code.

A file is safetensors: the weights, and in its header a JSON description of the layers, classes,
input, thresholds and what is known of the training. Only layers named in ``_LAYERS`` are written
or built; nothing in the file is executed.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slidewin import __version__
from slidewin.classifier.module import ModuleClassifier
from slidewin.classifier.protocol import Classifier
from slidewin.errors import ClassifierError, ModelFileError
from slidewin.output import write_bytes

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["LARGEST_INPUT", "as_json", "load_file", "save_file"]

_FORMAT = "slidewin-1"
_KEY = "slidewin"
LARGEST_INPUT = 4096  # what a file claims is not allocated without end
_LARGEST_MAP = 2**28  # values of one window between two layers, a gigabyte
# Constructor arguments of each layer that can be stored, under the names of their attributes.
_LAYERS: dict[str, tuple[str, ...]] = {
    "AdaptiveAvgPool2d": ("output_size",),
    "AvgPool2d": (
        "kernel_size",
        "stride",
        "padding",
        "ceil_mode",
        "count_include_pad",
        "divisor_override",
    ),
    "BatchNorm2d": ("num_features", "eps", "momentum", "affine", "track_running_stats"),
    "Conv2d": (
        "in_channels",
        "out_channels",
        "kernel_size",
        "stride",
        "padding",
        "dilation",
        "groups",
        "bias",
        "padding_mode",
    ),
    "Dropout": ("p", "inplace"),
    "Dropout2d": ("p", "inplace"),
    "ELU": ("alpha", "inplace"),
    "Flatten": ("start_dim", "end_dim"),
    "GELU": ("approximate",),
    "LeakyReLU": ("negative_slope", "inplace"),
    "Linear": ("in_features", "out_features", "bias"),
    "MaxPool2d": ("kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    "ReLU": ("inplace",),
    "SiLU": ("inplace",),
    "Sigmoid": (),
    "Softmax": ("dim",),
    "Tanh": (),
}


def save_file(classifier: Classifier, path: str | Path, *, overwrite: bool = False) -> None:
    """Save a classifier whose module is a chain of plain layers, or a scikit-learn estimator.

    Parameters
    ----------
    classifier : Classifier
        Made from a ``torch.nn.Sequential`` of the layers that can be stored, or from an estimator
        of scikit-learn's or slidewin's own steps.
    path : path
        Ends in ``.safetensors`` for a module, in ``.skops`` for an estimator. Written whole or not
        at all.
    overwrite : bool, default False

    Raises
    ------
    ClassifierError
        If it is no such classifier, or has what a file cannot hold.
    ModelFileError
        If the path ends in neither.
    OutputError
        If the file cannot be written; OutputExistsError if it is there and ``overwrite`` is false.
    """
    if Path(path).suffix.lower() == ".skops":
        from slidewin.classifier.skops import save_estimator

        save_estimator(classifier, Path(path), overwrite=overwrite)
        return
    from safetensors.torch import save

    path = _with_suffix(Path(path))
    if not isinstance(classifier, ModuleClassifier):
        raise ClassifierError(
            f"{type(classifier).__name__} cannot be saved as safetensors; only a classifier made "
            "from a torch.nn.Sequential can. One made from a scikit-learn estimator is saved to a "
            "path that ends in .skops"
        )
    description = {
        "format": _FORMAT,
        "version": __version__,
        "layers": _describe(classifier.module),
        "classes": [str(label) for label in classifier.classes_],
        "input_size": classifier.input_size,
        "context": classifier.context,
        "target": classifier.target,
        "thresholds": classifier.thresholds,
        "mean": classifier.mean,
        "std": classifier.std,
        "logits": classifier.logits,
        "temperature": classifier.temperature,
        "bias": classifier.bias,
        "about": classifier.about,
    }
    text = as_json(description)
    # Copies, because safetensors refuses layers that share their weights.
    tensors = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in classifier.module.state_dict().items()
    }
    if not _is_kept(classifier, text, tensors):
        raise ClassifierError(
            "the module would not come back from a file as it is, because a layer was changed "
            "after it was made (pruned, parametrised, ...) or has an option that is not kept; "
            "make a torch.nn.Sequential of plain layers and load its weights"
        )
    write_bytes(path, save(tensors, {_KEY: text}), overwrite=overwrite)


def as_json(description: dict[str, Any]) -> str:
    """Write a description as JSON.

    Raises
    ------
    ClassifierError
        If ``about`` holds what JSON cannot, NaN and infinity among it.
    """
    try:
        return json.dumps(description, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ClassifierError(
            f"about: cannot be written as JSON ({error}); use Python's own numbers, texts, lists "
            "and dicts"
        ) from error


def load_file(path: str | Path) -> ModuleClassifier:
    """Load what :func:`save_file` saved, on the CPU.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, or not one of slidewin's.
    """
    from safetensors import SafetensorError, safe_open

    path = _with_suffix(Path(path))
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file; give a model that slidewin saved")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelFileError(
            f"{path}: not a whole safetensors file ({error}); copy or save it again"
        ) from error
    if _KEY not in metadata:
        raise ModelFileError(
            f"{path}: a safetensors file of weights alone; slidewin cannot tell which network "
            "they belong to. Build the network, load the weights into it and pass the module: "
            "load_classifier(module, classes=..., input_size=...)"
        )
    try:
        classifier = _restore(metadata[_KEY], tensors)
        _try_out(classifier)
        return classifier
    except Exception as error:
        # Whatever is wrong in a description, it is one error that names the file.
        raise ModelFileError(
            f"{path}: its description does not fit its weights or this version of slidewin "
            f"({type(error).__name__}: {error}); update slidewin, or save the model again"
        ) from error


def _restore(text: str, tensors: "dict[str, Tensor]") -> ModuleClassifier:
    import torch

    description = json.loads(text)
    if description["format"] != _FORMAT:
        raise ValueError(
            f"format {description['format']!r}, where {_FORMAT!r} is read; slidewin "
            f"{description.get('version')} wrote it, and this is {__version__}"
        )
    # On the meta device nothing is allocated, whatever sizes the description claims.
    with torch.device("meta"):
        module = _build(description["layers"])
    module.load_state_dict(tensors, assign=True)
    return ModuleClassifier(
        module.eval(),
        mean=description["mean"],
        std=description["std"],
        logits=description["logits"],
        # Not in files from before calibration was kept.
        temperature=description.get("temperature", 1.0),
        bias=description.get("bias"),
        about=description["about"],
        classes=description["classes"],
        input_size=description["input_size"],
        context=description["context"],
        target=description["target"],
        thresholds=description["thresholds"],
    )


def _try_out(classifier: ModuleClassifier) -> None:
    """Classify one patch: layers, input size and classes must fit each other."""
    side = classifier.input_size
    if side > LARGEST_INPUT:
        raise ValueError(f"input_size {side}, where at most {LARGEST_INPUT} is believed")
    try:
        _check_maps(classifier.module, side)
        classifier.predict_proba(np.zeros((1, side, side, 3), np.uint8))
    except RuntimeError as error:
        raise ValueError(f"its layers do not take {side} x {side} pixels: {error}") from error


def _check_maps(module: "nn.Module", side: int) -> None:
    """Refuse paddings and outputs beyond all reason, without making one."""
    import torch

    layers = _describe(module)
    with torch.device("meta"):
        x = torch.empty(1, 3, side, side)
        for described, layer in zip(layers, _build(layers).eval(), strict=True):
            padding = described.get("padding", 0)
            if not isinstance(padding, str) and np.max(padding) > LARGEST_INPUT:
                raise ValueError(f"padding {padding}, where at most {LARGEST_INPUT} is believed")
            x = layer(x)
            if x.numel() > _LARGEST_MAP:
                raise ValueError(f"a map of shape {tuple(x.shape)} in a window of {side} pixels")


def _is_kept(classifier: ModuleClassifier, text: str, tensors: "dict[str, Tensor]") -> bool:
    try:
        return _restore(text, tensors).fingerprint() == classifier.fingerprint()
    except RuntimeError:  # the tensors do not fit the layers
        return False


def _with_suffix(path: Path) -> Path:
    if path.suffix.lower() != ".safetensors":
        raise ModelFileError(
            f"{path}: models are kept in .safetensors files, and scikit-learn estimators in .skops "
            "files, which hold no code. Pickled files "
            "(.pt, .pth, .pkl, .joblib) can run anything when they are opened: give "
            "load_classifier theirs by its own suffix and with trusted=True, or open it yourself "
            "and pass the module or estimator"
        )
    return path


def _describe(module: "nn.Module") -> list[dict[str, Any]]:
    from torch import nn

    if type(module) is not nn.Sequential:
        raise ClassifierError(
            f"{type(module).__name__} cannot be saved without its code; only a torch.nn.Sequential "
            f"of these layers can: {', '.join(_LAYERS)}"
        )
    layers = []
    for index, (name, layer) in enumerate(module._modules.items()):
        kind = type(layer).__name__
        if kind not in _LAYERS or type(layer) is not getattr(nn, kind):
            raise ClassifierError(
                f"the layer {kind} cannot be saved without its code; these can: "
                f"{', '.join(_LAYERS)}"
            )
        options = {option: getattr(layer, option) for option in _LAYERS[kind]}
        if "bias" in options:
            options["bias"] = layer.bias is not None
        if name != str(index):
            options["name"] = name
        layers.append({"kind": kind, **options})
    return layers


def _build(layers: list[dict[str, Any]]) -> "nn.Sequential":
    from torch import nn

    built = nn.Sequential()
    for index, layer in enumerate(layers):
        kind = layer["kind"]
        if kind not in _LAYERS:
            raise ValueError(f"unknown layer {kind!r}; known are {', '.join(_LAYERS)}")
        # Lists from JSON become the tuples that layers keep; what is not given is torch's default.
        options = {
            option: tuple(value) if isinstance(value := layer[option], list) else value
            for option in _LAYERS[kind]
            if option in layer
        }
        built.add_module(layer.get("name", str(index)), getattr(nn, kind)(**options))
    return built
