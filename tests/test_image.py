"""Files are made here, never committed: the honest, and all those that have misled a decoder."""

import contextlib
import hashlib
import io
import itertools
import os
import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile

from slidewin.errors import (
    ArgumentError,
    ArgumentTypeError,
    ImageMissingError,
    ImageReadError,
    SlidewinError,
    SlidewinWarning,
)
from slidewin.image import check_image, hash_pixels, read_image

RGB = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
GREY = np.ascontiguousarray(RGB[..., 0])
DEEP = np.random.default_rng(1).integers(0, 65536, (40, 60, 3), np.uint16)
DEEP[0, :2] = [[0, 65535, 128], [129, 385, 386]]  # 0, 255, and both sides of a rounding

FORMATS = ["JPEG", "PNG", "WEBP", "BMP", "TIFF"]


def encode(image: Image.Image | NDArray[np.uint8], kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(array: NDArray[np.generic], **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def png(
    size: tuple[int, int],
    depth: int,
    colour: int,
    data: bytes,
    *extra: tuple[bytes, bytes],
    interlaced: bool = False,
) -> bytes:
    """A PNG as a writer other than Pillow would make it, or as no writer should."""
    head = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, interlaced)
    chunks = [(b"IHDR", head), *extra, (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


def deep_png(array: NDArray[np.uint16], colour: int, *extra: tuple[bytes, bytes]) -> bytes:
    rows = array.astype(">u2")
    return png(
        array.shape[1::-1], 16, colour, b"".join(b"\0" + row.tobytes() for row in rows), *extra
    )


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def scaled(deep: NDArray[np.uint16]) -> NDArray[np.uint8]:
    return np.array([round(value / 257) for value in deep.ravel().tolist()], np.uint8).reshape(
        deep.shape
    )


def run(script: str, argument: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, str(argument)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def saved(tmp_path):
    """Write bytes to a file of misleading name, and give its path."""
    names = (tmp_path / f"{number}.dat" for number in itertools.count())

    def save(data: bytes, name: str | None = None) -> Path:
        path = tmp_path / name if name else next(names)
        path.write_bytes(data)
        return path

    return save


# --- Honest files ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        encode(RGB, "PNG"),
        encode(RGB, "BMP"),
        encode(RGB, "WEBP", lossless=True),
        encode(RGB, "TIFF"),
        encode(RGB, "TIFF", compression="tiff_lzw"),
        tiff(RGB, photometric="rgb", byteorder=">", tile=(16, 16)),
        tiff(RGB, photometric="rgb", bigtiff=True, compression="zlib", predictor=True),
        tiff(RGB.transpose(2, 0, 1).copy(), photometric="rgb", planarconfig="separate"),
    ],
    ids=["png", "bmp", "webp", "tiff", "lzw", "tiled", "bigtiff", "planar"],
)
def test_lossless_files_give_the_pixels_that_were_written(saved, data):
    image = read_image(saved(data))
    np.testing.assert_array_equal(image, RGB)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.flags.writeable
    assert image.flags.owndata


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_a_jpeg_gives_what_pillow_gives(saved, options):
    data = encode(RGB, "JPEG", **options)
    np.testing.assert_array_equal(read_image(saved(data)), np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("kind", FORMATS)
def test_the_content_and_not_the_suffix_tells_the_format(saved, kind):
    assert read_image(saved(encode(RGB, kind), "photo.gif")).shape == RGB.shape


@pytest.mark.parametrize("as_type", [str, Path])
def test_paths_may_hold_spaces_and_any_letters(tmp_path, as_type):
    path = tmp_path / "eine Hand é中.png"
    path.write_bytes(encode(RGB, "PNG"))
    np.testing.assert_array_equal(read_image(as_type(path)), RGB)


def test_one_pixel_is_a_photo(saved):
    assert read_image(saved(encode(RGB[:1, :1], "PNG"))).tolist() == [[RGB[0, 0].tolist()]]


def test_a_photo_of_several_bands_is_read_whole(saved, monkeypatch):
    monkeypatch.setattr("slidewin.image.arrays._BAND", 7 * 60 * 3)
    monkeypatch.setattr("slidewin.image.decoder._INFLATED", 500)
    np.testing.assert_array_equal(read_image(saved(encode(RGB, "PNG"))), RGB)
    np.testing.assert_array_equal(read_image(saved(deep_png(DEEP, 2))), scaled(DEEP))


def test_threads_read_at_once(saved):
    paths = [saved(encode(np.roll(RGB, shift, 0), "TIFF")) for shift in range(16)]
    with ThreadPoolExecutor(8) as pool:
        for shift, image in enumerate(pool.map(read_image, paths)):
            np.testing.assert_array_equal(image, np.roll(RGB, shift, 0))


# --- Which way is up ------------------------------------------------------------------------------

# TIFF 6.0, page 36: the visual side of the stored row 0, and that of the stored column 0.
SIDES = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


def turned_by_definition(stored: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    row_side, column_side = SIDES[orientation]
    if row_side in ("left", "right"):
        stored = np.stack([stored[:, column] for column in range(stored.shape[1])])
    if "bottom" in (row_side, column_side):
        stored = np.flipud(stored)
    if "right" in (row_side, column_side):
        stored = np.fliplr(stored)
    return stored


@pytest.mark.parametrize("orientation", SIDES)
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("PNG", {}),
        ("WEBP", {"lossless": True, "exact": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
)
def test_every_orientation_is_turned_once(saved, kind, options, orientation):
    stored = read_image(saved(encode(RGB, kind, **options)))
    image = read_image(saved(encode(RGB, kind, exif=exif(orientation), **options)))
    np.testing.assert_array_equal(image, turned_by_definition(stored, orientation))
    assert image.flags.c_contiguous


def test_orientation_six_brings_the_first_row_to_the_right(saved):
    stored = np.array([[[1, 1, 1], [2, 2, 2]], [[3, 3, 3], [4, 4, 4]]], np.uint8)
    image = read_image(saved(encode(stored, "PNG", exif=exif(6))))
    assert image[..., 0].tolist() == [[3, 1], [4, 2]]


def test_deep_tiffs_and_single_pages_are_turned_too(saved):
    tag = (274, "H", 1, 8, True)
    image = read_image(saved(tiff(DEEP, photometric="rgb", extratags=[tag])))
    np.testing.assert_array_equal(image, turned_by_definition(scaled(DEEP), 8))
    pages = [Image.fromarray(RGB), Image.fromarray(RGB[::-1].copy())]
    pages[1].getexif()[274] = 6
    data = encode(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    assert read_image(saved(data), page=0).shape == (40, 60, 3)


def test_orientation_is_found_where_imagemagick_keeps_it(saved):
    profile = exif(6)
    text = f"\nexif\n{len(profile):8d}\n{profile.hex()}\n".encode()
    rows = b"".join(b"\0" + row.tobytes() for row in RGB)
    body = b"Raw profile type exif\0\0" + zlib.compress(text)
    image = read_image(saved(png((60, 40), 8, 2, rows, (b"zTXt", body))))
    np.testing.assert_array_equal(image, turned_by_definition(RGB, 6))


@pytest.mark.parametrize(
    "bad",
    [
        exif(0),
        exif(9),
        b"Exif\0\0not a TIFF header",
        b"Exif\0\0II*\0\xff\xff\xff\xff",  # the directory lies outside
        b"Exif\0\0II*\0\x08\0\0\0\x05\0",  # five entries are promised, none is there
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x01\0\0\0six\0",  # orientation is text
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_malformed_exif_is_ignored_with_a_warning(saved, kind, bad):
    plain = read_image(saved(encode(RGB, kind)))
    path = saved(encode(RGB, kind, exif=bad))
    with pytest.warns(SlidewinWarning, match=f"{path.name}: has malformed EXIF"):
        image = read_image(path)
    np.testing.assert_array_equal(image, plain)


def test_odd_exif_beside_a_good_orientation_is_no_concern(saved):
    """Pillow warns of the resolution, whose place lies outside, on opening the file."""
    entries = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0) + struct.pack("<HHII", 0x011A, 5, 1, 9999)
    tags = b"Exif\0\0II*\0\x08\0\0\0\x02\0" + entries + bytes(4)
    data = encode(RGB, "JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", 2 + len(tags)) + tags
    start = 4 + struct.unpack(">H", data[4:6])[0]
    without_jfif = data[:2] + segment + data[start:]
    assert read_image(saved(without_jfif)).shape == (60, 40, 3)


# --- Depth ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        deep_png(DEEP, 2),
        tiff(DEEP, photometric="rgb"),
        tiff(DEEP, photometric="rgb", byteorder=">"),
        tiff(DEEP, photometric="rgb", compression="zlib", predictor=True),
        tiff(DEEP, photometric="rgb", compression="zlib", byteorder=">"),
        tiff(DEEP, photometric="rgb", tile=(16, 16)),
        tiff(DEEP, photometric="rgb", rowsperstrip=7),
    ],
    ids=["png", "tiff", "big-endian", "zlib", "zlib-big-endian", "tiled", "strips"],
)
def test_16_bit_colour_is_scaled_and_rounded(saved, data):
    np.testing.assert_array_equal(read_image(saved(data)), scaled(DEEP))


@pytest.mark.parametrize("make", [lambda a: deep_png(a, 0), tiff, lambda a: tiff(a, byteorder=">")])
def test_16_bit_grey_is_scaled_and_not_clipped(saved, make):
    grey = np.linspace(0, 64773, 2400).astype(np.uint16).reshape(40, 60)
    image = read_image(saved(make(grey)))
    np.testing.assert_array_equal(image, np.stack([scaled(grey)] * 3, axis=-1))
    assert image.max() == 252


def test_16_bit_alpha_may_be_opaque(saved):
    deep = np.dstack([DEEP, np.full(DEEP.shape[:2], 65535, np.uint16)])
    np.testing.assert_array_equal(read_image(saved(deep_png(deep, 6))), scaled(DEEP))
    data = tiff(deep, photometric="rgb", extrasamples=["unassalpha"])
    np.testing.assert_array_equal(read_image(saved(data)), scaled(DEEP))


def test_a_page_of_16_bit_colour_is_exact(saved):
    pages = np.stack([DEEP, DEEP[::-1], DEEP[:, ::-1]])
    path = saved(tiff(pages, photometric="rgb"))
    for number, deep in enumerate(pages):
        np.testing.assert_array_equal(read_image(path, page=number), scaled(deep))


def test_float_in_the_unit_range_is_scaled_and_rounded(saved):
    values = np.linspace(0, 1, 2400, dtype=np.float32).reshape(40, 60)
    image = read_image(saved(tiff(values)))
    np.testing.assert_array_equal(image[..., 0], np.rint(values * 255))


@pytest.mark.parametrize(
    ("value", "found"),
    [(np.nan, "NaN or infinity"), (np.inf, "NaN or infinity"), (300, "300"), (-0.5, "-0.5")],
)
def test_float_outside_the_unit_range_is_refused(saved, value, found):
    values = np.zeros((40, 60), np.float32)
    values[3, 4] = value
    with pytest.raises(ImageReadError, match=f"holds .*{found}.*accepted is float in"):
        read_image(saved(tiff(values)))


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (tiff(GREY.astype(np.int8)), "signed samples"),
        (tiff(GREY.astype(np.int16)), "signed samples"),
        (tiff(GREY.astype(np.uint32)), "32-bit integer"),
        (tiff(GREY.astype(np.uint16), photometric="miniswhite"), "0 is white"),
        (tiff(DEEP.astype(np.float32), photometric="rgb"), "unknown pixel mode"),
        (
            tiff(DEEP.transpose(2, 0, 1).copy(), photometric="rgb", planarconfig="separate"),
            "16-bit colour in a rare layout",
        ),
        (
            tiff(
                DEEP.transpose(2, 0, 1).copy(),
                photometric="rgb",
                planarconfig="separate",
                compression="zlib",
            ),
            "16-bit colour in a rare layout",
        ),
        (deep_png(np.dstack([DEEP[..., 0]] * 2), 4), "16-bit colour in a rare layout"),
        (deep_png(DEEP, 2, (b"tRNS", bytes(6))), "transparent colour at a depth"),
    ],
)
def test_samples_that_pillow_would_change_are_refused(saved, data, found):
    with pytest.raises(ImageReadError, match=f"{found}.*save it"):
        read_image(saved(data))


# --- Colour ---------------------------------------------------------------------------------------


def test_grey_is_replicated(saved):
    expected = np.stack([GREY] * 3, axis=-1)
    for kind in ("PNG", "BMP", "TIFF"):
        np.testing.assert_array_equal(read_image(saved(encode(GREY, kind))), expected)
    opaque = Image.fromarray(np.dstack([GREY, np.full_like(GREY, 255)]))
    np.testing.assert_array_equal(read_image(saved(encode(opaque, "PNG"))), expected)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_one_bit_is_black_and_white(saved, kind):
    bits = GREY > 100
    image = read_image(saved(encode(Image.fromarray(bits), kind)))
    np.testing.assert_array_equal(image, np.stack([bits * 255] * 3, axis=-1))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_a_palette_is_looked_up(saved, kind):
    table = np.random.default_rng(3).integers(0, 256, (256, 3), np.uint8)
    indices = Image.fromarray(GREY)
    indices.putpalette(table.tobytes())
    np.testing.assert_array_equal(read_image(saved(encode(indices, kind))), table[GREY])


def test_cmyk_is_converted(saved):
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[..., 1:3] = 255  # magenta and yellow make red
    image = Image.fromarray(ink, "CMYK")
    assert read_image(saved(encode(image, "TIFF")))[8, 8].tolist() == [255, 0, 0]
    assert np.abs(read_image(saved(encode(image, "JPEG")))[8, 8] - [255.0, 0, 0]).max() < 4


def transparent_files() -> dict[str, bytes]:
    clear = np.dstack([RGB, np.zeros(RGB.shape[:2], np.uint8)])
    palette = Image.fromarray(GREY)
    palette.putpalette(bytes(range(256)) * 3)
    key = tuple(int(v) for v in RGB[5, 5])
    return {
        "rgba png": encode(clear, "PNG"),
        "rgba tiff": encode(clear, "TIFF"),
        "rgba webp": encode(clear, "WEBP", lossless=True),
        "la png": encode(np.dstack([GREY, GREY]), "PNG"),
        "palette": encode(palette, "PNG", transparency=bytes([0] * 128 + [255] * 128)),
        "palette entry": encode(palette, "PNG", transparency=int(GREY[0, 0])),
        "rgb key": encode(RGB, "PNG", transparency=key),
        "grey key": encode(GREY, "PNG", transparency=int(GREY[0, 0])),
        "deep": deep_png(np.dstack([DEEP, DEEP[..., :1]]), 6),
    }


@pytest.mark.parametrize("name", transparent_files())
def test_transparency_needs_a_background(saved, name):
    path = saved(transparent_files()[name])
    with pytest.raises(ImageReadError, match=r"transparent pixels; .*background="):
        read_image(path)
    assert read_image(path, background=(10, 20, 30)).shape == (40, 60, 3)


def test_a_background_shows_through_by_as_much_as_alpha_says(saved):
    layered = np.array([[[200, 100, 50, 0], [200, 100, 50, 255], [200, 100, 50, 51]]], np.uint8)
    image = read_image(saved(encode(layered, "PNG")), background=(0, 50, 100))
    expected = [[0, 50, 100], [200, 100, 50], [40, 60, 90]]
    assert np.abs(image[0].astype(int) - expected).max() <= 1
    assert image[0, :2].tolist() == expected[:2]


def test_an_opaque_alpha_channel_is_dropped(saved):
    opaque = np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)])
    for kind in ("PNG", "TIFF"):
        np.testing.assert_array_equal(read_image(saved(encode(opaque, kind))), RGB)


