"""What scikit-learn sees: a transformer of patches, and a classifier made with it."""

import math
from typing import Any, Self

import joblib
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted, validate_data

from slidewin.errors import ArgumentError
from slidewin.features.description import Values, describe

__all__ = ["WindowFeatures", "patch_classifier"]

_CHUNK_PIXELS = 2**18  # what fits the processor's cache, with its tables


class WindowFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Colours and textures of patches, for any estimator.

    A patch's features depend on its pixels alone. Over an image they are computed for all windows
    at once by :meth:`of_lattice`, equal to the last bit to those of the windows cut one by one.

    Parameters
    ----------
    input_size : int, optional
        Side ``S`` of the patches. By default the smallest square that holds the columns seen in
        :meth:`fit`, rows that fall short of it being filled up with black.
    n_jobs : int, optional
        Threads for :meth:`transform`, as scikit-learn means it.

    Attributes
    ----------
    input_size_ : int
    n_features_in_ : int

    Examples
    --------
    >>> image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    >>> rows = image[:16, :16].reshape(1, -1)
    >>> features = WindowFeatures().fit(rows)
    >>> features.input_size_
    16
    >>> shared = features.of_lattice(image, tops=(0, 8, 24), lefts=(0, 8, 16, 34))
    >>> shared.shape == (3, 4, len(features.get_feature_names_out()))
    True
    >>> np.array_equal(shared[0, 0], features.transform(rows)[0])
    True
    """

    def __init__(self, input_size: int | None = None, *, n_jobs: int | None = None) -> None:
        self.input_size = input_size
        self.n_jobs = n_jobs

    def fit(self, X: ArrayLike, y: object = None) -> Self:  # noqa: ARG002 - scikit-learn's
        """Note the size of the patches; nothing else is learned.

        Parameters
        ----------
        X : array_like of shape (n, S * S * 3)
            Patches as rows, ``patch.reshape(-1)``, of pixels from 0 to 255. What is not uint8 is
            rounded and clipped to it.
        y : object
            Ignored.

        Raises
        ------
        ArgumentError
            If ``input_size`` is given and the rows are of another.
        """
        columns = validate_data(self, X, dtype="numeric").shape[1]
        side = self.input_size
        if side is None:
            side = math.isqrt(math.ceil(columns / 3) - 1) + 1
        elif isinstance(side, bool) or not isinstance(side, int | np.integer) or side < 1:
            raise ArgumentError(f"input_size={side!r}: a whole number of pixels is needed, or None")
        elif columns != side * side * 3:
            raise ArgumentError(
                f"input_size={side}: patches of {side} x {side} x 3 have {side * side * 3} values, "
                f"and X has {columns} columns"
            )
        self.input_size_ = int(side)
        return self

    def transform(self, X: ArrayLike) -> Values:
        """Features of patches.

        Parameters
        ----------
        X : array_like of shape (n, S * S * 3)
            As in :meth:`fit`.

        Returns
        -------
        ndarray of shape (n, d), float64
            In the order of :meth:`get_feature_names_out`.
        """
        check_is_fitted(self)
        rows = validate_data(self, X, dtype="numeric", reset=False)
        chunk = max(1, _CHUNK_PIXELS // self.input_size_**2)
        pool = joblib.Parallel(n_jobs=self.n_jobs, prefer="threads")
        parts = pool(
            joblib.delayed(self._of_rows)(rows[start : start + chunk])
            for start in range(0, len(rows), chunk)
        )
        return np.concatenate(parts)

    def _of_rows(self, rows: NDArray[Any]) -> Values:
        side, n = self.input_size_, len(rows)
        if rows.dtype != np.uint8:
            rows = np.rint(np.clip(rows, 0, 255)).astype(np.uint8)
        if missing := side * side * 3 - rows.shape[1]:
            rows = np.pad(rows, ((0, 0), (0, missing)))
        # One below the other the patches are an image, in which they do not overlap.
        image = rows.reshape(n * side, side, 3)
        return _features(image, np.arange(n) * side, np.array([0]), side)

    def of_lattice(self, image: NDArray[np.uint8], tops: ArrayLike, lefts: ArrayLike) -> Values:
        """Features of all windows of a lattice, shared where they overlap.

        Parameters
        ----------
        image : ndarray of shape (h, w, 3), uint8
        tops, lefts : sequence of int, of lengths m and n
            First rows and first columns of the windows, of side ``input_size_``.

        Returns
        -------
        ndarray of shape (m, n, d), float64
            Beside it, about 40 bytes of memory for each pixel of the image are needed.
        """
        check_is_fitted(self)
        rows, columns = np.asarray(tops), np.asarray(lefts)
        # Nothing is computed but what the windows hold.
        first, stop = rows.min(), rows.max() + self.input_size_
        band = np.ascontiguousarray(image[first:stop])
        values = _features(band, rows - first, columns, self.input_size_)
        return values.reshape(len(rows), len(columns), -1)

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:  # noqa: ARG002
        """Names of the features, such as ``"grey_contrast_0"``; the number is the region's."""
        check_is_fitted(self)
        image, origin = np.zeros((1, 1, 3), np.uint8), np.array([0])
        described = describe(image, origin, origin, 1)
        return np.array([f"{name}_{i}" for name, v in described for i in range(len(v))], object)


