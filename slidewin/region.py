"""Regions: the connected pieces of a mask, each with its score, box, circle and outline.

Outlines run along the edges *between* pixels, so their vertices are whole numbers and nothing is
rounded: the outline of one pixel is its unit square, and the area that an outline encloses, less
its holes, is the number of pixels.

Example
-------
>>> mask = np.array([[0, 1, 1], [0, 1, 0]], dtype=bool)
>>> (region,) = find_regions(mask.astype(np.float32), mask)
>>> region.bbox, region.area
((0, 1, 2, 3), 3)
>>> region.contour.tolist()
[[0, 1], [0, 3], [1, 3], [1, 2], [2, 2], [2, 1]]
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from slidewin.errors import ArgumentError, ArgumentTypeError

__all__ = ["COLOUR", "Region", "find_regions", "to_geojson"]

COLOUR = (0, 229, 255)
"""The colour of regions in pictures and exported files (RGB): cyan stands out from skin."""


@dataclass(frozen=True, eq=False)
class Region:
    """One connected piece of a mask, in photo pixels. Rows come before columns.

    Attributes
    ----------
    score : float
        The largest value of the heat map inside.
    bbox : tuple of int
        Top, left, bottom, right; bottom and right are the first row and column outside.
    centre : tuple of float
        Row and column of the centroid; the centre of the pixel in row 0 is 0.5.
    radius : float
        From the centre to the farthest vertex of the contour: the circle encloses the region.
    area : int
        The number of pixels.
    contour : ndarray of shape (n, 2), int64
        The outer ring: (row, col) of its corners, on pixel edges, closed implicitly (the last
        vertex is joined to the first). It starts at the top left corner of the region's first pixel
        and goes right along its top edge, clockwise to the eye. Read-only.
    holes : tuple of ndarray
        The inner rings, likewise, but anticlockwise to the eye.

    Notes
    -----
    Every ring is simple: it meets no point twice. Where a region touches itself at the corner of
    two pixels, two rings meet at that point, a thing that polygons may do; one ring that crosses
    the point twice is no valid polygon to GEOS, JTS or QuPath.
    """

    score: float
    bbox: tuple[int, int, int, int]
    centre: tuple[float, float]
    radius: float
    area: int
    contour: npt.NDArray[np.int64] = field(repr=False)
    holes: tuple[npt.NDArray[np.int64], ...] = field(repr=False, default=())


def find_regions(
    pixels: npt.NDArray[np.floating], mask: npt.NDArray[np.bool_]
) -> tuple[Region, ...]:
    """Take a mask apart into its connected pieces.

    Pixels belong together when they share an edge (4-connectivity). Then the interior of a region
    is in one piece, and so each region is exactly one polygon with holes; two pixels that touch at
    a corner alone are two regions.

    Parameters
    ----------
    pixels : ndarray of shape (H, W), floating
        The heat map that the mask was made from; NaN where not assessed.
    mask : ndarray of shape (H, W), bool
        The pixels that count as found, all of them assessed. Neither array is written to.

    Returns
    -------
    tuple of Region
        Best score first; equals by larger area, then by top and left of the box, then in reading
        order. Empty if nothing is flagged.

    Raises
    ------
    ArgumentTypeError
        If `mask` is not bool or `pixels` not floating.
    ArgumentError
        If the shapes differ, or if a flagged pixel has no finite value.

    Notes
    -----
    About 12 bytes of working memory a pixel, and a second for a photo of 50 megapixels. Outlines
    take time in proportion to their corners: a million corners take about a second.

    Examples
    --------
    >>> pixels = np.array([[0.9, 0.2, 0.8], [0.7, 0.1, 0.8]], dtype=np.float32)
    >>> for region in find_regions(pixels, pixels >= 0.5):
    ...     print(f"{region.score:.1f}", region.bbox, region.centre)
    0.9 (0, 0, 2, 1) (1.0, 0.5)
    0.8 (0, 2, 2, 3) (1.0, 2.5)
    """
    _check(pixels, mask)
    if not mask.any():
        return ()
    count, found, stats, centroids = cv2.connectedComponentsWithStats(
        mask.view(np.uint8), connectivity=4, ltype=cv2.CV_32S
    )
    labels = np.asarray(found, dtype=np.int32)
    scores = np.full(count, -np.inf)
    np.maximum.at(scores, labels[mask], pixels[mask].astype(np.float64))

    outer: dict[int, npt.NDArray[np.int64]] = {}  # in reading order, whatever OpenCV's numbering
    inner: dict[int, list[npt.NDArray[np.int64]]] = {}
    for label, is_hole, ring in _trace(mask, labels):
        ring.flags.writeable = False
        if is_hole:
            inner.setdefault(label, []).append(ring)
        else:
            outer[label] = ring

    regions = []
    for label, contour in outer.items():
        left, top, width, height, area = stats[label].tolist()
        column, row = (centroids[label] + 0.5).tolist()
        regions.append(
            Region(
                score=float(scores[label]),
                bbox=(top, left, top + height, left + width),
                centre=(row, column),
                radius=float(np.hypot(*(contour - (row, column)).T).max()),
                area=area,
                contour=contour,
                holes=tuple(inner.get(label, ())),
            )
        )
    regions.sort(key=lambda region: (-region.score, -region.area, *region.bbox[:2]))
    return tuple(regions)


def to_geojson(
    regions: Sequence[Region],
    *,
    label: str,
    metadata: Mapping[str, str | float | None] | None = None,
) -> str:
    """Write regions as GeoJSON that QuPath opens as annotations.

    Parameters
    ----------
    regions : sequence of Region
        Best first; they are named by their rank.
    label : str
        What was sought, such as ``"melanoma"``: the class of every annotation.
    metadata : mapping of str to str or number, optional
        What made the regions (photo, classifier, threshold ...), attached to each.

    Returns
    -------
    str
        One FeatureCollection, plain ASCII. Each feature is a Polygon in photo pixels, x before y,
        y downwards, the origin at the photo's top left corner (no geographic coordinates). Rings
        are closed and follow the rule of [1]_, anticlockwise outside and clockwise inside **by
        their coordinates**; with y downwards that is clockwise outside to the eye.

    Raises
    ------
    ArgumentError
        If `metadata` holds what JSON cannot: NaN, or an object such as a NumPy array.

    Notes
    -----
    The members are those which QuPath 0.4 and newer read [2]_: ``objectType``, ``name``,
    ``classification`` with name and colour, numeric ``measurements`` and, shown from 0.5 on,
    ``metadata``. The file is ASCII because QuPath reads it in the encoding of the machine.

    References
    ----------
    .. [1] RFC 7946, "The GeoJSON Format", section 3.1.6, https://www.rfc-editor.org/rfc/rfc7946
    .. [2] ``qupath.lib.io.QuPathTypeAdapters``, https://github.com/qupath/qupath

    Examples
    --------
    >>> mask = np.ones((1, 2), dtype=bool)
    >>> text = to_geojson(find_regions(mask.astype(np.float32), mask), label="melanoma")
    >>> json.loads(text)["features"][0]["geometry"]["coordinates"]
    [[[0, 0], [2, 0], [2, 1], [0, 1], [0, 0]]]
    """
    features = [
        {
            "type": "Feature",
            "geometry": {
                "type": "Polygon",
                "coordinates": [_closed_xy(ring) for ring in (region.contour, *region.holes)],
            },
            "properties": {
                "objectType": "annotation",
                "name": f"{label} {rank}",
                "classification": {"name": label, "color": list(COLOUR)},
                "measurements": {
                    "score": region.score,
                    "area_px": region.area,
                    "radius_px": region.radius,
                    "centre_row": region.centre[0],
                    "centre_col": region.centre[1],
                },
                **({"metadata": dict(metadata)} if metadata else {}),
            },
        }
        for rank, region in enumerate(regions, start=1)
    ]
    try:
        return json.dumps({"type": "FeatureCollection", "features": features}, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"metadata: {error}; pass text and finite Python numbers") from error


def _closed_xy(ring: npt.NDArray[np.int64]) -> list[list[int]]:
    """Rows and columns to x and y, with the first vertex again at the end."""
    vertices: list[list[int]] = ring[:, ::-1].tolist()
    return [*vertices, vertices[0]]


def _trace(
    mask: npt.NDArray[np.bool_], labels: npt.NDArray[np.int32]
) -> Iterator[tuple[int, bool, npt.NDArray[np.int64]]]:
    """Yield the rings of every region, as (label, is it a hole, vertices), in reading order.

    A corner is where a vertical crack between differing pixels meets a horizontal one. Along a row,
    cracks begin and end at corners in turn, so that the first two corners of the row are joined by
    an edge, the next two by another; along a column likewise. Rings are then walked by taking these
    two kinds of edge in turn, from corner to corner and never pixel by pixel::

        0----1       rows:     0-1  2-3  4-5
        |    |       columns:  0-4  2-5  1-3
        |  2-3
        |  |         ring:     0-1, 1-3, 3-2, 2-5, 5-4, 4-0
        4--5
    """
    padded = np.pad(mask, 1)
    across = padded[:, 1:] != padded[:, :-1]  # a vertical crack on each pixel's left
    down = padded[1:] != padded[:-1]  # a horizontal crack on each pixel's top
    rows, cols = np.nonzero((across[:-1] | across[1:]) & (down[:, :-1] | down[:, 1:]))

    # Where two pixels touch at a corner, four cracks meet: that corner is listed twice. In its row,
    # the first of the pair ends the edge on the left and the second begins the one on the right.
    fourfold = across[rows, cols] & across[rows + 1, cols]
    first = np.flatnonzero(fourfold) + np.arange(np.count_nonzero(fourfold))
    rows, cols = np.repeat(rows, 1 + fourfold), np.repeat(cols, 1 + fourfold)

    # In its column, one of the pair ends the edge above and the other begins the one below, and
    # this says who turns where. Pixels of one region are kept together, so that the two rings go
    # round the gaps and neither meets the point twice; pixels of two regions are kept apart.
    r, c = rows[first], cols[first]
    falling = mask[r, c]  # the two pixels lie "\" and not "/"
    one = np.where(falling, labels[r - 1, c - 1], labels[r - 1, c])
    other = np.where(falling, labels[r, c], labels[r, c - 1])
    lower = np.zeros(rows.size, dtype=bool)
    lower[first] = falling == (one == other)
    lower[first + 1] = ~lower[first]
    by_column = np.lexsort((lower, rows, cols))
    vertical = np.empty_like(by_column)
    vertical[by_column] = by_column.reshape(-1, 2)[:, ::-1].ravel()

    partner: list[int] = vertical.tolist()  # the other end of the edge in a corner's column
    done = bytearray(len(partner))
    for start in range(0, len(partner), 2):
        if done[start]:
            continue
        ring: list[int] = []
        corner = start
        while not done[corner]:
            along = corner ^ 1  # the other end of the edge in its row
            done[corner] = done[along] = 1
            ring += (corner, along)
            corner = partner[along]
        top, left = rows[start], cols[start]
        is_hole = not mask[top, left]
        if is_hole:
            ring[1:] = ring[:0:-1]  # the same start, the other way round
        label = labels[top - is_hole, left]
        yield int(label), is_hole, np.stack((rows[ring], cols[ring]), axis=1)


def _check(pixels: npt.NDArray[np.floating], mask: npt.NDArray[np.bool_]) -> None:
    """Refuse what is not a map and its mask, and a mask over pixels without a value."""
    for name, array, kind, words in (
        ("pixels", pixels, "f", "floating-point"),
        ("mask", mask, "b", "bool"),
    ):
        if not isinstance(array, np.ndarray) or array.dtype.kind != kind:
            found = getattr(array, "dtype", type(array).__name__)
            raise ArgumentTypeError(f"{name}: got {found}; pass an array of {words} values")
    if pixels.ndim != 2 or pixels.shape != mask.shape:
        raise ArgumentError(
            f"pixels, mask: got shapes {pixels.shape} and {mask.shape}; "
            "pass a heat map (H, W) and the mask of the same shape"
        )
    missing = np.count_nonzero(~np.isfinite(pixels[mask]))
    if missing:
        raise ArgumentError(
            f"mask: {missing} flagged pixels have no finite value in pixels; "
            "leave out what was not assessed, as threshold_mask does"
        )
