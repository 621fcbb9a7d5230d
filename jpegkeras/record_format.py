"""The one place that names the keys and dtypes of a TFRecord of coefficients.

A record is a `tf.train.Example` of one image. Its coefficients are quantised, in zigzag order, and
laid out frequency by frequency (all DC, then all of AC 1, …), so that the n lowest frequencies are
a prefix:

- `schema`: the version of this layout, `SCHEMA_VERSION`;
- `{y,cb,cr}/shape`: int64 [2], rows and cols of blocks;
- `{y,cb,cr}/dc`: int16 little-endian [rows × cols] as bytes;
- `{y,cb,cr}/ac`: int8 [(n − 1) × rows × cols] as bytes;
- `{y,cb,cr}/overflow/{index,value}`: the AC coefficients that int8 cannot hold: position in `ac`
  (which is 0 there) and value; absent where there is none;
- `num_frequencies`: n; `quantization`: uint16 little-endian [3 × n] as bytes, zigzag order;
- `image/{height,width}` in pixels, `image/sampling` ("4:2:0"), `image/name`, `label/{fine,coarse}`.

Writing and reading here need no TensorFlow; `jpegkeras.records` parses records in its graphs.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import NamedTuple

import numpy as np

from jpegkeras.errors import InputError
from jpegkeras.example_proto import Example
from jpegkeras.example_wire import Part, Value, serialize_parts
from jpegkeras.jpeg import Component, JpegCoefficients
from jpegkeras.packing import PackedPlane, pack, unpack
from jpegkeras.sampling import COMPONENTS, chroma_ratio

#: Of the records and of dataset.json. Since 2, records name it and statistics have zeros, energy.
SCHEMA_VERSION = 2
SCHEMA = "schema"
HEIGHT, WIDTH = "image/height", "image/width"
NAME, SAMPLING = "image/name", "image/sampling"
LABEL, COARSE_LABEL = "label/fine", "label/coarse"
NUM_FREQUENCIES, QUANTIZATION = "num_frequencies", "quantization"


class PackedImage(NamedTuple):
    """An image as a record holds it: sizes in pixels, and one plane for each of `COMPONENTS`.

    `quantization`: uint16 [3, n], zigzag order.
    """

    height: int
    width: int
    sampling: str
    quantization: np.ndarray
    planes: tuple[PackedPlane, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
    """A record that was read: the image's coefficients, its labels and its source's name."""

    image: JpegCoefficients
    label: int
    coarse_label: int
    name: bytes


def pack_image(image: JpegCoefficients) -> PackedImage:
    """Packs an image. Raises ValueError for one that has not three components."""
    if len(image.components) != len(COMPONENTS):
        raise ValueError(
            f"a record holds the components {', '.join(COMPONENTS)}; got {len(image.components)}."
        )
    return PackedImage(
        image.height,
        image.width,
        image.subsampling,
        np.array([component.quantization for component in image.components]),
        tuple(pack(component.coefficients) for component in image.components),
    )


def serialize_packed(
    image: PackedImage, *, label: int, coarse_label: int, name: bytes
) -> list[Part]:
    """Returns the serialised `tf.train.Example` of one image, in parts that follow one another.

    Its coefficients are not copied: their parts are arrays, the others bytes. `name` is the path of
    the source file as bytes, since file names need not be UTF-8.
    """
    planes = image.planes
    shapes = tuple([plane.shape for plane in planes])
    y, cb, cr = [(plane.ac, plane.dc.astype("<i2", copy=False).view(np.uint8)) for plane in planes]
    form = (
        (image.height, image.width, image.sampling, shapes, label, coarse_label),
        image.quantization.shape[1],
        image.quantization.astype("<u2", copy=False).tobytes(),
    )
    if any(plane.overflow_index.size for plane in planes):
        features = _features(*form)
        features[NAME] = name
        for key, plane, (ac, dc) in zip(COMPONENTS, planes, (y, cb, cr)):
            features[f"{key}/ac"], features[f"{key}/dc"] = ac, dc
            if plane.overflow_index.size:
                # Mostly there is none, and of a small image the keys alone are a good part.
                features[f"{key}/overflow/index"] = plane.overflow_index.tolist()
                features[f"{key}/overflow/value"] = plane.overflow_value.tolist()
        return serialize_parts(features)
    parts: list[Part] = [b""] * 15
    parts[::2] = _pieces(*form, len(name))
    parts[1::2] = (*cb, *cr, name, *y)  # in the order of their keys
    return parts


# Images of a data set are often of one form.
@functools.lru_cache(maxsize=4096)
def _pieces(
    about: tuple, num_frequencies: int, quantization: bytes, name_size: int
) -> tuple[Part, ...]:
    """Returns what stands around the coefficients and the name in a record without overflows."""
    features = _features(about, num_frequencies, quantization)
    features[NAME] = np.empty(name_size, np.uint8)
    for key in COMPONENTS:
        blocks = math.prod(features[f"{key}/shape"])
        features[f"{key}/ac"] = np.empty((num_frequencies - 1) * blocks, np.int8)
        features[f"{key}/dc"] = np.empty(blocks, np.int16)
    return tuple(serialize_parts(features)[::2])


def _features(about: tuple, num_frequencies: int, quantization: bytes) -> dict[str, Value]:
    """Returns the features of a record but for its coefficients and its name."""
    height, width, sampling, shapes, label, coarse_label = about
    return {
        SCHEMA: (SCHEMA_VERSION,),
        HEIGHT: (height,),
        WIDTH: (width,),
        LABEL: (label,),
        COARSE_LABEL: (coarse_label,),
        NUM_FREQUENCIES: (num_frequencies,),
        SAMPLING: sampling.encode(),
        QUANTIZATION: quantization,
        **{f"{key}/shape": shape for key, shape in zip(COMPONENTS, shapes)},
    }


def serialize_record(
    image: JpegCoefficients, *, label: int, coarse_label: int, name: bytes
) -> bytes:
    """Returns the serialised `tf.train.Example` of one image, see `serialize_packed`.

    Raises ValueError for an image that has not three components.
    """
    packed = pack_image(image)
    return b"".join(serialize_packed(packed, label=label, coarse_label=coarse_label, name=name))


def read_record(serialized: bytes) -> Record:
    """Reads a serialised record back, with NumPy alone.

    Raises InputError for what is no record, or one of another schema version.
    """
    try:
        feature = dict(Example.FromString(serialized).features.feature)
    except Exception as error:  # protobuf's DecodeError has no public name
        raise InputError("this is no serialised tf.train.Example.") from error
    version = feature[SCHEMA].int64_list.value[:] if SCHEMA in feature else "none"
    if version != [SCHEMA_VERSION]:
        raise InputError(
            f"the record has schema version {_join(version)}, but this jpegkeras reads version "
            f"{SCHEMA_VERSION}. Run the preprocessing again with this version."
        )
    try:
        return _read_record(feature)
    except (KeyError, ValueError, IndexError) as error:
        raise InputError(f"the record does not hold together: {error}") from error


def _join(values: object) -> str:
    return values if isinstance(values, str) else " ".join(map(str, values)) or "none"


def _read_record(feature: dict) -> Record:
    count = _int(feature, NUM_FREQUENCIES)
    quantization = np.frombuffer(_bytes(feature, QUANTIZATION), "<u2").astype(np.uint16)
    quantization = quantization.reshape(len(COMPONENTS), count)
    luma = chroma_ratio(_bytes(feature, SAMPLING).decode())
    components = [
        Component(
            coefficients=_read_plane(feature, key, count),
            quantization=table,
            sampling=luma if key == COMPONENTS[0] else (1, 1),
        )
        for key, table in zip(COMPONENTS, quantization)
    ]
    image = JpegCoefficients(_int(feature, HEIGHT), _int(feature, WIDTH), tuple(components))
    return Record(image, _int(feature, LABEL), _int(feature, COARSE_LABEL), _bytes(feature, NAME))


def _read_plane(feature: dict, key: str, count: int) -> np.ndarray:
    rows, cols = feature[f"{key}/shape"].int64_list.value
    ac = np.frombuffer(_bytes(feature, f"{key}/ac"), np.int8)
    if len(ac) != (count - 1) * rows * cols:
        raise ValueError(f"{len(ac)} AC coefficients of {key} do not fit {rows}×{cols} blocks.")
    index, value = (
        np.array(feature[name].int64_list.value if name in feature else [], np.int64)
        for name in (f"{key}/overflow/index", f"{key}/overflow/value")
    )
    dc = np.frombuffer(_bytes(feature, f"{key}/dc"), "<i2")
    return unpack((rows, cols), dc, ac, index, value)


def _int(feature: dict, key: str) -> int:
    (value,) = feature[key].int64_list.value
    return value


def _bytes(feature: dict, key: str) -> bytes:
    (value,) = feature[key].bytes_list.value
    return value
