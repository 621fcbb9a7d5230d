"""Quantised DCT coefficients to JPEG bytes: baseline, with Huffman tables made for the image.

The segments are those of T.81 Annex B. JPEG itself does not name a colour space: YCbCr and
grayscale are told by a JFIF header (T.871), RGB by an Adobe segment (T.872 6.5.3).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from jpegkeras.jpeg import encode, markers
from jpegkeras.jpeg.encode_tables import build_optimal_table, list_codes
from jpegkeras.jpeg.huffman import AC_CLASS, DC_CLASS, HuffmanTable
from jpegkeras.jpeg.types import (
    BLOCK_COEFFICIENTS,
    JpegCoefficients,
    ceil_div,
)

MAX_RESTART_INTERVAL = 65535

APP1 = 0xE1
# Version 1.01, no unit, pixels as wide as high, no thumbnail (T.871 10.1).
_JFIF = b"JFIF\0\1\1\0\0\1\0\1\0\0"
# Version 100, no flags, transform 0: none (T.872 6.5.3).
_ADOBE_RGB = b"Adobe\0\x64\0\0\0\0\0"
_ORIENTATION_TAG = 0x0112
_TIFF_SHORT = 3

# Class and number of the Huffman tables: those of the first component, then those of the others.
_TABLES = ((DC_CLASS, 0), (AC_CLASS, 0), (DC_CLASS, 1), (AC_CLASS, 1))

_PROBLEMS = {
    encode.DC_OUT_OF_RANGE: f"a DC coefficient of {{}}; -{encode.MAX_DC} to {encode.MAX_DC} is",
    encode.DIFFERENCE_OUT_OF_RANGE: (
        "a DC coefficient that differs by {} from the one coded before it; "
        f"-{encode.MAX_DC} to {encode.MAX_DC} is"
    ),
    encode.AC_OUT_OF_RANGE: f"an AC coefficient of {{}}; -{encode.MAX_AC} to {encode.MAX_AC} is",
}


@dataclass(frozen=True)
class _Scan:
    """A scan as encode.tokenize takes it.

    Attributes:
        components: the indices of its components in the image.
        interval: MCUs in a restart interval.
    """

    components: list[int]
    interval: int
    mcu_rows: int
    mcu_columns: int
    coefficients: np.ndarray
    frequencies: int
    plan: np.ndarray
    layout: np.ndarray


def write_coefficients(image: JpegCoefficients, *, restart_interval: int = 0) -> bytes:
    """Return a baseline JPEG of these coefficients, which reads back as just these.

    The frame is SOF0, or SOF1 where a quantisation step is above 255 (T.81 B.2.2). One scan holds
    all components, or each its own where an MCU would have more than 10 blocks (T.81 B.2.3). The
    Huffman tables are optimal for the image (T.81 K.2), one pair for the first component and one
    for the others.

    An image of fewer than 64 frequencies is written with zeros for the others. Their quantisation
    steps are not known and have no effect; the file gets the largest known step of the table, so
    that it stays one of 8 bits, and no finer than what is known of it, for whoever looks at it.

    Args:
        image: one component (grayscale) or three (YCbCr, or RGB if image.rgb). An orientation other
            than 1 is written as EXIF.
        restart_interval: MCUs between restart markers, 0 for none, up to 65535.

    Returns:
        The bytes of the file.

    Raises:
        ValueError: baseline JPEG cannot hold the image: an AC coefficient is not from -1023 to
            1023, a DC coefficient or its difference from the one coded before it is not from -2047
            to 2047, a quantisation step is 0, or there are not 1 or 3 components; or
            restart_interval is out of its range.
    """
    if not 0 <= restart_interval <= MAX_RESTART_INTERVAL:
        raise ValueError(
            f"restart_interval must be from 0 to {MAX_RESTART_INTERVAL} MCUs; "
            f"got {restart_interval}."
        )
    if len(image.components) not in (1, 3):
        raise ValueError(
            "a JPEG is written of 1 component (grayscale) or 3 (YCbCr or RGB); "
            f"got {len(image.components)}."
        )
    tables, numbers = _share_quantization(image)
    counts = np.zeros(len(_TABLES) * encode.SYMBOLS, np.int64)
    scans = _plan_scans(image, restart_interval)
    tokens = [_tokenize(scan, counts) for scan in scans]
    huffman = _optimal_tables(counts)
    codes, lengths = _join_codes(huffman)

    parts = [
        struct.pack(">BB", 0xFF, markers.SOI),
        *_application_segments(image),
        _quantization_segment(tables),
        _frame_segment(image, tables, numbers),
        _huffman_segment(huffman),
    ]
    if restart_interval:
        parts.append(_segment(markers.DRI, struct.pack(">H", restart_interval)))
    for scan, (scan_tokens, ends) in zip(scans, tokens):
        parts += [_scan_segment(image, scan), _pack(scan_tokens, ends, codes, lengths)]
    parts.append(struct.pack(">BB", 0xFF, markers.EOI))
    return b"".join(parts)


def _share_quantization(image: JpegCoefficients) -> tuple[list[np.ndarray], list[int]]:
    """Return the different quantisation tables, uint16 [64], and the number of each component's."""
    tables: dict[bytes, int] = {}
    numbers = []
    for index, component in enumerate(image.components):
        known = component.quantization
        if not known.all():
            raise ValueError(
                f"the quantisation steps of component {index} must be from 1 to 65535; "
                f"coefficient {int(np.argmin(known))} (zigzag) has 0."
            )
        table = np.full(BLOCK_COEFFICIENTS, known.max(), np.uint16)
        table[: known.size] = known
        numbers.append(tables.setdefault(table.tobytes(), len(tables)))
    return [np.frombuffer(table, np.uint16) for table in tables], numbers