def test_a_profile_other_than_srgb_is_warned_of_once_and_not_applied(saved):
    path = saved(encode(RGB, "PNG", icc_profile=b"a profile named Display P3"))
    with pytest.warns(SlidewinWarning, match="colour profile other than sRGB") as caught:
        image = read_image(path)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(image, RGB)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_an_srgb_profile_is_nothing_to_speak_of(saved, kind):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    read_image(saved(encode(RGB, kind, icc_profile=profile)))


# --- Pages ----------------------------------------------------------------------------------------

PAGES = [Image.fromarray(np.roll(RGB, shift, axis=0)) for shift in range(3)]


@pytest.mark.parametrize(
    ("kind", "options"), [("TIFF", {}), ("PNG", {}), ("WEBP", {"lossless": True})]
)
def test_of_several_pages_one_must_be_chosen(saved, kind, options):
    path = saved(encode(PAGES[0], kind, save_all=True, append_images=PAGES[1:], **options))
    with pytest.raises(ImageReadError, match="holds 3 pages or frames; pass page=0 to page=2"):
        read_image(path)
    for number, page in enumerate(PAGES):
        np.testing.assert_array_equal(read_image(path, page=number), np.asarray(page))
    with pytest.raises(ArgumentError, match="has pages 0 to 2, and page=3"):
        read_image(path, page=3)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_single_page_is_page_nought(saved, kind):
    path = saved(encode(RGB, kind))
    np.testing.assert_array_equal(read_image(path, page=0), read_image(path))
    with pytest.raises(ArgumentError, match="page=1"):
        read_image(path, page=1)


