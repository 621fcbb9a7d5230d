"""The index of a zip file: names and byte ranges of its members, read without unpacking any."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
from collections.abc import Iterator
from typing import NamedTuple

from jpegkeras.errors import InputError
from preprocess.sources.windows import Window

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_SIGNATURE = b"PK\3\4"
_ENCRYPTED, _UTF8 = 0x1, 0x800
_PACKED = {zipfile.ZIP_STORED: False, zipfile.ZIP_DEFLATED: True}
_ADVICE = "Unpack it and give --input_dir."
_ERRORS = (
    zipfile.BadZipFile,
    NotImplementedError,
    ValueError,
    IndexError,
    OverflowError,
    EOFError,
    struct.error,
)


class Member(NamedTuple):
    """A file: its bytes begin at `offset`; `packed_size` of them if they are deflated, else 0."""

    name: str
    offset: int
    size: int
    packed_size: int
    is_link: bool


def read_members(window: Window, where: str) -> Iterator[Member]:
    """Yields the files of a zip in the order of its index; `where` names it in messages.

    Raises InputError where it is no zip, damaged or cut off, encrypted, or packed by another method
    than deflate.
    """
    try:
        with zipfile.ZipFile(window) as archive:
            infos = archive.infolist()
    except _ERRORS as error:
        raise InputError(f"{where}: not a zip, or damaged or cut off ({error}).") from error
    for info in infos:
        name = _name(info)
        if name.endswith("/"):
            continue
        if info.flag_bits & _ENCRYPTED:
            raise InputError(f"{where}: {name} is encrypted. {_ADVICE}")
        if info.compress_type not in _PACKED:
            method = zipfile.compressor_names.get(info.compress_type, info.compress_type)
            raise InputError(
                f"{where}: {name} is packed by {method}; only deflate can be read. {_ADVICE}"
            )
        offset = _data_offset(window, info.header_offset)
        if offset is None or offset + info.compress_size > window.size:
            raise InputError(f"{where}: {name} is not where the index says; the zip is damaged.")
        packed_size = info.compress_size if _PACKED[info.compress_type] else 0
        is_link = stat.S_ISLNK(info.external_attr >> 16)
        yield Member(name, offset, info.file_size, packed_size, is_link)


def _data_offset(window: Window, header_offset: int) -> int | None:
    """Returns where a file's data begins: only the header before it says how long that is."""
    header = window.read_at(header_offset, _LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size or not header.startswith(_SIGNATURE):
        return None
    _, name_size, extra_size = _LOCAL_HEADER.unpack(header)
    return header_offset + _LOCAL_HEADER.size + name_size + extra_size


def _name(info: zipfile.ZipInfo) -> str:
    """Returns a name; without the mark of UTF-8, its bytes are those of the file system it is of.

    The module zipfile takes them for code page 437, which has every byte.
    """
    if info.flag_bits & _UTF8:
        return info.orig_filename
    return os.fsdecode(info.orig_filename.encode("cp437"))
