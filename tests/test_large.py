"""Photos and maps larger than memory; here they are small, and memory is counted."""

import gc
import io
import json
import os
import pickle
import subprocess
import sys
import tracemalloc
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

import slidewin
from slidewin.errors import (
    ArgumentError,
    ArgumentTypeError,
    ImageMissingError,
    ImageReadError,
    MissingPackageError,
    OutputError,
    OutputExistsError,
    SlidewinWarning,
)
from slidewin.heatmap import HeatLayer, HeatMap
from slidewin.image import check_source, open_image
from slidewin.image import large as reading
from slidewin.report import large as writing
from slidewin.report import write_heatmap

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (150, 210, 3), np.uint8)


def as_tiff(path, photo=PHOTO, **options):
    tifffile.imwrite(path, photo, photometric="rgb", **options)
    return path


def as_pages(path, *, subifds=False):
    """The photo and two smaller copies, in pages of their own or in SubIFDs."""
    with tifffile.TiffWriter(path) as tiff:
        options = {"photometric": "rgb", "tile": (32, 32), "compression": "zlib"}
        tiff.write(PHOTO, subifds=2 if subifds else None, **options)
        for step in (2, 4):
            tiff.write(PHOTO[::step, ::step], subfiletype=1, **options)
    return path


def as_zarr(path, photo=PHOTO, chunks=(32, 48, 3), **options):
    array = zarr.create_array(path, shape=photo.shape, dtype=photo.dtype, chunks=chunks, **options)
    array[:] = photo
    return path


def as_zip(path):
    with zarr.storage.ZipStore(path, mode="w") as store:
        as_zarr(store)
    return path


def as_group(path, attributes, names=("0", "1")):
    group = zarr.create_group(path, attributes=attributes)
    for step, name in zip((1, 2), names, strict=True):
        level = PHOTO[::step, ::step]
        group.create_array(name, shape=level.shape, dtype="uint8", chunks=(64, 64, 3))[:] = level
    return path


def multiscale(*names):
    return [{"datasets": [{"path": name} for name in names]}]


SOURCES = {
    "tiles": lambda p: as_tiff(p, tile=(32, 64), compression="zlib"),
    "tiles as they are": lambda p: as_tiff(p, tile=(32, 64)),
    "tiles larger than the photo": lambda p: as_tiff(p, tile=(256, 256), compression="zlib"),
    "strips": lambda p: as_tiff(p, rowsperstrip=7, compression="zlib"),
    "strips as they are": lambda p: as_tiff(p, rowsperstrip=1),
    "one strip": lambda p: as_tiff(p),
    "one strip, deflated": lambda p: as_tiff(p, rowsperstrip=150, compression="zlib"),
    "predicted": lambda p: as_tiff(p, tile=(32, 32), compression="zlib", predictor=True),
    "bigtiff": lambda p: as_tiff(p, tile=(32, 64), compression="zlib", bigtiff=True),
    "big-endian": lambda p: as_tiff(p, byteorder=">", tile=(32, 64), compression="zlib"),
    "ome": lambda p: as_tiff(p, ome=True, metadata={"axes": "YXS"}, tile=(32, 64)),
    "pages": as_pages,
    "subifds": lambda p: as_pages(p, subifds=True),
    "zarr": as_zarr,
    "zarr 2": lambda p: as_zarr(p, zarr_format=2),
    "sharded": lambda p: as_zarr(p, chunks=(16, 16, 3), shards=(64, 64, 3)),
    "channels apart": lambda p: as_zarr(p, chunks=(50, 50, 1)),
    "wide chunks": lambda p: as_zarr(p, chunks=(20, 4096, 3)),
    "tall chunks": lambda p: as_zarr(p, chunks=(1000, 8, 3)),
    "one row a chunk": lambda p: as_zarr(p, chunks=(1, 210, 3)),
    "zip": as_zip,
    "ome-zarr 0.5": lambda p: as_group(p, {"ome": {"multiscales": multiscale("0", "1")}}),
    "ome-zarr 0.4": lambda p: as_group(p, {"multiscales": multiscale("a/b", "1")}, ("a/b", "1")),
    "one array in a group": lambda p: as_zarr(zarr.create_group(p).store_path / "x").store.root,
}


