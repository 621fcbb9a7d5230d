"""What the programs of this package share on the command line: flags, errors, result files."""

from __future__ import annotations

import argparse
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from jpegkeras import files
from jpegkeras.errors import InputError


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line and exit status 2."""

    def __init__(self, module: str, description: str):
        super().__init__(
            prog=f"python -m {module}",
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Print the message and exit."""
        self.exit(2, f"error: {printable(message)} (--help lists the flags)\n")


def with_one_line_errors(main: Callable[[list[str]], int]) -> Callable[[list[str]], int]:
    """Let main return 1 where the user's files or flags are at fault, and say so in one line."""

    @functools.wraps(main)
    def guarded(arguments: list[str]) -> int:
        try:
            return main(arguments)
        except (InputError, OSError) as error:
            print(f"error: {printable(str(error))}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("interrupted: no result was written.", file=sys.stderr)
            return 130

    return guarded


def prepare_folder(folder: Path, flag: str) -> None:
    """Make a folder that files will be written to.

    Raises:
        InputError: it cannot be made, or nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{flag}={folder}: no folder can be made there: {reason(error)}") from None
    _try_to_write(folder / "result", f"{flag}={folder}")


def prepare_output(path: Path, flag: str = "--output") -> None:
    """Make the folder of a file that will be written.

    Raises:
        InputError: the file cannot be written.
    """
    named = f"{flag}={path}"
    try:
        if path.is_dir():
            raise InputError(f"{named}: that is a folder; give the name of a file")
        # It would be replaced, which must not happen to /dev/null.
        if path.exists() and not path.is_file():
            raise InputError(f"{named}: that is no regular file; give the name of a file")
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{named}: the file cannot be written: {reason(error)}") from None
    _try_to_write(path, named)


def _try_to_write(path: Path, named: str) -> None:
    """Make, and remove, a file under the longest name that writing this one needs."""
    trial = path.with_name(f"{path.name}.{os.getpid()}{files.TEMPORARY_SUFFIX}")
    try:
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise InputError(f"{named}: nothing can be written there: {reason(error)}") from None


def reason(error: OSError) -> str:
    """Say what went wrong, without the name of the file."""
    return error.strerror or type(error).__name__


def printable(text: str) -> str:
    """Return a text in one line that any terminal takes: names of files may be anything."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
