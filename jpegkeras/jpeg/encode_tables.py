"""Huffman tables that are optimal for one image (T.81 Annex K.2)."""

from __future__ import annotations

import numpy as np
from numba import njit

from jpegkeras.jpeg.huffman import MAX_CODE_LENGTH, HuffmanTable

SYMBOLS = 256


def build_optimal_table(table_class: int, frequencies: np.ndarray) -> HuffmanTable:
    """Return the table that codes these symbols in the fewest bits (T.81 K.2).

    Args:
        table_class: 0 for DC, 1 for AC.
        frequencies: int64 [256], how often each symbol occurs; at least one does.
    """
    leaves = np.flatnonzero(frequencies)
    # The last leaf is no symbol. As the rarest one it gets the code of all ones, which is not
    # allowed (T.81 C.2) and then left out.
    sizes = _merge(np.append(frequencies[leaves], 1))
    counts = _limit_lengths(np.bincount(sizes, minlength=MAX_CODE_LENGTH + 1))
    # Figure K.4: symbols by the lengths that they had before these were limited, then by value.
    symbols = leaves[np.argsort(sizes[:-1], kind="stable")]
    return HuffmanTable(table_class, bytes(counts.tolist()), bytes(symbols.tolist()))


def list_codes(table: HuffmanTable) -> tuple[np.ndarray, np.ndarray]:
    """Return the code of each symbol and its length (T.81 Annex C), uint64 [256] each.

    A symbol without a code has length 0.
    """
    codes = np.zeros(SYMBOLS, np.uint64)
    lengths = np.zeros(SYMBOLS, np.uint64)
    _fill_codes(
        np.frombuffer(table.counts, np.uint8),
        np.frombuffer(table.symbols, np.uint8),
        codes,
        lengths,
    )
    return codes, lengths


@njit(cache=True, nogil=True)
def _fill_codes(
    counts: np.ndarray, symbols: np.ndarray, codes: np.ndarray, lengths: np.ndarray
) -> None:
    code = 0
    index = 0
    for length in range(1, MAX_CODE_LENGTH + 1):
        for _ in range(counts[length - 1]):
            codes[symbols[index]] = code
            lengths[symbols[index]] = length
            code += 1
            index += 1
        code <<= 1


@njit(cache=True, nogil=True)
def _merge(weights: np.ndarray) -> np.ndarray:
    """Return the depth of each leaf in the Huffman tree of these weights (T.81 Figure K.1).

    Args:
        weights: int64 [leaves], 1 or more; overwritten.
    """
    sizes = np.zeros(weights.size, np.int64)
    following = np.full(weights.size, -1, np.int64)  # the leaves of a tree are a chain
    for _ in range(weights.size - 1):
        lightest = -1
        second = -1
        for tree in range(weights.size):
            if weights[tree] == 0:
                continue
            # Of equal ones the last, as K.2 asks: so the leaf that is no symbol goes deepest.
            if lightest < 0 or weights[tree] <= weights[lightest]:
                second = lightest
                lightest = tree
            elif second < 0 or weights[tree] <= weights[second]:
                second = tree
        weights[lightest] += weights[second]
        weights[second] = 0
        sizes[lightest] += 1
        while following[lightest] >= 0:
            lightest = following[lightest]
            sizes[lightest] += 1
        following[lightest] = second
        while second >= 0:
            sizes[second] += 1
            second = following[second]
    return sizes


@njit(cache=True, nogil=True)
def _limit_lengths(leaves: np.ndarray) -> np.ndarray:
    """Return how many codes of each length from 1 to 16 there are (T.81 Figure K.3).

    Args:
        leaves: int64 [depths + 1], how many leaves of the tree each depth has; overwritten.
    """
    for length in range(leaves.size - 1, MAX_CODE_LENGTH, -1):
        # Of two codes that are too long one becomes their common front; the other one and a
        # shorter code both get the front of that one and a bit more.
        while leaves[length] > 0:
            shorter = length - 2
            while leaves[shorter] == 0:
                shorter -= 1
            leaves[length] -= 2
            leaves[length - 1] += 1
            leaves[shorter + 1] += 2
            leaves[shorter] -= 1
    longest = MAX_CODE_LENGTH
    while leaves[longest] == 0:
        longest -= 1
    leaves[longest] -= 1  # the code of all ones
    return leaves[1 : MAX_CODE_LENGTH + 1].copy()
