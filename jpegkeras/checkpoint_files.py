"""The files of checkpoints in a folder: which are whole, which is the latest, which may go.

What there is, is found out from the files themselves. TensorFlow's list beside them (`checkpoint`)
is written for other programs alone: it may be lost, cut off by a power cut, or from a clock that
was wrong, and none of that may cost a checkpoint.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
from collections.abc import Iterator, Sequence

import tensorflow as tf

from jpegkeras.files import write_text

_NAME = "ckpt"
_INDEX = re.compile(rf"{_NAME}-(\d+)\.index")
_DATA = re.compile(rf"({_NAME}-\d+)\.data-(\d{{5}})-of-(\d{{5}})")


def whole_checkpoints(folder: str | os.PathLike) -> list[str]:
    """Returns the paths (prefixes) of the checkpoints of which no file is missing, oldest first."""
    folder = pathlib.Path(folder)
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    numbers = sorted(int(found.group(1)) for found in map(_INDEX.fullmatch, names) if found)
    return [str(folder / f"{_NAME}-{number}") for number in numbers if _has_data(names, number)]


def number_of(path: str) -> int:
    """Returns the number in a checkpoint's path: the steps that it has seen."""
    return int(path.rpartition("-")[2])


class CheckpointFolder:
    """Writes checkpoints of `objects` into a folder, the last `keep` of which stay.

    A checkpoint gets its final name when it is whole, and older ones go only after that.
    """

    def __init__(self, folder: pathlib.Path, objects: tf.train.Checkpoint, keep: int) -> None:
        self._folder = folder
        self._objects = objects
        self._keep = keep

    def save(self, number: int) -> str:
        """Writes a checkpoint and returns its path. Raises OSError if it cannot."""
        path = str(self._folder / f"{_NAME}-{number}")
        try:
            with self._naming_what_failed():
                self._folder.mkdir(parents=True, exist_ok=True)
                self._objects.write(path)
                _sync(self._folder, pathlib.Path(path).name)
                whole = whole_checkpoints(self._folder)
                # Later ones are of before the run went back to an earlier one.
                kept = [p for p in whole if number_of(p) <= number][-self._keep :]
                _write_list(self._folder, kept)
        except OSError:
            with contextlib.suppress(OSError):
                self.sweep()
            raise
        for old in set(whole).difference(kept):
            for file in self._folder.glob(f"{pathlib.Path(old).name}.*"):
                file.unlink()
        return path

    def sweep(self) -> None:
        """Removes what a killed process left of a checkpoint that it was writing."""
        whole = {pathlib.Path(path).name for path in whole_checkpoints(self._folder)}
        for path in self._folder.glob(f"{_NAME}-*"):
            data = _DATA.fullmatch(path.name)
            half_written = "temp" in path.name
            # Without its index, data cannot be read.
            orphan = data is not None and not (self._folder / f"{data.group(1)}.index").exists()
            if data is not None and data.group(1) in whole:
                continue
            if path.is_dir() and half_written:
                shutil.rmtree(path)
            elif half_written or orphan:
                path.unlink()

    @contextlib.contextmanager
    def _naming_what_failed(self) -> Iterator[None]:
        try:
            yield
        except tf.errors.OpError as error:
            raise OSError(
                f"{self._folder}: a checkpoint cannot be written ("
                f"{error.message.splitlines()[0]}). Is the disk full, or the folder protected? The "
                "last whole checkpoint is kept."
            ) from error


def _write_list(folder: pathlib.Path, paths: Sequence[str]) -> None:
    """Writes TensorFlow's list, a CheckpointState as text; the last of `paths` is the latest."""
    names = [pathlib.Path(path).name for path in paths]
    lines = [f'model_checkpoint_path: "{names[-1]}"']
    lines += [f'all_model_checkpoint_paths: "{name}"' for name in names]
    write_text(folder / "checkpoint", "".join(f"{line}\n" for line in lines))


def _has_data(names: set[str], number: int) -> bool:
    """Tells whether all parts of the data of a checkpoint are there."""
    parts = [
        (int(found.group(2)), int(found.group(3)))
        for found in map(_DATA.fullmatch, names)
        if found and found.group(1) == f"{_NAME}-{number}"
    ]
    return bool(parts) and len(parts) == parts[0][1]


def _sync(folder: pathlib.Path, name: str) -> None:
    """Brings a checkpoint to the disk: what is older is about to be removed."""
    for path in [*folder.glob(f"{name}.*"), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
