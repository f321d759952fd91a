"""Thresholds: the value from which a pixel counts, and the policy that chose it.

A threshold carries its policy and what the policy measured, so that a mask can say why it is as it
is. All policies heed the assessed pixels alone, and compare as float32, the type of heat maps.

=============  ======================================  =========================================
policy         source                                  what it is bad at
=============  ======================================  =========================================
fixed          whoever gives the number                maps without a scale, such as raw CAMs
Otsu           Otsu 1979                               it always flags something, lesion or no
percentile     Bau et al. 2017                         it flags the same share of every photo
hysteresis     Canny 1986                              two numbers to choose; what is weak and
                                                       wide comes along with one strong pixel
default        the classifier's own number, strong,    lesions side by side, which become one
               and half of it, weak                    region
best Dice ...  :func:`~slidewin.mask.tuned_threshold`  photos unlike those it was chosen on
false regions  :func:`~slidewin.mask.budget_threshold` it knows nothing of lesions missed
=============  ======================================  =========================================
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from slidewin.errors import ArgumentError, ArgumentTypeError
from slidewin.heatmap import HeatMap
from slidewin.mask.flagged import drop_specks, threshold_mask

__all__ = [
    "WEAK_SHARE",
    "Map",
    "Threshold",
    "assessed_values",
    "default_threshold",
    "frozen_json",
    "hysteresis_threshold",
    "otsu_threshold",
    "percentile_threshold",
    "rendered",
]

Map = HeatMap | npt.NDArray[np.floating]
"""A heat map, or one rendered to pixels: (H, W), floating, NaN where not assessed."""

WEAK_SHARE = 0.5
"""How far a region reaches by default: as far as the map has this share of its threshold."""


@dataclass(frozen=True, repr=False)
class Threshold:
    """The value from which a pixel counts as found, and where it comes from. Immutable.

    Parameters
    ----------
    value : float
        In the unit of the heat map; a pixel equal to it is found.
    policy : str
        How it was chosen, in words.
    weak : float, optional
        For hysteresis: pixels from here up count where they are joined to one that reaches
        `value`; see :func:`~slidewin.mask.threshold_mask`.
    figures : mapping of str to number or str, optional
        What the policy measured, as JSON can hold it.

    Raises
    ------
    ArgumentTypeError
        If a value is no number, `policy` no text, or `figures` cannot be JSON.
    ArgumentError
        If a value is not finite in float32, or `weak` is above `value`.

    Examples
    --------
    >>> Threshold(0.7)
    Threshold(0.7, fixed)
    >>> Threshold(0.7).mask(np.float32([[0.6, 0.7, np.nan]]))
    array([[False,  True, False]])
    >>> Threshold(0.7).to_dict()
    {'value': 0.7, 'weak': None, 'policy': 'fixed', 'figures': {}}
    """

    value: float
    policy: str = "fixed"
    weak: float | None = None
    figures: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Refuse what is no threshold, as the mask would."""
        threshold_mask(np.empty((0, 0), np.float32), self.value, weak=self.weak)
        if not isinstance(self.policy, str):
            raise ArgumentTypeError(f"policy={self.policy!r}: say in words how it was chosen")
        object.__setattr__(self, "value", float(self.value))
        object.__setattr__(self, "weak", None if self.weak is None else float(self.weak))
        object.__setattr__(self, "figures", frozen_json("figures", self.figures))

    def __reduce__(self) -> tuple[Any, ...]:
        # A read-only view of a dict does not pickle; the dict does, and is wrapped anew.
        return Threshold, (self.value, self.policy, self.weak, dict(self.figures))

    def __repr__(self) -> str:
        weak = "" if self.weak is None else f" from {self.weak:g}"
        figures = "".join(
            f", {name} {value:.3g}" if isinstance(value, float) else f", {name} {value}"
            for name, value in self.figures.items()
        )
        return f"Threshold({self.value:g}{weak}, {self.policy}{figures})"

    def mask(
        self, pixels: npt.NDArray[np.floating], *, least_area: float = 0.0
    ) -> npt.NDArray[np.bool_]:
        """Flag the pixels (H, W) of a heat map that count; those not assessed do not.

        Pieces of fewer pixels than `least_area` are specks, and dropped.

        Raises
        ------
        ArgumentError, ArgumentTypeError
            As :func:`~slidewin.mask.threshold_mask` and :func:`~slidewin.mask.drop_specks`.
        """
        return drop_specks(threshold_mask(pixels, self.value, weak=self.weak), least_area)

    def to_dict(self) -> dict[str, Any]:
        """Value, policy and figures, as JSON can hold them."""
        return {
            "value": self.value,
            "weak": self.weak,
            "policy": self.policy,
            "figures": dict(self.figures),
        }


