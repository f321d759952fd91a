"""Figures of many draws of the same photos at once, for intervals.

A draw is how often each photo was drawn. What a figure asks of a photo is worked out once, and is
then summed by these weights: a thousand draws are one product of matrices.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from slidewin.metrics.detection import Judged
from slidewin.metrics.interval import draw_groups
from slidewin.metrics.pixels import PixelCounts

__all__ = [
    "draw_photos",
    "drawn_auroc",
    "drawn_froc",
    "drawn_pxap",
    "drawn_sensitivity",
    "drawn_specificity",
]

Floats = npt.NDArray[np.float64]


def draw_photos(groups: npt.ArrayLike, *, n: int = 1000, random_state: int = 0) -> Floats:
    """How often each photo is in each draw.

    Parameters
    ----------
    groups : array_like of shape (m,)
        The group (patient, photo) of each photo: photos of a group are drawn together.
    n : int
        How many times to draw.
    random_state : int
        Seed. The draws are those of :func:`bootstrap_interval`.

    Returns
    -------
    ndarray of shape (1 + n, m), float64
        The first row is all photos, once each.

    Examples
    --------
    >>> draws = draw_photos(["a", "a", "b"], n=100)
    >>> draws[0], bool((draws[:, 0] == draws[:, 1]).all())
    (array([1., 1., 1.]), True)
    """
    m = np.asarray(groups).size
    drawn = draw_groups(groups, n=n, random_state=random_state)
    return np.stack([np.ones(m), *(np.bincount(photos, minlength=m) for photos in drawn)])


def drawn_froc(photos: Sequence[Judged], draws: Floats, rates: Sequence[float]) -> Floats:
    """Sensitivity at each of so many false candidates per photo, of each draw.

    Returns
    -------
    ndarray of shape (n, k), float64
        :meth:`Froc.sensitivity_at` of the photos drawn, a row a draw and a column a rate. NaN for
        draws without lesions.

    Examples
    --------
    >>> photos = [Judged(hits=(0.9,), false=(0.4,)), Judged(hits=(), false=(0.95,))]
    >>> drawn_froc(photos, np.array([[1.0, 1.0], [2.0, 0.0]]), (0.25, 1.0))
    array([[0., 1.],
           [1., 1.]])
    """
    found, n_lesions = _found(photos, draws, rates)
    return _ratio(found, n_lesions[:, None])


def drawn_sensitivity(photos: Sequence[Judged], draws: Floats, rates: Sequence[float]) -> Floats:
    """Mean sensitivity at so many false candidates per photo, of each draw.

    With the rates of LUNA16 or CAMELYON16, that challenge's score: :attr:`Froc.luna16` and
    :attr:`Froc.camelyon16` of the photos drawn. NaN for draws without lesions.

    Notes
    -----
    A lesion counts at a rate where no more false candidates than that reach its own score.

    Examples
    --------
    >>> photos = [Judged(hits=(0.9,), false=(0.4,)), Judged(hits=(), false=(0.95,))]
    >>> drawn_sensitivity(photos, np.array([[1.0, 1.0], [2.0, 0.0]]), (0.25, 1.0))
    array([0.5, 1. ])
    """
    found, n_lesions = _found(photos, draws, rates)
    return _ratio(found.mean(axis=1), n_lesions)


def _found(
    photos: Sequence[Judged], draws: Floats, rates: Sequence[float]
) -> tuple[Floats, Floats]:
    """Lesions that each draw finds at each rate, (n, k), and those that it has, (n,)."""
    scores, of_photo = _hits(photos)
    reaching = np.stack([_reaching(photo.false, scores) for photo in photos])
    reaching[:, scores == -np.inf] = np.inf  # a lesion that was never hit is not found at any rate
    lesions = draws[:, of_photo]
    false = _weighed(draws, reaching)
    n_photos, n_lesions = draws.sum(axis=1), lesions.sum(axis=1)
    found = [np.where(false <= rate * n_photos[:, None], lesions, 0).sum(axis=1) for rate in rates]
    return np.stack(found, axis=1), n_lesions


def drawn_specificity(photos: Sequence[Judged], draws: Floats, *, sensitivity: float) -> Floats:
    """Share of the lesion-free photos without a candidate, where enough lesions are found.

    The threshold is the highest at which such a share of the lesions drawn is found. NaN for draws
    in which none does, or without photos of both kinds.

    Examples
    --------
    >>> photos = [Judged((0.9,), ()), Judged((), (0.95,)), Judged((), (0.5,))]
    >>> drawn_specificity(photos, np.array([[1.0, 1.0, 1.0], [1.0, 0.0, 2.0]]), sensitivity=0.8)
    array([0.5, 1. ])
    """
    scores, of_photo = _hits(photos)
    order = np.argsort(-scores, kind="stable")
    scores, of_photo = scores[order], of_photo[order]
    lesions = draws[:, of_photo]
    n_lesions = lesions.sum(axis=1)
    # Sums of whole numbers: exact, but for the share asked.
    enough = np.cumsum(lesions, axis=1) >= (sensitivity * n_lesions - 1e-9)[:, None]
    enough &= (scores > -np.inf) & (n_lesions > 0)[:, None]
    free = np.array([not photo.hits for photo in photos])
    highest = np.array([max(photo.false, default=-np.inf) for photo in photos])
    clear = (highest[free, None] < scores).astype(np.float64)
    share = _ratio(_weighed(draws[:, free], clear), draws[:, free].sum(axis=1)[:, None])
    if not scores.size:
        return np.full(len(draws), np.nan)
    at = np.argmax(enough, axis=1)
    return np.where(enough.any(axis=1), share[np.arange(len(draws)), at], np.nan)


def drawn_pxap(photos: Sequence[PixelCounts], draws: Floats) -> Floats:
    """Pixel average precision of all pixels drawn: ``PixelAveragePrecision.all_photos``.

    `photos` are counted in bins. NaN for draws without lesions.
    """
    lesion = _weighed(draws, np.stack([photo.lesion[::-1] for photo in photos]))
    other = _weighed(draws, np.stack([photo.other[::-1] for photo in photos]))
    found = np.cumsum(lesion, axis=1)
    flagged = found + np.cumsum(other, axis=1)
    precision = np.divide(found, flagged, out=np.zeros_like(found), where=flagged > 0)
    return _ratio((precision * lesion).sum(axis=1), found[:, -1])


def drawn_auroc(scores: npt.ArrayLike, has_lesion: npt.ArrayLike, draws: Floats) -> Floats:
    """Chance that a photo with lesions scores higher than one without, as :func:`photo_auroc`.

    Examples
    --------
    >>> drawn_auroc([0.9, 0.4, 0.4], [True, True, False], np.array([[1.0, 1.0, 1.0]]))
    array([0.75])
    """
    values, truth = np.asarray(scores, np.float64), np.asarray(has_lesion, np.bool_)
    known = ~np.isnan(values)
    values, truth, draws = values[known], truth[known], draws[:, known]
    above = values[truth][:, None] > values[~truth]
    level = values[truth][:, None] == values[~truth]
    won = (_weighed(draws[:, truth], above + 0.5 * level) * draws[:, ~truth]).sum(axis=1)
    return _ratio(won, draws[:, truth].sum(axis=1) * draws[:, ~truth].sum(axis=1))


def _hits(photos: Sequence[Judged]) -> tuple[Floats, npt.NDArray[np.intp]]:
    """The best score on each lesion, and its photo."""
    scores = np.array([score for photo in photos for score in photo.hits], np.float64)
    return scores, np.repeat(np.arange(len(photos)), [len(photo.hits) for photo in photos])


def _reaching(false: Sequence[float], scores: Floats) -> Floats:
    """How many of a photo's false candidates reach each score."""
    ascending = np.sort(np.asarray(false, np.float64))
    return (ascending.size - np.searchsorted(ascending, scores)).astype(np.float64)


def _weighed(draws: Floats, of_photos: Floats) -> Floats:
    """Sums over the photos of each draw; infinite where a photo's is, whatever its weight."""
    finite = np.isfinite(of_photos).all(axis=0)
    summed = np.full((len(draws), of_photos.shape[1]), np.inf)
    summed[:, finite] = draws @ of_photos[:, finite]
    return summed


def _ratio(part: Floats, whole: Floats) -> Floats:
    """NaN of nothing."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, part / whole, np.nan)
