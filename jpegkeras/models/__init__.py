"""The networks, by name.

All take the same inputs, quantised coefficients in zigzag order and their quantisation tables:
`{"y": int16 [B, rows, cols, n], "cb": …, "cr": …, "quantization": uint16 [B, 3, n]}`, and return
logits, float32 [B, num_classes].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras

from jpegkeras.bands import Bands
from jpegkeras.models import resnet
from jpegkeras.models.options import CHROMA_FACTORS, NetworkOptions, Statistics, input_shapes

__all__ = [
    "CHROMA_FACTORS",
    "MODELS",
    "NetworkFamily",
    "NetworkOptions",
    "build_model",
    "input_shapes",
]


@dataclasses.dataclass(frozen=True)
class NetworkFamily:
    """A builder of networks and one line about it.

    `takes_bands`: whether the options `bands` and `learned_bands` mean anything to it.
    """

    builder: Callable[[NetworkOptions], keras.Model]
    description: str
    takes_bands: bool = False


MODELS: dict[str, NetworkFamily] = {
    "resnet50_rgb": NetworkFamily(
        resnet.resnet50_rgb,
        "ResNet-50 on the pixels that the coefficients decode to (keras.applications' weights fit)",
    ),
    "resnet50_dct": NetworkFamily(
        resnet.resnet50_dct,
        "ResNet-50 on the n lowest DCT bands of each component (dos Santos et al. 2020)",
        takes_bands=True,
    ),
}


def build_model(
    name: str,
    num_frequencies: int = 64,
    num_classes: int = 1000,
    image_size: int = 224,
    *,
    sampling: str = "4:2:0",
    statistics: Statistics | None = None,
    batch_norm_momentum: float = 0.99,
    batch_norm_epsilon: float = 1.001e-5,
    synchronized: bool = False,
    zero_init_residual: bool = False,
    input_frequencies: int | None = None,
    bands: Bands | None = None,
    learned_bands: int | None = None,
) -> keras.Model:
    """Builds a network with random weights.

    Args:
      name: a key of `MODELS`.
      num_frequencies: the bands n of each component that the network looks at, 1 … 64, lowest
        first. With "resnet50_dct", 64 is the network of Gueguen et al. 2018; 32 and 16 are those of
        dos Santos et al. 2020.
      num_classes: number of logits.
      image_size: side of the square input in pixels, whole MCUs: a multiple of 16, or of 8 for
        4:4:4.
      sampling: chroma subsampling of the input: "4:4:4", "4:2:2" or "4:2:0".
      statistics: mean and standard deviation of the dequantised coefficients, n values or more
        each, `{"y": {"mean": […], "std": […]}, "cb": …, "cr": …}`; None scales all bands by one
        constant. The RGB network has no use for it.
      batch_norm_momentum: of all batch normalisations.
      batch_norm_epsilon: of all batch normalisations.
      synchronized: whether batch statistics are taken over all replicas.
      zero_init_residual: whether each block begins as its shortcut alone, the scale of its last
        batch normalisation being 0 at first (Goyal et al. 2017, section 5.1); short runs then
        learn much sooner.
      input_frequencies: the bands that the inputs carry, where they are more than
        `num_frequencies`; the network then drops the others itself.
      bands: which of the `num_frequencies` lowest bands the network looks at; None: all. The n
        lowest of each component are the network of `num_frequencies` = n.
      learned_bands: n where a gate is to learn which 3n bands to keep (`jpegkeras.models.gating`),
        of `num_frequencies` a component.

    Returns:
      A functional model named e.g. "resnet50_dct_32", with bands "resnet50_dct_32_8_8" (their
      numbers) or "resnet50_dct_learned_16", inputs as in the module's docstring. Its last
      layer "predictions" gives logits, float32 [B, num_classes] under any dtype policy.

    Raises:
      ValueError: an unknown name or an option out of its range.
    """
    if name not in MODELS:
        raise ValueError(f"name must be one of {sorted(MODELS)}; got {name!r}.")
    if not MODELS[name].takes_bands and not (bands is None and learned_bands is None):
        raise ValueError(f"{name} takes no bands or learned_bands: it needs all of a pixel.")
    if bands is not None and bands.is_lowest and learned_bands is None:
        # Unless the inputs do not have them, which is left to be refused.
        input_frequencies = input_frequencies or num_frequencies
        num_frequencies, bands = bands.highest + 1, None
    options = NetworkOptions(
        num_frequencies=num_frequencies,
        num_classes=num_classes,
        image_size=image_size,
        sampling=sampling,
        statistics=statistics,
        batch_norm_momentum=batch_norm_momentum,
        batch_norm_epsilon=batch_norm_epsilon,
        synchronized=synchronized,
        zero_init_residual=zero_init_residual,
        input_frequencies=input_frequencies,
        bands=bands,
        learned_bands=learned_bands,
    )
    return MODELS[name].builder(options)
