"""What each column of the contact sheet shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from keras import ops

from jpegkeras.augmentation import geometry, slots
from jpegkeras.augmentation.augment import augment_bands, largest_shift
from jpegkeras.augmentation.blocks import mcu_grid
from jpegkeras.augmentation.examples import Examples
from jpegkeras.augmentation.policy import POLICIES, Policy
from jpegkeras.jpeg.lossless import TRANSPOSABLE
from jpegkeras.layers import CoefficientsToPixels
from jpegkeras.packed_batches import CROP_ACROSS, CROP_DOWN, FLIP
from jpegkeras.transforms import ORIENTATIONS

Bands = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Column:
    """A transform's name and amount, and the pictures it makes: uint8 [B, H, W, 3], RGB."""

    title: str
    amount: str
    pictures: np.ndarray


def make_columns(examples: Examples, seed: int = 0) -> list[Column]:
    """Returns the originals, each transform of them, and what "paper" and "strong" make of them.

    Amounts are those of "strong", or customary ones; where there is a range, the rows go from one
    end of it to the other. Orientations that the number of frequencies, or the sampling, does not
    allow are left out.
    """
    draws = np.random.default_rng(seed).random((len(examples.images), slots.NUM_DRAWS), np.float32)
    central = examples.central_bands()
    cropped = examples.random_bands(draws[:, [CROP_DOWN, CROP_ACROSS]])
    columns = [("original", "central crop", central), ("random crop", "whole MCUs", cropped)]
    for name in ORIENTATIONS:
        if name != "identity" and _allowed(name, examples):
            columns.append((name.replace("_", " "), "", _turned(central, name)))
    for title, amount, policy, changes in _single_transforms(POLICIES["strong"], central):
        columns.append((title, amount, _augmented(central, _changed(draws, changes), policy)))
    paper = _flipped(cropped, draws[:, FLIP] < 0.5)
    columns.append(("paper", "crop + flip", paper))
    columns.append(("strong", "all by chance", _augmented(paper, draws, POLICIES["strong"])))
    decode = CoefficientsToPixels(examples.chroma_factor)
    return [Column(title, amount, _to_pictures(decode, bands)) for title, amount, bands in columns]


def _single_transforms(
    strong: Policy, bands: Bands
) -> list[tuple[str, str, Policy, dict[int, np.ndarray | float]]]:
    """Title, amount, policy, and the draws to be other than random, by slot."""
    (count, luma_rows), (mcu_rows, _) = bands["y"].shape[:2], mcu_grid(bands)
    pixels = 8 * luma_rows // mcu_rows * largest_shift(mcu_rows, strong)
    spread = np.linspace(0, 1 - 2**-20, count, dtype=np.float32)
    pairs = np.linspace(0.6, 0.8, count, dtype=np.float32)
    low, high = 1 - strong.contrast, 1 + strong.contrast
    dull, vivid = 1 - strong.saturation, 1 + strong.saturation
    hole = f"{100 * strong.cutout_size:g} % a side"
    translation = Policy(translation=strong.translation)
    shifts = {slots.TRANSLATION_DOWN: spread, slots.TRANSLATION_ACROSS: spread[::-1]}
    brightness = Policy(brightness=strong.brightness)
    contrast = Policy(contrast=strong.contrast)
    saturation = Policy(saturation=strong.saturation)
    cutout = Policy(cutout=1.0, cutout_size=strong.cutout_size)
    return [
        ("translation", f"up to {pixels} pixels", translation, shifts),
        ("brightness", f"±{strong.brightness:g}", brightness, {slots.BRIGHTNESS: spread}),
        ("contrast", f"{low:g} … {high:g}", contrast, {slots.CONTRAST: spread}),
        ("saturation", f"{dull:g} … {vivid:g}", saturation, {slots.SATURATION: spread}),
        ("hue", f"±{strong.hue:g} degrees", Policy(hue=strong.hue), {slots.HUE: spread}),
        ("chroma drop", "", Policy(chroma_drop=1.0), {}),
        ("cutout", hole, cutout, {}),
        ("zoom in", "by 2", Policy(zoom_in=1.0), {}),
        ("zoom out", "by 2", Policy(zoom_out=1.0), {}),
        ("mixup", "share 0.6 … 0.8", Policy(mixup=1.0), {slots.MIXUP: pairs}),
    ]


def _allowed(name: str, examples: Examples) -> bool:
    v, h = examples.chroma_factor
    square = v == h and examples.num_frequencies in TRANSPOSABLE
    return square or not ORIENTATIONS[name].transposed


def _turned(bands: Bands, name: str) -> Bands:
    return geometry.orient(bands, [name], np.zeros(len(bands["y"]), np.int32))


def _flipped(bands: Bands, flip: np.ndarray) -> Bands:
    return geometry.orient(bands, ["identity", "flip_horizontal"], flip.astype(np.int32))


def _changed(draws: np.ndarray, changes: dict[int, np.ndarray | float]) -> np.ndarray:
    draws = draws.copy()
    for slot, values in changes.items():
        draws[:, slot] = values
    return draws


def _augmented(bands: Bands, draws: np.ndarray, policy: Policy) -> Bands:
    augmented, _ = augment_bands(bands, np.zeros((len(draws), 1), np.float32), draws, policy)
    return augmented


def _to_pictures(decode: Callable, bands: Bands) -> np.ndarray:
    return ops.convert_to_numpy(decode(bands)).astype(np.uint8)