def test_what_a_phone_appends_to_its_jpeg_is_not_a_page(saved):
    photo = Image.fromarray(RGB)
    data = encode(photo, "MPO", save_all=True, append_images=[Image.fromarray(RGB[::2, ::2])])
    assert read_image(saved(data)).shape == (40, 60, 3)


def test_the_budget_holds_for_the_page_that_is_read(saved):
    with tifffile.TiffWriter(buffer := io.BytesIO()) as writer:
        writer.write(RGB[:10, :10], photometric="rgb")
        writer.write(RGB, photometric="rgb")
    path = saved(buffer.getvalue())
    assert read_image(path, page=0, max_pixels=100).shape == (10, 10, 3)
    with pytest.raises(ImageReadError, match="60 x 40 pixels, more than max_pixels=100"):
        read_image(path, page=1, max_pixels=100)


def test_the_preview_in_a_camera_file_is_not_the_photo(saved):
    data = tiff(RGB, photometric="rgb", subfiletype=1)
    with pytest.raises(ImageReadError, match="preview"):
        read_image(saved(data))
    np.testing.assert_array_equal(read_image(saved(data), page=0), RGB)


# --- What is no photo -----------------------------------------------------------------------------


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(ImageMissingError, match=r"absent\.jpg: no such file.*check") as caught:
        read_image(tmp_path / "absent.jpg")
    assert isinstance(caught.value, FileNotFoundError)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "an empty file"),
        (b"This is a note about a photo.", "text"),
        (encode(Image.fromarray(GREY), "GIF"), "a GIF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC/HEIF.*pillow-heif"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "a HEIC/HEIF.*pillow-heif"),
        (b"%PDF-1.7", "a PDF"),
        (b"\x93NUMPY\x01\0v\0", "of no known type, beginning with b'.*NUMPY"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "of no known type"),
    ],
)
def test_other_files_are_refused_by_name(saved, data, found):
    path = saved(data, "photo.png")
    accepted = "accepted are JPEG, PNG, WebP, BMP and TIFF"
    with pytest.raises(ImageReadError, match=rf"photo\.png: is {found}") as caught:
        read_image(path)
    assert accepted in str(caught.value)


