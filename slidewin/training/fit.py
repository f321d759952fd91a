"""Fitting the default network to windows."""

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from slidewin import __version__
from slidewin.classifier.module import ModuleClassifier
from slidewin.classifier.protocol import ANY_LESION, BACKGROUND
from slidewin.errors import ArgumentError
from slidewin.scene import draw_cloth, draw_lesion, draw_scene, draw_skin
from slidewin.training.source import STORED_DIAMETER, Background, Lesion, Row, read_table
from slidewin.training.windows import KINDS, WindowSource
from slidewin.workers import count_workers

if TYPE_CHECKING:
    import torch

__all__ = ["OTHER_LESION", "train"]

OTHER_LESION = "other_lesion"
INPUT_SIZE = 64  # of the default network
_CHUNK = 500  # windows drawn from one seed
_BATCH = 256
_LEARNING_RATE, _WEIGHT_DECAY = 4e-3, 0.05
_MEAN, _STD = 0.5, 0.25
_SCENE_SHAPE = (450, 600)
_VALIDATION_WINDOWS = 16_000
# A default threshold is the lowest, from 0.5 up, at which four in five flagged windows are right.
# Windows beside a lesion do not count: what they light up widens a region and makes no new one.
_LOWEST_THRESHOLD, _PRECISION = 0.5, 0.8
_NOT_COUNTED = KINDS.index("beside a lesion")


