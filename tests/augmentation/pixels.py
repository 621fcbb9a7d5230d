"""Bands of noise, and their samples by SciPy in float64."""

from __future__ import annotations

import numpy as np
from scipy import fft

from jpegkeras.layers import zigzag_positions

ROWS, COLS = np.array(zigzag_positions()).T
# Y, Cb and Cr have different blocks per MCU.
FACTORS = {"4:4:4": (1, 1), "4:2:2": (1, 2), "4:2:0": (2, 2)}


def random_bands(batch=4, mcus=(4, 6), factor=(2, 2), n=64, seed=0):
    """Float32 bands whose samples lie about as far from mid-grey as a picture's."""
    rng = np.random.default_rng(seed)
    rows, cols = mcus
    sizes = {"y": (rows * factor[0], cols * factor[1]), "cb": mcus, "cr": mcus}
    scale = 200 / (1 + np.arange(n))
    return {
        key: (rng.normal(0, 1, (batch, *size, n)) * scale).astype(np.float32)
        for key, size in sizes.items()
    }


def to_samples(values):
    """[B, rows, cols, n] → float64 [B, 8·rows, 8·cols], 0 is mid-grey, not rounded, not clipped."""
    values = np.asarray(values, np.float64)
    batch, rows, cols, n = values.shape
    blocks = np.zeros((batch, rows, cols, 8, 8))
    blocks[..., ROWS[:n], COLS[:n]] = values
    blocks = fft.idctn(blocks, axes=(-2, -1), norm="ortho")
    return blocks.transpose(0, 1, 3, 2, 4).reshape(batch, rows * 8, cols * 8)


def to_bands(samples, n=64):
    """The n lowest bands of samples; the inverse of `to_samples`."""
    batch, height, width = samples.shape
    blocks = samples.reshape(batch, height // 8, 8, width // 8, 8).transpose(0, 1, 3, 2, 4)
    return fft.dctn(blocks, axes=(-2, -1), norm="ortho")[..., ROWS[:n], COLS[:n]]


def all_samples(bands):
    """`to_samples` of each component."""
    return {key: to_samples(values) for key, values in bands.items()}


def check_samples(bands, expected, tolerance=1e-3):
    """Bands must stand for the samples expected; float32 of ±1000 has steps of 6e-5."""
    assert list(bands) == list(expected)
    for key, values in bands.items():
        assert str(values.dtype).endswith("float32'>") or values.dtype == np.float32
        np.testing.assert_allclose(to_samples(values), expected[key], rtol=0, atol=tolerance)
