"""Scores of maps, regions and probabilities against a known truth.

For photos with no lesion, one, or many. Nothing is rescaled, and photos without lesions count:
a localiser that lights up empty photos pays for it.

=====================  ===========================================================================
`candidate`            the places that a map points at
`detection`            which lesions they hit, and which hit none
`free_response`        FROC, with the scores of LUNA16 and CAMELYON16
`pixels`               pixel average precision (PxAP)
`overlap`              IoU and Dice, at a threshold fixed, tuned or an oracle's
`boxes`                MaxBoxAccV2
`pointing`             the pointing game, and that of energy
`lesion_free`          photos without lesions
`faithfulness`         deletion and insertion
`ceiling`              how well a grid could outline a lesion at best
`calibration`          whether 0.9 means nine in ten
`interval`             how sure all these figures are, and their differences
`resampled`            the same for many figures at once
=====================  ===========================================================================

Where a map is NaN it was not assessed, and pixels there count neither for it nor against it. So
compare maps on the pixels that all of them assessed: pass the others as ``ignore``. Lesions are
found or missed whether they were assessed or not.

Example
-------
>>> import numpy as np
>>> scores = np.zeros((8, 8))
>>> scores[2, 2], scores[6, 6] = 0.9, 0.4
>>> truth = np.zeros((8, 8), bool)
>>> truth[1:4, 1:4] = True
>>> judged = judge_candidates(find_candidates(scores, radius=3), truth)
>>> judged.hits, judged.false
((0.9,), (0.4,))
>>> froc([judged]).sensitivity_at(0)
1.0
"""

from slidewin.metrics.boxes import (
    BOX_IOUS,
    BoxAccuracy,
    BoxMatches,
    match_boxes,
    max_box_accuracy,
)
from slidewin.metrics.calibration import expected_calibration_error
from slidewin.metrics.candidate import Candidate, find_candidates
from slidewin.metrics.ceiling import grid_ceiling
from slidewin.metrics.detection import Judged, false_regions, judge_candidates
from slidewin.metrics.faithfulness import (
    Curve,
    blur,
    centre_out_map,
    deletion_curve,
    insertion_curve,
    local_median,
    random_map,
)
from slidewin.metrics.free_response import CAMELYON16_RATES, LUNA16_RATES, Froc, froc
from slidewin.metrics.interval import (
    Difference,
    bootstrap_difference,
    bootstrap_interval,
    wilson_interval,
)
from slidewin.metrics.lesion_free import (
    LesionFree,
    lesion_free_photos,
    photo_auroc,
    photo_score,
)
from slidewin.metrics.overlap import (
    LesionDice,
    Overlap,
    best_threshold,
    dice,
    iou,
    lesion_dice,
    oracle_overlap,
    overlap_at,
)
from slidewin.metrics.pixels import (
    AveragePrecision,
    PixelAveragePrecision,
    PixelCounts,
    count_pixels,
    pixel_average_precision,
    pool_counts,
)
from slidewin.metrics.pointing import (
    Energy,
    energy_pointing,
    peak_recall,
    pointing_game,
    pointing_tolerance,
)
from slidewin.metrics.resampled import (
    draw_photos,
    drawn_auroc,
    drawn_froc,
    drawn_pxap,
    drawn_sensitivity,
    drawn_specificity,
)

__all__ = [
    "BOX_IOUS",
    "CAMELYON16_RATES",
    "LUNA16_RATES",
    "AveragePrecision",
    "BoxAccuracy",
    "BoxMatches",
    "Candidate",
    "Curve",
    "Difference",
    "Energy",
    "Froc",
    "Judged",
    "LesionDice",
    "LesionFree",
    "Overlap",
    "PixelAveragePrecision",
    "PixelCounts",
    "best_threshold",
    "blur",
    "bootstrap_difference",
    "bootstrap_interval",
    "centre_out_map",
    "count_pixels",
    "deletion_curve",
    "dice",
    "draw_photos",
    "drawn_auroc",
    "drawn_froc",
    "drawn_pxap",
    "drawn_sensitivity",
    "drawn_specificity",
    "energy_pointing",
    "expected_calibration_error",
    "false_regions",
    "find_candidates",
    "froc",
    "grid_ceiling",
    "insertion_curve",
    "iou",
    "judge_candidates",
    "lesion_dice",
    "lesion_free_photos",
    "local_median",
    "match_boxes",
    "max_box_accuracy",
    "oracle_overlap",
    "overlap_at",
    "peak_recall",
    "photo_auroc",
    "photo_score",
    "pixel_average_precision",
    "pointing_game",
    "pointing_tolerance",
    "pool_counts",
    "random_map",
    "wilson_interval",
]
