"""What a JPEG may hold besides a plain image: progressive scans, DNL, RGB, EXIF, other images."""

from __future__ import annotations

import io
import struct

import jpeglib
import numpy as np
import pytest
from PIL import Image

from jpegkeras.jpeg import ZIGZAG, JpegFormatError, read_batch, read_coefficients
from tests.jpeg import encoder
from tests.jpeg.conftest import draw_pixels, save

YCBCR = [(2, 2), (1, 1), (1, 1)]


def check_planes(read, image):
    assert (read.height, read.width) == (image.height, image.width)
    for component, plane in zip(read.components, image.planes):
        np.testing.assert_array_equal(component.coefficients, plane.coefficients)
        np.testing.assert_array_equal(
            component.quantization, image.quantization[plane.quantization]
        )


def check_against_jpeglib(data, path):
    path.write_bytes(data)
    expected = jpeglib.read_dct(str(path))
    read = read_coefficients(data)
    planes = [expected.Y] + ([expected.Cb, expected.Cr] if expected.has_chrominance else [])
    for component, plane in zip(read.components, planes):
        raster = np.zeros(component.coefficients.shape, np.int16)
        raster[..., ZIGZAG] = component.coefficients
        np.testing.assert_array_equal(raster, plane.reshape(raster.shape))
    return read


def dnl(lines):
    return encoder.segment(0xDC, struct.pack(">H", lines))


def with_lines(image, claimed, lines, scans=None, **options):
    """The image's file with another height in the frame header, and DNL after the first scan."""
    data = encoder.encode(image, scans, **options)
    header = encoder.sof(image)
    assert data.count(header) == 1
    data = data.replace(header, header[:5] + struct.pack(">H", claimed) + header[7:])
    first = data.index(b"\xff\xda") + 2
    after = next(
        at
        for at in range(first, len(data))
        if data[at] == 0xFF and data[at + 1] != 0 and not 0xD0 <= data[at + 1] <= 0xD7
    )
    return data[:after] + dnl(lines) + data[after:]


@pytest.mark.parametrize("claimed", [0, 41, 300, 20])
@pytest.mark.parametrize("scans", [[[0, 1, 2]], [[0], [1], [2]]])
@pytest.mark.parametrize("interval", [0, 2])
def test_number_of_lines_is_taken_from_dnl(claimed, scans, interval):
    image = encoder.draw_image(1, 41, 30, YCBCR)
    data = with_lines(image, claimed, 41, scans, restart_interval=interval)
    check_planes(read_coefficients(data), image)
    check_planes(read_batch([data] * 3)[2], image)


def test_dnl_of_the_same_mcu_rows_still_counts():
    image = encoder.draw_image(1, 41, 30, YCBCR)
    assert read_coefficients(with_lines(image, 48, 41)).height == 41


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda image: with_lines(image, 0, 41).replace(dnl(41), b""), "there is none"),
        (lambda image: with_lines(image, 0, 0), "at least 1; got 2 bytes, 0"),
        (lambda image: with_lines(image, 0, 400), "cannot fit|ends before"),
        (lambda image: with_lines(image, 0, 20), "left after the last block"),
        (
            lambda image: encoder.encode(image, before_frame=dnl(41)),
            "marker 0xDC must not stand here",
        ),
    ],
)
def test_bad_numbers_of_lines(data, message):
    image = encoder.draw_image(1, 41, 30, YCBCR)
    with pytest.raises(JpegFormatError, match=message):
        read_coefficients(data(image))


def test_dnl_bytes_elsewhere_do_not_matter():
    image = encoder.draw_image(1, 41, 30, YCBCR)
    comment = encoder.segment(0xFE, b"\xff\xdc\x00\x04\x00\x01")
    check_planes(read_coefficients(encoder.encode(image, before_frame=comment)), image)
    check_planes(read_coefficients(encoder.encode(image) + dnl(5)), image)


ADOBE_RGB = encoder.segment(0xEE, b"Adobe\0\x64\0\0\0\0\0")
JFIF = encoder.segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")


@pytest.mark.parametrize(
    ("before", "identifiers", "rgb"),
    [
        (b"", b"RGB", True),
        (ADOBE_RGB, b"\1\2\3", True),
        (JFIF, b"RGB", False),
        (JFIF + ADOBE_RGB, b"\1\2\3", False),
        (b"", b"rgb", False),
    ],
)
def test_rgb_as_libjpeg_decides(before, identifiers, rgb):
    image = encoder.draw_image(2, 20, 30, [(1, 1)] * 3, identifiers=identifiers)
    data = encoder.encode(image, before_frame=before)
    read = read_coefficients(data)
    assert read.rgb == rgb
    assert read.color_space == ("RGB" if rgb else "YCbCr")
    check_planes(read, image)


