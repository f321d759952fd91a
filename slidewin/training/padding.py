"""How much of a class the border of its pictures gives away.

Who cuts close-ups to one ratio of window to lesion and pads what lies outside the picture teaches
the padding: melanomas are larger in their pictures than moles, so more of their windows lies
outside. These two figures say what a classifier could learn from that alone: ``padding_auc`` of
close-ups cut so, ``drawn_padding_auc`` of the windows that the trainer draws. 0.5 is nothing.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from slidewin.training.source import Background, Lesion
from slidewin.training.windows import WindowSource

__all__ = ["drawn_padding_auc", "padding_auc", "share_outside"]

_PER_CLASS = 300  # lesions that stand for a class
_BORDER = 2  # painted, in pixels of the stored picture
_SKIN, _GREEN = (200, 100, 200), (0, 255, 0)
_GRAIN = 8
_GROUND = 512  # px, about as large as photos are


def padding_auc(lesions: Sequence[Lesion], column: int, *, context: float) -> float | None:
    """Tell a class from other lesions by how much of the close-up lies outside its picture.

    Parameters
    ----------
    lesions : sequence of Lesion
        With the whole of their pictures.
    column : int
        Column of the class.
    context : float
        Side of the close-up, which is centred on the lesion, over its diameter.

    Returns
    -------
    float or None
        ROC AUC in 0 to 1; None without lesions of the class, or of others.

    Examples
    --------
    >>> image = np.zeros((128, 128, 3), np.uint8)
    >>> def lesion(row, label):
    ...     mask = np.zeros((128, 128), bool)
    ...     mask[row - 20 : row + 20, 44:84] = True
    ...     return Lesion(image, mask, label, Background(image))
    >>> inside, at_the_border = lesion(64, 1), lesion(24, 2)
    >>> padding_auc([inside, at_the_border], 2, context=2.0)
    1.0
    >>> padding_auc([inside, at_the_border], 2, context=0.5)
    0.5
    """
    outside = [share_outside(lesion, context * lesion.diameter / 2) for lesion in lesions]
    return _auc([lesion.label == column for lesion in lesions], outside)


def drawn_padding_auc(
    source: WindowSource, column: int, *, n_windows: int = 6000, random_state: int = 0
) -> float | None:
    """Tell a class from other lesions by how much of the picture's border its windows show.

    The windows are those that `source` draws, of the same outlines, but of pictures painted in
    one colour, with another colour at their border and beyond: all shows that runs over a border,
    that of a crop too, or where a lesion laid on other skin is cut short.

    Parameters
    ----------
    source : WindowSource
        No more than 300 lesions of each class are taken, and no mined places.
    column : int
        Column of the class; 0 tells windows on any lesion from those of the background.
    n_windows : int
        Windows drawn, of which but for column 0 those on a lesion count.
    random_state : int
        Seed.

    Returns
    -------
    float or None
        ROC AUC in 0 to 1; None without lesions of the class, or of others.
    """
    rng = np.random.default_rng(random_state)
    skin = _painted((_GROUND, _GROUND), rng)
    ground = Background(skin, skin=np.ones(skin.shape[:2], bool))
    lesions = [
        replace(lesion, image=_framed(_painted(lesion.mask.shape, rng)), surroundings=ground)
        for label in sorted({lesion.label for lesion in source.lesions})
        for lesion in _some([x for x in source.lesions if x.label == label], rng)
    ]
    painted = replace(
        source,
        lesions=lesions,
        backgrounds=[ground],
        drawn=[],
        mined=[],
        distortions=(),
        beyond=_GREEN,
    )
    patches, labels = painted.draw(n_windows, rng)
    if column:
        patches, labels = patches[labels > 0], labels[labels > 0] == column
    shown = patches.astype(np.int16)
    green = 2 * shown[..., 1] > shown[..., 0] + shown[..., 2]
    return _auc(labels > 0, green.mean(axis=(1, 2)))


def share_outside(lesion: Lesion, half: float) -> float:
    """Share of a close-up centred on a lesion, ``half`` its side, that is outside its picture."""
    shape = np.array(lesion.mask.shape)
    centre = np.argwhere(lesion.mask).mean(axis=0) + 0.5
    inside = np.minimum(centre + half, shape) - np.maximum(centre - half, 0)
    # Rounded, so that a window inside its picture has nothing outside, and not 1e-16.
    return max(0.0, round(float(1 - np.prod(inside / (2 * half))), 9))


def _auc(
    is_class: NDArray[np.bool_] | Sequence[bool], outside: NDArray[np.floating] | Sequence[float]
) -> float | None:
    if len(set(map(bool, is_class))) < 2:
        return None
    return float(roc_auc_score(is_class, outside))


def _some(lesions: Sequence[Lesion], rng: np.random.Generator) -> list[Lesion]:
    order = rng.permutation(len(lesions))[:_PER_CLASS]
    return [lesions[i] for i in order]


def _painted(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Skin of one colour, with the grain of what is not blank."""
    grain = rng.integers(-_GRAIN, _GRAIN + 1, (*shape[:2], 1))
    return np.asarray(np.array(_SKIN) + grain, np.uint8)


def _framed(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    framed = np.full_like(image, _GREEN)
    inner = (slice(_BORDER, -_BORDER),) * 2
    framed[inner] = image[inner]
    return framed
