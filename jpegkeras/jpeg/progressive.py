"""Entropy-coded segments of progressive scans: bits to coefficients (T.81 Annex G).

A progressive frame sends each coefficient's high bits in a first scan and one bit more in each
refinement. So a scan reads or adds to what the scans before it left in `out`, int16, 64
coefficients a block in zigzag order. Four kernels, one for each kind of scan, decode one restart
interval each; decode_progressive() goes through the intervals of a scan.

Beside `out` goes `masks`, uint64: bit k of a block's mask says that its AC coefficient k is not 0.
A refinement sends a bit for each of those, so it finds them without looking at the coefficients.
Behind the masks of blocks stand the unions of 64 of them each: a run of empty bands, of up to 32767
blocks, is passed without a look at each block. Time thus depends on the data of a scan, hardly on
the size of the image, however many scans there are.

Strict reading stops at the first thing that T.81 does not allow. Tolerant reading goes on as
libjpeg does, so that a damaged file gives the coefficients that libjpeg makes of it:
- bits behind the end of an interval are 0 until the MCU that wants them is complete; the rest of
  the interval stays as it is;
- a code of 16 bits that does not exist takes 17 bits and stands for symbol 0;
- a run past the band ends behind the band, or at 63;
- a new coefficient in a refinement has the size 1, whatever its symbol says;
- bits and runs that are left over at the end of an interval are forgotten.

Numba: int64 with uint64 gives float64, so whatever touches the bits is np.uint64 throughout. Arrays
are not handed to the helpers of the inner loops: for each Numba would count references, by atomic
operations that cost more than the decoding does. Damage gives a status; only arguments that do not
fit each other raise.
"""

from __future__ import annotations

import functools

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from jpegkeras.jpeg.huffman import (
    AC_CLASS,
    DC_CLASS,
    MAX_AC_SIZE,
    MAX_CODE_LENGTH,
    MAX_DC_SIZE,
    HuffmanTable,
)
from jpegkeras.jpeg.memory import count_trailing_zeros
from jpegkeras.jpeg.scan import (
    BAD_CODE,
    BAD_SYMBOL,
    DATA_LEFT,
    DC_OUT_OF_RANGE,
    LAYOUT_COLUMNS,
    LAYOUT_H,
    LAYOUT_OFFSET,
    LAYOUT_ROWS,
    LAYOUT_V,
    MAX_DC,
    OK,
    OUT_OF_DATA,
    PLAN_COLUMN,
    PLAN_COMPONENT,
    PLAN_ROW,
    RUN_TOO_LONG,
)
from jpegkeras.jpeg.types import BLOCK_COEFFICIENTS

# Statuses that sequential scans do not have.
EOB_RUN_TOO_LONG = 20
BAD_REFINEMENT = 21
AC_OUT_OF_RANGE = 22

#: What a sequential scan of 8 bits can hold (T.81 Table F.2).
MAX_AC = (1 << MAX_AC_SIZE) - 1
#: What the statuses mean that sequential scans do not have.
PROBLEMS = {
    EOB_RUN_TOO_LONG: (
        "a run of bands without coefficients goes past the restart interval or the scan; "
        "the data is damaged"
    ),
    BAD_REFINEMENT: "a refinement must add 1 bit, the Huffman code says more; the data is damaged",
    AC_OUT_OF_RANGE: (
        f"an AC coefficient is out of the range -{MAX_AC} to {MAX_AC}; the data is damaged"
    ),
}

# A block can take 63 times 16 bits of code and 15 of value before its end is looked at.
PADDING_WORDS = 63 * (16 + 15) // 64 + 3

