"""Windows to learn from, cut and distorted at random.

What a window is labelled by is what the sweep asks of it: *is the middle of this window on a
lesion of about the size sought?* So lesions are centred anywhere inside their outline, at 0.65 to
1.6 times the nominal size; windows centred just beside a lesion are background; and so is a
lesion laid on anything but skin.

Two shortcuts are closed. Windows that run over the picture's border give the class away, since
melanomas fill the frame more often: a lesion is shown in its own picture only where there is room,
and otherwise cut out and laid on other skin, in the same proportion and at the same sizes for
every class. And dermoscopy is not photography: all windows pass through a random camera (light,
colour, blur, noise, JPEG).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from slidewin.training.source import STORED_DIAMETER, Background, Lesion

__all__ = ["KINDS", "WindowSource"]

Patch = NDArray[np.uint8]

# Kinds of window and their shares; all but the first are background.
KINDS = ("on a lesion", "beside a lesion", "skin", "background", "lesion on no skin")
_SHARES = (0.38, 0.10, 0.14, 0.26, 0.12)
_DRAWN = 0.5  # share of drawn ones among the backgrounds
_LESION_SCALES = (0.65, 1.6)
_IN_PLACE = 0.35  # share of lesions shown in their own picture
_OTHER_PICTURES_SKIN = 0.4  # share of lesions laid on the skin of another lesion's picture
# Windows of background photos show between 24 px and half of the photo's short side.
_SMALLEST_BACKGROUND_WINDOW = 24
_BLANK = 2.0  # a window of less standard deviation (padding, overexposure) teaches little
_SKIN_SHARE, _NO_SKIN_SHARE, _SMOOTH = 0.97, 0.05, 30.0
_TRIES = 30


@dataclass(frozen=True, eq=False)
class WindowSource:
    """Draws labelled windows from lesions and backgrounds.

    Parameters
    ----------
    lesions : sequence of Lesion
    backgrounds : sequence of Background
    drawn : sequence of Background
        Drawn backgrounds, of which one may want many beside a few photos.
    n_classes, input_size, context
        As the classifier to be trained has them.
    """

    lesions: Sequence[Lesion]
    backgrounds: Sequence[Background]
    drawn: Sequence[Background]
    n_classes: int
    input_size: int
    context: float
    _by_class: list[list[Lesion]] = field(init=False)

    def __post_init__(self) -> None:
        """Index the lesions by class."""
        by_class: list[list[Lesion]] = [[] for _ in range(self.n_classes)]
        for lesion in self.lesions:
            by_class[lesion.label].append(lesion)
        object.__setattr__(self, "_by_class", [group for group in by_class if group])

    def draw(
        self, n: int, rng: np.random.Generator
    ) -> tuple[Patch, NDArray[np.int64], NDArray[np.int64]]:
        """Draw ``n`` windows.

        Returns
        -------
        patches : ndarray of shape (n, S, S, 3), uint8
        labels : ndarray of shape (n,), int64
            Columns of the classes.
        kinds : ndarray of shape (n,), int64
            Indices into ``KINDS``.
        """
        patches = np.empty((n, self.input_size, self.input_size, 3), np.uint8)
        labels = np.empty(n, np.int64)
        kinds = rng.choice(len(KINDS), size=n, p=_SHARES)
        ways = (
            self._on_a_lesion,
            self._beside_a_lesion,
            self._skin,
            self._background,
            self._lesion_on_no_skin,
        )
        for i in range(n):
            patch, labels[i] = ways[kinds[i]](rng)
            patches[i] = _camera(_distract(patch, rng), rng)
        return patches, labels, kinds

    def _any_class(self, rng: np.random.Generator) -> list[Lesion]:
        """Classes by turns: the rare one is seen as often as the common one."""
        return self._by_class[int(rng.integers(len(self._by_class)))]

    def _any_scale(self, rng: np.random.Generator) -> float:
        """Stored pixels of a lesion for one pixel of its window."""
        relative = np.exp(rng.uniform(*np.log(_LESION_SCALES)))
        return float(STORED_DIAMETER / (relative * self.input_size / self.context))

    def _on_a_lesion(self, rng: np.random.Generator) -> tuple[Patch, int]:
        group = self._any_class(rng)
        return self._around(group, "inner", rng), group[0].label

    def _beside_a_lesion(self, rng: np.random.Generator) -> tuple[Patch, int]:
        return self._around(self._any_class(rng), "near", rng), 0

    def _around(
        self, group: list[Lesion], where: Literal["inner", "near"], rng: np.random.Generator
    ) -> Patch:
        """A window centred inside or beside some lesion of a class, in its place or laid."""
        # Way and scale come first and the lesion must suit them, so they tell nothing of it.
        scale = self._any_scale(rng)
        in_place = rng.random() < _IN_PLACE
        last = None
        for _ in range(_TRIES):
            lesion = group[int(rng.integers(len(group)))]
            centres = lesion.inner if where == "inner" else lesion.near
            if len(centres) == 0:
                continue
            centre = centres[rng.integers(len(centres))]
            if in_place and lesion.has_room(centre, scale * self.input_size / np.sqrt(2)):
                return self._cut(lesion.image, centre, scale, rng)
            if not in_place and lesion.is_whole:
                return self._lay(lesion, centre, scale, self._ground_of_skin(rng), rng)
            last = lesion, centre
        if last is None:  # lesions that fill their pictures have nothing beside them
            return self._skin(rng)[0]
        return self._lay(*last, scale, self._ground_of_skin(rng), rng)

    def _skin(self, rng: np.random.Generator) -> tuple[Patch, int]:
        """Skin from the same picture as a lesion, so that the picture does not tell."""
        for _ in range(_TRIES):
            group = self._any_class(rng)
            photo = group[int(rng.integers(len(group)))].surroundings
            if (place := self._any_place(photo, rng)) is not None:
                return place.patch, 0
        return self._background(rng)

    def _background(self, rng: np.random.Generator) -> tuple[Patch, int]:
        for _ in range(_TRIES):
            if (place := self._any_place(self._any_background(rng), rng)) is not None:
                return place.patch, 0
        # Nothing but blank photos, or photos to be kept clear of all over.
        return np.full((self.input_size, self.input_size, 3), rng.integers(256), np.uint8), 0

    def _any_background(self, rng: np.random.Generator) -> Background:
        group = self.drawn if len(self.drawn) and rng.random() < _DRAWN else self.backgrounds
        return group[int(rng.integers(len(group)))]

    def _any_place(self, photo: Background, rng: np.random.Generator) -> "_Place | None":
        """A window of a photo, or None where luck found none that may be used."""
        h, w = photo.image.shape[:2]
        largest = max(min(h, w) / 2, _SMALLEST_BACKGROUND_WINDOW)
        for _ in range(_TRIES):
            side = np.exp(rng.uniform(np.log(_SMALLEST_BACKGROUND_WINDOW), np.log(largest)))
            half = min(side / 2, (min(h, w) - 1) / 2)
            row, col = rng.uniform(half, h - half), rng.uniform(half, w - half)
            if photo.is_clear(row, col, half):
                patch = self._cut(photo.image, (row, col), 2 * half / self.input_size, rng)
                if patch.std() >= _BLANK:
                    # Where a lesion would be laid, and somewhat about it.
                    return _Place(patch, photo.skin_share(row, col, 1.2 * half / self.context))
        return None

    def _ground(self, rng: np.random.Generator, *, skin: bool) -> Patch | None:
        """A window whose middle is skin, or anything but skin."""
        for _ in range(_TRIES):
            place = self._any_place(self._any_background(rng), rng)
            if place is not None and (place.is_skin() if skin else place.is_no_skin()):
                return place.patch
        return None

    def _lesion_on_no_skin(self, rng: np.random.Generator) -> tuple[Patch, int]:
        ground = self._ground(rng, skin=False)
        if ground is None:
            return self._background(rng)
        group = self._any_class(rng)
        lesion = group[int(rng.integers(len(group)))]
        centre = lesion.inner[rng.integers(len(lesion.inner))]
        return self._lay(lesion, centre, self._any_scale(rng), ground, rng), 0

    def _ground_of_skin(self, rng: np.random.Generator) -> Patch:
        other_picture = rng.random() < _OTHER_PICTURES_SKIN
        ground = None if other_picture else self._ground(rng, skin=True)
        return self._skin(rng)[0] if ground is None else ground

    def _lay(
        self,
        lesion: Lesion,
        centre: NDArray[np.intp],
        scale: float,
        ground: Patch,
        rng: np.random.Generator,
    ) -> Patch:
        """Colour the ground as the lesion colours its own skin."""
        matrix = _affine((centre[0], centre[1]), scale, self.input_size, rng)
        size = (self.input_size, self.input_size)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        cover = cv2.GaussianBlur(lesion.mask.astype(np.float32), (0, 0), rng.uniform(0.5, 2.5))
        cover = cv2.warpAffine(cover, matrix, size, flags=flags)[:, :, None]
        image = cv2.warpAffine(lesion.image, matrix, size, flags=flags)
        ratio = np.minimum(image / lesion.skin_colour, 1.6)
        laid = ground * (1 + cover * rng.uniform(0.75, 1.0) * (ratio - 1))
        return np.asarray(np.clip(laid + 0.5, 0, 255), np.uint8)

    def _cut(
        self,
        image: Patch,
        centre: tuple[float, float] | NDArray[np.intp],
        scale: float,
        rng: np.random.Generator,
    ) -> Patch:
        """Cut a window of ``input_size * scale`` pixels at any angle, mirrored at the border."""
        matrix = _affine((centre[0], centre[1]), scale, self.input_size, rng)
        if scale > 1.5:  # warping samples points: average first, lest it alias
            half = scale * self.input_size * 0.75
            r0, c0 = (max(0, int(x - half)) for x in centre)
            r1, c1 = (int(x + half) + 1 for x in centre)
            blurred = cv2.blur(image[r0:r1, c0:c1], (round(scale), round(scale)))
            image = np.asarray(blurred, np.uint8)
            matrix = matrix - np.array([[0, 0, c0], [0, 0, r0]])
        return np.asarray(
            cv2.warpAffine(
                image,
                matrix,
                (self.input_size, self.input_size),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REFLECT_101,
            ),
            np.uint8,
        )


@dataclass(frozen=True, eq=False)
class _Place:
    """A window of a background, and how much of its middle is known to be skin."""

    patch: Patch
    skin_share: float | None

    def is_skin(self) -> bool:
        if self.skin_share is not None:
            return self.skin_share == 1
        smooth = float(self.patch.std(axis=(0, 1)).max()) < _SMOOTH
        return smooth and _share_of_skin_colour(self.patch) >= _SKIN_SHARE

    def is_no_skin(self) -> bool:
        if self.skin_share is not None:
            return self.skin_share == 0
        return _share_of_skin_colour(self.patch) <= _NO_SKIN_SHARE


def _affine(
    centre: tuple[float, float], scale: float, size: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Matrix from window to picture: turned and mirrored at random about ``centre``."""
    angle = rng.uniform(0, 2 * np.pi)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn[:, 0] *= rng.choice((-1, 1))
    middle = np.array([centre[1], centre[0]])
    return np.column_stack([turn, middle - turn @ np.full(2, (size - 1) / 2)])


