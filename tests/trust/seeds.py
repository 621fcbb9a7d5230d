"""Small JPEGs of every kind, made in code: what the fuzzer starts from."""

from __future__ import annotations

import functools
import hashlib
import io
import struct

import numpy as np
from PIL import Image

from tests.jpeg import encoder, progressive_encoder
from tests.jpeg.conftest import draw_pixels, save
from tests.trust import anatomy

YCBCR_420 = [(2, 2), (1, 1), (1, 1)]
_SIZES = [(1, 1), (7, 9), (8, 8), (16, 17), (23, 31), (40, 40)]
_ODD_FACTORS = [
    [(4, 1), (1, 1), (1, 1)],
    [(1, 2), (1, 1), (1, 1)],
    [(1, 2), (2, 1), (1, 1)],
    [(3, 1), (1, 1), (1, 1)],
    [(1, 4), (1, 1), (1, 2)],
    [(4, 1), (2, 1), (1, 1)],
    [(1, 1), (2, 2), (2, 2)],
    [(3, 2), (1, 1), (1, 1)],
    [(2, 1), (1, 2), (2, 2)],
]
# Scans as progressive_encoder takes them: components, Ss, Se, Ah, Al.
_DC = ((0,), 0, 0, 0, 0)
_PROGRESSIONS = {
    "DC alone": [_DC],
    "bands": [_DC, ((0,), 1, 1, 0, 0), ((0,), 2, 9, 0, 0), ((0,), 10, 63, 0, 0)],
    "AC bit by bit": [_DC, ((0,), 1, 63, 0, 4)]
    + [((0,), 1, 63, low + 1, low) for low in (3, 2, 1, 0)],
    "DC bit by bit": [((0,), 0, 0, 0, 5)] + [((0,), 0, 0, low + 1, low) for low in (4, 3, 2, 1, 0)],
    "highest coefficient alone": [_DC, ((0,), 63, 63, 0, 1), ((0,), 63, 63, 1, 0)],
    "unfinished": [((0,), 0, 0, 0, 2), ((0,), 1, 20, 0, 3), ((0,), 1, 20, 3, 2)],
}


@functools.lru_cache(maxsize=1)
def all_seeds() -> tuple[tuple[str, bytes], ...]:
    """Return (name, JPEG) pairs, the same ones each time."""
    makers = (_pillow, _encoder, _colours, _hand_made, _refused, _progressive)
    return tuple(pair for maker in makers for pair in maker())


def digest() -> str:
    """Return a checksum of all seeds: the inputs of two runs agree only if this does."""
    total = hashlib.sha256()
    for name, data in all_seeds():
        total.update(f"{name} {len(data)}\n".encode() + data)
    return total.hexdigest()[:16]


def exif(byte_order: str, orientation: int) -> bytes:
    """Return an APP1 segment with this orientation; byte_order is "II" or "MM" (TIFF 6.0)."""
    order = "<" if byte_order == "II" else ">"
    directory = struct.pack(order + "H", 1) + struct.pack(
        order + "HHIHHI", 0x0112, 3, 1, orientation, 0, 0
    )
    header = byte_order.encode() + struct.pack(order + "HI", 42, 8)
    return encoder.segment(0xE1, b"Exif\0\0" + header + directory)


def adobe(transform: int) -> bytes:
    """Return an APP14 segment that names this colour transform (T.872 6.5.3)."""
    return encoder.segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))


def with_dnl(data: bytes) -> bytes:
    """Return the JPEG with its height in a DNL segment after the first scan (T.81 B.2.5)."""
    pieces = anatomy.pieces(data)
    frame = next(piece for piece in pieces if piece.marker in anatomy.FRAMES)
    scan = next(piece for piece in pieces if piece.marker == anatomy.ENTROPY)
    at = frame.start + 5
    dnl = encoder.segment(anatomy.DNL, data[at : at + 2])
    return data[:at] + b"\0\0" + data[at + 2 : scan.end] + dnl + data[scan.end :]