def test_a_directory_is_refused(tmp_path):
    with pytest.raises(ImageReadError, match="is a directory; pass the path of one image file"):
        read_image(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ImageReadError, match="is a device or pipe"):
        read_image(tmp_path / "pipe")


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "file.png/inside.png"])
def test_a_path_that_cannot_be_is_refused(tmp_path, name):
    (tmp_path / "file.png").write_bytes(b"")
    with pytest.raises(ImageReadError):
        read_image(str(tmp_path / name))


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="rights are kept otherwise here")
def test_a_file_without_the_right_to_read_it_is_said_to_be_so(saved):
    path = saved(encode(RGB, "PNG"))
    path.chmod(0)
    script = (
        "import os, sys\n"
        "from slidewin.image import read_image\n"
        "if os.getuid() == 0: os.setuid(65534)\n"  # the superuser may read anything
        "read_image(sys.argv[1])\n"
    )
    done = run(script, path)
    assert "ImageReadError" in done.stderr
    assert "cannot be opened (Permission denied)" in done.stderr


def test_too_little_memory_is_said_in_words(saved, monkeypatch):
    def exhausted(*size: object) -> None:
        raise MemoryError

    monkeypatch.setattr(np, "empty", exhausted)
    with pytest.raises(ImageReadError, match=r"cannot be decoded .*\(MemoryError\)"):
        read_image(saved(encode(RGB, "PNG")))


