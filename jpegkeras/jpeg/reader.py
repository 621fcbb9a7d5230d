"""JPEG bytes to quantised DCT coefficients.

Read are baseline and extended sequential frames (SOF0, SOF1) with Huffman coding and samples of
8 bits, of one component (grayscale) or three (YCbCr), with any sampling factors, scans, restart
intervals and tables that T.81 allows. Whatever else a JPEG may be gives JpegUnsupportedError.

What is seen to be corrupt gives JpegFormatError, also where other readers warn and guess. (A
changed bit of a coefficient's value cannot be seen.) Left alone are only these, which cannot change
a coefficient:
- what follows the last scan, the EOI marker included: it is not looked at;
- band and approximation of a sequential scan all 0, as some encoders write, for 0 to 63;
- the bits that fill up the last byte of a restart interval, whichever they are;
- table numbers 2 and 3 and 16-bit quantisation tables in baseline frames.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Union

import numpy as np

from jpegkeras.jpeg import markers, scan
from jpegkeras.jpeg.errors import JpegError, JpegFormatError, JpegUnsupportedError
from jpegkeras.jpeg.huffman import (
    AC_CLASS,
    DC_CLASS,
    LOOKUP_SIZE,
    HuffmanTable,
    build_lookup_tables,
)
from jpegkeras.jpeg.markers import FrameHeader, ScanComponent, ScanHeader, Segment
from jpegkeras.jpeg.types import (
    BLOCK_COEFFICIENTS,
    Component,
    JpegCoefficients,
    ceil_div,
    count_blocks,
)

logger = logging.getLogger(__name__)

JpegData = Union[bytes, bytearray, memoryview, str, "os.PathLike[str]"]

_TO_BASELINE = "convert it to a baseline JPEG, without loss for example by `jpegtran -optimize`"
_TO_YCBCR = "convert it to a baseline YCbCr or grayscale JPEG of 8 bits"

# T.81 Table B.1, and T.87 for JPEG-LS.
_UNSUPPORTED_MARKERS = {
    0xC2: ("progressive DCT", _TO_BASELINE),
    0xC3: ("lossless", _TO_YCBCR),
    0xC5: ("hierarchical", _TO_YCBCR),
    0xC6: ("hierarchical", _TO_YCBCR),
    0xC7: ("hierarchical", _TO_YCBCR),
    0xC9: ("arithmetic coding", _TO_BASELINE),
    0xCA: ("arithmetic coding", _TO_BASELINE),
    0xCB: ("lossless", _TO_YCBCR),
    0xCC: ("arithmetic coding", _TO_BASELINE),
    0xCD: ("hierarchical", _TO_YCBCR),
    0xCE: ("hierarchical", _TO_YCBCR),
    0xCF: ("hierarchical", _TO_YCBCR),
    markers.DNL: ("number of lines in DNL", _TO_YCBCR),
    markers.DHP: ("hierarchical", _TO_YCBCR),
    markers.EXP: ("hierarchical", _TO_YCBCR),
    0xC8: ("JPEG extension (marker 0xC8)", _TO_YCBCR),
    0xF7: ("JPEG-LS", _TO_YCBCR),
    **{
        marker: (f"JPEG extension (marker 0x{marker:02X})", _TO_YCBCR)
        for marker in range(0xF0, 0xFE)
        if marker != 0xF7
    },
}

_SCAN_PROBLEMS = {
    scan.BAD_CODE: "expected a Huffman code, got bits that are none; the data is damaged",
    scan.BAD_SYMBOL: "the Huffman code stands for nothing T.81 defines; the data is damaged",
    scan.RUN_TOO_LONG: "a run of coefficients goes past the 64 of a block; the data is damaged",
    scan.DC_OUT_OF_RANGE: (
        f"the DC coefficient is out of the range -{scan.MAX_DC} to {scan.MAX_DC}; "
        "the data is damaged"
    ),
    scan.OUT_OF_DATA: (
        "the entropy-coded data ends before its last block; the file is truncated or damaged"
    ),
    scan.DATA_LEFT: "entropy-coded data is left after the last block; the data is damaged",
    scan.BAD_STUFFING: "fill bytes stand within entropy-coded data; the data is damaged",
    scan.WRONG_RESTART: "the restart markers are out of order; intervals are lost or damaged",
    scan.UNEXPECTED_RESTART: "expected no more restart markers here; the data is damaged",
}


def read_coefficients(data: JpegData, num_frequencies: int = 64) -> JpegCoefficients:
    """Read the quantised DCT coefficients of a JPEG.

    Args:
        data: the bytes of the file, or its path (str or os.PathLike).
        num_frequencies: how many coefficients of each block to keep, 1 to 64: the lowest in zigzag
            order.

    Returns:
        The coefficients, int16 [rows, cols, num_frequencies] for each component, with quantisation
        tables and sampling factors; see JpegCoefficients.

    Raises:
        JpegFormatError: the data is corrupt.
        JpegUnsupportedError: the data uses a feature that is not handled, see the module docstring.
        OSError: the file cannot be read.
        ValueError: num_frequencies is not from 1 to 64.
    """
    if not 1 <= num_frequencies <= BLOCK_COEFFICIENTS:
        raise ValueError(f"num_frequencies must be from 1 to 64; got {num_frequencies}.")
    if isinstance(data, (bytes, bytearray, memoryview)):
        return _read(bytes(data), "<bytes>", num_frequencies)
    return _read(Path(data).read_bytes(), os.fspath(data), num_frequencies)


def read_batch(
    items: Sequence[JpegData], num_frequencies: int = 64, num_threads: int | None = None
) -> list[JpegCoefficients]:
    """Read several JPEGs at once, on several threads.

    Args:
        items: bytes or paths, as for read_coefficients.
        num_frequencies: how many coefficients of each block to keep, 1 to 64.
        num_threads: at least 1; by default as many as the process may use processors.

    Returns:
        What read_coefficients returns for each, in order.

    Raises:
        JpegError, OSError, ValueError: as read_coefficients, for the first item that fails.
    """
    if num_threads is None:
        num_threads = _count_processors()
    if num_threads < 1:
        raise ValueError(f"num_threads must be at least 1; got {num_threads}.")

    def read_slice(start: int, end: int) -> list[JpegCoefficients]:
        return [read_coefficients(item, num_frequencies) for item in items[start:end]]

    num_threads = min(num_threads, len(items))
    if num_threads <= 1:
        return read_slice(0, len(items))
    # Slices, since handing over an item takes a good part of the time that decoding one does; four
    # a thread, so that none waits long for the others.
    step = ceil_div(len(items), 4 * num_threads)
    starts = range(0, len(items), step)
    with ThreadPoolExecutor(num_threads) as executor:
        slices = executor.map(read_slice, starts, (start + step for start in starts))
        return [image for images in slices for image in images]


def _count_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass
class _Decoder:
    """What the marker segments read so far have set up."""

    content: bytes
    source: str
    num_frequencies: int
    quantization: dict[int, np.ndarray] = field(default_factory=dict)
    huffman: dict[tuple[int, int], HuffmanTable] = field(default_factory=dict)
    restart_interval: int = 0
    jfif: bool = False
    adobe_transform: int | None = None
    frame: FrameHeader | None = None
    frame_offset: int = 0
    components: dict[int, Component] = field(default_factory=dict)


def _read(content: bytes, source: str, num_frequencies: int) -> JpegCoefficients:
    """Read the segments of T.81 B.2.1 up to the last scan."""
    if not content.startswith(b"\xff\xd8"):
        raise JpegFormatError(
            f"expected a JPEG, which begins with ff d8; got {content[:4].hex(' ') or 'no data'}",
            source,
            0,
        )
    decoder = _Decoder(content, source, num_frequencies)
    position = 2
    while True:
        segment = markers.read_segment(content, position, source)
        position = segment.end
        marker = segment.marker
        if marker == markers.DQT:
            decoder.quantization.update(markers.parse_quantization_tables(segment))
        elif marker == markers.DHT:
            decoder.huffman.update(markers.parse_huffman_tables(segment))
        elif marker == markers.SOS:
            position = _read_scan(decoder, segment)
            if len(decoder.components) == len(decoder.frame.components):
                break
        elif marker in (markers.SOF0, markers.SOF1):
            _read_frame(decoder, segment)
        elif marker == markers.DRI:
            decoder.restart_interval = markers.parse_restart_interval(segment)
        elif marker == markers.APP0:
            decoder.jfif = decoder.jfif or markers.is_jfif(segment)
        elif marker == markers.APP14:
            transform = markers.parse_adobe_transform(segment)
            decoder.adobe_transform = decoder.adobe_transform if transform is None else transform
        elif not (markers.APP0 <= marker <= markers.APP15 or marker in (markers.COM, markers.TEM)):
            raise _unexpected_marker(decoder, segment)
    frame = decoder.frame
    components = tuple(decoder.components[index] for index in range(len(frame.components)))
    return JpegCoefficients(frame.height, frame.width, components)


def _unexpected_marker(decoder: _Decoder, segment: Segment) -> JpegError:
    marker = segment.marker
    if marker in _UNSUPPORTED_MARKERS:
        feature, advice = _UNSUPPORTED_MARKERS[marker]
        return JpegUnsupportedError(feature, advice, segment.source, segment.offset)
    if marker == markers.EOI:
        missing = "frame header" if decoder.frame is None else "scan of each component"
        problem = f"the image ends without a {missing}; the file is damaged"
    else:
        problem = f"marker 0x{marker:02X} must not stand here; the file is damaged"
    return JpegFormatError(problem, segment.source, segment.offset)


def _read_frame(decoder: _Decoder, segment: Segment) -> None:
    if decoder.frame is not None:
        raise segment.error("an image must have one frame header; this is a second one")
    frame = markers.parse_frame(segment)
    feature = None
    if frame.precision != 8:
        feature = f"{frame.precision}-bit samples"
    elif frame.height == 0:
        feature = "number of lines in DNL (height 0)"
    if feature is not None:
        raise JpegUnsupportedError(feature, _TO_YCBCR, segment.source, segment.offset)
    decoder.frame = frame
    decoder.frame_offset = segment.offset


def _check_colour(decoder: _Decoder) -> None:
    """Refuse colour spaces other than grayscale and YCbCr.

    JPEG itself does not name the colour space. As libjpeg decides: a JFIF file is YCbCr, else the
    Adobe segment says what it is, else the component identifiers do.
    """
    identifiers = bytes(c.identifier for c in decoder.frame.components)
    feature = None
    if len(identifiers) == 3 and not decoder.jfif:
        if decoder.adobe_transform == 0 or (
            decoder.adobe_transform is None and identifiers == b"RGB"
        ):
            feature = "RGB colour"
    elif len(identifiers) == 4:
        feature = "YCCK" if decoder.adobe_transform else "CMYK (4 components)"
    elif len(identifiers) not in (1, 3):
        feature = f"{len(identifiers)} components"
    if feature is not None:
        raise JpegUnsupportedError(feature, _TO_YCBCR, decoder.source, decoder.frame_offset)


def _read_scan(decoder: _Decoder, segment: Segment) -> int:
    """Decode a scan into decoder.components; return where the next marker stands."""
    frame = decoder.frame
    if frame is None:
        raise segment.error("the scan stands before the frame header; the file is damaged")
    if not decoder.components:
        _check_colour(decoder)
    header = markers.parse_scan(segment, frame)
    _check_sequential(decoder, segment, header)
    _announce_kernels()
    tables, table_starts = _select_tables(decoder, segment, header)
    (mcu_rows, mcu_columns), plan, layout, size = _plan_scan(decoder, header, table_starts)
    mcus = mcu_rows * mcu_columns
    interval = decoder.restart_interval or mcus
    words, starts, position = _unstuff_scan(decoder, segment, mcus, len(plan), interval)

    out = np.zeros(size + 1, np.int16)
    status, bit = scan.decode_sequential(
        words,
        starts,
        interval,
        mcu_rows,
        mcu_columns,
        plan,
        layout,
        tables.entries,
        tables.limits,
        tables.shifts,
        tables.symbols,
        decoder.num_frequencies,
        out,
    )
    if status != scan.OK:
        raise _scan_error(decoder, segment, status, bit, starts)
    for component, (_, _, rows, columns, start) in zip(header.components, layout.tolist()):
        shape = (rows, columns, decoder.num_frequencies)
        decoder.components[component.index] = _make_component(decoder, component, out, shape, start)
    return position


def _unstuff_scan(
    decoder: _Decoder, segment: Segment, mcus: int, mcu_blocks: int, interval: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return a scan's data as words, where its restart intervals begin, where the scan ends."""
    available = len(decoder.content) - segment.end
    intervals = ceil_div(mcus, interval)
    # Refuse what cannot fit before allocating for it: a block takes 2 bits or more, a restart
    # interval a byte and its marker two.
    if mcus * mcu_blocks > 4 * available or intervals > available // 3 + 1:
        raise _too_little_data(decoder, available)
    starts = np.zeros(intervals + 1, np.int64)
    stream = np.empty(ceil_div(available, 8) * 8 + 8 * scan.PADDING_WORDS, np.uint8)
    status, position, written, restarts = scan.unstuff(
        np.frombuffer(decoder.content, np.uint8), segment.end, starts, stream
    )
    if status != scan.OK:
        raise JpegFormatError(_SCAN_PROBLEMS[status], decoder.source, position)
    if restarts != intervals - 1:
        raise JpegFormatError(
            f"expected {intervals - 1} restart markers in the scan, got {restarts}; "
            "the file is truncated or damaged",
            decoder.source,
            position,
        )
    if mcus * mcu_blocks > 4 * written:
        raise _too_little_data(decoder, written)
    return scan.to_words(stream, written), starts, position


