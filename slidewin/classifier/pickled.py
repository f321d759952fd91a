"""Files that run code when they are opened: pickles and TorchScript, for those who trust them."""

import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import joblib

from slidewin.errors import ModelFileError

__all__ = ["PICKLED", "open_pickled"]

_TORCH = (".pt", ".pth", ".ts", ".torchscript")
PICKLED = (*_TORCH, ".pkl", ".pickle", ".joblib")


def open_pickled(path: Path, *, trusted: bool) -> Any:
    """Return the object in a pickle or TorchScript file, on the CPU.

    Parameters
    ----------
    path : path
        Ends in one of ``PICKLED``, which says how it is opened; nothing else is tried.
    trusted : bool
        Whether whoever made the file may run code here. Otherwise it is not opened.

    Raises
    ------
    ModelFileError
        If it is not trusted, not there, cannot be opened, was fitted by another version of
        scikit-learn, or holds weights without their network.
    """
    if trusted is not True:
        raise ModelFileError(
            f"{path}: not opened. Models are kept in .safetensors, .skops or .onnx files, which "
            "hold no code; a pickle or TorchScript can run anything when it is opened: delete "
            "files, or send them away. If you trust whoever made it as you would trust their "
            "program, pass trusted=True"
        )
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file")
    try:
        model = _torch(path) if path.suffix.lower() in _TORCH else _joblib(path)
    except ModelFileError:
        raise
    except Exception as error:
        raise ModelFileError(
            f"{path}: cannot be opened ({type(error).__name__}: {error}). What it was made of must "
            "be importable here, and pickles from a script name its classes by __main__"
        ) from error
    if model is None or isinstance(model, str | bytes | Path):
        raise ModelFileError(f"{path}: holds a {type(model).__name__}, no model")
    if isinstance(model, Mapping):
        names = ", ".join(str(name) for name in list(model)[:3])
        raise ModelFileError(
            f"{path}: holds a {type(model).__name__} ({names}, ...), no model; build the network, "
            "load these weights into it and pass the module: load_classifier(module, ...)"
        )
    return model


def _torch(path: Path) -> Any:
    import torch

    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                return torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    # The one place where a pickle is opened: for whoever said that they trust it.
    return torch.load(path, map_location="cpu", weights_only=False)  # noqa: TID251


def _joblib(path: Path) -> Any:
    from sklearn.exceptions import InconsistentVersionWarning

    with warnings.catch_warnings():
        warnings.simplefilter("error", InconsistentVersionWarning)
        try:
            return joblib.load(path)
        except InconsistentVersionWarning as error:
            raise ModelFileError(
                f"{path}: {error.estimator_name} was fitted with scikit-learn "
                f"{error.original_sklearn_version} and this is {error.current_sklearn_version}, so "
                "its answers may differ; fit it again, or install that version"
            ) from error
