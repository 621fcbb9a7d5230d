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

import functools
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Union

import numpy as np

from jpegkeras.jpeg import arena, markers, scan, sequential
from jpegkeras.jpeg.by_scans import read_by_scans
from jpegkeras.jpeg.errors import JpegError, JpegFormatError
from jpegkeras.jpeg.frames import FrameParser, Limits, ScanPlan, plan_scan
from jpegkeras.jpeg.huffman import PairTables, build_pair_tables
from jpegkeras.jpeg.markers import FrameHeader
from jpegkeras.jpeg.types import BLOCK_COEFFICIENTS, Component, JpegCoefficients

logger = logging.getLogger(__name__)

JpegData = Union[bytes, bytearray, memoryview, str, "os.PathLike[str]"]

#: Pixels that an image may have unless the caller says otherwise: 268 million.
MAX_PIXELS = 1 << 28
#: Scans that an image may have unless the caller says otherwise. Encoders write 10 or so.
MAX_SCANS = 500

# Items, and bytes of files and coefficients, that one call of the kernel decodes: enough that the
# call itself takes no time to speak of, few enough that threads share the work evenly and that
# memory for the results can be used again (arena.py).
_BATCH_ITEMS = 16
_LEAST_ITEMS = 4
_BATCH_BYTES = 6 << 20
# Bytes up to the data of a scan that are worth to be compared with those of images before.
_KEPT_HEADER_BYTES = 4096
# The columns of jobs that say where components begin.
OFFSETS = slice(
    sequential.COMPONENT + sequential.OFFSET, sequential.JOB_FIELDS, sequential.COMPONENT_FIELDS
)


# What is wrong with an item, rather than with this machine.
_ITEM_ERRORS = (OSError, ValueError)


class _Options(NamedTuple):
    num_frequencies: int
    fill: bool
    limits: Limits
    returns_errors: bool = False


_DEFAULTS = _Options(BLOCK_COEFFICIENTS, False, Limits(MAX_PIXELS, MAX_SCANS))


@dataclass(frozen=True, eq=False)
class Header:
    """What comes before the data of an image of one sequential scan.

    Attributes:
        frame: the frame header.
        plan: how the scan is laid out.
        intervals: how many restart intervals it has.
        job: int64 [JOB_FIELDS], the row that decode_scans() takes, but for START, END and with
            OFFSET in blocks from the image's first one.
        components: of each component of the frame its first block in the scan's output, rows,
            columns, quantisation table and sampling factors.
        rgb, orientation: of the image.
        tables: that job has the addresses of.
    """

    frame: FrameHeader
    plan: ScanPlan
    intervals: int
    job: np.ndarray
    components: tuple[tuple[int, int, int, np.ndarray, tuple[int, int]], ...]
    rgb: bool
    orientation: int
    tables: tuple[PairTables, ...]


class Pending(NamedTuple):
    """An image whose only scan waits for decode_scans(): its data begins at start."""

    content: bytes
    source: str
    start: int
    header: Header


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
    return _read_slice([(data, "<bytes>")], options)[0]


