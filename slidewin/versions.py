"""Versions of all that results depend on."""

import platform
from importlib.metadata import PackageNotFoundError, version

from slidewin import __version__

__all__ = ["versions"]

_PACKAGES = ("captum", "numpy", "opencv-python", "pillow", "scikit-learn", "torch", "torchcam")


def versions() -> dict[str, str | None]:
    """Versions of what makes results, by package; None for one that is not installed.

    Examples
    --------
    >>> versions()["slidewin"] == __version__
    True
    """
    found: dict[str, str | None] = {"slidewin": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None  # cv2 may come from another distribution
    return found
