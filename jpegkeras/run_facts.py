"""What `run.json` tells of a run besides its figures: settings, data, network, machine."""

from __future__ import annotations

import dataclasses
import platform
from typing import Any

import keras
import tensorflow as tf

import jpegkeras
from jpegkeras.complexity import measure
from jpegkeras.training_setup import Setup


def run_facts(setup: Setup) -> dict[str, Any]:
    """Returns the facts as values that JSON takes."""
    info, complexity = setup.source.info, measure(setup.model)
    devices = tf.config.list_physical_devices()
    return {
        "settings": dataclasses.asdict(setup.config),
        "data": {
            "directory": str(setup.source.directory),
            "records": {name: split.records for name, split in info.splits.items()},
            "classes": len(setup.description.class_names),
            "num_frequencies": info.num_frequencies,
            "sampling": info.sampling,
            "transcoding": info.transcoding,
        },
        "network": {
            "name": setup.model.name,
            "parameters": complexity.parameters,
            "multiply_adds": complexity.multiply_adds,
        },
        "machine": {
            "platform": platform.platform(),
            "devices": [device.name for device in devices],
            "replicas": setup.strategy.num_replicas_in_sync,
            "hosts": setup.hosts.count,
        },
        "versions": {
            "python": platform.python_version(),
            "jpegkeras": jpegkeras.__version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
        },
    }
