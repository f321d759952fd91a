"""What is known of a window's regions: colours, asymmetries and textures."""

import math
from collections.abc import Iterator, Sequence
from itertools import chain, combinations_with_replacement

import cv2
import numpy as np
from numpy.typing import NDArray

from slidewin.features.regions import Plane, Regions, Values

__all__ = ["Values", "describe"]

# A feature's name, and its values (parts, windows) for some regions of the windows.
Described = Iterator[tuple[str, Values]]

_PAIRS = ((0, 1), (1, 2), (2, 3), (0, 3), (1, 3))  # regions that are compared
_DISTANCES = (1, 3, 6)  # of the neighbours that textures compare, in pixels
_STEPS = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))


def describe(
    image: NDArray[np.uint8], tops: NDArray[np.intp], lefts: NDArray[np.intp], side: int
) -> Described:
    """Describe the windows of a lattice, as :meth:`WindowFeatures.of_lattice` takes them.

    Yields
    ------
    name : str
    values : ndarray of shape (parts, m * n), float64
        One row for each region, or for two of the colours where colours are compared.
    """
    channels = [np.asarray(channel, np.uint8) for channel in cv2.split(image)]
    regions = Regions(image.shape, tops, lefts, side)
    mean = np.stack([regions.means(channel) for channel in channels])
    light = mean.sum(axis=0)
    yield from _colours(channels, regions, mean, light)
    quarters = Regions(image.shape, tops, lefts, side, quarters=True)
    yield from _asymmetries(np.stack([quarters.means(channel) for channel in channels]))
    # Lightness is three times the mean of the channels: a whole number.
    grey = channels[0].astype(np.int16)
    grey += channels[1]
    grey += channels[2]
    for distance in _DISTANCES:
        at = _Neighbours(grey, distance)
        regions = Regions(image.shape, tops, lefts, side, margin=distance)
        quarters = Regions(image.shape, tops, lefts, side, margin=distance, quarters=True)
        textures = chain(
            _edges(at, regions, quarters, light), _spots(at, regions, light), _codes(at, regions)
        )
        for name, values in textures:
            yield f"{name}_at_{distance}", values


def _colours(
    channels: Sequence[NDArray[np.uint8]], regions: Regions, mean: Values, light: Values
) -> Described:
    """Mean colours, how they vary, and how regions differ; (3, 4, N) and (4, N) are means."""
    for name, values in zip(("red", "green", "blue"), mean, strict=True):
        yield f"{name}_mean", values
    chroma = mean / (light + 1)
    yield "red_share", chroma[0]
    yield "blue_share", chroma[2]
    wide = [channel.astype(np.float32) for channel in channels]
    sums = [m * regions.area for m in mean]
    square = regions(wide[1] * wide[1])
    cov = {}
    for i, j in combinations_with_replacement(range(3), 2):
        both = square if i == j == 1 else regions(wide[i] * wide[j])
        cov[i, j] = cov[j, i] = (regions.area * both - sums[i] * sums[j]) / regions.area**2
    # In an opponent space: lightness, red against green, yellow against blue.
    axes = {"grey": (1, 1, 1), "red_green": (1, -1, 0), "yellow_blue": (1, 1, -2)}

    def covariance(one: tuple[int, ...], two: tuple[int, ...]) -> Values:
        total = np.zeros_like(light)
        for i, j in np.ndindex(3, 3):
            if factor := one[i] * two[j]:
                total += factor * cov[i, j]
        return total

    spread = {name: np.sqrt(np.maximum(covariance(axis, axis), 0)) for name, axis in axes.items()}
    for name, values in spread.items():
        yield f"{name}_spread", values
        yield f"{name}_relative_spread", values / (light + 1)
    for name in ("red_green", "yellow_blue"):
        joint = covariance(axes["grey"], axes[name])
        yield f"{name}_with_grey", joint / (spread["grey"] * spread[name] + 1)
    third = regions.means(wide[1] * wide[1] * wide[1])  # of green: that of grey is no float32
    green, deviation = mean[1], np.sqrt(np.maximum(cov[1, 1], 0))
    third += 2 * green * green * green - 3 * green * (square / regions.area)
    yield "skewness", third / (deviation * deviation * deviation + 1)
    for i, j in _PAIRS:
        yield f"contrast_{i}{j}", (mean[:, i] - mean[:, j]) / (mean[:, i] + mean[:, j] + 1)
        yield f"chroma_contrast_{i}{j}", (chroma[:, i] - chroma[:, j])[::2]
        apart = (light[i] - light[j]) / (spread["grey"][i] + spread["grey"][j] + 1)
        yield f"separation_{i}{j}", apart[None]


