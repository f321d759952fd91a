"""What the trainer learns from: lesions with their outlines, and photos without lesions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from slidewin.errors import ArgumentError
from slidewin.image import read_image
from slidewin.training.table import Row

__all__ = ["STORED_DIAMETER", "Background", "Lesion", "read_mask"]

# Lesions are kept at twice the size at which the network sees them: sharp enough for the largest
# jitter of scale, small enough that thousands fit in memory.
STORED_DIAMETER = 64
_SMALLEST_DIAMETER = 12
_LONGEST = 1024  # longer side of a background: what a window may show of it at the most is half


@dataclass(frozen=True, eq=False)
class Background:
    """A photo without lesions, or with the places to keep clear of.

    Attributes
    ----------
    image : ndarray of shape (h, w, 3), uint8
    keep_clear : ndarray of shape (h, w), bool, or None
        No window overlaps the places that are True here.
    skin : ndarray of shape (h, w), bool, or None
        Where skin is. A lesion laid on skin counts as a lesion, a lesion laid on anything else as
        background. None goes by the colour of each window.
    """

    image: NDArray[np.uint8]
    keep_clear: NDArray[np.bool_] | None = None
    skin: NDArray[np.bool_] | None = None

    @classmethod
    def read(cls, row: Row) -> "Background":
        """Read a photo without lesions."""
        image = read_image(row.file)
        return cls.shrunk(image, None if row.mask is None else read_mask(row.mask, image.shape[:2]))

    @classmethod
    def all_skin(cls, image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> "Background":
        """A picture of skin, the lesion's mask in it to be kept clear of."""
        photo = cls.shrunk(image, mask)
        return replace(photo, skin=np.broadcast_to(True, photo.image.shape[:2]))

    @classmethod
    def shrunk(cls, image: NDArray[np.uint8], mask: NDArray[np.uint8] | None) -> "Background":
        """Keep a photo at no more than ``_LONGEST`` pixels along its longer side."""
        scale = _LONGEST / max(image.shape[:2])
        if scale < 1:
            size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
            if mask is not None:
                mask = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), np.uint8)
        return cls(image, None if mask is None or not mask.any() else mask > 0)

    def is_clear(self, row: float, col: float, half: float) -> bool:
        """Whether a window centred here, of this half side and any angle, may be used."""
        reach = half * np.sqrt(2)
        return self.keep_clear is None or not _box(self.keep_clear, row, col, reach).any()

    def skin_share(self, row: float, col: float, reach: float) -> float | None:
        """Share of skin within ``reach`` pixels of a place, or None where that is not known."""
        return None if self.skin is None else float(_box(self.skin, row, col, reach).mean())


