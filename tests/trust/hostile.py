"""JPEGs of at most 64 kB that are made to be slow or large to read, and what they cost.

    python -m tests.trust.hostile --output=hostile.json

prints a line of JSON for each: what came out, seconds of processor time, megabytes of peak memory.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path

from jpegkeras import files
from jpegkeras.jpeg import JpegError, read_coefficients
from tests.jpeg import encoder
from tests.jpeg.conftest import draw_pixels, save
from tests.trust import bounds, command_line, fuzz_worker, seeds, usage, versions

MAX_BYTES = 1 << 16
SOI, EOI = b"\xff\xd8", b"\xff\xd9"
#: One DC code and one AC code of a bit: a block of zeros takes two bits, of zeros.
SHORTEST = ([1] + [0] * 15, b"\0")
#: Blocks that eight of the longest EOB runs cover: 8 * 32767 = 248 * 1057.
RUN_SIZE = (8 * 1057, 8 * 248)
_RUNS = encoder.to_bytes(["0" + "1" * 14] * 8)
_LONGEST_RUN = ([1] + [0] * 15, b"\xe0")
_UNIT_TABLES = {number: [1] * 64 for number in range(4)}


def frame(height: int, width: int, factors: tuple = ((1, 1),), marker: int = 0xC0) -> bytes:
    """Return SOFn for components 1, 2, … with these sampling factors."""
    payload = struct.pack(">BHHB", 8, height, width, len(factors))
    for index, (h, v) in enumerate(factors):
        payload += bytes([index + 1, h << 4 | v, 0])
    return encoder.segment(marker, payload)


def scan(components: int = 1, band: tuple = (0, 63), approximation: tuple = (0, 0)) -> bytes:
    """Return SOS for components 1, 2, …, all with the tables 0."""
    names = b"".join(bytes([index + 1, 0]) for index in range(components))
    payload = bytes([components]) + names + bytes(band)
    return encoder.segment(0xDA, payload + bytes([approximation[0] << 4 | approximation[1]]))


def tables(dc: tuple = SHORTEST, ac: tuple = SHORTEST) -> bytes:
    """Return DQT and DHT segments."""
    return encoder.dqt(_UNIT_TABLES) + encoder.dht(0, 0, dc) + encoder.dht(1, 0, ac)


def sequential(size: tuple, data: bytes, factors: tuple = ((1, 1),), more: bytes = b"") -> bytes:
    """Return a sequential JPEG of this size with this entropy-coded data."""
    return SOI + tables() + more + frame(*size, factors) + scan(len(factors)) + data + EOI


def progressive(size: tuple, scans: bytes, factors: tuple = ((1, 1),)) -> bytes:
    """Return a progressive JPEG with these scans, whose AC symbol is a run of 32767 blocks."""
    return SOI + tables(ac=_LONGEST_RUN) + frame(*size, factors, 0xC2) + scans + EOI


def _fill(unit: bytes, room: int) -> bytes:
    """As many of a unit as fit."""
    return unit * (room // len(unit))


def _before_frame(unit: bytes | Callable[[int], bytes]) -> bytes:
    """A small image behind as many segments as fit; unit(i) gives different ones."""
    image = save(draw_pixels(1, 16, 16))
    room = MAX_BYTES - len(image)
    if isinstance(unit, bytes):
        return SOI + _fill(unit, room) + image[2:]
    count = room // len(unit(0))
    return SOI + b"".join(map(unit, range(count))) + image[2:]


def _huffman_table(index: int) -> bytes:
    """Each one a different table, with codes of 16 bits."""
    symbols = bytes((index * 7 + k) % 12 for k in range(4)) + bytes([index % 12, index // 12 % 12])
    return encoder.dht(0, index % 4, ([0] * 15 + [6], symbols))


def _long_huffman_table(index: int) -> bytes:
    symbols = bytes((index + k) % 256 for k in range(255))
    return encoder.dht(1, index % 4, ([0] * 7 + [1] * 8 + [247], symbols))


def _restarts(count: int) -> bytes:
    """Data of one block of zeros a restart interval."""
    return b"".join(b"\x0f\xff" + bytes([0xD0 + index % 8]) for index in range(count)) + b"\x0f"


def _exif(directory: bytes, offset: int = 8) -> bytes:
    return encoder.segment(0xE1, b"Exif\0\0II*\0" + struct.pack("<I", offset) + directory)


def _exif_entries(count: int, claimed: int) -> bytes:
    entry = struct.pack("<HHII", 0x0111, 3, 1, 0)
    return _exif(struct.pack("<H", claimed) + entry * count + struct.pack("<I", 8))


def _legal_progression() -> bytes:
    """Every coefficient by itself and bit by bit: 883 scans that all obey T.81 G.1.1.1."""
    scans = scan(band=(0, 0)) + bytes(RUN_SIZE[0] * RUN_SIZE[1] // 64 // 8)
    for k in range(1, 64):
        steps = [(0, 13)] + [(low + 1, low) for low in range(12, -1, -1)]
        scans += b"".join(scan(band=(k, k), approximation=step) + _RUNS for step in steps)
    return scans


def _many_scans(one: bytes, size: tuple = RUN_SIZE) -> bytes:
    dc = scan(band=(0, 0)) + bytes(size[0] * size[1] // 64 // 8)
    head = progressive(size, dc)
    return head[:-2] + _fill(one, MAX_BYTES - len(head)) + EOI


def _table_a_scan() -> bytes:
    """Small scans, each with new tables."""
    parts = [scan(band=(0, 0)) + b"\x7f"]
    room = MAX_BYTES - 1000
    for index in range(10_000):
        table = encoder.dht(1, 0, ([0, 1, 1] + [0] * 13, bytes([0, index % 10 + 1])))
        part = table + scan(band=(1 + index % 63,) * 2) + b"\x3f"
        room -= len(part)
        if room < 0:
            break
        parts.append(part)
    return progressive((8, 8), b"".join(parts))


_ROOM = MAX_BYTES - 1000
#: Blocks that 66 of the longest EOB runs cover, in an image of 138 million pixels.
_LARGE_SIZE = (8 * 31 * 66, 8 * 1057)
_LARGE_RUNS = encoder.to_bytes(["0" + "1" * 14] * 66)
_THREE = ((1, 1),) * 3

SEQUENTIAL: dict[str, Callable[[], bytes]] = {
    "65535 x 65535": lambda: sequential((65535, 65535), bytes(_ROOM)),
    "65535 x 65535 in 4:2:0": lambda: sequential(
        (65535, 65535), bytes(_ROOM), ((2, 2), (1, 1), (1, 1))
    ),
    "65535 x 65535 without data": lambda: sequential((65535, 65535), b""),
    "65535 x 65535, an interval a block": lambda: sequential(
        (65535, 65535), _restarts(20_000), more=encoder.segment(0xDD, b"\0\1")
    ),
    "16384 x 16384 in 4:4:4": lambda: sequential((16384, 16384), bytes(_ROOM), _THREE),
    "16384 x 16384 in 4:4:4 without data": lambda: sequential((16384, 16384), b"", _THREE),
    "16384 x 16384, scan by scan": lambda: sequential((16384, 16384), b"\0", _THREE).replace(
        scan(3), scan(1)
    ),
    "65500 x 8": lambda: sequential((8, 65500), bytes(2047)),
    "8 x 65500": lambda: sequential((65500, 8), bytes(2047)),
    "the most blocks that fit": lambda: sequential((4096, 4032), bytes(512 * 504 // 4)),
    "the most blocks that fit in 4:4:4": lambda: sequential(
        (2048, 2560), bytes(256 * 320 * 3 // 4), ((1, 1),) * 3
    ),
    "restarts every block": lambda: sequential(
        (8, 8 * 8000), _restarts(7999), more=encoder.segment(0xDD, b"\0\1")
    ),
    "restart markers and nothing else": lambda: sequential(
        (8, 8 * 8000), b"\xff\xd0" * (_ROOM // 2), more=encoder.segment(0xDD, b"\0\1")
    ),
    "stuffed bytes": lambda: sequential((4096, 2048), b"\xff\x00" * (_ROOM // 2)),
    "fill bytes in a scan": lambda: sequential((4096, 2048), b"\xff" * _ROOM),
    "fill bytes": lambda: _before_frame(b"\xff"),
    "empty APP segments": lambda: _before_frame(b"\xff\xe5\x00\x02"),
    "empty comments": lambda: _before_frame(b"\xff\xfe\x00\x02"),
    "TEM markers": lambda: _before_frame(b"\xff\x01"),
    "restart markers": lambda: _before_frame(b"\xff\xd0"),
    "Huffman tables": lambda: _before_frame(_huffman_table),
    "long Huffman tables": lambda: _before_frame(_long_huffman_table),
    "Huffman tables in one segment": lambda: _before_frame(
        encoder.segment(0xC4, _huffman_table(1)[4:] * 2800)
    ),
    "quantisation tables": lambda: _before_frame(encoder.dqt({1: [1] * 64})),
    "restart intervals": lambda: _before_frame(b"\xff\xdd\x00\x04\x00\x01"),
    "Adobe segments": lambda: _before_frame(seeds.adobe(1)),
    "frames": lambda: _before_frame(frame(8, 8)),
    "scans": lambda: _before_frame(frame(8, 8) + scan() + b"\0"),
    "EXIF segments": lambda: _before_frame(seeds.exif("MM", 6)),
    "EXIF with 65535 entries": lambda: _before_frame(_exif_entries(5000, 65535)),
    "EXIF whose directory follows itself": lambda: _before_frame(_exif_entries(0, 0)),
    "EXIF directory past the end": lambda: _before_frame(_exif(b"", 0xFFFFFFFF)),
    "SOI markers": lambda: _fill(SOI, MAX_BYTES),
    "0xFF": lambda: b"\xff" * MAX_BYTES,
    "zeros": lambda: bytes(MAX_BYTES),
    "no lines, and no DNL": lambda: sequential((0, 65535), bytes(_ROOM)),
    "65535 lines by DNL": lambda: sequential(
        (0, 65535), bytes(_ROOM) + encoder.segment(0xDC, b"\xff\xff")
    ),
    "many DNL": lambda: sequential((0, 8), b"\0" + encoder.segment(0xDC, b"\0\x08") * 10_000),
    "scans behind the image": lambda: sequential((8, 8), b"\0" + (scan() + b"\0") * 5000),
    "images behind the image": lambda: _fill(save(draw_pixels(1, 8, 8)), MAX_BYTES),
}

PROGRESSIVE: dict[str, Callable[[], bytes]] = {
    "progressive 65535 x 65535": lambda: progressive(
        (65535, 65535), scan(band=(0, 0)) + bytes(_ROOM)
    ),
    "progressive 65535 x 65535 in 4:4:4, without data": lambda: progressive(
        (65535, 65535), scan(3, band=(0, 0)), ((1, 1),) * 3
    ),
    "progressive 65535 x 65535, AC alone": lambda: progressive(
        (65535, 65535), (scan(band=(1, 63)) + encoder.to_bytes(["0" + "1" * 14] * 2048))
    ),
    "progressive 16384 x 16384 in 4:4:4": lambda: progressive(
        (16384, 16384), scan(3, band=(0, 0)) + bytes(_ROOM), _THREE
    ),
    "progressive 16368 x 8456, AC alone": lambda: progressive(
        _LARGE_SIZE, scan(band=(1, 63)) + _LARGE_RUNS
    ),
    "progressive 16368 x 8456 in 4:4:4, AC alone": lambda: progressive(
        _LARGE_SIZE,
        b"".join(
            scan(1, band=(1, 63)).replace(b"\1\1\0", bytes([1, index, 0])) + _LARGE_RUNS
            for index in (1, 2, 3)
        ),
        _THREE,
    ),
    "progressive 65500 x 8": lambda: progressive((8, 65500), scan(band=(0, 0)) + bytes(1024)),
    "the most progressive blocks that fit": lambda: progressive(
        (5600, 5600), scan(band=(0, 0)) + bytes(700 * 700 // 8)
    ),
    "the most progressive blocks that fit in 4:4:4": lambda: progressive(
        (3200, 3200), scan(3, band=(0, 0)) + bytes(400 * 400 * 3 // 8), ((1, 1),) * 3
    ),
    "every coefficient bit by bit": lambda: progressive(RUN_SIZE, _legal_progression())[:MAX_BYTES],
    "AC scans": lambda: _many_scans(scan(band=(1, 63)) + _RUNS),
    "AC refinement scans": lambda: _many_scans(scan(band=(1, 63), approximation=(1, 0)) + _RUNS),
    "AC scans without data": lambda: _many_scans(scan(band=(1, 63))),
    "DC scans without data": lambda: _many_scans(scan(band=(0, 0))),
    "DC refinement scans without data": lambda: _many_scans(
        scan(band=(0, 0), approximation=(1, 0))
    ),
    "AC scans of a tiny image": lambda: _many_scans(scan(band=(1, 63)) + b"\x7f", (8, 8)),
    "EOB runs past the end": lambda: _many_scans(scan(band=(1, 63)) + _RUNS, (8, 64)),
    "tables and scans": _table_a_scan,
    "progressive, an interval a block": lambda: progressive(
        (65535, 65535),
        encoder.segment(0xDD, b"\0\1") + scan(band=(0, 0)) + _restarts(20_000),
    ),
}


MODES = ({}, {"on_truncated": "fill"}, {"on_truncated": "fill", "num_frequencies": 16})


def measure(name: str, data: bytes, **options: object) -> dict:
    """Return what reading this data gives and costs."""

    def call() -> str:
        try:
            image = read_coefficients(data, **options)
        except JpegError as error:
            return f"{type(error).__name__}: {error.problem}"
        return f"read {image.width} x {image.height}"

    outcome, seconds, growth = usage.measure(call)
    return {
        "case": name,
        "mode": ", ".join(f"{key}={value!r}" for key, value in options.items()),
        "bytes": len(data),
        "outcome": outcome,
        "seconds": round(seconds, 3),
        "megabytes": round(growth / 2**20, 1),
    }


@command_line.with_one_line_errors
def main(arguments: list[str]) -> int:
    """Measure all cases in all modes; return the exit status."""
    parser = command_line.Parser("tests.trust.hostile", __doc__)
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="Result file, JSON (default: none)."
    )
    output = parser.parse_args(arguments).output
    if output is not None:
        command_line.prepare_output(output)
    fuzz_worker.warm_up()
    usage.limit_address_space(3 << 30)
    rows = []
    for name, build in {**SEQUENTIAL, **PROGRESSIVE}.items():
        data = build()
        for options in MODES:
            rows.append(measure(name, data, **options))
            print(json.dumps(rows[-1]), flush=True)
    if output is not None:
        result = {
            "tool": "hostile",
            "command": "python -m tests.trust.hostile",
            "cases": rows,
            "versions": versions.versions(),
            "reader": bounds.sources_digest(),
        }
        files.write_json(output, result)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
