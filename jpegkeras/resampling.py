"""Changes of the chroma sampling of a JPEG's coefficients; the luma stays as it is.

Averaging pixels, repeating pixels and the DCT are all linear, so each of them is a small matrix
between the coefficients of neighbouring blocks. The luma stays as it is, bit for bit; the chroma is
mapped, rounded and quantised again with the file's own table.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from scipy import fft

from jpegkeras.jpeg import ZIGZAG, Component, JpegCoefficients
from jpegkeras.jpeg.types import count_blocks
from jpegkeras.sampling import BLOCK, chroma_ratio

# Luma samples a chroma sample, across and down, for each name that `JpegCoefficients.subsampling`
# can give.
_CONVERTIBLE = {
    "4:4:4": (1, 1),
    "4:2:2": (2, 1),
    "4:4:0": (1, 2),
    "4:2:0": (2, 2),
    "4:1:1": (4, 1),
    "4:1:0": (4, 2),
}
# Of a sane file nothing is near these limits, but a damaged one must not wrap round.
_INT16 = np.iinfo(np.int16)


def can_convert(subsampling: str) -> bool:
    """Tells whether `convert_sampling` takes an image of this `JpegCoefficients.subsampling`."""
    return subsampling == "gray" or subsampling in _CONVERTIBLE


def convert_sampling(image: JpegCoefficients, sampling: str) -> JpegCoefficients:
    """Returns the image with the chroma sampling asked for; its luma is the same array.

    A grayscale image gets chroma planes of zeros, which decode to exactly no colour. Otherwise each
    chroma plane is averaged over, or repeated to, the new grid; pixels past the plane's edge repeat
    its last ones.

    Raises ValueError if the image's sampling is not one that `can_convert`, or if it holds fewer
    than 64 frequencies (the map needs all of them).
    """
    target = chroma_ratio(sampling)
    luma = dataclasses.replace(image.components[0], sampling=target)
    if image.subsampling == sampling:
        return image
    if image.subsampling == "gray":
        chroma = _neutral_chroma(image, target)
        return dataclasses.replace(image, components=(luma, chroma, chroma))
    if image.subsampling not in _CONVERTIBLE:
        raise ValueError(f"cannot convert the sampling {image.subsampling!r} to {sampling}.")
    if image.num_frequencies != BLOCK * BLOCK:
        raise ValueError(
            f"converting the sampling needs all 64 frequencies; got {image.num_frequencies}."
        )
    source = _CONVERTIBLE[image.subsampling]
    shape = _chroma_blocks(image, target)
    planes = [_resample(component, source, target, shape) for component in image.components[1:]]
    return dataclasses.replace(image, components=(luma, *planes))


def _neutral_chroma(image: JpegCoefficients, ratio: tuple[int, int]) -> Component:
    luma = image.components[0]
    shape = (*_chroma_blocks(image, ratio), luma.coefficients.shape[-1])
    return Component(
        coefficients=np.zeros(shape, np.int16), quantization=luma.quantization, sampling=(1, 1)
    )


def _chroma_blocks(image: JpegCoefficients, ratio: tuple[int, int]) -> tuple[int, int]:
    h, v = ratio
    return count_blocks(image.height, 1, v), count_blocks(image.width, 1, h)


def _resample(
    component: Component, source: tuple[int, int], target: tuple[int, int], shape: tuple[int, int]
) -> Component:
    rows, cols, _ = component.coefficients.shape
    blocks = np.empty((rows, cols, BLOCK * BLOCK))
    blocks[..., ZIGZAG] = component.coefficients * component.quantization.astype(np.float64)
    blocks = blocks.reshape(rows, cols, BLOCK, BLOCK)
    # Vertically on [rows, cols, vertical frequency, horizontal frequency], then the same on the
    # transpose.
    blocks = _resample_rows(blocks, source[1], target[1])
    blocks = _resample_rows(blocks.transpose(1, 0, 3, 2), source[0], target[0]).transpose(
        1, 0, 3, 2
    )
    blocks = blocks[: shape[0], : shape[1]]  # repeating can give one block more than the image has
    flat = blocks.reshape(*shape, BLOCK * BLOCK)[..., ZIGZAG]
    return Component(
        coefficients=np.rint(flat / component.quantization)
        .clip(_INT16.min, _INT16.max)
        .astype(np.int16),
        quantization=component.quantization,
        sampling=(1, 1),
    )


def _resample_rows(blocks: np.ndarray, source: int, target: int) -> np.ndarray:
    """Maps [rows, cols, 8, 8] from `source` to `target` luma samples a sample, down the rows."""
    if target > source:
        return _average_rows(blocks, target // source)
    if target < source:
        return _repeat_rows(blocks, source // target)
    return blocks


def _average_rows(blocks: np.ndarray, factor: int) -> np.ndarray:
    missing = -len(blocks) % factor
    if missing:
        beyond = np.einsum("ij,cjk->cik", _last_row_repeated(), blocks[-1])
        blocks = np.concatenate([blocks, np.broadcast_to(beyond, (missing, *beyond.shape))])
    groups = blocks.reshape(len(blocks) // factor, factor, *blocks.shape[1:])
    return np.einsum("fij,rfcjk->rcik", _averaging(factor), groups)


def _repeat_rows(blocks: np.ndarray, factor: int) -> np.ndarray:
    # Repeating is the transpose of averaging, but for the scale.
    spread = np.einsum("fji,rcjk->rfcik", _averaging(factor), blocks) * factor
    return spread.reshape(len(blocks) * factor, *blocks.shape[1:])


@functools.cache
def _averaging(factor: int) -> np.ndarray:
    """[factor, 8, 8]: what each of `factor` neighbours adds to the block of their averages."""
    dct = fft.dct(np.eye(BLOCK), axis=0, norm="ortho")
    average = np.kron(np.eye(BLOCK), np.full((1, factor), 1 / factor))  # [8, 8 × factor] on samples
    return np.stack([dct @ part @ dct.T for part in np.split(average, factor, axis=1)])


@functools.cache
def _last_row_repeated() -> np.ndarray:
    """[8, 8]: the block all of whose rows are the last row of the block it is applied to."""
    dct = fft.dct(np.eye(BLOCK), axis=0, norm="ortho")
    repeat = np.zeros((BLOCK, BLOCK))
    repeat[:, -1] = 1
    return dct @ repeat @ dct.T
