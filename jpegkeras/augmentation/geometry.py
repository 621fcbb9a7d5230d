"""Where things are in the frame: orientation, translation, cutout, twice and half the size.

`bands`: {"y", "cb", "cr"}: float32 [B, rows, cols, n], dequantised; all results have the same
shapes. Positions are int32 [B], in MCUs.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from jpegkeras import resampling
from jpegkeras.augmentation.blocks import blocks_per_mcu, choose, mcu_grid, window
from jpegkeras.layers import Bands
from jpegkeras.transforms import ORIENTATIONS, mirror_signs, transposed_order


def orient(bands: Bands, orientations: Sequence[str], choice: Any) -> dict[str, Any]:
    """Turns each image by `orientations[choice]`; choice: int32 [B].

    Raises ValueError where rows and columns are to be exchanged, but the frame is not square, or
    the number of frequencies is none that can be transposed.
    """
    ways = [ORIENTATIONS[name] for name in orientations]
    flags = np.array(ways, np.int32).T  # rows mirrored, columns mirrored, transposed; a column each
    rows_mirrored, columns_mirrored, transposed = (
        ops.take(ops.convert_to_tensor(flag), choice, axis=0) == 1 for flag in flags
    )
    n = bands["y"].shape[-1]
    rows_signs, columns_signs = (signs.astype(np.float32) for signs in mirror_signs(n))
    if flags[0].any():
        mirrored = {key: ops.flip(values, axis=1) * rows_signs for key, values in bands.items()}
        bands = choose(rows_mirrored, mirrored, bands)
    if flags[1].any():
        mirrored = {key: ops.flip(values, axis=2) * columns_signs for key, values in bands.items()}
        bands = choose(columns_mirrored, mirrored, bands)
    if flags[2].any():
        bands = choose(transposed, _transpose(bands), bands)
    return dict(bands)


def _transpose(bands: Bands) -> dict[str, Any]:
    for key, values in bands.items():
        if values.shape[1] != values.shape[2]:
            raise ValueError(
                "rows and columns can be exchanged where they are as many, in 4:4:4 or 4:2:0 and "
                f"a square frame; got {values.shape[1]} × {values.shape[2]} blocks of '{key}'."
            )
    order = transposed_order(bands["y"].shape[-1])
    return {
        key: ops.take(ops.transpose(values, (0, 2, 1, 3)), order, axis=-1)
        for key, values in bands.items()
    }


def translate(bands: Bands, down: Any, across: Any) -> dict[str, Any]:
    """Moves each image down and to the right; mid-grey (zeros) moves in."""
    factors = blocks_per_mcu(bands)
    return {
        key: window(values, -down * factors[key][0], -across * factors[key][1], *values.shape[1:3])
        for key, values in bands.items()
    }


def cut_out(bands: Bands, top: Any, left: Any, rows: int, cols: int) -> dict[str, Any]:
    """Makes a rectangle of `rows` × `cols` MCUs mid-grey (zeros); of none where `top` is −rows."""
    factors = blocks_per_mcu(bands)
    kept = {}
    for key, values in bands.items():
        v, h = factors[key]
        down = _within(top * v, rows * v, values.shape[1])[:, :, None]
        across = _within(left * h, cols * h, values.shape[2])[:, None, :]
        hidden = ops.logical_and(down, across)[..., None]
        kept[key] = ops.where(hidden, ops.zeros_like(values), values)
    return kept


def _within(start: Any, length: int, size: int) -> Any:
    """Returns bool [B, size]: which of `size` places lie in `length` ones from `start` on."""
    places = np.arange(size, dtype=np.int32)
    return ops.logical_and(places >= start[:, None], places < start[:, None] + length)


def half_frame(bands: Bands) -> tuple[int, int]:
    """Returns how many MCUs, down and across, half the frame has, rounded up."""
    rows, cols = mcu_grid(bands)
    return -(-rows // 2), -(-cols // 2)


def zoom_in(bands: Bands, top: Any, left: Any) -> dict[str, Any]:
    """Fills the frame with the half of it (each way) from `top` and `left` on, at twice the size.

    Every sample becomes 2 × 2 equal ones, in each component. Of an odd number of MCUs the half is
    rounded up, and what then exceeds the frame at the right and below is left out. With n < 64
    bands the result is the n lowest ones of what the picture of these n bands gives.
    """
    factors = blocks_per_mcu(bands)
    rows, cols = half_frame(bands)
    zoomed = {}
    for key, values in bands.items():
        v, h = factors[key]
        part = window(values, top * v, left * h, rows * v, cols * h)
        height, width = values.shape[1:3]
        zoomed[key] = _double(part)[:, :height, :width]
    return zoomed


def zoom_out(bands: Bands, top: Any, left: Any) -> dict[str, Any]:
    """Puts the whole frame at half its size on mid-grey, from `top` and `left` on.

    Every sample is the mean of 2 × 2, in each component. A frame of an odd number of MCUs gets a
    row or column of mid-grey ones first. n < 64: as `zoom_in`.
    """
    factors = blocks_per_mcu(bands)
    rows, cols = half_frame(bands)
    zoomed = {}
    for key, values in bands.items():
        v, h = factors[key]
        height, width = values.shape[1:3]
        missing = (2 * rows * v - height, 2 * cols * h - width)
        even = ops.pad(values, [[0, 0], [0, missing[0]], [0, missing[1]], [0, 0]])
        zoomed[key] = window(_halve(even), -top * v, -left * h, height, width)
    return zoomed


def _double(values: Any) -> Any:
    """[B, rows, cols, n] → [B, 2·rows, 2·cols, n]: each block becomes 2 × 2."""
    _, rows, cols, n = values.shape
    blocks = ops.matmul(ops.reshape(values, (-1, n)), ops.convert_to_tensor(_block_map(1, 2, n)))
    blocks = ops.reshape(blocks, (-1, rows, cols, 2, 2, n))
    blocks = ops.transpose(blocks, (0, 1, 3, 2, 4, 5))
    return ops.reshape(blocks, (-1, 2 * rows, 2 * cols, n))


def _halve(values: Any) -> Any:
    """[B, 2·rows, 2·cols, n] → [B, rows, cols, n]: 2 × 2 blocks become one."""
    _, height, width, n = values.shape
    groups = ops.reshape(values, (-1, height // 2, 2, width // 2, 2, n))
    groups = ops.reshape(ops.transpose(groups, (0, 1, 3, 2, 4, 5)), (-1, 4 * n))
    blocks = ops.matmul(groups, ops.convert_to_tensor(_block_map(2, 1, n)))
    return ops.reshape(blocks, (-1, height // 2, width // 2, n))


@functools.cache
def _block_map(average: int, repeat: int, n: int) -> np.ndarray:
    """float32 [average² · n, repeat² · n]: the resampling's matrix for the n lowest bands."""
    full = resampling.block_map(average, repeat, average, repeat)
    full = full.reshape(average**2, 64, repeat**2, 64)[:, :n, :, :n]
    return full.reshape(average**2 * n, repeat**2 * n).astype(np.float32)
