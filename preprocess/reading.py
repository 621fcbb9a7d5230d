"""Reads the bytes of images as the plan lists them, and notices what changed since."""

from __future__ import annotations

import contextlib
import datetime
import errno
import functools
import os
import stat
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import TYPE_CHECKING, Protocol

from jpegkeras.errors import InputError
from preprocess.filesystems import filesystem_of, is_remote

if TYPE_CHECKING:
    from preprocess.sources.base import Container

_RAW_DEFLATE = -zlib.MAX_WBITS
_SECOND = 1_000_000_000
# Of an image, on an average: then it comes from no memory of this machine.
_SLOW_SECONDS = 300e-6
_THREADS = 16
# A pipe is not waited for.
_OPEN_FLAGS = os.O_RDONLY | os.O_NONBLOCK


class Image(Protocol):
    """Where the bytes of an image are: see `sources.SourceFile`."""

    path: str
    size: int
    modified: int
    container: str
    offset: int
    packed_size: int


class SourceReader:
    """Reads images of one listing; a context manager, whose end closes the containers.

    `root`: what the images' paths are below. `opened`: container → the path to open instead.
    `containers`: those of the listing; one of them that is read in place and changed since is an
    InputError when it is opened. Threads may share a reader.
    """

    def __init__(self, root: str, opened: Mapping[str, str], containers: Iterable[Container] = ()):
        self._root = root
        self._opened = opened
        self._listed = {container.path: container for container in containers}
        self._readers: dict[str, Callable[[int, int], bytes]] = {}
        self._lock = threading.Lock()
        self._stack = contextlib.ExitStack()

    def read(self, image: Image) -> bytes:
        """Returns the bytes of an image.

        Raises OSError where its file is missing (also if it was when it was listed) or cannot be
        read; ValueError if it is no regular file, or not what it was when it was listed; InputError
        for a container that cannot be opened or changed.
        """
        if image.container:
            return self._read_range(image)
        path = locate(self._root, image.path)
        if image.size < 0:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if is_remote(path):
            return _read_remote(path, image.size)
        return _read_file(path, image.size, image.modified)

    def read_chunks(
        self, images: Sequence[Image], size: int
    ) -> Iterator[tuple[Sequence[Image], list[bytes | Exception]]]:
        """Yields so many images at a time with the bytes of each, or the error that `read` raises.

        Where reading takes long, since a disk must seek or a server answer, several threads read
        side by side, and ahead. Raises InputError as `read` does.
        """
        chunks = [images[start : start + size] for start in range(0, len(images), size)]
        ahead = None
        for chunk, following in zip(chunks, [*chunks[1:], ()]):
            start = time.perf_counter()
            if ahead is None:
                results = [self._attempt(image) for image in chunk]
                slow = time.perf_counter() - start > _SLOW_SECONDS * len(chunk)
            else:
                results = [future.result() for future in ahead]
            if slow:
                ahead = [self._threads.submit(self._attempt, image) for image in following]
            yield chunk, results

    def _attempt(self, image: Image) -> bytes | Exception:
        try:
            return self.read(image)
        except InputError:
            raise
        except (OSError, ValueError) as error:
            return error

    @functools.cached_property
    def _threads(self) -> futures.ThreadPoolExecutor:
        threads = futures.ThreadPoolExecutor(_THREADS)
        self._stack.callback(threads.shutdown, cancel_futures=True)
        return threads

    def close(self) -> None:
        """Closes the containers."""
        self._readers.clear()
        self._stack.close()

    def __enter__(self) -> SourceReader:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self.close()

    def _read_range(self, image: Image) -> bytes:
        read = self._readers.get(image.container) or self._open(image.container)
        wanted = image.packed_size or image.size
        data = read(image.offset, wanted)
        if len(data) != wanted:
            raise ValueError(
                f"its container ends early: {len(data):,} of its {wanted:,} bytes are there"
            )
        return _inflate(data, image.size) if image.packed_size else data

    def _open(self, container: str) -> Callable[[int, int], bytes]:
        with self._lock:
            if container not in self._readers:
                self._readers[container] = self._open_unlocked(container)
            return self._readers[container]

    def _open_unlocked(self, container: str) -> Callable[[int, int], bytes]:
        path = self._opened.get(container, container)
        listed = self._listed.get(container)
        if listed is not None and path == container:
            check_unchanged(listed)
        try:
            if is_remote(path):
                return _seeking_reader(self._stack.enter_context(filesystem_of(path).open(path)))
            descriptor = os.open(locate(self._root, path), os.O_RDONLY)
        except OSError as error:
            raise InputError(_not_opened(container, error)) from error
        self._stack.callback(os.close, descriptor)
        return lambda offset, count: os.pread(descriptor, count, offset)


def locate(root: str, path: str) -> str:
    """Returns where a path of a listing is: below the root, unless it is a whole path itself."""
    if not root or path.startswith("/") or is_remote(path):
        return path
    return f"{root}{path}" if root.endswith("/") else f"{root}/{path}"


def check_unchanged(container: Container) -> None:
    """Raises InputError for a container whose size or time is no longer what it was."""
    try:
        status = filesystem_of(container.path).status(container.path)
    except OSError as error:
        raise InputError(_not_opened(container.path, error)) from error
    if status != (container.size, container.modified):
        change = _change(*container[1:3], *status)
        raise InputError(
            f"{container.path}: {change}. Run the job again when nothing writes to it."
        )


def _read_file(path: str, size: int, modified: int) -> bytes:
    descriptor = os.open(path, _OPEN_FLAGS)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("not a regular file")
        if found.st_size != size or (modified and found.st_mtime_ns != modified):
            raise ValueError(_change(size, modified, found.st_size, found.st_mtime_ns))
        data = os.read(descriptor, size)
        while len(data) < size:
            more = os.read(descriptor, size - len(data))
            if not more:
                raise ValueError(_change(size, modified, len(data), modified))
            data += more
        return data
    finally:
        os.close(descriptor)


def _read_remote(path: str, size: int) -> bytes:
    data = filesystem_of(path).read(path)
    if len(data) != size:
        raise ValueError(_change(size, 0, len(data), 0))
    return data


def _seeking_reader(file: object) -> Callable[[int, int], bytes]:
    lock = threading.Lock()

    def read(offset: int, count: int) -> bytes:
        with lock:
            file.seek(offset)
            return file.read(count)

    return read


def _inflate(data: bytes, size: int) -> bytes:
    inflater = zlib.decompressobj(_RAW_DEFLATE)
    try:
        image = inflater.decompress(data, size + 1)  # never more than what it should be, and one
    except zlib.error as error:
        raise ValueError(f"damaged in its archive ({error})") from error
    if len(image) != size or not inflater.eof:
        raise ValueError(f"damaged in its archive: it should unpack to {size:,} bytes")
    return image


def _change(size: int, modified: int, size_now: int, modified_now: int) -> str:
    if size != size_now:
        return f"changed since it was listed: {size:,} bytes then, {size_now:,} now"
    return (
        f"changed since it was listed: modified at {_time(modified_now)}, then at {_time(modified)}"
    )


def _time(nanoseconds: int) -> str:
    time = datetime.datetime.fromtimestamp(nanoseconds // _SECOND, datetime.timezone.utc)
    return f"{time:%Y-%m-%d %H:%M:%S}.{nanoseconds % _SECOND:09d} UTC"


def _not_opened(path: str, error: OSError) -> str:
    return f"{path}: cannot be opened ({error.strerror or error})."
