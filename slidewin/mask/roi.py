"""Regions of interest: where in a photo it may matter, and who said so.

A heat map is confined to a region of interest before it is thresholded: inside it keeps its
values, outside it is not assessed. That the map is low somewhere, and that nobody looked there, are
two things; :meth:`slidewin.heatmap.HeatMap.restrict` keeps them apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from slidewin.errors import ArgumentError, ArgumentTypeError
from slidewin.heatmap import HeatMap
from slidewin.mask.thresholds import Map, Threshold, frozen_json, rendered

__all__ = ["RegionOfInterest", "refuse_empty", "roi_from_map"]


@dataclass(frozen=True, eq=False, repr=False)
class RegionOfInterest:
    """A part of a photo, and how it was made. Immutable.

    It stands wherever an array (H, W) of bool does: ``heatmap.restrict(roi)``,
    ``slidewin.locate(photo, classifier, roi=roi)``, ``numpy.asarray(roi)``.

    Parameters
    ----------
    inside : array_like of bool, shape (H, W)
        True where it may matter. Kept as a read-only copy.
    made_by : mapping, optional
        How it was made, as JSON can hold it; ``by`` says so in words.

    Raises
    ------
    ArgumentTypeError
        If `inside` is not bool, or `made_by` cannot be JSON or lacks ``by``.
    ArgumentError
        If `inside` is not two-dimensional, or has no pixels.

    Notes
    -----
    ``a & b`` is where both are, ``a | b`` where either is, ``~a`` where `a` is not; one of the two
    may be an array. The complement of what was made from a heat map holds what that map did not
    assess.

    Examples
    --------
    >>> left = RegionOfInterest([[True, True, False, False]], {"by": "left half"})
    >>> ends = RegionOfInterest([[True, False, False, True]], {"by": "ends"})
    >>> left & ~ends
    RegionOfInterest((left half and not ends), 25% of 1 x 4 px)
    >>> np.asarray(left | ends)
    array([[ True,  True, False,  True]])
    """

    inside: npt.NDArray[np.bool_]
    made_by: Mapping[str, Any] = field(default_factory=lambda: {"by": "array"})

    # With arrays, too, & and | are ours: NumPy's would forget how the region was made.
    __array_ufunc__ = None

    def __post_init__(self) -> None:
        """Copy what is given, or say why it is no region of interest."""
        inside = np.array(self.inside)
        if inside.dtype != np.bool_:
            raise ArgumentTypeError(
                f"inside: got an array of {inside.dtype}; pass bool, such as array > 0"
            )
        if inside.ndim != 2 or not inside.size:
            raise ArgumentError(f"inside: got shape {inside.shape}; pass one mask of shape (H, W)")
        inside.flags.writeable = False
        object.__setattr__(self, "inside", inside)
        made_by = frozen_json("made_by", self.made_by)
        if not isinstance(made_by.get("by"), str):
            raise ArgumentTypeError(
                f"made_by={dict(made_by)}: say in words how, as in 'by': 'hand'"
            )
        object.__setattr__(self, "made_by", made_by)

    def __reduce__(self) -> tuple[Any, ...]:
        # Unpickled arrays are writeable, and a read-only view of a dict does not pickle.
        return RegionOfInterest, (self.inside, dict(self.made_by))

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        return np.array(self.inside, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        height, width = self.inside.shape
        share = f"{100 * self.inside.mean():.3g}%"
        return f"RegionOfInterest({_words(self.made_by)}, {share} of {height} x {width} px)"

    def __and__(self, other: "RegionOfInterest | npt.NDArray[np.bool_]") -> "RegionOfInterest":
        one, two = self._paired(other)
        return _combined("and", one.inside & two.inside, one, two)

    def __or__(self, other: "RegionOfInterest | npt.NDArray[np.bool_]") -> "RegionOfInterest":
        one, two = self._paired(other)
        return _combined("or", one.inside | two.inside, one, two)

    def __rand__(self, other: npt.NDArray[np.bool_]) -> "RegionOfInterest":
        return RegionOfInterest(other) & self

    def __ror__(self, other: npt.NDArray[np.bool_]) -> "RegionOfInterest":
        return RegionOfInterest(other) | self

    def __invert__(self) -> "RegionOfInterest":
        return _combined("not", ~self.inside, self)

    def _paired(
        self, other: "RegionOfInterest | npt.NDArray[np.bool_]"
    ) -> tuple["RegionOfInterest", "RegionOfInterest"]:
        other = other if isinstance(other, RegionOfInterest) else RegionOfInterest(other)
        if self.inside.shape != other.inside.shape:
            raise ArgumentError(
                f"regions of interest of shapes {self.inside.shape} and {other.inside.shape} are "
                "not of one photo; make both from the same photo, at the same size"
            )
        return self, other


def roi_from_map(heatmap: Map, threshold: float | Threshold) -> RegionOfInterest:
    """Take the part of a photo in which a heat map, of whatever localiser, reaches a threshold.

    Parameters
    ----------
    heatmap : HeatMap or ndarray of shape (H, W), floating
        NaN where not assessed; there is no region of interest there.
    threshold : float or Threshold
        In the unit of that map: ``otsu_threshold(heatmap)``, ``percentile_threshold(heatmap, 90)``.

    Returns
    -------
    RegionOfInterest

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If they are no map and no threshold.

    Examples
    --------
    >>> cam = np.float32([[0.1, 2.0, 3.0, np.nan]])
    >>> roi_from_map(cam, 2.0).inside
    array([[False,  True,  True, False]])
    """
    chosen = threshold if isinstance(threshold, Threshold) else Threshold(threshold)
    method = heatmap.method if isinstance(heatmap, HeatMap) else "array"
    made_by = {"by": f"heat map ({method})", "threshold": chosen.to_dict()}
    return RegionOfInterest(chosen.mask(rendered(heatmap)), made_by)


def refuse_empty(roi: RegionOfInterest, name: str) -> None:
    """Refuse a region of interest without anything inside.

    A photo of which nothing is assessed has not been searched, and "0 found" would say it had.

    Raises
    ------
    ArgumentError
        Which calls it by the `name` given.
    """
    if not roi.inside.any():
        raise ArgumentError(
            f"roi={name}: nothing of this photo lies inside, and so nothing would be assessed; "
            "choose another region of interest, or none"
        )


def _combined(by: str, inside: npt.NDArray[np.bool_], *of: RegionOfInterest) -> RegionOfInterest:
    return RegionOfInterest(inside, {"by": by, "of": [dict(one.made_by) for one in of]})


def _words(made_by: Mapping[str, Any]) -> str:
    by: str = made_by["by"]
    if by not in ("and", "or", "not"):
        return by
    of = [_words(one) for one in made_by["of"]]
    return f"not {of[0]}" if by == "not" else f"({f' {by} '.join(of)})"
