"""Photos with known truth, laid together: real lesions on real skin, real hands on drawn cloth.

What is laid keeps the ground's light: a lesion colours the skin under it as it colours its own, so
that shading, creases and hairs carry through, and no seam gives it away.
"""

import cv2
import numpy as np
import numpy.typing as npt

from slidewin.errors import ArgumentError, ArgumentTypeError
from slidewin.image import check_image
from slidewin.scene.cloth import printed_cloth
from slidewin.scene.noise import Field, blur, generator, ramp, size_of
from slidewin.scene.photo import CLOTHS, Scene, expose

__all__ = ["find_skin", "lay_real_hand", "lay_real_lesion", "luma_and_skin"]

Photo = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

_SKIN_SHARE = 0.98
_SMOOTH = 16.0  # standard deviation of the grey values of skin without anything on it
_BRIGHTEST = 1.6  # of what is laid, against the skin round it: glints are not carried over
_BLACK = 60
_HAND_SIDE = 1100  # px, about as many as a scene shows; hands are cut out at this size
_ROOM = 1.25  # from a lesion's centre to the edge of the hand, in diameters


def luma_and_skin(photo: Photo) -> tuple[Photo, Mask]:
    """Luma (H, W), uint8, of a photo, and which of its pixels (H, W) have the colour of skin.

    References
    ----------
    Chai and Ngan, IEEE Trans. Circuits Syst. Video Technol. 9:551 (1999), doi:10.1109/76.767122.

    Examples
    --------
    >>> luma, skin = luma_and_skin(np.uint8([[(200, 150, 130), (60, 90, 200)]]))
    >>> luma, skin
    (array([[163,  94]], dtype=uint8), array([[ True, False]]))
    """
    luma, red, blue = cv2.split(cv2.cvtColor(photo, cv2.COLOR_RGB2YCrCb))
    skin = (red >= 135) & (red <= 178) & (blue >= 77) & (blue <= 127)
    return np.asarray(luma, np.uint8), np.asarray(skin)


def find_skin(photo: Photo, *, reach: float, keep_clear: Mask | None = None) -> Mask:
    """Find the places of a photo round which there is bare skin.

    Parameters
    ----------
    photo : ndarray of shape (H, W, 3), uint8, RGB
    reach : float
        In pixels: how far from its centre a place must be skin. Skin has the colour of skin [1]_
        and is smooth.
    keep_clear : ndarray of shape (H, W), bool, optional
        No place reaches into here.

    Returns
    -------
    ndarray of shape (H, W), bool
        True at the centres of such places; the photo's border is beyond the reach of all of them.

    References
    ----------
    .. [1] Chai and Ngan, IEEE Trans. Circuits Syst. Video Technol. 9:551 (1999),
       doi:10.1109/76.767122.

    Examples
    --------
    >>> photo = np.full((40, 60, 3), (200, 150, 130), np.uint8)
    >>> photo[:, :30] = (60, 90, 200)
    >>> rows, cols = np.nonzero(find_skin(photo, reach=8))
    >>> [int(x) for x in (rows.min(), rows.max(), cols.min(), cols.max())]
    [8, 31, 38, 51]
    """
    photo = check_image(photo)
    shape = photo.shape[:2]
    if not 1 <= reach < np.inf:
        raise ArgumentError(f"reach={reach!r}: give a number of pixels from 1 up")
    half = int(np.ceil(reach))
    side = 2 * half + 1
    luma, coloured = luma_and_skin(photo)
    share = cv2.blur(coloured.astype(np.float32), (side, side))
    grey = luma.astype(np.float32)
    # A slope of light is smooth: what stands out is judged against a blur as wide as the place.
    detail = grey - cv2.blur(grey, (side, side))
    rough = cv2.blur(detail * detail, (side, side))
    found = np.asarray((share >= _SKIN_SHARE) & (rough <= _SMOOTH**2))
    if keep_clear is not None:
        _check_mask("keep_clear", keep_clear, shape)
        barred = cv2.dilate(keep_clear.astype(np.uint8), np.ones((side, side), np.uint8))
        found &= barred == 0
    found[:half], found[:, :half] = False, False
    found[max(0, shape[0] - half) :], found[:, max(0, shape[1] - half) :] = False, False
    return found