def _check_sequential(decoder: _Decoder, segment: Segment, header: ScanHeader) -> None:
    band = (header.spectral_start, header.spectral_end)
    approximation = (header.approximation_high, header.approximation_low)
    # Some encoders write zeros for a band that a sequential scan does not have.
    if band not in ((0, 63), (0, 0)) or approximation != (0, 0):
        raise segment.error(
            "a sequential scan must have band 0 to 63 and no approximation; "
            f"got band {band[0]} to {band[1]} and approximation {approximation}",
            len(segment.payload) - 3,
        )
    for position, component in enumerate(header.components):
        at = 1 + 2 * position
        frame_component = decoder.frame.components[component.index]
        if component.index in decoder.components:
            raise segment.error(
                f"component {frame_component.identifier} has a scan already; "
                "a sequential frame has one for each",
                at,
            )
        if frame_component.quantization not in decoder.quantization:
            raise segment.error(
                f"quantisation table {frame_component.quantization} is missing; "
                "the file is damaged or abbreviated",
                at,
            )


def _select_tables(decoder: _Decoder, segment: Segment, header: ScanHeader) -> tuple:
    """Return the look-up tables of a scan, and where those of each component begin."""
    keys = []
    for position, component in enumerate(header.components):
        for key in ((DC_CLASS, component.dc_table), (AC_CLASS, component.ac_table)):
            if key not in decoder.huffman:
                raise segment.error(
                    f"{'AC' if key[0] else 'DC'} Huffman table {key[1]} is missing; "
                    "the file is damaged or abbreviated",
                    2 + 2 * position,
                )
            if key not in keys:
                keys.append(key)
    tables = build_lookup_tables(tuple(decoder.huffman[key] for key in keys))
    starts = {key: index * LOOKUP_SIZE for index, key in enumerate(keys)}
    return tables, [
        (starts[DC_CLASS, c.dc_table], starts[AC_CLASS, c.ac_table]) for c in header.components
    ]


