"""Windows to learn from, cut and distorted at random.

What a window is labelled by is what the sweep asks of it: *is the middle of this window on a
lesion of about the size sought?* So lesions are centred anywhere inside their outline, at 0.65 to
1.6 times the nominal size; windows centred just beside a lesion are background, and so are windows
in which it is far too small, which a finer level sees better; and so is a lesion laid on anything
but skin.

Windows that run over the picture's border give the class away, since melanomas fill the frame more
often. So a lesion is shown in one of three ways, in the same proportion and at the same sizes for
every class: in its own picture where there is room; in its own picture cropped to margins that are
drawn before the lesion is, which must have them, and mirrored beyond; or cut out and laid on other
skin. And dermoscopy is not photography: all windows pass through :mod:`slidewin.training.distort`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from slidewin.scene.laid import luma_and_skin
from slidewin.training.cut import Centre, cut, lay
from slidewin.training.distort import DISTORTIONS, distort
from slidewin.training.source import STORED_DIAMETER, Background, Lesion

__all__ = ["KINDS", "MinedPlace", "WindowSource"]

Patch = NDArray[np.uint8]
Where = Literal["middle", "inner", "near"]

KINDS = {
    "lesion": 0.40,
    "beside a lesion": 0.09,
    "lesion too small": 0.05,
    "skin": 0.10,
    "background": 0.24,
    "lesion on no skin": 0.12,
}
"""Kinds of window and their shares; all but the first are background."""
CONTEXT_NEGATIVES = "lesion on no skin"
MINED = "mined"
_MINED_SHARE = 0.30  # of all windows, once there are mined ones
_MINED_BY_LESIONS = 1 / 3  # share of those from lesions' own pictures
_DRAWN = 0.5  # share of drawn ones among the backgrounds
_LESION_SCALES = (0.65, 1.6)
_TOO_SMALL = (0.15, 0.42)
_CENTRED = 0.5  # share of lesions shown about their middle, as the sweep's best window shows them
_IN_PLACE, _CROPPED = 0.3, 0.3  # shares of lesions shown in their own picture; others are laid
# Between the lesion and a side of a cropped picture, in diameters; a margin below 0 cuts it.
_LEAST_MARGIN, _NEAR_MARGIN, _FAR_MARGIN = -0.1, 0.4, 0.8
_FITTING = 3  # lesions that fit a crop, of which the tightest is shown: roomy ones fit them all
_OTHER_PICTURES_SKIN = 0.4  # share of lesions laid on the skin of another lesion's picture
# Windows of background photos show between 24 px and half of the photo's short side.
_SMALLEST_BACKGROUND_WINDOW = 24
_BLANK = 2.0  # a window of less standard deviation (padding, overexposure) teaches little
_SKIN_SHARE, _NO_SKIN_SHARE, _SMOOTH = 0.97, 0.05, 30.0
_TRIES = 30


@dataclass(frozen=True, eq=False)
class MinedPlace:
    """A window without a lesion that a classifier took for one, in pixels of its photo."""

    photo: Background
    centre: tuple[float, float]
    side: float


@dataclass(frozen=True, eq=False)
class WindowSource:
    """Draws labelled windows from lesions and backgrounds.

    Parameters
    ----------
    lesions : sequence of Lesion
    backgrounds : sequence of Background
    drawn : sequence of Background
        Drawn backgrounds, of which one may want many beside a few photos.
    mined : sequence of MinedPlace
        Hard negatives, if any have been mined. If some are in lesions' own pictures, a third of
        those shown are drawn from these, lesion by lesion, lest pictures of a common kind swamp
        those of a rare one.
    n_classes, input_size, context
        As the classifier to be trained has them.
    distortions : collection of str
        Which of :data:`slidewin.training.distort.DISTORTIONS` may happen to a window.
    context_negatives : bool
        Whether lesions are laid on what is no skin, as background.
    beyond : (int, int, int), optional
        Colour of what lies beyond a picture's border, to measure how much of it shows; by default
        its mirror image does.
    """

    lesions: Sequence[Lesion]
    backgrounds: Sequence[Background]
    drawn: Sequence[Background]
    n_classes: int
    input_size: int
    context: float
    mined: Sequence[MinedPlace] = ()
    distortions: Collection[str] = DISTORTIONS
    context_negatives: bool = True
    beyond: tuple[int, int, int] | None = None

    @cached_property
    def _by_class(self) -> list["_Group"]:
        by_class: list[dict[str, list[Lesion]]] = [{} for _ in range(self.n_classes)]
        for lesion in self.lesions:
            by_class[lesion.label].setdefault(lesion.diagnosis, []).append(lesion)
        return [_Group.of(list(group.values())) for group in by_class if group]

    @cached_property
    def _mined_in(self) -> dict[Background, list[MinedPlace]]:
        """Places mined in lesions' own pictures, by picture."""
        places: dict[Background, list[MinedPlace]] = {x.surroundings: [] for x in self.lesions}
        for place in self.mined:
            if place.photo in places:
                places[place.photo].append(place)
        return {picture: found for picture, found in places.items() if found}

    @cached_property
    def _mined_elsewhere(self) -> list[MinedPlace]:
        return [place for place in self.mined if place.photo not in self._mined_in]

    def shares(self) -> dict[str, float]:
        """Share of each kind of window, in all 1."""
        shares = dict(KINDS)
        if not self.context_negatives:
            shares["background"] += shares.pop(CONTEXT_NEGATIVES)
        if self.mined:
            shares = {kind: share * (1 - _MINED_SHARE) for kind, share in shares.items()}
            shares[MINED] = _MINED_SHARE
        return shares

    def draw(self, n: int, rng: np.random.Generator) -> tuple[Patch, NDArray[np.int64]]:
        """Draw ``n`` windows.

        Returns
        -------
        patches : ndarray of shape (n, S, S, 3), uint8
        labels : ndarray of shape (n,), int64
            Columns of the classes.
        """
        ways = {
            "lesion": self._lesion,
            "beside a lesion": self._beside_a_lesion,
            "lesion too small": self._lesion_too_small,
            "skin": self._skin,
            "background": self._background,
            CONTEXT_NEGATIVES: self._lesion_on_no_skin,
            MINED: self._mined,
        }
        shares = self.shares()
        kinds = rng.choice(list(shares), size=n, p=list(shares.values()))
        patches = np.empty((n, self.input_size, self.input_size, 3), np.uint8)
        labels = np.empty(n, np.int64)
        for i, kind in enumerate(kinds):
            patch, labels[i] = ways[kind](rng)
            patches[i] = distort(patch, rng, kinds=self.distortions)
        return patches, labels

    def _any_class(self, rng: np.random.Generator) -> "_Group":
        """Classes by turns: the rare one is seen as often as the common one."""
        return self._by_class[int(rng.integers(len(self._by_class)))]

    def _any_scale(
        self, rng: np.random.Generator, sizes: tuple[float, float] = _LESION_SCALES
    ) -> float:
        return self._scale(np.exp(rng.uniform(*np.log(sizes))))

    def _scale(self, relative: float) -> float:
        """Stored pixels for one of the window, in which a lesion has this size, 1 the nominal."""
        return float(STORED_DIAMETER / (relative * self.input_size / self.context))

    def _lesion(self, rng: np.random.Generator) -> tuple[Patch, int]:
        group = self._any_class(rng)
        where: Where = "middle" if rng.random() < _CENTRED else "inner"
        return self._around(group, where, self._any_scale(rng), rng), group.label

    def _beside_a_lesion(self, rng: np.random.Generator) -> tuple[Patch, int]:
        return self._around(self._any_class(rng), "near", self._any_scale(rng), rng), 0

    def _lesion_too_small(self, rng: np.random.Generator) -> tuple[Patch, int]:
        scale = self._any_scale(rng, _TOO_SMALL)
        return self._around(self._any_class(rng), "inner", scale, rng), 0

    def _mined(self, rng: np.random.Generator) -> tuple[Patch, int]:
        place = self._any_mined(rng)
        # Windows are known by their edges, pictures by the centres of their pixels.
        row, col = np.add(place.centre, rng.normal(0, 0.04 * place.side, 2)) - 0.5
        scale = place.side / self.input_size * np.exp(rng.normal(0, 0.1))
        return self._cut(place.photo.image, (row, col), scale, rng), 0

    def _any_mined(self, rng: np.random.Generator) -> MinedPlace:
        places: Sequence[MinedPlace] = self._mined_elsewhere
        if self._mined_in and (not places or rng.random() < _MINED_BY_LESIONS):
            for _ in range(_TRIES):
                picture = self._any_class(rng).any_lesion(rng).surroundings
                if found := self._mined_in.get(picture):
                    places = found
                    break
        places = places or self.mined
        return places[int(rng.integers(len(places)))]

    def _around(
        self,
        group: "_Group",
        where: Where,
        scale: float,
        rng: np.random.Generator,
    ) -> Patch:
        """A window centred inside or beside some lesion of a class, in its place or laid."""
        # Way and scale come first and the lesion must suit them, so they tell nothing of it.
        way = rng.random()
        in_place = way < _IN_PLACE
        # Of a far larger window a crop would leave nothing but mirror images.
        near_enough = scale <= self._scale(_LESION_SCALES[0])
        if near_enough and _IN_PLACE <= way < _IN_PLACE + _CROPPED:
            patch = self._cropped(group, where, scale, rng)
            if patch is not None:
                return patch
        last = None
        for _ in range(_TRIES):
            lesion = group.any_lesion(rng)
            centres = getattr(lesion, where)
            if len(centres) == 0:
                continue
            centre = centres[rng.integers(len(centres))]
            if in_place and lesion.has_room(centre, scale * self.input_size / np.sqrt(2)):
                return self._cut(lesion.image, centre, scale, rng)
            if not in_place and lesion.is_whole:
                return lay(lesion, centre, scale, self._ground_of_skin(rng), rng)
            last = lesion, centre
        if last is None:  # lesions that fill their pictures have nothing beside them
            return self._skin(rng)[0]
        return lay(*last, scale, self._ground_of_skin(rng), rng)

    def _cropped(
        self, group: "_Group", where: Where, scale: float, rng: np.random.Generator
    ) -> Patch | None:
        """A window of a lesion's own picture, cropped near the lesion and mirrored beyond."""
        n_near = rng.integers(5)
        near = rng.uniform(_LEAST_MARGIN, rng.uniform(_LEAST_MARGIN, _NEAR_MARGIN), n_near)
        far = rng.uniform(_NEAR_MARGIN, _FAR_MARGIN, 4 - n_near)
        margins = STORED_DIAMETER * rng.permutation(np.concatenate([near, far]))
        fitting: list[tuple[Lesion, NDArray[np.float64]]] = []
        for _ in range(_TRIES):
            lesion = group.any_lesion(rng)
            room = lesion.margins - margins
            if room.min() >= 0 and len(getattr(lesion, where)):
                fitting.append((lesion, room))
                if len(fitting) == _FITTING:
                    break
        for lesion, room in sorted(fitting, key=lambda fit: float(fit[1].sum())):
            centres = getattr(lesion, where)
            row, col = centres[rng.integers(len(centres))]
            top, left = room[:2].astype(int)
            bottom, right = np.subtract(lesion.mask.shape, room[2:].astype(int))
            if top <= row < bottom and left <= col < right:
                crop = lesion.image[top:bottom, left:right]
                return self._cut(crop, (row - top, col - left), scale, rng)
        return None

    def _skin(self, rng: np.random.Generator) -> tuple[Patch, int]:
        """Skin from the same picture as a lesion, so that the picture does not tell."""
        for _ in range(_TRIES):
            group = self._any_class(rng)
            photo = group.any_lesion(rng).surroundings
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
                centre = row - 0.5, col - 0.5  # of a pixel's centre
                patch = self._cut(photo.image, centre, 2 * half / self.input_size, rng)
                if cv2.meanStdDev(patch)[1].max() >= _BLANK:
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
        for _ in range(_TRIES):
            # As on skin: one that its picture's border cuts would tell itself by the cut.
            if (lesion := group.any_lesion(rng)).is_whole:
                break
        centre = lesion.inner[rng.integers(len(lesion.inner))]
        return lay(lesion, centre, self._any_scale(rng), ground, rng), 0

    def _cut(self, image: Patch, centre: Centre, scale: float, rng: np.random.Generator) -> Patch:
        return cut(image, centre, scale, self.input_size, rng, beyond=self.beyond)

    def _ground_of_skin(self, rng: np.random.Generator) -> Patch:
        other_picture = rng.random() < _OTHER_PICTURES_SKIN
        ground = None if other_picture else self._ground(rng, skin=True)
        return self._skin(rng)[0] if ground is None else ground


