"""How long a process takes to its first image, with and without compiled code in the cache."""

from __future__ import annotations

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

_ROOT = pathlib.Path(__file__).parents[1]
# monotonic() is one clock for all processes of the machine.
_CODE = """
import sys, time
running = time.monotonic()
import jpegkeras.jpeg
imported = time.monotonic()
jpegkeras.jpeg.read_coefficients(sys.argv[2])
read = time.monotonic()
import json
began = float(sys.argv[1])
print(json.dumps({"python": running - began, "import": imported - running,
                  "first_image": read - imported, "total": read - began}))
"""
#: The parts of a start, and what they are.
PARTS = {
    "python": "process start to the first line of Python",
    "import": "import jpegkeras.jpeg",
    "first_image": "first read_coefficients",
    "total": "process start to first image",
}


def measure(jpeg: bytes, repeats: int, advance: Callable[[], None]) -> dict[str, Any]:
    """Return {"cold": seconds of each part, "warm": medians of them, "warm_runs": all}.

    Cold: with an empty folder for Numba's cache. Warm: with the one that this has filled. `advance`
    is called after each of the repeats + 1 runs.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = pathlib.Path(scratch, "image.jpg")
        path.write_bytes(jpeg)
        cache = pathlib.Path(scratch, "cache")
        cold = _start_process(path, cache)
        advance()
        warm = []
        for _ in range(repeats):
            warm.append(_start_process(path, cache))
            advance()
    medians = {part: statistics.median(run[part] for run in warm) for part in PARTS}
    return {"cold": cold, "warm": medians, "warm_runs": warm}


def _start_process(path: pathlib.Path, cache: pathlib.Path) -> dict[str, float]:
    command = [sys.executable, "-c", _CODE, str(time.monotonic()), str(path)]
    result = subprocess.run(
        command,
        cwd=_ROOT,
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
    )
    if result.returncode:
        raise RuntimeError(f"reading the first image failed:\n{result.stderr}")
    return json.loads(result.stdout)
