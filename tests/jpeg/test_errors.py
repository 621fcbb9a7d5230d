"""Corrupt and unhandled files give the two documented errors: no crash, no wrong coefficients."""

from __future__ import annotations

import io
import pickle
import struct

import numpy as np
import pytest
from PIL import Image

from jpegkeras.jpeg import (
    JpegCoefficients,
    JpegError,
    JpegFormatError,
    JpegUnsupportedError,
    read_coefficients,
)
from tests.jpeg import encoder
from tests.jpeg.conftest import draw_pixels, save

YCBCR = [(2, 2), (1, 1), (1, 1)]
FLAT = encoder.TABLES["flat"]
QUANTIZATION = {0: np.ones(64, np.uint8), 1: np.ones(64, np.uint8)}


def adobe(transform):
    return encoder.segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))


def draw(factors=YCBCR, size=(20, 30), **options):
    return encoder.draw_image(1, *size, factors, **options)


def with_bits(bits, size=(8, 8), tables=FLAT, restart_interval=None, factors=((1, 1),)):
    """A grayscale JPEG with these bits, or bytes, as its entropy-coded data."""
    image = encoder.draw_image(1, *size, list(factors))
    data = b"\xff\xd8" + encoder.dqt(QUANTIZATION) + encoder.sof(image)
    if restart_interval is not None:
        data += encoder.segment(0xDD, struct.pack(">H", restart_interval))
    data += encoder.dht(0, 0, tables[0]) + encoder.dht(1, 0, tables[1])
    data += encoder.sos(image, list(range(len(factors))))
    entropy = bits if isinstance(bits, bytes) else encoder.to_bytes([bits])
    return data + entropy + b"\xff\xd9", len(data)


DC, AC = encoder.codes(FLAT[0]), encoder.codes(FLAT[1])


def fail(data, error, match, offset=None):
    with pytest.raises(error, match=match) as info:
        read_coefficients(data)
    assert info.value.source == "<bytes>"
    assert 0 <= info.value.offset <= len(data)
    if offset is not None:
        assert info.value.offset == offset
    message = str(info.value)
    assert message.startswith(f"<bytes>, byte {info.value.offset}: ")
    assert "\n" not in message
    return info.value


def four_planes(transform=None):
    image = draw([(1, 1)] * 4)
    return encoder.encode(image, before_frame=b"" if transform is None else adobe(transform))


UNSUPPORTED = {
    "CMYK (4 components)": lambda: four_planes(),
    "YCCK": lambda: four_planes(2),
    "2 components": lambda: encoder.encode(draw([(1, 1)] * 2)),
    "5 components": lambda: encoder.encode(draw([(1, 1)] * 5), [[0]]),
    "12-bit samples": lambda: replaced(encoder.sof(draw(), 0xC1), encoder.sof(draw(), 0xC1, 12)),
    "lossless": lambda: encoder.encode(draw(), marker=0xC3),
    "arithmetic coding": lambda: encoder.encode(draw(), marker=0xC9),
    "hierarchical": lambda: encoder.encode(draw(), marker=0xC5),
    "JPEG-LS": lambda: encoder.encode(draw(), marker=0xF7),
}


def replaced(old, new):
    data = encoder.encode(draw(), marker=0xC1)
    assert data.count(old) == 1
    return data.replace(old, new)


@pytest.mark.parametrize("feature", UNSUPPORTED)
def test_unsupported_features_are_named(feature):
    error = fail(UNSUPPORTED[feature](), JpegUnsupportedError, "is not supported; convert it to")
    assert error.feature == feature


@pytest.mark.parametrize(
    ("marker", "feature"),
    [
        *((marker, "hierarchical") for marker in (0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF, 0xDE, 0xDF)),
        *((marker, "arithmetic coding") for marker in (0xC9, 0xCA, 0xCC)),
        *((marker, "lossless") for marker in (0xC3, 0xCB)),
        (0xF0, "JPEG extension (marker 0xF0)"),
    ],
)
def test_markers_of_unsupported_features(marker, feature):
    data = encoder.encode(draw(), before_frame=encoder.segment(marker, b"\0" * 17))
    assert fail(data, JpegUnsupportedError, "byte 2:", 2).feature == feature


