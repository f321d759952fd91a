"""Melanomas and moles: ragged pigment that light and texture shine through."""

import cv2
import numpy as np
import numpy.typing as npt

from slidewin.errors import ArgumentError, ArgumentTypeError
from slidewin.scene.noise import Field, generator, ramp, ridges, size_of, smooth_noise, to_pixels

__all__ = ["draw_lesion", "lay_lesion", "pigment", "ragged", "stamp"]

Mask = npt.NDArray[np.bool_]

# Share of the skin's light that comes back, RGB, from the palest pigment to the darkest.
_PALE_TO_BLACK = np.array(
    [
        (0.85, 0.72, 0.61),
        (0.70, 0.53, 0.42),
        (0.52, 0.37, 0.29),
        (0.38, 0.26, 0.21),
        (0.26, 0.18, 0.16),
        (0.17, 0.13, 0.12),
        (0.12, 0.10, 0.10),
    ],
    np.float32,
)
_BLUE_GREY = np.array((0.34, 0.36, 0.41), np.float32)
_RED = np.array((0.72, 0.40, 0.36), np.float32)


def _blend(shades: Field, steps: int = 256) -> Field:
    at = np.linspace(0, len(shades) - 1, steps)
    return np.stack([np.interp(at, range(len(shades)), c) for c in shades.T], -1).astype(np.float32)


_RAMP = _blend(_PALE_TO_BLACK)


def stamp(
    shape: tuple[int, int],
    points: Field,
    radii: Field,
    rng: np.random.Generator,
    *,
    stretch: float = 0.0,
    petals: int = 0,
) -> tuple[Field, npt.NDArray[np.int32]]:
    """Return how deep each pixel lies in the nearest of many spots, and in which spot.

    Depth is 1 at a spot's centre, 0 on its rim, and falls to -1 far outside.
    """
    height, width = shape
    depth = np.full(shape, -1, np.float32)
    which = np.zeros(shape, np.int32)
    angles = rng.uniform(0, 2 * np.pi, len(points))
    longs = np.exp(rng.uniform(-stretch, stretch, len(points)))
    for k, ((row, col), r) in enumerate(zip(points, radii, strict=True)):
        top, bottom = max(0, int(row - 2 * r)), min(height, int(row + 2 * r) + 2)
        left, right = max(0, int(col - 2 * r)), min(width, int(col + 2 * r) + 2)
        if top >= bottom or left >= right:
            continue
        y = np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5 - row)
        x = np.arange(left, right, dtype=np.float32)[None, :] + np.float32(0.5 - col)
        c, s = np.float32(np.cos(angles[k]) / r), np.float32(np.sin(angles[k]) / r)
        u, v = (c * x + s * y) * np.float32(longs[k]), (c * y - s * x) / np.float32(longs[k])
        away = np.sqrt(u * u + v * v)
        if petals:
            away = away / (0.68 + 0.32 * np.cos(petals * np.arctan2(v, u)))
        box = depth[top:bottom, left:right]
        nearer = 1 - away > box
        box[nearer] = 1 - away[nearer]
        which[top:bottom, left:right][nearer] = k
    return depth, which


def ragged(depth: Field, size: float, rng: np.random.Generator, strength: float = 1.0) -> Field:
    """Return `depth` with lobes, notches and fraying, for spots of diameter `size`."""
    shape = depth.shape[0], depth.shape[1]
    rough = np.float32(0.17 * strength) * smooth_noise(shape, size / 2.5, rng)
    rough += np.float32(0.10 * strength) * smooth_noise(shape, size / 5, rng)
    rough += np.float32(0.06 * strength) * smooth_noise(shape, size / 12, rng)
    return depth + rough


def pigment(
    depth: Field, size: float, rng: np.random.Generator, tint: Field | float = 0.0
) -> Field:
    """Return the colours of a melanoma: the share of light, RGB, that comes back.

    Tan to black, in patches, darker towards the middle, with a blue-grey or reddish part here
    and there; `tint` darkens it as a whole.
    """
    shape = depth.shape[0], depth.shape[1]
    dark = 0.27 + 0.60 * np.clip(depth, -0.2, 0.6) + tint
    dark += np.float32(0.15) * smooth_noise(shape, size / 2, rng)
    dark += np.float32(0.08) * smooth_noise(shape, size / 5, rng)
    dark += np.float32(0.05) * smooth_noise(shape, size / 11, rng)
    # The pigment network: a fine brown mesh round paler holes.
    dark += np.float32(0.10) * ridges(shape, size / 9, 0.4, rng)
    colours = _RAMP[np.clip(dark * 255, 0, 255).astype(np.uint8)]
    veil = smooth_noise(shape, size / 1.6, rng)
    share = np.float32(0.55) * ramp(np.abs(veil), 0.9, 2.0) * ramp(depth, 0.0, 0.5)
    shade = np.where((veil > 0)[..., None], _BLUE_GREY, _RED)
    return np.asarray(colours + share[..., None] * (shade - colours), np.float32)


