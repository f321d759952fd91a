"""Photos: from files, or from the caller's arrays.

An image is ``(H, W, 3)`` uint8, RGB, upright, in all of slidewin. This room makes files so, or says
why it cannot: half a photo, one page of three, or 16 bits cut to 8 would be searched as if it were
the photo, and what it lost reported as absent.

Files are decoded by :mod:`slidewin.decoder` and written by :mod:`slidewin.output`.
"""

import hashlib
import os
import stat
import warnings
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from slidewin.decoder import bands, decode, range_fault, to_uint8
from slidewin.errors import (
    ArgumentError,
    ArgumentTypeError,
    ImageMissingError,
    ImageReadError,
    SlidewinError,
    SlidewinWarning,
)

__all__ = ["IMAGE_SUFFIXES", "check_image", "hash_pixels", "read_image"]

# What counts as a photo in a folder. HEIF does, although it is refused: a photo that is skipped in
# silence would pass for one that was searched.
IMAGE_SUFFIXES = frozenset(
    {".bmp", ".heic", ".heif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)


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
    notes: list[str] = []
    try:
        with _open(path) as handle:
            image = decode(handle, max_pixels, background, page, notes)
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


def check_image(image: object, name: str = "photo") -> NDArray[np.uint8]:
    """Take an array as an image, or say how to make it one.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3)
        RGB. uint8 is returned as given, whatever its memory layout, read-only or memory-mapped.
        uint16 is divided by 257, float, which must lie in [0, 1], multiplied by 255, and rounded.
    name : str
        What the caller calls it, for the message.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8

    Raises
    ------
    ArgumentTypeError
        If it is no array, or of a dtype whose range is anybody's guess.
    ArgumentError
        If its shape or its values are not those of an image.

    Examples
    --------
    >>> import numpy as np
    >>> from slidewin.image import check_image
    >>> check_image(np.full((1, 1, 3), 0.2)).tolist()
    [[[51, 51, 51]]]
    """
    wanted = "wanted is shape (H, W, 3) and dtype uint8, RGB"
    if not isinstance(image, np.ndarray):
        raise ArgumentTypeError(
            f"{name} is of type {type(image).__name__}; {wanted}: read a file with "
            "slidewin.read_image, make an array of anything else with numpy.asarray"
        )
    found = f"{name} has shape {image.shape} and dtype {image.dtype}; {wanted}"
    if image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ArgumentError(f"{found}: {_shape_advice(image.shape)}")
    if image.dtype == np.uint8:
        return image
    advice = "if the values are 0 to 255, convert them with .astype(numpy.uint8)"
    if image.dtype != np.uint16 and image.dtype.kind != "f":
        raise ArgumentTypeError(f"{found}, or uint16, or float in [0, 1]: {advice}")
    result = np.empty(image.shape, np.uint8)
    for rows in bands(image):
        if fault := range_fault(image[rows]):
            raise ArgumentError(f"{found}, or float in [0, 1], but it holds {fault}: {advice}")
        result[rows] = to_uint8(image[rows])
    return result


def hash_pixels(image: NDArray[Any]) -> str:
    """SHA-256 of an array's shape, dtype and values, in hexadecimal, whatever its memory layout.

    The array is read in bands of rows: one that is memory-mapped need not fit in memory.

    Parameters
    ----------
    image : ndarray of shape (H, W) or (H, W, C)

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> import numpy as np
    >>> from slidewin.image import hash_pixels
    >>> image = np.zeros((2, 4, 3), np.uint8)
    >>> hash_pixels(image) == hash_pixels(np.asfortranarray(image))
    True
    >>> hash_pixels(image) == hash_pixels(image.reshape(4, 2, 3))
    False
    """
    digest = hashlib.sha256(f"{image.shape} {image.dtype.str}".encode())
    for rows in bands(image):
        digest.update(np.ascontiguousarray(image[rows]).data)
    return digest.hexdigest()


def _check_options(max_pixels: object, background: object, page: object) -> None:
    if not isinstance(max_pixels, int | np.integer) or max_pixels < 1:
        raise ArgumentError(f"max_pixels is {max_pixels!r}; wanted is an integer from 1")
    if page is not None and (not isinstance(page, int | np.integer) or page < 0):
        raise ArgumentError(f"page is {page!r}; wanted is None or an integer from 0")
    if background is not None:
        colour = np.asarray(background)
        if colour.shape != (3,) or colour.dtype.kind not in "iu" or not {*colour} <= {*range(256)}:
            raise ArgumentError(f"background is {background!r}; wanted is (R, G, B) in 0 to 255")


def _open(path: Path) -> IO[bytes]:
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):  # to open a pipe would be to wait for its writer
        kind = "directory" if stat.S_ISDIR(mode) else "device or pipe"
        raise ImageReadError(f"is a {kind}; pass the path of one image file")
    return path.open("rb")


def _shape_advice(shape: tuple[int, ...]) -> str:
    if 0 in shape:
        return "it is empty"
    if len(shape) == 4:
        return "pass one image of the batch at a time, the first as [0]"
    if len(shape) == 2:
        return "replicate the grey channel with numpy.stack([image] * 3, axis=-1)"
    if len(shape) == 3 and shape[0] in (1, 3):
        return "move the channels last with .transpose(1, 2, 0)"
    if len(shape) == 3 and shape[2] == 4:
        return "lay the image over a background, or drop its alpha channel with [..., :3]"
    if len(shape) == 3 and shape[2] == 1:
        return "replicate the grey channel with numpy.repeat(image, 3, axis=2)"
    return "it is no image"
