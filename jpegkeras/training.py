"""The training loop: one device or several, from the start or from the last checkpoint."""

from __future__ import annotations

import dataclasses
import os
import pathlib

import keras
import numpy as np
import rich.console
import tensorflow as tf

from jpegkeras.checkpoints import CheckpointStore
from jpegkeras.config import TrainConfig
from jpegkeras.dataset_info import load_dataset_info
from jpegkeras.description import NetworkDescription, describe
from jpegkeras.distribution import check_batch_size, make_strategy
from jpegkeras.errors import InputError
from jpegkeras.evaluation import Evaluation, Evaluator
from jpegkeras.files import locked
from jpegkeras.input_pipeline import Source, evaluation_batches, training_batches
from jpegkeras.models import MODELS
from jpegkeras.run_log import Progress, RateMeter, RunLog
from jpegkeras.run_settings import check_same_run, save_settings

# Steps between two looks at the loss: each look waits for the device.
_STEPS_PER_LOOK = 10


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """The last step, the last evaluation of the test split, and the path of the last checkpoint."""

    step: int
    evaluation: Evaluation
    checkpoint: str


def train(
    config: TrainConfig,
    data_dir: str | os.PathLike,
    workdir: str | os.PathLike,
    console: rich.console.Console | None = None,
) -> TrainResult:
    """Trains a network on a data set, or continues the run that `workdir` holds.

    Leaves in `workdir`: `config.json`, `checkpoints/`, `best/` (highest top-1 on the test split),
    `log.csv` and `tensorboard/`. Raises InputError for a data set, a configuration or a checkpoint
    that do not fit together, and for a `workdir` whose run was begun with others.
    """
    workdir = pathlib.Path(workdir)
    if config.model not in MODELS:
        raise InputError(f"--model must be one of {', '.join(MODELS)}; got {config.model!r}.")
    info = load_dataset_info(data_dir)
    source = Source(
        pathlib.Path(data_dir), info, config.num_frequencies, config.image_size, config.task
    )
    if source.records("train") < config.batch_size:
        raise InputError(
            f"{data_dir}: {source.records('train')} training records do not fill one batch of "
            f"--batch_size={config.batch_size}; lower it."
        )
    keras.utils.set_random_seed(config.seed)
    strategy = make_strategy(config.strategy, config.logical_cpus)
    check_batch_size(config.batch_size, strategy)
    with locked(workdir, "--workdir"):
        run = _Run(config, source, describe(config, info), strategy, workdir)
        restored = run.restore()
        if restored:
            check_same_run(workdir, config, info)
            run.check_length()
        save_settings(workdir, config, info)
        return run.train(console or rich.console.Console(), restored)


