"""Size, sampling, orientation and quantisation of a JPEG's coefficients, changed on its planes.

Luma and chroma are decoded, brought to their new grids and encoded each by itself (planes.py):
there are no RGB pixels, chroma is not enlarged only to be made smaller again, nothing is rounded to
8 bits, and no JPEG is written. Positions are those of JPEG and of Pillow: a chroma sample lies in
the middle of the luma samples that it stands for, and a picture is stretched edge to edge.

Where a plane becomes much smaller, its blocks are decoded to 4 × 4 samples (REDUCING_GAPS).
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import math
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jpegkeras.jpeg import ZIGZAG, Component, JpegCoefficients, arena
from jpegkeras.jpeg.types import ceil_div
from jpegkeras.planes import count_scratch, resample, weigh_axis
from jpegkeras.resampling import can_convert
from jpegkeras.sampling import BLOCK, chroma_ratio

_logger = logging.getLogger(__name__)

#: Blocks of luma, and of chroma, are decoded to 4 × 4 samples if so many of these, or more, are
#: left for a new one along either axis. What that changes is far below what quantisation changes
#: (docs/resizing.md).
REDUCING_GAPS = (2.0, 1.25)
_ALL_POINTS, _FEW_POINTS = BLOCK, BLOCK // 2
# The lowest frequencies that 4 × 4 samples need, in whole diagonals of the zigzag, so that blocks
# can be transposed.
_FEW_FREQUENCIES = 28
_FREQUENCIES = {_ALL_POINTS: BLOCK * BLOCK, _FEW_POINTS: _FEW_FREQUENCIES}

# Zigzag position by raster index, and by that of the transposed block.
_RASTER = np.argsort(ZIGZAG).reshape(BLOCK, BLOCK)
_TRANSPOSED = _RASTER.T.reshape(-1)
_LOWEST = {points: _RASTER[:points, :points].reshape(-1) for points in _FREQUENCIES}
# A transposed block in zigzag order is the block's coefficients in this order.
_EXCHANGED = _TRANSPOSED[ZIGZAG]


class _Turn(NamedTuple):
    """Which axes an orientation mirrors, and whether it exchanges them afterwards."""

    rows: bool = False
    columns: bool = False
    exchange: bool = False


# By EXIF orientation (CIPA DC-008, tag 274): it says where stored rows and columns begin.
_TURNS = {
    1: _Turn(),
    2: _Turn(columns=True),
    3: _Turn(rows=True, columns=True),
    4: _Turn(rows=True),
    5: _Turn(exchange=True),
    6: _Turn(rows=True, exchange=True),
    7: _Turn(rows=True, columns=True, exchange=True),
    8: _Turn(columns=True, exchange=True),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Encoding:
    """What new planes are encoded as.

    `sampling`: one of jpegkeras.sampling.SAMPLINGS. `tables`: the quantisation table of each
    component, uint16 [64] in zigzag order. `orientation`: the EXIF orientation from which the
    picture is turned upright.
    """

    sampling: str
    tables: Sequence[np.ndarray]
    orientation: int = 1


class _Axis(NamedTuple):
    """An axis of the stored picture: `size` pixels become `new_size`, each `scale` of them long."""

    size: int
    new_size: int
    scale: float
    mirror: bool


class _Line(NamedTuple):
    """An axis of a component: samples over a length of `extent` become others, `step` apart."""

    extent: float
    samples: int
    new_samples: int
    step: float
    mirror: bool

    @property
    def blocks(self) -> int:
        """How many blocks there will be."""
        return ceil_div(self.new_samples, BLOCK)

    def weigh(self, points: int, means: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns what `planes.resample` takes for this axis, with `points` samples a block."""
        zoom = points / BLOCK
        # Samples whose middle lies within the component; those beyond only fill the block.
        size = max(1, int(self.samples * zoom + 0.5))
        step = self.step * zoom
        origin = step / 2
        if self.mirror:
            origin, step = self.extent * zoom - origin, -step
        return weigh_axis(size, self.new_samples, self.blocks, origin, step, means)


class _Plane(NamedTuple):
    """How a component is resampled: its axes as they are stored, and samples along a block."""

    rows: _Line
    columns: _Line
    points: int


def resize(
    image: JpegCoefficients, new_size: tuple[int, int], encoding: Encoding
) -> JpegCoefficients:
    """Returns the picture at another size, by the interpolation that Pillow calls bicubic.

    `new_size` is (height, width) as stored. A grayscale image stays one. Raises ValueError for an
    image that `resampling.can_convert` does not take, or of fewer frequencies than
    `count_frequencies` says.
    """
    axes = _stretch((image.height, image.width), new_size, encoding.orientation)
    return _resample(image, axes, encoding, means=False)


def reencode(image: JpegCoefficients, encoding: Encoding, factor: int = 1) -> JpegCoefficients:
    """Returns the picture at 1/factor of its size, rounded up, of the means of its samples.

    Raises ValueError as `resize` does; all 64 frequencies are needed.
    """
    turn = _TURNS[encoding.orientation]
    axes = [
        _Axis(size, ceil_div(size, factor), float(factor), mirror)
        for size, mirror in zip((image.height, image.width), turn)
    ]
    return _resample(image, axes, encoding, means=True)