# Entries of a look-up table, int32, stand for the next LOOKUP_BITS bits of the stream:
#   bits 0-5    how many bits are used up: the code and what follows it
#   bits 8-15   run + 1: how many coefficients to move on; of a refinement, of those that are 0
#   bits 16-31  the value, signed; the length of the run if END is set
# END: the band ends here, in a run of blocks. SLOW: the entry holds the code alone: bits 0-4 its
# length (0: longer than LOOKUP_BITS, or no code), bits 8-15 its symbol.
LOOKUP_BITS = 10
LOOKUP_SIZE = 1 << LOOKUP_BITS
END = 0x40
SLOW = 0x80
# Behind the entries stand what long codes need, by length: one more than the last code, shifted
# left to 16 bits; what to add to a code for its index in symbols; then the symbols.
_LIMITS = LOOKUP_SIZE
_SHIFTS = _LIMITS + MAX_CODE_LENGTH + 1
_SYMBOLS = _SHIFTS + MAX_CODE_LENGTH + 1
TABLE_SIZE = _SYMBOLS + 256

# Kinds of look-up tables.
_DC_FIRST = 0
_AC_FIRST = 1
_AC_REFINE = 2

_u64 = np.uint64
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_FRONT = np.uint64(64 - LOOKUP_BITS)
_LOOKUPS_A_WINDOW = 64 // LOOKUP_BITS
_ZRL_RUN = 15
_BAD_CODE_LENGTH = MAX_CODE_LENGTH + 1
# libjpeg refuses tables that have more than this for DC.
_MAX_SIZE = 15


def count_masks(blocks: int) -> int:
    """Return how many masks go with this many blocks: see decode_progressive."""
    return blocks + (blocks + 63) // 64


@functools.lru_cache(maxsize=64)
def build_tables(tables: tuple[HuffmanTable, ...], refine: bool = False) -> np.ndarray:
    """Return the look-up tables of a scan (T.81 C.2, F.2.2.3).

    Args:
        tables: the Huffman table of each component: the DC table for a DC scan, else the AC table.
            () for a refinement of DC, which has no codes.
        refine: the scan is a refinement.

    Returns:
        int32 [at least 1, TABLE_SIZE], shared and read-only.
    """
    result = np.empty((max(1, len(tables)), TABLE_SIZE), np.int32)
    for row, table in zip(result, tables):
        kind = _DC_FIRST if table.table_class == DC_CLASS else _AC_REFINE if refine else _AC_FIRST
        _fill_table(np.frombuffer(table.counts + table.symbols, np.uint8), kind, row)
    result.setflags(write=False)
    return result


@njit(cache=True, nogil=True)
def _fill_table(specification: np.ndarray, kind: int, table: np.ndarray) -> None:
    """Fill a table from 16 counts and the symbols, which must have passed HuffmanTable's check."""
    table[:] = 0
    table[:LOOKUP_SIZE] = SLOW
    code = 0
    index = 0
    for length in range(1, MAX_CODE_LENGTH + 1):
        table[_SHIFTS + length] = index - code
        for _ in range(specification[length - 1]):
            symbol = np.int64(specification[MAX_CODE_LENGTH + index])
            table[_SYMBOLS + index] = symbol
            if length <= LOOKUP_BITS:
                _fill_code(code, length, symbol, kind, table)
            code += 1
            index += 1
        table[_LIMITS + length] = code << (MAX_CODE_LENGTH - length)
        code <<= 1


@njit(cache=True, nogil=True)
def _fill_code(code: int, length: int, symbol: int, kind: int, table: np.ndarray) -> None:
    spare_bits = LOOKUP_BITS - length
    first = code << spare_bits
    run = symbol >> 4
    size = symbol & 15
    end = False
    fast = True
    if kind == _DC_FIRST:
        size = symbol
        fast = symbol <= MAX_DC_SIZE
    elif size == 0 and run < _ZRL_RUN:  # EOBn: n bits of a run follow
        size = run
        end = True
    elif kind == _AC_FIRST:
        fast = 1 <= size <= MAX_AC_SIZE
    else:
        fast = size <= 1
    if not fast or size > spare_bits:
        table[first : first + (1 << spare_bits)] = SLOW | length | (symbol << 8)
        return
    for bits in range(1 << spare_bits):
        value = bits >> (spare_bits - size)
        entry = length + size
        if end:
            entry |= END | ((value + (1 << size)) << 16)
        else:
            if kind == _AC_REFINE and size == 1:
                value = 2 * value - 1
            elif size > 0 and value < 1 << (size - 1):
                value -= (1 << size) - 1
            entry |= ((run + 1) << 8) | (value << 16)
        table[first + bits] = entry


