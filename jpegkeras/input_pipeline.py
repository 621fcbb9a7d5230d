"""tf.data: shards of records → packed batches for training, and batches of the networks' inputs.

For training the host does nothing but read, shuffle and parse (`jpegkeras.packed_batches` says what
comes out), and the device unpacks (`jpegkeras.unpacking`). The order of the records depends on the
seed, the epoch and TensorFlow's global seed alone; the draws, by which an image is cropped, flipped
and augmented, on the seed, the epoch and the record's number in that order. So a run that
continues in the middle of an epoch, or on other devices, sees what it would have seen.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from jpegkeras import transforms
from jpegkeras.config import SHARDINGS
from jpegkeras.dataset_info import COMPRESSIONS, DatasetInfo, ShardInfo
from jpegkeras.draws import draw
from jpegkeras.errors import InputError
from jpegkeras.packed_batches import Layout
from jpegkeras.packed_records import RecordParser, Tensors
from jpegkeras.record_format import COARSE_LABEL, LABEL
from jpegkeras.records import parse_record
from jpegkeras.sampling import COMPONENTS, mcu_size
from jpegkeras.unpacking import central_places, unpack

# AutoGraph would read a function's source from the disk when it is first traced, perhaps hours
# after the program began, and fail if the file was edited since. Nothing here needs it.
_as_written = tf.autograph.experimental.do_not_convert

# Shards read side by side, and the records taken from one before the next.
_CYCLE, _BLOCK_LENGTH = 8, 16
_IN_PARALLEL = {"num_parallel_calls": tf.data.AUTOTUNE, "deterministic": True}
# How many times as large as its crop an image may be that is sent whole.
_LARGEST = 2


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


def layout_of(source: Source) -> Layout:
    """Returns the layout of the packed batches of a data set.

    Images that are all of one size come whole, for the device to crop, unless most of what would be
    sent would be cut off; otherwise the host crops them.
    """
    return _whole_layout(source) if _sends_whole(source) else _crop_layout(source)


def training_batches(
    source: Source,
    *,
    replica_batch_size: int,
    epoch: int,
    seed: int,
    shuffle_buffer: int,
    crop: str = "random",
    steps: int | None = None,
    first_step: int = 0,
    num_replicas: int = 1,
    num_hosts: int = 1,
    host: int = 0,
    sharding: str = "exact",
) -> tf.data.Dataset:
    """Returns one host's packed batches of one epoch of the train split, with their labels.

    A step takes `replica_batch_size` records for each of `num_replicas` devices of each of
    `num_hosts` hosts; the devices of this host take the batches in turn. `steps` are those of the
    epoch (by default as many as there are: see `steps_per_epoch`), of which the first `first_step`
    are left out without parsing them. With `crop` "random" or "central" the host crops what is not
    left to the device (`layout_of`).

    `sharding` "exact": each host reads everything, and the records of a step are the same whatever
    the numbers of devices and hosts. "files": each host reads its own share of the shards, another
    one each epoch. Raises InputError for fewer records or shards than that needs.
    """
    if crop not in ("random", "central"):
        raise ValueError(f"crop must be 'random' or 'central'; got {crop!r}.")
    if not 0 <= host < num_hosts:
        raise ValueError(f"host must be from 0 to {num_hosts - 1}; got {host}.")
    step_size = replica_batch_size * num_replicas * num_hosts
    possible = steps_per_epoch(source, step_size, num_hosts, sharding)
    steps = possible if steps is None else steps
    if steps > possible:
        raise ValueError(f"an epoch has {possible} steps; got {steps}.")
    order = np.random.default_rng([seed, epoch])
    shards = source.info.splits["train"].shards
    shards = [shards[number] for number in order.permutation(len(shards))]
    if sharding == "files" and num_hosts > 1:
        shards = shards[host::num_hosts]
        order = np.random.default_rng([seed, epoch, host])
        num_hosts, host = 1, 0
    shuffle_seed, draws_seed = map(int, order.integers(2**31, size=2))
    records = read_records(source, shards).shuffle(
        shuffle_buffer, seed=shuffle_seed, reshuffle_each_iteration=False
    )
    batches = records.batch(replica_batch_size, drop_remainder=True).enumerate()
    batches_of_step = num_replicas * num_hosts
    batches = batches.skip(first_step * batches_of_step)
    batches = batches.take(max(steps - first_step, 0) * batches_of_step)
    if num_hosts > 1:
        batches = batches.filter(
            _as_written(lambda number, _: number // num_replicas % num_hosts == host)
        )

    @_as_written
    def add_draws(number: tf.Tensor, serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return serialized, draw(draws_seed, number * replica_batch_size, replica_batch_size)

    return _parse(source, batches, add_draws, crop).prefetch(tf.data.AUTOTUNE)


def steps_per_epoch(
    source: Source, batch_size: int, num_hosts: int = 1, sharding: str = "exact"
) -> int:
    """Returns how many batches of `batch_size` over all hosts an epoch has, the same every epoch.

    With the sharding "files" these are as many as the host whose shards hold least can fill.
    Raises InputError where that is none, or a host has no shard.
    """
    if sharding not in SHARDINGS:
        raise ValueError(f"sharding must be one of {', '.join(SHARDINGS)}; got {sharding!r}.")
    if batch_size % num_hosts:
        raise InputError(
            f"--batch_size={batch_size} cannot be shared equally by {num_hosts} hosts; take "
            f"{batch_size // num_hosts * num_hosts or num_hosts}."
        )
    if num_hosts == 1 or sharding == "exact":
        records, step = source.records("train"), batch_size
        where = "the train split"
    else:
        counts = sorted(shard.records for shard in source.info.splits["train"].shards)
        if len(counts) < num_hosts:
            raise InputError(
                f"{source.directory}: {len(counts)} training shards cannot be shared out to "
                f"{num_hosts} hosts. Preprocess with more shards, or take --input_sharding=exact."
            )
        records = sum(counts[: len(counts) // num_hosts])
        step = batch_size // num_hosts
        where = "the share of a host"
    if records < step:
        raise InputError(
            f"{source.directory}: {records} training records ({where}) do not fill one batch of "
            f"{step}; lower --batch_size."
        )
    return records // step


def evaluation_batches(
    source: Source, *, split: str, batch_size: int, num_hosts: int = 1, host: int = 0
) -> tf.data.Dataset:
    """Returns every record of a split once, centrally cropped, always in the same order.

    Yields (features, labels, weights): the features are the network's inputs, as `unpack` gives
    them; all batches have `batch_size` items, so that every device gets its share, and are filled
    up with zeros of weight 0 (weights: float32 [B], else 1). Hosts take the batches in turn; all
    get equally many.
    """
    total = source.records(split)
    records = read_records(source, source.info.splits[split].shards)
    batches = records.batch(batch_size).shard(num_hosts, host)
    parser = record_parser(source)

    def finish(features: Tensors, labels: tf.Tensor) -> tuple:
        places = central_places(tf.shape(labels)[0], parser.layout)
        inputs = unpack(features, parser.layout, *places)
        batch = inputs, labels, tf.ones_like(labels, tf.float32)
        return tf.nest.map_structure(lambda values: _fill_up(values, batch_size), batch)

    if parser.cropping:
        images = _map(_map(batches, parser.parse_to_cut).unbatch(), parser.cut)
        packed = images.batch(batch_size)
    else:
        packed = _map(batches, parser.parse)
    full = _map(packed, finish)
    count = -(-total // batch_size)
    if count % num_hosts > host or count % num_hosts == 0:
        return full.prefetch(tf.data.AUTOTUNE)
    zeros = tf.nest.map_structure(lambda spec: tf.zeros(spec.shape, spec.dtype), full.element_spec)
    return full.concatenate(tf.data.Dataset.from_tensors(zeros)).prefetch(tf.data.AUTOTUNE)


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


def read_records(source: Source, shards: Sequence[ShardInfo]) -> tf.data.Dataset:
    """Reads serialised records; fails at the end of a shard that has not as many as it should.

    TensorFlow takes a compressed shard that was cut off, and an uncompressed one that was cut off
    between two records, for a shorter one.
    """
    compression = COMPRESSIONS[source.info.compression]

    @_as_written
    def read(file: tf.Tensor, records: tf.Tensor) -> tf.data.Dataset:
        serialized = tf.data.TFRecordDataset(file, compression_type=compression)
        return serialized.apply(tf.data.experimental.assert_cardinality(records))

    files = [str(source.directory / shard.file) for shard in shards]
    # Threads that read ahead take a third of the time of reading where there is but one core. The
    # order is the same.
    several = len(os.sched_getaffinity(0)) > 1
    return tf.data.Dataset.from_tensor_slices(
        (files, np.array([shard.records for shard in shards], np.int64))
    ).interleave(
        read,
        cycle_length=min(_CYCLE, len(files)),
        block_length=_BLOCK_LENGTH,
        **(_IN_PARALLEL if several else {}),
    )


def _sends_whole(source: Source) -> bool:
    if tuple(source.info.smallest) != tuple(source.info.largest):
        return False
    return _whole_layout(source).num_blocks <= _LARGEST * _crop_layout(source).num_blocks


def _whole_layout(source: Source) -> Layout:
    height, width = source.info.smallest
    return Layout.of_images(height, width, **_layout_options(source))


def _crop_layout(source: Source) -> Layout:
    return Layout.of_crops(**_layout_options(source))


def _layout_options(source: Source) -> dict[str, Any]:
    return {
        "image_size": source.image_size,
        "sampling": source.info.sampling,
        "num_frequencies": source.num_frequencies,
    }


def record_parser(source: Source) -> RecordParser:
    """Returns the parser of a data set's records, which cuts crops where `layout_of` has them."""
    return RecordParser(
        layout=layout_of(source),
        stored=source.info.num_frequencies,
        label_key=COARSE_LABEL if source.task == "coarse" else LABEL,
        cropping=not _sends_whole(source),
    )


