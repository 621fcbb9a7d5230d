"""The archives and TFRecord files that flags name: which there are, how large, how compressed."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from jpegkeras.errors import InputError
from jpegkeras.tfrecord_files import masked_crc
from preprocess.filesystems import filesystem_of, is_remote, join
from preprocess.sources.base import Container
from preprocess.sources.spec import split_paths

_GLOB = re.compile(r"[*?\[]")
# How many remote files are asked for at once.
_THREADS = 16
# How many of a file's first bytes tell its compression.
_BEGINNING = 16
_MAGIC = {
    "gzip": re.compile(rb"\x1f\x8b\x08"),
    "xz": re.compile(rb"\xfd7zXZ\0"),
    # "BZh" alone could begin the first name in a tar. A block follows, or the end of the stream.
    "bz2": re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"),
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd"),
}


def find_archives(paths: str | None, flag: str) -> tuple[Container, ...]:
    """Returns the archives that a flag names. Raises InputError for one that cannot be used."""
    return _find(paths, flag, _compression)


def find_tfrecords(paths: str | None, flag: str) -> tuple[Container, ...]:
    """Returns the TFRecord files that a flag names. Raises InputError as `find_archives`."""
    return _find(paths, flag, _compression_of_records)


def check_distinct(containers: tuple[Container, ...]) -> None:
    """Raises InputError for a container that is given twice."""
    seen = set()
    for container in containers:
        if container.path in seen:
            raise InputError(f"{container.path}: given twice; each file can be an input only once.")
        seen.add(container.path)


def _find(
    paths: str | None, flag: str, compression_of: Callable[[bytes], str]
) -> tuple[Container, ...]:
    def describe(path: str) -> Container:
        return _describe(path, flag, compression_of)

    found = [path for given in split_paths(paths or "") if given for path in _expand(given, flag)]
    if any(map(is_remote, found)):
        with ThreadPoolExecutor(_THREADS) as pool:
            return tuple(pool.map(describe, found))
    return tuple(map(describe, found))


def _expand(pattern: str, flag: str) -> list[str]:
    """Returns the paths that match a pattern, sorted; a path without wildcards as it is."""
    if not _GLOB.search(pattern) or (not is_remote(pattern) and os.path.exists(pattern)):
        return [pattern]
    found = _remote_matches(pattern) if is_remote(pattern) else glob.glob(pattern)
    if not found:
        raise InputError(f"--{flag}: no file matches {pattern}.")
    return sorted(found, key=os.fsencode)


def _remote_matches(pattern: str) -> list[str]:
    folder = pattern[: _GLOB.search(pattern).start()].rpartition("/")[0]
    parts = pattern[len(folder) + 1 :].split("/")
    return [
        join(folder, path)
        for path, _ in filesystem_of(pattern).walk(folder)
        if len(names := path.split("/")) == len(parts)
        and all(map(fnmatch.fnmatchcase, names, parts))
    ]


def _describe(path: str, flag: str, compression_of: Callable[[bytes], str]) -> Container:
    try:
        status = filesystem_of(path).status(path)
        with filesystem_of(path).open(path) as file:
            compression = compression_of(file.read(_BEGINNING))
    except OSError as error:
        raise InputError(
            f"--{flag}: {path}: cannot be opened ({error.strerror or error})."
        ) from error
    if compression == "zstd":
        raise InputError(
            f"--{flag}: {path}: compressed by zstd, which cannot be read here. Decompress it "
            "(zstd -d) and give the result."
        )
    return Container(path, status.size, status.modified, compression)


def _compression(beginning: bytes) -> str:
    return next((name for name, magic in _MAGIC.items() if magic.match(beginning)), "")


def _compression_of_records(beginning: bytes) -> str:
    # A length could begin like gzip's magic bytes, but its checksum follows.
    length, checksum = beginning[:8], beginning[8:12]
    if masked_crc(length) == checksum:
        return ""
    return "gzip" if _MAGIC["gzip"].match(beginning) else ""
