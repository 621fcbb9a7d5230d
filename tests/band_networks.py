"""A network as small as "tiny" that takes the options `bands` and `learned_bands`."""

from __future__ import annotations

from jpegkeras import models
from jpegkeras.models import resnet
from jpegkeras.models.options import NetworkOptions

TINY_BANDS = "tiny_bands"


def add_band_network():
    """Puts the network into MODELS; `remove_band_network` takes it out."""
    models.MODELS[TINY_BANDS] = models.NetworkFamily(
        _tiny, "one block, for tests", takes_bands=True
    )


def remove_band_network():
    """Undoes `add_band_network`."""
    del models.MODELS[TINY_BANDS]


def _tiny(options: NetworkOptions):
    inputs = resnet.coefficient_inputs(options)
    x = resnet.joined_bands(inputs, options)
    x = resnet.stack(x, resnet.Stage("conv2", 4, (3,), stride=1), options)
    return resnet.classifier(inputs, x, options, name=TINY_BANDS)
