"""The input of a network that says which shape it takes, and patches brought into it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slidewin.errors import ArgumentError, ClassifierError

__all__ = ["InputTensor", "read_input"]

_DTYPES = ("float32", "float16", "float64", "uint8")


class InputTensor(NamedTuple):
    """What a network takes: photos in one of two layouts.

    Attributes
    ----------
    batch : int or None
        Photos in a batch, where the network takes no other number.
    side : int or None
        Pixels along each side, where the network takes no other number.
    channels_first : bool
        Whether it takes ``(n, 3, S, S)`` or ``(n, S, S, 3)``.
    dtype : str
        Whole numbers are pixels from 0 to 255, all else is normalised.
    """

    batch: int | None
    side: int | None
    channels_first: bool
    dtype: str

    def fitting(self, input_size: int | None, name: str) -> int:
        """The input size asked for or declared; refused where the two differ or neither is."""
        size = self.side if input_size is None else input_size
        if size is None:
            raise ArgumentError(
                f"input_size: {name} takes inputs of any size; say which it was trained on, "
                "e.g. input_size=64"
            )
        if self.side not in (None, size):
            raise ArgumentError(
                f"input_size={input_size!r}: {name} takes {self.side} x {self.side} pixels; "
                "leave input_size out"
            )
        return size

    def refuse_scaling(self, mean: Sequence[float], std: Sequence[float], name: str) -> None:
        """Refuse a mean or std for a network that takes pixels as they are."""
        if self.dtype == "uint8" and (any(mean) or any(s != 1 for s in std)):
            raise ArgumentError(
                f"mean={tuple(mean)}, std={tuple(std)}: {name} takes pixels as they are (uint8); "
                "leave both out"
            )

    def feed(
        self,
        forward: Callable[[NDArray[Any]], Any],
        patches: NDArray[np.uint8],
        mean: Sequence[float],
        std: Sequence[float],
    ) -> NDArray[Any]:
        """What a network returns for patches (n, S, S, 3), in batches that it takes.

        A short batch is filled up with its last patch, and the answers for it are dropped.
        """
        n, size = len(patches), self.batch or len(patches)
        answers = []
        for x in self._batches(patches, size, mean, std):
            answer = np.asarray(forward(x))
            if answer.shape[:1] != (size,):
                raise ClassifierError(
                    f"the network returned shape {answer.shape} for {size} patches; a row for "
                    "each is needed"
                )
            answers.append(answer)
        return np.concatenate(answers)[:n]

    def _batches(
        self, patches: NDArray[np.uint8], size: int, mean: Sequence[float], std: Sequence[float]
    ) -> Iterator[NDArray[Any]]:
        for start in range(0, len(patches), size):
            batch = patches[start : start + size]
            if len(batch) < size:
                batch = np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)])
            if self.dtype != "uint8":
                # In single precision like all others, then rounded once.
                x = batch.astype(np.float32) / 255
                x = (x - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
                batch = x.astype(self.dtype)
            yield np.ascontiguousarray(
                batch.transpose(0, 3, 1, 2) if self.channels_first else batch
            )


def read_input(
    shape: Sequence[Any], dtype: str, name: str, *, channels_first: bool = True
) -> InputTensor:
    """What a network takes by the shape that it declares.

    Parameters
    ----------
    shape : sequence of 4
        A dimension that is no whole number above 0 may have any length.
    dtype : str
        As NumPy calls it.
    name : str
        Of the network, for messages.
    channels_first : bool, default True
        Where the shape does not tell.

    Raises
    ------
    ClassifierError
        If no patch (S, S, 3) fits.

    Examples
    --------
    >>> read_input(["batch", 3, 64, 64], "float32", "net.onnx")
    InputTensor(batch=None, side=64, channels_first=True, dtype='float32')
    >>> read_input([1, None, None, 3], "uint8", "net.onnx")
    InputTensor(batch=1, side=None, channels_first=False, dtype='uint8')
    """
    known = [d if isinstance(d, int) and d > 0 else None for d in shape]
    found = f"{name} takes {tuple(shape)} of {dtype}"
    if dtype not in _DTYPES:
        raise ClassifierError(f"{found}; one of {', '.join(_DTYPES)} is needed")
    if len(known) == 4:
        if 3 in (known[1], known[3]):
            channels_first = known[1] == 3
        channels = known[1] if channels_first else known[3]
        sides = {*(known[2:] if channels_first else known[1:3])}
        if channels in (None, 3) and len(sides - {None}) < 2:
            side = next(iter(sides - {None}), None)
            return InputTensor(known[0], side, channels_first, dtype)
    raise ClassifierError(
        f"{found}; (n, 3, S, S) or (n, S, S, 3) is needed, square colour patches. Put what leads "
        "from there to its input into the network, or into a function around it"
    )
