"""Which devices a run uses."""

from __future__ import annotations

import tensorflow as tf

from jpegkeras.errors import InputError


def make_strategy(name: str, logical_cpus: int = 1) -> tf.distribute.Strategy:
    """Returns a strategy: "none", "mirrored" over all GPUs, "auto": mirrored from two GPUs on.

    Without GPUs "mirrored" runs over `logical_cpus` slices of the CPU, which shares no work out but
    shows that a run on several devices is right. They must be asked for before TensorFlow has
    started its devices; raises InputError where that is too late.
    """
    if logical_cpus > 1:
        _split_cpu(logical_cpus)
    gpus = tf.config.list_logical_devices("GPU")
    if name == "none" or (name == "auto" and len(gpus) < 2):
        return tf.distribute.get_strategy()
    devices = gpus or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def check_batch_size(batch_size: int, strategy: tf.distribute.Strategy) -> None:
    """Raises InputError for a batch that the strategy's replicas cannot share equally."""
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise InputError(
            f"--batch_size={batch_size} cannot be shared equally by {replicas} devices; "
            f"take {batch_size // replicas * replicas or replicas}."
        )


def _split_cpu(count: int) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    if len(tf.config.get_logical_device_configuration(cpu) or ()) == count:
        return
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
        )
    except RuntimeError as error:
        raise InputError(
            f"--logical_cpus={count} comes too late in this process: {error}"
        ) from error
