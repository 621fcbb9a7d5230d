"""Accuracy of a network over every record of a split."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

TOP_K = 5


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Counts over a split, from which every figure follows.

    `confusion`: int64 [classes, classes], true class down, predicted across. `top_k_hits`: int64
    [classes], records of each true class that were among the `TOP_K` likeliest. `loss_sum`: the
    cross-entropy's sum.
    """

    confusion: np.ndarray
    top_k_hits: np.ndarray
    loss_sum: float

    @property
    def records(self) -> int:
        """The number of records."""
        return int(self.confusion.sum())

    @property
    def top1(self) -> float:
        """The share of records whose likeliest class is the true one."""
        return float(np.trace(self.confusion) / self.records)

    @property
    def top5(self) -> float:
        """The share of records whose true class is among the five likeliest."""
        return float(self.top_k_hits.sum() / self.records)

    @property
    def loss(self) -> float:
        """The mean cross-entropy, in nats."""
        return self.loss_sum / self.records

    def per_class(self, names: list[str]) -> list[dict[str, Any]]:
        """Returns a row a class: name, records, top-1 and top-5 (None where it has no records)."""
        counts = self.confusion.sum(axis=1)
        return [
            {
                "class": name,
                "records": int(count),
                "top1": float(right / count) if count else None,
                "top5": float(hits / count) if count else None,
            }
            for name, count, right, hits in zip(
                names, counts, np.diagonal(self.confusion), self.top_k_hits
            )
        ]

    def to_dict(self, names: list[str]) -> dict[str, Any]:
        """Returns everything as values that JSON takes."""
        return {
            "records": self.records,
            "top1": self.top1,
            "top5": self.top5,
            "loss": self.loss,
            "classes": self.per_class(names),
            "confusion": self.confusion.tolist(),
        }


class Evaluator:
    """Evaluates one model, again and again, with one traced step.

    `batches` (see `evaluation_batches`), distributed if there are several replicas, must all be of
    one size. Every host gets the counts of all.
    """

    def __init__(
        self, model: keras.Model, num_classes: int, strategy: tf.distribute.Strategy
    ) -> None:
        self._num_classes = num_classes
        self._step = _make_step(model, min(TOP_K, num_classes), strategy)

    def evaluate(
        self,
        batches: tf.data.Dataset | tf.distribute.DistributedDataset,
        report: Callable[[int], None] | None = None,
    ) -> Evaluation:
        """Returns the counts over all batches; items of weight 0 are left out.

        `report` is called after each batch with the number of its records.
        """
        confusion = np.zeros((self._num_classes, self._num_classes), np.int64)
        hits = np.zeros(self._num_classes, np.int64)
        loss_sum = 0.0
        for features, labels, weights in batches:
            results = self._step(features, labels, weights)
            labels, predicted, hit, losses, weights = (value.numpy() for value in results)
            real = weights > 0
            np.add.at(confusion, (labels[real], predicted[real]), 1)
            np.add.at(hits, labels[real], hit[real])
            loss_sum += float(losses[real].sum(dtype=np.float64))
            if report is not None:
                report(int(real.sum()))
        return Evaluation(confusion, hits, loss_sum)


def _make_step(
    model: keras.Model, k: int, strategy: tf.distribute.Strategy
) -> tf.types.experimental.PolymorphicFunction:
    def replica_step(
        features: dict[str, tf.Tensor], labels: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        logits = tf.cast(model(features, training=False), tf.float32)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        likeliest = tf.cast(tf.math.top_k(logits, k).indices, tf.int64)
        hit = tf.reduce_any(likeliest == labels[:, tf.newaxis], axis=1)
        return labels, likeliest[:, 0], tf.cast(hit, tf.int64), losses, weights

    @tf.function(autograph=False)  # see jpegkeras.training
    def step(*batch: object) -> tuple[tf.Tensor, ...]:
        return tuple(
            strategy.gather(value, axis=0) for value in strategy.run(replica_step, args=batch)
        )

    return step
