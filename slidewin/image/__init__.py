"""Photos: from files, or from the caller's arrays.

An image is ``(H, W, 3)`` uint8, RGB, upright, in all of slidewin. This room makes photos so, or
says why it cannot: half a photo, one page of three, or 16 bits cut to 8 would be searched as if it
were the photo, and what it lost reported as absent.

Files are written by :mod:`slidewin.output`.
"""

from slidewin.image.arrays import check_image, check_source, hash_pixels
from slidewin.image.large import open_image
from slidewin.image.reading import IMAGE_SUFFIXES, images_in, read_image

__all__ = [
    "IMAGE_SUFFIXES",
    "check_image",
    "check_source",
    "hash_pixels",
    "images_in",
    "open_image",
    "read_image",
]
