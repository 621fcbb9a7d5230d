"""Files that are either whole or absent: written under a temporary name, synced and renamed."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import google_crc32c

from jpegkeras.errors import InputError

TEMPORARY_SUFFIX = ".tmp"
_CHUNK = 1 << 20


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a temporary name; what was written there takes `path`'s place if nothing raised.

    The name holds the process's number, so that two processes writing one file never mix their
    bytes.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f"{path.name}.{os.getpid()}{TEMPORARY_SUFFIX}")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes `text` as UTF-8; bytes of file names that are not UTF-8 come back as they were."""
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", "surrogateescape"))


def write_json(path: str | os.PathLike, value: Any) -> None:  # noqa: ANN401
    """Writes `value` as indented JSON."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


@contextlib.contextmanager
def locked(directory: str | os.PathLike, flag: str) -> Iterator[pathlib.Path]:
    """Makes the folder if need be and holds it against another process that would write to it.

    `flag` is the command-line flag that named the folder. Raises InputError if it cannot be a
    folder, or another process holds it. The lock ends with the process.
    """
    path = pathlib.Path(directory)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(
            f"{path}: it, or a part of its path, is a file. Give a folder as {flag}."
        ) from error
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _lock(descriptor, path, flag)
        yield path
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: pathlib.Path, flag: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InputError(
            f"{path}: another job is writing here. Wait for its end, or give another {flag}."
        ) from error
    except OSError:
        # Some network file systems have no locks; the job runs without.
        return


def file_crc32c(path: str | os.PathLike) -> str:
    """Returns the CRC-32C of a file's content, 8 hexadecimal digits."""
    crc = 0
    with pathlib.Path(path).open("rb") as file:
        while chunk := file.read(_CHUNK):
            crc = google_crc32c.extend(crc, chunk)
    return f"{crc:08x}"


def _sync(path: pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
