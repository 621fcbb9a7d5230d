"""Images a second of networks, in turns in one process, so that all see the same machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from jpegkeras.experiments.machine import device_name, gpu_names
from jpegkeras.models import build_model, input_shapes

# A turn of a network takes at least so long.
_TURN_SECONDS = 0.5
# On a processor larger batches are no faster.
_LARGEST_CPU_BATCH = 32
_CALIBRATION_ROUNDS = 3
_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}

# Of a network's key: what `build_model` takes, the model and its number of frequencies.
Networks = Mapping[str, Sequence[Any]]


def forward_speed(
    networks: Networks,
    image_size: int,
    num_classes: int,
    batch_size: int,
    precision: str,
    rounds: int,
) -> dict[str, Any]:
    """Returns images a second of the forward passes, coefficients in and logits out.

    The networks take turns, `rounds` of them, on batches that lie on the device; what counts is the
    median of each. `batch_size` is lowered to 32 without a GPU.
    """
    return _measure(_forward, networks, image_size, num_classes, batch_size, precision, rounds)


def training_speed(
    networks: Networks, image_size: int, num_classes: int, batch_size: int, precision: str
) -> dict[str, Any]:
    """Returns the same of training steps, without their input."""
    rounds = _CALIBRATION_ROUNDS
    return _measure(_training, networks, image_size, num_classes, batch_size, precision, rounds)


def _measure(
    make: Callable[[keras.Model, dict[str, tf.Tensor]], Callable[[], Any]],
    networks: Networks,
    image_size: int,
    num_classes: int,
    batch_size: int,
    precision: str,
    rounds: int,
) -> dict[str, Any]:
    if not gpu_names():
        batch_size = min(batch_size, _LARGEST_CPU_BATCH)
    keras.config.set_dtype_policy(_POLICIES[precision])
    calls = {}
    for key, (name, num_frequencies) in networks.items():
        model = build_model(name, num_frequencies, num_classes, image_size=image_size)
        call = make(model, _batch(image_size, num_frequencies, batch_size))
        call()  # traced, and whatever else happens once
        call()
        calls[key] = call
    rates: dict[str, list[float]] = {key: [] for key in calls}
    for _ in range(rounds):
        for key, call in calls.items():
            rates[key].append(batch_size * _calls_per_second(call))
    return {
        "images_per_second": {key: statistics.median(found) for key, found in rates.items()},
        "least": {key: min(found) for key, found in rates.items()},
        "most": {key: max(found) for key, found in rates.items()},
        "batch_size": batch_size,
        "image_size": image_size,
        "precision": precision,
        "rounds": rounds,
        "where": device_name(),
    }


def _calls_per_second(call: Callable[[], Any]) -> float:
    count, began = 0, time.perf_counter()
    while True:
        call()
        count += 1
        seconds = time.perf_counter() - began
        if seconds >= _TURN_SECONDS:
            return count / seconds


def _forward(model: keras.Model, batch: dict[str, tf.Tensor]) -> Callable[[], Any]:
    @tf.function(autograph=False)
    def forward() -> tf.Tensor:
        return model(batch, training=False)

    return lambda: forward().numpy()


def _training(model: keras.Model, batch: dict[str, tf.Tensor]) -> Callable[[], Any]:
    optimizer = keras.optimizers.SGD(1e-3, momentum=0.9)
    variables = model.trainable_variables
    optimizer.build(variables)
    labels = tf.zeros(batch["y"].shape[0], tf.int64)

    @tf.function(autograph=False)
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = tf.cast(model(batch, training=True), tf.float32)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    return lambda: step().numpy()


def _batch(image_size: int, num_frequencies: int, batch_size: int) -> dict[str, tf.Tensor]:
    """Returns a batch of coefficients like noise; no network's time depends on what they are."""
    rng = np.random.default_rng(0)
    shapes = input_shapes(image_size, num_frequencies)
    batch = {
        key: tf.constant(rng.integers(-20, 21, (batch_size, *shape)), tf.int16)
        for key, shape in shapes.items()
    }
    batch["quantization"] = tf.ones((batch_size, *shapes["quantization"]), tf.uint16)
    return batch
