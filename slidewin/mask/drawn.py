"""Regions of interest drawn by hand: a polygon, a GeoJSON file, a black-and-white picture.

A pixel is inside where its centre is. Vertices are continuous coordinates with pixel edges at whole
numbers, so the square from (0, 0) to (1, 1) holds one pixel. OpenCV's ``fillPoly`` would give it
four: it fills what its outline touches, and counts from the pixels' centres.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slidewin.errors import ArgumentError, ArgumentTypeError
from slidewin.grid import photo_size
from slidewin.image import read_image
from slidewin.mask.roi import RegionOfInterest

__all__ = ["roi_from_geojson", "roi_from_image", "roi_from_polygon"]

_FARTHEST = 1e9  # px; beyond it nothing is a photo's coordinate

Ring = npt.NDArray[np.float64]


def roi_from_polygon(vertices: npt.ArrayLike, photo_shape: Sequence[int]) -> RegionOfInterest:
    """Take what a polygon encloses.

    Parameters
    ----------
    vertices : array_like of shape (n, 2)
        Row and column of the corners, three or more, in order. The last is joined to the first.
        They may lie outside of the photo.
    photo_shape : sequence of int
        (H, W) or (H, W, 3).

    Returns
    -------
    RegionOfInterest
        The pixels whose centres the outline goes round an odd number of times; of a centre on the
        outline, one of the two sides holds it.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If the vertices are no polygon, or it encloses no pixel of the photo.

    Examples
    --------
    >>> roi_from_polygon([(0, 1), (0, 3), (1, 3), (1, 1)], (2, 4)).inside
    array([[False,  True,  True, False],
           [False, False, False, False]])
    """
    shape = photo_size(photo_shape)
    ring = _ring(vertices)
    if ring is None:
        raise ArgumentError(
            "vertices: pass three or more pairs (row, column) of finite numbers, in order"
        )
    inside = np.zeros(shape, np.bool_)
    _fill(inside, [ring])
    _refuse_empty("vertices", inside)
    return RegionOfInterest(inside, {"by": "polygon", "vertices": ring.tolist()})


def roi_from_geojson(
    path: str | os.PathLike[str], photo_shape: Sequence[int], *, label: str | None = None
) -> RegionOfInterest:
    """Take what the polygons of a GeoJSON file enclose, such as QuPath exports it.

    Parameters
    ----------
    path : str or os.PathLike
        A FeatureCollection, a list of features, one feature, or one geometry; Polygons and
        MultiPolygons with their holes. Points and lines, which enclose nothing, are passed over.
        x before y, in photo pixels, y downwards, the origin at the photo's top left corner.
    photo_shape : sequence of int
        (H, W) or (H, W, 3).
    label : str, optional
        Take the features of this class alone (QuPath's ``classification``). By default all.

    Returns
    -------
    RegionOfInterest
        The pixels whose centres lie in any of the polygons. What :func:`slidewin.region.to_geojson`
        wrote comes back as it was, pixel by pixel.

    Raises
    ------
    ArgumentError
        If there is no such file, it is not GeoJSON, holds no polygon, or encloses no pixel of the
        photo.

    Notes
    -----
    About 2 bytes of working memory for each pixel of a polygon's box, and 20 µs for each edge.

    References
    ----------
    RFC 7946, "The GeoJSON Format", https://www.rfc-editor.org/rfc/rfc7946. QuPath gives full
    resolution pixels, the origin at the top left:
    https://qupath.readthedocs.io/en/stable/docs/advanced/exporting_annotations.html

    Examples
    --------
    >>> import tempfile
    >>> text = '{"type": "Polygon", "coordinates": [[[1, 0], [3, 0], [3, 1], [1, 1], [1, 0]]]}'
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "hand.geojson")
    ...     _ = file.write_text(text)
    ...     roi_from_geojson(file, (2, 4)).inside
    array([[False,  True,  True, False],
           [False, False, False, False]])
    """
    shape = photo_size(photo_shape)
    data = _read(path)
    inside = np.zeros(shape, np.bool_)
    try:
        polygons = list(_polygons(json.loads(data.decode("utf-8-sig")), label))
    except ArgumentError as error:
        raise ArgumentError(f"{path}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise ArgumentError(
            f"{path}: cannot be read as GeoJSON ({error}); export it anew"
        ) from error
    of_label = "" if label is None else f" in features of class {label!r}"
    if not polygons:
        raise ArgumentError(
            f"{path}: holds no Polygon or MultiPolygon{of_label}, and nothing else encloses "
            "anything; draw one round what is to be assessed"
        )
    for polygon in polygons:
        _fill(inside, polygon)
    _refuse_empty(f"{path}{of_label}", inside)
    sha256 = hashlib.sha256(data).hexdigest()
    made_by = {"by": "GeoJSON", "file": Path(path).name, "file_sha256": sha256, "label": label}
    return RegionOfInterest(inside, made_by)


def roi_from_image(path: str | os.PathLike[str], photo_shape: Sequence[int]) -> RegionOfInterest:
    """Take what is not black in a picture of two colours.

    Parameters
    ----------
    path : str or os.PathLike
        Of the photo's size; black outside, and one other colour inside. Three values or more, as
        in a JPEG or where not assessed is a third, would be a guess.
    photo_shape : sequence of int
        (H, W) or (H, W, 3).

    Returns
    -------
    RegionOfInterest

    Raises
    ------
    ImageReadError
        If the file cannot be read as one whole image.
    ArgumentError
        If it is of another size, has more colours, or is black all over.

    Examples
    --------
    >>> import tempfile
    >>> from slidewin.output import write_png
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_png(f"{folder}/roi.png", np.uint8([[0, 255, 255]]))
    ...     roi_from_image(f"{folder}/roi.png", (1, 3)).inside
    array([[False,  True,  True]])
    """
    shape = photo_size(photo_shape)
    picture = read_image(path)
    if picture.shape[:2] != shape:
        raise ArgumentError(
            f"{path}: found {picture.shape[0]} x {picture.shape[1]} px; the photo has "
            f"{shape[0]} x {shape[1]}, and a region of interest needs its size"
        )
    inside = np.asarray(picture.any(axis=2))
    if (picture != inside[..., None] * picture.max(axis=(0, 1))).any():
        raise ArgumentError(
            f"{path}: more than black and one other colour found; a region of interest has two: "
            "threshold it, and save it as PNG"
        )
    _refuse_empty(str(path), inside)
    sha256 = hashlib.sha256(_read(path)).hexdigest()
    made_by = {"by": "image", "file": Path(path).name, "file_sha256": sha256}
    return RegionOfInterest(inside, made_by)


def _read(path: str | os.PathLike[str]) -> bytes:
    if not isinstance(path, str | os.PathLike) or isinstance(os.fspath(path), bytes):
        raise ArgumentTypeError(
            f"path is of type {type(path).__name__}; wanted is a path, str or os.PathLike"
        )
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ArgumentError(f"{path}: cannot be opened ({reason}); check its spelling") from error


def _polygons(node: Any, label: str | None) -> Iterator[list[Ring]]:
    """Yield the rings of every polygon, as rows and columns; pass over points and lines."""
    if isinstance(node, list):
        for one in node:
            yield from _polygons(one, label)
        return
    kind = str(node.get("type")) if isinstance(node, dict) else type(node).__name__
    if kind == "Feature" and label is not None and _label(node) != label:
        return
    if kind in _INSIDE:
        yield from _polygons(node.get(_INSIDE[kind]), label)
    elif kind == "Polygon":
        yield _rings(node.get("coordinates"))
    elif kind == "MultiPolygon" and isinstance(node.get("coordinates"), list):
        yield from map(_rings, node["coordinates"])
    elif kind not in _OPEN:
        raise ArgumentError(f"holds a {kind}, which is no GeoJSON; export it anew")


_OPEN = ("Point", "MultiPoint", "LineString", "MultiLineString")
_INSIDE = {
    "FeatureCollection": "features",
    "Feature": "geometry",
    "GeometryCollection": "geometries",
}


def _label(feature: dict[str, Any]) -> str | None:
    """Class of a QuPath object; of a derived class the names are given one by one."""
    properties = feature.get("properties")
    given = properties.get("classification") if isinstance(properties, dict) else None
    if not isinstance(given, dict):
        return None
    names = given.get("names")
    return ": ".join(map(str, names)) if isinstance(names, list) else given.get("name")


def _rings(coordinates: Any) -> list[Ring]:
    if not isinstance(coordinates, list) or not coordinates:
        raise ArgumentError("holds a Polygon without rings; export it anew")
    rings = [_ring(positions, xy=True) for positions in coordinates]
    if any(ring is None for ring in rings):
        raise ArgumentError(
            "holds a ring that is not three or more positions [x, y] of finite numbers; export it "
            "anew"
        )
    return [ring for ring in rings if ring is not None]


def _ring(positions: Any, *, xy: bool = False) -> Ring | None:
    """Rows and columns (n, 2) of a polygon's corners, or None if it is no polygon."""
    try:
        ring = np.asarray([position[:2] for position in positions])
    except (TypeError, ValueError, LookupError):
        return None
    if ring.dtype.kind not in "fiu" or ring.ndim != 2 or ring.shape[1] != 2 or len(ring) < 3:
        return None
    ring = ring.astype(np.float64)
    # Not "any beyond": NaN is none, either.
    if not (np.abs(ring) <= _FARTHEST).all():
        return None
    return ring[:, ::-1] if xy else ring


