"""Heat maps larger than memory: written strip by strip, with coarser levels to look at them by.

Each level is made from the one before it: four pixels become one, the mean of those of them that
were assessed. The rows of a level are made as those of the finer one pass::

    level 0   [ strip ][ strip ][ strip ]      512 rows at a time, rendered from the map's lattices
    level 1   [  ][  ][  ]                     256 rows of each, and so on
"""

import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np
import numpy.typing as npt

from slidewin import __version__
from slidewin.errors import (
    ArgumentError,
    ArgumentTypeError,
    MissingPackageError,
    OutputError,
    OutputExistsError,
    SlidewinError,
)
from slidewin.heatmap import HeatMap

__all__ = ["write_heatmap"]

Pixels = npt.NDArray[np.float32]
Rows = Callable[[int, int], Pixels]

_TILE = 256
# Rows at a time: half of them are whole tiles of the next level.
_STRIP = 2 * _TILE
# Levels go on until this many pixels span the longer side, or fewer.
_COARSEST = 512
# Bytes of pixels up to which a TIFF needs no offsets of 64 bits, whatever compression makes of it.
_CLASSIC = 1 << 31

_ZARR = ("zarr.json", ".zarray", ".zgroup")


def write_heatmap(
    heatmap: HeatMap, path: str | os.PathLike[str], *, overwrite: bool = False
) -> None:
    """Write the rendered heat map, and coarser levels of it, without ever holding all of it.

    Parameters
    ----------
    heatmap : HeatMap
        Its finest level is written as ``heatmap.to_pixels()`` renders it, bit for bit.
    path : str or os.PathLike
        Ends in ``.tif`` or ``.tiff`` (OME-TIFF: tiles of 256 px, deflate, levels as SubIFDs; a
        BigTIFF from 2 GB on) or in ``.zarr`` (OME-Zarr 0.5, a folder: chunks of 256 px, zstd, an
        array for each level). In a folder that exists, with room for it and, of a TIFF, for a
        third of its uncompressed size besides. Written whole or not at all.
    overwrite : bool, default False
        Whether a file, or for ``.zarr`` a zarr, that is already there is replaced.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If `heatmap` is none, or `path` is no path or has another suffix.
    OutputExistsError
        If `path` exists and `overwrite` is false. Nothing is rendered then.
    OutputError
        If it cannot be written, or what is there is of another kind.
    MissingPackageError
        If tifffile, for a TIFF, or zarr is not installed.

    Notes
    -----
    Pixels are float32 in the map's own unit; NaN is *not assessed*. A pixel of a coarser level is
    the mean of the assessed ones among four of the level before, and NaN only where none is.

    What made the map (method, unit, settings, version) is there as JSON: in the ``Description`` of
    a TIFF's OME-XML, and in a zarr's attributes under ``slidewin``.

    QuPath, and whatever else reads by Bio-Formats, finds the levels of the TIFF, and napari's
    plugins those of both; OpenSlide reads no floating-point pixels. Memory is a few strips of 512
    rows: about 250 MB for a photo 32 000 px wide.

    Examples
    --------
    >>> from slidewin.heatmap import HeatLayer
    >>> layer = HeatLayer([[0.0, 1.0]], rows=[300.0], cols=[200.0, 800.0])
    >>> heat = HeatMap((600, 1000), [layer], method="by hand", unit="probability")
    >>> import tifffile
    >>> with TemporaryDirectory() as folder:
    ...     write_heatmap(heat, Path(folder, "map.tif"))
    ...     with tifffile.TiffFile(Path(folder, "map.tif")) as tiff:
    ...         print([level.shape for level in tiff.series[0].levels])
    [(600, 1000), (300, 500)]
    """
    if not isinstance(heatmap, HeatMap):
        raise ArgumentTypeError(f"heatmap is of type {type(heatmap).__name__}; pass a HeatMap")
    if not isinstance(path, str | os.PathLike) or isinstance(os.fspath(path), bytes):
        raise ArgumentTypeError(
            f"path is of type {type(path).__name__}; wanted is a path, str or os.PathLike"
        )
    target = Path(path)
    writers = {".tif": _write_tiff, ".tiff": _write_tiff, ".zarr": _write_zarr}
    write = writers.get(target.suffix.lower())
    if write is None:
        raise ArgumentError(
            f"path ends in {target.suffix!r}; wanted is one of {', '.join(writers)}"
        )
    with _beside(target, overwrite=overwrite) as part:
        write(heatmap, part)


