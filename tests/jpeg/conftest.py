"""Images and files the tests of the coefficient reader share."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SAMPLES = Path(__file__).parents[3] / "shared" / "data" / "imagenet_samples"


def draw_pixels(seed, height, width, channels=3):
    """Smooth shapes with noise on them: low and high frequencies."""
    rng = np.random.default_rng(seed)
    y, x = np.ogrid[:height, :width]
    planes = [
        128
        + 90 * np.sin(x / rng.uniform(3, 30) + y / rng.uniform(3, 30))
        + rng.normal(0, 20, (height, width))
        for _ in range(channels)
    ]
    pixels = np.clip(np.stack(planes, axis=-1), 0, 255).astype(np.uint8)
    return pixels if channels == 3 else pixels[..., 0]


def save(pixels, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def sample_files():
    files = sorted(SAMPLES.glob("*.JPEG"))
    if not files:
        pytest.skip(f"the ImageNet samples are not there: {SAMPLES.name} beside the repository")
    return files
