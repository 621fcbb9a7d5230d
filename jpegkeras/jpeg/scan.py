"""Entropy-coded segments of sequential scans, one symbol at a time (T.81 F.2.2).

This is the careful decoder. sequential.py is several times faster and declines whatever is not in
order; then this one says what is wrong and where, or decodes on all the same as libjpeg would.

1. unstuff() copies a scan's data without stuffed zero bytes and restart markers, and notes where
   each restart interval begins; salvage() does so for data that is damaged.
2. to_words() turns those bytes into 64-bit words, so that the next 64 bits from any position are
   two loads and a shift, whichever position that is.
3. decode_sequential() decodes. A position in the stream is a plain number of bits.

Numba: int64 with uint64 gives float64, so whatever touches the bits is np.uint64 throughout.
Kernels return a status instead of raising.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from jpegkeras.jpeg import memory
from jpegkeras.jpeg.huffman import (
    EOB_SYMBOL,
    MAX_AC_SIZE,
    MAX_CODE_LENGTH,
    MAX_DC_SIZE,
    ZRL_SYMBOL,
)

OK = 0
BAD_CODE = 1
BAD_SYMBOL = 2
RUN_TOO_LONG = 3
DC_OUT_OF_RANGE = 4
OUT_OF_DATA = 5
DATA_LEFT = 6
BAD_STUFFING = 7
WRONG_RESTART = 8
UNEXPECTED_RESTART = 9

#: Twice the range that samples of 8 bits call for (T.81 A.3.3), for files edited as coefficients.
MAX_DC = 2047

#: Words of zeros behind the data, that decoders may read instead of looking where it ends.
PADDING_WORDS = 64 * (17 + 15) // 64 + 3
#: Bytes that unstuff() may write past those it counts.
UNSTUFF_PADDING = memory.STRIDE

# Columns of a plan, one row for each block of an MCU.
PLAN_COMPONENT = 0
PLAN_ROW = 1
PLAN_COLUMN = 2
# Columns of a layout, one row for each component of a scan.
LAYOUT_V = 0
LAYOUT_H = 1
LAYOUT_ROWS = 2
LAYOUT_COLUMNS = 3
LAYOUT_OFFSET = 4

_u64 = np.uint64


@njit(cache=True, nogil=True)
def unstuff(
    data: np.ndarray,
    start: int,
    end: int,
    starts: np.ndarray,
    out: np.ndarray,
) -> tuple[int, int, int, int]:
    """Copy a scan's entropy-coded data without stuffing and restart markers (T.81 B.1.1.5).

    Args:
        data: uint8 [bytes], contiguous; the file, or several.
        start: where the data of the scan begins.
        end: where the file ends.
        starts: int64 [intervals + 1 or more], filled: the bits of out at which each restart
            interval begins, and where the last one ends.
        out: uint8 [at least end - start + UNSTUFF_PADDING], filled.

    Returns:
        (status, position in the data, bytes written, restart markers found). The position is that
        of the marker after the scan, or of what is wrong.
    """
    source = memory.region(data)
    target = memory.region(out)
    size = _u64(end)
    position = _u64(start)
    written = _u64(0)
    restarts = 0
    starts[0] = 0
    while True:
        # Data between two 0xFF, which is some 250 bytes.
        while position + _u64(memory.STRIDE) <= size:
            copied = memory.copy_up_to_ff(source, source[0] + position, target, target[0] + written)
            position += copied
            written += copied
            if copied != _u64(memory.STRIDE):
                break
        while position < size and data[position] != 0xFF:
            out[written] = data[position]
            written += _u64(1)
            position += _u64(1)
        if position >= size:
            break
        after = position + _u64(1)
        while after < size and data[after] == 0xFF:
            after += _u64(1)
        if after == size:  # the file ends within a marker
            break
        code = data[after]
        if code == 0:
            if after != position + _u64(1):
                return BAD_STUFFING, np.int64(position), np.int64(written), restarts
            out[written] = 0xFF
            written += _u64(1)
        elif 0xD0 <= code <= 0xD7:
            if restarts + 2 >= starts.size:
                return UNEXPECTED_RESTART, np.int64(position), np.int64(written), restarts
            if code != 0xD0 + restarts % 8:
                return WRONG_RESTART, np.int64(position), np.int64(written), restarts
            restarts += 1
            starts[restarts] = np.int64(written) * 8
        else:
            break
        position = after + _u64(1)
    starts[restarts + 1] = np.int64(written) * 8
    return OK, np.int64(position), np.int64(written), restarts


def salvage(data: bytes, start: int, intervals: int) -> tuple[bytes, np.ndarray, np.ndarray, int]:
    """Share a scan's data out among its restart intervals, whatever became of the markers.

    As libjpeg does: an interval gets the data up to the next marker. If that is not the restart
    marker that is due, then markers that cannot be and restarts of up to two intervals ago are
    skipped with the data behind them; a restart of up to two intervals ahead, or the end of the
    scan, leaves the intervals before it without data; other restarts are taken for the one due.

    Returns:
        (data without stuffing, starts as of unstuff(), bool [intervals]: whether an interval begins
        with a restart marker found, where the marker after the scan stands).
    """
    pieces = []
    starts = np.zeros(intervals + 1, np.int64)
    resumed = np.zeros(intervals, np.bool_)
    resumed[0] = True
    position, piece = _next_marker(data, start)
    pieces.append(piece)
    starts[1:] = len(piece) * 8
    written = len(piece)
    for number in range(1, intervals):
        due = (number - 1) % 8
        while True:
            marker = data[position + 1] if position + 1 < len(data) else 0xD9
            ahead = (marker - 0xD0 - due) % 8
            if marker >= 0xC0 and not 0xD0 <= marker <= 0xD7:
                break
            if marker >= 0xD0 and ahead in (1, 2):
                break
            position, piece = _next_marker(data, position + 2)
            if marker >= 0xD0 and ahead not in (6, 7):
                pieces.append(piece)
                written += len(piece)
                resumed[number] = True
                break
        starts[number + 1 :] = written * 8
        if not 0xD0 <= marker <= 0xD7:
            break
    while _is_restart(data, position):
        position, _ = _next_marker(data, position + 2)
    return b"".join(pieces), starts, resumed, position


def find_marker(data: bytes, start: int) -> int:
    """Return where the first marker behind a scan stands; the end of the data if there is none."""
    position, _ = _next_marker(data, start)
    while _is_restart(data, position):
        position, _ = _next_marker(data, position + 2)
    return position


def _is_restart(data: bytes, position: int) -> bool:
    return position + 1 < len(data) and 0xD0 <= data[position + 1] <= 0xD7


def _next_marker(data: bytes, start: int) -> tuple[int, bytes]:
    """Return where the next marker stands, and the data before it without stuffing."""
    pieces = []
    position = start
    while True:
        found = data.find(b"\xff", position)
        if found < 0:
            pieces.append(data[position:])
            return len(data), b"".join(pieces)
        pieces.append(data[position:found])
        after = found + 1
        while data[after : after + 1] == b"\xff":
            after += 1
        if after >= len(data):
            return len(data), b"".join(pieces)
        if data[after] != 0:
            return after - 1, b"".join(pieces)
        pieces.append(b"\xff")
        position = after + 1


def to_words(stream: np.ndarray, written: int) -> np.ndarray:
    """Return the stream as uint64 [words], first byte highest, with zeros behind it.

    Args:
        stream: uint8 [a multiple of 8, at least written + 8 * PADDING_WORDS].
        written: how many bytes of it are in use.
    """
    end = (written + 7) // 8 * 8 + 8 * (PADDING_WORDS - 1)
    stream[written:end] = 0
    return stream[:end].view(">u8").astype(np.uint64)


@njit(cache=True, nogil=True)
def _join(high: np.uint64, low: np.uint64, position: np.uint64) -> np.uint64:
    """Return the 64 bits from a position on, out of the word it lies in and the one after."""
    shift = position & _u64(63)
    # A shift by 64 is not defined, hence two.
    return (high << shift) | ((low >> _u64(1)) >> (_u64(63) - shift))


@njit(cache=True, nogil=True)
def _until(window: np.uint64, position: np.uint64, end: np.uint64) -> np.uint64:
    """Return the window with zeros for what lies past the end."""
    if position + _u64(64) <= end:
        return window
    if position >= end:
        return _u64(0)
    return window & ~(~_u64(0) >> (end - position))


@njit(cache=True, nogil=True)
def _extend(window: np.uint64, length: int, size: int) -> int:
    """Return the value in the size bits after a code of that length (T.81 F.2.2.1)."""
    if size == 0:
        return 0
    bits = np.int64((window << _u64(length)) >> _u64(64 - size))
    if bits < 1 << (size - 1):
        bits -= (1 << size) - 1
    return bits


@njit(cache=True, nogil=True)
def _decode_code(
    window: np.uint64,
    table: int,
    limits: np.ndarray,
    shifts: np.ndarray,
    symbols: np.ndarray,
) -> tuple[int, int]:
    """Return (length, symbol) of the code at the front of the window (T.81 F.2.2.3).

    Length 17: there is no such code; the symbol is then 0.
    """
    front = np.int64(window >> _u64(64 - MAX_CODE_LENGTH))
    for length in range(1, MAX_CODE_LENGTH + 1):
        if front < limits[table, length]:
            index = (front >> (MAX_CODE_LENGTH - length)) + shifts[table, length]
            return length, np.int64(symbols[table, index & 0xFF])
    return MAX_CODE_LENGTH + 1, 0


@njit(cache=True, nogil=True)
def decode_sequential(
    words: np.ndarray,
    starts: np.ndarray,
    resumed: np.ndarray,
    interval: int,
    mcu_rows: int,
    mcu_columns: int,
    plan: np.ndarray,
    layout: np.ndarray,
    tables: np.ndarray,
    limits: np.ndarray,
    shifts: np.ndarray,
    symbols: np.ndarray,
    frequencies: int,
    tolerant: bool,
    out: np.ndarray,
) -> tuple[int, int]:
    """Decode a scan of a sequential frame (T.81 F.2.2, E.2.3).

    Args:
        words: uint64 [words] of to_words().
        starts: int64 [intervals + 1] of unstuff() or salvage().
        resumed: bool [intervals] of salvage(); looked at if tolerant.
        interval: MCUs in a restart interval, at least 1.
        mcu_rows: rows of MCUs in the scan.
        mcu_columns: columns of MCUs in the scan.
        plan: int64 [blocks in an MCU, 3], the PLAN_* columns: index in layout, place in the MCU.
        layout: int64 [components, 5], the LAYOUT_* columns: blocks in an MCU, blocks to keep, where
            they begin in out.
        tables: int64 [components, 2]: which of the tables below are for DC and AC.
        limits, shifts, symbols: of huffman.CodeTable, [tables, ...].
        frequencies: how many coefficients of a block to keep.
        tolerant: decode what is damaged as libjpeg does, whose warnings these are: where an
            interval's bits run out, zeros are read until the MCU is done, the MCUs after it stay
            0; no code at all counts as symbol 0 of 17 bits; a run past the block's end ends at the
            last coefficient; a size of up to 15 bits is read; what an interval has left is skipped.
        out: int16, zeros; filled. The last element only takes what is not kept.

    Returns:
        (status, position in bits).
    """
    spare = out.size - 1
    last_word = _u64(words.size - 2)
    mcus = mcu_rows * mcu_columns
    predictions = np.zeros(layout.shape[0], np.int64)
    mcu = 0
    starved = False
    for number in range(starts.size - 1):
        position = _u64(starts[number])
        end = _u64(starts[number + 1])
        predictions[:] = 0
        starved = starved and not resumed[number]
        for _ in range(min(interval, mcus - mcu)):
            mcu_row = mcu // mcu_columns
            mcu_column = mcu - mcu_row * mcu_columns
            mcu += 1
            if starved:
                continue
            for block in range(plan.shape[0]):
                component = plan[block, PLAN_COMPONENT]
                row = mcu_row * layout[component, LAYOUT_V] + plan[block, PLAN_ROW]
                column = mcu_column * layout[component, LAYOUT_H] + plan[block, PLAN_COLUMN]
                columns = layout[component, LAYOUT_COLUMNS]
                # Coefficient k goes to out[first + k] if k < limit, else to out[spare].
                first = spare
                limit = 0
                if row < layout[component, LAYOUT_ROWS] and column < columns:
                    index = row * columns + column
                    first = layout[component, LAYOUT_OFFSET] + index * frequencies
                    limit = frequencies

                # DC (T.81 F.2.2.1)
                word = min(position >> _u64(6), last_word)
                window = _until(_join(words[word], words[word + _u64(1)], position), position, end)
                length, size = _decode_code(window, tables[component, 0], limits, shifts, symbols)
                if not tolerant:
                    if length > MAX_CODE_LENGTH:
                        return BAD_CODE, np.int64(position)
                    if size > MAX_DC_SIZE:
                        return BAD_SYMBOL, np.int64(position)
                dc = predictions[component] + _extend(window, length, size)
                if not tolerant and (dc < -MAX_DC or dc > MAX_DC):
                    return DC_OUT_OF_RANGE, np.int64(position)
                predictions[component] = dc
                out[first] = dc
                position += _u64(length + size)

                # AC (T.81 F.2.2.2)
                k = 1
                while k < 64:
                    word = min(position >> _u64(6), last_word)
                    window = _join(words[word], words[word + _u64(1)], position)
                    window = _until(window, position, end)
                    length, symbol = _decode_code(
                        window, tables[component, 1], limits, shifts, symbols
                    )
                    size = symbol & 15
                    if not tolerant:
                        if length > MAX_CODE_LENGTH:
                            return BAD_CODE, np.int64(position)
                        if size > MAX_AC_SIZE or (
                            size == 0 and symbol != EOB_SYMBOL and symbol != ZRL_SYMBOL
                        ):
                            return BAD_SYMBOL, np.int64(position)
                    value = _extend(window, length, size)
                    position += _u64(length + size)
                    if size == 0 and symbol != ZRL_SYMBOL:
                        break
                    k += (symbol >> 4) + 1
                    if k > 64 and not tolerant:
                        return RUN_TOO_LONG, np.int64(position)
                    if size > 0:
                        kept = min(k, 64) - 1
                        out[first + kept if kept < limit else spare] = value
                if position > end and not tolerant:
                    return OUT_OF_DATA, np.int64(end)
            starved = position > end
        if end - position >= _u64(8) and position <= end and not tolerant:
            return DATA_LEFT, np.int64(position)
    return OK, np.int64(0)


def warm_up() -> None:
    """Compile the kernels, or load them from Numba's cache, by decoding one block of zeros."""
    starts = np.zeros(2, np.int64)
    stream = np.zeros(8 + 8 * PADDING_WORDS, np.uint8)
    _, _, written, _ = unstuff(np.frombuffer(b"\x3f", np.uint8), 0, 1, starts, stream)
    decode_sequential(
        to_words(stream, written),
        starts,
        np.ones(1, np.bool_),
        1,
        1,
        1,
        np.array([[0, 0, 0]], np.int64),
        np.array([[1, 1, 1, 1, 0]], np.int64),
        np.zeros((1, 2), np.int64),
        np.full((1, MAX_CODE_LENGTH + 1), 1 << 15, np.int64),
        np.zeros((1, MAX_CODE_LENGTH + 1), np.int64),
        np.zeros((1, 256), np.uint8),
        64,
        False,
        np.zeros(65, np.int16),
    )
