"""Classifiers of close-ups: one protocol, adapters for what people have, safe files."""

from slidewin.classifier.loading import load_classifier
from slidewin.classifier.protocol import Classifier
from slidewin.classifier.storage import save_file

__all__ = ["Classifier", "load_classifier", "save_file"]
