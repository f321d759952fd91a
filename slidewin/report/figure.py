"""Figures: pictures side by side on white, each with its title, note and colour bar."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw

from slidewin.errors import ArgumentError
from slidewin.report.maps import Picture, check_array, draw_heatmap
from slidewin.report.words import Font, Text, load_font

__all__ = ["Panel", "draw_panels"]

_INK, _FADED, _FRAME = (24, 26, 30), (96, 100, 108), (205, 208, 212)


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
        check_array(f"panels[{number}].image", panel.image, np.uint8, (None, None, 3))
        if panel.scale and not panel.scale[0] < panel.scale[1]:
            raise ArgumentError(f"panels[{number}].scale: got {panel.scale}; pass (low, high)")

    head, strong, small = (load_font(max(11, height // part)) for part in (17, 24, 32))
    margin, gap, space = height // 12, height // 16, height // 40
    columns = [_Column(panel, height, strong, small) for panel in panels]
    width = sum(column.width for column in columns) + gap * (len(columns) - 1)
    headline = Text(title or "", head, width, _INK)
    footer = Text(caption or "", small, width, _FADED)

    top = margin + (headline.height + 2 * space if title else 0)
    top += max(column.above for column in columns)
    bottom = top + height + max(column.below for column in columns)
    bottom += footer.height + 2 * space if caption else 0
    sheet = Image.new("RGB", (width + 2 * margin, bottom + margin), "white")
    pen = ImageDraw.Draw(sheet)

    headline.draw(pen, margin, margin)
    left = margin
    for column in columns:
        column.draw(sheet, pen, left, top)
        left += column.width + gap
    footer.draw(pen, margin, bottom - footer.height)
    return np.array(sheet)


class _Column:
    """A panel at its size: how much it takes `above` and `below` its picture, and in `width`."""

    def __init__(self, panel: Panel, height: int, strong: Font, small: Font) -> None:
        self.image = _scaled(panel.image, height)
        # Words need some width even under a narrow picture.
        self.width = max(self.image.shape[1], 6 * height // 10)
        self.title = Text(panel.title, strong, self.width, _INK)
        self.note = Text(panel.note, small, self.width, _FADED)
        self.scale, self.font = panel.scale, small
        self.space, self.thickness = height // 40, max(6, height // 48)

        numbers = sum(small.getmetrics()) + 2 * (self.space // 2)
        self.bar = self.thickness + numbers if panel.scale else 0
        self.above = self.title.height + self.space
        self.below = self.space + self.bar + self.note.height

    def draw(self, sheet: Image.Image, pen: ImageDraw.ImageDraw, left: int, top: int) -> None:
        """Put the picture there, its words and colour bar above and below it."""
        height, width = self.image.shape[:2]
        self.title.draw(pen, left, top - self.above)
        pen.rectangle((left - 1, top - 1, left + width, top + height), _FRAME)
        sheet.paste(Image.fromarray(self.image), (left, top))
        below = top + height + self.space
        if self.scale:
            ramp = np.tile(np.linspace(0, 1, width), (self.thickness, 1))
            sheet.paste(Image.fromarray(draw_heatmap(ramp)), (left, below))
            y = below + self.thickness + self.space // 2
            for value, x, anchor in zip(
                self.scale, (left, left + width), ("la", "ra"), strict=True
            ):
                pen.text((x, y), f"{value:.3g}", _FADED, self.font, anchor=anchor)
        self.note.draw(pen, left, below + self.bar)


def _scaled(image: Picture, height: int) -> Picture:
    """Resize a picture to this height, proportions kept."""
    width = max(1, round(image.shape[1] * height / image.shape[0]))
    way = cv2.INTER_AREA if height < image.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=way), dtype=np.uint8)
