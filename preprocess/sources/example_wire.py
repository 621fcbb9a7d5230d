"""Where the image of a serialised tf.train.Example lies, and its class.

Only what is looked for is read, in the wire format of protocol buffers; the image stays where it
is. The messages (tensorflow/core/example/example.proto and feature.proto):
Example {1: Features}, Features {1: map<string, Feature>}, an entry of the map {1: key, 2: value},
Feature {1: BytesList | 2: FloatList | 3: Int64List}, a list {1: its values}.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

IMAGE, LABEL, SYNSET = b"image/encoded", b"image/class/label", b"image/class/synset"

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}
_FIRST, _KEY, _VALUE, _BYTES_LIST, _INT64_LIST = 1, 1, 2, 1, 3
_LONGEST_VARINT = 10


class Located(NamedTuple):
    """The image is `size` bytes from `offset` on. `synset`: "" where there is none."""

    offset: int
    size: int
    label: int
    synset: str


def locate_image(data: bytes) -> Located:
    """Returns where the image in a serialised Example is, and its class.

    Raises ValueError, which names the keys that there are, where one is missing or of another type,
    and where the data is no Example.
    """
    try:
        features = _read_features(data)
        start, end = _single_bytes(data, features, IMAGE)
        label = _single_integer(data, features, LABEL)
        synset = ""
        if SYNSET in features:
            first, last = _single_bytes(data, features, SYNSET)
            synset = data[first:last].decode("utf-8", "surrogateescape")
    except IndexError as error:
        raise ValueError("it is no tf.train.Example") from error
    return Located(start, end - start, label, synset)


def _read_features(data: bytes) -> dict[bytes, tuple[int, int]]:
    """Returns key → (start, end) of each Feature."""
    features = {}
    for message_start, message_end in _submessages(data, 0, len(data), _FIRST):
        for start, end in _submessages(data, message_start, message_end, _FIRST):
            key, value = b"", (end, end)
            for number, kind, first, last in _fields(data, start, end):
                if kind == _BYTES and number == _KEY:
                    key = data[first:last]
                elif kind == _BYTES and number == _VALUE:
                    value = (first, last)
            features[key] = value
    return features


def _single_bytes(
    data: bytes, features: dict[bytes, tuple[int, int]], key: bytes
) -> tuple[int, int]:
    start, end = _feature(features, key)
    values = [
        value
        for first, last in _submessages(data, start, end, _BYTES_LIST)
        for value in _submessages(data, first, last, _FIRST)
    ]
    if len(values) != 1:
        raise ValueError(f"{key.decode()} should be one byte string; it has {len(values)}")
    return values[0]


def _single_integer(data: bytes, features: dict[bytes, tuple[int, int]], key: bytes) -> int:
    start, end = _feature(features, key)
    values = []
    for first, last in _submessages(data, start, end, _INT64_LIST):
        for number, kind, begin, finish in _fields(data, first, last):
            if number == _FIRST and kind == _VARINT:
                values.append(begin)
            elif number == _FIRST and kind == _BYTES:  # packed
                while begin < finish:
                    value, begin = _varint(data, begin)
                    values.append(value)
    if len(values) != 1:
        raise ValueError(f"{key.decode()} should be one int64; it has {len(values)}")
    return values[0] - (1 << 64) if values[0] >> 63 else values[0]


def _feature(features: dict[bytes, tuple[int, int]], key: bytes) -> tuple[int, int]:
    if key not in features:
        names = ", ".join(sorted(name.decode("utf-8", "replace") for name in features))
        raise ValueError(f"it has no {key.decode()}; its keys: {names or 'none'}")
    return features[key]


def _submessages(data: bytes, start: int, end: int, wanted: int) -> Iterator[tuple[int, int]]:
    for number, kind, first, last in _fields(data, start, end):
        if number == wanted and kind == _BYTES:
            yield first, last


def _fields(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yields (number, wire type, start, end) of each field; for a varint (…, value, 0)."""
    position = start
    while position < end:
        tag, position = _varint(data, position)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, position = _varint(data, position)
            yield number, kind, value, 0
            continue
        if kind == _BYTES:
            size, position = _varint(data, position)
        else:
            size = _FIXED_SIZES.get(kind, end)  # another type ends the message, below
        if position + size > end:
            raise IndexError("a field ends beyond its message")
        yield number, kind, position, position + size
        position += size
    if position != end:
        raise IndexError("a field ends beyond its message")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    byte = data[position]
    if byte < 0x80:  # nearly always, and quick
        return byte, position + 1
    value = byte & 0x7F
    for index in range(1, _LONGEST_VARINT):
        byte = data[position + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position + index + 1
    raise IndexError("a number of more than ten bytes")
