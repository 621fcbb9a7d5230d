"""Keras layers between the quantised coefficients of a JPEG and a convolutional network.

A network's inputs, and what these layers pass on, are dicts keyed by component:

* inputs: `y`, `cb`, `cr`: int16 [B, rows, cols, n], quantised, zigzag order; `quantization`: uint16
  [B, 3, n], the quantisation tables in the same order. Chroma has fewer rows and columns under
  4:2:2 and 4:2:0.
* bands: `y`, `cb`, `cr`: float32 [B, rows, cols, n], dequantised.

Everything is written with `keras.ops`, so that it runs on each backend of Keras, and constants live
in the layers' configurations and not in weights, so that they count as no parameters. All layers
compute in float32 under any dtype policy: a dequantised DC coefficient has 12 bits, which neither
half format holds.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from jpegkeras.bands import Bands as BandLists
from jpegkeras.bands import zigzag_positions
from jpegkeras.sampling import COMPONENTS

# What a DC coefficient is to its block's mean in sample values (ITU-T T.81 A.3.3: the sum of 64
# samples over 8).
DC_GAIN = 8.0
# No uniform draw is nearer to 0 or 1 than that: the logarithms stay finite.
_SMALLEST = 1e-6

Shape = tuple  # of int | None, the batch dimension first
Bands = Mapping[str, Any]  # component → tensor


def _channels(shape: Shape) -> int:
    if len(shape) != 4 or shape[-1] is None:
        raise ValueError(
            f"coefficients must have the shape (batch, rows, cols, bands) with a known number of "
            f"bands; got {tuple(shape)}."
        )
    return shape[-1]


def _require_components(shapes: Mapping[str, Shape], layer: keras.Layer) -> None:
    missing = [key for key in COMPONENTS if key not in shapes]
    if missing:
        raise ValueError(
            f"layer '{layer.name}' takes a dict with the keys {list(COMPONENTS)}; {missing} are "
            f"missing from {sorted(shapes)}."
        )


def _factor(value: Sequence[int]) -> tuple[int, int]:
    """Validates a (vertical, horizontal) upsampling factor of chroma."""
    factor = tuple(int(v) for v in value)
    if factor not in {(1, 1), (1, 2), (2, 2)}:
        raise ValueError(
            f"chroma factor (vertical, horizontal) must be (1, 1), (1, 2) or (2, 2), that is "
            f"4:4:4, 4:2:2 or 4:2:0; got {factor}."
        )
    return factor


class _FixedLayer(keras.Layer):
    """A layer without weights that computes in float32 whatever the global dtype policy."""

    def __init__(self, *, dtype: Any = "float32", **kwargs: Any):
        super().__init__(dtype=dtype, **kwargs)


@keras.saving.register_keras_serializable(package="jpegkeras")
class Dequantize(_FixedLayer):
    """Quantised coefficients times their quantisation table (ITU-T T.81 A.3.4).

    Takes the network's inputs (see the module's docstring); returns `{"y", "cb", "cr"}`, float32
    [B, rows, cols, n]. A coefficient is an integer of at most 16 bits, so the products are exact.
    """

    def build(self, input_shape: Mapping[str, Shape]) -> None:
        """Checks that the components and the tables have the same bands."""
        _require_components(input_shape, self)
        if "quantization" not in input_shape:
            raise ValueError(f"layer '{self.name}' needs the key 'quantization' in its inputs.")
        bands = {key: _channels(input_shape[key]) for key in COMPONENTS}
        tables = tuple(input_shape["quantization"][1:])
        if set(bands.values()) != {tables[-1]} or tables[0] != len(COMPONENTS):
            raise ValueError(
                f"'quantization' must be (batch, 3, n) with the components' n; got {tables} "
                f"after the batch dimension for components with {bands} bands."
            )
        self.built = True

    def call(self, inputs: Bands) -> dict[str, Any]:
        """See the class."""
        tables = ops.cast(inputs["quantization"], self.compute_dtype)
        return {
            key: ops.cast(inputs[key], self.compute_dtype) * tables[:, None, i : i + 1, :]
            for i, key in enumerate(COMPONENTS)
        }

    def compute_output_shape(self, input_shape: Mapping[str, Shape]) -> dict[str, Shape]:
        """The components' shapes, without the tables."""
        return {key: tuple(input_shape[key]) for key in COMPONENTS}


