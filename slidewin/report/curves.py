"""Charts of a comparison: FROC, precision and recall, cost against quality.

All take plain data and give a PNG file. The sweep is drawn in black and thick, other methods in
colours, baselines thin and grey. Maps side by side are in :mod:`slidewin.report.sheet`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from slidewin.errors import ArgumentError
from slidewin.report.chart import new_figure, to_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Line", "Point", "draw_cost", "draw_froc", "draw_precision_recall"]

Kind = Literal["sweep", "method", "baseline"]
Floats = npt.NDArray[np.float64]

_WHAT = "figures of a comparison"
_RATES = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)
_INK, _GREY = "#181a1e", "#8a8f98"
# Okabe and Ito's colours, which the colour-blind tell apart; their black is the sweep's.
_COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#b8a800")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))


@dataclass(frozen=True, eq=False)
class Line:
    """A curve of one method.

    Attributes
    ----------
    name : str
    x, y : array_like of shape (n,)
        Along a FROC curve false candidates per photo and sensitivity, along one of precision and
        recall recall and precision; `x` ascending. NaN is not drawn.
    low, high : array_like of shape (n,), optional
        Interval of `y`, drawn as a band.
    kind : {"sweep", "method", "baseline"}
    """

    name: str
    x: npt.ArrayLike
    y: npt.ArrayLike
    low: npt.ArrayLike | None = None
    high: npt.ArrayLike | None = None
    kind: Kind = "method"


@dataclass(frozen=True)
class Point:
    """What one method costs and what it is worth.

    Attributes
    ----------
    name : str
    seconds : float
        Per megapixel.
    score : float
        A FROC score, say; from 0 to 1.
    low, high : float, optional
        Interval of `score`.
    kind : {"sweep", "method", "baseline"}
    """

    name: str
    seconds: float
    score: float
    low: float | None = None
    high: float | None = None
    kind: Kind = "method"


def draw_froc(lines: Sequence[Line], *, title: str = "") -> bytes:
    """Draw the share of lesions found against false candidates per photo.

    Parameters
    ----------
    lines : sequence of Line
        A curve keeps its last value to the right, up to 8 false candidates per photo.
    title : str

    Returns
    -------
    bytes
        A PNG file.

    Raises
    ------
    ArgumentError
        If there is no line, or one has arrays of different lengths, of none, or `x` descends.
    MissingPackageError
        If matplotlib is not installed.

    Notes
    -----
    The scale is linear up to 1/8 false candidates per photo and logarithmic from there on: the
    LUNA16 score is the mean height at the seven marks.

    Examples
    --------
    >>> import pytest; _ = pytest.importorskip("matplotlib")
    >>> draw_froc([Line("sliding window", [0, 0.5], [0.6, 0.9], kind="sweep")])[1:4]
    b'PNG'
    """
    figure = new_figure(8, 5, what=_WHAT)
    axes = figure.add_subplot(
        xlabel="false candidates per photo", ylabel="lesions found", ylim=(0, 1.02), title=title
    )
    axes.set_xscale("symlog", linthresh=_RATES[0], linscale=0.5)
    axes.set_xlim(0, _RATES[-1])
    axes.set_xticks([0, *_RATES], ["0", "1/8", "1/4", "1/2", "1", "2", "4", "8"], minor=False)
    axes.minorticks_off()
    for line, look in zip(lines, _looks(lines), strict=True):
        x, y, band = _checked(line)
        # Beyond its last point a curve keeps its value.
        x = np.append(x, max(x[-1], _RATES[-1]))
        y = np.append(y, y[-1])
        axes.plot(x, y, drawstyle="steps-post", label=line.name, **look)
        if band is not None:
            _band(axes, x, np.append(band, band[:, -1:], axis=1), "post", look)
    _finish(axes, len(lines))
    return to_png(figure)


def draw_precision_recall(
    lines: Sequence[Line], *, prevalence: float | None = None, title: str = ""
) -> bytes:
    """Draw precision against recall, of the pixels of all photos pooled.

    Parameters
    ----------
    lines : sequence of Line
    prevalence : float, optional
        Share of the pixels that are of lesions: what chance gets, drawn as a line.
    title : str

    Returns
    -------
    bytes
        A PNG file.

    Raises
    ------
    ArgumentError, MissingPackageError
        As :func:`draw_froc` does.

    Examples
    --------
    >>> import pytest; _ = pytest.importorskip("matplotlib")
    >>> draw_precision_recall([Line("Grad-CAM", [0, 0.5], [0.6, 0.2])], prevalence=0.01)[1:4]
    b'PNG'
    """
    figure = new_figure(8, 5, what=_WHAT)
    axes = figure.add_subplot(
        xlabel="lesions' pixels that are flagged (recall)",
        ylabel="flagged pixels that are lesions' (precision)",
        xlim=(0, 1),
        ylim=(0, 1.02),
        title=title,
    )
    for line, look in zip(lines, _looks(lines), strict=True):
        x, y, band = _checked(line)
        # Average precision takes steps that end at each recall reached.
        axes.plot(x, y, drawstyle="steps-pre", label=line.name, **look)
        if band is not None:
            _band(axes, x, band, "pre", look)
    if prevalence is not None:
        axes.axhline(prevalence, color=_INK, linewidth=0.8, label=f"chance, {prevalence:.2g}")
    _finish(axes, len(lines))
    return to_png(figure)


def draw_cost(points: Sequence[Point], *, score: str = "FROC score (LUNA16)") -> bytes:
    """Draw what methods are worth against the seconds they take: left and up is better.

    Parameters
    ----------
    points : sequence of Point
        Numbered from the best score down; the key names them.
    score : str
        What the score is.

    Returns
    -------
    bytes
        A PNG file.

    Raises
    ------
    ArgumentError
        If there is no point, or seconds are not finite and above 0.
    MissingPackageError
        If matplotlib is not installed.

    Examples
    --------
    >>> import pytest; _ = pytest.importorskip("matplotlib")
    >>> draw_cost([Point("sliding window", 0.4, 0.8, kind="sweep"), Point("RISE", 90, 0.3)])[1:4]
    b'PNG'
    """
    if not points:
        raise ArgumentError("points is empty; pass at least one Point")
    for point in points:
        if not 0 < point.seconds < math.inf:
            raise ArgumentError(
                f"points: {point.name} takes {point.seconds!r} s; the scale is logarithmic, so "
                "leave out what was not measured"
            )
    ranked = sorted(points, key=lambda point: -np.nan_to_num(point.score, nan=-1))
    figure = new_figure(8, max(5, 1 + 0.17 * len(points)), what=_WHAT)
    axes = figure.add_subplot(
        xscale="log", xlabel="seconds per megapixel", ylabel=score, ylim=(-0.03, 1.02)
    )
    for rank, (point, look) in enumerate(zip(ranked, _looks(ranked), strict=True), start=1):
        # The best is drawn last; a mark at 0 or on the rim is whole.
        colour, order = look["color"], 2 + len(ranked) - rank
        above: dict[str, Any] = {"zorder": order, "clip_on": False}
        if point.low is not None and point.high is not None:
            ends = [point.low, point.high]
            axes.plot([point.seconds] * 2, ends, color=colour, linewidth=1, **above)
        marker = {"sweep": "s", "method": "o", "baseline": "D"}[point.kind]
        axes.plot(
            point.seconds,
            point.score,
            marker,
            color=colour,
            markersize=11,
            label=f"{rank}  {point.name}",
            **above,
        )
        axes.annotate(
            str(rank), (point.seconds, point.score), color="w", fontsize=6.5, ha="center",
            va="center_baseline", zorder=order,
        )  # fmt: skip
    axes.xaxis.set_major_formatter("{x:g}")
    axes.margins(x=0.1)
    axes.grid(color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    figure.legend(loc="outside right upper", fontsize="x-small", frameon=False, markerscale=0.6)
    return to_png(figure)


def _checked(line: Line) -> tuple[Floats, Floats, Floats | None]:
    """Arrays of a line: x, y, and its band of shape (2, n)."""
    x, y = np.asarray(line.x, np.float64), np.asarray(line.y, np.float64)
    edges = [np.asarray(edge, np.float64) for edge in (line.low, line.high) if edge is not None]
    if x.ndim != 1 or not x.size or any(array.shape != x.shape for array in (y, *edges)):
        raise ArgumentError(
            f"lines: {line.name} has x of shape {x.shape} and y of {y.shape}; pass as many of "
            "each, and of its interval, one or more"
        )
    if (np.diff(x) < 0).any():
        raise ArgumentError(f"lines: {line.name} has an x that descends; sort it, and y with it")
    return x, y, np.stack(edges) if len(edges) == 2 else None


def _band(
    axes: "Axes", x: Floats, band: Floats, step: Literal["pre", "post"], look: Mapping[str, Any]
) -> None:
    axes.fill_between(
        x, band[0], band[1], step=step, color=look["color"], alpha=0.12, linewidth=0, zorder=1
    )


def _looks(ones: Sequence[Line] | Sequence[Point]) -> list[dict[str, Any]]:
    """Colour, width and dashes of each: methods differ in colour, then in dashes."""
    looks: list[dict[str, Any]] = []
    met = {"sweep": 0, "method": 0, "baseline": 0}
    for one in ones:
        i = met[one.kind]
        met[one.kind] += 1
        turn = len(_COLOURS) if one.kind == "method" else 1
        dashes = _DASHES[i // turn % len(_DASHES)]
        colour = {"sweep": _INK, "method": _COLOURS[i % len(_COLOURS)], "baseline": _GREY}
        width = {"sweep": 2.6, "method": 1.5, "baseline": 1.0}
        order = {"sweep": 4, "method": 3, "baseline": 2}
        looks.append(
            {
                "color": colour[one.kind],
                "linewidth": width[one.kind],
                "linestyle": dashes,
                "zorder": order[one.kind],
            }
        )
    return looks


def _finish(axes: "Axes", n: int) -> None:
    """Grid and key; refuse a chart of nothing."""
    if not n:
        raise ArgumentError("lines is empty; pass at least one Line")
    axes.grid(color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    figure = axes.figure
    figure.legend(loc="outside right upper", fontsize="x-small", frameon=False, handlelength=3)
