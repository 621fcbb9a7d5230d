"""Chroma sampling and size of a JPEG's coefficients, changed without decoding to pixels.

Averaging samples, repeating samples and the DCT are all linear, so that the blocks of the new plane
are those of the old one times a fixed matrix: a product for each group of neighbouring blocks. What
it gives is what the same would give on the plane's samples, not rounded and not clipped in between;
then it is quantised with the file's own table.

The edges are as libjpeg's encoder makes them of a plane's samples:
- Only samples within the component's own size (ceil(height * v / v_max), T.81 A.1.1) count. Those
  beyond it, which some encoder put there to fill the last block, are replaced by the last of the
  row or column.
- Past the size of the new plane its last row and column are repeated. Only where chroma is averaged
  across does the new plane go on with averages of the old one's repeated last column, as in
  libjpeg, which widens a plane before it averages, but lengthens it afterwards.

Halves are rounded to even: the mean of four DCs is one in a quarter of the cases, and libjpeg's
"away from zero" would make every colour a little stronger (1/8 of a step in the mean). Arithmetic
in float64 gives the same coefficients on every machine; float32 takes half the time, but gives one
in 65,000 another value.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from scipy import fft

from jpegkeras.jpeg import ZIGZAG, Component, JpegCoefficients
from jpegkeras.jpeg.types import ceil_div, count_blocks
from jpegkeras.sampling import BLOCK, chroma_ratio

#: The factors that `downscale` takes.
FACTORS = (1, 2, 4, 8)
# Luma samples a chroma sample along either axis: what a whole factor brings to any data set's.
_CONVERTIBLE = (1, 2, 4)
_FREQUENCIES = BLOCK * BLOCK
# Of a sane file nothing is near these limits, but a damaged one must not wrap round.
_INT16 = np.iinfo(np.int16)
# Planes go through in strips that the processor's cache can hold.
_STRIP_VALUES = 1 << 17


def can_convert(image: JpegCoefficients) -> bool:
    """Tells whether `convert_sampling` takes an image of these components and sampling factors.

    It takes grayscale, and YCbCr whose chroma components have the same factors, 1, 2 or 4 times
    smaller than the luma's along either axis: 4:4:4, 4:2:2, 4:4:0, 4:2:0, 4:1:1, 4:1:0 and these
    turned on their side.
    """
    return image.subsampling == "gray" or _luma_per_chroma(image) is not None


def convert_sampling(image: JpegCoefficients, sampling: str) -> JpegCoefficients:
    """Returns the image with the chroma sampling asked for; its luma is the same array.

    A grayscale image gets chroma planes of zeros, which decode to exactly no colour. Otherwise each
    chroma plane is averaged over, or repeated to, the new grid; see the module docstring for the
    edges and the rounding.

    Raises ValueError if the image's components are R, G and B, if its sampling is not one that
    `can_convert`, or if it holds fewer than 64 frequencies (the map needs all of them).
    """
    target = chroma_ratio(sampling)
    if image.rgb:
        raise ValueError("cannot convert the sampling of an RGB image; expected YCbCr or gray.")
    if image.subsampling == sampling:
        return image
    luma = dataclasses.replace(image.components[0], sampling=target)
    if image.subsampling == "gray":
        chroma = _neutral_chroma(image, target)
        return dataclasses.replace(image, components=(luma, chroma, chroma))
    source = _luma_per_chroma(image)
    if source is None:
        factors = [component.sampling for component in image.components]
        raise ValueError(f"cannot convert the sampling factors {factors} to {sampling}.")
    _check_frequencies(image, "converting the sampling")
    across = _change_ratio(image.width, source[0], target[0], ends=False)
    down = _change_ratio(image.height, source[1], target[1], ends=True)
    planes = [_resample(component, down, across, (1, 1)) for component in image.components[1:]]
    return dataclasses.replace(image, components=(luma, *planes))


def downscale(image: JpegCoefficients, factor: int) -> JpegCoefficients:
    """Returns the image at 1/factor of its height and width, rounded up; factor: 1, 2, 4 or 8.

    Each sample of a component is the mean of factor × factor of its samples. Sampling factors and
    quantisation tables are kept. See the module docstring for the edges and the rounding.

    Raises ValueError for another factor, or if the image holds fewer than 64 frequencies (the map
    needs all of them).
    """
    if factor not in FACTORS:
        raise ValueError(f"factor must be 1, 2, 4 or 8; got {factor}.")
    if factor == 1:
        return image
    _check_frequencies(image, "downscaling")
    height, width = ceil_div(image.height, factor), ceil_div(image.width, factor)
    h_max, v_max = (max(c.sampling[axis] for c in image.components) for axis in (0, 1))
    components = []
    for component in image.components:
        h, v = component.sampling
        down = _Axis(_scaled(image.height, v, v_max), _scaled(height, v, v_max), average=factor)
        across = _Axis(_scaled(image.width, h, h_max), _scaled(width, h, h_max), average=factor)
        components.append(_resample(component, down, across, component.sampling))
    return dataclasses.replace(image, height=height, width=width, components=tuple(components))


def _luma_per_chroma(image: JpegCoefficients) -> tuple[int, int] | None:
    """Returns (h, v), luma samples a chroma sample, of YCbCr that can be converted, else None."""
    luma, *chroma = (component.sampling for component in image.components)
    if image.rgb or len(chroma) != 2 or chroma[0] != chroma[1]:
        return None
    ratios = [divmod(*factors) for factors in zip(luma, chroma[0])]
    if any(rest or ratio not in _CONVERTIBLE for ratio, rest in ratios):
        return None
    return ratios[0][0], ratios[1][0]


def _check_frequencies(image: JpegCoefficients, what: str) -> None:
    if image.num_frequencies != _FREQUENCIES:
        raise ValueError(f"{what} needs all 64 frequencies; got {image.num_frequencies}.")


def _neutral_chroma(image: JpegCoefficients, ratio: tuple[int, int]) -> Component:
    luma = image.components[0]
    (h, v), frequencies = ratio, luma.coefficients.shape[-1]
    shape = (count_blocks(image.height, 1, v), count_blocks(image.width, 1, h), frequencies)
    return Component(
        coefficients=np.zeros(shape, np.int16), quantization=luma.quantization, sampling=(1, 1)
    )


def _scaled(size: int, factor: int, max_factor: int) -> int:
    """Returns the samples of a component along one axis (T.81 A.1.1)."""
    return ceil_div(size * factor, max_factor)


@dataclasses.dataclass(frozen=True)
class _Axis:
    """What happens along one axis of a plane.

    `size` samples become `new_size`: the means of `average` each, or each `repeat` times. `ends`:
    past its size the new plane repeats its last sample (else it goes on as the old one does).
    """

    size: int
    new_size: int
    average: int = 1
    repeat: int = 1
    ends: bool = True

    @property
    def groups(self) -> int:
        """How many groups of `average` blocks become groups of `repeat` blocks."""
        return ceil_div(ceil_div(self.new_size, BLOCK), self.repeat)

    def slice(self, start: int, groups: int) -> _Axis:
        """Returns the axis of `groups` groups from `start` on, as a plane of its own."""
        size = min(self.size - start * BLOCK * self.average, groups * BLOCK * self.average)
        new_size = min(self.new_size - start * BLOCK * self.repeat, groups * BLOCK * self.repeat)
        return dataclasses.replace(self, size=size, new_size=new_size)


def _change_ratio(size: int, before: int, after: int, *, ends: bool) -> _Axis:
    """Returns an axis of `size` pixels, of which a sample had `before` and is to have `after`."""
    return _Axis(
        size=ceil_div(size, before),
        new_size=ceil_div(size, after),
        average=max(1, after // before),
        repeat=max(1, before // after),
        ends=ends,
    )


def _resample(
    component: Component, down: _Axis, across: _Axis, sampling: tuple[int, int]
) -> Component:
    rows, cols = (ceil_div(axis.new_size, BLOCK) for axis in (down, across))
    out = np.empty((rows, cols, _FREQUENCIES), np.int16)
    group_row = (
        _FREQUENCIES
        * across.groups
        * max(across.average * down.average, across.repeat * down.repeat)
    )
    step = max(1, _STRIP_VALUES // group_row)
    # The last strip takes all that is left: it must hold a sample to repeat.
    starts = range(0, ceil_div(down.size, BLOCK * down.average), step)
    for start in starts:
        groups = step if start != starts[-1] else down.groups - start
        source = component.coefficients[start * down.average :][: groups * down.average]
        target = out[start * down.repeat :][: groups * down.repeat]
        _resample_strip(source, component.quantization, down.slice(start, groups), across, target)
    return Component(coefficients=out, quantization=component.quantization, sampling=sampling)


def _resample_strip(
    source: np.ndarray, quantization: np.ndarray, down: _Axis, across: _Axis, out: np.ndarray
) -> None:
    """Maps int16 [rows, cols, 64] to `out`, int16 [new rows, new cols, 64]."""
    rows, cols, _ = source.shape
    blocks = np.empty((down.groups * down.average, across.groups * across.average, _FREQUENCIES))
    np.multiply(source, quantization, out=blocks[:rows, :cols], dtype=np.float64)
    _repeat_edge(blocks[:, :cols], 0, down.size)
    _repeat_edge(blocks, 1, across.size)

    grid = (down.groups, down.average, across.groups, across.average, _FREQUENCIES)
    groups = blocks.reshape(grid).swapaxes(1, 2).reshape(down.groups * across.groups, -1)
    mapped = groups @ block_map(down.average, down.repeat, across.average, across.repeat)
    grid = (down.groups, across.groups, down.repeat, across.repeat, _FREQUENCIES)
    shape = (down.groups * down.repeat, across.groups * across.repeat, _FREQUENCIES)
    # Repeating can give one block more than the new plane has.
    blocks = mapped.reshape(grid).swapaxes(1, 2).reshape(shape)[: out.shape[0], : out.shape[1]]

    for index, axis in enumerate((down, across)):
        if axis.ends:
            _repeat_edge(blocks, index, axis.new_size)
    np.divide(blocks, quantization, out=blocks)
    np.rint(blocks, out=blocks)
    np.clip(blocks, _INT16.min, _INT16.max, out=blocks)
    out[...] = blocks


def _repeat_edge(blocks: np.ndarray, axis: int, size: int) -> None:
    """Replaces all samples from `size` on along an axis of [rows, cols, 64] by the last before."""
    block, sample = divmod(size - 1, BLOCK)
    blocks = blocks.swapaxes(0, axis)
    if len(blocks) > block + 1:
        blocks[block + 1 :] = blocks[block] @ _edge_map(axis, BLOCK, sample)
    if sample != BLOCK - 1:
        blocks[block] = blocks[block] @ _edge_map(axis, 0, sample)


@functools.cache
def block_map(down: int, down_repeat: int, across: int, across_repeat: int) -> np.ndarray:
    """[down × across × 64, down_repeat × across_repeat × 64], in zigzag order on both sides.

    A row of blocks (`down` × `across` of them, row by row) times this is the row of the blocks of
    their averages, or repetitions.
    """
    rows, cols = _axis_map(down, down_repeat), _axis_map(across, across_repeat)
    both = np.einsum("aibj,ckdl->acikbdjl", rows, cols)
    both = both.reshape(down * across, _FREQUENCIES, down_repeat * across_repeat, _FREQUENCIES)
    return _frozen(both[:, ZIGZAG][..., ZIGZAG].reshape(down * across * _FREQUENCIES, -1))


@functools.cache
def _axis_map(average: int, repeat: int) -> np.ndarray:
    """[average, 8, repeat, 8]: what a frequency of each old block adds to those of the new ones."""
    samples = np.full((average, 1), 1 / average) @ np.ones((1, repeat))
    samples = np.kron(np.eye(BLOCK), samples).reshape(average, BLOCK, repeat, BLOCK)
    return _in_frequencies(samples)


@functools.cache
def _edge_map(axis: int, offset: int, last: int) -> np.ndarray:
    """[64, 64]: from a block to the one `offset` samples on, in which sample `last` goes on."""
    samples = np.zeros((BLOCK, BLOCK))
    samples[np.minimum(np.arange(BLOCK) + offset, last), np.arange(BLOCK)] = 1
    along = _in_frequencies(samples[np.newaxis, :, np.newaxis])[0, :, 0]
    both = np.kron(along, np.eye(BLOCK)) if axis == 0 else np.kron(np.eye(BLOCK), along)
    return _frozen(both[ZIGZAG][:, ZIGZAG])


def _in_frequencies(samples: np.ndarray) -> np.ndarray:
    """Turns a linear map [a, 8, b, 8] on samples into the one on their frequencies."""
    dct = fft.dct(np.eye(BLOCK), axis=0, norm="ortho")
    # Without the noise of the DCT: the mean of DCs, which often is a half, must be exact.
    return np.round(np.einsum("fi,aibj,gj->afbg", dct, samples, dct), 15)


def _frozen(array: np.ndarray) -> np.ndarray:
    array = np.ascontiguousarray(array)
    array.setflags(write=False)
    return array
