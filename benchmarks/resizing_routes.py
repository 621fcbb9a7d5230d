"""The ways to a smaller picture, each a function of a file's bytes, and the time that they take."""

from __future__ import annotations

import dataclasses
import functools
import io
import os
import statistics
import time
from collections.abc import Callable, Sequence

from PIL import Image

from benchmarks.machine import choose_cores
from jpegkeras.jpeg import read_coefficients
from jpegkeras.transcoding import EXACT, FAST, Transcoding, transcode

PILLOW, DRAFT, READING = "pillow", "pillow-draft", "reading"
#: What the rows are, by key.
NAMES = {
    PILLOW: "Pillow loop: open, resize bicubic, save to memory",
    DRAFT: "the same with draft(), which decodes to 1/2, 1/4 or 1/8",
    FAST: "--resize=fast, to coefficients",
    EXACT: "--resize=exact, to coefficients",
    READING: "reading the coefficients alone",
}
_Route = Callable[[bytes], object]


@dataclasses.dataclass
class Timing:
    """A row: seconds of each pass over all images, by the clock and of the processor."""

    key: str
    wall: list[float] = dataclasses.field(default_factory=list)
    cpu: list[float] = dataclasses.field(default_factory=list)

    @property
    def seconds(self) -> float:
        """The median pass. Processor time: the routes have one thread and wait for nothing."""
        return statistics.median(self.cpu)

    @property
    def spread(self) -> float:
        """How much longer than the shortest the longest pass took, as a fraction."""
        return max(self.cpu) / min(self.cpu) - 1


def resized(size: tuple[int, int], smallest_side: int) -> tuple[int, int]:
    """Returns (width, height) of the picture at another smallest side."""
    scale = smallest_side / min(size)
    return tuple(max(smallest_side, round(side * scale)) for side in size)


def list_routes(smallest_side: int, quality: int) -> dict[str, _Route]:
    """Returns the routes by key."""
    fast, exact = (
        Transcoding(smallest_side=smallest_side, quality=quality, resize=resize)
        for resize in (FAST, EXACT)
    )
    return {
        PILLOW: functools.partial(_by_pillow, smallest_side, quality, False),
        DRAFT: functools.partial(_by_pillow, smallest_side, quality, True),
        FAST: lambda jpeg: transcode(jpeg, fast),
        EXACT: lambda jpeg: transcode(jpeg, exact),
        READING: read_coefficients,
    }


def time_routes(
    jpegs: Sequence[bytes],
    routes: dict[str, _Route],
    repeats: int,
    advance: Callable[[], None] = lambda: None,
) -> list[Timing]:
    """Times the routes on one core, in turns; the first round is not counted.

    Every round begins one route further down. `advance` is called after each of repeats + 1.
    """
    timings = [Timing(key) for key in routes]
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, choose_cores(1))
    try:
        for number in range(repeats + 1):
            first = number % len(timings)
            for timing in timings[first:] + timings[:first]:
                wall, cpu = _time_pass(jpegs, routes[timing.key])
                if number:
                    timing.wall.append(wall)
                    timing.cpu.append(cpu)
            advance()
    finally:
        os.sched_setaffinity(0, before)
    return timings


def _time_pass(jpegs: Sequence[bytes], route: _Route) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    for jpeg in jpegs:
        route(jpeg)
    return time.perf_counter() - wall, time.process_time() - cpu


def _by_pillow(smallest_side: int, quality: int, draft: bool, jpeg: bytes) -> bytes:
    out = io.BytesIO()
    with Image.open(io.BytesIO(jpeg)) as picture:
        size = resized(picture.size, smallest_side)
        if draft:
            # As Image.thumbnail() does: 2 pixels or more are left for each new one.
            picture.draft(None, tuple(2 * side for side in size))
        if picture.mode not in ("L", "RGB"):
            picture = picture.convert("RGB")
        picture.resize(size, Image.Resampling.BICUBIC).save(out, "JPEG", quality=quality)
    return out.getvalue()
