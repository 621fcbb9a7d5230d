"""Mixup: against pixels, and the distribution of its shares."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from jpegkeras.augmentation import mixing
from tests.augmentation.pixels import all_samples, check_samples, random_bands


@pytest.mark.parametrize("batch", [1, 2, 5, 6])
def test_pairs_are_mixed_by_the_first_ones_share(batch):
    bands = random_bands(batch=batch)
    rng = np.random.default_rng(batch)
    targets = rng.uniform(size=(batch, 3)).astype(np.float32)
    share = rng.uniform(size=batch).astype(np.float32)
    mixed, mixed_targets = mixing.mix_pairs(bands, targets, share)

    partner = [i ^ 1 if i ^ 1 < batch else i for i in range(batch)]  # the last may have none
    weight = share[[i & ~1 for i in range(batch)]].astype(np.float64)
    expected = {
        key: weight[:, None, None] * samples + (1 - weight)[:, None, None] * samples[partner]
        for key, samples in all_samples(bands).items()
    }
    check_samples(mixed, expected)
    expected = weight[:, None] * targets + (1 - weight)[:, None] * targets[partner]
    np.testing.assert_allclose(mixed_targets, expected, atol=1e-6)
    np.testing.assert_allclose(
        np.sum(mixed_targets, axis=1)[: batch // 2 * 2].sum(),
        targets[: batch // 2 * 2].sum(),
        rtol=1e-5,
    )


@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.4, 1.0])
def test_shares_are_beta_distributed(alpha):
    draw = ((np.arange(100_000) + 0.5) / 100_000).astype(np.float32)
    share = np.asarray(mixing.beta_shares(draw, alpha))
    assert share.min() >= 0
    assert share.max() <= 1
    np.testing.assert_allclose(share, stats.beta.ppf(draw.astype(float), alpha, alpha), atol=1e-4)


def test_the_ends_of_the_draws_are_in_the_table():
    draw = np.float32([0, 1 - 2**-24])
    np.testing.assert_allclose(mixing.beta_shares(draw, 0.2), [0, 1], atol=1e-6)
