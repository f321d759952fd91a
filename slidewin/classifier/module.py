"""Adapter for torch modules."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slidewin.classifier.protocol import Classifier
from slidewin.errors import ArgumentError, ClassifierError

if TYPE_CHECKING:
    import torch

__all__ = ["ModuleClassifier"]

# Modules on loan, by id: how many borrow each, and the layers to set back when the last is done.
# Kept beside the classifiers, which may share a module and must pickle.
_LOANS: dict[int, "tuple[int, list[torch.nn.Module]]"] = {}
_LOANS_LOCK = Lock()


class ModuleClassifier(Classifier):
    """A torch module as a classifier.

    The module is used where it is and left as it was: mode, gradients, device and dtype.

    Parameters
    ----------
    module : torch.nn.Module
        Maps ``(n, 3, S, S)`` to ``(n, k)``, or to ``(n, 1)`` or ``(n,)`` for two classes, where
        the one number speaks for the second. May be called from several threads at once.
    mean, std : sequence of 3 floats, or float, optional
        The input is ``(pixel / 255 - mean) / std``. By default 0 and 1.
    logits : bool, default True
        Whether the module returns logits (softmax, or sigmoid for one number, is applied) or
        probabilities.
    about : mapping, optional
        What is known of it (data, versions ...), kept in the file when it is saved.
    **description
        As for :class:`Classifier`.
    """

    def __init__(
        self,
        module: "torch.nn.Module",
        *,
        mean: Sequence[float] | float | None = None,
        std: Sequence[float] | float | None = None,
        logits: bool = True,
        about: Mapping[str, Any] | None = None,
        **description: Any,
    ) -> None:
        super().__init__(**description)
        self.module = module
        self.mean = _three(mean, "mean", 0.0)
        self.std = _three(std, "std", 1.0)
        if not all(s > 0 for s in self.std):
            raise ArgumentError(f"std={self.std}: every value must be above 0")
        self.logits = logits
        self.about = dict(about or {})

    def _predict(self, patches: NDArray[np.uint8]) -> Any:
        import torch

        # Not inference_mode: tensors that a module keeps from it could never again be trained on.
        with self.borrowed(), torch.no_grad():
            output = self.module(self.to_input(patches))
            if not isinstance(output, torch.Tensor):
                raise ClassifierError(
                    f"the module returned {type(output).__name__}; a tensor of shape (n, k) is "
                    "needed. Wrap it in a module that returns the logits alone"
                )
            return self._probabilities(output).cpu().numpy()

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

    def _probabilities(self, output: "torch.Tensor") -> "torch.Tensor":
        import torch

        k = len(self.classes_)
        # What rounding may take from or add to rows of probabilities.
        rounding = 2e-6
        if output.is_floating_point():
            rounding = max(rounding, torch.finfo(output.dtype).eps)
        output = output.float()
        if output.ndim == 1:
            output = output[:, None]
        if output.ndim == 2 and output.shape[1] == 1 and k == 2:
            second = torch.sigmoid(output) if self.logits else output
            return torch.cat([1 - second, second], dim=1)
        if not self.logits or output.ndim != 2 or output.shape[1] != k:
            return output  # checked by the caller
        if (output >= 0).all() and ((output.sum(dim=1) - 1).abs() < rounding).all():
            raise ClassifierError(
                "the module's rows are probabilities already (not negative, sum to 1), and "
                "softmax would flatten them; pass logits=False"
            )
        return output.softmax(dim=1)

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Evaluation mode; the last of its borrowers gives it back, layer by layer."""
        key = id(self.module)
        with _LOANS_LOCK:
            borrowers, training = _LOANS.get(key, (0, []))
            if not borrowers:
                training = [layer for layer in self.module.modules() if layer.training]
                self.module.eval()
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
        described = (self._labels(), self.input_size, self.mean, self.std, self.logits)
        digest.update(repr((described, str(self.module))).encode())
        for name, tensor in sorted(self.module.state_dict().items()):
            if not isinstance(tensor, torch.Tensor):
                return None
            values = tensor.detach().cpu().contiguous()
            digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
            digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


def _three(
    value: Sequence[float] | float | None, name: str, default: float
) -> tuple[float, float, float]:
    try:
        values = np.broadcast_to(np.asarray(default if value is None else value, float), (3,))
    except (TypeError, ValueError):
        values = np.full(3, np.nan)
    if not np.isfinite(values).all():
        raise ArgumentError(
            f"{name}={value!r}: give one finite number for each of red, green and blue, as "
            "fractions of full scale, or one for all"
        )
    return float(values[0]), float(values[1]), float(values[2])
