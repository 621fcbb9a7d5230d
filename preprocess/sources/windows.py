"""Ranges of a file, on this machine or elsewhere, read at any place."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator

from preprocess.filesystems import filesystem_of, is_remote


class Window:
    """A range of a file. It also is a file object, as tarfile and zipfile read one.

    `size`: the length of the range in bytes; `start`: where it begins in the file.
    """

    def __init__(self, read_file: Callable[[int, int], bytes], start: int, size: int):
        self.start = start
        self.size = size
        self._read_file = read_file
        self._position = 0

    def read_at(self, position: int, count: int) -> bytes:
        """Returns bytes of the range; fewer than `count` only where they are not in it."""
        if position < 0:
            return b""
        return self._read_file(self.start + position, max(0, min(count, self.size - position)))

    def narrow(self, position: int, size: int) -> Window:
        """Returns a range within this one."""
        return Window(self._read_file, self.start + position, size)

    def read(self, count: int = -1) -> bytes:
        """Returns the next bytes, as a file object does."""
        data = self.read_at(self._position, self.size if count is None or count < 0 else count)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves, as a file object does."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """Returns where `read` continues."""
        return self._position

    def seekable(self) -> bool:
        """Returns True."""
        return True


@contextlib.contextmanager
def open_window(path: str) -> Iterator[Window]:
    """Opens a whole file as a window. Raises OSError where it cannot be opened."""
    if is_remote(path):
        with filesystem_of(path).open(path) as file:
            yield Window(_seeking(file), 0, file.seek(0, io.SEEK_END) or file.tell())
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield Window(
            lambda start, count: os.pread(descriptor, count, start),
            0,
            os.fstat(descriptor).st_size,
        )
    finally:
        os.close(descriptor)


def _seeking(file: io.BufferedIOBase) -> Callable[[int, int], bytes]:
    def read(start: int, count: int) -> bytes:
        file.seek(start)
        return file.read(count)

    return read
