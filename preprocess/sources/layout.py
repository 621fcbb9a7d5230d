"""Classes and splits of a tree of files, which a folder and an archive hold alike.

A tree is class folders, with images at any depth below them; or such in train/ and in test/ (val/,
validation/); or train/ and val/ as Tiny-ImageNet has them, with the classes of val/ in
val/val_annotations.txt.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from jpegkeras.errors import InputError
from preprocess.sources.base import IMAGE_SUFFIXES, TEST, TRAIN, SourceFile
from preprocess.sources.given_classes import ANNOTATIONS, TestLabels, read_annotations

# Other names of the test split that folders and CSV files go by.
TEST_NAMES = ("test", "val", "validation")
EXPECTED = f"Expected one folder a class with images ({', '.join(IMAGE_SUFFIXES)}) below it"
# What macOS puts beside the files of an archive.
_HIDDEN = "__MACOSX"


class Entry(NamedTuple):
    """One file of a tree, by its path in it; the other fields are `SourceFile`'s."""

    path: str
    size: int
    modified: int = 0
    container: str = ""
    offset: int = 0
    packed_size: int = 0


@dataclasses.dataclass(frozen=True)
class Tree:
    """The files of a tree without those in hidden folders, in any order.

    `where`: its name in messages. `read`: returns the bytes of an entry. `prefix`: where its class
    folders begin in all of its paths, "" or ending in a slash. `ignored`: how many files were left
    out of it. `is_archive`: its common folder may be looked through.
    """

    entries: Sequence[Entry]
    where: str
    read: Callable[[Entry], bytes]
    prefix: str = ""
    ignored: int = 0
    is_archive: bool = False

    @property
    def noun(self) -> str:
        """What it is, in words."""
        return "archive" if self.is_archive else "folder"

    def below(self, name: str) -> Tree:
        """Returns the part in one of its folders."""
        prefix = f"{self.prefix}{name}/"
        entries = [entry for entry in self.entries if entry.path.startswith(prefix)]
        start = f"{self.where}, " if self.is_archive else f"{self.where.rstrip('/')}/"
        return Tree(entries, start + name, self.read, prefix, 0, self.is_archive)

    def folders(self) -> set[str]:
        """Returns the names of its folders."""
        start = len(self.prefix)
        ends = ((path, path.find("/", start)) for path, *_ in self.entries)
        return {path[start:end] for path, end in ends if end >= 0}

    def images(self) -> list[Entry]:
        """Returns the files that are images by their names."""
        return [entry for entry in self.entries if is_image(entry.path)]


def is_image(path: str) -> bool:
    """Tells whether a file is an image by its name: its suffix, and that it is not hidden."""
    return path.lower().endswith(IMAGE_SUFFIXES) and not path.startswith(".", path.rfind("/") + 1)


def in_hidden_folder(path: str) -> bool:
    """Tells whether a folder above a file is one that is to be passed over."""
    if path[:1] != "." and "/." not in path and _HIDDEN not in path:  # nearly always, and quick
        return False
    return any(name.startswith(".") or name == _HIDDEN for name in path.split("/")[:-1])


def look_through(tree: Tree, prefix: str = "") -> Tree:
    """Returns a tree without the folders that all of its images have in common.

    The last such folder is kept if images lie directly in it, as a class's. The paths begin with
    `prefix` instead.
    """
    paths = [entry.path for entry in tree.images()]
    common = os.path.commonprefix([min(paths), max(paths)]) if paths else ""
    common = common[: common.rfind("/") + 1]
    start = len(common)
    if any("/" not in path[start:] for path in paths):
        common = common[: common.rstrip("/").rfind("/") + 1]
        start = len(common)
    entries = [
        Entry(prefix + entry.path[start:], *entry[1:])
        for entry in tree.entries
        if entry.path.startswith(common)
    ]
    ignored = tree.ignored + len(tree.entries) - len(entries)
    return dataclasses.replace(tree, entries=entries, prefix=prefix, ignored=ignored)


def arrange(tree: Tree, labels: TestLabels | None = None) -> tuple[list[SourceFile], int]:
    """Returns the images of a tree with their classes and splits, and how many files are ignored.

    `labels`: the classes of the test split, if the user gave them. Raises InputError where there is
    no image or where the layout can be read in two ways.
    """
    test = _find_test(tree, labels)
    if test is None:
        files = _in_class_folders(tree, None)
    else:
        files = _in_class_folders(tree.below(TRAIN), TRAIN)
        files += _test_files(tree.below(test), files, labels)
    return files, tree.ignored + len(tree.entries) - len(files)


def arrange_two(
    train: Tree, test: Tree, labels: TestLabels | None = None
) -> tuple[list[SourceFile], int]:
    """Returns the same as `arrange` for two trees, a split each; paths begin with the split."""
    train, test = look_through(train, f"{TRAIN}/"), look_through(test, f"{TEST}/")
    if _find_test(train, None) is not None:
        raise InputError(
            f"{train.where}: there are a {TRAIN}/ and a test split in it. Leave out --test_tar, or "
            "give an --input_tar of the train split alone."
        )
    files = _in_class_folders(train, TRAIN)
    files += _test_files(test, files, labels)
    ignored = train.ignored + test.ignored + len(train.entries) + len(test.entries)
    return files, ignored - len(files)


