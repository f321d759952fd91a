"""Masks: which pixels of a heat map count as found, where it may matter, and from which value on.

A *region of interest* confines a heat map before it is thresholded: inside, the map keeps its
values; outside, it is not assessed. A *threshold* is a number with the policy that chose it. The
*mask* is what follows from both.

Example
-------
>>> import numpy as np
>>> from slidewin.heatmap import HeatLayer, HeatMap
>>> layer = HeatLayer([[0.9, 0.2, 0.8, 0.1]], rows=[0.5], cols=[0.5, 1.5, 2.5, 3.5])
>>> heatmap = HeatMap((1, 4), [layer], method="by hand", unit="probability")
>>> skin = RegionOfInterest([[False, True, True, True]])
>>> pixels = heatmap.restrict(skin).to_pixels()
>>> otsu_threshold(pixels)
Threshold(0.8, Otsu, separability 0.983)
>>> otsu_threshold(pixels).mask(pixels)
array([[False, False,  True, False]])
"""

from slidewin.mask.drawn import roi_from_geojson, roi_from_image, roi_from_polygon
from slidewin.mask.flagged import drop_specks, speck_area, threshold_mask
from slidewin.mask.looks import has_skin_colour, roi_from_clusters, roi_from_edges, roi_from_skin
from slidewin.mask.named import ROI_WORDS, check_roi, read_roi
from slidewin.mask.roi import RegionOfInterest, roi_from_map
from slidewin.mask.thresholds import (
    WEAK_SHARE,
    Threshold,
    default_threshold,
    hysteresis_threshold,
    otsu_threshold,
    percentile_threshold,
)
from slidewin.mask.tuned import budget_threshold, tuned_threshold

__all__ = [
    "ROI_WORDS",
    "WEAK_SHARE",
    "RegionOfInterest",
    "Threshold",
    "budget_threshold",
    "check_roi",
    "default_threshold",
    "drop_specks",
    "has_skin_colour",
    "hysteresis_threshold",
    "otsu_threshold",
    "percentile_threshold",
    "read_roi",
    "roi_from_clusters",
    "roi_from_edges",
    "roi_from_geojson",
    "roi_from_image",
    "roi_from_map",
    "roi_from_polygon",
    "roi_from_skin",
    "speck_area",
    "threshold_mask",
    "tuned_threshold",
]
