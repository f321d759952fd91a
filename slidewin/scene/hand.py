"""A hand seen from above: bones, flesh over them, creases, veins and nails.

Every length is in millimetres, in the hand's own frame: x across, from the little finger's side
to the thumb's, y along, from the wrist (0) to the tip of the middle finger (about 190).
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from slidewin.scene.noise import Field, blur, ramp, smooth_noise
from slidewin.scene.skin import bare_skin

__all__ = ["Hand", "Joint", "flesh", "pose_hand"]

# Knuckle (x, y), length beyond it, direction (degrees from y towards the thumb), radii at the
# knuckle, the two joints and the tip.
_FINGERS = (
    ((-36.0, 78.0), 72.0, -13.0, (8.8, 8.0, 7.2, 5.9)),
    ((-18.0, 89.0), 90.0, -5.0, (10.0, 9.2, 8.0, 6.6)),
    ((3.0, 94.0), 97.0, 1.0, (10.4, 9.6, 8.4, 7.0)),
    ((24.0, 90.0), 89.0, 8.0, (10.4, 9.5, 8.3, 6.9)),
)
_THUMB = ((20.0, 16.0), (45.0, 50.0), 64.0, 32.0, (15.0, 12.0, 10.6, 8.3))
_BONES = (0.47, 0.28, 0.25)  # shares of a finger's length, from the knuckle on


class Joint(NamedTuple):
    """A place on a finger: where, which way the finger points there, how thick it is, what."""

    x: float
    y: float
    angle: float
    radius: float
    kind: str


class _Bone(NamedTuple):
    start: tuple[float, float]
    end: tuple[float, float]
    radii: tuple[float, float]
    flatness: float
    web: float


@dataclass(frozen=True)
class Hand:
    """A hand posed in a photo.

    Attributes
    ----------
    x, y : ndarray of shape (height, width), float32
        Where each pixel lies in the hand's frame, mm.
    distance : ndarray of shape (height, width), float32
        To the outline, mm: about the distance outside, negative inside.
    height : ndarray of shape (height, width), float32
        Of the skin over the table, mm.
    joints : tuple of Joint
    scale : float
        Pixels in a millimetre.
    """

    x: Field
    y: Field
    distance: Field
    height: Field
    joints: tuple[Joint, ...]
    scale: float

    def around(self, joint: Joint, reach: float) -> tuple[slice, slice]:
        """Return the rows and columns within `reach` mm of a joint; none if it is out of view."""
        height, width = self.x.shape
        corner = np.array((self.x[0, 0], self.y[0, 0]), float)
        down = (np.array((self.x[-1, 0], self.y[-1, 0])) - corner) / (height - 1)
        along = (np.array((self.x[0, -1], self.y[0, -1])) - corner) / (width - 1)
        place = np.linalg.solve(np.stack([down, along], 1), np.array((joint.x, joint.y)) - corner)
        low = np.floor(place - reach * self.scale).clip(0).astype(int)
        high = np.ceil(place + reach * self.scale + 1).clip(0).astype(int)
        return slice(low[0], high[0]), slice(low[1], high[1])


def _point(start: tuple[float, float], angle: float, length: float) -> tuple[float, float]:
    """Return the point `length` on from `start`; angles run from y towards x, in radians."""
    return start[0] + length * np.sin(angle), start[1] + length * np.cos(angle)


def _finger(
    knuckle: tuple[float, float],
    length: float,
    angle: float,
    radii: tuple[float, ...],
    rng: np.random.Generator,
    bones: tuple[float, ...] = _BONES,
) -> tuple[list[_Bone], list[Joint]]:
    start, parts, joints = knuckle, [], [Joint(*knuckle, angle, radii[0], "knuckle")]
    curl = rng.normal(0, 0.02)
    for k, share in enumerate(bones):
        angle += curl + rng.normal(0, 0.012)
        last = k == len(bones) - 1
        reach = share * length - (radii[-1] if last else 0.0)
        end = _point(start, angle, reach)
        parts.append(_Bone(start, end, (radii[k], radii[k + 1]), 0.95, 4.0))
        if not last:
            kind = "middle" if k == 0 and len(bones) == 3 else "end"
            joints.append(Joint(*end, angle, radii[k + 1], kind))
        start = end
    joints.append(Joint(*start, angle, radii[-1], "tip"))
    return parts, joints


def _skeleton(rng: np.random.Generator) -> tuple[list[_Bone], list[Joint]]:
    spread = rng.uniform(0.8, 1.8)
    bones = [
        _Bone((0, 4), (1, -26), (29, 28.5), 0.62, 6.0),
        _Bone((1, -26), (3, -130), (28, 36), 0.62, 2.0),
        _Bone((3, -130), (0, -600), (36, 44), 0.62, 2.0),
    ]
    fingers: list[_Bone] = []
    joints: list[Joint] = []
    for knuckle, length, turn, radii in _FINGERS:
        root = 0.42 * knuckle[0], 6.0
        bones.append(_Bone(root, knuckle, (15.5, radii[0] + 2.5), 0.85, 9.0))
        angle = np.radians(spread * turn + rng.normal(0, 1.2))
        parts, places = _finger(knuckle, length * rng.uniform(0.97, 1.03), angle, radii, rng)
        fingers += parts
        joints += places
    root, knuckle, length, turn, radii = _THUMB
    bones.append(_Bone(root, knuckle, (radii[0] + 1, radii[1] + 1), 0.85, 16.0))
    bones.append(_Bone((18, 40), (32, 66), (15, 10), 0.6, 16.0))  # the muscle in the thumb's web
    angle = np.radians(turn + rng.normal(0, 5))
    parts, places = _finger(knuckle, length, angle, radii[1:], rng, (0.52, 0.48))
    return bones + fingers + parts, joints + places


def pose_hand(shape: tuple[int, int], rng: np.random.Generator) -> Hand:
    """Lay a hand into a photo of `shape`, fingers inwards, the arm leaving over the border."""
    height, width = shape
    scale = 0.62 * min(shape) / 190 * rng.uniform(0.97, 1.06)
    turn = rng.normal(0, 0.22)
    if width > height and rng.random() < 0.4:
        turn += rng.choice((-1, 1)) * np.pi / 2
    mirror = rng.choice((-1.0, 1.0))
    middle = np.array((0.0, 72.0)) + rng.normal(0, 6, 2)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) + np.float32(0.5)
    right, up = (x - width / 2) / np.float32(scale), (height / 2 - y) / np.float32(scale)
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    x = np.float32(mirror) * (c * right - s * up) + np.float32(middle[0])
    y = s * right + c * up + np.float32(middle[1])

    bones, joints = _skeleton(rng)
    distance = np.full(shape, 1e3, np.float32)
    power = np.zeros(shape, np.float32)
    for bone in bones:
        away, radius = _to_bone(x, y, bone)
        rim = away - radius
        # Smooth union of outlines, as skin spans the corner between two bones.
        near = np.maximum(bone.web - np.abs(distance - rim), 0) / np.float32(bone.web)
        distance = np.minimum(distance, rim) - near * near * np.float32(bone.web / 4)
        dome = np.float32(bone.flatness) * np.sqrt(np.maximum(radius**2 - away**2, 0))
        power += dome**4
    webs = 5 * (1 - np.exp(np.minimum(distance, 0) / 4))
    rise = (power + webs**4) ** np.float32(0.25)
    for joint in joints:
        if joint.kind in ("knuckle", "middle"):
            bump = 1.6 if joint.kind == "knuckle" else 0.5
            away2 = (x - np.float32(joint.x)) ** 2 + (y - np.float32(joint.y)) ** 2
            rise += bump * np.exp(-away2 / np.float32(0.62 * joint.radius) ** 2)
    rise += _cords(x, y, joints, rng)
    return Hand(x, y, distance, blur(rise, 0.9 * scale), tuple(joints), scale)


def _to_bone(x: Field, y: Field, bone: _Bone) -> tuple[Field, Field]:
    """Return each pixel's distance to a bone's axis, and the bone's radius beside it."""
    (x0, y0), (x1, y1) = bone.start, bone.end
    dx, dy = np.float32(x1 - x0), np.float32(y1 - y0)
    u, v = x - np.float32(x0), y - np.float32(y0)
    t = np.clip((u * dx + v * dy) / (dx * dx + dy * dy), 0, 1)
    away = np.hypot(u - t * dx, v - t * dy)
    radius = bone.radii[0] + t * (bone.radii[1] - bone.radii[0])
    return np.asarray(away, np.float32), np.asarray(radius, np.float32)


