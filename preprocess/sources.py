"""Finds the source images: a folder of class folders, the same with a split given, or a CSV.

Paths are relative to `Listing.root`, with the bytes that are not UTF-8 as surrogates (`os.fsencode`
gives the bytes back). Listings are sorted by path, so that nothing depends on the order in which a
disk lists files.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterator

from jpegkeras.errors import InputError
from preprocess.tables import read_table

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".png")
TRAIN, TEST = SPLITS = ("train", "test")
# Other names of the test split that folders and CSV files go by.
_TEST_NAMES = ("test", "val", "validation")
_LAYOUT = f"Expected one folder a class with images ({', '.join(IMAGE_SUFFIXES)}) below it"


@dataclasses.dataclass(frozen=True)
class SourceFile:
    """One image file: its path below the root, its class, its split (None: not given), its size in
    bytes.

    The size of a file that cannot be found is −1.
    """

    path: str
    label: str
    split: str | None
    size: int


@dataclasses.dataclass(frozen=True)
class Listing:
    """The images below `root`, sorted by path, and how many files beside them were ignored."""

    root: pathlib.Path
    files: tuple[SourceFile, ...]
    ignored: int = 0


def list_folder(folder: str | os.PathLike) -> Listing:
    """Lists a folder of class folders, or one with train/ and test/ (val/, validation/) above them.

    Files are found at any depth below a class folder. Links to files are followed, and so is a
    class folder that is a link; links to folders below it are not, since they may form a circle.
    Hidden files and folders, and files of other suffixes than `IMAGE_SUFFIXES`, are ignored. Raises
    InputError where there is no such folder, no image in it, or where the layout can be read in two
    ways.
    """
    root = pathlib.Path(folder)
    if not root.exists():
        raise InputError(f"{root}: no such folder. {_LAYOUT}.")
    if not root.is_dir():
        raise InputError(f"{root}: not a folder. {_LAYOUT}; a CSV is given with --input_csv.")
    files: list[SourceFile] = []
    ignored = 0
    for split, below in _split_folders(root):
        found, others = _list_classes(root, below, split)
        if not found:
            raise InputError(_nothing_found(below, others))
        files += found
        ignored += others
    return Listing(root, _sorted(files), ignored)


def list_csv(path: str | os.PathLike, root: str | os.PathLike | None = None) -> Listing:
    """Lists the rows of a CSV with the columns path, label and perhaps split.

    Paths are relative to `root`, or to the CSV's own folder. Whether the files exist is found out
    later, one by one. Raises InputError for a bad CSV, an unknown split name and a path that occurs
    twice.
    """
    root = pathlib.Path(root) if root else pathlib.Path(path).parent
    if not root.is_dir():
        raise InputError(f"{root}: no such folder. --input_dir is what the CSV's paths are below.")
    files = []
    lines: dict[str, int] = {}
    for line, row in read_table(path, ("path", "label"), optional=("split",)):
        name = os.path.normpath(row["path"])
        if name in lines:
            raise InputError(
                f"{path}, line {line}: {name} is there already, in line {lines[name]}. "
                "A file can be listed only once."
            )
        lines[name] = line
        split = (
            _named_split(row["split"].strip(), f"{path}, line {line}") if "split" in row else None
        )
        files.append(SourceFile(name, row["label"].strip(), split, _size(root / name)))
    return Listing(root, _sorted(files))


def _split_folders(root: pathlib.Path) -> list[tuple[str | None, pathlib.Path]]:
    """Returns (split, folder of class folders) of each given split, else (None, root)."""
    train = root / TRAIN
    if not _has_folders(train):
        return [(None, root)]
    others = [root / name for name in _TEST_NAMES if (root / name).is_dir()]
    usable = [folder for folder in others if _has_folders(folder)]
    if len(usable) == 1:
        return [(TRAIN, train), (TEST, usable[0])]
    advice = f"To split it by --test_fraction give --input_dir={train}; to choose give --input_csv."
    if usable:
        names = " and ".join(f"{folder.name}/" for folder in usable)
        raise InputError(f"{root}: {names} could both be the test split; keep one. {advice}")
    if others:
        raise InputError(f"{others[0]}: there are no class folders, as train/ has. {advice}")
    if _folders(root) == [train]:
        raise InputError(
            f"{root}: there is train/ but no {'/, '.join(_TEST_NAMES)}/ beside it. {advice}"
        )
    return [(None, root)]


def _list_classes(
    root: pathlib.Path, folder: pathlib.Path, split: str | None
) -> tuple[list[SourceFile], int]:
    files = []
    ignored = sum(not entry.is_dir() for entry in folder.iterdir())
    for class_folder in _folders(folder):
        for path in _files_below(class_folder):
            if not _is_image(path.name):
                ignored += 1
                continue
            name = path.relative_to(root).as_posix()
            files.append(SourceFile(name, class_folder.name, split, _size(path)))
    return files, ignored


def _files_below(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    for parent, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            yield pathlib.Path(parent, name)


def _raise(error: OSError) -> None:
    # By default os.walk leaves out a folder that it cannot read, and nobody would notice.
    raise error


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")


def _folders(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(
        entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")
    )


def _has_folders(folder: pathlib.Path) -> bool:
    return folder.is_dir() and bool(_folders(folder))


def _nothing_found(folder: pathlib.Path, ignored: int) -> str:
    if any(_is_image(entry.name) for entry in folder.iterdir()):
        return f"{folder}: the images lie directly in this folder. {_LAYOUT}, or an --input_csv."
    if ignored:
        return f"{folder}: no image found among {ignored} file(s). {_LAYOUT}."
    return f"{folder}: the folder is empty. {_LAYOUT}."


def _named_split(name: str, where: str) -> str:
    if name == TRAIN:
        return TRAIN
    if name in _TEST_NAMES:
        return TEST
    raise InputError(
        f"{where}: unknown split {name!r}. Expected {TRAIN} or {TEST} (also {_TEST_NAMES[1]}, "
        f"{_TEST_NAMES[2]})."
    )


def _size(path: pathlib.Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _sorted(files: list[SourceFile]) -> tuple[SourceFile, ...]:
    return tuple(sorted(files, key=lambda file: os.fsencode(file.path)))
