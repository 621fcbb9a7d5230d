"""What the times were measured on."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import pathlib
import platform
from typing import Any

_PACKAGES = ("numpy", "numba", "llvmlite", "pillow")


def describe() -> dict[str, Any]:
    """Return the machine's processor, cores, load and versions."""
    return {
        "cpu": _cpu_model(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "cores_allowed": sorted(os.sched_getaffinity(0)),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "kernel": platform.release(),
        "libc": " ".join(platform.libc_ver()),
        "python": platform.python_version(),
        "packages": {package: importlib.metadata.version(package) for package in _PACKAGES},
    }


def choose_cores(count: int) -> list[int]:
    """Return `count` of the allowed cores, of different physical cores as far as there are such.

    The highest first: interrupts go to the lowest rather. Fewer than `count` if there are fewer.
    """
    cores = sorted(os.sched_getaffinity(0), reverse=True)
    seen, first, second = set(), [], []
    for core in cores:
        siblings = thread_siblings(core)
        (second if siblings in seen else first).append(core)
        seen.add(siblings)
    return (first + second)[:count]


def thread_siblings(core: int) -> str:
    """Return which logical cores share this one's physical core; the same text for each of them."""
    path = pathlib.Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
    with contextlib.suppress(OSError):
        return path.read_text().strip()
    return str(core)


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