def _cords(x: Field, y: Field, joints: list[Joint], rng: np.random.Generator) -> Field:
    """Return the ridges that tendons raise on the back of the hand, mm."""
    ridge = np.zeros_like(x)
    for joint in joints:
        if joint.kind == "knuckle" and joint.y > 70:
            bone = _Bone((0.3 * joint.x, 8), (joint.x, joint.y), (1, 1), 1, 1)
            away, _ = _to_bone(x, y, bone)
            ridge += np.float32(rng.uniform(0.2, 0.7)) * np.exp(-((away / 2.6) ** 2))
    return ridge * ramp(y, 10, 45)


def _local(hand: Hand, joint: Joint, box: tuple[slice, slice]) -> tuple[Field, Field]:
    """Return millimetres along the finger from a joint, and half-widths across it."""
    c, s = np.float32(np.cos(joint.angle)), np.float32(np.sin(joint.angle))
    u, v = hand.x[box] - np.float32(joint.x), hand.y[box] - np.float32(joint.y)
    across = np.asarray((c * u - s * v) / np.float32(joint.radius), np.float32)
    return s * u + c * v, across


def _creases(hand: Hand, rng: np.random.Generator) -> tuple[Field, Field]:
    """Return the furrows over the joints, in [0, 1], and how worn the skin about them is."""
    shape = hand.x.shape[0], hand.x.shape[1]
    furrow, worn = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    waver = 0.7 * smooth_noise(shape, 3.5 * hand.scale, rng)
    lines = {"knuckle": (3, 5.0, 0.3), "middle": (6, 5.5, 1.0), "end": (3, 2.6, 0.8)}
    for joint in hand.joints:
        if joint.kind == "tip":
            continue
        number, reach, depth = lines[joint.kind]
        box = hand.around(joint, 20)
        along, across = _local(hand, joint, box)
        window = np.exp(-((across / 0.85) ** 4) - (along / (1.6 * reach)) ** 2)
        for at in np.linspace(-reach, reach, number) + rng.normal(0, 0.4, number):
            bow = np.float32(at) * (1 - 0.35 * across**2) + waver[box]
            width = np.float32(rng.uniform(0.35, 0.6))
            line = np.exp(-(((along - bow) / width) ** 2)) * window
            furrow[box] = np.maximum(furrow[box], np.float32(depth * rng.uniform(0.5, 1)) * line)
        worn[box] = np.maximum(
            worn[box], np.exp(-((across / 0.9) ** 2) - (along / (1.3 * reach)) ** 2)
        )
    return furrow, worn