@pytest.fixture(params=SOURCES)
def stored(request, tmp_path):
    return SOURCES[request.param](tmp_path / "photo")


def test_a_photo_is_the_same_however_it_is_stored(stored):
    with open_image(stored) as photo:
        assert (photo.shape, photo.dtype) == (PHOTO.shape, PHOTO.dtype)
        assert isinstance(photo.chunks, tuple)
        assert len(photo.chunks) == 3
        assert all(type(n) is int for n in photo.chunks)
        assert check_source(photo) is photo
        for key in (
            slice(None),
            slice(31, 33),
            slice(140, 999),
            slice(5, 5),
            -1,
            (slice(10, 90, 3), slice(60, 70)),
            (149, 209),
            (..., 1),
        ):
            part = photo[key]
            np.testing.assert_array_equal(part, PHOTO[key])
            assert type(part) is np.ndarray
        photo[:2][:] = 0  # what was read is the caller's
        np.testing.assert_array_equal(np.asarray(photo), PHOTO)
        with pytest.raises(IndexError):
            photo[150]


def test_a_sweep_over_a_file_is_the_sweep_over_the_array(stored, dark):
    sweep = slidewin.SlidingWindow(dark, lesion_size=(8, 30), verbose=0)
    with open_image(stored) as photo:
        found = sweep.localize(photo)
    wanted = sweep.localize(PHOTO)
    assert len(found.layers) > 1
    for one, other in zip(found.layers, wanted.layers, strict=True):
        np.testing.assert_array_equal(one.values, other.values)


def test_rows_are_read_as_they_are_needed(tmp_path, dark, monkeypatch):
    photo = open_image(as_zarr(tmp_path / "a"))
    read = []
    monkeypatch.setattr(
        type(photo), "__getitem__", lambda self, key: read.append(key) or PHOTO[key]
    )
    monkeypatch.setattr("slidewin.pyramid._READ", 10_000)
    slidewin.SlidingWindow(dark, lesion_size=8, verbose=0).localize(photo)
    rows = [key.indices(150)[:2] for key in read]
    assert rows[0][0] == 0
    assert rows[-1][1] == 150
    assert all(one[1] == other[0] for one, other in pairwise(rows))
    assert max(bottom - top for top, bottom in rows) < 150


def test_reading_rows_takes_memory_for_these_alone(tmp_path):
    large = np.zeros((8000, 1000, 3), np.uint8)
    paths = [
        as_tiff(tmp_path / "a", large, tile=(64, 64), compression="zlib"),
        as_tiff(tmp_path / "b", large),
    ]
    for path in paths:
        with open_image(path) as photo:
            tracemalloc.start()
            try:
                for top in range(0, 8000, 64):
                    assert not photo[top : top + 64].any()
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
        assert peak < large.nbytes / 8, path


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no list of open files")
def test_a_file_is_closed_when_asked_or_when_nothing_refers_to_it(stored):
    def is_open():
        gc.collect()
        descriptors = Path("/proc/self/fd").iterdir()
        return stored in [file.readlink() for file in descriptors if file.is_symlink()]

    photo = open_image(stored)
    photo[:1]
    photo.close()
    photo.close()
    assert not is_open()
    with pytest.raises(ImageReadError, match=r"photo: was closed; open it again"):
        photo[:1]
    photo = open_image(stored)
    photo[:1]
    del photo
    assert not is_open()


def test_an_array_of_it_is_a_copy(tmp_path):
    photo = open_image(as_zarr(tmp_path / "photo.zarr"))
    assert np.asarray(photo, np.float32).dtype == np.float32
    assert repr(photo) == "StoredImage(photo.zarr, 150 x 210 px)"
    with pytest.raises(ValueError, match="which is a copy"):
        np.asarray(photo, copy=False)


def with_tag(path, code, value, **options):
    """A TIFF one of whose tags was changed."""
    as_tiff(path, **options)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages[0].tags[code].overwrite(value)
    return path


def cut(path, share=0.5):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def with_mask_page(path):
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(PHOTO, photometric="rgb")
        tiff.write(np.ones(PHOTO.shape[:2], bool), subfiletype=4, photometric="mask")
    return path


