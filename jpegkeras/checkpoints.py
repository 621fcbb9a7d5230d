"""Checkpoints: weights, optimiser, position in the data, and the network's description.

A checkpoint of a run that averages its weights (`averaging`) holds both; whoever wants the network
gets the average.
"""

from __future__ import annotations

import os
import pathlib
import tempfile
from collections.abc import Callable

import keras
import tensorflow as tf

from jpegkeras.checkpoint_files import CheckpointFolder, whole_checkpoints
from jpegkeras.description import NetworkDescription
from jpegkeras.errors import InputError

_DESCRIPTION_KEY = "description/.ATTRIBUTES/VARIABLE_VALUE"
_AVERAGED = "averaged"
_RECENT, _BEST = "checkpoints", "best"


class CheckpointStore:
    """Saves and restores a run's state in `workdir/checkpoints`, its best in `workdir/best`.

    `averaged` is what the best is taken of, `model` where there is none. Of several hosts one
    writes (`writes`), but all must save: the devices bring together what they keep apart. The
    others' files go to a temporary folder.
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        description: NetworkDescription,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        state: dict[str, tf.Variable],
        *,
        keep: int,
        averaged: keras.Model | None = None,
        writes: bool = True,
    ) -> None:
        self._description = description
        self._workdir = workdir
        self._writes = writes
        self._elsewhere = None if writes else tempfile.TemporaryDirectory(prefix="jpegkeras-")
        folder = workdir if writes else pathlib.Path(self._elsewhere.name)
        text = tf.Variable(description.to_json(), trainable=False)
        everything = {"model": model, "optimizer": optimizer, **state}
        if averaged is not None:
            everything[_AVERAGED] = averaged
        self._objects = tf.train.Checkpoint(description=text, **everything)
        self._recent = CheckpointFolder(folder / _RECENT, self._objects, keep=keep if writes else 1)
        best = model if averaged is None else averaged
        self._best = CheckpointFolder(
            folder / _BEST, tf.train.Checkpoint(description=text, model=best), keep=1
        )

    @property
    def latest(self) -> str | None:
        """The path of the latest whole checkpoint, if there is one."""
        return _latest(self._workdir / _RECENT)

    def save(self, step: int) -> str:
        """Saves everything; returns the checkpoint's path. Raises OSError if it cannot."""
        path = self._recent.save(step)
        return path if self._writes else str(self._workdir / _RECENT / pathlib.Path(path).name)

    def save_best(self, step: int) -> str:
        """Saves the weights alone as the best so far; returns the checkpoint's path."""
        return self._best.save(step)

    def restore_latest(self, warn: Callable[[str], None] = lambda _: None) -> str | None:
        """Restores the latest checkpoint that can be read; returns its path, None if there is none.

        What a killed process left half-written is removed. `warn` gets a line for each checkpoint
        that is passed over. Raises InputError if the checkpoint is of another network, or if there
        are checkpoints and none can be read: a run never begins again by itself.
        """
        if self._writes:
            self._recent.sweep()
            self._best.sweep()
        folder = self._workdir / _RECENT
        paths = whole_checkpoints(folder)
        if not paths and any(folder.glob("*.index")):
            raise InputError(
                f"{folder}: there are parts of checkpoints here, but none is whole. Put back what "
                "is missing, or choose another --workdir."
            )
        for path in reversed(paths):
            try:
                self._check_network(path)
                _restore(self._objects, path)
            except DamagedError as error:
                if path == paths[0]:
                    raise
                warn(f"warning: {error} It is passed over for an earlier one.")
            else:
                return path
        return None

    def _check_network(self, path: str) -> None:
        differences = read_description(path).differences(self._description)
        if differences:
            raise InputError(
                f"{path}: this checkpoint is of another network: {'; '.join(differences)}. "
                "Choose another --workdir, or the flags of the run that made it."
            )


class DamagedError(InputError):
    """A checkpoint cannot be read, or not into the network that it describes."""


def latest_checkpoint(workdir: str | os.PathLike) -> str | None:
    """The path of a run's latest whole checkpoint, if there is one."""
    return _latest(pathlib.Path(workdir) / _RECENT)


def find_checkpoint(workdir: str | os.PathLike, checkpoint: str | None = None) -> str:
    """Returns the path (a prefix) of `checkpoint`, or of the latest one in `workdir`.

    `checkpoint` is a path, or "best" for the best of `workdir`. Raises InputError where there is
    none.
    """
    if checkpoint and checkpoint != "best":
        prefix = checkpoint[: -len(".index")] if checkpoint.endswith(".index") else checkpoint
        if not pathlib.Path(f"{prefix}.index").is_file():
            raise InputError(f"{prefix}: no such checkpoint (there is no {prefix}.index).")
        return prefix
    folder = pathlib.Path(workdir) / (_BEST if checkpoint else _RECENT)
    latest = _latest(folder)
    if latest is None:
        raise InputError(
            f"{folder}: no checkpoint here. Train first: python train_main.py --mode=train "
            f"--data_dir=… --workdir={workdir}"
        )
    return latest


def read_description(checkpoint: str) -> NetworkDescription:
    """Reads the description that a checkpoint carries; raises InputError if there is none."""
    try:
        reader = tf.train.load_checkpoint(checkpoint)
        return NetworkDescription.from_json(reader.get_tensor(_DESCRIPTION_KEY).decode())
    except (
        ValueError,
        TypeError,
        LookupError,
        RuntimeError,
        tf.errors.OpError,
    ) as error:
        raise DamagedError(
            f"{checkpoint}: not a checkpoint of this version of jpegkeras, or damaged "
            f"({str(error).splitlines()[0]})."
        ) from error


def restore_network(checkpoint: str) -> tuple[NetworkDescription, keras.Model]:
    """Builds the network that a checkpoint describes and loads its weights.

    Of a run that averages them, the averages.
    """
    description = read_description(checkpoint)
    model = description.build()
    saved = tf.train.load_checkpoint(checkpoint).get_variable_to_shape_map()
    averaged = any(key.startswith(f"{_AVERAGED}/") for key in saved)
    _restore(tf.train.Checkpoint(**{_AVERAGED if averaged else "model": model}), checkpoint)
    return description, model


def _restore(target: tf.train.Checkpoint, path: str) -> None:
    try:
        target.read(path).assert_existing_objects_matched().expect_partial()
    except (ValueError, IndexError, AssertionError, tf.errors.OpError) as error:
        raise DamagedError(
            f"{path}: its weights do not fit the network that it describes "
            f"({str(error).splitlines()[0]}). It is damaged, or of another version of jpegkeras."
        ) from error


def _latest(folder: pathlib.Path) -> str | None:
    paths = whole_checkpoints(folder)
    return paths[-1] if paths else None
