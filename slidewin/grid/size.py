"""Lesion sizes as people say them: in photo pixels, or in per cent of the photo's short side."""

import math
from numbers import Real
from typing import Any

from slidewin.errors import ArgumentError, ArgumentTypeError

__all__ = ["LesionSize", "check_size", "size_in_pixels"]

LesionSize = float | str | tuple[float | str, float | str]
"""A diameter in photo pixels, or such as ``"4%"``; or the smallest and the largest."""


def check_size(size: Any) -> LesionSize | None:
    """Return a lesion size in the one form that it has from here on.

    Parameters
    ----------
    size : number, str or sequence of such
        One diameter, in photo pixels or, such as ``"4%"``, of the short side; or the smallest and
        the largest. None is what whoever uses it takes by default.

    Returns
    -------
    float, str, pair of such, or None
        Pixels as floats, per cent as text.

    Raises
    ------
    ArgumentError
        If a text is neither a number nor a percentage, or there are more than two.
    ArgumentTypeError
        If it is no size at all.

    Examples
    --------
    >>> check_size(["4%", "64"]), check_size(20)
    (('4%', 64.0), 20.0)
    """
    if size is None or isinstance(size, Real | str):
        return None if size is None else _one(size, size)
    try:
        sizes = [_one(one, size) for one in size]
    except TypeError as error:
        if isinstance(error, ArgumentTypeError):
            raise
        raise ArgumentTypeError(_refusal(size)) from None
    if len(sizes) not in (1, 2):
        raise ArgumentError(
            f"lesion_size={size!r} (--lesion-size): one size is needed, or the smallest and the "
            "largest"
        )
    return sizes[0] if len(sizes) == 1 else (sizes[0], sizes[1])


def size_in_pixels(size: Any, short_side: int) -> float | tuple[float, float] | None:
    """A lesion size in photo pixels, for a photo with this short side.

    Takes and refuses what :func:`check_size` does.

    Examples
    --------
    >>> size_in_pixels(("5%", "25%"), 400)
    (20.0, 100.0)
    """
    checked = check_size(size)
    if checked is None:
        return None
    if isinstance(checked, tuple):
        return _pixels(checked[0], short_side), _pixels(checked[1], short_side)
    return _pixels(checked, short_side)


def _one(size: Any, given: Any) -> float | str:
    if isinstance(size, bool) or not isinstance(size, Real | str):
        raise ArgumentTypeError(_refusal(given))
    try:
        number = float(size.removesuffix("%") if isinstance(size, str) else size)
    except ValueError as error:
        raise ArgumentError(_refusal(given)) from error
    if not 0 < number < math.inf:
        raise ArgumentError(f"lesion_size={given!r} (--lesion-size): a size is finite, and above 0")
    return size if isinstance(size, str) and size.endswith("%") else number


def _pixels(size: float | str, short_side: int) -> float:
    return size if isinstance(size, float) else float(size.removesuffix("%")) * short_side / 100


def _refusal(given: Any) -> str:
    return (
        f"lesion_size={given!r}: give pixels, or per cent of the short side, one or the smallest "
        "and the largest, such as (24, 96) or ('4%', '40%'); on the shell 24 96 or 4% 40%"
    )
