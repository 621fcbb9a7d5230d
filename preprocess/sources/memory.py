"""Compressed containers, uncompressed into memory: a compressed file has no random access."""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import lzma
import os
import resource
import shlex
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from jpegkeras.errors import InputError
from preprocess.filesystems import filesystem_of
from preprocess.reading import check_unchanged
from preprocess.sources.base import Container

_OPEN = {"gzip": gzip.open, "bz2": bz2.open, "xz": lzma.open}
_COMMAND = {"gzip": "gzip -dc", "bz2": "bzip2 -dc", "xz": "xz -dc"}
_SUFFIXES = {
    "gzip": ((".tgz", ".tar"), (".gz", "")),
    "bz2": ((".tbz2", ".tar"), (".tbz", ".tar"), (".bz2", "")),
    "xz": ((".txz", ".tar"), (".xz", "")),
}
# bz2 raises a bare OSError, gzip one of its own kind.
_DAMAGE = (EOFError, zlib.error, lzma.LZMAError, OSError)
_CHUNK = 1 << 20
_GIB = 1 << 30
# How much of the available memory a container may take.
_SHARE = 0.5
# Of the name of a file in memory.
_LONGEST_NAME = 249
# How many files else a process of the job may have open.
_OTHER_FILES = 64
_TOO_MANY = (errno.EMFILE, errno.ENFILE)
_CGROUP = "/sys/fs/cgroup/memory"

_FEWER_FILES = "Raise that limit, give fewer files, or uncompress them first (gzip -d)."

#: Called now and then with the bytes of the compressed file that are done, and with its size.
Progress = Callable[[int, int], None]


@contextlib.contextmanager
def open_containers(
    containers: Iterable[Container], progress: Progress | None = None
) -> Iterator[dict[str, str]]:
    """Yields container → the path to open for it: its own, or that of `unpacked`.

    Processes of this machine can open the paths until the context ends. This process, and those
    that it starts, may open as many files as the system lets them from now on. Raises InputError
    for a container that is no longer what it was when it was found, and for more compressed ones
    than can be open at a time.
    """
    containers = tuple(containers)
    if containers:
        _check_limit(sum(bool(container.compression) for container in containers))
    with contextlib.ExitStack() as stack:
        yield {container.path: _open(container, stack, progress) for container in containers}


def _open(container: Container, stack: contextlib.ExitStack, progress: Progress | None) -> str:
    check_unchanged(container)
    if not container.compression:
        return container.path
    try:
        opened = stack.enter_context(unpacked(container.path, container.compression, progress))
    except OSError as error:
        if error.errno in _TOO_MANY:
            raise InputError(f"{container.path}: {error.strerror}. {_FEWER_FILES}") from error
        raise
    check_unchanged(container)
    return opened


def _check_limit(count: int) -> None:
    """Lets this process open as many files as it may; each file in memory stays open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # some systems refuse "unlimited"
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and count > soft - _OTHER_FILES:
        raise InputError(
            f"{count:,} compressed files must be open at a time, but a process may open {soft:,} "
            f"(ulimit -n). {_FEWER_FILES}"
        )


@contextlib.contextmanager
def unpacked(path: str, compression: str, progress: Progress | None = None) -> Iterator[str]:
    """Uncompresses a file into memory, and yields a path that opens it there.

    `compression`: "gzip", "bz2" or "xz". Any process of this machine and user may open the path
    until the context ends, or this process does. Raises InputError where the file is damaged, or
    takes more than half of the memory that is available.
    """
    name = os.fsencode(os.path.basename(path))[:_LONGEST_NAME]
    descriptor = os.memfd_create(name)
    try:
        _unpack(path, compression, descriptor, progress)
        yield f"/proc/{os.getpid()}/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _unpack(path: str, compression: str, descriptor: int, progress: Progress | None) -> None:
    size = filesystem_of(path).status(path).size
    limit = int(available_memory() * _SHARE)
    done = 0
    with (
        filesystem_of(path).open(path) as packed,
        _OPEN[compression](packed) as stream,
    ):
        for chunk in _chunks(stream, path):
            done += len(chunk)
            if done > limit:
                raise InputError(_too_large(path, compression, limit))
            _write(descriptor, chunk)
            if progress is not None:
                progress(packed.tell(), size)


def _chunks(stream: BinaryIO, path: str) -> Iterator[bytes]:
    try:
        while chunk := stream.read(_CHUNK):
            yield chunk
    except _DAMAGE as error:
        if getattr(error, "errno", None):  # the disk's, not the data's
            raise
        raise InputError(f"{path}: damaged or cut off ({error}). Get it again.") from error


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _too_large(path: str, compression: str, limit: int) -> str:
    name = next(
        (
            path[: -len(old)] + new
            for old, new in _SUFFIXES[compression]
            if path.lower().endswith(old)
        ),
        f"{path}.uncompressed",
    )
    command = f"{_COMMAND[compression]} {shlex.quote(path)} > {shlex.quote(name)}"
    return (
        f"{path}: uncompressed, it takes more than {limit / _GIB:.1f} GiB, half of the memory that "
        f"is available. Decompress it first, and give the result: {command}"
    )


def available_memory() -> int:
    """Returns how many bytes of memory this process may take without another losing any."""
    with open("/proc/meminfo", encoding="ascii") as file:
        lines = dict(line.split(":", 1) for line in file)
    return min(int(lines["MemAvailable"].split()[0]) << 10, _left_to_group())


def _left_to_group() -> int:
    """Returns what a container's limit leaves, which /proc/meminfo does not tell."""
    try:
        with open(f"{_CGROUP}.max", "rb") as limit, open(f"{_CGROUP}.current", "rb") as current:
            return int(limit.read()) - int(current.read())
    except (OSError, ValueError):  # there is no limit
        return 1 << 62
