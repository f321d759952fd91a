"""Scikit-learn estimators in files, saved and loaded without running code.

A file is skops: a zip of arrays and of the names of types, which is read before anything is built.
Types that skops trusts (scikit-learn's estimators, NumPy's arrays) and those in ``_OWN`` are built;
a file that names any other is refused. Of estimators, only those in ``_ESTIMATORS`` are asked: they
compute with NumPy, which looks where it reads, but for trees. Their branches scikit-learn follows
unchecked, so here they are checked, and whatever could bring other columns to them is refused.
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
from slidewin.classifier.storage import LARGEST_INPUT, as_json
from slidewin.errors import ClassifierError, ModelFileError
from slidewin.output import write_bytes

__all__ = ["load_estimator", "save_estimator"]

_FORMAT = "slidewin-skops-1"
_DESCRIPTION = (
    "input_size",
    "context",
    "target",
    "thresholds",
    "temperature",
    "bias",
    "about",
)
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
# What is asked unless a file is trusted: estimators, and what they are made of.
_ESTIMATORS = frozenset(
    {
        "WindowFeatures",
        "Pipeline",
        "HistGradientBoostingClassifier",
        "CalibratedClassifierCV",
        "FrozenEstimator",
        "StandardScaler",
        "MinMaxScaler",
        "MaxAbsScaler",
        "RobustScaler",
        "Normalizer",
        "LogisticRegression",
        "LogisticRegressionCV",
        "SGDClassifier",
        "Perceptron",
        "RidgeClassifier",
        "LinearSVC",
        "IsotonicRegression",
        "LabelBinarizer",
        "LabelEncoder",
        "_BinMapper",
        "_SigmoidCalibration",
        "_TemperatureScaling",
    }
)


def save_estimator(classifier: Classifier, path: Path, *, overwrite: bool = False) -> None:
    """Save a classifier made from a scikit-learn estimator, with its description.

    Parameters
    ----------
    classifier : Classifier
        Boosted trees, linear models, scalers, their calibration and slidewin's features are loaded
        again unasked; what else can be saved, only with ``trusted=True``.
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
        Whether types that slidewin cannot check are built and asked, which may run anything.

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
    is_checked = trusted is not True
    if is_checked:
        _refuse(path, set(types) - _OWN)
    try:
        content = loads(data, trusted=types)
        if is_checked:
            parts = list(_parts(content["estimator"]))
            _refuse(path, _strangers(parts))
            _check_trees(parts)
        classifier = _restore(content)
        classifier.predict_proba(np.zeros((1, *(classifier.input_size,) * 2, 3), np.uint8))
    except ModelFileError:
        raise
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
    if not 0 < description["input_size"] <= LARGEST_INPUT:
        raise ValueError(f"input_size {description['input_size']}, where 1 to {LARGEST_INPUT} fit")
    return EstimatorClassifier(
        content["estimator"],
        classes=description["classes"],
        **{name: description[name] for name in _DESCRIPTION},
    )


def _refuse(path: Path, types: set[str]) -> None:
    if types:
        raise ModelFileError(
            f"{path}: holds {', '.join(sorted(types))}, which slidewin cannot check and which may "
            "run anything when it is opened; if you trust whoever made it, pass trusted=True"
        )


def _strangers(parts: list[Any]) -> set[str]:
    """Names of the types of estimators that are not asked without trust."""
    from sklearn.base import BaseEstimator

    kinds = {type(part) for part in parts if isinstance(part, BaseEstimator)}
    return {
        f"{kind.__module__}.{kind.__name__}" for kind in kinds if kind.__name__ not in _ESTIMATORS
    }


def _check_trees(parts: list[Any]) -> None:
    """Refuse boosted trees whose branches lead out of them, round in them, or to no feature.

    They are bounded by the columns that the file claims; so nothing may keep scikit-learn from
    comparing these with the columns that are there.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    for part in parts:
        methods = [name for name in getattr(part, "__dict__", ()) if hasattr(type(part), name)]
        if methods:
            raise ValueError(f"{type(part).__name__} has another {', '.join(methods)}")
        is_boosted = isinstance(part, HistGradientBoostingClassifier)
        if not is_boosted or not hasattr(part, "_predictors"):  # to be fitted: asks no tree
            continue
        if part._preprocessor is not None:
            raise ValueError("trees of categories cannot be checked; pass trusted=True")
        if getattr(part, "_in_fit", False) or type(part.n_features_in_) is not int:
            raise ValueError("trees that do not look at how many columns they get")
        for tree in chain.from_iterable(part._predictors):
            _check_tree(tree.nodes, part.n_features_in_)


def _check_tree(nodes: Any, columns: int) -> None:
    if type(nodes) is not np.ndarray:  # a masked array would hide nodes from what follows
        raise ValueError(f"a tree's nodes are a {type(nodes).__name__}")
    place = np.arange(len(nodes))
    forks = nodes["is_leaf"] == 0
    sound = (
        (nodes["left"] > place)
        & (nodes["left"] < len(nodes))
        & (nodes["right"] > place)
        & (nodes["right"] < len(nodes))
        & (nodes["feature_idx"] >= 0)
        & (nodes["feature_idx"] < columns)
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
