"""From the photo's shape and the lesion's size to the plan, or the reason why there is none."""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from slidewin.errors import ArgumentError, ArgumentTypeError
from slidewin.grid.level import Level
from slidewin.grid.windows import Grid

__all__ = ["LESION_SHARE", "MAX_LADDER_RATIO", "MAX_WINDOWS", "photo_size", "plan_grid"]

LESION_SHARE = (0.04, 0.40)
"""Lesions looked for when no size is given: from 4 % to 40 % of the photo's short side."""

MAX_LADDER_RATIO = math.sqrt(2)
"""Largest ratio between the lesion sizes of neighbouring levels."""

MAX_WINDOWS = 20_000_000
"""Largest grid that is planned unless the caller asks for more."""


def plan_grid(
    photo_shape: Sequence[int],
    *,
    lesion_size: float | tuple[float, float] | None = None,
    input_size: int = 64,
    context: float = 2.0,
    stride: float = 0.5,
    max_windows: int = MAX_WINDOWS,
) -> Grid:
    """Plan the windows in which a classifier of close-ups looks for lesions in a photo.

    Parameters
    ----------
    photo_shape : sequence of int
        Shape of the photo, ``(H, W)`` or ``(H, W, 3)``.
    lesion_size : float or (float, float), optional
        Diameter of the lesions sought, in photo px, at least 1; or the smallest and the largest.
        By default 4 % to 40 % of the photo's short side (:data:`LESION_SHARE`).
    input_size : int, default 64
        Side of the classifier's input, in px, at least 2.
    context : float, default 2.0
        Window side over lesion diameter, as the classifier was trained; 1 to `input_size`.
    stride : float, default 0.5
        Distance between neighbouring windows, in lesion diameters; at most ``context / 2``, which
        is half a window's side. Rounded to whole level px.
    max_windows : int, default 20 000 000
        Refuse to plan more windows than this.

    Returns
    -------
    Grid
        The plan; print it to see what will be done and at what cost.

    Raises
    ------
    ArgumentError
        A value is out of range, the stride is more than half a window's side, or the grid would
        have more than `max_windows` windows. Nothing has been allocated by then.
    ArgumentTypeError
        An argument is not a number, or not of the kind described.

    Notes
    -----
    Lesion sizes form a geometric ladder that holds both ends of the range, with neighbours at most
    sqrt(2) apart (:data:`MAX_LADDER_RATIO`). Each level is the whole photo at scale
    ``input_size / (context * lesion_size)``, rounded to whole pixels. The last window of each row
    and column is shifted back to the border, so every pixel lies in at least one window, no two
    windows coincide, and all have exactly the classifier's size. A side of a level shorter than a
    window is padded by reflection to exactly one window.

    Windows no further apart than half a side are what lets the rendered map light only pixels that
    a window has seen: a value fades to nothing at the centre of the next window.

    The plan takes memory in proportion to the rows and columns of its lattices, not to the windows.

    Examples
    --------
    >>> grid = plan_grid((480, 672, 3), lesion_size=(96, 400))
    >>> grid
    Grid: photo 480 x 672 px, lesions of 96 to 400 px (lesion, side and stride in photo px)
    lesion      level  lattice  windows   side  stride
      96.0  160 x 224   7 x 11       77  192.0    48.0
     127.7  120 x 168    5 x 8       40  255.4    63.9
     169.9   90 x 127    3 x 5       15  339.8    84.9
     226.0    68 x 95    2 x 3        6  452.0   113.0
     300.7    51 x 72    1 x 2        2  601.4   150.3  padded by reflection
     400.0    38 x 54    1 x 1        1  800.0   200.0  padded by reflection
    windows in all: 141 of 64 x 64 level px, 0.58 megapixels to classify; H takes 0.6 kB a class
    >>> len(grid), grid[0].centre, grid[-1].level
    (141, (96.0, 96.0), 5)
    """
    height, width = photo_size(photo_shape)
    input_size = _integer("input_size", input_size, at_least=2)
    max_windows = _integer("max_windows", max_windows, at_least=1)
    context = _number("context", context)
    if not 1 <= context <= input_size:
        raise ArgumentError(
            f"context={context:g} is not between 1 (the window is as wide as the lesion) and "
            f"input_size={input_size} (the lesion is one pixel wide); "
            "pass the window side over the lesion diameter that the classifier was trained with"
        )
    stride = _number("stride", stride)
    lesion_px = input_size / context
    if not 0 < stride <= context / 2:
        raise ArgumentError(
            f"stride={stride:g} lesion diameters is {stride * lesion_px:g} px at the size that the "
            f"classifier sees, where a window's side is {input_size} px; it must be more than 0 "
            f"and at most half the side, {input_size / 2:g} px, which is stride={context / 2:g}"
        )
    # Both clips only undo rounding: stride is positive and at most half a side.
    stride_px = min(max(round(stride * lesion_px), 1), input_size // 2)
    sizes = _lesion_range(lesion_size, min(height, width))
    levels = tuple(
        Level(
            photo_shape=(height, width),
            lesion_size=size,
            shape=(_resampled(height, lesion_px / size), _resampled(width, lesion_px / size)),
            side=input_size,
            stride=stride_px,
        )
        for size in _ladder(*sizes)
    )
    # Not len(level): len() overflows on some of the plans that are refused just below.
    n_windows = sum(math.prod(level.lattice) for level in levels)
    if n_windows > max_windows:
        raise ArgumentError(
            f"{n_windows:,} windows would be needed for lesion_size={sizes} in a photo of "
            f"{height} x {width} px with stride={stride:g}, but max_windows={max_windows:,}; "
            "look for larger lesions, take a larger stride, or raise max_windows"
        )
    return Grid((height, width), levels, input_size, context, sizes, stride)


def photo_size(photo_shape: Sequence[int]) -> tuple[int, int]:
    """Rows and columns of a photo from its shape, ``(H, W)`` or ``(H, W, 3)``, as Python integers.

    Raises
    ------
    ArgumentError
        There are not two or three lengths, the third is not 3, or the photo is empty.
    ArgumentTypeError
        Not a sequence of integers.

    Examples
    --------
    >>> photo_size((480, 640, 3))
    (480, 640)
    """
    wanted = "(H, W) or (H, W, 3), as photo.shape gives it for an RGB photo"
    try:
        lengths = [_integer("a length", length, at_least=1) for length in photo_shape]
    except TypeError:  # no sequence, or not one of integers
        raise ArgumentTypeError(f"photo_shape={photo_shape!r} is not {wanted}") from None
    except ArgumentError:
        raise ArgumentError(f"photo_shape={photo_shape!r} is of a photo without pixels") from None
    if len(lengths) < 2 or lengths[2:] not in ([], [3]):
        raise ArgumentError(f"photo_shape={photo_shape!r} is not {wanted}")
    return lengths[0], lengths[1]


def _resampled(length: int, scale: float) -> int:
    """Length of an axis of a level, in whole pixels."""
    return max(1, round(length * scale))


def _ladder(smallest: float, largest: float) -> list[float]:
    """Lesion sizes in equal ratios, both ends exact, as few as `MAX_LADDER_RATIO` allows."""
    # The slack keeps rounding from adding a step to a range of a whole number of half octaves.
    steps = math.ceil(math.log(largest / smallest, MAX_LADDER_RATIO) - 1e-9)
    if smallest < largest:
        steps = max(steps, 1)  # nor may it merge two ends that are all but equal
    return [float(size) for size in np.geomspace(smallest, largest, steps + 1)]


def _lesion_range(lesion_size: Any, short_side: int) -> tuple[float, float]:
    """Smallest and largest lesion to look for, in photo px."""
    if lesion_size is None:
        smallest, largest = (max(1.0, share * short_side) for share in LESION_SHARE)
        return smallest, largest
    try:
        ends = list(lesion_size)
    except TypeError:
        ends = [lesion_size, lesion_size]
    sizes = [_number(f"a diameter in lesion_size={lesion_size!r}", end) for end in ends]
    if len(sizes) != 2 or not 1 <= sizes[0] <= sizes[1] < math.inf:
        raise ArgumentError(
            f"lesion_size={lesion_size!r} is not a size to look for; pass a diameter in photo px "
            "or the pair (smallest, largest), finite and at least 1"
        )
    return sizes[0], sizes[1]


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ArgumentTypeError(f"{name} must be a number, not {value!r}")
    return float(value)


def _integer(name: str, value: Any, *, at_least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ArgumentTypeError(f"{name} must be a whole number, not {value!r}")
    if value < at_least:
        raise ArgumentError(f"{name}={value} must be at least {at_least}")
    return int(value)
