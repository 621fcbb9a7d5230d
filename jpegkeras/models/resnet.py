"""ResNet-50 (He et al. 2016, version 1) on RGB pixels and on DCT coefficients.

Version 1 as in `keras.applications.ResNet50`: a block's stride sits on its first 1×1 convolution,
convolutions have a bias, each is followed by batch normalisation. Layers have the names of
`keras.applications`, so that the RGB network takes its weights one to one.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
from keras import layers

from jpegkeras.layers import (
    BandGate,
    BandSelection,
    ChosenBands,
    CoefficientsToPixels,
    Dequantize,
    NormalizeBands,
    NormalizePixels,
    UpsampleChroma,
)
from jpegkeras.models.gating import GATE
from jpegkeras.models.options import NetworkOptions
from jpegkeras.sampling import COMPONENTS

CHANNELS_LAST = {"data_format": "channels_last"}


@dataclasses.dataclass(frozen=True)
class Stage:
    """Bottleneck blocks in a row: 1×1 to `width`, K×K to `width`, 1×1 to 4·`width` channels.

    The first block carries the stride and has a projection shortcut. `kernel_sizes` holds K, block
    by block.
    """

    name: str
    width: int
    kernel_sizes: tuple[int, ...]
    stride: int = 2


# Stages 3 to 5 are those of the standard ResNet-50 in all networks; only the stride of stage 3
# differs.
STAGE_4 = Stage("conv4", 256, (3,) * 6)
STAGE_5 = Stage("conv5", 512, (3,) * 3)


def rgb_stages() -> tuple[Stage, ...]:
    """Stages 2 to 5 of ResNet-50."""
    return (
        Stage("conv2", 64, (3,) * 3, stride=1),
        Stage("conv3", 128, (3,) * 4),
        STAGE_4,
        STAGE_5,
    )


def dct_stages(num_frequencies: int) -> tuple[Stage, ...]:
    """Stages 2 to 5 of the network on 3n bands (dos Santos et al. 2020).

    For n = 64 this is UpSampling-RFA of Gueguen et al. 2018: kernels of 1, 2 and 3 blocks make the
    receptive field grow as it does in ResNet-50, and two stages keep their stride at 1, since a
    block is already 8 pixels wide. The paper gives no widths for fewer bands; 4n reproduces its
    table's multiply–adds and parameters.
    """
    return (
        Stage("conv2", 4 * num_frequencies, (1, 2, 3), stride=1),
        Stage("conv3", 128, (3,) * 4, stride=1),
        STAGE_4,
        STAGE_5,
    )


def resnet50_rgb(options: NetworkOptions) -> keras.Model:
    """The baseline: ResNet-50 behind a fixed layer that decodes the coefficients to pixels.

    From the layer "pixels" (float32 [B, H, W, 3], 0 … 255, RGB) on it is
    `keras.applications.ResNet50` with its `preprocess_input`.
    """
    inputs = coefficient_inputs(options)
    bands = dequantized_bands(inputs, options)
    x = CoefficientsToPixels(options.chroma_factor, name="pixels")(bands)
    x = NormalizePixels(name="normalize_pixels")(x)
    x = pixel_stem(x, options)
    for stage in rgb_stages():
        x = stack(x, stage, options)
    return classifier(inputs, x, options, name="resnet50_rgb")


def resnet50_dct(options: NetworkOptions) -> keras.Model:
    """ResNet-50 without a stem on DCT bands: see `dct_stages`.

    On the n lowest of each component, or on those of `options.bands`, or on those that a gate keeps
    (`options.learned_bands`). As many bands in all make stage 2 as wide, whichever they are.
    """
    inputs = coefficient_inputs(options)
    x = joined_bands(inputs, options)
    for stage in dct_stages(options.mean_frequencies):
        x = stack(x, stage, options)
    return classifier(inputs, x, options, name="resnet50_dct")


def coefficient_inputs(options: NetworkOptions) -> dict[str, Any]:
    """The inputs of every network: quantised coefficients and their tables."""
    return {
        key: keras.Input(shape, dtype="uint16" if key == "quantization" else "int16", name=key)
        for key, shape in options.input_shapes.items()
    }


def dequantized_bands(inputs: dict[str, Any], options: NetworkOptions) -> dict[str, Any]:
    """The network's bands, dequantised: float32 [B, rows, cols, num_frequencies] a component."""
    bands = Dequantize(name="dequantize")(inputs)
    if options.input_frequencies not in (None, options.num_frequencies):
        bands = BandSelection(options.num_frequencies, name="select_bands")(bands)
    return bands


