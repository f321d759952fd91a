"""Pillow's readers, without what they lose or change in silence.

Left to itself, Pillow cuts 16-bit colour to 8 bits, leaves black what a PNG has no data for, shows
the first of many pages, turns TIFF but no other format, and bounds the size of images by a setting
that a whole process shares. Here a file is read exactly or refused. Files may come from strangers:
only the readers named in `_READERS` are started, and no setting of Pillow is changed.

`slidewin.image.reading` adds the path to every message.
"""

import math
import struct
import sys
import zlib
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    ExifTags,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from slidewin.errors import ArgumentError, ImageReadError
from slidewin.image.arrays import bands, range_fault, to_uint8

__all__ = ["decode"]

_INFLATED = 1 << 21  # bytes of a PNG's pixels that are inflated at a time to count them


class _Jpeg(JpegImagePlugin.JpegImageFile):
    def _open(self) -> None:
        # With a resolution in place Pillow leaves EXIF alone, where it would warn of what is odd.
        self.info["dpi"] = (72, 72)
        super()._open()


class _Tiff(TiffImagePlugin.TiffImageFile):
    def load_prepare(self) -> None:
        # Pillow would hold the size against its global limit; ours has been checked.
        if self._im is None:
            self.im = Image.new(self.mode, self._tile_size).im
        super().load_prepare()

    def load_end(self) -> None:
        # Pillow would turn TIFF here, and TIFF alone; `decode` turns every format, once.
        self._size = self._tile_size


_READERS: dict[bytes, type[ImageFile.ImageFile]] = {
    b"\xff\xd8\xff": _Jpeg,
    b"\x89PNG\r\n\x1a\n": PngImagePlugin.PngImageFile,
    b"RIFF": WebPImagePlugin.WebPImageFile,
    b"BM": BmpImagePlugin.BmpImageFile,
    b"II*\0": _Tiff,
    b"MM\0*": _Tiff,
    b"II+\0": _Tiff,
    b"MM\0+": _Tiff,
}
_ADAM7 = [  # first column and row, and the steps, of each pass over an interlaced PNG
    *[(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)],
    *[(0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)],
]
_STRANGERS = {
    b"GIF8": "a GIF",
    b"%PDF": "a PDF",
    b"8BPS": "a Photoshop document",
    b"\0\0\0\x0cjP": "a JPEG 2000",
    b"PK\x03\x04": "a ZIP archive",
}

# Pillow keeps the high byte of a 16-bit colour sample. Read once more in the other byte order, the
# file gives the low one, and both together the sample: exact, and without a second decoder.
_OTHER_BYTE = {
    f"{channels};16{order}": f"{channels};16{other}"
    for channels in ("RGB", "RGBA", "RGBX")
    for order, other in (("L", "B"), ("B", "L"), ("N", "B" if sys.byteorder == "little" else "L"))
}


def decode(
    handle: IO[bytes],
    max_pixels: int,
    background: tuple[int, int, int] | None,
    page: int | None,
) -> tuple[NDArray[np.uint8], list[str]]:
    """Decode an image file; see `slidewin.image.read_image`.

    Parameters
    ----------
    handle : binary file
        Open at any position, seekable.
    max_pixels, background, page
        As in `slidewin.image.read_image`.

    Returns
    -------
    image : ndarray of shape (H, W, 3), uint8
        RGB, upright, C-contiguous.
    notes : list of str
        What the user should know besides.

    Raises
    ------
    ImageReadError, ArgumentError
        If the file is refused.
    Exception
        Of any kind, if Pillow comes to grief over a damaged file.
    """
    photo, low = _open(handle, max_pixels, page), None
    if any(_rawmode(tile.args) in _OTHER_BYTE for tile in photo.tile):
        low = _open(handle, max_pixels, page)
        low.tile = [tile._replace(args=_with_other_byte(tile.args)) for tile in low.tile]
        low.load()
    photo.load()
    image = np.empty((photo.height, photo.width, 3), np.uint8)
    for rows in bands(image):
        box = (0, rows.start, photo.width, rows.stop)
        band: Image.Image = photo.crop(box)
        samples = np.asarray(band)
        if low is not None:
            samples = samples.astype(np.uint16) << 8 | np.asarray(low.crop(box))
        if fault := range_fault(samples):
            raise ImageReadError(f"holds {fault}; accepted is float in [0, 1]: scale it so")
        if samples.itemsize > 1:
            band = Image.fromarray(to_uint8(samples))
        image[rows] = np.asarray(_rgb(band, background))

    notes = []
    profile = photo.info.get("icc_profile")
    if profile and not any("sRGB".encode(code) in profile for code in ("ascii", "utf-16-be")):
        notes.append(
            "has a colour profile other than sRGB; the pixels were left as they are: convert the "
            "file to sRGB if its colours matter"
        )
    try:
        orientation = _orientation(photo)
    except (LookupError, TypeError, ValueError, struct.error):
        notes.append("has malformed EXIF, which was ignored; check which way up the photo is")
        orientation = 1
    if orientation >= 5:
        image = image.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image), notes


