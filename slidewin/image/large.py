"""Photos larger than memory: TIFF and zarr files, of which only what is sliced is read.

A photo of 32 000 x 32 000 px is 3 GB of samples. A sweep wants a few rows of it at a time, from top
to bottom; so what is opened here looks like an array from outside, and stays in its file.
"""

import math
import os
import stat
import warnings
import weakref
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from slidewin.errors import (
    ArgumentTypeError,
    ImageMissingError,
    ImageReadError,
    MissingPackageError,
    SlidewinError,
    SlidewinWarning,
)
from slidewin.image.arrays import LARGEST_READ

if TYPE_CHECKING:
    import zarr

__all__ = ["StoredImage", "open_image"]

# Rows that nothing divides are best read in pieces of about this many bytes.
_PIECE = 1 << 22

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the latter two are BigTIFF
_ZIP = b"PK\3\4"
_APERIO_YCBCR = 33003  # JPEG 2000 that is decoded to YCbCr, whatever the file says of it
_ZARR = ("zarr.json", ".zarray", ".zgroup")

_ACCEPTED = "accepted is one upright photo, RGB, of shape (H, W, 3) and dtype uint8"
_ADVICE = "save it anew so; what fits into memory, slidewin.read_image may read and convert"


class StoredImage:
    """A photo in a file: an array from outside, of which only what is sliced is read.

    Made by :func:`open_image`. It can be used in a ``with`` statement; otherwise its file is closed
    when nothing refers to it any more.

    Attributes
    ----------
    path : Path
    shape : (int, int, int)
        ``(H, W, 3)``.
    dtype : dtype
        uint8.
    chunks : (int, int, int)
        What is best read at a time: to slice across a chunk is to read and decode all of it.
    """

    dtype: np.dtype[np.uint8] = np.dtype(np.uint8)

    def __init__(self, path: Path, source: Any, files: ExitStack) -> None:
        self.path = path
        self.shape = tuple(map(int, source.shape))
        self.chunks = tuple(map(int, source.chunks))
        self._source = source
        self._closing = weakref.finalize(self, files.close)

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        """Read what whole numbers and slices of steps from 1 up select.

        Raises
        ------
        IndexError
            If it is not in the photo.
        ImageReadError
            If the file is damaged there, or was closed.
        """
        if not self._closing.alive:
            raise ImageReadError(f"{self.path}: was closed; open it again")
        try:
            return np.asarray(self._source[key])
        except (IndexError, MemoryError):
            raise
        except Exception as error:  # whatever a decoder makes of damaged bytes
            raise ImageReadError(
                f"{self.path}: cannot be read at {key} ({_reason(error)}); it is damaged or was "
                "changed: copy it again"
            ) from error

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError(f"{self.path}: becomes an array by being read, which is a copy")
        return np.asarray(self[...], dtype)

    def __repr__(self) -> str:
        height, width, _ = self.shape
        return f"StoredImage({self.path.name}, {height} x {width} px)"

    def close(self) -> None:
        """Close the file; closing it again does nothing."""
        self._closing()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def open_image(path: str | os.PathLike[str]) -> StoredImage:
    """Open a photo that may be larger than memory; it is read as it is sliced.

    The kind of file is told by content, not by suffix.

    Parameters
    ----------
    path : str or os.PathLike
        A TIFF or BigTIFF, in tiles or in strips; or a zarr, a folder or a zip, that is one array
        or a multiscale group as OME-Zarr has them. Of levels, the finest is opened. What is kept
        elsewhere, ``zarr.open`` opens, and its arrays can be swept as they are.

    Returns
    -------
    StoredImage
        Of shape ``(H, W, 3)`` and dtype uint8, RGB, as :class:`slidewin.SlidingWindow` takes it.

    Raises
    ------
    ImageMissingError
        If there is no such file.
    ImageReadError
        If it is no TIFF or zarr; damaged; of several photos; not upright; not RGB of 8 bits with a
        pixel's samples together; or if a row of its chunks takes more than 0.5 GB.
    MissingPackageError
        If tifffile or zarr is not installed, or imagecodecs, which compressions other than
        deflate need.
    ArgumentTypeError
        If `path` is not a path.

    Warns
    -----
    SlidewinWarning
        If a colour profile other than sRGB was not applied.

    Notes
    -----
    To slice takes memory for what is sliced and for the chunks it lies in. Damage shows when it is
    read: here, only what lies in the first chunk, and a file that is cut short. What a zarr does
    not hold is its fill value, by definition; so a chunk that was lost cannot be told.

    Examples
    --------
    >>> import tempfile
    >>> import tifffile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "photo.tif")
    ...     pixels = np.full((500, 300, 3), 7, np.uint8)
    ...     tifffile.imwrite(path, pixels, tile=(128, 128), compression="zlib")
    ...     with open_image(path) as photo:
    ...         print(photo, photo.chunks, photo[100:102, 7].tolist())
    StoredImage(photo.tif, 500 x 300 px) (128, 128, 3) [[7, 7, 7], [7, 7, 7]]
    """
    if not isinstance(path, str | os.PathLike) or isinstance(os.fspath(path), bytes):
        raise ArgumentTypeError(
            f"path is of type {type(path).__name__}; wanted is a path, str or os.PathLike"
        )
    try:
        import tifffile  # noqa: F401
        import zarr  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            "photos larger than memory need tifffile and zarr: pip install 'slidewin[large]'"
        ) from error
    path = Path(path)
    try:
        with ExitStack() as files:
            source, note = _open(path, files)
            _check(source)
            image = StoredImage(path, source, files.pop_all())
    except SlidewinError as error:
        raise type(error)(f"{path}: {error}") from error.__cause__
    except Exception as error:  # whatever bytes a file holds, one family of errors comes out
        raise _in_words(path, error) from error
    if note:
        warnings.warn(f"{path}: {note}", SlidewinWarning, stacklevel=2)
    return image


