"""Mixup: images, and their targets, mixed with their neighbours in the batch.

The partner of image i is i XOR 1, the other one of its pair. So the mixture does not depend on how
a batch is split among devices, as long as each gets an even number; with an odd number the last
image has no partner and stays as it is.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from keras import ops
from scipy import special

from jpegkeras.layers import Bands

# Steps of the table of the inverse distribution function; between them it is linear.
_STEPS = 1024


def mix_pairs(bands: Bands, targets: Any, share: Any) -> tuple[dict[str, Any], Any]:
    """Returns share · image + (1 − share) · partner, of the bands and of the targets.

    Decoding is linear but for rounding and clipping, so that the picture is the same mixture.

    Args:
      bands: {"y", "cb", "cr"}: float32 [B, rows, cols, n].
      targets: float32 [B, classes].
      share: float32 [B], 0 … 1; that of the pair's first image counts for both.
    """
    count = ops.shape(targets)[0]
    index = ops.arange(count, dtype="int32")
    first = index - index % 2
    partner = ops.minimum(2 * first + 1 - index, count - 1)
    share = ops.take(share, first, axis=0)

    def mix(values: Any) -> Any:
        weight = ops.reshape(share, (-1,) + (1,) * (len(values.shape) - 1))
        return weight * values + (1 - weight) * ops.take(values, partner, axis=0)

    return {key: mix(values) for key, values in bands.items()}, mix(targets)


def beta_shares(draw: Any, alpha: float) -> Any:
    """Maps uniform numbers, float32 [B], to ones distributed by Beta(α, α).

    By the inverse of the distribution function, from a table with linear interpolation.
    """
    table = ops.convert_to_tensor(_beta_table(alpha))
    place = draw * _STEPS
    below = ops.minimum(ops.cast(ops.floor(place), "int32"), _STEPS - 1)
    part = place - ops.cast(below, "float32")
    low, high = ops.take(table, below, axis=0), ops.take(table, below + 1, axis=0)
    return low + part * (high - low)


@functools.cache
def _beta_table(alpha: float) -> np.ndarray:
    """float32 [_STEPS + 1]."""
    places = np.linspace(0, 1, _STEPS + 1)
    return special.betaincinv(alpha, alpha, places).astype(np.float32)