def count_frequencies(
    size: tuple[int, int],
    factors: Sequence[tuple[int, int]],
    new_size: tuple[int, int],
    sampling: str,
    orientation: int = 1,
) -> int:
    """Returns how many of an image's lowest frequencies `resize` needs.

    `size` is its (height, width) as stored, `factors` the sampling factors (h, v) of each
    component, `new_size` as `resize` has it.
    """
    axes = _stretch(size, new_size, orientation)
    planes = _plan(axes, factors, sampling, exchange=_TURNS[orientation].exchange, means=False)
    return max(_FREQUENCIES[plane.points] for plane in planes)


def _stretch(size: tuple[int, int], new_size: tuple[int, int], orientation: int) -> list[_Axis]:
    mirrors = _TURNS[orientation]
    return [_Axis(old, new, old / new, mirror) for old, new, mirror in zip(size, new_size, mirrors)]


def _plan(
    axes: Sequence[_Axis],
    factors: Sequence[tuple[int, int]],
    sampling: str,
    *,
    exchange: bool,
    means: bool,
) -> list[_Plane]:
    """Returns what becomes of each component."""
    h_max, v_max = map(max, zip(*factors))
    planes = []
    for index, (h, v) in enumerate(factors):
        new_h, new_v = chroma_ratio(sampling) if index else (1, 1)
        if exchange:
            new_h, new_v = new_v, new_h
        rows = _line(axes[0], v_max // v, new_v)
        columns = _line(axes[1], h_max // h, new_h)
        left = min(rows.step, columns.step) * _FEW_POINTS / _ALL_POINTS
        few = not means and left >= REDUCING_GAPS[index > 0]
        planes.append(_Plane(rows, columns, _FEW_POINTS if few else _ALL_POINTS))
    return planes


def _line(axis: _Axis, ratio: int, new_ratio: int) -> _Line:
    """Returns an axis of a component of which a sample had, and is to have, so many pixels."""
    return _Line(
        extent=axis.size / ratio,
        samples=ceil_div(axis.size, ratio),
        new_samples=ceil_div(axis.new_size, new_ratio),
        step=axis.scale * new_ratio / ratio,
        mirror=axis.mirror,
    )


@functools.lru_cache(maxsize=1)
def _announce_kernels() -> None:
    """Says, once a process, that Numba's cache does not hold the kernels."""
    if not any(pathlib.Path(resample.stats.cache_path).glob("planes.resample-*.nbi")):
        _logger.warning("Compiling the resizing kernels; this takes some 10 seconds, once.")


def _resample(
    image: JpegCoefficients, axes: Sequence[_Axis], encoding: Encoding, *, means: bool
) -> JpegCoefficients:
    _announce_kernels()
    factors = [component.sampling for component in image.components]
    if not can_convert(image):
        raise ValueError(f"cannot resize an image of the sampling factors {factors}.")
    exchange = _TURNS[encoding.orientation].exchange
    planes = _plan(axes, factors, encoding.sampling, exchange=exchange, means=means)
    needed = max(_FREQUENCIES[plane.points] for plane in planes)
    if image.num_frequencies < needed:
        raise ValueError(f"resizing needs {needed} frequencies; got {image.num_frequencies}.")
    # That of the one component of a grayscale image means nothing.
    luma_factors = chroma_ratio(encoding.sampling) if len(planes) > 1 else (1, 1)
    components = []
    for component, plane, table in zip(image.components, planes, encoding.tables):
        coefficients = _resample_plane(component, plane, table, exchange=exchange, means=means)
        sampling = (1, 1) if components else luma_factors
        # A copy: components may share a table, and callers may change what they got.
        components.append(Component.trusted(coefficients, table.copy(), sampling))
    height, width = (axis.new_size for axis in (axes[::-1] if exchange else axes))
    return JpegCoefficients.trusted(height, width, tuple(components), rgb=False, orientation=1)


def _resample_plane(
    component: Component, plane: _Plane, table: np.ndarray, *, exchange: bool, means: bool
) -> np.ndarray:
    """Returns int16 [rows, cols, 64]."""
    coefficients, steps = component.coefficients, component.quantization
    down, across, points = plane
    if exchange:
        order = _EXCHANGED[: len(steps)]
        coefficients, steps = coefficients.swapaxes(0, 1)[..., order], steps[order]
        down, across = across, down
    # The scale of the DCT goes by the number of points (T.81 A.3.3).
    steps = steps[_LOWEST[points]] * np.float32(points / BLOCK)
    coefficients = np.ascontiguousarray(coefficients)
    shape = (down.blocks, across.blocks, BLOCK * BLOCK)
    out = arena.allocate(math.prod(shape)).reshape(shape)
    floats = count_scratch(coefficients.shape[0], coefficients.shape[1], points, across.blocks)
    resample(
        coefficients,
        steps,
        points,
        *down.weigh(points, means),
        *across.weigh(points, means),
        (1 / table.astype(np.float32))[_TRANSPOSED],
        arena.allocate(2 * floats).view(np.float32),
        out,
    )
    return out
