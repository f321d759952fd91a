"""A photo of a data set and what is true of it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slidewin.comparison.outline import Outline
from slidewin.errors import ArgumentError
from slidewin.image import read_image

__all__ = ["Sample"]

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Sample:
    """A photo and what is true of it.

    Attributes
    ----------
    name : str
        Tells it from the others of its data set: the photo's path there without suffix, such as
        ``left/7``; with ``/`` on every system.
    photo : Path
    lesions : tuple of Outline
        Where the lesions are, by mask files, polygons, runs or boxes; empty where there is none.
    group : str or None
        Patient, or lesion; None for a photo of its own.
    ignore : tuple of Outline
        What counts neither as lesion nor as none.
    label : str
        What is known of its lesions; empty where nothing is.
    shape : (int, int) or None
        Rows and columns that the photo has by its data set, if that says.
    """

    name: str
    photo: Path
    lesions: tuple[Outline, ...] = ()
    group: str | None = None
    ignore: tuple[Outline, ...] = ()
    label: str = ""
    shape: tuple[int, int] | None = None

    def read(self) -> tuple[NDArray[np.uint8], NDArray[np.int32], Mask | None]:
        """Read the photo and draw its lesions.

        Returns
        -------
        photo : ndarray of shape (H, W, 3), uint8
            RGB, upright.
        lesions : ndarray of shape (H, W), int32
            0 where none is, k on the k-th. Where two overlap, the smaller is on top.
        ignore : ndarray of shape (H, W), bool, or None
            Pixels that count neither way; None if all do. No lesion is in it.

        Raises
        ------
        ImageReadError
            If a file cannot be read as one whole image.
        ArgumentError
            If the photo is not of the size that its data set gives, a mask is not of the photo's
            or no mask, an outline holds no pixel of the photo, or a lesion is hidden by others.

        Notes
        -----
        Memory is 7 bytes a pixel for the result, and a byte a pixel and lesion meanwhile.
        """
        photo = read_image(self.photo)
        shape = photo.shape[:2]
        if self.shape not in (None, shape):
            raise ArgumentError(
                f"{self.photo}: found {shape[0]} x {shape[1]} px; its data set was outlined on "
                f"{self.shape[0]} x {self.shape[1]}"
                + (", as it is before its EXIF orientation" if self.shape == shape[::-1] else "")
                + ": give the photo that was outlined"
            )
        masks: list[Mask] = []
        ignore = np.zeros(shape, np.bool_)
        for outline in self.lesions:
            drawn, strays = outline.masks(shape)
            masks += drawn
            if strays is not None:
                ignore |= strays
        for outline in self.ignore:
            for drawn_one in outline.masks(shape)[0]:
                ignore |= drawn_one
        lesions = np.zeros(shape, np.int32)
        for k in sorted(range(len(masks)), key=lambda k: -np.count_nonzero(masks[k])):
            lesions[masks[k]] = k + 1
        seen = np.bincount(lesions.ravel(), minlength=len(masks) + 1)[1:]
        if (seen == 0).any():
            k = int(np.argmin(seen)) + 1
            raise ArgumentError(
                f"{self.photo}: of its lesions, number {k} is hidden by the others; is it there "
                "twice?"
            )
        ignore &= lesions == 0
        return photo, lesions, ignore if ignore.any() else None
