"""Attention in files: weights, what made them, and the hash of the classifier they belong to."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slidewin import __version__
from slidewin.classifier import Classifier
from slidewin.errors import ArgumentError, ModelFileError
from slidewin.output import write_bytes

if TYPE_CHECKING:
    import torch

__all__ = ["plain_numbers", "read_attention", "write_attention"]

_FORMAT = "slidewin-attention-1"
_KEY = "slidewin"


def write_attention(
    path: Path,
    tensors: "Mapping[str, torch.Tensor]",
    description: Mapping[str, Any],
    classifier: Classifier,
    *,
    overwrite: bool,
) -> None:
    """Write a safetensors file; see :meth:`slidewin.saliency.AttentionPooling.save`."""
    from safetensors.torch import save

    _check_suffix(path)
    fingerprint = classifier.fingerprint()
    if fingerprint is None:
        raise ArgumentError(
            f"the attention belongs to a {type(classifier).__name__}, which has no hash to know it "
            "by when the file is loaded; save attention over a torch module, an ONNX file or an "
            "estimator"
        )
    head = {"format": _FORMAT, "version": __version__, "classifier_sha256": fingerprint}
    data = save(dict(tensors), {_KEY: json.dumps({**head, **description})})
    write_bytes(path, data, overwrite=overwrite)


def read_attention(
    path: Path, classifier: Classifier
) -> "tuple[dict[str, Any], dict[str, torch.Tensor]]":
    """Description and tensors of a file, which belong to this classifier.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged or not one of these.
    ArgumentError
        If it was learned with another classifier.
    """
    from safetensors import SafetensorError, safe_open

    _check_suffix(path)
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file; give what AttentionPooling.save wrote")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            text = (file.metadata() or {}).get(_KEY, "{}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        description = json.loads(text)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelFileError(
            f"{path}: not a whole safetensors file ({error}); copy or save it again"
        ) from error
    if not isinstance(description, dict) or description.get("format") != _FORMAT:
        raise ModelFileError(f"{path}: holds no attention; give what AttentionPooling.save wrote")
    theirs, ours = description.get("classifier_sha256"), classifier.fingerprint()
    if theirs != ours:
        raise ArgumentError(
            f"{path}: was learned with another classifier (SHA-256 {str(theirs)[:12]}, and this "
            f"one has {str(ours)[:12]}); load that one, or fit anew"
        )
    return description, tensors


def plain_numbers(given: Any) -> Any:
    """Python's own numbers for NumPy's, which JSON does not take; of several, a tuple.

    Examples
    --------
    >>> plain_numbers(np.array([24, 40])), plain_numbers(np.float64(0.5)), plain_numbers(None)
    ((24, 40), 0.5, None)
    """
    plain = given.tolist() if isinstance(given, np.ndarray | np.generic) else given
    return tuple(map(plain_numbers, plain)) if isinstance(plain, tuple | list) else plain


def _check_suffix(path: Path) -> None:
    if path.suffix.lower() != ".safetensors":
        raise ModelFileError(f"{path}: attention is kept in files that end in .safetensors")
