from __future__ import annotations

import io
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from jpegkeras.jpeg import JpegFormatError, read_coefficients
from jpegkeras.transcoding import (
    CONVERTED,
    REENCODED,
    UNTOUCHED,
    Transcoding,
    UnreadableImageError,
    transcode,
)
from tests.preprocess.helpers import draw, encode


def luma(data_or_image):
    image = (
        data_or_image if hasattr(data_or_image, "components") else read_coefficients(data_or_image)
    )
    return image.components[0]


def route(data, **settings):
    result = transcode(data, Transcoding(**settings))
    assert result.image.subsampling == settings.get("subsampling", "4:2:0")
    assert len(result.image.components) == 3
    return result.route, result.reason


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_a_file_of_the_sampling_is_untouched(sampling):
    data = encode(draw(1, 43, 59), subsampling=sampling)
    result = transcode(data, Transcoding(subsampling=sampling))
    assert (result.route, result.reason) == (UNTOUCHED, "")
    for ours, original in zip(result.image.components, read_coefficients(data).components):
        np.testing.assert_array_equal(ours.coefficients, original.coefficients)
        np.testing.assert_array_equal(ours.quantization, original.quantization)
        assert ours.sampling == original.sampling


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (source, target)
        for source in ("4:4:4", "4:2:2", "4:2:0", "gray")
        for target in ("4:4:4", "4:2:2", "4:2:0")
        if source != target
    ],
)
def test_another_sampling_is_converted_and_the_luma_stays(source, target):
    picture = draw(2, 43, 59, "L" if source == "gray" else "RGB")
    data = encode(picture, **({} if source == "gray" else {"subsampling": source}))
    result = transcode(data, Transcoding(subsampling=target))
    assert (result.route, result.reason) == (CONVERTED, f"{source} to {target}")
    assert result.image.subsampling == target
    np.testing.assert_array_equal(luma(result.image).coefficients, luma(data).coefficients)
    np.testing.assert_array_equal(luma(result.image).quantization, luma(data).quantization)


def test_what_the_reader_does_not_handle_is_reencoded():
    assert route(encode(progressive=True)) == (REENCODED, "progressive DCT")
    assert route(encode(draw(mode="CMYK"))) == (REENCODED, "CMYK (4 components)")
    assert route(encode(kind="PNG")) == (REENCODED, "not a JPEG")
    assert route(encode(draw(mode="L"), progressive=True)) == (REENCODED, "progressive DCT")
    assert route(encode(draw().convert("RGBA"), "PNG")) == (REENCODED, "not a JPEG")
    assert route(encode(draw(mode="1"), "PNG"), subsampling="4:4:4") == (REENCODED, "not a JPEG")


def test_arithmetic_coding_is_reencoded():
    jpegtran = shutil.which("jpegtran")
    if not jpegtran:
        pytest.skip("needs jpegtran to make a file with arithmetic coding")
    done = subprocess.run([jpegtran, "-arithmetic"], input=encode(), capture_output=True)
    if done.returncode:
        pytest.skip("this jpegtran cannot write arithmetic coding")
    assert route(done.stdout) == (REENCODED, "arithmetic coding")


def test_reencoding_keeps_the_tables_and_nearly_the_coefficients():
    """A progressive file is decoded to pixels and encoded with its own tables again."""
    picture = draw(3, 48, 64)
    baseline = transcode(encode(picture, quality=60), Transcoding()).image
    again = transcode(encode(picture, quality=60, progressive=True), Transcoding()).image
    for ours, expected in zip(again.components, baseline.components):
        np.testing.assert_array_equal(ours.quantization, expected.quantization)
        assert np.abs(ours.coefficients - expected.coefficients).max() <= 1


def test_custom_tables_keep_their_order():
    """Tables that differ in every frequency, so that a wrong order cannot hide."""
    tables = [list(range(1, 65)), list(range(64, 0, -1))]
    original = encode(draw(4), qtables=tables, progressive=True)
    plain = encode(draw(4), qtables=tables)
    result = transcode(original, Transcoding())
    assert result.route == REENCODED
    for ours, expected in zip(result.image.components, read_coefficients(plain).components):
        np.testing.assert_array_equal(ours.quantization, expected.quantization)


