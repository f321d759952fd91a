"""Training a classifier of close-ups to be swept over photos."""

from slidewin.training.fit import train
from slidewin.training.source import read_table

__all__ = ["read_table", "train"]