@dataclass(frozen=True, eq=False)
class _Group:
    """The lesions of a class, by diagnosis."""

    diagnoses: list[list[Lesion]]
    shares: NDArray[np.float64]

    @classmethod
    def of(cls, diagnoses: list[list[Lesion]]) -> "_Group":
        """Show a rare diagnosis more often than it comes, a common one less."""
        weights = np.sqrt([len(lesions) for lesions in diagnoses])
        return cls(diagnoses, weights / weights.sum())

    @property
    def label(self) -> int:
        return self.diagnoses[0][0].label

    def any_lesion(self, rng: np.random.Generator) -> Lesion:
        lesions = self.diagnoses[int(rng.choice(len(self.diagnoses), p=self.shares))]
        return lesions[int(rng.integers(len(lesions)))]


@dataclass(frozen=True, eq=False)
class _Place:
    """A window of a background, and how much of its middle is known to be skin."""

    patch: Patch
    skin_share: float | None

    def is_skin(self) -> bool:
        if self.skin_share is not None:
            return self.skin_share == 1
        smooth = float(cv2.meanStdDev(self.patch)[1].max()) < _SMOOTH
        return smooth and _share_of_skin_colour(self.patch) >= _SKIN_SHARE

    def is_no_skin(self) -> bool:
        if self.skin_share is not None:
            return self.skin_share == 0
        return _share_of_skin_colour(self.patch) <= _NO_SKIN_SHARE


def _share_of_skin_colour(patch: Patch) -> float:
    """Share of pixels of the colour of skin."""
    return float(np.mean(luma_and_skin(patch)[1]))
