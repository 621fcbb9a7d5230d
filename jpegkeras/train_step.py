"""One step of training: a packed batch → the loss, its gradients, the next weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from jpegkeras.augmentation import POLICIES, augment_bands
from jpegkeras.averaging import WeightAverage
from jpegkeras.bands import parse_bands
from jpegkeras.config import TrainConfig
from jpegkeras.models import gating
from jpegkeras.optimization import GradientStep
from jpegkeras.packed_batches import Layout
from jpegkeras.sampling import COMPONENTS
from jpegkeras.unpacking import central_places, random_places, unpack


class StepSums(NamedTuple):
    """What a step adds up over all replicas: float64 [4], in this order.

    `loss`: the cross-entropy (without what a gate over bands costs), summed over the images;
    `right`: images whose likeliest class is theirs; `stop`: replicas whose host was asked to end;
    `norm`: of all gradients before clipping, once a replica (0 where it is not known or not
    finite).
    """

    loss: Any
    right: Any
    stop: Any
    norm: Any


class TrainStep:
    """Trains `model` by one batch a call; `average`, if there is one, follows its weights.

    To be made in the strategy's scope.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        strategy: tf.distribute.Strategy,
        config: TrainConfig,
        layout: Layout,
        average: WeightAverage | None = None,
    ) -> None:
        self._model = model
        self._strategy = strategy
        self._config = config
        self._layout = layout
        self._average = average
        # One batch is to be learnt by heart as it is.
        self.augmentation = "none" if config.overfit_one_batch else config.augment
        self._policy = POLICIES[self.augmentation]
        changes_bands = self._policy not in (POLICIES["none"], POLICIES["paper"])
        # Where bands are learned: how many a network is to keep of each component. What its gate
        # finds likely is then a second output: a list of losses in the layer would be one list for
        # all replicas.
        self._kept = parse_bands(config.bands).count if gating.has_gate(model) else None
        self._network = model
        if self._kept is not None:
            outputs = [model.output, gating.log_odds(model)]
            self._network = keras.Model(model.input, outputs, name=model.name)
        self._body = bands_to_logits(model, self._network.output) if changes_bands else None
        self._gradients = GradientStep(optimizer, config, strategy.num_replicas_in_sync)
        # Without AutoGraph, which reads the source when it first traces: a file edited since the
        # program began would make it fail.
        self._differentiate = self._differentiate_plainly
        if config.jit:
            self._differentiate = tf.function(
                self._differentiate_plainly, autograph=False, jit_compile=True
            )
        self._step = None

    def trace_for(self, element_spec: Any) -> None:  # noqa: ANN401
        """Says what the batches will be: the specification of a distributed dataset's elements.

        Overflows are as wide as a batch needs; a function that knows that is traced once.
        """
        if self._step is None:
            numbers = (tf.TensorSpec([], tf.int64), tf.TensorSpec([], tf.float32))
            self._step = tf.function(
                self._all_replicas, autograph=False, input_signature=(*element_spec, *numbers)
            )

    @property
    def knows_norm(self) -> bool:
        """Whether `StepSums.norm` is a number."""
        return self._gradients.knows_norm

    def __call__(
        self,
        features: Any,  # noqa: ANN401
        labels: Any,  # noqa: ANN401
        step: tf.Tensor,
        stop: tf.Tensor,
    ) -> tf.Tensor:
        """Takes a distributed packed batch, the number of steps done and whether to stop (0 or 1).

        Returns float64 [4], the `StepSums`.
        """
        return self._step(features, labels, step, stop)

    def network_inputs(self, features: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns what a replica's packed batch is to the network: crops and flips made."""
        top, left, flip = central_places(tf.shape(features["draws"])[0], self._layout)
        drawn = random_places(features["draws"], self._layout)
        if self._policy.random_crop:
            top, left = drawn[:2]
        if self._policy.random_flip:
            flip = drawn[2]
        return unpack(features, self._layout, top, left, flip)

    def network_bands(
        self, features: dict[str, tf.Tensor], labels: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """Returns the dequantised, augmented bands of a packed batch, and their targets."""
        bands = dequantize(self._model, self.network_inputs(features))
        targets = self._targets(labels)
        if self._body is None:
            return bands, targets
        return augment_bands(bands, targets, features["draws"], self._policy)

    def _all_replicas(self, features: Any, labels: Any, step: Any, stop: Any) -> tf.Tensor:  # noqa: ANN401
        sums = self._strategy.run(self._replica, args=(features, labels, stop))
        total = self._strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None)
        if self._average is not None:
            self._average.update(self._strategy, step + 1)
        return total

    def _replica(
        self, features: dict[str, tf.Tensor], labels: tf.Tensor, stop: tf.Tensor
    ) -> tf.Tensor:
        # Outside of what is compiled: the number of overflows differs from batch to batch.
        if self._body is None:
            inputs, targets = self.network_inputs(features), None
        else:
            inputs, targets = self.network_bands(features, labels)
        loss, right, gradients = self._differentiate(inputs, labels, targets)
        norm = self._gradients.apply(gradients, self._model.trainable_variables)
        norm = tf.where(tf.math.is_finite(norm), norm, 0.0)
        return tf.cast(tf.stack([loss, right, tf.cast(stop, tf.float32), norm]), tf.float64)

    def _differentiate_plainly(
        self, inputs: dict[str, tf.Tensor], labels: tf.Tensor, targets: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        network = self._network
        if self._body is not None:
            network, inputs = self._body, [inputs[key] for key in COMPONENTS]
        with tf.GradientTape() as tape:
            outputs = network(inputs, training=True)
            logits = outputs if self._kept is None else outputs[0]
            losses = self._losses(labels, targets, logits)
            total = tf.reduce_sum(losses)
            if self._kept is not None:
                costs = gating.excess_cost(outputs[1], self._kept)
                total += self._config.bands_cost * tf.reduce_sum(costs)
            # The optimiser adds the replicas' gradients up, so each divides by the whole batch.
            scaled = self._gradients.scale(total / self._config.batch_size)
        gradients = tape.gradient(scaled, self._model.trainable_variables)
        # Of two images that are mixed, the one that there is more of.
        wanted = labels if targets is None else tf.argmax(targets, axis=1)
        right = tf.reduce_sum(tf.cast(tf.argmax(logits, axis=1) == wanted, tf.float32))
        return tf.reduce_sum(losses), right, gradients

    def _losses(self, labels: tf.Tensor, targets: tf.Tensor | None, logits: tf.Tensor) -> tf.Tensor:
        if targets is None and not self._config.label_smoothing:
            return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        targets = self._targets(labels) if targets is None else targets
        return tf.nn.softmax_cross_entropy_with_logits(targets, logits)

    def _targets(self, labels: tf.Tensor) -> tf.Tensor:
        classes = self._model.output_shape[-1]
        wrong = self._config.label_smoothing / classes
        return tf.one_hot(labels, classes) * (1 - self._config.label_smoothing) + wrong


def bands_to_logits(model: keras.Model, outputs: Any = None) -> keras.Model:  # noqa: ANN401
    """Returns the part of a network that begins with its dequantised bands; it shares the weights.

    Takes the list of `COMPONENTS`, float32 [B, rows, cols, n]; gives the network's output, or its
    tensors `outputs`.
    """
    # Keras gives a dict's tensors in the order of its sorted keys.
    bands = dict(zip(sorted(COMPONENTS), model.get_layer("dequantize").output))
    return keras.Model(
        [bands[key] for key in COMPONENTS],
        model.output if outputs is None else outputs,
        name="body",
    )


def dequantize(model: keras.Model, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Returns the dequantised bands of a network's inputs, by its own layer."""
    return model.get_layer("dequantize")(inputs)