def _share_of_skin_colour(patch: Patch) -> float:
    """Share of pixels of the colour of skin.

    Chai and Ngan, IEEE Trans. Circuits Syst. Video Technol. 9:551 (1999).
    """
    _, red, blue = cv2.split(cv2.cvtColor(patch, cv2.COLOR_RGB2YCrCb))
    return float(np.mean((red >= 135) & (red <= 178) & (blue >= 77) & (blue <= 127)))


def _distract(patch: Patch, rng: np.random.Generator) -> Patch:
    """Draw hairs or a pen ring now and then; they change no label."""
    size = patch.shape[0]
    luck = rng.random()
    if luck > 0.16:
        return patch
    patch = patch.copy()
    if luck < 0.08:
        dark = int(rng.integers(10, 90))
        for _ in range(int(rng.integers(1, 8))):
            ends = rng.uniform(-0.2, 1.2, (3, 2)) * size
            t = np.linspace(0, 1, 12)[:, None]
            curve = (1 - t) ** 2 * ends[0] + 2 * t * (1 - t) * ends[1] + t**2 * ends[2]
            points = np.round(curve * 16).astype(np.int32)
            cv2.polylines(patch, [points], False, (dark, dark, dark), 1, cv2.LINE_AA, shift=4)
        return patch
    pen = ((20, 20, 20), (40, 40, 120), (90, 30, 110), (30, 50, 90))[rng.integers(4)]
    middle = tuple(int(x) for x in size / 2 + rng.normal(0, size / 8, 2))
    axes = tuple(int(x) for x in size * rng.uniform(0.28, 0.6) * rng.uniform(0.8, 1.2, 2))
    ink = patch.copy()
    start, sweep = rng.uniform(0, 360), rng.uniform(180, 360)
    thick = int(rng.integers(1, 4))
    cv2.ellipse(
        ink, middle, axes, rng.uniform(0, 180), start, start + sweep, pen, thick, cv2.LINE_AA
    )
    return np.asarray(cv2.addWeighted(ink, 0.8, patch, 0.2, 0), np.uint8)


