"""Resizing a JPEG's planes in float64, written down plainly, and how far a result is from it.

The reference shares no code with what is measured: SciPy's inverse DCT, clipped to what 8 bits
hold, then a matrix for each axis with the weights of Pillow's bicubic filter, clipped again.
"""

from __future__ import annotations

import numpy as np
from scipy import fft

from jpegkeras.jpeg import ZIGZAG, Component, JpegCoefficients
from jpegkeras.sampling import BLOCK, chroma_ratio

_LEAST, _MOST = -128, 127
_PEAK = 255
# Where two planes are equal.
_NO_ERROR_DB = 120.0


def decode_planes(image: JpegCoefficients) -> list[np.ndarray]:
    """Returns each component as float64 [component height, width], -128 to 127."""
    h_max, v_max = (max(c.sampling[axis] for c in image.components) for axis in (0, 1))
    return [
        _decode(component)[
            : -(-image.height * component.sampling[1] // v_max),
            : -(-image.width * component.sampling[0] // h_max),
        ]
        for component in image.components
    ]


def resize_planes(
    image: JpegCoefficients, height: int, width: int, sampling: str
) -> list[np.ndarray]:
    """Returns the planes of the resized picture, luma and chroma each on its grid."""
    h_max, v_max = (max(c.sampling[axis] for c in image.components) for axis in (0, 1))
    resized = []
    for index, (component, plane) in enumerate(zip(image.components, decode_planes(image))):
        new_h, new_v = chroma_ratio(sampling) if index else (1, 1)
        down = _weights(
            len(plane),
            -(-height // new_v),
            image.height / height * new_v * component.sampling[1] / v_max,
        )
        across = _weights(
            plane.shape[1],
            -(-width // new_h),
            image.width / width * new_h * component.sampling[0] / h_max,
        )
        resized.append(np.clip(down @ plane @ across.T, _LEAST, _MOST))
    return resized


def quantize_planes(planes: list[np.ndarray], tables: list[np.ndarray]) -> list[np.ndarray]:
    """Returns what the planes are after quantisation: what no encoder can do much better."""
    quantized = []
    for plane, table in zip(planes, tables):
        height, width = plane.shape
        padded = np.pad(plane, ((0, -height % BLOCK), (0, -width % BLOCK)), "edge")
        blocks = _to_blocks(padded)
        steps = np.empty(BLOCK * BLOCK)
        steps[ZIGZAG] = table
        steps = steps.reshape(BLOCK, BLOCK)
        blocks = fft.dctn(blocks, axes=(2, 3), norm="ortho")
        blocks = fft.idctn(np.rint(blocks / steps) * steps, axes=(2, 3), norm="ortho")
        quantized.append(np.clip(_from_blocks(blocks), _LEAST, _MOST)[:height, :width])
    return quantized


def measure_psnr(plane: np.ndarray, other: np.ndarray) -> float:
    """Returns the peak signal-to-noise ratio in dB."""
    error = float(np.mean((plane - other) ** 2))
    return _NO_ERROR_DB if error == 0 else min(_NO_ERROR_DB, 10 * np.log10(_PEAK**2 / error))


def _decode(component: Component) -> np.ndarray:
    rows, columns, _ = component.coefficients.shape
    blocks = np.empty((rows, columns, BLOCK * BLOCK))
    blocks[..., ZIGZAG] = component.coefficients * component.quantization.astype(np.float64)
    blocks = blocks.reshape(rows, columns, BLOCK, BLOCK)
    return np.clip(_from_blocks(fft.idctn(blocks, axes=(2, 3), norm="ortho")), _LEAST, _MOST)


def _to_blocks(plane: np.ndarray) -> np.ndarray:
    height, width = plane.shape
    return plane.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK).swapaxes(1, 2)


def _from_blocks(blocks: np.ndarray) -> np.ndarray:
    rows, columns = blocks.shape[:2]
    return blocks.swapaxes(1, 2).reshape(rows * BLOCK, columns * BLOCK)


def _weights(size: int, new_size: int, step: float) -> np.ndarray:
    """Returns float64 [new_size, size]; new sample i has its middle at (i + 1/2) * step."""
    stretch = max(1.0, step)
    middles = np.minimum((np.arange(new_size) + 0.5) * step, size)[:, np.newaxis]
    distance = np.abs(np.arange(size) + 0.5 - middles) / stretch
    # R. G. Keys: Cubic Convolution Interpolation for Digital Image Processing, 1981, a = -1/2.
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    weights = np.where(distance < 1, near, np.where(distance < 2, far, 0.0))
    return weights / weights.sum(axis=1, keepdims=True)
