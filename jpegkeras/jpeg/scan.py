"""Entropy-coded segments of sequential scans: bits to coefficients (T.81 F.2.2).

Three steps, so that the inner loop has no special cases:
1. unstuff() copies a scan's data without stuffed zero bytes and restart markers, and notes where
   each restart interval begins;
2. to_words() turns those bytes into 64-bit words, so that the next 64 bits from any position are
   two loads and a shift, whichever position that is;
3. decode_sequential() decodes. A position in the stream is a plain number of bits.

The words end in PADDING_WORDS of zeros, more than one block can use up, so one check after each
block is enough to never read out of bounds.

Numba: int64 with uint64 gives float64, so whatever touches the bits is np.uint64 throughout; an
unsigned index also spares the test for negative ones. Kernels return a status instead of raising.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from jpegkeras.jpeg.huffman import (
    AC_CLASS,
    DC_CLASS,
    END_OF_BLOCK,
    EOB_SYMBOL,
    LOOKUP_BITS,
    LOOKUP_SIZE,
    MAX_AC_SIZE,
    MAX_CODE_LENGTH,
    MAX_DC_SIZE,
    SLOW,
    ZRL_SYMBOL,
    HuffmanTable,
    build_lookup_tables,
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

# The longest block takes 64 times 16 bits of code and at most 11 of value.
PADDING_WORDS = 64 * (16 + 11) // 64 + 3

# Columns of a plan, one row for each block of an MCU.
PLAN_COMPONENT = 0
PLAN_ROW = 1
PLAN_COLUMN = 2
PLAN_DC = 3
PLAN_AC = 4
# Columns of a layout, one row for each component of a scan.
LAYOUT_V = 0
LAYOUT_H = 1
LAYOUT_ROWS = 2
LAYOUT_COLUMNS = 3
LAYOUT_OFFSET = 4

_u64 = np.uint64
_FRONT = np.uint64(64 - LOOKUP_BITS)
_LOOKUPS_A_WINDOW = 64 // LOOKUP_BITS


@njit(cache=True, nogil=True)
def unstuff(
    data: np.ndarray,
    start: int,
    starts: np.ndarray,
    out: np.ndarray,
) -> tuple[int, int, int, int]:
    """Copy a scan's entropy-coded data without stuffing and restart markers (T.81 B.1.1.5).

    Args:
        data: uint8 [bytes], the file.
        start: where the data of the scan begins.
        starts: int64 [intervals + 1], filled: the bits of out at which each restart interval
            begins, and where the last one ends.
        out: uint8 [at least bytes - start], filled.

    Returns:
        (status, position in the file, bytes written, restart markers found). The position is that
        of the marker after the scan, or of what is wrong.
    """
    size = np.uint64(data.size)
    position = np.uint64(start)
    written = _u64(0)
    restarts = 0
    starts[0] = 0
    while position < size:
        byte = data[position]
        if byte != 0xFF:
            out[written] = byte
            written += _u64(1)
            position += _u64(1)
            continue
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


def to_words(stream: np.ndarray, written: int) -> np.ndarray:
    """Return the stream as uint64 [words], first byte highest, with zeros behind it.

    Args:
        stream: uint8 [a multiple of 8, at least written + 8 * PADDING_WORDS].
        written: how many bytes of it are in use.
    """
    end = (written + 7) // 8 * 8 + 8 * (PADDING_WORDS - 1)
    stream[written:end] = 0
    return stream[:end].view(">u8").astype(np.uint64)


# Helpers of the inner loop take numbers, not arrays: for each array handed to a function Numba
# counts references, by atomic operations that cost more than the decoding does.


@njit(cache=True, nogil=True)
def _join(high: np.uint64, low: np.uint64, position: np.uint64) -> np.uint64:
    """Return the 64 bits from a position on, out of the word it lies in and the one after."""
    shift = position & _u64(63)
    # A shift by 64 is not defined, hence two.
    return (high << shift) | ((low >> _u64(1)) >> (_u64(63) - shift))


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
    entry: int,
    table: int,
    limits: np.ndarray,
    shifts: np.ndarray,
    symbols: np.ndarray,
) -> tuple[int, int]:
    """Return (length, symbol) of the code at the front of the window (T.81 F.2.2.3).

    Takes the entry of the look-up table for it, which is SLOW. Length 0: there is no such code.
    """
    length = entry & 0x1F
    if length != 0:
        return length, (entry >> 8) & 0xFF
    front = np.int64(window >> _u64(64 - MAX_CODE_LENGTH))
    for length in range(LOOKUP_BITS + 1, MAX_CODE_LENGTH + 1):
        if front < limits[table, length]:
            index = (front >> (MAX_CODE_LENGTH - length)) + shifts[table, length]
            return length, np.int64(symbols[table, index & 0xFF])
    return 0, 0


@njit(cache=True, nogil=True)
def decode_sequential(
    words: np.ndarray,
    starts: np.ndarray,
    interval: int,
    mcu_rows: int,
    mcu_columns: int,
    plan: np.ndarray,
    layout: np.ndarray,
    entries: np.ndarray,
    limits: np.ndarray,
    shifts: np.ndarray,
    symbols: np.ndarray,
    frequencies: int,
    out: np.ndarray,
) -> tuple[int, int]:
    """Decode a scan of a sequential frame (T.81 F.2.2, E.2.3).

    Args:
        words: uint64 [words] of to_words().
        starts: int64 [intervals + 1] of unstuff().
        interval: MCUs in a restart interval, at least 1.
        mcu_rows: rows of MCUs in the scan.
        mcu_columns: columns of MCUs in the scan.
        plan: int64 [blocks in an MCU, 5], the PLAN_* columns: index in layout, place in the MCU,
            where the DC and the AC table begin in entries.
        layout: int64 [components, 5], the LAYOUT_* columns: blocks in an MCU, blocks to keep, where
            they begin in out.
        entries: of huffman.LookupTables, as limits, shifts and symbols are.
        frequencies: how many coefficients of a block to keep.
        out: int16, zeros; filled. The last element only takes what is not kept.

    Returns:
        (status, position in bits).
    """
    spare = out.size - 1
    mcus = mcu_rows * mcu_columns
    predictions = np.zeros(layout.shape[0], np.int64)
    mcu = 0
    for number in range(starts.size - 1):
        position = _u64(starts[number])
        end = _u64(starts[number + 1])
        predictions[:] = 0
        for _ in range(min(interval, mcus - mcu)):
            mcu_row = mcu // mcu_columns
            mcu_column = mcu - mcu_row * mcu_columns
            mcu += 1
            for block in range(plan.shape[0]):
                component = plan[block, PLAN_COMPONENT]
                row = mcu_row * layout[component, LAYOUT_V] + plan[block, PLAN_ROW]
                column = mcu_column * layout[component, LAYOUT_H] + plan[block, PLAN_COLUMN]
                columns = layout[component, LAYOUT_COLUMNS]
                # Coefficient k goes to out[first + k] if k < limit, else to out[spare]: neither a
                # branch nor a write out of bounds, whatever the run lengths say.
                first = spare
                limit = 0
                if row < layout[component, LAYOUT_ROWS] and column < columns:
                    index = row * columns + column
                    first = layout[component, LAYOUT_OFFSET] + index * frequencies
                    limit = frequencies

                # DC (T.81 F.2.2.1)
                table = plan[block, PLAN_DC]
                word = position >> _u64(6)
                window = _join(words[word], words[word + _u64(1)], position)
                entry = np.int64(entries[_u64(table) + (window >> _FRONT)])
                difference = entry >> 16
                length = entry & 0xFF
                if entry & SLOW:
                    length, size = _decode_code(
                        window, entry, table // LOOKUP_SIZE, limits, shifts, symbols
                    )
                    if length == 0:
                        return BAD_CODE, np.int64(position)
                    if size > MAX_DC_SIZE:
                        return BAD_SYMBOL, np.int64(position)
                    difference = _extend(window, length, size)
                    length += size
                dc = predictions[component] + difference
                if dc < -MAX_DC or dc > MAX_DC:
                    return DC_OUT_OF_RANGE, np.int64(position)
                predictions[component] = dc
                out[_u64(first)] = dc
                position += _u64(length)

                # AC (T.81 F.2.2.2)
                table = plan[block, PLAN_AC]
                k = 1
                while k < 64:
                    word = position >> _u64(6)
                    window = _join(words[word], words[word + _u64(1)], position)
                    # One window serves several short codes: loading it takes longer than a look-up.
                    for _ in range(_LOOKUPS_A_WINDOW):
                        entry = np.int64(entries[_u64(table) + (window >> _FRONT)])
                        if entry & SLOW:
                            break
                        k += (entry >> 8) & 0xFF
                        out[_u64(first + k - 1 if k <= limit else spare)] = entry >> 16
                        window <<= _u64(entry & 0xFF)
                        position += _u64(entry & 0xFF)
                        if k >= 64:
                            break
                    if not entry & SLOW:
                        continue
                    word = position >> _u64(6)
                    window = _join(words[word], words[word + _u64(1)], position)
                    length, symbol = _decode_code(
                        window, entry, table // LOOKUP_SIZE, limits, shifts, symbols
                    )
                    if length == 0:
                        return BAD_CODE, np.int64(position)
                    size = symbol & 15
                    if size > MAX_AC_SIZE:
                        return BAD_SYMBOL, np.int64(position)
                    if size > 0 or symbol == ZRL_SYMBOL:
                        k += (symbol >> 4) + 1
                    elif symbol == EOB_SYMBOL:
                        k += END_OF_BLOCK
                    else:
                        return BAD_SYMBOL, np.int64(position)
                    value = _extend(window, length, size)
                    out[_u64(first + k - 1 if k <= limit else spare)] = value
                    position += _u64(length + size)
                # Past 64 by EOB is past 128; by less, it is a run that does not fit the block.
                if 64 < k < END_OF_BLOCK:
                    return RUN_TOO_LONG, np.int64(position)
                if position > end:
                    return OUT_OF_DATA, np.int64(end)
        if end - position >= _u64(8):
            return DATA_LEFT, np.int64(position)
    return OK, np.int64(position)


def warm_up() -> None:
    """Compile the kernels, or load them from Numba's cache, by decoding one block of zeros."""
    one_code = bytes([1] + [0] * 15)
    tables = build_lookup_tables(
        (HuffmanTable(DC_CLASS, one_code, b"\0"), HuffmanTable(AC_CLASS, one_code, b"\0"))
    )
    starts = np.zeros(2, np.int64)
    stream = np.zeros(8 + 8 * PADDING_WORDS, np.uint8)
    _, _, written, _ = unstuff(np.frombuffer(b"\x3f", np.uint8), 0, starts, stream)
    decode_sequential(
        to_words(stream, written),
        starts,
        1,
        1,
        1,
        np.array([[0, 0, 0, 0, LOOKUP_SIZE]], np.int64),
        np.array([[1, 1, 1, 1, 0]], np.int64),
        tables.entries,
        tables.limits,
        tables.shifts,
        tables.symbols,
        64,
        np.zeros(65, np.int16),
    )
