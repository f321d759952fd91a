"""What an image might show without its lesions: the colour round each place.

Methods that hide parts of an image need something to hide them with. Black, the usual choice, looks
like a lesion to a classifier of lesions.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["surroundings"]

# Pixels along the side of the square that a median is taken of.
_SQUARE = 15


def surroundings(images: NDArray[np.uint8], side: float) -> NDArray[np.uint8]:
    """Median colour of the square round each place, of images of one size.

    Parameters
    ----------
    images : ndarray of shape (n, h, w, 3), uint8
    side : float
        Of the square, in px: twice the diameter of a lesion or more, so that it is outvoted.

    Returns
    -------
    ndarray of shape (n, h, w, 3), uint8

    Notes
    -----
    Computed on images shrunk until the square has 15 px a side, and enlarged again; what lies
    beyond the border is taken to mirror what lies within.

    Examples
    --------
    >>> images = np.full((1, 64, 64, 3), 180, np.uint8)
    >>> images[0, 24:40, 24:40] = 20
    >>> np.unique(surroundings(images, 32))
    array([180], dtype=uint8)
    """
    height, width = images.shape[1:3]
    factor = max(1.0, side / _SQUARE)
    size = max(1, round(width / factor)), max(1, round(height / factor))
    reach = _SQUARE // 2
    around = np.empty_like(images)
    for image, result in zip(images, around, strict=True):
        small = cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA)
        wide = cv2.copyMakeBorder(small, reach, reach, reach, reach, cv2.BORDER_REFLECT)
        median = cv2.medianBlur(wide, _SQUARE)[reach:-reach, reach:-reach]
        result[:] = cv2.resize(median, (width, height), interpolation=cv2.INTER_LINEAR)
    return around
