"""What a network with a gate over its bands decides, and what that costs."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

#: The gate's layer, a `jpegkeras.layers.BandGate`; its channels are all of Y, all of Cb, all of Cr.
GATE = "gate"
_SHARPNESS = 4.0


def has_gate(model: keras.Model) -> bool:
    """Whether a network learns which bands to keep."""
    return any(layer.name == GATE for layer in model.layers)


def decisions(model: keras.Model) -> Any:
    """Returns the tensor of a gated network that holds its decisions, [B, 1, 1, C], 0 or 1."""
    return model.get_layer(GATE).output[0]


def log_odds(model: keras.Model) -> Any:
    """Returns the tensor that holds the log-odds to keep the channels, [B, 1, 1, C]."""
    return model.get_layer(GATE).output[1]


def excess_cost(log_odds: Any, count: int) -> Any:
    """Returns what each image costs for keeping too many of its bands, or too few: float [B].

    (number kept / 3n − 1)², n = `count`, where a band counts as σ(4 · its log-odds): nearly 0 or 1,
    as it is decided outside of training, unless that is a close call. (With the probability σ(log-
    odds) itself, all may be kept at 3/8, and so none outside of training.) Xu et al. 2020 add the
    number to the loss, whose weight then decides how many stay; here it is the square of its
    distance from what is wanted. Each image has its own cost, so that it is the same however images
    are shared out to devices.

    Args:
      log_odds: float [B, 1, 1, C], of `log_odds`.
      count: n.
    """
    kept = ops.sum(ops.sigmoid(_SHARPNESS * log_odds), axis=(1, 2, 3))
    return ops.square(kept / (3.0 * count) - 1.0)
