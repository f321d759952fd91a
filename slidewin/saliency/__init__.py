"""Other localisers: what people call heat maps, as the same kind of map as the sweep's."""

from slidewin.saliency.cam import (
    EigenCAM,
    GradCAM,
    GradCAMPlusPlus,
    HiResCAM,
    LayerCAM,
    ScoreCAM,
)
from slidewin.saliency.explainer import Explainer
from slidewin.saliency.layer import CAM

__all__ = [
    "CAM",
    "EigenCAM",
    "Explainer",
    "GradCAM",
    "GradCAMPlusPlus",
    "HiResCAM",
    "LayerCAM",
    "ScoreCAM",
]
