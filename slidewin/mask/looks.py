"""Regions of interest by the looks of a photo: skin's colour, clusters of colours, closed edges.

Each is a guess, and what it leaves out is not assessed: look at the region before trusting the
mask. None tells skin from wood or cardboard of its colour.
"""

from collections.abc import Sequence
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from slidewin.errors import ArgumentError
from slidewin.grid import LESION_SHARE
from slidewin.image import check_image
from slidewin.image.arrays import bands
from slidewin.mask.flagged import drop_specks, speck_area
from slidewin.mask.roi import RegionOfInterest
from slidewin.mask.thresholds import otsu_threshold

__all__ = [
    "has_skin_colour",
    "roi_from_clusters",
    "roi_from_edges",
    "roi_from_skin",
    "sizes_sought",
]

Photo = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Size = float | tuple[float, float] | None

_CR, _CB = (133, 173), (77, 127)
_SAMPLE = 2**14  # pixels that clusters are fitted on, at most
_BLUR = 1 / 8  # of the smallest lesion's diameter: finer edges are texture
_WEAK = 0.4  # of Canny's strong threshold: he advises a half to a third
_BLACK = 16  # of 255: compression spoils the black of bars by up to 11
_SMEARED = 2  # px, which compression mixes with the bar next to them


def has_skin_colour(photo: npt.ArrayLike) -> Mask:
    """Tell the pixels (H, W) whose colour is that of skin, by its chroma alone.

    Parameters
    ----------
    photo : ndarray of shape (H, W, 3), uint8, RGB

    Returns
    -------
    ndarray of shape (H, W), bool
        Where Cr is in [133, 173] and Cb in [77, 127] [1]_, in 8-bit YCbCr of full range, as JPEG
        and OpenCV have it.

    Notes
    -----
    Measured on close-ups of `pad_ufes_20`, the rule holds for 80 to 92 % of the skin round the
    lesion, for lighter and darker skin alike, but in single photos of a bluish white balance for
    next to none of it. It also holds for much wood, cardboard and beige cloth.

    References
    ----------
    .. [1] Chai and Ngan, "Face segmentation using skin-color map in videophone applications", IEEE
       Trans. Circuits Syst. Video Technol. 9:551 (1999), doi:10.1109/76.767122.

    Examples
    --------
    >>> has_skin_colour(np.uint8([[(200, 150, 130), (60, 90, 200)]]))
    array([[ True, False]])
    """
    _, red, blue = cv2.split(cv2.cvtColor(check_image(photo), cv2.COLOR_RGB2YCrCb))
    within = (red >= _CR[0]) & (red <= _CR[1]) & (blue >= _CB[0]) & (blue <= _CB[1])
    return np.asarray(within, np.bool_)


def roi_from_skin(photo: npt.ArrayLike, *, lesion_size: Size = None) -> RegionOfInterest:
    """Take what has the colour of skin, and the lesions in it that have not.

    Parameters
    ----------
    photo : ndarray of shape (H, W, 3), uint8, RGB
        It is not written to.
    lesion_size : float or (float, float), optional
        Diameter of the lesions sought, in pixels, or the smallest and the largest; by default 4 %
        to 40 % of the short side. Gaps in the skin narrower than the smallest are closed, holes up
        to the area of the largest are filled, and pieces narrower than half the smallest dropped.

    Returns
    -------
    RegionOfInterest
        Empty if nothing has the colour.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If `photo` is no photo, or `lesion_size` no size.

    Notes
    -----
    See :func:`has_skin_colour` for the rule, its source and what it is bad at. About 12 bytes of
    working memory a pixel.

    Examples
    --------
    >>> photo = np.full((40, 60, 3), (200, 150, 130), np.uint8)
    >>> photo[10:16, 10:16] = 40
    >>> photo[:, 30:] = (60, 90, 200)
    >>> roi = roi_from_skin(photo, lesion_size=8)
    >>> bool(roi.inside[:, :30].all()), bool(roi.inside[:, 30:].any())
    (True, False)
    """
    photo = check_image(photo)
    sizes = sizes_sought(lesion_size, photo.shape)
    made_by = {"by": "skin colour", "Cr": _CR, "Cb": _CB, "lesion_size": sizes}
    return RegionOfInterest(_with_lesions(has_skin_colour(photo), sizes), made_by)