@pytest.mark.parametrize("source", [None, 3, b"photo.png", RGB, io.BytesIO()])
def test_only_a_path_is_read(source):
    with pytest.raises(ArgumentTypeError, match="source is of type"):
        read_image(source)


@pytest.mark.parametrize(
    "options",
    [
        {"max_pixels": 0},
        {"max_pixels": 1e6},
        {"page": -1},
        {"page": "first"},
        {"background": (255, 255)},
        {"background": (0, 0, 256)},
        {"background": (0.0, 0.0, 0.0)},
        {"background": "white"},
        {"background": (0, (0, 0), 0)},
    ],
)
def test_options_out_of_range_are_named(saved, options):
    with pytest.raises(ArgumentError, match=f"{next(iter(options))} is .*; wanted is"):
        read_image(saved(encode(RGB, "PNG")), **options)


# --- Damage ---------------------------------------------------------------------------------------


def zoo() -> dict[str, bytes]:
    small = np.asarray(Image.fromarray(RGB).resize((12, 8)))
    deep = DEEP[:8, :12]
    indices = Image.fromarray(small).quantize(16)
    return {
        "jpeg": encode(small, "JPEG", exif=exif(6)),
        "progressive": encode(small, "JPEG", progressive=True),
        "cmyk": encode(Image.fromarray(small).convert("CMYK"), "JPEG"),
        "png": encode(small, "PNG", exif=exif(3)),
        "deep png": deep_png(deep, 2),
        "palette png": encode(indices, "PNG", transparency=3),
        "animated png": encode(
            PAGES[0].crop((0, 0, 9, 9)),
            "PNG",
            save_all=True,
            append_images=[PAGES[1].crop((0, 0, 9, 9))],
        ),
        "webp": encode(small, "WEBP"),
        "lossless webp": encode(small, "WEBP", lossless=True, exif=exif(8)),
        "bmp": encode(small, "BMP"),
        "palette bmp": encode(indices, "BMP"),
        "tiff": encode(small, "TIFF", exif=exif(5)),
        "lzw tiff": encode(small, "TIFF", compression="tiff_lzw"),
        "jpeg tiff": encode(small, "TIFF", compression="jpeg"),
        "deep tiff": tiff(deep, photometric="rgb"),
        "tiled tiff": tiff(small, photometric="rgb", tile=(16, 16)),
        "planar tiff": tiff(small.transpose(2, 0, 1).copy(), photometric="rgb", planarconfig=2),
        "float tiff": tiff((small[..., 0] / 255).astype(np.float32)),
    }