def _plan_scan(
    decoder: _Decoder, header: ScanHeader, table_starts: list[tuple[int, int]]
) -> tuple[tuple[int, int], np.ndarray, np.ndarray, int]:
    """Lay out a scan: (rows and columns of MCUs), plan, layout, coefficients to keep.

    Plan and layout are as scan.decode_sequential takes them. An MCU of an interleaved scan has
    h × v blocks of each component (T.81 A.2.3), of another scan a single one (T.81 A.2.2).
    """
    frame = decoder.frame
    interleaved = len(header.components) > 1
    plan, layout = [], []
    size = 0
    for number, (component, tables) in enumerate(zip(header.components, table_starts)):
        factors = frame.components[component.index]
        rows = count_blocks(frame.height, factors.v, frame.v_max)
        columns = count_blocks(frame.width, factors.h, frame.h_max)
        v, h = (factors.v, factors.h) if interleaved else (1, 1)
        plan += [(number, row, column, *tables) for row in range(v) for column in range(h)]
        layout.append((v, h, rows, columns, size))
        size += rows * columns * decoder.num_frequencies
    shape = markers.count_mcus(frame) if interleaved else (rows, columns)
    return shape, np.array(plan, np.int64), np.array(layout, np.int64), size


def _make_component(
    decoder: _Decoder, component: ScanComponent, out: np.ndarray, shape: tuple, start: int
) -> Component:
    factors = decoder.frame.components[component.index]
    rows, columns, frequencies = shape
    return Component(
        out[start : start + rows * columns * frequencies].reshape(shape),
        # A copy: chroma components share a table, and callers may change what they got.
        decoder.quantization[factors.quantization][:frequencies].copy(),
        (factors.h, factors.v),
    )


