"""What a call costs: processor time and peak memory of this process (Linux)."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from pathlib import Path

_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def measures_memory() -> bool:
    """Say whether peak memory can be measured here."""
    try:
        _reset_peak()
    except OSError:
        return False
    return True


def measure(call: Callable[[], object]) -> tuple[object, float, int]:
    """Return (what the call returned, seconds of processor time, bytes of peak memory it added).

    The time is that of all threads; the memory is 0 where it cannot be measured.
    """
    # Not ru_maxrss: that one begins with the peak of the process that started this one.
    try:
        _reset_peak()
        before = _peak()
    except OSError:
        before = None
    began = time.process_time()
    result = call()
    seconds = time.process_time() - began
    growth = 0 if before is None else max(_peak() - before, 0)
    return result, seconds, growth


def limit_address_space(extra: int) -> None:
    """Let this process map at most this many bytes more than it does now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + extra
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _reset_peak() -> None:
    with _CLEAR_REFS.open("wb", buffering=0) as file:
        file.write(b"5")


def _peak() -> int:
    with _STATUS.open("rb") as file:
        text = file.read()
    start = text.index(b"VmHWM:") + 6
    return int(text[start : text.index(b"kB", start)]) * 1024
