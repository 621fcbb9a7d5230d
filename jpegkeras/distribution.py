"""Which devices, of which hosts, a run uses."""

from __future__ import annotations

import dataclasses
import functools
import json
import os

import tensorflow as tf

from jpegkeras.errors import InputError

_TF_CONFIG = "TF_CONFIG"


@dataclasses.dataclass(frozen=True)
class Hosts:
    """The processes of a run, one a host, and which of them this one is. Host 0 writes."""

    count: int = 1
    index: int = 0

    @property
    def writes(self) -> bool:
        """Whether this host writes what a run leaves."""
        return self.index == 0


def find_hosts(strategy: str) -> Hosts:
    """Returns the hosts that TF_CONFIG names, if the strategy is "multiworker".

    Raises InputError where TF_CONFIG is missing or does not make sense.
    """
    if strategy != "multiworker":
        return Hosts()
    example = (
        'for example {"cluster": {"worker": ["host0:12345", "host1:12345"]}, "task": '
        '{"type": "worker", "index": 0}}'
    )
    text = os.environ.get(_TF_CONFIG)
    if not text:
        raise InputError(
            f"--strategy=multiworker needs the environment variable {_TF_CONFIG} on every host, "
            f"{example}."
        )
    try:
        content = json.loads(text)
        cluster, task = content["cluster"], content["task"]
        addresses = [*_addresses(cluster.get("chief", [])), *_addresses(cluster["worker"])]
        index = int(task["index"])
        if task["type"] == "worker":
            index += len(cluster.get("chief", []))
        elif task["type"] != "chief":
            raise ValueError(f"a task of type {task['type']!r} does not train")
        if not 0 <= index < len(addresses):
            raise ValueError(f"there is no {task['type']} {task['index']}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{_TF_CONFIG} cannot be used ({error}): {text}. It must be JSON, {example}."
        ) from error
    return Hosts(len(addresses), index)


def _addresses(value: object) -> list[str]:
    """Returns a list of addresses as it is. Raises ValueError if it is none."""
    if not isinstance(value, list):
        raise ValueError(f"{value!r} is no list of addresses")
    for address in value:
        host, _, port = str(address).rpartition(":")
        if not host or not port.isdigit():
            raise ValueError(f"{address!r} is not HOST:PORT")
    return value


def make_strategy(name: str, logical_cpus: int = 1) -> tf.distribute.Strategy:
    """Returns a strategy: "none", "mirrored" over all GPUs, "auto": mirrored from two GPUs on.

    "multiworker": all GPUs of all hosts in TF_CONFIG; it waits until they are all there. Without
    GPUs "mirrored" runs over `logical_cpus` slices of the CPU, which shares no work out but shows
    that a run on several devices is right. Devices and hosts must be asked for before TensorFlow
    has started; raises InputError where that is too late.
    """
    if logical_cpus > 1:
        _split_cpu(logical_cpus)
    if name == "multiworker":
        return _make_multiworker()
    gpus = tf.config.list_logical_devices("GPU")
    if name == "none" or (name == "auto" and len(gpus) < 2):
        return tf.distribute.get_strategy()
    devices = gpus or tf.config.list_logical_devices("CPU")
    return _make_mirrored(tuple(device.name for device in devices))


def check_batch_size(batch_size: int, strategy: tf.distribute.Strategy) -> None:
    """Raises InputError for a batch that the strategy's replicas cannot share equally."""
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise InputError(
            f"--batch_size={batch_size} cannot be shared equally by {replicas} devices; "
            f"take {batch_size // replicas * replicas or replicas}."
        )


@functools.cache
def _make_mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    # One for all callers: every strategy numbers its collective operations from the same start, and
    # TensorFlow takes those of two strategies over the same devices for one another.
    return tf.distribute.MirroredStrategy(devices)


def _make_multiworker() -> tf.distribute.Strategy:
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise InputError(
            f"--strategy=multiworker comes too late in this process: {error}"
        ) from error
    except (tf.errors.OpError, TypeError, ValueError) as error:
        raise InputError(
            f"the hosts of {_TF_CONFIG} cannot be reached, or this host's own port is in use "
            f"({str(error).splitlines()[0]}): {os.environ.get(_TF_CONFIG)}"
        ) from error


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
