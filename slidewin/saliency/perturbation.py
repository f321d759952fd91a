"""Methods that hide parts of an image and ask again: no gradients, so any classifier will do.

What is hidden takes the colour of its surroundings. The usual black looks like a lesion.
"""

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from numbers import Real
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from slidewin.classifier import Classifier
from slidewin.classifier.module import ModuleClassifier
from slidewin.errors import ArgumentError, ArgumentTypeError
from slidewin.saliency.explainer import Explainer, Images, Values
from slidewin.saliency.surroundings import surroundings

__all__ = ["RISE", "Occlusion"]


class _Perturbation(Explainer):
    """What Occlusion and RISE have in common."""

    needs_module = False
    thins_out = False  # a probability is no mean over the image

    def __init__(self, classifier: Classifier, *, patch: float = 0.5, **options: Any) -> None:
        super().__init__(classifier, **options)
        if not _is_share(patch, classifier.context):
            raise ArgumentError(
                f"patch={patch!r}: the side of a patch in lesion diameters is needed, above 0 and "
                f"at most {classifier.context:g}, where it hides all of a window"
            )
        self.patch = float(patch)
        # In px of the image explained, where a lesion has the size that the classifier knows.
        lesion = classifier.input_size / classifier.context
        self._side = max(1, round(self.patch * lesion))
        self._around = min(2 * lesion, classifier.input_size)

    @abstractmethod
    def _asks(self, height: int, width: int) -> int:
        """How many images are classified to explain one of this size."""

    def prepare(self) -> Mapping[str, Any]:
        """As :meth:`Explainer.prepare`."""
        return {"patch": self.patch}

    def passes_each(self) -> int:
        """Passes for an image of the classifier's size."""
        return self._asks(self.classifier.input_size, self.classifier.input_size)

    def passes(self, photo_shape: tuple[int, ...]) -> int:
        """Cost of a photo: passes of the network, counted in images of the classifier's size."""
        if self.on in ("input", "windows"):
            return super().passes(photo_shape)
        shapes = [photo_shape[:2]]
        if self.on == "levels":
            shapes = [level.shape for level in self.plan(photo_shape).levels]
        least = self.classifier.input_size
        seen = [[max(least, length) for length in shape] for shape in shapes]
        return math.ceil(sum(math.prod(s) / least**2 * self._asks(*s) for s in seen))

    def _at_a_time(self, images: Images) -> int:
        """How many images of this size may be classified together."""
        larger = math.prod(images.shape[1:3]) / self.classifier.input_size**2
        return max(1, int(self.batch_size / larger))

    def _found(self, images: Images) -> NDArray[np.float32]:
        """Probability (n,) of the target in images (n, h, w, 3)."""
        classifier = self.classifier
        step = self._at_a_time(images)
        if images.shape[1:3] == (classifier.input_size,) * 2:
            answers = [
                classifier.predict_proba(images[i : i + step]) for i in range(0, len(images), step)
            ]
        else:
            answers = [self._of_any_size(images[i : i + step]) for i in range(0, len(images), step)]
        return classifier.target_probability(np.concatenate(answers), self.target)

    def _of_any_size(self, images: Images) -> NDArray[np.float32]:
        import torch

        if not isinstance(self.classifier, ModuleClassifier):  # refused before it comes to this
            raise TypeError(f"{type(self.classifier).__name__} takes images of one size")
        with torch.no_grad():
            scores = self.classifier.scores(self.classifier.to_input(images))
        eps = torch.finfo(scores.dtype).eps if scores.is_floating_point() else 0.0
        rows = scores.float().cpu().numpy().reshape(len(images), -1)
        return self.classifier.from_scores(rows[:, np.newaxis], eps=eps)[:, 0]


