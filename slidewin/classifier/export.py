"""From a torch module to an ONNX file."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from slidewin.classifier.module import ModuleClassifier
from slidewin.classifier.onnx import DESCRIPTION, FORMAT, KEY
from slidewin.classifier.protocol import Classifier
from slidewin.classifier.storage import as_json
from slidewin.errors import ClassifierError, MissingPackageError, ModelFileError
from slidewin.output import refuse_existing, write_bytes

__all__ = ["export_onnx"]


def export_onnx(classifier: Classifier, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a classifier made from a torch module as one ONNX file, weights and description in it.

    The network takes what :meth:`ModuleClassifier.to_input` gives, ``(n, 3, S, S)`` for any n,
    and returns what the module does. How pixels are normalised and scores calibrated is in the
    file's metadata, from where ``load_classifier(path)`` reads it.

    Parameters
    ----------
    classifier : Classifier
        Made from a ``torch.nn.Module`` whose parameters are float32, float16 or float64.
    path : path
        Ends in ``.onnx``.
    overwrite : bool, default False

    Raises
    ------
    ClassifierError
        If it was not made from a module, or torch cannot export it.
    ModelFileError
        If the path does not end in ``.onnx``.
    OutputError
        If the file cannot be written; OutputExistsError if it is there and ``overwrite`` is false.
    MissingPackageError
        If onnx and onnxscript are not installed.

    Examples
    --------
    >>> import slidewin
    >>> export_onnx(slidewin.load_classifier(), "default.onnx")  # doctest: +SKIP
    >>> slidewin.load_classifier("default.onnx")  # doctest: +SKIP
    """
    path = Path(path)
    if path.suffix.lower() != ".onnx":
        raise ModelFileError(f"{path}: a path that ends in .onnx is needed")
    if not isinstance(classifier, ModuleClassifier):
        raise ClassifierError(
            f"{type(classifier).__name__} cannot be exported; only a classifier made from a torch "
            "module can"
        )
    if not overwrite:
        refuse_existing(path.parent, [path.name])
    try:
        import onnx
        import onnxscript  # noqa: F401 - what torch exports with
    except ImportError as error:
        raise MissingPackageError(
            "exporting needs onnx and onnxscript: pip install 'slidewin[export]'"
        ) from error
    import torch

    description: dict[str, Any] = {
        name: getattr(classifier, name) for name in DESCRIPTION if name != "classes"
    }
    description |= {"format": FORMAT, "classes": [str(label) for label in classifier.classes_]}
    text = as_json(description)  # before all else, which takes long
    side = classifier.input_size
    example = classifier.to_input(np.zeros((2, side, side, 3), np.uint8))
    with classifier.borrowed(), warnings.catch_warnings():
        # torch's exporter warns of its own insides.
        warnings.simplefilter("ignore")
        try:
            program = torch.onnx.export(
                classifier.module,
                (example,),
                input_names=["patches"],
                output_names=["scores"],
                dynamic_shapes=({0: torch.export.Dim("n")},),
                dynamo=True,
                verbose=False,
            )
        except Exception as error:
            raise ClassifierError(
                f"torch cannot export this module ({type(error).__name__}: {error})"
            ) from error
    if program is None:  # the exporter of old, which dynamo=True rules out
        raise ClassifierError("torch returned no exported program")
    proto = program.model_proto
    onnx.helper.set_model_props(proto, {KEY: text})
    write_bytes(path, proto.SerializeToString(), overwrite=overwrite)
