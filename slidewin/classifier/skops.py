"""Scikit-learn estimators in files, saved and loaded without running code.

A file is skops: a zip of arrays and of the names of types, which is read before anything is built.
Types that skops trusts (scikit-learn's estimators, NumPy's arrays) and those in ``_OWN`` are built;
a file that names any other is refused. Trees are the one type that skops leaves to its callers, for
scikit-learn follows their branches unchecked: here they are checked.
"""

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED

import numpy as np

from slidewin import __version__
from slidewin.classifier.estimator import EstimatorClassifier
from slidewin.classifier.protocol import Classifier
from slidewin.classifier.storage import as_json
from slidewin.errors import ClassifierError, ModelFileError
from slidewin.output import write_bytes

__all__ = ["load_estimator", "save_estimator"]

_FORMAT = "slidewin-skops-1"
_DESCRIPTION = ("input_size", "context", "target", "thresholds", "about")
_LARGEST_INPUT = 4096  # what a file claims is not allocated without end
# What slidewin saves beside what skops trusts by itself: features, boosted trees, calibration.
_OWN = frozenset(
    {
        "slidewin.features.estimators.WindowFeatures",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.calibration._TemperatureScaling",
    }
)


def save_estimator(classifier: Classifier, path: Path, *, overwrite: bool = False) -> None:
    """Save a classifier made from a scikit-learn estimator, with its description.

    Parameters
    ----------
    classifier : Classifier
        An estimator of types other than scikit-learn's own and slidewin's can be saved, and loaded
        again with ``trusted=True`` alone.
    path : path
        Ends in ``.skops``. Written whole or not at all.
    overwrite : bool, default False

    Raises
    ------
    ClassifierError
        If it is no such classifier, or would not come back from a file as it is.
    OutputError
        If the file cannot be written; OutputExistsError if it is there and ``overwrite`` is false.
    """
    from skops.io import dumps, get_untrusted_types, loads

    if not isinstance(classifier, EstimatorClassifier):
        raise ClassifierError(
            f"{type(classifier).__name__} cannot be saved as skops; only a classifier made from a "
            "scikit-learn estimator can"
        )
    description = {
        "format": _FORMAT,
        "version": __version__,
        "classes": [str(label) for label in classifier.classes_],
        **{name: getattr(classifier, name) for name in _DESCRIPTION},
    }
    text = as_json(description)
    try:
        content = {"slidewin": text, "estimator": classifier.estimator}
        data = dumps(content, compression=ZIP_DEFLATED)
        back = _restore(loads(data, trusted=get_untrusted_types(data=data)))
        side = classifier.input_size
        patches = np.random.default_rng(0).integers(0, 256, (16, side, side, 3), np.uint8)
        kept = np.array_equal(back.predict_proba(patches), classifier.predict_proba(patches))
    except Exception as error:
        raise ClassifierError(
            f"{type(classifier.estimator).__name__} cannot be saved as skops "
            f"({type(error).__name__}: {error}); make it of scikit-learn's own steps"
        ) from error
    if not kept:
        raise ClassifierError(
            f"{type(classifier.estimator).__name__} would not come back from a file as it is; make "
            "it of scikit-learn's own steps"
        )
    write_bytes(path, data, overwrite=overwrite)


def load_estimator(path: Path, *, trusted: bool = False) -> EstimatorClassifier:
    """Load what :func:`save_estimator` saved.

    Parameters
    ----------
    path : path
    trusted : bool, default False
        Whether types that slidewin does not save itself are built, which may run their code.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, not one of slidewin's, or holds other types and is not
        trusted.
    """
    from skops.io import get_untrusted_types, loads

    if not path.is_file():
        raise ModelFileError(f"{path}: no such file; give a model that slidewin saved")
    try:
        data = path.read_bytes()
        types = get_untrusted_types(data=data)  # reads names alone
    except Exception as error:
        raise ModelFileError(
            f"{path}: not a whole skops file ({type(error).__name__}: {error}); copy or save it "
            "again"
        ) from error
    strange = sorted(set(types) - _OWN)
    if strange and not trusted:
        raise ModelFileError(
            f"{path}: holds {', '.join(strange)}, which slidewin does not save itself and which "
            "may run anything when it is opened; if you trust whoever made it, pass trusted=True"
        )
    try:
        classifier = _restore(loads(data, trusted=types))
        classifier.predict_proba(np.zeros((1, *(classifier.input_size,) * 2, 3), np.uint8))
    except Exception as error:
        # Whatever is wrong in a description, it is one error that names the file.
        raise ModelFileError(
            f"{path}: its description does not fit its estimator or this version of slidewin "
            f"({type(error).__name__}: {error}); update slidewin, or save the model again"
        ) from error
    return classifier


def _restore(content: dict[str, Any]) -> EstimatorClassifier:
    description = json.loads(content["slidewin"])
    if description["format"] != _FORMAT:
        raise ValueError(
            f"format {description['format']!r}, where {_FORMAT!r} is read; slidewin "
            f"{description.get('version')} wrote it, and this is {__version__}"
        )
    if not 0 < description["input_size"] <= _LARGEST_INPUT:
        raise ValueError(f"input_size {description['input_size']}, where 1 to {_LARGEST_INPUT} fit")
    _check_trees(content["estimator"])
    return EstimatorClassifier(
        content["estimator"],
        classes=description["classes"],
        **{name: description[name] for name in _DESCRIPTION},
    )


def _check_trees(estimator: Any) -> None:
    """Refuse boosted trees whose branches lead out of them, round in them, or to no feature."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    for part in _parts(estimator):
        if not isinstance(part, HistGradientBoostingClassifier | HistGradientBoostingRegressor):
            continue
        for tree in chain.from_iterable(getattr(part, "_predictors", ())):
            nodes, place = tree.nodes, np.arange(len(tree.nodes))
            forks = nodes["is_leaf"] == 0
            sound = (
                (nodes["left"] > place)
                & (nodes["left"] < len(nodes))
                & (nodes["right"] > place)
                & (nodes["right"] < len(nodes))
                & (nodes["feature_idx"] >= 0)
                & (nodes["feature_idx"] < part.n_features_in_)
                & (nodes["is_categorical"] == 0)
            )
            if not len(nodes) or not sound[forks].all():
                raise ValueError("a tree's branches lead nowhere")


def _parts(thing: Any) -> Iterator[Any]:
    """Everything that an object is made of."""
    seen, rest = set(), [thing]
    while rest:
        part = rest.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        if isinstance(part, dict):
            rest.extend(part.values())
        elif isinstance(part, list | tuple | set):
            rest.extend(part)
        elif isinstance(part, np.ndarray):
            rest.extend(part.flat if part.dtype == object else ())
        elif hasattr(part, "__dict__"):
            rest.extend(vars(part).values())
