"""Quantised coefficients in the form that a record stores them: frequency by frequency, AC as int8.

An image's block-major int16 [blocks, n] becomes frequency-major: all DC as int16, then all of AC 1,
all of AC 2, … as int8, so that the n lowest frequencies are a prefix. The few AC coefficients that
int8 cannot hold are listed beside them. The sums that the statistics need are taken on the way,
while the block is at hand. `unpack` gives the coefficients back.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, types

from jpegkeras.jpeg.memory import copy_block, count_trailing_zeros, region
from jpegkeras.tiles import SIDE, add_up, copy_row, narrow_block, turn

_OVERFLOWS = 256


class PackedPlane(NamedTuple):
    """The coefficients of one component: `shape` is (rows, cols) of blocks.

    `dc`: int16 [blocks]; `ac`: int8 [(n − 1) × blocks], in which those that int8 cannot hold are 0;
    `overflow_index` int64 and `overflow_value` int16: their positions in `ac`, ascending, and
    values. `sums`: int64 [3, n], a column a band: the sum of the quantised coefficients, of their
    squares, and how many are 0.
    """

    shape: tuple[int, int]
    dc: np.ndarray
    ac: np.ndarray
    overflow_index: np.ndarray
    overflow_value: np.ndarray
    sums: np.ndarray


def pack(coefficients: np.ndarray) -> PackedPlane:
    """Packs int16 [rows, cols, n], n from 1 to 64. Raises ValueError for another dtype or shape."""
    if coefficients.dtype != np.int16 or coefficients.ndim != 3:
        raise ValueError(
            f"expected int16 [rows, cols, n]; got {coefficients.dtype} {coefficients.shape}."
        )
    rows, cols, count = coefficients.shape
    if not 1 <= count <= SIDE:
        raise ValueError(f"expected 1 to 64 frequencies; got {count}.")
    blocks = np.ascontiguousarray(coefficients).reshape(rows * cols, count)
    dc = np.empty(len(blocks), np.int16)
    ac = np.empty((count - 1) * len(blocks), np.int8)
    sums = np.zeros((3, SIDE), np.int64)
    index, value = np.empty(_OVERFLOWS, np.int64), np.empty(_OVERFLOWS, np.int16)
    overflows = pack_blocks(blocks, dc, ac, index, value, sums)
    if overflows > len(index):
        index, value = np.empty(overflows, np.int64), np.empty(overflows, np.int16)
        sums[...] = 0
        pack_blocks(blocks, dc, ac, index, value, sums)
    index, value = index[:overflows], value[:overflows]
    if overflows > 1:
        order = np.argsort(index)
        index, value = index[order], value[order]
    return PackedPlane((rows, cols), dc, ac, index, value, sums[:, :count])


def unpack(
    shape: tuple[int, int],
    dc: np.ndarray,
    ac: np.ndarray,
    overflow_index: np.ndarray,
    overflow_value: np.ndarray,
) -> np.ndarray:
    """Returns int16 [rows, cols, n] of a plane packed as in `PackedPlane`.

    Raises ValueError where the arrays do not fit each other.
    """
    rows, cols = shape
    blocks = rows * cols
    if blocks < 1 or len(dc) != blocks or len(ac) % blocks or len(ac) >= SIDE * blocks:
        raise ValueError(f"{len(dc)} DC and {len(ac)} AC coefficients do not fit {rows}×{cols}.")
    if len(overflow_index) != len(overflow_value):
        raise ValueError(f"{len(overflow_index)} overflows with {len(overflow_value)} values.")
    if len(overflow_index) and not 0 <= min(overflow_index) <= max(overflow_index) < len(ac):
        raise ValueError("an overflow lies outside the coefficients.")
    planes = np.empty((1 + len(ac) // blocks) * blocks, np.int16)
    planes[:blocks] = dc
    planes[blocks:] = ac
    planes[blocks:][overflow_index] = overflow_value
    return np.ascontiguousarray(planes.reshape(-1, rows, cols).transpose(1, 2, 0))


@njit(cache=True, nogil=True)
def pack_blocks(blocks, dc, ac, overflow_index, overflow_value, sums):  # noqa: ANN001, ANN201
    """Packs int16 [blocks, n] and adds to `sums`, int64 [3, 64]; returns the number of overflows.

    Those that fit into the arrays of overflows are stored, in no order. All arrays are contiguous.
    What `sums` has for bands from n on means nothing.
    """
    count, width = blocks.shape
    wide = np.zeros(SIDE, np.int16)
    tile = np.zeros((SIDE, SIDE), np.int8)  # block-major
    words = np.empty((SIDE, SIDE), np.int8)
    turned = np.empty((SIDE, SIDE), np.int8)  # frequency-major
    source, wide_region, target = region(blocks), region(wide), region(ac)
    tile_region, words_region, turned_region = region(tile), region(words), region(turned)
    sums_region = region(sums)
    # DC is stored by itself.
    stored = (~types.uint64(0) >> types.uint64(SIDE - width)) & ~types.uint64(1)
    overflows = dc_sum = dc_squares = dc_zeros = 0
    for first in range(0, count, SIDE):
        tiled = min(SIDE, count - first)
        address = source[0] + types.uint64(2 * width * first)
        row = tile_region[0]
        for number in range(tiled):
            value = np.int64(blocks[first + number, 0])
            dc[first + number] = value
            dc_sum += value
            dc_squares += value * value
            dc_zeros += value == 0
            # A block of few coefficients is followed by others, which do no harm.
            if address + types.uint64(2 * SIDE) <= source[1]:
                outside = narrow_block(source, address, tile_region, row)
            else:
                copy_block(source, address, wide_region, wide_region[0], width)
                outside = narrow_block(wide_region, wide_region[0], tile_region, row)
            outside &= stored
            while outside:
                band = np.int64(count_trailing_zeros(outside))
                outside &= outside - types.uint64(1)
                value = np.int64(blocks[first + number, band])
                tile[number, band] = 0
                if overflows < len(overflow_index):
                    overflow_index[overflows] = (band - 1) * count + first + number
                    overflow_value[overflows] = value
                overflows += 1
                sums[0, band] += value
                sums[1, band] += value * value
                sums[2, band] -= 1  # it will be counted as the 0 that stands for it
            address += types.uint64(2 * width)
            row += types.uint64(SIDE)
        add_up(tile_region, tiled, sums_region, sums_region[0])
        turn(tile_region, words_region, turned_region)
        place = target[0] + types.uint64(first)
        if tiled == SIDE:
            for band in range(1, width):
                line = turned_region[0] + types.uint64(SIDE * band)
                copy_row(turned_region, line, target, place)
                place += types.uint64(count)
        else:
            for band in range(1, width):
                for number in range(tiled):
                    ac[(band - 1) * count + first + number] = turned[band, number]
    sums[0, 0], sums[1, 0], sums[2, 0] = dc_sum, dc_squares, dc_zeros
    return overflows
