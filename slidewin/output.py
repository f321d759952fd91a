"""Files, written whole or not at all, and never over another unasked."""

import io
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slidewin.errors import ArgumentError, ArgumentTypeError, OutputError, OutputExistsError

__all__ = ["make_folder", "refuse_existing", "write_bytes", "write_png", "write_text"]


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Make a folder, and those above it, where they are not there yet.

    Raises
    ------
    OutputError
        If it cannot be made.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", error)
        raise OutputError(f"{folder}: no folder can be made there ({reason})") from error
    return folder


def refuse_existing(folder: Path, names: Iterable[str]) -> None:
    """Refuse to go on where files are there already, before anything is computed or written.

    Raises
    ------
    OutputExistsError
        If any of the names is in the folder.
    """
    if there := [name for name in names if (folder / name).exists()]:
        raise OutputExistsError(
            f"{folder}: {', '.join(there)} there already; choose another folder or name, or pass "
            "overwrite=True (--overwrite on the shell)"
        )


def write_bytes(path: str | os.PathLike[str], data: bytes, *, overwrite: bool = False) -> None:
    """Write a file, all of it or none.

    Parameters
    ----------
    path : str or os.PathLike
        In a folder that exists.
    data : bytes
    overwrite : bool
        Whether a file already there is replaced.

    Raises
    ------
    ArgumentTypeError
        If `path` is not a path.
    OutputExistsError
        If `path` exists and `overwrite` is false.
    OutputError
        If the file cannot be written.
    """
    if not isinstance(path, str | os.PathLike) or isinstance(os.fspath(path), bytes):
        raise ArgumentTypeError(
            f"path is of type {type(path).__name__}; wanted is a path, str or os.PathLike"
        )
    target = Path(path)
    part = target.parent / f".{secrets.token_hex(8)}.part"
    claimed = False
    try:
        try:
            part.write_bytes(data)
            if not overwrite:
                target.touch(exist_ok=False)  # claims the name: no other writer slips in between
                claimed = True
            part.replace(target)
            claimed = False
        finally:
            part.unlink(missing_ok=True)
            if claimed:
                target.unlink()
    except FileExistsError as error:
        message = f"{target}: is already there; choose another name, or pass overwrite=True"
        raise OutputExistsError(message) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", error)
        message = f"{target}: cannot be written ({reason}); check the folder, its rights and space"
        raise OutputError(message) from error


def write_text(path: str | os.PathLike[str], text: str, *, overwrite: bool = False) -> None:
    """Write text as UTF-8, line ends as they are; otherwise as :func:`write_bytes`."""
    write_bytes(path, text.encode(), overwrite=overwrite)


def write_png(
    path: str | os.PathLike[str], array: NDArray[np.uint8], *, overwrite: bool = False
) -> None:
    """Write an array as a PNG file without metadata; otherwise as :func:`write_bytes`.

    Parameters
    ----------
    path : str or os.PathLike
    array : ndarray of shape (H, W), (H, W, 3) or (H, W, 4), uint8
        Grey, RGB or RGBA.
    overwrite : bool

    Raises
    ------
    ArgumentError
        If the array is of another shape or dtype.
    """
    fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != np.uint8 or not fits or not array.size:
        raise ArgumentError(
            f"array has shape {array.shape} and dtype {array.dtype}; wanted is uint8 of shape "
            "(H, W), (H, W, 3) or (H, W, 4): scale and convert it first"
        )
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, "PNG")
    write_bytes(path, buffer.getvalue(), overwrite=overwrite)
