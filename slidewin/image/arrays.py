"""Arrays of samples as images: of uint8, uint16 or float, read a band of rows at a time."""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slidewin.errors import ArgumentError, ArgumentTypeError

__all__ = [
    "LARGEST_READ",
    "bands",
    "check_image",
    "check_source",
    "hash_pixels",
    "range_fault",
    "to_uint8",
]

LARGEST_READ = 500_000_000  # bytes of a row of chunks
_BAND = 1 << 21  # bytes of samples read at a time, which bounds the cost beside the result


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


def check_source(photo: object) -> Any:
    """Take what gives an image's rows when sliced, or say what it is instead.

    Parameters
    ----------
    photo : array of shape (H, W, 3)
        An array as :func:`check_image` takes it; or, of uint8, anything else that has a shape and
        a dtype and can be sliced by rows, such as a zarr array. That is not read here.

    Returns
    -------
    array of shape (H, W, 3), uint8

    Raises
    ------
    ArgumentTypeError, ArgumentError
        As :func:`check_image` does.
    """
    if isinstance(photo, np.ndarray) or not hasattr(photo, "__getitem__"):
        return check_image(photo)
    shape, dtype = getattr(photo, "shape", None), getattr(photo, "dtype", None)
    if not isinstance(shape, tuple) or dtype is None:
        return check_image(photo)
    if len(shape) != 3 or shape[2] != 3 or 0 in shape or dtype != np.uint8:
        raise ArgumentError(
            f"photo is a {type(photo).__name__} of shape {shape} and dtype {dtype}; wanted is "
            "shape (H, W, 3) and dtype uint8, RGB: "
            + (_shape_advice(shape) if shape[2:] != (3,) else "read it into an array, if it fits")
        )
    chunks = getattr(photo, "chunks", None) or (1,)
    if isinstance(chunks[0], int) and chunks[0] * shape[1] * 3 > LARGEST_READ:
        raise ArgumentError(
            f"photo is a {type(photo).__name__} of chunks {chunks}, so that "
            f"{chunks[0] * shape[1] * 3 / 1e9:.1f} GB would be read at a time; wanted is at most "
            f"{LARGEST_READ / 1e9} GB: save it anew in smaller chunks, of 512 x 512 px say"
        )
    return photo


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


def bands(array: NDArray[Any]) -> Iterator[slice]:
    """Slices of rows that cover an array, each of a bounded number of bytes."""
    height = array.shape[0]
    step = max(1, _BAND * height // max(1, array.nbytes))
    for top in range(0, height, step):
        yield slice(top, min(top + step, height))


def range_fault(samples: NDArray[Any]) -> str:
    """Say what keeps samples from a known range: nothing if integers, or float in [0, 1]."""
    if samples.dtype.kind != "f":
        return ""
    low, high = samples.min(), samples.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        return "NaN or infinity"
    return "" if low >= 0 and high <= 1 else f"values from {low:g} to {high:g}"


def to_uint8(samples: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale uint16 by its range, or float from [0, 1], to 0 to 255, and round."""
    if samples.dtype.kind == "f":
        return np.asarray(np.rint(samples * 255), np.uint8)
    return np.asarray((samples.astype(np.uint32) + 128) // 257, np.uint8)


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