def hysteresis_threshold(weak: float, strong: float) -> Threshold:
    """Flag what is strong, and what is weak and joined to it.

    Parameters
    ----------
    weak, strong : float
        In the unit of the heat map, the lower one first.

    Returns
    -------
    Threshold

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If they are not two finite numbers in this order.

    Notes
    -----
    The strong value decides how many regions there are, the weak one how far each of them reaches.
    Bad at: maps whose background is uneven, where the weak value joins a region to all round it.

    References
    ----------
    Canny, IEEE Trans. Pattern Anal. Mach. Intell. 8:679 (1986), doi:10.1109/TPAMI.1986.4767851.

    Examples
    --------
    >>> hysteresis_threshold(0.5, 0.8).mask(np.float32([[0.6, 0.9, 0.4, 0.6]]))
    array([[ True,  True, False, False]])
    """
    return Threshold(strong, "hysteresis", weak)


def default_threshold(value: float, policy: str = "default") -> Threshold:
    """Flag what reaches a value, as far as the map has half of it.

    What :func:`slidewin.locate` makes of a classifier's own threshold, and what the trainer chooses
    that threshold by.

    Parameters
    ----------
    value : float
        In the unit of the heat map, above 0.
    policy : str
        Where it comes from, in words.

    Returns
    -------
    Threshold
        Its weak bound is :data:`WEAK_SHARE` of the value.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If the value is no finite number above 0.

    Notes
    -----
    The map falls off from a lesion's middle to its edge, and the more so the surer it is of the
    middle: cut at one value that few lesion-free photos reach, a lesion leaves a speck. Half the
    value says how far it goes, and decides nothing about how many there are.

    Examples
    --------
    >>> default_threshold(0.8).mask(np.float32([[0.3, 0.5, 0.9, 0.4, 0.1, 0.7]]))
    array([[False,  True,  True,  True, False, False]])
    """
    strong = Threshold(value).value  # refuses what is no number
    if strong <= 0:
        raise ArgumentError(f"value={value!r}: half of it is the weak bound; pass one above 0")
    return Threshold(strong, policy, WEAK_SHARE * strong)


def otsu_threshold(heatmap: Map) -> Threshold:
    """Part the assessed pixels of one map into the two classes that differ most.

    Parameters
    ----------
    heatmap : HeatMap or ndarray of shape (H, W), floating
        NaN where not assessed. It is not written to.

    Returns
    -------
    Threshold
        The smallest value of the upper class. Its figure, ``separability``, is the variance
        between the classes over the whole: 1 for two values, and 0 for one, where the threshold
        lies just above it.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If it is no map, nothing of it was assessed, or it holds infinity.

    Notes
    -----
    Every value of the map is tried: no bins, so no scale is lost and none is needed. That takes
    about 60 bytes of working memory a pixel, and a second for ten megapixels.

    Bad at: photos without a lesion. Otsu's threshold always flags something, unless the map is
    flat; and where the lesion is small, it parts what is not lesion in two. It is chosen for each
    photo anew, so that regions of two photos are not found by one measure.

    References
    ----------
    Otsu, "A threshold selection method from gray-level histograms", IEEE Trans. Syst. Man Cybern.
    9:62 (1979), doi:10.1109/TSMC.1979.4310076.

    Examples
    --------
    >>> otsu_threshold(np.float32([[1, 2, 8, 9, np.nan]]))
    Threshold(8, Otsu, separability 0.98)
    """
    values, counts = np.unique(assessed_values(heatmap), return_counts=True)
    if len(values) == 1:
        above = float(np.nextafter(values[0], np.float32(np.inf)))
        return Threshold(above, "Otsu", figures={"separability": 0.0})
    # Scaled to [-1, 1] about the mean, so that squares neither overflow nor cancel.
    share = counts / counts.sum()
    spread = values.astype(np.float64) - share @ values.astype(np.float64)
    spread /= np.abs(spread).max()
    below = np.cumsum(share)[:-1]
    moment = np.cumsum(share * spread)[:-1]
    between = moment**2 / (below * (1 - below))
    best = int(np.argmax(between))
    separability = min(1.0, float(between[best] / (share @ spread**2)))
    return Threshold(float(values[best + 1]), "Otsu", figures={"separability": separability})


