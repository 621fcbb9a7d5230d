"""Marker segments of a JPEG (T.81 Annex B): each parser returns what its segment says.

Every parser takes a Segment and raises JpegFormatError, with the byte offset, where the segment
breaks its clause. What is parsed is kept by its bytes, since files of one encoder share most of
their segments: results are shared, and not to be changed.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Callable, NamedTuple

import numpy as np

from jpegkeras.jpeg.errors import JpegFormatError
from jpegkeras.jpeg.huffman import HuffmanTable
from jpegkeras.jpeg.types import BLOCK_COEFFICIENTS, MAX_SAMPLING, ceil_div

TEM = 0x01
SOF0, SOF1, SOF2 = 0xC0, 0xC1, 0xC2
DHT, DAC = 0xC4, 0xCC
RST0, RST7 = 0xD0, 0xD7
SOI, EOI, SOS, DQT, DNL, DRI, DHP, EXP = 0xD8, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF
APP0, APP1, APP14, APP15 = 0xE0, 0xE1, 0xEE, 0xEF
COM = 0xFE

MAX_TABLES = 4
MAX_SCAN_COMPONENTS = 4
#: T.81 B.2.3: blocks in an MCU of an interleaved scan.
MAX_MCU_BLOCKS = 10

_WITHOUT_PAYLOAD = frozenset([TEM, SOI, EOI, *range(RST0, RST7 + 1)])
#: Markers, and what is none, that no length follows.
WITHOUT_LENGTH = frozenset([0x00, 0xFF, *_WITHOUT_PAYLOAD])


class Segment(NamedTuple):
    """A marker with its parameters (T.81 B.1.1.4).

    Attributes:
        marker: the second byte of the marker.
        offset: where the marker stands in the file.
        start: where the parameters begin, after the length field.
        payload: the parameters.
        source: the file name, for messages.
    """

    marker: int
    offset: int
    start: int
    payload: bytes
    source: str

    @property
    def end(self) -> int:
        """Where the next marker or entropy-coded data begins."""
        return self.start + len(self.payload)

    def error(self, problem: str, at: int = 0) -> JpegFormatError:
        """Return the error for a problem at this index of the payload."""
        return JpegFormatError(problem, self.source, self.start + at)


@dataclass(frozen=True)
class FrameComponent:
    """What a frame header says of a component (T.81 B.2.2)."""

    identifier: int
    h: int
    v: int
    quantization: int


# eq=False, here and below: kept ones are compared and hashed by identity, which is quick.
@dataclass(frozen=True, eq=False)
class FrameHeader:
    """SOFn: sample precision in bits, size in pixels, components (T.81 B.2.2)."""

    precision: int
    height: int
    width: int
    components: tuple[FrameComponent, ...]

    @functools.cached_property
    def h_max(self) -> int:
        """The largest horizontal sampling factor."""
        return max(component.h for component in self.components)

    @functools.cached_property
    def v_max(self) -> int:
        """The largest vertical sampling factor."""
        return max(component.v for component in self.components)


@dataclass(frozen=True)
class ScanComponent:
    """What a scan header says of a component: its index in the frame, DC and AC tables."""

    index: int
    dc_table: int
    ac_table: int


@dataclass(frozen=True, eq=False)
class ScanHeader:
    """SOS: components, band and successive approximation of a scan (T.81 B.2.3)."""

    components: tuple[ScanComponent, ...]
    spectral_start: int
    spectral_end: int
    approximation_high: int
    approximation_low: int


def read_segment(data: bytes, position: int, source: str) -> Segment:
    """Return the segment whose marker, or fill bytes before it, stands at position (T.81 B.1.1).

    Raises:
        JpegFormatError: there is no marker, or the data ends before its segment does.
    """
    # As nearly all are: a marker without fill bytes before it, then all of the segment.
    head = data[position : position + 4]
    if len(head) == 4 and head[0] == 0xFF and head[1] not in WITHOUT_LENGTH:
        start = position + 4
        payload = data[start : position + 2 + (head[2] << 8 | head[3])]
        if len(payload) + 2 == head[2] << 8 | head[3]:
            return Segment(head[1], position, start, payload, source)
    size = len(data)
    marker_end = position
    while marker_end < size and data[marker_end] == 0xFF:  # T.81 B.1.1.2: any number of fill bytes
        marker_end += 1
    offset = max(marker_end - 1, position)
    if marker_end == size:
        raise JpegFormatError(
            "the data ends where a marker was expected; the file is truncated", source, offset
        )
    marker = data[marker_end]
    if marker_end == position or marker == 0:
        found = data[offset : offset + 2].hex(" ")
        raise JpegFormatError(f"expected a marker, got the bytes {found}", source, offset)
    start = marker_end + 1
    if marker in _WITHOUT_PAYLOAD:
        return Segment(marker, offset, start, b"", source)
    length = int.from_bytes(data[start : start + 2], "big")
    if start + 2 > size or start + length > size:
        raise JpegFormatError(
            f"segment 0x{marker:02X} of length {length} runs past the end of the data at byte "
            f"{size}; the file is truncated or the length is wrong",
            source,
            offset,
        )
    if length < 2:
        raise JpegFormatError(
            f"the length of segment 0x{marker:02X} must be at least 2; got {length}", source, start
        )
    return Segment(marker, offset, start + 2, data[start + 2 : start + length], source)


# The same object for the same table, since tables are told apart by identity.
_make_huffman_table = functools.lru_cache(maxsize=256)(HuffmanTable)


class _PayloadError(Exception):
    def __init__(self, problem: str, at: int):
        super().__init__(problem)
        self.problem = problem
        self.at = at


def _kept_by_payload(parse: Callable[..., Any]) -> Callable[..., Any]:
    kept = functools.lru_cache(maxsize=256)(parse)

    @functools.wraps(parse)
    def parse_segment(segment: Segment, *arguments: Any) -> Any:
        try:
            return kept(segment.payload, *arguments)
        except _PayloadError as error:
            raise segment.error(error.problem, error.at) from None

    return parse_segment


@_kept_by_payload
def parse_frame(payload: bytes) -> FrameHeader:
    """Parse SOFn (T.81 B.2.2). A height of 0 stands for one that a DNL segment gives later."""
    if len(payload) < 6 or len(payload) != 6 + 3 * payload[5]:
        raise _PayloadError(
            f"the frame header has {len(payload)} bytes, not 6 and 3 a component", 0
        )
    precision = payload[0]
    if precision not in (8, 12):
        raise _PayloadError(f"the sample precision must be 8 or 12 bits; got {precision}", 0)
    height = int.from_bytes(payload[1:3], "big")
    width = int.from_bytes(payload[3:5], "big")
    if width == 0:
        raise _PayloadError("the width must be at least 1; got 0", 3)
    if payload[5] == 0:
        raise _PayloadError("a frame must have at least one component; got 0", 5)
    components = []
    for at in range(6, len(payload), 3):
        identifier, factors, table = payload[at : at + 3]
        h, v = factors >> 4, factors & 15
        if not (1 <= h <= MAX_SAMPLING and 1 <= v <= MAX_SAMPLING):
            raise _PayloadError(f"sampling factors must be from 1 to 4; got {h} and {v}", at + 1)
        if table >= MAX_TABLES:
            raise _PayloadError(f"quantisation tables are numbered 0 to 3; got {table}", at + 2)
        if any(identifier == component.identifier for component in components):
            raise _PayloadError(f"two components of the frame are both called {identifier}", at)
        components.append(FrameComponent(identifier, h, v, table))
    return FrameHeader(precision, height, width, tuple(components))


@_kept_by_payload
def parse_scan(payload: bytes, frame: FrameHeader) -> ScanHeader:
    """Parse SOS (T.81 B.2.3) for this frame."""
    if not payload or len(payload) != 4 + 2 * payload[0]:
        raise _PayloadError(f"the scan header has {len(payload)} bytes, not 4 and 2 a component", 0)
    if not 1 <= payload[0] <= MAX_SCAN_COMPONENTS:
        raise _PayloadError(f"a scan must have 1 to 4 components; got {payload[0]}", 0)
    identifiers = [component.identifier for component in frame.components]
    components = []
    for at in range(1, 1 + 2 * payload[0], 2):
        identifier, tables = payload[at], payload[at + 1]
        if identifier not in identifiers:
            raise _PayloadError(
                f"the scan names component {identifier}; the frame has {identifiers}", at
            )
        index = identifiers.index(identifier)
        if any(index == component.index for component in components):
            raise _PayloadError(f"the scan names component {identifier} twice", at)
        dc_table, ac_table = tables >> 4, tables & 15
        if dc_table >= MAX_TABLES or ac_table >= MAX_TABLES:
            raise _PayloadError(
                f"Huffman tables are numbered 0 to 3; got {dc_table} and {ac_table}", at + 1
            )
        components.append(ScanComponent(index, dc_table, ac_table))
    if len(components) > 1:
        blocks = sum(frame.components[c.index].h * frame.components[c.index].v for c in components)
        if blocks > MAX_MCU_BLOCKS:
            raise _PayloadError(f"an MCU may have at most 10 blocks; this scan's have {blocks}", 0)
    start, end, approximation = payload[-3:]
    return ScanHeader(tuple(components), start, end, approximation >> 4, approximation & 15)


@_kept_by_payload
def parse_quantization_tables(payload: bytes) -> dict[int, np.ndarray]:
    """Parse DQT (T.81 B.2.4.1): uint16 [64] in zigzag order by table number."""
    tables = {}
    at = 0
    while at < len(payload):
        element_bytes, number = (payload[at] >> 4) + 1, payload[at] & 15
        if element_bytes > 2 or number >= MAX_TABLES:
            raise _PayloadError(
                "a quantisation table must have precision 0 or 1 and number 0 to 3; "
                f"got {element_bytes - 1} and {number}",
                at,
            )
        end = at + 1 + BLOCK_COEFFICIENTS * element_bytes
        if end > len(payload):
            raise _PayloadError(
                f"a quantisation table takes {end - at} bytes; the segment has {len(payload) - at}",
                at,
            )
        table = np.frombuffer(payload[at + 1 : end], f">u{element_bytes}").astype(np.uint16)
        if not table.all():
            raise _PayloadError("the elements of a quantisation table must not be 0", at + 1)
        table.setflags(write=False)
        tables[number] = table
        at = end
    if not tables:
        raise _PayloadError("a DQT segment must hold at least one quantisation table", 0)
    return tables


@_kept_by_payload
def parse_huffman_tables(payload: bytes) -> dict[tuple[int, int], HuffmanTable]:
    """Parse DHT (T.81 B.2.4.2): tables by class (0 DC, 1 AC) and number."""
    tables = {}
    at = 0
    while at < len(payload):
        table_class, number = payload[at] >> 4, payload[at] & 15
        if table_class > 1 or number >= MAX_TABLES:
            raise _PayloadError(
                "a Huffman table must have class 0 or 1 and number 0 to 3; "
                f"got {table_class} and {number}",
                at,
            )
        counts = payload[at + 1 : at + 17]
        end = at + 17 + sum(counts)
        if len(counts) < 16 or end > len(payload):
            raise _PayloadError(
                f"a Huffman table takes {end - at} bytes; the segment has {len(payload) - at}", at
            )
        try:
            table = _make_huffman_table(table_class, counts, payload[at + 17 : end])
        except ValueError as error:
            raise _PayloadError(f"bad Huffman table: {error}", at + 1) from None
        tables[table_class, number] = table
        at = end
    if not tables:
        raise _PayloadError("a DHT segment must hold at least one Huffman table", 0)
    return tables


def parse_restart_interval(segment: Segment) -> int:
    """Parse DRI (T.81 B.2.4.4): MCUs between restart markers, 0 for none."""
    if len(segment.payload) != 2:
        raise segment.error(
            f"a restart interval takes 2 bytes; the segment has {len(segment.payload)}", 0
        )
    return int.from_bytes(segment.payload, "big")


def parse_number_of_lines(segment: Segment) -> int:
    """Parse DNL (T.81 B.2.5): the height of the image."""
    lines = int.from_bytes(segment.payload, "big")
    if len(segment.payload) != 2 or lines == 0:
        raise segment.error(
            "a number of lines takes 2 bytes and is at least 1; "
            f"got {len(segment.payload)} bytes, {lines}",
            0,
        )
    return lines


def is_jfif(segment: Segment) -> bool:
    """Say whether an APP0 segment is a JFIF header (T.871 10.1)."""
    return len(segment.payload) >= 14 and segment.payload.startswith(b"JFIF\0")


def parse_adobe_transform(segment: Segment) -> int | None:
    """Return the colour transform an Adobe APP14 segment names (T.872 6.5.3), None for others.

    0: none (RGB or CMYK), 1: YCbCr, 2: YCCK.
    """
    if len(segment.payload) < 12 or not segment.payload.startswith(b"Adobe"):
        return None
    return segment.payload[11]


def count_mcus(frame: FrameHeader) -> tuple[int, int]:
    """Return rows and columns of MCUs in an interleaved scan (T.81 A.2.3)."""
    return ceil_div(frame.height, 8 * frame.v_max), ceil_div(frame.width, 8 * frame.h_max)
