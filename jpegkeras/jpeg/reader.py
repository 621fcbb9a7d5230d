"""JPEG bytes to quantised DCT coefficients.

Read are baseline, extended sequential and progressive frames (SOF0, SOF1, SOF2) with Huffman
coding and samples of 8 bits, of one component (grayscale) or three (YCbCr, RGB), with any sampling
factors, scans, restart intervals and tables that T.81 allows. Whatever else a JPEG may be gives
JpegUnsupportedError, which names it.

What is seen to be corrupt gives JpegFormatError, also where other readers warn and guess. (A
changed bit of a coefficient's value cannot be seen.) Left alone are only these, which cannot change
a coefficient:
- what follows the last scan of a sequential frame, or the EOI marker of a progressive one: other
  images, for example;
- band and approximation of a sequential scan all 0, as some encoders write, for 0 to 63;
- the bits that fill up the last byte of a restart interval, whichever they are;
- table numbers 2 and 3 and 16-bit quantisation tables in baseline frames;
- EXIF that makes no sense.

Most images, those of one sequential scan, are decoded many by one call (sequential.py); the others
one by one and scan by scan (by_scans.py).
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple, Union

import numpy as np

from jpegkeras.jpeg import arena, markers, scan, sequential
from jpegkeras.jpeg.by_scans import read_by_scans
from jpegkeras.jpeg.errors import JpegFormatError
from jpegkeras.jpeg.frames import FrameParser, Limits, ScanPlan, plan_scan
from jpegkeras.jpeg.huffman import HuffmanTable, build_pair_tables
from jpegkeras.jpeg.types import BLOCK_COEFFICIENTS, Component, JpegCoefficients

logger = logging.getLogger(__name__)

JpegData = Union[bytes, bytearray, memoryview, str, "os.PathLike[str]"]

#: Pixels that an image may have unless the caller says otherwise: 268 million.
MAX_PIXELS = 1 << 28
#: Scans that an image may have unless the caller says otherwise. Encoders write 10 or so.
MAX_SCANS = 500

# Items, and bytes of files, that one call of the kernel decodes: enough that the call itself takes
# no time to speak of, few enough that threads share the work evenly and results stay small.
_BATCH_ITEMS = 16
_BATCH_BYTES = 4 << 20
_DNL = bytes([markers.DNL])


class _Options(NamedTuple):
    num_frequencies: int
    fill: bool
    limits: Limits


class _Pending(NamedTuple):
    """An image whose only scan waits for decode_scans(): that begins at start."""

    parser: FrameParser
    start: int
    intervals: int
    plan: ScanPlan
    tables: list[tuple[HuffmanTable, ...]]
    quantization: list[np.ndarray]


def read_coefficients(
    data: JpegData,
    num_frequencies: int = 64,
    *,
    on_truncated: Literal["error", "fill"] = "error",
    max_pixels: int = MAX_PIXELS,
    max_scans: int = MAX_SCANS,
) -> JpegCoefficients:
    """Read the quantised DCT coefficients of a JPEG.

    Args:
        data: the bytes of the file, or its path (str or os.PathLike).
        num_frequencies: how many coefficients of each block to keep, 1 to 64: the lowest in zigzag
            order.
        on_truncated: what to do if the entropy-coded data is cut off or damaged. "error": raise
            JpegFormatError. "fill": give what can be read, as libjpeg does, and zeros for the rest;
            the result then says complete=False, and coefficients next to the damage are wrong.
        max_pixels: refuse images of more pixels, so that a small file cannot ask for all memory.
        max_scans: refuse images of more scans, so that a small file cannot take hours.

    Returns:
        The coefficients, int16 [rows, cols, num_frequencies] for each component, with quantisation
        tables and sampling factors; see JpegCoefficients. Of a file of several images, the first.

    Raises:
        JpegFormatError: the data is corrupt.
        JpegUnsupportedError: the data uses a feature that is not handled, see the module docstring,
            or has more pixels or scans than allowed.
        OSError: the file cannot be read.
        ValueError: num_frequencies is not from 1 to 64, or another argument makes no sense.
    """
    options = _check_options(num_frequencies, on_truncated, max_pixels, max_scans)
    return _read_slice([data], options)[0]


def read_batch(
    items: Sequence[JpegData],
    num_frequencies: int = 64,
    num_threads: int | None = None,
    *,
    on_truncated: Literal["error", "fill"] = "error",
    max_pixels: int = MAX_PIXELS,
    max_scans: int = MAX_SCANS,
) -> list[JpegCoefficients]:
    """Read several JPEGs at once, on several threads.

    This is quicker than one by one also on a single thread. Images of a batch may share memory:
    who keeps few of many for long should copy them.

    Args:
        items: bytes or paths, as for read_coefficients.
        num_frequencies: how many coefficients of each block to keep, 1 to 64.
        num_threads: at least 1; by default as many as the process may use processors.
        on_truncated, max_pixels, max_scans: as for read_coefficients.

    Returns:
        What read_coefficients returns for each, in order.

    Raises:
        JpegError, OSError, ValueError: as read_coefficients, for the first item that fails.
    """
    options = _check_options(num_frequencies, on_truncated, max_pixels, max_scans)
    if num_threads is None:
        num_threads = _count_processors()
    if num_threads < 1:
        raise ValueError(f"num_threads must be at least 1; got {num_threads}.")
    slices = list(_cut(items, num_threads))
    if min(num_threads, len(slices)) <= 1:
        return [image for part in slices for image in _read_slice(part, options)]
    with ThreadPoolExecutor(min(num_threads, len(slices))) as executor:
        images = executor.map(_read_slice, slices, [options] * len(slices))
        return [image for part in images for image in part]


def _check_options(
    num_frequencies: int, on_truncated: str, max_pixels: int, max_scans: int
) -> _Options:
    if not 1 <= num_frequencies <= BLOCK_COEFFICIENTS:
        raise ValueError(f"num_frequencies must be from 1 to 64; got {num_frequencies}.")
    if on_truncated not in ("error", "fill"):
        raise ValueError(f"on_truncated must be 'error' or 'fill'; got {on_truncated!r}.")
    for name, value in (("max_pixels", max_pixels), ("max_scans", max_scans)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1; got {value}.")
    return _Options(num_frequencies, on_truncated == "fill", Limits(max_pixels, max_scans))


def _count_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cut(items: Sequence[JpegData], num_threads: int) -> Iterator[Sequence[JpegData]]:
    """Cut items into slices, some for each thread."""
    step = max(1, min(_BATCH_ITEMS, len(items) // (2 * num_threads)))
    return (items[start : start + step] for start in range(0, len(items), step))


def _read_slice(items: Sequence[JpegData], options: _Options) -> list[JpegCoefficients]:
    """Read items, as many as possible by one call of the kernel."""
    _announce_kernels()
    images: list[JpegCoefficients] = []
    pending: list[_Pending] = []
    pending_bytes = 0
    for item in items:
        try:
            content, source = _load(item)
            one = _parse(content, source, options)
            if one is None:
                image = _read_alone(content, source, options)
        except BaseException:
            _decode(pending, options)  # an item before this one may fail: then that is raised
            raise
        if one is not None:
            pending.append(one)
            pending_bytes += len(content)
        if one is None or pending_bytes > _BATCH_BYTES:
            images += _decode(pending, options)
            pending, pending_bytes = [], 0
        if one is None:
            images.append(image)
    return images + _decode(pending, options)


def _load(item: JpegData) -> tuple[bytes, str]:
    if isinstance(item, (bytes, bytearray, memoryview)):
        return bytes(item), "<bytes>"
    return Path(item).read_bytes(), os.fspath(item)


def _parse(content: bytes, source: str, options: _Options) -> _Pending | None:
    """Read the segments of an image of one sequential scan; None for another kind of image.

    None also for one that something is wrong with and that shall be read all the same.
    """
    parser = FrameParser(content, source, options.limits)
    try:
        segment = parser.next_scan(parser.check_start())
        if segment is None or parser.progressive:
            return None
        frame = parser.frame
        header = markers.parse_scan(segment, frame)
        if len(header.components) != len(frame.components):
            return None
        parser.check_sequential(segment, header, frozenset())
        quantization = [parser.find_quantization(segment, c.index) for c in header.components]
        tables = parser.select_tables(segment, header)
        plan = plan_scan(frame, header)
        # A block takes 2 bits or more, a restart interval a byte and its marker two.
        available = len(content) - segment.end
        intervals = parser.count_intervals(plan)
        if plan.mcus * plan.mcu_blocks > 4 * available or intervals > available // 3 + 1:
            raise parser.too_little_data(available)
    except JpegFormatError:
        if options.fill:
            return None
        raise
    return _Pending(parser, segment.end, intervals, plan, tables, quantization)


def _read_alone(content: bytes, source: str, options: _Options) -> JpegCoefficients:
    """Read an image scan by scan, damaged or not."""
    arguments = (content, source, options.num_frequencies, options.limits)
    try:
        return read_by_scans(*arguments)
    except JpegFormatError:
        if not options.fill:
            raise
    return read_by_scans(*arguments, salvage=True)


def _decode(pending: list[_Pending], options: _Options) -> list[JpegCoefficients]:
    if not pending:
        return []
    frequencies = options.num_frequencies
    rows = []
    base = offset = 0
    for parser, start, intervals, plan, tables, _ in pending:
        end = base + len(parser.content)
        interval = parser.restart_interval or plan.mcus
        row = [base + start, end, intervals, interval, plan.mcu_rows, plan.mcu_columns, len(tables)]
        for (_, v, h, block_rows, columns), (dc, ac) in zip(plan.components, tables):
            row += (v, h, block_rows, columns, offset, build_pair_tables(dc, ac).address)
            offset += block_rows * columns * frequencies
        rows.append(row + [0] * (sequential.JOB_FIELDS - len(row)))
        base = end
    out = arena.allocate(offset)
    data = b"".join([one.parser.content for one in pending])
    results = np.empty((2, len(pending)), np.int64)
    sequential.decode_scans(
        np.frombuffer(data, np.uint8), np.array(rows, np.int64), frequencies, out, *results
    )

    images = []
    offset = 0
    for one, status, position in zip(pending, *results.tolist()):
        end = offset + one.plan.blocks * frequencies
        if status == scan.OK and data[position + 1 : position + 2] != _DNL:
            images.append(_make_image(one, frequencies, out[offset:end]))
        else:
            images.append(_read_alone(one.parser.content, one.parser.source, options))
        offset = end
    return images


def _make_image(one: _Pending, frequencies: int, out: np.ndarray) -> JpegCoefficients:
    frame, parser = one.parser.frame, one.parser
    components = {}
    start = 0
    for (index, _, _, rows, columns), table in zip(one.plan.components, one.quantization):
        factors = frame.components[index]
        end = start + rows * columns * frequencies
        components[index] = Component.trusted(
            out[start:end].reshape(rows, columns, frequencies),
            # A copy: chroma components share a table, and callers may change what they got.
            table[:frequencies].copy(),
            (factors.h, factors.v),
        )
        start = end
    return JpegCoefficients.trusted(
        frame.height,
        frame.width,
        tuple([components[index] for index in range(len(components))]),
        parser.rgb,
        parser.orientation,
    )


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
        sequential.warm_up()
        statistics = sequential.decode_scans.stats
        if statistics.cache_misses:
            logger.warning(
                "Compiled the JPEG kernels in %.1f s; they are cached in %s.",
                time.monotonic() - began,
                statistics.cache_path,
            )
        _announced = True
