"""A network small enough to be trained in a test, with the real inputs and the real layers."""

from __future__ import annotations

from keras import layers

from jpegkeras import models
from jpegkeras.layers import UpsampleChroma
from jpegkeras.models import resnet
from jpegkeras.models.options import NetworkOptions
from jpegkeras.sampling import COMPONENTS

TINY = "tiny"


def add_tiny_network():
    """Puts the tiny network into MODELS; `remove_tiny_network` takes it out."""
    models.MODELS[TINY] = models.NetworkFamily(_tiny, "one block, for tests")


def remove_tiny_network():
    """Undoes `add_tiny_network`."""
    del models.MODELS[TINY]


def _tiny(options: NetworkOptions):
    inputs = resnet.coefficient_inputs(options)
    bands = resnet.dequantized_bands(inputs, options)
    bands = UpsampleChroma(options.chroma_factor)(bands)
    x = layers.Concatenate()([bands[key] for key in COMPONENTS])
    x = resnet.batch_norm(x, options, name="input_bn")
    x = resnet.stack(x, resnet.Stage("conv2", 4, (3,), stride=1), options)
    return resnet.classifier(inputs, x, options, name=TINY)
