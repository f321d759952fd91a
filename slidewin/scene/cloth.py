"""Cloth: threads, folds and a print, melanoma-like blots among others."""

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from slidewin.errors import ArgumentError
from slidewin.scene.lesion import pigment, ragged, stamp
from slidewin.scene.noise import Field, blur, generator, ramp, size_of, smooth_noise, to_pixels

__all__ = ["PATTERNS", "draw_cloth", "printed_cloth"]

# Carrier of opaque inks: what a printer's brown looks like on no cloth in particular.
_PAPER = np.array((0.90, 0.76, 0.66), np.float32)

Print = Callable[[Field, float, np.random.Generator], tuple[Field, Field]]


def _colour(rng: np.random.Generator) -> Field:
    """Return a colour that cloth is sold in: pale, skin-like, saturated or dark, RGB in [0, 1]."""
    hue, saturation, value = (
        (rng.uniform(20, 60), rng.uniform(0.0, 0.12), rng.uniform(0.82, 0.97)),
        (rng.uniform(10, 40), rng.uniform(0.15, 0.50), rng.uniform(0.45, 0.92)),
        (rng.uniform(0, 360), rng.uniform(0.10, 0.35), rng.uniform(0.70, 0.92)),
        (rng.uniform(0, 360), rng.uniform(0.45, 0.90), rng.uniform(0.35, 0.85)),
        (rng.uniform(0, 360), rng.uniform(0.00, 0.40), rng.uniform(0.12, 0.30)),
        (rng.uniform(0, 360), rng.uniform(0.00, 0.08), rng.uniform(0.30, 0.75)),
    )[rng.integers(6)]
    pixel = np.array([[(hue, saturation, value)]], np.float32)
    return np.asarray(cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0], np.float32)


