"""What lies between a lesion and its picture: hair, ink, rulers, light, lens, noise, files.

None of it changes a label. Dermoscopes and phones differ in all of it, so a classifier that has
learned from the one must not rely on it in the other.
"""

from collections.abc import Callable, Collection

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["DISTORTIONS", "distort"]

Patch = NDArray[np.uint8]
Distortion = Callable[[Patch, float, np.random.Generator], Patch]

_INKS = ((20, 20, 20), (40, 40, 120), (90, 30, 110), (30, 50, 90), (35, 35, 60))


def _hair(patch: Patch, strength: float, rng: np.random.Generator) -> Patch:
    size = patch.shape[0]
    dark = int(rng.integers(10, 110))
    for _ in range(int(rng.integers(1, 2 + round(10 * strength)))):
        ends = rng.uniform(-0.2, 1.2, (3, 2)) * size
        t = np.linspace(0, 1, 12)[:, None]
        curve = (1 - t) ** 2 * ends[0] + 2 * t * (1 - t) * ends[1] + t**2 * ends[2]
        points = np.round(curve * 16).astype(np.int32)
        cv2.polylines(patch, [points], False, (dark, dark, dark), 1, cv2.LINE_AA, shift=4)
    return patch


def _ink(patch: Patch, strength: float, rng: np.random.Generator) -> Patch:
    """A pen's ring about the lesion, or an arrow to it."""
    size = patch.shape[0]
    pen = _INKS[rng.integers(len(_INKS))]
    thick = int(rng.integers(1, 3 + round(strength)))
    drawn = patch.copy()
    if rng.random() < 0.6:
        middle = tuple(int(x) for x in size / 2 + rng.normal(0, size / 8, 2))
        axes = tuple(int(x) for x in size * rng.uniform(0.28, 0.6) * rng.uniform(0.8, 1.2, 2))
        start, sweep = rng.uniform(0, 360), rng.uniform(180, 360)
        turn = rng.uniform(0, 180)
        cv2.ellipse(drawn, middle, axes, turn, start, start + sweep, pen, thick, cv2.LINE_AA)
    else:
        angle, near = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.45) * size
        way = np.array([np.cos(angle), np.sin(angle)])
        tail, head = (
            tuple(int(x) for x in size / 2 + reach * way)
            for reach in (near + rng.uniform(0.15, 0.4) * size, near)
        )
        cv2.arrowedLine(drawn, tail, head, pen, thick, cv2.LINE_AA, tipLength=0.35)
    return np.asarray(cv2.addWeighted(drawn, 0.85, patch, 0.15, 0), np.uint8)


def _ruler(patch: Patch, strength: float, rng: np.random.Generator) -> Patch:
    """A scale along one side: ticks, on a white strip or printed on the skin."""
    size = patch.shape[0]
    depth = int(size * rng.uniform(0.06, 0.10 + 0.10 * strength))
    if rng.random() < 0.5:
        patch[:depth] = rng.integers(190, 256)
    step = rng.uniform(0.04, 0.12) * size
    dark = int(rng.integers(0, 70))
    for i, tick in enumerate(np.arange(rng.uniform(0, step), size, step)):
        long = depth if i % 5 == 0 else depth // 2
        cv2.line(patch, (int(tick), 0), (int(tick), long), (dark, dark, dark), 1, cv2.LINE_AA)
    return np.ascontiguousarray(np.rot90(patch, int(rng.integers(4))))


def _border(patch: Patch, strength: float, rng: np.random.Generator) -> Patch:
    """The dark rim of a dermoscope's field, or of a frame."""
    size = patch.shape[0]
    angle = rng.uniform(0, 2 * np.pi)
    rim = (
        0.5 * size * rng.uniform(1.2 - 0.45 * strength, 1.2)
    )  # from the middle of the window to the rim
    radius = rng.uniform(0.8, 4.0) * size
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    centre = (rim - radius) * np.array([np.sin(angle), np.cos(angle)])
    away = np.hypot(y - centre[0], x - centre[1]) - radius
    soft = np.clip(away / rng.uniform(1, 4) + 0.5, 0, 1)[:, :, None]
    dark = rng.uniform(0, 40)
    return np.asarray(patch * (1 - soft) + dark * soft, np.uint8)


def _mirror(patch: Patch, strength: float, rng: np.random.Generator) -> Patch:
    """Borders of the picture, beyond which a window shows a mirror image."""
    size = patch.shape[0]
    depths = rng.uniform(0, 0.35 * strength * size, 4) * (rng.random(4) < 0.5)
    top, bottom, left, right = map(int, depths)
    inside = patch[top : size - bottom, left : size - right]
    return np.asarray(
        cv2.copyMakeBorder(inside, top, bottom, left, right, cv2.BORDER_REFLECT_101), np.uint8
    )


