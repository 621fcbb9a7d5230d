"""The coefficients are, bit by bit, the ones the file was written with."""

from __future__ import annotations

import io
import shutil
import subprocess

import jpeglib
import numpy as np
import pytest
import scipy.fft
from PIL import Image

from jpegkeras.jpeg import ZIGZAG, read_coefficients
from tests.jpeg import encoder
from tests.jpeg.conftest import draw_pixels, save


def check_against_jpeglib(path):
    image = read_coefficients(path)
    expected = jpeglib.read_dct(str(path))
    assert (image.height, image.width) == (expected.height, expected.width)
    planes = [expected.Y] + ([expected.Cb, expected.Cr] if expected.has_chrominance else [])
    assert len(image.components) == len(planes)
    for component, plane in zip(image.components, planes):
        raster = plane.reshape(*plane.shape[:2], 64)
        np.testing.assert_array_equal(component.coefficients, raster[..., ZIGZAG])
    return image


def check_against_image(read, image):
    assert (read.height, read.width) == (image.height, image.width)
    for component, plane in zip(read.components, image.planes):
        np.testing.assert_array_equal(component.coefficients, plane.coefficients)
        assert component.sampling == (plane.h, plane.v)
        table = image.quantization[plane.quantization]
        np.testing.assert_array_equal(component.quantization, table)


@pytest.fixture
def jpeg_path(tmp_path):
    def write(data):
        path = tmp_path / "image.jpg"
        path.write_bytes(data)
        return path

    return write


def test_imagenet_samples_match_jpeglib(sample_files):
    seen = {check_against_jpeglib(path).subsampling for path in sample_files}
    assert {"gray", "4:4:4", "4:2:2", "4:2:0"} <= seen


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0", "gray"])
@pytest.mark.parametrize(
    "size",
    [(1, 1), (1, 9), (7, 8), (8, 7), (8, 8), (9, 17), (15, 16), (16, 16), (17, 15), (33, 17)],
)
def test_sizes_match_jpeglib(jpeg_path, subsampling, size):
    options = {} if subsampling == "gray" else {"subsampling": subsampling}
    pixels = draw_pixels(1, *size, channels=1 if subsampling == "gray" else 3)
    image = check_against_jpeglib(jpeg_path(save(pixels, quality=90, **options)))
    assert image.subsampling == subsampling


@pytest.mark.parametrize(
    "options",
    [
        *({"quality": quality} for quality in (1, 2, 5, 10, 25, 50, 75, 90, 95, 98, 99, 100)),
        {"optimize": True},
        {"quality": 100, "optimize": True},
        {"restart_marker_blocks": 1},
        {"restart_marker_blocks": 7},
        {"restart_marker_rows": 1},
        {"restart_marker_rows": 2, "optimize": True},
        {"quality": 100, "subsampling": "4:4:4", "restart_marker_blocks": 3},
    ],
    ids=str,
)
def test_encoder_options_match_jpeglib(jpeg_path, options):
    check_against_jpeglib(jpeg_path(save(draw_pixels(2, 150, 203), **options)))


def test_extreme_pixels_match_jpeglib(jpeg_path):
    pixels = np.random.default_rng(3).choice([0, 255], (64, 80, 3)).astype(np.uint8)
    check_against_jpeglib(jpeg_path(save(pixels, quality=100, subsampling="4:4:4")))


def test_coefficients_are_the_dct_of_the_pixels():
    # Independent of every JPEG library but the decoder of pixels: fixes order and orientation.
    data = save(draw_pixels(4, 40, 56, channels=1), quality=80)
    component = read_coefficients(data).components[0]
    blocks = np.zeros((5, 7, 64))
    blocks[..., ZIGZAG] = component.coefficients * component.quantization.astype(np.int64)
    pixels = scipy.fft.idctn(blocks.reshape(5, 7, 8, 8), axes=(2, 3), norm="ortho") + 128
    pixels = np.clip(pixels.transpose(0, 2, 1, 3).reshape(40, 56), 0, 255)
    decoded = np.asarray(Image.open(io.BytesIO(data)))
    assert np.abs(pixels - decoded).max() <= 1


def test_zigzag_is_figure_a6():
    assert ZIGZAG[:11].tolist() == [0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32]
    assert ZIGZAG[-6:].tolist() == [61, 54, 47, 55, 62, 63]
    assert sorted(ZIGZAG.tolist()) == list(range(64))


def test_quantization_tables_match_pillow():
    data = save(draw_pixels(5, 32, 32), quality=60)
    # Pillow hands tables over in raster order since its version 8.3.
    tables = Image.open(io.BytesIO(data)).quantization
    components = read_coefficients(data).components
    for component, number in zip(components, (0, 1, 1)):
        raster = np.zeros(64, np.int64)
        raster[ZIGZAG] = component.quantization
        assert raster.tolist() == list(tables[number])
    assert components[0].quantization.tolist() != components[1].quantization.tolist()


