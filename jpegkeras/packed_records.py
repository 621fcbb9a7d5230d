"""Parses batches of serialised records into packed batches, in tf.data's graphs.

A batch is parsed at once. Where the host is to crop, each image's planes are cut by themselves, and
put together again. `jpegkeras.packed_batches` says what comes out; the draws are no part of it.

Every operation of a graph costs some microseconds a batch, whatever it does: hence as few as will
do for images that come whole.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from jpegkeras import record_format as keys
from jpegkeras.packed_batches import CROP_ACROSS, CROP_DOWN, Layout
from jpegkeras.sampling import COMPONENTS, mcu_size

Tensors = dict  # name → tf.Tensor

_LABELS = "labels"
# Of a component whose crop is to be cut, for tf.reshape and tf.slice: (−1, rows, cols) of its grid,
# (0, top, left) of the crop in blocks, and the bytes of the AC coefficients that are taken.
_SHAPE, _BEGIN, _SIZE = "shape", "begin", "size"
_OVERFLOWS = tuple(f"{key}/overflow/{part}" for key in COMPONENTS for part in ("index", "value"))
# How many overflows an image of a batch has room for.
_ROOMS = [1 << power for power in range(3, 24)]


@dataclasses.dataclass(frozen=True)
class RecordParser:
    """Parses the records of one data set for a network that takes `layout`.

    `stored`: how many frequencies the records hold; `label_key`: which of their labels is taken.
    Without `cropping` the images must have the layout's grids; with it they may be of any size that
    the layout's crop fits into, and their crops are what has the layout's grids.
    """

    layout: Layout
    stored: int
    label_key: str
    cropping: bool

    def parse(self, serialized: tf.Tensor) -> tuple[Tensors, tf.Tensor]:
        """Returns the packed batch and the labels, int64 [B], of records that are not cropped.

        `serialized`: string [B]. Fails with tf.errors.InvalidArgumentError, which names the record,
        where one is not what dataset.json says: schema version, frequencies, size.
        """
        example = tf.io.parse_example(serialized, example_features(self.label_key))
        with tf.control_dependencies([self._check(example)]):
            return self._decode(example), tf.squeeze(example[self.label_key], axis=1)

    def parse_to_cut(self, serialized: tf.Tensor, draws: tf.Tensor | None = None) -> Tensors:
        """Returns what `cut` takes, with a batch axis.

        `serialized`: string [B]; `draws`: float32 [B, DRAWS], which say where to crop, or None: in
        the centre. Fails as `parse` does.
        """
        example = tf.io.parse_example(serialized, example_features(self.label_key))
        with tf.control_dependencies([self._check(example)]):
            return self._choose(example, draws)

    def cut(self, parsed: Tensors) -> tuple[Tensors, tf.Tensor]:
        """Returns what `parse` does of one image, without the batch axis."""
        features = {key: parsed[key] for key in (keys.QUANTIZATION, *_OVERFLOWS)}
        for key in COMPONENTS:
            grid = self.layout.grid(key)
            dc = tf.io.decode_raw(parsed[f"{key}/dc"], tf.int16)
            ac = (
                tf.io.decode_raw(
                    parsed[f"{key}/ac"], tf.int8, fixed_length=parsed[f"{key}/{_SIZE}"]
                )
                if self._bands
                else tf.zeros([0], tf.int8)
            )
            for part, planes, count in (("dc", dc, 1), ("ac", ac, self._bands)):
                planes = tf.reshape(planes, parsed[f"{key}/{_SHAPE}"])
                planes = tf.slice(planes, parsed[f"{key}/{_BEGIN}"], [count, *grid])
                features[f"{key}/{part}"] = tf.reshape(planes, [-1])
        return features, parsed[_LABELS]

    @property
    def _bands(self) -> int:
        """How many AC coefficients of a block are taken."""
        return self.layout.num_frequencies - 1

    @property
    def _is_prefix(self) -> bool:
        return self.layout.num_frequencies < self.stored

    def _decode(self, example: Tensors) -> Tensors:
        features = {keys.QUANTIZATION: self._tables(example)}
        for key in COMPONENTS:
            rows, cols = self.layout.grid(key)
            # A fixed length takes the prefix, and copies it once.
            features[f"{key}/dc"] = tf.io.decode_raw(
                example[f"{key}/dc"], tf.int16, fixed_length=2 * rows * cols
            )
            size = self._bands * rows * cols
            features[f"{key}/ac"] = (
                tf.io.decode_raw(example[f"{key}/ac"], tf.int8, fixed_length=size)
                if size
                else tf.zeros([tf.shape(example[f"{key}/ac"])[0], 0], tf.int8)
            )
            index, value = _overflows(example, key)
            kept = index < size if self._is_prefix else None
            _add_overflows(features, key, index, value, kept)
        return features

    def _choose(self, example: Tensors, draws: tf.Tensor | None) -> Tensors:
        parsed = {_LABELS: tf.squeeze(example[self.label_key], axis=1)}
        parsed[keys.QUANTIZATION] = self._tables(example)
        places = self._whole_mcus(example) - self.layout.crop + 1
        corner = (places - 1) // 2
        if draws is not None:
            slots = tf.gather(draws, [CROP_DOWN, CROP_ACROSS], axis=1)
            # As jpegkeras.unpacking.random_places has it.
            corner = tf.cast(tf.floor(slots * tf.cast(places, tf.float32)), tf.int32)
        for key in COMPONENTS:
            grid = tf.cast(example[f"{key}/shape"], tf.int32)
            begin = corner * self.layout.blocks_of_mcu(key)
            size = self._bands * tf.reduce_prod(grid, axis=1)
            parsed |= {f"{key}/{part}": example[f"{key}/{part}"] for part in ("dc", "ac")}
            parsed[f"{key}/{_SHAPE}"] = tf.pad(grid, [[0, 0], [1, 0]], constant_values=-1)
            parsed[f"{key}/{_BEGIN}"] = tf.pad(begin, [[0, 0], [1, 0]])
            parsed[f"{key}/{_SIZE}"] = size
            index, value = _overflows(example, key)
            kept = (index >= 0) & (index < size[:, tf.newaxis])
            index, inside = _move(index, grid, begin, self.layout.grid(key))
            _add_overflows(parsed, key, index, value, kept & inside)
        return parsed

    def _tables(self, example: Tensors) -> tf.Tensor:
        size = 2 * len(COMPONENTS) * self.stored
        tables = tf.io.decode_raw(example[keys.QUANTIZATION], tf.uint16, fixed_length=size)
        tables = tf.reshape(tables, [-1, len(COMPONENTS), self.stored])
        return tables[:, :, : self.layout.num_frequencies] if self._is_prefix else tables

    def _whole_mcus(self, example: Tensors) -> tf.Tensor:
        """Returns how many whole MCUs each image has down and across: int32 [B, 2]."""
        return tf.cast(_pixels(example), tf.int32) // mcu_size(self.layout.sampling)

    def _check(self, example: Tensors) -> tf.Operation:
        """Returns an assertion that all records are what dataset.json says.

        In few steps, and without tf.cond, which costs more than all of them.
        """
        names = (keys.SCHEMA, keys.NUM_FREQUENCIES, *(f"{key}/shape" for key in COMPONENTS))
        numbers = tf.concat([example[name] for name in names], axis=1)
        wanted = self._wanted(example)
        areas = wanted[:, 2::2] * wanted[:, 3::2]
        lengths = tf.stack(_lengths(example, "dc") + _lengths(example, "ac"), axis=1)
        sizes = tf.concat([2 * areas, (self.stored - 1) * areas], axis=1)
        right = tf.reduce_all(numbers == wanted, axis=1)
        right &= tf.reduce_all(tf.cast(lengths, tf.int64) == sizes, axis=1)
        right &= example[keys.SAMPLING] == self.layout.sampling
        if self.cropping:
            right &= tf.reduce_all(self._whole_mcus(example) >= self.layout.crop, axis=1)
        worst = tf.argmin(tf.cast(right, tf.int32))
        return tf.debugging.Assert(
            tf.reduce_all(right),
            [
                "a record is not what dataset.json says:",
                example[keys.NAME][worst],
                "schema version, frequencies, rows and columns of y, cb, cr:",
                numbers[worst],
                "expected:",
                wanted[worst if self.cropping else 0],
                "sampling:",
                example[keys.SAMPLING][worst],
                "expected:",
                self.layout.sampling,
            ],
            summarize=8,
        )

    def _wanted(self, example: Tensors) -> tf.Tensor:
        """Returns the schema version, frequencies, rows and cols to be: int64 [B or 1, 8]."""
        first = [keys.SCHEMA_VERSION, self.stored]
        if not self.cropping:
            return tf.constant([*first, *sum(self.layout.grids, ())], tf.int64)[tf.newaxis]
        pixels = tf.concat([example[keys.HEIGHT], example[keys.WIDTH]] * len(COMPONENTS), axis=1)
        blocks = sum((self.layout.blocks_of_mcu(key) for key in COMPONENTS), ())
        grids = -(-pixels * blocks // (mcu_size(self.layout.sampling) * len(COMPONENTS)))
        return tf.concat([tf.zeros_like(grids[:, :2]) + first, grids], axis=1)


def example_features(
    label_key: str,
) -> dict[str, tf.io.FixedLenFeature | tf.io.FixedLenSequenceFeature]:
    """Returns what tf.io.parse_example is to take from a batch of records."""
    text, number = tf.io.FixedLenFeature([], tf.string), tf.io.FixedLenFeature([1], tf.int64)
    features = dict.fromkeys((keys.NAME, keys.SAMPLING, keys.QUANTIZATION), text)
    numbers = (keys.HEIGHT, keys.WIDTH, keys.NUM_FREQUENCIES, label_key)
    features |= dict.fromkeys(numbers, number)
    # Records of the first version name none.
    features[keys.SCHEMA] = tf.io.FixedLenFeature([1], tf.int64, default_value=[1])
    for key in COMPONENTS:
        features |= {f"{key}/dc": text, f"{key}/ac": text}
        features[f"{key}/shape"] = tf.io.FixedLenFeature([2], tf.int64)
        for part in ("index", "value"):
            features[f"{key}/overflow/{part}"] = tf.io.FixedLenSequenceFeature(
                [], tf.int64, allow_missing=True, default_value=-1
            )
    return features


def _pixels(example: Tensors) -> tf.Tensor:
    return tf.concat([example[keys.HEIGHT], example[keys.WIDTH]], axis=1)


def _lengths(example: Tensors, part: str) -> list[tf.Tensor]:
    return [tf.strings.length(example[f"{key}/{part}"]) for key in COMPONENTS]


def _overflows(example: Tensors, key: str) -> tuple[tf.Tensor, tf.Tensor]:
    index, value = (example[f"{key}/overflow/{part}"] for part in ("index", "value"))
    return tf.cast(index, tf.int32), tf.cast(value, tf.int16)


def _move(
    index: tf.Tensor, grid: tf.Tensor, begin: tf.Tensor, size: tuple[int, int]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns where the overflows lie in the crops, and whether they do.

    `index`: int32 [B, M], places in the AC coefficients of images of `grid` blocks, int32 [B, 2];
    `begin`: int32 [B, 2], the crops' corners in blocks; `size`: their rows and cols.
    """
    cols = grid[:, 1:]
    blocks = grid[:, :1] * cols
    row = index % blocks // cols - begin[:, :1]
    col = index % cols - begin[:, 1:]
    inside = (row >= 0) & (row < size[0]) & (col >= 0) & (col < size[1])
    return (index // blocks * size[0] + row) * size[1] + col, inside


def _add_overflows(
    features: Tensors, key: str, index: tf.Tensor, value: tf.Tensor, kept: tf.Tensor | None
) -> None:
    """Adds those overflows that are `kept`, bool [B, M] or None: all, and room up to a `_ROOMS`."""
    if kept is not None:
        index, value = tf.where(kept, index, -1), tf.where(kept, value, 0)
    number = tf.shape(index)[1]
    room = tf.reduce_min(tf.where(tf.constant(_ROOMS) >= number, _ROOMS, _ROOMS[-1]))
    padding = [[0, 0], [0, room - number]]
    features[f"{key}/overflow/index"] = tf.pad(index, padding, constant_values=-1)
    features[f"{key}/overflow/value"] = tf.pad(value, padding)
