"""The networks that are compared, their parts and their inputs. Loads Keras, but no TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from benchmarks.network_settings import PUBLISHED, RGB, NetworkSettings
from jpegkeras import models
from jpegkeras.complexity import measure
from jpegkeras.models.folding import fold_batch_norm
from jpegkeras.sampling import COMPONENTS

BANDS = 64
CLASSES = 1000
# The last layer of ours before what a network of pixels or bands begins with.
_LAST_OF_OURS = {RGB: "normalize_pixels"}
_LAST_BEFORE_DCT = "input_bn"


@dataclasses.dataclass(frozen=True)
class Case:
    """A network.

    Attributes:
        key: "keras", "rgb", or n of a network on 3×n bands.
        name: what the tables call it.
        model: the network, logits of 1000 classes.
        inputs: a random batch.
        num_frequencies: the bands that it reads; None for pixels.
        multiply_adds, parameters: for one image.
    """

    key: str
    name: str
    model: keras.Model
    inputs: Any
    num_frequencies: int | None
    multiply_adds: int
    parameters: int

    def folded(self) -> keras.Model:
        """The network with its batch normalisations folded into the convolutions."""
        return fold_batch_norm(self.model)

    def split(self) -> tuple[keras.Model, keras.Model] | None:
        """Our layers before the network proper, and the rest; None where there are none.

        Call it last: Keras then no longer tells which tensors belong to a layer of `model`.
        """
        if self.num_frequencies is None:
            return None
        name = _LAST_OF_OURS.get(self.key, _LAST_BEFORE_DCT)
        boundary = self.model.get_layer(name).output
        return keras.Model(self.model.input, boundary), keras.Model(boundary, self.model.output)


def build_case(key: str, settings: NetworkSettings) -> Case:
    """Builds a network under the current dtype policy, and a batch for it."""
    image_size, batch_size = settings.image_size, settings.batch_size
    rng = np.random.default_rng(0)
    if key == PUBLISHED:
        name, n = "keras.applications.ResNet50", None
        model = keras.applications.ResNet50(
            weights=None, input_shape=(image_size, image_size, 3), classifier_activation=None
        )
        shape = (batch_size, image_size, image_size, 3)
        inputs: Any = rng.integers(0, 256, shape).astype("float32")
    else:
        n = BANDS if key == RGB else int(key)
        name = "ours, RGB" if key == RGB else f"ours, 3×{n}"
        family = "resnet50_rgb" if key == RGB else "resnet50_dct"
        model = models.build_model(
            family, n, CLASSES, image_size, statistics=_random_statistics(rng)
        )
        shapes = models.input_shapes(image_size, n)
        inputs = {
            key: rng.integers(-9, 10, (batch_size, *shapes[key])).astype("int16")
            for key in COMPONENTS
        }
        tables = rng.integers(1, 30, (batch_size, *shapes["quantization"]))
        inputs["quantization"] = tables.astype("uint16")
    complexity = measure(model)
    return Case(key, name, model, inputs, n, complexity.multiply_adds, complexity.parameters)


def take_uint8(model: keras.Model) -> keras.Model:
    """keras.applications' network behind its own preprocessing: uint8 [B, H, W, 3] RGB → logits."""
    pixels = keras.Input(model.input.shape[1:], dtype="uint8")
    return keras.Model(pixels, model(_Preprocess()(pixels)))


def cross_entropy(labels: Any, logits: Any) -> Any:
    """The mean over the batch, in float32."""
    logits = ops.cast(logits, "float32")
    return ops.mean(ops.sparse_categorical_crossentropy(labels, logits, from_logits=True))


def mean_square(_: Any, outputs: Any) -> Any:
    """A loss for layers that have no labels: its gradient is cheap, and nowhere zero."""
    return ops.mean(ops.square(ops.cast(outputs, "float32")))


def make_optimizer() -> keras.optimizers.Optimizer:
    """SGD with momentum, as in the paper; with loss scaling where the policy is float16."""
    optimizer = keras.optimizers.SGD(1e-3, momentum=0.9)
    if "float16" in keras.config.dtype_policy().name.replace("bfloat16", ""):
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


class _Preprocess(keras.layers.Layer):
    def call(self, pixels: Any) -> Any:
        return keras.applications.resnet.preprocess_input(ops.cast(pixels, "float32"))

    def compute_output_spec(self, pixels: Any) -> keras.KerasTensor:
        return keras.KerasTensor(pixels.shape, dtype="float32")


def _random_statistics(rng: np.random.Generator) -> dict[str, dict[str, Sequence[float]]]:
    """As of a data set: any will do, but they are to be computed with."""
    return {
        key: {"mean": rng.normal(size=BANDS).tolist(), "std": rng.uniform(1, 99, BANDS).tolist()}
        for key in COMPONENTS
    }
