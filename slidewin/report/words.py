"""Words in pictures: paragraphs under a figure's panels, and labels beside the photo's circles.

All are in the font that Pillow carries, which is there on every machine.
"""

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from slidewin.report.maps import Picture

__all__ = ["DARK", "Font", "Text", "draw_labels", "load_font"]

DARK = (16, 18, 22)
"""Under labels and about circles, so that they stand out from any photo."""

Font = ImageFont.FreeTypeFont
_Box = tuple[int, int, int, int]  # top, left, bottom, right


def load_font(size: int) -> Font:
    """Aileron, from Pillow, at a size in px."""
    return cast(Font, ImageFont.load_default(size))  # typed for builds of Pillow without FreeType


class Text:
    """Words in one font, broken into lines that fit a width; `height` says what they take.

    A word wider than that has a line to itself. No words take no height.
    """

    def __init__(self, words: str, font: Font, width: int, colour: tuple[int, int, int]) -> None:
        self.font, self.colour = font, colour
        self.lines: list[str] = []
        for word in words.split():
            longer = " ".join((*self.lines[-1:], word))
            if self.lines and font.getlength(longer) <= width:
                self.lines[-1] = longer
            else:
                self.lines.append(word)
        ascent, descent = font.getmetrics()
        self.pitch = ascent + descent
        self.height = self.pitch * len(self.lines)

    def draw(self, pen: ImageDraw.ImageDraw, left: int, top: int) -> None:
        """Write the lines, the first with its upper left corner there."""
        for number, line in enumerate(self.lines):
            pen.text((left, top + number * self.pitch), line, self.colour, self.font)


def draw_labels(
    canvas: Picture, labels: Sequence[str], rings: npt.NDArray[np.float64], halo: int
) -> None:
    """Write the labels of the first rings (row, col, radius) into `canvas`, clear of all rings.

    `halo` is the width of the rings' lines, in px. A label larger than the canvas is left out.
    """
    size = max(11, min(canvas.shape[:2]) // 38)
    font, padding = load_font(size), round(size / 4)
    taken: list[_Box] = []
    for own, words in enumerate(labels):
        left, top, right, bottom = font.getbbox(words)
        extent = (math.ceil(bottom - top) + 2 * padding, math.ceil(right - left) + 2 * padding)
        box = _place_label(extent, own, rings, taken, canvas.shape[:2], halo)
        if box is None:
            continue
        taken.append(box)
        tag = Image.new("RGB", extent[::-1], DARK)
        ImageDraw.Draw(tag).text((padding - left, padding - top), words, "white", font)
        canvas[box[0] : box[2], box[1] : box[3]] = np.asarray(tag)


def _place_label(
    extent: tuple[int, int],
    own: int,
    rings: npt.NDArray[np.float64],
    taken: Sequence[_Box],
    shape: tuple[int, ...],
    halo: int,
) -> _Box | None:
    """Find the best box within the photo for the label of one ring.

    Candidates stand round the ring and, for when it is crowded there, on a coarse lattice over the
    photo. The worst fault is to cover another label, then to cross the ring's own line, then
    another's, then to be nearer to another ring, then to cover what a ring encloses, which weighs
    as much as ten label heights away from the ring.
    """
    room = np.array(shape) - extent
    if (room < 0).any():
        return None
    centres, radii = rings[:, np.newaxis, :2], rings[:, 2:]
    angles = np.deg2rad(np.arange(-45, 315, 22.5))  # from the upper right, clockwise
    ways = np.stack((np.sin(angles), np.cos(angles)), axis=1)
    half = np.array(extent) / 2
    reach = rings[own, 2] + 1.5 * halo + np.abs(ways) @ half
    around = rings[own, :2] + ways * reach[:, np.newaxis] - half
    lattice = np.stack(np.meshgrid(*(np.linspace(0, r, 12) for r in room), indexing="ij"), axis=-1)
    starts = np.rint(np.concatenate((around, lattice.reshape(-1, 2)))).astype(int)
    starts = starts[((starts >= 0) & (starts <= room)).all(axis=1)]
    ends = starts + extent

    # From the centre of each ring to the nearest and to the farthest point of each box.
    nearest = np.hypot(*np.maximum(np.maximum(starts - centres, centres - ends), 0).T).T
    farthest = np.hypot(*np.maximum(centres - starts, ends - centres).T).T
    crossed = (nearest < radii + halo / 2) & (farthest > radii - halo / 2)
    away = np.maximum(nearest - radii - 2 * halo, 0)
    faults = away[own] / extent[0] + 1e1 * (nearest < radii).sum(axis=0)
    faults += 1e2 * (away < away[own]).sum(axis=0)
    faults += 1e3 * crossed.sum(axis=0) + 1e5 * crossed[own]
    for top, left, bottom, right in taken:
        apart = (starts >= (bottom, right)).any(axis=1) | (ends <= (top, left)).any(axis=1)
        faults += 1e7 * ~apart
    best = int(np.argmin(faults))
    (top, left), (bottom, right) = starts[best].tolist(), ends[best].tolist()
    return top, left, bottom, right
