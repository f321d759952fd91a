"""Attention over windows as a localiser, learned from labels of whole photos."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from slidewin.classifier import Classifier
from slidewin.errors import ArgumentError, ArgumentTypeError, ModelFileError
from slidewin.grid import Grid
from slidewin.heatmap import HeatMap
from slidewin.image import check_image, read_image
from slidewin.saliency.attention_file import plain_numbers, read_attention, write_attention
from slidewin.saliency.instances import Instances, WindowInstances
from slidewin.sweep.layers import settings_of

if TYPE_CHECKING:
    from slidewin.saliency.attention_fit import GatedAttention

__all__ = ["AttentionPooling", "load_attention"]

Photo = NDArray[np.uint8] | str | os.PathLike[str]


class AttentionPooling:
    """Gated attention over a photo's windows, learned from photo labels alone: a localiser.

    The classifier is left as it is. For each window of the sweep's plan it gives an instance: what
    its network knows just before its last layer, its class probabilities and their logarithms; of a
    classifier that is no torch module, the latter two alone. A photo is the mean of its instances,
    weighted by attention; from that mean its label is predicted. Where the attention is, no label
    has said.

    Parameters
    ----------
    classifier : Classifier
        From :func:`slidewin.load_classifier`.
    target : str, optional
        Whose probability attention is multiplied by where `times_score` asks for it; as for the
        sweep.
    lesion_size, stride
        As for :class:`slidewin.SlidingWindow`: its windows are the ones used. So by default they
        stand half a lesion apart, or a quarter where they share their work and that costs no more.
    times_score : bool, default False
        Whether maps show attention times the window's probability of the target. Attention says
        which windows decide, for either label; the product, which of them also look like the
        target.
    hidden : int, default 64
        Width of the attention's hidden layer.
    epochs : int, default 100
        Times that each photo is seen, at most.
    validation : float, default 0.2
        Share of the photos, of each label, that say when to stop: after ten epochs whose loss is no
        smaller by 0.005. One photo of each label at least is held out, and one is fitted. With 0
        all photos are fitted for all epochs. Photos of one person may fall on either side.
    random_state : int, numpy.random.Generator or None, default 0
        The same photos, labels and number give the same weights.
    batch_size, n_jobs, max_windows, verbose
        As for :class:`slidewin.SlidingWindow`.

    Attributes
    ----------
    classes_ : ndarray of shape (2,), int
        0 and 1.
    training_ : dict
        What is known of the fit: photos, epochs, losses, and the AUC on the photos held out, which
        chose the epoch and so flatter it a little.

    Notes
    -----
    **The map's scale.** Attention proper adds up to 1 over every photo, so in every photo something
    lights up, lesion or none. The map shows what attention is made of before it is divided by that
    sum: ``exp(score)``, over its mean on the training windows. 1 is as much as a window of the
    training photos has on average, 10 ten times as much, in any photo. It is above 0 and has no
    upper end; its unit is "raw".

    While it is fitted, all instances of all photos are held: 4 bytes for each window and feature.
    With the default network (134 numbers) and lesion sizes (some 23 000 windows a photo) these are
    12 MB a photo, and at ``stride=0.5`` a quarter of it. A localisation holds those of its photo
    alone.

    References
    ----------
    Ilse, Tomczak, Welling, "Attention-based Deep Multiple Instance Learning", ICML 2018,
    https://arxiv.org/abs/1802.04712

    Examples
    --------
    Photos with a dark spot somewhere are labelled 1:

    >>> import slidewin
    >>> def by_darkness(patches):
    ...     dark = 1 - patches.mean(axis=(1, 2, 3)) / 255
    ...     return np.stack([1 - dark, dark], axis=1)
    >>> classifier = slidewin.load_classifier(
    ...     by_darkness, classes=["background", "lesion"], input_size=8)
    >>> rng = np.random.default_rng(0)
    >>> photos = rng.integers(200, 256, (20, 32, 48, 3)).astype(np.uint8)
    >>> photos[:10, 8:16, 20:28] = 0
    >>> pooling = AttentionPooling(classifier, lesion_size=8, verbose=0)
    >>> pooling = pooling.fit(photos, [1] * 10 + [0] * 10)
    >>> heat = pooling.localize(photos[0]).to_pixels()
    >>> bool(heat[12, 24] > 2 * heat[2, 2])
    True
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        target: str | None = None,
        lesion_size: float | tuple[float, float] | None = None,
        stride: float | None = None,
        times_score: bool = False,
        hidden: int = 64,
        epochs: int = 100,
        validation: float = 0.2,
        random_state: int | np.random.Generator | None = 0,
        batch_size: int = 64,
        n_jobs: int | None = None,
        max_windows: int = 1_000_000,
        verbose: int = 1,
    ) -> None:
        for name, value in (("hidden", hidden), ("epochs", epochs)):
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise ArgumentError(f"{name}={value!r}: a whole number from 1 up is needed")
        if isinstance(validation, bool) or not 0 <= validation < 1:
            raise ArgumentError(f"validation={validation!r}: a share from 0 to less than 1")
        lesion_size, stride = plain_numbers(lesion_size), plain_numbers(stride)
        self._instances = WindowInstances(
            classifier,
            target=target,
            lesion_size=lesion_size,
            stride=stride,
            batch_size=batch_size,
            n_jobs=n_jobs,
            max_windows=max_windows,
        )
        self.classifier = classifier
        self.target = self._instances.target
        self.lesion_size, self.stride = lesion_size, stride
        self.times_score = times_score
        self.hidden, self.epochs, self.validation = int(hidden), int(epochs), float(validation)
        self.random_state = random_state
        self.verbose = verbose
        self.classes_ = np.array([0, 1])
        self.training_: dict[str, Any] = {}
        self._pooling: GatedAttention | None = None

    @property
    def method(self) -> str:
        """``"attention"``, or ``"attention times score"``."""
        return "attention times score" if self.times_score else "attention"

    def plan(self, photo_shape: tuple[int, ...]) -> Grid:
        """Plan the windows for a photo of this shape: the sweep's, where both share their work."""
        return self._instances.plan(photo_shape)

    def passes(self, photo_shape: tuple[int, ...]) -> int:
        """Windows that the network is asked about for a photo of this shape."""
        return len(self.plan(photo_shape))

    def fit(self, photos: Iterable[Photo], labels: ArrayLike) -> Self:
        """Learn from photos of which it is known whether they show the target, and not where.

        Parameters
        ----------
        photos : iterable of ndarray of shape (H, W, 3), uint8, or of path
            Taken one at a time; files are read as :func:`slidewin.read_image` does.
        labels : array_like of shape (photos,)
            1 or True for a photo that shows the target, 0 or False for one that does not.

        Returns
        -------
        AttentionPooling
            Itself.

        Raises
        ------
        ArgumentError, ArgumentTypeError
            If labels and photos are not as many, one of the labels has fewer than two photos, or a
            photo cannot be used.
        SlidewinError
            As for :meth:`slidewin.SlidingWindow.localize`.
        """
        from slidewin.saliency.attention_fit import check_labels, fit_attention

        truth = check_labels(labels)
        each = _each(photos)
        if isinstance(photos, Sequence | np.ndarray) and len(photos) != len(truth):
            raise ArgumentError(f"labels: found {len(truth)} for {len(photos)} photos")
        rng = np.random.default_rng(self.random_state)
        bar = tqdm(each, total=len(truth), desc="photos", disable=not self.verbose)
        bags = [self._instances.of(_read(photo)).values for photo in bar]
        if len(bags) != len(truth):
            raise ArgumentError(f"labels: found {len(truth)} for {len(bags)} photos")
        self._pooling, record = fit_attention(
            bags,
            truth,
            hidden=self.hidden,
            epochs=self.epochs,
            validation=self.validation,
            rng=rng,
            verbose=bool(self.verbose),
        )
        self.training_ = record
        return self

    def predict_proba(self, photos: Iterable[Photo]) -> NDArray[np.float32]:
        """Probability that a photo shows the target, as far as the training photos are like it.

        Parameters
        ----------
        photos : iterable of ndarray of shape (H, W, 3), uint8, or of path

        Returns
        -------
        ndarray of shape (photos, 2), float32
            Of labels 0 and 1; rows sum to 1.

        Raises
        ------
        SlidewinError
            As for :meth:`fit`; ArgumentError if it is not fitted.
        """
        self._fitted()
        bar = tqdm(_each(photos), desc="photos", disable=not self.verbose)
        logits = [self._pool(self._instances.of(_read(photo)))[0] for photo in bar]
        found = 1 / (1 + np.exp(-np.array(logits, np.float64)))
        return np.stack([1 - found, found], axis=1).astype(np.float32)

    def localize(self, photo: Any, *, times_score: bool | None = None) -> HeatMap:
        """Map attention over a photo.

        Parameters
        ----------
        photo : ndarray of shape (H, W, 3), uint8
        times_score : bool, optional
            By default as it was made.

        Returns
        -------
        HeatMap
            Raw values, 0 and up, comparable from photo to photo; layers as those of the sweep.

        Raises
        ------
        SlidewinError
            As for :meth:`slidewin.SlidingWindow.localize`; ArgumentError if it is not fitted.
        """
        fitted = self._fitted()
        times_score = self.times_score if times_score is None else times_score
        windows = self._instances.of(check_image(photo))
        logit, scores = self._pool(windows)
        values = np.exp(scores - float(fitted.log_mean))
        if times_score:
            values = values * windows.probability
        grid = windows.grid
        return HeatMap(
            grid.photo_shape,
            windows.layers(values),
            method="attention times score" if times_score else "attention",
            unit="raw",
            settings={
                "target": self.target,
                **settings_of(grid),
                "hidden": self.hidden,
                "photo_probability": float(1 / (1 + np.exp(-logit))),
                "training": self.training_,
            },
        )

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Save what was learned; the classifier is not in the file, but its hash is.

        Parameters
        ----------
        path : path
            Ends in ``.safetensors``.
        overwrite : bool, default False

        Raises
        ------
        ArgumentError
            If it is not fitted, or the classifier has no hash: nobody could tell whose it is.
        ModelFileError
            If the path ends otherwise.
        OutputError
            If the file cannot be written; OutputExistsError if it is there and ``overwrite`` is
            false.
        """
        fitted, size = self._fitted(), self.lesion_size
        description = {
            "target": self.target,
            "lesion_size": list(size) if isinstance(size, tuple | list) else size,
            "stride": self.stride,
            "hidden": self.hidden,
            "training": self.training_,
        }
        write_attention(
            Path(path), fitted.state_dict(), description, self.classifier, overwrite=overwrite
        )

    def _fitted(self) -> "GatedAttention":
        if self._pooling is None:
            raise ArgumentError(
                "this attention has not learned anything yet; call fit(photos, labels), or load "
                "one with slidewin.saliency.load_attention(path, classifier)"
            )
        return self._pooling

    def _pool(self, windows: Instances) -> tuple[float, NDArray[np.float64]]:
        """Logit of the photo, and scores (n,) of its windows."""
        import torch

        with torch.inference_mode():
            pooled = self._fitted()(torch.from_numpy(windows.values))
        return float(pooled.logit), pooled.scores.double().numpy()

    def __repr__(self) -> str:
        photos = self.training_.get("photos")
        fitted = "not fitted" if photos is None else f"fitted to {photos} photos"
        return f"AttentionPooling({self.classifier!r}, {self.method}, {fitted})"


def load_attention(
    path: str | Path,
    classifier: Classifier,
    *,
    times_score: bool = False,
    batch_size: int = 64,
    n_jobs: int | None = None,
    max_windows: int = 1_000_000,
    verbose: int = 1,
) -> AttentionPooling:
    """Load what :meth:`AttentionPooling.save` saved, for the classifier that it was learned with.

    Parameters
    ----------
    path : path
    classifier : Classifier
    times_score, batch_size, n_jobs, max_windows, verbose
        As for :class:`AttentionPooling`; how much work is taken on is not the file's to say.

    Returns
    -------
    AttentionPooling

    Raises
    ------
    ModelFileError
        If the file is missing, damaged or not one of these.
    ArgumentError
        If it was learned with another classifier.
    """
    from slidewin.saliency.attention_fit import GatedAttention

    path = Path(path)
    description, tensors = read_attention(path, classifier)
    try:
        size = description["lesion_size"]
        pooling = AttentionPooling(
            classifier,
            target=description["target"],
            lesion_size=tuple(size) if isinstance(size, list) else size,
            stride=description["stride"],
            times_score=times_score,
            hidden=description["hidden"],
            batch_size=batch_size,
            n_jobs=n_jobs,
            max_windows=max_windows,
            verbose=verbose,
        )
        fitted = GatedAttention(tensors["mean"].numel(), pooling.hidden)
        fitted.load_state_dict(tensors)
        pooling.training_ = dict(description["training"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelFileError(
            f"{path}: its description does not fit its weights or this version of slidewin "
            f"({type(error).__name__}: {error}); update slidewin, or fit and save it again"
        ) from error
    pooling._pooling = fitted.eval().requires_grad_(False)
    return pooling


def _each(photos: Iterable[Photo]) -> Iterable[Photo]:
    single = isinstance(photos, str | os.PathLike) or getattr(photos, "ndim", 4) == 3
    if single or not isinstance(photos, Iterable):
        raise ArgumentTypeError("photos: found one photo; give several, as in [photo]")
    return photos


def _read(photo: Photo) -> NDArray[np.uint8]:
    return read_image(photo) if isinstance(photo, str | os.PathLike) else check_image(photo)