class _Run:
    """The state of one run: network, optimiser, position in the data, sums of the epoch."""

    def __init__(
        self,
        config: TrainConfig,
        source: Source,
        description: NetworkDescription,
        strategy: tf.distribute.Strategy,
        workdir: pathlib.Path,
    ) -> None:
        self._config = config
        self._source = source
        self._strategy = strategy
        self._steps_per_epoch = source.records("train") // config.batch_size
        self._schedule = make_schedule(config, self._steps_per_epoch)
        with strategy.scope():
            self._model = description.build(
                synchronized=strategy.num_replicas_in_sync > 1,
                zero_init_residual=config.zero_init_residual,
            )
            self._optimizer = keras.optimizers.SGD(
                self._schedule,
                momentum=config.momentum,
                weight_decay=config.weight_decay or None,
            )
            self._optimizer.build(self._model.trainable_variables)
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False)
        # Loss and right answers, summed over the epoch's images so far.
        self._sums = tf.Variable(np.zeros(2), dtype=tf.float64, trainable=False)
        self._best_top1 = tf.Variable(-1.0, dtype=tf.float64, trainable=False)
        self._store = CheckpointStore(
            workdir,
            description,
            self._model,
            self._optimizer,
            {"step": self._step, "sums": self._sums, "best_top1": self._best_top1},
            keep=config.keep_checkpoints,
        )
        self._evaluator = Evaluator(self._model, len(description.class_names), strategy)
        self._train_step = _make_train_step(
            self._model, self._optimizer, strategy, config.batch_size
        )
        self._workdir = workdir

    @property
    def _total_steps(self) -> int:
        return self._config.epochs * self._steps_per_epoch

    def restore(self) -> str | None:
        """Restores the latest checkpoint, if there is one; returns its path."""
        return self._store.restore_latest()

    def check_length(self) -> None:
        """Raises InputError if the run has done more than it is now asked for."""
        done = int(self._step.numpy()) // self._steps_per_epoch
        if done > self._config.epochs:
            raise InputError(
                f"{self._workdir}: {done} epochs are done already; --epochs={self._config.epochs} "
                "is fewer."
            )

    def train(self, console: rich.console.Console, restored: str | None) -> TrainResult:
        first = int(self._step.numpy())
        log = RunLog(self._workdir, first)
        evaluation, checkpoint = None, restored
        with Progress(console, self._total_steps, first) as progress:
            progress.print(self._opening_line(restored))
            for epoch in range(first // self._steps_per_epoch, self._config.epochs):
                rate = self._train_epoch(epoch, progress)
                evaluation = self._evaluate()
                self._keep_if_best(evaluation)
                row = self._row(epoch, evaluation, rate)
                log.add(row)
                progress.print(_epoch_line(row, self._config.epochs))
                self._sums.assign(np.zeros(2))
                checkpoint = self._save(int(self._step.numpy()))
        return TrainResult(int(self._step.numpy()), evaluation or self._evaluate(), checkpoint)

    def _train_epoch(self, epoch: int, progress: Progress) -> float:
        """Trains the rest of an epoch; returns images a second."""
        step = int(self._step.numpy())
        rate = RateMeter()
        batches = training_batches(
            self._source,
            batch_size=self._config.batch_size,
            epoch=epoch,
            seed=self._config.seed,
            augment=self._config.augment,
            shuffle_buffer=self._config.shuffle_buffer,
        ).skip(step - epoch * self._steps_per_epoch)
        for features, labels in self._strategy.experimental_distribute_dataset(batches):
            self._sums.assign_add(self._train_step(features, labels))
            step += 1
            rate.add(self._config.batch_size)
            loss = None
            last = step == (epoch + 1) * self._steps_per_epoch
            if step % _STEPS_PER_LOOK == 0 or last:
                loss = self._mean_loss(step, epoch)
            progress.update(step, self._config.batch_size, loss)
            # The end of an epoch has a checkpoint of its own, after its evaluation.
            if step % self._config.checkpoint_every_steps == 0 and not last:
                self._mean_loss(step, epoch)
                self._save(step)
        self._step.assign(step)
        return rate.value

    def _mean_loss(self, step: int, epoch: int) -> float:
        images = (step - epoch * self._steps_per_epoch) * self._config.batch_size
        loss = float(self._sums.numpy()[0]) / images
        if not np.isfinite(loss):
            raise self._diverged(f"the loss is {loss}", step)
        return loss

    def _save(self, step: int) -> str:
        """Saves a checkpoint, but never one of a diverged network: it would replace a good one."""
        # The loss of a step is that of the weights before it.
        if not all(np.isfinite(weight).all() for weight in self._model.get_weights()):
            raise self._diverged("weights are not finite", step)
        self._step.assign(step)
        return self._store.save(step)

    def _diverged(self, what: str, step: int) -> InputError:
        return InputError(
            f"{what} between the steps {max(step - _STEPS_PER_LOOK, 0)} and {step}: the training "
            f"has diverged. Begin again in another --workdir with a lower --learning_rate (now "
            f"{self._config.learning_rate:g}); checkpoints in {self._workdir} are from before."
        )

    def _evaluate(self) -> Evaluation:
        batches = evaluation_batches(self._source, split="test", batch_size=self._config.batch_size)
        return self._evaluator.evaluate(batches)

    def _keep_if_best(self, evaluation: Evaluation) -> None:
        if np.isfinite(evaluation.loss) and evaluation.top1 > float(self._best_top1.numpy()):
            self._best_top1.assign(evaluation.top1)
            self._store.save_best(int(self._step.numpy()))

    def _row(self, epoch: int, evaluation: Evaluation, rate: float) -> dict[str, float]:
        step = int(self._step.numpy())
        images = self._steps_per_epoch * self._config.batch_size
        loss, right = self._sums.numpy() / images
        return {
            "epoch": epoch + 1,
            "step": step,
            "learning_rate": float(self._schedule(step - 1)),
            "train_loss": float(loss),
            "train_top1": float(right),
            "test_loss": evaluation.loss,
            "test_top1": evaluation.top1,
            "test_top5": evaluation.top5,
            "images_per_second": round(rate, 1),
        }

    def _opening_line(self, restored: str | None) -> str:
        start = f"continuing from {restored}" if restored else "starting"
        if int(self._step.numpy()) >= self._total_steps:
            start = f"finished already at {restored}"
        return (
            f"{self._model.name}: {start}; {self._source.records('train')} training and "
            f"{self._source.records('test')} test records, {self._steps_per_epoch} steps an epoch, "
            f"{self._strategy.num_replicas_in_sync} device(s)"
        )


def _epoch_line(row: dict[str, float], epochs: int) -> str:
    return (
        f"epoch {row['epoch']}/{epochs}: loss {row['train_loss']:.3f}, "
        f"top-1 {row['train_top1']:.1%}; test loss {row['test_loss']:.3f}, "
        f"top-1 {row['test_top1']:.1%}, top-5 {row['test_top5']:.1%}; "
        f"{row['images_per_second']:.0f} img/s"
    )


def make_schedule(
    config: TrainConfig, steps_per_epoch: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Returns the learning rate as a function of the step, counted from 0."""
    if config.schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(
            config.learning_rate, decay_steps=config.epochs * steps_per_epoch
        )
    return keras.optimizers.schedules.ExponentialDecay(
        config.learning_rate,
        decay_steps=config.decay_every_epochs * steps_per_epoch,
        decay_rate=config.decay_factor,
        staircase=True,
    )


def _make_train_step(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    strategy: tf.distribute.Strategy,
    batch_size: int,
) -> tf.types.experimental.PolymorphicFunction:
    """Returns a function of one distributed batch → float64 [2]: summed loss and right answers."""

    def replica_step(features: dict[str, tf.Tensor], labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = model(features, training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            # The optimiser adds the replicas' gradients up, so each divides by the whole batch.
            loss = tf.reduce_sum(losses) / batch_size
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        right = tf.argmax(logits, axis=1) == labels
        return tf.cast(
            tf.stack([tf.reduce_sum(losses), tf.reduce_sum(tf.cast(right, tf.float32))]), tf.float64
        )

    # Without AutoGraph, which reads the source when it first traces: a file edited since the
    # program began would make it fail.
    @tf.function(autograph=False)
    def step(features: object, labels: object) -> tf.Tensor:
        sums = strategy.run(replica_step, args=(features, labels))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, sums, axis=None)

    return step