def train(
    lesions: Sequence[str | Path],
    backgrounds: Sequence[str | Path],
    *,
    named: Sequence[str] = ("melanoma",),
    context: float = 2.0,
    n_windows: int = 200_000,
    n_drawn: int = 300,
    epochs: int = 12,
    random_state: int = 0,
    n_jobs: int | None = None,
    verbose: bool = False,
) -> ModuleClassifier:
    """Train the default network on close-ups of lesions and on photos without any.

    In bfloat16 where torch allows it, which is twice as quick on processors that have it.

    Parameters
    ----------
    lesions, backgrounds : sequence of paths
        Tables or folders, see :func:`slidewin.training.read_table`. The mask of a lesion is its
        outline; without one the lesion is taken to be the middle ``1 / context`` of a close-up.
        The mask of a background marks places to keep clear of.
    named : sequence of str
        Labels that are classes of their own. All others together are ``"other_lesion"``.
    context : float
        Window side over lesion diameter.
    n_windows : int
        Windows drawn before fitting; 12 kB of memory each.
    n_drawn : int
        Drawn cloths that join the backgrounds, with half as many drawn pieces of skin and half
        as many drawn hands on printed cloth; and a fifth as many drawn melanomas and moles join the
        lesions, where ``"melanoma"`` and ``"other_lesion"`` are classes. Validation has drawn
        backgrounds, and real lesions alone.
    epochs : int
        Times that each window is seen, turned and mirrored anew.
    random_state : int
        Seed of everything: the same data, versions and kind of processor give the same weights.
    n_jobs : int, optional
        Threads that read files and draw windows.
    verbose : bool
        Show progress.

    Returns
    -------
    ModuleClassifier
        On the CPU. ``about`` has the data, figures on validation windows, and versions.

    Raises
    ------
    ArgumentError
        If a class has no lesions to learn from, or there are no backgrounds.
    ImageReadError
        If a file cannot be read.

    Examples
    --------
    >>> classifier = train(["lesions.csv"], ["photos/"], epochs=2)  # doctest: +SKIP
    """
    for name, value, least in (
        ("n_windows", n_windows, _BATCH),
        ("n_drawn", n_drawn, 0),
        ("epochs", epochs, 1),
        ("random_state", random_state, 0),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ArgumentError(f"{name}={value!r}: a whole number from {least} up is needed")
    if not 1 <= context <= INPUT_SIZE:
        raise ArgumentError(f"context={context!r}: a number from 1 to {INPUT_SIZE} is needed")
    count_workers(n_jobs)  # refuses what is no number of workers
    rows = [row for table in lesions for row in read_table(table)]
    classes = _classes(rows, named)
    pool = joblib.Parallel(n_jobs=n_jobs, prefer="threads")
    read = pool(
        joblib.delayed(Lesion.read)(row, _column(row, classes), context=context)
        for row in tqdm(rows, "lesions", disable=not verbose)
    )
    photos = [row for table in backgrounds for row in read_table(table)]
    if not photos:
        raise ArgumentError("backgrounds: none given; a classifier must learn what is no lesion")
    grounds = pool(
        joblib.delayed(Background.read)(row)
        for row in tqdm(photos, "backgrounds", disable=not verbose)
    )
    splits: dict[str, tuple[NDArray[Any], ...]] = {}
    for split, share in (("train", 1.0), ("val", 0.2)):
        shown = [x for x, row in zip(read, rows, strict=True) if x and row.split == split]
        if split == "train":
            shown += _drawn_lesions(round(n_drawn * 0.2), classes, random_state)
        source = WindowSource(
            lesions=shown,
            backgrounds=[x for x, row in zip(grounds, photos, strict=True) if row.split == split],
            drawn=_drawn(round(n_drawn * share), seed=(random_state, split == "val")),
            n_classes=len(classes),
            input_size=INPUT_SIZE,
            context=context,
        )
        _require_all(source, classes, split)
        n = n_windows if split == "train" else min(n_windows, _VALIDATION_WINDOWS)
        starts = tqdm(range(0, n, _CHUNK), f"{split} windows", disable=not verbose)
        chunks = pool(
            joblib.delayed(source.draw)(
                min(_CHUNK, n - start),
                np.random.default_rng((random_state, split == "val", start)),
            )
            for start in starts
        )
        splits[split] = tuple(np.concatenate(part) for part in zip(*chunks, strict=True))
    patches, labels, _ = splits["train"]
    module = _fit(
        patches,
        labels,
        n_classes=len(classes),
        epochs=epochs,
        random_state=random_state,
        verbose=verbose,
    )
    classifier = ModuleClassifier(
        module, mean=_MEAN, std=_STD, classes=classes, input_size=INPUT_SIZE, context=context
    )
    figures = _figures(classifier, *splits["val"])
    classifier.thresholds = figures.pop("thresholds")
    classifier.about = {
        "lesions": _count([row for x, row in zip(read, rows, strict=True) if x]),
        "lesions_too_small_to_use": sum(x is None for x in read),
        "backgrounds": _count(photos),
        "tables": ["/".join(Path(table).parts[-2:]) for table in (*lesions, *backgrounds)],
        "settings": {
            "n_windows": n_windows,
            "n_drawn": n_drawn,
            "epochs": epochs,
            "random_state": random_state,
        },
        "validation": figures,
        "versions": _versions(),
    }
    return classifier


def _classes(rows: Sequence[Row], named: Sequence[str]) -> list[str]:
    others = any(row.label not in named for row in rows)
    return [BACKGROUND, *([OTHER_LESION] if others else []), *named]


def _column(row: Row, classes: Sequence[str]) -> int:
    return classes.index(row.label if row.label in classes else OTHER_LESION)


def _require_all(source: WindowSource, classes: Sequence[str], split: str) -> None:
    seen = {lesion.label for lesion in source.lesions}
    missing = [name for column, name in enumerate(classes) if column and column not in seen]
    if missing or not source.backgrounds:
        raise ArgumentError(
            f"split {split!r} has no images of {', '.join(missing) or 'backgrounds'}; add some, "
            "or leave the column 'split' out of the table to have it drawn by lot"
        )


def _drawn(n: int, *, seed: tuple[int, int]) -> list[Background]:
    """Cloths, half of them printed with blots; skin; and hands on printed cloth."""

    def rng(kind: int, i: int) -> np.random.Generator:
        return np.random.default_rng((*seed, kind, i))

    cloths = []
    for i in range(n):
        pattern = "blots" if i % 2 else None
        image = draw_cloth((192, 192), random_state=rng(0, i), pattern=pattern)
        cloths.append(Background(image, skin=np.zeros((192, 192), bool)))
    skins = [
        Background(draw_skin((192, 192), random_state=rng(1, i)), skin=np.ones((192, 192), bool))
        for i in range(n // 2)
    ]
    hands = [draw_scene(_SCENE_SHAPE, random_state=rng(2, i), lesion=False) for i in range(n // 2)]
    return cloths + skins + [Background(scene.photo, skin=scene.skin) for scene in hands]


def _drawn_lesions(n: int, classes: Sequence[str], random_state: int) -> list[Lesion]:
    """Melanomas and moles drawn on drawn skin, where there are classes for them."""
    kinds = {"melanoma": "melanoma", OTHER_LESION: "mole"}
    lesions = []
    for label, kind in kinds.items():
        for i in range(n if label in classes else 0):
            rng = np.random.default_rng((random_state, 3, i, label == OTHER_LESION))
            skin = draw_skin((192, 192), random_state=rng)
            image, mask = draw_lesion(
                skin, centre=(96, 96), diameter=STORED_DIAMETER, random_state=rng, kind=kind
            )
            lesions.append(Lesion.cut(image, mask.astype(np.uint8) * 255, classes.index(label)))
    return [lesion for lesion in lesions if lesion]


def _fit(
    patches: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    n_classes: int,
    epochs: int,
    random_state: int,
    verbose: bool,
) -> "torch.nn.Sequential":
    import torch
    from torch.nn.functional import cross_entropy

    from slidewin.network import window_network

    x, y = torch.from_numpy(patches), torch.from_numpy(labels)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(random_state)
        network = window_network(n_classes)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY
        )
        steps = epochs * (len(y) // _BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _LEARNING_RATE, steps)
        with tqdm(total=steps, desc="fitting", disable=not verbose) as bar:
            for _ in range(epochs):
                order = torch.randperm(len(y))
                for batch in order[: len(y) // _BATCH * _BATCH].view(-1, _BATCH):
                    inputs = (_turned(x[batch]).permute(0, 3, 1, 2) / 255 - _MEAN) / _STD
                    # Twice as quick where the processor has bfloat16, and as good here.
                    with torch.autocast("cpu", torch.bfloat16):
                        logits = network(inputs)
                    loss = cross_entropy(logits.float(), y[batch])
                    optimiser.zero_grad()
                    loss.backward()  # type: ignore[no-untyped-call]
                    optimiser.step()
                    schedule.step()
                    bar.update()
                    if bar.n % 20 == 0:
                        bar.set_postfix(loss=f"{loss.item():.3f}")
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return network.eval()


def _turned(batch: "torch.Tensor") -> "torch.Tensor":
    """One of the eight ways to lay a square, the same for a whole batch."""
    import torch

    ways = torch.randint(2, (3,)).tolist()
    for axes, way in zip(((1,), (2,)), ways[:2], strict=True):
        batch = batch.flip(axes) if way else batch
    return batch.transpose(1, 2) if ways[2] else batch


def _figures(
    classifier: ModuleClassifier,
    patches: NDArray[np.uint8],
    labels: NDArray[np.int64],
    kinds: NDArray[np.int64],
) -> dict[str, Any]:
    """Figures and default thresholds on validation windows."""
    probabilities = np.concatenate(
        [classifier.predict_proba(patches[i : i + _BATCH]) for i in range(0, len(labels), _BATCH)]
    )
    names = [str(name) for name in classifier.classes_]
    found = classifier.target_probability(probabilities, ANY_LESION)
    is_lesion = labels > 0
    figures: dict[str, Any] = {
        "windows": len(labels),
        "auc_lesion_against_background": round(float(roc_auc_score(is_lesion, found)), 4),
    }
    if OTHER_LESION in names:
        for column, name in enumerate(names[2:], start=2):
            share = probabilities[is_lesion, column] / np.maximum(found[is_lesion], 1e-9)
            auc = roc_auc_score(labels[is_lesion] == column, share)
            figures[f"auc_{name}_against_other_lesions"] = round(float(auc), 4)
    counted = kinds != _NOT_COUNTED
    thresholds = {}
    for name in (*names[1:], ANY_LESION):
        scores = classifier.target_probability(probabilities, name)
        wanted = is_lesion if name == ANY_LESION else labels == names.index(name)
        threshold = _precise_threshold(scores[counted], wanted[counted])
        thresholds[name] = threshold
        flagged = scores >= threshold
        figures[f"{name}_at_threshold"] = {
            "found": _share(flagged[wanted]),
            "of_flagged_right": _share(wanted[flagged & counted]),
        }
    figures["thresholds"] = thresholds
    return figures


def _share(flags: NDArray[np.bool_]) -> float | None:
    return round(float(flags.mean()), 3) if len(flags) else None


def _precise_threshold(scores: NDArray[np.float32], wanted: NDArray[np.bool_]) -> float:
    """The lowest threshold from which on at least ``_PRECISION`` of what is flagged is right.

    Examples
    --------
    >>> _precise_threshold(np.float32([0.2, 0.6, 0.7, 0.8]), np.array([True, False, True, True]))
    0.61
    """
    for threshold in np.arange(_LOWEST_THRESHOLD, 1, 0.01).round(2):
        flagged = scores >= threshold
        if flagged.any() and wanted[flagged].mean() >= _PRECISION:
            return float(threshold)
    return 0.99


def _count(rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for row in rows:
        split = counts.setdefault(row.split, {})
        split[row.label or "unlabelled"] = split.get(row.label or "unlabelled", 0) + 1
    return counts


def _versions() -> dict[str, str]:
    import torch

    return {
        "slidewin": __version__,
        "opencv": cv2.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
