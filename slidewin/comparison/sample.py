"""A photo of a data set and what is true of it."""

from collections.abc import Collection
from dataclasses import dataclass, replace
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
    labels : tuple of str
        Of each outline in `lesions`, where they differ; empty where `label` is that of all.

    Raises
    ------
    ArgumentError
        If there are `labels`, and not as many as `lesions`.
    """

    name: str
    photo: Path
    lesions: tuple[Outline, ...] = ()
    group: str | None = None
    ignore: tuple[Outline, ...] = ()
    label: str = ""
    shape: tuple[int, int] | None = None
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.labels and len(self.labels) != len(self.lesions):
            raise ArgumentError(
                f"labels: found {len(self.labels)} for {len(self.lesions)} outlines in lesions; "
                "give one for each, or none"
            )

    @property
    def label_of_each(self) -> tuple[str, ...]:
        """Of each outline in `lesions` its label."""
        return self.labels or (self.label,) * len(self.lesions)

    def seeking(self, labels: Collection[str]) -> "Sample":
        """The same photo, with all lesions but those of some labels among what is ignored.

        Examples
        --------
        >>> from slidewin.comparison.outline import Box
        >>> boxes = Box((0, 0, 2, 2)), Box((4, 4, 6, 6))
        >>> sample = Sample("a", Path("a.png"), boxes, labels=("nevus", "melanoma"))
        >>> sought = sample.seeking(["melanoma"])
        >>> sought.lesions == boxes[1:], sought.ignore == boxes[:1], sought.label_of_each
        (True, True, ('melanoma',))
        """
        pairs = list(zip(self.lesions, self.label_of_each, strict=True))
        sought = [(outline, label) for outline, label in pairs if label in labels]
        others = tuple(outline for outline, label in pairs if label not in labels)
        return replace(
            self,
            lesions=tuple(outline for outline, _ in sought),
            labels=tuple(label for _, label in sought),
            ignore=(*self.ignore, *others),
        )

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
            drawn, strays = outline.masks(shape)
            for mask in drawn if strays is None else (*drawn, strays):
                ignore |= mask
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
