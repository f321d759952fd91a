"""The gallery: photos, their lesions and the maps that were compared, to look at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slidewin.comparison.results import NOTHING
from slidewin.comparison.run import Run
from slidewin.comparison.sample import Sample
from slidewin.comparison.variants import AS_IS, Scale, vary
from slidewin.errors import ArgumentError

__all__ = ["Gallery", "Shown"]


@dataclass(frozen=True, eq=False)
class Shown:
    """A photo, and what methods made of it.

    Attributes
    ----------
    name : str
    photo : ndarray of shape (H, W, 3), uint8
    lesions : ndarray of shape (H, W), int32
        0 where there is none.
    maps : dict of str to ndarray of shape (H, W), float32, or to str
        By method: its map, NaN where not assessed; or why there is none.
    """

    name: str
    photo: NDArray[np.uint8]
    lesions: NDArray[np.int32]
    maps: Mapping[str, NDArray[np.float32] | str]


class Gallery:
    """Photos and maps of a comparison, read from its folder as they are asked for.

    Attributes
    ----------
    lesions : dict of str to int
        How many there are in each photo.
    methods : tuple of str
    """

    def __init__(
        self,
        run: Run,
        scales: Mapping[str, Scale],
        samples: Sequence[Sample],
        lesions: Mapping[str, int],
        methods: Sequence[str],
    ) -> None:
        self._run = run
        self._scales = scales
        self._samples = {sample.name: sample for sample in samples}
        self.lesions = dict(lesions)
        self.methods = tuple(methods)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the photos, in order."""
        return tuple(self._samples)

    def variant(self, method: str) -> str:
        """The variant in which a method's maps are shown; empty where it made none."""
        if (scale := self._scales.get(method)) is None:
            return ""
        if scale.unit == "probability":
            return AS_IS
        return "raw" if scale.constant is None else "scaled"

    def show(self, name: str, methods: Sequence[str]) -> Shown:
        """A photo and methods' maps of it, each on one scale for all photos.

        Probabilities as they are, other maps ``scaled``; raw where there were no validation photos
        to find a scale by.

        Raises
        ------
        ArgumentError
            If there is no such photo or method.
        """
        for kind, one, known in (
            ("name", [name], self.names),
            ("methods", methods, self.methods),
        ):
            if unknown := [word for word in one if word not in known]:
                raise ArgumentError(f"{kind}: {unknown[0]!r} was not compared; there are {known}")
        photo, lesions, _ = self._samples[name].read()
        return Shown(name, photo, lesions, {method: self._map(method, name) for method in methods})

    def _map(self, method: str, name: str) -> NDArray[np.float32] | str:
        result = self._run.result(method, name)
        if result.heatmap is None:
            return result.refused
        pixels = result.heatmap.to_pixels()
        if method not in self._scales:
            return NOTHING
        varied = vary(pixels, self._scales[method], np.zeros(pixels.shape, np.bool_), passes=None)
        return varied[self.variant(method)]
