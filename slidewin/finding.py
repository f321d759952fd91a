"""What was found in one photo, from one call."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slidewin import __version__
from slidewin.classifier import Classifier
from slidewin.errors import ArgumentError
from slidewin.heatmap import HeatMap
from slidewin.image import check_image, hash_pixels
from slidewin.mask import RegionOfInterest, Threshold, default_threshold, speck_area
from slidewin.mask.roi import refuse_empty
from slidewin.output import make_folder, refuse_existing, write_png, write_text
from slidewin.region import Region, find_regions, to_geojson
from slidewin.report import draw_heatmap, draw_mask, draw_regions
from slidewin.sweep import SlidingWindow
from slidewin.versions import versions

__all__ = ["OUTPUTS", "Finding", "check_threshold", "locate"]

OUTPUTS = ("overlay.png", "heatmap.png", "mask.png", "regions.geojson", "settings.json")

_ABOVE_ONE = np.nextafter(np.float32(1), np.float32(2))


@dataclass(frozen=True, eq=False)
class Finding:
    """A heat map of a photo, with the regions in it that reach a threshold.

    Attributes
    ----------
    photo : ndarray of shape (H, W, 3), uint8
    heatmap : HeatMap
        Whoever made it; all that follows is blind to that.
    threshold : float
        In the unit of the heat map: what a region reaches somewhere. A number flags pixels from
        there up, and one equal to it is found. A :class:`slidewin.mask.Threshold` may be given for
        it, which may have a weak bound, as far as which regions extend.
    chosen : Threshold
        The same, with the policy that chose it and its weak bound, if any.
    label : str
        What was sought: the class of the regions.
    least_area : float
        In pixels; pieces of the mask smaller than this are dropped. :func:`locate` drops what is
        narrower than 0.7 of the smallest lesion sought.
    settings : mapping
        What made it, beyond what the heat map knows; written by :meth:`save`.
    roi : RegionOfInterest or None
        What the heat map is confined to. An array (H, W) of bool may be given for it.
    """

    photo: NDArray[np.uint8]
    heatmap: HeatMap
    threshold: float
    label: str
    least_area: float = 0.0
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    roi: RegionOfInterest | None = field(default=None, repr=False)
    chosen: Threshold = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Confine the heat map, and refuse a threshold that is no number of its unit."""
        given: Any = self.threshold
        value = check_threshold(given, self.heatmap.unit)
        object.__setattr__(self, "threshold", value)
        chosen = given if isinstance(given, Threshold) else Threshold(value)
        object.__setattr__(self, "chosen", chosen)
        if self.roi is not None:
            roi = check_inside(self.roi, self.photo.shape)
            object.__setattr__(self, "roi", roi)
            object.__setattr__(self, "heatmap", self.heatmap.restrict(roi.inside))
            described = {**roi.made_by, "sha256": hash_pixels(roi.inside)}
            object.__setattr__(self, "settings", {**self.settings, "roi": described})

    @cached_property
    def pixels(self) -> NDArray[np.float32]:
        """The heat map rendered, (H, W); NaN where not assessed. Read-only."""
        pixels = self.heatmap.to_pixels()
        pixels.flags.writeable = False
        return pixels

    @cached_property
    def assessed(self) -> NDArray[np.bool_]:
        """Where the photo was looked at, (H, W). Read-only."""
        assessed = ~np.isnan(self.pixels)
        assessed.flags.writeable = False
        return assessed

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """Where the heat map counts as found, specks dropped, (H, W). Read-only."""
        mask = self.chosen.mask(self.pixels, least_area=self.least_area)
        mask.flags.writeable = False
        return mask

    @cached_property
    def regions(self) -> tuple[Region, ...]:
        """Connected pieces of the mask, best score first."""
        return find_regions(self.pixels, self.mask)

    def within(self, roi: RegionOfInterest | ArrayLike) -> "Finding":
        """The same, confined to a region of interest: what lies outside is not assessed.

        Parameters
        ----------
        roi : RegionOfInterest or ndarray of shape (H, W), bool
            An earlier one stays in force: what is assessed then lies in both.

        Returns
        -------
        Finding

        Raises
        ------
        ArgumentError, ArgumentTypeError
            If it is none of this photo, or nothing lies inside.
        """
        roi = check_inside(roi, self.photo.shape)
        both = roi if self.roi is None else self.roi & roi
        return replace(self, threshold=self.chosen, roi=both)  # type: ignore[arg-type]

    def at(self, threshold: float | Threshold) -> "Finding":
        """The same map, cut at another threshold; nothing is swept again.

        Parameters
        ----------
        threshold : float or slidewin.mask.Threshold
            In the unit of the heat map. A number is taken as it is, without a weak bound.

        Returns
        -------
        Finding

        Raises
        ------
        ArgumentError
            If it is none for a map in this unit.

        Examples
        --------
        >>> from slidewin.heatmap import HeatLayer
        >>> layer = HeatLayer([[0.9, 0.2, 0.7]], rows=[0.5], cols=[0.5, 1.5, 2.5])
        >>> heatmap = HeatMap((1, 3), [layer], method="by hand", unit="probability")
        >>> found = Finding(np.zeros((1, 3, 3), np.uint8), heatmap, 0.8, "lesion")
        >>> found.at(0.6).mask
        array([[ True, False,  True]])
        >>> from slidewin.mask import percentile_threshold
        >>> found.at(percentile_threshold(found.heatmap, 100)).mask
        array([[ True, False, False]])
        """
        return replace(self, threshold=threshold)  # type: ignore[arg-type]

    def __repr__(self) -> str:
        best = f", best {self.regions[0].score:.2f}" if self.regions else ""
        weak = "" if self.chosen.weak is None else f", from {self.chosen.weak:g} around them"
        return (
            f"Finding({self.label!r} by {self.heatmap.method}, photo {self.photo.shape[0]} x "
            f"{self.photo.shape[1]} px, {len(self.regions)} at {self.threshold:g} or above{weak}"
            f"{best})"
        )

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write pictures, regions and settings.

        Parameters
        ----------
        folder : path
            Made if need be. Gets ``overlay.png`` (the regions circled), ``heatmap.png`` (dark to
            bright on an absolute scale; not assessed is hatched), ``mask.png`` (255 found, 0 not,
            128 not assessed), ``regions.geojson`` (x before y, opens in QuPath) and
            ``settings.json`` (all that made them: settings, versions, hashes). All are in the
            frame of the upright photo; none holds the photo's metadata.
        overwrite : bool, default False

        Raises
        ------
        OutputExistsError
            If one of the files is there and ``overwrite`` is false; then nothing is written.
        OutputError
            If a file cannot be written.
        """
        folder = Path(folder)
        if not overwrite:
            refuse_existing(folder, OUTPUTS)
        make_folder(folder)
        photo_hash = hash_pixels(self.photo)
        low, high = self._scale()
        overlay = draw_regions(self.photo, self.regions, assessed=self.assessed)
        write_png(folder / "overlay.png", overlay, overwrite=overwrite)
        heat = draw_heatmap(self.pixels, low=low, high=high)
        write_png(folder / "heatmap.png", heat, overwrite=overwrite)
        write_png(folder / "mask.png", draw_mask(self.mask, self.assessed), overwrite=overwrite)
        geojson = to_geojson(
            self.regions,
            label=self.label,
            metadata={
                "method": self.heatmap.method,
                "threshold": self.threshold,
                "threshold_weak": self.chosen.weak,
                "photo_sha256": photo_hash,
                "slidewin": __version__,
            },
        )
        write_text(folder / "regions.geojson", geojson, overwrite=overwrite)
        settings = self._settings((low, high), photo_hash)
        write_text(folder / "settings.json", settings, overwrite=overwrite)

    def _scale(self) -> tuple[float, float]:
        """Ends of the colour map: those of probability, else the same span about the threshold."""
        if self.heatmap.unit == "probability":
            return 0.0, 1.0
        span = abs(self.threshold) or 1.0
        return self.threshold - span, self.threshold + span

    def _settings(self, scale: tuple[float, float], photo_hash: str) -> str:
        made_by = {
            **self.settings,
            "method": self.heatmap.method,
            "unit": self.heatmap.unit,
            "label": self.label,
            "threshold": self.threshold,
            "threshold_chosen": self.chosen.to_dict(),
            "least_area": self.least_area,
            "heatmap_scale": scale,
            "mask_values": {"found": 255, "not_found": 0, "not_assessed": 128},
            "share_assessed": float(self.assessed.mean()),
            "localiser": dict(self.heatmap.settings),
            "photo": {"shape": self.photo.shape, "sha256": photo_hash},
            "versions": versions(),
        }
        return json.dumps(made_by, indent=2, allow_nan=False) + "\n"


def check_threshold(threshold: Any, unit: str) -> float:
    """Return a threshold as a float, or say why it is none for a map in this unit.

    A policy may choose 0, from which all is found, or the next number above 1, from which nothing
    is; whoever types a number means neither.
    """
    if isinstance(threshold, Threshold):
        if unit == "probability" and not 0 <= np.float32(threshold.value) <= _ABOVE_ONE:
            raise ArgumentError(
                f"threshold={threshold!r}: not of a map of probabilities, as this one is; choose "
                "it anew, on such a map"
            )
        return threshold.value
    number = np.asarray(threshold)
    if number.ndim or number.dtype.kind not in "fiu" or not np.isfinite(number):
        raise ArgumentError(f"threshold={threshold!r}: one finite number is needed")
    if unit == "probability" and not 0 < number <= 1:
        raise ArgumentError(f"threshold={threshold!r}: a probability in (0, 1] is needed")
    return float(number)


def check_inside(
    roi: RegionOfInterest | ArrayLike, photo_shape: tuple[int, ...]
) -> RegionOfInterest:
    """Return a region of interest as one, or say why it is none of a photo of this shape."""
    if not isinstance(roi, RegionOfInterest):
        roi = RegionOfInterest(np.asarray(roi))
    if roi.inside.shape != photo_shape[:2]:
        raise ArgumentError(
            f"roi: found shape {roi.inside.shape}; a region of interest is of the photo's shape "
            f"{photo_shape[:2]}"
        )
    refuse_empty(roi, repr(roi))
    return roi


def locate(
    photo: ArrayLike,
    classifier: Classifier,
    *,
    lesion_size: float | tuple[float, float] | None = None,
    target: str | None = None,
    threshold: float | Threshold | None = None,
    roi: RegionOfInterest | ArrayLike | None = None,
    stride: float | None = None,
    engine: Literal["auto", "shared", "windows"] = "auto",
    tolerance: float = 1e-4,
    precision: Literal["model", "auto"] = "model",
    refine_above: float | None = None,
    batch_size: int = 64,
    n_jobs: int | None = None,
    verbose: int = 1,
) -> Finding:
    """Say where in a photo a classifier of close-ups finds its target.

    The one-call form of :class:`slidewin.SlidingWindow`, followed by a threshold.

    Parameters
    ----------
    photo : ndarray of shape (H, W, 3), uint8
        RGB, upright, as :func:`slidewin.read_image` gives it.
    classifier : Classifier
        From :func:`slidewin.load_classifier`.
    lesion_size : float or (float, float), optional
        Diameter of the lesions sought, in photo pixels, or the smallest and the largest. By
        default 4 % to 40 % of the photo's short side.
    target : str, optional
        What counts as found: a label, or ``"lesion"`` for every class but the background. The
        classifier's own target by default.
    threshold : float or slidewin.mask.Threshold, optional
        Probability in (0, 1] from which a pixel counts. By default a region must reach the
        classifier's own for the target, and extends as far as the map has half of that: see
        :func:`slidewin.mask.default_threshold`. A number is taken as it is, and so is a
        ``Threshold``, with its weak bound or without; where its policy can afford no find at all,
        it lies just above 1, and nothing is found.
    roi : RegionOfInterest or ndarray of shape (H, W), bool, optional
        Region of interest, see :mod:`slidewin.mask`; outside it the map is "not assessed". One
        without anything inside is refused: such a photo would not have been searched.
    stride : float, optional
        Distance between neighbouring windows, in lesion diameters. By default half a lesion, or
        less where that costs nothing, as with the embedded classifier: a quarter.
    engine, tolerance, precision, refine_above, batch_size, n_jobs, verbose
        As for :class:`slidewin.SlidingWindow`.

    Returns
    -------
    Finding

    Raises
    ------
    SlidewinError
        As :meth:`slidewin.SlidingWindow.localize`, or if the threshold or region of interest does
        not fit.

    Examples
    --------
    >>> import slidewin
    >>> scene = slidewin.draw_scene((300, 400), random_state=3)
    >>> found = slidewin.locate(scene.photo, slidewin.load_classifier(), lesion_size=24)
    >>> found.pixels.shape, found.mask.dtype
    ((300, 400), dtype('bool'))
    """
    photo = check_image(photo)
    sweep = SlidingWindow(
        classifier,
        lesion_size=lesion_size,
        target=target,
        stride=stride,
        engine=engine,
        tolerance=tolerance,
        precision=precision,
        refine_above=refine_above,
        batch_size=batch_size,
        n_jobs=n_jobs,
        verbose=verbose,
    )
    if threshold is None:
        own = classifier.threshold(sweep.target)
        threshold = default_threshold(own, "the classifier's default")
    # Before the sweep, which takes the time.
    check_threshold(threshold, "probability")
    roi = None if roi is None else check_inside(roi, photo.shape)
    heatmap = sweep.localize(photo)
    return Finding(
        photo=photo,
        heatmap=heatmap,
        threshold=threshold,  # type: ignore[arg-type]
        label=sweep.target,
        least_area=speck_area(heatmap.settings["lesion_size"][0]),
        settings={
            "classifier": {
                "sha256": classifier.fingerprint(),
                "classes": [str(label) for label in classifier.classes_],
                "made_of": type(classifier).__name__,
            },
            "roi": None,
        },
        roi=roi,
    )
