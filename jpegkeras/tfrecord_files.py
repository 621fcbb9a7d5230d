"""TFRecord files, written and read without TensorFlow.

A record is framed as uint64 length, CRC of the length, data, CRC of the data, little-endian; the
CRCs are CRC-32C, masked (tensorflow/core/lib/io/record_writer.h). A compressed file is one gzip
stream of that. Equal records give equal bytes.
"""

from __future__ import annotations

import gzip
import os
import pathlib
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import google_crc32c

from jpegkeras.errors import InputError
from jpegkeras.example_wire import Part

# zlib's strategies, chosen by a file's first record. Coefficients have runs, but few repeated
# strings: looking for runs alone (Z_RLE) makes shards of 256×256 images at n = 64 smaller than any
# other strategy but level 9, by 4 %, in a quarter of the time; at n = 16 larger by 3 %, in half of
# it. In records of small images the keys weigh more, which are repeated strings, that Z_RLE does
# not see: they would be 70 % larger.
_LARGE = 16_384
_MEMORY = 9
_GZIP_WINDOW = 31
# So many bytes at a time: a call of the kernel finds pages for many of them sooner than for few.
_BUFFER = 1 << 19
# Bytes after which the disk is told to begin.
_SENT = 1 << 24
# What one call of writev takes at most.
_PARTS = 1024
_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")
_MASK = 0xA282EAD8
# Far above any image's; a longer one can only be damage.
_LONGEST = 1 << 32


class RecordFileWriter:
    """Writes records to a new file; a context manager, whose end closes the file.

    `compression`: "gzip" or "none". After closing, `crc32c` is that of the whole file in
    hexadecimal and `size` its bytes.
    """

    def __init__(self, path: str | os.PathLike, compression: str):
        self.size = 0
        self.crc32c = ""
        self._file = pathlib.Path(path).open("wb", buffering=0)  # noqa: SIM115
        self._crc = 0
        self._compressed = compression == "gzip"
        self._deflate = None
        self._pending: list[Part] = []
        self._pending_size = 0
        self._sent = 0

    def write(self, *record: Part) -> None:
        """Appends a record, given as its parts one behind the other: bytes, or arrays of bytes.

        Arrays must not change before the file is closed. Raises OSError where the file cannot be
        written.
        """
        size = sum(map(len, record))
        length = _LENGTH.pack(size)
        head = length, masked_crc(length)
        if self._compressed or size < _LARGE:
            record = (b"".join(record),)
        frame = (*head, *record, masked_crc(*record))
        if self._compressed:
            self._deflate = self._deflate or _make_compressor(size)
            frame = map(self._deflate.compress, frame)
        self._put(*frame)

    def close(self) -> None:
        """Writes what is pending. Raises OSError where the file cannot be written."""
        if self._file.closed:
            return
        try:
            if self._compressed:
                self._put((self._deflate or _make_compressor(0)).flush())
            self._flush()
            self.crc32c = f"{self._crc:08x}"
        finally:
            self._file.close()

    def __enter__(self) -> RecordFileWriter:
        return self

    def __exit__(self, kind: type | None, error: object, traceback: object) -> None:
        if kind is None:
            self.close()
        else:
            self._file.close()

    def _put(self, *parts: Part) -> None:
        for part in parts:  # now, while it is in the processor's cache
            self._crc = google_crc32c.extend(self._crc, part)
        self._pending += parts
        self._pending_size += sum(map(len, parts))
        if self._pending_size >= _BUFFER:
            self._flush()

    def _flush(self) -> None:
        parts, self._pending, self._pending_size = self._pending, [], 0
        for start in range(0, len(parts), _PARTS):
            self._write(parts[start : start + _PARTS])

    def _write(self, parts: list[Part]) -> None:
        """Writes the parts one behind the other; joining them first would copy them once more."""
        wanted = sum(map(len, parts))
        self.size += wanted
        written = os.writev(self._file.fileno(), parts)
        rest = memoryview(b"".join(parts))[written:] if written < wanted else b""
        while rest:  # a disk that is nearly full takes less, then none
            rest = rest[self._file.write(rest) :]
        self._send_to_disk()

    def _send_to_disk(self) -> None:
        """Has the disk begin with what was written, rather than all of it at the end."""
        if self.size - self._sent >= _SENT and hasattr(os, "posix_fadvise"):
            self._sent = self.size
            os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_tfrecords(path: str | os.PathLike, compression: str) -> Iterator[bytes]:
    """Yields the records of a file; `compression`: "gzip" or "none".

    Raises InputError, which names the file, the record and its byte (of the uncompressed stream),
    where the file is truncated or a CRC is not that of its data; OSError where it cannot be read.
    """
    with pathlib.Path(path).open("rb") as file:
        if compression == "gzip":
            with gzip.GzipFile(fileobj=file) as stream:
                yield from _read_frames(stream, path)
        else:
            yield from _read_frames(file, path)


def _read_frames(stream: BinaryIO, path: str | os.PathLike) -> Iterator[bytes]:
    number = position = 0
    while True:
        where = f"{path}: record {number}, at byte {position}"
        header = _read(stream, _LENGTH.size + _CRC.size, where, may_end=True)
        if not header:
            return
        length = header[: _LENGTH.size]
        (size,) = _LENGTH.unpack(length)
        if header[_LENGTH.size :] != masked_crc(length) or size > _LONGEST:
            raise InputError(f"{where}: the checksum of its length is wrong. The file is damaged.")
        data = _read(stream, size, where)
        if _read(stream, _CRC.size, where) != masked_crc(data):
            raise InputError(f"{where}: the checksum of its data is wrong. The file is damaged.")
        yield data
        number += 1
        position += _LENGTH.size + 2 * _CRC.size + size


def _read(stream: BinaryIO, size: int, where: str, *, may_end: bool = False) -> bytes:
    try:
        data = stream.read(size)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{where}: {error}. The file is damaged or was cut off.") from error
    if len(data) != size and not (may_end and not data):
        raise InputError(
            f"{where}: it ends after {len(data)} of {size} bytes. The file was cut off."
        )
    return data


def _make_compressor(record_size: int) -> zlib._Compress:
    strategy, level = (zlib.Z_RLE, 6) if record_size >= _LARGE else (zlib.Z_FILTERED, 4)
    return zlib.compressobj(level, zlib.DEFLATED, _GZIP_WINDOW, _MEMORY, strategy)


def masked_crc(*data: Part) -> bytes:
    """Returns the four bytes by which a TFRecord file checks `data`, parts behind one another."""
    crc = 0
    for part in data:
        crc = google_crc32c.extend(crc, part)
    return _CRC.pack((((crc >> 15) | (crc << 17)) + _MASK) & 0xFFFFFFFF)
