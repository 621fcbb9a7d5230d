"""What is written reads back as just that, here and in libjpeg, and takes no more bytes."""

from __future__ import annotations

import dataclasses
import heapq
import io
import shutil
import subprocess

import jpeglib
import numpy as np
import pytest
from PIL import Image

from jpegkeras.jpeg import ZIGZAG, Component, JpegCoefficients, read_coefficients
from jpegkeras.jpeg.encode_tables import build_optimal_table, list_codes
from jpegkeras.jpeg.writer import write_coefficients
from tests.jpeg import encoder
from tests.jpeg.conftest import draw_pixels, save

SAMPLINGS = {
    "gray": [(1, 1)],
    "gray by factors 2": [(2, 2)],
    "4:4:4": [(1, 1)] * 3,
    "4:4:4 by factors 2": [(2, 1)] * 3,
    "4:2:2": [(2, 1), (1, 1), (1, 1)],
    "4:4:0": [(1, 2), (1, 1), (1, 1)],
    "4:2:0": [(2, 2), (1, 1), (1, 1)],
    "4:1:1": [(4, 1), (1, 1), (1, 1)],
    "4:1:0": [(4, 2), (1, 1), (1, 1)],
    "3:2": [(3, 1), (2, 1), (2, 1)],
    "luma smaller": [(1, 1), (2, 2), (2, 2)],
    "4:3:2": [(4, 1), (3, 1), (2, 1)],
}
# More than 10 blocks an MCU: not interleaved.
LARGE_SAMPLINGS = {
    "4x4": [(4, 4), (1, 1), (1, 1)],
    "4:4:4 by factors 4": [(2, 2)] * 3,
    "4x2": [(4, 2), (2, 1), (1, 2)],
}
SIZES = [(1, 1), (8, 33), (35, 50), (70, 31)]


def draw_coefficients(seed, height, width, factors, **options):
    image = encoder.draw_image(seed, height, width, factors, **options)
    components = tuple(
        Component(
            plane.coefficients,
            image.quantization[plane.quantization].astype(np.uint16),
            (plane.h, plane.v),
        )
        for plane in image.planes
    )
    return JpegCoefficients(height, width, components)


def gray(blocks, step=1):
    """One component of these blocks [rows, cols, n]."""
    blocks = np.asarray(blocks, np.int16)
    rows, columns, n = blocks.shape
    component = Component(blocks, np.full(n, step, np.uint16), (1, 1))
    return JpegCoefficients(8 * rows, 8 * columns, (component,))


def check_same(read, image):
    assert (read.height, read.width) == (image.height, image.width)
    assert len(read.components) == len(image.components)
    for a, b in zip(read.components, image.components):
        np.testing.assert_array_equal(a.coefficients, b.coefficients)
        np.testing.assert_array_equal(a.quantization, b.quantization)
        assert a.sampling == b.sampling


def check_reads_back(image, **options):
    data = write_coefficients(image, **options)
    check_same(read_coefficients(data), image)
    return data


def jpegtran(data, *options, warning=b""):
    if shutil.which("jpegtran") is None:
        pytest.skip("jpegtran (libjpeg-turbo) is not installed")
    done = subprocess.run(["jpegtran", *options], input=data, capture_output=True, check=True)
    assert warning in done.stderr if warning else done.stderr == b""
    return done.stdout


def from_scan_on(data):
    return data[data.rindex(b"\xff\xda") :]


def scalar(value, n=64, at=0):
    block = np.zeros(n, np.int16)
    block[at] = value
    return block


@pytest.mark.parametrize("sampling", {**SAMPLINGS, **LARGE_SAMPLINGS})
@pytest.mark.parametrize("interval", [0, 1, 3])
def test_every_sampling_reads_back(sampling, interval):
    factors = {**SAMPLINGS, **LARGE_SAMPLINGS}[sampling]
    for seed, size in enumerate(SIZES):
        data = check_reads_back(draw_coefficients(seed, *size, factors), restart_interval=interval)
        scans = 3 if sampling in LARGE_SAMPLINGS else 1
        assert data.count(b"\xff\xda") == scans


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("interval", [0, 2])
def test_libjpeg_reads_the_same(sampling, interval):
    for seed, size in enumerate(SIZES):
        image = draw_coefficients(seed, *size, SAMPLINGS[sampling])
        data = write_coefficients(image, restart_interval=interval)
        theirs = jpegtran(data, "-optimize", "-copy", "none")
        if sampling == "gray by factors 2":  # libjpeg writes factors 1 for a single component
            image = gray_by_factors_1(image)
        check_same(read_coefficients(theirs), image)
        if not interval:
            assert len(from_scan_on(data)) <= len(from_scan_on(theirs))
            assert len(data) <= len(theirs)


