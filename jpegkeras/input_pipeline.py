"""tf.data: shards of records → batches of the networks' inputs.

A batch's features are `{"y": int16 [B, rows, cols, n], "cb": …, "cr": …, "quantization": uint16 [B,
3, n]}`, its labels int64 [B]. The order of the records, the crops and the flips depend on the seed,
the epoch and TensorFlow's global seed alone, so that a run which continues in the middle of an
epoch sees what it would have seen.
"""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import tensorflow as tf

from jpegkeras import transforms
from jpegkeras.dataset_info import COMPRESSIONS, DatasetInfo
from jpegkeras.errors import InputError
from jpegkeras.records import parse_record
from jpegkeras.sampling import COMPONENTS, mcu_size

# AutoGraph would read a function's source from the disk when it is first traced, perhaps hours
# after the program began, and fail if the file was edited since. Nothing here needs it.
_as_written = tf.autograph.experimental.do_not_convert

# Shards read side by side, and the records taken from one before the next.
_CYCLE, _BLOCK_LENGTH = 8, 16


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set's folder and what a network takes from it."""

    directory: pathlib.Path
    info: DatasetInfo
    num_frequencies: int
    image_size: int
    task: str

    def __post_init__(self) -> None:
        if self.num_frequencies > self.info.num_frequencies:
            raise InputError(
                f"{self.directory}: its records hold {self.info.num_frequencies} frequencies, the "
                f"network takes {self.num_frequencies}. Lower --num_frequencies or preprocess "
                "with more."
            )
        self._check_size()

    def records(self, split: str) -> int:
        """Returns the number of records of a split; raises InputError for one that is not there."""
        if split not in self.info.splits:
            raise InputError(
                f"{self.directory}: no split {split!r}; it has {', '.join(self.info.splits)}."
            )
        return self.info.splits[split].records

    def _check_size(self) -> None:
        mcu = mcu_size(self.info.sampling)
        if any(self.image_size % side for side in mcu):
            raise InputError(
                f"--image_size must be a multiple of {max(mcu)} pixels (one MCU of "
                f"{self.info.sampling}); got {self.image_size}."
            )
        fits = min(pixels // side * side for pixels, side in zip(self.info.smallest, mcu))
        if fits < self.image_size:
            raise InputError(
                f"{self.directory}: --image_size={self.image_size} does not fit the smallest "
                f"image; the largest crop that fits all is {fits // max(mcu) * max(mcu)}. Lower "
                f"--image_size or preprocess with --smallest_side={self.image_size} or more."
            )


def training_batches(
    source: Source, *, batch_size: int, epoch: int, seed: int, augment: bool, shuffle_buffer: int
) -> tf.data.Dataset:
    """Returns one epoch of the train split, shuffled; a last short batch is left out.

    With `augment` the crop's position and the flip are drawn at random, else the crop is central.
    """
    order = np.random.default_rng([seed, epoch])
    files = [str(source.directory / shard.file) for shard in source.info.splits["train"].shards]
    records = _read(source, "train", list(order.permutation(files)))
    records = records.shuffle(shuffle_buffer, seed=int(order.integers(2**31)))
    epoch_seed = int(order.integers(2**31))

    @_as_written
    def prepare(index: tf.Tensor, serialized: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        record = parse_record(serialized, source.num_frequencies)
        if not augment:
            return _central(record, source)
        draw = tf.random.stateless_uniform([3], seed=tf.stack([epoch_seed, index]))
        return _augmented(record, source, draw)

    return (
        records.enumerate()
        .map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(batch_size, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def evaluation_batches(source: Source, *, split: str, batch_size: int) -> tf.data.Dataset:
    """Returns every record of a split once, centrally cropped, always in the same order.

    Yields (features, labels, weights): all batches have `batch_size` items, so that every device
    gets its share; the last one is filled up with zeros of weight 0 (weights: float32 [B], else 1).
    """
    source.records(split)
    files = [str(source.directory / shard.file) for shard in source.info.splits[split].shards]

    @_as_written
    def prepare(serialized: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
        features, label = _central(parse_record(serialized, source.num_frequencies), source)
        return features, label, tf.ones([])

    @_as_written
    def fill_up(*batch: object) -> tuple:
        return tf.nest.map_structure(lambda values: _fill_up(values, batch_size), batch)

    return (
        _read(source, split, files)
        .map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(batch_size)
        .map(fill_up)
        .prefetch(tf.data.AUTOTUNE)
    )


def parse_central(serialized: tf.Tensor, num_frequencies: int, size: int, sampling: str) -> dict:
    """Parses one record into the features of its central crop (no batch axis).

    In a graph a record of another sampling fails with tf.errors.InvalidArgumentError.
    """
    record = parse_record(serialized, num_frequencies)
    same = tf.debugging.assert_equal(
        record["sampling"], sampling, message="the record has another sampling than the network"
    )
    with tf.control_dependencies([same] if same is not None else []):
        record["height"] = tf.identity(record["height"])
    top, left = transforms.center_offsets(record["height"], record["width"], size, sampling)
    return _features(record, top, left, size, sampling)


def _read(source: Source, split: str, files: list[str]) -> tf.data.Dataset:
    """Reads serialised records; fails at the end where they are not as many as they should be.

    TensorFlow takes an uncompressed shard that was cut off for a shorter one.
    """
    compression = COMPRESSIONS[source.info.compression]
    records = tf.data.Dataset.from_tensor_slices(files).interleave(
        _as_written(lambda file: tf.data.TFRecordDataset(file, compression_type=compression)),
        cycle_length=min(_CYCLE, len(files)),
        block_length=_BLOCK_LENGTH,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    return records.apply(tf.data.experimental.assert_cardinality(source.records(split)))


def _central(
    record: dict[str, tf.Tensor], source: Source
) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    sampling = source.info.sampling
    top, left = transforms.center_offsets(
        record["height"], record["width"], source.image_size, sampling
    )
    return _features(record, top, left, source.image_size, sampling), _label(record, source)


def _augmented(
    record: dict[str, tf.Tensor], source: Source, draw: tf.Tensor
) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """`draw`: float32 [3] from 0 to below 1: the crop's position down and across, and the flip."""
    sampling = source.info.sampling
    counts = transforms.mcu_counts(record["height"], record["width"], sampling)
    offsets = []
    for count, mcu, part in zip(counts, mcu_size(sampling), (draw[0], draw[1])):
        places = count - source.image_size // mcu + 1
        offsets.append(tf.cast(part * tf.cast(places, tf.float32), tf.int64))
    features = _features(record, *offsets, source.image_size, sampling)
    mirrored = {
        key: transforms.flip_horizontal(value) if key in COMPONENTS else value
        for key, value in features.items()
    }
    return tf.cond(draw[2] < 0.5, lambda: mirrored, lambda: features), _label(record, source)


def _features(
    record: dict[str, tf.Tensor], top: tf.Tensor, left: tf.Tensor, size: int, sampling: str
) -> dict[str, tf.Tensor]:
    features = transforms.crop(record, top, left, size, sampling)
    mcu_height, mcu_width = mcu_size(sampling)
    for key in COMPONENTS:
        block = (8, 8) if key == "y" else (mcu_height, mcu_width)
        shape = [size // block[0], size // block[1], features[key].shape[-1]]
        features[key] = tf.ensure_shape(features[key], shape)
    features["quantization"] = record["quantization"]
    return features


def _label(record: dict[str, tf.Tensor], source: Source) -> tf.Tensor:
    return record["coarse_label" if source.task == "coarse" else "label"]


def _fill_up(values: tf.Tensor, batch_size: int) -> tf.Tensor:
    missing = batch_size - tf.shape(values)[0]
    padding = [[0, missing]] + [[0, 0]] * (len(values.shape) - 1)
    return tf.ensure_shape(tf.pad(values, padding), [batch_size, *values.shape[1:]])