SAMPLINGS = {
    "4:4:4": [(1, 1)] * 3,
    "4:4:4 by factors 2": [(2, 1)] * 3,
    "4:2:2": [(2, 1), (1, 1), (1, 1)],
    "4:4:0": [(1, 2), (1, 1), (1, 1)],
    "4:2:0": [(2, 2), (1, 1), (1, 1)],
    "4:1:1": [(4, 1), (1, 1), (1, 1)],
    "4:1:0": [(4, 2), (1, 1), (1, 1)],
    "4:2:2 with factors 2": [(2, 2), (1, 2), (1, 2)],
    "3:1": [(3, 1), (1, 1), (1, 1)],
    "3:2": [(3, 1), (2, 1), (2, 1)],
    "1:4": [(1, 4), (1, 1), (1, 1)],
    "luma smaller": [(1, 1), (2, 2), (2, 2)],
    "chroma unlike": [(2, 2), (2, 1), (1, 2)],
    "4:3:2": [(4, 1), (3, 1), (2, 1)],
}
NAMES = {"4:4:4 by factors 2": "4:4:4", "4:2:2 with factors 2": "4:2:2"}


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("scans", [[[0, 1, 2]], [[0], [1], [2]], [[2], [0, 1]], [[1, 2], [0]]])
def test_every_sampling_and_scan_order(sampling, scans):
    for seed, size in enumerate([(1, 1), (8, 33), (35, 50), (70, 31)]):
        image = encoder.draw_image(seed, *size, SAMPLINGS[sampling])
        read = read_coefficients(encoder.encode(image, scans))
        check_against_image(read, image)
        known = sampling[0] == "4" and sampling != "4:3:2"
        assert read.subsampling == (NAMES.get(sampling, sampling) if known else "other")


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("scans", [[[0, 1, 2]], [[0], [1], [2]]])
@pytest.mark.parametrize("interval", [0, 3])
def test_libjpeg_reads_the_same_from_our_encoder(tmp_path, sampling, scans, interval):
    # jpegtran moves the coefficients to tables and one interleaved scan of its own.
    if shutil.which("jpegtran") is None:
        pytest.skip("jpegtran (libjpeg-turbo) is not installed")
    image = encoder.draw_image(6, 41, 90, SAMPLINGS[sampling])
    path = tmp_path / "image.jpg"
    path.write_bytes(encoder.encode(image, scans, restart_interval=interval))
    command = ["jpegtran", "-optimize", "-copy", "none", str(path)]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stderr == b""
    check_against_image(read_coefficients(done.stdout), image)


@pytest.mark.parametrize("tables", encoder.TABLES)
@pytest.mark.parametrize("largest_value", [1, 10, 1023])
def test_codes_and_values_of_every_length(tables, largest_value):
    image = encoder.draw_image(7, 90, 70, SAMPLINGS["4:2:0"], largest_value, density=0.5)
    check_against_image(read_coefficients(encoder.encode(image, tables=tables)), image)


@pytest.mark.parametrize("interval", [1, 2, 5, 1000])
@pytest.mark.parametrize("scans", [[[0, 1, 2]], [[0], [1], [2]]])
def test_restart_intervals(interval, scans):
    image = encoder.draw_image(8, 60, 75, SAMPLINGS["4:2:0"])
    data = encoder.encode(image, scans, restart_interval=interval)
    assert (b"\xff\xd0" in data) == (interval < 1000)
    if interval == 1:  # the numbers wrap
        assert data.count(b"\xff\xd0") > 1
    check_against_image(read_coefficients(data), image)


@pytest.mark.parametrize("marker", [0xC0, 0xC1])
@pytest.mark.parametrize("bits", [8, 16])
def test_frames_and_wide_quantization_tables(marker, bits):
    image = encoder.draw_image(9, 20, 20, SAMPLINGS["4:2:2"])
    if bits == 16:
        image.quantization[0][:] = np.arange(64) * 1000 + 1
    data = encoder.encode(image, marker=marker, quantization_bits=bits)
    check_against_image(read_coefficients(data), image)


def test_factors_of_a_single_component_do_not_matter():
    # T.81 A.2.2: its scan is not interleaved, an MCU is one block.
    image = encoder.draw_image(10, 30, 43, [(2, 2)])
    read = read_coefficients(encoder.encode(image))
    check_against_image(read, image)
    assert read.subsampling == "gray"


def test_large_sides():
    for size in ((65535, 3), (3, 65535)):
        image = encoder.draw_image(11, *size, [(1, 1)], density=0)
        check_against_image(read_coefficients(encoder.encode(image)), image)


