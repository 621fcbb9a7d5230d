"""Light and colour: against the same on samples, and on RGB."""

from __future__ import annotations

import numpy as np
import pytest

from jpegkeras.augmentation import color
from jpegkeras.layers import CoefficientsToPixels
from tests.augmentation.pixels import all_samples, check_samples, random_bands


def each(values):
    return np.asarray(values, np.float64)[:, None, None]


@pytest.mark.parametrize("n", [1, 16, 64])
def test_brightness_adds_sample_values_to_luma(n):
    bands, shift = random_bands(n=n), np.float32([-40, 0, 0.25, 100])
    expected = all_samples(bands)
    expected["y"] = expected["y"] + each(shift)
    check_samples(color.shift_brightness(bands, shift), expected)


@pytest.mark.parametrize("n", [1, 16, 64])
def test_contrast_scales_all_samples_around_mid_grey(n):
    bands, gain = random_bands(n=n), np.float32([0.5, 1, 1.3, 0])
    expected = {key: each(gain) * values for key, values in all_samples(bands).items()}
    check_samples(color.scale_contrast(bands, gain), expected)


def test_saturation_scales_chroma():
    bands, gain = random_bands(), np.float32([0, 1, 1.4, 0.6])
    expected = all_samples(bands)
    for key in ("cb", "cr"):
        expected[key] = each(gain) * expected[key]
    check_samples(color.scale_saturation(bands, gain), expected)


def test_hue_turns_cb_towards_cr():
    bands, degrees = random_bands(), np.float32([0, 90, 180, -10])
    expected = all_samples(bands)
    turned = (expected["cb"] + 1j * expected["cr"]) * np.exp(1j * np.pi / 180 * each(degrees))
    expected["cb"], expected["cr"] = turned.real, turned.imag
    check_samples(color.rotate_hue(bands, degrees), expected)


def flat_picture(y, cb, cr):
    """One colour all over, as bands; y, cb, cr: lists, a value an image."""
    return {
        key: 8 * (np.float32(values)[:, None, None, None] - 128) * np.ones((1, 2, 2, 1), np.float32)
        for key, values in {"y": y, "cb": cb, "cr": cr}.items()
    }


def decode(bands):
    return np.asarray(CoefficientsToPixels((1, 1))(bands))[:, 0, 0]


def test_on_rgb_brightness_and_contrast_are_the_usual_ones():
    picture = flat_picture([100, 150], [120, 140], [140, 110])
    rgb = decode(picture)
    brighter = decode(color.shift_brightness(picture, np.float32([10, -20])))
    np.testing.assert_array_equal(brighter, rgb + [[10], [-20]])
    gain = np.float32([1.2, 0.5])
    stronger = decode(color.scale_contrast(picture, gain))
    # Chroma is rounded before it is multiplied by up to 1.772.
    np.testing.assert_allclose(stronger, 128 + gain[:, None] * (rgb - 128), atol=2)


def test_without_chroma_rgb_is_grey():
    picture = flat_picture([100, 150], [90, 200], [170, 30])
    grey = decode(color.scale_saturation(picture, np.float32([0, 0])))
    np.testing.assert_array_equal(grey, np.float32([[100] * 3, [150] * 3]))
