"""Variants: what is made of a raw map before it is scored, the usual way and fair ways.

======================  ==========================================================================
``as is``               a probability, which has its scale already
``raw``                 on its own scale: ranks pixels and places, but nothing is "0.5" of it
``minmax``              stretched to [0, 1] photo by photo, as people see it: in every photo
                        something lights up
``scaled``              what is above 0 over one constant, the 99.9th percentile of the pixels of
                        validation photos with lesions; clipped to [0, 1]
``gated``               ``minmax`` where the highest pixel that counts of the sweep's map passes a
                        threshold, tuned on validation photos; 0 all over elsewhere
======================  ==========================================================================
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from slidewin.heatmap import HeatMap

__all__ = [
    "AS_IS",
    "Scale",
    "Survey",
    "make_scale",
    "name_thresholds",
    "survey_map",
    "tune_gate",
    "vary",
]

AS_IS = "as is"

_BINS = 1000
_TOP = 0.001
_RANKS = 400

Pixels = NDArray[np.float32]
Mask = NDArray[np.bool_]
Which = tuple[str, str]
Unit = Literal["probability", "raw"]


@dataclass(frozen=True, eq=False)
class Survey:
    """What is kept of the pixels of one map, to find a method's scale by.

    Attributes
    ----------
    unit : {"probability", "raw"}
    ranked : ndarray of float32
        Its values, descending, at some ranks: all of the highest, then ever fewer.
    shares : ndarray of int64
        How many of its pixels each of them stands for: itself and those down to the next.
    """

    unit: Unit
    ranked: Pixels
    shares: NDArray[np.int64]

    @property
    def n_pixels(self) -> int:
        """Pixels that count."""
        return int(self.shares.sum())


def survey_map(heat: HeatMap, pixels: Pixels, counts: Mask) -> Survey:
    """Keep of a map what its method's scale is found by.

    Parameters
    ----------
    heat : HeatMap
    pixels : ndarray of shape (H, W), float32
        The same, rendered.
    counts : ndarray of shape (H, W), bool
        Which pixels count.

    Notes
    -----
    5 kB, however large the map: ranks that are kept of 12 megapixels are 4 % apart, so that the
    pixels above a scale's constant are a thousandth to within 4 % of it.
    """
    values = np.sort(pixels[counts & ~np.isnan(pixels)])[::-1]
    if not values.size:
        return Survey(heat.unit, values, np.empty(0, np.int64))
    ranks = np.unique(np.geomspace(1, values.size, _RANKS).astype(np.int64)) - 1
    return Survey(heat.unit, values[ranks].copy(), np.diff(ranks, append=values.size))


@dataclass(frozen=True, eq=False)
class Scale:
    """A method's scale.

    Attributes
    ----------
    unit : {"probability", "raw"}
    edges : ndarray of shape (1000,), float32
        Ascending. A raw value counts in the bin of how many of these it reaches.
    constant : float or None
        Of ``scaled``; None if there are no validation photos with lesions.
    """

    unit: Unit
    edges: Pixels
    constant: float | None

    def bins(self, pixels: Pixels) -> Pixels:
        """Raw values as bins of rank, 0 to 1 by thousandths; NaN stays."""
        ranked = (np.searchsorted(self.edges, pixels, side="right") / _BINS).astype(np.float32)
        ranked[np.isnan(pixels)] = np.nan
        return ranked

    def value(self, bin_: float) -> float:
        """The least raw value of a bin."""
        place = round(bin_ * _BINS)
        return float(self.edges[place - 1]) if place else -np.inf


def make_scale(surveys: Sequence[Survey], positives: Sequence[Survey]) -> Scale:
    """A method's scale, of what was kept of its maps.

    Parameters
    ----------
    surveys : sequence of Survey
        Of all photos: bins of rank need no truth.
    positives : sequence of Survey
        Of the validation photos with lesions.
    """
    values = np.sort(np.concatenate([survey.ranked for survey in surveys]))
    edges = values[np.linspace(0, values.size - 1, _BINS).round().astype(np.intp)]
    constant = None
    n = sum(survey.n_pixels for survey in positives)
    if n:
        ranked = np.concatenate([survey.ranked for survey in positives])
        order = np.argsort(-ranked, kind="stable")
        above = np.cumsum(np.concatenate([survey.shares for survey in positives])[order])
        constant = max(0.0, float(ranked[order[np.searchsorted(above, int(_TOP * n), "right")]]))
    return Scale(surveys[0].unit, edges, constant)


def vary(pixels: Pixels, scale: Scale, ignored: Mask, *, passes: bool | None) -> dict[str, Pixels]:
    """The variants of one map.

    Parameters
    ----------
    pixels : ndarray of shape (H, W), float32
        NaN where not assessed, in all variants.
    scale : Scale
    ignored : ndarray of shape (H, W), bool
        Pixels that do not count, by which nothing is stretched either.
    passes : bool or None
        Whether the photo passes the gate; None if there is none.

    Returns
    -------
    dict of str to ndarray of shape (H, W), float32
        Those that can be made, by name; all but ``raw`` in [0, 1].

    Examples
    --------
    >>> scale = Scale("raw", np.zeros(1000, np.float32), constant=2.0)
    >>> pixels, all_count = np.float32([[0.5, 1.0, 3.0]]), np.zeros((1, 3), bool)
    >>> for name, varied in vary(pixels, scale, all_count, passes=False).items():
    ...     print(name, varied)
    raw [[0.5 1.  3. ]]
    minmax [[0.  0.2 1. ]]
    scaled [[0.25 0.5  1.  ]]
    gated [[0. 0. 0.]]
    """
    if scale.unit == "probability":
        return {AS_IS: pixels}
    made = {"raw": pixels, "minmax": _stretched(pixels, ignored)}
    if scale.constant is not None:
        # A method that lights up no validation photo at all has no scale, and shows nothing.
        positive = np.maximum(pixels, 0)
        whole = np.float32(scale.constant)
        made["scaled"] = np.minimum(positive / whole, 1) if whole else positive * 0
    if passes is not None:
        made["gated"] = made["minmax"] if passes else made["minmax"] * 0
    return made


def _stretched(pixels: Pixels, ignored: Mask) -> Pixels:
    """A map stretched to [0, 1]; 0 if it is flat. NaN stays."""
    shown = pixels[~ignored & ~np.isnan(pixels)]
    if not shown.size or not shown.max() > shown.min():
        return pixels * 0
    low, high = shown.min(), shown.max()
    stretched: Pixels = ((pixels - low) / (high - low)).clip(0, 1)
    return stretched


def name_thresholds(which: Which, tuned: Mapping[Which, float]) -> dict[str, float]:
    """Thresholds of a variant, on the scale of its bins; 0.5 means nothing on a raw one.

    Examples
    --------
    >>> name_thresholds(("grad-cam@input", "scaled"), {("grad-cam@input", "scaled"): 0.3})
    {'fixed': 0.5, 'tuned': 0.3}
    """
    fixed = {} if which[1] == "raw" else {"fixed": 0.5}
    return fixed | ({"tuned": tuned[which]} if which in tuned else {})


def tune_gate(probabilities: Sequence[float], has_lesion: Sequence[bool]) -> float | None:
    """The photo probability from which a photo is taken to show a lesion: Youden's, on validation.

    Returns
    -------
    float or None
        Of equally good ones the highest; None without validation photos of both kinds.

    References
    ----------
    Saporta et al., "Benchmarking saliency methods for chest X-ray interpretation", Nat. Mach.
    Intell. 4 (2022), doi:10.1038/s42256-022-00536-x, who gate maps so.

    Examples
    --------
    >>> tune_gate([0.9, 0.7, 0.2, 0.1], [True, True, False, False])
    0.7
    """
    values, truth = np.asarray(probabilities, np.float64), np.asarray(has_lesion, np.bool_)
    if truth.all() or not truth.any():
        return None
    levels = np.unique(values)
    passing = values >= levels[:, None]
    youden = passing[:, truth].mean(axis=1) - passing[:, ~truth].mean(axis=1)
    return float(levels[np.flatnonzero(youden == youden.max())[-1]])
