"""Classifiers of close-ups: one protocol, adapters for what people have, safe files."""

from slidewin.classifier.checkup import Checkup, Remark, check
from slidewin.classifier.export import export_onnx
from slidewin.classifier.loading import load_classifier
from slidewin.classifier.protocol import Classifier
from slidewin.classifier.storage import save_file

__all__ = [
    "Checkup",
    "Classifier",
    "Remark",
    "check",
    "export_onnx",
    "load_classifier",
    "save_file",
]
