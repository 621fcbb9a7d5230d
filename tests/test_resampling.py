"""Chroma sampling and size changed on coefficients, against doing the same on decoded planes."""

from __future__ import annotations

import dataclasses
import io
import math
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image
from scipy import fft

from jpegkeras.jpeg import ZIGZAG, Component, JpegCoefficients, read_coefficients
from jpegkeras.resampling import can_convert, convert_sampling, downscale
from tests.conftest import SHARED_DATA
from tests.preprocess.helpers import draw, encode

RATIOS = {
    "4:4:4": (1, 1),
    "4:2:2": (2, 1),
    "4:4:0": (1, 2),
    "4:2:0": (2, 2),
    "4:1:1": (4, 1),
    "4:1:0": (4, 2),
}
TARGETS = ("4:4:4", "4:2:2", "4:2:0")
SIZES = [(43, 90), (64, 64), (17, 33), (8, 8), (1, 1), (9, 130), (102, 100), (250, 7)]
GRAY = ((1, 1),)
# Sampling factors, as pairs (h, v) a component, that downscaling takes and conversion does not.
ODD_FACTORS = [((3, 1), (2, 1), (1, 1)), ((1, 1), (2, 2), (1, 2)), ((4, 3), (2, 3), (3, 1))]


@pytest.fixture(scope="module")
def sample_files():
    files = sorted((SHARED_DATA / "imagenet_samples").glob("*.JPEG"))
    if not files:
        pytest.skip("the ImageNet samples are not there")
    return files


def run_tool(name, *arguments, data):
    if not shutil.which(name):
        pytest.skip(f"needs {name} of libjpeg-turbo")
    return subprocess.run([name, *arguments], input=data, capture_output=True, check=True).stdout


def encode_with_factors(picture, factors, quality=90):
    """A file of cjpeg's, with luma factors as in "4x1"."""
    out = io.BytesIO()
    picture.save(out, "PPM")
    arguments = ("-quality", str(quality), "-sample", factors)
    return run_tool("cjpeg", *arguments, data=out.getvalue())


def make_image(factors, height=43, width=90, quality=85, seed=0):
    """Coefficients of any sampling factors. Past the edges the pictures in the planes go on."""
    components = []
    for index, ((h, v), (rows, cols)) in enumerate(zip(factors, sizes(factors, height, width))):
        picture = draw(seed + index, 8 * math.ceil(rows / 8), 8 * math.ceil(cols / 8))
        source = read_coefficients(encode(picture, quality=quality, subsampling="4:4:4"))
        component = source.components[min(index, 1)]
        components.append(dataclasses.replace(component, sampling=(h, v)))
    return JpegCoefficients(height, width, tuple(components))


def sizes(factors, height, width):
    """T.81 A.1.1: (height, width) in samples of each component."""
    h_max, v_max = (max(f[axis] for f in factors) for axis in (0, 1))
    return [(math.ceil(height * v / v_max), math.ceil(width * h / h_max)) for h, v in factors]


def sizes_of(image):
    return sizes([c.sampling for c in image.components], image.height, image.width)


def to_plane(component, size):
    """Decodes to float, without rounding or clipping, and crops to the size."""
    rows, cols, _ = component.coefficients.shape
    blocks = np.zeros((rows, cols, 64))
    blocks[..., ZIGZAG] = component.coefficients * component.quantization.astype(float)
    pixels = fft.idctn(blocks.reshape(rows, cols, 8, 8), axes=(2, 3), norm="ortho")
    return pixels.transpose(0, 2, 1, 3).reshape(8 * rows, 8 * cols)[: size[0], : size[1]]


def to_frequencies(plane):
    """Float [rows, cols, 64] in zigzag order, not quantised."""
    rows, cols = plane.shape[0] // 8, plane.shape[1] // 8
    pixels = plane.reshape(rows, 8, cols, 8).transpose(0, 2, 1, 3)
    return fft.dctn(pixels, axes=(2, 3), norm="ortho").reshape(rows, cols, 64)[..., ZIGZAG]