def _write_tiff(heatmap: HeatMap, part: Path) -> None:
    try:
        import tifffile
    except ImportError as error:
        raise _missing("tifffile") from error
    about = _about(heatmap)
    shapes = _shapes(heatmap.photo_shape)
    first: dict[str, Any] = {
        "subifds": len(shapes) - 1,
        "metadata": {
            "axes": "YX",
            "Name": "heat map",
            "Description": about,
            "Creator": f"slidewin {__version__}",
            "UUID": str(uuid5(NAMESPACE_URL, about)),  # the same map makes the same file
        },
    }
    large = 4 * sum(math.prod(shape) for shape in shapes) > _CLASSIC
    with tifffile.TiffWriter(part, bigtiff=large, ome=True) as tiff:
        for index, shape in enumerate(shapes):
            # A level is written whole before the next one: until then that lies in a file as it is.
            here, after = part.with_suffix(f".{index}"), part.with_suffix(f".{index + 1}")
            with ExitStack() as files:
                rows: Rows = partial(_rendered, heatmap)
                if index:
                    rows = partial(_next_rows, files.enter_context(here.open("rb")), shape[1])
                coarser = None
                if index + 1 < len(shapes):
                    coarser = files.enter_context(after.open("wb"))
                tiff.write(
                    _tiles(rows, shape, coarser),
                    shape=shape,
                    dtype=np.float32,
                    tile=(_TILE, _TILE),
                    photometric="minisblack",
                    compression="zlib",
                    software=f"slidewin {__version__}",
                    buffersize=4 * _STRIP * shape[1],  # what is given to threads at a time
                    **(first if index == 0 else {"subfiletype": 1}),
                )
            here.unlink(missing_ok=True)


def _tiles(rows: Rows, shape: tuple[int, int], coarser: IO[bytes] | None) -> Iterator[Pixels]:
    """Give a level's tiles, row by row, and append the coarser level's rows to a file."""
    for top, bottom in _strips(shape[0]):
        strip = rows(top, bottom)
        if coarser is not None:
            _halved(strip).tofile(coarser)
        for row, col in product(range(0, len(strip), _TILE), range(0, shape[1], _TILE)):
            yield strip[row : row + _TILE, col : col + _TILE]


