"""What all that explains a classifier has in common: four uses of one method.

The maps of the usual libraries are stretched per photo so that something always lights up. These
are not: values are raw, comparable from photo to photo for one network, of whatever size they are,
and have no unit.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from itertools import product
from threading import Lock
from typing import Any, ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from slidewin.classifier import Classifier
from slidewin.classifier.module import ModuleClassifier
from slidewin.errors import ArgumentError, ArgumentTypeError, ClassifierError, SlidewinError
from slidewin.grid import Grid, photo_size, plan_grid
from slidewin.heatmap import HeatLayer, HeatMap
from slidewin.image import check_image
from slidewin.pyramid import Band, read_bands
from slidewin.saliency.stitching import Stitching
from slidewin.sweep.layers import settings_of
from slidewin.sweep.stride import HALF_LESION

__all__ = ["ALONE", "MAX_PASSES", "Explainer"]

MAX_PASSES = 100_000
"""Most passes of the network that a photo may take unless the caller allows more."""

ALONE = Lock()
"""Held while a map is made: a hook sees whatever passes through its module, so one at a time."""

_USES = ("input", "photo", "levels", "windows")
_PROGRESS_AFTER_S = 2.0
_BAND_ROWS = 22  # of windows, read at a time

Images = NDArray[np.uint8]
Values = NDArray[np.float32]


class Explainer(ABC):
    """What in an image speaks for a target, by one method: a localiser, in one of four uses.

    A method implements :meth:`explain`, and :meth:`centres` where its cells are not spread evenly.

    Parameters
    ----------
    classifier : Classifier
        From :func:`slidewin.load_classifier`; made from a torch module, for most methods.
    target : str, optional
        As for the sweep; the classifier's own by default. The score that a map explains is the
        target's log odds, calibrated as for the sweep, whose probability is their sigmoid: the log
        of the summed exponentials of the target's logits, less that of all other classes'. Where
        the module returns probabilities, it is the target's.
    on : {"input", "photo", "levels", "windows"}
        What is explained. ``"input"``: the photo shrunk to the classifier's input, as is usual.
        ``"photo"``: the photo as it is, for networks that take any size. ``"levels"``: the photo at
        each of the sweep's scales, for such networks too. ``"windows"``: each of the sweep's
        windows by itself; their maps are stitched together.
    lesion_size
        As for :class:`slidewin.SlidingWindow`, whose levels and windows are planned.
    stride : float, optional
        Distance between neighbouring windows, in lesion diameters. By default half a lesion, as the
        sweep's where its windows go one by one: here they always do, and each costs its passes. A
        sweep whose windows share their work stands closer; 0.25 is what that is with the default
        network, at four times the cost.
    batch_size : int, default 64
        Input-sized images explained at a time.
    max_passes : int, default 100 000
        Photos that would take more passes of the network are refused.
    verbose : int, default 1
        0 is silent; otherwise windows that take over two seconds show their progress.

    Attributes
    ----------
    method : str
        Name of the method, as in the field.
    needs_module : bool
        Whether it looks into a torch module, or asks any classifier.
    thins_out : bool
        Whether its values are shared out over the image, as the gradient of a score is that is a
        mean over the image: of twice the area, each has half the value. With ``on="photo"`` and
        ``"levels"`` they are multiplied by the image's cells over those of one window. So the
        values of photos and levels can be compared with each other, and are those that a window by
        itself would have, about.
    """

    method: ClassVar[str]
    needs_module: ClassVar[bool] = True
    thins_out: ClassVar[bool] = True

    def __init__(
        self,
        classifier: Classifier,
        *,
        target: str | None = None,
        on: Literal["input", "photo", "levels", "windows"] = "input",
        lesion_size: float | tuple[float, float] | None = None,
        stride: float | None = None,
        batch_size: int = 64,
        max_passes: int = MAX_PASSES,
        verbose: int = 1,
    ) -> None:
        is_module = isinstance(classifier, ModuleClassifier)
        if self.needs_module and not is_module:
            raise ClassifierError(
                f"{self.method} needs the layers and gradients of a torch module, and "
                f"{type(classifier).__name__} has none; pass load_classifier(module, ...)"
            )
        if not isinstance(classifier, Classifier):
            raise ArgumentTypeError(
                f"classifier: found {type(classifier).__name__}; wrap it with "
                "slidewin.load_classifier(...), which says what it needs to know"
            )
        if on not in _USES:
            raise ArgumentError(
                f"on={on!r}: choose 'input' or 'photo', or for lesions of a known size 'levels' or "
                "'windows'"
            )
        if on in ("photo", "levels") and not is_module:
            raise ClassifierError(
                f"on={on!r} needs a network that takes any size, and {type(classifier).__name__} "
                f"takes {classifier.input_size} x {classifier.input_size} pixels; use on='input' "
                "or on='windows'"
            )
        for name, value in (("batch_size", batch_size), ("max_passes", max_passes)):
            whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
            if not whole or value < 1:
                raise ArgumentError(f"{name}={value!r}: a whole number from 1 up is needed")
        classifier.target_columns(target)  # refuses a target that no class answers to
        self.classifier = classifier
        self.target = classifier.target if target is None else target
        self.on = on
        self.lesion_size = lesion_size
        self.stride = stride
        self.batch_size = int(batch_size)
        self.max_passes = int(max_passes)
        self.verbose = verbose

    @abstractmethod
    def explain(self, images: Images) -> Values:
        """Evidence for the target in images; called by :meth:`localize`, after :meth:`prepare`.

        Parameters
        ----------
        images : ndarray of shape (n, h, w, 3), uint8
            All of one size: the classifier's input with ``on="input"`` and ``"windows"``, any that
            is no smaller otherwise.

        Returns
        -------
        ndarray of shape (n, rows, cols), float32
            Raw values, finite, 0 and up; each image's depend on that image alone.
        """

    def centres(self, cells: int, length: int, axis: int) -> NDArray[np.float64]:  # noqa: ARG002
        """Where the cells of a map stand along an axis of an image, in its px; by default evenly.

        Parameters
        ----------
        cells : int
            Of the map along the axis.
        length : int
            Of the image along it.
        axis : int
            0 for rows, 1 for columns.

        Returns
        -------
        ndarray of shape (cells,), float64
            Strictly increasing; the centre of pixel ``i`` is at ``i + 0.5``.
        """
        return (np.arange(cells) + 0.5) * length / cells

    def prepare(self) -> Mapping[str, Any]:
        """Look at the classifier before a photo, and return what is to stand in its settings."""
        return {}

    def passes_each(self) -> int:
        """Passes of the network that one image takes; one there and back counts as two."""
        return 1

    def plan(self, photo_shape: tuple[int, ...]) -> Grid:
        """Plan levels and windows for a photo of this shape, as a sweep of single windows would."""
        return plan_grid(
            photo_shape,
            lesion_size=self.lesion_size,
            input_size=self.classifier.input_size,
            context=self.classifier.context,
            stride=HALF_LESION if self.stride is None else self.stride,
        )

    def passes(self, photo_shape: tuple[int, ...]) -> int:
        """Cost of a photo: passes of the network, counted in images of the classifier's size."""
        side = self.classifier.input_size
        if self.on == "input":
            images = 1.0
        elif self.on == "photo":
            images = math.prod(photo_size(photo_shape)) / side**2
        else:
            grid = self.plan(photo_shape)
            seen = [[max(length, side) for length in level.shape] for level in grid.levels]
            whole = sum(math.prod(shape) for shape in seen) / side**2
            images = len(grid) if self.on == "windows" else whole
        return math.ceil(images * self.passes_each())

    def localize(self, photo: ArrayLike) -> HeatMap:
        """Map what speaks for the target over a photo.

        Parameters
        ----------
        photo : ndarray of shape (H, W, 3), uint8

        Returns
        -------
        HeatMap
            Raw values, 0 and up, at the centres of what each cell sees: one layer, or one for each
            of the sweep's levels.

        Raises
        ------
        ArgumentError
            If the photo is smaller than what the network needs, or would take more than
            `max_passes`, or an option does not suit it.
        ClassifierError
            If the network does not take the photo, or returns no class scores for it.
        MissingPackageError
            If a library that the method is computed by is not installed.
        """
        photo = check_image(photo)
        height, width = photo.shape[:2]
        planned = self.passes(photo.shape)
        if planned > self.max_passes:
            raise ArgumentError(
                f"{self.method} with on={self.on!r} would take {planned:,} passes of the network "
                f"for a photo of {height} x {width} pixels, but max_passes={self.max_passes:,}; "
                "raise max_passes, use on='input', or look for larger lesions"
            )
        if self.on == "photo" and min(height, width) < self.classifier.input_size:
            raise ArgumentError(
                f"photo: {height} x {width} pixels are fewer than the "
                f"{self.classifier.input_size} that the network needs along each side; use "
                "on='input'"
            )
        with ALONE, self.classifier.borrowed():
            settings = {"target": self.target, "on": self.on, **self.prepare()}
            if self.on in ("input", "photo"):
                layers: tuple[HeatLayer, ...] = (self._whole(photo),)
            else:
                grid = self.plan(photo.shape)
                layers = self._on_levels(photo, grid)
                settings |= settings_of(grid)
        return HeatMap((height, width), layers, method=self.method, unit="raw", settings=settings)

    def _whole(self, photo: Images) -> HeatLayer:
        """Explain the photo in one piece."""
        seen, side = photo, self.classifier.input_size
        if self.on == "input":
            seen = np.asarray(cv2.resize(photo, (side, side), interpolation=cv2.INTER_AREA))
        (values,) = self._explained(seen[np.newaxis])
        if self.on == "photo" and self.thins_out:
            values = values * np.float32(values.size / self._window_cells())
        rows, cols = (
            centres * of / length
            for centres, length, of in zip(
                self._places(values.shape, seen.shape), seen.shape, photo.shape, strict=False
            )
        )
        return HeatLayer(values, rows=rows, cols=cols)

    def _on_levels(self, photo: Images, grid: Grid) -> tuple[HeatLayer, ...]:
        """Explain the photo level by level, whole or window by window."""
        if self.on == "windows":
            maps = self._stitched(photo, grid)
        else:
            whole = max(level.lattice[0] for level in grid.levels)
            bands = read_bands(photo, grid.levels, most_rows=whole)
            cells = self._window_cells() if self.thins_out else 0
            maps = (self._level(band, cells) for band in bands)
        layers: dict[int, HeatLayer] = {}
        for index, values, rows, cols in maps:
            level = grid.levels[index]
            places = {"rows": level.to_photo(rows, 0.0)[0], "cols": level.to_photo(0.0, cols)[1]}
            layers[index] = HeatLayer(values, **places, reach=grid.reach(index))
        return tuple(layers[index] for index in sorted(layers))

    def _level(self, band: Band, window_cells: int) -> tuple[int, Values, Any, Any]:
        (values,) = self._explained(band.image[np.newaxis])
        if self.thins_out:
            values = values * np.float32(values.size / window_cells)
        rows, cols = self._places(values.shape, band.image.shape)
        return band.index, values, rows, cols

    def _stitched(self, photo: Images, grid: Grid) -> Iterator[tuple[int, Values, Any, Any]]:
        side = self.classifier.input_size
        maps: dict[int, Stitching] = {}
        with tqdm(
            total=len(grid), unit="window", delay=_PROGRESS_AFTER_S, disable=not self.verbose
        ) as bar:
            for band in read_bands(photo, grid.levels, most_rows=_BAND_ROWS):
                level = band.level
                lattice = list(product(range(*band.rows), range(level.lattice[1])))
                top = level.tops[band.rows[0]]
                for start in range(0, len(lattice), self.batch_size):
                    batch = lattice[start : start + self.batch_size]
                    corners = [(level.tops[m] - top, level.lefts[n]) for m, n in batch]
                    found = self._explained(
                        np.stack([band.image[r : r + side, c : c + side] for r, c in corners])
                    )
                    if band.index not in maps:
                        rows, cols = self._places(found.shape[1:], (side, side))
                        maps[band.index] = Stitching(level, rows, cols)
                    for place, values in zip(batch, found, strict=True):
                        maps[band.index].add(*place, values)
                    bar.update(len(batch))
        for index, whole in maps.items():
            yield index, whole.values, whole.rows, whole.cols

    def _window_cells(self) -> int:
        """Cells of the map of one window."""
        side = self.classifier.input_size
        return self._explained(np.zeros((1, side, side, 3), np.uint8)).size

    def _places(
        self, cells: tuple[int, ...], shape: tuple[int, ...]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where rows and columns of cells stand in an image of this shape."""
        return self.centres(cells[0], shape[0], 0), self.centres(cells[1], shape[1], 1)

    def _explained(self, images: Images) -> Values:
        """Explain images, and refuse in words what fails or is no evidence."""
        height, width = images.shape[1:3]
        try:
            values = self.explain(images)
        except SlidewinError:
            raise
        except RuntimeError as error:
            raise ClassifierError(
                f"{self.method} fails{self._place()} for an input of {height} x {width} pixels; "
                f"try on='input' or another layer ({error})"
            ) from error
        if not np.isfinite(values).all():
            raise ClassifierError(
                f"{self.method} gives NaN or infinity{self._place()} for this photo: the network's "
                "gradients or activations are none; try another layer or another method"
            )
        return values

    def _place(self) -> str:
        """Where in the network a method looks, for messages."""
        return ""
