"""Compressed containers, uncompressed into memory: a compressed file has no random access."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import os
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
_CGROUP = "/sys/fs/cgroup/memory"

#: Called now and then with the bytes of the compressed file that are done, and with its size.
Progress = Callable[[int, int], None]


@contextlib.contextmanager
def open_containers(
    containers: Iterable[Container], progress: Progress | None = None
) -> Iterator[dict[str, str]]:
    """Yields container → the path to open for it: its own, or that of `unpacked`.

    Processes of this machine can open the paths until the context ends. Raises InputError for a
    container that is no longer what it was when it was found.
    """
    with contextlib.ExitStack() as stack:
        opened = {}
        for container in containers:
            check_unchanged(container)
            opened[container.path] = container.path
            if container.compression:
                opened[container.path] = stack.enter_context(
                    unpacked(container.path, container.compression, progress)
                )
        yield opened


@contextlib.contextmanager
def unpacked(path: str, compression: str, progress: Progress | None = None) -> Iterator[str]:
    """Uncompresses a file into memory, and yields a path that opens it there.

    `compression`: "gzip", "bz2" or "xz". Any process of this machine and user may open the path
    until the context ends, or this process does. Raises InputError where the file is damaged, or
    takes more than half of the memory that is available.
    """
    descriptor = os.memfd_create(os.path.basename(path))
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