def _resolution(patch: Patch, strength: float, rng: np.random.Generator) -> Patch:
    """Seen from further off, then enlarged."""
    size = patch.shape[0]
    small = max(12, round(size / rng.uniform(1.1, 1.1 + 1.5 * strength)))
    seen = cv2.resize(patch, (small, small), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(seen, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)


def _lens(patch: Patch, strength: float, rng: np.random.Generator) -> Patch:
    """Seen aslant: one way shorter than the other."""
    size = patch.shape[0]
    angle = rng.uniform(0, np.pi)
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s], [s, c]])
    squeeze = np.diag([1 + 0.35 * strength * rng.random(), 1.0])
    matrix = turn @ squeeze @ turn.T
    middle = np.full(2, (size - 1) / 2)
    affine = np.column_stack([matrix, middle - matrix @ middle])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(patch, affine, (size, size), flags=flags, borderMode=cv2.BORDER_REFLECT_101),
        np.uint8,
    )


def _blur(patch: Patch, strength: float, rng: np.random.Generator) -> Patch:
    return np.asarray(
        cv2.GaussianBlur(patch, (0, 0), 0.3 + 1.0 * strength * rng.random()), np.uint8
    )


def _light(patch: Patch, strength: float, rng: np.random.Generator) -> Patch:
    """Saturation, white balance, exposure, contrast, and light that falls off across the window."""
    # Saturation, gains and contrast are one matrix: colours less grey, scaled, about the mean.
    vivid = 1 + 0.4 * strength * rng.uniform(-1, 1)
    gains = np.exp(strength * (rng.normal(0, 0.08, 3) + rng.normal(0, 0.18)))
    contrast = 1 + 0.3 * strength * rng.uniform(-1, 1)
    colours = gains[:, None] * (vivid * np.eye(3) + (1 - vivid) / 3)
    middle = float((colours @ np.array(cv2.mean(patch)[:3])).mean())
    matrix = np.column_stack([contrast * colours, np.full(3, (1 - contrast) * middle)])
    x = cv2.transform(patch.astype(np.float32), matrix.astype(np.float32))
    slope = (0.25 * strength * rng.uniform(-1, 1, 2)).astype(np.float32)
    ramp = np.linspace(-1, 1, patch.shape[0], dtype=np.float32)
    x *= (1 + slope[0] * ramp[:, None] + slope[1] * ramp)[:, :, None]
    return np.asarray(np.clip(x + 0.5, 0, 255), np.uint8)


def _shade(patch: Patch, strength: float, rng: np.random.Generator) -> Patch:
    """Uneven light: the turn of a limb, folds, the shadow of something near."""
    n = int(rng.integers(2, 5))
    steps = rng.normal(0, 0.35 * strength, (n, n)).astype(np.float32)
    size = (patch.shape[1], patch.shape[0])
    light = np.exp(cv2.resize(steps, size, interpolation=cv2.INTER_CUBIC))
    return np.asarray(np.clip(patch * light[:, :, None] + 0.5, 0, 255), np.uint8)


def _noise(patch: Patch, strength: float, rng: np.random.Generator) -> Patch:
    grain = rng.standard_normal(patch.shape, np.float32) * np.float32(
        rng.uniform(1, 2 + 8 * strength)
    )
    return np.asarray(np.clip(patch + grain + 0.5, 0, 255), np.uint8)


def _jpeg(patch: Patch, strength: float, rng: np.random.Generator) -> Patch:
    quality = int(rng.integers(90 - round(60 * strength), 96))
    _, file = cv2.imencode(".jpg", patch, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR), np.uint8)


# In the order in which they happen to a picture, and how often each happens to a window.
_WAYS: dict[str, tuple[float, Distortion]] = {
    "hair": (0.10, _hair),
    "ink": (0.08, _ink),
    "ruler": (0.04, _ruler),
    "border": (0.06, _border),
    "mirror": (0.25, _mirror),
    "lens": (0.30, _lens),
    "resolution": (0.25, _resolution),
    "blur": (0.30, _blur),
    "shade": (0.35, _shade),
    "light": (1.00, _light),
    "noise": (0.50, _noise),
    "jpeg": (0.40, _jpeg),
}
DISTORTIONS = tuple(_WAYS)
"""Names of all that happens to a picture."""


def distort(
    patch: Patch, rng: np.random.Generator, *, kinds: Collection[str] = DISTORTIONS
) -> Patch:
    """Let a window pass through another camera.

    Some windows come through almost as they are and some badly; what tells a melanoma from a mole
    is learned from the former, and that it is a lesion from both.

    Parameters
    ----------
    patch : ndarray of shape (S, S, 3), uint8
        Left as it is.
    rng : numpy.random.Generator
    kinds : collection of str
        Which of :data:`DISTORTIONS` may happen.

    Returns
    -------
    ndarray of shape (S, S, 3), uint8

    Examples
    --------
    >>> patch = np.full((16, 16, 3), 128, np.uint8)
    >>> distort(patch, np.random.default_rng(0)).shape
    (16, 16, 3)
    >>> bool((distort(patch, np.random.default_rng(0), kinds=()) == patch).all())
    True
    """
    strength = rng.random()
    patch = patch.copy()
    for name, (share, way) in _WAYS.items():
        happens = rng.random() < share
        if happens and name in kinds:
            patch = way(patch, strength, rng)
    return patch
