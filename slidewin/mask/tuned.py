"""Thresholds chosen on validation maps: the one that scores best, or the lowest that is affordable.

One number for all photos, chosen on photos that are not those it is tested on.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from slidewin.errors import ArgumentError, ArgumentTypeError
from slidewin.mask.flagged import count_pieces, threshold_mask
from slidewin.mask.thresholds import Map, Threshold, assessed_values, rendered

__all__ = ["Score", "affordable", "budget_threshold", "false_rates", "tuned_threshold"]

Score = Literal["dice", "f1", "youden"]

_CANDIDATES = 1000  # thresholds tried: the share of lesion flagged is resolved to 0.1 %
_RUNG = 1.1  # each threshold tried for a budget flags a tenth more pixels than the one above


def tuned_threshold(
    heatmaps: Sequence[Map],
    truths: Sequence[npt.NDArray[np.bool_]],
    *,
    score: Score = "dice",
) -> Threshold:
    """Take the threshold whose masks agree best with the truth.

    Parameters
    ----------
    heatmaps : sequence of HeatMap or ndarray of shape (H, W), floating
        Those of the validation photos. Pixels that were not assessed count for nothing.
    truths : sequence of ndarray of shape (H, W), bool
        The lesions in each photo.
    score : {"dice", "f1", "youden"}
        What is to be largest. ``"dice"``: the mean of the photos' Dice coefficients [1]_, over
        photos with a lesion. ``"f1"``: the F1 score of all pixels of all photos together, those
        without a lesion among them. ``"youden"``: sensitivity + specificity - 1 [2]_ of all pixels.

    Returns
    -------
    Threshold
        A value that a lesion's pixel has; of equally good ones the highest. Its figures are the
        score, by name, and the number of ``photos`` that it is of: for ``"dice"`` those of whose
        lesion something was assessed.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If the maps and truths do not match, or no assessed pixel is lesion.

    Notes
    -----
    Between two values that lesion pixels have, a higher threshold loses none of them and flags
    less besides, so only such values are tried: all of them, or 1000 at even ranks. Maps are
    rendered twice, one at a time; 5 bytes a lesion pixel are kept.

    Bad at: Dice is blind to photos without a lesion, and weighs a small lesion as much as a large
    one; F1 goes by the largest lesions, and by how many lesion-free photos there are; Youden's
    index weighs the two rates alike however rare lesions are, and so flags far too much of a photo
    in which one pixel in a hundred is lesion.

    References
    ----------
    .. [1] Dice, Ecology 26:297 (1945), doi:10.2307/1932409.
    .. [2] Youden, Cancer 3:32 (1950),
       doi:10.1002/1097-0142(1950)3:1<32::AID-CNCR2820030106>3.0.CO;2-3.

    Examples
    --------
    >>> heat, truth = np.float32([[0.1, 0.3, 0.6, 0.9]]), np.array([[False, False, True, True]])
    >>> tuned_threshold([heat], [truth])
    Threshold(0.6, best mean Dice, dice 1, photos 1)
    """
    if score not in get_args(Score):
        raise ArgumentError(f"score={score!r}: one of {', '.join(get_args(Score))} is needed")
    if len(heatmaps) != len(truths):
        raise ArgumentError(
            f"heatmaps, truths: got {len(heatmaps)} and {len(truths)}; pass one mask for each map"
        )
    pairs = list(zip(heatmaps, truths, strict=True))
    on_lesion = [_values(*pair)[1] for pair in pairs]
    candidates = np.unique(np.concatenate([*on_lesion, np.empty(0, np.float32)]))
    if not candidates.size:
        raise ArgumentError("truths: no assessed pixel is lesion; pass photos with lesions as well")
    if candidates.size > _CANDIDATES:
        ranked = np.sort(np.concatenate(on_lesion))
        ranks = np.linspace(0, ranked.size - 1, _CANDIDATES).astype(np.intp)
        candidates = np.unique(ranked[ranks])

    # At each candidate: pixels flagged and lesion pixels flagged, of each photo and of them all.
    flagged, hit = np.zeros((2, candidates.size))
    n, n_lesion, dice, with_lesion = 0, 0, np.zeros(candidates.size), 0
    for pair in pairs:
        everywhere, lesion = _values(*pair)
        here, hit_here = _count_from(everywhere, candidates), _count_from(lesion, candidates)
        flagged, hit = flagged + here, hit + hit_here
        n, n_lesion = n + everywhere.size, n_lesion + lesion.size
        if lesion.size:
            dice += 2 * hit_here / (here + lesion.size)
            with_lesion += 1
    name, values = {
        "dice": ("best mean Dice", dice / with_lesion),
        "f1": ("best F1 of all pixels", 2 * hit / (flagged + n_lesion)),
        "youden": (
            "best Youden index of all pixels",
            hit / n_lesion - (flagged - hit) / max(n - n_lesion, 1),
        ),
    }[score]
    best = candidates.size - 1 - int(np.argmax(values[::-1]))
    photos = with_lesion if score == "dice" else len(pairs)
    figures = {score: float(values[best]), "photos": photos}
    return Threshold(float(candidates[best]), name, figures=figures)


def budget_threshold(
    heatmaps: Sequence[Map],
    *,
    per_photo: float = 0.25,
    least_area: float = 0.0,
    kinds: Sequence[str] | None = None,
) -> Threshold:
    """Take the lowest threshold that lesion-free photos can afford.

    Parameters
    ----------
    heatmaps : sequence of HeatMap or ndarray of shape (H, W), floating
        Those of validation photos without a lesion: every region in them is false. Restrict a
        map to keep out of account what is in its photo besides.
    per_photo : float
        False regions allowed in a photo, on average: by default one in four photos.
    least_area : float
        In pixels; smaller regions do not count, as :func:`~slidewin.mask.drop_specks` drops them.
    kinds : sequence of str, optional
        The kind of each photo. Every kind must keep the budget by itself: an average over all
        would let many easy photos pay for the hard ones.

    Returns
    -------
    Threshold
        Of thresholds each of which flags a tenth more pixels than the one above, the lowest such
        that it and all above it keep the budget; just above the highest value if none does. Its
        figures are the ``false_regions_per_photo``, of the worst kind, and how many ``photos``.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If an argument is not one of these, or nothing was assessed.

    Notes
    -----
    Thresholds are tried from the top down, and a dip among low ones, where regions melt into one,
    does not count. All maps are kept, at 8 bytes a pixel; each threshold tried takes about 10 ms a
    megapixel.

    Bad at: it knows nothing of lesions missed. Its figure is of the photos that it was chosen on:
    with few photos, or easy ones, others will have more false regions.

    References
    ----------
    That a detector is set by its false finds in a photo is the free-response paradigm: Bunch et
    al., Proc. SPIE 127 (1977), doi:10.1117/12.955926.

    Examples
    --------
    >>> maps = [np.float32([[0.9, 0.1, 0.5]]), np.float32([[0.2, 0.3, 0.1]])]
    >>> budget_threshold(maps, per_photo=0.5)
    Threshold(0.9, at most 0.5 false regions a photo, false_regions_per_photo 0.5, photos 2)
    """
    if not 0 <= per_photo < np.inf:
        raise ArgumentError(f"per_photo={per_photo!r}: a number from 0 up is needed")
    if kinds is None:
        kinds = ["photo"] * len(heatmaps)
    if isinstance(kinds, str) or len(kinds) != len(heatmaps):
        raise ArgumentError(f"kinds: one for each of the {len(heatmaps)} maps is needed")
    if not len(heatmaps):
        raise ArgumentError("heatmaps is empty; pass those of lesion-free photos")
    photos = [rendered(heatmap) for heatmap in heatmaps]
    rungs = _rungs(photos)
    columns = (
        [count_pieces(threshold_mask(pixels, rung), least_area) for pixels in photos]
        for rung in rungs
    )
    chosen, rates = affordable(columns, kinds, per_photo)
    return Threshold(
        float(rungs[chosen]),
        f"at most {per_photo:g} false regions a photo",
        figures={"false_regions_per_photo": max(rates.values()), "photos": len(photos)},
    )


def affordable(
    false: Iterable[Sequence[int] | npt.NDArray[np.integer]],
    kinds: Sequence[str],
    per_photo: float,
) -> tuple[int, dict[str, float]]:
    """Go down a ladder of thresholds for as long as every kind of photo keeps the budget.

    Parameters
    ----------
    false : iterable of sequences of n int
        False regions in each lesion-free photo, from the highest threshold to the lowest. No more
        are taken than are needed.
    kinds : sequence of n str
        The kind of each photo.
    per_photo : float
        False regions allowed in a photo of any kind, on average.

    Returns
    -------
    last : int
        Place of the lowest threshold that is affordable, as are all above; 0 if the first is not.
    rates : dict of str to float
        False regions in a photo of each kind, at that threshold.

    Examples
    --------
    >>> affordable([[0, 0], [1, 0], [1, 2], [0, 0]], ["cloth", "skin"], 1)
    (1, {'cloth': 1.0, 'skin': 0.0})
    """
    last: int = 0
    rates: dict[str, float] = {}
    for place, counts in enumerate(false):
        here = false_rates(counts, kinds)
        kept = max(here.values()) <= per_photo
        if kept or not place:
            last, rates = place, here
        if not kept:
            break
    return last, rates


def false_rates(
    counts: Sequence[int] | npt.NDArray[np.integer], kinds: Sequence[str]
) -> dict[str, float]:
    """False regions in a photo of each kind, on average."""
    at = {kind: [other == kind for other in kinds] for kind in sorted(set(kinds))}
    return {kind: float(np.asarray(counts)[of_kind].mean()) for kind, of_kind in at.items()}


def _rungs(photos: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Thresholds from the top down, the first of which flags nothing."""
    values = np.sort(np.concatenate([assessed_values(photo) for photo in photos]))
    steps = int(np.log(values.size) / np.log(_RUNG)) + 2
    ranks = np.rint(np.geomspace(1, values.size, steps)).astype(np.intp)
    rungs = np.unique(values[-ranks])[::-1]
    return np.concatenate([np.nextafter(rungs[:1], np.float32(np.inf)), rungs])


def _values(
    heatmap: Map, truth: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Values of the assessed pixels of a photo, and of those of them that are lesion."""
    if not isinstance(truth, np.ndarray) or truth.dtype != np.bool_:
        raise ArgumentTypeError("truths: pass masks (H, W) of bool")
    pixels = rendered(heatmap)
    if pixels.shape != truth.shape:
        raise ArgumentError(
            f"heatmaps, truths: found shapes {pixels.shape} and {truth.shape}; "
            "pass masks of the photos' size"
        )
    assessed = ~np.isnan(pixels)
    return pixels[assessed], pixels[assessed & truth]


def _count_from(
    values: npt.NDArray[np.float32], thresholds: npt.NDArray[np.float32]
) -> npt.NDArray[np.intp]:
    """How many values reach each of the thresholds."""
    return values.size - np.searchsorted(np.sort(values), thresholds)