def roi_from_clusters(
    photo: npt.ArrayLike,
    *,
    n_clusters: int = 4,
    clusters: int | Sequence[int] | Literal["skin"] = "skin",
    lesion_size: Size = None,
    random_state: int = 0,
) -> RegionOfInterest:
    """Take some of the colours of a photo, as k-means parts them.

    Parameters
    ----------
    photo : ndarray of shape (H, W, 3), uint8, RGB
        It is not written to.
    n_clusters : int
        Into how many clusters the colours are parted, 2 or more.
    clusters : int, sequence of int, or "skin"
        Which of them: by number, 0 being the darkest, or those nearest to skin, which are those
        most of whose pixels have skin's colour, or the one that comes nearest to that.
    lesion_size : float or (float, float), optional
        As for :func:`roi_from_skin`: gaps, holes and specks are seen to in the same way.
    random_state : int
        Seed of the first centres.

    Returns
    -------
    RegionOfInterest
        Its ``made_by`` holds the clusters' colours (RGB) and shares of skin, darkest first. Empty
        if no pixel has skin's colour and that was asked for.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If an argument is not one of these.

    Notes
    -----
    Colours are compared in CIELAB, where distances are nearer to what the eye sees [1]_, by
    scikit-learn's KMeans, on 4000 to 16 000 pixels evenly spread over the photo. About 15 bytes of
    working memory a pixel.

    Bad at: light. What lies in shade and what is lit are two clusters before skin and cloth are;
    and where there is no skin, whatever comes nearest to it is taken.

    References
    ----------
    .. [1] Lloyd, "Least squares quantization in PCM", IEEE Trans. Inf. Theory 28:129 (1982),
       doi:10.1109/TIT.1982.1056489; CIE 15, "Colorimetry".

    Examples
    --------
    >>> photo = np.full((40, 60, 3), (200, 150, 130), np.uint8)
    >>> photo[:, 30:] = (60, 90, 200)
    >>> roi = roi_from_clusters(photo, n_clusters=2)
    >>> roi
    RegionOfInterest(clusters in colour, 50% of 40 x 60 px)
    >>> roi.made_by["colours"], roi.made_by["clusters"]
    ([[60, 90, 200], [200, 150, 130]], [1])
    """
    # scikit-learn takes a second to import, which only those who cluster should wait for.
    from sklearn.cluster import KMeans

    n_clusters = _whole("n_clusters", n_clusters, 2)
    random_state = _whole("random_state", random_state, 0)
    photo = check_image(photo)
    sizes = sizes_sought(lesion_size, photo.shape)
    step = int(np.ceil(np.sqrt(photo.shape[0] * photo.shape[1] / _SAMPLE)))
    sample = photo[::step, ::step].reshape(1, -1, 3)
    n = min(n_clusters, len(np.unique(sample, axis=1)[0]))
    means = KMeans(n, n_init=4, random_state=random_state)
    with threadpool_limits(1):  # threads add up in any order: centres would differ by rounding
        means.fit(_lab(sample))
    rank = np.argsort(np.argsort(means.cluster_centers_[:, 0]))

    of_sample, skin = rank[means.labels_], has_skin_colour(sample)[0]
    shares = [float(skin[of_sample == one].mean()) for one in range(n)]
    chosen = _chosen(clusters, shares)
    inside = np.zeros(photo.shape[:2], np.bool_)
    for rows in bands(photo):
        inside[rows] = np.isin(rank[means.predict(_lab(photo[rows]))], chosen).reshape(
            -1, photo.shape[1]
        )
    colours = [np.rint(sample[0, of_sample == one].mean(axis=0)).astype(int) for one in range(n)]
    made_by = {
        "by": "clusters in colour",
        "clusters": chosen,
        "colours": [colour.tolist() for colour in colours],
        "skin": [round(share, 3) for share in shares],
        "lesion_size": sizes,
        "random_state": random_state,
    }
    return RegionOfInterest(_with_lesions(inside, sizes), made_by)


