"""The scene: a hand on printed cloth, a melanoma on the hand, a camera above them."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from slidewin.errors import ArgumentError
from slidewin.scene.cloth import PATTERNS, printed_cloth
from slidewin.scene.hand import Hand, flesh, pose_hand
from slidewin.scene.lesion import lay_lesion
from slidewin.scene.noise import Field, blur, generator, ramp, size_of, to_pixels
from slidewin.scene.skin import hairs

__all__ = ["CLOTHS", "Scene", "draw_scene", "expose"]

# Cloths on which blots show, RGB: white, cream, beige, sand, rose, sky, sage, grey.
CLOTHS = np.array(
    [
        (0.93, 0.92, 0.90),
        (0.92, 0.88, 0.79),
        (0.85, 0.76, 0.65),
        (0.79, 0.66, 0.53),
        (0.88, 0.72, 0.68),
        (0.70, 0.79, 0.86),
        (0.72, 0.78, 0.68),
        (0.74, 0.73, 0.72),
    ],
    np.float32,
)


@dataclass(frozen=True, eq=False)
class Scene:
    """A photo and the truth about it.

    Attributes
    ----------
    photo : ndarray of shape (height, width, 3), uint8, RGB
    mask : ndarray of shape (height, width), bool
        The lesion; empty if the scene has none.
    skin : ndarray of shape (height, width), bool
        The hand and arm.
    decoys : ndarray of shape (height, width), bool
        The printed blots that the hand leaves in view.
    lesion_size : float
        Diameter of the lesion, and of a typical blot, in pixels.
    """

    photo: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.bool_]
    skin: npt.NDArray[np.bool_]
    decoys: npt.NDArray[np.bool_]
    lesion_size: float


def _light(height: Field, scale: float, sun: Field) -> tuple[Field, Field]:
    """Return the light on skin, RGB, about 1 where it lies flat, and the sheen, in [0, 1]."""
    slope_y, slope_x = np.gradient(height * np.float32(scale))
    steep = 1 / np.sqrt(1 + slope_x**2 + slope_y**2)
    facing = (sun[2] - sun[0] * slope_y - sun[1] * slope_x) * steep / sun[2]
    # Light from the room comes from all round, less of it into the gaps between the fingers.
    hollow = np.maximum(blur(height, 4 * scale) - height, 0)
    light = 0.45 * (0.4 + 0.6 * steep) + 0.55 * np.clip(facing, 0.1, 1.45)
    light *= np.exp(-0.16 * hollow)
    # Light travels far in skin, red light furthest: its shadows are warm.
    return np.stack([light**0.80, light, light**1.10], -1), ramp(facing, 0.95, 1.5)[..., None]


def _shadow(hand: Hand, sun: Field) -> Field:
    """Return the share of light that the hand leaves for the cloth beside it."""
    scale = hand.scale
    inside = ramp(-hand.distance, -0.5, 0.5)
    size = inside.shape[1], inside.shape[0]
    shade = np.ones_like(inside)
    for reach, softness, depth in ((1.5, 0.9, 0.50), (9.0, 3.5, 0.45), (14.0, 14.0, 0.15)):
        fall = -sun[:2] / sun[2] * np.float32(reach * scale)
        move = np.array([[1, 0, fall[1]], [0, 1, fall[0]]], np.float32)
        cast = cv2.warpAffine(inside, move, size, borderMode=cv2.BORDER_REPLICATE)
        shade *= 1 - np.float32(depth) * blur(cast, softness * scale)
    return shade


def _place(hand: Hand, diameter: float, rng: np.random.Generator) -> tuple[float, float]:
    """Return a row and column on the back of the hand, well inside the skin."""
    cols = hand.x.shape[1]
    # Photos end at their borders, and so does the room; knuckles and fingers are left alone.
    inside = np.pad((hand.distance < 0).astype(np.uint8), 1)
    room = cv2.distanceTransform(inside, cv2.DIST_L2, 5)[1:-1, 1:-1]
    room[(hand.y < 5) | (hand.y > 74)] = 0
    best = float(room.max())
    if best < 0.7 * diameter:
        raise ArgumentError(
            f"lesion_size is {diameter:.4g} px: on this hand there is room for one of about "
            f"{best / 0.7:.0f} px; give a smaller one or a larger shape"
        )
    spots = np.flatnonzero(room >= min(1.25 * diameter, best))
    row, col = divmod(int(rng.choice(spots)), cols)
    return row + 0.5, col + 0.5


def expose(image: Field, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Return what a phone makes of the light: soft, vignetted, tinted, noisy."""
    shape = image.shape[0], image.shape[1]
    y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :]
    slant = rng.normal(0, 0.06, 2).astype(np.float32)
    lit = 1 + slant[0] * y + slant[1] * x - np.float32(rng.uniform(0.06, 0.14)) * (x**2 + y**2)
    balance = np.exp(rng.normal(0, (0.025, 0.008, 0.035))).astype(np.float32)
    image = image * lit[..., None] * balance * np.float32(rng.uniform(0.96, 1.08))
    image = blur(image, rng.uniform(0.45, 0.8))
    # Bright parts roll off rather than clip.
    image = np.where(image > 0.8, 0.8 + 0.2 * np.tanh((image - 0.8) / 0.2), image)
    grain = rng.standard_normal(image.shape, np.float32)
    grain = blur(grain, 0.6) + 0.4 * grain.mean(-1, keepdims=True)
    gain = np.float32(rng.uniform(0.008, 0.018))
    return to_pixels(image + gain * np.sqrt(np.clip(image, 0.02, 1)) * grain)