def read_batch(
    items: Iterable[JpegData],
    num_frequencies: int = 64,
    num_threads: int | None = None,
    *,
    on_truncated: Literal["error", "fill"] = "error",
    max_pixels: int = MAX_PIXELS,
    max_scans: int = MAX_SCANS,
    on_error: Literal["raise", "return"] = "raise",
) -> list[JpegCoefficients | Exception]:
    """Read several JPEGs at once, on several threads.

    This is quicker than one by one also on a single thread. Images of a batch may share memory:
    who keeps few of many for long should copy them.

    Args:
        items: bytes or paths, as for read_coefficients. An error names bytes by their index.
        num_frequencies: how many coefficients of each block to keep, 1 to 64.
        num_threads: at least 1; by default as many as the process may use processors.
        on_truncated, max_pixels, max_scans: as for read_coefficients.
        on_error: "return" gives the error of an item that cannot be read in the place of its image.

    Returns:
        What read_coefficients returns for each, in order.

    Raises:
        JpegError, OSError, ValueError: as read_coefficients, for the first item that fails.
    """
    options = _check_options(num_frequencies, on_truncated, max_pixels, max_scans)
    if on_error not in ("raise", "return"):
        raise ValueError(f"on_error must be 'raise' or 'return'; got {on_error!r}.")
    options = options._replace(returns_errors=on_error == "return")
    if num_threads is None:
        num_threads = _count_processors()
    if num_threads < 1:
        raise ValueError(f"num_threads must be at least 1; got {num_threads}.")
    if isinstance(items, (str, bytes, bytearray, memoryview, os.PathLike)):
        raise ValueError("items must be several files; for one, use read_coefficients.")
    named = [(item, f"<bytes {index}>") for index, item in enumerate(items)]
    slices = list(_cut(named, num_threads))
    results: list = [None] * len(slices)
    left = deque(range(len(slices)))

    def read_slices() -> None:
        while left:
            try:
                index = left.popleft()
            except IndexError:  # another thread was quicker
                break
            try:
                results[index] = _read_slice(slices[index], options)
            except BaseException as error:
                results[index] = error
                left.clear()  # slices before this one are taken already

    helpers = min(num_threads, len(slices)) - 1
    try:
        futures = [_get_threads(helpers).submit(read_slices) for _ in range(helpers)]
        read_slices()
        wait(futures)
    except BaseException:  # an interrupt may leave locks of the threads' queue taken for ever
        left.clear()
        _get_threads.cache_clear()
        raise
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [image for result in results for image in result]