def gray_by_factors_1(image):
    component = dataclasses.replace(image.components[0], sampling=(1, 1))
    return dataclasses.replace(image, components=(component,))


@pytest.mark.parametrize("sampling", LARGE_SAMPLINGS)
def test_libjpeg_reads_the_same_from_scans_that_are_not_interleaved(tmp_path, sampling):
    script = tmp_path / "scans.txt"
    script.write_text("0;\n1;\n2;\n")
    image = draw_coefficients(3, 50, 75, LARGE_SAMPLINGS[sampling])
    for interval in (0, 5):
        data = write_coefficients(image, restart_interval=interval)
        theirs = jpegtran(data, "-optimize", "-copy", "none", "-scans", str(script))
        check_same(read_coefficients(theirs), image)


@pytest.mark.parametrize("sampling", ["gray", "4:4:4", "4:2:2", "4:4:0", "4:2:0", "4:1:1", "4x4"])
def test_jpeglib_reads_the_same(tmp_path, sampling):
    factors = {**SAMPLINGS, **LARGE_SAMPLINGS}[sampling]
    image = draw_coefficients(4, 41, 90, factors)
    path = tmp_path / "image.jpg"
    path.write_bytes(write_coefficients(image))
    read = jpeglib.read_dct(str(path))
    planes = [read.Y] + ([read.Cb, read.Cr] if len(factors) == 3 else [])
    for component, plane in zip(image.components, planes):
        raster = plane.reshape(*plane.shape[:2], 64)
        np.testing.assert_array_equal(component.coefficients, raster[..., ZIGZAG])


def test_real_images_read_back_in_no_more_bytes_than_jpegtran(sample_files):
    for path in sample_files:
        image = read_coefficients(path)
        data = check_reads_back(image)
        if shutil.which("jpegtran") is not None:
            theirs = jpegtran(path.read_bytes(), "-optimize", "-copy", "none")
            assert len(from_scan_on(data)) <= len(from_scan_on(theirs)), path.name
            assert len(data) <= len(theirs), path.name


@pytest.mark.parametrize(
    "blocks",
    [
        np.zeros((3, 4, 64)),
        np.full((3, 4, 64), 1023),
        np.full((3, 4, 64), -1023),
        np.stack([scalar(2047), scalar(0), scalar(-2047), scalar(0)] * 3).reshape(3, 4, 64),
        np.stack([scalar(1024), scalar(-1023)] * 6).reshape(3, 4, 64),
        np.stack([scalar(1, at=63), scalar(-1, at=63)] * 6).reshape(3, 4, 64),
        np.stack([scalar(1023, at=at) for at in range(64)]).reshape(8, 8, 64),
        np.hstack([np.zeros((33, 1)), np.resize(np.arange(-1023, 1024), (33, 63))])[:, None],
    ],
    ids=["zeros", "1023", "-1023", "2047", "swings", "runs of 62", "runs", "every value"],
)
def test_extremes(blocks):
    image = gray(blocks)
    for data in (check_reads_back(image), check_reads_back(image, restart_interval=1)):
        check_same(read_coefficients(jpegtran(data, "-optimize", "-copy", "none")), image)


def test_every_run_and_size():
    rng = np.random.default_rng(5)
    blocks = np.zeros((63, 10, 64))
    for run in range(63):
        for size in range(1, 11):
            value = int(rng.integers(1 << (size - 1), 1 << size)) * int(rng.choice([-1, 1]))
            blocks[run, size - 1, run + 1] = value
    check_reads_back(gray(blocks))


def test_a_stream_of_ones_is_stuffed():
    # The value bits of 1023 are all ones.
    data = check_reads_back(gray(np.full((4, 4, 64), 1023)))
    assert data.count(b"\xff\0") > 100


@pytest.mark.parametrize("size", [(65535, 1), (1, 65535), (65500, 1), (1, 65500)])
@pytest.mark.parametrize("sampling", ["gray", "4:2:0"])
def test_large_sides(size, sampling):
    image = draw_coefficients(6, *size, SAMPLINGS[sampling], density=0.01)
    data = check_reads_back(image)
    if 65535 not in size:  # libjpeg ends at 65500
        check_same(read_coefficients(jpegtran(data, "-optimize", "-copy", "none")), image)


