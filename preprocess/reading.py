"""Reads the bytes of images as the plan lists them, and notices what changed since."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime
import errno
import functools
import os
import resource
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
# Of a reader, at once: there may be thousands, and a process may only open so many files.
_OPEN_CONTAINERS = 64
# What the machine lacks, or its disk or network: the next try, or another machine, reads the file.
_NO_FAULT_OF_THE_FILE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO)
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


@dataclasses.dataclass
class _OpenContainer:
    """An open container: `read(offset, count)` returns bytes; `users` are the calls under way."""

    read: Callable[[int, int], bytes]
    close: Callable[[], None]
    users: int = 0


class SourceReader:
    """Reads images of one listing; a context manager, whose end closes the containers.

    `root`: what the images' paths are below. `opened`: container → the path to open instead.
    `containers`: those of the listing; one of them that is read in place and changed since is an
    InputError when it is first opened. Threads may share a reader.
    """

    def __init__(self, root: str, opened: Mapping[str, str], containers: Iterable[Container] = ()):
        self._root = root
        self._opened = opened
        self._listed = {container.path: container for container in containers}
        # Those that were used last are last.
        self._open: collections.OrderedDict[str, _OpenContainer] = collections.OrderedDict()
        self._checked: dict[str, Container] = {}
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
        side by side, and ahead. Raises InputError as `read` does; MemoryError, and OSError for what
        the machine lacks or its disk fails at, since what is read may not depend on these.
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
        except OSError as error:
            if error.errno in _NO_FAULT_OF_THE_FILE:
                raise _with_path(error, self._path_of(image)) from error
            return error
        except ValueError as error:
            return error

    def _path_of(self, image: Image) -> str:
        return locate(self._root, image.container or image.path)

    @functools.cached_property
    def _threads(self) -> futures.ThreadPoolExecutor:
        threads = futures.ThreadPoolExecutor(_THREADS)
        self._stack.callback(threads.shutdown, cancel_futures=True)
        return threads

    def check_unchanged(self) -> None:
        """Raises InputError if a container that was read is no longer what it was when listed.

        What was read of it before may have been neither of the old nor of the new one.
        """
        containers = list(self._checked.values())
        if any(is_remote(container.path) for container in containers):
            list(self._threads.map(check_unchanged, containers))
            return
        for container in containers:
            check_unchanged(container)

    def close(self) -> None:
        """Closes the containers."""
        self._stack.close()  # the threads
        while self._open:
            self._open.popitem()[1].close()

    def __enter__(self) -> SourceReader:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self.close()

    def _read_range(self, image: Image) -> bytes:
        wanted = image.packed_size or image.size
        with self._borrowed(image.container) as container:
            data = container.read(image.offset, wanted)
        if len(data) != wanted:
            raise ValueError(
                f"its container ends early: {len(data):,} of its {wanted:,} bytes are there"
            )
        return _inflate(data, image.size) if image.packed_size else data

    @contextlib.contextmanager
    def _borrowed(self, path: str) -> Iterator[_OpenContainer]:
        """Yields a container, which stays open as long as the context lasts."""
        with self._lock:
            container = self._open.get(path) or self._open_container(path)
            self._open.move_to_end(path)
            container.users += 1
        try:
            yield container
        finally:
            with self._lock:
                container.users -= 1

    def _open_container(self, container: str) -> _OpenContainer:
        unused = [path for path, entry in self._open.items() if not entry.users]
        for path in unused[: max(0, len(self._open) + 1 - _OPEN_CONTAINERS)]:
            self._open.pop(path).close()
        path = self._opened.get(container, container)
        listed = self._listed.get(container)
        if listed is not None and path == container and container not in self._checked:
            check_unchanged(listed)
            self._checked[container] = listed
        try:
            self._open[container] = _open(locate(self._root, path))
        except OSError as error:
            if error.errno in _NO_FAULT_OF_THE_FILE:
                raise
            raise InputError(_not_opened(container, error)) from error
        return self._open[container]


def raise_file_limit() -> None:
    """Lets this process, and those that it starts, open as many files as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # where "infinite" is more than the kernel's own
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


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


def _open(path: str) -> _OpenContainer:
    if is_remote(path):
        file = filesystem_of(path).open(path)
        return _OpenContainer(_seeking_reader(file), file.close)
    descriptor = os.open(path, os.O_RDONLY)
    return _OpenContainer(
        lambda offset, count: os.pread(descriptor, count, offset),
        lambda: os.close(descriptor),
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


def _with_path(error: OSError, path: str) -> OSError:
    return OSError(error.errno, error.strerror, error.filename or path)


def _not_opened(path: str, error: OSError) -> str:
    return f"{path}: cannot be opened ({error.strerror or error})."