def _veins(hand: Hand, rng: np.random.Generator) -> Field:
    """Return the veins on the back of the hand, in [0, 1]."""
    # Drawn in the hand's frame, 2 px to the millimetre, then looked up.
    chart = np.zeros((460, 240), np.uint8)
    for _ in range(int(rng.integers(3, 6))):
        y = np.linspace(rng.uniform(-60, 20), rng.uniform(55, 85), 7)
        bend = np.cumsum(rng.normal(0, 4, 7)) + rng.uniform(-22, 22)
        path = np.stack([2 * (bend + 60), 2 * (y + 120)], -1)
        smooth = cv2.resize(path.astype(np.float32), (2, 60), interpolation=cv2.INTER_CUBIC)
        cv2.polylines(chart, [np.round(smooth).astype(np.int32)], False, 255, 4, cv2.LINE_AA)
    soft = blur(chart.astype(np.float32) / 255, 2.4)
    veins = cv2.remap(soft, 2 * (hand.x + 60), 2 * (hand.y + 120), cv2.INTER_LINEAR)
    return np.asarray(veins, np.float32)


def _paint_nails(skin: Field, hand: Hand, tone: float, rng: np.random.Generator) -> None:
    """Lay nails on the finger tips of `skin`, in place."""
    bed = np.array((0.93, 0.72, 0.66), np.float32) * np.float32(1.04 - 0.09 * tone)
    pale = np.array((0.95, 0.89, 0.82), np.float32) * np.float32(1.04 - 0.07 * tone)
    free = rng.uniform(0.3, 1.6)
    for joint in hand.joints:
        if joint.kind != "tip":
            continue
        box = hand.around(joint, 14)
        along, across = _local(hand, joint, box)
        here = skin[box]
        long = 0.86 * joint.radius
        s, t = (along - 0.1 * joint.radius) / np.float32(long), across / np.float32(0.70)
        edge = np.abs(s) ** 2.6 + np.abs(t) ** 3.2
        fold = np.exp(-(((edge - 1.12) / 0.22) ** 2)) * (0.55 + 0.45 * ramp(-s, -0.8, 0.4))
        here *= 1 - 0.30 * fold[..., None]
        nail = ramp(1 - edge, 0.0, 0.25)
        tip = ramp(s, 1.02 - 0.16 * free, 1.08 - 0.16 * free)
        moon = ramp(-(s + 0.92 - 0.28 * (1 - t * t)), -0.10, 0.10)
        shade = bed + (0.75 * tip + 0.35 * moon)[..., None] * (pale - bed)
        shade = shade * (1 - 0.16 * t * t)[..., None]
        gloss = 0.16 * np.exp(-(((t + 0.25) / 0.22) ** 2)) * ramp(0.8 - np.abs(s), 0.0, 0.5)
        here += (0.72 * nail)[..., None] * (shade + gloss[..., None] - here)