def _scatter(
    shape: tuple[int, int], spacing: float, jitter: float, rng: np.random.Generator
) -> Field:
    """Return (n, 2) rows and columns on a staggered lattice, moved by up to `jitter` spacings."""
    rows = (
        np.arange(-spacing / 2, shape[0] + spacing, spacing * 0.87) + rng.uniform(-0.4, 0) * spacing
    )
    cols = np.arange(-spacing, shape[1] + spacing, spacing) + rng.uniform(-0.5, 0.5) * spacing
    grid = np.stack(np.meshgrid(rows, cols, indexing="ij"), -1)
    grid[1::2, :, 1] += spacing / 2
    points = grid.reshape(-1, 2) + rng.uniform(-jitter, jitter, (grid.size // 2, 2)) * spacing
    return points.astype(np.float32)


def _blots(cloth: Field, motif: float, rng: np.random.Generator) -> tuple[Field, Field]:
    shape = cloth.shape[0], cloth.shape[1]
    centres = _scatter(shape, motif * rng.uniform(1.7, 2.6), 0.28, rng)
    radii = motif / 2 * np.exp(rng.normal(0, 0.22, len(centres))).astype(np.float32)
    # A second, smaller lobe makes each blot lopsided, as melanomas are.
    turn = rng.uniform(0, 2 * np.pi, len(centres))
    lobes = centres + 0.55 * radii[:, None] * np.stack([np.sin(turn), np.cos(turn)], -1)
    points = np.concatenate([centres, lobes]).astype(np.float32)
    sizes = np.concatenate([0.86 * radii, rng.uniform(0.4, 0.75, len(radii)) * radii])
    depth, which = stamp(shape, points, sizes.astype(np.float32), rng, stretch=0.25)
    depth = ragged(depth, motif, rng)
    tint = rng.normal(0, 0.13, len(centres)).astype(np.float32)[which % len(centres)]
    opaque = np.float32(rng.uniform(0.3, 1.0))
    inks = pigment(depth, motif, rng, tint) * (opaque * _PAPER + (1 - opaque) * cloth)
    soft = np.clip(0.16 + 0.12 * smooth_noise(shape, motif / 1.3, rng), 0.05, 0.5)
    return inks, ramp(depth, -soft / 2, soft / 2)


def _splashes(cloth: Field, motif: float, rng: np.random.Generator) -> tuple[Field, Field]:
    shape = cloth.shape[0], cloth.shape[1]
    centres = _scatter(shape, motif * rng.uniform(2.0, 3.2), 0.4, rng)
    drops = np.repeat(centres, 8, axis=0) + rng.normal(0, 0.55 * motif, (8 * len(centres), 2))
    radii = np.concatenate(
        [rng.uniform(0.2, 0.5, len(centres)), rng.exponential(0.06, len(drops)) + 0.015]
    )
    points = np.concatenate([centres, drops]).astype(np.float32)
    depth, _ = stamp(shape, points, (motif * radii).astype(np.float32), rng, stretch=0.3)
    ink = _colour(rng) * np.float32(rng.uniform(0.15, 0.7))
    return np.broadcast_to(ink, cloth.shape), ramp(ragged(depth, motif, rng, 0.6), -0.05, 0.08)


def _dots(cloth: Field, motif: float, rng: np.random.Generator) -> tuple[Field, Field]:
    shape = cloth.shape[0], cloth.shape[1]
    points = _scatter(shape, motif * rng.uniform(1.3, 2.8), 0.0, rng)
    depth, which = stamp(shape, points, np.full(len(points), motif / 2, np.float32), rng)
    inks = np.stack([_colour(rng) for _ in range(rng.integers(1, 4))])
    return inks[which % len(inks)], ramp(depth, -0.04, 0.06)


def _florals(cloth: Field, motif: float, rng: np.random.Generator) -> tuple[Field, Field]:
    shape = cloth.shape[0], cloth.shape[1]
    points = _scatter(shape, motif * rng.uniform(1.5, 2.2), 0.2, rng)
    radii = (motif / 2 * rng.uniform(0.6, 1.2, len(points))).astype(np.float32)
    leaves = points + rng.normal(0, 0.5 * motif, points.shape).astype(np.float32)
    leaf, _ = stamp(shape, leaves, 0.6 * radii, rng, stretch=0.8)
    bloom, which = stamp(shape, points, radii, rng, petals=int(rng.integers(4, 7)))
    bloom = ragged(bloom, motif, rng, 0.25)
    petals = np.stack([_colour(rng) for _ in range(3)])
    green = np.array((0.25, 0.42, 0.22), np.float32) * np.float32(rng.uniform(0.7, 1.4))
    heart = _colour(rng)
    inks = petals[which % 3] * (1 - 0.45 * np.clip(bloom, 0, 1))[..., None]
    inks = np.where((bloom > 0.72)[..., None], heart, inks)
    inks = np.where((bloom > 0)[..., None], inks, green)
    return inks.astype(np.float32), np.maximum(ramp(bloom, -0.03, 0.06), ramp(leaf, -0.03, 0.06))


def _leopard(cloth: Field, motif: float, rng: np.random.Generator) -> tuple[Field, Field]:
    shape = cloth.shape[0], cloth.shape[1]
    points = _scatter(shape, motif * rng.uniform(1.05, 1.3), 0.2, rng)
    radii = (motif / 2 * rng.uniform(0.5, 1.0, len(points))).astype(np.float32)
    depth, _ = stamp(shape, points, radii, rng, stretch=0.25)
    depth = ragged(depth, motif, rng, 0.6)
    ring = ramp(depth, -0.05, 0.08) * ramp(0.45 - depth, -0.08, 0.08)
    ring *= ramp(smooth_noise(shape, motif / 3, rng), -0.8, -0.5)
    fill = np.array((0.72, 0.52, 0.34), np.float32) * np.float32(rng.uniform(0.6, 1.1))
    spot = np.array((0.16, 0.11, 0.09), np.float32)
    inks = fill + ring[..., None] * (spot - fill)
    return inks, np.maximum(ring, 0.8 * ramp(depth, 0.2, 0.35))


def _camouflage(cloth: Field, motif: float, rng: np.random.Generator) -> tuple[Field, Field]:
    shape = cloth.shape[0], cloth.shape[1]
    inks = np.broadcast_to(cloth, (*shape, 3))
    anywhere = np.zeros(shape, np.float32)
    for level in (0.1, 0.5, 0.9):
        land = smooth_noise(shape, motif, rng) + 0.4 * smooth_noise(shape, motif / 3, rng)
        share = ramp(land, level - 0.05, level + 0.05)
        inks = inks + share[..., None] * (_colour(rng) * np.float32(0.8) - inks)
        anywhere = np.maximum(anywhere, share)
    return inks, anywhere


def _stripes(cloth: Field, motif: float, rng: np.random.Generator) -> tuple[Field, Field]:
    height, width = cloth.shape[:2]
    duty = rng.uniform(-0.7, 0.7)
    across = ramp(
        np.cos(np.arange(width, dtype=np.float32) * (2 * np.pi / motif)), duty, duty + 0.2
    )
    down = ramp(np.cos(np.arange(height, dtype=np.float32) * (2 * np.pi / motif)), duty, duty + 0.2)
    if rng.random() < 0.5:
        share = np.broadcast_to(across, (height, width))
    else:
        share = 0.5 * across[None, :] + 0.5 * down[:, None]
    return np.broadcast_to(_colour(rng), cloth.shape), share.astype(np.float32)


def _plain(cloth: Field, motif: float, rng: np.random.Generator) -> tuple[Field, Field]:
    del motif, rng
    return cloth, np.zeros(cloth.shape[:2], np.float32)


_PRINTS: dict[str, Print] = {
    "blots": _blots,
    "splashes": _splashes,
    "dots": _dots,
    "florals": _florals,
    "leopard": _leopard,
    "camouflage": _camouflage,
    "stripes": _stripes,
    "plain": _plain,
}
PATTERNS = tuple(_PRINTS)


def _threads(shape: tuple[int, int], rng: np.random.Generator) -> Field:
    """Return the light on a weave, about 1: warp over weft over warp, no two threads alike."""
    height, width = shape
    pitch = rng.uniform(2.2, 4.2)
    repeat = int(rng.choice((2, 2, 3, 4)))  # plain weave, then twills
    u, v = np.arange(width) / pitch, np.arange(height) / pitch
    i, j = u.astype(int), v.astype(int)
    warp = np.cos(np.pi * (u - i - 0.5)) + rng.normal(0, 0.13, i[-1] + 1)[i]
    weft = np.cos(np.pi * (v - j - 0.5)) + rng.normal(0, 0.13, j[-1] + 1)[j]
    over = (i[None, :] + j[:, None]) % repeat == 0
    light = np.where(over, 0.06 + warp[None, :], weft[:, None]).astype(np.float32)
    light -= light.mean()
    return np.asarray(1 + np.float32(rng.uniform(0.07, 0.22)) * light, np.float32)


def _folds(shape: tuple[int, int], rng: np.random.Generator) -> Field:
    """Return the height of the cloth over the table, about 0, in pixels."""
    height, width = shape
    side = max(shape)
    turn = rng.uniform(0, np.pi)
    y, x = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)
    along = np.float32(np.cos(turn)) * x + np.float32(np.sin(turn)) * y
    along = along + np.float32(0.05 * side) * smooth_noise(shape, side / 3, rng)
    knots = np.linspace(-1.6, 1.6, int(rng.integers(10, 26))) * side
    crests = np.interp(along, knots, rng.standard_normal(len(knots))).astype(np.float32)
    strength = ramp(smooth_noise(shape, side / 2, rng), -0.6, 1.4)
    lie = 0.011 * smooth_noise(shape, side / 2.5, rng) + 0.003 * smooth_noise(shape, side / 7, rng)
    height_map = blur(side * (lie + 0.016 * strength * crests), side / 90)
    # Sharp lines where it was folded to be put away.
    for line in (x, y)[: rng.integers(3)]:
        away = np.abs(line - np.float32(rng.uniform(0.1, 0.9) * line.size)) / np.float32(side)
        height_map += np.float32(rng.uniform(-0.004, 0.004) * side) * np.exp(-away * 60)
    return height_map


def printed_cloth(
    shape: tuple[int, int],
    rng: np.random.Generator,
    pattern: str | None = None,
    motif: float | None = None,
    colour: Field | None = None,
) -> tuple[Field, Field]:
    """Return the cloth, RGB in [0, 1], and how much print there is at each pixel, in [0, 1]."""
    side = min(shape)
    # It lies askew on the table: draw a margin more, to turn it in.
    askew = rng.uniform(-0.2, 0.2)
    margin = int(abs(askew) * max(shape) / 2) + 4
    seen = shape
    shape = shape[0] + 2 * margin, shape[1] + 2 * margin
    pattern = pattern or PATTERNS[rng.integers(len(PATTERNS))]
    motif = motif or float(np.exp(rng.uniform(np.log(0.07), np.log(0.30)))) * side
    motif = max(motif, 4.0)
    base = np.broadcast_to(_colour(rng) if colour is None else colour, (*shape, 3))
    inks, share = _PRINTS[pattern](base, motif, rng)
    flat = base + share[..., None] * (inks - base)

    height_map = _folds(shape, rng)
    slope_y = np.diff(height_map, axis=0, append=height_map[-1:])
    slope_x = np.diff(height_map, axis=1, append=height_map[:, -1:])
    turn = rng.uniform(0, 2 * np.pi)
    slope = np.float32(np.cos(turn)) * slope_x + np.float32(np.sin(turn)) * slope_y
    light = (1 + np.float32(rng.uniform(0.4, 1.2)) * slope) * _threads(shape, rng)
    light *= 1 + np.float32(0.05) * smooth_noise(shape, side / 2, rng)
    light += np.float32(0.015) * smooth_noise(shape, 1, rng)
    woven = np.dstack([flat * np.clip(light, 0.25, 1.6)[..., None], share])

    # Turned, and its threads and print a little crooked.
    wobble = np.float32(rng.uniform(0.5, 2.0))
    y = np.arange(seen[0], dtype=np.float32)[:, None] - seen[0] / 2
    x = np.arange(seen[1], dtype=np.float32)[None, :] - seen[1] / 2
    c, s = np.float32(np.cos(askew)), np.float32(np.sin(askew))
    rows = c * y - s * x + shape[0] / 2 + wobble * smooth_noise(seen, 40, rng)
    cols = c * x + s * y + shape[1] / 2 + wobble * smooth_noise(seen, 40, rng)
    woven = cv2.remap(woven, cols, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    woven = blur(woven, rng.uniform(0.4, 0.9))
    return np.clip(woven[..., :3], 0, 1), woven[..., 3]


def draw_cloth(
    shape: tuple[int, int],
    *,
    random_state: int | np.random.Generator,
    pattern: str | None = None,
    motif: float | None = None,
) -> npt.NDArray[np.uint8]:
    """Draw a piece of printed cloth.

    Parameters
    ----------
    shape : (int, int)
        Height and width in pixels.
    random_state : int or numpy.random.Generator
        Seed; the same seed draws the same cloth.
    pattern : str, optional
        One of ``scene.PATTERNS``; any, by default. ``"blots"`` are melanoma-like.
    motif : float, optional
        Diameter of the print's motifs in pixels; 7 to 30 % of the short side, by default.

    Returns
    -------
    cloth : ndarray of shape (height, width, 3), uint8, RGB

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If an argument is not one of these.

    Examples
    --------
    >>> cloth = draw_cloth((48, 64), random_state=0, pattern="blots", motif=16)
    >>> cloth.shape, cloth.dtype
    ((48, 64, 3), dtype('uint8'))
    """
    if pattern is not None and pattern not in PATTERNS:
        raise ArgumentError(f"pattern is {pattern!r}: choose one of {', '.join(PATTERNS)}")
    if motif is not None and not (np.isfinite(motif) and motif > 0):
        raise ArgumentError(f"motif is {motif!r}: give a diameter in pixels, above 0")
    return to_pixels(printed_cloth(size_of(shape), generator(random_state), pattern, motif)[0])
