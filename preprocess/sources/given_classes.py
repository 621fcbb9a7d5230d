"""Classes of images that no class folder names: --test_labels, Tiny-ImageNet's annotations."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from jpegkeras.errors import InputError
from preprocess.filesystems import filesystem_of
from preprocess.sources.base import IMAGE_SUFFIXES

ANNOTATIONS = "val_annotations.txt"
_FORMS = (
    "Expected one class a line, in the order of the sorted file names, or a file and its class, "
    "separated by a tab, a comma or a blank"
)
# A tab or a comma separates what may hold blanks; where there is neither, a blank separates.
_SEPARATOR = re.compile(r"\s*[\t,]\s*")
_BLANKS = re.compile(r"\s+")


class NamedClasses:
    """File → class. `where`: what gives them, in messages."""

    def __init__(self, rows: dict[str, str], where: str):
        self._rows = rows
        self._where = where

    def classes_of(self, paths: Sequence[str]) -> list[str]:
        """Returns the class of each image, found by its path or by its base name.

        Raises InputError for an image that is not listed.
        """
        return [self._class_of(path) for path in paths]

    def _class_of(self, path: str) -> str:
        found = self._rows.get(path) or self._rows.get(path[path.rfind("/") + 1 :])
        if found is None:
            raise InputError(
                f"{self._where}: there is no line for {path}; every image of the test split needs "
                "a class."
            )
        return found


class TestLabels:
    """The file that --test_labels names. Raises InputError where it cannot be used."""

    __test__ = False  # it is no test, for all its name

    def __init__(self, path: str):
        self.path = path
        self._lines = [line.strip() for line in _read_text(path).split("\n")]
        while self._lines and not self._lines[-1]:
            self._lines.pop()
        if not self._lines:
            raise InputError(f"{path}: the file is empty. {_FORMS}.")
        if "" in self._lines:
            raise InputError(f"{path}, line {self._lines.index('') + 1}: empty. {_FORMS}.")

    def classes_of(self, paths: Sequence[str]) -> list[str]:
        """Returns the class of each image. Raises InputError where the file does not give it."""
        if self._has_files(paths):
            return NamedClasses(self._pairs(), self.path).classes_of(paths)
        if len(self._lines) != len(paths):
            raise InputError(
                f"{self.path}: there are {len(self._lines):,} lines, but {len(paths):,} images in "
                f"the test split. {_FORMS}."
            )
        order = sorted(range(len(paths)), key=lambda index: _by_name(paths[index]))
        classes = [""] * len(paths)
        for index, line in zip(order, self._lines):
            classes[index] = line
        return classes

    def fit(self, paths: Sequence[str]) -> bool:
        """Tells whether the file gives the classes of these images."""
        try:
            self.classes_of(paths)
        except InputError:
            return False
        return True

    def _has_files(self, paths: Sequence[str]) -> bool:
        """Tells whether the lines begin with files; the first may be a header."""
        names = {*paths, *(path[path.rfind("/") + 1 :] for path in paths)}
        for line in self._lines[:2]:
            first, *rest = _fields(line)
            if rest and (first in names or first.lower().endswith(IMAGE_SUFFIXES)):
                return True
        return False

    def _pairs(self) -> dict[str, str]:
        rows: dict[str, str] = {}
        for number, line in enumerate(self._lines, 1):
            name, *rest = _fields(line)
            if not rest or not rest[0]:
                raise InputError(f"{self.path}, line {number}: there is no class. {_FORMS}.")
            _add(rows, name, rest[0], f"{self.path}, line {number}")
        return rows


def read_annotations(data: bytes, where: str) -> NamedClasses:
    """Reads Tiny-ImageNet's annotations: file, class, and a box, separated by tabs."""
    rows: dict[str, str] = {}
    for number, line in enumerate(_decode(data).split("\n"), 1):
        if not line.strip():
            continue
        fields = line.rstrip("\r").split("\t")
        if len(fields) < 2 or not fields[1]:
            raise InputError(
                f"{where}, line {number}: expected a file and its class, separated by a tab."
            )
        _add(rows, fields[0], fields[1], f"{where}, line {number}")
    return NamedClasses(rows, where)


def _add(rows: dict[str, str], name: str, label: str, where: str) -> None:
    if rows.setdefault(name, label) != label:
        raise InputError(f"{where}: {name} is there already, with the class {rows[name]!r}.")


def _fields(line: str) -> list[str]:
    fields = _SEPARATOR.split(line)
    return fields if len(fields) > 1 else _BLANKS.split(line, maxsplit=1)


def _by_name(path: str) -> tuple[bytes, bytes]:
    return os.fsencode(path[path.rfind("/") + 1 :]), os.fsencode(path)


def _read_text(path: str) -> str:
    try:
        return _decode(filesystem_of(path).read(path))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(
            f"{path}: no such file. --test_labels is a text file. {_FORMS}."
        ) from error


def _decode(data: bytes) -> str:
    return data.decode("utf-8-sig", "surrogateescape")