def _fit(depth: Field, diameter: float) -> tuple[Field, Mask]:
    """Shift `depth` until the one piece above 0 has the area of a disc of `diameter`."""
    area = np.pi / 4 * diameter**2
    low, high = float(depth.min()), float(depth.max())
    for _ in range(12):
        level = (low + high) / 2
        pieces, labels = cv2.connectedComponents((depth > level).astype(np.uint8))
        sizes = np.bincount(labels.ravel(), minlength=pieces)[1:]
        low, high = (level, high) if sizes.max(initial=0) > area else (low, level)
    _, labels = cv2.connectedComponents((depth > low).astype(np.uint8))
    piece = 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    # Holes belong to the lesion, crumbs beside it do not.
    outline, _ = cv2.findContours(
        (labels == piece).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    inside = cv2.drawContours(np.zeros(depth.shape, np.uint8), outline, -1, 1, cv2.FILLED)
    return depth - np.float32(low), inside.astype(bool)


def _melanoma(
    box: tuple[int, int], middle: Field, diameter: float, rng: np.random.Generator
) -> tuple[Field, Mask]:
    """Return the share of light, RGB, that a melanoma in a box lets back, and its mask."""
    radius = np.float32(diameter / 2)
    turn = rng.uniform(0, 2 * np.pi) + np.array((0, rng.uniform(1, 3)))
    reach = rng.uniform(0.4, 0.75, 2)[:, None] * radius
    lobes = middle + reach * np.stack([np.sin(turn), np.cos(turn)], -1)
    points = np.concatenate([middle[None], lobes]).astype(np.float32)
    radii = radius * np.array((0.85, *rng.uniform(0.4, 0.7, 2)), np.float32)
    near, _ = stamp(box, points, radii, rng, stretch=0.2)
    depth, inside = _fit(ragged(near, diameter, rng), diameter)
    colours = pigment(depth, diameter, rng, rng.uniform(-0.10, 0.10))
    soft = np.clip(0.26 + 0.16 * smooth_noise(box, diameter / 1.3, rng), 0.06, 0.6)
    # Without the noise's crumbs further out.
    cover = ramp(depth, -soft / 2, soft / 2) * ramp(near, -0.8, -0.4)
    return 1 - cover[..., None] * (1 - colours), inside


def _mole(
    box: tuple[int, int], middle: Field, diameter: float, rng: np.random.Generator
) -> tuple[Field, Mask]:
    """Return the share of light, RGB, that a mole in a box lets back, and its mask."""
    radii = np.array([diameter / 2], np.float32)
    near, _ = stamp(box, middle[None], radii, rng, stretch=0.08)
    depth, inside = _fit(ragged(near, diameter, rng, 0.12), diameter)
    brown = rng.uniform(0.18, 0.55) + 0.03 * smooth_noise(box, diameter / 6, rng) + 0.08 * depth
    colours = _RAMP[np.clip(brown * 255, 0, 255).astype(np.uint8)]
    soft = rng.uniform(0.12, 0.35)
    cover = ramp(depth, -soft / 2, soft / 2)
    return 1 - cover[..., None] * (1 - colours), inside


_KINDS = {"melanoma": _melanoma, "mole": _mole}


def lay_lesion(
    shape: tuple[int, int],
    centre: tuple[float, float],
    diameter: float,
    rng: np.random.Generator,
    kind: str = "melanoma",
) -> tuple[Field, Mask]:
    """Return the share of light, RGB, that a lesion lets back at each pixel, and its mask."""
    side = int(2.8 * diameter) + 8
    top, left = round(centre[0] - side / 2), round(centre[1] - side / 2)
    middle = np.array((centre[0] - top, centre[1] - left), np.float32)
    share, inside = _KINDS[kind]((side, side), middle, diameter, rng)

    light, mask = np.ones((*shape, 3), np.float32), np.zeros(shape, np.bool_)
    rows = slice(max(0, top), min(shape[0], top + side))
    cols = slice(max(0, left), min(shape[1], left + side))
    here = slice(rows.start - top, rows.stop - top), slice(cols.start - left, cols.stop - left)
    light[rows, cols], mask[rows, cols] = share[here], inside[here]
    return light, mask


def draw_lesion(
    skin: npt.NDArray[np.uint8],
    *,
    centre: tuple[float, float],
    diameter: float,
    random_state: int | np.random.Generator,
    kind: str = "melanoma",
) -> tuple[npt.NDArray[np.uint8], Mask]:
    """Lay a lesion into an image of skin.

    The pigment takes its share of the light that the skin gives back, so that shading, creases
    and hairs carry through.

    Parameters
    ----------
    skin : ndarray of shape (height, width, 3), uint8, RGB
        Left as it is.
    centre : (float, float)
        Row and column, in pixels.
    diameter : float
        Of the disc that has the lesion's area, in pixels; 3 or more.
    random_state : int or numpy.random.Generator
        Seed; the same seed draws the same lesion.
    kind : {"melanoma", "mole"}
        Lopsided, ragged and many-coloured, or round and evenly brown.

    Returns
    -------
    image : ndarray of shape (height, width, 3), uint8, RGB
    mask : ndarray of shape (height, width), bool
        Where the lesion is: one piece without holes.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If an argument is not one of these, or the centre lies outside the image.

    Examples
    --------
    >>> skin = np.full((64, 64, 3), 200, np.uint8)
    >>> image, mask = draw_lesion(skin, centre=(32, 32), diameter=20, random_state=0)
    >>> bool(image[mask].mean() < skin[mask].mean())
    True
    """
    skin = np.asarray(skin)
    if skin.ndim != 3 or skin.shape[2] != 3 or skin.dtype != np.uint8:
        raise ArgumentTypeError(
            f"skin has shape {skin.shape} and dtype {skin.dtype}: give (height, width, 3), uint8"
        )
    shape = size_of(skin.shape[:2])
    if kind not in _KINDS:
        raise ArgumentError(f"kind is {kind!r}: choose one of {', '.join(_KINDS)}")
    if not (3 <= diameter < np.inf):
        raise ArgumentError(f"diameter is {diameter!r}: give 3 px or more")
    middle = np.asarray(centre, float)
    if middle.shape != (2,) or not ((middle >= 0) & (middle <= shape)).all():
        raise ArgumentError(f"centre is {centre!r}: give a row and column inside {shape}")
    light, mask = lay_lesion(shape, centre, diameter, generator(random_state), kind)
    return to_pixels(np.asarray(skin / np.float32(255) * light, np.float32)), mask