def _fill(inside: npt.NDArray[np.bool_], rings: Sequence[Ring]) -> None:
    """Set the pixels whose centres lie within an odd number of rings.

    From left to right along the centres of a row, every edge that is crossed leads in or out::

        row 0   . . | . . . | .       . centre of a pixel     | edge
                    in      out
    """
    corners = np.concatenate(rings)
    top, left = np.floor(np.maximum(corners.min(axis=0), 0)).astype(np.intp).tolist()
    bottom, right = np.ceil(np.minimum(corners.max(axis=0), inside.shape)).astype(np.intp).tolist()
    if top >= bottom or left >= right:
        return
    # One column more, for edges to the right of the photo.
    crossed = np.zeros((bottom - top, right - left + 1), np.bool_)
    for ring in rings:
        for one, other in zip(ring.tolist(), np.roll(ring, -1, axis=0).tolist(), strict=True):
            # From above to below, so that an edge is the same for the polygons on both its sides.
            (row, col), (end, end_col) = sorted((one, other))
            first = max(math.ceil(row - 0.5), top)
            last = min(math.ceil(end - 0.5), bottom)
            if first >= last:
                continue
            rows = np.arange(first, last)
            at = col + (rows + 0.5 - row) * ((end_col - col) / (end - row))
            places = np.clip(np.ceil(at - 0.5) - left, 0, right - left).astype(np.intp)
            crossed[rows - top, places] ^= True
    within = np.logical_xor.accumulate(crossed[:, :-1], axis=1)
    inside[top:bottom, left:right] |= within


def _refuse_empty(name: str, inside: npt.NDArray[np.bool_]) -> None:
    if not inside.any():
        raise ArgumentError(
            f"{name}: nothing of the photo, {inside.shape[0]} x {inside.shape[1]} px, lies inside; "
            "is it of another photo, or of another size of this one?"
        )
