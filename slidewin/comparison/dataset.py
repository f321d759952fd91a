"""Data sets: photos and what is true of them, from the layouts in which they come.

=============  ===================================================================================
``table``      a CSV with a column ``file`` and ``mask``, or ``x0, y0, x1, y1`` for boxes; where
               known ``split``, ``label`` and ``group`` (or ``patient_id``; or ``lesion_id``, where
               a photo's rows share it). Several rows of one file are several lesions, each with its
               label. ``none`` in place of a mask says that there is no lesion
``folder``     ``photos/`` (or ``images/``) and ``masks/``: the mask of ``photos/a.jpg`` is
               ``masks/a.png``, or ``a_1.png``, ``a_2.png`` ..., one a lesion. Photos without a
               lesion have a black mask, or are in ``lesion_free/``. In ``ignore/``, masks of what
               is neither lesion nor none: rulers, ink
``coco``       COCO's JSON: polygons, run lengths or boxes. An image without annotations has no
               lesion; what is marked as a crowd is ignored
``isic``       ``ISIC_0000000.jpg`` and ``ISIC_0000000_segmentation.png``, in any folders
``ham10000``   the same, with ``HAM10000_metadata``: images of one lesion are one group
``ph2``        ``IMD002/IMD002_Dermoscopic_Image/IMD002.bmp`` and ``IMD002_lesion/``
``pad-ufes``   ``metadata.csv`` with ``img_id``: images of one patient are one group. Masks, which
               it comes without, as ``PAT_1_2_3_mask.png``, or in a folder with ``mask`` in its name
=============  ===================================================================================

A mask is one lesion where its layout has one a photo, as the last four, or one a file, or where its
row of a table names a ``lesion_id``; else each of its 8-connected pieces is.
"""

import os
import warnings
from collections import Counter
from pathlib import Path

from slidewin.comparison.layouts import LAYOUTS, READERS, list_tables
from slidewin.comparison.sample import Sample
from slidewin.errors import ArgumentError, ArgumentTypeError, SlidewinWarning

__all__ = ["LAYOUTS", "Sample", "open_dataset"]


def open_dataset(
    path: str | os.PathLike[str], *, layout: str = "auto", split: str | None = None
) -> tuple[Sample, ...]:
    """List the photos of a data set, in order of name.

    Parameters
    ----------
    path : str or os.PathLike
        Its folder, or its CSV or JSON file.
    layout : str
        One of the layouts above. By default the first of them that is there: what a table or a
        JSON says goes before what names of files say.
    split : str, optional
        Take these alone, such as ``"test"``: the rows whose ``split`` it is, the JSON that has it
        in its name, or the folder ``path/test``. By default all that there are.

    Returns
    -------
    tuple of Sample
        No photo or mask is opened yet, but all are there.

    Raises
    ------
    ArgumentError
        If there is nothing of the layout, or of any; if photos or masks are missing, or two photos
        have one name; if of a photo nothing says whether it has a lesion; or there is no such
        split.
    ArgumentTypeError
        If `path` is not a path.

    Warns
    -----
    SlidewinWarning
        If photos of ``isic``, ``ham10000``, ``ph2`` or ``pad-ufes``, which all show a lesion, have
        no mask: they are left out. If a CSV lies there that is no table of a layout, and a layout
        without one was taken, unasked.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from slidewin.output import write_png
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("photos", "masks"):
    ...         Path(folder, name).mkdir()
    ...     write_png(Path(folder, "photos", "a.png"), np.zeros((2, 4, 3), np.uint8))
    ...     write_png(Path(folder, "masks", "a.png"), np.uint8([[255, 0, 0, 255]] * 2))
    ...     (sample,) = open_dataset(folder)
    ...     photo, lesions, ignore = sample.read()
    >>> sample.name, lesions.tolist(), ignore
    ('a', [[1, 0, 0, 2], [1, 0, 0, 2]], None)
    """
    if not isinstance(path, str | os.PathLike) or isinstance(os.fspath(path), bytes):
        raise ArgumentTypeError(
            f"path is of type {type(path).__name__}; wanted is a path, str or os.PathLike"
        )
    if layout != "auto" and layout not in LAYOUTS:
        raise ArgumentError(f"layout={layout!r}: choose 'auto', {', '.join(map(repr, LAYOUTS))}")
    root = Path(path)
    if not root.exists():
        raise ArgumentError(f"{root}: no such folder or file; give a data set's")
    if split is not None and (root / split).is_dir():
        root, split = root / split, None
    asked = LAYOUTS if layout == "auto" else (layout,)
    for name in asked:
        if (samples := READERS[name](root, split)) is not None:
            break
    else:
        raise ArgumentError(
            f"{root}: found {_contents(root)}; wanted is "
            + "; or ".join(f"{_WANTED[name]} ({name})" for name in asked)
        )
    if layout == "auto" and name not in _TABLES and (tables := list_tables(root)):
        warnings.warn(
            f"{root}: did not read {', '.join(path.name for path in tables)}, and took the layout "
            f"{name!r}; wanted is "
            + "; or ".join(f"{_WANTED[one]} ({one})" for one in _TABLES)
            + f"; if the layout is meant, pass layout={name!r} (--layout {name})",
            SlidewinWarning,
            stacklevel=2,
        )
    if not samples:
        raise ArgumentError(f"{root}: found no photos in it (layout {name!r}); check it")
    twice = [one for one, n in Counter(sample.name for sample in samples).items() if n > 1]
    if twice:
        raise ArgumentError(
            f"{root}: found two photos by the name of {twice[0]} ({len(twice)} such names); names "
            "without suffix must differ: rename one, or leave a copy out"
        )
    return tuple(sorted(samples, key=lambda sample: sample.name))


_TABLES = ("table", "pad-ufes", "ham10000")  # layouts that are read from one

_WANTED = {
    "table": "a CSV with a column 'file'",
    "pad-ufes": "a CSV with columns 'img_id' and 'patient_id', and masks",
    "ham10000": "HAM10000_metadata with columns 'image_id' and 'lesion_id'",
    "coco": "a JSON with 'images' and 'annotations'",
    "folder": "folders photos/ or images/, and masks/",
    "ph2": "folders IMD*_Dermoscopic_Image and IMD*_lesion",
    "isic": "ISIC_*.jpg and ISIC_*_segmentation.png",
}


def _contents(root: Path) -> str:
    """What is there, in a few words."""
    if root.is_file():
        return f"a file {root.suffix or 'without suffix'}"
    names = sorted(p.name + "/" * p.is_dir() for p in root.iterdir())
    if not names:
        return "an empty folder"
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
