"""What the studies ran on."""

from __future__ import annotations

import contextlib
import os
import pathlib
import platform
from typing import Any

import keras
import tensorflow as tf

import jpegkeras


def describe() -> dict[str, Any]:
    """Returns processor, cores, memory, GPUs and versions, as values that JSON takes."""
    pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(pages * page / 2**30, 1),
        "gpus": gpu_names(),
        "platform": platform.platform(),
        "versions": {
            "python": platform.python_version(),
            "jpegkeras": jpegkeras.__version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
        },
    }


def gpu_names() -> list[str]:
    """Returns the GPUs by their makers' names."""
    details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
    return [detail.get("device_name", "GPU") for detail in details]


def device_name() -> str:
    """Returns what one network runs on: the first GPU, or the processor and its cores."""
    gpus = gpu_names()
    return gpus[0] if gpus else f"{_cpu_model()}, {len(os.sched_getaffinity(0))} cores"


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
