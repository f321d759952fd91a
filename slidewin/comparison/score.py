"""Scores: what each method's maps of each photo are worth, all on the same pixels.

Three rounds over the photos. The first finds what any method did not assess, and each method's
scale; the second its threshold, on validation photos; the third scores. A photo is read once a
round, and one map held at a time.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from slidewin.comparison.methods import SWEEP
from slidewin.comparison.run import Run
from slidewin.comparison.sample import Sample
from slidewin.comparison.variants import (
    AS_IS,
    Scale,
    Survey,
    make_scale,
    name_thresholds,
    survey_map,
    tune_gate,
    vary,
)
from slidewin.heatmap import HeatMap
from slidewin.mask import threshold_mask
from slidewin.metrics import (
    BoxMatches,
    Energy,
    Judged,
    LesionDice,
    PixelCounts,
    best_threshold,
    count_pixels,
    energy_pointing,
    find_candidates,
    grid_ceiling,
    judge_candidates,
    lesion_dice,
    match_boxes,
    peak_recall,
    photo_score,
    pointing_game,
    pointing_tolerance,
)
from slidewin.workers import spread

__all__ = ["PhotoScore", "Scored", "score_maps"]

_DECIMALS = 6  # of photo scores: what is left of a map's scale in one that was stretched goes

# Thresholds relative to a map's maximum are those of a stretched map, as published; and absolute
# ones ask for a scale.
_BOXES: dict[str, tuple[Any, ...]] = {
    "as is": ("relative", "absolute"),
    "raw": (),
    "minmax": ("relative",),
    "scaled": ("absolute",),
    "gated": (),
}

Which = tuple[str, str]
Mask = NDArray[np.bool_]
Lesions = Sequence[Mask] | Mask
Pixels = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PhotoScore:
    """What one variant of a method is worth in one photo.

    Attributes
    ----------
    counts : PixelCounts
        In bins; of ``raw``, bins of rank.
    judged : Judged
        With scores on the variant's own scale.
    boxes : mapping of str to BoxMatches
        By scale, those that are worth having; none in photos without lesions, which MaxBoxAccV2
        does not know.
    highest, highest_mean : float
        Of its pixels the highest, and the mean of the highest thousandth.
    pointing, pointing_near, pointing_stride : float
        The pointing game: exactly, within its usual tolerance, and within half the sweep's stride.
    peaks : float
        Share of the lesions that as many of the map's best peaks hit.
    energy : Energy
    outlined : mapping of str to sequence of LesionDice
        Of each lesion, by the names of :func:`name_thresholds`.
    ceiling : float
        The best Dice that a map of the sweep's lattice can reach; NaN of all other methods.
    """

    counts: PixelCounts
    judged: Judged
    boxes: Mapping[str, BoxMatches]
    highest: float
    highest_mean: float
    pointing: float
    pointing_near: float
    pointing_stride: float
    peaks: float
    energy: Energy
    outlined: Mapping[str, Sequence[LesionDice]]
    ceiling: float


@dataclass(frozen=True, eq=False)
class Scored:
    """All that a table is made of.

    Attributes
    ----------
    photos : dict of (str, str) to dict of str to PhotoScore
        By method and variant, then by the photo's name; photos that a method refused are missing.
    thresholds : dict of (str, str) to float
        Tuned on validation photos, on the scale of the bins. Missing where there are none.
    scales : dict of str to Scale
        By method.
    gate : float or None
        The photo probability from which ``gated`` maps are let through.
    radius : float
        Within which of two candidates the better is kept.
    radius_of : str
        Half of what that is, in words.
    ignored : float
        Share of the pixels that some method did not assess or the data set says to ignore.
    unseen : int
        Lesions that lie wholly there, and are no method's to find.
    lesions : dict of str to int
        How many others there are in each photo.
    validation : (int, int)
        Validation photos with lesions, and without.
    """

    photos: dict[tuple[str, str], dict[str, PhotoScore]]
    thresholds: dict[tuple[str, str], float]
    scales: dict[str, Scale]
    gate: float | None
    radius: float
    radius_of: str
    ignored: float
    unseen: int
    lesions: dict[str, int]
    validation: tuple[int, int]


@dataclass(frozen=True, eq=False)
class _Surveyed:
    """What the first round knows of a photo."""

    ignore: NDArray[np.uint8]
    unassessed: NDArray[np.uint8]  # of what is ignored, what some method did not look at
    shape: tuple[int, int]
    diameters: Mapping[int, float]  # of the lesions that count, by number
    unseen: int
    surveys: dict[str, Survey]
    probability: float
    stride: float  # the sweep's, where it is finest, in pixels
    smallest: float  # lesion that the sweep looks for, likewise

    @property
    def n_lesions(self) -> int:
        return len(self.diameters)

    def ignored(self) -> Mask:
        return _unpacked(self.ignore, self.shape)


def score_maps(
    run: Run,
    methods: Sequence[str],
    samples: Sequence[Sample],
    validation: Sequence[Sample] = (),
    *,
    n_jobs: int | None = None,
    verbose: int = 1,
) -> Scored:
    """Score the maps of methods, the sweep among them.

    Notes
    -----
    What is kept takes 16 kB a photo, method and variant, and two bits a pixel. Time is up to half a
    second a megapixel and method, most of it for the boxes at 100 thresholds; and once a photo
    1.2 s a megapixel of the box round its lesions, for what the lattice of the sweep allows.
    """
    everywhere = [*validation, *samples]
    look = partial(_survey, run=run, methods=methods)
    surveyed = dict(_each(look, everywhere, "survey", n_jobs, verbose))
    held = [surveyed[sample.name] for sample in validation]
    shown = [surveyed[sample.name] for sample in samples]
    scales = {}
    for method in methods:
        all_of_it = [one.surveys[method] for one in (*held, *shown) if method in one.surveys]
        if any(survey.n_pixels for survey in all_of_it):
            positives = [one for one in held if one.n_lesions and method in one.surveys]
            scales[method] = make_scale(all_of_it, [one.surveys[method] for one in positives])
    known = [one for one in held if not np.isnan(one.probability)]
    gate = tune_gate([one.probability for one in known], [one.n_lesions > 0 for one in known])
    radius, radius_of = _radius(shown, held)

    scorer = _Scorer(run, scales, gate, surveyed, radius, {})
    tuned: dict[Which, list[PixelCounts]] = {}
    for _, counted in _each(scorer.counts, validation, "tune", n_jobs, verbose):
        for which, counts in counted.items():
            tuned.setdefault(which, []).append(counts)
    thresholds = {
        which: best_threshold(photos)
        for which, photos in tuned.items()
        if any(photo.n_lesion for photo in photos)
    }
    scorer = replace(scorer, thresholds=thresholds)
    scored: dict[Which, dict[str, PhotoScore]] = {}
    for name, scores in _each(scorer.score, samples, "score", n_jobs, verbose):
        for which, score in scores.items():
            scored.setdefault(which, {})[name] = score
    return Scored(
        photos=scored,
        thresholds=thresholds,
        scales=scales,
        gate=gate,
        radius=radius,
        radius_of=radius_of,
        ignored=float(np.mean([one.ignored().mean() for one in shown])),
        unseen=sum(one.unseen for one in shown),
        lesions={sample.name: surveyed[sample.name].n_lesions for sample in samples},
        validation=(
            sum(one.n_lesions > 0 for one in held),
            sum(one.n_lesions == 0 for one in held),
        ),
    )


def _each(
    function: Any, samples: Sequence[Sample], words: str, n_jobs: int | None, verbose: int
) -> Any:
    results = spread(function, samples, n_jobs=n_jobs)
    for sample, result in zip(
        samples, tqdm(results, words, len(samples), unit="photo", disable=not verbose), strict=True
    ):
        yield sample.name, result


def _survey(sample: Sample, *, run: Run, methods: Sequence[str]) -> _Surveyed:
    photo, lesions, ignore = sample.read()
    shape = photo.shape[:2]
    ignored = np.zeros(shape, np.bool_) if ignore is None else ignore
    counts = ~ignored  # as the data set has it: of the methods, each is surveyed by itself
    unassessed = np.zeros(shape, np.bool_)
    surveys, swept, stride, smallest = {}, None, math.nan, math.nan
    for method in methods:
        heat = run.result(method, sample.name).heatmap
        if heat is None:
            continue
        pixels = heat.to_pixels()
        surveys[method] = survey_map(heat, pixels, counts)
        unassessed |= np.isnan(pixels)
        if method == SWEEP:
            swept, stride, smallest = pixels, _stride(heat), heat.settings["lesion_size"][0]
    ignored = ignored | unassessed
    # Of the pixels that count: what is ignored, such as ink, shuts and opens no gate.
    probability = math.nan if swept is None else photo_score(swept, ignore=ignored)
    areas = np.bincount(lesions.ravel())
    seen = np.bincount(lesions[~ignored], minlength=areas.size)
    diameters = {k: 2 * math.sqrt(areas[k] / math.pi) for k in range(1, areas.size) if seen[k]}
    unseen = areas.size - 1 - len(diameters)
    return _Surveyed(
        np.packbits(ignored, axis=1),
        np.packbits(unassessed, axis=1),
        shape,
        diameters,
        unseen,
        surveys,
        probability,
        stride,
        smallest,
    )


def _unpacked(packed: NDArray[np.uint8], shape: tuple[int, int]) -> Mask:
    return np.unpackbits(packed, axis=1, count=shape[1]).astype(np.bool_)


def _radius(shown: Sequence[_Surveyed], held: Sequence[_Surveyed]) -> tuple[float, str]:
    """How near two candidates are one, and half of what that is."""
    for photos, words in (
        (shown, "the median lesion's diameter"),
        (held, "the median diameter of the validation photos' lesions, as these have none"),
    ):
        if diameters := [diameter for one in photos for diameter in one.diameters.values()]:
            return float(np.median(diameters)) / 2, words
    smallest = [one.smallest for one in shown if not math.isnan(one.smallest)]
    words = "the smallest lesion that is looked for, as there is none"
    return (float(np.median(smallest)) / 2 if smallest else 0.0), words


def _stride(heat: HeatMap) -> float:
    steps = [np.diff(places) for layer in heat.layers for places in (layer.rows, layer.cols)]
    return min((float(np.median(step)) for step in steps if step.size), default=math.nan)


@dataclass(frozen=True, eq=False)
class _Scorer:
    """All that the photos of the second and third round have in common."""

    run: Run
    scales: Mapping[str, Scale]
    gate: float | None
    surveyed: Mapping[str, _Surveyed]
    radius: float
    thresholds: Mapping[Which, float]  # of the third round alone

    def counts(self, sample: Sample) -> dict[Which, PixelCounts]:
        """Of a photo, the pixels by their score."""
        truth, ignored = sample.read()[1] > 0, self.surveyed[sample.name].ignored()
        return {
            which: self._counted(which, pixels, truth, ignored)
            for which, pixels in self._varied(sample.name, ignored)
        }

    def score(self, sample: Sample) -> dict[Which, PhotoScore]:
        """Of a photo, all that there is to know."""
        seen = self.surveyed[sample.name]
        lesions, ignored = sample.read()[1], seen.ignored()
        truth, near = np.isin(lesions, list(seen.diameters)), pointing_tolerance(seen.shape)
        unassessed = _unpacked(seen.unassessed, seen.shape)
        half = seen.stride / 2
        masks: Lesions = [lesions == k for k in seen.diameters] or truth
        scores = {}
        for which, pixels in self._varied(sample.name, ignored):
            # What is best where another method did not look must not suppress its neighbours here.
            seen_by_all = np.where(unassessed, np.float32(np.nan), pixels)
            candidates = find_candidates(seen_by_all, radius=self.radius)
            highest = photo_score(pixels, ignore=ignored)
            scores[which] = PhotoScore(
                counts=self._counted(which, pixels, truth, ignored),
                judged=judge_candidates(candidates, masks, ignore=ignored),
                boxes={
                    scale: match_boxes(pixels, masks, scale=scale, ignore=ignored)
                    for scale in (_BOXES[which[1]] if seen.n_lesions else ())
                },
                highest=round(highest, _DECIMALS) if which[1] == "minmax" else highest,
                highest_mean=photo_score(pixels, top=0.001, ignore=ignored),
                pointing=pointing_game(pixels, truth, ignore=ignored),
                pointing_near=pointing_game(pixels, truth, tolerance=near, ignore=ignored),
                pointing_stride=math.nan
                if math.isnan(half)
                else pointing_game(pixels, truth, tolerance=half, ignore=ignored),
                peaks=peak_recall(candidates, masks, ignore=ignored),
                energy=energy_pointing(pixels, truth, ignore=ignored),
                outlined=self._outlined(which, pixels, masks, ignored) if seen.n_lesions else {},
                ceiling=self._ceiling(sample.name, truth, ignored)
                if which == (SWEEP, AS_IS)
                else math.nan,
            )
        return scores

    def _varied(self, name: str, ignored: Mask) -> Iterator[tuple[Which, Pixels]]:
        """Each method's map of a photo, in each variant."""
        probability = self.surveyed[name].probability
        passes = None if self.gate is None else bool(probability >= self.gate)
        for method, scale in self.scales.items():
            heat = self.run.result(method, name).heatmap
            if heat is not None:
                varied = vary(heat.to_pixels(), scale, ignored, passes=passes)
                yield from (((method, variant), pixels) for variant, pixels in varied.items())

    def _counted(self, which: Which, pixels: Pixels, truth: Mask, ignored: Mask) -> PixelCounts:
        return count_pixels(self._binned(which, pixels), truth, ignore=ignored)

    def _binned(self, which: Which, pixels: Pixels) -> Pixels:
        return self.scales[which[0]].bins(pixels) if which[1] == "raw" else pixels

    def _outlined(
        self, which: Which, pixels: Pixels, lesions: Lesions, ignored: Mask
    ) -> dict[str, list[LesionDice]]:
        binned = self._binned(which, pixels)
        return {
            name: lesion_dice(threshold_mask(binned, threshold), lesions, ignore=ignored)
            for name, threshold in name_thresholds(which, self.thresholds).items()
        }

    def _ceiling(self, name: str, truth: Mask, ignored: Mask) -> float:
        heat = self.run.result(SWEEP, name).heatmap
        return math.nan if heat is None else grid_ceiling(heat, truth, ignore=ignored)