def joined_bands(inputs: dict[str, Any], options: NetworkOptions) -> Any:
    """The bands that a network looks at, side by side: [B, rows, cols, Y's + Cb's + Cr's], of luma.

    Each is normalised by the data set's statistics and then by its batch's.
    """
    bands = dequantized_bands(inputs, options)
    bands = NormalizeBands(options.statistics, name="normalize_bands")(bands)
    if options.bands is not None:
        bands = ChosenBands(**options.bands.to_dict(), name="choose_bands")(bands)
    bands = UpsampleChroma(options.chroma_factor, name="upsample_chroma")(bands)
    x = layers.Concatenate(name="concat")([bands[key] for key in COMPONENTS])
    x = batch_norm(x, options, name="input_bn")
    return x if options.learned_bands is None else gate_channels(x, options)


def gate_channels(x: Any, options: NetworkOptions) -> Any:
    """Makes 0 of the channels that an image is better classified without, as far as it has learned.

    Xu et al., "Learning in the Frequency Domain" (CVPR 2020): global average pooling, a 1×1
    convolution with batch normalisation, and `BandGate`. It stands behind the normalisation of the
    input, so that what is dropped is as if it were at its mean.
    """
    h = layers.GlobalAveragePooling2D(keepdims=True, name=f"{GATE}_pool", **CHANNELS_LAST)(x)
    h = convolution(h, x.shape[-1], 1, options, name=GATE)
    h = layers.Activation("relu", name=f"{GATE}_relu")(h)
    kept, _ = BandGate(name=GATE)(h)
    return layers.Multiply(name=f"{GATE}_out")([x, kept])


def pixel_stem(x: Any, options: NetworkOptions) -> Any:
    """The first stage of ResNet-50: a 7×7 convolution and a pooling, each of stride 2."""
    x = layers.ZeroPadding2D(3, name="conv1_pad", **CHANNELS_LAST)(x)
    x = convolution(x, 64, 7, options, name="conv1", stride=2, padding="valid")
    x = layers.Activation("relu", name="conv1_relu")(x)
    x = layers.ZeroPadding2D(1, name="pool1_pad", **CHANNELS_LAST)(x)
    return layers.MaxPooling2D(3, strides=2, name="pool1_pool", **CHANNELS_LAST)(x)


def stack(x: Any, stage: Stage, options: NetworkOptions) -> Any:
    """The blocks of one stage."""
    for i, kernel_size in enumerate(stage.kernel_sizes, start=1):
        x = block(x, stage, kernel_size, options, first=i == 1, name=f"{stage.name}_block{i}")
    return x


def block(
    x: Any, stage: Stage, kernel_size: int, options: NetworkOptions, *, first: bool, name: str
) -> Any:
    """One bottleneck block; the first of a stage has the stride and a projection shortcut."""
    stride = stage.stride if first else 1
    shortcut = x
    if first:
        shortcut = convolution(x, 4 * stage.width, 1, options, name=f"{name}_0", stride=stride)
    x = convolution(x, stage.width, 1, options, name=f"{name}_1", stride=stride)
    x = layers.Activation("relu", name=f"{name}_1_relu")(x)
    x = convolution(x, stage.width, kernel_size, options, name=f"{name}_2")
    x = layers.Activation("relu", name=f"{name}_2_relu")(x)
    gamma = "zeros" if options.zero_init_residual else "ones"
    x = convolution(x, 4 * stage.width, 1, options, name=f"{name}_3", gamma=gamma)
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.Activation("relu", name=f"{name}_out")(x)


def convolution(
    x: Any,
    filters: int,
    kernel_size: int,
    options: NetworkOptions,
    *,
    name: str,
    stride: int = 1,
    padding: str = "same",
    gamma: str = "ones",
) -> Any:
    """A convolution (`name`_conv) and its batch normalisation (`name`_bn); `gamma` initialises its
    scale."""
    x = layers.Conv2D(
        filters,
        kernel_size,
        strides=stride,
        padding=padding,
        name=f"{name}_conv",
        **CHANNELS_LAST,
    )(x)
    return batch_norm(x, options, name=f"{name}_bn", gamma=gamma)


def batch_norm(x: Any, options: NetworkOptions, *, name: str, gamma: str = "ones") -> Any:
    """Batch normalisation of the last axis with the options' settings."""
    return layers.BatchNormalization(
        momentum=options.batch_norm_momentum,
        epsilon=options.batch_norm_epsilon,
        synchronized=options.synchronized,
        gamma_initializer=gamma,
        name=name,
    )(x)


def classifier(
    inputs: dict[str, Any], x: Any, options: NetworkOptions, *, name: str
) -> keras.Model:
    """Global average pooling and the dense layer: the model from `inputs` to logits.

    Logits are float32 under any dtype policy: half formats cost accuracy in the loss, and top-k
      metrics reject them.
    """
    x = layers.GlobalAveragePooling2D(name="avg_pool", **CHANNELS_LAST)(x)
    logits = layers.Dense(options.num_classes, dtype="float32", name="predictions")(x)
    return keras.Model(inputs, logits, name=f"{name}_{options.bands_name}")
