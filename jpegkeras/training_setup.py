"""Everything that a run consists of before its first step: data, devices, network, optimiser."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import rich.console
import tensorflow as tf

from jpegkeras import pretrained
from jpegkeras.augmentation import POLICIES
from jpegkeras.averaging import WeightAverage
from jpegkeras.config import TrainConfig
from jpegkeras.dataset_info import load_dataset_info
from jpegkeras.description import NetworkDescription, describe
from jpegkeras.distribution import Hosts, check_batch_size, find_hosts, make_strategy
from jpegkeras.errors import InputError
from jpegkeras.input_pipeline import (
    Source,
    evaluation_batches,
    layout_of,
    steps_per_epoch,
    training_batches,
)
from jpegkeras.models import MODELS
from jpegkeras.optimization import make_optimizer, make_schedule
from jpegkeras.run_settings import settings_of
from jpegkeras.train_step import TrainStep

_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


@dataclasses.dataclass(frozen=True, eq=False)
class Setup:
    """A run's parts. `average` is None where `config.ema_decay` is 0."""

    steps_per_epoch: int
    config: TrainConfig
    source: Source
    description: NetworkDescription
    hosts: Hosts
    strategy: tf.distribute.Strategy
    schedule: keras.optimizers.schedules.LearningRateSchedule
    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    average: WeightAverage | None
    step: TrainStep

    @property
    def settings(self) -> dict[str, Any]:
        """What a run that continues must have the same (`run_settings`)."""
        return settings_of(self.config, self.source.info, self.steps_per_epoch, self.hosts.count)

    @property
    def learning_rate(self) -> float:
        """That of the last step. Steps that the scaling of the loss has left out do not count."""
        optimizer = self.optimizer
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        return float(self.schedule(max(0, int(number_of(optimizer.iterations)) - 1)))

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.config.epochs * self.steps_per_epoch

    @property
    def evaluated_model(self) -> keras.Model:
        """The network whose accuracy counts: the average, where there is one."""
        return self.model if self.average is None else self.average.averaged

    def training_data(self, epoch: int, first_step: int = 0) -> tf.distribute.DistributedDataset:
        """Returns the rest of an epoch from its step `first_step` on: packed batches and labels."""
        data = self.strategy.distribute_datasets_from_function(
            lambda context: self._host_data(context, epoch, first_step)
        )
        self.step.trace_for(data.element_spec)
        return data

    def evaluation_data(self, split: str) -> tf.distribute.DistributedDataset:
        """Returns every record of a split once: features, labels and weights."""
        return evaluation_data(
            self.source, self.strategy, split=split, batch_size=self.config.batch_size
        )

    def _host_data(
        self, context: tf.distribute.InputContext, epoch: int, first_step: int
    ) -> tf.data.Dataset:
        config = self.config
        one_batch = config.overfit_one_batch
        policy = POLICIES[self.step.augmentation]
        batches = training_batches(
            self.source,
            replica_batch_size=context.get_per_replica_batch_size(config.batch_size),
            epoch=0 if one_batch else epoch,
            seed=config.seed,
            shuffle_buffer=config.shuffle_buffer,
            crop="random" if policy.random_crop else "central",
            steps=1 if one_batch else self.steps_per_epoch,
            first_step=0 if one_batch else first_step,
            num_replicas=self.strategy.num_replicas_in_sync // context.num_input_pipelines,
            num_hosts=context.num_input_pipelines,
            host=context.input_pipeline_id,
            sharding=config.input_sharding,
        )
        return batches.cache().repeat(self.steps_per_epoch - first_step) if one_batch else batches


def start_from(setup: Setup, path: str, console: rich.console.Console) -> None:
    """Takes what fits of the weights of `path`, and prints what that was (`pretrained`)."""
    pretrained.init_from(setup.model, path, setup.description.class_names).print(console)
    if setup.average is not None:
        setup.average.restart()


