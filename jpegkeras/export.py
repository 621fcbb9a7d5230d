"""A trained network as a SavedModel that answers named signatures."""

from __future__ import annotations

import os
import pathlib
import shutil

import keras
import tensorflow as tf

from jpegkeras.description import NetworkDescription
from jpegkeras.errors import InputError
from jpegkeras.evaluation import TOP_K
from jpegkeras.files import TEMPORARY_SUFFIX
from jpegkeras.input_pipeline import parse_central

DESCRIPTION_FILE = "jpegkeras.json"


def export(
    model: keras.Model, description: NetworkDescription, directory: str | os.PathLike
) -> pathlib.Path:
    """Writes the SavedModel `directory`, whole or not at all; an earlier export there is replaced.

    Signatures: `serving_default` takes `examples`, serialised records as the preprocessing writes
    them (string [B]), and looks at their central crop; `coefficients` takes the network's own
    inputs `y`, `cb`, `cr` (int16 [B, rows, cols, n]) and `quantization` (uint16 [B, 3, n]). Both
    give `logits` and `probabilities` (float32 [B, classes]), `classes` (string [B, 5], the
    likeliest first) and `scores` (float32 [B, 5], their probabilities). The description lies in
    `assets.extra/jpegkeras.json`.

    Raises InputError if `directory` is there and is no SavedModel.
    """
    directory = pathlib.Path(directory).resolve()
    _check_target(directory)
    temporary = directory.with_name(f"{directory.name}.{os.getpid()}{TEMPORARY_SUFFIX}")
    directory.parent.mkdir(parents=True, exist_ok=True)
    try:
        _archive(model, description).write_out(str(temporary), verbose=False)
        extra = temporary / "assets.extra"
        extra.mkdir()
        (extra / DESCRIPTION_FILE).write_text(description.to_json(), "utf-8")
        _replace(directory, temporary)
    except tf.errors.OpError as error:
        raise OSError(
            f"{directory}: cannot be written ({error.message.splitlines()[0]})"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return directory


def _replace(directory: pathlib.Path, new: pathlib.Path) -> None:
    """Puts `new` in the place of `directory`, which goes only when the new one is there."""
    if not directory.exists():
        new.rename(directory)
        return
    old = directory.with_name(f"{new.name}.old")
    directory.rename(old)
    try:
        new.rename(directory)
    except OSError:
        old.rename(directory)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _check_target(directory: pathlib.Path) -> None:
    if not directory.exists() or (directory / "saved_model.pb").is_file():
        return
    if not directory.is_dir() or any(directory.iterdir()):
        raise InputError(
            f"{directory}: exists and is no SavedModel; it is left alone. "
            "Choose another --export_dir."
        )


def _archive(model: keras.Model, description: NetworkDescription) -> keras.export.ExportArchive:
    answer = _answers(model, description)

    def coefficients(features: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return answer(features)

    def examples(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        return answer(_parse_batch(serialized, model, description))

    inputs = {
        name: tf.TensorSpec(tensor.shape, tensor.dtype, name=name)
        for name, tensor in model.input.items()
    }
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serving_default", examples, input_signature=[tf.TensorSpec([None], tf.string, "examples")]
    )
    archive.add_endpoint("coefficients", coefficients, input_signature=[inputs])
    return archive


def _answers(model: keras.Model, description: NetworkDescription) -> object:
    k = min(TOP_K, len(description.class_names))
    # A folder's name, and so a class's, need not be UTF-8.
    names = [name.encode("utf-8", "surrogateescape") for name in description.class_names]

    def answer(features: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        logits = tf.cast(model(features, training=False), tf.float32)
        probabilities = tf.nn.softmax(logits)
        scores, indices = tf.math.top_k(probabilities, k)
        return {
            "logits": logits,
            "probabilities": probabilities,
            "classes": tf.gather(names, indices),
            "scores": scores,
        }

    return answer


def _parse_batch(
    serialized: tf.Tensor, model: keras.Model, description: NetworkDescription
) -> dict[str, tf.Tensor]:
    return tf.map_fn(
        lambda record: parse_central(
            record, description.num_frequencies, description.image_size, description.sampling
        ),
        serialized,
        fn_output_signature={
            name: tf.TensorSpec(tensor.shape[1:], tensor.dtype)
            for name, tensor in model.input.items()
        },
    )
