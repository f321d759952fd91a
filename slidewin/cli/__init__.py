"""The shell: ``slidewin locate``, ``train``, ``compare``, ``demo`` and ``info``.

Results go to files, progress and words to the terminal. A photo that cannot be read is reported and
the others are done; the exit status is then 1. Wrong usage exits with 2.
"""

from slidewin.cli.main import main

__all__ = ["main"]
