"""How far each transform of bands is from the same one made on pixels.

The pixels' side is computed by itself, with SciPy and NumPy in float64.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops
from scipy import fft

from jpegkeras.augmentation import color, geometry, mixing
from jpegkeras.augmentation.examples import Examples
from jpegkeras.layers import CoefficientsToPixels, zigzag_positions
from jpegkeras.sampling import COMPONENTS

# Samples less 128, [B, H, W] a component, and how many of them an MCU has, (down, across).
Planes = dict[str, np.ndarray]
Mcus = dict[str, tuple[int, int]]

_ROWS, _COLS = np.array(zigzag_positions()).T
# JFIF (T.871 clause 7): Y, Cb and Cr, less 128, from R, G and B, less 128.
_FROM_RGB = np.array(
    [
        [0.299, 0.587, 0.114],
        [-0.299 / 1.772, -0.587 / 1.772, 0.5],
        [0.5, -0.587 / 1.402, -0.114 / 1.402],
    ]
)
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE, _SHARE = 32.0, 1.3, 1.4, 10.0, 0.7


@dataclasses.dataclass(frozen=True)
class Relation:
    """One transform with one amount: on bands, and on planes of samples."""

    name: str
    on_bands: Callable[[dict[str, Any]], dict[str, Any]]
    on_planes: Callable[[Planes, Mcus], Planes]


def measure(examples: Examples, full: Examples) -> dict[str, Any]:
    """Compares every transform on the central crops; `full`: the same with all stored frequencies.

    Returns, for each, in sample values or levels:
      samples: the largest difference of a sample of a component, not rounded and not clipped.
      rgb_mean, rgb_largest: of 8-bit RGB: what the transformed bands decode to, against the same
        transform of the pixels that the bands decode to, rounded and clipped.
      missing_bands: mean absolute difference of a sample to that of the n lowest bands of what all
        stored frequencies give: 0 where no band depends on another.
    """
    whole = full.central_bands()
    compared = {}
    for relation in RELATIONS:
        compared[relation.name] = {
            **_compare(relation, examples),
            "missing_bands": _compare_bands(relation, examples, whole),
        }
    return {
        "images": len(examples.images),
        "image_size": examples.image_size,
        "sampling": examples.sampling,
        "num_frequencies": examples.num_frequencies,
        "stored_frequencies": full.num_frequencies,
        "transforms": compared,
    }


def _compare(relation: Relation, examples: Examples) -> dict[str, float]:
    bands = examples.central_bands()
    v, h = examples.chroma_factor
    mcus = {key: (8 * v, 8 * h) if key == "y" else (8, 8) for key in COMPONENTS}
    changed = _apply(relation, bands)
    expected = relation.on_planes({key: to_samples(bands[key]) for key in COMPONENTS}, mcus)
    samples = max(np.abs(to_samples(changed[key]) - expected[key]).max() for key in COMPONENTS)

    decode = CoefficientsToPixels(examples.chroma_factor)
    rgb = ops.convert_to_numpy(decode(changed))
    pixels = _to_planes(ops.convert_to_numpy(decode(bands)))
    full_size = dict.fromkeys(COMPONENTS, mcus["y"])
    difference = np.abs(rgb - _to_rgb(relation.on_planes(pixels, full_size)))
    return {
        "samples": round(float(samples), 3),
        "rgb_mean": round(float(difference.mean()), 3),
        "rgb_largest": int(difference.max()),
    }


def _compare_bands(relation: Relation, examples: Examples, whole: dict[str, Any]) -> float:
    n = examples.num_frequencies
    few, of_all = _apply(relation, examples.central_bands()), _apply(relation, whole)
    differences = [to_samples(few[key] - of_all[key][..., :n]) for key in COMPONENTS]
    return round(float(np.mean([np.abs(values).mean() for values in differences])), 3)


def _apply(relation: Relation, bands: dict[str, Any]) -> dict[str, np.ndarray]:
    return {key: ops.convert_to_numpy(value) for key, value in relation.on_bands(bands).items()}


def to_samples(values: np.ndarray) -> np.ndarray:
    """[B, rows, cols, n] → float64 [B, 8·rows, 8·cols]: samples less 128, exact."""
    batch, rows, cols, n = values.shape
    blocks = np.zeros((batch, rows, cols, 8, 8))
    blocks[..., _ROWS[:n], _COLS[:n]] = values
    blocks = fft.idctn(blocks, axes=(-2, -1), norm="ortho")
    return blocks.transpose(0, 1, 3, 2, 4).reshape(batch, rows * 8, cols * 8)


def _to_planes(rgb: np.ndarray) -> Planes:
    planes = np.einsum("bhwc,kc->kbhw", rgb.astype(np.float64) - 128, _FROM_RGB)
    return dict(zip(COMPONENTS, planes))


def _to_rgb(planes: Planes) -> np.ndarray:
    stacked = np.stack([planes[key] for key in COMPONENTS], axis=-1)
    rgb = stacked @ np.linalg.inv(_FROM_RGB).T + 128
    return np.clip(np.floor(rgb + 0.5), 0, 255)


def _full(bands: dict[str, Any], value: float) -> np.ndarray:
    """One amount for all images: int32 [B] of a whole number, else float32 [B]."""
    return np.full(len(bands["y"]), value, np.int32 if isinstance(value, int) else np.float32)


def _orient(name: str) -> Callable:
    return lambda bands: geometry.orient(bands, [name], _full(bands, 0))


def _each(function: Callable[[np.ndarray, tuple[int, int]], np.ndarray]) -> Callable:
    """The same for each component: `function` takes its samples and its MCU's size."""
    return lambda planes, mcus: {key: function(planes[key], mcus[key]) for key in planes}


