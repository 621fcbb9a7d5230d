"""How fast the reader is meant to be, and whether it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from benchmarks.peers import REFERENCE, our_key

STARTUP_SECONDS = 1.0
PIPELINE_BYTES = 0.25


@dataclasses.dataclass(frozen=True)
class Goal:
    """The row `ours` reads at least `least` times as many images a second as the row `other`."""

    what: str
    ours: str
    other: str
    least: float
    aim: float | None = None


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A goal and what was measured: None if it could not be, for the `reason`."""

    what: str
    limit: str
    measured: float | None
    met: bool | None
    reason: str = ""

    @property
    def line(self) -> str:
        """The verdict in words."""
        if self.measured is None:
            return f"not measured  {self.what}, {self.limit}: {self.reason}"
        return f"{'PASS' if self.met else 'MISS'}  {self.what}: {self.measured:.2f}, {self.limit}"


_WHOLE, _LOWEST = our_key(64), our_key(16)
_ALWAYS = (
    Goal("n=16 / n=64", _LOWEST, _WHOLE, 1.0),
    Goal("2 threads / 1, n=64", our_key(64, 2, large=True), our_key(64, large=True), 1.8),
    Goal("2 threads / 1, n=16", our_key(16, 2, large=True), our_key(16, large=True), 1.8),
)
STANDARD = (
    Goal("n=64 / libjpeg-turbo", _WHOLE, REFERENCE, 1.4, aim=2.0),
    Goal("n=64 / tf.io.decode_jpeg", _WHOLE, "tensorflow", 2.0),
    Goal("n=64 / jpeglib", _WHOLE, "jpeglib", 3.0),
    Goal("n=64 / simplejpeg", _WHOLE, "simplejpeg", 1.0),
    *_ALWAYS,
)
PIPELINE = (
    Goal("n=16, uncompressed / RGB", "n=16, none: inputs", "rgb", 4.0),
    Goal("n=64, uncompressed / RGB", "n=64, none: inputs", "rgb", 1.5),
    Goal("n=16, gzip / RGB", "n=16, gzip: inputs", "rgb", 1.5),
)
AS_FOUND = (Goal("files as found, n=64 / libjpeg-turbo", _WHOLE, REFERENCE, 1.3), *_ALWAYS)


def judge(goals: tuple[Goal, ...], rows: Mapping[str, Mapping[str, Any]]) -> list[Verdict]:
    """Return the verdict on each goal; `rows` are those of the results by key."""
    return [_judge(goal, rows) for goal in goals]


def judge_startup(seconds: float) -> Verdict:
    """Return the verdict on the seconds from the process's start to its first image."""
    limit = f"at most {STARTUP_SECONDS:g} s"
    met = seconds <= STARTUP_SECONDS
    return Verdict("seconds from process start to first image", limit, seconds, met)


def judge_bytes(size: float, rgb_size: float) -> Verdict:
    """Return the verdict on the bytes of an image that the device is sent, n = 16."""
    share = size / rgb_size
    limit = f"at most {PIPELINE_BYTES:g}"
    return Verdict("n=16: bytes to the device / RGB", limit, share, share <= PIPELINE_BYTES)


def _judge(goal: Goal, rows: Mapping[str, Mapping[str, Any]]) -> Verdict:
    limit = f"at least {goal.least:g}" + (f", aim {goal.aim:g}" if goal.aim else "")
    for key in (goal.ours, goal.other):
        if key not in rows:
            return Verdict(goal.what, limit, None, None, f"no row {key}")
        if rows[key]["absent"]:
            return Verdict(goal.what, limit, None, None, rows[key]["absent"])
    ratio = rows[goal.ours]["images_per_second"] / rows[goal.other]["images_per_second"]
    return Verdict(goal.what, limit, ratio, ratio >= goal.least)
