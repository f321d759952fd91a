"""The heat map: values at places in a photo, on an absolute scale, and their rendering to pixels.

Every localiser gives this one type, and all that comes after it is blind to who made it. A map
keeps what was measured, one lattice of values a layer, each value at the centre of what it was
measured on; pixels are derived from it. NaN means *not assessed* and is never 0.

Along one axis, three values of a lattice, at 2, 4 and 7, and the pixels between and beyond them::

    photo pixel  |  0  |  1  |  2  |  3  |  4  |  5  |  6  |  7  |
    lattice                  a           b                 c
    rendered        a     a   3a+b  a+3b  5b+c   b+c  b+5c    c
    divided by                  4     4     6     2     6
"""

import json
import math
import operator
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from slidewin.errors import ArgumentError, ArgumentTypeError
from slidewin.grid import photo_size

__all__ = ["HeatLayer", "HeatMap"]

_LARGEST = 1e38
"""Bound on raw values: the difference of any two then still fits float32."""

_STRIP_PIXELS = 2**17
"""Pixels rendered at a time: small enough that the temporaries stay in a core's cache."""


@dataclass(frozen=True, eq=False, repr=False)
class HeatLayer:
    """One lattice of values and where in the photo each of them stands.

    Parameters
    ----------
    values : array_like of shape (m, n)
        One number for each place; NaN where it was not assessed. Kept as a read-only float32 copy.
    rows : array_like of shape (m,)
        Photo row of each lattice row, strictly increasing. The centre of photo pixel ``(r, c)`` is
        at ``(r + 0.5, c + 0.5)``. Kept as a read-only float64 copy.
    cols : array_like of shape (n,)
        Photo column of each lattice column, likewise.
    reach : float, optional
        How far beyond its outermost places a layer has a say, in photo px: on the way there its
        values fade to 0, as towards a place where nothing is, and farther out it is not assessed.
        By default they hold as far as the photo goes.

    Raises
    ------
    ArgumentError
        The shapes do not agree, a value is infinite or beyond 1e38, the places are not finite
        and strictly increasing, or `reach` is negative.
    ArgumentTypeError
        The values or places are not real numbers.

    Examples
    --------
    >>> HeatLayer([[0.0, 0.5, 1.0]], rows=[8.0], cols=[4.0, 8.0, 12.0])
    HeatLayer(1 x 3, 0 to 1)
    """

    values: npt.NDArray[np.float32]
    rows: npt.NDArray[np.float64]
    cols: npt.NDArray[np.float64]
    reach: float = math.inf

    def __post_init__(self) -> None:
        if not self.reach >= 0:
            raise ArgumentError(f"reach={self.reach!r} must be a number of photo px from 0 up")
        # The range is checked below, in words; a cast that overflows need not warn as well.
        with np.errstate(over="ignore"):
            values = _numbers("values", self.values).astype(np.float32)
        if values.ndim != 2 or values.size == 0:
            raise ArgumentError(f"values have shape {values.shape}; a lattice (m, n) is needed")
        if (np.abs(values) > _LARGEST).any():
            raise ArgumentError(
                "values hold infinity or a number beyond 1e38; pass finite values, and NaN for "
                "what was not assessed"
            )
        rows = _centres("rows", self.rows, values.shape[0])
        cols = _centres("cols", self.cols, values.shape[1])
        for name, array in (("values", values), ("rows", rows), ("cols", cols)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    def __reduce__(self) -> tuple[Any, ...]:
        # Unpickled arrays are writeable; made anew, they are not.
        return HeatLayer, (self.values, self.rows, self.cols, self.reach)

    def __repr__(self) -> str:
        return f"HeatLayer({self.values.shape[0]} x {self.values.shape[1]}, {_span(self)})"


@dataclass(frozen=True, eq=False, repr=False)
class HeatMap:
    """A map over a photo, as a localiser made it. Immutable.

    Parameters
    ----------
    photo_shape : sequence of int
        Shape of the photo, ``(H, W)`` or ``(H, W, 3)``; kept as ``(H, W)``.
    layers : sequence of HeatLayer
        The lattices: one for each level of a sweep, one for most other localisers.
    method : str
        What made the map, in words: ``"sliding window"``.
    unit : {"probability", "raw"}
        What the values are. Probabilities lie in [0, 1]; raw values in any range, and are never
        rescaled.
    assessed : array_like of bool, shape (H, W), optional
        Where the map holds; it is NaN elsewhere. By default everywhere.
    settings : mapping, optional
        What made the map, as JSON can hold it.

    Raises
    ------
    ArgumentError
        There are no layers, a probability is outside [0, 1], `unit` is unknown, or `assessed` is
        not of the photo's shape.
    ArgumentTypeError
        A layer is not a HeatLayer, `assessed` is not boolean, or `settings` cannot be JSON.

    Examples
    --------
    A photo of 4 x 4 pixels, and one layer of 2 x 2 windows of side 2:

    >>> layer = HeatLayer([[0.0, 0.8], [0.0, 0.8]], rows=[1.0, 3.0], cols=[1.0, 3.0])
    >>> heat = HeatMap((4, 4), [layer], method="by hand", unit="probability")
    >>> heat
    HeatMap(by hand, probability, photo 4 x 4 px, 1 layer, 0 to 0.8)
    >>> heat.to_pixels(rows=(0, 1))
    array([[0. , 0.2, 0.6, 0.8]], dtype=float32)
    """

    photo_shape: tuple[int, int]
    layers: tuple[HeatLayer, ...]
    _: KW_ONLY
    method: str
    unit: Literal["probability", "raw"]
    assessed: npt.NDArray[np.bool_] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        photo_shape = photo_size(self.photo_shape)
        layers = tuple(self.layers)
        if not layers:
            raise ArgumentError("layers is empty; a heat map needs at least one HeatLayer")
        for layer in layers:
            if not isinstance(layer, HeatLayer):
                raise ArgumentTypeError(f"layers must hold HeatLayer, not {type(layer).__name__}")
        if self.unit not in ("probability", "raw"):
            raise ArgumentError(f"unit={self.unit!r} is neither 'probability' nor 'raw'")
        if self.unit == "probability":
            for layer in layers:
                if ((layer.values < 0) | (layer.values > 1)).any():
                    raise ArgumentError(
                        f"values go from {_span(layer)}, but probabilities lie in [0, 1]; check "
                        "what the classifier returns, or pass unit='raw'"
                    )
        object.__setattr__(self, "photo_shape", photo_shape)
        object.__setattr__(self, "layers", layers)
        object.__setattr__(self, "settings", _jsonable(self.settings))
        if self.assessed is not None:
            assessed = _region("assessed", self.assessed, photo_shape).copy()
            assessed.flags.writeable = False
            object.__setattr__(self, "assessed", assessed)

    def __reduce__(self) -> tuple[Any, ...]:
        # A read-only view of a dict does not pickle; the dict does, and is wrapped anew.
        make = partial(
            HeatMap,
            method=self.method,
            unit=self.unit,
            assessed=self.assessed,
            settings=dict(self.settings),
        )
        return make, (self.photo_shape, self.layers)

    def __repr__(self) -> str:
        height, width = self.photo_shape
        layers = "1 layer" if len(self.layers) == 1 else f"{len(self.layers)} layers"
        share = "" if self.assessed is None else f", within {self.assessed.mean():.0%} of the photo"
        return (
            f"HeatMap({self.method}, {self.unit}, photo {height} x {width} px, {layers}, "
            f"{_span(*self.layers)}{share})"
        )

    def to_pixels(self, *, rows: tuple[int, int] | None = None) -> npt.NDArray[np.float32]:
        """Render the map: one value for each pixel of the photo.

        Parameters
        ----------
        rows : (int, int), optional
            Render only these rows of the photo, ``start`` to ``stop``, half-open. The values are
            those of the whole rendering, bit for bit. By default all rows.

        Returns
        -------
        ndarray of shape (H, W) or (stop - start, W), float32
            The map, in its own unit and on its own scale, NaN where not assessed. It is the
            caller's to change.

        Raises
        ------
        ArgumentError
            `rows` is not a range of the photo's rows, or is empty.
        ArgumentTypeError
            `rows` is not a pair of whole numbers.

        Notes
        -----
        A layer is interpolated bilinearly between the places of its values; beyond the outermost
        it holds, or fades where its reach ends (held, a lesion seen in the outermost window alone
        would look as likely half its diameter further out); a pixel is NaN if any value that bears
        on it is.
        Layers are merged by the maximum, and a pixel is NaN only if it is in all of them. Nothing
        is rescaled: a flat lattice gives an exactly flat map, and no pixel lies outside the range
        of the lattices, and of 0 where one fades.

        Why not the mean over the windows that cover a pixel? Because windows stand half a lesion
        apart, and such a mean depends on how a lesion happens to fall between them: measured with
        one lesion moved over all phases of a grid, its peak ran from 0.54 to 0.98, lowest where a
        window held the lesion squarely and its worse-placed neighbours outvoted it. Between window
        centres the peak is that of the best-placed window. The maximum over covering windows keeps
        the peak too, but paints regions several times too large.

        Memory is 4 bytes a pixel for the result, and a few MB of strips while it is made.
        """
        height, width = self.photo_shape
        try:
            start, stop = (0, height) if rows is None else map(operator.index, rows)
        except (TypeError, ValueError):
            raise ArgumentTypeError(f"rows={rows!r} is not a pair (start, stop)") from None
        if not 0 <= start < stop <= height:
            raise ArgumentError(
                f"rows=({start}, {stop}) is not a range of the photo's {height} rows; "
                f"pass (start, stop) with 0 <= start < stop <= {height}"
            )
        lowest, highest = _extremes(*self.layers)
        if not all(math.isinf(layer.reach) for layer in self.layers):
            lowest, highest = np.fmin(lowest, np.float32(0)), np.fmax(highest, np.float32(0))
        columns = [_Blend(layer.cols, layer.reach, 0, width, axis=1) for layer in self.layers]
        pixels = np.full((stop - start, width), np.nan, np.float32)
        step = max(1, _STRIP_PIXELS // width)
        for top in range(start, stop, step):
            bottom = min(top + step, stop)
            strip = pixels[top - start : bottom - start]
            for layer, across in zip(self.layers, columns, strict=True):
                down = _Blend(layer.rows, layer.reach, top, bottom, axis=0)
                np.fmax(strip, across(down(layer.values)), out=strip)
            # Rounding may carry a + t * (b - a) past b where t is all but 1.
            np.clip(strip, lowest, highest, out=strip)
            if self.assessed is not None:
                strip[~self.assessed[top:bottom]] = np.nan
        return pixels

    def restrict(self, region: npt.ArrayLike) -> "HeatMap":
        """Confine the map to a region of interest; it is not assessed outside.

        Parameters
        ----------
        region : array_like of bool, shape (H, W)
            True where the map is to hold. Earlier restrictions stay in force.

        Returns
        -------
        HeatMap
            A new map that shares this one's layers.

        Raises
        ------
        ArgumentError
            `region` is not of the photo's shape.
        ArgumentTypeError
            `region` is not boolean.

        Examples
        --------
        >>> layer = HeatLayer([[0.5]], rows=[1.0], cols=[1.5])
        >>> heat = HeatMap((2, 3), [layer], method="by hand", unit="probability")
        >>> heat.restrict([[True, True, False], [False, True, True]]).to_pixels()
        array([[0.5, 0.5, nan],
               [nan, 0.5, 0.5]], dtype=float32)
        """
        assessed = _region("region", region, self.photo_shape)
        if self.assessed is not None:
            assessed = assessed & self.assessed
        return replace(self, assessed=assessed)


class _Blend:
    """Linear interpolation along one axis, from lattice places to the centres of pixels.

    Written as ``a + t * (b - a)`` so that equal neighbours give exactly their value, and with both
    neighbours the same where ``t`` is 0, so that a NaN without weight does not spread.
    """

    def __init__(
        self, centres: npt.NDArray[np.float64], reach: float, start: int, stop: int, *, axis: int
    ) -> None:
        pixels = np.arange(start, stop) + 0.5
        place = np.interp(pixels, centres, np.arange(len(centres)))
        self.lower = np.floor(place).astype(np.intp)
        self.upper = np.ceil(place).astype(np.intp)
        self.axis = axis
        weight = (place - self.lower).astype(np.float32)
        self.weight = np.expand_dims(weight, 1 - axis)
        beyond = np.maximum(centres[0] - pixels, pixels - centres[-1]).clip(0)
        # Where it reaches all of the photo it holds, else it fades; NaN is what is out of reach.
        near = np.ones(len(pixels)) if math.isinf(reach) else 1 - beyond / max(reach, 1e-9)
        near[beyond > reach] = np.nan
        self.near = np.expand_dims(near.astype(np.float32), 1 - axis)

    def __call__(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        lower = values.take(self.lower, axis=self.axis)
        blended: npt.NDArray[np.float32] = values.take(self.upper, axis=self.axis)
        blended -= lower
        blended *= self.weight
        blended += lower
        blended *= self.near
        return blended


def _numbers(name: str, array: npt.ArrayLike) -> npt.NDArray[Any]:
    numbers = np.asarray(array)
    if numbers.dtype.kind not in "fiu":
        raise ArgumentTypeError(f"{name} must be real numbers, not of dtype {numbers.dtype}")
    return numbers


def _centres(name: str, array: npt.ArrayLike, length: int) -> npt.NDArray[np.float64]:
    centres = _numbers(name, array).astype(np.float64)
    if centres.shape != (length,):
        raise ArgumentError(
            f"{name} have shape {centres.shape}; the lattice of values needs ({length},)"
        )
    if not (np.isfinite(centres).all() and (np.diff(centres) > 0).all()):
        raise ArgumentError(f"{name} must be finite and strictly increasing photo coordinates")
    return centres


def _region(
    name: str, region: npt.ArrayLike, photo_shape: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    array = np.asarray(region)
    if array.dtype != np.bool_:
        raise ArgumentTypeError(f"{name} must be boolean, not {array.dtype}; pass {name} > 0")
    if array.shape != photo_shape:
        raise ArgumentError(f"{name} has shape {array.shape}; the photo's is {photo_shape}")
    return array


def _jsonable(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a read-only copy of the settings, as a JSON file would give them back."""
    try:
        return MappingProxyType(json.loads(json.dumps(dict(settings), allow_nan=False)))
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(
            f"settings cannot be written as JSON: {error}; "
            "pass a mapping of names to Python's own numbers, strings, lists and None"
        ) from None


def _extremes(*layers: HeatLayer) -> tuple[np.float32, np.float32]:
    """Smallest and largest value of the lattices; NaN if nothing was assessed."""
    return (
        np.fmin.reduce([np.fmin.reduce(layer.values, axis=None) for layer in layers]),
        np.fmax.reduce([np.fmax.reduce(layer.values, axis=None) for layer in layers]),
    )


def _span(*layers: HeatLayer) -> str:
    lowest, highest = _extremes(*layers)
    return "nothing assessed" if np.isnan(lowest) else f"{lowest:.3g} to {highest:.3g}"