def test_real_files_of_unsupported_colour():
    buffer = io.BytesIO()
    Image.fromarray(draw_pixels(1, 20, 20)).convert("CMYK").save(buffer, "JPEG")
    error = fail(buffer.getvalue(), JpegUnsupportedError, "CMYK")
    assert error.offset == buffer.getvalue().index(b"\xff\xc0")


def frame(old, new, match, offset):
    """A case with these bytes of the frame header replaced."""
    header = encoder.sof(draw())
    assert header.count(old) == 1
    data = encoder.encode(draw())
    start = data.index(header)
    return data.replace(header, header.replace(old, new)), match, start + offset


def scan_header(changes, match, offset=None):
    header = encoder.sos(draw(), [0, 1, 2])
    data = encoder.encode(draw())
    start = data.index(header)
    for at, value in changes.items():
        header = header[:at] + bytes([value]) + header[at + 1 :]
    return data[:start] + header + data[start + len(header) :], match, offset and start + offset


def without(part, match):
    data = encoder.encode(draw())
    assert data.count(part) == 1
    return data.replace(part, b""), match, None


def before(part, match, offset=2):
    return encoder.encode(draw(), before_frame=part), match, offset


def entropy(bits, match, at=0, **options):
    data, start = with_bits(bits, **options)
    return data, match, None if at is None else start + at


def huffman(counts, match="bad Huffman table", count=None):
    symbols = bytes(sum(counts) if count is None else count)
    part = encoder.segment(0xC4, b"\0" + bytes(counts) + symbols)
    return before(part, match, None)


