"""A component's coefficients → samples → samples on another grid → coefficients, in one pass.

`weigh_axis` says how the samples of the new grid follow from those of the old one along one axis;
`resample` does it. Nothing is rounded in between: samples are float32, level-shifted (T.81 A.3.1),
and clipped to what 8 bits hold after the inverse DCT and before the forward one.

The plane goes through in strips of STRIP rows. A strip stands transposed in memory, column by
column, so that both passes add up whole rows of memory; it is turned once more in between:

    coefficients ─ dequantise, IDCT down ─ turn ─ IDCT across, clip ─ weigh columns ─ turn ─ rows
    rows ─ weigh rows, clip ─ FDCT down ─ turn ─ FDCT across, quantise ─ coefficients

The scaled inverse DCT gives 4 samples along either side of a block: it is the inverse DCT of 4
points of the block's lowest frequencies. Each sample is near the mean of those it stands for.

The order of operations is fixed and none is fused with another, so that every machine gets the same
coefficients. Vectors: see vectors.py.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from jpegkeras.jpeg.memory import inlined, region
from jpegkeras.jpeg.types import ceil_div
from jpegkeras.sampling import BLOCK
from jpegkeras.vectors import WIDE, dequantize, quantize, transpose, weigh

#: Rows of samples that go through at once.
STRIP = WIDE
# Numba makes them constants of the kernels.
_f32 = np.float32
_u64 = np.uint64
_C1, _C2, _C3, _C4, _C5, _C6, _C7 = (_f32(math.cos(k * math.pi / 16) / 2) for k in range(1, 8))
# Of the inverse DCT of 4 points.
_D1, _D2, _D3 = (_f32(math.cos(k * math.pi / 8) / math.sqrt(2)) for k in range(1, 4))
_LEAST, _MOST, _HALF = _f32(-128), _f32(127), _f32(0.5)
_FLOAT = _u64(4)
_ROW_BYTES = _u64(4 * STRIP)
_BLOCK_BYTES = _u64(4 * BLOCK)


@inlined
def _clip(value):  # noqa: ANN001, ANN202
    return min(max(value, _LEAST), _MOST)


@inlined
def _invert_8(samples, first, clip):  # noqa: ANN001, ANN202
    """Replaces WIDE columns of 8 frequencies from `first` on by their samples (T.81 A.3.3)."""
    for at in range(first, first + WIDE):
        a0, a1 = samples[at], samples[at + WIDE]
        a2, a3 = samples[at + 2 * WIDE], samples[at + 3 * WIDE]
        a4, a5 = samples[at + 4 * WIDE], samples[at + 5 * WIDE]
        a6, a7 = samples[at + 6 * WIDE], samples[at + 7 * WIDE]
        even, odd = _C4 * (a0 + a4), _C4 * (a0 - a4)
        outer, inner = _C2 * a2 + _C6 * a6, _C6 * a2 - _C2 * a6
        e0, e1, e2, e3 = even + outer, odd + inner, odd - inner, even - outer
        o0 = (_C1 * a1 + _C3 * a3) + (_C5 * a5 + _C7 * a7)
        o1 = (_C3 * a1 - _C7 * a3) - (_C1 * a5 + _C5 * a7)
        o2 = (_C5 * a1 - _C1 * a3) + (_C7 * a5 + _C3 * a7)
        o3 = (_C7 * a1 - _C5 * a3) + (_C3 * a5 - _C1 * a7)
        s0, s1, s2, s3 = e0 + o0, e1 + o1, e2 + o2, e3 + o3
        s4, s5, s6, s7 = e3 - o3, e2 - o2, e1 - o1, e0 - o0
        if clip:
            s0, s1, s2, s3 = _clip(s0), _clip(s1), _clip(s2), _clip(s3)
            s4, s5, s6, s7 = _clip(s4), _clip(s5), _clip(s6), _clip(s7)
        samples[at], samples[at + WIDE] = s0, s1
        samples[at + 2 * WIDE], samples[at + 3 * WIDE] = s2, s3
        samples[at + 4 * WIDE], samples[at + 5 * WIDE] = s4, s5
        samples[at + 6 * WIDE], samples[at + 7 * WIDE] = s6, s7


@inlined
def _invert_4(samples, first, clip):  # noqa: ANN001, ANN202
    """Does what _invert_8() does for 4 frequencies."""
    for at in range(first, first + WIDE):
        a0, a1 = samples[at], samples[at + WIDE]
        a2, a3 = samples[at + 2 * WIDE], samples[at + 3 * WIDE]
        even, odd = _HALF * (a0 + a2), _HALF * (a0 - a2)
        outer, inner = _D1 * a1 + _D3 * a3, _D3 * a1 - _D1 * a3
        s0, s1, s2, s3 = even + outer, odd + inner, odd - inner, even - outer
        if clip:
            s0, s1, s2, s3 = _clip(s0), _clip(s1), _clip(s2), _clip(s3)
        samples[at], samples[at + WIDE] = s0, s1
        samples[at + 2 * WIDE], samples[at + 3 * WIDE] = s2, s3


@inlined
def _transform_8(samples, clip):  # noqa: ANN001, ANN202
    """Replaces WIDE columns of 8 samples by their frequencies (T.81 A.3.3)."""
    for at in range(WIDE):
        a0, a1 = samples[at], samples[at + WIDE]
        a2, a3 = samples[at + 2 * WIDE], samples[at + 3 * WIDE]
        a4, a5 = samples[at + 4 * WIDE], samples[at + 5 * WIDE]
        a6, a7 = samples[at + 6 * WIDE], samples[at + 7 * WIDE]
        if clip:
            a0, a1, a2, a3 = _clip(a0), _clip(a1), _clip(a2), _clip(a3)
            a4, a5, a6, a7 = _clip(a4), _clip(a5), _clip(a6), _clip(a7)
        s0, s1, s2, s3 = a0 + a7, a1 + a6, a2 + a5, a3 + a4
        d0, d1, d2, d3 = a0 - a7, a1 - a6, a2 - a5, a3 - a4
        outer, inner = s0 - s3, s1 - s2
        samples[at] = _C4 * ((s0 + s3) + (s1 + s2))
        samples[at + WIDE] = (_C1 * d0 + _C3 * d1) + (_C5 * d2 + _C7 * d3)
        samples[at + 2 * WIDE] = _C2 * outer + _C6 * inner
        samples[at + 3 * WIDE] = (_C3 * d0 - _C7 * d1) - (_C1 * d2 + _C5 * d3)
        samples[at + 4 * WIDE] = _C4 * ((s0 + s3) - (s1 + s2))
        samples[at + 5 * WIDE] = (_C5 * d0 - _C1 * d1) + (_C7 * d2 + _C3 * d3)
        samples[at + 6 * WIDE] = _C6 * outer - _C2 * inner
        samples[at + 7 * WIDE] = (_C7 * d0 - _C5 * d1) + (_C3 * d2 - _C1 * d3)


@inlined
def _decode_strip(coefficients, block_row, block_rows, steps, points, work, strip):  # noqa: ANN001, ANN202
    """Fills a strip by the inverse DCT of 8 or 4 points; `work` has room for 8 rows of WIDE."""
    source, steps_region, target = region(coefficients), region(steps), region(strip)
    rows = region(work)
    block_bytes = _u64(2 * coefficients.shape[2])
    side = _FLOAT * _u64(points)
    at = source[0] + block_bytes * _u64(block_row * coefficients.shape[1])
    for row in range(block_rows):
        place = target[0] + side * _u64(row)
        left = coefficients.shape[1]
        while left > 0:
            count = min(WIDE // points, left)
            for index in range(count):
                block = rows[0] + side * _u64(index)
                dequantize(points, source, at, steps_region, rows, block, _ROW_BYTES)
                at += block_bytes
            if points == 8:
                _invert_8(work, 0, False)
            else:
                _invert_4(work, 0, False)
            for index in range(count):
                block = rows[0] + side * _u64(index)
                transpose(points, rows, block, _ROW_BYTES, target, place, _ROW_BYTES)
                place += _ROW_BYTES * _u64(points)
            left -= count
    for column in range(coefficients.shape[1]):
        if points == 8:
            _invert_8(strip, 8 * STRIP * column, True)
        else:
            _invert_4(strip, 4 * STRIP * column, True)


@njit(cache=True, nogil=True)
def _weigh_columns(strip, firsts, counts, weights, columns):  # noqa: ANN001, ANN202
    """Fills `columns`, a strip of the new width, from one of the old width."""
    source, target, weights_region = region(strip), region(columns), region(weights)
    weight, place = weights_region[0], target[0]
    for column in range(firsts.size):
        at = source[0] + _ROW_BYTES * _u64(firsts[column])
        rows = _u64(counts[column])
        weigh(source, at, _ROW_BYTES, weights_region, weight, rows, target, place)
        weight += _FLOAT * _u64(weights.shape[1])
        place += _ROW_BYTES


@njit(cache=True, nogil=True)
def _turn_strip(columns, rows, first, width):  # noqa: ANN001, ANN202
    """Stores a strip as STRIP rows of `width` samples from row `first` on."""
    source, target = region(columns), region(rows)
    row_bytes = _FLOAT * _u64(width)
    for row in range(0, STRIP, BLOCK):
        at = source[0] + _FLOAT * _u64(row)
        place = target[0] + row_bytes * _u64(first + row)
        for _ in range(0, width, BLOCK):
            transpose(8, source, at, _ROW_BYTES, target, place, row_bytes)
            at += _u64(BLOCK) * _ROW_BYTES
            place += _BLOCK_BYTES


@njit(cache=True, nogil=True)
def _encode_rows(rows, width, block_row, firsts, counts, weights, reciprocals, work, turned, out):  # noqa: ANN001, ANN202
    """Stores the coefficients of a row of blocks, WIDE columns of samples at a time."""
    source, weights_region, steps = region(rows), region(weights), region(reciprocals)
    samples, transposed, coefficients = region(work), region(turned), region(out)
    row_bytes = _FLOAT * _u64(width)
    most = weights.shape[1]
    place = coefficients[0] + _u64(2 * 64 * block_row * out.shape[1])
    for column in range(0, width, WIDE):
        for row in range(BLOCK):
            index = block_row * BLOCK + row
            at = source[0] + row_bytes * _u64(firsts[index]) + _FLOAT * _u64(column)
            weight = weights_region[0] + _FLOAT * _u64(index * most)
            target = samples[0] + _ROW_BYTES * _u64(row)
            taken = _u64(counts[index])
            weigh(source, at, row_bytes, weights_region, weight, taken, samples, target)
        _transform_8(work, True)
        count = min(WIDE // BLOCK, out.shape[1] - column // BLOCK)
        for index in range(count):
            offset = _BLOCK_BYTES * _u64(index)
            at, target = samples[0] + offset, transposed[0] + offset
            transpose(8, samples, at, _ROW_BYTES, transposed, target, _ROW_BYTES)
        _transform_8(turned, False)
        for index in range(count):
            at = transposed[0] + _BLOCK_BYTES * _u64(index)
            quantize(transposed, at, _ROW_BYTES, steps, coefficients, place)
            place += _u64(2 * 64)


def count_scratch(block_rows: int, block_columns: int, points: int, new_block_columns: int) -> int:
    """Returns how many floats `resample` needs for a component of so many blocks."""
    width = ceil_div(new_block_columns * BLOCK, WIDE) * WIDE
    strips = ceil_div(block_rows * points, STRIP)
    return STRIP * (block_columns * points + width + strips * width)


@njit(cache=True, nogil=True)
def resample(
    coefficients: np.ndarray,
    steps: np.ndarray,
    points: int,
    row_firsts: np.ndarray,
    row_counts: np.ndarray,
    row_weights: np.ndarray,
    column_firsts: np.ndarray,
    column_counts: np.ndarray,
    column_weights: np.ndarray,
    reciprocals: np.ndarray,
    scratch: np.ndarray,
    out: np.ndarray,
) -> None:
    """Brings a component to another grid of samples.

    Args:
        coefficients: int16 [rows, cols, n], contiguous, quantised, zigzag order; n at least
            vectors.LOWEST[points].
        steps: float32 [points * points], what each of the lowest frequencies is multiplied by, in
            raster order: the quantisation table times points / 8.
        points: samples along either side of a block, 8 or 4.
        row_firsts, row_counts, row_weights: what weigh_axis() gives for the rows, of no more
            samples than coefficients has.
        column_firsts, column_counts, column_weights: likewise for the columns.
        reciprocals: float32 [64], 1 / quantisation table of out, in raster order of the transposed
            block.
        scratch: float32 [count_scratch()], of any content.
        out: int16 [new rows, new cols, 64], contiguous, filled.
    """
    width = (out.shape[1] * BLOCK + WIDE - 1) // WIDE * WIDE
    # Of zeros, since not all is filled, and what memory holds may be slow to compute with.
    samples = np.zeros(BLOCK * WIDE, np.float32)
    transposed = np.zeros(BLOCK * WIDE, np.float32)
    end = STRIP * points * coefficients.shape[1]
    strip = scratch[:end]
    columns = scratch[end : end + STRIP * width]
    rows = scratch[end + STRIP * width :]
    strip[:] = 0
    columns[:] = 0
    strip_blocks = STRIP // points
    for block_row in range(0, coefficients.shape[0], strip_blocks):
        count = min(strip_blocks, coefficients.shape[0] - block_row)
        # The number as a constant, so that each gets loops of its own.
        if points == 8:
            _decode_strip(coefficients, block_row, count, steps, 8, samples, strip)
        else:
            _decode_strip(coefficients, block_row, count, steps, 4, samples, strip)
        _weigh_columns(strip, column_firsts, column_counts, column_weights, columns)
        _turn_strip(columns, rows, block_row * points, width)
    for block_row in range(out.shape[0]):
        _encode_rows(
            rows, width, block_row, row_firsts, row_counts, row_weights, reciprocals, samples,
            transposed, out,
        )  # fmt: skip


@inlined
def _cubic(distance):  # noqa: ANN001, ANN202
    """Returns the weight at a distance, in samples, of the cubic through the samples (a = -1/2)."""
    x = abs(distance)
    if x < 1.0:
        return (1.5 * x - 2.5) * x * x + 1.0
    if x < 2.0:
        return ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return 0.0


@njit(cache=True, nogil=True)
def weigh_axis(
    size: int, count: int, blocks: int, origin: float, step: float, means: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns how samples along an axis follow from others.

    New sample i has its centre at origin + i * step, where old sample k goes from k to k + 1; a
    negative step mirrors. It is the mean over a step of the old samples, or their sum weighted by a
    cubic, which is stretched where steps are larger than samples: Pillow's bicubic. What lies
    beyond the ends does not count, and the weights add up to 1.

    Args:
        size: old samples.
        count: new samples.
        blocks: blocks of 8 that hold them; the last new sample is repeated to the last one's end.
        origin, step, means: as above.

    Returns:
        (firsts, counts, weights): int64 [8 * blocks], the first old sample of each new one and how
        many they are, and float32 [8 * blocks, most], their weights.
    """
    stretch, half = max(1.0, abs(step)), 0.5 * abs(step)
    support = half + 0.5 if means else 2.0 * stretch
    most = min(size, int(2.0 * support) + 2)
    firsts = np.empty(BLOCK * blocks, np.int64)
    counts = np.empty(BLOCK * blocks, np.int64)
    weights = np.zeros((BLOCK * blocks, most), np.float32)
    exact = np.empty(most, np.float64)
    for index in range(count):
        centre = origin + index * step
        if not means:
            # Half a sample may have been left out at the end.
            centre = min(max(centre, 0.0), float(size))
        first = max(0, int(math.ceil(centre - 0.5 - support)))
        last = min(size - 1, int(math.floor(centre - 0.5 + support)))
        taken = 0
        total = 0.0
        for sample in range(first, last + 1):
            if means:
                weight = max(0.0, min(centre + half, sample + 1.0) - max(centre - half, sample))
            else:
                weight = _cubic((sample + 0.5 - centre) / stretch)
            if weight == 0.0 and taken == 0:
                first += 1
                continue
            exact[taken] = weight
            total += weight
            taken += 1
        while exact[taken - 1] == 0.0:
            taken -= 1
        for tap in range(taken):
            weights[index, tap] = exact[tap] / total
        firsts[index] = first
        counts[index] = taken
    for index in range(count, BLOCK * blocks):
        firsts[index] = firsts[count - 1]
        counts[index] = counts[count - 1]
        weights[index] = weights[count - 1]
    return firsts, counts, weights
