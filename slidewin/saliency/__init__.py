"""Other localisers: what people call heat maps, as the same kind of map as the sweep's."""

from slidewin.saliency.attention import AttentionPooling, load_attention
from slidewin.saliency.cam import (
    EigenCAM,
    GradCAM,
    GradCAMPlusPlus,
    HiResCAM,
    LayerCAM,
    ScoreCAM,
)
from slidewin.saliency.explainer import Explainer
from slidewin.saliency.gradient import (
    Deconvolution,
    GuidedBackprop,
    IntegratedGradients,
    Saliency,
)
from slidewin.saliency.layer import CAM
from slidewin.saliency.perturbation import RISE, Occlusion
from slidewin.saliency.relevance import LRP

__all__ = [
    "CAM",
    "LRP",
    "RISE",
    "AttentionPooling",
    "Deconvolution",
    "EigenCAM",
    "Explainer",
    "GradCAM",
    "GradCAMPlusPlus",
    "GuidedBackprop",
    "HiResCAM",
    "IntegratedGradients",
    "LayerCAM",
    "Occlusion",
    "Saliency",
    "ScoreCAM",
    "load_attention",
]