@pytest.mark.parametrize("interval", [1, 2, 5, 1000, 65535])
@pytest.mark.parametrize("factors", [SAMPLINGS["4:2:0"], LARGE_SAMPLINGS["4x4"]])
def test_restart_intervals(interval, factors):
    image = draw_coefficients(7, 60, 75, factors)
    data = check_reads_back(image, restart_interval=interval)
    assert data.count(b"\xff\xdd\0\4" + interval.to_bytes(2, "big")) == 1
    blocks = [c.coefficients.shape[0] * c.coefficients.shape[1] for c in image.components]
    scans = blocks if factors[0] == (4, 4) else [4 * 5]
    found = sum(data.count(bytes([0xFF, 0xD0 + number])) for number in range(8))
    assert found == sum(-(-mcus // interval) - 1 for mcus in scans)


@pytest.mark.parametrize("interval", [-1, 65536])
def test_restart_interval_is_checked(interval):
    with pytest.raises(ValueError, match=f"from 0 to 65535 MCUs; got {interval}"):
        write_coefficients(gray(np.zeros((1, 1, 64))), restart_interval=interval)


@pytest.mark.parametrize("n", [1, 2, 15, 16, 33, 63])
def test_fewer_frequencies(n):
    part = read_coefficients(save(draw_pixels(8, 50, 60), quality=90), n)
    data = write_coefficients(part)
    check_same(read_coefficients(data, n), part)
    check_same(read_coefficients(jpegtran(data, "-copy", "none"), n), part)
    read = read_coefficients(data)
    for a, b in zip(read.components, part.components):
        assert not a.coefficients[..., n:].any()
        assert (a.quantization[n:] == b.quantization.max()).all()


@pytest.mark.parametrize("n", [1, 5, 63])
def test_fewer_frequencies_none_of_them_zero(n):
    image = gray(np.full((2, 3, n), 7))
    read = read_coefficients(write_coefficients(image))
    np.testing.assert_array_equal(read.components[0].coefficients[..., :n], 7)
    assert not read.components[0].coefficients[..., n:].any()


def test_arrays_of_any_layout():
    image = draw_coefficients(9, 24, 32, SAMPLINGS["4:4:4"])
    odd = []
    for component in image.components:
        coefficients = np.asfortranarray(component.coefficients)
        coefficients.setflags(write=False)
        odd.append(dataclasses.replace(component, coefficients=coefficients))
    odd[1] = dataclasses.replace(odd[1], coefficients=image.components[1].coefficients[::-1, ::-1])
    check_reads_back(dataclasses.replace(image, components=tuple(odd)))


def quantization_tables(data):
    return Image.open(io.BytesIO(data)).quantization


@pytest.mark.parametrize("numbers", [(0, 0, 0), (0, 1, 1), (0, 1, 0), (0, 0, 1), (0, 1, 2)])
def test_quantization_tables_are_shared(numbers):
    image = draw_coefficients(10, 20, 20, SAMPLINGS["4:4:4"])
    tables = np.random.default_rng(10).integers(1, 256, (3, 64)).astype(np.uint16)
    components = tuple(
        dataclasses.replace(component, quantization=tables[number].copy())
        for component, number in zip(image.components, numbers)
    )
    data = check_reads_back(dataclasses.replace(image, components=components))
    assert len(quantization_tables(data)) == len(set(numbers))


@pytest.mark.parametrize(("largest", "marker"), [(255, 0xC0), (256, 0xC1), (65535, 0xC1)])
def test_wide_quantization_tables(largest, marker):
    image = draw_coefficients(11, 20, 20, SAMPLINGS["4:2:0"])
    image.components[1].quantization[5] = largest
    data = check_reads_back(image)
    assert bytes([0xFF, marker]) in data
    # jpegtran's word about what it writes itself.
    warning = b"too coarse for baseline" if largest > 255 else b""
    check_same(read_coefficients(jpegtran(data, warning=warning)), image)


def test_steps_of_zero_are_refused():
    image = draw_coefficients(11, 20, 20, SAMPLINGS["4:2:0"])
    image.components[1].quantization[5] = 0
    with pytest.raises(ValueError, match=r"component 1 .* coefficient 5 \(zigzag\) has 0"):
        write_coefficients(image)


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (0, 2048, "a DC coefficient of 2048; -2047 to 2047"),
        (0, -2048, "a DC coefficient of -2048; -2047 to 2047"),
        (0, -32768, "a DC coefficient of -32768; -2047 to 2047"),
        (1, 1024, "an AC coefficient of 1024; -1023 to 1023"),
        (63, -1024, "an AC coefficient of -1024; -1023 to 1023"),
        (30, 32767, "an AC coefficient of 32767; -1023 to 1023"),
        (30, -32768, "an AC coefficient of -32768; -1023 to 1023"),
    ],
)
@pytest.mark.parametrize("sampling", ["4:2:0", "4x4"])
def test_values_that_cannot_be_coded_are_refused(at, value, message, sampling):
    factors = {**SAMPLINGS, **LARGE_SAMPLINGS}[sampling]
    image = draw_coefficients(12, 90, 100, factors, largest_value=500)
    for index, component in enumerate(image.components):
        changed = component.coefficients.copy()
        changed[1, 2, at] = value
        components = list(image.components)
        components[index] = dataclasses.replace(component, coefficients=changed)
        with pytest.raises(
            ValueError, match=f"component {index}, block row 1, column 2 has {message}"
        ):
            write_coefficients(dataclasses.replace(image, components=tuple(components)))


