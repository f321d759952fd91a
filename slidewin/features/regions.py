"""Sums over the regions of windows."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Plane", "Regions", "Values"]

Plane = NDArray[Any]
Values = NDArray[np.float64]

_SIDES = (2, 4, 6, 8)  # of the boxes, in eighths of the window's


class Regions:
    """Sums over the regions of every window of a lattice, or over the four quarters of each.

    Parameters
    ----------
    shape : tuple of int
        Of the image.
    tops, lefts : ndarray of int, of shapes (m,) and (n,)
    side : int
    margin : int
        Pixels along the image's border that a plane lacks, and along a window's that do not count.
    quarters : bool
        Of a window of odd side, the middle row and column count for both halves.

    Attributes
    ----------
    area : ndarray of shape (4, 1) or (4, 4, 1), float64
        Pixels of each region, or of each quarter (first axis, clockwise) of each region; at least
        1, so that the mean of a region without pixels is 0.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        tops: NDArray[np.intp],
        lefts: NDArray[np.intp],
        side: int,
        *,
        margin: int = 0,
        quarters: bool = False,
    ) -> None:
        near = np.array([max(side * (8 - eighths) // 16, margin) for eighths in _SIDES])
        far = np.maximum(side - near, near)
        if quarters:
            first = near, np.clip((side + 1) // 2, near, far)
            last = np.clip(side // 2, near, far), far
            ways = [(first, first), (first, last), (last, last), (last, first)]
        else:
            ways = [((near, far), (near, far))]
        rows, cols = (np.stack([way[axis] for way in ways], axis=1) for axis in (0, 1))
        height, width = (max(length - 2 * margin, 0) for length in shape[:2])
        area = (rows[1] - rows[0]) * (cols[1] - cols[0])
        self.area = np.maximum(_rings(area[:, :, None]), 1).astype(np.float64)
        if not quarters:
            self.area = self.area[0]
        # Corners (2, 2, [quarters,] boxes, windows) in the flattened table. Where a window is all
        # margin, they lie on one another.
        r = np.minimum(rows[..., None, None] + tops[:, None] - margin, height) * (width + 1)
        c = np.minimum(cols[..., None, None] + lefts - margin, width)
        self._corners = (r[:, None] + c[None]).reshape(2, 2, *self.area.shape[:-1], -1)

    def __call__(self, plane: Plane) -> Values:
        """Sums (4, N) or (4, 4, N) of a plane (h, w) of uint8, int16 or float32."""
        if not plane.size:
            return np.zeros(self._corners.shape[2:])
        table = cv2.integral(plane, sdepth=cv2.CV_64F).reshape(-1)
        (a, b), (c, d) = self._corners
        sums = table.take(d)
        sums -= table.take(c)
        sums -= table.take(b)
        sums += table.take(a)
        rings: Values = _rings(sums)
        return rings

    def means(self, plane: Plane) -> Values:
        """Means of a plane, of the shape of its sums."""
        means: Values = self(plane) / self.area
        return means


def _rings(boxes: NDArray[Any]) -> NDArray[Any]:
    """What each box (second axis from the end) has beyond the one within it."""
    rings = boxes.copy()
    rings[..., 1:, :] -= boxes[..., :-1, :]
    return rings
