"""The ceiling of a grid: how well windows could outline a lesion, whatever they say."""

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from slidewin.grid import Grid
from slidewin.heatmap import HeatLayer, HeatMap
from slidewin.metrics.overlap import best_threshold, overlap_at
from slidewin.metrics.pixels import count_pixels
from slidewin.metrics.truth import Mask, check_mask

__all__ = ["grid_ceiling"]

_MARGIN = 3  # places beyond the lesions' box that may bear on their outline
_ROUNDS = 100
_CLIP = 30.0  # exp of more gains nothing

Floats = npt.NDArray[np.float64]


def grid_ceiling(grid: Grid | HeatMap, truth: Mask, *, ignore: Mask | None = None) -> float:
    """Best Dice that a map of a plan's windows can reach on a photo's lesions.

    Parameters
    ----------
    grid : Grid or HeatMap
        The plan, or a map made by it, of which the places count and not the values. Its finest
        level sets the ceiling: the others are coarser.
    truth : ndarray of shape (H, W), bool
        The pixels of all lesions.
    ignore : ndarray of shape (H, W), bool, optional
        Pixels to leave out.

    Returns
    -------
    float
        Of a map that has a value for each window, rendered and thresholded as every map is. NaN
        without lesions.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If a mask is no mask of the photo that the grid was planned for, or the map made of.

    Notes
    -----
    The values are fitted to the truth: they start from whether each place is in a lesion and climb
    the likelihood of the truth, given the rendered values as its log odds. There is a map that
    reaches the Dice returned. That there is none better is not proven, but on discs of one to six
    strides in diameter other ways to choose values came out lower: those of the distance to the
    lesion's edge by up to 0.05, the share of lesion round each place by up to 0.1.

    Near the photo's border it is lower: the outermost windows are centred half a side from it, and
    beyond these centres a map is constant.

    Some 60 bytes of working memory for each pixel of the box round all lesions, and 16 for those of
    the photo.

    Examples
    --------
    >>> from slidewin.grid import plan_grid
    >>> rows, cols = np.ogrid[:160, :160]
    >>> disc = np.hypot(rows - 71.5, cols - 83.5) < 20
    >>> for stride in (0.5, 0.25, 0.125):
    ...     grid = plan_grid(disc.shape, lesion_size=40, stride=stride)
    ...     print(f"{grid_ceiling(grid, disc):.2f}")
    0.97
    0.99
    1.00
    """
    check_mask("truth", truth, grid.photo_shape)
    if ignore is not None:
        check_mask("ignore", ignore, grid.photo_shape)
    sought = truth if ignore is None else truth & ~ignore
    if not sought.any():
        return float("nan")
    down, across = _finest(grid)
    rows, row_places = _near(np.flatnonzero(sought.any(axis=1)), down, truth.shape[0])
    cols, col_places = _near(np.flatnonzero(sought.any(axis=0)), across, truth.shape[1])
    weights = np.ones(sought.shape) if ignore is None else (~ignore).astype(np.float64)
    fitted = _fit(
        sought[rows, cols].astype(np.float64),
        weights[rows, cols],
        _blend(down, rows)[:, row_places],
        _blend(across, cols)[:, col_places],
    )
    values = np.full((down.size, across.size), -_CLIP)
    values[row_places, col_places] = fitted
    layer = HeatLayer(values, rows=down, cols=across)
    pixels = HeatMap(grid.photo_shape, (layer,), method="fitted to the truth", unit="raw")
    counts = count_pixels(pixels.to_pixels(), truth, ignore=ignore, exact=True)
    return overlap_at([counts], best_threshold([counts])).macro_dice


def _finest(grid: Grid | HeatMap) -> tuple[Floats, Floats]:
    """Rows and columns of the places that are nearest to each other."""
    if isinstance(grid, Grid):
        return grid.levels[0].row_centres, grid.levels[0].col_centres
    layer = max(grid.layers, key=lambda layer: layer.values.size)
    return layer.rows, layer.cols


def _fit(truth: Floats, weights: Floats, down: csr_array, across: csr_array) -> Floats:
    """Values (m, n) whose rendering is the best log odds of the truth (h, w) found."""

    def gathered(pixels: Floats) -> Floats:
        return np.asarray((across.T @ (down.T @ pixels).T).T)

    share = gathered(weights)
    values = 8 * np.divide(
        gathered(truth * weights), share, out=np.zeros_like(share), where=share > 0
    )
    values -= 4
    # The curvature is at most a quarter of what a place weighs.
    step = 4 / np.maximum(share, share.mean())
    best, highest, ahead = values, -1.0, values
    for k in range(_ROUNDS):
        odds = np.asarray((across @ (down @ ahead).T).T)
        flagged = weights * (odds >= 0)
        found = (flagged * truth).sum()
        dice = 2 * found / (flagged.sum() + (weights * truth).sum())
        if dice >= highest:
            best, highest = ahead, dice
        slope = gathered(weights * (truth - 1 / (1 + np.exp(-np.clip(odds, -_CLIP, _CLIP)))))
        climbed = np.clip(ahead + step * slope, -_CLIP, _CLIP)
        # Nesterov's momentum.
        values, ahead = climbed, climbed + k / (k + 3) * (climbed - values)
    return best


def _near(
    inside: npt.NDArray[np.intp], centres: npt.NDArray[np.float64], length: int
) -> tuple[slice, slice]:
    """Along an axis, the places near the lesions, and the pixels that these alone bear on."""
    first = max(int(np.searchsorted(centres, inside[0] + 0.5)) - _MARGIN, 0)
    last = min(
        int(np.searchsorted(centres, inside[-1] + 0.5, side="right")) + _MARGIN, centres.size
    )
    start = int(np.ceil(centres[first] - 0.5)) if first else 0
    stop = int(np.floor(centres[last - 1] + 0.5)) if last < centres.size else length
    return slice(start, stop), slice(first, last)


def _blend(centres: npt.NDArray[np.float64], pixels: slice) -> csr_array:
    """Weight (p, m) of each place for each pixel, as HeatMap renders."""
    at = np.interp(np.arange(pixels.start, pixels.stop) + 0.5, centres, np.arange(centres.size))
    lower, upper = np.floor(at).astype(np.intp), np.ceil(at).astype(np.intp)
    rows = np.tile(np.arange(at.size), 2)
    weights = np.concatenate([1 - (at - lower), at - lower])
    return csr_array(
        (weights, (rows, np.concatenate([lower, upper]))), shape=(at.size, centres.size)
    )