@intrinsic
def _count_bits(typingctx, mask):  # noqa: ANN001, ANN202
    """Return how many bits are set."""

    def generate(context, builder, signature, arguments):  # noqa: ANN001, ANN202
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@njit(cache=True, nogil=True)
def _join(high: np.uint64, low: np.uint64, position: np.uint64) -> np.uint64:
    """Return the 64 bits from a position on, out of the word it lies in and the one after."""
    shift = position & _u64(63)
    # A shift by 64 is not defined, hence two.
    return (high << shift) | ((low >> _u64(1)) >> (_u64(63) - shift))


@njit(cache=True, nogil=True)
def _below(k: np.uint64) -> np.uint64:
    """Return a mask of the coefficients below k, 1 to 64."""
    return _ALL >> (_u64(64) - k)


@njit(cache=True, nogil=True)
def _mask_if_above(value: int, bound: int) -> np.uint64:
    """Return all ones if value > bound, else 0."""
    return _u64((bound - value) >> 63)


@njit(cache=True, nogil=True)
def _bits(window: np.uint64, length: int, size: int) -> int:
    """Return the size bits after a code of that length."""
    return np.int64((window << _u64(length)) >> _u64(1) >> _u64(63 - size))


@njit(cache=True, nogil=True)
def _extend(bits: int, size: int) -> int:
    """Return the value that those bits stand for (T.81 F.2.2.1)."""
    if bits < (1 << size) >> 1:
        return bits - (1 << size) + 1
    return bits


@njit(cache=True, nogil=True)
def _decode_code(
    window: np.uint64, entry: int, tables: np.ndarray, number: int
) -> tuple[bool, int, int]:
    """Return (found, length, symbol) of the code at the front of the window (T.81 F.2.2.3).

    Takes the entry of the look-up table for it, which is SLOW.
    """
    length = entry & 0x1F
    if length != 0:
        return True, length, (entry >> 8) & 0xFF
    front = np.int64(window >> _u64(64 - MAX_CODE_LENGTH))
    for length in range(LOOKUP_BITS + 1, MAX_CODE_LENGTH + 1):
        if front < tables[number, _LIMITS + length]:
            index = (front >> (MAX_CODE_LENGTH - length)) + tables[number, _SHIFTS + length]
            return True, length, np.int64(tables[number, _SYMBOLS + (index & 0xFF)])
    return False, _BAD_CODE_LENGTH, 0


@njit(cache=True, nogil=True)
def _decode_ac_code(
    window: np.uint64, entry: int, tables: np.ndarray, refine: bool
) -> tuple[int, int, int, int, int]:
    """Return (status, bits used up, step, value, EOB run) of a code of AC; its entry is SLOW."""
    found, length, symbol = _decode_code(window, entry, tables, 0)
    size = symbol & 15
    step = (symbol >> 4) + 1
    if size == 0 and step <= _ZRL_RUN:
        run = (1 << (step - 1)) + _bits(window, length, step - 1)
        return OK if found else BAD_CODE, length + step - 1, 0, 0, run
    if not refine:
        status = OK if size <= MAX_AC_SIZE else BAD_SYMBOL
        return status, length + size, step, _extend(_bits(window, length, size), size), 0
    if size == 0:
        return OK, length, step, 0, 0
    status = OK if size == 1 else BAD_REFINEMENT
    return status, length + 1, step, 2 * _bits(window, length, 1) - 1, 0


@njit(cache=True, nogil=True)
def _blame(status: int, position: np.uint64, used: int, end: int) -> tuple[int, int]:
    """Return (status, position) for a problem with a code at a position, value included.

    Where bits of it are behind the end of the interval, or are those that fill up its last byte,
    data is missing, whatever they decode to.
    """
    at = np.int64(position)
    if at + used > end or end - at < 8:
        return OUT_OF_DATA, end
    return status, at


@njit(cache=True, nogil=True)
def _position(start: int) -> int:
    """Return the bit that an element of starts stands for."""
    return ~start if start < 0 else start


