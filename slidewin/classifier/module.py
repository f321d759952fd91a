"""Adapter for torch modules."""

import hashlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from itertools import chain
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slidewin.classifier.scores import NetworkClassifier
from slidewin.classifier.shared import aligned, find_shared_pass
from slidewin.errors import ClassifierError

if TYPE_CHECKING:
    import torch

__all__ = ["ModuleClassifier"]

# Modules on loan, by id: how many borrow each, and the layers to set back when the last is done.
# Kept beside the classifiers, which may share a module and must pickle.
_LOANS: dict[int, "tuple[int, list[torch.nn.Module]]"] = {}
_LOANS_LOCK = Lock()


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

    @property
    def shares_windows(self) -> bool:
        """Whether one pass over a level answers for all windows that lie whole strides apart."""
        return find_shared_pass(self.module, self.input_size) is not None

    def predict_windows(
        self,
        image: NDArray[np.uint8],
        tops: Sequence[int],
        lefts: Sequence[int],
        *,
        batch_size: int = 64,
    ) -> NDArray[np.float32]:
        """Classify the windows of a lattice, in few passes where the network allows it.

        As :meth:`Classifier.predict_windows`; equal to the answers for each window, to rounding.
        """
        shared = find_shared_pass(self.module, self.input_size)
        if shared is None or not shared.pays(tops, lefts, self.input_size):
            return super().predict_windows(image, tops, lefts, batch_size=batch_size)
        values = np.empty((len(tops), len(lefts), len(self.classes_)), np.float32)
        # The last window of a row or column is shifted back, often by no whole stride.
        for rows in aligned(tops, shared.stride):
            for cols in aligned(lefts, shared.stride):
                top, left = tops[rows[0]], lefts[cols[0]]
                strip = image[
                    top : tops[rows[-1]] + self.input_size, left : lefts[cols[-1]] + self.input_size
                ]
                cells = np.ix_(
                    [(tops[row] - top) // shared.stride for row in rows],
                    [(lefts[col] - left) // shared.stride for col in cols],
                )
                values[np.ix_(rows, cols)] = self._in_one_pass(shared.body, strip)[cells]
        return values

    def _in_one_pass(
        self, body: "torch.nn.Sequential", strip: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        """Probabilities (h, w, k) at every cell of a strip."""
        import torch

        with self.borrowed(), torch.no_grad():
            inputs = self.to_input(strip[None])
            if strip.shape[:2] == (self.input_size, self.input_size):
                # Channels last, a lone window's rounding would depend on the number of threads.
                inputs = inputs.contiguous()
            scores = body(inputs)[0].permute(1, 2, 0)
            flat = scores.reshape(-1, scores.shape[-1])
            probabilities = self._checked(self._from_scores(flat), len(flat))
        return probabilities.reshape(*scores.shape[:2], -1)

    def to_input(self, patches: NDArray[np.uint8]) -> "torch.Tensor":
        """Normalised input (n, 3, h, w) on the module's device for images (n, h, w, 3)."""
        import torch

        tensors = chain(self.module.parameters(), self.module.buffers())
        like = next((t for t in tensors if t.is_floating_point()), torch.empty(0))
        # A copy: the caller's array may be read-only, which torch.from_numpy must not see.
        x = torch.tensor(np.ascontiguousarray(patches), device=like.device)
        x = x.permute(0, 3, 1, 2).float()
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
        state = dict(self.__dict__)
        torch = sys.modules["torch"]
        if isinstance(self.module, torch.jit.ScriptModule):  # which does not pickle
            state["module"] = self.module.save_to_buffer()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if isinstance(state["module"], bytes):
            import torch

            state["module"] = torch.jit.load(BytesIO(state["module"]))  # type: ignore[no-untyped-call]
        self.__dict__.update(state)
