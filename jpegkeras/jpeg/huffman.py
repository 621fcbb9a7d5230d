"""Huffman tables as look-up tables: run, size and value of a coefficient from one look-up.

An entry of the look-up table stands for the next LOOKUP_BITS bits of the stream (int32):

    bits 0-7    how many bits are used up: the code and the value that follows it
    bits 8-15   how far to move along the block: run + 1; END_OF_BLOCK for EOB; unused for DC
    bits 16-31  the value, signed; 0 for EOB and ZRL

Where code and value do not both fit, or the symbol is not a legal one, SLOW is set: then bits 0-4
hold the length of the code alone (0: longer than LOOKUP_BITS, or no code at all) and bits 8-15 the
symbol. Codes longer than LOOKUP_BITS are found by comparison, length by length (T.81 F.2.2.3).

Numba caches compiled kernels by the file they stand in. The kernels of scan.py have the constants
below built in, so whoever changes one also touches scan.py or clears the caches.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numba import njit

DC_CLASS = 0
AC_CLASS = 1
MAX_CODE_LENGTH = 16
# For samples of 8 bits (T.81 Tables F.1 and F.2).
MAX_DC_SIZE = 11
MAX_AC_SIZE = 10

LOOKUP_BITS = 12
LOOKUP_SIZE = 1 << LOOKUP_BITS
SLOW = 0x80
END_OF_BLOCK = 128
EOB_SYMBOL = 0x00
ZRL_SYMBOL = 0xF0


@dataclass(frozen=True)
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


@dataclass(frozen=True, eq=False)
class LookupTables:
    """The tables of one scan, one after the other, as the kernels read them.

    Attributes:
        entries: int32 [tables * LOOKUP_SIZE], see the module docstring.
        limits: int32 [tables, 17], by length: one more than the last code of that length,
            shifted left to 16 bits.
        shifts: int32 [tables, 17], by length: what to add to a code for its index in symbols.
        symbols: uint8 [tables, 256].
    """

    entries: np.ndarray
    limits: np.ndarray
    shifts: np.ndarray
    symbols: np.ndarray


@functools.lru_cache(maxsize=64)
def build_lookup_tables(tables: tuple[HuffmanTable, ...]) -> LookupTables:
    """Return the look-up tables for these Huffman tables (T.81 C.2, F.2.2.3).

    Most files carry the tables of T.81 Annex K, hence the cache. Its arrays are shared and
    read-only.
    """
    entries = np.empty(len(tables) * LOOKUP_SIZE, np.int32)
    limits = np.zeros((len(tables), MAX_CODE_LENGTH + 1), np.int32)
    shifts = np.zeros((len(tables), MAX_CODE_LENGTH + 1), np.int32)
    symbols = np.zeros((len(tables), 256), np.uint8)
    for index, table in enumerate(tables):
        symbols[index, : len(table.symbols)] = np.frombuffer(table.symbols, np.uint8)
        fill_table(
            np.frombuffer(table.counts, np.uint8),
            symbols[index],
            table.table_class == DC_CLASS,
            entries[index * LOOKUP_SIZE : (index + 1) * LOOKUP_SIZE],
            limits[index],
            shifts[index],
        )
    result = LookupTables(entries, limits, shifts, symbols)
    for array in (entries, limits, shifts, symbols):
        array.setflags(write=False)
    return result


@njit(cache=True, nogil=True)
def fill_table(
    counts: np.ndarray,
    symbols: np.ndarray,
    is_dc: bool,
    entries: np.ndarray,
    limits: np.ndarray,
    shifts: np.ndarray,
) -> None:
    """Fill the arrays of one table; counts must have passed HuffmanTable's check."""
    entries[:] = SLOW
    code = 0
    index = 0
    for length in range(1, MAX_CODE_LENGTH + 1):
        shifts[length] = index - code
        for _ in range(counts[length - 1]):
            if length <= LOOKUP_BITS:
                _fill_code(code, length, np.int64(symbols[index]), is_dc, entries)
            code += 1
            index += 1
        limits[length] = code << (MAX_CODE_LENGTH - length)
        code <<= 1


@njit(cache=True, nogil=True)
def _fill_code(code: int, length: int, symbol: int, is_dc: bool, entries: np.ndarray) -> None:
    spare_bits = LOOKUP_BITS - length
    first = code << spare_bits
    size = symbol if is_dc else symbol & 15
    step = (symbol >> 4) + 1
    if is_dc:
        legal = symbol <= MAX_DC_SIZE
    else:
        legal = 1 <= size <= MAX_AC_SIZE or symbol in (EOB_SYMBOL, ZRL_SYMBOL)
        if symbol == EOB_SYMBOL:
            step = END_OF_BLOCK
    if not legal or size > spare_bits:
        entries[first : first + (1 << spare_bits)] = SLOW | length | (symbol << 8)
        return
    for bits in range(1 << spare_bits):
        value = bits >> (spare_bits - size)
        if size > 0 and value < 1 << (size - 1):
            value -= (1 << size) - 1
        entries[first + bits] = (value << 16) | (step << 8) | (length + size)