@njit(cache=True, nogil=True)
def _copy_interval(words: np.ndarray, begin: int, end: int, scratch: np.ndarray) -> None:
    """Copy the bits from begin to end to the front of scratch, PADDING_WORDS of zeros after."""
    size = (end - begin + 63) // 64
    word = begin // 64
    for index in range(size):
        scratch[index] = _join(words[word + index], words[word + index + 1], _u64(begin))
    left = (end - begin) % 64
    if left > 0:
        scratch[size - 1] &= ~(_ALL >> _u64(left))
    scratch[size : size + PADDING_WORDS] = 0


# Each kernel decodes count MCUs from a position in words. It returns (status, where that is,
# position afterwards); reading tolerantly, of the first damage. Whether bits are left over is seen
# by whoever calls it, whether they ran out by the position.


@njit(cache=True, nogil=True)
def _decode_dc_first(
    words: np.ndarray,
    begin: int,
    end: int,
    mcus: tuple[int, int, int],
    plan: np.ndarray,
    layout: np.ndarray,
    tables: np.ndarray,
    low: int,
    tolerant: bool,
    predictions: np.ndarray,
    out: np.ndarray,
) -> tuple[int, int, int]:
    """Decode the first scan of DC (T.81 G.1.2.1, F.2.2.1)."""
    mcu, count, mcu_columns = mcus
    position = _u64(begin)
    problem, at = OK, begin
    # Point transforms of DC are arithmetic shifts (T.81 G.1.2.1): -1 stays -1.
    smallest, largest = -MAX_DC >> low, MAX_DC >> low
    predictions[:] = 0
    mcu_row = mcu // mcu_columns
    mcu_column = mcu - mcu_row * mcu_columns
    window = _u64(0)
    valid = 0
    for _ in range(count):
        for block in range(plan.shape[0]):
            component = plan[block, PLAN_COMPONENT]
            if valid < LOOKUP_BITS:
                word = position >> _u64(6)
                window = _join(words[word], words[word + _u64(1)], position)
                valid = 64
            entry = np.int64(tables[component, window >> _FRONT])
            used = entry & 0x3F
            difference = entry >> 16
            if entry & SLOW:
                word = position >> _u64(6)
                window = _join(words[word], words[word + _u64(1)], position)
                valid = 64
                found, length, size = _decode_code(window, entry, tables, component)
                if not found or size > MAX_DC_SIZE:
                    if problem == OK:
                        bad = BAD_SYMBOL if found else BAD_CODE
                        problem, at = _blame(bad, position, length, end)
                    if not tolerant:
                        return problem, at, at
                    size = min(size, _MAX_SIZE)
                difference = _extend(_bits(window, length, size), size)
                used = length + size
            dc = predictions[component] + difference
            if dc < smallest or dc > largest:
                if problem == OK:
                    problem, at = _blame(DC_OUT_OF_RANGE, position, used, end)
                if not tolerant:
                    return problem, at, at
            predictions[component] = dc
            window <<= _u64(used)
            valid -= used
            position += _u64(used)
            row = mcu_row * layout[component, LAYOUT_V] + plan[block, PLAN_ROW]
            column = mcu_column * layout[component, LAYOUT_H] + plan[block, PLAN_COLUMN]
            columns = layout[component, LAYOUT_COLUMNS]
            if row < layout[component, LAYOUT_ROWS] and column < columns:
                index = layout[component, LAYOUT_OFFSET] + (row * columns + column) * 64
                out[_u64(index)] = dc << low
        if position > _u64(end):
            if problem == OK:
                problem, at = OUT_OF_DATA, end
            break
        mcu_column += 1
        if mcu_column == mcu_columns:
            mcu_row += 1
            mcu_column = 0
    return problem, at, np.int64(position)


