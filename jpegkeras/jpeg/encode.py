"""Coefficients to the entropy-coded segments of sequential scans (T.81 F.1.2), in two passes.

1. tokenize() turns a scan into tokens, one for each Huffman code it will have, and counts them, so
   that tables can be made for them;
2. pack() turns tokens into bits.

A token (uint32) has the value bits that follow its code in bits 0-15, and its symbol index above
them: 256 times the number of a table, plus the symbol. The low 4 bits of a symbol say how many
value bits there are, for DC as for AC.

Numba: see scan.py. What touches the bits is np.uint64 throughout, helpers of the inner loops take
numbers and not arrays, kernels return a status instead of raising.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from jpegkeras.jpeg.huffman import EOB_SYMBOL, ZRL_SYMBOL

OK = 0
DC_OUT_OF_RANGE = 1
DIFFERENCE_OUT_OF_RANGE = 2
AC_OUT_OF_RANGE = 3

#: What 11 bits hold (T.81 Table F.1): the largest difference of DC. The largest DC too, since the
#: first block of a scan has no other before it.
MAX_DC = 2047
#: What 10 bits hold (T.81 Table F.2).
MAX_AC = 1023
#: The most bits a code and its value take: 16 and 11.
MAX_TOKEN_BITS = 27

SYMBOLS = 256
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

_u32 = np.uint32
_u64 = np.uint64

# How many bits a magnitude takes.
_SIZES = np.array([value.bit_length() for value in range(MAX_DC + 1)], np.uint8)


@intrinsic
def _trailing_zeros(typing_context, mask):  # noqa: ANN001, ANN202 - Numba's types
    """Return how many zeros stand below the lowest one of a mask that is not 0, by LLVM's cttz."""

    def generate(context, builder, signature, arguments):  # noqa: ANN001, ANN202
        return builder.cttz(arguments[0], context.get_constant(types.boolean, True))

    return types.uint64(types.uint64), generate


@njit(cache=True, nogil=True)
def _make_token(index: int, value: int, size: int) -> np.uint32:
    # A negative value is coded as itself minus 1, in its low bits (T.81 F.1.2.1.1).
    bits = (value - (value < 0)) & ((1 << size) - 1)
    return _u32(index << 16 | bits)


@njit(cache=True, nogil=True)
def tokenize(
    coefficients: np.ndarray,
    frequencies: int,
    interval: int,
    mcu_rows: int,
    mcu_columns: int,
    plan: np.ndarray,
    layout: np.ndarray,
    tokens: np.ndarray,
    ends: np.ndarray,
    counts: np.ndarray,
) -> tuple[int, int, int, int, int]:
    """Turn a scan into tokens, and count them (T.81 F.1.2.1, F.1.2.2).

    A block that only pads an MCU repeats the DC before it and has no AC: the fewest bits.

    Args:
        coefficients: int16, of all components one after the other.
        frequencies: how many of them a block has; the others are 0.
        interval: MCUs in a restart interval, at least 1.
        mcu_rows: rows of MCUs in the scan.
        mcu_columns: columns of MCUs in the scan.
        plan: int64 [blocks in an MCU, 5], the PLAN_* columns: index in layout, place in the MCU,
            where the DC and the AC table begin in counts.
        layout: int64 [components, 5], the LAYOUT_* columns: blocks in an MCU, blocks of the
            component, where they begin in coefficients.
        tokens: uint32, filled; it must have room for the most there can be.
        ends: int64 [intervals], filled: where in tokens each restart interval ends.
        counts: int64 [tables * SYMBOLS], increased.

    Returns:
        (status, index in layout, row, column, value): the block and the value in it that cannot be
        coded, if the status is not OK.
    """
    written = _u64(0)
    predictions = np.zeros(layout.shape[0], np.int64)
    number = 0
    left = interval
    for mcu_row in range(mcu_rows):
        for mcu_column in range(mcu_columns):
            if left == 0:
                ends[number] = np.int64(written)
                number += 1
                left = interval
                predictions[:] = 0
            left -= 1
            for block in range(plan.shape[0]):
                component = plan[block, PLAN_COMPONENT]
                row = mcu_row * layout[component, LAYOUT_V] + plan[block, PLAN_ROW]
                column = mcu_column * layout[component, LAYOUT_H] + plan[block, PLAN_COLUMN]
                columns = layout[component, LAYOUT_COLUMNS]
                dc_table = plan[block, PLAN_DC]
                ac_table = plan[block, PLAN_AC]
                end_of_block = ac_table + EOB_SYMBOL
                if row >= layout[component, LAYOUT_ROWS] or column >= columns:
                    tokens[written] = _make_token(dc_table, 0, 0)
                    tokens[written + _u64(1)] = _make_token(end_of_block, 0, 0)
                    written += _u64(2)
                    counts[dc_table] += 1
                    counts[end_of_block] += 1
                    continue

                # DC
                first = layout[component, LAYOUT_OFFSET] + (row * columns + column) * frequencies
                dc = np.int64(coefficients[first])
                difference = dc - predictions[component]
                if abs(dc) > MAX_DC:
                    return DC_OUT_OF_RANGE, component, row, column, dc
                if abs(difference) > MAX_DC:
                    return DIFFERENCE_OUT_OF_RANGE, component, row, column, difference
                predictions[component] = dc
                size = np.int64(_SIZES[abs(difference)])
                tokens[written] = _make_token(dc_table + size, difference, size)
                written += _u64(1)
                counts[dc_table + size] += 1

                # AC
                # The mask of what is not 0 is found without a branch; then only that is visited.
                mask = _u64(0)
                for k in range(1, frequencies):
                    mask |= _u64(coefficients[_u64(first + k)] != 0) << _u64(k)
                last = 0
                while mask != _u64(0):
                    k = np.int64(_trailing_zeros(mask))
                    mask &= mask - _u64(1)
                    value = np.int64(coefficients[_u64(first + k)])
                    if abs(value) > MAX_AC:
                        return AC_OUT_OF_RANGE, component, row, column, value
                    run = k - last - 1
                    last = k
                    while run > 15:
                        tokens[written] = _make_token(ac_table + ZRL_SYMBOL, 0, 0)
                        written += _u64(1)
                        counts[ac_table + ZRL_SYMBOL] += 1
                        run -= 16
                    size = np.int64(_SIZES[abs(value)])
                    index = ac_table + (run << 4) + size
                    tokens[written] = _make_token(index, value, size)
                    written += _u64(1)
                    counts[index] += 1
                if last < 63:
                    tokens[written] = _make_token(end_of_block, 0, 0)
                    written += _u64(1)
                    counts[end_of_block] += 1
    ends[number] = np.int64(written)
    return OK, 0, 0, 0, 0


