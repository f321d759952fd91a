"""Faithfulness: whether what a map points at is what a score depends on.

The highest parts of a map are taken out of the photo, or put back into a blurred one, and the
photo's score is watched. What takes their place matters: black looks like a dark lesion.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from slidewin.errors import ArgumentError, ArgumentTypeError
from slidewin.metrics.truth import Mask, Pixels, check_mask, counted

__all__ = [
    "Curve",
    "blur",
    "centre_out_map",
    "deletion_curve",
    "insertion_curve",
    "local_median",
    "random_map",
]

Photo = npt.NDArray[np.uint8]
Score = Callable[[Photo], float]

_CELLS = 15  # across the window of a local median: the photo is shrunk to this before


@dataclass(frozen=True, eq=False)
class Curve:
    """The score of a photo as more and more of it is changed.

    Attributes
    ----------
    share : ndarray of shape (n,), float64
        Of the assessed area, from 0 to 1.
    score : ndarray of shape (n,), float64
    """

    share: npt.NDArray[np.float64]
    score: npt.NDArray[np.float64]

    @property
    def auc(self) -> float:
        """Area under the curve, by trapezoids: low is good for deletion, high for insertion."""
        return float(np.trapezoid(self.score, self.share))


def deletion_curve(
    photo: Photo,
    pixels: Pixels,
    score: Score,
    substrate: Photo,
    *,
    cell: int,
    steps: int = 20,
    ignore: Mask | None = None,
    random_state: int = 0,
) -> Curve:
    """Score a photo while its parts are replaced, those highest in a map first.

    Parameters
    ----------
    photo : ndarray of shape (H, W, 3), uint8
        It is not written to.
    pixels : ndarray of shape (H, W), floating
        A map on any scale; NaN where not assessed, which is left as it is.
    score : callable
        Takes a photo, returns a number: that of the system under test, the same for all maps, such
        as the highest probability of any window.
    substrate : ndarray of shape (H, W, 3), uint8
        What takes the place of the photo: :func:`local_median` of its skin.
    cell : int
        The photo is replaced in squares of this side, in pixels: the distance at which the map was
        measured. A square's rank is that of the map's mean over it; equals in random order.
    steps : int
        In how many equal parts of the area.
    ignore : ndarray of shape (H, W), bool, optional
        Pixels to leave as they are.
    random_state : int
        Seed for the order of equals.

    Returns
    -------
    Curve
        Of ``steps + 1`` points, the first for the photo as it is.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If the photo, its substrate and the map do not belong together, nothing is assessed, `cell`
        or `steps` is below 1, or `score` returns no finite number.

    Notes
    -----
    Compare with :func:`random_map` and :func:`centre_out_map` in place of the map. The score is
    asked for ``steps + 1`` times.

    References
    ----------
    Petsiuk et al., "RISE: randomized input sampling for explanation of black-box models", BMVC
    2018, arXiv:1806.07421.

    Examples
    --------
    A score that is the brightness of the first of two squares, which the map knows:

    >>> photo, black = np.full((1, 2, 3), 200, np.uint8), np.zeros((1, 2, 3), np.uint8)
    >>> curve = deletion_curve(
    ...     photo, np.array([[0.9, 0.1]]), lambda p: p[0, 0, 0] / 200, black, cell=1, steps=2)
    >>> curve.score, curve.auc
    (array([1., 0., 0.]), 0.25)
    """
    turns = _turns(photo, pixels, substrate, cell, steps, ignore, random_state)
    return _curve(photo, substrate, score, turns, steps)


def insertion_curve(
    photo: Photo,
    pixels: Pixels,
    score: Score,
    substrate: Photo,
    *,
    cell: int,
    steps: int = 20,
    ignore: Mask | None = None,
    random_state: int = 0,
) -> Curve:
    """Score what stands in for a photo while parts of the photo are put back, the highest first.

    Parameters, errors and references are those of :func:`deletion_curve`; what stands in is usually
    a :func:`blur` of the photo, which shows no edges where parts are put back.

    Examples
    --------
    >>> photo, black = np.full((1, 2, 3), 200, np.uint8), np.zeros((1, 2, 3), np.uint8)
    >>> curve = insertion_curve(
    ...     photo, np.array([[0.9, 0.1]]), lambda p: p[0, 0, 0] / 200, black, cell=1, steps=2)
    >>> curve.score, curve.auc
    (array([0., 1., 1.]), 0.75)
    """
    turns = _turns(photo, pixels, substrate, cell, steps, ignore, random_state)
    start = np.where((turns > 0)[..., None], substrate, photo)
    return _curve(start, photo, score, turns, steps)


def random_map(pixels: Pixels, *, random_state: int = 0) -> npt.NDArray[np.float32]:
    """A map of noise where another was assessed: replaces parts of a photo in random order."""
    noise = np.random.default_rng(random_state).random(pixels.shape, np.float32)
    return np.where(np.isnan(pixels), np.float32(np.nan), noise)


def centre_out_map(pixels: Pixels) -> npt.NDArray[np.float32]:
    """A map that falls from the photo's centre where another was assessed: people aim well."""
    rows, cols = (np.arange(n, dtype=np.float32) - (n - 1) / 2 for n in pixels.shape)
    away = np.hypot(rows[:, None], cols)
    return np.where(np.isnan(pixels), np.float32(np.nan), -away).astype(np.float32)