@njit(cache=True, nogil=True)
def _decode_dc_refinement(
    words: np.ndarray,
    begin: int,
    end: int,
    mcus: tuple[int, int, int],
    plan: np.ndarray,
    layout: np.ndarray,
    low: int,
    out: np.ndarray,
) -> tuple[int, int, int]:
    """Decode a refinement of DC, a bit a block (T.81 G.1.2.1)."""
    mcu, count, mcu_columns = mcus
    position = _u64(begin)
    mcu_row = mcu // mcu_columns
    mcu_column = mcu - mcu_row * mcu_columns
    for _ in range(count):
        for block in range(plan.shape[0]):
            if position >= _u64(end):  # zeros would not change anything
                return OUT_OF_DATA, end, end + 1
            bit = np.int64(words[position >> _u64(6)] >> (~position & _u64(63))) & 1
            position += _u64(1)
            component = plan[block, PLAN_COMPONENT]
            row = mcu_row * layout[component, LAYOUT_V] + plan[block, PLAN_ROW]
            column = mcu_column * layout[component, LAYOUT_H] + plan[block, PLAN_COLUMN]
            columns = layout[component, LAYOUT_COLUMNS]
            if bit and row < layout[component, LAYOUT_ROWS] and column < columns:
                index = layout[component, LAYOUT_OFFSET] + (row * columns + column) * 64
                out[_u64(index)] |= 1 << low
        mcu_column += 1
        if mcu_column == mcu_columns:
            mcu_row += 1
            mcu_column = 0
    return OK, begin, np.int64(position)


@njit(cache=True, nogil=True)
def _decode_ac_first(
    words: np.ndarray,
    begin: int,
    end: int,
    blocks: tuple[int, int],
    tables: np.ndarray,
    band: tuple[int, int],
    low: int,
    tolerant: bool,
    out: np.ndarray,
    masks: np.ndarray,
) -> tuple[int, int, int]:
    """Decode the first scan of a band of AC (T.81 G.1.2.2)."""
    start, stop = band
    block, last = blocks
    unions = out.size // BLOCK_COEFFICIENTS
    position = _u64(begin)
    problem, at = OK, begin
    largest = MAX_AC >> low
    while block < last:
        base = block * BLOCK_COEFFICIENTS - 1
        mask = _u64(0)
        run = 1  # of blocks
        k = start  # of the next coefficient
        while k <= stop:
            word = position >> _u64(6)
            window = _join(words[word], words[word + _u64(1)], position)
            entry = 0
            value = 0
            special = False
            # One window serves several short codes: loading it takes longer than a look-up.
            for _ in range(_LOOKUPS_A_WINDOW):
                entry = np.int64(tables[0, window >> _FRONT])
                value = entry >> 16
                after = k + ((entry >> 8) & 0xFF)
                if entry & (SLOW | END) or after > stop + 1 or value > largest or value < -largest:
                    special = True
                    break
                k = after
                out[_u64(base + k)] = value << low
                mask |= _u64(1) << _u64(k - 1)
                window <<= _u64(entry & 0x3F)
                position += _u64(entry & 0x3F)
                if k > stop:
                    break
            if not special:
                continue
            if entry & END:
                position += _u64(entry & 0x3F)
                run = value
                break
            # What is left: long codes, ZRL, and damage.
            status = OK
            used = entry & 0x3F
            step = (entry >> 8) & 0xFF
            eob_run = 0
            if entry & SLOW:
                word = position >> _u64(6)
                window = _join(words[word], words[word + _u64(1)], position)
                status, used, step, value, eob_run = _decode_ac_code(window, entry, tables, False)
            k += step
            if status == OK and k > stop + 1:
                status = RUN_TOO_LONG
            elif status == OK and (value > largest or value < -largest):
                status = AC_OUT_OF_RANGE
            if status != OK and problem == OK:
                problem, at = _blame(status, position, used, end)
            if status != OK and not tolerant:
                return problem, at, at
            position += _u64(used)
            if eob_run > 0:
                run = eob_run
                break
            if value == 0:  # ZRL
                continue
            target = min(k, 64)
            out[_u64(base + target)] = value << low
            bit = _u64(1) << _u64(target - 1)
            mask |= bit
            if out[_u64(base + target)] == 0:  # cut to 16 bits
                mask &= ~bit
                masks[_u64(block)] &= ~bit
        masks[_u64(block)] |= mask
        masks[_u64(unions + (block >> 6))] |= mask
        block += run
        if position > _u64(end):
            if problem == OK:
                problem, at = OUT_OF_DATA, end
            break
    if block > last and problem == OK:
        problem, at = EOB_RUN_TOO_LONG, np.int64(position)
    return problem, at, np.int64(position)