def _check_options(
    num_frequencies: int, on_truncated: str, max_pixels: int, max_scans: int
) -> _Options:
    if not 1 <= num_frequencies <= BLOCK_COEFFICIENTS or int(num_frequencies) != num_frequencies:
        raise ValueError(f"num_frequencies must be an integer from 1 to 64; got {num_frequencies}.")
    if on_truncated not in ("error", "fill"):
        raise ValueError(f"on_truncated must be 'error' or 'fill'; got {on_truncated!r}.")
    for name, value in (("max_pixels", max_pixels), ("max_scans", max_scans)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1; got {value}.")
    # int: NumPy's integers of few bits overflow.
    return _Options(int(num_frequencies), on_truncated == "fill", Limits(max_pixels, max_scans))


def _count_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# Threads stay, since starting them takes as long as decoding some ten images.
@functools.lru_cache(maxsize=8)
def _get_threads(num_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(num_threads, thread_name_prefix="jpegkeras")


def _cut(items: list, num_threads: int) -> Iterator[list]:
    """Cut items into slices: smaller ones to the end, so that no thread waits long for another."""
    start = 0
    while start < len(items):
        left = len(items) - start
        step = _BATCH_ITEMS
        if num_threads > 1:
            step = max(_LEAST_ITEMS, min(step, left // (2 * num_threads)))
        yield items[start : start + step]
        start += step


def _read_slice(
    items: Sequence[tuple[JpegData, str]], options: _Options
) -> list[JpegCoefficients | Exception]:
    """Read items, each with what to call it if it is bytes, by as few calls as possible."""
    _announce_kernels()
    images: list[JpegCoefficients | Exception] = []
    pending: list[Pending] = []
    pending_bytes = 0  # of files and coefficients
    for item, name in items:
        try:
            content, source = _load(item, name)
            one = _parse(content, source, options)
            image = _read_alone(content, source, options) if one is None else None
        except BaseException as error:
            if not (options.returns_errors and isinstance(error, _ITEM_ERRORS)):
                _decode(pending, options)  # an item before this one may fail: then that is raised
                raise
            one, image = None, error
        if one is not None:
            pending.append(one)
            pending_bytes += len(content)
            pending_bytes += 2 * one.header.plan.blocks * options.num_frequencies
        if one is None or pending_bytes > _BATCH_BYTES:
            images += _decode(pending, options)
            pending, pending_bytes = [], 0
        if image is not None:
            images.append(image)
    return images + _decode(pending, options)


def _load(item: JpegData, name: str) -> tuple[bytes, str]:
    if isinstance(item, bytes):
        return item, name
    if isinstance(item, (bytearray, memoryview)):
        return bytes(item), name
    return Path(item).read_bytes(), os.fspath(item)


def _parse(content: bytes, source: str, options: _Options) -> Pending | None:
    """Return an image of one sequential scan, None for another kind and what is not in order."""
    start = _find_data(content)
    parse = _parse_kept_header if start <= _KEPT_HEADER_BYTES else _parse_header
    try:
        header = parse(content[:start], options.limits)
    except JpegError:
        return None
    if header is None:
        return None
    # A block takes 2 bits or more, a restart interval a byte and its marker two.
    available = len(content) - start
    blocks = header.plan.mcus * header.plan.mcu_blocks
    if blocks > 4 * available or header.intervals > available // 3 + 1:
        return None
    return Pending(content, source, start, header)


def _find_data(content: bytes) -> int:
    """Return where the first scan header ends; 0 if there is none or the way to it is unusual."""
    position = 2
    size = len(content)
    while position + 4 <= size and content[position] == 0xFF:
        marker = content[position + 1]
        position += 2 + (content[position + 2] << 8 | content[position + 3])
        if marker == markers.SOS:
            return position
        if marker in markers.WITHOUT_LENGTH:
            return 0
    return 0


def _parse_header(head: bytes, limits: Limits) -> Header | None:
    """Parse the segments up to and with the scan header of an image of one sequential scan.

    None if it is an image of another kind.

    Raises:
        JpegError: something is wrong with them, or not handled.
    """
    parser = FrameParser(head, "", limits)
    segment = parser.find_scan()
    if segment is None or segment.end != len(head) or parser.progressive:
        return None
    frame = parser.frame
    scan_header = markers.parse_scan(segment, frame)
    if len(scan_header.components) != len(frame.components):
        return None
    parser.check_sequential(segment, scan_header, frozenset())
    plan = plan_scan(frame, scan_header)
    intervals = parser.count_intervals(plan)
    tables = tuple(
        build_pair_tables(dc, ac) for dc, ac in parser.select_tables(segment, scan_header)
    )
    job = [0, 0, intervals, parser.restart_interval or plan.mcus, plan.mcu_rows, plan.mcu_columns]
    job.append(len(tables))
    components = {}
    first = 0
    for (index, v, h, rows, columns), pair in zip(plan.components, tables):
        job += [v, h, rows, columns, first, pair.address]
        factors = frame.components[index]
        table = parser.find_quantization(segment, index)
        components[index] = (first, rows, columns, table, (factors.h, factors.v))
        first += rows * columns
    job += [0] * (sequential.JOB_FIELDS - len(job))
    return Header(
        frame,
        plan,
        intervals,
        np.array(job, np.int64),
        tuple(components[index] for index in range(len(components))),
        parser.rgb,
        parser.orientation,
        tables,
    )


# The images of a data set often have one size and the same tables: the same bytes up to here.
_parse_kept_header = functools.lru_cache(maxsize=64)(_parse_header)


def _read_alone(content: bytes, source: str, options: _Options) -> JpegCoefficients:
    """Read an image scan by scan, damaged or not."""
    arguments = (content, source, options.num_frequencies, options.limits)
    try:
        return read_by_scans(*arguments)
    except JpegFormatError:
        if not options.fill:
            raise
    return read_by_scans(*arguments, salvage=True)


def _decode(pending: list[Pending], options: _Options) -> list[JpegCoefficients | Exception]:
    if not pending:
        return []
    frequencies = options.num_frequencies
    data, jobs = join_scans(pending)
    firsts = np.cumsum([0, *(one.header.plan.blocks for one in pending)])
    offsets = jobs[:, OFFSETS]
    offsets += firsts[:-1, np.newaxis]
    offsets *= frequencies
    out = arena.allocate(int(firsts[-1]) * frequencies).reshape(-1, frequencies)
    statuses, ends = np.empty((2, len(pending)), np.int64)
    sequential.decode_scans(data, jobs, frequencies, out.reshape(-1), statuses, ends)

    taken = find_whole(data, statuses, ends).tolist()
    images = []
    for one, first, is_taken in zip(pending, firsts.tolist(), taken):
        if is_taken:
            images.append(_make_image(one.header, frequencies, out, first))
            continue
        try:
            images.append(_read_alone(one.content, one.source, options))
        except _ITEM_ERRORS as error:
            if not options.returns_errors:
                raise
            images.append(error)
    return images


def find_scan(content: bytes) -> Pending | None:
    """Return an image of one sequential scan that is in order so far; None: read_coefficients().

    For who decodes many by sequential.decode_on(): join_scans() makes its arguments, find_whole()
    judges what it gave.
    """
    return _parse(content, "", _DEFAULTS)


def join_scans(pending: Sequence[Pending]) -> tuple[np.ndarray, np.ndarray]:
    """Return the files, uint8 [bytes], and the jobs of sequential.decode_scans().

    OFFSET is in blocks from the image's first one.
    """
    _announce_kernels()
    jobs = np.array([one.header.job for one in pending])
    ends = np.cumsum([len(one.content) for one in pending])
    jobs[:, sequential.END] = ends
    jobs[:, sequential.START] = [one.start for one in pending]
    jobs[1:, sequential.START] += ends[:-1]
    return np.frombuffer(b"".join([one.content for one in pending]), np.uint8), jobs


def find_whole(data: np.ndarray, statuses: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return bool [scans]: which were decoded and are the whole of what their header announces."""
    # DNL may say another height than the frame header (T.81 B.2.5).
    redefined = data[np.minimum(ends + 1, data.size - 1)] == markers.DNL
    return (statuses == scan.OK) & ~redefined


def _make_image(header: Header, frequencies: int, out: np.ndarray, first: int) -> JpegCoefficients:
    """Return the image whose blocks begin with that one of out, int16 [blocks, frequencies]."""
    components = []
    for start, rows, columns, table, sampling in header.components:
        start += first
        coefficients = out[start : start + rows * columns].reshape(rows, columns, frequencies)
        # A copy: chroma components share a table, and callers may change what they got.
        components.append(Component.trusted(coefficients, table[:frequencies].copy(), sampling))
    frame = header.frame
    return JpegCoefficients.trusted(
        frame.height, frame.width, tuple(components), header.rgb, header.orientation
    )


_announced = False
_announce_lock = threading.Lock()


def _forget_parent() -> None:
    """Make a forked child do without the parent's threads, one of which may hold the lock."""
    global _announce_lock
    _announce_lock = threading.Lock()
    _get_threads.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)


def _announce_kernels() -> None:
    """Compile the kernels, or load them from Numba's cache, and say so, once a process."""
    global _announced
    if _announced:
        return
    with _announce_lock:
        if _announced:
            return
        statistics = sequential.decode_scans.stats
        if any(Path(statistics.cache_path).glob("sequential.decode_scans-*.nbi")):
            logger.info("Loading the JPEG kernels.")
        else:
            logger.warning("Compiling the JPEG kernels; this takes some 10 seconds, once.")
        began = time.monotonic()
        sequential.warm_up()
        if sequential.decode_scans.stats.cache_misses:
            logger.warning(
                "Compiled the JPEG kernels in %.1f s; they are cached in %s.",
                time.monotonic() - began,
                sequential.decode_scans.stats.cache_path,
            )
        _announced = True