def widen(plane, width):
    """Crops or widens to a width, by its last column."""
    extra = max(0, width - plane.shape[1])
    return np.pad(plane, ((0, 0), (0, extra)), mode="edge")[:, :width]


def average_columns(plane, count):
    return plane.reshape(len(plane), -1, count).mean(axis=2)


def shrink_columns(plane, factor, width):
    """Averages to a width, then widens by the last column to whole blocks."""
    small = average_columns(widen(plane, width * factor), factor)
    return widen(small, 8 * math.ceil(width / 8))


def converted_plane(plane, source, target, image):
    """The chroma plane on the target's grid, as libjpeg's encoder downsamples and fills blocks."""
    (source_h, source_v), (target_h, target_v) = source, target
    height, width = math.ceil(image.height / target_v), math.ceil(image.width / target_h)
    plane = plane.repeat(max(1, source_h // target_h), axis=1)
    average = max(1, target_h // source_h)
    # Across, it widens before it averages ...
    plane = average_columns(widen(plane, 8 * average * math.ceil(width / 8)), average)
    # ... and down, it averages whole groups of rows and then repeats the last average.
    plane = plane.T.repeat(max(1, source_v // target_v), axis=1)
    return shrink_columns(plane, max(1, target_v // source_v), height).T


def downscaled_plane(plane, factor, size):
    return shrink_columns(shrink_columns(plane, factor, size[1]).T, factor, size[0]).T


def steps_apart(component, plane):
    """How far the coefficients are from those of a plane before rounding, in quantisation steps."""
    return np.abs(component.coefficients - to_frequencies(plane) / component.quantization)


def converted_steps(image, target):
    """The same, of both chroma components of an image that is converted."""
    source, converted = RATIOS[image.subsampling], convert_sampling(image, target)
    planes = map(to_plane, image.components[1:], sizes_of(image)[1:])
    return np.concatenate(
        [
            steps_apart(after, converted_plane(plane, source, RATIOS[target], image)).ravel()
            for after, plane in zip(converted.components[1:], planes)
        ]
    )


def downscaled_steps(image, factor):
    small = downscale(image, factor)
    planes = map(to_plane, image.components, sizes_of(image))
    return np.concatenate(
        [
            steps_apart(after, downscaled_plane(plane, factor, size)).ravel()
            for after, plane, size in zip(small.components, planes, sizes_of(small))
        ]
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("source", list(RATIOS))
def test_conversion_against_averaging_and_repeating_samples(source, target, size):
    image = make_image((RATIOS[source], (1, 1), (1, 1)), *size)
    converted = convert_sampling(image, target)
    assert converted.subsampling == target
    for before, after in zip(image.components[1:], converted.components[1:]):
        np.testing.assert_array_equal(after.quantization, before.quantization)
    if source != target:
        # Both are the same real number, which one of them rounds.
        assert converted_steps(image, target).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "factors",
    [GRAY, *((ratio, (1, 1), (1, 1)) for ratio in RATIOS.values()), *ODD_FACTORS],
)
def test_downscaling_against_averaging_samples(factors, size, factor):
    image = make_image(factors, *size)
    small = downscale(image, factor)
    assert (small.height, small.width) == tuple(math.ceil(side / factor) for side in size)
    assert [c.sampling for c in small.components] == list(factors)
    for before, after in zip(image.components, small.components):
        np.testing.assert_array_equal(after.quantization, before.quantization)
    assert downscaled_steps(image, factor).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("factors", ["1x1", "2x1", "1x2", "2x2", "4x1", "4x2"])
@pytest.mark.parametrize("size", [(61, 83), (96, 128), (375, 499)])
def test_files_of_every_sampling_against_samples(factors, size):
    """Of 99.9 % of a file's coefficients the quantised value is within one step."""
    image = read_coefficients(encode_with_factors(draw(1, *size), factors))
    if image.subsampling != "4:2:0":
        # Within half a step before rounding is within one after it.
        assert (converted_steps(image, "4:2:0") <= 0.5 + 1e-6).mean() >= 0.999
    for factor in (2, 4, 8):
        assert (downscaled_steps(image, factor) <= 0.5 + 1e-6).mean() >= 0.999


def test_real_files_against_samples(sample_files):
    images = [read_coefficients(file) for file in sample_files]
    samplings = ("4:4:4", "4:2:2", "4:2:0", "gray")
    chosen = [[i for i in images if i.subsampling == name][:4] for name in samplings]
    assert all(chosen)
    for index, image in enumerate(sum(chosen, [])):
        factor = (2, 4, 8)[index % 3]
        assert (downscaled_steps(image, factor) <= 0.5 + 1e-6).mean() >= 0.999
        if image.subsampling in ("4:4:4", "4:2:2"):
            assert (converted_steps(image, "4:2:0") <= 0.5 + 1e-6).mean() >= 0.999


def test_long_planes_in_strips():
    """Larger than what is mapped at once, and not a multiple of it."""
    blocks = np.random.default_rng(0).integers(-40, 40, (101, 97, 64)).astype(np.int16)
    plane = Component(blocks, np.arange(1, 65).astype(np.uint16), (1, 1))
    image = JpegCoefficients(803, 771, (plane, plane, plane))
    assert converted_steps(image, "4:2:0").max() <= 0.5 + 1e-6
    assert downscaled_steps(image, 4).max() <= 0.5 + 1e-6
    luma = Component(np.zeros((201, 193, 64), np.int16), plane.quantization, (2, 2))
    image = JpegCoefficients(1606, 1542, (luma, plane, plane))
    assert converted_steps(image, "4:4:4").max() <= 0.5 + 1e-6


@pytest.mark.parametrize("size", [(100, 100), (101, 99), (102, 104)])
def test_conversion_against_the_encoder_of_libjpeg(size):
    """Decoded to RGB and encoded as 4:2:0: 99.9 % of the chroma is within one step."""
    data = encode_with_factors(draw(3, *size), "1x1", quality=90)
    pixels = run_tool("djpeg", "-ppm", data=data)
    theirs = run_tool("cjpeg", "-quality", "90", "-sample", "2x2", data=pixels)
    ours = convert_sampling(read_coefficients(data), "4:2:0")
    differences = [
        np.abs(a.coefficients.astype(int) - b.coefficients).ravel()
        for a, b in zip(ours.components[1:], read_coefficients(theirs).components[1:])
    ]
    assert (np.concatenate(differences) <= 1).mean() >= 0.999


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_downscaling_against_pillow(factor):
    """With steps of 1, what is decoded is within 2 levels of the means of the decoded pixels."""
    data = encode(draw(4, 15 * 8, 21 * 8, "L"), quality=100)
    expected = np.asarray(Image.open(io.BytesIO(data)).reduce(factor), float)
    small = downscale(read_coefficients(data), factor)
    ours = to_plane(small.components[0], (small.height, small.width)) + 128
    assert ours.shape == expected.shape
    assert np.abs(ours - expected).max() <= 2
    assert np.abs(ours - expected).mean() <= 0.4


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("source", list(RATIOS))
def test_the_luma_is_the_same_array(source, target):
    image = make_image((RATIOS[source], (1, 1), (1, 1)))
    converted = convert_sampling(image, target)
    assert converted.components[0].coefficients is image.components[0].coefficients
    assert converted.components[0].quantization is image.components[0].quantization
    assert (converted.height, converted.width) == (image.height, image.width)


@pytest.mark.parametrize("sampling", ["4:2:0", "4:2:2"])
def test_repeating_then_averaging_is_the_identity(sampling):
    # With steps of 1 the rounding in between is of less than one level.
    image = make_image((RATIOS[sampling], (1, 1), (1, 1)), 64, 96, quality=100)
    back = convert_sampling(convert_sampling(image, "4:4:4"), sampling)
    for before, after in zip(image.components[1:], back.components[1:]):
        difference = np.abs(before.coefficients.astype(int) - after.coefficients)
        assert difference.max() <= 1
        assert (difference == 0).mean() > 0.9


def test_halves_are_rounded_to_even():
    """The mean of four DCs that add up to 4 n + 2, of both signs."""
    sums = np.arange(-30, 31, 4).reshape(4, 4)
    blocks = np.zeros((8, 8, 64), np.int16)
    blocks[::2, ::2, 0] = sums
    quantization = np.full(64, 7, np.uint16)
    image = JpegCoefficients(64, 64, tuple(Component(blocks, quantization, (1, 1)) for _ in "ycc"))
    for small in (convert_sampling(image, "4:2:0"), downscale(image, 2)):
        np.testing.assert_array_equal(small.components[1].coefficients[..., 0], np.rint(sums / 4))


def test_what_there_is_already_changes_nothing():
    image = make_image(((2, 2), (1, 1), (1, 1)))
    assert convert_sampling(image, "4:2:0") is image
    assert downscale(image, 1) is image


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("size", [(43, 90), (1, 1), (16, 17)])
def test_gray_gets_chroma_of_zeros(target, size):
    image = read_coefficients(encode(draw(2, *size, mode="L")))
    converted = convert_sampling(image, target)
    assert converted.subsampling == target
    for chroma in converted.components[1:]:
        assert not chroma.coefficients.any()
    assert converted.components[0].coefficients is image.components[0].coefficients


def test_coefficients_out_of_range_do_not_wrap():
    """Repeating sharpens nothing, but extreme blocks can add up past 16 bits."""
    image = make_image(((2, 2), (1, 1), (1, 1)), 48, 96)
    extreme = dataclasses.replace(
        image.components[1],
        coefficients=np.full_like(image.components[1].coefficients, 32767),
        quantization=np.arange(64, 0, -1).astype(np.uint16) * 100,
    )
    image = dataclasses.replace(image, components=(image.components[0], extreme, extreme))
    plane = converted_plane(to_plane(extreme, (24, 48)), (2, 2), (1, 1), image)
    expected = np.rint(to_frequencies(plane) / extreme.quantization).clip(-32768, 32767)
    assert np.abs(expected).max() >= 32767
    converted = convert_sampling(image, "4:4:4").components[1].coefficients
    assert np.abs(expected - converted).max() <= 1


def test_what_is_said_of_the_image_stays():
    image = dataclasses.replace(make_image(((1, 1),) * 3), orientation=6, complete=False)
    for result in (convert_sampling(image, "4:2:0"), downscale(image, 2)):
        assert (result.orientation, result.complete) == (6, False)
    assert downscale(dataclasses.replace(image, rgb=True), 2).rgb


def test_what_cannot_be_converted():
    image = make_image(((2, 1), (1, 1), (1, 1)))
    luma, cb, cr = image.components
    odd = dataclasses.replace(image, components=(cb, cb, dataclasses.replace(luma)))
    assert can_convert(image) and not can_convert(odd)
    with pytest.raises(ValueError, match="cannot convert the sampling factors .* to 4:2:0"):
        convert_sampling(odd, "4:2:0")
    with pytest.raises(ValueError, match="sampling must be one of"):
        convert_sampling(image, "4:1:1")
    with pytest.raises(ValueError, match="of an RGB image; expected YCbCr or gray"):
        convert_sampling(dataclasses.replace(make_image(((1, 1),) * 3), rgb=True), "4:2:0")
    few = read_coefficients(encode(subsampling="4:4:4"), num_frequencies=63)
    with pytest.raises(ValueError, match="needs all 64 frequencies; got 63"):
        convert_sampling(few, "4:2:0")


def test_what_cannot_be_downscaled():
    image = make_image(((2, 1), (1, 1), (1, 1)))
    for factor in (0, 3, -2, 16, 0.5):
        with pytest.raises(ValueError, match=f"factor must be 1, 2, 4 or 8; got {factor}"):
            downscale(image, factor)
    few = read_coefficients(encode(), num_frequencies=16)
    with pytest.raises(ValueError, match="downscaling needs all 64 frequencies; got 16"):
        downscale(few, 2)