def _only(keys: tuple[str, ...], function: Callable[[np.ndarray], np.ndarray]) -> Callable:
    return lambda planes, mcus: {
        key: function(values) if key in keys else values for key, values in planes.items()
    }


def _turn_hue(planes: Planes, mcus: Mcus) -> Planes:
    turned = (planes["cb"] + 1j * planes["cr"]) * np.exp(1j * np.deg2rad(_HUE))
    return {"y": planes["y"], "cb": turned.real, "cr": turned.imag}


def _move(samples: np.ndarray, mcu: tuple[int, int]) -> np.ndarray:
    """One MCU down and to the right."""
    moved = np.zeros_like(samples)
    moved[:, mcu[0] :, mcu[1] :] = samples[:, : -mcu[0] or None, : -mcu[1] or None]
    return moved


def _cut(samples: np.ndarray, mcu: tuple[int, int]) -> np.ndarray:
    """One MCU, in the corner."""
    cut = samples.copy()
    cut[:, : mcu[0], : mcu[1]] = 0
    return cut


def _half(size: int, mcu: int) -> int:
    return -(-size // (2 * mcu)) * mcu


def _double(samples: np.ndarray, mcu: tuple[int, int]) -> np.ndarray:
    _, height, width = samples.shape
    part = samples[:, : _half(height, mcu[0]), : _half(width, mcu[1])]
    return part.repeat(2, axis=1).repeat(2, axis=2)[:, :height, :width]


def _halve(samples: np.ndarray, mcu: tuple[int, int]) -> np.ndarray:
    batch, height, width = samples.shape
    means = samples.reshape(batch, height // 2, 2, width // 2, 2).mean(axis=(2, 4))
    halved = np.zeros_like(samples)
    halved[:, : height // 2, : width // 2] = means
    return halved


def _mix(samples: np.ndarray, mcu: tuple[int, int]) -> np.ndarray:
    partner = np.arange(len(samples)) ^ 1
    partner[partner >= len(samples)] = len(samples) - 1
    return _SHARE * samples + (1 - _SHARE) * samples[partner]


def _mix_bands(bands: dict[str, Any]) -> dict[str, Any]:
    share = _full(bands, _SHARE)
    return mixing.mix_pairs(bands, share[:, None], share)[0]


_CHROMA = COMPONENTS[1:]
RELATIONS = (
    Relation("flip_horizontal", _orient("flip_horizontal"), _each(lambda s, mcu: s[:, :, ::-1])),
    Relation("flip_vertical", _orient("flip_vertical"), _each(lambda s, mcu: s[:, ::-1])),
    Relation("rotate_180", _orient("rotate_180"), _each(lambda s, mcu: s[:, ::-1, ::-1])),
    Relation(
        "translation", lambda b: geometry.translate(b, _full(b, 1), _full(b, 1)), _each(_move)
    ),
    Relation(
        "brightness",
        lambda b: color.shift_brightness(b, _full(b, _BRIGHTNESS)),
        _only(("y",), lambda s: s + _BRIGHTNESS),
    ),
    Relation(
        "contrast",
        lambda b: color.scale_contrast(b, _full(b, _CONTRAST)),
        _only(COMPONENTS, lambda s: s * _CONTRAST),
    ),
    Relation(
        "saturation",
        lambda b: color.scale_saturation(b, _full(b, _SATURATION)),
        _only(_CHROMA, lambda s: s * _SATURATION),
    ),
    Relation("hue", lambda b: color.rotate_hue(b, _full(b, _HUE)), _turn_hue),
    Relation(
        "chroma_drop",
        lambda b: color.scale_saturation(b, _full(b, 0.0)),
        _only(_CHROMA, np.zeros_like),
    ),
    Relation("cutout", lambda b: geometry.cut_out(b, _full(b, 0), _full(b, 0), 1, 1), _each(_cut)),
    Relation("zoom_in", lambda b: geometry.zoom_in(b, _full(b, 0), _full(b, 0)), _each(_double)),
    Relation("zoom_out", lambda b: geometry.zoom_out(b, _full(b, 0), _full(b, 0)), _each(_halve)),
    Relation("mixup", _mix_bands, _each(_mix)),
)
