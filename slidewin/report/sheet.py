"""The maps of many methods over many photos, side by side, each method on one scale."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from slidewin.errors import ArgumentError
from slidewin.region import COLOUR
from slidewin.report.chart import new_figure, to_png
from slidewin.report.maps import Picture, check_array, draw_heatmap

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PhotoMaps", "draw_maps"]

_OUTLINE = ((0.0, 0.0, 0.0), tuple(channel / 255 for channel in COLOUR))  # a line on its halo
_CELL = 320  # px of a picture's longer side, as drawn
_WRAP = 26  # letters of a reason to a line
_LETTER = 0.07  # inches of a name beside its row


@dataclass(frozen=True, eq=False)
class PhotoMaps:
    """A photo, its lesions and what methods made of it.

    Attributes
    ----------
    name : str
    photo : ndarray of shape (H, W, 3), uint8
    lesions : ndarray of shape (H, W), int or bool
        0 where there is none.
    maps : mapping of str to ndarray of shape (H, W), floating, or to str
        By method: its map, NaN where not assessed; or why there is none.
    """

    name: str
    photo: Picture
    lesions: npt.NDArray[np.integer[Any] | np.bool_]
    maps: Mapping[str, npt.NDArray[np.floating] | str]


def draw_maps(
    photos: Sequence[PhotoMaps],
    *,
    scales: Mapping[str, tuple[float, float]] | None = None,
    title: str = "",
) -> bytes:
    """Draw photos by methods: every column of maps on one scale, lesions outlined.

    Parameters
    ----------
    photos : sequence of PhotoMaps
        From top to bottom. Methods are those of any, in the order in which they come.
    scales : mapping of str to (float, float), optional
        By method, which values have the darkest and the brightest colour, in all photos alike; by
        default 0 and 1.
    title : str

    Returns
    -------
    bytes
        A PNG file. What was not assessed is hatched; where a method made no map, the reason stands.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If there is no photo or no method, an array is not of the shape or type above, or a scale
        is none.
    MissingPackageError
        If matplotlib is not installed.

    Examples
    --------
    >>> import pytest; _ = pytest.importorskip("matplotlib")
    >>> maps = {"sliding window": np.zeros((40, 60), np.float32), "LRP": "not sound here"}
    >>> one = PhotoMaps("a", np.zeros((40, 60, 3), np.uint8), np.zeros((40, 60), bool), maps)
    >>> draw_maps([one])[1:4]
    b'PNG'
    """
    methods = list(dict.fromkeys(name for one in photos for name in one.maps))
    if not methods:
        raise ArgumentError("photos: got no map; pass PhotoMaps with one method or more")
    scales = dict.fromkeys(methods, (0.0, 1.0)) | dict(scales or {})
    for one in photos:
        check_array(f"photo of {one.name}", one.photo, np.uint8, (None, None, 3))
        if one.lesions.shape != one.photo.shape[:2]:
            raise ArgumentError(
                f"lesions of {one.name}: got shape {one.lesions.shape}; the photo's is "
                f"{one.photo.shape[:2]}"
            )
    tall = [1.9 * min(1.6, one.photo.shape[0] / one.photo.shape[1]) for one in photos]
    n_cols = 1 + len(methods)
    figure = new_figure(1.95 * n_cols, sum(tall) + 0.9, what="maps of a comparison")
    figure.suptitle(title, fontsize="medium")
    cells = figure.subplots(len(photos) + 1, n_cols, squeeze=False, height_ratios=[*tall, 0.12])
    for one, inches, row in zip(photos, tall, cells, strict=False):
        _show(row[0], one.photo, one.lesions)
        name = textwrap.fill(one.name, max(8, int(inches / _LETTER)))
        row[0].set_ylabel(name, fontsize="x-small")
        for axes, method in zip(row[1:], methods, strict=True):
            made = one.maps.get(method, "not run")
            if isinstance(made, str):
                _tell(axes, made, one.photo.shape)
                continue
            check_array(f"{method} of {one.name}", made, np.floating, one.photo.shape[:2])
            low, high = scales[method]
            _show(axes, draw_heatmap(made, low=low, high=high), one.lesions)
    for axes, name in zip(cells[0], ["photo", *methods], strict=True):
        axes.set_title(textwrap.fill(name, 20), fontsize="small")
    cells[-1][0].axis("off")
    for axes, method in zip(cells[-1][1:], methods, strict=True):
        if all(isinstance(one.maps.get(method, ""), str) for one in photos):
            axes.axis("off")
            continue
        ramp = draw_heatmap(np.linspace(0, 1, 256, dtype=np.float32)[None])
        axes.imshow(ramp, aspect="auto", interpolation="nearest")
        ends = [f"{value:.3g}" for value in scales[method]]
        axes.set_xticks([0, 255], ends, fontsize="x-small")
        axes.set_yticks([])
    return to_png(figure)


def _show(axes: "Axes", picture: Picture, lesions: npt.NDArray[Any]) -> None:
    """Put a picture into a cell, the lesions outlined on it."""
    height, width = picture.shape[:2]
    factor = min(1.0, _CELL / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    axes.imshow(
        cv2.resize(picture, size, interpolation=cv2.INTER_AREA), extent=(0, width, height, 0)
    )
    axes.set(xticks=[], yticks=[], xlim=(0, width), ylim=(height, 0))
    for k in np.unique(lesions[lesions > 0]).tolist():
        one = np.pad(np.asarray(lesions == k, np.uint8), 1)
        rings, _ = cv2.findContours(one, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        for ring in rings:
            # The padding counts one pixel, and centres of pixels are at +0.5.
            x, y = np.vstack([ring[:, 0], ring[:1, 0]]).T - 0.5
            for colour, thick in zip(_OUTLINE, (1.8, 0.9), strict=True):
                axes.plot(x, y, color=colour, linewidth=thick)


def _tell(axes: "Axes", reason: str, shape: tuple[int, ...]) -> None:
    """Say in a cell of the photo's shape why there is no map."""
    axes.set(xticks=[], yticks=[], xlim=(0, shape[1]), ylim=(shape[0], 0), facecolor="0.94")
    axes.set_aspect("equal")
    words = textwrap.shorten(reason, 150, placeholder=" ...")
    axes.text(
        0.5, 0.5, textwrap.fill(words, _WRAP), transform=axes.transAxes, ha="center", va="center",
        fontsize=6, color="0.35",
    )  # fmt: skip
