"""Regions on the photo: circled, outlined and labelled, and the rest of the photo left alone."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from slidewin.region import COLOUR, Region
from slidewin.report.maps import Picture, check_array, hatching
from slidewin.report.words import DARK, draw_labels

__all__ = ["draw_regions"]

_LABELLED = 20  # regions with a label: more of them hide the photo
_HEEDED = 200  # regions whose circles labels keep clear of: with more, there is nowhere to go
_SHIFT = 4  # OpenCV's fixed point: vertices and radii in sixteenths of a pixel


def draw_regions(
    photo: Picture,
    regions: Sequence[Region],
    *,
    assessed: npt.NDArray[np.bool_] | None = None,
) -> Picture:
    """Circle regions on a copy of the photo.

    Every region gets a circle just outside it and a thin outline; the best 20 also get a label of
    rank and score, such as "1 · 0.97", within the photo and clear of the circles where there is
    room. A photo too small for a label has none.

    Parameters
    ----------
    photo : ndarray of shape (H, W, 3), uint8
        RGB. It is not written to.
    regions : sequence of Region
        Best first. With none, the picture is the photo.
    assessed : ndarray of shape (H, W), bool, optional
        Where False, the photo is hatched; by default all of it counts as assessed.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
        Pixels away from circles, outlines, labels and hatching are the photo's.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If `photo` or `assessed` is of another shape or type.

    Examples
    --------
    >>> photo = np.full((300, 400, 3), 200, dtype=np.uint8)
    >>> bool((draw_regions(photo, ()) == photo).all())
    True
    """
    check_array("photo", photo, np.uint8, (None, None, 3))
    canvas = np.array(photo, order="C")
    if assessed is not None:
        check_array("assessed", assessed, np.bool_, photo.shape[:2])
        hatched = canvas >> 1
        hatched += (hatching(photo.shape) >> 1)[..., np.newaxis]
        cv2.copyTo(hatched, (~assessed).view(np.uint8), canvas)

    short = min(photo.shape[:2])
    line = max(2, round(short / 300))
    halo = line + 2 * max(1, round(line / 3))
    rings = [(*region.centre, max(region.radius, short / 80) + 1.5 * halo) for region in regions]

    for region in regions:
        outline = [_fixed_point(ring) for ring in (region.contour, *region.holes)]
        cv2.polylines(canvas, outline, True, COLOUR, max(1, line // 3), cv2.LINE_AA, _SHIFT)
    # All halos before all lines: where circles cross, no line is cut.
    for colour, width in ((DARK, halo), (COLOUR, line)):
        for row, col, radius in rings:
            x, y = _fixed_point(np.array([[row, col]]))[0].tolist()
            size = round(radius * 2**_SHIFT)
            cv2.circle(canvas, (x, y), size, colour, width, cv2.LINE_AA, _SHIFT)
    labels = [f"{rank} · {r.score:.2f}" for rank, r in enumerate(regions[:_LABELLED], start=1)]
    draw_labels(canvas, labels, np.reshape(rings[:_HEEDED], (-1, 3)), halo)
    return canvas


def _fixed_point(vertices: npt.NDArray[np.int64 | np.float64]) -> npt.NDArray[np.int32]:
    """(row, col) with pixel centres at +0.5 to OpenCV's (x, y) with centres at 0."""
    xy: npt.NDArray[np.int32] = np.rint((vertices[:, ::-1] - 0.5) * 2**_SHIFT).astype(np.int32)
    return xy
