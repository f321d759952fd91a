"""Files to images: one path, one photo or one reason."""

import os
import stat
import warnings
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from slidewin.errors import (
    ArgumentError,
    ArgumentTypeError,
    ImageMissingError,
    ImageReadError,
    SlidewinError,
    SlidewinWarning,
)
from slidewin.image.decoder import decode

__all__ = ["IMAGE_SUFFIXES", "images_in", "read_image"]

# What counts as a photo in a folder. HEIF does, although it is refused: a photo that is skipped in
# silence would pass for one that was searched.
IMAGE_SUFFIXES = frozenset(
    {".bmp", ".heic", ".heif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)


def images_in(folder: Path) -> list[Path]:
    """List what counts as a photo in a folder and below it, by suffix, in order of name."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)


def read_image(
    source: str | os.PathLike[str],
    *,
    max_pixels: int = 200_000_000,
    background: tuple[int, int, int] | None = None,
    page: int | None = None,
) -> NDArray[np.uint8]:
    """Read a photo, whole and upright, or say why not.

    The format is told by content, not by suffix. Grey is replicated; palettes, 1-bit, CMYK and
    YCbCr are converted; EXIF orientation is applied, once, in every format. 16-bit samples are
    divided by 257 and rounded; float samples must lie in [0, 1] and are multiplied by 255.

    Parameters
    ----------
    source : str or os.PathLike
        A JPEG, PNG, WebP, BMP or TIFF file.
    max_pixels : int
        Largest number of pixels decoded; checked on the header, before anything is.
    background : (int, int, int), optional
        RGB in 0 to 255, laid under transparent pixels. Without it transparency is refused.
    page : int, optional
        Which page or frame to read, from 0. Without it a file with several is refused.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
        RGB, C-contiguous, owned by the caller.

    Raises
    ------
    ImageMissingError
        If there is no such file.
    ImageReadError
        If the file is not one whole image that can be read exactly.
    ArgumentError, ArgumentTypeError
        If an argument cannot be used.

    Warns
    -----
    SlidewinWarning
        If malformed EXIF was ignored, or a colour profile other than sRGB was not applied.

    Notes
    -----
    Memory peaks near 11 bytes a pixel (15 for 16-bit colour), 3 of them the result.

    A JPEG is one image: previews and depth maps that phones append to it are not read. If it lost
    bytes in its middle but kept its end, nothing in the file tells, and colours are wrong from
    there on. WebP of more than 179 million pixels is refused by Pillow, whatever `max_pixels`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from slidewin.image import read_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("L", (60, 40), 7).save(Path(folder, "photo.png"))
    ...     photo = read_image(Path(folder, "photo.png"))
    >>> photo.shape, photo[0, 0].tolist()
    ((40, 60, 3), [7, 7, 7])
    """
    if not isinstance(source, str | os.PathLike) or isinstance(os.fspath(source), bytes):
        raise ArgumentTypeError(
            f"source is of type {type(source).__name__}; wanted is a path, str or os.PathLike"
        )
    _check_options(max_pixels, background, page)
    path = Path(source)
    try:
        with _open(path) as handle:
            image, notes = decode(handle, max_pixels, background, page)
    except FileNotFoundError as error:
        message = f"{path}: no such file; check its spelling, and where a relative path starts"
        raise ImageMissingError(message) from error
    except SlidewinError as error:
        raise type(error)(f"{path}: {error}") from error.__cause__
    except Exception as error:  # whatever bytes a file holds, one family of errors comes out
        if isinstance(error, OSError) and error.errno is not None:
            message = f"{path}: cannot be opened ({error.strerror}); check the path and its rights"
        else:
            reason = str(error) or type(error).__name__
            message = (
                f"{path}: cannot be decoded as one whole image ({reason}); "
                "it is damaged, cut short or of a rare kind: copy it again, or save it as 8-bit PNG"
            )
        raise ImageReadError(message) from error
    for note in notes:
        warnings.warn(f"{path}: {note}", SlidewinWarning, stacklevel=2)
    return image


def _check_options(max_pixels: object, background: object, page: object) -> None:
    if not isinstance(max_pixels, int | np.integer) or max_pixels < 1:
        raise ArgumentError(f"max_pixels is {max_pixels!r}; wanted is an integer from 1")
    if page is not None and (not isinstance(page, int | np.integer) or page < 0):
        raise ArgumentError(f"page is {page!r}; wanted is None or an integer from 0")
    if background is not None:
        colour = np.asarray(background, object)
        whole = (isinstance(value, int | np.integer) and 0 <= value <= 255 for value in colour.flat)
        if colour.shape != (3,) or not all(whole):
            raise ArgumentError(f"background is {background!r}; wanted is (R, G, B) in 0 to 255")


def _open(path: Path) -> IO[bytes]:
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):  # to open a pipe would be to wait for its writer
        kind = "directory" if stat.S_ISDIR(mode) else "device or pipe"
        raise ImageReadError(f"is a {kind}; pass the path of one image file")
    return path.open("rb")
