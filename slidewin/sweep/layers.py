"""From probabilities in windows to the layers of a heat map, and what its plan has to say."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slidewin.classifier import Classifier
from slidewin.grid import Grid
from slidewin.heatmap import HeatLayer

__all__ = ["layers_of", "place_values", "settings_of"]


def layers_of(
    grid: Grid, probabilities: Sequence[NDArray[np.float32]], classifier: Classifier, target: str
) -> tuple[HeatLayer, ...]:
    """One layer for each level: a target's probability at the windows' centres.

    Parameters
    ----------
    grid : Grid
    probabilities : sequence of ndarray of shape (m, n, k), float32
        Of all classes, level by level, in the shapes of the levels' lattices.
    classifier : Classifier
        Whose classes they are.
    target : str
    """
    flat = (values.reshape(-1, values.shape[-1]) for values in probabilities)
    return place_values(grid, [classifier.target_probability(each, target) for each in flat])


def place_values(grid: Grid, values: Sequence[NDArray[np.floating[Any]]]) -> tuple[HeatLayer, ...]:
    """One layer for each level: a number (m * n,) of every window, at the windows' centres."""
    return tuple(
        HeatLayer(
            heat.reshape(level.lattice),
            rows=level.row_centres,
            cols=level.col_centres,
            reach=grid.reach(index),
        )
        for index, (level, heat) in enumerate(zip(grid.levels, values, strict=True))
    )


def settings_of(grid: Grid) -> dict[str, Any]:
    """What a plan has to say in a map's settings, as JSON can hold it."""
    return {
        "lesion_size": list(grid.lesion_size),
        "stride": grid.stride,
        "context": grid.context,
        "input_size": grid.input_size,
        "levels": [
            {
                "lesion_size": level.lesion_size,
                "shape": list(level.shape),
                "lattice": list(level.lattice),
                "padded_by_reflection": level.is_padded,
            }
            for level in grid.levels
        ],
    }
