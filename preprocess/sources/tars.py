"""The index of a tar file: names and byte ranges of its members, read without unpacking any.

Names are those of POSIX.1-2001 (pax), ustar and GNU tar; bytes that are not UTF-8 come as
surrogates.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import NamedTuple

from jpegkeras.errors import InputError
from preprocess.sources.windows import Window

FILE, FOLDER, HARD_LINK, OTHER = "file", "folder", "hard link", "other"

_BLOCK = tarfile.BLOCKSIZE
_ZEROS = bytes(_BLOCK)
# What a header is made of: offsets of name, size, checksum, type, magic and the name's beginning.
_NAME = slice(0, 100)
_SIZE = slice(124, 136)
_CHECKSUM = slice(148, 156)
_TYPE = 156
_MAGIC = slice(257, 263)
_PREFIX = slice(345, 500)
_USTAR, _GNU = b"ustar\0", b"ustar "
_PLAIN_TYPES = b"0\0"
_PADDING = b" \0"
# Fields of a global pax header that hold for every member after it.
_GLOBAL_FIELDS = frozenset(["path", "linkpath", "size"])
# A tar is filled up with zeros to a whole record: 10,240 bytes mostly, seldom some hundred kB.
_LONGEST_PADDING = 1 << 20
_ERRORS = (tarfile.TarError, ValueError, IndexError, OverflowError, EOFError)


class Member(NamedTuple):
    """A member: its bytes are `size` from `offset` on in the window. `target`: of a link."""

    name: str
    offset: int
    size: int
    kind: str = FILE
    target: str = ""


def read_members(window: Window, where: str) -> Iterator[Member]:
    """Yields the members of a tar in their order; `where` names it in messages.

    Raises InputError where it is no tar, damaged or cut off, or has more behind its end.
    """
    others = _OtherHeaders(window)
    position = 0
    while True:
        header = window.read_at(position, _BLOCK)
        if header == _ZEROS:
            _check_end(window, position, where)
            return
        if len(header) < _BLOCK:
            raise InputError(_cut_off(where, position + len(header)))
        plain = None if others.rename else _parse_plain(header)
        if plain is None:
            try:
                member, end = others.read(position)
            except _ERRORS as error:
                raise InputError(_damaged(where, position, error)) from error
        else:
            name, size = plain
            member = Member(name, position + _BLOCK, size)
            end = position + _BLOCK + _padded(size)
        if member.size < 0 or end <= position:
            raise InputError(_damaged(where, position, "its size is negative"))
        if member.kind == FILE and member.offset + member.size > window.size:
            raise InputError(_cut_off(where, window.size))
        position = end
        yield member


def _parse_plain(header: bytes) -> tuple[str, int] | None:
    """Returns name and size of a regular file whose header says all there is to say of it.

    Nearly all headers are of this kind, and this is five times as quick as tarfile, which reads the
    others.
    """
    magic = header[_MAGIC]
    name = header[_NAME].partition(b"\0")[0]
    if header[_TYPE] not in _PLAIN_TYPES or magic not in (_USTAR, _GNU) or name.endswith(b"/"):
        return None
    prefix = header[_PREFIX].partition(b"\0")[0]
    if prefix:
        if magic == _GNU:  # times of old GNU tars stand there
            return None
        name = prefix + b"/" + name
    checksum = header[_CHECKSUM]
    try:
        # In other numbers than octal ones the highest bit is set.
        size = int(header[_SIZE].strip(_PADDING), 8)
        if int(checksum.strip(_PADDING), 8) != sum(header) - sum(checksum) + len(checksum) * 32:
            return None
    except ValueError:
        return None
    return name.decode("utf-8", "surrogateescape"), size


class _OtherHeaders:
    """Reads members with tarfile: links, folders, long names, pax records and what is damaged."""

    def __init__(self, window: Window):
        self._window = window
        self._tar: tarfile.TarFile | None = None
        self.rename = False

    def read(self, position: int) -> tuple[Member, int]:
        """Returns the member whose headers begin here, and where the next one's begin."""
        if self._tar is None:
            self._window.seek(0)
            self._tar = tarfile.TarFile(
                fileobj=self._window, encoding="utf-8", errors="surrogateescape"
            )
        self._window.seek(position)
        info = tarfile.TarInfo.fromtarfile(self._tar)
        self.rename = not _GLOBAL_FIELDS.isdisjoint(self._tar.pax_headers)
        if info.issparse():
            raise ValueError(f"{info.name!r} is stored with holes")
        return (
            Member(info.name, info.offset_data, info.size, _kind(info), info.linkname),
            self._tar.offset,
        )


def _kind(info: tarfile.TarInfo) -> str:
    if info.isreg():
        return FILE
    if info.isdir():
        return FOLDER
    return HARD_LINK if info.islnk() else OTHER


def _check_end(window: Window, position: int, where: str) -> None:
    """Raises InputError unless the zeros at `position` end the tar: two blocks, then padding.

    No more is read than the longest padding. The second block may be missing, as in tar itself.
    """
    length = window.size - position
    rest = window.read_at(position, min(length, 2 * _BLOCK + _LONGEST_PADDING))
    data = len(rest) - len(rest.lstrip(b"\0"))
    if data < min(length, 2 * _BLOCK):
        raise InputError(_damaged(where, position, "there are zeros, but no end"))
    if data < len(rest):
        raise InputError(
            f"{where}: at byte {position:,} the tar ends, but at byte {position + data:,} there is "
            "more. If archives were joined by cat, give each of them by itself; else unpack it by "
            "tar --ignore-zeros and give --input_dir."
        )
    if len(rest) < length:
        raise InputError(
            f"{where}: zeros from byte {position:,} to the end, {length:,} bytes: it seems cut "
            "off, as by a download that was not finished. Get it again."
        )


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _cut_off(where: str, position: int) -> str:
    if position < _BLOCK:
        return f"{where}: not a tar, which has more than {position} bytes."
    return (
        f"{where}: ends at byte {position:,} without the zeros that end a tar, so it was cut off. "
        "Get it again."
    )


def _damaged(where: str, position: int, problem: object) -> str:
    kind = "not a tar" if position == 0 else "damaged"
    return f"{where}: {kind}: no header can be read at byte {position:,} ({problem})."
