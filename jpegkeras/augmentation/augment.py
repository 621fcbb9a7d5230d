"""A policy applied to a batch: the draws of each image become the amounts of each transform."""

from __future__ import annotations

import math
from typing import Any

from keras import ops

from jpegkeras.augmentation import color, geometry, mixing, slots
from jpegkeras.augmentation.blocks import choose, mcu_grid
from jpegkeras.augmentation.draws import between, whole_number
from jpegkeras.augmentation.policy import Policy
from jpegkeras.layers import Bands


def augment_bands(
    bands: Bands, targets: Any, draws: Any, policy: Policy
) -> tuple[dict[str, Any], Any]:
    """Augments a batch of dequantised bands, and its targets, by what was drawn for each image.

    In this order: orientation, zoom, contrast, brightness, saturation, hue, translation, cutout,
    mixup. Crop and flip are not done here, see `Policy`. The same draws give the same result,
    whatever the batch: an image depends on its own draws and, with mixup, on its partner's.

    Args:
      bands: {"y", "cb", "cr"}: float32 [B, rows, cols, n], n ≤ 64, whole MCUs, one size.
      targets: float32 [B, classes], one-hot, perhaps smoothed.
      draws: float32 [B, ≥ 16], uniform in [0, 1); see `jpegkeras.augmentation.slots`.
      policy: what to do and how strongly.

    Returns:
      (bands, targets) of the same shapes and dtypes.

    Raises:
      ValueError: there are too few draws; luma is not whole MCUs; orientations do not fit (see
        `geometry.orient`).
    """
    if draws.shape[-1] < slots.NUM_DRAWS:
        raise ValueError(f"draws must be [batch, {slots.NUM_DRAWS}]; got {tuple(draws.shape)}.")
    bands = dict(bands)
    if set(policy.orientations) != {"identity"}:
        choice = whole_number(draws[:, slots.ORIENTATION], len(policy.orientations))
        bands = geometry.orient(bands, policy.orientations, choice)
    bands = _zoom(bands, draws, policy)
    bands = _color(bands, draws, policy)
    bands = _translate(bands, draws, policy)
    bands = _cut_out(bands, draws, policy)
    if policy.mixup:
        share = mixing.beta_shares(draws[:, slots.MIXUP], policy.mixup)
        return mixing.mix_pairs(bands, targets, share)
    return bands, targets


def largest_shift(count: int, policy: Policy) -> int:
    """Returns by how many MCUs a frame of `count` is translated at most."""
    # Halves go up: the frame of a small image has few MCUs.
    return math.floor(count * policy.translation + 0.5)


def _zoom(bands: Bands, draws: Any, policy: Policy) -> Bands:
    if not policy.zoom_in and not policy.zoom_out:
        return bands
    # As many places for a half of the frame in it as for the frame's half on mid-grey.
    places = [all_ - half + 1 for all_, half in zip(mcu_grid(bands), geometry.half_frame(bands))]
    top = whole_number(draws[:, slots.ZOOM_DOWN], places[0])
    left = whole_number(draws[:, slots.ZOOM_ACROSS], places[1])
    draw, zoomed = draws[:, slots.ZOOM], bands
    if policy.zoom_in:
        zoomed = choose(draw < policy.zoom_in, geometry.zoom_in(bands, top, left), zoomed)
    if policy.zoom_out:
        zoomed = choose(draw >= 1 - policy.zoom_out, geometry.zoom_out(bands, top, left), zoomed)
    return zoomed


def _color(bands: Bands, draws: Any, policy: Policy) -> Bands:
    def around(slot: int, middle: float, most: float) -> Any:
        return between(draws[:, slot], middle - most, middle + most)

    if policy.contrast:
        bands = color.scale_contrast(bands, around(slots.CONTRAST, 1, policy.contrast))
    if policy.brightness:
        bands = color.shift_brightness(bands, around(slots.BRIGHTNESS, 0, policy.brightness))
    if policy.saturation:
        bands = color.scale_saturation(bands, around(slots.SATURATION, 1, policy.saturation))
    if policy.hue:
        bands = color.rotate_hue(bands, around(slots.HUE, 0, policy.hue))
    if policy.chroma_drop:
        kept = ops.cast(draws[:, slots.CHROMA_DROP] >= policy.chroma_drop, "float32")
        bands = color.scale_saturation(bands, kept)
    return bands


def _translate(bands: Bands, draws: Any, policy: Policy) -> Bands:
    most = [largest_shift(count, policy) for count in mcu_grid(bands)]
    if not any(most):
        return bands
    axes = zip((slots.TRANSLATION_DOWN, slots.TRANSLATION_ACROSS), most)
    down, across = (whole_number(draws[:, slot], 2 * limit + 1) - limit for slot, limit in axes)
    return geometry.translate(bands, down, across)


def _cut_out(bands: Bands, draws: Any, policy: Policy) -> Bands:
    if not policy.cutout:
        return bands
    grid = mcu_grid(bands)
    rows, cols = (max(1, math.floor(count * policy.cutout_size + 0.5)) for count in grid)
    across = grid[1] - cols + 1
    # One number says whether, and where: below the probability, all places are as likely.
    draw = draws[:, slots.CUTOUT]
    place = whole_number(ops.minimum(draw / policy.cutout, 1), (grid[0] - rows + 1) * across)
    top = ops.where(draw < policy.cutout, place // across, -rows)
    return geometry.cut_out(bands, top, place % across, rows, cols)
