"""The one place that names the keys and dtypes of a TFRecord of coefficients.

A record is a `tf.train.Example` of one image. Its coefficients are quantised, in zigzag order, and
laid out frequency by frequency (all DC, then all of AC 1, …), so that the n lowest frequencies are
a prefix:

- `{y,cb,cr}/shape`: int64 [2], rows and cols of blocks;
- `{y,cb,cr}/dc`: int16 little-endian [rows × cols] as bytes;
- `{y,cb,cr}/ac`: int8 [(n − 1) × rows × cols] as bytes;
- `{y,cb,cr}/overflow/{index,value}`: the AC coefficients that int8 cannot hold: position in `ac`
  (which is 0 there) and value; absent where there is none;
- `num_frequencies`: n; `quantization`: uint16 little-endian [3 × n] as bytes, zigzag order;
- `image/{height,width}` in pixels, `image/sampling` ("4:2:0"), `image/name`, `label/{fine,coarse}`.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from jpegkeras.jpeg import JpegCoefficients
from jpegkeras.sampling import COMPONENTS

_INT8 = np.iinfo(np.int8)


def serialize_record(
    image: JpegCoefficients, *, label: int, coarse_label: int, name: bytes
) -> bytes:
    """Returns the serialised `tf.train.Example` of one image of three components.

    `name` is the path of the source file as bytes, since file names need not be UTF-8. Raises
    ValueError for an image that has not three components.
    """
    if len(image.components) != len(COMPONENTS):
        raise ValueError(
            f"a record holds the components {', '.join(COMPONENTS)}; got {len(image.components)}."
        )
    quantization = np.stack([component.quantization for component in image.components])
    features = {
        "image/height": _ints([image.height]),
        "image/width": _ints([image.width]),
        "image/sampling": _bytes(image.subsampling.encode()),
        "image/name": _bytes(name),
        "label/fine": _ints([label]),
        "label/coarse": _ints([coarse_label]),
        "num_frequencies": _ints([quantization.shape[1]]),
        "quantization": _bytes(quantization.astype("<u2").tobytes()),
    }
    for key, component in zip(COMPONENTS, image.components):
        features.update(_serialize_component(key, component.coefficients))
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(
        deterministic=True
    )


def parse_record(serialized: tf.Tensor, num_frequencies: int) -> dict[str, tf.Tensor]:
    """Parses one serialised record (a scalar string) with TensorFlow core ops alone.

    `y`, `cb`, `cr`: int16 [rows, cols, num_frequencies], quantised, zigzag order; `quantization`:
    uint16 [3, num_frequencies]; `label`, `coarse_label`, `height`, `width`: int64 scalars; `name`,
    `sampling`: string scalars.

    In graph mode a record that holds fewer than `num_frequencies`, or whose bytes do not fit its
    shape, fails with tf.errors.InvalidArgumentError.
    """
    example = tf.io.parse_single_example(serialized, _features())
    stored = example["num_frequencies"]
    enough = tf.debugging.assert_greater_equal(
        stored,
        tf.constant(num_frequencies, tf.int64),
        message="the record holds fewer frequencies than the network takes",
    )
    with tf.control_dependencies([enough] if enough is not None else []):
        quantization = tf.reshape(tf.io.decode_raw(example["quantization"], tf.uint16), [3, stored])
        # Inside too: in a graph their reshape may fail first, with a message about sizes alone.
        parsed = {key: _parse_component(example, key, num_frequencies) for key in COMPONENTS}
    return {
        **parsed,
        "quantization": tf.ensure_shape(
            quantization[:, :num_frequencies], [len(COMPONENTS), num_frequencies]
        ),
        "label": example["label/fine"],
        "coarse_label": example["label/coarse"],
        "height": example["image/height"],
        "width": example["image/width"],
        "name": example["image/name"],
        "sampling": example["image/sampling"],
    }


def _serialize_component(prefix: str, coefficients: np.ndarray) -> dict[str, tf.train.Feature]:
    rows, cols, _ = coefficients.shape
    planes = np.moveaxis(coefficients, -1, 0)
    ac = planes[1:].ravel()
    overflow = np.flatnonzero((ac < _INT8.min) | (ac > _INT8.max))
    values = ac[overflow]
    small = ac.astype(np.int8)
    small[overflow] = 0
    features = {
        f"{prefix}/shape": _ints([rows, cols]),
        f"{prefix}/dc": _bytes(planes[0].astype("<i2").tobytes()),
        f"{prefix}/ac": _bytes(small.tobytes()),
    }
    if overflow.size:
        # Mostly there is none, and of a small image the keys alone are a good part of the record.
        features[f"{prefix}/overflow/index"] = _ints(overflow)
        features[f"{prefix}/overflow/value"] = _ints(values)
    return features


def _features() -> dict[str, tf.io.FixedLenFeature | tf.io.VarLenFeature]:
    scalar = {
        "image/height": tf.int64,
        "image/width": tf.int64,
        "image/name": tf.string,
        "image/sampling": tf.string,
        "label/fine": tf.int64,
        "label/coarse": tf.int64,
        "num_frequencies": tf.int64,
        "quantization": tf.string,
    }
    features = {key: tf.io.FixedLenFeature([], dtype) for key, dtype in scalar.items()}
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


def _ints(values: list[int] | np.ndarray) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def _bytes(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