IMAGE = draw()
FORMAT = {
    "no data": lambda: (b"", "got no data", 0),
    "no SOI": lambda: (b"\x89PNG\r\n", "begins with ff d8; got 89 50 4e 47", 0),
    "only SOI": lambda: (b"\xff\xd8", "truncated", 2),
    "no marker": lambda: (b"\xff\xd8\0\0\0", "expected a marker, got the bytes 00 00", 2),
    "stuffing outside a scan": lambda: (b"\xff\xd8\xff\0\0", "expected a marker", 2),
    "EOI first": lambda: (b"\xff\xd8\xff\xd9", "without a frame header", 2),
    "EOI before the scans": lambda: (
        encoder.encode(IMAGE, [[0]]),
        "without a scan of each component",
        None,
    ),
    "second SOI": lambda: before(b"\xff\xd8", "marker 0xD8 must not stand here"),
    "restart marker outside a scan": lambda: before(b"\xff\xd0", "marker 0xD0"),
    "reserved marker": lambda: before(encoder.segment(0x02, b""), "marker 0x02"),
    "length past the end": lambda: before(b"\xff\xe1\xff\xff", "runs past the end"),
    "length 1": lambda: before(b"\xff\xe1\0\1", "must be at least 2; got 1", 4),
    "second frame": lambda: before(encoder.sof(IMAGE), "one frame header", None),
    "scan before frame": lambda: before(encoder.sos(IMAGE, [0]), "before the frame", None),
    "width 0": lambda: frame(b"\x00\x1e", b"\x00\x00", "width must be at least 1", 7),
    "precision": lambda: frame(b"\x11\x08\x00", b"\x11\x07\x00", "8 or 12 bits; got 7", 4),
    "frame length": lambda: frame(b"\x1e\x03\x01", b"\x1e\x04\x01", "has 15 bytes", 4),
    "no component": lambda: before(
        encoder.segment(0xC0, b"\x08\0\x10\0\x10\0"), "at least one component", None
    ),
    "sampling factor 0": lambda: frame(b"\x01\x22", b"\x01\x02", "from 1 to 4; got 0 and 2", 11),
    "sampling factor 5": lambda: frame(b"\x01\x22", b"\x01\x25", "from 1 to 4; got 2 and 5", 11),
    "quantisation number": lambda: frame(b"\x22\x00", b"\x22\x04", "numbered 0 to 3; got 4", 12),
    "same component twice": lambda: frame(b"\x02\x11", b"\x01\x11", "both called 1", 13),
    "scan of unknown component": lambda: scan_header({5: 9}, "names component 9", 5),
    "scan of component twice": lambda: scan_header({7: 1}, "component 1 twice", 7),
    "scan length": lambda: scan_header({4: 2}, "scan header has 10 bytes", 4),
    "Huffman number": lambda: scan_header({6: 0x40}, "numbered 0 to 3; got 4 and 0", 6),
    "missing DC table": lambda: scan_header({6: 0x10}, "DC Huffman table 1 is missing", 6),
    "missing AC table": lambda: scan_header({8: 0x02}, "AC Huffman table 2 is missing", 8),
    "band": lambda: scan_header({12: 5}, "band 0 to 63", 11),
    "approximation": lambda: scan_header({13: 1}, "no approximation", 11),
    "component scanned twice": lambda: (
        encoder.encode(IMAGE, [[0], [0, 1, 2]]),
        "component 1 has a scan already",
        None,
    ),
    "11 blocks in an MCU": lambda: (
        encoder.encode(draw([(3, 3), (1, 1), (1, 1)])),
        "at most 10 blocks; this scan's have 11",
        None,
    ),
    "missing quantisation table": lambda: without(
        encoder.dqt(IMAGE.quantization), "quantisation table 0 is missing"
    ),
    "missing Huffman table": lambda: without(
        encoder.dht(1, 0, FLAT[1]), "AC Huffman table 0 is missing"
    ),
    "quantisation by 0": lambda: before(
        encoder.dqt({0: np.arange(64)}), "quantisation table must not be 0", None
    ),
    "quantisation precision": lambda: before(
        encoder.segment(0xDB, b"\x20" + bytes(64)), "precision 0 or 1", 6
    ),
    "quantisation length": lambda: before(
        encoder.segment(0xDB, bytes(64)), "takes 65 bytes; the segment has 64", 6
    ),
    "quantisation without table": lambda: before(
        encoder.segment(0xDB, b""), "at least one quantisation", None
    ),
    "Huffman without table": lambda: before(
        encoder.segment(0xC4, b""), "at least one Huffman", None
    ),
    "Huffman class": lambda: before(encoder.segment(0xC4, b"\x20" + bytes(16)), "class 0 or 1", 6),
    "Huffman length": lambda: huffman([0, 2] + [0] * 14, "takes 19 bytes; .* has 18", count=1),
    "Huffman cut short": lambda: before(encoder.segment(0xC4, b"\0\1"), "Huffman table", 6),
    "3 codes of 1 bit": lambda: huffman([3] + [0] * 15),
    "codes all ones": lambda: huffman([2] + [0] * 15),
    "too many codes of 16 bits": lambda: huffman([1] * 9 + [0] * 6 + [128]),
    "over 256 codes": lambda: huffman([0] * 8 + [200, 100] + [0] * 6),
    "restart interval length": lambda: before(encoder.segment(0xDD, b"\0"), "takes 2 bytes", 6),
    "bad DC code": lambda: entropy("1111" + AC[0], "expected a Huffman code"),
    "bad AC code": lambda: entropy(DC[0] + "11111111" * 3, "expected a Huffman code"),
    "bad long code": lambda: entropy(
        "1" * 16, "expected a Huffman code", tables=encoder.TABLES["13 bits"]
    ),
    "run past 63": lambda: entropy(
        DC[0] + (AC[0xF0]) * 3 + AC[0xF1] + "1" + AC[0], "goes past the 64", at=None
    ),
    "zeros past 63": lambda: entropy(DC[0] + AC[0xF0] * 4 + AC[0], "goes past the 64", at=None),
    "DC of 12 bits": lambda: entropy(
        "0" * 24,
        "nothing T.81 defines",
        tables=(encoder.flat_table(bytes([12]), 4), FLAT[1]),
    ),
    "AC of 11 bits": lambda: entropy(
        DC[0] + "0" * 24,
        "nothing T.81 defines",
        tables=(FLAT[0], encoder.flat_table(bytes([0x0B]), 8)),
    ),
    "EOB run in a sequential scan": lambda: entropy(
        DC[0] + "0" * 24,
        "nothing T.81 defines",
        tables=(FLAT[0], encoder.flat_table(bytes([0x10]), 8)),
    ),
    "DC out of range": lambda: entropy(
        (DC[11] + "1" * 11 + AC[0]) * 2,
        "DC coefficient is out of the range",
        at=None,
        size=(8, 16),
    ),
    "too few blocks": lambda: entropy(DC[0] + AC[0], "ends before its last block", 2, size=(8, 16)),
    "too many blocks": lambda: entropy((DC[0] + AC[0]) * 3, "left after the last block", 1),
    "restart markers without interval": lambda: entropy(
        b"\x00\x0f\xff\xd0\x00\x0f", "no more restart markers", 2, size=(8, 16)
    ),
    "one restart marker too many": lambda: entropy(
        b"\x00\x0f\xff\xd0\x00\x0f\xff\xd1", "no more", 6, size=(8, 16), restart_interval=1
    ),
    "restart markers out of order": lambda: entropy(
        b"\x00\x0f\xff\xd1\x00\x0f", "out of order", 2, size=(8, 16), restart_interval=1
    ),
    "missing restart marker": lambda: entropy(
        (DC[0] + AC[0]) * 2,
        "expected 1 restart markers in the scan, got 0",
        at=None,
        size=(8, 16),
        restart_interval=1,
    ),
    "short restart interval": lambda: entropy(
        b"\x00\xff\xd0\x00\x0f\x00\x0f",
        "ends before its last block",
        1,
        size=(8, 16),
        restart_interval=1,
    ),
    "fill bytes in a scan": lambda: entropy(b"\x00\xff\xff\x00\x0f", "fill bytes", 1),
    "too large for the data": lambda: entropy(DC[0] + AC[0], "cannot fit", None, size=(64, 64)),
}


