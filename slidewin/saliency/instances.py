"""A photo as the bag of its windows: for each, what a classifier knows of it."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slidewin.classifier import Classifier
from slidewin.grid import Grid
from slidewin.heatmap import HeatLayer
from slidewin.sweep import SlidingWindow
from slidewin.sweep.layers import place_values

if TYPE_CHECKING:
    from slidewin.saliency.embedding import Embedding

__all__ = ["Instances", "WindowInstances"]

_LEAST = 1e-6  # probabilities below are all the same: next to none
_TOLERANCE = 1e-3  # of features, which are larger than probabilities

Values = NDArray[np.float32]


class Instances(NamedTuple):
    """All windows of a photo, level by level, rows before columns.

    Attributes
    ----------
    grid : Grid
    values : ndarray of shape (n, d), float32
        What is known of each window.
    probability : ndarray of shape (n,), float32
        The target's.
    """

    grid: Grid
    values: Values
    probability: Values

    def layers(self, heat: NDArray[np.floating[Any]]) -> tuple[HeatLayer, ...]:
        """Layers of a heat map with a number (n,) for each window, placed as the sweep's are."""
        ends = np.cumsum([len(level) for level in self.grid.levels])
        return place_values(self.grid, np.split(heat, ends[:-1]))


class WindowInstances:
    """Sweeps photos for instances.

    An instance is what the classifier's network knows just before its last layer, its class
    probabilities, and their logarithms; of a classifier that is no torch module, the latter two
    alone. The engine is the sweep's, so windows share their work where that is exact.

    Parameters
    ----------
    classifier : Classifier
    target : str, optional
    **options
        As for :class:`slidewin.SlidingWindow`.
    """

    def __init__(self, classifier: Classifier, *, target: str | None, **options: Any) -> None:
        self._options = {
            **options,
            "verbose": 0,
        }  # who asks for many photos tells how many are done
        self._sweep = SlidingWindow(classifier, target=target, **self._options)
        self.classifier, self.target = classifier, self._sweep.target
        self._by: tuple[Embedding | None, SlidingWindow] | None = None

    def plan(self, photo_shape: tuple[int, ...]) -> Grid:
        """Plan the windows for a photo of this shape.

        Where no stride was asked for, they stand as close as what is left of the network, cut
        before its last layer, can share their work: as the network's own do, mostly.
        """
        return self._swept_by()[1].plan(photo_shape)

    def of(self, photo: NDArray[np.uint8]) -> Instances:
        """Sweep a photo (H, W, 3).

        Raises
        ------
        SlidewinError
            As :meth:`slidewin.SlidingWindow.localize`.
        """
        embedding, sweep = self._swept_by()
        instances, probabilities = [], []
        swept = sweep.probabilities(photo)
        for values in swept:
            features, found = (values[..., :0], values)
            if embedding is not None:
                features, found = embedding.split(values)
            logarithms = np.log(np.maximum(found, _LEAST))
            joined = np.concatenate([features, found, logarithms], axis=-1)
            instances.append(joined.reshape(-1, joined.shape[-1]))
            flat = found.reshape(-1, found.shape[-1])
            probabilities.append(self.classifier.target_probability(flat, self.target))
        grid = sweep.plan_of(photo.shape, swept)
        return Instances(grid, np.concatenate(instances), np.concatenate(probabilities))

    def _swept_by(self) -> "tuple[Embedding | None, SlidingWindow]":
        """The sweep that gives features, or where there are none, probabilities."""
        if self._by is None:
            from slidewin.saliency.embedding import embed

            embedding, sweep = embed(self.classifier), self._sweep
            if embedding is not None:
                sweep = SlidingWindow(embedding, tolerance=_TOLERANCE, **self._options)
            self._by = embedding, sweep
        return self._by
