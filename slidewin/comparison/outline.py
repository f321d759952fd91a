"""Outlines of lesions as data sets give them: mask files, polygons, runs of pixels, boxes.

Each becomes bool masks of its photo's size. A pixel is inside where its centre is; edges of pixels
are at whole numbers.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slidewin.errors import ArgumentError
from slidewin.image import read_image
from slidewin.mask import roi_from_polygon

__all__ = ["Box", "MaskFile", "Outline", "Polygons", "Runs", "read_mask"]

Mask = NDArray[np.bool_]
Shape = tuple[int, int]

_STRAY = 0.01  # of the largest piece's area: what the pen left beside an outline


class Outline(Protocol):
    """What tells where lesions are in a photo."""

    def masks(self, shape: Shape) -> tuple[list[Mask], Mask | None]:
        """Draw the lesions on a photo of this shape, and what is neither lesion nor none."""
        ...


@dataclass(frozen=True)
class MaskFile:
    """A picture of the photo's size, black where no lesion is.

    Attributes
    ----------
    path : Path
        Read by :func:`read_mask`.
    photo : Path
        Of which it is the mask, for messages.
    whole : bool
        Whether all that it marks is one lesion, in pieces or not. By default every 8-connected
        piece is one, and pieces smaller than a hundredth of the largest are strays of the pen,
        neither lesion nor none.
    """

    path: Path
    photo: Path
    whole: bool = False

    def masks(self, shape: Shape) -> tuple[list[Mask], Mask | None]:
        """One mask for each lesion; none if the picture is black all over."""
        marked = read_mask(self.path, shape, of=self.photo)
        if self.whole or not marked.any():
            return ([marked] if marked.any() else []), None
        count, pieces, sizes, _ = cv2.connectedComponentsWithStats(
            marked.view(np.uint8), connectivity=8
        )
        areas = sizes[:, cv2.CC_STAT_AREA]
        kept = [i for i in range(1, count) if areas[i] >= _STRAY * areas[1:].max()]
        strays = marked & ~np.isin(pieces, kept)
        return [np.asarray(pieces == i) for i in kept], strays if strays.any() else None


@dataclass(frozen=True)
class Polygons:
    """One lesion, as the polygons of its pieces.

    Attributes
    ----------
    rings : tuple of tuples of (float, float)
        Row and column of the corners. What lies in any of them is the lesion.
    name : str
        Of the annotation, for messages.
    """

    rings: tuple[tuple[tuple[float, float], ...], ...]
    name: str = "polygon"

    def masks(self, shape: Shape) -> tuple[list[Mask], Mask | None]:
        """The lesion's mask."""
        inside = np.zeros(shape, np.bool_)
        for ring in self.rings:
            try:
                inside |= roi_from_polygon(ring, shape).inside
            except ArgumentError as error:
                raise ArgumentError(f"{self.name}: {error}") from None
        return [inside], None


@dataclass(frozen=True)
class Box:
    """One lesion, of which only the box round it is known.

    Attributes
    ----------
    bbox : tuple of float
        Top, left, bottom, right; half-open.
    name : str
        Of the annotation, for messages.
    """

    bbox: tuple[float, float, float, float]
    name: str = "box"

    def masks(self, shape: Shape) -> tuple[list[Mask], Mask | None]:
        """The box's mask."""
        top, left, bottom, right = self.bbox
        rows, cols = (np.arange(n) + 0.5 for n in shape)
        inside = ((rows >= top) & (rows < bottom))[:, None] & ((cols >= left) & (cols < right))
        if not inside.any():
            raise ArgumentError(
                f"{self.name}: the box from row {top:g} and column {left:g} to {bottom:g} and "
                f"{right:g} holds no pixel of the photo, {shape[0]} x {shape[1]} px; correct it "
                "or take it out"
            )
        return [inside], None