def test_differences_of_dc_that_cannot_be_coded_are_refused():
    image = gray([[scalar(1024), scalar(-1024)]])
    with pytest.raises(ValueError, match="row 0, column 1 .* differs by -2048 .* before it"):
        write_coefficients(image)
    check_reads_back(image, restart_interval=1)  # nothing before it


def test_numbers_of_components_that_jfif_does_not_know_are_refused():
    one = gray(np.zeros((1, 1, 64))).components[0]
    for number in (2, 4):
        with pytest.raises(ValueError, match=f"or 3 .*; got {number}"):
            write_coefficients(JpegCoefficients(8, 8, (one,) * number))


def test_colour_spaces_as_pillow_sees_them():
    image = draw_coefficients(13, 16, 16, SAMPLINGS["4:4:4"], largest_value=3)
    flat = [
        dataclasses.replace(c, coefficients=np.zeros_like(c.coefficients)) for c in image.components
    ]
    flat[0] = dataclasses.replace(flat[0], quantization=np.full(64, 8, np.uint16))
    flat[0].coefficients[..., 0] = 100  # 128 + 8 * 100 / 8 in pixels
    ycbcr = dataclasses.replace(image, components=tuple(flat))
    rgb = dataclasses.replace(ycbcr, rgb=True)
    gray_image = dataclasses.replace(image, components=(flat[0],))
    for stored, mode, color in (
        (ycbcr, "RGB", (228, 228, 228)),
        (rgb, "RGB", (228, 128, 128)),
        (gray_image, "L", 228),
    ):
        picture = Image.open(io.BytesIO(write_coefficients(stored)))
        assert picture.mode == mode
        assert picture.getpixel((3, 4)) == color
        assert ("jfif" in picture.info) == (not stored.rgb)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("rgb", [False, True])
def test_orientation_as_pillow_sees_it(orientation, rgb):
    image = draw_coefficients(14, 16, 16, SAMPLINGS["4:4:4"])
    image = dataclasses.replace(image, orientation=orientation, rgb=rgb)
    exif = Image.open(io.BytesIO(write_coefficients(image))).getexif()
    assert dict(exif) == ({} if orientation == 1 else {274: orientation})


def huffman_bits(weights):
    """The bits of an optimal code, lengths without limit."""
    heap = list(weights)
    heapq.heapify(heap)
    total = 0
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        total += merged
        heapq.heappush(heap, merged)
    return total


@pytest.mark.parametrize("number", [1, 2, 3, 12, 100, 256])
def test_tables_are_optimal(number):
    rng = np.random.default_rng(number)
    frequencies = np.zeros(256, np.int64)
    used = rng.choice(256, number, replace=False)
    frequencies[used] = rng.integers(1, 1000, number)
    table = build_optimal_table(1, frequencies)
    codes, lengths = list_codes(table)
    assert sorted(table.symbols) == sorted(used)
    # One more code as long as the longest, that of all ones, is left out.
    longest = max(length for length, count in enumerate(table.counts, 1) if count)
    bits = int((frequencies * lengths.astype(np.int64)).sum())
    assert bits + longest == huffman_bits([*frequencies[used].tolist(), 1])
    texts = sorted(format(int(codes[s]), f"0{int(lengths[s])}b") for s in used)
    assert not any(b.startswith(a) for a, b in zip(texts, texts[1:]))
    assert "0" in texts[-1]


@pytest.mark.parametrize("number", [17, 18, 30, 60])
def test_lengths_are_limited_to_16(number):
    # Weights as Fibonacci's numbers make the deepest tree there is.
    frequencies = np.zeros(256, np.int64)
    a, b = 1, 1
    for symbol in range(number):
        frequencies[255 - symbol] = a
        a, b = b, a + b
    table = build_optimal_table(0, frequencies)  # HuffmanTable checks that codes can be told apart
    assert len(table.symbols) == number
    _, lengths = list_codes(table)
    assert lengths.max() == 16
    assert (np.diff(lengths[256 - number :].astype(np.int64)) >= 0).all()