def roi_from_edges(photo: npt.ArrayLike, *, lesion_size: Size = None) -> RegionOfInterest:
    """Take what the edges in a photo enclose.

    Parameters
    ----------
    photo : ndarray of shape (H, W, 3), uint8, RGB
        It is not written to.
    lesion_size : float or (float, float), optional
        Diameter of the lesions sought, in pixels, or the smallest and the largest; by default 4 %
        to 40 % of the short side. Edges are looked for in the photo blurred by an eighth of the
        smallest, gaps in them narrower than the smallest are closed, and what is narrower than half
        of it is dropped.

    Returns
    -------
    RegionOfInterest
        Of the areas that the edges part the photo into, the one with most of the photo's border is
        outside and all others are inside, so that a limb need not end within the photo. Empty if
        the edges part nothing.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If `photo` is no photo, or `lesion_size` no size.

    Notes
    -----
    Canny's detector [1]_ on the photo's luma. Its strong threshold is Otsu's of the gradient [2]_,
    the weak one 0.4 of that. About 40 bytes of working memory a pixel.

    Black bars that make a photo fit a frame are no part of it: they are not inside, nor is their
    border the photo's. A bar ends at once, and the photo's own dark ground, off which a limb
    stands, mostly does not.

    Bad at: whatever has edges besides skin. Folds of a sheet cut parts of it off, patterned cloth
    is all edges, and one gap lets the outside in. A close-up, all of it skin, is parted at random:
    of 96 photos of feet in `fusc_2021`, 70 % of the median photo lies inside, and 95 % of the
    wounds, but of five photos less than half of the wound.

    References
    ----------
    .. [1] Canny, "A computational approach to edge detection", IEEE Trans. Pattern Anal. Mach.
       Intell. 8:679 (1986), doi:10.1109/TPAMI.1986.4767851.
    .. [2] Fang, Yue and Yu, "The study on an application of Otsu method in Canny operator", ISIP
       2009, pp. 109-112.

    Examples
    --------
    >>> photo = np.full((100, 120, 3), 200, np.uint8)
    >>> photo[30:60, 40:80] = 90
    >>> roi = roi_from_edges(photo, lesion_size=16)
    >>> bool(roi.inside[32:58, 42:78].all()), bool(roi.inside[:20].any())
    (True, False)
    """
    whole = check_image(photo)
    sizes = sizes_sought(lesion_size, whole.shape)
    rows, columns = _between_bars(whole)
    photo = whole[rows, columns]
    luma = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32)
    even = cv2.GaussianBlur(luma, (0, 0), _BLUR * sizes[0], borderType=cv2.BORDER_REPLICATE)
    # Canny takes slopes as 16-bit integers, which these fill without overflow.
    across, down = (16 * cv2.Sobel(even, cv2.CV_32F, *way) for way in ((1, 0), (0, 1)))
    strong = otsu_threshold(np.asarray(cv2.magnitude(across, down), np.float32)).value
    slopes = np.rint(across).astype(np.int16), np.rint(down).astype(np.int16)
    edges = cv2.Canny(*slopes, _WEAK * strong, strong, L2gradient=True)
    edged = _closed(np.asarray(edges > 0), sizes[0])
    count, areas = cv2.connectedComponents((~edged).view(np.uint8), connectivity=4)
    rim = np.concatenate([areas[0], areas[-1], areas[:, 0], areas[:, -1]])
    share_of_rim = np.bincount(rim, minlength=count)
    share_of_rim[0] = 0  # label 0 is the edges
    outside = int(np.argmax(share_of_rim)) if share_of_rim.any() else -1
    # Edges that part nothing are thin lines, into which no disc fits.
    inside = np.zeros(whole.shape[:2], np.bool_)
    inside[rows, columns] = _opened(np.asarray(areas != outside), sizes[0] / 2)
    return RegionOfInterest(inside, {"by": "closed edges", "lesion_size": sizes})


def _whole(name: str, number: Any, least: int) -> int:
    is_whole = isinstance(number, int | np.integer) and not isinstance(number, bool)
    if not is_whole or number < least:
        raise ArgumentError(f"{name}={number!r}: a whole number from {least} up is needed")
    return int(number)


