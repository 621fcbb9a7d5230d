"""Draws pictures whose JPEGs are to an entropy decoder as those of photographs are.

Dead leaves (A. B. Lee, D. Mumford, J. Huang: Occlusion Models for Natural Images, 2001): ellipses
of scale-invariant sizes that hide one another, under a texture of spectrum 1/f that is stronger in
some places than in others. The constants are chosen so that 256×256 pixels at quality 75 in 4:2:0
have the bytes (13.9 kB), bits a nonzero coefficient (5.9), share of high frequencies (0.31) and
share of chroma (0.09) of centre crops of ImageNet (13.4 kB, 6.0, 0.32 and 0.09).
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

_OVERSAMPLING = 2
_LEAVES = (100, 2000)
_RADII = (0.006, 0.5)  # of the picture's side
_ELONGATION = 1.0  # log2 of the axes
_CONTRAST = (20, 70)
_TINT = 0.2  # of the contrast
_TEXTURE = (2, 10)
_PATCHES = 5  # a side, of stronger and weaker texture


def draw_picture(rng: np.random.Generator, size: int) -> Image.Image:
    """Return an RGB picture of size × size pixels."""
    leaves = _draw_leaves(rng, size * _OVERSAMPLING).resize((size, size), Image.Resampling.BOX)
    pixels = np.asarray(leaves, np.float64) + _draw_texture(rng, size)[..., np.newaxis]
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def _draw_leaves(rng: np.random.Generator, size: int) -> Image.Image:
    image = Image.new("RGB", (size, size), (110, 110, 110))
    pen = ImageDraw.Draw(image)
    count = int(rng.integers(*_LEAVES))
    # Density r^-3: the same number of leaves in every octave of the area.
    most, least = (1 / (size * radius) ** 2 for radius in _RADII)
    radii = (most - rng.uniform(size=count) * (most - least)) ** -0.5
    ground = rng.uniform(60, 180) + rng.normal(0, 15, 3)
    contrast = rng.uniform(*_CONTRAST)
    light = rng.normal(0, contrast, (count, 1))
    tint = rng.normal(0, contrast * _TINT, (count, 3))
    colours = np.clip(ground + light + tint, 0, 255).astype(int)
    centres = rng.uniform(-0.1 * size, 1.1 * size, (count, 2))
    stretch = 2 ** rng.uniform(-_ELONGATION, _ELONGATION, count)
    half = np.stack([radii * stretch, radii / stretch], axis=1)
    boxes = np.concatenate([centres - half, centres + half], axis=1)
    for box, colour in zip(boxes.tolist(), colours.tolist()):
        pen.ellipse(box, fill=tuple(colour))
    return image


def _draw_texture(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return float [size, size] to add to the pixels."""
    vertical, horizontal = np.fft.fftfreq(size)[:, np.newaxis], np.fft.rfftfreq(size)
    frequency = np.maximum(np.hypot(vertical, horizontal), 1 / size)
    spectrum = np.fft.rfft2(rng.normal(size=(size, size))) / frequency
    texture = np.fft.irfft2(spectrum, s=(size, size))
    patches = Image.fromarray(rng.gamma(1.0, 1.0, (_PATCHES, _PATCHES)).astype(np.float32))
    strength = np.asarray(patches.resize((size, size), Image.Resampling.BICUBIC))
    return texture / texture.std() * np.maximum(strength, 0) * rng.uniform(*_TEXTURE)
