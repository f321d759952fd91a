"""From probabilities in windows to the layers of a heat map, and what its plan has to say."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slidewin.classifier import Classifier
from slidewin.grid import Grid
from slidewin.heatmap import HeatLayer

__all__ = ["layers_of", "settings_of"]


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
    layers = []
    for index, (level, values) in enumerate(zip(grid.levels, probabilities, strict=True)):
        flat = values.reshape(-1, values.shape[-1])
        heat = classifier.target_probability(flat, target)
        layers.append(
            HeatLayer(
                heat.reshape(level.lattice),
                rows=level.row_centres,
                cols=level.col_centres,
                # A window speaks for a lesion about its centre, so as far as that lesion goes;
                # only the finest level, whose windows come nearest, answers for the border.
                reach=level.lesion_size / 2 if index else np.inf,
            )
        )
    return tuple(layers)


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
