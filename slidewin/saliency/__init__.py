"""Other localisers: what people call heat maps, as the same kind of map as the sweep's."""

from slidewin.saliency.gradcam import GradCAM

__all__ = ["GradCAM"]