def _chosen(clusters: int | Sequence[int] | str, shares: Sequence[float]) -> list[int]:
    """Return the numbers of the clusters that are wanted, given the share of skin in each."""
    if clusters == "skin":
        nearest = max(shares)
        return [one for one, share in enumerate(shares) if share >= 0.5 or 0 < share == nearest]
    given = np.atleast_1d(np.asarray(clusters))
    if given.dtype.kind not in "iu" or given.ndim != 1 or not given.size:
        raise ArgumentError(f"clusters={clusters!r}: give numbers from 0 up, or 'skin'")
    if given.min() < 0 or given.max() >= len(shares):
        raise ArgumentError(
            f"clusters={clusters!r}: this photo's are 0 (the darkest) to {len(shares) - 1}"
        )
    return sorted(set(given.tolist()))


def _lab(photo: Photo) -> npt.NDArray[np.float32]:
    """Colours (n, 3) in CIELAB."""
    lab = cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return np.asarray(lab, np.float32).reshape(-1, 3)


def sizes_sought(lesion_size: Any, shape: tuple[int, ...]) -> tuple[float, float]:
    """Smallest and largest lesion sought in a photo of a shape, in its pixels.

    By default those of :data:`slidewin.grid.LESION_SHARE`. Unlike the sweep's they may be less
    than a pixel.

    Raises
    ------
    ArgumentError
        If it is no diameter, nor the smallest and the largest.
    """
    if lesion_size is None:
        lesion_size = [share * min(shape[:2]) for share in LESION_SHARE]
    sizes = np.asarray(lesion_size)
    if sizes.dtype.kind not in "fiu" or sizes.shape not in ((), (2,)):
        raise ArgumentError(
            f"lesion_size={lesion_size!r}: a diameter in pixels, or the smallest and the largest, "
            "is needed"
        )
    smallest, largest = float(sizes.flat[0]), float(sizes.flat[-1])
    if not 0 < smallest <= largest < np.inf:
        raise ArgumentError(f"lesion_size={lesion_size!r}: 0 < smallest <= largest is needed")
    return smallest, largest


def _with_lesions(found: Mask, sizes: tuple[float, float]) -> Mask:
    """Close gaps, drop specks, and fill the holes that lesions of other colours leave."""
    closed = drop_specks(_closed(found, sizes[0]), speck_area(sizes[0], width=0.5))
    # All that reaches the photo's border is one piece with the frame, and no hole.
    outside = np.pad(~closed, 1, constant_values=True)
    return ~drop_specks(outside, np.pi / 4 * sizes[1] ** 2)[1:-1, 1:-1]


def _between_bars(photo: Photo) -> tuple[slice, slice]:
    """Rows and columns of a photo without the black bars along its border."""
    lit = (photo > _BLACK).any(axis=2)
    between = []
    for shares in (lit.mean(axis=1), lit.mean(axis=0)):
        before, after = _bar(shares), _bar(shares[::-1])
        kept = slice(before, len(shares) - after)
        between.append(kept if kept.start < kept.stop else slice(None))
    return between[0], between[1]


def _bar(shares: npt.NDArray[np.float64]) -> int:
    """Count the lines of a bar, given what share of each line is lit, from the border on."""
    beyond = int(np.argmax(shares > 0)) + _SMEARED
    ends_at_once = beyond < len(shares) and shares[beyond] >= shares.max() / 2
    return beyond if shares[0] == 0 and ends_at_once and shares.any() else 0


def _closed(mask: Mask, width: float) -> Mask:
    """Add what a disc of a width cannot pass through without touching the mask."""
    near = _within(mask, width / 2)
    return ~_within(~near, width / 2)


def _opened(mask: Mask, width: float) -> Mask:
    """Take away what a disc of a width does not fit into."""
    return ~_closed(~mask, width)


def _within(mask: Mask, reach: float) -> Mask:
    """Tell the pixels at most so far from the mask; beyond the photo there is none of it."""
    if not mask.any():
        return mask.copy()
    away = cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(away <= reach)