def with_a_lost_tile(path):
    tiles = [PHOTO[:64, :64], None, *[PHOTO[:64, :64]] * 4]
    tifffile.imwrite(
        path, iter(tiles), shape=(128, 192, 3), dtype=np.uint8, tile=(64, 64), photometric="rgb"
    )
    return path


def written(path, data):
    path.write_bytes(data)
    return path


def png(path):
    buffer = io.BytesIO()
    Image.fromarray(PHOTO).save(buffer, "PNG")
    return written(path, buffer.getvalue())


def folder(path):
    path.mkdir()
    return path


REFUSED = {
    "uint16": (
        lambda p: as_tiff(p, PHOTO.astype(np.uint16)),
        r"uint16 samples of 16 bits; accepted is one upright photo, RGB",
    ),
    "signed": (lambda p: as_tiff(p, PHOTO.astype(np.int8)), "int8 samples of 8 bits"),
    "4 bits": (lambda p: with_tag(p, 258, (4, 4, 4)), "samples of 4 bits"),
    "float": (lambda p: as_tiff(p, PHOTO.astype(np.float32)), "samples of 32 bits"),
    "grey": (lambda p: tifffile.imwrite(p, PHOTO[..., 0]) or p, "MINISBLACK samples"),
    "alpha": (
        lambda p: as_tiff(p, np.dstack([PHOTO, PHOTO[..., 0]])),
        r"shape \(150, 210, 4\) and dtype uint8; accepted is .* slidewin\.read_image",
    ),
    "planes": (
        lambda p: as_tiff(p, PHOTO.transpose(2, 0, 1), planarconfig="separate"),
        "colours in planes",
    ),
    "planes, three wide": (
        lambda p: as_tiff(p, PHOTO.transpose(2, 0, 1)[..., :3], planarconfig="separate"),
        "colours in planes",
    ),
    "palette": (
        lambda p: Image.fromarray(PHOTO).quantize().save(p, "TIFF") or p,
        "PALETTE samples",
    ),
    "ycbcr": (lambda p: with_tag(p, 262, 6), "YCBCR samples"),
    "turned": (
        lambda p: as_tiff(p, extratags=[(274, "H", 1, 6, True)]),
        "turned or mirrored, of EXIF orientation 6",
    ),
    "pages": (lambda p: as_tiff(p, np.stack([PHOTO] * 3)), "3 pages, which are no smaller copies"),
    "smaller photos": (
        lambda p: (as_tiff(p), as_tiff(p, PHOTO[::2, ::2], append=True))[0],
        "2 pages",
    ),
    "mask": (with_mask_page, "2 pages"),
    "preview": (lambda p: as_tiff(p, subfiletype=1), "a preview"),
    "lost tile": (with_a_lost_tile, "data for a part of its pixels"),
    "short strip": (lambda p: with_tag(p, 279, 99), "data for a part of its pixels"),
    "cut": (lambda p: cut(as_tiff(p)), r"is cut short: .*; copy it again"),
    "tiles cut": (
        lambda p: cut(as_tiff(p, tile=(32, 32), compression="zlib")),
        r"is cut short: .*; copy it again",
    ),
    "header cut": (lambda p: cut(as_tiff(p), 0.001), "cannot be opened as one whole photo"),
    "bad tile": (
        lambda p: written(p, as_tiff(p, compression="zlib").read_bytes()[:400] + bytes(10**5)),
        r"cannot be opened as one whole photo \(.*\); it is damaged",
    ),
    "png": (png, r"is no TIFF and no zarr, told by content; .* slidewin\.read_image"),
    "empty": (lambda p: written(p, b""), "begins with b''"),
    "other zip": (lambda p: written(p, b"PK\3\4" + bytes(99)), "cannot be opened"),
    "folder": (folder, r"is a folder without zarr\.json"),
    "zarr of uint16": (lambda p: as_zarr(p, PHOTO.astype(np.uint16)), "dtype uint16; accepted"),
    "zarr of planes": (
        lambda p: as_zarr(p, PHOTO.transpose(2, 0, 1)),
        r"shape \(3, 150, 210\) and dtype uint8; accepted is .* \(H, W, 3\)",
    ),
    "zarr of grey": (lambda p: as_zarr(p, PHOTO[..., 0], (9, 9)), r"shape \(150, 210\)"),
    "zarr of nothing": (lambda p: as_zarr(p, PHOTO[:0]), r"shape \(0, 210, 3\)"),
    "group": (
        lambda p: as_group(p, {}, ("left", "right")),
        r"is a group that holds left, right; accepted is one array, or a multiscale group",
    ),
    "empty group": (lambda p: [zarr.create_group(p), p][1], "holds nothing"),
    "level that is a group": (
        lambda p: as_group(p, {"multiscales": multiscale("a")}, ("a/b", "1")),
        "names a as its finest level, which is no array",
    ),
    "level that leads out": (
        lambda p: as_group(p, {"multiscales": multiscale("../other")}),
        "cannot be opened",
    ),
    "level that is not there": (
        lambda p: as_group(p, {"multiscales": multiscale("7")}),
        "cannot be opened",
    ),
    "metadata that are none": (
        lambda p: written(folder(p) / "zarr.json", b"no JSON").parent,
        "cannot be opened",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_photo_is_refused_in_words(case, tmp_path):
    make, words = REFUSED[case]
    path = make(tmp_path / "a.tif")
    with pytest.raises(ImageReadError, match=r"a\.tif: .*" + words):
        open_image(path)
    gc.collect()  # a file that stayed open would warn here


def test_a_missing_file_is_missed(tmp_path):
    with pytest.raises(ImageMissingError, match=r"none\.tif: no such file"):
        open_image(tmp_path / "none.tif")


@pytest.mark.parametrize("path", [None, 7, b"a.tif", PHOTO])
def test_a_path_is_wanted(path):
    with pytest.raises(ArgumentTypeError, match="path is of type"):
        open_image(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ImageReadError, match="is a device or pipe"):
        open_image(tmp_path / "pipe")


def test_damage_shows_when_it_is_read(tmp_path):
    path = as_tiff(tmp_path / "a.tif", tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        last = tiff.pages[0].dataoffsets[-1]
    data = bytearray(path.read_bytes())
    data[last : last + 50] = bytes(50)
    path.write_bytes(data)
    with open_image(path) as photo:
        np.testing.assert_array_equal(photo[:128], PHOTO[:128])
        with pytest.raises(ImageReadError, match=r"a\.tif: cannot be read at .*; it is damaged"):
            photo[128:]

    array = as_zarr(tmp_path / "a.zarr")
    (array / "c" / "4" / "4" / "0").write_bytes(b"damage")
    with open_image(array) as photo:
        np.testing.assert_array_equal(photo[:128], PHOTO[:128])
        with pytest.raises(ImageReadError, match=r"a\.zarr: cannot be read at"):
            photo[128:]


def test_damage_stops_a_sweep_in_words(tmp_path, dark):
    path = as_tiff(tmp_path / "a.tif")
    with open_image(path) as photo:
        cut(path)
        with pytest.raises(ImageReadError, match=r"a\.tif: cannot be read at"):
            slidewin.SlidingWindow(dark, lesion_size=8, verbose=0).localize(photo)


def test_chunks_too_large_to_hold_are_refused(tmp_path, monkeypatch):
    paths = [
        as_tiff(tmp_path / "a", rowsperstrip=150, compression="zlib"),
        as_zarr(tmp_path / "b", chunks=(150, 10, 3)),
        as_zarr(tmp_path / "c", PHOTO[:9, :9], chunks=(150, 210, 3)),
    ]
    monkeypatch.setattr(reading, "LARGEST_READ", PHOTO.nbytes)
    for path in paths:
        open_image(path).close()
    monkeypatch.setattr(reading, "LARGEST_READ", PHOTO.nbytes - 1)
    for path in paths:
        with pytest.raises(ImageReadError, match=r"stored in chunks .* of 150 x .* 512 x 512 px"):
            open_image(path)
    monkeypatch.setattr(reading, "_PIECE", 1000)
    open_image(as_tiff(tmp_path / "d")).close()  # as it is, it is read row by row
    monkeypatch.undo()
    zarr.create_array(tmp_path / "e", shape=(1, 9, 3), dtype="uint8", chunks=(60000, 60000, 3))
    with pytest.raises(ImageReadError, match=r"10\.8 GB would be read at a time"):
        open_image(tmp_path / "e")


def test_a_colour_profile_is_spoken_of(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    path = as_tiff(tmp_path / "a.tif", iccprofile=profile)
    with pytest.warns(SlidewinWarning, match=r"a\.tif: has a colour profile other than sRGB"):
        open_image(path).close()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    open_image(as_tiff(path, iccprofile=profile)).close()


def test_a_compression_that_needs_a_package_says_so(tmp_path):
    path = tmp_path / "a.tif"
    Image.fromarray(PHOTO).save(path, compression="tiff_lzw")
    if "imagecodecs" in sys.modules:
        np.testing.assert_array_equal(open_image(path), PHOTO)
    else:
        with pytest.raises(MissingPackageError, match=r"a\.tif: .* pip install imagecodecs"):
            open_image(path)


def test_jpeg_tiles_become_rgb(tmp_path):
    pytest.importorskip("imagecodecs")
    smooth = np.tile(np.arange(192)[:, None, None] // [1, 2, 3], (1, 64, 1))
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, smooth.astype(np.uint8), tile=(64, 64), compression="jpeg")
    with open_image(path) as photo:
        assert np.abs(photo[:].astype(int) - smooth).max() < 12


@pytest.mark.parametrize("package", ["tifffile", "zarr"])
def test_packages_that_are_missing_are_named(package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackageError, match=r"pip install 'slidewin\[large\]'"):
        open_image(tmp_path / "a.tif")
    suffix = {"tifffile": "tif", "zarr": "zarr"}[package]
    with pytest.raises(MissingPackageError, match=rf"{package}: pip install 'slidewin\[large\]'"):
        write_heatmap(heat_map(5, 5), tmp_path / f"a.{suffix}")
    assert not list(tmp_path.iterdir())


def test_importing_slidewin_leaves_both_packages_out():
    code = (
        "import sys, slidewin.image.large, slidewin.report.large;"
        "print([name for name in ('tifffile', 'zarr') if name in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert output.stdout.strip() == b"[]"


# --- maps ---


def heat_map(height, width, *, unit="probability", made_by=None):
    """A map with holes, and with a border that is not assessed."""
    m, n = 7, 9
    values = np.random.default_rng(1).random((m, n), dtype=np.float32)
    values[m // 2, n // 2] = np.nan
    rows, cols = (np.arange(k) + 0.5 for k in (m, n))
    layer = HeatLayer(values, rows * height / m, cols * width / n, reach=2.0)
    return HeatMap((height, width), [layer], method="<ä>", unit=unit, settings=made_by or {})


def coarser(pixels):
    """By the definition, one pixel at a time."""
    height, width = pixels.shape
    made = np.full(((height + 1) // 2, (width + 1) // 2), np.nan, np.float32)
    for row, col in np.ndindex(made.shape):
        four = pixels[2 * row : 2 * row + 2, 2 * col : 2 * col + 2].astype(float)
        if (~np.isnan(four)).any():
            made[row, col] = np.nanmean(four)
    return made


def levels_of(path):
    """The levels of a written map, as their formats' own readers find them."""
    if path.suffix == ".zarr":
        group = zarr.open_group(path, mode="r")
        (image,) = group.attrs["ome"]["multiscales"]
        return [group[dataset["path"]][:] for dataset in image["datasets"]]
    with tifffile.TiffFile(path) as tiff:
        (series,) = tiff.series
        return [level.asarray() for level in series.levels]


def ome(tiff):
    return ET.fromstring(tiff.ome_metadata)  # noqa: S314 - of our own making


def about(path):
    if path.suffix == ".zarr":
        return zarr.open_group(path, mode="r").attrs["slidewin"]
    with tifffile.TiffFile(path) as tiff:
        return json.loads(ome(tiff).find(".//{*}Image/{*}Description").text)


@pytest.fixture(params=[".tif", ".zarr"])
def target(request, tmp_path):
    return tmp_path / f"map{request.param}"


@pytest.mark.parametrize(
    "shape", [(1, 1), (40, 60), (512, 512), (600, 300), (1030, 70), (70, 1100)]
)
def test_a_map_is_written_as_it_is_rendered(shape, target):
    heat = heat_map(*shape)
    write_heatmap(heat, target)
    levels = levels_of(target)
    assert levels[0].dtype == np.float32
    np.testing.assert_array_equal(levels[0], heat.to_pixels())
    for finer, level in pairwise(levels):
        np.testing.assert_array_equal(level, coarser(finer))
    assert max(levels[-1].shape) <= 512
    assert all(max(level.shape) > 512 for level in levels[:-1])
    assert np.isnan(levels[0]).any() or shape == (1, 1)
    assert list(target.parent.iterdir()) == [target]


@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.lists(st.sampled_from([np.nan, 0.1, 0.7, -3.0]), min_size=81, max_size=81),
)
@settings(max_examples=100)
def test_a_coarser_pixel_is_the_mean_of_what_was_assessed(height, width, values):
    pixels = np.array(values, np.float32)[: height * width].reshape(height, width)
    halved = writing._halved(pixels)
    np.testing.assert_array_equal(halved, coarser(pixels))
    flat = np.where(np.isnan(pixels), np.nan, np.float32(0.1))
    halved = writing._halved(flat.astype(np.float32))
    assert set(halved[~np.isnan(halved)].tolist()) <= {float(np.float32(0.1))}


def test_a_map_says_what_made_it(target):
    made_by = {"stride": 0.5, "names": ["ä", "<&>"], "none": None}
    write_heatmap(heat_map(600, 20, unit="raw", made_by=made_by), target)
    assert about(target) == {
        "version": slidewin.__version__,
        "method": "<ä>",
        "unit": "raw",
        "not_assessed": "NaN",
        "settings": made_by,
    }


def test_a_tiff_is_laid_out_as_viewers_read_it(tmp_path):
    write_heatmap(heat_map(1100, 700), tmp_path / "a.TIFF")
    with tifffile.TiffFile(tmp_path / "a.TIFF") as tiff:
        assert tiff.is_ome
        assert not tiff.is_bigtiff
        (page,) = tiff.pages
        assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert page.predictor == 1
        assert page.tile == (256, 256)
        assert [level.is_reduced for level in page.pages] == [True, True]
        assert [level.shape for level in page.pages] == [(550, 350), (275, 175)]
        pixels = ome(tiff).find(".//{*}Pixels").attrib
        assert (pixels["Type"], pixels["SizeX"], pixels["SizeY"]) == ("float", "700", "1100")


def test_a_large_tiff_is_a_bigtiff(tmp_path, monkeypatch):
    heat = heat_map(600, 20)
    monkeypatch.setattr(writing, "_CLASSIC", 4 * (600 * 20 + 300 * 10))
    write_heatmap(heat, tmp_path / "a.tif")
    monkeypatch.setattr(writing, "_CLASSIC", 4 * (600 * 20 + 300 * 10) - 1)
    write_heatmap(heat, tmp_path / "b.tif")
    for name, is_big in (("a.tif", False), ("b.tif", True)):
        with tifffile.TiffFile(tmp_path / name) as tiff:
            assert tiff.is_bigtiff == is_big
        np.testing.assert_array_equal(levels_of(tmp_path / name)[0], heat.to_pixels())


def test_levels_of_a_zarr_lie_over_each_other(tmp_path):
    write_heatmap(heat_map(1100, 700), tmp_path / "a.zarr")
    group = zarr.open_group(tmp_path / "a.zarr", mode="r")
    (image,) = group.attrs["ome"]["multiscales"]
    assert [axis["name"] for axis in image["axes"]] == ["y", "x"]
    for index, dataset in enumerate(image["datasets"]):
        array = group[dataset["path"]]
        assert array.metadata.dimension_names == ("y", "x")
        assert np.isnan(array.fill_value)
        scale, shift = dataset["coordinateTransformations"]
        # The first pixel's centre is in the middle of the pixels of level 0 that it is made of.
        assert scale["scale"] == [2**index] * 2
        assert shift["translation"] == [np.arange(2**index).mean()] * 2


def test_the_same_map_makes_the_same_file(tmp_path):
    heat = heat_map(600, 300)
    write_heatmap(heat, tmp_path / "a.tif")
    write_heatmap(pickle.loads(pickle.dumps(heat)), tmp_path / "b.tif")
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_a_map_is_never_whole_in_memory(target, monkeypatch):
    heat = heat_map(6000, 500)
    asked = []
    render = HeatMap.to_pixels

    def counted(self, *, rows=None):
        asked.append(rows)
        return render(self, rows=rows)

    monkeypatch.setattr(HeatMap, "to_pixels", counted)
    write_heatmap(heat_map(5, 5), target.with_stem("first"))  # imports, and what they keep
    asked.clear()
    tracemalloc.start()
    try:
        write_heatmap(heat, target)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert asked[0][0] == 0
    assert asked[-1][1] == 6000
    assert all(one[1] == other[0] for one, other in pairwise(asked))
    assert max(bottom - top for top, bottom in asked) <= 512
    assert peak < 6000 * 500 * 4 / 2


def test_a_map_is_not_overwritten_unasked(target, monkeypatch):
    first, second = heat_map(40, 60), heat_map(30, 20)
    write_heatmap(first, target)
    with monkeypatch.context() as patch:
        patch.setattr(HeatMap, "to_pixels", None)  # refused before anything is rendered
        with pytest.raises(
            OutputExistsError, match=r"map\.\w+: is already there; .*overwrite=True"
        ):
            write_heatmap(second, target)
    np.testing.assert_array_equal(levels_of(target)[0], first.to_pixels())
    write_heatmap(second, target, overwrite=True)
    np.testing.assert_array_equal(levels_of(target)[0], second.to_pixels())
    write_heatmap(first, target.with_stem("new"), overwrite=True)
    assert sorted(target.parent.iterdir()) == sorted([target, target.with_stem("new")])


def test_a_name_that_is_taken_meanwhile_stays_anothers(target, monkeypatch):
    render = HeatMap.to_pixels

    def taken(self, **rows):
        if target.suffix == ".zarr":
            (target / "precious").mkdir(parents=True)
        else:
            target.write_text("precious")
        return render(self, **rows)

    monkeypatch.setattr(HeatMap, "to_pixels", taken)
    with pytest.raises(OutputExistsError):
        write_heatmap(heat_map(9, 9), target)
    assert list(target.parent.iterdir()) == [target]
    assert (target / "precious").is_dir() or target.read_text() == "precious"


def test_nothing_is_left_of_a_map_that_failed(target, monkeypatch):
    write_heatmap(heat_map(40, 60), target)
    render = HeatMap.to_pixels

    def full(self, *, rows):
        if rows[0]:
            raise OSError(28, "No space left on device")
        return render(self, rows=rows)

    monkeypatch.setattr(HeatMap, "to_pixels", full)
    with pytest.raises(OutputError, match=r"map\.\w+: cannot be written \(No space left"):
        write_heatmap(heat_map(1100, 60), target, overwrite=True)
    monkeypatch.undo()
    np.testing.assert_array_equal(levels_of(target)[0], heat_map(40, 60).to_pixels())
    assert list(target.parent.iterdir()) == [target]


def test_what_is_of_another_kind_is_not_replaced(target):
    precious = target / "precious"
    target.mkdir()
    precious.write_text("precious")
    with pytest.raises(OutputError, match=r"what is there is no (zarr|file), and is not replaced"):
        write_heatmap(heat_map(9, 9), target, overwrite=True)
    assert precious.read_text() == "precious"


def test_where_there_is_no_folder_nothing_is_written(tmp_path):
    with pytest.raises(OutputError, match=r"cannot be written \(No such file"):
        write_heatmap(heat_map(9, 9), tmp_path / "none" / "a.tif")


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((heat_map(9, 9), "a.png"), ArgumentError, r"ends in '\.png'; wanted is one of \.tif"),
        ((heat_map(9, 9), "a"), ArgumentError, "ends in ''"),
        ((heat_map(9, 9), None), ArgumentTypeError, "path is of type NoneType"),
        ((PHOTO, "a.tif"), ArgumentTypeError, "heatmap is of type ndarray"),
    ],
)
def test_other_arguments_are_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        write_heatmap(*arguments)