ZOO = zoo()


@pytest.mark.parametrize("name", [name for name in ZOO if name != "animated png"])
def test_a_file_cut_short_is_refused_or_unharmed(saved, name):
    data = ZOO[name]
    path = saved(data)
    options = {"background": (0, 0, 0)}
    whole = read_image(path, **options)
    refused = 0
    lengths = sorted({*range(0, len(data), 7), *range(max(0, len(data) - 30), len(data))})
    for length in lengths:
        path.write_bytes(data[:length])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                image = read_image(path, **options)
        except ImageReadError:
            refused += 1
        else:  # what is missing is not pixels
            np.testing.assert_array_equal(image, whole)
    assert refused > len(lengths) / 2


@pytest.mark.parametrize("kind", FORMATS)
def test_half_a_photo_is_refused(saved, kind):
    data = encode(np.asarray(Image.fromarray(RGB).resize((800, 800))), kind)
    with pytest.raises(ImageReadError, match=r"copy it again|save it anew"):
        read_image(saved(data[: len(data) // 2]))


def test_a_png_with_fewer_rows_than_it_says_is_refused(saved):
    data = b"".join(b"\0" + row.tobytes() for row in RGB)
    for height in (39, 40):
        image = read_image(saved(png((60, height), 8, 2, data)))
        np.testing.assert_array_equal(image, RGB[:height])
    with pytest.raises(ImageReadError, match="fewer pixels than its header says"):
        read_image(saved(png((60, 41), 8, 2, data)))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (5, 5), (8, 8), (9, 1), (40, 60)])
def test_an_interlaced_png_is_read_if_it_is_whole(saved, size):
    expected = RGB[: size[0], : size[1]]
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2)]
    rows = [
        b"\0" + row.tobytes()
        for top, left, down, across in [*passes, (1, 0, 2, 1)]
        for row in expected[top::down, left::across]
        if row.size
    ]
    whole = png(size[::-1], 8, 2, b"".join(rows), interlaced=True)
    np.testing.assert_array_equal(read_image(saved(whole)), expected)
    short = png(size[::-1], 8, 2, b"".join(rows[:-1]), interlaced=True)
    with pytest.raises(ImageReadError, match="fewer pixels than its header says"):
        read_image(saved(short))


