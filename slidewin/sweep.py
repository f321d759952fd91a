"""The sweep: a classifier of close-ups run over every window of a grid.

``H[m, n] = F(B[m, n])``: B is the window at row m and column n of a level's lattice, F the
classifier. The work is cut into *bands*, a few hundred windows each, in an order and with batches
that depend on the grid and the classifier alone; so the answer is the same, bit for bit, whoever
computes which band and when. A band carries no pixels: the level travels to each worker once, the
classifier likewise, and what comes back is a small array that is written by index.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from pickle import PicklingError
from tempfile import TemporaryDirectory

import cv2
import joblib
import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from slidewin.classifier import Classifier
from slidewin.errors import ArgumentError, ArgumentTypeError, SlidewinError, SweepError
from slidewin.grid import Grid, Level, plan_grid
from slidewin.heatmap import HeatLayer, HeatMap
from slidewin.image import check_image
from slidewin.workers import Parked, cap_threads, count_workers, thread_counts_kept

__all__ = ["SlidingWindow", "resample"]

# Windows in a band: enough that handing it out costs nothing, few enough to spread over cores.
_BAND_WINDOWS = 512
# Where windows share work, a band is at least this many windows high: then at most a quarter is
# done twice, for neighbouring bands overlap by a window.
_BAND_SIDES = 4
_PROGRESS_AFTER_S = 2.0

Probabilities = NDArray[np.float32]


class SlidingWindow:
    """A close-up classifier swept over a photo: a localiser.

    Parameters
    ----------
    classifier : Classifier
        From :func:`slidewin.load_classifier`.
    lesion_size : float or (float, float), optional
        Diameter of the lesions sought, in photo pixels, or the smallest and the largest. By
        default 4 % to 40 % of the photo's short side.
    target : str, optional
        What counts as found: one of the classifier's labels, or ``"lesion"`` for every class but
        the background. The classifier's own target by default.
    stride : float, default 0.5
        Distance between neighbouring windows, in lesion diameters.
    batch_size : int, default 64
        Windows classified at a time. The answer varies with it by rounding, below 1e-5.
    n_jobs : int, optional
        Workers, as scikit-learn means it: None is 1 unless ``joblib.parallel_config`` says
        otherwise, -1 is all cores. Threads by default; ``joblib.parallel_config("loky")`` takes
        processes. There are never more workers than cores, and each worker's own threads are
        capped so that all together stay within the cores.
    verbose : int, default 1
        0 is silent; otherwise work of over two seconds shows its progress.

    Notes
    -----
    Beside the photo, memory holds one or two resampled levels (3 bytes a pixel; smaller than the
    photo unless the lesions are smaller than the classifier saw them) and a batch of windows for
    each worker, or what the windows of a band share. Processes share the levels through a memory
    map; joblib keeps it in shared memory or in ``JOBLIB_TEMP_FOLDER``.

    Examples
    --------
    >>> import slidewin
    >>> def by_darkness(patches):
    ...     dark = 1 - patches.mean(axis=(1, 2, 3)) / 255
    ...     return np.stack([1 - dark, dark], axis=1)
    >>> classifier = slidewin.load_classifier(
    ...     by_darkness, classes=["background", "lesion"], input_size=8)
    >>> photo = np.full((32, 48, 3), 255, np.uint8)
    >>> photo[8:16, 20:28] = 0
    >>> SlidingWindow(classifier, lesion_size=8).localize(photo)
    HeatMap(sliding window, probability, photo 32 x 48 px, 1 layer, 0 to 0.25)
    """

    method = "sliding window"

    def __init__(
        self,
        classifier: Classifier,
        *,
        lesion_size: float | tuple[float, float] | None = None,
        target: str | None = None,
        stride: float = 0.5,
        batch_size: int = 64,
        n_jobs: int | None = None,
        verbose: int = 1,
    ) -> None:
        if not isinstance(classifier, Classifier):
            raise ArgumentTypeError(
                f"classifier: found {type(classifier).__name__}; wrap it with "
                "slidewin.load_classifier(...), which says what it needs to know"
            )
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ArgumentError(f"batch_size={batch_size!r}: a whole number from 1 up is needed")
        count_workers(n_jobs)  # refuses what is no number of workers
        classifier.target_columns(target)  # refuses a target that no class answers to
        self.classifier = classifier
        self.lesion_size = lesion_size
        self.target = classifier.target if target is None else target
        self.stride = stride
        self.batch_size = batch_size
        self.n_jobs = n_jobs
        self.verbose = verbose

    def plan(self, photo_shape: tuple[int, ...]) -> Grid:
        """Plan the windows for a photo of this shape; print the plan to see its cost."""
        return plan_grid(
            photo_shape,
            lesion_size=self.lesion_size,
            input_size=self.classifier.input_size,
            context=self.classifier.context,
            stride=self.stride,
        )

    def localize(self, photo: ArrayLike) -> HeatMap:
        """Map the probability of the target over a photo.

        Parameters
        ----------
        photo : ndarray of shape (H, W, 3), uint8
            RGB, upright, as :func:`slidewin.read_image` gives it; a memory map will do.

        Returns
        -------
        HeatMap
            One layer for each level, its values ``H[m, n]`` at the windows' centres.

        Raises
        ------
        ArgumentError, ArgumentTypeError
            If the photo is no RGB image, or the lesion size does not suit it.
        ClassifierError
            If the classifier returns anything but probabilities.
        SweepError
            If the classifier fails on a window, or a worker is killed.
        """
        photo = check_image(photo)
        return self.heatmap(photo.shape, self.probabilities(photo))

    def heatmap(
        self,
        photo_shape: tuple[int, ...],
        probabilities: Sequence[Probabilities],
        *,
        target: str | None = None,
    ) -> HeatMap:
        """Map a target's probability from those of all classes in every window.

        Parameters
        ----------
        photo_shape : tuple of int
        probabilities : sequence of ndarray of shape (m, n, k), float32
            As :meth:`probabilities` returns them for a photo of this shape: one sweep serves every
            target.
        target : str, optional
            By default the sweep's own.

        Returns
        -------
        HeatMap
        """
        target = self.target if target is None else target
        grid = self.plan(photo_shape)
        layers = []
        for index, (level, values) in enumerate(zip(grid.levels, probabilities, strict=True)):
            flat = values.reshape(-1, values.shape[-1])
            heat = self.classifier.target_probability(flat, target)
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
        return HeatMap(
            grid.photo_shape,
            tuple(layers),
            method=self.method,
            unit="probability",
            settings={
                "target": target,
                "lesion_size": list(grid.lesion_size),
                "stride": grid.stride,
                "context": grid.context,
                "input_size": grid.input_size,
                "batch_size": self.batch_size,
                "levels": [
                    {
                        "lesion_size": level.lesion_size,
                        "shape": list(level.shape),
                        "lattice": list(level.lattice),
                        "padded_by_reflection": level.is_padded,
                    }
                    for level in grid.levels
                ],
            },
        )

    def probabilities(self, photo: ArrayLike) -> tuple[Probabilities, ...]:
        """Probabilities of all classes in every window.

        Parameters
        ----------
        photo : ndarray of shape (H, W, 3), uint8

        Returns
        -------
        tuple of ndarray of shape (m, n, k), float32
            ``H`` of each level of ``plan(photo.shape)``, finest first.

        Raises
        ------
        SlidewinError
            As for :meth:`localize`.
        """
        photo = check_image(photo)
        return self._sweep(photo, self.plan(photo.shape))

    def _sweep(self, photo: NDArray[np.uint8], grid: Grid) -> tuple[Probabilities, ...]:
        k = len(self.classifier.classes_)
        # NaN until computed: a window that is lost by mistake shows as not assessed.
        heat = tuple(np.full((*level.lattice, k), np.nan, np.float32) for level in grid.levels)
        workers = count_workers(self.n_jobs)
        threads = None if workers == 1 else joblib.cpu_count() // workers
        pool = joblib.Parallel(n_jobs=workers, prefer="threads", return_as="generator_unordered")
        with ExitStack() as stack:
            stack.enter_context(self.classifier.borrowed())
            stack.enter_context(thread_counts_kept())
            folder = stack.enter_context(TemporaryDirectory(prefix="slidewin-"))
            classifier = Parked(self.classifier, Path(folder))
            bar = stack.enter_context(
                tqdm(
                    total=len(grid),
                    unit="window",
                    delay=_PROGRESS_AFTER_S,
                    disable=not self.verbose,
                )
            )
            tasks = (
                joblib.delayed(_classify)(classifier, band, self.batch_size, threads)
                for band in _bands(photo, grid, shared=self.classifier.shares_windows)
            )
            try:
                # Closed before thread counts are given back: no worker outlives an error.
                with closing(pool(tasks)) as bands:
                    for index, first, values in bands:
                        heat[index][first : first + len(values)] = values
                        bar.update(values.shape[0] * values.shape[1])
            except BrokenExecutor as error:
                raise SweepError(
                    "a worker process was killed, most likely for want of memory; use a smaller "
                    f"batch_size than {self.batch_size} or fewer workers than {workers}"
                ) from error
            except PicklingError as error:
                raise SweepError(
                    f"the classifier cannot travel to other processes ({error}); sweep it with "
                    "threads (joblib's default here) or with n_jobs=1"
                ) from error
            except (MemoryError, cv2.error) as error:
                raise SweepError(
                    f"a level is too large for memory ({error}); look for larger lesions, or crop "
                    f"the photo.\n{grid}"
                ) from error
            except SlidewinError:  # some are OSErrors too, and say what is wrong
                raise
            except OSError as error:
                raise SweepError(
                    f"what workers share could not be written ({error}); set JOBLIB_TEMP_FOLDER "
                    "and TMPDIR to folders with room, or use threads"
                ) from error
        return heat


@dataclass(frozen=True, eq=False)
class _Band:
    """Some rows of a level's lattice."""

    image: NDArray[np.uint8]  # the whole padded level; a memory map in other processes
    level: Level
    index: int
    rows: tuple[int, int]

    @property
    def tops(self) -> tuple[int, ...]:
        return self.level.tops[slice(*self.rows)]