def _open(handle: IO[bytes], max_pixels: int, page: int | None) -> ImageFile.ImageFile:
    """Read the header, and refuse what cannot be read within the budget, whole and exactly."""
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise ImageReadError(
            "cannot be told whole from half while PIL.ImageFile.LOAD_TRUNCATED_IMAGES is on in "
            "this process; set it to False"
        )
    handle.seek(0)
    head = handle.read(32)
    reader = _reader(head)
    if head.startswith(b"RIFF"):  # Pillow makes the canvas of a WebP as soon as it is opened
        _check_budget(_webp_size(head), max_pixels)
    handle.seek(0)
    photo = reader(handle)  # not Image.open, which heeds Pillow's global limit instead of ours
    _check_budget(photo.size, max_pixels)
    pages = getattr(photo, "n_frames", 1)
    if page is None:
        if pages > 1:
            raise ImageReadError(f"holds {pages} pages or frames; pass page=0 to page={pages - 1}")
    elif page < pages:
        photo.seek(page)
        _check_budget(photo.size, max_pixels)
    else:
        raise ArgumentError(f"has pages 0 to {pages - 1}, and page={page} was asked for")
    if fault := _fault(photo, page) or (_png_fault(handle) if photo.format == "PNG" else ""):
        raise ImageReadError(
            f"holds {fault}, and would not be read whole; save it anew as 8-bit RGB"
        )
    return photo


def _reader(head: bytes) -> type[ImageFile.ImageFile]:
    for magic, reader in _READERS.items():
        if head.startswith(magic) and (magic != b"RIFF" or head[8:12] == b"WEBP"):
            return reader
    advice = "save it anew as one of them"
    found = next((name for magic, name in _STRANGERS.items() if head.startswith(magic)), "")
    if not head:
        found, advice = "an empty file", "copy it again"
    elif head[4:8] == b"ftyp":  # the box that HEIF shares with films
        found = "an AVIF" if head[8:11] == b"avi" else "a HEIC/HEIF (or a film)"
        advice += ", for instance by way of the package pillow-heif"
    elif not found:
        printable = head.isascii() and b"\0" not in head
        found = "text" if printable else f"of no known type, beginning with {head[:8]!r}"
    raise ImageReadError(
        f"is {found}; accepted are JPEG, PNG, WebP, BMP and TIFF, told by content and not by "
        f"suffix: {advice}"
    )


def _webp_size(head: bytes) -> tuple[int, int]:
    """Width and height in the first chunk of a WebP (RFC 9649, section 2)."""
    if head[12:16] == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if head[12:16] == b"VP8L":
        both = int.from_bytes(head[21:25], "little")
        return (both & 0x3FFF) + 1, (both >> 14 & 0x3FFF) + 1
    both = int.from_bytes(head[26:30], "little")
    return both & 0x3FFF, both >> 16 & 0x3FFF


