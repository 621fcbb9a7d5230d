"""How every command of absl flags starts: help that succeeds, mistakes in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable

from absl import app, flags

# absl itself exits with 1 after the help, as if that were an error.
_HELP = {"-h": True, "-help": True, "--help": True, "--helpshort": True, "--helpfull": False}


def run(main: Callable[[list[str]], int]) -> None:
    """Parses the command line, calls `main` with what is left of it, and exits with its status.

    A flag that is not there, or has a bad value, is one line on stderr and status 2.
    """
    app.run(main, flags_parser=_parse)


def _parse(argv: list[str]) -> list[str]:
    for argument in argv[1:]:
        if argument == "--":
            break
        if argument in _HELP:
            app.usage(shorthelp=_HELP[argument], writeto_stdout=True, exitcode=0)
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        print(f"error: {' '.join(str(error).split())} (--help lists the flags)", file=sys.stderr)
        sys.exit(2)
