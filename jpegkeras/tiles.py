"""Tiles of 64 blocks, of one byte a coefficient: narrowed, turned and added up by vectors.

What LLVM does not find by itself in the loops of packing.py. It compiles these for whatever vectors
the processor has; the results are the same integers everywhere.

Addresses and regions are those of jpegkeras.jpeg.memory, bounds checking too. Numba caches kernels
by the file they stand in: after a change here clear the cache of packing.py and packed_reading.py.
"""

from __future__ import annotations

from collections.abc import Iterable

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from jpegkeras.jpeg.memory import CHECKED, inlined

#: Blocks of a tile, and coefficients of a block.
SIDE = 64

_byte, _coefficient, _square, _sum = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_u64 = types.uint64
_EIGHT = 8
# Shuffles within so many bytes are quick on every processor.
_LANE = 16


def _vector(element: ir.Type, count: int = SIDE) -> ir.Type:
    return ir.VectorType(element, count)


def _load(builder: ir.IRBuilder, address: ir.Value, kind: ir.Type, offset: int = 0) -> ir.Value:
    if offset:
        address = builder.add(address, ir.Constant(address.type, offset))
    return builder.load(builder.inttoptr(address, kind.as_pointer()), align=1)


def _store(builder: ir.IRBuilder, value: ir.Value, address: ir.Value, offset: int = 0) -> None:
    if offset:
        address = builder.add(address, ir.Constant(address.type, offset))
    builder.store(value, builder.inttoptr(address, value.type.as_pointer()), align=1)


def _pick(
    builder: ir.IRBuilder, first: ir.Value, second: ir.Value, order: Iterable[int]
) -> ir.Value:
    order = list(order)
    return builder.shuffle_vector(first, second, ir.Constant(_vector(_square, len(order)), order))


@intrinsic
def _narrow(typingctx, source, target):  # noqa: ANN001, ANN202
    def codegen(context, builder, signature, arguments):  # noqa: ANN001, ANN202
        source, target = arguments
        values = _load(builder, source, _vector(_coefficient))
        low = builder.trunc(values, _vector(_byte))
        _store(builder, low, target)
        changed = builder.icmp_signed("!=", builder.sext(low, values.type), values)
        return builder.bitcast(changed, _sum)

    return _u64(_u64, _u64), codegen


@intrinsic
def _copy_row(typingctx, source, target):  # noqa: ANN001, ANN202
    def codegen(context, builder, signature, arguments):  # noqa: ANN001, ANN202
        source, target = arguments
        _store(builder, _load(builder, source, _vector(_byte)), target)
        return context.get_dummy_value()

    return types.void(_u64, _u64), codegen


@intrinsic
def _add_up(typingctx, source, count, sums):  # noqa: ANN001, ANN202
    def codegen(context, builder, signature, arguments):  # noqa: ANN001, ANN202
        source, count, sums = arguments
        # None overflows over the rows of one tile.
        kinds = _vector(_coefficient), _vector(_square), _vector(_byte)
        totals = [cgutils.alloca_once_value(builder, ir.Constant(kind, None)) for kind in kinds]
        with cgutils.for_range(builder, count) as loop:
            offset = builder.mul(loop.index, ir.Constant(loop.index.type, SIDE))
            values = _load(builder, builder.add(source, offset), kinds[2])
            wide = builder.sext(values, kinds[0])
            squares = builder.zext(builder.mul(wide, wide), kinds[1])
            is_zero = builder.icmp_signed("==", values, ir.Constant(kinds[2], None))
            terms = wide, squares, builder.zext(is_zero, kinds[2])
            for total, term in zip(totals, terms):
                builder.store(builder.add(builder.load(total), term), total)
        for row, total in enumerate(totals):
            term = builder.sext(builder.load(total), _vector(_sum))
            offset = 8 * SIDE * row
            before = _load(builder, sums, term.type, offset)
            _store(builder, builder.add(before, term), sums, offset)
        return context.get_dummy_value()

    return types.void(_u64, _u64, _u64), codegen


