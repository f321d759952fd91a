"""The recipe: from tables of images to a classifier that knows what is not a lesion."""

import platform
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import cv2
import joblib
import numpy as np
import sklearn
from numpy.typing import NDArray
from tqdm import tqdm

from slidewin import __version__
from slidewin.errors import ArgumentError, SlidewinWarning
from slidewin.training.data import TrainingData, read_data
from slidewin.training.distort import DISTORTIONS
from slidewin.training.judge import (
    calibrate_on,
    false_and_found,
    padding_figures,
    set_thresholds,
    unseen_classes,
    window_figures,
)
from slidewin.training.learner import INPUT_SIZE, WINDOWS, Trained, new_learner
from slidewin.training.mining import MinedPlace, mine
from slidewin.training.refit import refit_head
from slidewin.training.validation import sweep_photos
from slidewin.training.windows import WindowSource
from slidewin.workers import count_workers

__all__ = ["draw_windows", "learn", "train"]
_CHUNK = 500  # windows drawn from one seed
_VALIDATION_WINDOWS = 16_000
_PADDING_WINDOWS = 6_000
_REFIT_WINDOWS = 20_000
_CURVE_KINDS = ("photo", "drawn scene")


def train(
    lesions: Sequence[str | Path],
    negatives: Sequence[str | Path],
    *,
    model: Literal["network", "features"] = "network",
    photos: Sequence[str | Path] = (),
    named: Sequence[str] = ("melanoma",),
    rename: Mapping[str, str] | None = None,
    no_lesion: Sequence[str] = (),
    group_column: str | None = None,
    context: float = 2.0,
    rounds: int = 2,
    n_windows: int | None = None,
    n_drawn: int = 300,
    epochs: int = 6,
    distortions: Collection[str] = DISTORTIONS,
    context_negatives: bool = True,
    calibrate: bool = True,
    random_state: int = 0,
    n_jobs: int | None = None,
    verbose: bool = False,
) -> Trained:
    """Train a classifier on close-ups of lesions and on photos without any.

    It is fitted to windows drawn from both; then, round by round, swept over the photos without
    lesions, and over what surrounds the lesions, and fitted on, with what it took for a lesion
    there among the windows. After the last round a network's head is fitted once more to tell
    lesions from one another. At the end it is swept over whole photos of the validation split, to
    calibrate its probabilities and to choose its thresholds.

    Parameters
    ----------
    lesions, negatives, photos : sequence of paths
        Tables or folders, see :func:`slidewin.training.read_table`: close-ups of lesions, a mask
        being the lesion's outline (without one it is taken to be the middle ``1 / context`` of the
        picture); photos without lesions, a mask marking places to keep clear of; and photos of
        lesions, outlined by masks, that serve validation alone and are never trained on.
    model : {"network", "features"}
        The default network, or colours and textures for a gradient boosting of trees, of which a
        fit takes less than a minute.
    named : sequence of str
        Labels that are classes of their own. All others together are ``"other_lesion"``; so are all
        lesions where no picture has a label.
    rename : mapping of str to str, optional
        Other words for labels, such as ``{"MEL": "melanoma"}``.
    no_lesion : sequence of str
        Labels of negatives whose masks mark no lesion, such as wounds; these are background too.
    group_column : str, optional
        Column of the tables that holds the patient or lesion; no group falls into two splits.
    context : float
        Window side over lesion diameter.
    rounds : int
        Rounds of mining hard negatives, in photos without lesions and round outlined lesions; 0 for
        none.
    n_windows : int, optional
        Windows drawn before each fit, 12 kB of memory each; by default 120 000 for a network and
        16 000 for features.
    n_drawn : int
        Drawn pieces of cloth, wood and paper that join the negatives, with two thirds as many drawn
        hands on printed cloth and a third as many pieces of skin; and a fifth as many drawn
        melanomas and moles join the lesions, where ``"melanoma"`` and ``"other_lesion"`` are
        classes.
    epochs : int
        Of a network: times that each window is seen in each fit, turned and mirrored anew.
    distortions : collection of str
        Which of :data:`slidewin.training.distort.DISTORTIONS` windows suffer.
    context_negatives : bool
        Whether lesions are laid on what is no skin, as background.
    calibrate : bool
        Whether probabilities are calibrated on the validation photos.
    random_state : int
        Seed of everything: the same data, versions and kind of processor give the same weights.
    n_jobs : int, optional
        Threads that read files and draw windows.
    verbose : bool
        Show progress, and what each round brought.

    Returns
    -------
    ModuleClassifier or EstimatorClassifier
        On the CPU. ``about`` has the data, the rounds, the refit of the head, the calibration, how
        the thresholds were chosen, figures on validation windows, and versions.

    Raises
    ------
    ArgumentError
        If a class has no lesions to learn from, or there are no negatives.
    ImageReadError
        If a file cannot be read.

    Warns
    -----
    SlidewinWarning
        If nearly the same image is in two splits (those of ``test`` are not opened, so not
        compared), or one group is in two splits, ``test`` among them; if `no_lesion` has a label
        that no negative has; if probabilities cannot be calibrated, or no threshold keeps the
        rule.

    Examples
    --------
    >>> classifier = train(["lesions.csv"], ["photos/"], rounds=1)  # doctest: +SKIP
    """
    if model not in WINDOWS:
        raise ArgumentError(f"model={model!r}: choose one of {', '.join(WINDOWS)}")
    n = WINDOWS[model] if n_windows is None else n_windows
    for name, value, least in (
        ("rounds", rounds, 0),
        ("n_windows", n, 1),
        ("n_drawn", n_drawn, 0),
        ("epochs", epochs, 1),
        ("random_state", random_state, 0),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ArgumentError(f"{name}={value!r}: a whole number from {least} up is needed")
    if unknown := set(distortions) - set(DISTORTIONS):
        raise ArgumentError(
            f"distortions: found {', '.join(sorted(unknown))}; known are {', '.join(DISTORTIONS)}"
        )
    if not 1 <= context <= INPUT_SIZE:
        raise ArgumentError(f"context={context!r}: a number from 1 to {INPUT_SIZE} is needed")
    count_workers(n_jobs)  # refuses what is no number of workers
    data = read_data(
        lesions,
        negatives,
        photos,
        named=named,
        rename=rename or {},
        no_lesion=no_lesion,
        group_column=group_column,
        context=context,
        n_drawn=n_drawn,
        random_state=random_state,
        n_jobs=n_jobs,
        verbose=verbose,
    )
    return learn(
        data,
        model=model,
        context=context,
        rounds=rounds,
        n_windows=n,
        epochs=epochs,
        distortions=distortions,
        context_negatives=context_negatives,
        calibrate=calibrate,
        random_state=random_state,
        n_jobs=n_jobs,
        verbose=verbose,
    )


def learn(
    data: TrainingData,
    *,
    n_windows: int,
    epochs: int,
    rounds: int,
    model: Literal["network", "features"] = "network",
    context: float = 2.0,
    distortions: Collection[str] = DISTORTIONS,
    context_negatives: bool = True,
    calibrate: bool = True,
    random_state: int = 0,
    n_jobs: int | None = None,
    verbose: bool = False,
) -> Trained:
    """Train on what has been read: :func:`train` from there on, with parameters of its names."""
    sources = {
        split: WindowSource(
            lesions=data.lesions[split],
            backgrounds=data.negatives[split],
            drawn=data.drawn[split],
            n_classes=len(data.classes),
            input_size=INPUT_SIZE,
            context=context,
            distortions=distortions,
            context_negatives=context_negatives,
        )
        for split in ("train", "val")
    }
    learner = new_learner(
        model,
        data.classes,
        context=context,
        epochs=epochs,
        random_state=random_state,
        verbose=verbose,
    )
    mined: list[MinedPlace] = []
    curve: list[dict[str, Any]] = []
    for number in range(rounds + 1):
        source = replace(sources["train"], mined=mined)
        drawn = draw_windows(
            source, n_windows, (random_state, 0, number), n_jobs=n_jobs, verbose=verbose
        )
        classifier, loss = learner.fit(*drawn, number=number)
        del drawn  # before as many again are drawn
        judged = [photo for photo in data.photos if photo.kind in _CURVE_KINDS]
        point = {"round": number, "mined": len(mined), "loss": loss}
        point |= false_and_found(sweep_photos(classifier, judged, rough=True, verbose=verbose))
        curve.append(point)
        if verbose:
            tqdm.write(", ".join(f"{name} {value}" for name, value in point.items()))
        if number < rounds:
            # Each lesion's picture once: there may be many, and most are much alike. Beside a mask
            # that was guessed may be more of the lesion.
            outlined = [lesion for lesion in data.lesions["train"] if lesion.is_outlined]
            around = [lesion.surroundings for lesion in outlined[number::rounds]]
            hard = [*data.negatives["train"], *data.drawn["train"], *around]
            mined += mine(classifier, hard, known=mined, verbose=verbose)
    refit = refit_head(
        classifier, sources, n_windows=min(n_windows, _REFIT_WINDOWS), random_state=random_state
    )
    swept = sweep_photos(classifier, data.photos, verbose=verbose)
    about = data.about | {"rounds": curve, "refit": refit}
    if not calibrate:
        about["calibration"] = None
    elif missing := unseen_classes(swept, data.classes):
        about["calibration"] = None
        warnings.warn(
            f"probabilities are not calibrated: too few windows of validation photos show "
            f"{', '.join(missing)}; give photos with outlined lesions, or negatives that show skin",
            SlidewinWarning,
            stacklevel=2,
        )
    else:
        swept, about["calibration"] = calibrate_on(classifier, swept)
    about["thresholds"] = set_thresholds(classifier, swept, n_jobs=n_jobs)
    windows = draw_windows(
        sources["val"],
        min(n_windows, _VALIDATION_WINDOWS),
        (random_state, 1),
        n_jobs=n_jobs,
        verbose=verbose,
    )
    about["validation_windows"] = window_figures(classifier, *windows)
    about["padding"] = padding_figures(
        data, sources, n_windows=min(n_windows, _PADDING_WINDOWS), random_state=random_state
    )
    about["settings"] = about["settings"] | {
        "rounds": rounds,
        "model": model,
        "context": context,
        "calibrate": calibrate,
        "n_windows": n_windows,
        "epochs": epochs,
        "distortions": list(distortions),
        "context_negatives": context_negatives,
        "random_state": random_state,
        "n_drawn": data.n_drawn,
    }
    about["versions"] = _versions()
    classifier.about = about
    return classifier


def draw_windows(
    source: WindowSource, n: int, seed: tuple[int, ...], *, n_jobs: int | None, verbose: bool
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw windows in chunks, each from a seed of its own: the same whoever draws them."""
    patches = np.empty((n, source.input_size, source.input_size, 3), np.uint8)
    labels = np.empty(n, np.int64)

    def fill(start: int) -> None:
        stop = min(start + _CHUNK, n)
        drawn = source.draw(stop - start, np.random.default_rng((*seed, start)))
        patches[start:stop], labels[start:stop] = drawn

    starts = tqdm(range(0, n, _CHUNK), "windows", disable=not verbose)
    joblib.Parallel(n_jobs=n_jobs, require="sharedmem")(map(joblib.delayed(fill), starts))
    return patches, labels


def _versions() -> dict[str, str]:
    import torch

    return {
        "slidewin": __version__,
        "opencv": cv2.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
    }
