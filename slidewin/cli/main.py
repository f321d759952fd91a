"""One parser for all commands, and what their errors become."""

import argparse
import os
import sys
from collections.abc import Sequence

from slidewin.cli.compare import add_compare
from slidewin.cli.demo import add_demo
from slidewin.cli.info import add_info
from slidewin.cli.locate import add_locate
from slidewin.cli.train import add_train
from slidewin.errors import SlidewinError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except SlidewinError as error:
        print(f"slidewin {options.command}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read our words has had enough; nothing more to say
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - lasts as long as the process
        return 1
    except KeyboardInterrupt:
        goes_on = "; the same command goes on from there" if options.command == "compare" else ""
        print(f"slidewin: interrupted; what was written so far is whole{goes_on}", file=sys.stderr)
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="slidewin",
        description="Sweep a close-up classifier over photos and circle what it found. "
        "A research tool, not a medical device.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (add_locate, add_train, add_compare, add_demo, add_info):
        add(commands)
    return parser
