"""Candidates: the places that a map points at."""

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from slidewin.errors import ArgumentError, ArgumentTypeError

__all__ = ["Candidate", "find_candidates"]

_NEIGHBOURS = np.ones((3, 3), np.uint8)


class Candidate(NamedTuple):
    """A place that a map points at; the centre of the pixel in row 0 is at 0.5."""

    row: float
    col: float
    score: float


def find_candidates(scores: npt.NDArray[np.floating], *, radius: float) -> list[Candidate]:
    """Find the places that a map points at: its local maxima, the better suppressing the worse.

    Parameters
    ----------
    scores : ndarray of shape (H, W), floating
        A map on any scale; NaN where not assessed.
    radius : float
        In pixels: of two maxima at most this far apart only the better is kept, of equals the
        first in reading order. Half the diameter of the lesions sought is usual.

    Returns
    -------
    list of Candidate
        Best first. A flat top is one candidate, at its centroid.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If `scores` is no map or `radius` no distance.

    Notes
    -----
    About 20 bytes of working memory a pixel, and a tenth of a second for two megapixels. Distances
    are taken between the pixels that hold the candidates.

    Examples
    --------
    >>> find_candidates(np.array([[0.1, 0.8, 0.8, 0.2, np.nan, 0.3]]), radius=1)
    [Candidate(row=0.5, col=2.0, score=0.8), Candidate(row=0.5, col=5.5, score=0.3)]
    """
    if not isinstance(scores, np.ndarray) or scores.dtype.kind != "f" or scores.ndim != 2:
        raise ArgumentTypeError(
            "scores: pass a map (H, W) of floating-point numbers, NaN where not assessed"
        )
    if not 0 <= radius < np.inf:
        raise ArgumentError(f"radius={radius!r}: a number of pixels from 0 up is needed")
    # OpenCV knows two of the floating types.
    scores = scores.astype(np.float32 if scores.itemsize <= 4 else np.float64, copy=False)
    assessed = ~np.isnan(scores)
    lowest = np.where(assessed, scores, -np.inf).astype(scores.dtype)
    tops = assessed & (lowest >= cv2.dilate(lowest, _NEIGHBOURS))
    # The inner pixels of a terrace pass as tops; what gives them away is a rim of the same height
    # that has a higher neighbour.
    least_top = cv2.erode(np.where(tops, lowest, np.inf).astype(scores.dtype), _NEIGHBOURS)
    rim = np.where(assessed & ~tops & (lowest == least_top), lowest, -np.inf)
    beside_rim = tops & (lowest == cv2.dilate(rim.astype(scores.dtype), _NEIGHBOURS))
    count, labels, _, centroids = cv2.connectedComponentsWithStats(
        tops.view(np.uint8), connectivity=8, ltype=cv2.CV_32S
    )
    heights = np.full(count, -np.inf)
    heights[labels[tops]] = scores[tops]
    heights[labels[beside_rim]] = -np.inf
    places = centroids[:, ::-1] + 0.5
    order = np.lexsort((places[:, 1], places[:, 0], -heights))

    reach = int(radius)
    offsets = np.arange(-reach, reach + 1)
    disc = offsets[:, None] ** 2 + offsets**2 <= radius**2
    taken = np.zeros(np.add(scores.shape, 2 * reach), np.bool_)
    found = []
    for label in order[: np.count_nonzero(heights > -np.inf)].tolist():
        row, col = places[label].tolist()
        top, left = int(row), int(col)
        if not taken[top + reach, left + reach]:
            taken[top : top + disc.shape[0], left : left + disc.shape[1]] |= disc
            found.append(Candidate(row, col, float(heights[label])))
    return found
