"""A small baseline encoder of given coefficients, for JPEGs that no common tool writes.

Slow and literal: bits are a string of "0" and "1". It shares nothing with jpegkeras.jpeg.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np

DC_SYMBOLS = bytes(range(12))
AC_SYMBOLS = bytes([0x00, 0xF0] + [run << 4 | size for size in range(1, 11) for run in range(16)])


def flat_table(symbols, length):
    """All codes of one length."""
    return [0] * (length - 1) + [len(symbols)] + [0] * (16 - length), symbols


def long_table(symbols):
    """One code each of 1 to 8 bits, the others of 16 bits."""
    short = min(8, len(symbols) - 1)
    return [1] * short + [0] * (15 - short) + [len(symbols) - short], symbols


TABLES = {
    "flat": (flat_table(DC_SYMBOLS, 4), flat_table(AC_SYMBOLS, 8)),
    "13 bits": (flat_table(DC_SYMBOLS, 13), flat_table(AC_SYMBOLS, 13)),
    "long": (long_table(DC_SYMBOLS), long_table(AC_SYMBOLS)),
    "long, reversed": (long_table(DC_SYMBOLS[::-1]), long_table(AC_SYMBOLS[::-1])),
}


@dataclass
class Plane:
    """A component: identifier, factors, table number, coefficients [rows, cols, 64] in zigzag."""

    identifier: int
    h: int
    v: int
    quantization: int
    coefficients: np.ndarray


@dataclass
class Image:
    height: int
    width: int
    planes: list[Plane]
    quantization: dict[int, np.ndarray] = field(default_factory=dict)


def blocks(size, factor, largest):
    """T.81 A.1.1 by counting: samples of a component, then blocks that hold them."""
    samples = int(np.ceil(size * factor / largest))
    return int(np.ceil(samples / 8))


def draw_image(seed, height, width, factors, largest_value=1023, density=0.2, identifiers=None):
    """Return an image of random coefficients with these sampling factors [(h, v), ...]."""
    rng = np.random.default_rng(seed)
    h_max, v_max = (max(f[axis] for f in factors) for axis in (0, 1))
    planes = []
    for index, (h, v) in enumerate(factors):
        shape = (blocks(height, v, v_max), blocks(width, h, h_max), 64)
        magnitude = largest_value ** rng.random(shape)
        values = np.rint(magnitude * rng.choice([-1, 1], shape)) * (rng.random(shape) < density)
        # Blocks that end in a coefficient, blocks of DC alone, and runs of more than 16 zeros.
        values[rng.random(shape[:2]) < 0.2, 1:] = 0
        values[rng.random(shape[:2]) < 0.2, 63] = 1
        values[rng.random(shape[:2]) < 0.2, 5:60] = 0
        identifier = identifiers[index] if identifiers else index + 1
        planes.append(Plane(identifier, h, v, min(index, 1), values.astype(np.int16)))
    tables = {number: rng.integers(1, 256, 64) for number in {p.quantization for p in planes}}
    return Image(height, width, planes, tables)


def segment(marker, payload):
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def dqt(tables, bits=8):
    payload = b""
    for number, table in tables.items():
        payload += bytes([(bits == 16) << 4 | number])
        payload += np.asarray(table).astype(">u2" if bits == 16 else "u1").tobytes()
    return segment(0xDB, payload)


def dht(table_class, number, table):
    counts, symbols = table
    return segment(0xC4, bytes([table_class << 4 | number]) + bytes(counts) + bytes(symbols))


def sof(image, marker=0xC0, precision=8):
    payload = struct.pack(">BHHB", precision, image.height, image.width, len(image.planes))
    for plane in image.planes:
        payload += bytes([plane.identifier, plane.h << 4 | plane.v, plane.quantization])
    return segment(marker, payload)


def sos(image, scan, tables=(0, 0), band=(0, 63, 0)):
    payload = bytes([len(scan)])
    for index in scan:
        payload += bytes([image.planes[index].identifier, tables[0] << 4 | tables[1]])
    return segment(0xDA, payload + bytes(band))


def codes(table):
    """T.81 Annex C: the code of each symbol, as a string of bits."""
    counts, symbols = table
    result, code, index = {}, 0, 0
    for length, count in enumerate(counts, start=1):
        for _ in range(count):
            result[symbols[index]] = format(code, f"0{length}b")
            code, index = code + 1, index + 1
        code *= 2
    return result


def value_bits(value):
    size = int(abs(value)).bit_length()
    return size, format(value if value > 0 else value + 2**size - 1, f"0{size}b") if size else ""


def block_bits(block, prediction, dc_codes, ac_codes):
    size, bits = value_bits(int(block[0]) - prediction)
    result = [dc_codes[size], bits]
    run = 0
    for value in block[1:].tolist():
        if value == 0:
            run += 1
            continue
        result += [ac_codes[0xF0]] * (run // 16)
        size, bits = value_bits(value)
        result += [ac_codes[run % 16 << 4 | size], bits]
        run = 0
    if run:
        result.append(ac_codes[0])
    return "".join(result)


def mcus(image, scan):
    """Yield the blocks of each MCU of a scan, as (index of the plane, block)."""
    rng = np.random.default_rng(0)
    planes = [image.planes[index] for index in scan]
    if len(scan) == 1:
        for block in planes[0].coefficients.reshape(-1, 64):
            yield [(scan[0], block)]
        return
    h_max = max(plane.h for plane in image.planes)
    v_max = max(plane.v for plane in image.planes)
    for mcu_row in range(int(np.ceil(image.height / (8 * v_max)))):
        for mcu_column in range(int(np.ceil(image.width / (8 * h_max)))):
            mcu = []
            for index, plane in zip(scan, planes):
                rows, columns, _ = plane.coefficients.shape
                for y in range(plane.v):
                    for x in range(plane.h):
                        row, column = mcu_row * plane.v + y, mcu_column * plane.h + x
                        if row < rows and column < columns:
                            block = plane.coefficients[row, column]
                        else:  # padding: what is in it must not matter
                            block = rng.integers(-500, 500, 64)
                        mcu.append((index, block))
            yield mcu


def entropy_code(image, scan, tables, restart_interval=0):
    dc_codes, ac_codes = (codes(table) for table in tables)
    result, bits, restarts = b"", [], 0
    predictions = dict.fromkeys(scan, 0)
    for number, mcu in enumerate(mcus(image, scan)):
        if restart_interval and number and number % restart_interval == 0:
            result += to_bytes(bits) + bytes([0xFF, 0xD0 + restarts % 8])
            bits, restarts = [], restarts + 1
            predictions = dict.fromkeys(scan, 0)
        for index, block in mcu:
            bits.append(block_bits(block, predictions[index], dc_codes, ac_codes))
            predictions[index] = int(block[0])
    return result + to_bytes(bits)


def to_bytes(bits):
    bits = "".join(bits)
    bits += "1" * (-len(bits) % 8)
    raw = int(bits, 2).to_bytes(len(bits) // 8, "big") if bits else b""
    return raw.replace(b"\xff", b"\xff\x00")


def encode(
    image,
    scans=None,
    tables="flat",
    restart_interval=0,
    marker=0xC0,
    quantization_bits=8,
    before_frame=b"",
    end=b"\xff\xd9",
):
    """Return the JPEG of an image; scans are lists of plane indices, by default one of all."""
    tables = TABLES[tables]
    data = b"\xff\xd8" + before_frame + dqt(image.quantization, quantization_bits)
    data += sof(image, marker)
    if restart_interval:
        data += segment(0xDD, struct.pack(">H", restart_interval))
    data += dht(0, 0, tables[0]) + dht(1, 0, tables[1])
    for scan in scans or [list(range(len(image.planes)))]:
        data += sos(image, scan) + entropy_code(image, scan, tables, restart_interval)
    return data + end
