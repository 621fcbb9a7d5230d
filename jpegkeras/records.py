"""Parses TFRecords of coefficients in TensorFlow's graphs; `record_format` says what they hold."""

from __future__ import annotations

import tensorflow as tf

from jpegkeras import record_format as keys
from jpegkeras.sampling import COMPONENTS


def parse_record(serialized: tf.Tensor, num_frequencies: int) -> dict[str, tf.Tensor]:
    """Parses one serialised record (a scalar string) with TensorFlow core ops alone.

    `y`, `cb`, `cr`: int16 [rows, cols, num_frequencies], quantised, zigzag order; `quantization`:
    uint16 [3, num_frequencies]; `label`, `coarse_label`, `height`, `width`: int64 scalars; `name`,
    `sampling`: string scalars.

    A record of another schema version, one that holds fewer than `num_frequencies`, or whose bytes
    do not fit its shape, fails with tf.errors.InvalidArgumentError.
    """
    example = tf.io.parse_single_example(serialized, _features())
    stored = example[keys.NUM_FREQUENCIES]
    checks = (
        tf.debugging.assert_equal(
            example[keys.SCHEMA],
            tf.constant(keys.SCHEMA_VERSION, tf.int64),
            message="the record has another schema version than this jpegkeras reads",
        ),
        tf.debugging.assert_greater_equal(
            stored,
            tf.constant(num_frequencies, tf.int64),
            message="the record holds fewer frequencies than the network takes",
        ),
    )
    with tf.control_dependencies([check for check in checks if check is not None]):
        quantization = tf.reshape(
            tf.io.decode_raw(example[keys.QUANTIZATION], tf.uint16), [3, stored]
        )
        # Inside too: in a graph their reshape may fail first, with a message about sizes alone.
        parsed = {key: _parse_component(example, key, num_frequencies) for key in COMPONENTS}
    return {
        **parsed,
        "quantization": tf.ensure_shape(
            quantization[:, :num_frequencies], [len(COMPONENTS), num_frequencies]
        ),
        "label": example[keys.LABEL],
        "coarse_label": example[keys.COARSE_LABEL],
        "height": example[keys.HEIGHT],
        "width": example[keys.WIDTH],
        "name": example[keys.NAME],
        "sampling": example[keys.SAMPLING],
    }


def _features() -> dict[str, tf.io.FixedLenFeature | tf.io.VarLenFeature]:
    scalar = {
        keys.HEIGHT: tf.int64,
        keys.WIDTH: tf.int64,
        keys.NAME: tf.string,
        keys.SAMPLING: tf.string,
        keys.LABEL: tf.int64,
        keys.COARSE_LABEL: tf.int64,
        keys.NUM_FREQUENCIES: tf.int64,
        keys.QUANTIZATION: tf.string,
    }
    features = {key: tf.io.FixedLenFeature([], dtype) for key, dtype in scalar.items()}
    # Records of the first version name none.
    features[keys.SCHEMA] = tf.io.FixedLenFeature([], tf.int64, default_value=1)
    for prefix in COMPONENTS:
        features[f"{prefix}/shape"] = tf.io.FixedLenFeature([2], tf.int64)
        features[f"{prefix}/dc"] = tf.io.FixedLenFeature([], tf.string)
        features[f"{prefix}/ac"] = tf.io.FixedLenFeature([], tf.string)
        for part in ("index", "value"):
            features[f"{prefix}/overflow/{part}"] = tf.io.FixedLenSequenceFeature(
                [], tf.int64, allow_missing=True
            )
    return features


def _parse_component(example: dict[str, tf.Tensor], prefix: str, num_frequencies: int) -> tf.Tensor:
    rows, cols = tf.unstack(example[f"{prefix}/shape"])
    wanted = (num_frequencies - 1) * rows * cols
    dc = tf.io.decode_raw(example[f"{prefix}/dc"], tf.int16)
    lowest = tf.strings.substr(example[f"{prefix}/ac"], 0, tf.cast(wanted, tf.int32))
    ac = tf.cast(tf.io.decode_raw(lowest, tf.int8), tf.int16)
    index = example[f"{prefix}/overflow/index"]
    value = tf.cast(example[f"{prefix}/overflow/value"], tf.int16)
    kept = index < wanted
    ac = tf.tensor_scatter_nd_update(
        ac, tf.boolean_mask(index, kept)[:, tf.newaxis], tf.boolean_mask(value, kept)
    )
    planes = tf.reshape(tf.concat([dc, ac], axis=0), [num_frequencies, rows, cols])
    return tf.transpose(planes, [1, 2, 0])
