"""Augmentation of dequantised coefficients, batch by batch, on the device.

`augment_bands(bands, targets, draws, POLICIES["strong"])`. Written in keras.ops alone. What each
transform is to pixels: docs/augmentation.md. The transforms of single quantised images are
`jpegkeras.transforms`.

    python -m jpegkeras.augmentation --data_dir=records --output=sheet.png

draws what each does.
"""

from __future__ import annotations

from typing import Any

from jpegkeras.augmentation.policy import POLICIES, Policy
from jpegkeras.augmentation.slots import NUM_DRAWS

__all__ = ["NUM_DRAWS", "POLICIES", "Policy", "augment_bands"]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    # Keras is loaded with it, which takes seconds: not before a command has read its flags.
    if name == "augment_bands":
        from jpegkeras.augmentation.augment import augment_bands

        return augment_bands
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
