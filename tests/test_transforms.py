"""Crops and flips: against pixels, against jpegtran, in NumPy, eagerly and inside tf.data."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest
import tensorflow as tf

from jpegkeras import transforms
from jpegkeras.jpeg import read_coefficients
from jpegkeras.layers import bands_to_samples
from jpegkeras.sampling import COMPONENTS, SAMPLINGS
from tests.datasets import draw_jpeg

jpegtran = pytest.mark.skipif(
    shutil.which("jpegtran") is None, reason="jpegtran (Debian: libjpeg-turbo-progs) is not there"
)


def planes_of(image):
    return {key: c.coefficients for key, c in zip(COMPONENTS, image.components)}


def run_jpegtran(data, *arguments):
    result = subprocess.run(["jpegtran", *arguments], input=data, capture_output=True, check=True)
    return read_coefficients(result.stdout)


@jpegtran
@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("quality", [30, 100])
def test_flip_equals_jpegtran(sampling, quality):
    data = draw_jpeg(2, 5, height=48, width=64, quality=quality, subsampling=sampling)
    expected = planes_of(run_jpegtran(data, "-flip", "horizontal"))
    planes = planes_of(read_coefficients(data))
    for key in COMPONENTS:
        flipped = transforms.flip_horizontal(planes[key])
        assert flipped.dtype == np.int16
        np.testing.assert_array_equal(flipped, expected[key])


@jpegtran
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_crop_equals_jpegtran(sampling):
    data = draw_jpeg(2, 6, height=64, width=96, subsampling=sampling)
    h, v = SAMPLINGS[sampling]
    top, left = 1, 2
    expected = planes_of(run_jpegtran(data, "-crop", f"32x32+{left * 8 * h}+{top * 8 * v}"))
    cropped = transforms.crop(planes_of(read_coefficients(data)), top, left, 32, sampling)
    assert list(cropped) == list(COMPONENTS)
    for key in COMPONENTS:
        np.testing.assert_array_equal(cropped[key], expected[key])


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_flip_mirrors_the_samples(sampling):
    image = read_coefficients(draw_jpeg(0, 7, subsampling=sampling))
    for component in image.components:
        bands = (component.coefficients * component.quantization).astype(np.float32)[np.newaxis]
        samples = np.asarray(bands_to_samples(bands))
        flipped = np.asarray(bands_to_samples(transforms.flip_horizontal(bands)))
        # A sample that falls half-way between two levels may round the other way.
        np.testing.assert_allclose(flipped, samples[:, :, ::-1], atol=1)
        assert np.mean(flipped == samples[:, :, ::-1]) > 0.999


def test_flip_of_few_bands_is_the_flip_of_all_cut_short():
    coefficients = np.random.default_rng(0).integers(-99, 99, (3, 4, 64)).astype(np.int16)
    np.testing.assert_array_equal(
        transforms.flip_horizontal(coefficients[..., :5]),
        transforms.flip_horizontal(coefficients)[..., :5],
    )


def test_flip_is_the_same_eagerly_and_inside_tf_data():
    coefficients = np.random.default_rng(1).integers(-99, 99, (4, 3, 4, 16)).astype(np.int16)
    expected = transforms.flip_horizontal(coefficients)
    eager = transforms.flip_horizontal(tf.constant(coefficients))
    mapped = tf.data.Dataset.from_tensor_slices(coefficients).map(transforms.flip_horizontal)
    assert eager.dtype == tf.int16
    np.testing.assert_array_equal(eager, expected)
    np.testing.assert_array_equal(list(mapped.as_numpy_iterator()), expected)


@pytest.mark.parametrize(
    ("size", "expected"), [((48, 64), (0, 1)), ((50, 79), (0, 1)), ((33, 95), (0, 1))]
)
def test_center_offsets_of_whole_mcus(size, expected):
    assert transforms.center_offsets(*size, 32, "4:2:0") == expected


def test_center_offsets_depend_on_the_mcu():
    assert transforms.center_offsets(48, 64, 32, "4:2:2") == (1, 1)
    assert transforms.center_offsets(48, 64, 32, "4:4:4") == (1, 2)
