"""Draws the pictures of the built-in data set: coloured stripes, shapes, textures and gradients.

Every class is the same again when mirrored left to right, since training mirrors its images.
Colours, places, scales and angles are random, so that a class shows in the form alone; the two
colours of a picture differ in brightness, so that it also shows in grayscale.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

SIDES = (64, 140)
# From 0 (one colour) to 1 (the other): float [height, width].
Mask = np.ndarray
_BRIGHTNESS = np.array([0.299, 0.587, 0.114])
_LEAST_CONTRAST = 70
_ELONGATION = 0.5  # log2 of the largest ratio of the sides
_OVERSAMPLING = 3
_ROUND = 40  # corners of a polygon that looks like a disc


@dataclasses.dataclass(frozen=True)
class SampleClass:
    """One class: its id (folder name), its coarse class, and what draws its mask.

    `draw(rng, height, width)` returns float [height, width], about 0 to 1.
    """

    name: str
    coarse: str
    draw: Callable[[np.random.Generator, int, int], Mask]

    @property
    def title(self) -> str:
        """The readable name."""
        return self.name.replace("_", " ")


def draw_picture(sample_class: SampleClass, rng: np.random.Generator) -> Image.Image:
    """Returns one RGB picture of the class, of random size within `SIDES`."""
    height, width = _size(rng)
    mask = sample_class.draw(rng, height, width)[..., np.newaxis]
    first, second = _two_colours(rng)
    picture = first + mask * (second - first)
    picture += rng.normal(0, rng.uniform(2, 12), picture.shape)
    return Image.fromarray(np.clip(np.rint(picture), 0, 255).astype(np.uint8))


def _size(rng: np.random.Generator) -> tuple[int, int]:
    """Returns (height, width), of which neither is much longer, so that a crop shows enough."""
    height = int(rng.integers(SIDES[0], SIDES[1], endpoint=True))
    width = round(height * 2 ** rng.uniform(-_ELONGATION, _ELONGATION))
    return height, min(max(width, SIDES[0]), SIDES[1])


def _two_colours(rng: np.random.Generator) -> np.ndarray:
    """Returns two RGB colours, float [2, 3], of different brightness."""
    while True:
        colours = rng.uniform(20, 235, (2, 3))
        dark, light = colours @ _BRIGHTNESS
        if abs(dark - light) >= _LEAST_CONTRAST:
            return colours


def _coordinates(height: int, width: int, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns (along, across), float [height, width]: pixels from the centre, turned by degrees."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    x -= (width - 1) / 2
    y -= (height - 1) / 2
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return x * cosine + y * sine, y * cosine - x * sine


def _wave(rng: np.random.Generator, position: np.ndarray, period: float) -> np.ndarray:
    """Returns a wave from −1 to 1 of random phase, between a sine and a square wave."""
    phase = rng.uniform(0, 2 * math.pi)
    sine = np.sin(2 * math.pi * position / period + phase)
    return np.clip(sine * rng.uniform(1, 6), -1, 1)


def _stripes(angle: float) -> Callable[[np.random.Generator, int, int], Mask]:
    """Stripes whose colours alternate along `angle`, in degrees, or along its mirror image."""

    def draw(rng: np.random.Generator, height: int, width: int) -> Mask:
        turned = rng.choice((-1, 1)) * angle + rng.uniform(-9, 9)
        along, _ = _coordinates(height, width, turned)
        return _wave(rng, along, min(height, width) * rng.uniform(0.16, 0.34)) / 2 + 0.5

    return draw


def _checkerboard(rng: np.random.Generator, height: int, width: int) -> Mask:
    along, across = _coordinates(height, width, rng.uniform(-9, 9))
    period = min(height, width) * rng.uniform(0.24, 0.42)
    return _wave(rng, along, period) * _wave(rng, across, period) / 2 + 0.5


def _clouds(rng: np.random.Generator, height: int, width: int) -> Mask:
    total = np.zeros((height, width))
    for cells in (3, 6, 12):
        noise = Image.fromarray(rng.normal(size=(cells, cells)).astype(np.float32))
        total += np.asarray(noise.resize((width, height), Image.Resampling.BICUBIC)) / cells**0.5
    return (total - total.min()) / (total.max() - total.min())


def _linear_gradient(angle: float) -> Callable[[np.random.Generator, int, int], Mask]:
    def draw(rng: np.random.Generator, height: int, width: int) -> Mask:
        along, _ = _coordinates(height, width, angle + rng.uniform(-12, 12))
        along = (along - along.min()) / (along.max() - along.min())
        return along ** rng.uniform(0.6, 1.6)

    return draw


def _radial_gradient(rng: np.random.Generator, height: int, width: int) -> Mask:
    x, y = _coordinates(height, width, 0)
    x -= width * rng.uniform(-0.15, 0.15)
    y -= height * rng.uniform(-0.15, 0.15)
    distance = np.hypot(x, y) / (min(height, width) * rng.uniform(0.5, 0.7))
    return np.minimum(distance, 1) ** rng.uniform(0.8, 1.6)


def _shapes(corners: int) -> Callable[[np.random.Generator, int, int], Mask]:
    """A few large regular polygons."""

    def draw(rng: np.random.Generator, height: int, width: int) -> Mask:
        centres = _jittered_grid(rng, height, width, cell=min(height, width) / 2, jitter=0.1)
        # Most places are taken, so that every crop shows a shape.
        places = len(centres)
        kept = rng.permutation(places)[: rng.integers(places * 3 // 4, places, endpoint=True)]
        radii = min(height, width) * rng.uniform(0.17, 0.24, len(kept))
        turns = rng.uniform(-15, 15, len(kept))
        return _polygons(height, width, corners, centres[kept], radii, turns)

    return draw


def _dots(rng: np.random.Generator, height: int, width: int) -> Mask:
    cell = min(height, width) * rng.uniform(0.13, 0.18)
    centres = _jittered_grid(rng, height, width, cell, jitter=0.2)
    radii = cell * rng.uniform(0.22, 0.36, len(centres))
    return _polygons(height, width, _ROUND, centres, radii, np.zeros(len(centres)))


def _jittered_grid(
    rng: np.random.Generator, height: int, width: int, cell: float, jitter: float
) -> np.ndarray:
    """Returns centres (x, y), float [cells, 2], off a square grid by up to `jitter` of a cell."""
    rows, cols = round(height / cell), round(width / cell)
    y, x = np.mgrid[:rows, :cols].reshape(2, -1)
    centres = np.stack([(x + 0.5) * width / cols, (y + 0.5) * height / rows], axis=1)
    return centres + cell * rng.uniform(-jitter, jitter, centres.shape)


def _polygons(
    height: int,
    width: int,
    corners: int,
    centres: np.ndarray,
    radii: np.ndarray,
    turns: np.ndarray,
) -> Mask:
    """Draws regular polygons that stand on a side but for the `turns` in degrees."""
    size = (width * _OVERSAMPLING, height * _OVERSAMPLING)
    image = Image.new("L", size)
    pen = ImageDraw.Draw(image)
    for (x, y), radius, turn in zip(centres, radii, turns):
        angles = np.radians(turn + 90 + 180 / corners + np.arange(corners) * 360 / corners)
        outline = np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1)
        pen.polygon([tuple(corner) for corner in (outline * _OVERSAMPLING).tolist()], fill=255)
    small = image.resize((width, height), Image.Resampling.BOX)
    return np.asarray(small, np.float64) / 255


CLASSES = (
    SampleClass("horizontal_stripes", "stripes", _stripes(90)),
    SampleClass("vertical_stripes", "stripes", _stripes(0)),
    SampleClass("diagonal_stripes", "stripes", _stripes(45)),
    SampleClass("discs", "shapes", _shapes(_ROUND)),
    SampleClass("squares", "shapes", _shapes(4)),
    SampleClass("triangles", "shapes", _shapes(3)),
    SampleClass("checkerboard", "textures", _checkerboard),
    SampleClass("dots", "textures", _dots),
    SampleClass("clouds", "textures", _clouds),
    SampleClass("sideways_gradient", "gradients", _linear_gradient(0)),
    SampleClass("upright_gradient", "gradients", _linear_gradient(90)),
    SampleClass("radial_gradient", "gradients", _radial_gradient),
)
