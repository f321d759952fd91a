"""Charts: matplotlib's figures, made without its global state and given back as PNG."""

from io import BytesIO
from typing import TYPE_CHECKING

from slidewin.errors import MissingPackageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["new_figure", "to_png"]


def new_figure(width: float, height: float, *, what: str) -> "Figure":
    """Make an empty figure of a size in inches.

    Parameters
    ----------
    width, height : float
    what : str
        What is drawn, in the plural, for the message: ``"figures of a training run"``.

    Raises
    ------
    MissingPackageError
        If matplotlib is not installed.
    """
    try:
        # Not pyplot, which keeps figures and picks a window system for the whole process.
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPackageError(
            f"{what} need matplotlib: pip install 'slidewin[figures]'"
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def to_png(figure: "Figure") -> bytes:
    """Draw a figure as a PNG file, 120 pixels to the inch."""
    stream = BytesIO()
    figure.savefig(stream, format="png", dpi=120)
    return stream.getvalue()