@pytest.mark.parametrize("case", FORMAT)
def test_corruption_is_found_and_located(case):
    data, match, offset = FORMAT[case]()
    fail(data, JpegFormatError, match, offset)


@pytest.mark.parametrize("restart_interval", [0, 1, 65535])
def test_enormous_size_is_refused_at_once(restart_interval):
    image = draw([(1, 1)], size=(8, 8))
    data = encoder.encode(image, restart_interval=restart_interval)
    header = encoder.sof(image)
    huge = header[:5] + b"\xff\xff\xff\xff" + header[9:]
    data = data.replace(header, huge)
    message = "65535 x 65535 pixels .max_pixels is 268435456.* raise max_pixels"
    error = fail(data, JpegUnsupportedError, message)
    assert error.offset == data.index(huge)
    with pytest.raises(JpegFormatError, match="65535 x 65535 cannot fit") as info:
        read_coefficients(data, max_pixels=1 << 32)
    assert info.value.offset == data.index(huge)


def test_limits():
    data = encoder.encode(draw(), [[0], [1], [2]])
    assert read_coefficients(data, max_pixels=600, max_scans=3).width == 30
    with pytest.raises(JpegUnsupportedError, match="30 x 20 pixels .max_pixels is 599"):
        read_coefficients(data, max_pixels=599)
    with pytest.raises(JpegUnsupportedError, match="more than 2 scans") as info:
        read_coefficients(data, max_scans=2)
    assert info.value.offset == data.rindex(b"\xff\xda")
    for argument in ({"max_pixels": 0}, {"max_scans": 0}, {"on_truncated": "ignore"}):
        with pytest.raises(ValueError, match=next(iter(argument))):
            read_coefficients(data, **argument)