@keras.saving.register_keras_serializable(package="jpegkeras")
class BandSelection(_FixedLayer):
    """Keeps the first `num_frequencies` bands of the last axis: in zigzag order, the n lowest.

    Takes a tensor or a nested structure (the dict of components) of tensors [..., m], m ≥ n, of any
    dtype, and keeps structure and dtype.
    """

    def __init__(self, num_frequencies: int, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        if not 1 <= num_frequencies <= 64:
            raise ValueError(f"num_frequencies must be 1 … 64; got {num_frequencies}.")
        self.num_frequencies = int(num_frequencies)

    def _shape(self, shape: Shape) -> Shape:
        if shape[-1] is not None and shape[-1] < self.num_frequencies:
            raise ValueError(
                f"layer '{self.name}' keeps {self.num_frequencies} bands; its input has only "
                f"{shape[-1]}."
            )
        return (*shape[:-1], self.num_frequencies)

    def call(self, inputs: Any) -> Any:
        """See the class."""
        return keras.tree.map_structure(lambda x: x[..., : self.num_frequencies], inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's shapes with n bands."""
        return keras.tree.map_shape_structure(self._shape, input_shape)

    def compute_output_spec(self, inputs: Any) -> Any:
        """Keeps each tensor's own dtype."""
        return keras.tree.map_structure(
            lambda x: keras.KerasTensor(self._shape(x.shape), dtype=x.dtype), inputs
        )

    def get_config(self) -> dict[str, Any]:
        """The layer's arguments."""
        return {**super().get_config(), "num_frequencies": self.num_frequencies}


@keras.saving.register_keras_serializable(package="jpegkeras")
class NormalizeBands(_FixedLayer):
    """Dequantised coefficients to the range that a network takes, band by band.

    With `statistics`, `{"y": {"mean": […], "std": […]}, "cb": …, "cr": …}` of dequantised
    coefficients in zigzag order (at least as many values as there are bands; further ones are not
    used): (x − mean) / std. A band whose standard deviation is 0 is only centred.

    Without: x / 8, so that DC is the block's mean in sample values less 128. The scale is one for
    all bands because the networks normalise each band by batch statistics next; it is no smaller
    than this because the faint high bands must keep a variance well above that normalisation's
    epsilon.

    Takes and returns `{"y", "cb", "cr"}`, float32 [B, rows, cols, n].
    """

    def __init__(
        self,
        statistics: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.statistics = None if statistics is None else self._plain(statistics)

    @staticmethod
    def _plain(
        statistics: Mapping[str, Mapping[str, Sequence[float]]],
    ) -> dict[str, dict[str, list[float]]]:
        """`statistics` as plain lists, which JSON can hold."""
        plain: dict[str, dict[str, list[float]]] = {}
        for key in COMPONENTS:
            try:
                plain[key] = {
                    name: [float(v) for v in statistics[key][name]] for name in ("mean", "std")
                }
            except (KeyError, TypeError) as error:
                raise ValueError(
                    f"statistics must hold 'mean' and 'std' lists for each of {list(COMPONENTS)}; "
                    f"those of '{key}' cannot be read ({error!r})."
                ) from error
            mean, std = plain[key]["mean"], plain[key]["std"]
            if len(mean) != len(std):
                raise ValueError(
                    f"statistics of '{key}' have {len(mean)} means and {len(std)} deviations; "
                    f"they must be as many."
                )
            if not all(map(math.isfinite, mean + std)) or min(std, default=0) < 0:
                raise ValueError(f"statistics of '{key}' must be finite, deviations not negative.")
        return plain

    def build(self, input_shape: Mapping[str, Shape]) -> None:
        """Checks that there are statistics for every band."""
        _require_components(input_shape, self)
        for key in COMPONENTS:
            bands = _channels(input_shape[key])
            if self.statistics is not None and len(self.statistics[key]["mean"]) < bands:
                raise ValueError(
                    f"statistics of '{key}' cover {len(self.statistics[key]['mean'])} bands; the "
                    f"input has {bands}."
                )
        self.built = True

    def call(self, inputs: Bands) -> dict[str, Any]:
        """See the class."""
        if self.statistics is None:
            return {key: inputs[key] * (1 / DC_GAIN) for key in COMPONENTS}
        outputs = {}
        for key in COMPONENTS:
            n = inputs[key].shape[-1]
            mean = np.asarray(self.statistics[key]["mean"][:n], "float32")
            std = np.asarray(self.statistics[key]["std"][:n], "float32")
            outputs[key] = (inputs[key] - mean) / np.where(std == 0, np.float32(1), std)
        return outputs

    def compute_output_shape(self, input_shape: Mapping[str, Shape]) -> dict[str, Shape]:
        """The input's shapes."""
        return {key: tuple(input_shape[key]) for key in COMPONENTS}

    def get_config(self) -> dict[str, Any]:
        """The layer's arguments."""
        return {**super().get_config(), "statistics": self.statistics}


@keras.saving.register_keras_serializable(package="jpegkeras")
class UpsampleChroma(_FixedLayer):
    """Repeats chroma's blocks so that the three components have the same rows and columns.

    `factor`: (vertical, horizontal): (2, 2) for 4:2:0, (1, 2) for 4:2:2, (1, 1) for 4:4:4, where
    nothing is to do. Nearest neighbour by whole blocks, as in Gueguen et al. 2018's UpSampling
    networks.

    Takes and returns `{"y", "cb", "cr"}`, float32 [B, rows, cols, n].
    """

    def __init__(self, factor: Sequence[int], **kwargs: Any):
        super().__init__(**kwargs)
        self.factor = _factor(factor)

    def call(self, inputs: Bands) -> dict[str, Any]:
        """See the class."""
        outputs = {"y": inputs["y"]}
        for key in COMPONENTS[1:]:
            outputs[key] = inputs[key]
            for axis, repeats in zip((1, 2), self.factor):
                if repeats > 1:
                    outputs[key] = ops.repeat(outputs[key], repeats, axis=axis)
        return outputs

    def compute_output_shape(self, input_shape: Mapping[str, Shape]) -> dict[str, Shape]:
        """Chroma's rows and columns times the factor."""
        _require_components(input_shape, self)
        shapes = {"y": tuple(input_shape["y"])}
        for key in COMPONENTS[1:]:
            batch, rows, cols, bands = input_shape[key]
            v, h = self.factor
            shapes[key] = (
                batch,
                None if rows is None else rows * v,
                None if cols is None else cols * h,
                bands,
            )
        return shapes

    def get_config(self) -> dict[str, Any]:
        """The layer's arguments."""
        return {**super().get_config(), "factor": list(self.factor)}


@keras.saving.register_keras_serializable(package="jpegkeras")
class ChosenBands(_FixedLayer):
    """Keeps the listed bands of each component; components may then have different numbers.

    `y`, `cb`, `cr`: zigzag positions, ascending, which are places on the last axis. Takes `{"y",
    "cb", "cr"}`, float32 [B, rows, cols, n], n above the highest position; returns the same with
    as many bands as are listed, in their order.
    """

    def __init__(self, y: Sequence[int], cb: Sequence[int], cr: Sequence[int], **kwargs: Any):
        super().__init__(**kwargs)
        self.bands = BandLists(tuple(y), tuple(cb), tuple(cr))

    def build(self, input_shape: Mapping[str, Shape]) -> None:
        """Checks that all listed bands are there."""
        _require_components(input_shape, self)
        for key, positions in self.bands.to_dict().items():
            if _channels(input_shape[key]) <= positions[-1]:
                raise ValueError(
                    f"layer '{self.name}' keeps band {positions[-1]} of '{key}'; its input has "
                    f"only {input_shape[key][-1]} bands, from 0 on."
                )
        self.built = True

    def call(self, inputs: Bands) -> dict[str, Any]:
        """See the class."""
        outputs = {}
        for key, positions in self.bands.to_dict().items():
            if positions[-1] + 1 == len(positions):  # a prefix: no need to gather
                outputs[key] = inputs[key][..., : len(positions)]
            else:
                outputs[key] = ops.take(inputs[key], np.array(positions, "int32"), axis=-1)
        return outputs

    def compute_output_shape(self, input_shape: Mapping[str, Shape]) -> dict[str, Shape]:
        """The input's shapes with the listed numbers of bands."""
        return {
            key: (*input_shape[key][:-1], len(positions))
            for key, positions in self.bands.to_dict().items()
        }

    def get_config(self) -> dict[str, Any]:
        """The layer's arguments."""
        lists = {key: list(positions) for key, positions in self.bands.to_dict().items()}
        return {**super().get_config(), **lists}


@keras.saving.register_keras_serializable(package="jpegkeras")
class BandGate(_FixedLayer):
    """Decides, image by image, which channels to keep, in a way that can be learned.

    The last part of the gate of Xu et al., "Learning in the Frequency Domain" (CVPR 2020): a
    grouped 1×1 convolution gives each channel two logits, to keep and to drop it, and a hard
    Gumbel-softmax decides. Training draws noise and passes gradients straight through the decision
    (Jang et al. 2017); otherwise a channel is kept where its probability is above 1/2. The biases
    begin at 2 (keep) and 0.1 (drop): 87 % are kept at first.

    Takes float32 [B, 1, 1, C]. Returns two tensors of that shape: the decisions, 0 or 1, and the
    log-odds that a channel is kept. The noise follows from `seed_state`, which is a weight
    that is not trained; devices that train side by side draw the same numbers, each for its own
    images.
    """

    def __init__(self, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        # A weight like the others, so that checkpoints and saved models hold it: Keras itself keeps
        # the state of generators in neither.
        self.seed_state = self.seed_generator.state

    def build(self, input_shape: Shape) -> None:
        """Makes the weights: of each channel the logit to keep it, then the one to drop it."""
        channels = _channels(input_shape)
        self.scale = self.add_weight(
            name="scale",
            shape=(2 * channels,),
            initializer=keras.initializers.RandomNormal(stddev=0.001),
        )
        self.bias = self.add_weight(
            name="bias", shape=(2 * channels,), initializer=_initial_gate_biases
        )
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> tuple[Any, Any]:
        """See the class."""
        scale, bias = (ops.reshape(weight, (-1, 2)) for weight in (self.scale, self.bias))
        logits = inputs[..., None] * scale + bias
        # Of two, the softmax is the sigmoid of the difference, and the difference of two Gumbel
        # variables is logistic: one draw does.
        surplus = logits[..., 0] - logits[..., 1]
        if not training:
            return ops.cast(surplus > 0, self.compute_dtype), surplus
        drawn = keras.random.uniform(
            ops.shape(inputs), _SMALLEST, 1 - _SMALLEST, "float32", seed=self.seed_generator
        )
        noisy = surplus + ops.log(drawn) - ops.log(1 - drawn)
        soft, hard = ops.sigmoid(noisy), ops.cast(noisy > 0, self.compute_dtype)
        return soft + ops.stop_gradient(hard - soft), surplus

    def compute_output_shape(self, input_shape: Shape) -> tuple[Shape, Shape]:
        """The input's shape, twice."""
        return tuple(input_shape), tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """The layer's arguments."""
        return {**super().get_config(), "seed": self.seed}


def _initial_gate_biases(shape: Shape, dtype: Any = None) -> Any:
    return ops.convert_to_tensor(np.tile([2.0, 0.1], shape[0] // 2), dtype=dtype)


@functools.cache
def inverse_dct_basis(num_frequencies: int = 64) -> np.ndarray:
    """The inverse DCT of each of the first n coefficients in zigzag order (ITU-T T.81 A.3.3).

    Returns:
      float32 [n, 64]: row k is the 8×8 block of samples, row by row, that coefficient k = 1 alone
      stands for.
    """
    u, x = np.mgrid[:8, :8]
    cosines = np.cos((2 * x + 1) * u * np.pi / 16) / 2
    cosines[0] /= np.sqrt(2)
    rows, cols = np.array(zigzag_positions()[:num_frequencies]).T
    return np.einsum("ky,kx->kyx", cosines[rows], cosines[cols]).reshape(-1, 64).astype("float32")


def _to_levels(x: Any) -> Any:
    """Rounds and clips to 0 … 255.

    Halves go up, as in libjpeg, and not to even: blocks of nothing but DC, of which flat areas
    consist, are multiples of 1/8, so that halves are frequent there.
    """
    return ops.clip(ops.floor(x + 0.5), 0, 255)


def bands_to_samples(bands: Any) -> Any:
    """Dequantised coefficients of one component to the samples that a decoder outputs.

    The inverse DCT, level shift, rounding and clipping of ITU-T T.81 A.3.1 and A.3.3. Bands that
    are absent (n < 64) count as zeros.

    Args:
      bands: float32 [B, rows, cols, n], zigzag order.

    Returns:
      float32 [B, 8·rows, 8·cols], whole numbers 0 … 255.
    """
    _, rows, cols, n = ops.shape(bands)
    blocks = ops.matmul(bands, ops.convert_to_tensor(inverse_dct_basis(n)))
    blocks = ops.reshape(blocks, (-1, rows, cols, 8, 8))
    samples = ops.reshape(ops.transpose(blocks, (0, 1, 3, 2, 4)), (-1, rows * 8, cols * 8))
    return _to_levels(samples + 128)


def _neighbours(x: Any, axis: int) -> tuple[Any, Any]:
    """The elements before and after each one along axis 1 or 2 of [B, H, W]; edges repeat."""
    if axis == 1:
        before = ops.concatenate([x[:, :1], x[:, :-1]], axis=1)
        after = ops.concatenate([x[:, 1:], x[:, -1:]], axis=1)
    else:
        before = ops.concatenate([x[:, :, :1], x[:, :, :-1]], axis=2)
        after = ops.concatenate([x[:, :, 1:], x[:, :, -1:]], axis=2)
    return before, after


def upsample_samples(samples: Any, factor: tuple[int, int]) -> Any:
    """Doubles a chroma plane with the triangle filter, which libjpeg calls fancy upsampling.

    Each output sample lies a quarter of an input sample's width from its nearest input sample and
    takes 3/4 of it and 1/4 of the next one, along each axis that is doubled; at the edges the
    nearest sample stands for the one that is missing. Rounding is libjpeg's: its offsets alternate
    from column to column, so that no brightness drift builds up.

    Args:
      samples: float32 [B, H, W], whole numbers.
      factor: (vertical, horizontal): (1, 1), (1, 2) or (2, 2).

    Returns:
      float32 [B, H·vertical, W·horizontal], whole numbers.
    """
    vertical, horizontal = factor
    if horizontal == 1:
        return samples
    _, height, width = ops.shape(samples)
    # Sums are kept whole until the last step, in units of 1/4 or (both axes) 1/16 sample value.
    unit, left_offset, right_offset = 4, 1, 2
    if vertical == 2:
        above, below = _neighbours(samples, axis=1)
        rows = ops.stack([3 * samples + above, 3 * samples + below], axis=2)
        height = height * 2
        samples = ops.reshape(rows, (-1, height, width))
        unit, left_offset, right_offset = 16, 8, 7
    before, after = _neighbours(samples, axis=2)
    left = ops.floor((3 * samples + before + left_offset) * (1 / unit))
    right = ops.floor((3 * samples + after + right_offset) * (1 / unit))
    return ops.reshape(ops.stack([left, right], axis=3), (-1, height, width * 2))


def ycbcr_to_rgb(y: Any, cb: Any, cr: Any) -> Any:
    """JFIF's colour conversion (ITU-T T.871 clause 7), rounded and clipped.

    Args:
      y, cb, cr: float32 [B, H, W], 0 … 255.

    Returns:
      float32 [B, H, W, 3], whole numbers 0 … 255, RGB.
    """
    cb, cr = cb - 128, cr - 128
    red = y + 1.402 * cr
    green = y - (0.114 * 1.772 * cb + 0.299 * 1.402 * cr) * (1 / 0.587)
    blue = y + 1.772 * cb
    return _to_levels(ops.stack([red, green, blue], axis=-1))


@keras.saving.register_keras_serializable(package="jpegkeras")
class CoefficientsToPixels(_FixedLayer):
    """Decodes dequantised coefficients to RGB pixels, for any network that takes pixels.

    `bands_to_samples` for each component, `upsample_samples` for chroma, `ycbcr_to_rgb`. `factor`:
    the chroma factor (vertical, horizontal): (2, 2) for 4:2:0, (1, 2) for 4:2:2, (1, 1) for 4:4:4.
    Zero chroma planes give grey. Rounding makes the gradient with respect to the coefficients zero.

    Takes `{"y", "cb", "cr"}`, float32 [B, rows, cols, n], n ≤ 64; returns float32 [B, 8·rows,
    8·cols, 3], whole numbers 0 … 255.
    """

    def __init__(self, factor: Sequence[int], **kwargs: Any):
        super().__init__(**kwargs)
        self.factor = _factor(factor)

    def build(self, input_shape: Mapping[str, Shape]) -> None:
        """Checks that chroma times the factor is luma's size."""
        _require_components(input_shape, self)
        for key in COMPONENTS:
            if _channels(input_shape[key]) > 64:
                raise ValueError(
                    f"a block has 64 coefficients; '{key}' has {input_shape[key][-1]} bands."
                )
        for key in COMPONENTS[1:]:
            for axis, factor in zip((1, 2), self.factor):
                luma, chroma = input_shape["y"][axis], input_shape[key][axis]
                if None not in (luma, chroma) and luma != chroma * factor:
                    raise ValueError(
                        f"luma must have {self.factor} times the blocks of chroma; got "
                        f"{tuple(input_shape['y'][1:3])} and {tuple(input_shape[key][1:3])} "
                        f"('{key}'). Pad luma to whole MCUs."
                    )
        self.built = True

    def call(self, inputs: Bands) -> Any:
        """See the class."""
        y = bands_to_samples(inputs["y"])
        cb, cr = (
            upsample_samples(bands_to_samples(inputs[key]), self.factor) for key in COMPONENTS[1:]
        )
        return ycbcr_to_rgb(y, cb, cr)

    def compute_output_shape(self, input_shape: Mapping[str, Shape]) -> Shape:
        """Eight pixels a block."""
        batch, rows, cols, _ = input_shape["y"]
        return (
            batch,
            None if rows is None else rows * 8,
            None if cols is None else cols * 8,
            3,
        )

    def get_config(self) -> dict[str, Any]:
        """The layer's arguments."""
        return {**super().get_config(), "factor": list(self.factor)}


@keras.saving.register_keras_serializable(package="jpegkeras")
class NormalizePixels(_FixedLayer):
    """RGB pixels to what the published ResNet-50 weights take: BGR less ImageNet's mean.

    The same as `keras.applications.resnet.preprocess_input` ("caffe" mode), whose means are the
    default here, so that those weights fit.

    Takes float32 [B, H, W, 3], 0 … 255, RGB; returns float32 [B, H, W, 3], BGR. `mean` is in RGB
    order.
    """

    def __init__(self, mean: Sequence[float] = (123.68, 116.779, 103.939), **kwargs: Any):
        super().__init__(**kwargs)
        self.mean = [float(v) for v in mean]
        if len(self.mean) != 3:
            raise ValueError(f"mean must have three values, R, G and B; got {len(self.mean)}.")

    def call(self, inputs: Any) -> Any:
        """See the class."""
        return ops.flip(inputs - np.asarray(self.mean, "float32"), axis=-1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The input's shape."""
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """The layer's arguments."""
        return {**super().get_config(), "mean": self.mean}