def _check_budget(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise ImageReadError(
            f"says that it has {width} x {height} pixels, more than max_pixels={max_pixels}; "
            f"if you trust it, pass max_pixels={width * height} (takes "
            f"about {1.1e-8 * width * height:.1f} GB of memory)"
        )


def _fault(photo: ImageFile.ImageFile, page: int | None) -> str:
    """Say what Pillow would change in silence, if anything."""
    tags = getattr(photo, "tag_v2", {})  # of a TIFF
    raw = {_rawmode(tile.args) for tile in photo.tile}
    bits = max(tags.get(TiffImagePlugin.BITSPERSAMPLE, (8,)))
    separate = tags.get(TiffImagePlugin.PLANAR_CONFIGURATION) == 2
    blended = photo.format == "PNG" and getattr(photo, "n_frames", 1) > 1
    channels = len(photo.getbands())
    deep_colour = channels > 1 and (bits > 8 or any(mode[-4:-1] == ";16" for mode in raw))
    tiled = [tile.extents for tile in photo.tile if tile.extents and tags]
    planes = channels if separate and len(tiled) > 1 else 1
    faults = {
        "signed samples": 2 in tags.get(TiffImagePlugin.SAMPLEFORMAT, ()),
        "32-bit integer samples": photo.mode == "I",
        "12-bit samples": bits == 12,
        "deep samples in which 0 is white": bits > 8
        and tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0,
        "16-bit colour in a rare layout": deep_colour
        and (separate or blended or not raw <= _OTHER_BYTE.keys()),
        "a transparent colour at a depth other than 8 bits": "transparency" in photo.info
        and photo.mode != "P"
        and any(";" in mode for mode in raw),
        "a preview (of a camera's raw file?)": page is None
        and tags.get(ExifTags.Base.NewSubfileType, 0) & 1,
        "data for a part of its pixels": tiled
        and sum((right - left) * (bottom - top) for left, top, right, bottom in tiled)
        < planes * photo.width * photo.height,
    }
    return next((words for words, found in faults.items() if found), "")


def _png_fault(handle: IO[bytes]) -> str:
    """Whether a PNG lacks data, in which case Pillow would leave its last rows black."""
    handle.seek(16)
    width, height, depth, colour, interlaced = struct.unpack(">IIBB2xB", handle.read(13))
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    missing = 0
    for left, top, across, down in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = math.ceil((width - left) / across), math.ceil((height - top) / down)
        missing += rows * (1 + math.ceil(columns * bits / 8)) if columns > 0 and rows > 0 else 0
    inflater = zlib.decompressobj()
    handle.seek(33)
    while missing > 0:
        head = handle.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            return "fewer pixels than its header says"
        data = handle.read(int.from_bytes(head[:4], "big"))
        handle.seek(4, 1)
        while head[4:] == b"IDAT" and data and missing > 0:
            missing -= len(inflater.decompress(data, _INFLATED))
            data = inflater.unconsumed_tail
    return ""


def _rawmode(args: Any) -> str:
    """How the samples of a Pillow tile are laid out in the file."""
    return str(args if isinstance(args, str) else args[0])


def _with_other_byte(args: Any) -> Any:
    other = _OTHER_BYTE[_rawmode(args)]
    return other if isinstance(args, str) else (other, *args[1:])


def _rgb(band: Image.Image, background: tuple[int, int, int] | None) -> Image.Image:
    if not band.has_transparency_data:
        return band.convert("RGB")
    band = band.convert("RGBA")
    if background is not None:
        under = Image.new("RGBA", band.size, (*background, 255))
        band = Image.alpha_composite(under, band)
    elif np.asarray(band)[..., 3].min() < 255:
        raise ImageReadError(
            "has transparent pixels; say what lies under them, as in background=(255, 255, 255)"
        )
    return band.convert("RGB")


def _orientation(photo: ImageFile.ImageFile) -> int:
    """EXIF orientation, 1 to 8. Read here because Pillow warns of, or raises, much else."""
    value: Any = 1
    if isinstance(photo, _Tiff):
        value = photo.tag_v2.get(ExifTags.Base.Orientation, 1)
    else:
        exif = photo.info.get("exif", b"")
        if "Raw profile type exif" in photo.info:  # ImageMagick's, in hexadecimal, from line 4 on
            exif = bytes.fromhex("".join(photo.info["Raw profile type exif"].split("\n")[3:]))
        exif = exif.removeprefix(b"Exif\0\0").removeprefix(b"Exif\0\0")
        if exif:
            order = {b"II": "<", b"MM": ">"}[exif[:2]]
            (start,) = struct.unpack_from(order + "I", exif, 4)
            (count,) = struct.unpack_from(order + "H", exif, start)
            for at in range(start + 2, start + 2 + 12 * count, 12):
                tag, kind = struct.unpack_from(order + "HH", exif, at)
                if tag == ExifTags.Base.Orientation:
                    (value,) = struct.unpack_from(order + {3: "H", 4: "I"}[kind], exif, at + 8)
    if value not in range(1, 9):
        raise ValueError(value)
    return int(value)