def _plan_scans(image: JpegCoefficients, restart_interval: int) -> list[_Scan]:
    components = list(range(len(image.components)))
    mcu_blocks = sum(h * v for h, v in (c.sampling for c in image.components))
    if len(components) > 1 and mcu_blocks <= markers.MAX_MCU_BLOCKS:
        return [_plan_scan(image, components, restart_interval)]
    return [_plan_scan(image, [index], restart_interval) for index in components]


def _plan_scan(image: JpegCoefficients, components: list[int], restart_interval: int) -> _Scan:
    """Lay out a scan: an MCU has h × v blocks of each component if there are several, else one.

    T.81 A.2.2, A.2.3.
    """
    frequencies = image.num_frequencies
    plan, layout = [], []
    offset = 0
    for number, index in enumerate(components):
        component = image.components[index]
        rows, columns, _ = component.coefficients.shape
        h, v = component.sampling if len(components) > 1 else (1, 1)
        tables = [(2 * min(index, 1) + table) * encode.SYMBOLS for table in (0, 1)]
        plan += [(number, row, column, *tables) for row in range(v) for column in range(h)]
        layout.append((v, h, rows, columns, offset))
        offset += component.coefficients.size
    mcu_rows, mcu_columns = ceil_div(rows, v), ceil_div(columns, h)
    return _Scan(
        components,
        restart_interval or mcu_rows * mcu_columns,
        mcu_rows,
        mcu_columns,
        np.concatenate([image.components[index].coefficients.ravel() for index in components]),
        frequencies,
        np.array(plan, np.int64),
        np.array(layout, np.int64),
    )


