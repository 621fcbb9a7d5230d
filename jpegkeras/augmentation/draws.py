"""Uniform random numbers turned into amounts and choices."""

from __future__ import annotations

from typing import Any

from keras import ops


def between(draw: Any, lowest: float, highest: float) -> Any:
    """Maps uniform numbers, float32 [B], to `lowest` … `highest`."""
    return lowest + (highest - lowest) * draw


def whole_number(draw: Any, count: int) -> Any:
    """Maps uniform numbers, float32 [B], to int32 [B]: 0 … count − 1, each as often.

    A 1, which is not drawn but can come of a division, is mapped to count − 1.
    """
    return ops.minimum(ops.cast(ops.floor(draw * count), "int32"), count - 1)
