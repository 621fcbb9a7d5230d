"""Packed batches → a network's inputs, on the device: crop, flip, transposition and widening.

Everything is `keras.ops`, and whole batches at a time. See `jpegkeras.packed_batches` for what goes
in. What moves most goes as bytes: the AC coefficients are transposed and gathered as int8, and only
what is left of them is widened.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import ops

from jpegkeras.packed_batches import CROP_ACROSS, CROP_DOWN, FLIP, Layout
from jpegkeras.sampling import COMPONENTS
from jpegkeras.transforms import mirror_signs

# What a flip multiplies the 64 frequencies by.
_, _MIRRORED = mirror_signs(64)

Tensor = Any


def random_places(draws: Tensor, layout: Layout) -> tuple[Tensor, Tensor, Tensor]:
    """Returns where each image of a batch is cropped and whether it is mirrored, as drawn.

    `draws`: float32 [B, DRAWS]. Returns (top, left, flip): int32 [B] and int32 [B] in MCUs of the
    layout's frame, every place that fits alike, and bool [B], true for one half of them.
    """
    places = [frame - crop + 1 for frame, crop in zip(layout.frame, layout.crop)]
    # A float32 below 1 times a whole number rounds to below that number.
    top, left = (
        ops.cast(ops.floor(draws[:, slot] * float(count)), "int32")
        for slot, count in zip((CROP_DOWN, CROP_ACROSS), places)
    )
    return top, left, draws[:, FLIP] < 0.5


def central_places(batch_size: Tensor, layout: Layout) -> tuple[Tensor, Tensor, Tensor]:
    """Returns (top, left, flip), as `random_places` does, of central crops that are not flipped."""
    top, left = ((frame - crop) // 2 for frame, crop in zip(layout.frame, layout.crop))
    none = ops.zeros((batch_size,), "int32")
    return none + top, none + left, none > 0


def unpack(
    features: Mapping[str, Tensor], layout: Layout, top: Tensor, left: Tensor, flip: Tensor
) -> dict[str, Tensor]:
    """Returns the network's inputs of a packed batch.

    `top`, `left`: int32 [B], the crop's corner in MCUs; `flip`: bool [B]. Returns `y`, `cb`, `cr`:
    int16 [B, rows, cols, n] of the crop, quantised, zigzag order; `quantization`: uint16 [B, 3, n].
    The same as `transforms.crop` and `transforms.flip_horizontal` image by image.
    """
    inputs = unpack_bytes(features, layout, top, left, flip)
    return put_overflows(inputs, features, layout, top, left, flip)


def unpack_bytes(
    features: Mapping[str, Tensor], layout: Layout, top: Tensor, left: Tensor, flip: Tensor
) -> dict[str, Tensor]:
    """Returns what `unpack` does, but with 0 for each coefficient that int8 cannot hold."""
    count = layout.num_frequencies
    inputs = {"quantization": features["quantization"]}
    for key in COMPONENTS:
        window = _Window(layout, key, top, left, flip)
        dc, ac = features[f"{key}/dc"], features[f"{key}/ac"]
        inputs[key] = ops.reshape(
            _unpack_component(dc, ac, count, window), (-1, window.height, window.width, count)
        )
    return inputs


def put_overflows(
    inputs: Mapping[str, Tensor],
    features: Mapping[str, Tensor],
    layout: Layout,
    top: Tensor,
    left: Tensor,
    flip: Tensor,
) -> dict[str, Tensor]:
    """Puts the coefficients that int8 could not hold into what `unpack_bytes` has returned.

    A part by itself, since XLA takes on a CPU as long for it as for all the rest.
    """
    inputs = dict(inputs)
    if layout.num_frequencies > 1:
        for key in COMPONENTS:
            overflows = features[f"{key}/overflow/index"], features[f"{key}/overflow/value"]
            window = _Window(layout, key, top, left, flip)
            inputs[key] = _put_overflows(inputs[key], *overflows, window)
    return inputs


class _Window:
    """A component's crop, in blocks: `top` and `left` are int32 [B, 1], `flip` bool [B]."""

    def __init__(self, layout: Layout, key: str, top: Tensor, left: Tensor, flip: Tensor) -> None:
        v, h = layout.blocks_of_mcu(key)
        self.rows, self.cols = layout.grid(key)
        self.height, self.width = layout.crop_grid(key)
        self.top, self.left, self.flip = top[:, None] * v, left[:, None] * h, flip[:, None]
        self.batch_size = ops.shape(top)[0]

    def sources(self) -> Tensor:
        """Returns which of the batch's blocks each block of the crops is: int32 [B × h × w]."""
        down = self.top + ops.arange(self.height, dtype="int32")[None]
        across = ops.arange(self.width, dtype="int32")[None]
        across = self.left + ops.where(self.flip, self.width - 1 - across, across)
        image = ops.arange(self.batch_size, dtype="int32")[:, None, None] * (self.rows * self.cols)
        return ops.reshape(image + down[:, :, None] * self.cols + across[:, None, :], (-1,))

    def targets(self, blocks: Tensor) -> tuple[Tensor, Tensor]:
        """Returns where in its crop each of the `blocks`, int32 [B, M], is, and whether it is."""
        row = blocks // self.cols - self.top
        col = blocks % self.cols - self.left
        col = ops.where(self.flip, self.width - 1 - col, col)
        inside = (row >= 0) & (row < self.height) & (col >= 0) & (col < self.width)
        return row * self.width + col, inside


def _unpack_component(dc: Tensor, ac: Tensor, count: int, window: _Window) -> Tensor:
    """Returns int16 [B, h × w, n]."""
    area = window.height * window.width
    sources = window.sources()
    dc = ops.reshape(ops.take(ops.reshape(dc, (-1,)), sources), (-1, area, 1))
    if count == 1:
        return dc
    blocks = window.rows * window.cols
    # With room for DC from the beginning: each block is one vector of bytes.
    planes = ops.concatenate([ops.zeros_like(ac[:, :blocks]), ac], axis=1)
    planes = ops.transpose(ops.reshape(planes, (-1, count, blocks)), (0, 2, 1))
    bands = ops.take(ops.reshape(planes, (-1, count)), sources, axis=0)
    bands = ops.cast(ops.reshape(bands, (-1, area, count)), "int16")
    signs = ops.where(window.flip[:, :, None], _MIRRORED[:count], np.int16(1))
    return bands * signs + ops.pad(dc, ((0, 0), (0, 0), (0, count - 1)))


def _put_overflows(bands: Tensor, index: Tensor, value: Tensor, window: _Window) -> Tensor:
    """Puts overflows, int32 and int16 [B, M], into int16 [B, h, w, n]."""
    shape = (-1, *bands.shape[1:])
    _, height, width, count = bands.shape
    frequency = index // (window.rows * window.cols) + 1
    block, inside = window.targets(index % (window.rows * window.cols))
    inside = inside & (index >= 0)
    flat = ops.reshape(bands, (-1, height * width * count))
    signs = ops.take(ops.convert_to_tensor(_MIRRORED), frequency)
    # What is padding or lies outside puts the first block's DC where it is already.
    value = ops.where(inside, ops.where(window.flip, value * signs, value), flat[:, :1])
    place = ops.where(inside, block * count + frequency, 0)
    image = ops.zeros_like(place) + ops.arange(window.batch_size, dtype="int32")[:, None]
    places = ops.stack([ops.reshape(image, (-1,)), ops.reshape(place, (-1,))], axis=-1)
    return ops.reshape(ops.scatter_update(flat, places, ops.reshape(value, (-1,))), shape)