def test_quality_sets_the_tables():
    expected = luma(encode(quality=35)).quantization
    result = transcode(encode(quality=90), Transcoding(quality=35))
    assert (result.route, result.reason) == (REENCODED, "quality 35")
    np.testing.assert_array_equal(luma(result.image).quantization, expected)


def test_without_tables_the_quality_is_95():
    expected = luma(encode(quality=95)).quantization
    result = transcode(encode(kind="PNG"), Transcoding())
    np.testing.assert_array_equal(luma(result.image).quantization, expected)


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [
        ((100, 60), 30, (50, 30)),
        ((60, 100), 30, (30, 50)),
        ((60, 61), 30, (30, 30)),
        ((20, 31), 30, (30, 46)),
        ((999, 2), 30, (14985, 30)),
    ],
)
def test_the_smallest_side(size, side, expected):
    width, height = size
    result = transcode(encode(draw(5, height, width)), Transcoding(smallest_side=side))
    assert (result.route, result.reason) == (REENCODED, f"smallest side {side}")
    assert (result.image.width, result.image.height) == expected


def test_an_image_of_the_right_size_is_untouched():
    assert route(encode(draw(5, 30, 77)), smallest_side=30) == (UNTOUCHED, "")


def test_the_resized_picture_is_the_resized_picture():
    picture = draw(6, 64, 96)
    small = transcode(encode(picture, quality=100), Transcoding(smallest_side=32)).image
    expected = read_coefficients(
        encode(picture.resize((48, 32), Image.Resampling.BICUBIC), quality=100)
    )
    # In gray levels: the mean brightness of each block, of which a DC of 8 is one.
    ours, theirs = (
        c.coefficients[..., 0] * c.quantization[0] / 8 for c in (luma(small), luma(expected))
    )
    assert np.abs(ours - theirs).max() < 2


@pytest.mark.parametrize("count", [1, 16, 64])
@pytest.mark.parametrize("data", [encode(), encode(subsampling="4:4:4"), encode(kind="PNG")])
def test_the_number_of_frequencies(data, count):
    full = transcode(data, Transcoding()).image
    image = transcode(data, Transcoding(num_frequencies=count)).image
    for ours, whole in zip(image.components, full.components):
        np.testing.assert_array_equal(ours.coefficients, whole.coefficients[..., :count])
        np.testing.assert_array_equal(ours.quantization, whole.quantization[:count])