def blur(photo: Photo, *, sigma: float) -> Photo:
    """Blur a photo until nothing of a lesion's size is left of it.

    Parameters
    ----------
    photo : ndarray of shape (H, W, 3), uint8
    sigma : float
        In pixels; half the diameter of the largest lesions sought, or more.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If `photo` is none, or `sigma` not above 0.
    """
    _check_photo("photo", photo)
    if not 0 < sigma < np.inf:
        raise ArgumentError(f"sigma={sigma!r}: a number of pixels above 0 is needed")
    small, factor = _shrunk(photo, sigma / 4)
    soft = np.asarray(cv2.GaussianBlur(small, (0, 0), sigma / factor), np.uint8)
    return _enlarged(soft, photo)


def local_median(photo: Photo, *, size: float, skin: Mask | None = None) -> Photo:
    """Median colour of the skin round each place: what a photo might show without its lesions.

    Parameters
    ----------
    photo : ndarray of shape (H, W, 3), uint8
    size : float
        Side of the square round each place, in pixels: twice the diameter of the largest lesions
        sought, or more, so that they are outvoted.
    skin : ndarray of shape (H, W), bool, optional
        The pixels to take the median of; by default all. Where the square holds none of them, it is
        that of them all.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If `photo` is none, `size` not above 0, or `skin` no mask of the photo with a pixel in it.

    Notes
    -----
    Computed on the photo shrunk until the square has 15 px a side, and enlarged again.

    Examples
    --------
    >>> photo = np.full((64, 64, 3), 180, np.uint8)
    >>> photo[24:36, 24:36] = 40
    >>> np.unique(local_median(photo, size=30))
    array([180], dtype=uint8)
    """
    _check_photo("photo", photo)
    if not 0 < size < np.inf:
        raise ArgumentError(f"size={size!r}: a number of pixels above 0 is needed")
    valid = np.ones(photo.shape[:2], np.bool_) if skin is None else skin
    check_mask("skin", valid, photo.shape[:2])
    if not valid.any():
        raise ArgumentError("skin is empty; pass None to take the median of all pixels")
    small, factor = _shrunk(photo, size / _CELLS)
    height, width = small.shape[:2]
    # A cell that is partly skin holds other colours too: only cells that are all skin count.
    whole = cv2.resize(
        cv2.erode(valid.astype(np.uint8), np.ones((1 + int(factor),) * 2, np.uint8)),
        (width, height),
        interpolation=cv2.INTER_NEAREST,
    )
    overall = np.median(photo[valid], axis=0)
    reach = max(1, round(size / factor / 2))
    side = 2 * reach + 1
    colours = np.full((height + 2 * reach, width + 2 * reach, 3), 256, np.int16)  # 256 is none
    colours[reach : reach + height, reach : reach + width] = np.where(
        whole[..., None], small, np.int16(256)
    )
    medians = np.empty(small.shape, np.float64)
    for row in range(height):
        strip = colours[row : row + side]
        squares = np.lib.stride_tricks.sliding_window_view(strip, side, axis=1)
        ranked = np.sort(squares.transpose(1, 2, 0, 3).reshape(width, 3, -1), axis=2)
        n = np.count_nonzero(ranked < 256, axis=2, keepdims=True)
        lower = np.take_along_axis(ranked, np.maximum(n - 1, 0) // 2, axis=2)
        upper = np.take_along_axis(ranked, np.minimum(n // 2, ranked.shape[2] - 1), axis=2)
        medians[row] = np.where(n > 0, (lower + upper) / 2, overall[:, None])[..., 0]
    return _enlarged(medians.round().astype(np.uint8), photo)


def _turns(
    photo: Photo,
    pixels: Pixels,
    substrate: Photo,
    cell: int,
    steps: int,
    ignore: Mask | None,
    random_state: int,
) -> npt.NDArray[np.int32]:
    """At which step (1 to `steps`) each pixel is replaced; 0 for those that never are."""
    _check_photo("photo", photo)
    _check_photo("substrate", substrate)
    if not photo.shape[:2] == substrate.shape[:2] == np.shape(pixels):
        raise ArgumentError(
            f"photo, substrate, pixels: found shapes {photo.shape}, {substrate.shape} and "
            f"{np.shape(pixels)}; pass those of one photo"
        )
    if cell < 1 or steps < 1:
        raise ArgumentError(f"cell={cell!r}, steps={steps!r}: whole numbers from 1 up are needed")
    where = counted(pixels, np.zeros(pixels.shape, np.bool_), ignore)
    if not where.any():
        raise ArgumentError("pixels: nothing is assessed; leave this photo out")
    rows, cols = (np.arange(n) // cell for n in pixels.shape)
    cells = (rows[:, None] * (cols[-1] + 1) + cols)[where]
    area = np.bincount(cells)
    total = np.bincount(cells, pixels[where])
    mean = np.divide(total, area, out=np.full(area.size, -np.inf), where=area > 0)
    shuffled = np.random.default_rng(random_state).permutation(area.size)
    order = shuffled[np.argsort(-mean[shuffled], kind="stable")]
    # A cell belongs to the step in which its middle is reached: no step is late on average.
    reached = (np.cumsum(area[order]) - area[order] / 2) / area.sum()
    turn_of = np.empty(area.size, np.int32)
    turn_of[order] = np.minimum(reached * steps, steps - 1).astype(np.int32) + 1
    turns = np.zeros(pixels.shape, np.int32)
    turns[where] = turn_of[cells]
    return turns


def _curve(
    start: Photo, end: Photo, score: Score, turns: npt.NDArray[np.int32], steps: int
) -> Curve:
    """Scores from `start` to `end`, and the shares of the area that were changed, as they are."""
    changed = start.copy()
    scores = [_asked(score, changed)]
    for step in range(1, steps + 1):
        now = turns == step
        changed[now] = end[now]
        scores.append(_asked(score, changed))
    area = np.bincount(turns.ravel(), minlength=steps + 1)
    area[0] = 0
    return Curve(np.cumsum(area) / area.sum(), np.array(scores))


def _asked(score: Score, photo: Photo) -> float:
    value = float(score(photo.copy()))
    if not np.isfinite(value):
        raise ArgumentError(f"score returned {value!r}; it must return a finite number for a photo")
    return value


def _shrunk(photo: Photo, factor: float) -> tuple[Photo, float]:
    """The photo, `factor` times smaller where that is more than one, and by how much."""
    factor = max(1.0, min(factor, *photo.shape[:2]))
    if factor == 1:
        return photo, 1.0
    height, width = (max(1, round(n / factor)) for n in photo.shape[:2])
    small = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), factor


def _enlarged(small: Photo, photo: Photo) -> Photo:
    size = (photo.shape[1], photo.shape[0])
    return np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _check_photo(name: str, photo: object) -> None:
    if not isinstance(photo, np.ndarray) or photo.dtype != np.uint8 or photo.shape[2:] != (3,):
        found = f"{photo.shape} of {photo.dtype}" if isinstance(photo, np.ndarray) else type(photo)
        raise ArgumentTypeError(f"{name}: got {found}; pass RGB (H, W, 3) of uint8")