def test_a_tiff_with_strips_for_a_part_of_it_is_refused(saved):
    data = bytearray(tiff(RGB, photometric="rgb", rowsperstrip=10))
    at = data.index(struct.pack("<HHI", 273, 4, 4))  # StripOffsets
    struct.pack_into("<I", data, at + 4, 3)
    with pytest.raises(ImageReadError, match="data for a part of its pixels"):
        read_image(saved(bytes(data)))


@pytest.mark.parametrize("kind", FORMATS)
def test_a_process_that_accepts_half_files_does_not_get_them_here(saved, monkeypatch, kind):
    path = saved(encode(RGB, kind))
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(ImageReadError, match="LOAD_TRUNCATED_IMAGES"):
        read_image(path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ZOO)
def test_whatever_the_bytes_only_our_errors_come_out(saved, name):
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    path = saved(b"")
    outcomes = set()
    for _ in range(60):
        data = bytearray(ZOO[name])
        for at in rng.integers(len(data), size=rng.integers(1, 4)):
            data[at] = rng.integers(256)
        path.write_bytes(data)
        try:
            image = read_image(path, max_pixels=10**6, background=(0, 0, 0), page=0)
        except SlidewinError as error:
            assert str(path) in str(error)  # noqa: PT017
            outcomes.add("refused")
        else:
            assert image.dtype == np.uint8
            outcomes.add("read")
    assert outcomes == {"refused", "read"}


# --- Size -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
def test_the_budget_is_checked_and_the_number_to_pass_is_said(saved, kind):
    path = saved(encode(RGB, kind))
    assert read_image(path, max_pixels=2400).shape == (40, 60, 3)
    with pytest.raises(ImageReadError, match=r"60 x 40 pixels.*max_pixels=2399;.*max_pixels=2400"):
        read_image(path, max_pixels=2399)


@pytest.mark.parametrize("kind", FORMATS)
def test_the_budget_is_ours_and_not_pillows(saved, monkeypatch, kind):
    path = saved(encode(RGB, kind))
    monkeypatch.setattr("slidewin.image.arrays._BAND", 4 * 60 * 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1500)  # Pillow warns from here on
    assert read_image(path).shape == (40, 60, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)  # and refuses from twice as much on
    if kind != "WEBP":  # which Pillow, from 13 on, refuses by itself: 179 million pixels by default
        assert read_image(path).shape == (40, 60, 3)


def bombs() -> dict[str, bytes]:
    jpeg = bytearray(encode(RGB, "JPEG"))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 65500, 65500)
    bmp = bytearray(encode(RGB, "BMP"))
    bmp[18:26] = struct.pack("<ii", 200_000, 200_000)
    strip = {"photometric": "rgb", "rowsperstrip": 200_000}
    flat = bytearray(tiff(RGB, **strip))
    packed = bytearray(tiff(RGB, compression="zlib", **strip))
    for data in (flat, packed):
        for tag, old in ((256, 60), (257, 40)):
            start = data.index(struct.pack("<HHI", tag, 4, 1) + struct.pack("<I", old))
            struct.pack_into("<I", data, start + 8, 200_000)
    canvas = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff\xff\0" * 2
    return {
        "png": png((40_000, 40_000), 8, 2, bytes(1000)),
        "real png": png((12_000, 12_000), 1, 0, bytes(12_000 * 1501)),
        "tiff": bytes(flat),
        "zlib tiff": bytes(packed),
        "jpeg": bytes(jpeg),
        "bmp": bytes(bmp),
        "webp": b"RIFF" + struct.pack("<I", 4 + len(canvas)) + b"WEBP" + canvas,
    }


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited by RLIMIT_AS")
def test_bombs_go_off_in_no_memory(tmp_path):
    for name, data in bombs().items():
        (tmp_path / name).write_bytes(data)
    script = """
import pathlib, resource, sys
from slidewin.errors import ImageReadError
from slidewin.image import read_image
used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 200_000_000,) * 2)
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    try:
        read_image(path, max_pixels=100_000_000)
    except ImageReadError as error:
        print(path.name, "max_pixels=" in str(error), sep=": ")
"""
    done = run(script, tmp_path)
    assert done.stdout.splitlines() == [f"{name}: True" for name in sorted(bombs())]


# --- No side effects ------------------------------------------------------------------------------