@njit(cache=True, nogil=True)
def pack(
    tokens: np.ndarray,
    ends: np.ndarray,
    codes: np.ndarray,
    lengths: np.ndarray,
    out: np.ndarray,
) -> int:
    """Turn the tokens of a scan into its entropy-coded segments and restart markers.

    Args:
        tokens: uint32, of tokenize().
        ends: int64 [intervals], of tokenize().
        codes: uint64 [tables * SYMBOLS], the Huffman codes.
        lengths: uint64 [tables * SYMBOLS], how long they are.
        out: uint8, filled; it must have room for the most there can be.

    Returns:
        How many bytes were written.
    """
    written = _u64(0)
    first = 0
    for number in range(ends.size):
        if number > 0:
            out[written] = 0xFF
            out[written + _u64(1)] = 0xD0 + (number - 1) % 8
            written += _u64(2)
        window = _u64(0)
        pending = _u64(0)  # how many of the lowest bits of the window are still to be written
        for i in range(first, ends[number]):
            token = _u64(tokens[_u64(i)])
            index = token >> _u64(16)
            size = index & _u64(15)
            length = lengths[index]
            window = (((window << length) | codes[index]) << size) | (token & _u64(0xFFFF))
            pending += length + size
            if pending < _u64(32):
                continue
            pending -= _u64(32)
            word = (window >> pending) & _u64(0xFFFFFFFF)
            # Is any byte 0xFF? A zero is stuffed behind it (T.81 F.1.2.3).
            if (~word - _u64(0x01010101)) & word & _u64(0x80808080) == _u64(0):
                out[written] = word >> _u64(24)
                out[written + _u64(1)] = word >> _u64(16)
                out[written + _u64(2)] = word >> _u64(8)
                out[written + _u64(3)] = word
                written += _u64(4)
                continue
            for shift in range(24, -8, -8):
                byte = (word >> _u64(shift)) & _u64(0xFF)
                out[written] = byte
                written += _u64(1)
                if byte == _u64(0xFF):
                    out[written] = 0
                    written += _u64(1)
        first = ends[number]
        # Ones fill up the last byte (T.81 F.1.2.3).
        padding = (_u64(8) - pending) & _u64(7)
        window = (window << padding) | ((_u64(1) << padding) - _u64(1))
        pending += padding
        while pending > _u64(0):
            pending -= _u64(8)
            byte = (window >> pending) & _u64(0xFF)
            out[written] = byte
            written += _u64(1)
            if byte == _u64(0xFF):
                out[written] = 0
                written += _u64(1)
    return np.int64(written)
