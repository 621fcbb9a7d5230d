"""Files on this machine and elsewhere, by one small set of operations.

A path with a scheme (`gs://bucket/folder`) is remote: Apache Beam opens it if it is installed and
knows the scheme, else TensorFlow's gfile. Paths are strings; local ones may hold bytes that are not
UTF-8, as surrogates (`os.fsencode` gives the bytes back).
"""

from __future__ import annotations

from jpegkeras.errors import InputError
from preprocess.filesystems.base import FileStatus, FileSystem
from preprocess.filesystems.local import LocalFileSystem
from preprocess.quiet import quiet_beam

__all__ = ["FileStatus", "FileSystem", "filesystem_of", "is_remote", "join"]

_SCHEME = "://"


def is_remote(path: str) -> bool:
    """Tells whether a path names its file system, as in gs://bucket/folder."""
    return _SCHEME in path


def join(folder: str, *names: str) -> str:
    """Returns the path of a file below a folder, on whatever file system."""
    start = folder if folder.endswith("/") else f"{folder}/"
    return start + "/".join(names)


def filesystem_of(path: str) -> FileSystem:
    """Returns what opens a path. Raises InputError for a scheme that nothing here knows."""
    if not is_remote(path):
        return LocalFileSystem()
    beam = _beam_filesystem(path)
    if beam is not None:
        return beam
    from preprocess.filesystems.gfile import GfileSystem  # loads TensorFlow

    system = GfileSystem()
    if not system.knows(path):
        scheme = path.split(_SCHEME)[0]
        raise InputError(
            f"{path}: nothing that is installed opens {scheme}{_SCHEME} paths. Install "
            "apache-beam[gcp] for gs://, apache-beam[aws] for s3://, or the file system's own "
            "Beam package."
        )
    return system


def _beam_filesystem(path: str) -> FileSystem | None:
    try:
        with quiet_beam():
            from preprocess.filesystems.beam import BeamFileSystem  # an extra
    except ImportError:
        return None
    system = BeamFileSystem()
    return system if system.knows(path) else None
