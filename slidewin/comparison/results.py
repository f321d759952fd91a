"""Results: the map that a method made of a photo and what it cost, or the reason why there is none.

One file each, written whole or not at all, named by a key of all that the map depends on. So what a
run that was cut off has left is whole, and of no other settings.
"""

import hashlib
import io
import json
import re
import threading
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slidewin.errors import OutputError
from slidewin.heatmap import HeatLayer, HeatMap
from slidewin.output import make_folder, write_bytes

__all__ = ["NOTHING", "Cost", "Result", "Store", "hash_file", "result_key"]

NOTHING = "nothing was assessed"
"""Why there is no map of a photo where a method gave one that is NaN all over."""

# NumPy parses the heads of arrays as Python, and two threads that did so at once could fail with
# "AST constructor recursion depth mismatch": https://github.com/python/cpython/issues/106905
_READING = threading.Lock()


@dataclass(frozen=True)
class Cost:
    """What a map cost, in the fresh process that made it.

    Attributes
    ----------
    seconds, cpu_seconds : float
        On the clock, and of all the process's threads together.
    peak_bytes : int or None
        Memory at its peak, beyond what the process held with the classifier loaded and nothing
        done; None where the system does not tell.
    pixels : int
        Of the photo.
    threads : int
        That the process computed with.
    at_once : int
        How many such processes there were.
    first : bool
        Whether it was the process's first map, which pays for what is imported and warmed up.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int | None
    pixels: int
    threads: int
    at_once: int
    first: bool


@dataclass(frozen=True, eq=False)
class Result:
    """What came of one method and photo.

    Attributes
    ----------
    heatmap : HeatMap or None
    refused : str
        Why there is no map; empty if there is.
    lasting : bool
        Whether it would be refused again: memory may suffice another time.
    max_passes : int or None
        The limit on its work with which it was refused: another may allow it.
    cost : Cost or None
        None where nothing was measured.
    warned : tuple of str
        What the method warned of.
    """

    heatmap: HeatMap | None
    refused: str = ""
    lasting: bool = True
    max_passes: int | None = None
    cost: Cost | None = None
    warned: tuple[str, ...] = ()


class Store:
    """A folder of results.

    Parameters
    ----------
    folder : Path
        Made if need be.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = make_folder(folder)

    def path(self, method: str, photo: str, key: str) -> Path:
        """Where the result of a key is; names are there for people."""
        readable = re.sub(r"[^\w.@+-]+", "_", photo)[-80:]
        return self.folder / re.sub(r"[^\w.@+-]+", "_", method) / f"{readable}-{key[:20]}.npz"

    def write(self, path: Path, result: Result) -> None:
        """Write a result, in place of an older one of the same key."""
        about: dict[str, Any] = {
            "refused": result.refused,
            "lasting": result.lasting,
            "max_passes": result.max_passes,
            "cost": None if result.cost is None else vars(result.cost),
            "warned": list(result.warned),
        }
        arrays: dict[str, NDArray[Any]] = {}
        heat = result.heatmap
        if heat is not None:
            about |= {
                "photo_shape": list(heat.photo_shape),
                "method": heat.method,
                "unit": heat.unit,
                "settings": dict(heat.settings),
                "n_layers": len(heat.layers),
            }
            if heat.assessed is not None:
                arrays["assessed"] = np.packbits(heat.assessed, axis=1)
            for i, layer in enumerate(heat.layers):
                arrays |= {f"values{i}": layer.values, f"rows{i}": layer.rows}
                arrays |= {f"cols{i}": layer.cols, f"reach{i}": np.float64(layer.reach)}  # type: ignore[dict-item]
        arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
        stream = io.BytesIO()
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
        make_folder(path.parent)
        write_bytes(path, stream.getvalue(), overwrite=True)

    def read(self, path: Path, *, with_map: bool = True) -> Result | None:
        """Read a result, or what is known of it besides the map; None if there is none yet.

        Raises
        ------
        OutputError
            If the file is damaged.
        """
        try:
            # Opened here: of a damaged file, NumPy would leave it open.
            with (
                path.open("rb") as stream,
                _READING,
                np.load(stream, allow_pickle=False) as arrays,
            ):
                return _restored(arrays, with_map)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise OutputError(
                f"{path}: is no whole result ({error}); remove it, and it is computed anew"
            ) from error


def _restored(arrays: Mapping[str, NDArray[Any]], with_map: bool) -> Result:
    about = json.loads(arrays["about"].tobytes())
    heat = None
    if with_map and "photo_shape" in about:
        height, width = about["photo_shape"]
        assessed = None
        if "assessed" in arrays:
            assessed = np.unpackbits(arrays["assessed"], axis=1, count=width).astype(np.bool_)
        heat = HeatMap(
            (height, width),
            tuple(
                HeatLayer(
                    arrays[f"values{i}"],
                    rows=arrays[f"rows{i}"],
                    cols=arrays[f"cols{i}"],
                    reach=float(arrays[f"reach{i}"]),
                )
                for i in range(about["n_layers"])
            ),
            method=about["method"],
            unit=about["unit"],
            assessed=assessed,
            settings=about["settings"],
        )
    cost = None if about["cost"] is None else Cost(**about["cost"])
    return Result(
        heat,
        about["refused"],
        about["lasting"],
        about["max_passes"],
        cost,
        tuple(about["warned"]),
    )


def lightened(heat: HeatMap) -> HeatMap:
    """The same map, as pixels if its layers hold more values than the photo has pixels.

    Examples
    --------
    >>> fine = HeatLayer(np.eye(8), rows=np.arange(8) / 2, cols=np.arange(8) / 2)
    >>> heat = HeatMap((4, 4), [fine], method="by hand", unit="raw")
    >>> light = lightened(heat)
    >>> light.layers[0].values.shape, (light.to_pixels() == heat.to_pixels()).all()
    ((4, 4), np.True_)
    """
    height, width = heat.photo_shape
    if sum(layer.values.size for layer in heat.layers) <= height * width:
        return heat
    # At the centres of pixels: rendered again it is the same, bit for bit, NaN included.
    rows, cols = (np.arange(n, dtype=np.float64) + 0.5 for n in heat.photo_shape)
    pixels = HeatLayer(heat.to_pixels(), rows=rows, cols=cols)
    return HeatMap(
        heat.photo_shape, (pixels,), method=heat.method, unit=heat.unit, settings=heat.settings
    )


def result_key(settings: Mapping[str, Any]) -> str:
    """Hash of all that a result depends on, as JSON can hold it."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