def _asymmetries(means: Values) -> Described:
    """How far the quarters of a region differ, from their mean colours (3, 4, 4, N)."""
    high, low = means.max(axis=1), means.min(axis=1)
    for name, values in zip(("red", "green", "blue"), (high - low) / (high + low + 1), strict=True):
        yield f"{name}_asymmetry", values
    chroma = (means[0] - means[2]) / (means[0] + means[1] + means[2] + 1)
    yield "chroma_asymmetry", chroma.max(axis=0) - chroma.min(axis=0)


class _Neighbours:
    """Planes of the neighbours of all pixels that have neighbours up to some distance."""

    def __init__(self, plane: Plane, distance: int) -> None:
        self._plane, self._distance = plane, distance

    def __call__(self, down: int, right: int) -> Plane:
        """Neighbours one step (-1, 0 or 1) each way; slanting steps are shortened to a circle."""
        k, (h, w) = self._distance, self._plane.shape
        step = round(k * math.sqrt(0.5)) if down and right else k
        top, left = k + step * down, k + step * right
        return self._plane[top : top + max(h - 2 * k, 0), left : left + max(w - 2 * k, 0)]


def _edges(at: _Neighbours, regions: Regions, quarters: Regions, light: Values) -> Described:
    """The structure tensor of the lightness."""
    across, down = at(0, 1) - at(0, -1), at(1, 0) - at(-1, 0)
    dx, dy = across.astype(np.float32), down.astype(np.float32)
    product = dx * dy
    xx, yy, xy = regions.means(dx * dx), regions.means(dy * dy), regions.means(product)
    energy = xx + yy
    rms = np.sqrt(energy)
    yield "edges", rms
    yield "relative_edges", rms / (light + 1)
    yield "coherence", np.sqrt((xx - yy) * (xx - yy) + 4 * xy * xy) / (energy + 1)
    yield "evenness", regions.means(np.abs(across) + np.abs(down)) / (rms + 1)
    # Edges that go round the middle slant one way in two of the quarters, the other way in two.
    q = quarters(product)
    yield "roundness", ((q[0] + q[2]) - (q[1] + q[3])) / regions.area / (energy + 1)


def _spots(at: _Neighbours, regions: Regions, light: Values) -> Described:
    """The Laplacian of the lightness."""
    laplacian = at(0, 0) * np.int16(4)
    for down, right in _STEPS[::2]:
        laplacian -= at(down, right)
    wide = laplacian.astype(np.float32)
    rms = np.sqrt(regions.means(wide * wide))
    yield "relative_spots", rms / (light + 1)
    yield "spot_evenness", regions.means(np.abs(laplacian)) / (rms + 1)
    yield "spot_sign", regions.means(laplacian) / (rms + 1)


def _codes(at: _Neighbours, regions: Regions) -> Described:
    """How many of eight neighbours are lighter or darker than a pixel, by a 16th of its value."""
    middle = at(0, 0)
    above, below = middle * np.int16(17), middle * np.int16(15)
    lighter, darker = np.zeros((2, *middle.shape), np.uint8)
    for down, right in _STEPS:
        neighbour = at(down, right) * np.int16(16)
        lighter += neighbour > above
        darker += neighbour < below
    yield "lighter", regions.means(lighter)
    yield "darker", regions.means(darker)
    kinds = {
        "flat": (lighter | darker) == 0,
        "pit": lighter >= 6,
        "peak": darker >= 6,
        "edge": (lighter >= 3) & (darker >= 3),
        "foot": (lighter >= 4) & (lighter <= 6) & (darker == 0),
    }
    for name, pixels in kinds.items():
        yield name, regions.means(pixels.view(np.uint8))
