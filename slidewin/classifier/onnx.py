"""Adapter for ONNX files."""

import hashlib
import json
import os
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from slidewin.classifier.scores import NetworkClassifier
from slidewin.classifier.storage import LARGEST_INPUT
from slidewin.classifier.tensors import InputTensor, read_input
from slidewin.errors import ArgumentError, ClassifierError, MissingPackageError, ModelFileError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["DESCRIPTION", "FORMAT", "KEY", "OnnxClassifier"]

KEY = "slidewin"
FORMAT = "slidewin-onnx-1"
_SCORES = ("tensor(float)", "tensor(float16)", "tensor(double)")
_DTYPES = {"float": "float32", "float16": "float16", "double": "float64", "uint8": "uint8"}
# What a file written by `export_onnx` says of itself, in its metadata.
DESCRIPTION = (
    "classes",
    "input_size",
    "context",
    "target",
    "thresholds",
    "mean",
    "std",
    "logits",
    "temperature",
    "bias",
    "about",
)


class OnnxClassifier(NetworkClassifier):
    """A network in an ONNX file as a classifier, run by ONNX Runtime on the CPU.

    A process opens the file once, and again where its workers may use another number of threads;
    these share it. Sent to other processes, the
    classifier is its path and hash; the file must be there too, unchanged.

    Parameters
    ----------
    path : path
        Ends in ``.onnx`` and holds its weights; files beside it are not read. Takes one input,
        ``(n, 3, S, S)`` or ``(n, S, S, 3)``, float32, float16, float64 or uint8, with any or a
        fixed batch size. uint8 gets pixels as they are; where floats from 0 to 255 are wanted,
        pass ``std=1/255``.
    input_size : int, optional
        By default what the file declares.
    **description
        As for :class:`NetworkClassifier`; for a file by :func:`export_onnx` it is in the file.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, or keeps weights elsewhere.
    ClassifierError, ArgumentError
        If its inputs or outputs are not those of a classifier of patches, or not as described.
    MissingPackageError
        If onnxruntime is not installed.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        classes: Any = None,
        input_size: int | None = None,
        **description: Any,
    ) -> None:
        self.path = Path(path).absolute()
        self._lock = Lock()
        self._opened: tuple[int, InferenceSession] | None = None
        self._sha256: str | None = None
        session = self._session()
        name = self.path.name
        given = {"classes": classes, "input_size": input_size} | description
        kept = session.get_modelmeta().custom_metadata_map.get(KEY)
        if kept is not None:
            self._describe_by(kept, given, session)
        elif classes is None:
            raise ArgumentError(
                f"classes: needed for {name}, a label for each column that it returns, e.g. "
                "classes=['background', 'melanoma']"
            )
        else:
            self._describe(given, session)

    def _describe(self, given: dict[str, Any], session: "InferenceSession") -> None:
        name = self.path.name
        self.input = _input_of(session, name)
        size = self.input.fitting(given["input_size"], name)
        super().__init__(**(given | {"input_size": size}))
        self.input.refuse_scaling(self.mean, self.std, name)
        self.output = self._output_of(session)

    def _describe_by(self, text: str, given: dict[str, Any], session: "InferenceSession") -> None:
        """Take the description that the file brings, and classify one patch: it must fit."""
        if surplus := [name for name, value in given.items() if value is not None]:
            raise ArgumentError(
                f"{', '.join(surplus)}: {self.path.name} has its own description; leave them out"
            )
        try:
            description = json.loads(text)
            if description["format"] != FORMAT:
                raise ValueError(f"format {description['format']!r}, where {FORMAT!r} is read")
            kept = {name: description[name] for name in DESCRIPTION}
            side = kept["input_size"]
            if isinstance(side, int) and side > LARGEST_INPUT:
                raise ValueError(f"input_size {side}, where at most {LARGEST_INPUT} is believed")
            self._describe(kept, session)
            self.predict_proba(np.zeros((1, side, side, 3), np.uint8))
        except Exception as error:
            # Whatever is wrong in a description, it is one error that names the file.
            raise ModelFileError(
                f"{self.path}: its description does not fit its network or this version of "
                f"slidewin ({type(error).__name__}: {error}); update slidewin, or export it again"
            ) from error

    def _predict(self, patches: NDArray[np.uint8]) -> Any:
        session = self._session()
        source = session.get_inputs()[0].name

        def forward(x: NDArray[Any]) -> Any:
            return session.run([self.output], {source: x})[0]

        return self.to_probabilities(self.input.feed(forward, patches, self.mean, self.std))

    def fingerprint(self) -> str:
        """SHA-256 of the file and of all that turns a patch into probabilities."""
        return hashlib.sha256(f"{self._sha256} {self._described()}".encode()).hexdigest()

    def _session(self) -> "InferenceSession":
        """The open file, computing with as many threads as the calling worker may use."""
        threads = _threads_here()
        with self._lock:
            if self._opened is None or self._opened[0] != threads:
                self._opened = threads, self._open(threads)
            return self._opened[1]

    def _open(self, threads: int) -> "InferenceSession":
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingPackageError(
                "ONNX files need onnxruntime: pip install 'slidewin[onnx]'"
            ) from error
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise ModelFileError(f"{self.path}: cannot be read ({error})") from error
        sha256 = hashlib.sha256(data).hexdigest()
        if self._sha256 not in (None, sha256):
            raise ModelFileError(
                f"{self.path}: is another file than when the classifier was made; load it again"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what fails is raised, nothing is printed
        # Threads that wait leave the core to other workers.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        with TemporaryDirectory(prefix="slidewin-") as nothing:
            # Weights in other files are looked for where there are none: what is run is what was
            # hashed, and no file can name others to be read.
            options.add_session_config_entry(
                "session.model_external_initializers_file_folder_path", nothing
            )
            try:
                session = onnxruntime.InferenceSession(
                    data, options, providers=["CPUExecutionProvider"]
                )
            except Exception as error:
                if "xternal data" in str(error):
                    raise ModelFileError(
                        f"{self.path}: keeps weights in other files, which are not read; save it "
                        "as one file (torch.onnx.export(..., external_data=False), or onnx.load "
                        "and onnx.save)"
                    ) from error
                raise ModelFileError(
                    f"{self.path}: ONNX Runtime cannot open it ({error}); export it again, for an "
                    f"opset that onnxruntime {onnxruntime.__version__} knows"
                ) from error
        self._sha256 = sha256
        return session

    def _output_of(self, session: "InferenceSession") -> str:
        """Name of the output that has a column for each class."""
        k = len(self.classes_)
        outputs = session.get_outputs()
        widths = {output.name: _width(output.shape) for output in outputs if output.type in _SCORES}
        # A length that is no number may turn out to fit; one that is k does.
        for wanted in ((k,), (None, 1) if k == 2 else (None,)):
            fitting = [name for name, width in widths.items() if width in wanted]
            if len(fitting) == 1:
                return str(fitting[0])
            if fitting:
                break
        found = ", ".join(f"{output.name} {output.shape} {output.type}" for output in outputs)
        raise ArgumentError(
            f"classes={self._labels()}: {self.path.name} returns {found}, of which one must be "
            f"(n, {k}), a column for each class; give all labels in the order of its columns, or "
            "export it with the scores as its only output"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_lock", "_opened")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=Lock(), _opened=None)


def _input_of(session: "InferenceSession", name: str) -> InputTensor:
    inputs = session.get_inputs()
    if len(inputs) != 1:
        found = ", ".join(f"{node.name} {node.shape}" for node in inputs) or "nothing"
        raise ClassifierError(
            f"{name} takes {found}; one input is needed, patches. Export it with the others fixed"
        )
    kind = inputs[0].type.removeprefix("tensor(").removesuffix(")")
    return read_input(inputs[0].shape, _DTYPES.get(kind, kind), name)


def _width(shape: list[Any]) -> int | None:
    """Columns of an output: 0 for what is no table, None where they are not told."""
    if len(shape) == 1:
        return 1
    if len(shape) != 2:
        return 0
    return shape[1] if isinstance(shape[1], int) else None


def _threads_here() -> int:
    """As many threads as OpenMP and BLAS may use here, which is how workers are capped."""
    pools = _pools().lib_controllers
    return min((pool.num_threads or 1 for pool in pools), default=int(joblib.cpu_count()))


@cache
def _pools() -> ThreadpoolController:
    return ThreadpoolController()
