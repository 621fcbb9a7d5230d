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

from jpegkeras.jpeg.memory import (
    add_band_sums,
    copy_64_bytes,
    copy_block,
    count_trailing_zeros,
    load,
    narrow_block,
    region,
    store,
)

_BLOCK = 64  # coefficients of a block, and blocks that are turned at a time
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
    if not 1 <= count <= _BLOCK:
        raise ValueError(f"expected 1 to 64 frequencies; got {count}.")
    blocks = np.ascontiguousarray(coefficients).reshape(rows * cols, count)
    dc = np.empty(len(blocks), np.int16)
    ac = np.empty((count - 1) * len(blocks), np.int8)
    sums = np.zeros((3, _BLOCK), np.int64)
    index, value = np.empty(_OVERFLOWS, np.int64), np.empty(_OVERFLOWS, np.int16)
    overflows = _pack(blocks, dc, ac, index, value, sums)
    if overflows > len(index):
        index, value = np.empty(overflows, np.int64), np.empty(overflows, np.int16)
        sums[...] = 0
        _pack(blocks, dc, ac, index, value, sums)
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
    if blocks < 1 or len(dc) != blocks or len(ac) % blocks or len(ac) >= _BLOCK * blocks:
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
def _pack(blocks, dc, ac, overflow_index, overflow_value, sums):  # noqa: ANN001, ANN202
    """Packs int16 [blocks, n] and adds to `sums`, int64 [3, 64]; returns the number of overflows.

    Those that fit into the arrays of overflows are stored, in no order.
    """
    count, width = blocks.shape
    wide = np.zeros((1, _BLOCK), np.int16)
    tile = np.empty((_BLOCK, _BLOCK), np.int8)  # block-major
    turned = np.empty((_BLOCK, _BLOCK), np.int8)  # frequency-major
    few_sums, few_zeros = np.zeros(_BLOCK, np.int16), np.zeros(_BLOCK, np.int16)
    few_squares = np.zeros(_BLOCK, np.int32)
    source, wide_region, out = region(blocks), region(wide), region(ac)
    tile_region, turned_region = region(tile), region(turned)
    sums_region, zeros_region = region(few_sums), region(few_zeros)
    squares_region = region(few_squares)
    # DC is stored by itself.
    stored = (~types.uint64(0) >> types.uint64(_BLOCK - width)) & ~types.uint64(1)
    overflows = 0
    for first in range(0, count, _BLOCK):
        tiled = min(_BLOCK, count - first)
        few_sums[:] = 0
        few_zeros[:] = 0
        few_squares[:] = 0
        for number in range(tiled):
            block = first + number
            value = np.int64(blocks[block, 0])
            dc[block] = value
            sums[0, 0] += value
            sums[1, 0] += value * value
            sums[2, 0] += value == 0
            address = source[0] + types.uint64(2 * width * block)
            narrow = tile_region[0] + types.uint64(_BLOCK * number)
            if width == _BLOCK:
                outside = narrow_block(source, address, tile_region, narrow)
            else:
                copy_block(source, address, wide_region, wide_region[0], width)
                outside = narrow_block(wide_region, wide_region[0], tile_region, narrow)
            outside &= stored
            while outside:
                band = np.int64(count_trailing_zeros(outside))
                outside &= outside - types.uint64(1)
                value = np.int64(blocks[block, band])
                tile[number, band] = 0
                if overflows < len(overflow_index):
                    overflow_index[overflows] = (band - 1) * count + block
                    overflow_value[overflows] = value
                overflows += 1
                sums[0, band] += value
                sums[1, band] += value * value
                sums[2, band] -= 1  # it will be counted as the 0 that stands for it
            add_band_sums(tile_region, narrow, sums_region, zeros_region, squares_region)
        for band in range(1, width):
            sums[0, band] += few_sums[band]
            sums[1, band] += few_squares[band]
            sums[2, band] += few_zeros[band]
        _turn(tile_region, turned_region, (tiled + 7) // 8, (width + 7) // 8)
        target = out[0] + types.uint64(first)
        if tiled == _BLOCK:
            for band in range(1, width):
                line = turned_region[0] + types.uint64(_BLOCK * band)
                copy_64_bytes(turned_region, line, out, target)
                target += types.uint64(count)
        else:
            for band in range(1, width):
                for number in range(tiled):
                    ac[(band - 1) * count + first + number] = turned[band, number]
    return overflows


@njit(nogil=True, forceinline=True)
def _turn(source, target, rows, cols):  # noqa: ANN001, ANN202
    """Transposes `rows` × `cols` squares of 8×8 bytes of a [64, 64]: Regions of int8."""
    far, near, next_to = types.uint64(32), types.uint64(16), types.uint64(8)
    halves = types.uint64(0x00000000FFFFFFFF)
    quarters = types.uint64(0x0000FFFF0000FFFF)
    eighths = types.uint64(0x00FF00FF00FF00FF)
    line = types.uint64(_BLOCK)
    for row in range(rows):
        for col in range(cols):
            at = source[0] + types.uint64(8 * _BLOCK * row + 8 * col)
            a = load(source, at)
            b = load(source, at + line)
            c = load(source, at + types.uint64(2) * line)
            d = load(source, at + types.uint64(3) * line)
            e = load(source, at + types.uint64(4) * line)
            f = load(source, at + types.uint64(5) * line)
            g = load(source, at + types.uint64(6) * line)
            h = load(source, at + types.uint64(7) * line)
            a, e = _swap(a, e, far, halves)
            b, f = _swap(b, f, far, halves)
            c, g = _swap(c, g, far, halves)
            d, h = _swap(d, h, far, halves)
            a, c = _swap(a, c, near, quarters)
            b, d = _swap(b, d, near, quarters)
            e, g = _swap(e, g, near, quarters)
            f, h = _swap(f, h, near, quarters)
            a, b = _swap(a, b, next_to, eighths)
            c, d = _swap(c, d, next_to, eighths)
            e, f = _swap(e, f, next_to, eighths)
            g, h = _swap(g, h, next_to, eighths)
            at = target[0] + types.uint64(8 * _BLOCK * col + 8 * row)
            store(target, at, a)
            store(target, at + line, b)
            store(target, at + types.uint64(2) * line, c)
            store(target, at + types.uint64(3) * line, d)
            store(target, at + types.uint64(4) * line, e)
            store(target, at + types.uint64(5) * line, f)
            store(target, at + types.uint64(6) * line, g)
            store(target, at + types.uint64(7) * line, h)


@njit(nogil=True, forceinline=True)
def _swap(low, high, shift, mask):  # noqa: ANN001, ANN202
    """Exchanges the high parts of one word with the low parts of the other."""
    moved = ((low >> shift) ^ high) & mask
    return low ^ (moved << shift), high ^ moved
