"""Files that are either whole or absent, on whatever file system: written elsewhere, then put."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from typing import Any

from preprocess.filesystems import filesystem_of, is_remote
from preprocess.filesystems.base import temporary_name

# Of a folder of temporary files.
_PREFIX = "jpegkeras"


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Yields a local file name; what was written there takes `path`'s place if nothing raised.

    The name is unique: two workers that make the same file at once never mix their bytes, and both
    put the same ones. Raises OSError that names `path` where it cannot be written.
    """
    below = _local_folder() if is_remote(path) else contextlib.nullcontext(os.path.dirname(path))
    with below as folder:
        temporary = os.path.join(folder, temporary_name(os.path.basename(path)))
        try:
            yield temporary
            filesystem_of(path).publish(temporary, path)
        except OSError as error:
            if error.filename not in (temporary, None):
                raise
            raise OSError(error.errno, error.strerror or str(error), path) from error
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)


@contextlib.contextmanager
def _local_folder() -> Iterator[str]:
    """Yields a folder of this machine for as long as the context lasts.

    Its name holds the process's number, and the machine's, since containers and clusters may share
    the folder of temporary files: so another job finds what a killed process left.
    """
    parent = tempfile.gettempdir()
    _remove_leftovers(parent)
    prefix = f"{_PREFIX}-{os.getpid()}-{socket.gethostname()}-"
    folder = tempfile.mkdtemp(prefix=prefix, dir=parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers(parent: str) -> None:
    """Removes the folders of this user's processes that are gone."""
    ours = re.compile(rf"{_PREFIX}-(\d+)-{re.escape(socket.gethostname())}-\w+")
    for entry in os.scandir(parent):
        match = ours.fullmatch(entry.name)
        if match and not _is_running(int(match[1])) and _is_own_folder(entry):
            shutil.rmtree(entry.path, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True


def _is_own_folder(entry: os.DirEntry) -> bool:
    try:
        return (
            entry.is_dir(follow_symlinks=False)
            and entry.stat(follow_symlinks=False).st_uid == os.geteuid()
        )
    except FileNotFoundError:  # another job was quicker
        return False


def write_text(path: str, text: str) -> None:
    """Writes `text` as UTF-8; bytes of file names that are not UTF-8 come back as they were."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(text.encode("utf-8", "surrogateescape"))


def write_json(path: str, value: Any) -> None:  # noqa: ANN401
    """Writes `value` as indented JSON."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")