def test_rgb_of_pillow():
    pixels = draw_pixels(3, 24, 24)
    assert read_coefficients(save(pixels, keep_rgb=True)).rgb
    assert not read_coefficients(save(pixels)).rgb


def exif(orientation, order="<", kind=3, count=1, tag=0x0112, before=b""):
    directory = struct.pack(order + "HHHI", 1, tag, kind, count)
    directory += struct.pack(order + "HH", orientation, 0) + bytes(4)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8 + len(before))
    return encoder.segment(0xE1, b"Exif\0\0" + head + before + directory)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(order, orientation):
    image = encoder.draw_image(4, 20, 30, YCBCR)
    data = encoder.encode(image, before_frame=exif(orientation, order, before=b"something"))
    assert read_coefficients(data).orientation == orientation
    tagged = Image.Exif()
    tagged[0x0112] = orientation
    data = save(draw_pixels(4, 20, 30), exif=tagged, progressive=orientation % 2 == 0)
    assert read_coefficients(data).orientation == orientation


@pytest.mark.parametrize(
    "segment",
    [
        b"",
        exif(0),
        exif(9),
        exif(6, kind=4),
        exif(6, count=2),
        exif(6, tag=0x0113),
        exif(6)[:-18] + bytes(18),
        encoder.segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff"),
        encoder.segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01"),
        encoder.segment(0xE1, b"Exif\0\0"),
        encoder.segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0"),
    ],
)
def test_no_orientation(segment):
    image = encoder.draw_image(4, 20, 30, YCBCR)
    read = read_coefficients(encoder.encode(image, before_frame=segment))
    assert read.orientation == 1
    check_planes(read, image)


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_the_first_of_several_images_counts(options):
    first, second = (save(draw_pixels(seed, 24, 40), **options) for seed in (5, 6))
    expected = read_coefficients(first)
    read = read_coefficients(first + second)
    for a, b in zip(read.components, expected.components):
        np.testing.assert_array_equal(a.coefficients, b.coefficients)
    buffer = io.BytesIO()
    pages = [Image.fromarray(draw_pixels(seed, 24, 40)) for seed in (5, 6)]
    pages[0].save(buffer, "MPO", save_all=True, append_images=pages[1:])
    read = read_coefficients(buffer.getvalue()).components[0].coefficients
    expected = read_coefficients(save(draw_pixels(5, 24, 40))).components[0].coefficients
    np.testing.assert_array_equal(read, expected)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"quality": 100, "subsampling": "4:4:4"},
        {"quality": 20, "subsampling": "4:2:2"},
        {"restart_marker_blocks": 1},
        {"restart_marker_rows": 1, "quality": 95},
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [(1, 1), (16, 16), (75, 130)])
def test_progressive_matches_jpeglib(tmp_path, options, size):
    data = save(draw_pixels(7, *size), progressive=True, **options)
    assert b"\xff\xc2" in data
    read = check_against_jpeglib(data, tmp_path / "image.jpg")
    part = read_coefficients(data, 10)
    for a, b in zip(part.components, read.components):
        np.testing.assert_array_equal(a.coefficients, b.coefficients[..., :10])
        assert a.coefficients.flags.c_contiguous
    (batch,) = read_batch([data], 10)
    np.testing.assert_array_equal(batch.components[0].coefficients, part.components[0].coefficients)


def test_progressive_gray(tmp_path):
    data = save(draw_pixels(8, 50, 70, channels=1), progressive=True)
    assert check_against_jpeglib(data, tmp_path / "image.jpg").color_space == "grayscale"


def test_progressive_needs_its_end():
    data = save(draw_pixels(9, 50, 70), progressive=True)
    for length in range(0, len(data) - 1, 7):
        with pytest.raises(JpegFormatError):
            read_coefficients(data[:length])


@pytest.mark.parametrize("kind", ["progressive", "plain"])
def test_mixed_batches_keep_their_order(kind):
    items = [
        save(draw_pixels(seed, 20 + seed, 30), progressive=seed % 3 == 0) for seed in range(40)
    ]
    for item, image in zip(items, read_batch(items, num_threads=2 if kind == "plain" else 1)):
        expected = read_coefficients(item)
        assert image.height == expected.height
        for a, b in zip(image.components, expected.components):
            np.testing.assert_array_equal(a.coefficients, b.coefficients)