class _Samples:
    """Samples that lie in a file as they are, row after row."""

    dtype = np.dtype(np.uint8)

    def __init__(self, path: Path, offset: int, shape: tuple[int, ...]) -> None:
        self.path, self.offset, self.shape = path, offset, shape
        self.chunks = (min(shape[0], max(1, _PIECE // math.prod(shape[1:]))), *shape[1:])

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        # Mapped anew each time: what a map has read counts as this process's memory until it goes.
        return np.array(np.memmap(self.path, np.uint8, "r", self.offset, self.shape)[key])


def _open(path: Path, files: ExitStack) -> tuple[Any, str]:
    """Open what can be sliced, and note what its user should know, if anything."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        if any((path / name).is_file() for name in _ZARR):
            return _open_zarr(path, files), ""
        raise ImageReadError(f"is a folder without {' or '.join(_ZARR)}; pass a zarr or a TIFF")
    if not stat.S_ISREG(mode):  # to open a pipe would be to wait for its writer
        raise ImageReadError("is a device or pipe; pass the path of a TIFF or zarr")
    with path.open("rb") as handle:
        head = handle.read(4)
    if head in _TIFF:
        return _open_tiff(path, files)
    if head == _ZIP:
        return _open_zarr(path, files), ""
    raise ImageReadError(
        f"is no TIFF and no zarr, told by content; it begins with {head!r}. Read other photos with "
        "slidewin.read_image, or save it as a tiled TIFF"
    )


def _open_tiff(path: Path, files: ExitStack) -> tuple[Any, str]:
    import tifffile
    import zarr

    # Pages by themselves, not the series that tifffile makes of them: these follow descriptions,
    # which may name other files and other shapes.
    tiff = files.enter_context(tifffile.TiffFile(path))
    page = tiff.pages.first
    copies = [isinstance(p, tifffile.TiffPage) and p.is_reduced for p in tiff.pages[1:]]
    pieces = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if max((start + count for start, count in pieces), default=0) > path.stat().st_size:
        raise ImageReadError("is cut short: some of its pixels lie past its end; copy it again")
    stored = sum(count for _, count in pieces)
    is_plain = page.compression == tifffile.COMPRESSION.NONE
    is_rgb = page.photometric == tifffile.PHOTOMETRIC.RGB and page.compression != _APERIO_YCBCR
    is_decoded_to_rgb = (
        page.photometric == tifffile.PHOTOMETRIC.YCBCR
        and page.compression == tifffile.COMPRESSION.JPEG
    )
    orientation = page.tags.valueof(274, 1)
    faults = {
        f"{len(copies) + 1} pages, which are no smaller copies of one": not all(copies),
        "a preview (of a camera's raw file?)": page.is_reduced,
        "colours in planes of their own": page.planarconfig == tifffile.PLANARCONFIG.SEPARATE,
        f"{getattr(page.photometric, 'name', page.photometric)} samples": not (
            is_rgb or is_decoded_to_rgb
        ),
        f"{page.dtype} samples of {page.bitspersample} bits": page.dtype != np.uint8
        or page.bitspersample != 8,
        f"a photo turned or mirrored, of EXIF orientation {orientation}": orientation != 1,
        "data for a part of its pixels": len(pieces) != math.prod(page.chunked)
        or any(count == 0 for _, count in pieces)
        or (is_plain and stored < page.nbytes),
    }
    if found := next((words for words, is_there in faults.items() if is_there), ""):
        raise ImageReadError(f"holds {found}; {_ACCEPTED}: {_ADVICE}")
    profile = page.iccprofile
    note = ""
    if profile and not any("sRGB".encode(code) in profile for code in ("ascii", "utf-16-be")):
        note = (
            "has a colour profile other than sRGB; the pixels are left as they are: convert the "
            "file to sRGB if its colours matter"
        )
    if page.is_memmappable:
        return _Samples(path, page.dataoffsets[0], page.shape), note
    store = page.aszarr()
    files.callback(store.close)
    return zarr.open_array(store, mode="r"), note


def _open_zarr(path: Path, files: ExitStack) -> "zarr.Array[Any]":
    import zarr

    store: Any = path
    if path.is_file():
        store = zarr.storage.ZipStore(path, mode="r")
        files.callback(store.close)
    node = zarr.open(store, mode="r")
    if isinstance(node, zarr.Array):
        return node
    # OME-Zarr 0.5 has a drawer of its own among the attributes; before, it had none.
    attributes: Any = node.attrs.get("ome", node.attrs)
    if images := attributes.get("multiscales"):
        node = node[images[0]["datasets"][0]["path"]]  # finest first, by the standard
    else:
        arrays = dict(node.arrays())
        if len(arrays) != 1:
            raise ImageReadError(
                f"is a group that holds {', '.join(sorted(node.keys())) or 'nothing'}; accepted is "
                "one array, or a multiscale group: pass the folder, within it, of the one meant"
            )
        (node,) = arrays.values()
    if not isinstance(node, zarr.Array):
        raise ImageReadError(f"names {node.path} as its finest level, which is no array")
    return node


def _check(source: Any) -> None:
    """Refuse what is no photo, or could only be read too much at a time; try what is."""
    shape, dtype = source.shape, source.dtype
    if len(shape) != 3 or shape[2] != 3 or 0 in shape or dtype != np.uint8:
        raise ImageReadError(
            f"holds an array of shape {shape} and dtype {dtype}; {_ACCEPTED}: {_ADVICE}"
        )
    rows, cols, samples = source.chunks
    piece = rows * max(cols, shape[1]) * max(samples, 3)
    if piece > LARGEST_READ:
        raise ImageReadError(
            f"is stored in chunks (tiles, strips) of {rows} x {cols} px, so that "
            f"{piece / 1e9:.1f} GB would be read at a time; accepted is up to "
            f"{LARGEST_READ / 1e9} GB: save it anew in tiles of 512 x 512 px"
        )
    source[:1, :1]


def _in_words(path: Path, error: Exception) -> SlidewinError:
    if isinstance(error, FileNotFoundError) and not path.exists():
        return ImageMissingError(
            f"{path}: no such file; check its spelling, and where a relative path starts"
        )
    if "imagecodecs" in str(error):  # so tifffile says what it lacks
        return MissingPackageError(
            f"{path}: is compressed in a way that needs one more package ({_reason(error)}): "
            "pip install imagecodecs, or save it anew compressed by deflate"
        )
    return ImageReadError(
        f"{path}: cannot be opened as one whole photo ({_reason(error)}); it is damaged, cut short "
        "or of a rare kind: copy it again, or save it as a tiled TIFF"
    )


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
