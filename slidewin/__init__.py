"""Sliding-window localisation: sweep a close-up classifier over a photo and circle what it found.

>>> import slidewin
>>> photo = slidewin.draw_scene((240, 320), random_state=1).photo
>>> found = slidewin.locate(photo, slidewin.load_classifier(), lesion_size=20)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slidewin.classifier import Classifier, load_classifier
    from slidewin.comparison import compare
    from slidewin.errors import SlidewinError
    from slidewin.finding import Finding, locate
    from slidewin.heatmap import HeatMap
    from slidewin.image import read_image
    from slidewin.saliency import GradCAM
    from slidewin.scene import draw_scene
    from slidewin.sweep import SlidingWindow

__all__ = [
    "Classifier",
    "Finding",
    "GradCAM",
    "HeatMap",
    "SlidewinError",
    "SlidingWindow",
    "compare",
    "draw_scene",
    "load_classifier",
    "locate",
    "read_image",
]

__version__ = "0.1.0.dev0"

_ROOMS = {
    "Classifier": "classifier",
    "Finding": "finding",
    "GradCAM": "saliency",
    "HeatMap": "heatmap",
    "SlidewinError": "errors",
    "SlidingWindow": "sweep",
    "compare": "comparison",
    "draw_scene": "scene",
    "load_classifier": "classifier",
    "locate": "finding",
    "read_image": "image",
}


def __getattr__(name: str) -> Any:
    # Rooms open when they are first entered: importing slidewin costs next to nothing.
    if name not in _ROOMS:
        raise AttributeError(f"module 'slidewin' has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(f"slidewin.{_ROOMS[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
