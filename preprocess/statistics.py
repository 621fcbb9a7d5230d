"""Exact statistics of each band: integer sums, the same in whatever order they are added."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from jpegkeras.packing import PackedPlane

_MOST_BLOCKS = 1 << 32


@dataclasses.dataclass(frozen=True)
class BandSums:
    """Sums over the dequantised coefficients of one component, a band each.

    `blocks`: how many coefficients each band has; `total` and `squares`: their sum and the sum of
    their squares; `zeros`: how many are 0. Python's integers, since the squares of many large
    images would pass 64 bits.
    """

    blocks: int = 0
    total: tuple[int, ...] = ()
    squares: tuple[int, ...] = ()
    zeros: tuple[int, ...] = ()

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
            tuple(a + b for a, b in zip(self.zeros, other.zeros)),
        )

    def describe(self) -> dict[str, list[float]]:
        """Returns the statistics of each band by name, each rounded once.

        `mean` and (population) `std` of the dequantised coefficients, `zeros`, the share of them
        that are 0, and `energy`, the mean of their squares.
        """
        return {
            "mean": [total / self.blocks for total in self.total],
            "std": [
                # Only the last steps round.
                math.sqrt((self.blocks * squares - total * total) / self.blocks**2)
                for total, squares in zip(self.total, self.squares)
            ],
            "zeros": [zeros / self.blocks for zeros in self.zeros],
            "energy": [squares / self.blocks for squares in self.squares],
        }


class SumsBuilder:
    """Adds up the sums of one component over many images.

    Those of images with the same quantisation table are added before they are multiplied by it:
    int64 holds the squares of 2^33 coefficients of 16 bits.
    """

    def __init__(self) -> None:
        self._done = BandSums()
        self._blocks: dict[bytes, int] = {}
        self._sums: dict[bytes, np.ndarray] = {}

    def add(self, plane: PackedPlane, quantization: np.ndarray) -> None:
        """Adds one image's component: its packed plane and uint16 [n], its quantisation table."""
        table = quantization.tobytes()
        blocks = self._blocks.get(table, 0) + len(plane.dc)
        if blocks > _MOST_BLOCKS:
            self._done = self.build()
            self._blocks, self._sums, blocks = {}, {}, len(plane.dc)
        self._blocks[table] = blocks
        if table in self._sums:
            self._sums[table] += plane.sums
        else:
            self._sums[table] = plane.sums.copy()

    def build(self) -> BandSums:
        """Returns the sums of all that was added."""
        done = self._done
        for table, sums in self._sums.items():
            steps = np.frombuffer(table, np.uint16).tolist()
            total, squares, zeros = sums.tolist()
            done += BandSums(
                self._blocks[table],
                tuple(step * value for step, value in zip(steps, total)),
                tuple(step * step * value for step, value in zip(steps, squares)),
                tuple(zeros),
            )
        return done
