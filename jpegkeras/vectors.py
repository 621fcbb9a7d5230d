"""Vectors of samples by address, for the kernels of planes.py.

What LLVM does not find by itself in loops: the zigzag as one permutation, small transpositions, and
weighted sums that stay in registers. It compiles them for whatever vectors the processor has, and
the results are those of plain float32 arithmetic, operation by operation, on every machine.

Addresses and regions are those of jpegkeras.jpeg.memory, bounds checking too. Numba caches kernels
by the file they stand in: after a change here touch planes.py, or clear the cache.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from jpegkeras.jpeg import ZIGZAG
from jpegkeras.jpeg.memory import CHECKED, inlined
from jpegkeras.sampling import BLOCK

#: Samples that weigh() takes at once.
WIDE = 32

_float = ir.FloatType()
_coefficient = ir.IntType(16)
_index = ir.IntType(32)
_u64 = types.uint64
_FLOAT_BYTES = 4
_COEFFICIENT_BYTES = 2
# Adding it to a float32 below 2^22 in size leaves no room for a fraction: rounds, halves to even.
_ROUNDING = float(3 << 22)
# Zigzag position by raster index.
_POSITIONS = np.argsort(ZIGZAG)
#: How many of the lowest frequencies hold those that an inverse DCT of so many points takes.
LOWEST = {
    points: 1 + max(int(_POSITIONS[BLOCK * u + v]) for u in range(points) for v in range(points))
    for points in (4, 8)
}


def _vector(element: ir.Type, count: int) -> ir.Type:
    return ir.VectorType(element, count)


def _permute(builder: ir.IRBuilder, values: ir.Value, order: Iterable[int]) -> ir.Value:
    return _pick(builder, values, ir.Constant(values.type, ir.Undefined), order)


def _pick(
    builder: ir.IRBuilder, first: ir.Value, second: ir.Value, order: Iterable[int]
) -> ir.Value:
    order = [int(index) for index in order]
    return builder.shuffle_vector(first, second, ir.Constant(_vector(_index, len(order)), order))


def _load_rows(
    builder: ir.IRBuilder, address: ir.Value, stride: ir.Value, count: int
) -> list[ir.Value]:
    """Loads `count` rows of as many floats."""
    pointer = _vector(_float, count).as_pointer()
    rows = []
    for _ in range(count):
        rows.append(builder.load(builder.inttoptr(address, pointer), align=_FLOAT_BYTES))
        address = builder.add(address, stride)
    return rows


def _store_rows(
    builder: ir.IRBuilder, rows: list[ir.Value], address: ir.Value, stride: ir.Value
) -> None:
    for row in rows:
        pointer = builder.inttoptr(address, row.type.as_pointer())
        builder.store(row, pointer, align=_FLOAT_BYTES)
        address = builder.add(address, stride)


def _exchange(builder: ir.IRBuilder, rows: list[ir.Value]) -> list[ir.Value]:
    """Transposes a square: exchanges halves of rows, then quarters, and so on."""
    count = len(rows)
    distance = count // 2
    while distance:
        for row in range(count):
            if row & distance:
                continue
            pair = rows[row], rows[row | distance]
            kept = [k if not k & distance else count + k - distance for k in range(count)]
            other = [k + distance if not k & distance else count + k for k in range(count)]
            rows[row] = _pick(builder, *pair, kept)
            rows[row | distance] = _pick(builder, *pair, other)
        distance //= 2
    return rows


def _transposition_of(count: int):  # noqa: ANN202
    @intrinsic
    def transpose(typingctx, source, stride, target, target_stride):  # noqa: ANN001, ANN202
        def codegen(context, builder, signature, arguments):  # noqa: ANN001, ANN202
            source, stride, target, target_stride = arguments
            rows = _exchange(builder, _load_rows(builder, source, stride, count))
            _store_rows(builder, rows, target, target_stride)
            return context.get_dummy_value()

        return types.void(_u64, _u64, _u64, _u64), codegen

    return transpose


def _dequantization_of(points: int):  # noqa: ANN202
    lowest, samples = LOWEST[points], points * points
    order = [_POSITIONS[BLOCK * u + v] for u in range(points) for v in range(points)]

    @intrinsic
    def dequantize(typingctx, source, steps, target, stride):  # noqa: ANN001, ANN202
        def codegen(context, builder, signature, arguments):  # noqa: ANN001, ANN202
            source, steps, target, stride = arguments
            pointer = builder.inttoptr(source, _vector(_coefficient, lowest).as_pointer())
            values = _permute(builder, builder.load(pointer, align=_COEFFICIENT_BYTES), order)
            floats = _vector(_float, samples)
            pointer = builder.inttoptr(steps, floats.as_pointer())
            steps = builder.load(pointer, align=_FLOAT_BYTES)
            values = builder.fmul(builder.sitofp(values, floats), steps)
            rows = [
                _permute(builder, values, range(row * points, (row + 1) * points))
                for row in range(points)
            ]
            _store_rows(builder, rows, target, stride)
            return context.get_dummy_value()

        return types.void(_u64, _u64, _u64, _u64), codegen

    return dequantize


@intrinsic
def _quantize(typingctx, source, stride, reciprocals, target):  # noqa: ANN001, ANN202
    def codegen(context, builder, signature, arguments):  # noqa: ANN001, ANN202
        source, stride, reciprocals, target = arguments
        rows = _load_rows(builder, source, stride, BLOCK)
        while len(rows) > 1:
            width = 2 * rows[0].type.count
            rows = [
                _pick(builder, first, second, range(width))
                for first, second in zip(rows[::2], rows[1::2])
            ]
        (values,) = rows
        pointer = builder.inttoptr(reciprocals, values.type.as_pointer())
        values = builder.fmul(values, builder.load(pointer, align=_FLOAT_BYTES))
        rounding = ir.Constant(values.type, [_ROUNDING] * values.type.count)
        values = builder.fsub(builder.fadd(values, rounding), rounding)
        integers = builder.fptosi(values, _vector(_index, values.type.count))
        coefficients = builder.trunc(integers, _vector(_coefficient, values.type.count))
        # The rows are columns of the block.
        order = [index % BLOCK * BLOCK + index // BLOCK for index in ZIGZAG]
        coefficients = _permute(builder, coefficients, order)
        pointer = builder.inttoptr(target, coefficients.type.as_pointer())
        builder.store(coefficients, pointer, align=_COEFFICIENT_BYTES)
        return context.get_dummy_value()

    return types.void(_u64, _u64, _u64, _u64), codegen


@intrinsic
def _weigh(typingctx, source, stride, weights, rows, target):  # noqa: ANN001, ANN202
    def codegen(context, builder, signature, arguments):  # noqa: ANN001, ANN202
        source, stride, weights, rows, target = arguments
        samples = _vector(_float, WIDE)
        total = cgutils.alloca_once_value(builder, ir.Constant(samples, None))
        with cgutils.for_range(builder, rows) as loop:
            address = builder.add(source, builder.mul(loop.index, stride))
            pointer = builder.inttoptr(address, samples.as_pointer())
            values = builder.load(pointer, align=_FLOAT_BYTES)
            offset = builder.mul(loop.index, ir.Constant(loop.index.type, _FLOAT_BYTES))
            pointer = builder.inttoptr(builder.add(weights, offset), _float.as_pointer())
            weight = builder.load(pointer, align=_FLOAT_BYTES)
            alone = builder.insert_element(
                ir.Constant(samples, ir.Undefined), weight, ir.Constant(_index, 0)
            )
            terms = builder.fmul(values, _permute(builder, alone, [0] * WIDE))
            builder.store(builder.fadd(builder.load(total), terms), total)
        pointer = builder.inttoptr(target, samples.as_pointer())
        builder.store(builder.load(total), pointer, align=_FLOAT_BYTES)
        return context.get_dummy_value()

    return types.void(_u64, _u64, _u64, _u64, _u64), codegen


_transpose_8, _transpose_4 = _transposition_of(8), _transposition_of(4)
_dequantize_8, _dequantize_4 = _dequantization_of(8), _dequantization_of(4)
_LOWEST_4 = LOWEST[4]


@inlined
def _check_rows(region, address, stride, rows, size):  # noqa: ANN001, ANN202
    if CHECKED:
        end = address + (types.uint64(rows) - types.uint64(1)) * stride + types.uint64(size)
        if address < region[0] or end > region[1]:
            raise IndexError("a kernel left its memory")


@inlined
def transpose(points, source, address, stride, target, target_address, target_stride):  # noqa: ANN001, ANN201
    """Transposes points × points floats, 4 or 8, whose rows lie `stride` bytes apart."""
    _check_rows(source, address, stride, points, 4 * points)
    _check_rows(target, target_address, target_stride, points, 4 * points)
    if points == 8:
        _transpose_8(address, stride, target_address, target_stride)
    else:
        _transpose_4(address, stride, target_address, target_stride)


@inlined
def dequantize(points, source, address, steps, target, target_address, stride):  # noqa: ANN001, ANN201
    """Stores a block's points × points lowest frequencies, 4 or 8, times `steps` as rows of floats.

    The block begins at `address` in zigzag order; `steps` is the Region of as many floats, row by
    row.
    """
    if points == 8:
        _check_rows(source, address, stride, 1, 128)
        _check_rows(steps, steps[0], stride, 1, 256)
        _check_rows(target, target_address, stride, 8, 32)
        _dequantize_8(address, steps[0], target_address, stride)
    else:
        _check_rows(source, address, stride, 1, 2 * _LOWEST_4)
        _check_rows(steps, steps[0], stride, 1, 64)
        _check_rows(target, target_address, stride, 4, 16)
        _dequantize_4(address, steps[0], target_address, stride)


@inlined
def quantize(source, address, stride, reciprocals, target, target_address):  # noqa: ANN001, ANN201
    """Stores a block's coefficients in zigzag order, int16 [64], rounded, halves to even.

    They lie transposed from `address` on, in 8 rows of 8 floats; `reciprocals`, the Region of 64
    floats, one by the quantisation table, are in the same order.
    """
    _check_rows(source, address, stride, 8, 32)
    _check_rows(reciprocals, reciprocals[0], stride, 1, 256)
    _check_rows(target, target_address, stride, 1, 128)
    _quantize(address, stride, reciprocals[0], target_address)


@inlined
def weigh(source, address, stride, weights, weight, rows, target, target_address):  # noqa: ANN001, ANN201
    """Stores the sum of `rows` rows of WIDE floats, each times a weight; these are at `weight`."""
    _check_rows(source, address, stride, rows, 4 * WIDE)
    _check_rows(weights, weight, stride, 1, types.uint64(4) * rows)
    _check_rows(target, target_address, stride, 1, 4 * WIDE)
    _weigh(address, stride, weight, rows, target_address)
