"""The plan of a sweep: which windows of the photo are looked at, at which levels, and at what cost.

The unit of everything is the lesion. A classifier was trained on windows ``context`` times as wide
as the lesion, ``input_size`` px across; so to look for lesions of ``L`` photo px the photo is
resampled until they measure ``input_size / context`` px (a *level*), and windows of exactly
``input_size`` px are laid over it, half a lesion apart. A range of lesion sizes is a pyramid of
levels. Everything is decided here, before anything runs, and never changed.
"""

from slidewin.grid.level import Level
from slidewin.grid.plan import LESION_SHARE, MAX_LADDER_RATIO, MAX_WINDOWS, photo_size, plan_grid
from slidewin.grid.size import LesionSize, check_size, size_in_pixels
from slidewin.grid.windows import Grid, Window

__all__ = [
    "LESION_SHARE",
    "MAX_LADDER_RATIO",
    "MAX_WINDOWS",
    "Grid",
    "LesionSize",
    "Level",
    "Window",
    "check_size",
    "photo_size",
    "plan_grid",
    "size_in_pixels",
]
