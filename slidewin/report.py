"""What people see: regions on the photo, heat maps, masks, and figures that put them side by side.

Nothing is computed about lesions here, and a picture claims no more than the numbers do: heat maps
have an absolute scale, and what was not assessed is hatched in every picture.

Pictures are ``(H, W, 3)`` uint8, RGB, of the photo's own size: nothing is scaled but the panels of
a figure. Lines, hatching and text grow with the photo's short side, so that a picture looks the
same whether the photo has 300 or 4000 pixels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from slidewin.errors import ArgumentError, ArgumentTypeError
from slidewin.region import COLOUR, Region

__all__ = ["Panel", "draw_heatmap", "draw_mask", "draw_panels", "draw_regions"]

Picture = npt.NDArray[np.uint8]
_Font = ImageFont.FreeTypeFont

_LABELLED = 20  # regions with a label: more of them hide the photo
_HEEDED = 200  # regions whose circles labels keep clear of: with more, there is nowhere to go
_HALO = (16, 18, 22)
_INK, _FADED, _FRAME = (24, 26, 30), (96, 100, 108), (205, 208, 212)
_HATCH = (112, 208)  # grey between the hatch lines and on them: no colour of the map is grey
_SHIFT = 4  # OpenCV's fixed point: vertices and radii in sixteenths of a pixel


@dataclass(frozen=True, eq=False)
class Panel:
    """One picture of a figure, with its words.

    Attributes
    ----------
    image : ndarray of shape (H, W, 3), uint8
        The picture, RGB.
    title : str
        Stands above the picture.
    note : str
        Stands below it.
    scale : tuple of float, optional
        The lowest and highest value of a heat map, for a colour bar below the picture.
    """

    image: Picture
    title: str
    note: str = ""
    scale: tuple[float, float] | None = None


def draw_regions(
    photo: Picture,
    regions: Sequence[Region],
    *,
    assessed: npt.NDArray[np.bool_] | None = None,
) -> Picture:
    """Circle regions on a copy of the photo.

    Every region gets a circle just outside it and a thin outline; the best 20 also get a label of
    rank and score, such as "1 · 0.97", within the photo and clear of the circles where there is
    room. A photo too small for a label has none.

    Parameters
    ----------
    photo : ndarray of shape (H, W, 3), uint8
        RGB. It is not written to.
    regions : sequence of Region
        Best first. With none, the picture is the photo.
    assessed : ndarray of shape (H, W), bool, optional
        Where False, the photo is hatched; by default all of it counts as assessed.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
        Pixels away from circles, outlines, labels and hatching are the photo's.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If `photo` or `assessed` is of another shape or type.

    Examples
    --------
    >>> photo = np.full((300, 400, 3), 200, dtype=np.uint8)
    >>> bool((draw_regions(photo, ()) == photo).all())
    True
    """
    _check("photo", photo, np.uint8, (None, None, 3))
    canvas = np.array(photo, order="C")
    if assessed is not None:
        _check("assessed", assessed, np.bool_, photo.shape[:2])
        hatched = canvas >> 1
        hatched += (_hatching(photo.shape) >> 1)[..., np.newaxis]
        cv2.copyTo(hatched, (~assessed).view(np.uint8), canvas)

    short = min(photo.shape[:2])
    line = max(2, round(short / 300))
    halo = line + 2 * max(1, round(line / 3))
    rings = [(*region.centre, max(region.radius, short / 80) + 1.5 * halo) for region in regions]

    for region in regions:
        outline = [_fixed_point(ring) for ring in (region.contour, *region.holes)]
        cv2.polylines(canvas, outline, True, COLOUR, max(1, line // 3), cv2.LINE_AA, _SHIFT)
    # All halos before all lines: where circles cross, no line is cut.
    for colour, width in ((_HALO, halo), (COLOUR, line)):
        for row, col, radius in rings:
            x, y = _fixed_point(np.array([[row, col]]))[0].tolist()
            size = round(radius * 2**_SHIFT)
            cv2.circle(canvas, (x, y), size, colour, width, cv2.LINE_AA, _SHIFT)
    _draw_labels(canvas, regions[:_LABELLED], np.reshape(rings[:_HEEDED], (-1, 3)), halo)
    return canvas


def draw_heatmap(
    pixels: npt.NDArray[np.floating], *, low: float = 0.0, high: float = 1.0
) -> Picture:
    """Colour a heat map on an absolute scale, from dark (low) to bright (high).

    Parameters
    ----------
    pixels : ndarray of shape (H, W), floating
        NaN where not assessed: hatched in greys, which the colour map has none of.
    low, high : float
        Values at the ends of the colour map; what lies beyond gets the colour of the end.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If `pixels` is no map, or not ``low < high``.

    Notes
    -----
    The colours are *inferno*, by Nathaniel Smith and Stéfan van der Walt: equal steps in value look
    equal, also in print and to the colour-blind. One temporary of the map's size is made.

    Examples
    --------
    >>> draw_heatmap(np.array([[0.0, 1.0, np.nan]], dtype=np.float32)).tolist()
    [[[0, 0, 4], [252, 255, 164], [112, 112, 112]]]
    """
    _check("pixels", pixels, np.floating, (None, None))
    if not low < high:
        raise ArgumentError(f"low, high: got {low!r} and {high!r}; pass low < high")
    level = np.clip(pixels, float(low), float(high))
    level -= float(low)
    level *= 255 / (high - low)
    np.rint(level, out=level)
    hidden = np.isnan(level)
    level[hidden] = 0
    coloured = cv2.applyColorMap(level.astype(np.uint8), cv2.COLORMAP_INFERNO)
    picture = np.asarray(cv2.cvtColor(coloured, cv2.COLOR_BGR2RGB), dtype=np.uint8)
    if hidden.any():
        stripes = _hatching(pixels.shape)[..., np.newaxis]
        np.copyto(picture, stripes, where=hidden[..., np.newaxis])
    return picture


def draw_mask(mask: npt.NDArray[np.bool_], assessed: npt.NDArray[np.bool_]) -> Picture:
    """Draw a mask in three greys.

    Parameters
    ----------
    mask, assessed : ndarray of shape (H, W), bool
        What is flagged, and what was looked at.

    Returns
    -------
    ndarray of shape (H, W), uint8
        0 where not flagged, 255 where flagged, 128 where not assessed, whatever the mask says
        there.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If the two are not bool and of one shape.

    Examples
    --------
    >>> draw_mask(np.array([[False, True, False]]), np.array([[True, True, False]]))
    array([[  0, 255, 128]], dtype=uint8)
    """
    _check("mask", mask, np.bool_, (None, None))
    _check("assessed", assessed, np.bool_, mask.shape)
    picture = mask.astype(np.uint8)
    picture *= 255
    picture[~assessed] = 128
    return picture


def draw_panels(
    panels: Sequence[Panel],
    *,
    title: str | None = None,
    caption: str | None = None,
    height: int = 480,
) -> Picture:
    """Put pictures side by side on white, each under its title.

    Parameters
    ----------
    panels : sequence of Panel
        From left to right, at least one.
    title, caption : str, optional
        Stand above and below all of them.
    height : int
        To which each picture is scaled, in pixels; words and margins follow.

    Returns
    -------
    ndarray of shape (h, w, 3), uint8

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If there is no panel, an image is no picture, a scale no scale, or `height` less than 64.

    Notes
    -----
    The font is the one that Pillow carries. It has plain English letters and signs such as · ± °
    but no accents, dashes or × (they show as boxes).

    Examples
    --------
    >>> square = np.zeros((50, 50, 3), dtype=np.uint8)
    >>> figure = draw_panels([Panel(square, "Photo"), Panel(square, "Heat map", scale=(0, 1))])
    >>> figure.dtype, figure.ndim
    (dtype('uint8'), 3)
    """
    if not panels:
        raise ArgumentError("panels: got none; pass at least one Panel")
    if height < 64:
        raise ArgumentError(f"height: got {height}; pass at least 64 pixels")
    for number, panel in enumerate(panels):
        _check(f"panels[{number}].image", panel.image, np.uint8, (None, None, 3))
        if panel.scale and not panel.scale[0] < panel.scale[1]:
            raise ArgumentError(f"panels[{number}].scale: got {panel.scale}; pass (low, high)")

    images = [_scaled(panel.image, height) for panel in panels]
    head, strong, small = (_font(max(11, height // part)) for part in (17, 24, 32))
    margin, gap, space = height // 12, height // 16, height // 40
    # Words need some width even under a narrow picture.
    columns = [max(image.shape[1], 6 * height // 10) for image in images]
    width = sum(columns) + gap * (len(panels) - 1)

    titles = [_Text(p.title, strong, w, _INK) for p, w in zip(panels, columns, strict=True)]
    notes = [_Text(p.note, small, w, _FADED) for p, w in zip(panels, columns, strict=True)]
    headline = _Text(title or "", head, width, _INK)
    footer = _Text(caption or "", small, width, _FADED)
    ends = _Text("0", small, width, _FADED).height
    bar = max(6, height // 48)
    bars = [bar + space // 2 + ends + space // 2 if panel.scale else 0 for panel in panels]

    top = margin + (headline.height + 2 * space if title else 0)
    picture_top = top + max(text.height for text in titles) + space
    below = picture_top + height + space
    bottom = below + max(b + note.height for b, note in zip(bars, notes, strict=True))
    bottom += footer.height + 2 * space if caption else 0
    sheet = Image.new("RGB", (width + 2 * margin, bottom + margin), "white")
    pen = ImageDraw.Draw(sheet)

    headline.draw(pen, margin, margin)
    left = margin
    for number, panel in enumerate(panels):
        image, shown = images[number], images[number].shape[1]
        titles[number].draw(pen, left, picture_top - space - titles[number].height)
        pen.rectangle((left - 1, picture_top - 1, left + shown, picture_top + height), _FRAME)
        sheet.paste(Image.fromarray(image), (left, picture_top))
        if panel.scale:
            ramp = np.tile(np.linspace(0, 1, shown), (bar, 1))
            sheet.paste(Image.fromarray(draw_heatmap(ramp)), (left, below))
            for value, x, anchor in zip(panel.scale, (left, left + shown), "lr", strict=True):
                y = below + bar + space // 2
                pen.text((x, y), f"{value:.3g}", _FADED, small, anchor=f"{anchor}a")
        notes[number].draw(pen, left, below + bars[number])
        left += columns[number] + gap
    footer.draw(pen, margin, bottom - footer.height)
    return np.array(sheet)


def _fixed_point(vertices: npt.NDArray[np.int64 | np.float64]) -> npt.NDArray[np.int32]:
    """(row, col) with pixel centres at +0.5 to OpenCV's (x, y) with centres at 0."""
    xy: npt.NDArray[np.int32] = np.rint((vertices[:, ::-1] - 0.5) * 2**_SHIFT).astype(np.int32)
    return xy