def resample(photo: NDArray[np.uint8], level: Level) -> NDArray[np.uint8]:
    """Bring a photo to a level's scale, padded by reflection where it is smaller than a window.

    Parameters
    ----------
    photo : ndarray of shape (H, W, 3), uint8
    level : Level
        One of the levels planned for this photo.

    Returns
    -------
    ndarray of shape (h, w, 3), uint8
        Averaged over areas where it shrinks, bilinear where it grows.
    """
    shrinks = level.shape[0] < photo.shape[0] or level.shape[1] < photo.shape[1]
    image = np.asarray(
        cv2.resize(
            np.ascontiguousarray(photo),
            (level.shape[1], level.shape[0]),
            interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
        ),
        np.uint8,
    )
    return np.pad(image, (*level.padding, (0, 0)), mode="reflect") if level.is_padded else image


def _bands(photo: NDArray[np.uint8], grid: Grid, *, shared: bool) -> Iterator[_Band]:
    for index, level in enumerate(grid.levels):
        image = resample(photo, level)
        m, n = level.lattice
        step = max(1, _BAND_WINDOWS // n)
        if shared:
            step = max(step, _BAND_SIDES * level.side // level.stride)
        for first in range(0, m, step):
            yield _Band(image, level, index, (first, min(first + step, m)))


def _classify(
    parked: Parked, band: _Band, batch_size: int, threads: int | None
) -> tuple[int, int, Probabilities]:
    """Run in a worker: probabilities (rows, n, k) of a band, and where they belong."""
    if threads is not None:
        cap_threads(threads)
    classifier = parked.fetch()
    try:
        values = classifier.predict_windows(
            band.image, band.tops, band.level.lefts, batch_size=batch_size
        )
    except Exception as error:
        raise _placed(error, classifier, band) from error
    return band.index, band.rows[0], values


def _placed(error: Exception, classifier: Classifier, band: _Band) -> SlidewinError:
    """The same error, with the window that it comes from, or with the band where that is none."""
    level = band.level
    where = f"of level {band.index} (lesions of {level.lesion_size:.4g} px)"
    rows = f"windows of rows {band.rows[0]} to {band.rows[1] - 1} {where}"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's
        place, advice = rows, "; use a smaller batch_size, or fewer workers"
    elif (failing := _first_failing(classifier, band)) is not None:
        row, column, error = failing
        place, advice = f"window at row {row}, column {column} {where}", ""
        place += (
            f", centred at photo row {level.row_centres[row]:.1f}, column "
            f"{level.col_centres[column]:.1f}"
        )
    else:
        place, advice = rows, "; no window fails by itself: it depends on what a batch holds"
    if isinstance(error, SlidewinError):
        return type(error)(f"{place}: {error}{advice}")
    return SweepError(
        f"{place}: the classifier failed with {type(error).__name__}: {error}{advice}"
    )


def _first_failing(classifier: Classifier, band: _Band) -> tuple[int, int, Exception] | None:
    """Row and column of the first window that fails by itself, and how."""
    tops, lefts = band.level.tops, band.level.lefts
    for m, n in product(range(*band.rows), range(len(lefts))):
        try:
            classifier.predict_windows(band.image, tops[m : m + 1], lefts[n : n + 1])
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the one looked for
            return m, n, error
    return None
