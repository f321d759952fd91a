"""The localiser: plan, choose a way, sweep, prove, and map."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from slidewin.classifier import Classifier
from slidewin.errors import ArgumentError, ArgumentTypeError, SharingError, SlidewinWarning
from slidewin.grid import MAX_WINDOWS, Grid
from slidewin.heatmap import HeatMap
from slidewin.image import check_source
from slidewin.sweep.coarse import check_bound, fill_between, first_windows
from slidewin.sweep.gather import gather
from slidewin.sweep.layers import layers_of, settings_of
from slidewin.sweep.proof import Proof
from slidewin.sweep.stride import Plans, plan_sweep
from slidewin.sweep.way import Way, check_way, choose_way
from slidewin.workers import count_workers

__all__ = ["SlidingWindow"]

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
    stride : float, optional
        Distance between neighbouring windows, in lesion diameters; a number is taken as it is. By
        default half a lesion; but where windows share their work and more of them cost no more, a
        quarter or a little less, in whole strides of the network: with the default network its own,
        8 px of 64, exactly a quarter. At half a lesion the place of a lesion on the grid may decide
        whether it is found (``benchmarks/phases.py``).
    engine : {"auto", "shared", "windows"}, default "auto"
        ``"windows"`` classifies windows one by one, which every classifier can. ``"shared"``
        computes once what overlapping windows have in common, and raises :class:`SharingError`
        where that would not be exact. ``"auto"`` shares where it is exact and saves work. On every
        run that shares, a sample of 64 windows or more is classified one by one as well; should
        one differ by more than `tolerance`, ``"auto"`` warns and starts again with windows, half
        a lesion apart if no stride was given.
    tolerance : float, default 1e-4
        Largest difference of a probability that sharing may make.
    precision : {"model", "auto"}, default "model"
        ``"auto"`` shares in half precision (bfloat16 on processors that compute in it, float16 on
        GPUs) if the sample stays within `tolerance`, which 1e-4 is too small for; 0.02 suits most.
    refine_above : float, optional
        Probability of the target, 0 to 1: where windows go one by one, go coarse to fine. First
        every other window of every other row is classified; then, of those between, the ones of
        whose up to four neighbours in the first pass one has this probability or more. The rest
        get what lies between these neighbours, bilinearly, for all classes: less than the bound.
        Lesions may be lost; ``benchmarks/coarse.py`` measures how many, and what is saved. By
        default all windows are classified, as they are in any case where they share their work:
        there a full map costs no more.
    batch_size : int, default 64
        Windows classified at a time, one by one. The answer varies with it by rounding, below 1e-5.
    n_jobs : int, optional
        Workers, as scikit-learn means it: None is 1 unless ``joblib.parallel_config`` says
        otherwise, -1 is all cores. Threads by default; ``joblib.parallel_config("loky")`` takes
        processes. There are never more workers than cores, and each worker's own threads are
        capped so that all together stay within the cores.
    max_windows : int, default 20 000 000
        Larger plans are refused; nor are windows closer than half a lesion, unasked, if these
        would be more. ``H`` takes 4 bytes a window and class.
    verbose : int, default 1
        0 is silent; otherwise work of over two seconds shows its progress.

    Notes
    -----
    The photo is read once (twice with `refine_above`), from top to bottom, and its levels are made
    as it is read: memory holds ``H`` (twice too), a row of the photo's chunks, of each level as
    many rows as a tile has (768 px or four windows), and for each worker what its tile takes: 40 MB
    with the default network at its own stride or half a lesion, ten times that where the stride
    suits it worst. At a quarter of a lesion ``H`` is four times what it is at half: for lesions of
    32 px in 12 megapixels, and three classes, 2.2 MB instead of 0.6.
    So the photo may be larger than memory: a memory map, or a zarr array, read as it is needed.

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
        stride: float | None = None,
        engine: Literal["auto", "shared", "windows"] = "auto",
        tolerance: float = 1e-4,
        precision: Literal["model", "auto"] = "model",
        refine_above: float | None = None,
        batch_size: int = 64,
        n_jobs: int | None = None,
        max_windows: int = MAX_WINDOWS,
        verbose: int = 1,
    ) -> None:
        if not isinstance(classifier, Classifier):
            raise ArgumentTypeError(
                f"classifier: found {type(classifier).__name__}; wrap it with "
                "slidewin.load_classifier(...), which says what it needs to know"
            )
        check_way(engine, precision, tolerance, batch_size)
        check_bound(refine_above)
        count_workers(n_jobs)  # refuses what is no number of workers
        classifier.target_columns(target)  # refuses a target that no class answers to
        self.classifier = classifier
        self.lesion_size = lesion_size
        self.target = classifier.target if target is None else target
        self.stride = stride
        self.engine: Literal["auto", "shared", "windows"] = engine
        self.tolerance = float(tolerance)
        self.precision: Literal["model", "auto"] = precision
        self.refine_above = refine_above
        self.batch_size = int(batch_size)
        self.n_jobs = n_jobs
        self.max_windows = max_windows
        self.verbose = verbose

    def plan(self, photo_shape: tuple[int, ...]) -> Grid:
        """Plan the windows for a photo of this shape; print the plan to see its cost.

        Where no stride was asked for, the classifier is examined: it decides how fine the plan is.
        """
        return self._plans(photo_shape).grid

    def plan_of(self, photo_shape: tuple[int, ...], probabilities: Sequence[Probabilities]) -> Grid:
        """Say by which plan probabilities of a photo of this shape were computed.

        That is ``plan(photo_shape)``, or, where sharing was given up on the way and no stride was
        asked for, the plan of windows half a lesion apart.

        Raises
        ------
        ArgumentError
            If their shapes are those of neither.
        """
        plans = self._plans(photo_shape)
        found = [values.shape for values in probabilities]
        k = len(self.classifier.classes_)
        grid = plans.of([shape[:2] for shape in found])
        if grid is None or any(shape[2:] != (k,) for shape in found):
            wanted = [(*level.lattice, k) for level in plans.grid.levels]
            raise ArgumentError(f"probabilities: found shapes {found}; {wanted} are needed")
        return grid

    def _plans(self, photo_shape: tuple[int, ...]) -> Plans:
        return plan_sweep(
            photo_shape,
            self.classifier,
            stride=self.stride,
            engine=self.engine,
            is_refined=self.refine_above is not None,
            max_windows=self.max_windows,
            lesion_size=self.lesion_size,
        )

    def localize(self, photo: Any) -> HeatMap:
        """Map the probability of the target over a photo.

        Parameters
        ----------
        photo : ndarray of shape (H, W, 3), uint8
            RGB, upright, as :func:`slidewin.read_image` gives it; or anything that has this shape
            and dtype, and gives rows as arrays when sliced, such as a zarr array.

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
        SharingError
            If ``engine="shared"`` and windows cannot share their work exactly.
        SweepError
            If the classifier fails on a window, or a worker is killed.

        Warns
        -----
        SlidewinWarning
            If windows by themselves were found to differ, and sharing was given up.
        """
        photo = check_source(photo)
        probabilities, engine = self._sweep(photo)
        return self.heatmap(photo.shape, probabilities, engine=engine)

    def heatmap(
        self,
        photo_shape: tuple[int, ...],
        probabilities: Sequence[Probabilities],
        *,
        target: str | None = None,
        engine: Mapping[str, Any] | None = None,
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
        engine : mapping, optional
            What is known of how they were computed, for the map's settings.

        Returns
        -------
        HeatMap

        Raises
        ------
        ArgumentError
            If no class answers to the target, the shapes are those of no plan of this sweep, or
            the target is another than that which ``refine_above`` has refined.
        """
        target = self.target if target is None else target
        if self.refine_above is not None and target != self.target:
            raise ArgumentError(
                f"target={target!r}: with refine_above, windows were refined where "
                f"{self.target!r} was likely; sweep once more for another target"
            )
        grid = self.plan_of(photo_shape, probabilities)
        return HeatMap(
            grid.photo_shape,
            layers_of(grid, probabilities, self.classifier, target),
            method=self.method,
            unit="probability",
            settings={
                "target": target,
                **settings_of(grid),
                "batch_size": self.batch_size,
                "engine": dict(engine or {}),
            },
        )

    def probabilities(self, photo: Any) -> tuple[Probabilities, ...]:
        """Probabilities of all classes in every window.

        Parameters
        ----------
        photo : ndarray of shape (H, W, 3), uint8

        Returns
        -------
        tuple of ndarray of shape (m, n, k), float32
            ``H`` of each level of ``plan(photo.shape)``, finest first; see :meth:`plan_of`.

        Raises
        ------
        SlidewinError
            As for :meth:`localize`.
        """
        photo = check_source(photo)
        return self._sweep(photo)[0]

    def _sweep(self, photo: Any) -> tuple[tuple[Probabilities, ...], dict[str, Any]]:
        """Probabilities, and how they were computed."""
        grid, coarse = self._plans(photo.shape)
        alone = Way(self.classifier, None, self.batch_size)
        with self.classifier.borrowed():
            refused: dict[str, SharingError] = {}
            for precision in dict.fromkeys((self.precision, "model")):
                way, because = choose_way(alone, grid, self.engine, precision)
                if way.shared is None:
                    break
                if way.shared.precision in refused:
                    continue  # there is no other
                proof = Proof(way, grid, self.tolerance)
                try:
                    heat = self._swept(photo, grid, way, proof)
                    engine = {
                        **proof.describe(),
                        "refused": {k: str(v) for k, v in refused.items()},
                    }
                    if self.refine_above is not None:
                        why = {"ignored": "windows share their work"}
                        engine["refinement"] = {"refine_above": self.refine_above, **why}
                    return heat, engine
                except SharingError as error:
                    refused[way.shared.precision] = error
            if refused:
                *_, last = refused.values()
                if self.engine == "shared":
                    raise last
                because = str(last)
                apart = "" if coarse is grid else f", {coarse.stride:g} lesions apart"
                message = f"{because}; every window is classified by itself instead{apart}"
                warnings.warn(message, SlidewinWarning, stacklevel=3)
            # By themselves, windows that were to cost nothing would cost as much as any.
            grid = coarse
            engine = {"name": "windows", "because": because}
            if self.refine_above is None:
                return self._swept(photo, grid, alone), engine
            heat, n = self._refined(photo, grid, alone, self.refine_above)
            known = {"classified_windows": n, "classified_share": round(n / len(grid), 4)}
            return heat, {**engine, "refinement": {"refine_above": self.refine_above, **known}}

    def _refined(
        self, photo: Any, grid: Grid, way: Way, bound: float
    ) -> tuple[tuple[Probabilities, ...], int]:
        """Probabilities, coarse to fine, and how many windows were classified."""
        first = [first_windows(level) for level in grid.levels]
        swept = self._swept(photo, grid, way, wanted=first)
        heat = []
        for level, values in zip(grid.levels, swept, strict=True):
            flat = values.reshape(-1, values.shape[-1])
            found = self.classifier.target_probability(flat, self.target).reshape(level.lattice)
            heat.append(fill_between(level, values, found >= bound))
        del swept
        rest = [np.isnan(values[..., 0]) for values in heat]
        if any(map(np.any, rest)):
            more = self._swept(photo, grid, way, wanted=rest)
            for values, others, here in zip(heat, more, rest, strict=True):
                values[here] = others[here]
        return tuple(heat), sum(int(np.count_nonzero(here)) for here in [*first, *rest])

    def _swept(
        self,
        photo: Any,
        grid: Grid,
        way: Way,
        proof: Proof | None = None,
        wanted: Sequence[NDArray[np.bool_]] | None = None,
    ) -> tuple[Probabilities, ...]:
        """Classify all windows, or for each level those wanted."""
        return gather(
            photo,
            grid,
            way,
            n_jobs=self.n_jobs,
            verbose=bool(self.verbose),
            proof=proof,
            wanted=wanted,
        )