def _camera(patch: Patch, rng: np.random.Generator) -> Patch:
    """Another light, another camera, another file."""
    size = patch.shape[0]
    seen: NDArray[Any] = patch
    if rng.random() < 0.2:  # seen from further off, then enlarged
        small = max(12, round(size / rng.uniform(1.2, 2.5)))
        seen = cv2.resize(seen, (small, small), interpolation=cv2.INTER_AREA)
        seen = cv2.resize(seen, (size, size), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.3:
        seen = cv2.GaussianBlur(seen, (0, 0), rng.uniform(0.3, 1.2))
    x = seen.astype(np.float32)
    grey = x.mean(axis=2, keepdims=True)
    x = grey + rng.uniform(0.65, 1.35) * (x - grey)
    x *= np.exp(rng.normal(0, 0.06, 3) + rng.normal(0, 0.15)).astype(np.float32)
    middle = x.mean()
    x = middle + rng.uniform(0.8, 1.25) * (x - middle)
    if rng.random() < 0.5:  # light falls off across the window
        slope = rng.uniform(-0.25, 0.25, 2)
        ramp = np.linspace(-1, 1, size, dtype=np.float32)
        x *= (1 + slope[0] * ramp[:, None] + slope[1] * ramp)[:, :, None]
    if rng.random() < 0.5:
        x += rng.normal(0, rng.uniform(1, 8), x.shape)
    seen = np.clip(x + 0.5, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 95))]
        _, file = cv2.imencode(".jpg", seen, quality)
        seen = np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR))
    return np.asarray(seen, np.uint8)