def draw_scene(
    shape: tuple[int, int] = (900, 1200),
    *,
    lesion_size: float | None = None,
    random_state: int | np.random.Generator = 0,
    lesion: bool = True,
    pattern: str = "blots",
) -> Scene:
    """Draw a hand on a tablecloth printed with blots, a melanoma on the hand.

    The blots have the melanoma's colours, sizes and outlines: only what is round them tells them
    from it. With ``lesion=False`` the same seed draws the same photo but for the melanoma.

    Parameters
    ----------
    shape : (int, int)
        Height and width in pixels, 64 or more.
    lesion_size : float, optional
        Diameter of the disc that has the lesion's area, in pixels, 3 or more; by default 4 to 6 %
        of the short side.
    random_state : int or numpy.random.Generator
        Seed; the same seed draws the same scene.
    lesion : bool
        Whether there is a lesion.
    pattern : str
        What the cloth is printed with: one of ``scene.PATTERNS``.

    Returns
    -------
    scene : Scene

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If an argument is not one of these, or the hand has no room for such a lesion.

    Notes
    -----
    A megapixel takes one to two seconds and, at its peak, some 180 MB.

    Examples
    --------
    >>> scene = draw_scene((120, 160), random_state=1)
    >>> scene.photo.shape
    (120, 160, 3)
    >>> bool(scene.mask.any()), bool((scene.mask & ~scene.skin).any())
    (True, False)
    """
    shape = size_of(shape, least=64)
    rng = generator(random_state)
    # A generator for each part, so that leaving one out leaves the others as they are.
    of_cloth, of_hand, of_lesion, of_camera = map(
        np.random.default_rng, rng.integers(2**63, size=4)
    )
    if lesion_size is None:
        lesion_size = max(3.0, float(rng.uniform(0.04, 0.06)) * min(shape))
    if not 3 <= lesion_size < np.inf:
        raise ArgumentError(f"lesion_size is {lesion_size!r}: give a diameter of 3 px or more")
    if pattern not in PATTERNS:
        raise ArgumentError(f"pattern is {pattern!r}: choose one of {', '.join(PATTERNS)}")

    turn, tilt = rng.uniform(0, 2 * np.pi), rng.uniform(0.75, 1.15)
    sun = np.array(
        (np.sin(turn) * np.cos(tilt), np.cos(turn) * np.cos(tilt), np.sin(tilt)), np.float32
    )
    cloth_colour = CLOTHS[rng.integers(len(CLOTHS))] * np.float32(rng.uniform(0.92, 1.04))
    cloth, print_share = printed_cloth(shape, of_cloth, pattern, lesion_size, cloth_colour)

    hand = pose_hand(shape, of_hand)
    skin, height = flesh(hand, float(rng.uniform(1, 5.5)), of_hand)
    mask = np.zeros(shape, np.bool_)
    if lesion:
        spot = _place(hand, lesion_size, of_lesion)
        share, mask = lay_lesion(shape, spot, lesion_size, of_lesion)
        skin = skin * share
    hair = hairs(shape, of_hand, int(of_hand.integers(0, 4000)), 4 * hand.scale)
    light, sheen = _light(height, hand.scale, sun)
    skin = skin * (1 - 0.17 * hair)[..., None] * light
    skin = skin + np.float32(of_hand.uniform(0.02, 0.10)) * sheen

    edge = ramp(-hand.distance * np.float32(hand.scale), -0.8, 0.8)[..., None]
    image = cloth * _shadow(hand, sun)[..., None]
    image = image + edge * (skin - image)
    inside = hand.distance < 0
    decoys = (print_share > 0.5) & ~inside
    return Scene(expose(image, of_camera), mask & inside, inside, decoys, float(lesion_size))
