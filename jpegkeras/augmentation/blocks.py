"""Batches of blocks moved image by image, in MCUs.

`bands`: {"y", "cb", "cr"}: float32 [B, rows, cols, n]; rows, cols and n are known when a graph is
made, B need not be. An MCU is one block of chroma and, of luma, as many as that stands for.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from jpegkeras.layers import Bands
from jpegkeras.sampling import COMPONENTS


def mcu_grid(bands: Bands) -> tuple[int, int]:
    """Returns how many MCUs the frame has, down and across."""
    return tuple(bands["cb"].shape[1:3])


def blocks_per_mcu(bands: Bands) -> dict[str, tuple[int, int]]:
    """Returns how many blocks, down and across, an MCU has of each component.

    Raises ValueError where the luma is not whole MCUs.
    """
    rows, cols = mcu_grid(bands)
    luma = tuple(bands["y"].shape[1:3])
    if luma[0] % rows or luma[1] % cols or bands["cr"].shape[1:3] != bands["cb"].shape[1:3]:
        raise ValueError(
            f"luma must be whole MCUs, that is a whole multiple of the chroma; got {luma} blocks "
            f"of Y, {(rows, cols)} of Cb and {tuple(bands['cr'].shape[1:3])} of Cr."
        )
    return {key: (luma[0] // rows, luma[1] // cols) if key == "y" else (1, 1) for key in COMPONENTS}


def window(values: Any, top: Any, left: Any, rows: int, cols: int) -> Any:
    """Takes `rows` × `cols` blocks from [B, R, C, n], of each image from its own place on.

    `top`, `left`: int32 [B], in blocks. What lies outside of [R, C] is zeros.
    """
    _, height, width, n = values.shape
    row = top[:, None] + np.arange(rows, dtype=np.int32)
    col = left[:, None] + np.arange(cols, dtype=np.int32)
    inside = ops.logical_and(
        ops.logical_and(row >= 0, row < height)[:, :, None],
        ops.logical_and(col >= 0, col < width)[:, None, :],
    )
    row, col = ops.clip(row, 0, height - 1), ops.clip(col, 0, width - 1)
    # Whole vectors of n from one long list of blocks: one gather without strides.
    first = ops.arange(ops.shape(values)[0], dtype="int32")[:, None, None] * (height * width)
    index = first + row[:, :, None] * width + col[:, None, :]
    taken = ops.take(ops.reshape(values, (-1, n)), ops.reshape(index, (-1,)), axis=0)
    taken = ops.reshape(taken, (-1, rows, cols, n))
    return ops.where(inside[..., None], taken, ops.zeros_like(taken))


def choose(condition: Any, chosen: Bands, other: Bands) -> dict[str, Any]:
    """Takes an image's bands from `chosen` where `condition`, bool [B], else from `other`."""
    condition = condition[:, None, None, None]
    return {key: ops.where(condition, chosen[key], other[key]) for key in other}