def read_mask(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Read a mask of 0 and 255, of the shape of its image."""
    mask = read_image(path)[:, :, 0]
    if mask.shape != shape:
        raise ArgumentError(
            f"{path}: the mask is {mask.shape[0]} x {mask.shape[1]} pixels and its image "
            f"{shape[0]} x {shape[1]}; they must be of one size"
        )
    if 0 < mask.max() <= 127:
        raise ArgumentError(
            f"{path}: the mask's largest value is {mask.max()}; 255 marks what is meant, 0 the rest"
        )
    return mask


def _box(mask: NDArray[np.bool_], row: float, col: float, reach: float) -> NDArray[np.bool_]:
    top, left = max(0, int(row - reach)), max(0, int(col - reach))
    return mask[top : int(row + reach) + 1, left : int(col + reach) + 1]


@dataclass(frozen=True, eq=False)
class Lesion:
    """A lesion in its surroundings, resampled to a diameter of ``STORED_DIAMETER`` pixels.

    Attributes
    ----------
    image : ndarray of shape (h, w, 3), uint8
    mask : ndarray of shape (h, w), bool
    label : int
        Column of the class.
    surroundings : Background
        The whole picture, the lesion to be kept clear of.
    diameter : float
        Of the disc with the mask's area, in pixels of ``image``.
    diagnosis : str
        As its table has it.
    others : ndarray of shape (h, w), bool, or None
        All lesions of the picture, if there are others.
    is_outlined : bool
        Whether the mask was given, not guessed.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    label: int
    surroundings: Background
    diameter: float = STORED_DIAMETER
    diagnosis: str = ""
    others: NDArray[np.bool_] | None = None
    is_outlined: bool = True

    @classmethod
    def read(
        cls, row: Row, label: int, *, context: float, others: Sequence[Path] = ()
    ) -> "Lesion | None":
        """Read a lesion; without a mask, it is taken to be the middle of a close-up.

        Masks of `others` in the same picture are kept clear of, too. Returns None for a lesion too
        small to learn from.
        """
        image = read_image(row.file)
        h, w = image.shape[:2]
        if row.mask is None:
            mask = np.zeros((h, w), np.uint8)
            radius = round(min(h, w) / context / 2)
            cv2.circle(mask, (w // 2, h // 2), radius, 255, -1)
        else:
            mask = read_mask(row.mask, (h, w))
        elsewhere = [read_mask(other, (h, w)) for other in others]
        lesion = cls.cut(image, mask, label, others=elsewhere)
        if lesion is None:
            return None
        return replace(lesion, diagnosis=row.label, is_outlined=row.mask is not None)

    @classmethod
    def cut(
        cls,
        image: NDArray[np.uint8],
        mask: NDArray[np.uint8],
        label: int,
        *,
        others: Sequence[NDArray[np.uint8]] = (),
    ) -> "Lesion | None":
        """Take the lesion under a mask of 0 and 255, or None if it is too small to learn from."""
        h, w = mask.shape
        diameter = 2 * np.sqrt(np.count_nonzero(mask > 127) / np.pi)
        if diameter < _SMALLEST_DIAMETER:
            return None
        scale = STORED_DIAMETER / diameter
        size = (max(1, round(w * scale)), max(1, round(h * scale)))
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        every = np.maximum.reduce([mask, *others])
        return cls(
            image=np.asarray(cv2.resize(image, size, interpolation=way), np.uint8),
            mask=np.asarray(cv2.resize(mask, size, interpolation=way)) > 127,
            label=label,
            surroundings=Background.all_skin(image, every),
            others=np.asarray(cv2.resize(every, size, interpolation=way)) > 127 if others else None,
        )

    @cached_property
    def inner(self) -> NDArray[np.intp]:
        """Pixels (n, 2) on which a window may be centred to count as showing the lesion."""
        depth = cv2.distanceTransform(self.mask.astype(np.uint8), cv2.DIST_L2, 3)
        return np.argwhere(depth >= min(0.08 * self.diameter, 0.5 * float(depth.max())))

    @cached_property
    def middle(self) -> NDArray[np.intp]:
        """Pixels (n, 2) of the lesion about its centroid."""
        places = np.argwhere(self.mask)
        away = np.linalg.norm(places - places.mean(axis=0), axis=1)
        return np.asarray(places[away <= max(0.15 * self.diameter, float(away.min()))])

    @cached_property
    def outer_distance(self) -> NDArray[np.float32]:
        """Distance (h, w) of every pixel from the lesion."""
        outside = (~self.mask).astype(np.uint8)
        return np.asarray(cv2.distanceTransform(outside, cv2.DIST_L2, 3), np.float32)

    @cached_property
    def near(self) -> NDArray[np.intp]:
        """Pixels (n, 2) just off the lesion: windows centred there count as background."""
        d = self.outer_distance / self.diameter
        beside = (d >= 0.15) & (d <= 0.75)
        if self.others is not None:
            beside &= ~self.others
        return np.argwhere(beside)

    @cached_property
    def skin_colour(self) -> NDArray[np.float32]:
        """Median colour (3,) of the skin round the lesion, at least 1."""
        d = self.outer_distance / self.diameter
        ring = self.image[(d >= 0.1) & (d <= 0.5)]
        if len(ring) == 0:
            ring = self.image.reshape(-1, 3)
        return np.asarray(np.maximum(np.median(ring, axis=0), 1), np.float32)

    @cached_property
    def is_whole(self) -> bool:
        """Whether the picture's border leaves the outline uncut, so that it can be cut out."""
        edge = np.concatenate([self.mask[0], self.mask[-1], self.mask[:, 0], self.mask[:, -1]])
        return bool(np.count_nonzero(edge) < 0.1 * self.diameter)

    @cached_property
    def margins(self) -> NDArray[np.float64]:
        """Pixels (4,) between the lesion and the picture's top, left, bottom and right border."""
        places = np.argwhere(self.mask)
        return np.concatenate([places.min(axis=0), self.mask.shape - places.max(axis=0) - 1.0])

    def has_room(self, centre: NDArray[np.intp], reach: float) -> bool:
        """Whether a window of any angle shows no mirror image of the lesion.

        Parameters
        ----------
        centre : ndarray of shape (2,)
            Row and column of the window's centre.
        reach : float
            Half of the window's diagonal, in pixels of ``image``.
        """
        room = np.concatenate([centre, np.array(self.mask.shape) - centre])
        return bool(np.all(reach - room <= np.maximum(self.margins, 0)))