def _write_zarr(heatmap: HeatMap, part: Path) -> None:
    try:
        import zarr
    except ImportError as error:
        raise _missing("zarr") from error
    shapes = _shapes(heatmap.photo_shape)
    axes = ("y", "x")
    image = {
        "name": "heat map",
        "type": "mean",
        "axes": [{"name": axis, "type": "space"} for axis in axes],
        "datasets": [
            {
                "path": str(index),
                "coordinateTransformations": [
                    {"type": "scale", "scale": [2.0**index] * 2},
                    # Its pixel centres are whole numbers: where those of a level lie in level 0.
                    {"type": "translation", "translation": [(2.0**index - 1) / 2] * 2},
                ],
            }
            for index in range(len(shapes))
        ],
    }
    attributes = {
        "ome": {"version": "0.5", "multiscales": [image]},
        "slidewin": json.loads(_about(heatmap)),
    }
    group = zarr.create_group(part, attributes=attributes)
    levels = [
        group.create_array(
            str(index),
            shape=shape,
            dtype=np.float32,
            chunks=(_TILE, _TILE),
            fill_value=np.nan,
            dimension_names=axes,
        )
        for index, shape in enumerate(shapes)
    ]
    for index, shape in enumerate(shapes):
        for top, bottom in _strips(shape[0]):
            if index == 0:
                strip = _rendered(heatmap, top, bottom)
                levels[0][top:bottom] = strip
            else:
                strip = np.asarray(levels[index][top:bottom])
            if index + 1 < len(levels):
                levels[index + 1][top // 2 : -(-bottom // 2)] = _halved(strip)


def _about(heatmap: HeatMap) -> str:
    """What made the map, as JSON."""
    return json.dumps(
        {
            "version": __version__,
            "method": heatmap.method,
            "unit": heatmap.unit,
            "not_assessed": "NaN",
            "settings": dict(heatmap.settings),
        }
    )


def _shapes(shape: tuple[int, int]) -> list[tuple[int, int]]:
    """Shapes of the levels, finest first.

    >>> _shapes((600, 2000))
    [(600, 2000), (300, 1000), (150, 500)]
    """
    shapes = [shape]
    while max(shape) > _COARSEST:
        shape = (-(-shape[0] // 2), -(-shape[1] // 2))
        shapes.append(shape)
    return shapes


def _strips(height: int) -> Iterator[tuple[int, int]]:
    for top in range(0, height, _STRIP):
        yield top, min(top + _STRIP, height)


def _rendered(heatmap: HeatMap, top: int, bottom: int) -> Pixels:
    return heatmap.to_pixels(rows=(top, bottom))


def _next_rows(file: IO[bytes], width: int, top: int, bottom: int) -> Pixels:
    pixels: Pixels = np.fromfile(file, np.float32, (bottom - top) * width)
    return pixels.reshape(-1, width)


def _halved(pixels: Pixels) -> Pixels:
    """Means of the numbers among four pixels: of two, or one, at the far border.

    >>> _halved(np.array([[1, 2, 7], [np.nan, 3, np.nan], [np.nan, np.nan, 5]], np.float32))
    array([[ 2.,  7.],
           [nan,  5.]], dtype=float32)
    """
    height, width = pixels.shape
    # In float64, so that equal numbers have exactly their mean.
    total = np.zeros((-(-height // 2), -(-width // 2)))
    count = np.zeros(total.shape, np.uint8)
    for down, across in product((0, 1), repeat=2):
        part = pixels[down::2, across::2]
        there = (slice(part.shape[0]), slice(part.shape[1]))
        seen = ~np.isnan(part)
        np.add(total[there], part, out=total[there], where=seen)
        count[there] += seen
    with np.errstate(invalid="ignore"):  # 0 / 0: none was assessed
        np.divide(total, count, out=total)
    return total.astype(np.float32)


def _missing(package: str) -> MissingPackageError:
    return MissingPackageError(
        f"maps larger than memory are written by {package}: pip install 'slidewin[large]'"
    )


@contextmanager
def _beside(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """A path to write to, which takes the target's place once all is written."""
    is_zarr = target.suffix.lower() == ".zarr"
    try:
        if os.path.lexists(target):
            if not overwrite:
                raise FileExistsError
            is_alike = (
                any((target / name).is_file() for name in _ZARR) if is_zarr else target.is_file()
            )
            if not is_alike:
                raise OutputError(
                    f"{target}: what is there is no {'zarr' if is_zarr else 'file'}, and is not "
                    "replaced; choose another name"
                )
        with TemporaryDirectory(prefix=".", suffix=".part", dir=target.parent) as folder:
            part = Path(folder, target.name)
            yield part
            if is_zarr:
                _move_folder(part, target, overwrite=overwrite)
            else:
                _move_file(part, target, overwrite=overwrite)
    except SlidewinError:
        raise
    except FileExistsError as error:
        message = f"{target}: is already there; choose another name, or pass overwrite=True"
        raise OutputExistsError(message) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        message = f"{target}: cannot be written ({reason}); check the folder, its rights and space"
        raise OutputError(message) from error


def _move_file(part: Path, target: Path, *, overwrite: bool) -> None:
    if not overwrite:
        target.touch(exist_ok=False)  # claims the name: no other writer slips in between
    try:
        part.replace(target)
    except OSError:
        if not overwrite:
            target.unlink()
        raise


def _move_folder(part: Path, target: Path, *, overwrite: bool) -> None:
    """As for a file; but a folder takes no other's place: that is moved out of the way first."""
    if not os.path.lexists(target):
        part.rename(target)
        return
    if not overwrite:
        raise FileExistsError
    old = part.with_suffix(".old")
    target.rename(old)
    try:
        part.rename(target)
    except OSError:
        old.rename(target)
        raise
