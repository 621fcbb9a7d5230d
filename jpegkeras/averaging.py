"""An exponential moving average of a network's weights, which is evaluated in its place."""

from __future__ import annotations

import keras
import tensorflow as tf


class WeightAverage:
    """Keeps `averaged`, a network like `model`, at the moving average of its weights.

    The decay of step t is min(decay, (1 + t) / (10 + t)), so that the first weights are soon
    forgotten. Moving statistics of batch normalisations are averages already and are copied. To be
    made in the strategy's scope.
    """

    def __init__(self, model: keras.Model, averaged: keras.Model, decay: float) -> None:
        self.averaged = averaged
        self._model = model
        self._decay = decay
        self.restart()

    def restart(self) -> None:
        """Begins anew with the weights that the network has now."""
        self.averaged.set_weights(self._model.get_weights())

    def update(self, strategy: tf.distribute.Strategy, step: tf.Tensor) -> None:
        """Takes in the weights after `step` steps; outside of the replicas, in a graph or not."""
        step = tf.cast(step, tf.float32)
        decay = tf.minimum(self._decay, (1 + step) / (10 + step))

        def take_in(average: tf.Variable, weight: tf.Tensor, decay: tf.Tensor) -> None:
            average.assign_add((1 - decay) * (weight - average))

        for average, weight in zip(
            self.averaged.trainable_variables, self._model.trainable_variables
        ):
            strategy.extended.update(average.value, take_in, args=(weight.value, decay))

    def copy_statistics(self) -> None:
        """Gives `averaged` the moving statistics that the network has now."""
        for mine, its in zip(
            self.averaged.non_trainable_variables, self._model.non_trainable_variables
        ):
            mine.assign(its.numpy())
