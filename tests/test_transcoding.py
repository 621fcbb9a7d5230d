from __future__ import annotations

import dataclasses
import io
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image, ImageOps
from scipy import fft

from jpegkeras import transcoding
from jpegkeras.jpeg import ZIGZAG, JpegFormatError, read_coefficients, write_coefficients
from jpegkeras.resampling import convert_sampling, downscale
from jpegkeras.sampling import chroma_ratio
from jpegkeras.transcoding import (
    CONVERTED,
    EXACT,
    REENCODED,
    RESIZES,
    UNTOUCHED,
    Transcoding,
    UnreadableImageError,
    transcode,
)
from tests.preprocess.helpers import draw, encode

both_ways = pytest.mark.parametrize("resize", RESIZES)


def luma(data_or_image):
    image = (
        data_or_image if hasattr(data_or_image, "components") else read_coefficients(data_or_image)
    )
    return image.components[0]


def route(data, **settings):
    """The route and the reasons of a file."""
    result = transcode(data, Transcoding(**settings))
    assert result.image.subsampling == settings.get("subsampling", "4:2:0")
    assert len(result.image.components) == 3
    assert not result.image.rgb
    return result.route, *result.reasons


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_a_file_of_the_sampling_is_untouched(sampling):
    data = encode(draw(1, 43, 59), subsampling=sampling)
    result = transcode(data, Transcoding(subsampling=sampling))
    assert (result.route, result.reasons) == (UNTOUCHED, ())
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
    assert (result.route, result.reasons) == (CONVERTED, (f"{source} to {target}",))
    assert result.image.subsampling == target
    np.testing.assert_array_equal(luma(result.image).coefficients, luma(data).coefficients)
    np.testing.assert_array_equal(luma(result.image).quantization, luma(data).quantization)


def test_what_the_reader_does_not_handle_is_reencoded():
    assert route(encode(draw(mode="CMYK"))) == (REENCODED, "CMYK (4 components)")
    assert route(encode(kind="PNG")) == (REENCODED, "not a JPEG")
    assert route(encode(draw().convert("RGBA"), "PNG")) == (REENCODED, "not a JPEG")
    assert route(encode(draw(mode="1"), "PNG"), subsampling="4:4:4") == (REENCODED, "not a JPEG")


@pytest.mark.parametrize("sampling", ["4:2:0", "4:4:4", "gray"])
def test_a_progressive_file_is_taken_as_a_baseline_one_is(sampling):
    picture = draw(9, 43, 59, "L" if sampling == "gray" else "RGB")
    options = {} if sampling == "gray" else {"subsampling": sampling}
    baseline = encode(picture, **options)
    progressive = encode(picture, progressive=True, **options)
    assert route(progressive) == route(baseline)
    images = [transcode(data, Transcoding()).image for data in (progressive, baseline)]
    for ours, expected in zip(*(image.components for image in images)):
        np.testing.assert_array_equal(ours.coefficients, expected.coefficients)
        np.testing.assert_array_equal(ours.quantization, expected.quantization)


def arithmetic_coded(data):
    """The same coefficients in a file that the reader does not handle."""
    jpegtran = shutil.which("jpegtran")
    if not jpegtran:
        pytest.skip("needs jpegtran to make a file with arithmetic coding")
    done = subprocess.run([jpegtran, "-arithmetic"], input=data, capture_output=True)
    if done.returncode:
        pytest.skip("this jpegtran cannot write arithmetic coding")
    return done.stdout


def test_arithmetic_coding_is_reencoded():
    assert route(arithmetic_coded(encode())) == (REENCODED, "arithmetic coding")


def test_reencoding_keeps_the_tables_and_nearly_the_coefficients():
    """What is decoded to pixels is encoded with its own tables again."""
    data = encode(draw(3, 48, 64), quality=60)
    baseline = transcode(data, Transcoding()).image
    again = transcode(arithmetic_coded(data), Transcoding()).image
    for ours, expected in zip(again.components, baseline.components):
        np.testing.assert_array_equal(ours.quantization, expected.quantization)
        assert np.abs(ours.coefficients - expected.coefficients).max() <= 1