@njit(cache=True, nogil=True)
def _decode_ac_refinement(
    words: np.ndarray,
    begin: int,
    end: int,
    blocks: tuple[int, int],
    tables: np.ndarray,
    band: tuple[int, int],
    low: int,
    tolerant: bool,
    out: np.ndarray,
    masks: np.ndarray,
) -> tuple[int, int, int]:
    """Decode a refinement of a band of AC (T.81 G.1.2.3)."""
    start, stop = band
    block, last = blocks
    unions = out.size // BLOCK_COEFFICIENTS
    in_band = _below(_u64(stop + 1)) & ~_below(_u64(start))
    last_in_band = _u64(1) << _u64(stop)
    position = _u64(begin)
    problem, at = OK, begin
    window = valid = _u64(0)
    run = 0  # of blocks whose band has ended, this one included
    while block < last:
        if run > 0:
            # Blocks without a coefficient in the band take no bits.
            behind = min(block + run, last)
            while block < behind and masks[_u64(block)] & in_band == 0:
                block += 1
                run -= 1
                while (
                    block & 63 == 0
                    and block + 64 <= behind
                    and masks[_u64(unions + (block >> 6))] & in_band == 0
                ):
                    block += 64
                    run -= 64
            if block == behind:
                continue
        base = _u64(block * BLOCK_COEFFICIENTS)
        mask = masks[_u64(block)]
        added = _u64(0)
        # Coefficients of the band from the next one on: 0, and not 0.
        zeros = in_band & ~mask
        others = in_band & mask
        # A correction bit for each that is not 0 stands behind the code that passes it: collected
        # here, to be added to the coefficients in one go.
        corrections = _u64(0)
        behind_band = 0
        while True:
            if valid < _u64(32):
                word = position >> _u64(6)
                window = _join(words[word], words[word + _u64(1)], position)
                valid = _u64(64)
            new = _u64(0)
            if run == 0:
                entry = np.int64(tables[0, window >> _FRONT])
                used = entry & 0x3F
                step = (entry >> 8) & 0xFF
                value = entry >> 16
                if entry & END:
                    run = value
                elif entry & SLOW:
                    status, used, step, value, run = _decode_ac_code(window, entry, tables, True)
                    if status != OK and problem == OK:
                        problem, at = _blame(status, position, used, end)
                    if status != OK and not tolerant:
                        return problem, at, at
                position += _u64(used)
                window <<= _u64(used)
                valid -= _u64(used)
                if run == 0:
                    # The new coefficient is number step of those that are 0. Up to 4 without a
                    # branch, which would be mispredicted too often.
                    once = zeros & (zeros - _u64(1))
                    twice = once & (once - _u64(1))
                    thrice = twice & (twice - _u64(1))
                    zeros ^= (
                        ((zeros ^ once) & _mask_if_above(step, 1))
                        ^ ((once ^ twice) & _mask_if_above(step, 2))
                        ^ ((twice ^ thrice) & _mask_if_above(step, 3))
                    )
                    for _ in range(step - 4):
                        zeros &= zeros - _u64(1)
                    new = zeros & (~zeros + _u64(1))
                    zeros ^= new
                    if new == 0:
                        if problem == OK:
                            start_of_code = position - _u64(used)
                            problem, at = _blame(RUN_TOO_LONG, start_of_code, used, end)
                        if not tolerant:
                            return problem, at, at
                        behind_band = value
                    elif value != 0:
                        out[base + count_trailing_zeros(new)] = value << low
                        added |= new
            passed = others & (new - _u64(1))  # all, if there is no new one
            others ^= passed
            count = _count_bits(passed)
            if count > valid:
                word = position >> _u64(6)
                window = _join(words[word], words[word + _u64(1)], position)
                valid = _u64(64)
            corrections = (corrections << count) | (window >> _u64(1) >> (_u64(63) - count))
            position += count
            window <<= count
            valid -= count
            if new - _u64(1) >= last_in_band - _u64(1):
                break
        others = in_band & mask
        corrections = corrections << _u64(1) << (_u64(63) - _count_bits(others))
        while others != 0:
            index = base + count_trailing_zeros(others)
            others &= others - _u64(1)
            coefficient = np.int64(out[index])
            # Not where the bit is set already, which happens in damaged files alone.
            bit = np.int64(corrections >> _u64(63)) & ~(coefficient >> low)
            sign = coefficient >> 63
            out[index] = coefficient + (((bit << low) ^ sign) - sign)
            corrections <<= _u64(1)
        if behind_band != 0:
            target = min(stop + 1, BLOCK_COEFFICIENTS - 1)
            out[base + _u64(target)] = behind_band << low
            added |= _u64(1) << _u64(target)
        if added != 0:
            masks[_u64(block)] = mask | added
            masks[_u64(unions + (block >> 6))] |= added
        if run > 0:
            run -= 1
        block += 1
        if position > _u64(end):
            if problem == OK:
                problem, at = OUT_OF_DATA, end
            break
    if run > 0 and problem == OK:
        problem, at = EOB_RUN_TOO_LONG, np.int64(position)
    return problem, at, np.int64(position)


