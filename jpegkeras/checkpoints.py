"""Checkpoints: weights, optimiser, position in the data, and the network's description.

A checkpoint of a run that averages its weights (`averaging`) holds both; whoever wants the network
gets the average.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator

import keras
import tensorflow as tf

from jpegkeras.description import NetworkDescription
from jpegkeras.errors import InputError

_DESCRIPTION_KEY = "description/.ATTRIBUTES/VARIABLE_VALUE"
_AVERAGED = "averaged"
_NAME = "ckpt"


class CheckpointStore:
    """Saves and restores a run's state in `workdir/checkpoints`, its best in `workdir/best`.

    TensorFlow writes a checkpoint under its final name only when it is whole, and names it the
    latest only after that. `averaged` is what the best is taken of, `model` where there is none.
    Of several hosts one writes (`writes`), but all must save: the devices bring together what they
    keep apart. The others' files go to a temporary folder.
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
        everything = {"model": model, "optimizer": optimizer, **state}
        if averaged is not None:
            everything[_AVERAGED] = averaged
        self._checkpoint = tf.train.Checkpoint(
            description=tf.Variable(description.to_json(), trainable=False), **everything
        )
        self._recent = tf.train.CheckpointManager(
            self._checkpoint,
            str(folder / "checkpoints"),
            max_to_keep=keep if writes else 1,
            checkpoint_name=_NAME,
        )
        best = model if averaged is None else averaged
        self._best = tf.train.CheckpointManager(
            tf.train.Checkpoint(description=self._checkpoint.description, model=best),
            str(folder / "best"),
            max_to_keep=1,
            checkpoint_name=_NAME,
        )

    @property
    def latest(self) -> str | None:
        """The path of the latest checkpoint, if there is one."""
        return tf.train.latest_checkpoint(str(self._workdir / "checkpoints"))

    def save(self, step: int) -> str:
        """Saves everything; returns the checkpoint's path. Raises OSError if it cannot."""
        return self._save(self._recent, step)

    def save_best(self, step: int) -> str:
        """Saves the weights alone as the best so far; returns the checkpoint's path."""
        return self._save(self._best, step)

    def restore_latest(self) -> str | None:
        """Restores the run's latest checkpoint; returns its path, or None where there is none yet.

        What a killed process left half-written is removed. Raises InputError if the checkpoint is
        of another network.
        """
        if self._writes:
            _sweep(self._recent)
            _sweep(self._best)
        path = self.latest
        if path is None:
            return None
        differences = read_description(path).differences(self._description)
        if differences:
            raise InputError(
                f"{path}: this checkpoint is of another network: {'; '.join(differences)}. "
                "Choose another --workdir, or the flags of the run that made it."
            )
        _restore(self._checkpoint, path)
        return path

    def _save(self, manager: tf.train.CheckpointManager, step: int) -> str:
        try:
            with _writing(manager.directory):
                path = manager.save(checkpoint_number=step)
        except OSError:
            with contextlib.suppress(OSError):
                _sweep(manager)
            raise
        return path if self._writes else str(self._workdir / "checkpoints" / f"{_NAME}-{step}")


def _sweep(manager: tf.train.CheckpointManager) -> None:
    """Removes files in a manager's folder that belong to no checkpoint of its list."""
    kept = {pathlib.Path(path).name for path in manager.checkpoints}
    folder = pathlib.Path(manager.directory)
    for path in folder.glob(f"{_NAME}-*"):
        found = re.match(rf"{_NAME}-\d+", path.name)
        if found is None or (found.group() in kept and "temp" not in path.name):
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


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
    folder = pathlib.Path(workdir) / ("best" if checkpoint else "checkpoints")
    latest = tf.train.latest_checkpoint(str(folder))
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
        raise InputError(
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
        target.restore(path).assert_existing_objects_matched().expect_partial()
    except (ValueError, IndexError, AssertionError, tf.errors.OpError) as error:
        raise InputError(
            f"{path}: its weights do not fit the network that it describes "
            f"({str(error).splitlines()[0]}). It is damaged, or of another version of jpegkeras."
        ) from error


@contextlib.contextmanager
def _writing(directory: str) -> Iterator[None]:
    try:
        yield
    except tf.errors.OpError as error:
        raise OSError(
            f"{directory}: a checkpoint cannot be written ({error.message.splitlines()[0]}). Is "
            "the disk full, or the folder protected? The last whole checkpoint is kept."
        ) from error
