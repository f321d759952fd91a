"""What goes wrong in a sweep as a whole, in words that say what to do."""

from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from pickle import PicklingError

import cv2

from slidewin.errors import SlidewinError, SweepError
from slidewin.grid import Grid

__all__ = ["failures_explained"]


@contextmanager
def failures_explained(grid: Grid, batch_size: int, workers: int) -> Iterator[None]:
    """Raise a :class:`SweepError` for what workers, memory or files fail with."""
    try:
        yield
    except BrokenExecutor as error:
        raise SweepError(
            "a worker process was killed, most likely for want of memory; use a smaller "
            f"batch_size than {batch_size} or fewer workers than {workers}"
        ) from error
    except PicklingError as error:
        raise SweepError(
            f"the classifier cannot travel to other processes ({error}); sweep it with "
            "threads (joblib's default here) or with n_jobs=1"
        ) from error
    except SlidewinError:  # some are OSErrors too, and say what is wrong
        raise
    except (MemoryError, cv2.error) as error:
        raise SweepError(
            f"a level is too large for memory ({error}); look for larger lesions, or crop "
            f"the photo.\n{grid}"
        ) from error
    except OSError as error:
        raise SweepError(
            f"what workers share could not be written, or the photo not be read ({error}); "
            "set TMPDIR to a folder with room, or use threads"
        ) from error