def _find_test(tree: Tree, labels: TestLabels | None) -> str | None:
    """Returns the folder of the test split beside train/, or None where no split is given."""
    folders = tree.folders()
    classes = tree.below(TRAIN).folders()
    if not classes:
        if labels is not None:
            raise InputError(
                f"{tree.where}: there is no {TRAIN}/ with class folders, but --test_labels gives "
                f"the classes of a {TEST}/ (or {'/, '.join(TEST_NAMES[1:])}/) beside it."
            )
        return None
    others = [name for name in TEST_NAMES if name in folders]
    usable = _usable(tree, others, classes, labels)
    if len(usable) == 1:
        return usable[0]
    advice = _advice(tree)
    if usable:
        names = " and ".join(f"{name}/" for name in usable)
        raise InputError(f"{tree.where}: {names} could both be the test split; keep one. {advice}")
    if others:
        raise InputError(
            f"{tree.below(others[0]).where}: there are no class folders, as {TRAIN}/ has. {advice} "
            "--test_labels gives the classes of a flat one."
        )
    if folders == {TRAIN} or labels is not None:
        raise InputError(
            f"{tree.where}: there is {TRAIN}/ but no {'/, '.join(TEST_NAMES)}/ beside it. {advice}"
        )
    return None


def _usable(
    tree: Tree, names: Iterable[str], classes: set[str], labels: TestLabels | None
) -> list[str]:
    """Returns those of the folders whose images' classes are given."""
    parts = {name: tree.below(name) for name in names}
    if labels is not None:
        flat = [name for name, part in parts.items() if part.images()]
        fitting = [name for name in flat if labels.fit(_paths_in(parts[name]))]
        return fitting or flat
    annotated = [name for name, part in parts.items() if _annotations(part)]
    if annotated:  # beside it lies Tiny-ImageNet's test/, whose classes are not published
        return [name for name in parts if name in annotated or parts[name].folders() & classes]
    return [name for name, part in parts.items() if part.folders()]


def _advice(tree: Tree) -> str:
    if tree.is_archive:
        return f"To split it by --test_fraction give an archive of what is below {TRAIN}/ alone."
    folder = f"{tree.where.rstrip('/')}/{TRAIN}"
    return f"To split it by --test_fraction give --input_dir={folder}; to choose give --input_csv."


def _in_class_folders(tree: Tree, split: str | None) -> list[SourceFile]:
    start = len(tree.prefix)
    files = []
    for entry in tree.entries:
        path = entry.path
        end = path.find("/", start)
        if end >= 0 and is_image(path):
            files.append(SourceFile(path, sys.intern(path[start:end]), split, *entry[1:]))
    if not files:
        raise InputError(_nothing_found(tree))
    return files


def _test_files(
    tree: Tree, train: Iterable[SourceFile], labels: TestLabels | None
) -> list[SourceFile]:
    """Returns the images of the test split, with the classes of whatever gives them."""
    annotations = _annotations(tree)
    if labels is None and annotations is None:
        files = _in_class_folders(tree, TEST)
        if tree.is_archive:
            # A lone folder of images would pass for a class, and every image be of it.
            _check_known(tree.where, files, train)
        return files
    images = tree.images()
    if not images:
        raise InputError(_nothing_found(tree))
    paths = _paths_in(tree)
    if labels is None:
        table = read_annotations(tree.read(annotations), f"{tree.where}/{ANNOTATIONS}")
        classes = table.classes_of(paths)
    else:
        classes = labels.classes_of(paths)
    files = [
        SourceFile(entry.path, sys.intern(name), TEST, *entry[1:])
        for entry, name in zip(images, classes)
    ]
    _check_known(tree.where if labels is None else labels.path, files, train)
    return files


def _annotations(tree: Tree) -> Entry | None:
    path = tree.prefix + ANNOTATIONS
    return next((entry for entry in tree.entries if entry.path == path), None)


def _paths_in(tree: Tree) -> list[str]:
    """Returns the images' paths as they are in the tree, which --test_labels may give them by."""
    return [entry.path[len(tree.prefix) :] for entry in tree.images()]


def _check_known(where: str, files: Iterable[SourceFile], train: Iterable[SourceFile]) -> None:
    found = {file.label for file in files}
    known = {file.label for file in train}
    if not found & known:
        raise InputError(
            f"{where}: none of its classes is one to learn from: it has {min(found)!r}, the train "
            f"split {min(known)!r}. --test_labels gives the classes of a flat test split, by the "
            "train split's names."
        )


def _nothing_found(tree: Tree) -> str:
    start = len(tree.prefix)
    if any("/" not in entry.path[start:] for entry in tree.images()):
        advice = "." if tree.is_archive else ", or an --input_csv."
        return f"{tree.where}: the images lie directly in this {tree.noun}. {EXPECTED}{advice}"
    ignored = tree.ignored + len(tree.entries)
    if ignored:
        return f"{tree.where}: no image found among {ignored} file(s). {EXPECTED}."
    return f"{tree.where}: the {tree.noun} is empty. {EXPECTED}."
