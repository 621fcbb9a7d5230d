"""Huffman tables, and the tables by which the kernels decode them.

CodeTables find one code at a time (T.81 F.2.2.3). PairTables decode a block's coefficients, up to
two of them by one look-up of the next LOOKUP_BITS bits. There are two PairTables for a component,
one for where a DC coefficient comes next and one for an AC coefficient; what follows it is an AC
coefficient either way. An entry (uint64) says:

    bits 0-5    how many bits are used up: codes and values
    bits 8-15   the first coefficient's place, counted from the present one, plus 1
    bits 16-23  the second's, likewise; so far the block moves on
    bits 24-39  the first coefficient's value, signed
    bits 40-55  the second's
    bits 56-61  how many bits the first takes alone; 0: there is only one, which stands as the
                second, and the first is a 0 or the same one
    bit 63      EOB follows (or is all there is; it is stored as a 0 at the next place)

Where not even one code and its value fit, or the symbol is not legal, the second place is RARE;
then bits 0-5 hold the length of the code (0: longer than LOOKUP_BITS, or no code at all) and bits
24-31 its symbol.

Numba caches compiled kernels by the file they stand in. Kernels of other modules have the constants
below built in, so whoever changes one also touches them or clears the caches.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np
from numba import njit

DC_CLASS = 0
AC_CLASS = 1
MAX_CODE_LENGTH = 16
# For samples of 8 bits (T.81 Tables F.1 and F.2).
MAX_DC_SIZE = 11
MAX_AC_SIZE = 10
EOB_SYMBOL = 0x00
ZRL_SYMBOL = 0xF0

LOOKUP_BITS = 10
LOOKUP_SIZE = 1 << LOOKUP_BITS
RARE = 255
# After the entries: what finds longer codes, by the length of the code, then the symbols.
LIMITS = LOOKUP_SIZE
SHIFTS = LIMITS + MAX_CODE_LENGTH + 1
SYMBOLS = SHIFTS + MAX_CODE_LENGTH + 1
TABLE_SIZE = SYMBOLS + 256


# eq=False: compared and hashed by identity, which is quick.
@dataclass(frozen=True, eq=False)
class HuffmanTable:
    """A Huffman table as a DHT segment specifies it (T.81 B.2.4.2).

    Attributes:
        table_class: 0 for DC, 1 for AC.
        counts: 16 bytes, the number of codes of each length from 1 to 16.
        symbols: the symbols in order of their codes.

    Raises:
        ValueError: no set of codes has these lengths.
    """

    table_class: int
    counts: bytes
    symbols: bytes

    def __post_init__(self):
        if self.table_class not in (DC_CLASS, AC_CLASS):
            raise ValueError(f"table class must be 0 (DC) or 1 (AC); got {self.table_class}")
        if len(self.counts) != MAX_CODE_LENGTH:
            raise ValueError(f"there must be 16 code length counts; got {len(self.counts)}")
        if sum(self.counts) != len(self.symbols) or len(self.symbols) > 256:
            raise ValueError(
                f"{sum(self.counts)} codes must have as many symbols, at most 256; "
                f"got {len(self.symbols)}"
            )
        code = 0
        for length, count in enumerate(self.counts, start=1):
            code = 2 * code + count
            # The code of all ones is not allowed either (T.81 C.2): hence >=.
            if count and code >= 1 << length:
                raise ValueError(f"there are more codes of length {length} than can be told apart")

    @functools.cached_property
    def codes(self) -> CodeTable:
        """What finds its codes one by one. Its arrays are shared and read-only."""
        limits = np.zeros(MAX_CODE_LENGTH + 1, np.int64)
        shifts = np.zeros(MAX_CODE_LENGTH + 1, np.int64)
        symbols = np.zeros(256, np.uint8)
        symbols[: len(self.symbols)] = np.frombuffer(self.symbols, np.uint8)
        code = index = 0
        for length, count in enumerate(self.counts, start=1):
            shifts[length] = index - code
            code += count
            index += count
            limits[length] = code << (MAX_CODE_LENGTH - length)
            code <<= 1
        table = CodeTable(limits, shifts, symbols, max(self.symbols, default=0))
        for array in (limits, shifts, symbols):
            array.setflags(write=False)
        return table


@dataclass(frozen=True, eq=False)
class CodeTable:
    """What finds a code of a Huffman table (T.81 C.2, F.2.2.3).

    Attributes:
        limits: int64 [17], by length: one more than the last code of that length, shifted left to
            16 bits.
        shifts: int64 [17], by length: what to add to a code for its index in symbols.
        symbols: uint8 [256].
        largest_symbol: of those the table has.
    """

    limits: np.ndarray
    shifts: np.ndarray
    symbols: np.ndarray
    largest_symbol: int


@dataclass(frozen=True, eq=False)
class PairTables:
    """The tables of a component: see the module docstring.

    Attributes:
        entries: uint64 [2 * TABLE_SIZE], for DC, then for AC. Read-only.
        address: where entries lie.
    """

    entries: np.ndarray
    address: int = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "address", self.entries.ctypes.data)


# Most files carry the tables of T.81 Annex K, hence the cache; 64 of them take 2 MB.
@functools.lru_cache(maxsize=64)
def build_pair_tables(dc: HuffmanTable, ac: HuffmanTable) -> PairTables:
    """Return the tables for a component of these Huffman tables, shared and read-only."""
    entries = np.empty(2 * TABLE_SIZE, np.uint64)
    _fill_tables(
        np.frombuffer(dc.counts + dc.symbols, np.uint8),
        np.frombuffer(ac.counts + ac.symbols, np.uint8),
        entries,
    )
    entries.setflags(write=False)
    return PairTables(entries)


@njit(cache=True, nogil=True)
def _fill_tables(dc: np.ndarray, ac: np.ndarray, entries: np.ndarray) -> None:
    """Fill PairTables.entries; dc and ac are 16 counts and then the symbols."""
    singles = np.empty((2, LOOKUP_SIZE), np.uint64)
    for index in range(2):
        _fill_singles(
            dc if index == DC_CLASS else ac,
            index == DC_CLASS,
            singles[index],
            entries[index * TABLE_SIZE : (index + 1) * TABLE_SIZE],
        )
    for index in range(2):
        _fill_pairs(singles[index], singles[AC_CLASS], entries[index * TABLE_SIZE :])


# A single: bits 0-5 used up, bits 16-23 place, bits 40-55 value, bit 63 EOB, as of an entry.


@njit(cache=True, nogil=True)
def _fill_singles(
    specification: np.ndarray, is_dc: bool, singles: np.ndarray, table: np.ndarray
) -> None:
    """Fill the singles of a table, and what stands behind its entries."""
    singles[:] = RARE << 16
    table[LIMITS:] = 0
    code = 0
    index = 0
    for length in range(1, MAX_CODE_LENGTH + 1):
        table[SHIFTS + length] = np.uint64(index - code)
        for _ in range(specification[length - 1]):
            symbol = np.int64(specification[MAX_CODE_LENGTH + index])
            table[SYMBOLS + index] = np.uint64(symbol)
            if length <= LOOKUP_BITS:
                _fill_code(code, length, symbol, is_dc, singles)
            code += 1
            index += 1
        table[LIMITS + length] = np.uint64(code << (MAX_CODE_LENGTH - length))
        code <<= 1


@njit(cache=True, nogil=True)
def _fill_code(code: int, length: int, symbol: int, is_dc: bool, singles: np.ndarray) -> None:
    spare_bits = LOOKUP_BITS - length
    first = code << spare_bits
    size = symbol if is_dc else symbol & 15
    place = 1 if is_dc else (symbol >> 4) + 1
    eob = 0
    if is_dc:
        legal = symbol <= MAX_DC_SIZE
    else:
        legal = 1 <= size <= MAX_AC_SIZE or symbol in (EOB_SYMBOL, ZRL_SYMBOL)
        if symbol == EOB_SYMBOL:
            eob = 1
    if not legal or size > spare_bits:
        singles[first : first + (1 << spare_bits)] = (symbol << 24) | (RARE << 16) | length
        return
    for bits in range(1 << spare_bits):
        value = bits >> (spare_bits - size)
        if size > 0 and value < 1 << (size - 1):
            value -= (1 << size) - 1
        entry = np.uint64((value & 0xFFFF) << 40 | place << 16 | (length + size))
        singles[first + bits] = entry | np.uint64(eob) << np.uint64(63)


@njit(cache=True, nogil=True)
def _fill_pairs(firsts: np.ndarray, seconds: np.ndarray, entries: np.ndarray) -> None:
    for bits in range(LOOKUP_SIZE):
        first = firsts[bits]
        length = np.int64(first & np.uint64(63))
        place = np.int64(first >> np.uint64(16)) & 255
        if place == RARE:
            entries[bits] = first
            continue
        # Bits that the look-up has not got are zeros here, so the second must do without them.
        second = seconds[(bits << length) & (LOOKUP_SIZE - 1)]
        second_place = np.int64(second >> np.uint64(16)) & 255
        total = length + np.int64(second & np.uint64(63))
        value = (first >> np.uint64(40)) & np.uint64(0xFFFF)
        if first >> np.uint64(63) or second_place == RARE or total > LOOKUP_BITS:
            alone = value << np.uint64(24) if place == 1 else np.uint64(0)
            entries[bits] = first | np.uint64(1 << 8) | alone
            continue
        entries[bits] = (
            np.uint64(total | place << 8 | (place + second_place) << 16 | length << 56)
            | value << np.uint64(24)
            | second & np.uint64(1 << 63 | 0xFFFF << 40)
        )
