"""A CSV of image files, their classes and perhaps splits."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterable

from jpegkeras.errors import InputError
from preprocess.filesystems import FileStatus, filesystem_of, is_remote, join
from preprocess.reading import locate
from preprocess.sources.base import TEST, TRAIN, Listing, SourceFile
from preprocess.sources.folders import sort_files
from preprocess.sources.layout import TEST_NAMES
from preprocess.tables import read_table

_MISSING = FileStatus(-1, 0)


def list_csv(path: str | os.PathLike, root: str | os.PathLike | None = None) -> Listing:
    """Lists the rows of a CSV with the columns path, label and perhaps split.

    Paths are relative to `root`, or to the CSV's own folder, or begin with a slash or a scheme.
    Whether the files can be read is found out later, one by one. Raises InputError for a bad CSV,
    an unknown split name and a path that occurs twice.
    """
    path = os.fspath(path)
    root = os.fspath(root) if root else posixpath.dirname(path) or "."
    if not is_remote(root) and not os.path.isdir(root):
        raise InputError(f"{root}: no such folder. --input_dir is what the CSV's paths are below.")
    rows: list[tuple[str, str, str | None]] = []
    lines: dict[str, int] = {}
    for line, row in read_table(path, ("path", "label"), optional=("split",)):
        name = row["path"] if is_remote(row["path"]) else os.path.normpath(row["path"])
        if name in lines:
            raise InputError(
                f"{path}, line {line}: {name} is there already, in line {lines[name]}. "
                "A file can be listed only once."
            )
        lines[name] = line
        split = (
            _named_split(row["split"].strip(), f"{path}, line {line}") if "split" in row else None
        )
        rows.append((name, row["label"].strip(), split))
    status = _status_of(root, lines)
    return Listing(root, sort_files([SourceFile(*row, *status(row[0])) for row in rows]))


def _status_of(root: str, names: Iterable[str]) -> Callable[[str], FileStatus]:
    """Returns what gives the status of a file by its name in the CSV."""
    if not is_remote(root) and not any(map(is_remote, names)):
        return lambda name: _local_status(locate(root, name))
    # One question to a remote file system takes as long as a listing of a thousand files.
    paths = [locate(root, name) for name in names]
    folder = posixpath.dirname(os.path.commonprefix([posixpath.dirname(p) + "/" for p in paths]))
    if not is_remote(f"{folder}/"):
        raise InputError(
            "the CSV's paths are on several file systems, or have no folder in common; give those "
            "of one alone."
        )
    found = {join(folder, below): status for below, status in filesystem_of(folder).walk(folder)}
    return lambda name: found.get(locate(root, name), _MISSING)


def _local_status(path: str) -> FileStatus:
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # a name with a null byte is a ValueError
        return _MISSING
    return FileStatus(found.st_size, found.st_mtime_ns)


def _named_split(name: str, where: str) -> str:
    if name == TRAIN:
        return TRAIN
    if name in TEST_NAMES:
        return TEST
    raise InputError(
        f"{where}: unknown split {name!r}. Expected {TRAIN} or {TEST} (also {TEST_NAMES[1]}, "
        f"{TEST_NAMES[2]})."
    )
