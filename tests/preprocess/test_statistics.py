from __future__ import annotations

import random

import numpy as np
import pytest

from jpegkeras.packing import pack
from preprocess import statistics
from preprocess.statistics import BandSums, SumsBuilder


def random_component(seed, bands=5, limit=300):
    rng = np.random.default_rng(seed)
    coefficients = rng.integers(-limit, limit, (seed + 2, 3, bands)).astype(np.int16)
    coefficients[rng.random(coefficients.shape) < 0.3] = 0
    return coefficients, rng.integers(1, 60, bands).astype(np.uint16)


def sums_of(*components):
    builder = SumsBuilder()
    for coefficients, table in components:
        builder.add(pack(coefficients), table)
    return builder.build()


def test_against_numpy_in_any_order():
    components = [random_component(seed) for seed in range(9)]
    values = np.concatenate([(c.astype(float) * q).reshape(-1, 5) for c, q in components])
    sums = [sums_of(component) for component in components]
    shuffled = random.Random(3).sample(sums, len(sums))
    total = sum(sums, BandSums())
    described = total.describe()
    np.testing.assert_allclose(described["mean"], values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(described["std"], values.std(axis=0), rtol=1e-12)
    np.testing.assert_allclose(described["zeros"], (values == 0).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(described["energy"], (values**2).mean(axis=0), rtol=1e-12)
    assert 0.2 < min(described["zeros"]) < max(described["zeros"]) < 0.5
    assert sum(shuffled, BandSums()) == total == sums_of(*components)


@pytest.mark.parametrize("step", [65535, 3])
def test_sums_beyond_64_bits_are_exact(step):
    large = np.full((64, 64, 1), -32768, np.int16), np.full(1, 65535, np.uint16)
    other = np.full((64, 64, 1), 32767, np.int16), np.full(1, step, np.uint16)
    total = sums_of(other, large, other, large, other)
    squares = 64 * 64 * (2 * (32768 * 65535) ** 2 + 3 * (32767 * step) ** 2)
    assert total.blocks == 5 * 64 * 64
    assert total.squares == (squares,)
    assert squares > 2**64
    assert total.total == (64 * 64 * (3 * 32767 * step - 2 * 32768 * 65535),)
    assert total.zeros == (0,)


def test_many_sums_that_only_together_pass_64_bits(monkeypatch):
    monkeypatch.setattr(statistics, "_MOST_BLOCKS", 10_000)  # of two images
    image = np.full((64, 64, 2), 32767, np.int16), np.full(2, 2000, np.uint16)
    total = sums_of(*[image] * 3)
    assert total.squares == (3 * 64 * 64 * (32767 * 2000) ** 2,) * 2
    assert total.squares[0] > 2**63
    assert total.describe()["std"] == [0.0, 0.0]


def test_other_numbers_of_bands_do_not_add():
    with pytest.raises(ValueError, match="got 5 and 4"):
        sums_of(random_component(0)) + sums_of(random_component(0, bands=4))
