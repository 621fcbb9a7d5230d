from __future__ import annotations

import random

import numpy as np
import pytest

from jpegkeras.jpeg import Component
from preprocess.statistics import BandSums, sum_bands


def random_component(seed, bands=5, limit=300):
    rng = np.random.default_rng(seed)
    return Component(
        rng.integers(-limit, limit, (seed + 2, 3, bands)).astype(np.int16),
        rng.integers(1, 60, bands).astype(np.uint16),
        (1, 1),
    )


def test_against_numpy_in_any_order():
    components = [random_component(seed) for seed in range(9)]
    values = np.concatenate(
        [c.coefficients.reshape(-1, 5).astype(float) * c.quantization for c in components]
    )
    sums = [sum_bands(component) for component in components]
    shuffled = random.Random(3).sample(sums, len(sums))
    total = sum(sums, BandSums())
    np.testing.assert_allclose(total.mean(), values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(total.std(), values.std(axis=0), rtol=1e-12)
    assert sum(shuffled, BandSums()) == total


def test_sums_beyond_64_bits_are_exact():
    component = Component(
        np.full((4, 4, 1), -32768, np.int16), np.full(1, 65535, np.uint16), (1, 1)
    )
    total = sum_bands(component) + sum_bands(component)
    assert total.squares == (32 * (32768 * 65535) ** 2,)
    assert total.squares[0] > 2**64
    assert (total.mean(), total.std()) == ([-32768.0 * 65535], [0.0])


def test_other_numbers_of_bands_do_not_add():
    with pytest.raises(ValueError, match="got 5 and 4"):
        sum_bands(random_component(0)) + sum_bands(random_component(0, bands=4))
