"""TFRecord files of images: records with image/encoded and image/class/label, where they lie.

A record is framed (tensorflow/core/lib/io/record_writer.h) as its length (8 bytes), the masked
CRC-32C of that (4), its data, and their masked CRC-32C (4), little-endian.
"""

from __future__ import annotations

import itertools
import posixpath
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from jpegkeras.errors import InputError
from jpegkeras.tfrecord_files import masked_crc
from preprocess.sources.base import TEST, TRAIN, Container, Listing, SourceFile
from preprocess.sources.example_wire import Located, locate_image
from preprocess.sources.folders import sort_files
from preprocess.sources.windows import Window, open_window

_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")
_HEADER = _LENGTH.size + _CRC.size
# What the names of files begin with, by split.
_PREFIXES = {"train": TRAIN, "validation": TEST, "val": TEST, "test": TEST}


class _Record(NamedTuple):
    path: str
    split: str | None
    container: str
    image: Located


def list_tfrecords(
    containers: Sequence[Container],
    test_containers: Sequence[Container],
    opened: Mapping[str, str],
) -> Listing:
    """Lists the images in TFRecord files, and checks the checksums of every record.

    An image's path is FILE#NUMBER, with FILE below the folder that all files have in common. Its
    class is its image/class/synset if every record has one, else the number image/class/label. With
    `test_containers`, those are the test split; else the files' names tell the split, if all begin
    with train, validation, val or test, and both splits occur. Raises InputError, with file, record
    and byte, for what is damaged or has not these keys.
    """
    everything = (*containers, *test_containers)
    names = _names([container.path for container in everything])
    splits = _splits(containers, test_containers)
    records = [
        _Record(f"{name}#{number:06d}", split, container.path, image)
        for container, name, split in zip(everything, names, splits)
        for number, image in enumerate(
            _read_file(container.path, opened.get(container.path, container.path))
        )
    ]
    if not records:
        raise InputError(f"{everything[0].path}: there is no record in it.")
    by_synset = all(record.image.synset for record in records)
    files = [
        SourceFile(
            path=record.path,
            label=record.image.synset if by_synset else str(record.image.label),
            split=record.split,
            size=record.image.size,
            container=record.container,
            offset=record.image.offset,
        )
        for record in records
    ]
    return Listing("", sort_files(files), 0, everything)


def _names(paths: Sequence[str]) -> list[str]:
    """Returns the paths below the deepest folder that all of them have in common."""
    folders = [posixpath.dirname(path).split("/") for path in paths]
    columns = zip(*folders)
    depth = len(list(itertools.takewhile(lambda column: len(set(column)) == 1, columns)))
    return ["/".join(path.split("/")[depth if "/" in path else 0 :]) for path in paths]


def _splits(
    containers: Sequence[Container], test_containers: Sequence[Container]
) -> list[str | None]:
    if test_containers:
        return [TRAIN] * len(containers) + [TEST] * len(test_containers)
    found = [_split_by_name(posixpath.basename(container.path)) for container in containers]
    return found if set(found) == {TRAIN, TEST} else [None] * len(found)


def _split_by_name(name: str) -> str | None:
    matches = (split for prefix, split in _PREFIXES.items() if name.startswith(prefix))
    return next(matches, None)


def _read_file(path: str, opened: str) -> Iterator[Located]:
    """Yields where the images of a file are, in the file."""
    with open_window(opened) as window:
        for number, (offset, data) in enumerate(_read_records(window, path)):
            try:
                image = locate_image(data)
            except ValueError as error:
                raise InputError(
                    f"{path}: record {number:,}, at byte {offset:,}: {error}. Expected "
                    "image/encoded (the bytes of an image file) and image/class/label (int64)."
                ) from error
            yield image._replace(offset=offset + image.offset)


def _read_records(window: Window, path: str) -> Iterator[tuple[int, bytes]]:
    """Yields (where its data begins, data) of each record."""
    position = number = 0
    header = window.read_at(0, _HEADER)
    while header:
        where = f"{path}: record {number:,}, at byte {position:,}"
        if len(header) < _HEADER:
            raise InputError(f"{where}: the file ends within it. It was cut off; get it again.")
        length, checksum = header[: _LENGTH.size], header[_LENGTH.size :]
        if masked_crc(length) != checksum:
            raise InputError(
                f"{where}: the checksum of its length is wrong. It is no TFRecord file, or damaged."
            )
        (size,) = _LENGTH.unpack(length)
        start = position + _HEADER
        end = start + size + _CRC.size
        if end > window.size:
            raise InputError(f"{where}: the file ends within it. It was cut off; get it again.")
        data = window.read_at(start, size)
        # The checksum and the header of the next record in one piece.
        behind = window.read_at(start + size, _CRC.size + _HEADER)
        if masked_crc(data) != behind[: _CRC.size]:
            raise InputError(f"{where}: the checksum of its data is wrong. The file is damaged.")
        yield start, data
        position, number, header = end, number + 1, behind[_CRC.size :]
