"""What a step does with gradients: learning rate, weight decay, clipping, scaling of the loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from jpegkeras.config import TrainConfig

# Of batch normalisations and biases: pulling these to 0 regularises nothing (Goyal et al. 2017).
_WITHOUT_DECAY = frozenset({"gamma", "beta", "bias"})


def make_schedule(
    config: TrainConfig, steps_per_epoch: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Returns the learning rate as a function of the step, counted from 0."""
    if config.schedule == "cosine":
        schedule = keras.optimizers.schedules.CosineDecay(
            config.learning_rate, decay_steps=config.epochs * steps_per_epoch
        )
    else:
        schedule = keras.optimizers.schedules.ExponentialDecay(
            config.learning_rate,
            decay_steps=config.decay_every_epochs * steps_per_epoch,
            decay_rate=config.decay_factor,
            staircase=True,
        )
    steps = round(config.warmup_epochs * steps_per_epoch)
    return WarmUp(schedule, steps) if steps else schedule


class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule times a factor that rises linearly, from 1 / steps at step 0 to 1 and stays.

    Goyal et al. 2017, section 2.2.
    """

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule, steps: int):
        self._schedule = schedule
        self._steps = steps

    def __call__(self, step: Any) -> Any:  # noqa: ANN401
        """Returns the learning rate of a step."""
        step = keras.ops.cast(step, "float32")
        return self._schedule(step) * keras.ops.minimum((step + 1) / self._steps, 1.0)

    def get_config(self) -> dict[str, Any]:
        """The schedule's arguments."""
        return {
            "schedule": keras.optimizers.schedules.serialize(self._schedule),
            "steps": self._steps,
        }


def make_optimizer(
    config: TrainConfig,
    schedule: keras.optimizers.schedules.LearningRateSchedule,
    variables: Sequence[keras.Variable],
) -> keras.optimizers.Optimizer:
    """Returns SGD with momentum, built for the variables; float16 adds the scaling of the loss.

    To be called in the strategy's scope.
    """
    optimizer = keras.optimizers.SGD(
        schedule, momentum=config.momentum, weight_decay=config.weight_decay or None
    )
    without = [variable for variable in variables if variable.name in _WITHOUT_DECAY]
    optimizer.exclude_from_weight_decay(var_list=without)
    if config.precision == "float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(variables)
    return optimizer


class GradientStep:
    """Applies one step's gradients, in a replica's context.

    The optimiser adds the replicas' gradients up. Where something must be known of their sum (its
    norm to clip it, whether it is finite to scale the loss) they are added up here before, and each
    replica hands over its share of the sum.
    """

    def __init__(
        self, optimizer: keras.optimizers.Optimizer, config: TrainConfig, num_replicas: int
    ) -> None:
        self._optimizer = optimizer
        self._clip_norm = config.clip_norm
        self._scaled = config.precision == "float16"
        self._num_replicas = num_replicas

    @property
    def knows_norm(self) -> bool:
        """Whether `apply` returns the norm of all gradients."""
        return self._num_replicas == 1 or self._scaled or self._clip_norm > 0

    def scale(self, loss: tf.Tensor) -> tf.Tensor:
        """Returns the loss whose gradients `apply` takes."""
        return self._optimizer.scale_loss(loss) if self._scaled else loss

    def apply(
        self, gradients: Sequence[tf.Tensor], variables: Sequence[keras.Variable]
    ) -> tf.Tensor:
        """Applies the gradients; returns their global norm before clipping, 0 if not known."""
        if not self.knows_norm:
            self._optimizer.apply(gradients, variables)
            return tf.constant(0.0)
        if self._num_replicas > 1:
            replica = tf.distribute.get_replica_context()
            gradients = replica.all_reduce(tf.distribute.ReduceOp.SUM, list(gradients))
        scale = self._optimizer.dynamic_scale if self._scaled else 1.0
        norm = tf.linalg.global_norm(gradients) / scale
        if self._clip_norm:
            # Where the norm is not finite the gradients stay as they are, to be seen as such.
            factor = tf.where(tf.math.is_finite(norm), self._clip_norm / norm, 1.0)
            factor = tf.minimum(factor, 1.0)
            gradients = [gradient * factor for gradient in gradients]
        if self._num_replicas > 1:
            gradients = [gradient / self._num_replicas for gradient in gradients]
        self._optimizer.apply(gradients, variables)
        return norm
