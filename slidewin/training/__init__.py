"""Training a classifier of close-ups to be swept over photos."""

from slidewin.training.recipe import train
from slidewin.training.table import read_table

__all__ = ["read_table", "train"]
