"""Light and colour: gains of the bands and shifts of DC.

What happens to all samples of a component alike happens to its coefficients alike, since the DCT is
linear; a shift of all samples is one of DC alone. There is no clipping to 0 … 255 in between: what
exceeds it is clipped only where something is decoded.

`bands`: {"y", "cb", "cr"}: float32 [B, rows, cols, n], dequantised.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from jpegkeras.layers import DC_GAIN, Bands


def scale(values: Any, gain: Any) -> Any:
    """Multiplies [B, rows, cols, n] by one gain an image, float32 [B]."""
    return values * gain[:, None, None, None]


def shift_brightness(bands: Bands, shift: Any) -> dict[str, Any]:
    """Adds `shift`, float32 [B] in sample values, to all luma samples; R, G and B rise by it."""
    luma = bands["y"]
    direct = np.zeros(luma.shape[-1], np.float32)
    direct[0] = DC_GAIN
    return {**bands, "y": luma + shift[:, None, None, None] * direct}


def scale_contrast(bands: Bands, gain: Any) -> dict[str, Any]:
    """Multiplies the distance of all samples from mid-grey, 128, by `gain`, float32 [B].

    Chroma too, so that R, G and B move away from 128 alike. Not from the image's mean: mid-grey is
    zero here already.
    """
    return {key: scale(values, gain) for key, values in bands.items()}


def scale_saturation(bands: Bands, gain: Any) -> dict[str, Any]:
    """Multiplies chroma by `gain`, float32 [B]; 0 leaves a grey picture, 1 all as it is."""
    return {**bands, "cb": scale(bands["cb"], gain), "cr": scale(bands["cr"], gain)}


def rotate_hue(bands: Bands, degrees: Any) -> dict[str, Any]:
    """Turns (Cb, Cr) by so many degrees, float32 [B], from Cb towards Cr; luma stays."""
    radians = degrees * np.float32(np.pi / 180)
    cos, sin = ops.cos(radians), ops.sin(radians)
    cb, cr = bands["cb"], bands["cr"]
    return {
        **bands,
        "cb": scale(cb, cos) - scale(cr, sin),
        "cr": scale(cb, sin) + scale(cr, cos),
    }
