"""The disks of this machine."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import BinaryIO

from preprocess.filesystems.base import FileStatus, FileSystem

# So deep are links to folders followed: to a split and to a class. Below they may form a circle.
_LINKED_LEVELS = 2


class LocalFileSystem(FileSystem):
    """Files by their path on this machine; links to files are followed."""

    def status(self, path: str) -> FileStatus:
        try:
            found = os.stat(path)
        except NotADirectoryError as error:
            raise FileNotFoundError(0, "no such file", path) from error
        if not stat.S_ISREG(found.st_mode):
            raise FileNotFoundError(0, "not a regular file", path)
        return FileStatus(found.st_size, found.st_mtime_ns)

    def walk(self, folder: str) -> Iterator[tuple[str, FileStatus]]:
        pending = [("", folder)]
        while pending:
            below, path = pending.pop()
            try:
                entries = list(os.scandir(path))
            except FileNotFoundError:
                continue
            for entry in entries:
                name = f"{below}{entry.name}"
                if entry.is_dir(follow_symlinks=below.count("/") < _LINKED_LEVELS):
                    pending.append((f"{name}/", entry.path))
                elif entry.is_file():
                    found = entry.stat()
                    yield name, FileStatus(found.st_size, found.st_mtime_ns)

    def names(self, folder: str) -> list[str]:
        try:
            return [entry.name for entry in os.scandir(folder) if entry.is_file()]
        except FileNotFoundError:
            return []

    def open(self, path: str) -> BinaryIO:
        return open(path, "rb")  # noqa: SIM115  (the caller closes it)

    def publish(self, local: str, path: str) -> None:
        descriptor = os.open(local, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(local, path)

    def remove(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def make_folder(self, path: str) -> None:
        os.makedirs(path, exist_ok=True)