def _too_little_data(decoder: _Decoder, available: int) -> JpegFormatError:
    frame = decoder.frame
    return JpegFormatError(
        f"an image of {frame.width} x {frame.height} cannot fit in {available} bytes of "
        "entropy-coded data; the file is truncated or the size is wrong",
        decoder.source,
        decoder.frame_offset,
    )


def _scan_error(
    decoder: _Decoder, segment: Segment, status: int, bit: int, starts: np.ndarray
) -> JpegFormatError:
    # What fills up the last byte of a restart interval is no code, and zeros stand behind the last
    # one: running into either is lack of data, whatever it decodes to.
    following = starts[np.searchsorted(starts, bit, side="right") :]
    if status != scan.DATA_LEFT and (not following.size or following[0] - bit < 8):
        status = scan.OUT_OF_DATA
    if status == scan.OUT_OF_DATA:  # point behind the last byte, not at the next interval
        offset = _file_offset(decoder.content, segment.end, max(bit - 1, 0) // 8) + 1
    else:
        offset = _file_offset(decoder.content, segment.end, bit // 8)
    return JpegFormatError(_SCAN_PROBLEMS[status], decoder.source, offset)


def _file_offset(content: bytes, start: int, index: int) -> int:
    """Return where in the file the byte of that index in the unstuffed data stands."""
    position = start
    while True:
        marker = content.find(b"\xff", position)
        if marker < 0:
            return min(position + index, len(content))
        if index < marker - position:
            return position + index
        index -= marker - position
        position = marker + 1
        while content[position : position + 1] == b"\xff":
            position += 1
        following = content[position : position + 1]
        if following == b"\0":
            if index == 0:
                return marker
            index -= 1
        elif not following or not markers.RST0 <= following[0] <= markers.RST7:
            return marker
        position += 1


_announced = False
_announce_lock = threading.Lock()


def _announce_kernels() -> None:
    """Compile the kernels, or load them from Numba's cache, and say so, once a process."""
    global _announced
    if _announced:
        return
    with _announce_lock:
        if _announced:
            return
        logger.info("Loading the JPEG kernels; the first time they are compiled for some seconds.")
        began = time.monotonic()
        scan.warm_up()
        if scan.decode_sequential.stats.cache_misses:
            logger.warning(
                "Compiled the JPEG kernels in %.1f s; they are cached in %s.",
                time.monotonic() - began,
                scan.decode_sequential.stats.cache_path,
            )
        _announced = True