def lay_real_lesion(
    photo: Photo,
    image: Photo,
    mask: Mask,
    *,
    centre: tuple[float, float],
    diameter: float,
    random_state: int | np.random.Generator,
) -> tuple[Photo, Mask]:
    """Lay a photographed lesion into another photo.

    Parameters
    ----------
    photo : ndarray of shape (H, W, 3), uint8, RGB
        Left as it is.
    image : ndarray of shape (h, w, 3), uint8, RGB
        A close-up.
    mask : ndarray of shape (h, w), bool
        The lesion in the close-up.
    centre : (float, float)
        Row and column in `photo` for the lesion's centroid.
    diameter : float
        Of the disc that has the lesion's area, in pixels of `photo`; 3 or more.
    random_state : int or numpy.random.Generator
        Seed; it turns and mirrors the lesion and softens its edge.

    Returns
    -------
    photo : ndarray of shape (H, W, 3), uint8, RGB
        The ground, coloured as the lesion colours the skin round it in the close-up.
    mask : ndarray of shape (H, W), bool
        Where the lesion is now, as far as the photo shows it.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If an argument is not one of these.

    Examples
    --------
    >>> skin, close_up = np.full((64, 64, 3), 200, np.uint8), np.full((50, 50, 3), 180, np.uint8)
    >>> close_up[15:35, 15:35] = 90
    >>> photo, mask = lay_real_lesion(
    ...     skin, close_up, close_up[:, :, 0] < 100, centre=(32, 32), diameter=16, random_state=0)
    >>> photo[32, 32], photo[2, 2], bool(mask[32, 32])
    (array([100, 100, 100], dtype=uint8), array([200, 200, 200], dtype=uint8), True)
    """
    photo, image = check_image(photo), check_image(image)
    _check_mask("mask", mask, image.shape[:2])
    if not mask.any():
        raise ArgumentError("mask is empty: mark the lesion in it")
    if not 3 <= diameter < np.inf:
        raise ArgumentError(f"diameter is {diameter!r}: give 3 px or more")
    rng = generator(random_state)
    scale = diameter / (2 * np.sqrt(np.count_nonzero(mask) / np.pi))
    ratio = np.minimum(image / _skin_colour(image, mask), np.float32(_BRIGHTEST))
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    ratio = cv2.resize(ratio, size, interpolation=way)
    cover = cv2.resize(mask.astype(np.float32), size, interpolation=way)

    angle, mirror = rng.uniform(0, 2 * np.pi), rng.choice((-1, 1))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn[:, 0] *= mirror
    middle = cover.sum(axis=0) @ np.arange(size[0]), cover.sum(axis=1) @ np.arange(size[1])
    # OpenCV counts from pixel centres.
    shift = np.array([centre[1], centre[0]]) - 0.5 - turn @ (np.array(middle) / cover.sum())
    matrix = np.column_stack([turn, shift])
    frame = (photo.shape[1], photo.shape[0])
    cover = cv2.warpAffine(cover, matrix, frame)
    ratio = cv2.warpAffine(ratio, matrix, frame, borderMode=cv2.BORDER_REPLICATE)
    soft = blur(cover, rng.uniform(0.02, 0.05) * diameter)[:, :, None]
    laid = photo * (1 + soft * (ratio - 1))
    return np.asarray(np.clip(laid + 0.5, 0, 255), np.uint8), np.asarray(cover > 0.5)


def lay_real_hand(
    hand: Photo,
    shape: tuple[int, int] = (900, 1200),
    *,
    lesion: tuple[Photo, Mask] | None = None,
    lesion_size: float | None = None,
    random_state: int | np.random.Generator = 0,
) -> Scene:
    """Lay a photographed hand on a drawn tablecloth printed with blots, a lesion on the hand.

    Parameters
    ----------
    hand : ndarray of shape (h, w, 3), uint8, RGB
        A hand on white paper, coming in from the bottom.
    shape : (int, int)
        Height and width of the scene in pixels, 64 or more.
    lesion : (ndarray, ndarray), optional
        A close-up, as in :func:`lay_real_lesion`, and the lesion's mask in it; none by default.
    lesion_size : float, optional
        Diameter of the lesion and of the blots in pixels; by default 4 to 6 % of the short side.
    random_state : int or numpy.random.Generator
        Seed; with one seed, scenes with and without a lesion differ in the lesion alone.

    Returns
    -------
    Scene

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If an argument is not one of these, there is no hand, or no place on it for the lesion.
    """
    hand, shape, rng = check_image(hand), size_of(shape, least=64), generator(random_state)
    of_cloth, of_hand, of_lesion, of_camera = map(
        np.random.default_rng, rng.integers(2**63, size=4)
    )
    if lesion_size is None:
        lesion_size = max(3.0, float(rng.uniform(0.04, 0.06)) * min(shape))
    colour = CLOTHS[rng.integers(len(CLOTHS))] * np.float32(rng.uniform(0.92, 1.04))
    cloth, print_share = printed_cloth(shape, of_cloth, "blots", lesion_size, colour)
    image, cover = _place(*_cut_hand(hand), shape, of_hand)
    skin = cover > 0.5
    mask = np.zeros(shape, np.bool_)
    if lesion is not None:
        places = find_skin(image, reach=_ROOM * lesion_size, keep_clear=~skin)
        if not places.any():
            raise ArgumentError(
                f"lesion_size is {lesion_size:.4g} px: this hand has no bare skin for it; give a "
                "smaller one or a larger shape"
            )
        row, col = divmod(int(of_lesion.choice(np.flatnonzero(places))), shape[1])
        image, mask = lay_real_lesion(
            image,
            *lesion,
            centre=(row + 0.5, col + 0.5),
            diameter=lesion_size,
            random_state=of_lesion,
        )
    scene = cloth * _shadow(cover, of_hand)[:, :, None]
    scene += cover[:, :, None] * (image / np.float32(255) - scene)
    decoys = (print_share > 0.5) & ~skin
    return Scene(expose(scene, of_camera), mask & skin, skin, decoys, float(lesion_size))