def test_stuffed_bytes_count_in_the_offset():
    # The value 1023 is ten ones, so that these blocks hold several ff 00.
    block = DC[0] + (AC[0x0A] + "1" * 10) * 8 + AC[0]
    data, start = with_bits(block * 3 + "1" * 20, size=(8, 32))
    stuffed = encoder.to_bytes([block * 3]).count(b"\xff\x00")
    assert stuffed >= 3
    fail(data, JpegFormatError, "Huffman code", start + stuffed + 3 * len(block) // 8)


def test_offset_after_restart_markers():
    data, start = with_bits(b"\x00\x0f\xff\xd0\xff\xff\xd1\x00\x0f", (8, 24), restart_interval=1)
    # ff is no DC code; as data it would be followed by a zero byte.
    data = data.replace(b"\xff\xff\xd1", b"\xff\x00\xff\xd1")
    fail(data, JpegFormatError, "Huffman code", start + 4)


def test_errors_name_the_file_and_survive_pickling(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(four_planes())
    with pytest.raises(JpegUnsupportedError, match=r"photo\.jpg, byte \d+: CMYK") as info:
        read_coefficients(path)
    assert info.value.source == str(path)
    copy = pickle.loads(pickle.dumps(info.value))
    assert (str(copy), copy.feature, copy.offset) == (
        str(info.value),
        info.value.feature,
        info.value.offset,
    )
    path.write_bytes(b"no JPEG")
    with pytest.raises(JpegFormatError, match=r"photo\.jpg, byte 0: expected a JPEG") as info:
        read_coefficients(str(path))
    assert str(pickle.loads(pickle.dumps(info.value))) == str(info.value)
    assert issubclass(JpegError, ValueError)


def small_files():
    pixels = draw_pixels(2, 19, 22)
    yield save(pixels, quality=85)
    yield save(pixels, quality=100, subsampling="4:4:4", optimize=True)
    yield save(pixels, quality=40, restart_marker_blocks=1)
    yield save(draw_pixels(2, 19, 22, channels=1), quality=75)
    yield encoder.encode(draw([(1, 2), (2, 1), (1, 1)]), [[2], [0, 1]], "long", 2)


def same(a, b):
    return all(
        np.array_equal(x.coefficients, y.coefficients)
        and np.array_equal(x.quantization, y.quantization)
        for x, y in zip(a.components, b.components)
    )


@pytest.mark.parametrize("number", range(5))
def test_truncation_at_every_byte(number):
    data = list(small_files())[number]
    expected = read_coefficients(data)
    for length in range(len(data) - 2):
        with pytest.raises(JpegFormatError):
            read_coefficients(data[:length])
    # Without the EOI marker, or half of it, the coefficients are complete.
    for length in (len(data) - 2, len(data) - 1):
        assert same(read_coefficients(data[:length]), expected)


def mutate(rng, data):
    data = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(data)))
        kind = rng.integers(5)
        if kind == 0:
            data[at] = rng.integers(256)
        elif kind == 1:
            data[at] ^= 1 << rng.integers(8)
        elif kind == 2:
            data[at] = rng.choice([0x00, 0xFF, 0x7F, 0x80])
        elif kind == 3:
            del data[at : at + int(rng.integers(1, 9))]
        else:
            data[at:at] = bytes(rng.integers(0, 256, int(rng.integers(1, 9)), dtype=np.uint8))
    return bytes(data)


@pytest.mark.parametrize("number", range(5))
def test_mutations_give_only_the_documented_errors(number):
    rng = np.random.default_rng(number)
    data = list(small_files())[number]
    outcomes = {JpegCoefficients: 0, JpegFormatError: 0, JpegUnsupportedError: 0}
    for _ in range(1500):
        mutated = mutate(rng, data)
        try:
            outcome = type(read_coefficients(mutated, int(rng.integers(1, 65))))
        except JpegError as error:
            outcome = type(error)
            assert error.source == "<bytes>"
            assert 0 <= error.offset <= len(mutated)
        outcomes[outcome] += 1
    assert outcomes[JpegCoefficients] and outcomes[JpegFormatError], outcomes


@pytest.mark.parametrize("seed", range(3))
def test_random_entropy_coded_data(seed):
    rng = np.random.default_rng(seed)
    for tables in encoder.TABLES.values():
        for _ in range(100):
            noise = rng.integers(0, 256, 60, dtype=np.uint8).tobytes().replace(b"\xff", b"\xff\0")
            data, _ = with_bits(noise, (16, 24), tables, factors=YCBCR)
            try:
                read_coefficients(data)
            except JpegFormatError as error:
                assert error.offset <= len(data)
