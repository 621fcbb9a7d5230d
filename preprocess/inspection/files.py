"""The files of a data set, on this machine or elsewhere."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator

import google_crc32c

from jpegkeras.dataset_info import FILE_NAME, DatasetInfo, parse_dataset_info
from jpegkeras.errors import InputError
from jpegkeras.tfrecord_files import read_tfrecords
from preprocess.filesystems import filesystem_of, is_remote, join
from preprocess.workplace import plan_path
from preprocess.writing import replacing

_CHUNK = 1 << 20


def load_info(directory: str) -> DatasetInfo:
    """Reads dataset.json; whether the shards are there is not looked at.

    Raises InputError where it is missing, or is none of a data set.
    """
    path = join(directory, FILE_NAME)
    try:
        content = filesystem_of(path).read(path)
    except FileNotFoundError as error:
        raise InputError(_describe_absence(directory, path)) from error
    return parse_dataset_info(content, path)


def checksum_file(path: str, report: Callable[[int], None]) -> str:
    """Returns the CRC-32C of a file in hexadecimal; `report` is told how many bytes went by."""
    crc = 0
    with filesystem_of(path).open(path) as file:
        while chunk := file.read(_CHUNK):
            crc = google_crc32c.extend(crc, chunk)
            report(len(chunk))
    return f"{crc:08x}"


@contextlib.contextmanager
def read_records(directory: str, shard: str, compression: str) -> Iterator[Iterator[bytes]]:
    """Yields an iterator over the records of a shard, which raises what `read_tfrecords` does."""
    with (
        _local(join(directory, shard)) as path,
        contextlib.closing(read_tfrecords(path, compression)) as records,
    ):
        yield records


def save(directory: str, name: str, data: bytes) -> str:
    """Writes a file, whole or not at all, and returns its path. The folder is made if need be.

    Raises InputError where it cannot be written.
    """
    path = join(directory, name)
    try:
        filesystem_of(path).make_folder(directory)
        with replacing(path) as temporary, open(temporary, "wb") as file:
            file.write(data)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror or error}). Give another --output_dir, or "
            "--nopictures."
        ) from error
    return path


def _describe_absence(directory: str, path: str) -> str:
    if filesystem_of(directory).exists(plan_path(directory)):
        return (
            f"{path}: not there yet; the data set is not finished. Run the same preprocess.main "
            "command again to continue it."
        )
    return (
        f"{path}: no data set here. Make one with: python -m preprocess.main --input_dir=… "
        f"--output_dir={directory}"
    )


@contextlib.contextmanager
def _local(path: str) -> Iterator[str]:
    """Yields the path itself, or that of a copy on this machine."""
    if not is_remote(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, os.path.basename(path))
        with filesystem_of(path).open(path) as source, open(copy, "wb") as target:
            while chunk := source.read(_CHUNK):
                target.write(chunk)
        yield copy