def _pillow():
    number = 0
    for progressive in (False, True):
        for subsampling in ("4:4:4", "4:2:2", "4:2:0", "gray"):
            for height, width in _SIZES:
                number += 1
                options = {"quality": (30, 60, 75, 90)[number % 4], "progressive": progressive}
                if number % 3 == 0:
                    options["restart_marker_blocks"] = (1, 2, 7)[number // 3 % 3]
                if number % 5 == 0:
                    options["optimize"] = True
                gray = subsampling == "gray"
                if not gray:
                    options["subsampling"] = subsampling
                pixels = draw_pixels(number, height, width, 1 if gray else 3)
                kind = "progressive" if progressive else "sequential"
                yield f"{kind} {subsampling} {width}x{height}", save(pixels, **options)
    for quality in (1, 100):
        pixels = draw_pixels(quality, 16, 24)
        yield f"quality {quality}", save(pixels, quality=quality)
        yield f"progressive quality {quality}", save(pixels, quality=quality, progressive=True)
    pixels = draw_pixels(1, 20, 60)
    yield "restart each row", save(pixels, restart_marker_rows=1)
    yield "progressive, restart each row", save(pixels, restart_marker_rows=1, progressive=True)


def _encoder():
    tables = list(encoder.TABLES)
    for number, factors in enumerate(_ODD_FACTORS):
        image = encoder.draw_image(number, 21 + number, 30, factors, density=0.05)
        scans = [None, [[0], [1], [2]], [[2], [0, 1]], [[0, 2], [1]]][number % 4]
        data = encoder.encode(image, scans, tables[number % 4], number % 3, 0xC0 + number % 2)
        yield f"sampling {factors}", data
    image = encoder.draw_image(8, 16, 16, YCBCR_420, density=0.1)
    for name in tables:
        yield f"tables {name}", encoder.encode(image, tables=name)
    yield "16-bit quantisation", encoder.encode(image, marker=0xC1, quantization_bits=16)
    yield "no EOI", encoder.encode(image, end=b"")
    yield "gray in factors 2x2", encoder.encode(encoder.draw_image(9, 20, 20, [(2, 2)]))
    gray = encoder.draw_image(10, 9, 100, [(1, 1)], density=0.03)
    yield "restart every block", encoder.encode(gray, restart_interval=1)
    yield "tables between scans", _tables_between_scans(image)


def _tables_between_scans(image):
    """Each scan with Huffman and quantisation tables of its own under the same numbers."""
    data = b"\xff\xd8" + encoder.sof(image, 0xC1)
    for index, name in enumerate(["flat", "13 bits", "long"]):
        tables = encoder.TABLES[name]
        data += encoder.dqt({number: np.full(64, index + 1) for number in (0, 1)})
        data += encoder.dht(0, 0, tables[0]) + encoder.dht(1, 0, tables[1])
        data += encoder.sos(image, [index]) + encoder.entropy_code(image, [index], tables)
    return data + b"\xff\xd9"


def _colours():
    image = encoder.draw_image(11, 10, 18, [(1, 1)] * 3, density=0.1)
    for transform in (0, 1, 2):
        yield f"Adobe {transform}", encoder.encode(image, before_frame=adobe(transform))
    rgb = encoder.draw_image(11, 10, 18, [(1, 1)] * 3, density=0.1, identifiers=b"RGB")
    yield "identifiers RGB", encoder.encode(rgb)
    yield "Pillow RGB", save(draw_pixels(3, 12, 12), keep_rgb=True)
    yield "Pillow progressive RGB", save(draw_pixels(3, 12, 12), keep_rgb=True, progressive=True)
    four = encoder.draw_image(12, 8, 8, [(1, 1)] * 4, density=0.1)
    yield "CMYK", encoder.encode(four)
    yield "YCCK", encoder.encode(four, before_frame=adobe(2))


def _hand_made():
    small = save(draw_pixels(4, 24, 16), quality=60)
    progressive = save(draw_pixels(4, 24, 16), quality=60, progressive=True)
    for name, data in (("", small), ("progressive ", progressive)):
        for byte_order, orientation in (("II", 6), ("MM", 3)):
            segments = exif(byte_order, orientation)
            yield f"{name}EXIF {byte_order}", _behind_soi(data, segments)
        yield f"{name}DNL", with_dnl(data)
        first = _behind_soi(data, encoder.segment(0xE2, b"MPF\0"))
        yield f"{name}two images", first + data
        yield f"{name}fill bytes", _with_fill_bytes(data)
        yield f"{name}trailing data", data + b"trailing data \xff\xd8\xff"
        comments = encoder.segment(0xFE, b"") + encoder.segment(0xFE, b"\xff\xd9") * 3
        yield f"{name}comments", _behind_soi(data, comments)
    buffer = io.BytesIO()
    first, second = (Image.fromarray(draw_pixels(seed, 16, 16)) for seed in (5, 6))
    first.save(buffer, "MPO", save_all=True, append_images=[second])
    yield "MPO", buffer.getvalue()


def _with_fill_bytes(data):
    return data[:2] + b"".join(
        data[start:end] if marker == anatomy.ENTROPY else b"\xff\xff" + data[start:end]
        for marker, start, end in anatomy.pieces(data)[1:]
    )


def _refused():
    """Headers of what the reader does not take: mutations cross from one kind to the other."""
    image = encoder.draw_image(13, 16, 16, YCBCR_420, density=0.1)
    for marker in (0xC3, 0xC5, 0xC9, 0xCA, 0xF7):
        yield f"frame 0x{marker:02X}", encoder.encode(image, marker=marker)
    sof = encoder.sof(image, 0xC1)
    twelve = encoder.encode(image, marker=0xC1).replace(sof, encoder.sof(image, 0xC1, 12))
    yield "12 bits", twelve
    yield "conditioning", encoder.encode(image, before_frame=encoder.segment(0xCC, b"\0\x10"))


def _progressive():
    """Progressive JPEGs that no common tool writes."""
    tables = ("optimal", "flat", "13 bits", "long")
    for number, factors in enumerate(_ODD_FACTORS):
        image = encoder.draw_image(number, 21 + number, 30, factors, density=0.05)
        options = {
            "tables": tables[number % 4],
            "restart_interval": (0, 1, 0, 3)[number % 4],
            "longest_run": (32767, 1, 5)[number % 3],
        }
        yield f"progressive {factors}", progressive_encoder.encode(image, **options)
    gray = encoder.draw_image(20, 24, 40, [(1, 1)], density=0.08)
    for name, scans in _PROGRESSIONS.items():
        for restart_interval in (0, 4):
            data = progressive_encoder.encode(gray, scans, restart_interval=restart_interval)
            yield f"progressive, {name}, interval {restart_interval}", data
    three = encoder.draw_image(21, 16, 24, [(1, 1)] * 3, density=0.05, identifiers=b"RGB")
    yield "progressive RGB of own making", progressive_encoder.encode(three)
    yield "progressive, no EOI", progressive_encoder.encode(gray)[:-2]
    yield "progressive, Adobe", _behind_soi(progressive_encoder.encode(gray), adobe(1))
    yield "progressive, DNL of own making", with_dnl(progressive_encoder.encode(gray))


def _behind_soi(data, segments):
    return data[:2] + segments + data[2:]
