"""The way that windows are classified: one by one, or together."""

from typing import Any, NamedTuple

import numpy as np

from slidewin.classifier import Classifier
from slidewin.classifier.protocol import SharedWindows
from slidewin.errors import ArgumentError, SharingError
from slidewin.grid import Grid

__all__ = ["Way", "check_way", "choose_way"]

_ENGINES = ("auto", "shared", "windows")
_PRECISIONS = ("model", "auto")


class Way(NamedTuple):
    """How windows are classified: together, or one by one where ``shared`` is None."""

    classifier: Classifier
    shared: SharedWindows | None
    batch_size: int


def choose_way(alone: Way, grid: Grid, engine: str, precision: str) -> tuple[Way, str]:
    """Let windows share their work where that is asked for, or exact and of use.

    Returns
    -------
    way : Way
    because : str
        Where windows go one by one, why.

    Raises
    ------
    SharingError
        If the engine is ``"shared"`` and they cannot.
    """
    if engine == "windows":
        return alone, "asked for"
    try:
        shared = alone.classifier.share(grid.levels[0].stride, precision=precision)
    except SharingError as error:
        if engine == "shared":
            raise
        return alone, str(error)
    if shared.saving < 1 and engine == "auto":
        times = 1 / shared.saving
        return alone, f"sharing would take {times:.1f} times the work at this stride"
    return alone._replace(shared=shared), ""


def check_way(engine: Any, precision: Any, tolerance: Any, batch_size: Any) -> None:
    """Refuse options that name no way.

    Raises
    ------
    ArgumentError
        It says which, and what is accepted.
    """
    for name, value, known in (
        ("engine", engine, _ENGINES),
        ("precision", precision, _PRECISIONS),
    ):
        if value not in known:
            raise ArgumentError(f"{name}={value!r}: choose one of {', '.join(known)}")
    is_number = isinstance(tolerance, int | float | np.number) and not isinstance(tolerance, bool)
    if not (is_number and 0 < tolerance < np.inf):
        raise ArgumentError(f"tolerance={tolerance!r}: a finite number above 0 is needed")
    is_whole = isinstance(batch_size, int | np.integer) and not isinstance(batch_size, bool)
    if not (is_whole and batch_size >= 1):
        raise ArgumentError(f"batch_size={batch_size!r}: a whole number from 1 up is needed")
