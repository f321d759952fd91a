"""Regions of interest by name, as the shell takes them: a word, or a file."""

import os
from pathlib import Path

import numpy.typing as npt

from slidewin.errors import ArgumentError
from slidewin.image import IMAGE_SUFFIXES, check_image
from slidewin.mask.drawn import roi_from_geojson, roi_from_image
from slidewin.mask.looks import Size, roi_from_clusters, roi_from_edges, roi_from_skin
from slidewin.mask.roi import RegionOfInterest, refuse_empty, roi_from_map
from slidewin.mask.thresholds import Map, otsu_threshold

__all__ = ["ROI_WORDS", "check_roi", "read_roi"]

ROI_WORDS = ("skin", "edges", "clusters", "otsu")
"""The regions of interest that a word stands for."""

_GEOJSON = (".geojson", ".json")


def read_roi(
    source: str | os.PathLike[str],
    photo: npt.ArrayLike,
    heatmap: Map,
    *,
    lesion_size: Size = None,
) -> RegionOfInterest:
    """Make the region of interest that a word or a file stands for.

    Parameters
    ----------
    source : str or os.PathLike
        ``"skin"`` (:func:`~slidewin.mask.roi_from_skin`), ``"edges"``
        (:func:`~slidewin.mask.roi_from_edges`), ``"clusters"``
        (:func:`~slidewin.mask.roi_from_clusters`, those nearest to skin), ``"otsu"`` (where the
        heat map reaches Otsu's threshold), a ``.geojson`` file
        (:func:`~slidewin.mask.roi_from_geojson`), or a black-and-white picture
        (:func:`~slidewin.mask.roi_from_image`).
    photo : ndarray of shape (H, W, 3), uint8, RGB
    heatmap : HeatMap or ndarray of shape (H, W), floating
        Of the photo.
    lesion_size : float or (float, float), optional
        Diameter of the lesions sought, in pixels, or the smallest and the largest; by default 4 %
        to 40 % of the short side.

    Returns
    -------
    RegionOfInterest
        With something inside.

    Raises
    ------
    ArgumentError
        If it is neither, the file cannot be used, or nothing of the photo lies inside: a photo of
        which nothing is assessed has not been searched.
    ImageReadError
        If a picture cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> photo = np.full((1, 4, 3), (200, 150, 130), np.uint8)
    >>> read_roi("otsu", photo, np.float32([[0.1, 0.9, 0.8, 0.1]]))
    RegionOfInterest(heat map (array), 50% of 1 x 4 px)
    """
    check_roi(source)
    photo = check_image(photo)
    if source == "skin":
        roi = roi_from_skin(photo, lesion_size=lesion_size)
    elif source == "edges":
        roi = roi_from_edges(photo, lesion_size=lesion_size)
    elif source == "clusters":
        roi = roi_from_clusters(photo, lesion_size=lesion_size)
    elif source == "otsu":
        roi = roi_from_map(heatmap, otsu_threshold(heatmap))
    elif Path(source).suffix.lower() in _GEOJSON:
        roi = roi_from_geojson(source, photo.shape)
    else:
        roi = roi_from_image(source, photo.shape)
    refuse_empty(roi, repr(os.fspath(source)))
    return roi


def check_roi(source: str | os.PathLike[str]) -> None:
    """Refuse what no photo has: a word that is unknown, or a file that is not there.

    Raises
    ------
    ArgumentError
        Likewise.
    """
    suffix = Path(source).suffix.lower()
    if source in ROI_WORDS:
        return
    if suffix not in (*_GEOJSON, *IMAGE_SUFFIXES):
        raise ArgumentError(
            f"roi={os.fspath(source)!r}: give one of {', '.join(ROI_WORDS)}, a .geojson file, or a "
            "black-and-white picture such as a PNG"
        )
    if not Path(source).is_file():
        raise ArgumentError(f"roi={os.fspath(source)!r}: there is no such file; check its spelling")
