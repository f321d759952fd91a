"""Adapter for torch modules."""

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import chain
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slidewin.classifier.protocol import SharedWindows
from slidewin.classifier.scores import NetworkClassifier
from slidewin.errors import ClassifierError, SharingError

if TYPE_CHECKING:
    import torch

__all__ = ["ModuleClassifier"]

# Modules on loan, by id: how many borrow each, and the layers to set back when the last is done.
# Kept beside the classifiers, which may share a module and must pickle.
_LOANS: dict[int, "tuple[int, list[torch.nn.Module]]"] = {}
_LOANS_LOCK = Lock()
# Rebuilt networks that are kept: for a plan, and for its sweep in two precisions.
_KEPT = 3


class ModuleClassifier(NetworkClassifier):
    """A torch module as a classifier.

    The module is used where it is and left as it was: mode, gradients, device and dtype.

    Parameters
    ----------
    module : torch.nn.Module
        Maps ``(n, 3, S, S)`` to ``(n, k)``, or to ``(n, 1)`` or ``(n,)`` for two classes, where
        the one number speaks for the second; or to an object that has this as ``.logits``. May be
        called from several threads at once.
    **description
        As for :class:`NetworkClassifier`.
    """

    def __init__(self, module: "torch.nn.Module", **description: Any) -> None:
        super().__init__(**description)
        self.module = module
        self._rebuilt: list[tuple[Any, SharedWindows | str]] = []  # or why it cannot be

    def _predict(self, patches: NDArray[np.uint8]) -> Any:
        import torch

        # Not inference_mode: tensors that a module keeps from it could never again be trained on.
        with self.borrowed(), torch.no_grad():
            return self._from_scores(self.scores(self.to_input(patches)))

    def scores(self, inputs: "torch.Tensor") -> "torch.Tensor":
        """What the module returns for normalised inputs, in the mode in which it is.

        Raises
        ------
        ClassifierError
            If that is no tensor.
        """
        import torch

        output = self.module(inputs)
        # The outputs of transformers' models come with their logits under this name.
        output = getattr(output, "logits", output)
        if not isinstance(output, torch.Tensor):
            raise ClassifierError(
                f"the module returned {type(output).__name__}; a tensor of shape (n, k), or an "
                "object with such a tensor as .logits, is needed. Wrap it in a module that "
                "returns the logits alone"
            )
        return output

    def _from_scores(self, scores: "torch.Tensor") -> NDArray[Any]:
        import torch

        eps = torch.finfo(scores.dtype).eps if scores.is_floating_point() else 0.0
        # NumPy has no bfloat16; single precision holds all that it holds.
        return self.to_probabilities(scores.float().cpu().numpy(), eps=eps)

    def share(self, stride: int, *, precision: str = "model") -> SharedWindows:
        """As :meth:`Classifier.share`, for networks without padding whose layers are local."""
        from slidewin.classifier.lattice import SharedNetwork, half_precision
        from slidewin.classifier.shared import share

        # Rebuilt once for many photos; torch.fx keeps the code of what it builds for ever.
        state = (stride, precision, self._state())
        for known, made in self._rebuilt:
            if known == state:
                if isinstance(made, str):
                    raise SharingError(made)
                return made
        try:
            with self.borrowed():
                shared = share(
                    self.module, self.input_size, stride=stride, mean=self.mean, std=self.std
                )
        except SharingError as error:
            self._keep(state, str(error))
            raise
        dtype = half_precision(self._like().device) if precision == "auto" else None
        network = SharedNetwork(self, shared, dtype=dtype)
        self._keep(state, network)
        return network

    def _keep(self, state: Any, made: SharedWindows | str) -> None:
        # A list of its own: other threads may be going through the one before.
        self._rebuilt = [*self._rebuilt, (state, made)][-_KEPT:]

    def _state(self) -> tuple[Any, ...]:
        """What changes whenever the module is changed: by training, by hooks, or by hand."""
        tensors = [*self.module.parameters(), *self.module.buffers()]
        layers = [
            (
                id(layer),
                type(layer),
                bool(layer._forward_hooks or layer._forward_pre_hooks),
                [key for key, value in vars(layer).items() if callable(value)],
            )
            for layer in self.module.modules()
        ]
        # Tensors made for inference count no versions; they cannot be trained either.
        versions = [
            (t.data_ptr(), t.device, t.dtype, None if t.is_inference() else t._version)
            for t in tensors
        ]
        return str(self.module), layers, versions, self.mean, self.std

    def from_scores(self, scores: NDArray[np.float32], *, eps: float) -> NDArray[np.float32]:
        """Probabilities (m, n, k) for scores (m, n, k), checked as those of patches are."""
        flat = scores.reshape(-1, scores.shape[-1])
        values = self._checked(self.to_probabilities(flat, eps=eps), len(flat))
        return values.reshape(*scores.shape[:-1], -1)

    def _like(self) -> "torch.Tensor":
        """A tensor with the module's device and dtype."""
        import torch

        tensors = chain(self.module.parameters(), self.module.buffers())
        return next((t for t in tensors if t.is_floating_point()), torch.empty(0))

    def to_input(self, patches: NDArray[np.uint8]) -> "torch.Tensor":
        """Normalised input (n, 3, h, w) on the module's device for images (n, h, w, 3)."""
        import torch

        like = self._like()
        # A copy: the caller's array may be read-only, which torch.from_numpy must not see.
        x = torch.tensor(np.ascontiguousarray(patches), device=like.device)
        x = x.permute(0, 3, 1, 2).contiguous().float()
        mean = torch.tensor(self.mean, device=like.device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=like.device).view(1, 3, 1, 1)
        return ((x / 255 - mean) / std).to(like.dtype)

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Evaluation mode; the last of its borrowers gives it back, layer by layer."""
        key = id(self.module)
        with _LOANS_LOCK:
            borrowers, training = _LOANS.get(key, (0, []))
            if not borrowers:
                training = [layer for layer in self.module.modules() if layer.training]
                for layer in training:  # not eval(), which torch.export's modules refuse
                    layer.training = False
            _LOANS[key] = borrowers + 1, training
        try:
            yield
        finally:
            with _LOANS_LOCK:
                borrowers, training = _LOANS.pop(key)
                if borrowers > 1:
                    _LOANS[key] = borrowers - 1, training
                else:
                    for layer in training:
                        layer.training = True

    def fingerprint(self) -> str | None:
        """SHA-256 of the weights and of all that turns a patch into probabilities.

        The module's code, and plain attributes that it may keep beside its tensors, count only as
        far as its printed form shows them. None if its state dict holds what is no tensor.
        """
        import torch

        digest = hashlib.sha256()
        digest.update(repr((self._described(), str(self.module))).encode())
        for name, tensor in sorted(self.module.state_dict().items()):
            if not isinstance(tensor, torch.Tensor):
                return None
            values = tensor.detach().cpu().contiguous()
            digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
            digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__ | {"_rebuilt": []}
        torch = sys.modules["torch"]
        if isinstance(self.module, torch.jit.ScriptModule):  # which does not pickle
            state["module"] = self.module.save_to_buffer()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if isinstance(state["module"], bytes):
            import torch

            state["module"] = torch.jit.load(BytesIO(state["module"]))  # type: ignore[no-untyped-call]
        self.__dict__.update(state)