@njit(cache=True, nogil=True)
def _check_arguments(
    words: np.ndarray,
    starts: np.ndarray,
    mcus: int,
    plan: np.ndarray,
    layout: np.ndarray,
    tables: np.ndarray,
    spectral_start: int,
    high: int,
    out: np.ndarray,
    masks: np.ndarray,
) -> None:
    """Raise ValueError unless the kernels stay within the arrays, whatever the data is."""
    blocks = out.size // BLOCK_COEFFICIENTS
    for number in range(layout.shape[0]):
        size = layout[number, LAYOUT_ROWS] * layout[number, LAYOUT_COLUMNS]
        offset = layout[number, LAYOUT_OFFSET]
        if offset < 0 or offset % BLOCK_COEFFICIENTS or offset + 64 * size > 64 * blocks:
            raise ValueError("the components of layout must lie in out, at multiples of 64")
        if spectral_start > 0 and size != mcus:
            raise ValueError("a scan of AC must have an MCU for each block that layout keeps")
    if masks.size < blocks + (blocks + 63) // 64:
        raise ValueError("masks must have count_masks() elements")
    if plan[:, PLAN_COMPONENT].min() < 0 or plan[:, PLAN_COMPONENT].max() >= layout.shape[0]:
        raise ValueError("plan must name components of layout")
    if tables.shape[1] != TABLE_SIZE:
        raise ValueError("tables must come from build_tables()")
    if spectral_start == 0 and high == 0 and tables.shape[0] < layout.shape[0]:
        raise ValueError("a first scan of DC must have a table for each component")
    position = 0
    for start in starts:
        if _position(start) < position:
            raise ValueError("starts must not go back")
        position = _position(start)
    if (position + 63) // 64 + PADDING_WORDS > words.size:
        raise ValueError("words must have PADDING_WORDS words behind the data")


