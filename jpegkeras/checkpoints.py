"""Checkpoints: weights, optimiser, position in the data, and the network's description."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator

import keras
import tensorflow as tf

from jpegkeras.description import NetworkDescription
from jpegkeras.errors import InputError

_DESCRIPTION_KEY = "description/.ATTRIBUTES/VARIABLE_VALUE"


class CheckpointStore:
    """Saves and restores a run's state in `workdir/checkpoints`, its best in `workdir/best`.

    TensorFlow writes a checkpoint under its final name only when it is whole, and names it the
    latest only after that.
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
    ) -> None:
        self._description = description
        everything = {"model": model, "optimizer": optimizer, **state}
        self._checkpoint = tf.train.Checkpoint(
            description=tf.Variable(description.to_json(), trainable=False), **everything
        )
        self._recent = tf.train.CheckpointManager(
            self._checkpoint, str(workdir / "checkpoints"), max_to_keep=keep
        )
        self._best = tf.train.CheckpointManager(
            tf.train.Checkpoint(description=self._checkpoint.description, model=model),
            str(workdir / "best"),
            max_to_keep=1,
        )

    def save(self, step: int) -> str:
        """Saves everything; returns the checkpoint's path. Raises OSError if it cannot."""
        with _writing(self._recent.directory):
            return self._recent.save(checkpoint_number=step)

    def save_best(self, step: int) -> str:
        """Saves the weights alone as the best so far; returns the checkpoint's path."""
        with _writing(self._best.directory):
            return self._best.save(checkpoint_number=step)

    def restore_latest(self) -> str | None:
        """Restores the run's latest checkpoint; returns its path, or None where there is none yet.

        Raises InputError if it is of another network.
        """
        path = self._recent.latest_checkpoint
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
    """Builds the network that a checkpoint describes and loads its weights."""
    description = read_description(checkpoint)
    model = description.build()
    _restore(tf.train.Checkpoint(model=model), checkpoint)
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