def flesh(hand: Hand, tone: float, rng: np.random.Generator) -> tuple[Field, Field]:
    """Return the hand's colour in even light, RGB in [0, 1], and its height in mm, creased."""
    shape = hand.x.shape[0], hand.x.shape[1]
    skin = bare_skin(shape, rng, tone, max(1.2, 0.8 * hand.scale), rng.uniform(0.25, 0.6))
    furrow, worn = _creases(hand, rng)
    veins = _veins(hand, rng) * np.float32(rng.uniform(0.3, 1.0) * (1.1 - 0.15 * tone))
    # Finger ends are redder; joints are redder on pale hands, darker on dark ones.
    ends = np.zeros(shape, np.float32)
    for joint in hand.joints:
        if joint.kind == "tip":
            box = hand.around(joint, 35)
            along, across = _local(hand, joint, box)
            away2 = along**2 + (joint.radius * across) ** 2
            ends[box] = np.maximum(ends[box], np.exp(-away2 / 14**2))
    red = 0.10 * ends + 0.09 * worn
    dark = 0.02 * (tone - 1) * worn + 0.30 * furrow
    absorbed = np.stack(
        [dark + 0.16 * veins, dark + 1.2 * red + 0.10 * veins, dark + 1.1 * red + 0.02 * veins], -1
    )
    skin = skin * np.exp(-absorbed)
    _paint_nails(skin, hand, tone, rng)
    return skin, hand.height - 0.30 * furrow + 0.45 * veins
