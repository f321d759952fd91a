"""Whole photos with known truth: what a classifier is calibrated on and its threshold chosen by.

Close-ups cannot say what a probability is worth in a photo, where nearly every window shows no
lesion. These photos are swept and never trained on: photos without lesions, the same with lesions
of the validation split laid in, drawn scenes, and photos of lesions if there are any.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import cv2
import joblib
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from slidewin.classifier import Classifier
from slidewin.grid import Level
from slidewin.mask import default_threshold, speck_area
from slidewin.scene import draw_scene, find_skin, lay_real_lesion
from slidewin.sweep import SlidingWindow
from slidewin.training.source import Background, Lesion

__all__ = ["ROUGH", "Swept", "ValidationPhoto", "draw_photos", "lay_photos", "sweep_photos"]

_SCENE_SHAPE = (600, 800)
_SCENE_LESIONS = (30.0, 80.0)
_LAID_LESIONS = (0.055, 0.14)  # of the photo's short side
_SMALLEST_LAID = 8.0  # px: of a smaller one nothing is left
# Windows that show a lesion from 0.65 to 1.6 times the size that their level looks for are asked
# whether they do; of another size, or just beside one, neither answer is wrong.
_SIZES = (0.65, 1.6)
_BESIDE = 0.25  # diameters


@dataclass(frozen=True, eq=False)
class ValidationPhoto:
    """A photo and the truth about it.

    Attributes
    ----------
    image : ndarray of shape (H, W, 3), uint8
    truth : ndarray of shape (H, W), uint8
        Column of the class at each pixel, 0 for none.
    kind : str
        What sort of photo it is.
    group : str
        The same for photos that share a ground, a scene or a patient.
    ignore : ndarray of shape (H, W), bool, or None
        Places of which nothing is known: what is found there is neither right nor wrong.
    """

    image: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    kind: str
    group: str
    ignore: NDArray[np.bool_] | None = None

    @property
    def has_lesion(self) -> bool:
        """Whether there is any."""
        return bool(self.truth.any())


def lay_photos(
    grounds: Sequence[Background], lesions: Sequence[Lesion], *, seed: tuple[int, ...]
) -> list[ValidationPhoto]:
    """Every ground as it is, and, where there is skin, again with a lesion laid in."""
    whole = [lesion for lesion in lesions if lesion.is_whole]
    photos = []
    for i, ground in enumerate(grounds):
        rng = np.random.default_rng((*seed, i))
        nothing = np.zeros(ground.image.shape[:2], np.uint8)
        bare = ValidationPhoto(
            ground.image, nothing, kind="photo", group=f"ground {i}", ignore=ground.keep_clear
        )
        photos.append(bare)
        diameter = np.exp(rng.uniform(*np.log(_LAID_LESIONS))) * min(ground.image.shape[:2])
        if diameter < _SMALLEST_LAID:
            continue
        places = find_skin(ground.image, reach=0.75 * diameter, keep_clear=ground.keep_clear)
        if not whole or not places.any():
            continue
        row, col = np.argwhere(places)[rng.integers(np.count_nonzero(places))]
        lesion = whole[int(rng.integers(len(whole)))]
        image, mask = lay_real_lesion(
            ground.image,
            lesion.image,
            lesion.mask,
            centre=(row + 0.5, col + 0.5),
            diameter=float(diameter),
            random_state=rng,
        )
        truth = np.where(mask, np.uint8(lesion.label), np.uint8(0))
        photos.append(replace(bare, image=image, truth=truth))
    return photos


def draw_photos(
    n: int, *, column: int | None, seed: tuple[int, ...], pool: joblib.Parallel
) -> list[ValidationPhoto]:
    """Draw ``n`` scenes without a lesion, and with a melanoma if a column is given for it."""

    def draw(i: int, lesion: bool) -> ValidationPhoto:
        rng = np.random.default_rng((*seed, i))
        size = float(np.exp(rng.uniform(*np.log(_SCENE_LESIONS))))
        scene = draw_scene(_SCENE_SHAPE, lesion_size=size, random_state=rng, lesion=lesion)
        truth = np.where(scene.mask, np.uint8(column or 0), np.uint8(0))
        return ValidationPhoto(scene.photo, truth, kind="drawn scene", group=f"scene {i}")

    ways = (True, False) if column else (False,)
    drawn: list[ValidationPhoto] = pool(
        joblib.delayed(draw)(i, lesion) for i in range(n) for lesion in ways
    )
    return drawn


ROUGH: dict[str, Any] = {"precision": "auto", "tolerance": 0.1}
"""Settings of a sweep that finds what is hard, and how rounds go, and measures nothing."""


@dataclass(frozen=True, eq=False)
class Swept:
    """A validation photo, and the probabilities (m, n, k) of all classes in its windows."""

    photo: ValidationPhoto
    sweep: SlidingWindow
    probabilities: tuple[NDArray[np.float32], ...]

    @cached_property
    def windows(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Probabilities (n, k) of the windows whose truth is known, and their labels (n,)."""
        truth = self.photo.truth
        _, pieces, stats, _ = cv2.connectedComponentsWithStats((truth > 0).astype(np.uint8))
        diameters = 2 * np.sqrt(stats[:, cv2.CC_STAT_AREA] / np.pi)
        diameters[0] = 0
        away = cv2.distanceTransform((truth == 0).astype(np.uint8), cv2.DIST_L2, 3)
        reach = _BESIDE * float(diameters.max())
        unknown = (
            np.zeros(truth.shape, np.bool_) if self.photo.ignore is None else self.photo.ignore
        )
        known, labels = [], []
        grid = self.sweep.plan_of(truth.shape, self.probabilities)
        for level, values in zip(grid.levels, self.probabilities, strict=True):
            at = _centres(level, truth.shape)
            relative = diameters[pieces[at]] / level.lesion_size
            fits = (relative >= _SIZES[0]) & (relative <= _SIZES[1])
            keep = np.where(truth[at] > 0, fits, away[at] >= reach if reach else True)
            keep &= ~unknown[at]
            known.append(values[keep])
            labels.append(truth[at][keep].astype(np.int64))
        return np.concatenate(known), np.concatenate(labels)

    def judge(
        self, target: str, thresholds: Sequence[float]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        """False regions (t,) and lesions found (t,) at each threshold, and lesions there are.

        Each is taken as a classifier's own, so that regions extend as far as the map has half of
        it. Counted as :func:`slidewin.metrics.false_regions` counts what :func:`slidewin.locate`
        finds by default, but without the regions' outlines, which take most of the time.
        """
        heatmap = self.sweep.heatmap(self.photo.image.shape, self.probabilities, target=target)
        pixels = heatmap.to_pixels()
        least = speck_area(heatmap.settings["lesion_size"][0])
        wanted = np.isin(self.photo.truth, self.sweep.classifier.target_columns(target))
        elsewhere = (self.photo.truth > 0) & ~wanted
        if self.photo.ignore is not None:
            elsewhere |= self.photo.ignore
        n, lesions = cv2.connectedComponents(wanted.astype(np.uint8), connectivity=8)
        false, found = np.zeros(len(thresholds), np.int64), np.zeros(len(thresholds), np.int64)
        for i, threshold in enumerate(thresholds):
            mask = default_threshold(threshold).mask(pixels, least_area=least)
            count, pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
            ignored = np.bincount(pieces[elsewhere], minlength=count)
            is_false = 2 * ignored <= np.bincount(pieces.ravel(), minlength=count)
            is_false[pieces[wanted]] = False
            false[i] = np.count_nonzero(is_false[1:])
            found[i] = len(np.unique(lesions[mask & wanted]))
        return false, found, n - 1


def sweep_photos(
    classifier: Classifier,
    photos: Sequence[ValidationPhoto],
    *,
    rough: bool = False,
    verbose: bool = False,
) -> list[Swept]:
    """Sweep every photo for lesions of all sizes and at the stride that are the default.

    What is rough is computed in half precision where that is quicker.
    """
    precision = ROUGH if rough else {}
    # One worker, whatever joblib is told: networks have threads of their own.
    sweep = SlidingWindow(classifier, batch_size=256, n_jobs=1, verbose=0, **precision)
    return [
        Swept(photo, sweep, sweep.probabilities(photo.image))
        for photo in tqdm(photos, "validation photos", disable=not verbose)
    ]


def _centres(level: Level, shape: tuple[int, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row and column (m, n) of the pixel under the centre of every window."""
    rows = np.clip(level.row_centres.astype(np.intp), 0, shape[0] - 1)
    cols = np.clip(level.col_centres.astype(np.intp), 0, shape[1] - 1)
    at_rows, at_cols = np.meshgrid(rows, cols, indexing="ij")
    return at_rows, at_cols
