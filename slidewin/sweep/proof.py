"""The proof that windows which share their work are answered for as each is by itself."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slidewin.errors import SharingError
from slidewin.grid import Grid
from slidewin.sweep.tiles import Answer, Way, windows_to_check

__all__ = ["Proof"]

_LEAST_WINDOWS = 64
_AT_A_TIME = 32


class Proof:
    """A sample of a sweep's windows, classified once more, one by one.

    Parameters
    ----------
    way : Way
        By which the sweep classifies.
    grid : Grid
    tolerance : float
        Largest difference of a probability that passes.
    """

    def __init__(self, way: Way, grid: Grid, tolerance: float) -> None:
        self.way, self.tolerance = way, tolerance
        self.windows = windows_to_check(grid, _LEAST_WINDOWS)
        self.n_checked, self.difference = 0, 0.0
        self._pending: list[tuple[NDArray[np.uint8], NDArray[np.float32]]] = []

    def add(self, answer: Answer) -> None:
        """Take what a tile has to be checked.

        Raises
        ------
        SharingError
            If a window is answered for otherwise than by itself.
        """
        if not len(answer.patches):
            return
        _, (top, _), (left, _) = answer.tile
        rows, cols = (answer.checked - (top, left)).T
        self._pending.append((answer.patches, answer.values[rows, cols]))
        if sum(len(patches) for patches, _ in self._pending) >= _AT_A_TIME:
            self.finish()

    def finish(self) -> None:
        """Check what is left; raises as :meth:`add` does."""
        if not self._pending:
            return
        patches, together = map(np.concatenate, zip(*self._pending, strict=True))
        self._pending.clear()
        alone = self.way.classifier.predict_proba(patches)
        differences = np.abs(together - alone).max(axis=1)
        worst = int(differences.argmax())
        self.n_checked += len(patches)
        self.difference = max(self.difference, float(differences[worst]))
        if not differences[worst] <= self.tolerance and self.way.shared is not None:
            raise SharingError(
                f"windows that share their work differ by {differences[worst]:.2g} from what each "
                f"is by itself, more than tolerance={self.tolerance:g}: "
                f"{self.way.shared.blame(patches[worst])}"
            )

    def describe(self) -> dict[str, Any]:
        """What is known of it, for a map's settings."""
        assert self.way.shared is not None  # noqa: S101
        return {
            "name": "shared",
            "precision": self.way.shared.precision,
            "saving": round(self.way.shared.saving, 2),
            "checked_windows": self.n_checked,
            "largest_difference": self.difference,
            "tolerance": self.tolerance,
        }
