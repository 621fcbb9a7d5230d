"""Forward passes and training steps of Keras networks on JAX; TensorFlow may be absent."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import keras

PACKAGES = ("keras", "jax", "jaxlib")


def start() -> None:
    """There is nothing to do."""


def describe_device() -> tuple[str, str]:
    """Returns the device's kind, "cpu" or "gpu", and its name."""
    device = jax.devices()[0]
    return device.platform, device.device_kind


def put(batch: Any) -> Any:
    """Puts arrays on the device."""
    return jax.device_put(batch)


def wait(result: Any) -> None:
    """Returns when the device has computed `result`."""
    jax.block_until_ready(result)


def make_forward(
    model: keras.Model, *, training: bool = False, jit: bool = False
) -> Callable[[Any], Any]:
    """Returns a compiled function of a batch: the network's outputs. JAX always compiles."""
    del jit

    @jax.jit
    def forward(state: Any, batch: Any) -> Any:
        return model.stateless_call(*state, batch, training=training)[0]

    state = _values(model.trainable_variables), _values(model.non_trainable_variables)
    return lambda batch: forward(state, batch)


def make_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    loss: Callable[[Any, Any], Any],
    *,
    jit: bool = False,
) -> Callable[[Any, Any], Any]:
    """Returns a compiled function of a batch and its labels: a training step, and its loss."""
    del jit
    optimizer.build(model.trainable_variables)

    def losses(trainable: Any, others: Any, optimizing: Any, batch: Any, labels: Any) -> Any:
        outputs, others = model.stateless_call(trainable, others, batch, training=True)
        value = loss(labels, outputs)
        with keras.StatelessScope(state_mapping=list(zip(optimizer.variables, optimizing))):
            scaled = optimizer.scale_loss(value)
        return scaled, (value, others)

    differentiate = jax.value_and_grad(losses, has_aux=True)

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state: Any, batch: Any, labels: Any) -> Any:
        trainable, others, optimizing = state
        (_, (value, others)), gradients = differentiate(
            trainable, others, optimizing, batch, labels
        )
        trainable, optimizing = optimizer.stateless_apply(optimizing, gradients, trainable)
        return (trainable, others, optimizing), value

    variables = model.trainable_variables, model.non_trainable_variables, optimizer.variables
    # Copies: a step takes the memory of the state that it is given.
    holder = [jax.tree.map(jnp.copy, tuple(map(_values, variables)))]

    def run(batch: Any, labels: Any) -> Any:
        holder[0], value = step(holder[0], batch, labels)
        return value

    return run


def _values(variables: Any) -> list[Any]:
    return [variable.value for variable in variables]