def _hatching(shape: tuple[int, ...]) -> Picture:
    """Diagonal light stripes on mid grey, for a picture of this size.

    Pixel (r, c) depends on r + c alone, so this is a view on H + W bytes.
    """
    height, width = shape[:2]
    period = max(8, min(height, width) // 50)
    phase = np.arange(height + width - 1) % period - (period - 1) / 2
    # Distance from the middle of the stripe, softened over a pixel at its edges.
    lit = np.clip(period / 8 + 0.5 - np.abs(phase), 0, 1)
    greys = np.rint(_HATCH[0] + lit * (_HATCH[1] - _HATCH[0])).astype(np.uint8)
    return np.lib.stride_tricks.sliding_window_view(greys, width)


def _draw_labels(
    canvas: Picture, regions: Sequence[Region], rings: npt.NDArray[np.float64], halo: int
) -> None:
    """Write rank and score next to each ring (row, col, radius), into `canvas`."""
    size = max(11, min(canvas.shape[:2]) // 38)
    font, padding = _font(size), round(size / 4)
    taken: list[tuple[int, int, int, int]] = []
    for rank, region in enumerate(regions, start=1):
        words = f"{rank} · {region.score:.2f}"
        left, top, right, bottom = font.getbbox(words)
        extent = (math.ceil(bottom - top) + 2 * padding, math.ceil(right - left) + 2 * padding)
        box = _place_label(extent, rank - 1, rings, taken, canvas.shape[:2], halo)
        if box is None:
            continue
        taken.append(box)
        tag = Image.new("RGB", extent[::-1], _HALO)
        ImageDraw.Draw(tag).text((padding - left, padding - top), words, "white", font)
        canvas[box[0] : box[2], box[1] : box[3]] = np.asarray(tag)


def _place_label(
    extent: tuple[int, int],
    own: int,
    rings: npt.NDArray[np.float64],
    taken: Sequence[tuple[int, int, int, int]],
    shape: tuple[int, ...],
    halo: int,
) -> tuple[int, int, int, int] | None:
    """Find the best box (top, left, bottom, right) within the photo for the label of one ring.

    Candidates stand round the ring and, for when it is crowded there, on a coarse lattice over the
    photo. The worst fault is to cover another label, then to cross the ring's own line, then
    another's, then to be nearer to another ring, then to cover what a ring encloses; of equals the
    nearest to the ring is taken.
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


class _Text:
    """Words in one font, broken into lines that fit a width."""

    def __init__(self, words: str, font: _Font, width: int, colour: tuple[int, int, int]) -> None:
        self.font, self.colour, self.lines = font, colour, [""]
        for word in words.split():
            longer = f"{self.lines[-1]} {word}".lstrip()
            if font.getlength(longer) <= width or not self.lines[-1]:
                self.lines[-1] = longer
            else:
                self.lines.append(word)
        ascent, descent = font.getmetrics()
        self.pitch = ascent + descent
        self.height = self.pitch * len(self.lines) if words else 0

    def draw(self, pen: ImageDraw.ImageDraw, left: int, top: int) -> None:
        for number, line in enumerate(self.lines):
            pen.text((left, top + number * self.pitch), line, self.colour, self.font)


def _font(size: int) -> _Font:
    """Pillow's own font (Aileron): it is there on every machine."""
    return cast(_Font, ImageFont.load_default(size))


def _scaled(image: Picture, height: int) -> Picture:
    """Resize a picture to this height, proportions kept."""
    width = max(1, round(image.shape[1] * height / image.shape[0]))
    way = cv2.INTER_AREA if height < image.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=way), dtype=np.uint8)


def _check(
    name: str,
    array: npt.NDArray[np.generic],
    kind: type[np.generic],
    shape: tuple[int | None, ...],
) -> None:
    """Refuse an array of another kind, or of another shape; None stands for any length."""
    if not isinstance(array, np.ndarray) or not np.issubdtype(array.dtype, kind):
        found = getattr(array, "dtype", type(array).__name__)
        raise ArgumentTypeError(f"{name}: got {found}; pass an array of {kind.__name__}")
    fits = len(shape) == array.ndim and array.size > 0
    if not fits or any(want not in (None, n) for want, n in zip(shape, array.shape, strict=True)):
        wanted = ", ".join(str(n or letter) for n, letter in zip(shape, "HWC", strict=False))
        raise ArgumentError(f"{name}: got shape {array.shape}; pass an array of shape ({wanted})")