def test_pillow_is_left_as_it_was(saved):
    def settings() -> tuple[object, ...]:
        return Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, warnings.filters[:]

    before = settings()
    for data in [*ZOO.values(), b"", b"text"]:
        with contextlib.suppress(SlidewinError):
            read_image(saved(data))
    assert settings() == before


# --- Arrays ---------------------------------------------------------------------------------------


def layouts(tmp_path: Path) -> dict[str, NDArray[np.uint8]]:
    frozen = RGB.copy()
    frozen.flags.writeable = False
    np.save(tmp_path / "rgb.npy", RGB)
    return {
        "plain": RGB.copy(),
        "Fortran": np.asfortranarray(RGB),
        "read-only": frozen,
        "mirrored": RGB[:, ::-1],
        "memory-mapped": np.load(tmp_path / "rgb.npy", mmap_mode="r"),
    }


@pytest.mark.parametrize("name", ["plain", "Fortran", "read-only", "mirrored", "memory-mapped"])
def test_uint8_of_any_layout_is_taken_as_it_is(tmp_path, name):
    image = layouts(tmp_path)[name]
    assert check_image(image) is image


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_in_the_unit_range_is_the_same_image(dtype):
    given_ = np.asfortranarray((RGB / 255).astype(dtype))
    given_.flags.writeable = False
    np.testing.assert_array_equal(check_image(given_), RGB)


def test_uint16_is_scaled_by_its_range():
    np.testing.assert_array_equal(check_image(DEEP), scaled(DEEP))


@pytest.mark.parametrize(
    ("shape", "advice"),
    [
        ((3, 40, 60), r"\.transpose\(1, 2, 0\)"),
        ((1, 40, 60, 3), "one image of the batch"),
        ((40, 60), "numpy.stack"),
        ((40, 60, 1), "numpy.repeat"),
        ((40, 60, 4), "alpha"),
        ((40, 60, 5), "no image"),
        ((60,), "no image"),
        ((), "no image"),
        ((0, 60, 3), "empty"),
        ((40, 0, 3), "empty"),
    ],
)
def test_another_shape_is_refused_with_advice(shape, advice):
    with pytest.raises(ArgumentError, match=advice) as caught:
        check_image(np.zeros(shape, np.uint8), "scan")
    found = f"scan has shape {shape} and dtype uint8; wanted is shape (H, W, 3) and dtype uint8"
    assert str(caught.value).startswith(found)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.uint32, object, complex, "S1"])
def test_another_dtype_is_refused_with_advice(dtype):
    with pytest.raises(ArgumentTypeError, match=f"dtype {np.dtype(dtype)}; .*astype"):
        check_image(np.zeros((4, 4, 3), dtype))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.01, 1.01, 255.0])
def test_float_outside_the_unit_range_is_refused_as_an_array(value):
    image = np.zeros((40, 60, 3), np.float32)
    image[30, 50, 2] = value
    with pytest.raises(ArgumentError, match=r"it holds .*astype\(numpy\.uint8\)"):
        check_image(image)


@pytest.mark.parametrize("image", [None, "photo.jpg", [[[0, 0, 0]]], Image.fromarray(RGB)])
def test_what_is_no_array_is_refused(image):
    with pytest.raises(ArgumentTypeError, match=r"photo is of type .*slidewin\.read_image"):
        check_image(image)


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_a_hash_tells_images_apart_and_layouts_not(image):
    digest = hash_pixels(image)
    assert hash_pixels(np.asfortranarray(image)) == digest
    assert hash_pixels(image[::-1][::-1]) == digest
    changed = image.copy()
    changed[-1, -1, -1] ^= 1
    assert hash_pixels(changed) != digest
    assert hash_pixels(image.astype(np.uint16)) != digest
    assert hash_pixels(image.reshape(1, -1, 3)) == digest or image.shape[0] > 1


def test_a_hash_does_not_depend_on_its_bands(monkeypatch, tmp_path):
    digest = hash_pixels(RGB)
    monkeypatch.setattr("slidewin.image.arrays._BAND", 500)
    assert {hash_pixels(image) for image in layouts(tmp_path).values()} == {
        digest,
        hash_pixels(RGB[:, ::-1].copy()),
    }
    expected = hashlib.sha256(b"(40, 60, 3) |u1" + RGB.tobytes()).hexdigest()
    assert digest == expected