@both_ways
def test_custom_tables_keep_their_order(resize):
    """Tables that differ in every frequency, so that a wrong order cannot hide."""
    tables = [list(range(1, 65)), list(range(64, 0, -1))]
    data = encode(draw(4), qtables=tables)
    result = transcode(data, Transcoding(smallest_side=24, resize=resize))
    assert result.route == REENCODED
    for ours, expected in zip(result.image.components, read_coefficients(data).components):
        np.testing.assert_array_equal(ours.quantization, expected.quantization)


@both_ways
def test_quality_sets_the_tables(resize):
    expected = read_coefficients(encode(quality=35))
    result = transcode(encode(quality=90), Transcoding(quality=35, resize=resize))
    assert (result.route, result.reasons) == (REENCODED, ("quality 35",))
    for ours, component in zip(result.image.components, expected.components):
        np.testing.assert_array_equal(ours.quantization, component.quantization)


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
@both_ways
def test_the_smallest_side(size, side, expected, resize):
    width, height = size
    settings = Transcoding(smallest_side=side, resize=resize)
    result = transcode(encode(draw(5, height, width)), settings)
    assert (result.route, result.reasons) == (REENCODED, (f"smallest side {side}",))
    assert (result.image.width, result.image.height) == expected


def test_an_image_of_the_right_size_is_untouched():
    assert route(encode(draw(5, 30, 77)), smallest_side=30) == (UNTOUCHED,)


