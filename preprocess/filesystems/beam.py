"""What Apache Beam opens: gs://, s3://, hdfs:// and whatever else is registered with it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import BinaryIO

from apache_beam.io import filesystem as beam
from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from jpegkeras.errors import InputError
from preprocess.filesystems.base import FileStatus, FileSystem, temporary_name

_NANOSECONDS = 1_000_000_000
_RENAMES = 10


class BeamFileSystem(FileSystem):
    """Files by the paths of `apache_beam.io.filesystems.FileSystems`.

    Files are never matched against patterns, as Beam likes to: a name may hold brackets.
    """

    def knows(self, path: str) -> bool:
        """Tells whether Beam has a file system for the path's scheme."""
        try:
            FileSystems.get_filesystem(path)
        except (ValueError, ImportError):
            return False
        return True

    def status(self, path: str) -> FileStatus:
        system = FileSystems.get_filesystem(path)
        with _as_os_errors(path):
            try:
                entry = system.metadata(path)
            except Exception:
                if system.exists(path) and not _is_folder(system, path):
                    raise
                raise FileNotFoundError(0, "no such file", path) from None
            if entry.size_in_bytes == 0 and _is_folder(system, path):
                raise FileNotFoundError(0, "not a regular file", path)
        return _status(entry)

    def walk(self, folder: str) -> Iterator[tuple[str, FileStatus]]:
        prefix = f"{folder.rstrip('/')}/"
        system = FileSystems.get_filesystem(folder)
        with _as_os_errors(folder):
            for entry in _walk(system, prefix):
                yield entry.path[len(prefix) :], _status(entry)

    def names(self, folder: str) -> list[str]:
        system = FileSystems.get_filesystem(folder)
        if not system.has_dirs():
            return super().names(folder)
        with _as_os_errors(folder):
            entries = [entry for entry, is_folder in _list(system, folder) if not is_folder]
        return [entry.path.rpartition("/")[2] for entry in entries]

    def open(self, path: str) -> BinaryIO:
        with _as_os_errors(path):
            try:
                return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
            except Exception:
                if FileSystems.exists(path):
                    raise
                raise FileNotFoundError(0, "no such file", path) from None

    def publish(self, local: str, path: str) -> None:
        # Only what was written whole gets the name: on object stores a copy appears at once.
        temporary = temporary_name(path)
        with _as_os_errors(path):
            try:
                writer = FileSystems.create(
                    temporary, compression_type=CompressionTypes.UNCOMPRESSED
                )
                with open(local, "rb") as source, writer:
                    shutil.copyfileobj(source, writer, 1 << 20)
                _rename(temporary, path)
            finally:
                with contextlib.suppress(Exception):
                    if FileSystems.exists(temporary):
                        FileSystems.delete([temporary])
        os.unlink(local)

    def remove(self, path: str) -> None:
        with _as_os_errors(path):
            try:
                if FileSystems.exists(path):
                    FileSystems.delete([path])
            except Exception:
                if FileSystems.exists(path):  # else another process removed it
                    raise

    def make_folder(self, path: str) -> None:
        if any(letter in path for letter in "*?["):
            # Where Beam deletes a file it takes these for a pattern.
            raise InputError(f"{path}: a folder to write to must be named without *, ? and [.")
        with _as_os_errors(path):
            try:
                if not FileSystems.exists(path):
                    FileSystems.mkdirs(path)
            except Exception:
                if not FileSystems.exists(path):  # else another process made it
                    raise


def _walk(system: beam.FileSystem, prefix: str) -> Iterator[beam.FileMetadata]:
    """Yields the files whose paths begin with `prefix`, which ends with a slash."""
    if not system.has_dirs():
        for entry in system._list(prefix):
            # What ends with a slash is a folder's own object, as some tools make them.
            if entry.path.startswith(prefix) and not entry.path.endswith("/"):
                yield entry
        return
    pending = [prefix.rstrip("/")]
    while pending:
        for entry, is_folder in _list(system, pending.pop()):
            if is_folder:
                pending.append(entry.path)
            else:
                yield entry


def _list(system: beam.FileSystem, folder: str) -> Iterator[tuple[beam.FileMetadata, bool]]:
    """Yields the entries of a folder, and whether each is a folder: Beam lists one level alone."""
    try:
        for entry in system._list(folder):
            yield entry, entry.size_in_bytes == 0 and _is_folder(system, entry.path)
    except BeamIOError:
        if system.exists(folder):
            raise


def _is_folder(system: beam.FileSystem, path: str) -> bool:
    """Tells whether a path that is there is a folder, which Beam does not say."""
    if not system.has_dirs():
        return False
    try:
        next(iter(system._list(path)), None)
    except BeamIOError:
        return False
    return True


def _rename(source: str, path: str) -> None:
    """Renames a file, onto one that is there if need be."""
    for remaining in reversed(range(_RENAMES)):
        try:
            FileSystems.rename([source], [path])
        except Exception:
            if not remaining or not FileSystems.exists(source):
                raise
            # HDFS refuses if there is a file. Another worker may be putting the same one.
            with contextlib.suppress(Exception):
                FileSystems.delete([path])
        else:
            return


@contextlib.contextmanager
def _as_os_errors(path: str) -> Iterator[None]:
    """Turns what Beam's file systems and the clients below them raise into OSError with a path."""
    try:
        yield
    except BeamIOError as error:
        causes = "; ".join(str(cause) for cause in (error.exception_details or {}).values())
        raise OSError(0, causes or str(error), path) from error
    except OSError:
        raise
    except Exception as error:
        raise OSError(0, str(error) or type(error).__name__, path) from error


def _status(entry: beam.FileMetadata) -> FileStatus:
    modified = getattr(entry, "last_updated_in_seconds", None) or 0
    return FileStatus(entry.size_in_bytes, int(modified * _NANOSECONDS))