def _parse(
    source: Source, batches: tf.data.Dataset, add_draws: Callable, crop: str
) -> tf.data.Dataset:
    """Returns packed batches, with labels, of batches of what `add_draws` takes."""
    parser = record_parser(source)

    def parse(*batch: tf.Tensor) -> tuple[Tensors, tf.Tensor]:
        serialized, draws = add_draws(*batch)
        features, labels = parser.parse(serialized)
        return {**features, "draws": draws}, labels

    def parse_to_cut(*batch: tf.Tensor) -> tuple[Tensors, tf.Tensor]:
        serialized, draws = add_draws(*batch)
        return parser.parse_to_cut(serialized, draws if crop == "random" else None), draws

    def cut(parsed: Tensors, draws: tf.Tensor) -> tuple[Tensors, tf.Tensor]:
        features, label = parser.cut(parsed)
        return {**features, "draws": draws}, label

    if not parser.cropping:
        return _map(batches, parse)
    size = batches.element_spec[-1].shape[0]
    return _map(_map(batches, parse_to_cut).unbatch(), cut).batch(size, drop_remainder=True)


def _map(dataset: tf.data.Dataset, function: Callable) -> tf.data.Dataset:
    return dataset.map(_as_written(function), **_IN_PARALLEL)


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


def _fill_up(values: tf.Tensor, batch_size: int) -> tf.Tensor:
    missing = batch_size - tf.shape(values)[0]
    padding = [[0, missing]] + [[0, 0]] * (len(values.shape) - 1)
    return tf.ensure_shape(tf.pad(values, padding), [batch_size, *values.shape[1:]])