def number_of(value: Any) -> np.ndarray:  # noqa: ANN401
    """Returns the number that a variable holds, the same on all devices, of Keras or TensorFlow."""
    value = getattr(value, "value", value)
    return keras.ops.convert_to_numpy(value() if callable(value) else value)


def evaluation_data(
    source: Source, strategy: tf.distribute.Strategy, *, split: str, batch_size: int
) -> tf.distribute.DistributedDataset:
    """Returns `evaluation_batches` of `batch_size` over all devices, shared out to them."""

    def of_host(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return evaluation_batches(
            source,
            split=split,
            batch_size=batch_size // context.num_input_pipelines,
            num_hosts=context.num_input_pipelines,
            host=context.input_pipeline_id,
        ).rebatch(context.get_per_replica_batch_size(batch_size))

    return strategy.distribute_datasets_from_function(of_host)


def prepare(config: TrainConfig, data_dir: str | os.PathLike) -> Setup:
    """Returns the parts of a run on a data set, its weights drawn at random.

    Raises InputError for a data set and a configuration that do not fit together, or devices that
    cannot do what is asked. Of several hosts each must call it; it waits for the others.
    """
    if config.model not in MODELS:
        raise InputError(f"--model must be one of {', '.join(MODELS)}; got {config.model!r}.")
    # What can be wrong is found out before the other hosts are waited for.
    hosts = find_hosts(config.strategy)
    if config.bands and not MODELS[config.model].takes_bands:
        raise InputError(
            f"--bands is for networks on bands; {config.model} needs all that pixels consist of. "
            "Leave it out."
        )
    info = load_dataset_info(data_dir)
    description = describe(config, info, data_dir)
    # Whichever of the two settings says so.
    config = dataclasses.replace(config, num_frequencies=description.num_frequencies)
    source = Source(
        pathlib.Path(data_dir), info, config.num_frequencies, config.image_size, config.task
    )
    steps = steps_per_epoch(source, config.batch_size, hosts.count, config.input_sharding)
    if not source.records("test"):
        raise InputError(f"{data_dir}: the test split has no records; a run is evaluated on it.")
    strategy = make_strategy(config.strategy, config.logical_cpus)
    check_batch_size(config.batch_size, strategy)
    share = config.batch_size // strategy.num_replicas_in_sync
    if POLICIES[config.augment].mixup and share % 2 and not config.overfit_one_batch:
        raise InputError(
            f"--augment={config.augment} mixes images in pairs, but each device gets {share} of "
            f"--batch_size={config.batch_size}; take one that gives an even number."
        )
    if config.jit and strategy.num_replicas_in_sync > 1:
        raise InputError(
            "--jit compiles for one device; batch normalisation over "
            f"{strategy.num_replicas_in_sync} devices cannot be compiled with it. Leave it out."
        )
    keras.utils.set_random_seed(config.seed)
    if config.deterministic and tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()
    schedule = make_schedule(config, steps)
    with strategy.scope():
        with _policy(_POLICIES[config.precision]):
            model = _build(description, config, strategy)
        average = None
        if config.ema_decay:
            average = WeightAverage(model, description.build(), config.ema_decay)
        optimizer = make_optimizer(config, schedule, model.trainable_variables)
        step = TrainStep(model, optimizer, strategy, config, layout_of(source), average)
    return Setup(
        steps,
        config,
        source,
        description,
        hosts,
        strategy,
        schedule,
        model,
        optimizer,
        average,
        step,
    )


def _build(
    description: NetworkDescription, config: TrainConfig, strategy: tf.distribute.Strategy
) -> keras.Model:
    return description.build(
        synchronized=strategy.num_replicas_in_sync > 1,
        zero_init_residual=config.zero_init_residual,
    )


@contextlib.contextmanager
def _policy(name: str) -> Iterator[None]:
    """Builds the layers inside in another precision, which is a setting of the process in Keras."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
