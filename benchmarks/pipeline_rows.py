"""The input pipelines that are compared, and ours with its stages cut off one after another."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from benchmarks.pipeline_data import STAGES
from jpegkeras.dataset_info import load_dataset_info
from jpegkeras.input_pipeline import (
    Source,
    layout_of,
    read_records,
    record_parser,
    training_batches,
)
from jpegkeras.packed_records import example_features
from jpegkeras.unpacking import put_overflows, random_places, unpack, unpack_bytes

IMAGE_SIZE = 224
# How often a data set's shards are read in one epoch: more than is measured.
_REPEATS = 1000
_LABEL = "label/fine"

Batches = Callable[[], tf.data.Dataset]


@dataclasses.dataclass(frozen=True)
class Row:
    """A pipeline. `finish`, if any, is called on each batch's features on the host's core."""

    batches: Batches
    finish: Callable[[Any], Any] | None = None


def rgb(folder: pathlib.Path, batch_size: int, shuffle_buffer: int) -> Row:
    """The usual pipeline: JPEGs → random crop while decoding → random flip → uint8 batches.

    Of several ways to write it (image by image with tf.image.random_flip_left_right, flips by the
    batch) this was the fastest by a few per cent.
    """
    files = sorted(str(path) for path in folder.iterdir()) * _REPEATS
    features = {
        "jpeg": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
    }

    def parse(serialized: tf.Tensor) -> tuple[tf.Tensor, ...]:
        example = tf.io.parse_example(serialized, features)
        draws = tf.random.uniform([batch_size, 3])
        # 256 × 256 pixels: 33 places each way.
        corner = tf.cast(draws[:, :2] * 33, tf.int32)
        windows = tf.concat([corner, tf.fill([batch_size, 2], IMAGE_SIZE)], axis=1)
        return example["jpeg"], windows, draws[:, 2] < 0.5, example["label"]

    def decode(
        jpeg: tf.Tensor, window: tf.Tensor, flip: tf.Tensor, label: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        image = tf.io.decode_and_crop_jpeg(jpeg, window, channels=3)
        image = tf.cond(flip, lambda: tf.reverse(image, [1]), lambda: image)
        return tf.ensure_shape(image, [IMAGE_SIZE, IMAGE_SIZE, 3]), label

    def batches() -> tf.data.Dataset:
        records = tf.data.Dataset.from_tensor_slices(files).interleave(
            tf.data.TFRecordDataset,
            cycle_length=8,
            block_length=16,
        )
        records = records.shuffle(shuffle_buffer).batch(batch_size, drop_remainder=True)
        images = _map(_map(records, parse).unbatch(), decode)
        return images.batch(batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)

    return Row(batches)


def ours(
    folder: pathlib.Path,
    num_frequencies: int,
    batch_size: int,
    shuffle_buffer: int,
    *,
    mixed: bool = False,
) -> dict[str, Row]:
    """Ours: packed batches, and with them unpacked into int16 batches of a network's inputs.

    `mixed`: as if the images had several sizes, so that the host crops them.
    """
    source = _long_source(folder, num_frequencies, mixed=mixed)

    def batches() -> tf.data.Dataset:
        return training_batches(
            source,
            replica_batch_size=batch_size,
            epoch=0,
            seed=0,
            shuffle_buffer=shuffle_buffer,
        )

    layout = layout_of(source)

    @functools.partial(tf.function, jit_compile=True, autograph=False)
    def compiled(packed: dict[str, tf.Tensor]) -> tuple:
        places = random_places(packed["draws"], layout)
        return unpack_bytes(packed, layout, *places), places

    @functools.partial(tf.function, autograph=False, reduce_retracing=True)
    def compiled_in_part(packed: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        inputs, places = compiled(packed)
        return put_overflows(inputs, packed, layout, *places)

    @functools.partial(tf.function, autograph=False, reduce_retracing=True)
    def plain(packed: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return unpack(packed, layout, *random_places(packed["draws"], layout))

    return {
        "packed": Row(batches),
        "inputs": Row(batches, lambda batch: compiled_in_part(batch[0])),
        "inputs, not compiled": Row(batches, lambda batch: plain(batch[0])),
    }


def stages(
    folder: pathlib.Path, num_frequencies: int, batch_size: int, shuffle_buffer: int
) -> dict[str, Row]:
    """Ours, cut off after each of `STAGES`."""
    source = _long_source(folder, num_frequencies)
    shards = source.info.splits["train"].shards
    parser = record_parser(source)
    features = example_features(_LABEL)

    def read() -> tf.data.Dataset:
        return read_records(source, shards).batch(batch_size, drop_remainder=True)

    def shuffle() -> tf.data.Dataset:
        records = read_records(source, shards).shuffle(shuffle_buffer, seed=0)
        return records.batch(batch_size, drop_remainder=True)

    def parse() -> tf.data.Dataset:
        return _map(shuffle(), lambda serialized: tf.io.parse_example(serialized, features))

    def to_numbers() -> tf.data.Dataset:
        return _map(shuffle(), parser.parse)

    cut_off = (read, shuffle, parse, to_numbers)
    return {
        stage: Row(lambda batches=batches: batches().prefetch(tf.data.AUTOTUNE))
        for stage, batches in zip(STAGES, cut_off)
    }


def _long_source(folder: pathlib.Path, num_frequencies: int, *, mixed: bool = False) -> Source:
    """Returns the data set with each shard listed many times, so that no epoch ends."""
    info = load_dataset_info(folder)
    split = info.splits["train"]
    split = dataclasses.replace(
        split, records=split.records * _REPEATS, shards=split.shards * _REPEATS
    )
    info = dataclasses.replace(info, splits={**info.splits, "train": split})
    if mixed:
        info = dataclasses.replace(info, largest=(info.largest[0] + 1, info.largest[1]))
    return Source(folder, info, num_frequencies, IMAGE_SIZE, "fine")


def _map(dataset: tf.data.Dataset, function: Callable) -> tf.data.Dataset:
    return dataset.map(
        tf.autograph.experimental.do_not_convert(function),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