def _interleave(
    builder: ir.IRBuilder, first: ir.Value, second: ir.Value
) -> tuple[ir.Value, ir.Value]:
    """Returns the bytes of two rows in turns: of the first half of each lane, of the second."""
    halves = []
    for half in (0, _LANE // 2):
        places = (lane + half + k for lane in range(0, SIDE, _LANE) for k in range(_LANE // 2))
        halves.append(_pick(builder, first, second, (p for k in places for p in (k, SIDE + k))))
    return tuple(halves)


@intrinsic
def _gather_words(typingctx, source, target):  # noqa: ANN001, ANN202
    def codegen(context, builder, signature, arguments):  # noqa: ANN001, ANN202
        source, target = arguments
        rows = [_load(builder, source, _vector(_byte), SIDE * row) for row in range(_EIGHT)]
        # Rows 0 and 4, 1 and 5, …; then 0, 2, 4 and 6, and so on. Each half that comes of it stands
        # for half of the columns.
        groups = [rows]
        while len(groups) < _EIGHT:
            following = []
            for group in groups:
                half = len(group) // 2
                pairs = [
                    _interleave(builder, one, other)
                    for one, other in zip(group[:half], group[half:])
                ]
                following += ([low for low, _ in pairs], [high for _, high in pairs])
            groups = following
        for number, (words,) in enumerate(groups):
            _store(builder, words, target, SIDE * number)
        return context.get_dummy_value()

    return types.void(_u64, _u64), codegen


@intrinsic
def _gather_rows(typingctx, source, target):  # noqa: ANN001, ANN202
    def codegen(context, builder, signature, arguments):  # noqa: ANN001, ANN202
        source, target = arguments
        for number in range(_EIGHT):
            kind = _vector(_sum, _EIGHT)
            rows = [
                _load(builder, source, kind, SIDE * (_EIGHT * group + number))
                for group in range(_EIGHT)
            ]
            for word, row in enumerate(_transpose(builder, rows)):
                # A lane has two words.
                column = _LANE * (word // 2) + 2 * number + word % 2
                _store(builder, row, target, SIDE * column)
        return context.get_dummy_value()

    return types.void(_u64, _u64), codegen


def _transpose(builder: ir.IRBuilder, rows: list[ir.Value]) -> list[ir.Value]:
    """Transposes a square: exchanges halves of rows, then quarters, and so on."""
    count = len(rows)
    distance = count // 2
    while distance:
        for row in (row for row in range(count) if not row & distance):
            pair = rows[row], rows[row | distance]
            kept = [k if not k & distance else count + k - distance for k in range(count)]
            other = [k + distance if not k & distance else count + k for k in range(count)]
            rows[row] = _pick(builder, *pair, kept)
            rows[row | distance] = _pick(builder, *pair, other)
        distance //= 2
    return rows


@inlined
def _check(region, address, size):  # noqa: ANN001, ANN202
    if CHECKED and (address < region[0] or address + _u64(size) > region[1]):
        raise IndexError("a kernel left its memory")


@inlined
def narrow_block(region, address, target_region, target):  # noqa: ANN001, ANN201
    """Stores the low bytes of 64 int16; returns a bit for each that an int8 cannot hold."""
    _check(region, address, 2 * SIDE)
    _check(target_region, target, SIDE)
    return _narrow(address, target)


@inlined
def copy_row(region, address, target_region, target):  # noqa: ANN001, ANN201
    """Copies 64 bytes."""
    _check(region, address, SIDE)
    _check(target_region, target, SIDE)
    _copy_row(address, target)


@inlined
def add_up(tile, rows, sums, address):  # noqa: ANN001, ANN201
    """Adds the first rows of a tile of int8 to `sums`, int64 [3, 64] at an address.

    These are the sums of the columns, of their squares, and how many are 0.
    """
    _check(tile, tile[0], _u64(SIDE) * _u64(rows))
    _check(sums, address, 3 * 8 * SIDE)
    _add_up(tile[0], _u64(rows), address)


@inlined
def turn(tile, words, target):  # noqa: ANN001, ANN201
    """Transposes a tile into `target`. All three are Regions of [64, 64] bytes; `words` is used."""
    _check(tile, tile[0], SIDE * SIDE)
    _check(words, words[0], SIDE * SIDE)
    _check(target, target[0], SIDE * SIDE)
    for group in range(SIDE // _EIGHT):
        offset = _u64(_EIGHT * SIDE * group)
        _gather_words(tile[0] + offset, words[0] + offset)
    _gather_rows(words[0], target[0])
