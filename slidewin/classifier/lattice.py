"""A network's windows of a lattice, classified together."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx

from slidewin.classifier.protocol import SharedWindows
from slidewin.classifier.shared import Shared

if TYPE_CHECKING:
    from slidewin.classifier.module import ModuleClassifier

__all__ = ["SharedNetwork", "half_precision"]


class SharedNetwork(SharedWindows):
    """The rebuilt network of a classifier, swept over images.

    Parameters
    ----------
    classifier : ModuleClassifier
    shared : Shared
        Its network, rebuilt.
    dtype : torch.dtype, optional
        In which to compute; the network's own by default.
    """

    dense_is_free = True

    def __init__(
        self, classifier: "ModuleClassifier", shared: Shared, *, dtype: torch.dtype | None = None
    ) -> None:
        self.classifier, self.shared = classifier, shared
        self.spacing, self.saving = shared.spacing, shared.saving
        own = next(
            (p for p in shared.network.parameters() if p.is_floating_point()), torch.empty(0)
        )
        self.device, self.dtype = own.device, own.dtype if dtype is None else dtype
        self.precision = str(self.dtype).removeprefix("torch.")
        self.eps = torch.finfo(self.dtype).eps
        self.network = shared.network.to(self.dtype)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def predict(
        self, image: NDArray[np.uint8], tops: Sequence[int], lefts: Sequence[int]
    ) -> NDArray[np.float32]:
        """As :meth:`SharedWindows.predict`: a pass for each way that windows lie on the cells."""
        side = self.classifier.input_size
        values = np.empty((len(tops), len(lefts), len(self.classifier.classes_)), np.float32)
        # The last window of a row or column is shifted back, often by no whole spacing.
        for rows in aligned(tops, self.spacing):
            for cols in aligned(lefts, self.spacing):
                top, left = tops[rows[0]], lefts[cols[0]]
                piece = image[top : tops[rows[-1]] + side, left : lefts[cols[-1]] + side]
                cells = np.ix_(
                    [(tops[row] - top) // self.spacing for row in rows],
                    [(lefts[col] - left) // self.spacing for col in cols],
                )
                scores = self._scores(piece)[cells]
                values[np.ix_(rows, cols)] = self.classifier.from_scores(scores, eps=self.eps)
        return values

    def _scores(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Scores (m, n, k) at every cell of an image."""
        if image.shape[:2] == (self.classifier.input_size,) * 2:
            # A single cell's rounding would depend on the number of threads: it gets a neighbour.
            image = np.pad(image, ((0, 0), (0, self.spacing), (0, 0)), mode="edge")
            return self._scores(image)[:, :1]
        with torch.inference_mode():
            # Not by a call, which prints what goes wrong before it raises it.
            maps = self.network.forward(self._input(image))
        scores: NDArray[np.float32] = maps[0].permute(1, 2, 0).float().cpu().numpy()
        return scores

    def _input(self, image: NDArray[np.uint8]) -> torch.Tensor:
        # A copy: the caller's array may be read-only, which torch.from_numpy must not see.
        pixels = torch.from_numpy(np.array(image, order="C"))[None].to(self.device)
        return pixels.permute(0, 3, 1, 2).to(self.dtype)

    def blame(self, patch: NDArray[np.uint8]) -> str:
        """As :meth:`SharedWindows.blame`: the first layer that sees more than the window."""
        step = self.shared.stride
        around = [(step, step), (step, step), (0, 0)]
        with torch.inference_mode(), self.classifier.borrowed():
            alone = _Recorder(self.shared.original)
            alone.run(self.classifier.to_input(patch[None]))
            together = _Recorder(self.network)
            together.run(self._input(np.pad(patch, around, mode="symmetric")))
        nodes = self.shared.original.graph.nodes
        layers = {n.name: n.target if n.op == "call_module" else n.name for n in nodes}
        for name, map_ in together.maps.items():
            lies = self.shared.cells.get(name)
            own = alone.maps.get(self.shared.folded.get(name, name))
            if lies is None or own is None or map_.ndim < 4:
                continue
            kept = np.gcd(lies.stride, step)
            cells = [step // kept + lies.stride // kept * i for i in range(lies.n)]
            seen = map_[..., cells, :][..., cells].float()
            # Flattened or pooled, it has fewer axes than the map.
            own = own.reshape(seen.shape).float() if own.numel() == seen.numel() else None
            rounding = max(1e-3, 8 * self.eps)
            if own is None or (own - seen).abs().max() > rounding * own.abs().max() + 1e-4:
                return f"its layer '{layers[name]}' answers otherwise for a window within an image"
        return f"no single layer: rounding in {self.precision} adds up"


class _Recorder(fx.Interpreter):
    """Runs a network and keeps what each layer gave."""

    def __init__(self, network: fx.GraphModule) -> None:
        super().__init__(network, garbage_collect_values=False)
        self.maps: dict[str, torch.Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n.op not in ("placeholder", "output") and isinstance(result, torch.Tensor):
            self.maps[n.name] = result.clone()
        return result


def aligned(origins: Sequence[int], spacing: int) -> list[list[int]]:
    """Indices of origins, in groups that lie whole spacings apart.

    Examples
    --------
    >>> aligned([0, 16, 32, 37], 8)
    [[0, 1, 2], [3]]
    """
    groups: dict[int, list[int]] = {}
    for index, origin in enumerate(origins):
        groups.setdefault(origin % spacing, []).append(index)
    return list(groups.values())


def half_precision(device: torch.device) -> torch.dtype | None:
    """The half precision that a device computes in, not only stores; None where it has none."""
    if device.type == "cuda":
        return torch.float16
    if device.type == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        able: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
        return torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") else None
    return None
