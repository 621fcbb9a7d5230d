"""Positions and sizes: against the same on samples."""

from __future__ import annotations

import numpy as np
import pytest

from jpegkeras import transforms
from jpegkeras.augmentation import geometry
from jpegkeras.augmentation.blocks import blocks_per_mcu
from tests.augmentation.pixels import (
    FACTORS,
    all_samples,
    check_samples,
    random_bands,
    to_bands,
    to_samples,
)

samplings = pytest.mark.parametrize("factor", FACTORS.values(), ids=FACTORS)
grids = pytest.mark.parametrize("mcus", [(4, 6), (3, 5), (1, 2)])


def mcu_pixels(key, factor):
    return (8 * factor[0], 8 * factor[1]) if key == "y" else (8, 8)


def places(*values):
    return tuple(np.array(value, np.int32) for value in values)


@pytest.mark.parametrize("n", [10, 64])
def test_each_image_gets_its_own_orientation(n):
    names = list(transforms.ORIENTATIONS)
    bands = random_bands(batch=9, mcus=(3, 3), n=n)
    choice = np.array([7, 0, 3, 1, 2, 6, 4, 5, 7], np.int32)
    turned = geometry.orient(bands, names, choice)
    for key, values in bands.items():
        for image, index, actual in zip(values, choice, np.asarray(turned[key])):
            np.testing.assert_array_equal(actual, transforms.turn(image, names[index]))


def test_some_orientations_need_less():
    bands = random_bands(batch=2, mcus=(2, 3), n=16)  # neither square nor whole diagonals
    flipped = geometry.orient(bands, ["identity", "flip_vertical"], np.array([1, 0], np.int32))
    expected = {
        key: np.stack([values[0, ::-1], values[1]]) for key, values in all_samples(bands).items()
    }
    check_samples(flipped, expected)


def test_orientations_that_do_not_fit_are_refused():
    choice = np.zeros(4, np.int32)
    with pytest.raises(ValueError, match="8 × 12 blocks of 'y'"):
        geometry.orient(random_bands(), ["rotate_90"], choice)
    with pytest.raises(ValueError, match="16 frequencies cannot be transposed"):
        geometry.orient(random_bands(mcus=(3, 3), n=16), ["rotate_90"], choice)


@samplings
def test_translation_moves_samples_and_leaves_mid_grey(factor):
    bands = random_bands(batch=5, factor=factor)
    down, across = places([0, 1, -3, 0, 4], [0, -2, 1, 5, -6])
    expected = all_samples(bands)
    for key, samples in expected.items():
        moved = np.zeros_like(samples)
        height, width = mcu_pixels(key, factor)
        for image, (d, a) in enumerate(zip(down * height, across * width)):
            rows, cols = samples.shape[1:]
            moved[image, max(d, 0) : rows + min(d, 0), max(a, 0) : cols + min(a, 0)] = samples[
                image, max(-d, 0) : rows - max(d, 0), max(-a, 0) : cols - max(a, 0)
            ]
        expected[key] = moved
    check_samples(geometry.translate(bands, down, across), expected)


@samplings
def test_cutout_is_mid_grey_whole_mcus(factor):
    bands = random_bands(batch=3, factor=factor)
    top, left = places([0, 2, -2], [4, 1, 0])  # none in the last
    expected = all_samples(bands)
    for key, samples in expected.items():
        height, width = mcu_pixels(key, factor)
        for image in range(2):
            row, col = top[image] * height, left[image] * width
            samples[image, row : row + 2 * height, col : col + 2 * width] = 0
    check_samples(geometry.cut_out(bands, top, left, 2, 2), expected)


def doubled(samples, row, col):
    """The frame filled from (row, col) on with every sample repeated."""
    height, width = samples.shape
    part = samples[row : row + height // 2 + 8, col : col + width // 2 + 8]
    return part.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]


@grids
@samplings
@pytest.mark.parametrize("n", [16, 64])
def test_zoom_in_repeats_samples(factor, mcus, n):
    bands = random_bands(batch=2, mcus=mcus, factor=factor, n=n)
    rest = [count - half for count, half in zip(mcus, geometry.half_frame(bands))]
    top, left = places([0, rest[0]], [rest[1], 0])
    zoomed = geometry.zoom_in(bands, top, left)
    for key, samples in all_samples(bands).items():
        height, width = mcu_pixels(key, factor)
        expected = [
            doubled(image, row * height, col * width) for image, row, col in zip(samples, top, left)
        ]
        # Of the picture that the n bands stand for, the n lowest bands.
        np.testing.assert_allclose(zoomed[key], to_bands(np.stack(expected), n), atol=2e-3)


@grids
@samplings
@pytest.mark.parametrize("n", [16, 64])
def test_zoom_out_averages_samples(factor, mcus, n):
    bands = random_bands(batch=2, mcus=mcus, factor=factor, n=n)
    rest = [count - half for count, half in zip(mcus, geometry.half_frame(bands))]
    top, left = places([0, rest[0]], [rest[1], 0])
    zoomed = geometry.zoom_out(bands, top, left)
    for key, samples in all_samples(bands).items():
        expected = np.zeros_like(samples)
        height, width = mcu_pixels(key, factor)
        _, rows, cols = samples.shape
        means = samples.reshape(2, rows // 2, 2, cols // 2, 2).mean(axis=(2, 4))
        for image, row, col in zip(range(2), top * height, left * width):
            expected[image, row : row + rows // 2, col : col + cols // 2] = means[image]
        np.testing.assert_allclose(zoomed[key], to_bands(expected, n), atol=2e-3)


def smooth_picture(seed):
    """Samples with the falling spectrum of a photograph, [1, 64, 64], of deviation 50."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(64, 1 / 64)] * 2))
    spectrum = np.fft.fft2(rng.normal(size=(64, 64))) / np.maximum(frequency, 1)
    samples = np.fft.ifft2(spectrum).real
    return 50 * (samples / samples.std())[np.newaxis]


@pytest.mark.parametrize(
    ("zoom", "lowest", "highest"), [("zoom_in", 0.3, 0.4), ("zoom_out", 0.0, 0.05)]
)
def test_what_16_bands_lack_is_lacking_at_the_other_size(zoom, lowest, highest):
    """Root mean square of the difference to the 16 lowest bands of what all 64 give.

    Twice as large, bands that are not there would have become some of the 16 lowest.
    """
    for seed in range(3):
        full = to_bands(smooth_picture(seed)).astype(np.float32)
        bands = dict.fromkeys(("y", "cb", "cr"), full)
        few = dict.fromkeys(("y", "cb", "cr"), full[..., :16])
        start = places([1], [2])
        exact = to_samples(np.asarray(getattr(geometry, zoom)(bands, *start)["y"])[..., :16])
        actual = to_samples(getattr(geometry, zoom)(few, *start)["y"])
        difference = np.sqrt(np.mean((actual - exact) ** 2) / np.mean(exact**2))
        assert lowest <= difference < highest


def test_luma_must_be_whole_mcus():
    bands = random_bands()
    with pytest.raises(ValueError, match=r"whole MCUs.*\(7, 12\) blocks of Y, \(4, 6\) of Cb"):
        blocks_per_mcu({**bands, "y": bands["y"][:, :7]})
