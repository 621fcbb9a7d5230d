"""Forward passes and training steps of Keras networks on TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jpegkeras.quiet import quiet_tensorflow

with quiet_tensorflow():
    import keras
    import tensorflow as tf

PACKAGES = ("keras", "tensorflow", "tensorflow-cpu")


def start() -> None:
    """Keeps off the terminal what TensorFlow warns of because there are many networks."""
    tf.get_logger().setLevel("ERROR")


def describe_device() -> tuple[str, str]:
    """Returns the device's kind, "cpu" or "gpu", and its name."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "cpu", "CPU"
    return "gpu", tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")


def put(batch: Any) -> Any:
    """Puts arrays on the device."""
    return keras.tree.map_structure(tf.convert_to_tensor, batch)


def wait(result: Any) -> None:
    """Returns when the device has done all that was asked for."""
    del result
    tf.test.experimental.sync_devices()


def make_forward(
    model: keras.Model, *, training: bool = False, jit: bool = False
) -> Callable[[Any], Any]:
    """Returns a compiled function of a batch: the network's outputs."""

    @tf.function(autograph=False, jit_compile=jit or None)
    def forward(batch: Any) -> Any:
        return model(batch, training=training)

    return forward


def make_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    loss: Callable[[Any, Any], Any],
    *,
    jit: bool = False,
) -> Callable[[Any, Any], Any]:
    """Returns a compiled function of a batch and its labels: a training step, and its loss."""
    variables = model.trainable_variables
    optimizer.build(variables)

    @tf.function(autograph=False, jit_compile=jit or None)
    def step(batch: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            value = loss(labels, model(batch, training=True))
            scaled = optimizer.scale_loss(value)
        optimizer.apply(tape.gradient(scaled, variables), variables)
        return value

    return step
