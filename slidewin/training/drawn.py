"""What the trainer draws for itself: cloth, wood, skin, hands, lesions, known for what they are."""

from dataclasses import replace

import joblib
import numpy as np

from slidewin.scene import (
    PATTERNS,
    draw_cloth,
    draw_lesion,
    draw_paper,
    draw_scene,
    draw_skin,
    draw_wood,
)
from slidewin.training.source import STORED_DIAMETER, Background, Lesion

__all__ = ["draw_backgrounds", "draw_lesions"]

_SCENE_SHAPE = (600, 800)
_PIECE = (256, 256)
# Blots of the size at which a classifier sees a lesion, and up to three times that: sharp ones.
_BLOTS = (24.0, 90.0)
_MELANOMA_LIKE = "blots"
# What photographed ones are called: under a name of their own they would pass for a rare diagnosis.
_DIAGNOSES = {"melanoma": "melanoma", "mole": "nevus"}


def draw_backgrounds(n: int, *, seed: tuple[int, ...], pool: joblib.Parallel) -> list[Background]:
    """Draw hands on printed cloth, pieces of cloth and pieces of skin, without any lesion.

    Parameters
    ----------
    n : int
        Pieces of cloth, wood and paper; two thirds as many hands and a third as many pieces of
        skin. Half of the pieces, and of the cloths under hands, have melanoma-like blots.
    seed : tuple of int
        The same seed draws the same.
    pool : joblib.Parallel
        Draws them.

    Returns
    -------
    list of Background
        Hands first.
    """
    drawn: list[Background] = pool(
        [joblib.delayed(_hand)(i, (*seed, 0, i)) for i in range(2 * n // 3)]
        + [joblib.delayed(_piece)(i, (*seed, 1, i)) for i in range(n)]
        + [joblib.delayed(_skin)((*seed, 2, i)) for i in range(n // 3)]
    )
    return drawn


def draw_lesions(n: int, *, columns: dict[str, int], seed: tuple[int, ...]) -> list[Lesion]:
    """Draw ``n`` lesions of each kind on drawn skin.

    Parameters
    ----------
    n : int
    columns : dict of str to int
        Column of the class for each kind to be drawn: ``"melanoma"``, ``"mole"``.
    seed : tuple of int

    Returns
    -------
    list of Lesion
    """
    lesions = []
    for kind, column in columns.items():
        for i in range(n):
            rng = np.random.default_rng((*seed, i, kind == "mole"))
            skin = draw_skin((192, 192), random_state=rng)
            image, mask = draw_lesion(
                skin, centre=(96, 96), diameter=STORED_DIAMETER, random_state=rng, kind=kind
            )
            lesion = Lesion.cut(image, mask.astype(np.uint8) * 255, column)
            if lesion is not None:
                lesions.append(replace(lesion, diagnosis=_DIAGNOSES[kind]))
    return lesions


def _hand(i: int, seed: tuple[int, ...]) -> Background:
    rng = np.random.default_rng(seed)
    scene = draw_scene(
        _SCENE_SHAPE,
        lesion_size=float(np.exp(rng.uniform(*np.log(_BLOTS)))),
        random_state=rng,
        lesion=False,
        pattern=_MELANOMA_LIKE if i % 2 else str(rng.choice(PATTERNS)),
    )
    return Background(scene.photo, skin=scene.skin)


def _piece(i: int, seed: tuple[int, ...]) -> Background:
    rng = np.random.default_rng(seed)
    luck = rng.random()
    if i % 2:
        image = draw_cloth(_PIECE, random_state=rng, pattern=_MELANOMA_LIKE)
    elif luck < 0.7:
        image = draw_cloth(_PIECE, random_state=rng)
    else:
        image = (draw_wood if luck < 0.85 else draw_paper)(_PIECE, random_state=rng)
    return Background(image, skin=np.zeros(_PIECE, bool))


def _skin(seed: tuple[int, ...]) -> Background:
    image = draw_skin(_PIECE, random_state=np.random.default_rng(seed))
    return Background(image, skin=np.ones(_PIECE, bool))