def _skin_colour(image: Photo, mask: Mask) -> npt.NDArray[np.float32]:
    """Median colour (3,) of the skin round a lesion, at least 1."""
    diameter = 2 * np.sqrt(np.count_nonzero(mask) / np.pi)
    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3) / diameter
    # The corners of dermoscopes' pictures are black.
    lit = image.max(axis=2) > _BLACK
    ring = image[(away >= 0.1) & (away <= 0.5) & lit]
    if not len(ring):
        ring = image.reshape(-1, 3)
    return np.asarray(np.maximum(np.median(ring, axis=0), 1), np.float32)


def _cut_hand(photo: Photo) -> tuple[Photo, Field]:
    """Shrink a photo of a hand on white paper; return it and how much of each pixel is hand."""
    scale = _HAND_SIDE / max(photo.shape[:2])
    size = (round(photo.shape[1] * scale), round(photo.shape[0] * scale))
    photo = np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8)
    # Paper and its shadows are grey in any light; the hand is the largest piece that is not.
    chroma = cv2.GaussianBlur(photo.max(axis=2) - photo.min(axis=2), (0, 0), 1.5)
    between, _ = cv2.threshold(chroma, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    # The hand's own shades have less colour than the middle between hand and paper.
    coloured = (chroma > 0.6 * between).astype(np.uint8)
    outlines, _ = cv2.findContours(coloured, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        raise ArgumentError("hand: nothing but grey found; give a photo of a hand on white paper")
    inside = np.zeros(photo.shape[:2], np.float32)
    cv2.drawContours(inside, [max(outlines, key=cv2.contourArea)], -1, 1.0, cv2.FILLED)
    # Rounded off, a little less than all of it, so that no rim of paper comes along; the arm goes
    # on beyond the photo.
    even = cv2.GaussianBlur(inside, (0, 0), 4, borderType=cv2.BORDER_REPLICATE)
    cover = ramp(even, 0.5, 0.75)
    if not (cover[-1] > 0.5).any():
        raise ArgumentError("hand: it does not reach the photo's bottom; turn or crop the photo")
    return photo, cover


def _place(
    hand: Photo, cover: Field, shape: tuple[int, int], rng: np.random.Generator
) -> tuple[Photo, Field]:
    """Turn and mirror a hand a little, and let it come into a scene from the bottom or the top."""
    height = hand.shape[0]
    scale = rng.uniform(1.0, 1.25) * min(shape) / height
    angle = rng.uniform(-0.25, 0.25)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn[:, 0] *= rng.choice((-1, 1))
    # Where the arm leaves the photo is where it leaves the scene, turned as it may be.
    wrist = np.array([np.flatnonzero(cover[-1] > 0.5).mean(), height - 1.0])
    below = 0.5 * float((cover[-1] > 0.5).sum()) * scale * abs(np.sin(angle))
    entry = np.array([rng.uniform(0.4, 0.6) * shape[1], shape[0] - 1 + below])
    matrix = np.column_stack([turn, entry - turn @ wrist])
    frame = (shape[1], shape[0])
    if scale < 1:  # warping samples points: average first, lest it alias
        hand = np.asarray(cv2.GaussianBlur(hand, (0, 0), 0.4 / scale), np.uint8)
    hand = np.asarray(cv2.warpAffine(hand, matrix, frame), np.uint8)
    cover = np.asarray(cv2.warpAffine(cover, matrix, frame), np.float32)
    return (hand[::-1], cover[::-1]) if rng.random() < 0.5 else (hand, cover)


def _shadow(cover: Field, rng: np.random.Generator) -> Field:
    """Return the share of light that a hand leaves for the cloth beside it."""
    unit = min(cover.shape) / 100
    turn = rng.uniform(0, 2 * np.pi)
    shade = np.ones_like(cover)
    for reach, softness, depth in ((0.3, 0.4, 0.35), (1.5, 1.0, 0.35), (3.0, 4.0, 0.15)):
        move = np.array([[1, 0, reach * np.cos(turn)], [0, 1, reach * np.sin(turn)]], np.float32)
        move[:, 2] *= unit
        frame = (cover.shape[1], cover.shape[0])
        cast = cv2.warpAffine(cover, move, frame, borderMode=cv2.BORDER_REPLICATE)
        shade *= 1 - np.float32(depth) * blur(cast, softness * unit)
    return shade


def _check_mask(name: str, mask: Mask, shape: tuple[int, ...]) -> None:
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
        raise ArgumentTypeError(f"{name} must be a bool array; pass {name} > 0")
    if mask.shape != shape:
        raise ArgumentError(f"{name} has shape {mask.shape}; its photo's is {shape}")