def patch_classifier(
    estimator: Any = None, *, random_state: int | None = None, n_jobs: int | None = None
) -> Pipeline:
    """Make a classifier of patches from any estimator, to be fitted.

    Parameters
    ----------
    estimator : scikit-learn classifier, optional
        Gets the features; to calibrate it, give ``CalibratedClassifierCV(estimator)``. By default
        a gradient boosting of trees, which uses all threads that OpenMP is allowed.
    random_state : int, optional
        Seed of the default estimator.
    n_jobs : int, optional
        Threads that compute features.

    Returns
    -------
    Pipeline
        Of the steps ``"features"`` and ``"classifier"``. ``fit(X, y)`` takes patches as rows
        (n, S * S * 3), uint8, and their labels; :func:`slidewin.load_classifier` takes what is
        fitted.

    Raises
    ------
    ArgumentError
        If a seed is given for another estimator, which has its own.

    Examples
    --------
    >>> import slidewin
    >>> rng = np.random.default_rng(0)
    >>> light, dark = rng.integers(128, 256, (40, 16, 16, 3)), rng.integers(0, 128, (40, 16, 16, 3))
    >>> patches = np.concatenate([light, dark]).astype(np.uint8)
    >>> labels = ["background"] * 40 + ["lesion"] * 40
    >>> fitted = patch_classifier(random_state=0).fit(patches.reshape(80, -1), labels)
    >>> slidewin.load_classifier(fitted)
    EstimatorClassifier(classes=['background', 'lesion'], input_size=16, context=2, target='lesion')
    """
    if estimator is None:
        estimator = HistGradientBoostingClassifier(
            max_iter=250,
            learning_rate=0.06,
            max_leaf_nodes=15,
            max_features=0.3,
            l2_regularization=1.0,
            # Stopping early would judge by windows of the very lesions that are learned from.
            early_stopping=False,
            random_state=random_state,
        )
    elif random_state is not None:
        raise ArgumentError(
            f"random_state={random_state}: for the default estimator; set that of "
            f"{type(estimator).__name__} where it is made"
        )
    return Pipeline([("features", WindowFeatures(n_jobs=n_jobs)), ("classifier", estimator)])


def _features(
    image: NDArray[np.uint8], tops: NDArray[np.intp], lefts: NDArray[np.intp], side: int
) -> Values:
    """Features (m * n, d) of the windows of a lattice."""
    values = [v for _, v in describe(image, tops, lefts, side)]
    return np.ascontiguousarray(np.concatenate(values).T)
