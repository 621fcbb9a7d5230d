"""Batch normalisation folded into the convolutions before it, for networks that only predict.

After training a batch normalisation is a multiplication and an addition a channel, and the
convolution before it can do both: w · s and (b − mean) · s + beta with s = gamma / √(variance + ε).
The network's answers are the same up to float32's rounding; each feature map is read and written
twice less.
"""

from __future__ import annotations

import collections
from typing import Any

import keras
import numpy as np
from keras import layers


def fold_batch_norm(model: keras.Model) -> keras.Model:
    """Returns a network that predicts what `model` does, with fewer passes over its feature maps.

    Every batch normalisation of the last axis goes that directly follows a `Conv2D` whose output
    nothing else takes; in the networks of `jpegkeras.models`, all but "input_bn". The weights are
    copies: the network does not follow the training of `model`, and is no longer to be trained.

    Args:
      model: a built functional model that calls each of its layers once, channels last.

    Returns:
      A functional model with the same name, inputs and outputs. The convolutions keep their names.
    """
    folded = _followers(model)
    convolutions = {convolution.name for convolution in folded.values()}

    def copy(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        if layer.name in convolutions:
            config["use_bias"] = True
        return type(layer).from_config(config)

    def call(layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
        return args[0] if layer.name in folded else layer(*args, **kwargs)

    copied = keras.models.clone_model(model, clone_function=copy, call_function=call)
    for layer in model.layers:
        if layer.weights and layer.name not in {*folded, *convolutions}:
            copied.get_layer(layer.name).set_weights(layer.get_weights())
    for name, convolution in folded.items():
        weights = _fold(convolution, model.get_layer(name))
        copied.get_layer(convolution.name).set_weights(weights)
    return copied


def _followers(model: keras.Model) -> dict[str, layers.Conv2D]:
    """The batch normalisations that can be folded: name → the convolution before it."""
    uses = collections.Counter(
        id(tensor) for layer in model.layers for tensor in keras.tree.flatten(layer.input)
    )
    uses.update(id(tensor) for tensor in keras.tree.flatten(model.output))
    convolutions = {
        id(layer.output): layer
        for layer in model.layers
        if type(layer) is layers.Conv2D
        and layer.data_format == "channels_last"
        and layer.activation is keras.activations.linear
        and uses[id(layer.output)] == 1
    }
    return {
        layer.name: convolutions[id(layer.input)]
        for layer in model.layers
        if type(layer) is layers.BatchNormalization
        and id(layer.input) in convolutions
        and layer.axis in (-1, 3)
    }


def _fold(convolution: layers.Conv2D, norm: layers.BatchNormalization) -> list[np.ndarray]:
    """The kernel and the bias that do both, computed in float64."""

    def value(variable: Any, default: float) -> Any:
        if variable is None:
            return default
        return keras.ops.convert_to_numpy(variable).astype("float64")

    scale = value(norm.gamma, 1.0) / np.sqrt(value(norm.moving_variance, 1.0) + norm.epsilon)
    bias = value(convolution.bias, 0.0) - value(norm.moving_mean, 0.0)
    kernel = value(convolution.kernel, 0.0) * scale
    return [kernel.astype("float32"), (bias * scale + value(norm.beta, 0.0)).astype("float32")]
