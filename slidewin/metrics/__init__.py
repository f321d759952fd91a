"""Scores of maps, regions and probabilities against a known truth.

For photos with no lesion, one, or many. Nothing is rescaled, and photos without lesions count:
a localiser that lights up empty photos pays for it.

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

from slidewin.metrics.calibration import expected_calibration_error
from slidewin.metrics.candidate import Candidate, find_candidates
from slidewin.metrics.detection import (
    Froc,
    Judged,
    false_regions,
    froc,
    iou,
    judge_candidates,
)
from slidewin.metrics.interval import bootstrap_interval, wilson_interval

__all__ = [
    "Candidate",
    "Froc",
    "Judged",
    "bootstrap_interval",
    "expected_calibration_error",
    "false_regions",
    "find_candidates",
    "froc",
    "iou",
    "judge_candidates",
    "wilson_interval",
]
