"""Localisers that do, fail or break off as told; in a module, so that they travel to workers."""

import os
import signal
import sys
import time
import warnings
from dataclasses import dataclass

import numpy as np

from slidewin import HeatMap
from slidewin.errors import SlidewinError, SlidewinWarning
from slidewin.heatmap import HeatLayer


@dataclass(frozen=True)
class Rival:
    """Darkness, raw and at full resolution, and before it what `act` says.

    On photos of `odd` rows alone, if that is given.
    """

    act: str = ""
    odd: int | None = None

    def localize(self, photo):
        if self.odd is None or photo.shape[0] == self.odd:
            self.do()
        values = (1 - photo.mean(axis=2) / 255).astype(np.float32) * 10
        if self.act == "half":
            values[:, : photo.shape[1] // 2] = np.nan
        if self.act == "blank" and photo.shape[0] == self.odd:
            values[:] = np.nan
        if self.act == "array" and photo.shape[0] == self.odd:
            return values
        rows, cols = (np.arange(n) + 0.5 for n in values.shape)
        layer = HeatLayer(values, rows=rows, cols=cols)
        return HeatMap(
            photo.shape[:2], [layer], method="rival", unit="raw", settings={"pid": os.getpid()}
        )

    def do(self):
        if self.act == "refuse":
            raise SlidewinError("this photo is not to my taste")
        if self.act == "err":
            raise ZeroDivisionError("a mistake of my own")
        if self.act == "starve":
            raise MemoryError
        if self.act == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.act == "exit":
            os._exit(3)
        if self.act == "eat":
            np.ones(2**23)  # 64 MiB, for a moment
        if self.act == "wait":
            time.sleep(0.5)
        if self.act == "talk":
            warnings.warn("careful", SlidewinWarning, stacklevel=1)
            sys.stdout.write("0\n1\n2\n")
