"""Memory by address, for the innermost loops.

Numba counts references for each array that is handed to a function, by atomic operations that cost
more than the decoding does. So the kernels hand on a Region, the address of an array and where it
ends, and these functions read and write in it: unaligned, several elements at once.

Under Numba's bounds checking (NUMBA_BOUNDSCHECK=1 when the kernels are compiled) each access is
checked against its region and raises IndexError outside. Without, nothing is: the kernels must
keep within bounds by themselves.
"""

from __future__ import annotations

import sys

from llvmlite import ir
from numba import config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

#: Whether each access is checked.
CHECKED = bool(config.BOUNDSCHECK)
#: Bytes that copy_up_to_ff() copies at a time.
STRIDE = 32

_LITTLE = sys.byteorder == "little"
_byte = ir.IntType(8)
_coefficient = ir.IntType(16)
_word = ir.IntType(64)


def _vector(element: ir.Type, count: int) -> ir.Type:
    return ir.VectorType(element, count)


@intrinsic
def _load(typingctx, address):  # noqa: ANN001, ANN202
    def codegen(context, builder, signature, arguments):  # noqa: ANN001, ANN202
        return builder.load(builder.inttoptr(arguments[0], _word.as_pointer()), align=8)

    return types.uint64(types.uint64), codegen


@intrinsic
def _load_big_endian(typingctx, address):  # noqa: ANN001, ANN202
    def codegen(context, builder, signature, arguments):  # noqa: ANN001, ANN202
        word = builder.load(builder.inttoptr(arguments[0], _word.as_pointer()), align=1)
        return builder.bswap(word) if _LITTLE else word

    return types.uint64(types.uint64), codegen


@intrinsic
def _store_coefficient(typingctx, address, value):  # noqa: ANN001, ANN202
    def codegen(context, builder, signature, arguments):  # noqa: ANN001, ANN202
        pointer = builder.inttoptr(arguments[0], _coefficient.as_pointer())
        builder.store(builder.trunc(arguments[1], _coefficient), pointer, align=2)
        return context.get_dummy_value()

    return types.void(types.uint64, types.uint64), codegen


@intrinsic
def _clear(typingctx, address):  # noqa: ANN001, ANN202
    def codegen(context, builder, signature, arguments):  # noqa: ANN001, ANN202
        block = _vector(_coefficient, 64)
        pointer = builder.inttoptr(arguments[0], block.as_pointer())
        builder.store(ir.Constant(block, None), pointer, align=2)
        return context.get_dummy_value()

    return types.void(types.uint64), codegen


def _copy_of(count: int):  # noqa: ANN202
    @intrinsic
    def copy(typingctx, source, target):  # noqa: ANN001, ANN202
        def codegen(context, builder, signature, arguments):  # noqa: ANN001, ANN202
            pointer = _vector(_coefficient, count).as_pointer()
            value = builder.load(builder.inttoptr(arguments[0], pointer), align=2)
            builder.store(value, builder.inttoptr(arguments[1], pointer), align=2)
            return context.get_dummy_value()

        return types.void(types.uint64, types.uint64), codegen

    return copy


_copy_64 = _copy_of(64)
_copy_16 = _copy_of(16)


@intrinsic
def _copy_bytes(typingctx, source, target, size):  # noqa: ANN001, ANN202
    def codegen(context, builder, signature, arguments):  # noqa: ANN001, ANN202
        source, target, size = arguments
        pointer = _byte.as_pointer()
        source = builder.inttoptr(source, pointer)
        target = builder.inttoptr(target, pointer)
        cgutils.raw_memcpy(builder, target, source, size, ir.Constant(_word, 1))
        return context.get_dummy_value()

    return types.void(types.uint64, types.uint64, types.uint64), codegen


@intrinsic
def _copy_up_to_ff(typingctx, source, target):  # noqa: ANN001, ANN202
    def codegen(context, builder, signature, arguments):  # noqa: ANN001, ANN202
        vector = _vector(_byte, STRIDE)
        data = builder.load(builder.inttoptr(arguments[0], vector.as_pointer()), align=1)
        builder.store(data, builder.inttoptr(arguments[1], vector.as_pointer()), align=1)
        found = builder.icmp_unsigned("==", data, ir.Constant(vector, [0xFF] * STRIDE))
        mask = builder.bitcast(found, ir.IntType(STRIDE))
        if not _LITTLE:
            return builder.zext(builder.ctlz(mask, ir.Constant(ir.IntType(1), 0)), _word)
        return builder.zext(builder.cttz(mask, ir.Constant(ir.IntType(1), 0)), _word)

    return types.uint64(types.uint64, types.uint64), codegen


@intrinsic
def count_trailing_zeros(typingctx, value):  # noqa: ANN001, ANN201
    """Return how many of the lowest bits of a uint64, which must not be 0, are 0."""

    def codegen(context, builder, signature, arguments):  # noqa: ANN001, ANN202
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), codegen


@intrinsic
def spread_sign(typingctx, value):  # noqa: ANN001, ANN201
    """Return a uint64 of all ones where the highest bit of value is set, else 0."""

    def codegen(context, builder, signature, arguments):  # noqa: ANN001, ANN202
        return builder.ashr(arguments[0], ir.Constant(_word, 63))

    return types.uint64(types.uint64), codegen


inlined = njit(nogil=True, forceinline=True)


@inlined
def region(array):  # noqa: ANN001, ANN201
    """Return the Region of a contiguous array: uint64 address of its first byte, of its end."""
    start = types.uint64(array.ctypes.data)
    return start, start + types.uint64(array.nbytes)


@inlined
def _check(region, address, size):  # noqa: ANN001, ANN202
    if CHECKED and (address < region[0] or address + types.uint64(size) > region[1]):
        raise IndexError("a kernel left its memory")


@inlined
def load(region, address):  # noqa: ANN001, ANN201
    """Return the uint64 at an address."""
    _check(region, address, 8)
    return _load(address)


@inlined
def load_big_endian(region, address):  # noqa: ANN001, ANN201
    """Return the 8 bytes at an address, the first one highest."""
    _check(region, address, 8)
    return _load_big_endian(address)


@inlined
def store_coefficient(region, address, value):  # noqa: ANN001, ANN201
    """Store the lowest 16 bits of a uint64."""
    _check(region, address, 2)
    _store_coefficient(address, value)


@inlined
def clear_block(region, address):  # noqa: ANN001, ANN201
    """Set the 64 coefficients at an address to 0."""
    _check(region, address, 128)
    _clear(address)


@inlined
def copy_block(region, address, target_region, target, count):  # noqa: ANN001, ANN201
    """Copy the first count of the 64 coefficients at an address."""
    size = types.uint64(2 * count)
    _check(region, address, size)
    _check(target_region, target, size)
    if count == 64:
        _copy_64(address, target)
    elif count == 16:
        _copy_16(address, target)
    else:
        _copy_bytes(address, target, size)


@inlined
def copy_up_to_ff(region, address, target_region, target):  # noqa: ANN001, ANN201
    """Copy STRIDE bytes; return how many of them stand before the first 0xFF."""
    _check(region, address, STRIDE)
    _check(target_region, target, STRIDE)
    return _copy_up_to_ff(address, target)