@dataclass(frozen=True)
class Runs:
    """One lesion, as COCO's run lengths: down the columns, from left to right.

    Attributes
    ----------
    counts : tuple of int or str
        Lengths of the runs, the first outside and then in turn; or COCO's compressed string.
    size : (int, int)
        Rows and columns of the photo they are for.
    name : str
        Of the annotation, for messages.
    """

    counts: tuple[int, ...] | str
    size: Shape
    name: str = "runs"

    def masks(self, shape: Shape) -> tuple[list[Mask], Mask | None]:
        """The lesion's mask."""
        if self.size != shape:
            raise ArgumentError(
                f"{self.name}: its runs are for {self.size[0]} x {self.size[1]} px; the photo has "
                f"{shape[0]} x {shape[1]}"
            )
        counts = _unpacked(self.counts, self.name) if isinstance(self.counts, str) else self.counts
        if min(counts, default=-1) < 0 or sum(counts) != shape[0] * shape[1]:
            raise ArgumentError(
                f"{self.name}: its runs add up to {sum(counts)} pixels; the photo has "
                f"{shape[0] * shape[1]}: export it anew"
            )
        flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
        inside = np.ascontiguousarray(flat.reshape(shape, order="F"))
        if not inside.any():
            raise ArgumentError(f"{self.name}: marks no pixel; take it out")
        return [inside], None


def read_mask(path: Path, shape: Shape, *, of: Path) -> Mask:
    """Read which pixels of a photo a mask file marks.

    Parameters
    ----------
    path : Path
        8-bit; 0 is outside, and inside is 255, or 1 where nothing is brighter. In between, as at
        edges that were smoothed or saved as JPEG, 128 and more is inside. Of colours the brightest
        channel counts.
    shape : (int, int)
        Of the photo, upright.
    of : Path
        The photo, for messages.

    Returns
    -------
    ndarray of shape (H, W), bool

    Raises
    ------
    ImageReadError
        If the file cannot be read as one whole image.
    ArgumentError
        If it is of another size, of 16 bits, or of values of which nothing says what they mean.

    Examples
    --------
    >>> import tempfile
    >>> from slidewin.output import write_png
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_png(f"{folder}/mask.png", np.uint8([[0, 1, 1]]))
    ...     read_mask(Path(folder, "mask.png"), (1, 3), of=Path("photo.jpg"))
    array([[False,  True,  True]])
    """
    picture = read_image(path)
    # Scaled to 8 bits, a 16-bit mask of 0 and 1 would be black all over.
    with Image.open(path) as header:
        if re.match("[IF]", header.mode):
            raise ArgumentError(
                f"{path}: a mask of more than 8 bits a pixel (mode {header.mode}); save it with 8, "
                "of 0 and 255"
            )
    if picture.shape[:2] != shape:
        turned = ": it is of the photo before its EXIF orientation, so turn it as the photo is"
        raise ArgumentError(
            f"{path}: the mask is {picture.shape[0]} x {picture.shape[1]} px and its photo {of} "
            f"{shape[0]} x {shape[1]}; they must be of one size"
            + (turned if picture.shape[1::-1] == shape and shape[0] != shape[1] else "")
        )
    grey = picture.max(axis=2)
    values = np.unique(grey)
    if values[-1] <= 1:
        return np.asarray(grey == 1)
    if values[-1] < 128:
        found = ", ".join(map(str, values[:6])) + (" ..." if len(values) > 6 else "")
        raise ArgumentError(
            f"{path}: found the values {found}; a mask has 0 outside and 255, or 1, inside: save "
            "lesions that are told apart by numbers as one mask each"
        )
    return np.asarray(grey >= 128)


def _unpacked(packed: str, name: str) -> Sequence[int]:
    """Run lengths of COCO's string.

    A number is in groups of five bits, the lowest first, each a character from ``0`` (48) on; the
    sixth bit says that more follow, the fifth of the last is the sign. From the fourth number on,
    what is stored is the difference to the number two before.
    """
    counts: list[int] = []
    value, shift = 0, 0
    for character in packed:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ArgumentError(f"{name}: {character!r} is no part of COCO's run lengths")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value, shift = 0, 0
    if shift:
        raise ArgumentError(f"{name}: its run lengths are cut short; export it anew")
    return counts
