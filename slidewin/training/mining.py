"""Hard negatives: what a classifier takes for a lesion in photos that hold none.

Bootstrapping, as pedestrian and face detectors were made to work: sweep, harvest the windows that
score highest, train on, repeat (Sung and Poggio, IEEE Trans. PAMI 20:39 (1998); Dalal and Triggs,
CVPR 2005).
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from slidewin.classifier import Classifier
from slidewin.classifier.protocol import ANY_LESION
from slidewin.grid import LESION_SHARE
from slidewin.sweep import SlidingWindow
from slidewin.training.source import Background
from slidewin.training.validation import ROUGH
from slidewin.training.windows import MinedPlace

__all__ = ["MinedPlace", "mine"]

_LEAST_SCORE = 0.1
_MOST_OVERLAP = 0.3  # intersection over union of two windows of one photo
_MOST_ALIKE = 0.98  # correlation of the thumbnails of two windows of one photo
_THUMBNAIL = 8
_SMALLEST_LESION = 12.0  # px: smaller ones are blown up beyond what a window can show


def mine(
    classifier: Classifier,
    photos: Sequence[Background],
    *,
    known: Sequence[MinedPlace] = (),
    per_photo: int = 30,
    stride: float = 1.0,
    verbose: bool = False,
) -> list[MinedPlace]:
    """Sweep photos for the windows that look most like a lesion where there is none.

    Left out are windows that a photo's border cuts, windows that overlap a place to keep clear of,
    windows that overlap one of a higher score, and near-duplicates: a print repeats itself.

    Parameters
    ----------
    classifier : Classifier
    photos : sequence of Background
    known : sequence of MinedPlace
        What was mined before: windows that overlap or repeat it are left out.
    per_photo : int
        The most windows taken from a photo; they have a probability of any lesion of 0.1 or more.
    stride : float
        Of the sweep, in lesions.
    verbose : bool
        Show progress.

    Returns
    -------
    list of MinedPlace
        Photo by photo, highest score first.
    """
    mined: list[MinedPlace] = []
    for photo in tqdm(photos, "mining", disable=not verbose):
        short_side = min(photo.image.shape[:2])
        smallest, largest = (share * short_side for share in LESION_SHARE)
        sweep = SlidingWindow(
            classifier,
            lesion_size=(min(max(smallest, _SMALLEST_LESION), largest), largest),
            stride=stride,
            batch_size=256,
            n_jobs=1,  # see sweep_photos
            verbose=0,
            **ROUGH,
        )
        before = [place for place in known if place.photo is photo]
        mined += _hardest(photo, *_scored(sweep, photo), per_photo, before)
    return mined


def _scored(
    sweep: SlidingWindow, photo: Background
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Windows (n, 3) as centre row, centre column and side, and their scores (n,)."""
    grid = sweep.plan(photo.image.shape)
    windows, scores = [np.empty((0, 3))], [np.empty(0, np.float32)]
    for level, values in zip(grid.levels, sweep.probabilities(photo.image), strict=True):
        if level.is_padded:
            continue
        rows, cols = np.meshgrid(level.row_centres, level.col_centres, indexing="ij")
        side = np.full(rows.size, min(level.window_shape))
        windows.append(np.stack([rows.ravel(), cols.ravel(), side], axis=1))
        flat = values.reshape(-1, values.shape[-1])
        scores.append(sweep.classifier.target_probability(flat, ANY_LESION))
    return np.concatenate(windows), np.concatenate(scores)


def _hardest(
    photo: Background,
    windows: NDArray[np.float64],
    scores: NDArray[np.float32],
    most: int,
    known: Sequence[MinedPlace],
) -> list[MinedPlace]:
    taken: list[MinedPlace] = []
    boxes = [np.array([*place.centre, place.side]) for place in known]
    thumbnails = [_thumbnail(photo.image, *place.centre, place.side) for place in known]
    for index in np.argsort(-scores, kind="stable"):
        if len(taken) == most or scores[index] < _LEAST_SCORE:
            break
        row, col, side = (float(x) for x in windows[index])
        if not photo.is_clear(row, col, side / 2):
            continue
        if boxes and _overlap(windows[index], np.array(boxes)).max() > _MOST_OVERLAP:
            continue
        thumbnail = _thumbnail(photo.image, row, col, side)
        if thumbnails and float((np.array(thumbnails) @ thumbnail).max()) > _MOST_ALIKE:
            continue
        boxes.append(windows[index])
        thumbnails.append(thumbnail)
        taken.append(MinedPlace(photo, (row, col), side))
    return taken


def _overlap(window: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union (n,) of a window with others (n, 3)."""
    half, halves = window[2] / 2, others[:, 2:] / 2
    low = np.maximum(window[:2] - half, others[:, :2] - halves)
    high = np.minimum(window[:2] + half, others[:, :2] + halves)
    common = np.clip(high - low, 0, None).prod(axis=1)
    return np.asarray(common / (window[2] ** 2 + others[:, 2] ** 2 - common))


def _thumbnail(
    image: NDArray[np.uint8], row: float, col: float, side: float
) -> NDArray[np.float32]:
    """What a window shows, as a unit vector: the dot product of two is their correlation."""
    top, left = round(row - side / 2), round(col - side / 2)
    window = image[max(top, 0) : top + round(side), max(left, 0) : left + round(side)]
    size = (_THUMBNAIL, _THUMBNAIL)
    small = cv2.resize(window, size, interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    small -= small.mean()
    return np.asarray(small / max(float(np.linalg.norm(small)), 1e-6), np.float32)
