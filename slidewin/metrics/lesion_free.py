"""Photos without lesions: how often, how much and how surely something is found in them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from slidewin.errors import ArgumentError
from slidewin.metrics.detection import Judged
from slidewin.metrics.pixels import PixelCounts, pool_counts
from slidewin.metrics.truth import Mask, Pixels, counted

__all__ = ["LesionFree", "lesion_free_photos", "photo_auroc", "photo_score"]


class LesionFree(NamedTuple):
    """What is found in photos without lesions, at one threshold.

    Attributes
    ----------
    with_detection : float
        Share of the photos with a detection or more: 1 less the specificity of photos.
    detections_per_photo : float
    flagged : float
        Share of all their pixels that is flagged.
    n_photos : int
        Photos without lesions; all figures are NaN if there are none.
    """

    with_detection: float
    detections_per_photo: float
    flagged: float
    n_photos: int


def lesion_free_photos(
    judged: Sequence[Judged], counts: Sequence[PixelCounts], threshold: float
) -> LesionFree:
    """Score what reaches a threshold in photos without lesions.

    Parameters
    ----------
    judged : sequence of Judged
        What was found in each photo; those with lesions are left out. Candidates, or regions:
        ``Judged((), tuple(region.score for region in found.regions))``.
    counts : sequence of PixelCounts
        Of the same photos, in the same order. For the share of *skin* that is flagged, count with
        what is no skin ignored.
    threshold : float
        The smallest score that is a detection: fixed, chosen by :func:`best_threshold`, or that at
        which enough lesions are found, by :meth:`Froc.threshold_finding`.

    Returns
    -------
    LesionFree

    Raises
    ------
    ArgumentError
        If there are not as many of one as of the other.

    Examples
    --------
    >>> from slidewin.metrics import count_pixels
    >>> bare = np.zeros((1, 4), bool)
    >>> maps = [np.array([[0.9, 0.6, 0.0, 0.7]], np.float32), np.zeros((1, 4), np.float32)]
    >>> judged = [Judged((), (0.9, 0.7)), Judged((), (0.0,))]
    >>> lesion_free_photos(judged, [count_pixels(pixels, bare) for pixels in maps], 0.5)
    LesionFree(with_detection=0.5, detections_per_photo=1.0, flagged=0.375, n_photos=2)
    """
    if len(judged) != len(counts):
        raise ArgumentError(
            f"judged, counts: found {len(judged)} and {len(counts)}; pass both for each photo"
        )
    free = [i for i, photo in enumerate(judged) if not photo.hits]
    if not free:
        return LesionFree(float("nan"), float("nan"), float("nan"), 0)
    # Compared as float32, the type of maps: see threshold_mask.
    least = np.float32(threshold)
    detections = [np.sum(np.array(judged[i].false, np.float32) >= least) for i in free]
    pooled = pool_counts([counts[i] for i in free])
    flagged = int(sum(pooled.flagged(threshold)))
    return LesionFree(
        with_detection=float(np.mean(np.array(detections) > 0)),
        detections_per_photo=float(np.mean(detections)),
        flagged=flagged / pooled.n_pixels if pooled.n_pixels else float("nan"),
        n_photos=len(free),
    )


def photo_score(pixels: Pixels, *, top: float = 0.0, ignore: Mask | None = None) -> float:
    """One score for a whole photo: the maximum of its map, or the mean of the highest pixels.

    Parameters
    ----------
    pixels : ndarray of shape (H, W), floating
        A map on any scale; NaN where not assessed.
    top : float
        The share of the pixels to take the mean of, such as 0.001; at least one is taken.
    ignore : ndarray of shape (H, W), bool, optional
        Pixels to leave out.

    Returns
    -------
    float
        NaN where nothing was assessed.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If `pixels` is no map, `ignore` no mask of its shape, or `top` no share.

    Examples
    --------
    >>> photo_score(np.array([[0.5, 0.25, np.nan, 0.0, 0.0]]), top=0.5)
    0.375
    """
    if not 0 <= top <= 1:
        raise ArgumentError(f"top={top!r}: a share of the pixels from 0 to 1 is needed")
    values = pixels[counted(pixels, np.zeros(np.shape(pixels), np.bool_), ignore)]
    if not values.size:
        return float("nan")
    n = max(1, round(top * values.size))
    return float(np.partition(values, -n)[-n:].mean(dtype=np.float64))


def photo_auroc(
    scores: npt.ArrayLike, has_lesion: npt.ArrayLike, *, decimals: int | None = None
) -> float:
    """Chance that a photo with lesions scores higher than one without; ties count half.

    Parameters
    ----------
    scores : array_like of shape (n,)
        Of each photo, as by :func:`photo_score`; NaN leaves a photo out.
    has_lesion : array_like of shape (n,), bool
    decimals : int, optional
        Round scores first. For maps stretched to [0, 1] photo by photo, which all have the
        maximum 1: their honest figure is 0.5, but the small number that is added to the divisor
        lets the scale through that was there before.

    Returns
    -------
    float
        NaN if photos of one kind are missing.

    Raises
    ------
    ArgumentError
        If there is not a truth for each score.

    Examples
    --------
    >>> photo_auroc([0.9, 0.4, 0.4, 0.1], [True, True, False, False])
    0.875
    """
    values, truth = np.asarray(scores, np.float64), np.asarray(has_lesion)
    if values.ndim != 1 or values.shape != truth.shape or truth.dtype != np.bool_:
        raise ArgumentError(
            f"scores, has_lesion: found shapes {values.shape} and {truth.shape} of "
            f"{truth.dtype}; pass a score and a bool for each photo"
        )
    known = ~np.isnan(values)
    values, truth = values[known], truth[known]
    if truth.all() or not truth.any():
        return float("nan")
    return float(roc_auc_score(truth, values if decimals is None else values.round(decimals)))
