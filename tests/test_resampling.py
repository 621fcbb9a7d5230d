"""Conversions of the chroma sampling, against doing the same on the decoded chroma planes."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scipy import fft

from jpegkeras.jpeg import ZIGZAG, Component, JpegCoefficients, read_coefficients
from jpegkeras.resampling import can_convert, convert_sampling
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


def blocks_of(size, ratio):
    return math.ceil(math.ceil(size / ratio) / 8)


def make_image(sampling, height=43, width=90, quality=85, seed=0):
    """Coefficients of a picture in any sampling, from a 4:4:4 file and pixel-domain averages."""
    h, v = RATIOS[sampling]
    source = read_coefficients(
        encode(draw(seed, height, width), quality=quality, subsampling="4:4:4")
    )
    luma, *chroma = source.components
    shape = (blocks_of(height, v), blocks_of(width, h))
    planes = [to_component(average(to_plane(c), v, h, shape), c.quantization) for c in chroma]
    luma = dataclasses.replace(luma, sampling=(h, v))
    return JpegCoefficients(height, width, (luma, *planes))


def to_plane(component):
    """Decodes to float [8 rows, 8 cols] without rounding or clipping."""
    rows, cols, _ = component.coefficients.shape
    blocks = np.zeros((rows, cols, 64))
    blocks[..., ZIGZAG] = component.coefficients * component.quantization.astype(float)
    pixels = fft.idctn(blocks.reshape(rows, cols, 8, 8), axes=(2, 3), norm="ortho")
    return pixels.transpose(0, 2, 1, 3).reshape(8 * rows, 8 * cols)


def to_frequencies(plane):
    """Float [rows, cols, 64] in zigzag order, not quantised."""
    rows, cols = plane.shape[0] // 8, plane.shape[1] // 8
    pixels = plane.reshape(rows, 8, cols, 8).transpose(0, 2, 1, 3)
    return fft.dctn(pixels, axes=(2, 3), norm="ortho").reshape(rows, cols, 64)[..., ZIGZAG]


def to_component(plane, quantization):
    quantised = np.rint(to_frequencies(plane) / quantization).astype(np.int16)
    return Component(quantised, quantization, (1, 1))


def average(plane, v, h, shape):
    """Averages v × h pixels; what is past the edge repeats the last row and column."""
    height, width = 8 * v * shape[0], 8 * h * shape[1]
    extra = ((0, max(0, height - plane.shape[0])), (0, max(0, width - plane.shape[1])))
    plane = np.pad(plane, extra, mode="edge")[:height, :width]
    return plane.reshape(8 * shape[0], v, 8 * shape[1], h).mean(axis=(1, 3))


def expected_plane(component, source, target, shape):
    """The chroma plane on the target's grid, by averaging and repeating pixels."""
    (source_h, source_v), (target_h, target_v) = source, target
    plane = to_plane(component)
    up_v, up_h = max(1, source_v // target_v), max(1, source_h // target_h)
    plane = plane.repeat(up_v, axis=0).repeat(up_h, axis=1)
    down_v, down_h = max(1, target_v // source_v), max(1, target_h // source_h)
    return average(plane, down_v, down_h, shape)


@pytest.mark.parametrize("size", [(43, 90), (64, 64), (17, 33), (8, 8), (1, 1), (9, 130)])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("source", list(RATIOS))
def test_against_averaging_and_repeating_pixels(source, target, size):
    height, width = size
    image = make_image(source, height, width)
    assert image.subsampling == source or size == (1, 1)
    converted = convert_sampling(image, target)
    assert converted.subsampling == target
    h, v = RATIOS[target]
    shape = (blocks_of(height, v), blocks_of(width, h))
    for before, after in zip(image.components[1:], converted.components[1:]):
        assert after.coefficients.shape == (*shape, 64)
        np.testing.assert_array_equal(after.quantization, before.quantization)
        plane = expected_plane(before, RATIOS[source], RATIOS[target], shape)
        steps = np.abs(after.coefficients - to_frequencies(plane) / after.quantization)
        # Both are the same real number, which one of them rounds.
        assert steps.max() <= 0.5 + 1e-6


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2"])
@pytest.mark.parametrize("size", [(61, 83), (96, 128)])
def test_files_against_pixels(sampling, size):
    """Of 99.9 % of the coefficients of a real file the quantised value is within one step."""
    image = read_coefficients(encode(draw(1, *size), subsampling=sampling, quality=90))
    converted = convert_sampling(image, "4:2:0")
    differences = []
    for before, after in zip(image.components[1:], converted.components[1:]):
        plane = expected_plane(
            before, RATIOS[sampling], (2, 2), (blocks_of(size[0], 2), blocks_of(size[1], 2))
        )
        expected = to_component(plane, before.quantization).coefficients
        differences.append(np.abs(expected.astype(int) - after.coefficients).ravel())
    assert (np.concatenate(differences) <= 1).mean() >= 0.999


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("source", list(RATIOS))
def test_the_luma_is_the_same_array(source, target):
    image = make_image(source)
    converted = convert_sampling(image, target)
    assert converted.components[0].coefficients is image.components[0].coefficients
    assert converted.components[0].quantization is image.components[0].quantization
    assert (converted.height, converted.width) == (image.height, image.width)


@pytest.mark.parametrize("sampling", ["4:2:0", "4:2:2"])
def test_repeating_then_averaging_is_the_identity(sampling):
    # With steps of 1 the rounding in between is of less than one level.
    image = make_image(sampling, quality=100)
    back = convert_sampling(convert_sampling(image, "4:4:4"), sampling)
    for before, after in zip(image.components[1:], back.components[1:]):
        difference = np.abs(before.coefficients.astype(int) - after.coefficients)
        assert difference.max() <= 1
        assert (difference == 0).mean() > 0.9


def test_a_sampling_that_is_there_already_changes_nothing():
    image = make_image("4:2:0")
    assert convert_sampling(image, "4:2:0") is image


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("size", [(43, 90), (1, 1), (16, 17)])
def test_gray_gets_chroma_of_zeros(target, size):
    image = read_coefficients(encode(draw(2, *size, mode="L")))
    converted = convert_sampling(image, target)
    assert converted.subsampling == target
    h, v = RATIOS[target]
    for chroma in converted.components[1:]:
        shape = (blocks_of(size[0], v), blocks_of(size[1], h), 64)
        assert chroma.coefficients.shape == shape
        assert not chroma.coefficients.any()
    assert converted.components[0].coefficients is image.components[0].coefficients


def test_coefficients_out_of_range_do_not_wrap():
    """Repeating sharpens nothing, but extreme blocks can add up past 16 bits."""
    image = make_image("4:2:0")
    extreme = dataclasses.replace(
        image.components[1],
        coefficients=np.full_like(image.components[1].coefficients, 32767),
        quantization=np.arange(64, 0, -1).astype(np.uint16) * 100,
    )
    image = dataclasses.replace(image, components=(image.components[0], extreme, extreme))
    shape = (blocks_of(image.height, 1), blocks_of(image.width, 1))
    plane = expected_plane(extreme, (2, 2), (1, 1), shape)
    expected = np.rint(to_frequencies(plane) / extreme.quantization).clip(-32768, 32767)
    assert np.abs(expected).max() >= 32767
    converted = convert_sampling(image, "4:4:4").components[1].coefficients
    assert np.abs(expected - converted).max() <= 1


def test_what_cannot_be_converted():
    image = make_image("4:2:2")
    luma, cb, cr = image.components
    odd = dataclasses.replace(image, components=(cb, cb, dataclasses.replace(luma)))
    assert not can_convert(odd.subsampling)
    with pytest.raises(ValueError, match="cannot convert the sampling 'other' to 4:2:0"):
        convert_sampling(odd, "4:2:0")
    with pytest.raises(ValueError, match="sampling must be one of"):
        convert_sampling(image, "4:1:1")
    few = read_coefficients(encode(subsampling="4:4:4"), num_frequencies=63)
    with pytest.raises(ValueError, match="needs all 64 frequencies; got 63"):
        convert_sampling(few, "4:2:0")
