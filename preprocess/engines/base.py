"""What all engines have in common."""

from __future__ import annotations

import os
from collections.abc import Callable

# Called with the images done and the bytes read so far.
Progress = Callable[[int, int], None]

# A worker is one core: libraries inside it must not start threads of their own, nor take the GPU.
WORKER_ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "",
    "NUMBA_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


class EngineError(RuntimeError):
    """The engine ended without making all shards; the same command makes what is missing."""


class WorkerDiedError(EngineError):
    """A worker process ended without saying why: it was killed, or memory ran out."""


def count_cores() -> int:
    """Returns how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
