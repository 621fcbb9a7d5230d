"""What a run shows before its first step: tables of network, data and plan; its first batch."""

from __future__ import annotations

import pathlib
from typing import Any

import rich.console
import tensorflow as tf

from jpegkeras import summary
from jpegkeras.batch_picture import MOST_IMAGES, draw_batch
from jpegkeras.training_setup import Setup

BATCH_FILE = "batch.png"


def show_summary(setup: Setup, console: rich.console.Console, first_step: int = 0) -> None:
    """Prints the tables."""
    config, source = setup.config, setup.source
    network = summary.describe_network(setup.model)
    data = summary.describe_data(
        source.info,
        source.directory,
        num_frequencies=config.num_frequencies,
        image_size=config.image_size,
        task=config.task,
    )
    plan = summary.PlanFacts(
        devices=_device_names(),
        replicas=setup.strategy.num_replicas_in_sync,
        hosts=setup.hosts.count,
        batch_size=config.batch_size,
        steps_per_epoch=setup.steps_per_epoch,
        epochs=config.epochs,
        first_step=first_step,
        settings=_settings(setup),
    )
    console.print(summary.network_table(network))
    console.print(summary.data_table(data))
    console.print(summary.plan_table(plan))


def draw_first_batch(setup: Setup, batch: Any, workdir: pathlib.Path) -> pathlib.Path | None:  # noqa: ANN401
    """Draws a batch as the network sees it, what one replica has of it; returns the file.

    Hosts that do not write draw nothing.
    """
    if not setup.hosts.writes:
        return None
    features, labels = tf.nest.map_structure(
        lambda values: setup.strategy.experimental_local_results(values)[0][:MOST_IMAGES], batch
    )
    bands, targets = setup.step.network_bands(features, labels)
    workdir.mkdir(parents=True, exist_ok=True)
    path = workdir / BATCH_FILE
    draw_batch(
        bands,
        targets,
        setup.description.class_names,
        path,
        title=f"First batch as {setup.model.name} sees it, augmentation {setup.step.augmentation}",
    )
    return path


def _device_names() -> tuple[str, ...]:
    """The GPUs of this host by their makers' names, else its slices of the CPU."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return ("CPU",) * len(tf.config.list_logical_devices("CPU"))
    details = (tf.config.experimental.get_device_details(gpu) for gpu in gpus)
    return tuple(detail.get("device_name", "GPU") for detail in details)


def _settings(setup: Setup) -> dict[str, str]:
    config = setup.config
    warm_up = f", {config.warmup_epochs:g} epochs of warm-up" if config.warmup_epochs else ""
    rows = {
        "learning rate": f"{config.learning_rate:g}, {config.schedule}{warm_up}",
        "augmentation": setup.step.augmentation,
        "precision": config.precision + (", compiled" if config.jit else ""),
    }
    extras = {
        "clip norm": config.clip_norm,
        "label smoothing": config.label_smoothing,
        "weight decay": config.weight_decay,
        "weights averaged": config.ema_decay,
    }
    rows.update({name: f"{value:g}" for name, value in extras.items() if value})
    return rows