def percentile_threshold(heatmap: Map, percent: float) -> Threshold:
    """Flag the highest values of one map.

    Parameters
    ----------
    heatmap : HeatMap or ndarray of shape (H, W), floating
        NaN where not assessed. It is not written to.
    percent : float
        In [0, 100]: so many of 100 assessed pixels lie below the threshold, if no two are equal.

    Returns
    -------
    Threshold
        A value of the map. Its figure, ``share_flagged``, is the share of assessed pixels that
        reach it.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If it is no map, nothing of it was assessed, it holds infinity, or `percent` is not in
        [0, 100].

    Notes
    -----
    Bad at: the question whether there is a lesion, and how large it is. The same share of every
    photo is flagged, and more where many pixels are equal: all of a flat map.

    References
    ----------
    Bau et al., "Network dissection", CVPR 2017, arXiv:1704.05796, take the top 0.5 % of a unit's
    activations, over a whole data set.

    Examples
    --------
    >>> percentile_threshold(np.float32([[1, 2, 3, 4, np.nan]]), 75)
    Threshold(4, percentile 75, share_flagged 0.25)
    """
    number = np.asarray(percent)
    if number.ndim or number.dtype.kind not in "fiu" or not 0 <= number <= 100:
        raise ArgumentError(f"percent={percent!r}: a number from 0 to 100 is needed")
    values = assessed_values(heatmap)
    value = np.percentile(values, float(number), method="higher")
    share = np.count_nonzero(values >= value) / values.size
    policy = f"percentile {float(number):g}"
    return Threshold(float(value), policy, figures={"share_flagged": share})


def rendered(heatmap: Map) -> npt.NDArray[np.float32]:
    """Pixels (H, W) of a heat map, float32, NaN where not assessed; an array's own where it can.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If it is no map.
    """
    if isinstance(heatmap, HeatMap):
        return heatmap.to_pixels()
    if not isinstance(heatmap, np.ndarray) or heatmap.dtype.kind != "f" or heatmap.ndim != 2:
        found = f"{heatmap.dtype} {heatmap.shape}" if isinstance(heatmap, np.ndarray) else heatmap
        raise ArgumentTypeError(
            f"heatmap: got {found}; pass a HeatMap, or a map (H, W) of floating-point numbers with "
            "NaN where nothing was assessed"
        )
    with np.errstate(over="ignore"):
        return heatmap.astype(np.float32, copy=False)


def assessed_values(heatmap: Map) -> npt.NDArray[np.float32]:
    """Values (n,) of the assessed pixels, one or more, in no order.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If it is no map, nothing of it was assessed, or it holds infinity.
    """
    pixels = rendered(heatmap)
    values: npt.NDArray[np.float32] = pixels[~np.isnan(pixels)]
    if not values.size:
        raise ArgumentError(
            "heatmap: nothing of it was assessed, so there is nothing to choose a threshold by; "
            "check its region of interest"
        )
    if not np.isfinite(values).all():
        raise ArgumentError("heatmap: holds infinity; pass finite values, and NaN for not assessed")
    return values


def frozen_json(name: str, record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a read-only copy of a record, as a JSON file would give it back.

    Raises
    ------
    ArgumentTypeError
        If it cannot be JSON.
    """
    try:
        return MappingProxyType(json.loads(json.dumps(dict(record), allow_nan=False)))
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(
            f"{name}: cannot be written as JSON: {error}; "
            "pass a mapping of names to Python's own numbers, strings, lists and None"
        ) from None