@both_ways
def test_the_resized_picture_is_the_resized_picture(resize):
    picture = draw(6, 64, 96)
    settings = Transcoding(smallest_side=32, resize=resize)
    small = transcode(encode(picture, quality=100), settings).image
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
    for data in (encode(draw(7, 64, 64)), encode(draw(7, 64, 64), progressive=True)):
        for settings in ({}, {"quality": 50}, {"smallest_side": 32}):
            for resize in RESIZES:
                with pytest.raises(JpegFormatError):
                    transcode(data[: len(data) // 2], Transcoding(**settings, resize=resize))
    for data in (b"", b"text", b"\x89PNG\r\n\x1a\n" + bytes(40)):
        with pytest.raises(UnreadableImageError, match="cannot be opened: it is no image"):
            transcode(data, Transcoding())
    data = encode(kind="PNG")
    with pytest.raises(UnreadableImageError, match="cannot be decoded"):
        transcode(data[: len(data) // 2], Transcoding())


@pytest.mark.filterwarnings("ignore::UserWarning")  # what Pillow thinks of damaged TIFFs
@both_ways
@pytest.mark.parametrize("settings", [{}, {"smallest_side": 20}, {"quality": 50}])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF"])
def test_damaged_files_are_read_or_refused_but_nothing_else(kind, settings, resize):
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
            transcode(data.tobytes(), Transcoding(**settings, resize=resize))
        except ValueError as error:
            assert str(error)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"smallest_side": 0}, "smallest_side must be at least 1 pixel; got 0"),
        ({"quality": 0}, "quality must be from 1 to 100; got 0"),
        ({"quality": 101}, "quality must be from 1 to 100; got 101"),
        ({"num_frequencies": 65}, "num_frequencies must be from 1 to 64; got 65"),
        ({"downscale": 3}, "downscale must be 1, 2, 4 or 8; got 3"),
        ({"downscale": 2, "smallest_side": 9}, "downscale=2 and smallest_side=9 both set the size"),
        ({"resize": "quick"}, "resize must be one of fast, exact; got 'quick'"),
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
    resized = [
        transcode(bytes(swapped), Transcoding(smallest_side=24, resize=way)) for way in RESIZES
    ]
    assert [result.route for result in (untouched, *resized)] == [UNTOUCHED, REENCODED, REENCODED]
    for result in (untouched, *resized):
        np.testing.assert_array_equal(result.image.components[0].quantization, luma_table)
        np.testing.assert_array_equal(result.image.components[1].quantization, chroma_table)


@both_ways
@pytest.mark.parametrize("quality", [None, 75])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_picture_too_long_for_a_jpeg_is_refused_before_it_is_made(kind, quality, resize):
    data = encode(Image.new("L", (1, 3000)), kind)
    with pytest.raises(UnreadableImageError, match="1×3000 would become 256×768000"):
        transcode(data, Transcoding(smallest_side=256, quality=quality, resize=resize))


@both_ways
@pytest.mark.parametrize("settings", [{}, {"smallest_side": 32}, {"quality": 50}])
def test_a_damaged_jpeg_is_refused_by_every_route(settings, resize):
    data = encode(draw(4, 64, 64))
    with pytest.raises(JpegFormatError):
        transcode(data[:-2] + b"\xff\xd0\xff\xd9", Transcoding(**settings, resize=resize))


ORIENTATIONS = range(2, 9)


def encode_with_exif(picture, orientation, kind="JPEG", **options):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(picture, kind, exif=exif, **options)


def shown(data):
    """The picture as a viewer shows it."""
    return ImageOps.exif_transpose(Image.open(io.BytesIO(data)))


def pixels(image, index=0):
    """A component decoded to float [height, width], not clipped; 8 × 8 blocks as they are."""
    component = image.components[index]
    rows, cols, _ = component.coefficients.shape
    blocks = np.zeros((rows, cols, 64))
    blocks[..., ZIGZAG] = component.coefficients * component.quantization.astype(float)
    blocks = fft.idctn(blocks.reshape(rows, cols, 8, 8), axes=(2, 3), norm="ortho")
    return blocks.transpose(0, 2, 1, 3).reshape(8 * rows, 8 * cols) + 128


def assert_shows(image, picture, tolerance):
    """The luma of the image is that of the picture, but for what was trimmed at its edges."""
    expected = np.asarray(picture.convert("L"), float)
    ours = pixels(image)[: image.height, : image.width]
    assert 0 <= expected.shape[0] - len(ours) < 16 and 0 <= expected.shape[1] - ours.shape[1] < 16
    # Whatever edge it was trimmed at, it is found where it fits.
    slack = range(expected.shape[0] - len(ours) + 1), range(expected.shape[1] - ours.shape[1] + 1)
    errors = [
        np.abs(expected[top : top + len(ours), left : left + ours.shape[1]] - ours).mean()
        for top in {slack[0][0], slack[0][-1]}
        for left in {slack[1][0], slack[1][-1]}
    ]
    assert min(errors) < tolerance


@pytest.mark.parametrize("sampling", ["4:2:0", "4:2:2", "4:4:4", "gray"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_orientation_is_applied_to_the_coefficients(orientation, sampling):
    picture = draw(11, 48, 80, "L" if sampling == "gray" else "RGB")
    options = {} if sampling == "gray" else {"subsampling": sampling}
    data = encode_with_exif(picture, orientation, quality=95, **options)
    result = transcode(data, Transcoding(respect_orientation=True))
    assert (result.route, result.reasons[0]) == (CONVERTED, f"orientation {orientation}")
    assert (result.image.orientation, result.image.subsampling) == (1, "4:2:0")
    assert (result.image.width, result.image.height) == shown(data).size
    assert_shows(result.image, shown(data), 2)
    if sampling == "4:2:0":
        assert len(result.reasons) == 1
        # Nothing was quantised again: the same coefficients in other places, with other signs.
        for ours, stored in zip(result.image.components, read_coefficients(data).components):
            np.testing.assert_array_equal(
                *(np.sort(np.abs(c.coefficients.astype(int)).ravel()) for c in (ours, stored))
            )


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_partial_mcus_are_trimmed_where_they_cannot_be_turned(orientation):
    data = encode_with_exif(draw(11, 45, 83), orientation, quality=95)
    result = transcode(data, Transcoding(respect_orientation=True))
    assert result.route == CONVERTED
    assert_shows(result.image, shown(data), 2)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@both_ways
def test_the_orientation_is_applied_to_what_is_reencoded(orientation, kind, resize):
    if kind == "WEBP" and not _can_write(kind):
        pytest.skip("this Pillow has no WebP")
    data = encode_with_exif(draw(11, 45, 83), orientation, kind)
    settings = Transcoding(respect_orientation=True, quality=95, resize=resize)
    result = transcode(data, settings)
    reason = "quality 95" if kind == "JPEG" else "not a JPEG"
    assert (result.route, result.reasons) == (REENCODED, (reason, f"orientation {orientation}"))
    assert (result.image.width, result.image.height) == shown(data).size
    assert_shows(result.image, shown(data), 2)


@pytest.mark.parametrize("settings", [{}, {"quality": 85}, {"quality": 85, "resize": EXACT}])
def test_without_the_flag_pictures_stay_as_they_are_stored(settings):
    stored = transcode(encode(draw(11)), Transcoding(**settings))
    result = transcode(encode_with_exif(draw(11), 6), Transcoding(**settings))
    assert (result.route, result.reasons) == (stored.route, stored.reasons)
    for ours, expected in zip(result.image.components, stored.image.components):
        np.testing.assert_array_equal(ours.coefficients, expected.coefficients)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_upright_pictures_are_not_turned(kind):
    plain = encode(draw(11), kind)
    damaged = Image.Exif()
    damaged[0x0112] = 9
    for data in (plain, encode_with_exif(draw(11), 1, kind), encode(draw(11), kind, exif=damaged)):
        assert route(data, respect_orientation=True) == route(plain)
    assert route(plain, quality=90, respect_orientation=True) == route(plain, quality=90)


@pytest.mark.filterwarnings("ignore::UserWarning")  # what Pillow thinks of damaged EXIF
def test_damaged_exif_means_the_same_on_every_route():
    data = encode_with_exif(draw(11), 6)
    at = data.index(b"Exif")
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(60):
        damaged = bytearray(data)
        damaged[at + 6 + rng.integers(26)] = rng.integers(256)
        direct = route(bytes(damaged), respect_orientation=True)[1:]
        assert direct == route(bytes(damaged), respect_orientation=True, quality=90)[2:]
        seen.add(direct)
    assert {(), ("orientation 6",)} <= seen


def test_an_orientation_in_xmp_alone_is_not_looked_at():
    xmp = b'<x tiff:Orientation="6"/>'
    data = encode(draw(11), xmp=xmp)
    assert route(data, respect_orientation=True) == (UNTOUCHED,)
    assert route(data, respect_orientation=True, quality=90) == (REENCODED, "quality 90")


@both_ways
def test_what_is_smaller_than_an_mcu_is_turned_all_the_same(resize):
    data = encode_with_exif(draw(11, 12, 40), 6)
    result = transcode(data, Transcoding(respect_orientation=True, resize=resize))
    assert (result.route, *result.reasons) == (REENCODED, "no whole MCU to turn", "orientation 6")
    assert (result.image.width, result.image.height) == (12, 40)
    assert_shows(result.image, shown(data), 3)


@both_ways
def test_a_turned_picture_still_has_the_smallest_side(resize):
    # 45 rows are two MCUs and a rest, which would be trimmed.
    data = encode_with_exif(draw(11, 45, 83), 6)
    settings = {"respect_orientation": True, "smallest_side": 45, "resize": resize}
    assert route(data, **settings) == (REENCODED, "smallest side 45", "orientation 6")
    image = transcode(data, Transcoding(**settings)).image
    assert (image.width, image.height) == (45, 83)
    whole = encode_with_exif(draw(11, 48, 83), 6)
    settings["smallest_side"] = 48
    assert route(whole, **settings) == (CONVERTED, "orientation 6")


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0", "gray"])
def test_downscaling(sampling, factor):
    options = {} if sampling == "gray" else {"subsampling": sampling}
    data = encode(draw(12, 75, 93, "L" if sampling == "gray" else "RGB"), **options)
    result = transcode(data, Transcoding(downscale=factor))
    changed = () if sampling == "4:2:0" else (f"{sampling} to 4:2:0",)
    assert (result.route, *result.reasons) == (CONVERTED, f"downscale {factor}", *changed)
    # In this order: what is lost by quantising twice is the same.
    expected = convert_sampling(downscale(read_coefficients(data), factor), "4:2:0")
    assert (result.image.height, result.image.width) == (-(-75 // factor), -(-93 // factor))
    for ours, component in zip(result.image.components, expected.components):
        np.testing.assert_array_equal(ours.coefficients, component.coefficients)


def test_orientation_then_size_then_sampling_then_bands():
    data = encode_with_exif(draw(13, 96, 128), 6, subsampling="4:2:2", quality=95)
    settings = {"respect_orientation": True, "downscale": 2}
    result = transcode(data, Transcoding(**settings))
    reasons = ("orientation 6", "downscale 2", "4:4:0 to 4:2:0")
    assert (result.route, result.reasons) == (CONVERTED, reasons)
    assert (result.image.height, result.image.width) == (64, 48)
    assert_shows(result.image, shown(data).reduce(2), 2)
    few = transcode(data, Transcoding(**settings, num_frequencies=11)).image
    for ours, component in zip(few.components, result.image.components):
        np.testing.assert_array_equal(ours.coefficients, component.coefficients[..., :11])


@pytest.mark.parametrize("settings", [{}, {"quality": 95}, {"quality": 95, "resize": EXACT}])
def test_what_is_reencoded_is_downscaled_too(settings):
    picture = draw(14, 45, 83)
    files = [encode(picture, "PNG"), encode(picture.convert("CMYK"), quality=95)]
    if settings:
        files.append(encode(picture, quality=95))
    for data in files:
        result = transcode(data, Transcoding(**settings, downscale=2))
        assert result.route == REENCODED
        assert (result.image.width, result.image.height) == (42, 23)
        assert_shows(result.image, Image.open(io.BytesIO(data)).convert("RGB").reduce(2), 2)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_turning_a_sampling_on_its_side(orientation):
    """4:1:1 turned has a quarter of the rows of chroma, which has no name."""
    cjpeg = shutil.which("cjpeg")
    if not cjpeg:
        pytest.skip("needs cjpeg to make a file of 4:1:1")
    out = io.BytesIO()
    draw(15, 64, 96).save(out, "PPM")
    command = [cjpeg, "-quality", "95", "-sample", "4x1"]
    done = subprocess.run(command, input=out.getvalue(), capture_output=True, check=True)
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0"
    exif += bytes([orientation]) + bytes(6)
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    data = done.stdout[:20] + segment + done.stdout[20:]  # behind SOI and JFIF
    result = transcode(data, Transcoding(respect_orientation=True))
    assert (result.route, result.reasons[0]) == (CONVERTED, f"orientation {orientation}")
    assert_shows(result.image, shown(data), 2)
    for index, channel in ((1, 1), (2, 2)):
        expected = np.asarray(shown(data).convert("YCbCr").reduce(2), float)[..., channel]
        ours = pixels(result.image, index)[: len(expected), : expected.shape[1]]
        assert np.abs(ours - expected).mean() < 3


def test_rgb_is_reencoded():
    data = encode(draw(16), keep_rgb=True, subsampling="4:4:4")
    assert read_coefficients(data).rgb
    for settings in ({}, {"downscale": 2}, {"subsampling": "4:4:4"}):
        assert route(data, **settings) == (REENCODED, "RGB colour")
    picture = Image.open(io.BytesIO(data))
    result = transcode(data, Transcoding(subsampling="4:4:4"))
    for index in range(3):
        expected = np.asarray(picture.convert("YCbCr"), float)[..., index]
        ours = pixels(result.image, index)[: len(expected), : expected.shape[1]]
        assert np.abs(ours - expected).mean() < 2


def by_pillow(data, smallest_side=None, **options):
    """What a script with Pillow gives."""
    picture = Image.open(io.BytesIO(data))
    if smallest_side is not None:
        scale = smallest_side / min(picture.size)
        size = [max(smallest_side, round(side * scale)) for side in picture.size]
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    return read_coefficients(encode(picture, **options))


@pytest.mark.parametrize("settings", [{}, {"smallest_side": 31}, {"smallest_side": 90}])
@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:0", "gray"])
def test_exact_is_what_pillow_gives_bit_for_bit(sampling, settings):
    options = {} if sampling == "gray" else {"subsampling": sampling}
    data = encode(draw(17, 61, 83, "L" if sampling == "gray" else "RGB"), **options)
    result = transcode(data, Transcoding(**settings, quality=80, resize=EXACT))
    assert result.route == REENCODED
    expected = by_pillow(data, **settings, quality=80)
    assert (result.image.height, result.image.width) == (expected.height, expected.width)
    for ours, component in zip(result.image.components, expected.components):
        np.testing.assert_array_equal(ours.coefficients, component.coefficients)
        np.testing.assert_array_equal(ours.quantization, component.quantization)


@pytest.mark.parametrize(
    "settings",
    [
        {"smallest_side": 61},
        {"smallest_side": 100},
        {"smallest_side": 240},
        {"smallest_side": 40},
        {"downscale": 2},
        {"downscale": 4},
        {},
    ],
)
@pytest.mark.parametrize("target", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("source", ["4:4:4", "4:2:2", "4:2:0", "gray"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_fast_is_nearly_what_exact_is(source, target, settings, orientation):
    picture = draw(18, 163, 221, "L" if source == "gray" else "RGB")
    options = {} if source == "gray" else {"subsampling": source}
    data = encode_with_exif(picture, orientation, quality=92, **options)
    settings = {**settings, "quality": 92, "subsampling": target, "respect_orientation": True}
    fast, exact = (transcode(data, Transcoding(**settings, resize=way)) for way in RESIZES)
    assert (fast.route, fast.reasons) == (exact.route, exact.reasons)
    ours, theirs = fast.image, exact.image
    assert (ours.height, ours.width) == (theirs.height, theirs.width)
    assert ours.subsampling == theirs.subsampling == target
    for index, (component, other) in enumerate(zip(ours.components, theirs.components)):
        assert component.sampling == other.sampling
        assert component.coefficients.shape == other.coefficients.shape
        np.testing.assert_array_equal(component.quantization, other.quantization)
        h, v = chroma_ratio(target) if index else (1, 1)
        shown_part = np.s_[: -(-ours.height // v), : -(-ours.width // h)]
        error = (pixels(ours, index) - pixels(theirs, index))[shown_part]
        assert np.sqrt(np.mean(error**2)) < 2


@pytest.mark.parametrize("settings", [{"quality": 75}, {"smallest_side": 20}])
def test_fast_takes_no_second_jpeg(settings, monkeypatch):
    """Neither Pillow nor the encoder is asked."""
    files = [encode(draw(19, 64, 96), subsampling=name) for name in ("4:4:4", "4:2:2", "4:2:0")]
    files += [encode(draw(19, 64, 96, "L")), encode(draw(19, 64, 96), progressive=True)]
    monkeypatch.setattr(Image, "open", None)
    for data in files:
        assert route(data, **settings)[0] == REENCODED


def test_what_the_reader_does_not_handle_goes_through_pillow_either_way():
    rgb = encode(draw(), keep_rgb=True, subsampling="4:4:4")
    for data in (encode(draw(mode="CMYK")), encode(kind="PNG"), rgb):
        results = [transcode(data, Transcoding(quality=60, resize=way)) for way in RESIZES]
        assert [result.route for result in results] == [REENCODED] * 2
        for fast, exact in zip(*(result.image.components for result in results)):
            np.testing.assert_array_equal(fast.coefficients, exact.coefficients)


@pytest.fixture
def frequencies_read(monkeypatch):
    """How many frequencies were read of each file."""
    counts = []

    def read(data, num_frequencies=64):
        counts.append(num_frequencies)
        return read_coefficients(data, num_frequencies)

    monkeypatch.setattr(transcoding, "read_coefficients", read)
    return counts


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [64]),
        ({"quality": 75}, [64]),
        ({"smallest_side": 20}, [64]),  # for the sake of the tables
        ({"smallest_side": 20, "quality": 75}, [28]),
        ({"smallest_side": 20, "quality": 75, "subsampling": "4:4:4"}, [28]),
        ({"smallest_side": 90, "quality": 75}, [64]),
        ({"smallest_side": 120}, [64]),
        ({"smallest_side": 120, "resize": EXACT}, [64]),
        ({"smallest_side": 20, "resize": EXACT}, [1, 64]),  # the second is Pillow's JPEG
        ({"quality": 75, "resize": EXACT}, [1, 64]),
    ],
)
def test_only_what_is_needed_is_read(frequencies_read, settings, expected):
    route(encode_with_exif(draw(20, 120, 200), 6), **settings)
    assert frequencies_read == expected


def test_lines_counted_anew_behind_the_scan(frequencies_read, monkeypatch):
    """T.81 B.2.5: then what the frame header says of the height does not hold."""
    data = encode(draw(21, 240, 200), quality=90)
    settings = Transcoding(smallest_side=20, quality=75)
    expected = transcode(data, settings).image
    header = transcoding._find_frame(data)
    wrong = dataclasses.replace(header, height=200)
    monkeypatch.setattr(transcoding, "_find_frame", lambda data: wrong)
    ours = transcode(data, settings).image
    assert frequencies_read == [28, 28, 64]
    for component, other in zip(ours.components, expected.components):
        np.testing.assert_array_equal(component.coefficients, other.coefficients)


@both_ways
def test_tables_of_16_bits_become_tables_of_8(resize):
    image = read_coefficients(encode(draw(22, 48, 64)))
    table = np.arange(200, 264, dtype=np.uint16)
    components = tuple(dataclasses.replace(c, quantization=table) for c in image.components)
    data = write_coefficients(dataclasses.replace(image, components=components))
    result = transcode(data, Transcoding(smallest_side=24, resize=resize)).image
    for component in result.components:
        np.testing.assert_array_equal(component.quantization, np.minimum(table, 255))


@pytest.mark.parametrize("settings", [{"quality": 75}, {"smallest_side": 20}])
@pytest.mark.parametrize("count", [1, 16, 64])
def test_the_number_of_frequencies_of_what_is_reencoded(settings, count):
    data = encode(draw(23, 60, 90), subsampling="4:4:4")
    whole = transcode(data, Transcoding(**settings)).image
    lowest = transcode(data, Transcoding(**settings, num_frequencies=count)).image
    for ours, component in zip(lowest.components, whole.components):
        np.testing.assert_array_equal(ours.coefficients, component.coefficients[..., :count])
        np.testing.assert_array_equal(ours.quantization, component.quantization[:count])


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (200, 1), (7, 9), (8, 1000), (1000, 8)])
@pytest.mark.parametrize("side", [1, 5, 8, 60])
def test_sizes_of_all_kinds(size, side):
    """The picture keeps its brightness, whatever size it gets."""
    height, width = size
    picture = Image.new("RGB", (width, height), (200, 120, 40))
    for sampling in ("4:4:4", "4:2:2", "4:2:0"):
        data = encode(picture, quality=100)
        settings = Transcoding(smallest_side=side, quality=100, subsampling=sampling)
        result = transcode(data, settings)
        for index, level in enumerate(picture.convert("YCbCr").getpixel((0, 0))):
            assert np.abs(pixels(result.image, index) - level).max() < 2
