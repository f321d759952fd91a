"""The proof that windows which share their work are answered for as each is by itself."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slidewin.errors import SharingError, SlidewinError, SweepError
from slidewin.grid import Grid
from slidewin.sweep.tiles import Answer, wants_memory
from slidewin.sweep.way import Way

__all__ = ["Proof", "windows_to_check"]

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
        step = self.way.batch_size
        try:
            pieces = [patches[i : i + step] for i in range(0, len(patches), step)]
            alone = np.concatenate([self.way.classifier.predict_proba(x) for x in pieces])
        except SlidewinError:
            raise
        except Exception as error:  # of the classifier
            if wants_memory(error):
                raise SweepError(f"{error}; use a smaller batch_size than {step}") from error
            raise SharingError(
                f"windows by themselves fail ({type(error).__name__}: {error})"
            ) from error
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


def windows_to_check(grid: Grid, n: int) -> list[list[tuple[int, int]]]:
    """Choose at least n windows, or all: of every level, its corners among them.

    The choice is random, and the same for the same plan.
    """
    rng = np.random.default_rng(0)
    chosen = []
    for level in grid.levels:
        rows, cols = level.lattice
        corners = {(0, 0), (0, cols - 1), (rows - 1, 0), (rows - 1, cols - 1)}
        share = min(len(level), max(len(corners), -(-n * len(level) // len(grid))))
        # Many of them in the last row or column, whose windows are shifted back.
        while len(corners) < share:
            row, col = int(rng.integers(rows)), int(rng.integers(cols))
            if rng.random() < 0.25:
                row = rows - 1
            elif rng.random() < 0.25:
                col = cols - 1
            corners.add((row, col))
        chosen.append(sorted(corners))
    return chosen
