"""What every file system here can do."""

from __future__ import annotations

import abc
import os
import uuid
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from jpegkeras.files import TEMPORARY_SUFFIX


class FileStatus(NamedTuple):
    """Size in bytes, and time of the last change in nanoseconds (0: not known)."""

    size: int
    modified: int


def temporary_name(path: str) -> str:
    """Returns a name for what is to be `path` when it is whole: of this caller alone.

    `output.remove_temporaries` knows such names, and removes what a killed process left.
    """
    return f"{path}.{os.getpid()}-{uuid.uuid4().hex[:8]}{TEMPORARY_SUFFIX}"


class FileSystem(abc.ABC):
    """Operations on whole files by path. All raise OSError with the path where they fail."""

    @abc.abstractmethod
    def status(self, path: str) -> FileStatus:
        """Returns the status of a regular file. Raises FileNotFoundError where there is none."""

    @abc.abstractmethod
    def walk(self, folder: str) -> Iterator[tuple[str, FileStatus]]:
        """Yields (path below the folder, status) of every file at any depth, in any order.

        Yields nothing for a folder that is not there.
        """

    @abc.abstractmethod
    def open(self, path: str) -> BinaryIO:
        """Opens a file for reading; what it returns can seek."""

    @abc.abstractmethod
    def publish(self, local: str, path: str) -> None:
        """Puts a finished local file at `path`, in the place of what is there, in one step.

        The local file is gone afterwards, or may be removed. On a disk, `local` must be on the same
        one as `path`.
        """

    @abc.abstractmethod
    def remove(self, path: str) -> None:
        """Removes a file, if it is there."""

    @abc.abstractmethod
    def make_folder(self, path: str) -> None:
        """Makes a folder and those above it, where the file system has such."""

    def names(self, folder: str) -> list[str]:
        """Returns the names of the files that lie directly in a folder, in any order."""
        return [name for name, _ in self.walk(folder) if "/" not in name]

    def exists(self, path: str) -> bool:
        """Tells whether there is a regular file."""
        try:
            self.status(path)
        except FileNotFoundError:
            return False
        return True

    def read(self, path: str) -> bytes:
        """Returns the content of a file."""
        with self.open(path) as file:
            return file.read()
