"""One family of errors and one of warnings.

Every error is a :class:`SlidewinError` and also the built-in that a caller would expect, so both
``except slidewin.SlidewinError`` and ``except FileNotFoundError`` do what they say. A message
names the argument or file, what was found, what is accepted and what to do next.
"""

__all__ = [
    "ArgumentError",
    "ArgumentTypeError",
    "ClassifierError",
    "ImageMissingError",
    "ImageReadError",
    "MissingPackageError",
    "ModelFileError",
    "OutputError",
    "OutputExistsError",
    "SharingError",
    "SlidewinError",
    "SlidewinWarning",
    "SweepError",
]


class SlidewinError(Exception):
    """Base of every error that slidewin raises on purpose."""


class ArgumentError(SlidewinError, ValueError):
    """An argument has a value that cannot be used."""


class ArgumentTypeError(SlidewinError, TypeError):
    """An argument is of a type that cannot be used."""


class ImageReadError(SlidewinError, OSError):
    """A file could not be read as one whole image."""


class ImageMissingError(ImageReadError, FileNotFoundError):
    """There is no file at the path given for an image."""


class ClassifierError(SlidewinError, ValueError):
    """A classifier, or what it returned, cannot be used."""


class ModelFileError(SlidewinError, OSError):
    """A model file is missing, damaged, or of a kind that is not loaded."""


class MissingPackageError(SlidewinError, ImportError):
    """An optional package is needed for what was asked."""


class OutputError(SlidewinError, OSError):
    """An output could not be written."""


class OutputExistsError(OutputError, FileExistsError):
    """An output is already there and overwriting was not asked for."""


class SweepError(SlidewinError, RuntimeError):
    """A sweep was cut short; the message says where."""


class SharingError(SlidewinError, ValueError):
    """Windows cannot share their work; the message says which layer or property is to blame."""


class SlidewinWarning(UserWarning):
    """Something a user should know that does not stop the work."""
