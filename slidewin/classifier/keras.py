"""Adapter for Keras models."""

import hashlib
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slidewin.classifier.scores import NetworkClassifier
from slidewin.classifier.tensors import read_input
from slidewin.errors import ClassifierError

__all__ = ["KERAS_FILES", "KerasClassifier", "is_keras"]

KERAS_FILES = (".keras", ".h5")
"""Suffixes of saved models, which may hold code and are opened by their owner alone."""


class KerasClassifier(NetworkClassifier):
    """A Keras 3 model as a classifier, whichever backend runs it.

    Parameters
    ----------
    model : keras.Model
        Takes one input, ``(n, S, S, 3)`` or ``(n, 3, S, S)``. Called in inference mode. May be
        called from several threads at once.
    input_size : int, optional
        By default what the model declares.
    mean, std
        As for :class:`NetworkClassifier`. A model that takes values from 0 to 255, because it
        scales them itself, needs ``std=1/255``; one whose input is uint8 gets pixels as they are.
    **description
        As for :class:`NetworkClassifier`.
    """

    def __init__(self, model: Any, *, input_size: int | None = None, **description: Any) -> None:
        import keras

        name = type(model).__name__
        try:
            shape = model.input_shape
        except AttributeError:  # not built yet, so it does not know
            shape = (None, None, None, None)
        if not isinstance(shape, tuple):
            raise ClassifierError(
                f"{name} takes {shape}; one input is needed, patches. Wrap it in a function that "
                "fixes the others"
            )
        self.input = read_input(
            shape,
            _dtype_of(model),
            name,
            channels_first=keras.config.image_data_format() == "channels_first",
        )
        super().__init__(input_size=self.input.fitting(input_size, name), **description)
        self.input.refuse_scaling(self.mean, self.std, name)
        self.model = model

    def _predict(self, patches: NDArray[np.uint8]) -> Any:
        import keras

        def forward(x: NDArray[Any]) -> NDArray[Any]:
            output = self.model(x, training=False)
            if isinstance(output, dict | list | tuple):
                raise ClassifierError(
                    f"the model returned {type(output).__name__}; one tensor of shape (n, k) is "
                    "needed. Make a keras.Model of its inputs and the one output"
                )
            return _array(output)

        with _no_gradients(keras.config.backend()):
            return self.to_probabilities(self.input.feed(forward, patches, self.mean, self.std))

    def fingerprint(self) -> str | None:
        """SHA-256 of weights, architecture and all that turns a patch into probabilities.

        None for a model whose layers do not tell how they are made.
        """
        try:
            text = self.model.to_json()
        except (NotImplementedError, TypeError, ValueError):
            return None
        digest = hashlib.sha256(f"{self._described()} {text}".encode())
        for variable in self.model.variables:
            values = _array(variable.value)
            digest.update(f"{values.dtype} {values.shape}".encode())
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()


def is_keras(source: object) -> bool:
    """Whether it is a Keras model; whoever has one has imported keras."""
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(source, getattr(keras, "Model", ()))


def _dtype_of(model: Any) -> str:
    inputs = getattr(model, "inputs", None) or [None]  # None before it is built
    dtype = str(getattr(inputs[0], "dtype", "float32"))
    # Keras casts floats to the precision that it computes in.
    return "float32" if "float" in dtype else dtype


def _array(value: Any) -> NDArray[Any]:
    # What keras.ops.convert_to_numpy does with torch's tensors, NumPy 2 warns of.
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


def _no_gradients(backend: str) -> AbstractContextManager[Any]:
    if backend != "torch":
        return nullcontext()
    import torch

    return torch.no_grad()
