"""A folder of class folders, on this machine or elsewhere."""

from __future__ import annotations

import os

from jpegkeras.errors import InputError
from preprocess.filesystems import filesystem_of, is_remote, join
from preprocess.reading import SourceReader
from preprocess.sources.base import Listing, SourceFile
from preprocess.sources.given_classes import TestLabels
from preprocess.sources.layout import EXPECTED, Entry, Tree, arrange, in_hidden_folder


def list_folder(folder: str | os.PathLike, test_labels: str | None = None) -> Listing:
    """Lists a folder of class folders, or one with train/ and test/ (val/, validation/) above them.

    Files are found at any depth below a class folder. Links to files are followed, and so is a
    class folder that is a link; links to folders below it are not, since they may form a circle.
    Hidden files and folders, what is not a regular file, and files of other suffixes than
    `IMAGE_SUFFIXES`, are ignored. `test_labels`: a file with the classes of a test split without
    class folders. Raises InputError where there is no such folder, no image in it, or where the
    layout can be read in two ways.
    """
    root = os.fspath(folder)
    if not is_remote(root) and not os.path.isdir(root):
        if os.path.exists(root):
            raise InputError(
                f"{root}: not a folder. {EXPECTED}; a CSV is given with --input_csv, an archive "
                "with --input_tar."
            )
        raise InputError(f"{root}: no such folder. {EXPECTED}.")
    labels = TestLabels(test_labels) if test_labels else None
    entries = [
        Entry(path, size, modified)
        for path, (size, modified) in filesystem_of(root).walk(root)
        if not in_hidden_folder(path)
    ]
    with SourceReader(root, {}) as reader:
        files, ignored = arrange(Tree(entries, root, reader.read), labels)
    if not is_remote(root):
        files = _without_links_below_classes(root, files)
    return Listing(root, sort_files(files), ignored)


def sort_files(files: list[SourceFile]) -> tuple[SourceFile, ...]:
    """Returns files by the bytes of their paths."""
    return tuple(sorted(files, key=lambda file: os.fsencode(file.path)))


def _without_links_below_classes(root: str, files: list[SourceFile]) -> list[SourceFile]:
    """Leaves out what is in a link to a folder below a class folder.

    Links are followed two levels deep, for the folder of a split and for that of a class; without a
    split the second level is below a class.
    """
    if files[0].split is not None:
        return files
    folders = {path[: path.find("/", path.find("/") + 1) + 1] for path, *_ in files}
    linked = tuple(
        folder for folder in folders if folder and os.path.islink(join(root, folder).rstrip("/"))
    )
    return [file for file in files if not file.path.startswith(linked)] if linked else files
