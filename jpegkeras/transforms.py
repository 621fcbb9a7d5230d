"""Crops and flips of quantised coefficients: pure functions, on NumPy arrays and tensors alike.

A component is `[rows, cols, n]`: blocks, then frequencies in zigzag order. An image is a dict of
the components `y`, `cb`, `cr`. Positions are in MCUs (`jpegkeras.sampling.mcu_size`), the unit in
which every component has whole blocks, so that nothing has to be recomputed: a crop takes blocks, a
flip reverses blocks and changes signs, and both are exact.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from jpegkeras.jpeg import ZIGZAG
from jpegkeras.sampling import BLOCK, COMPONENTS, chroma_ratio, mcu_size

Array = TypeVar("Array")  # np.ndarray or tf.Tensor

# The cosines of odd horizontal frequency change sign when a block is mirrored (T.81 A.3.3).
_MIRRORED = np.where(np.asarray(ZIGZAG) % BLOCK % 2 == 1, -1, 1).astype(np.int16)


def flip_horizontal(component: Array) -> Array:
    """Mirrors `[..., rows, cols, n]` left to right, as `jpegtran -flip horizontal` does."""
    return component[..., ::-1, :] * _MIRRORED[: component.shape[-1]]


def crop(image: dict[str, Array], top: Array, left: Array, size: int, sampling: str) -> dict:
    """Cuts `size` × `size` pixels out of an image, beginning `top` and `left` MCUs from its corner.

    Returns components of size / 8 blocks a side for the luma and accordingly fewer for the chroma.
    `size` must be a multiple of the MCU and the crop must lie within the image: see `mcu_counts`.
    """
    ratio_h, ratio_v = chroma_ratio(sampling)
    mcu_height, mcu_width = mcu_size(sampling)
    cropped = {}
    for key in COMPONENTS:
        v, h = (ratio_v, ratio_h) if key == "y" else (1, 1)
        rows, cols = size // mcu_height * v, size // mcu_width * h
        cropped[key] = image[key][top * v : top * v + rows, left * h : left * h + cols]
    return cropped


def mcu_counts(height: Array, width: Array, sampling: str) -> tuple[Array, Array]:
    """Returns how many whole MCUs an image of this many pixels has, down and across."""
    mcu_height, mcu_width = mcu_size(sampling)
    return height // mcu_height, width // mcu_width


def center_offsets(height: Array, width: Array, size: int, sampling: str) -> tuple[Array, Array]:
    """Returns (top, left), in MCUs, of the central crop of `size` pixels."""
    down, across = mcu_counts(height, width, sampling)
    mcu_height, mcu_width = mcu_size(sampling)
    return (down - size // mcu_height) // 2, (across - size // mcu_width) // 2
