"""How far apart windows are where the caller does not say, and the plans that follow.

Where windows go one by one, each costs: half a lesion apart, every lesion has one whose centre is
near its own. But near is not on it: by its place on the grid alone a lesion's peak in the map may
be half of what it is elsewhere. Where windows share their work, those between cost nothing, and a
grid at least twice as fine leaves little to chance.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from slidewin.classifier import Classifier
from slidewin.errors import SharingError
from slidewin.grid import Grid, plan_grid
from slidewin.sweep.coarse import check_stride

__all__ = ["HALF_LESION", "Plans", "plan_sweep"]

HALF_LESION = 0.5
"""Distance between windows that go one by one, in lesion diameters."""


class Plans(NamedTuple):
    """What is swept, and what is swept instead if windows turn out to share nothing.

    One and the same, but where the first is finer because that costs nothing.
    """

    grid: Grid
    alone: Grid

    def of(self, lattices: Sequence[tuple[int, ...]]) -> Grid | None:
        """The plan whose levels have these lattices; None if neither has.

        Two plans that differ differ in their lattices: windows at most half as far apart are more
        along every axis that is longer than one of the coarser steps, and on shorter ones the same.
        """
        for grid in self:
            if [level.lattice for level in grid.levels] == list(lattices):
                return grid
        return None


def plan_sweep(
    photo_shape: Sequence[int],
    classifier: Classifier,
    *,
    stride: float | None,
    engine: str,
    is_refined: bool,
    max_windows: int,
    lesion_size: Any,
) -> Plans:
    """Plan a sweep.

    Parameters
    ----------
    photo_shape : sequence of int
    classifier : Classifier
    stride : float or None
        In lesion diameters; None for half a lesion, or less where that costs nothing.
    engine : {"auto", "shared", "windows"}
    is_refined : bool
        Whether windows that go one by one go coarse to fine.
    max_windows : int
        A plan with more is refused; one that is finer than half a lesion unasked is not made.
    lesion_size : float, (float, float) or None

    Returns
    -------
    Plans

    Raises
    ------
    ArgumentError, ArgumentTypeError
        As :func:`slidewin.grid.plan_grid`.
    """
    side, context = classifier.input_size, classifier.context

    def planned(stride: float) -> Grid:
        return plan_grid(
            photo_shape,
            lesion_size=lesion_size,
            input_size=side,
            context=context,
            stride=stride,
            max_windows=max_windows,
        )

    alone = planned(HALF_LESION if stride is None else stride)
    if is_refined:
        check_stride(alone)
    if stride is not None or engine == "windows":
        return Plans(alone, alone)
    coarse = alone.levels[0].stride
    fine = _free_stride(classifier, coarse)
    # No row or column of windows becomes more than so many; one window stays one.
    times = math.ceil(coarse / fine) ** 2
    if fine == coarse or times * len(alone) > max_windows:
        return Plans(alone, alone)
    return Plans(planned(fine * context / side), alone)


def _free_stride(classifier: Classifier, stride: int) -> int:
    """The largest distance in px, half of that given or less, at which windows cost no more.

    The same distance where there is none: of a network whose cells lie further apart than that, and
    where windows go one by one.
    """
    try:
        with classifier.borrowed():
            shared = classifier.share(stride)
    except SharingError:  # which the sweep asks for again, and tells
        return stride
    finer = stride // 2 // shared.spacing * shared.spacing
    return finer if finer and shared.dense_is_free and shared.saving >= 1 else stride
