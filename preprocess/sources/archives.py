"""Tar and zip archives of class folders, and tars of tars a class, read without unpacking them."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence

from jpegkeras.errors import InputError
from preprocess.reading import SourceReader
from preprocess.sources import tars, zips
from preprocess.sources.base import Container, Listing
from preprocess.sources.folders import sort_files
from preprocess.sources.given_classes import TestLabels
from preprocess.sources.layout import (
    Entry,
    Tree,
    arrange,
    arrange_two,
    in_hidden_folder,
    look_through,
)
from preprocess.sources.windows import Window, open_window

_ZIP_SIGNATURES = (b"PK\3\4", b"PK\5\6")
_NESTED_SUFFIX = ".tar"


def list_archives(
    containers: Sequence[Container],
    test_containers: Sequence[Container],
    opened: Mapping[str, str],
    test_labels: str | None = None,
) -> Listing:
    """Lists the images of archives, side by side as if they were one.

    `opened`: container → the path to open instead, where what is compressed is uncompressed. The
    folders that all images have in common are looked through. With `test_containers`, those are the
    test split and the others the train split, and the images' paths begin with train/ and test/.
    Raises InputError for an archive that cannot be used, and for a path that two of them have.
    """
    labels = TestLabels(test_labels) if test_labels else None
    with SourceReader("", opened, (*containers, *test_containers)) as reader:
        train = _read_tree(containers, opened, reader)
        if test_containers:
            test = _read_tree(test_containers, opened, reader)
            files, ignored = arrange_two(train, test, labels)
        else:
            files, ignored = arrange(look_through(train), labels)
    return Listing("", sort_files(files), ignored, (*containers, *test_containers))


def _read_tree(
    containers: Sequence[Container], opened: Mapping[str, str], reader: SourceReader
) -> Tree:
    entries: dict[str, Entry] = {}
    ignored = 0
    for container in containers:
        found, others = _read_archive(container.path, opened.get(container.path, container.path))
        twice = entries.keys() & found.keys()
        if twice:
            path = min(twice)
            raise InputError(
                f"{path} is in {entries[path].container} and in {container.path}. Leave out one of "
                "the archives, or one of the files."
            )
        entries.update(found)
        ignored += others
    where = containers[0].path
    if len(containers) > 1:
        where += f" and {len(containers) - 1} more"
    return Tree(list(entries.values()), where, reader.read, "", ignored, is_archive=True)


def _read_archive(path: str, opened: str) -> tuple[dict[str, Entry], int]:
    """Returns the files by their paths, and how many members beside them are ignored."""
    with open_window(opened) as window:
        if window.read_at(0, 4) in _ZIP_SIGNATURES:
            return _read_zip(window, path)
        return _read_tar(window, path)


def _read_zip(window: Window, path: str) -> tuple[dict[str, Entry], int]:
    entries: dict[str, Entry | None] = {}
    for member in zips.read_members(window, path):
        name = _clean(member.name)
        entry = Entry(name, member.size, 0, path, member.offset, member.packed_size)
        entries[name] = None if member.is_link else entry
    return _without_hidden(entries)


def _read_tar(window: Window, path: str) -> tuple[dict[str, Entry], int]:
    """Reads a tar, and the tars in it, whose names without .tar are the folders of their files."""
    entries = _read_index(window, path, path)
    nested = [entry for entry in entries.values() if entry is not None and _is_nested(entry.path)]
    for outer in nested:
        del entries[outer.path]
        where = f"{path}, {outer.path}"
        folder = outer.path[: -len(_NESTED_SUFFIX)] + "/"
        inner = window.narrow(outer.offset, outer.size)
        found = _read_index(inner, path, where, folder, outer.offset)
        twice = entries.keys() & found.keys()
        if twice:
            raise InputError(
                f"{path}: {min(twice)} is there twice: in {outer.path}, and beside it or in "
                "another tar. Leave out one of the two."
            )
        entries.update(found)
    return _without_hidden(entries)


def _read_index(
    window: Window, path: str, where: str, folder: str = "", start: int = 0
) -> dict[str, Entry | None]:
    """Returns the files of a tar, and None for what else is there.

    `start`: where it begins in the file `path`. Of several members of one name the last one counts,
    as when tar unpacks them.
    """
    entries: dict[str, Entry | None] = {}
    for member in tars.read_members(window, where):
        if member.kind == tars.FOLDER:
            continue
        name = folder + _clean(member.name)
        if member.kind == tars.FILE:
            entries[name] = Entry(name, member.size, 0, path, start + member.offset)
            continue
        entries[name] = None
        if member.kind == tars.HARD_LINK:
            target = entries.get(folder + _clean(member.target))
            if target is not None:
                entries[name] = target._replace(path=name)
    return entries


def _without_hidden(entries: Mapping[str, Entry | None]) -> tuple[dict[str, Entry], int]:
    shown = {name: entry for name, entry in entries.items() if not in_hidden_folder(name)}
    files = {name: entry for name, entry in shown.items() if entry is not None}
    return files, len(shown) - len(files)


def _is_nested(path: str) -> bool:
    name = path[path.rfind("/") + 1 :]
    return name.lower().endswith(_NESTED_SUFFIX) and not name.startswith(".")


def _clean(name: str) -> str:
    """Returns a member's name as a path below the root; never one above it."""
    if name[:1] in ("/", ".") or "//" in name or "/." in name:
        return posixpath.normpath(f"/{name}").lstrip("/")
    return name