@njit(cache=True, nogil=True)
def decode_progressive(
    words: np.ndarray,
    starts: np.ndarray,
    interval: int,
    mcu_rows: int,
    mcu_columns: int,
    plan: np.ndarray,
    layout: np.ndarray,
    tables: np.ndarray,
    spectral_start: int,
    spectral_end: int,
    high: int,
    low: int,
    tolerant: bool,
    out: np.ndarray,
    masks: np.ndarray,
) -> tuple[int, int]:
    """Decode a scan of a progressive frame (T.81 G.2).

    The header of the scan must have passed Progression.add_scan, at least what is fatal there.

    Args:
        words: uint64 [words], the data without stuffing and restart markers, first bit highest,
            with at least PADDING_WORDS words behind it, zeros or not.
        starts: int64 [intervals + 1], the bits of words at which each restart interval begins, and
            where the last one ends. Reading tolerantly, ~bit says that the interval's marker was
            not found: if the one before ran out of data, so has this one.
        interval: MCUs in a restart interval, at least 1.
        mcu_rows: rows of MCUs in the scan; of blocks, if the scan has one component.
        mcu_columns: columns of MCUs in the scan; of blocks, if the scan has one component.
        plan: int64 [blocks in an MCU, 3], the PLAN_* columns of scan.py: index in layout, row and
            column in the MCU.
        layout: int64 [components, 5], the LAYOUT_* columns of scan.py: rows and columns of blocks
            in an MCU, rows and columns of blocks to keep, where they begin in out (a multiple of
            64). Of a scan of AC, the blocks to keep are the MCUs.
        tables: of build_tables().
        spectral_start: the first coefficient of the band.
        spectral_end: the last coefficient of the band.
        high: Ah, 0 for a first scan.
        low: Al.
        tolerant: go on after damage as libjpeg does.
        out: int16, 64 coefficients a block in zigzag order; changed in place. Zeros before the
            first scan.
        masks: uint64 [count_masks(blocks in out)]; changed in place. Zeros before the first scan.

    Returns:
        (status, position in bits). Tolerant: of the first damage; what follows is decoded too.

    Raises:
        ValueError: the sizes of the arrays do not fit each other.
    """
    mcus = mcu_rows * mcu_columns
    if mcus > (starts.size - 1) * interval:
        raise ValueError("starts must have an element for each restart interval")
    _check_arguments(words, starts, mcus, plan, layout, tables, spectral_start, high, out, masks)
    longest = 0
    for number in range(starts.size - 1):
        longest = max(longest, _position(starts[number + 1]) - _position(starts[number]))
    # Tolerant: a copy of one interval with zeros behind it.
    scratch = np.empty((longest + 63) // 64 + PADDING_WORDS if tolerant else 0, np.uint64)
    predictions = np.zeros(layout.shape[0], np.int64)
    band = (spectral_start, spectral_end)
    status, bit, reached = OK, 0, 0
    mcu = 0
    ran_out = False
    for number in range(starts.size - 1):
        begin = _position(starts[number])
        end = _position(starts[number + 1])
        count = min(interval, mcus - mcu)
        if tolerant and ran_out and starts[number] < 0:
            mcu += count
            continue
        source, origin = words, 0
        if tolerant:
            _copy_interval(words, begin, end, scratch)
            source, origin = scratch, begin
        begin, end = begin - origin, end - origin
        mcus_here = (mcu, count, mcu_columns)
        block = mcu + layout[0, LAYOUT_OFFSET] // BLOCK_COEFFICIENTS
        blocks = (block, block + count)
        if spectral_start == 0 and high == 0:
            problem, at, position = _decode_dc_first(
                source, begin, end, mcus_here, plan, layout, tables, low, tolerant, predictions, out
            )
        elif spectral_start == 0:
            problem, at, position = _decode_dc_refinement(
                source, begin, end, mcus_here, plan, layout, low, out
            )
        elif high == 0:
            problem, at, position = _decode_ac_first(
                source, begin, end, blocks, tables, band, low, tolerant, out, masks
            )
        else:
            problem, at, position = _decode_ac_refinement(
                source, begin, end, blocks, tables, band, low, tolerant, out, masks
            )
        mcu += count
        ran_out = position > end
        reached = position + origin
        if problem == OK and end - position >= 8:
            problem, at = DATA_LEFT, position
        if problem != OK and status == OK:
            status, bit = problem, at + origin
            if not tolerant:
                return status, bit
    return status, reached if status == OK else bit


def warm_up() -> None:
    """Compile the kernels, or load them from Numba's cache, by decoding one block of zeros."""
    table = HuffmanTable(AC_CLASS, bytes([1] + [0] * 15), b"\0")
    decode_progressive(
        np.zeros(1 + PADDING_WORDS, np.uint64),
        np.array([0, 1]),
        1,
        1,
        1,
        np.zeros((1, 3), np.int64),
        np.array([[1, 1, 1, 1, 0]], np.int64),
        build_tables((table,)),
        1,
        63,
        0,
        0,
        False,
        np.zeros(BLOCK_COEFFICIENTS, np.int16),
        np.zeros(count_masks(1), np.uint64),
    )