def test_what_nothing_can_read():
    baseline = encode(draw(7, 64, 64))
    with pytest.raises(JpegFormatError, match="truncated"):
        transcode(baseline[: len(baseline) // 2], Transcoding())
    for data in (b"", b"text", b"\x89PNG\r\n\x1a\n" + bytes(40)):
        with pytest.raises(UnreadableImageError, match="cannot be opened: it is no image"):
            transcode(data, Transcoding())
    for data in (encode(progressive=True), encode(kind="PNG")):
        with pytest.raises(UnreadableImageError, match="cannot be decoded"):
            transcode(data[: len(data) // 2], Transcoding())


@pytest.mark.filterwarnings("ignore::UserWarning")  # what Pillow thinks of damaged TIFFs
@pytest.mark.parametrize("settings", [{}, {"smallest_side": 20}, {"quality": 50}])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF"])
def test_damaged_files_are_read_or_refused_but_nothing_else(kind, settings):
    """Every error is a ValueError with a message, whatever Pillow raises inside."""
    if kind == "WEBP" and not _can_write(kind):
        pytest.skip("this Pillow has no WebP")
    rng = np.random.default_rng(1)
    whole = np.frombuffer(encode(draw(8), kind), np.uint8)
    for _ in range(60):
        data = whole[: rng.integers(len(whole))].copy()
        places = rng.integers(max(len(data), 1), size=3)
        if len(data):
            data[places] = rng.integers(256, size=3)
        try:
            transcode(data.tobytes(), Transcoding(**settings))
        except ValueError as error:
            assert str(error)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"smallest_side": 0}, "smallest_side must be at least 1 pixel; got 0"),
        ({"quality": 0}, "quality must be from 1 to 100; got 0"),
        ({"quality": 101}, "quality must be from 1 to 100; got 101"),
        ({"num_frequencies": 65}, "num_frequencies must be from 1 to 64; got 65"),
        ({"subsampling": "4:1:1"}, "sampling must be one of 4:4:4, 4:2:2, 4:2:0; got '4:1:1'"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        Transcoding(**settings)


def _can_write(kind):
    try:
        draw().save(io.BytesIO(), kind)
    except (KeyError, OSError):
        return False
    return True


def decoded(result, index=0):
    """The mean level of each block of a component, [rows, cols]."""
    component = result.image.components[index]
    return component.coefficients[..., 0] * float(component.quantization[0]) / 8 + 128


def encode_png(picture):
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def test_samples_of_16_bits_are_scaled_not_clipped():
    ramp = np.tile(np.linspace(0, 65535, 64), (16, 1)).astype(np.uint16)
    result = transcode(encode_png(Image.fromarray(ramp)), Transcoding())
    expected = ramp.reshape(2, 8, 8, 8).mean(axis=(1, 3)) / 257
    np.testing.assert_allclose(decoded(result), expected, atol=1.5)


def test_what_is_transparent_becomes_white():
    picture = Image.new("RGBA", (32, 16), (255, 0, 0, 0))
    picture.paste((0, 0, 0, 255), (0, 0, 16, 16))
    for image in (picture, picture.convert("LA"), picture.quantize(4)):
        np.testing.assert_allclose(
            decoded(transcode(encode_png(image), Transcoding()))[0], [0, 0, 255, 255], atol=2
        )


def test_floating_point_is_refused():
    out = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.float32)).save(out, "TIFF")
    with pytest.raises(UnreadableImageError, match="floating point"):
        transcode(out.getvalue(), Transcoding())


def test_tables_follow_their_components_whatever_their_numbers():
    plain = encode(draw(3, 32, 32), quality=60)
    luma_table, chroma_table = (c.quantization for c in read_coefficients(plain).components[:2])
    # Both the tables' and the components' numbers swapped: the same picture.
    swapped = bytearray(plain)
    first = swapped.index(b"\xff\xdb\x00\x43\x00")
    second = swapped.index(b"\xff\xdb\x00\x43\x01")
    swapped[first + 4], swapped[second + 4] = 1, 0
    frame = swapped.index(b"\xff\xc0")
    for offset, number in ((12, 1), (15, 0), (18, 0)):
        swapped[frame + offset] = number
    untouched = transcode(bytes(swapped), Transcoding())
    resized = transcode(bytes(swapped), Transcoding(smallest_side=24))
    assert (untouched.route, resized.route) == (UNTOUCHED, REENCODED)
    for result in (untouched, resized):
        np.testing.assert_array_equal(result.image.components[0].quantization, luma_table)
        np.testing.assert_array_equal(result.image.components[1].quantization, chroma_table)


def test_a_picture_too_long_for_a_jpeg_is_refused_before_it_is_made():
    data = encode_png(Image.new("L", (1, 3000)))
    with pytest.raises(UnreadableImageError, match="1×3000 would become 256×768000"):
        transcode(data, Transcoding(smallest_side=256))


@pytest.mark.parametrize("settings", [{}, {"smallest_side": 32}, {"quality": 50}])
def test_a_damaged_jpeg_is_refused_by_every_route(settings):
    data = encode(draw(4, 64, 64))
    with pytest.raises(JpegFormatError):
        transcode(data[:-2] + b"\xff\xd0\xff\xd9", Transcoding(**settings))
