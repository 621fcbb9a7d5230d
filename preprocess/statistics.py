"""Exact statistics of each band: integer sums, the same in whatever order they are added."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from jpegkeras.jpeg import Component


@dataclasses.dataclass(frozen=True)
class BandSums:
    """Sums over the dequantised coefficients of one component, a band each.

    `blocks`: how many coefficients each band has; `total` and `squares`: their sum and the sum of
    their squares. Python's integers, since the squares of many large images would pass 64 bits.
    """

    blocks: int = 0
    total: tuple[int, ...] = ()
    squares: tuple[int, ...] = ()

    def __add__(self, other: BandSums) -> BandSums:
        """Returns the sums over both. Raises ValueError for another number of bands."""
        if not self.blocks:
            return other
        if not other.blocks:
            return self
        if len(self.total) != len(other.total):
            raise ValueError(
                f"sums must be of as many bands; got {len(self.total)} and {len(other.total)}."
            )
        return BandSums(
            self.blocks + other.blocks,
            tuple(a + b for a, b in zip(self.total, other.total)),
            tuple(a + b for a, b in zip(self.squares, other.squares)),
        )

    def mean(self) -> list[float]:
        """Returns the mean of each band, rounded once."""
        return [total / self.blocks for total in self.total]

    def std(self) -> list[float]:
        """Returns the (population) standard deviation of each band; only the last steps round."""
        return [
            math.sqrt((self.blocks * squares - total * total) / self.blocks**2)
            for total, squares in zip(self.total, self.squares)
        ]


def sum_bands(component: Component) -> BandSums:
    """Returns the sums over one component of one image."""
    # A coefficient is of 16 bits, so these fit in 64 bits for up to 2^33 blocks.
    values = component.coefficients.reshape(-1, component.coefficients.shape[-1]).astype(np.int64)
    total = values.sum(axis=0).tolist()
    squares = np.einsum("bn,bn->n", values, values).tolist()
    steps = component.quantization.tolist()
    return BandSums(
        len(values),
        tuple(step * value for step, value in zip(steps, total)),
        tuple(step * step * value for step, value in zip(steps, squares)),
    )