def _tokenize(scan: _Scan, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the tokens of a scan and where its restart intervals end; add to counts."""
    mcus = scan.mcu_rows * scan.mcu_columns
    blocks = scan.coefficients.size // scan.frequencies
    padding = mcus * len(scan.plan) - blocks
    # Each coefficient has a token at most, or shares in one for zeros; 64 leave none for EOB.
    tokens = np.empty(
        blocks * min(scan.frequencies + 1, BLOCK_COEFFICIENTS) + 2 * padding, np.uint32
    )
    ends = np.empty(ceil_div(mcus, scan.interval), np.int64)
    status, component, row, column, value = encode.tokenize(
        scan.coefficients,
        scan.frequencies,
        scan.interval,
        scan.mcu_rows,
        scan.mcu_columns,
        scan.plan,
        scan.layout,
        tokens,
        ends,
        counts,
    )
    if status != encode.OK:
        raise ValueError(
            f"component {scan.components[component]}, block row {row}, column {column} has "
            f"{_PROBLEMS[status].format(value)} all that baseline JPEG can code. "
            "Quantise with larger steps."
        )
    return tokens[: ends[-1]], ends


def _optimal_tables(counts: np.ndarray) -> dict[tuple[int, int], HuffmanTable]:
    """Return the optimal Huffman tables by class and number, those in use."""
    return {
        (table_class, number): build_optimal_table(table_class, frequencies)
        for (table_class, number), frequencies in zip(_TABLES, counts.reshape(len(_TABLES), -1))
        if frequencies.any()
    }


def _join_codes(tables: dict[tuple[int, int], HuffmanTable]) -> tuple[np.ndarray, np.ndarray]:
    """Return codes and their lengths as encode.pack takes them."""
    codes, lengths = zip(*(list_codes(tables[key]) for key in _TABLES if key in tables))
    return np.concatenate(codes), np.concatenate(lengths)


def _pack(tokens: np.ndarray, ends: np.ndarray, codes: np.ndarray, lengths: np.ndarray) -> bytes:
    # Every byte may need a zero stuffed behind it. A restart interval takes a marker more, and
    # part of a byte.
    most = 2 * ceil_div(tokens.size * encode.MAX_TOKEN_BITS, 8) + 4 * ends.size
    out = np.empty(most, np.uint8)
    written = encode.pack(tokens, ends, codes, lengths, out)
    return out[:written].tobytes()


def _segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def _application_segments(image: JpegCoefficients) -> list[bytes]:
    """Return the segments that name the colour space and the orientation."""
    name = _segment(markers.APP14, _ADOBE_RGB) if image.rgb else _segment(markers.APP0, _JFIF)
    if image.orientation == 1:
        return [name]
    # TIFF 6.0, section 2: byte order, 42, where the only directory begins; one entry: tag, type,
    # number of values, value; no further directory.
    tiff = struct.pack(
        ">2sHIHHHIHHI", b"MM", 42, 8, 1, _ORIENTATION_TAG, _TIFF_SHORT, 1, image.orientation, 0, 0
    )
    return [name, _segment(APP1, b"Exif\0\0" + tiff)]


def _quantization_segment(tables: list[np.ndarray]) -> bytes:
    """Write DQT (T.81 B.2.4.1)."""
    payload = b""
    for number, table in enumerate(tables):
        wide = bool(table.max() > 255)
        payload += bytes([wide << 4 | number]) + table.astype(">u2" if wide else "u1").tobytes()
    return _segment(markers.DQT, payload)


def _frame_segment(image: JpegCoefficients, tables: list[np.ndarray], numbers: list[int]) -> bytes:
    """Write SOF0, or SOF1 where a quantisation table has 16 bits (T.81 B.2.2)."""
    wide = any(table.max() > 255 for table in tables)
    payload = struct.pack(">BHHB", 8, image.height, image.width, len(image.components))
    for identifier, component, number in zip(_identifiers(image), image.components, numbers):
        h, v = component.sampling
        payload += bytes([identifier, h << 4 | v, number])
    return _segment(markers.SOF1 if wide else markers.SOF0, payload)


def _huffman_segment(tables: dict[tuple[int, int], HuffmanTable]) -> bytes:
    """Write DHT (T.81 B.2.4.2)."""
    payload = b""
    for (table_class, number), table in tables.items():
        payload += bytes([table_class << 4 | number]) + table.counts + table.symbols
    return _segment(markers.DHT, payload)


def _scan_segment(image: JpegCoefficients, scan: _Scan) -> bytes:
    """Write SOS (T.81 B.2.3)."""
    payload = bytes([len(scan.components)])
    for index in scan.components:
        table = min(index, 1)
        payload += bytes([_identifiers(image)[index], table << 4 | table])
    return _segment(markers.SOS, payload + bytes([0, BLOCK_COEFFICIENTS - 1, 0]))


def _identifiers(image: JpegCoefficients) -> bytes:
    """Return the component identifiers: those that readers without APP segments go by."""
    return b"RGB" if image.rgb else b"\1\2\3"