class Occlusion(_Perturbation):
    """Occlusion: by how much the probability falls when a patch is hidden. A localiser.

    Parameters
    ----------
    classifier : Classifier
        Any, with ``on="input"`` and ``"windows"``; the other uses need a network of any size.
    patch : float, default 0.5
        Side of a patch, in diameters of a lesion as the classifier knows it: ``input_size /
        context`` px of what it is shown. Patches lie half a patch apart, the last at the border.
    **options
        ``target``, ``on``, ``lesion_size`` ...: as for :class:`Explainer`.

    Notes
    -----
    The score that a map explains is the target's probability. A cell is a patch: its value is the
    probability of the image less that without the patch, or 0 where it rises.

    A patch takes the median colour of its surroundings: squares of two lesion diameters, at most
    as large as the classifier's input.

    By default an image of the classifier's size takes 7 x 7 patches, 50 passes with its own. Larger
    images need more patches, each seen with all of the image, so ``on="photo"`` costs as the
    square of the photo's area, and the default `max_passes` refuses all but small ones. Memory is
    that of one batch.

    References
    ----------
    M. D. Zeiler and R. Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014,
    https://doi.org/10.1007/978-3-319-10590-1_53

    Examples
    --------
    >>> import slidewin
    >>> def by_darkness(patches):
    ...     dark = 1 - patches.mean(axis=(1, 2, 3)) / 255
    ...     return np.stack([1 - dark, dark], axis=1)
    >>> classifier = slidewin.load_classifier(
    ...     by_darkness, classes=["background", "lesion"], input_size=16)
    >>> photo = np.full((16, 16, 3), 255, np.uint8)
    >>> photo[4:8, 8:12] = 0
    >>> (layer,) = Occlusion(classifier).localize(photo).layers
    >>> layer.values.shape, float(layer.values.max()), (4 * 4) / (16 * 16)
    ((7, 7), 0.0625, 0.0625)
    """

    method = "occlusion"

    def explain(self, images: Images) -> Values:
        """As :meth:`Explainer.explain`."""
        hidden = surroundings(images, self._around)
        tops, lefts = (self._origins(length) for length in images.shape[1:3])
        places = [(i, t, c) for i in range(len(images)) for t in tops for c in lefts]
        without = np.empty(len(places), np.float32)
        step, side = self._at_a_time(images), self._side
        for start in range(0, len(places), step):
            some = places[start : start + step]
            changed = images[[i for i, _, _ in some]]
            for image, (i, t, c) in zip(changed, some, strict=True):
                image[t : t + side, c : c + side] = hidden[i, t : t + side, c : c + side]
            without[start : start + step] = self._found(changed)
        drop = self._found(images)[:, np.newaxis] - without.reshape(len(images), -1)
        return drop.clip(0).reshape(len(images), len(tops), len(lefts))

    def centres(self, cells: int, length: int, axis: int) -> NDArray[np.float64]:  # noqa: ARG002
        """As :meth:`Explainer.centres`: those of the patches."""
        return np.array(self._origins(length), np.float64) + self._side / 2

    def _origins(self, length: int) -> list[int]:
        """First px of the patches along an axis: evenly, and the last at the border."""
        last = max(0, length - self._side)
        return [*range(0, last, max(1, self._side // 2)), last]

    def _asks(self, height: int, width: int) -> int:
        return 1 + len(self._origins(height)) * len(self._origins(width))


class RISE(_Perturbation):
    """RISE: the probability expected where a pixel is shown, over random masks. A localiser.

    Parameters
    ----------
    classifier : Classifier
        Any, with ``on="input"`` and ``"windows"``; the other uses need a network of any size.
    n_masks : int, optional
        Masks, an even number, the same for all windows of a photo. By default 256, and 32 with
        ``on="windows"``, where some sixteen windows lie over each place. The paper takes 4000.
    patch : float, default 0.5
        Side of a mask's cells, in diameters of a lesion as the classifier knows it.
    random_state : int, default 0
        Seed of the masks: the same seed, the same map.
    **options
        ``target``, ``on``, ``lesion_size`` ...: as for :class:`Explainer`.

    Notes
    -----
    The score that a map explains is the target's probability. A mask is a coarse lattice of cells,
    each shown with probability 1/2, moved by a random part of a cell and smoothed bilinearly; what
    is hidden takes the median colour of its surroundings. A pixel's value is the mean probability
    of the masked images, weighted by how much of the pixel they show. So a map has a floor, the
    probability of an image half hidden, and lights up where seeing the pixel adds to it.

    Other than in the paper, every second mask shows what the one before hides: each pixel is shown
    just half of the time, a classifier that always answers the same has exactly that for a map,
    and fewer masks do.

    An image takes `n_masks` passes. On a photo as it is, memory grows by some 200 bytes a pixel for
    the default network.

    References
    ----------
    V. Petsiuk, A. Das, K. Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box
    Models", BMVC 2018, https://arxiv.org/abs/1806.07421

    Examples
    --------
    >>> import slidewin
    >>> def always(patches):
    ...     return np.tile([0.75, 0.25], (len(patches), 1))
    >>> classifier = slidewin.load_classifier(
    ...     always, classes=["background", "lesion"], input_size=16)
    >>> np.unique(RISE(classifier).localize(np.zeros((32, 48, 3), np.uint8)).to_pixels())
    array([0.25], dtype=float32)
    """

    method = "RISE"

    def __init__(
        self,
        classifier: Classifier,
        *,
        n_masks: int | None = None,
        patch: float = 0.5,
        random_state: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(classifier, patch=patch, **options)
        if n_masks is None:
            n_masks = 32 if self.on == "windows" else 256
        for name, value, least in (("n_masks", n_masks, 2), ("random_state", random_state, 0)):
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                raise ArgumentTypeError(f"{name}={value!r}: a whole number is needed")
            if value < least or (name == "n_masks" and value % 2):
                kind = "an even" if name == "n_masks" else "a whole"
                raise ArgumentError(f"{name}={value}: {kind} number from {least} up is needed")
        self.n_masks = int(n_masks)
        self.random_state = int(random_state)

    def prepare(self) -> Mapping[str, Any]:
        """As :meth:`Explainer.prepare`."""
        return {**super().prepare(), "n_masks": self.n_masks, "random_state": self.random_state}

    def explain(self, images: Images) -> Values:
        """As :meth:`Explainer.explain`."""
        n, height, width = images.shape[:3]
        hidden = surroundings(images, self._around).astype(np.float32)
        visible = images.astype(np.float32) - hidden
        total = np.zeros((n, height, width))
        for masks in self._masks(height, width, max(1, self._at_a_time(images) // n)):
            weights = masks[:, np.newaxis, ..., np.newaxis]
            masked = np.rint(hidden + weights * visible).astype(np.uint8)
            found = self._found(masked.reshape(-1, height, width, 3)).reshape(len(masks), n)
            total += np.tensordot(found.T.astype(np.float64), masks.astype(np.float64), axes=1)
        # Masks come in pairs that sum to 1.
        return (total / (self.n_masks / 2)).astype(np.float32)

    def _masks(self, height: int, width: int, at_a_time: int) -> Iterator[NDArray[np.float32]]:
        """Random masks (m, height, width) from 0, hidden, to 1, shown; each and its opposite."""
        random = np.random.default_rng(self.random_state)
        side = self._side
        # A cell more than fits, to move by a part of one, and one for what lies between two.
        rows, cols = (-(-length // side) + 2 for length in (height, width))
        made: list[NDArray[np.float32]] = []
        for _ in range(self.n_masks // 2):
            cells = random.integers(0, 2, (rows, cols)).astype(np.float32)
            top, left = random.integers(0, side, 2) + side // 2
            large = cv2.resize(cells, (cols * side, rows * side), interpolation=cv2.INTER_LINEAR)
            mask = np.asarray(large[top : top + height, left : left + width], np.float32)
            made += [mask, 1 - mask]
            while len(made) >= at_a_time:
                yield np.stack(made[:at_a_time])
                made = made[at_a_time:]
        if made:
            yield np.stack(made)

    def _asks(self, height: int, width: int) -> int:  # noqa: ARG002
        return self.n_masks


def _is_share(value: object, most: float) -> bool:
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    return is_number and 0 < float(value) <= most  # type: ignore[arg-type]