def test_tables_as_of_the_time_of_the_scan():
    image = encoder.draw_image(12, 24, 24, SAMPLINGS["4:4:4"])
    flat, long = encoder.TABLES["flat"], encoder.TABLES["long"]
    for plane, number in zip(image.planes, (0, 0, 3)):
        plane.quantization = number
    first, second, third = np.full(64, 5), np.full(64, 6), np.full(64, 7)
    data = b"\xff\xd8" + encoder.dqt({0: first}) + encoder.sof(image, 0xC1)
    data += encoder.dht(0, 0, flat[0]) + encoder.dht(1, 0, flat[1])
    data += encoder.sos(image, [0]) + encoder.entropy_code(image, [0], flat)
    # Both redefined between scans; several tables in one segment; table numbers up to 3.
    data += encoder.dqt({0: second, 3: third})
    data += encoder.dht(0, 0, long[0]) + encoder.dht(1, 0, long[1])
    data += encoder.sos(image, [1]) + encoder.entropy_code(image, [1], long)
    data += encoder.dht(0, 3, flat[0]) + encoder.dht(1, 2, flat[1])
    data += encoder.sos(image, [2], (3, 2)) + encoder.entropy_code(image, [2], flat)
    read = read_coefficients(data + b"\xff\xd9")
    for component, plane, table in zip(read.components, image.planes, (first, second, third)):
        np.testing.assert_array_equal(component.coefficients, plane.coefficients)
        np.testing.assert_array_equal(component.quantization, table)


def test_restart_interval_may_change_between_scans():
    image = encoder.draw_image(13, 24, 40, SAMPLINGS["4:4:4"])
    data = encoder.encode(image, [[0]], restart_interval=2, end=b"")
    flat = encoder.TABLES["flat"]
    data += encoder.segment(0xDD, b"\0\0")
    data += encoder.sos(image, [1, 2]) + encoder.entropy_code(image, [1, 2], flat)
    check_against_image(read_coefficients(data), image)


def test_fill_bytes_comments_and_trailing_data():
    image = encoder.draw_image(14, 20, 30, SAMPLINGS["4:2:0"])
    plain = encoder.encode(image, restart_interval=1)
    comment = encoder.segment(0xFE, b"\xff\xd9 not the end") + encoder.segment(0xE5, b"")
    filled = encoder.encode(image, restart_interval=1, before_frame=comment)
    for marker in (b"\xff\xda", b"\xff\xc0", b"\xff\xdd", b"\xff\xd0", b"\xff\xd1", b"\xff\xd9"):
        assert filled.count(marker) >= 1
        head, _, tail = filled.rpartition(marker)
        filled = head + b"\xff\xff" + marker + tail
    for data in (plain, filled, filled + b"trailing \xff\xd8\xff data", plain[:-2], plain[:-1]):
        check_against_image(read_coefficients(data), image)


def test_band_of_zeros_is_let_pass():
    image = encoder.draw_image(15, 20, 30, SAMPLINGS["4:2:0"])
    data = encoder.encode(image)
    assert data.count(b"\x00\x3f\x00") == 1
    check_against_image(read_coefficients(data.replace(b"\x00\x3f\x00", b"\0\0\0")), image)


@pytest.mark.parametrize("head", ["JFIF", "Adobe 1", "JFIF and RGB", "other identifiers"])
def test_colour_spaces_libjpeg_takes_for_ycbcr(head):
    jfif = encoder.segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")
    adobe = encoder.segment(0xEE, b"Adobe\0\x64\0\0\0\0\1")
    before = {"JFIF": jfif, "Adobe 1": adobe, "JFIF and RGB": jfif}.get(head, b"")
    identifiers = {"JFIF and RGB": b"RGB", "other identifiers": b"\x07\x00\xff"}.get(
        head, b"\1\2\3"
    )
    image = encoder.draw_image(16, 9, 9, SAMPLINGS["4:4:4"], identifiers=identifiers)
    check_against_image(read_coefficients(encoder.encode(image, before_frame=before)), image)


@pytest.mark.parametrize("n", [1, 2, 16, 32, 63, 64])
def test_fewer_frequencies_are_a_prefix(n):
    for data in (
        save(draw_pixels(17, 50, 60), quality=97),
        encoder.encode(encoder.draw_image(17, 50, 60, SAMPLINGS["4:1:0"]), tables="long"),
    ):
        whole, part = read_coefficients(data), read_coefficients(data, n)
        assert part.num_frequencies == n
        for a, b in zip(whole.components, part.components):
            assert b.coefficients.flags.c_contiguous and b.coefficients.dtype == np.int16
            np.testing.assert_array_equal(a.coefficients[..., :n], b.coefficients)
            np.testing.assert_array_equal(a.quantization[:n], b.quantization)


@pytest.mark.parametrize("n", [0, -1, 65])
def test_number_of_frequencies_is_checked(n):
    with pytest.raises(ValueError, match=f"from 1 to 64; got {n}"):
        read_coefficients(save(draw_pixels(18, 8, 8)), n)


def test_kinds_of_input(tmp_path):
    data = save(draw_pixels(19, 20, 20))
    path = tmp_path / "image.jpg"
    path.write_bytes(data)
    expected = read_coefficients(data).components[0].coefficients
    for item in (bytearray(data), memoryview(data), path, str(path)):
        read = read_coefficients(item).components[0].coefficients
        np.testing.assert_array_equal(read, expected)
    with pytest.raises(FileNotFoundError):
        read_coefficients(tmp_path / "none.jpg")
    with pytest.raises(OSError):
        read_coefficients(tmp_path)
