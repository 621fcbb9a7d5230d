"""What the job tells the person who waits for it: progress on stderr, the summary on stdout."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from jpegkeras.dataset_info import DatasetInfo
from jpegkeras.sampling import mcu_size
from jpegkeras.transcoding import ROUTES

LINE_SECONDS = 10.0
_MEGABYTE = 1e6
# What training takes unless it is told otherwise.
_ALL_FREQUENCIES, _USUAL_SIZE = 64, 224


def say(message: str) -> None:
    """Prints one line on stderr."""
    print(message, file=sys.stderr, flush=True)


@contextlib.contextmanager
def progress(images: int, size: int) -> Iterator[Callable[[int, int], None]]:
    """Yields what is to be called with the (images, bytes) done so far, of `images` and `size` in
    all.

    A bar if stderr is a terminal, else a line every `LINE_SECONDS`.
    """
    if not sys.stderr.isatty():
        yield _Lines(images, size).update
        return
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}"),
    )
    pace = _Pace(size)
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=images, pace="")
        yield lambda done, done_size: bar.update(
            task, completed=done, pace=pace.describe(done, done_size)
        )


class _Lines:
    def __init__(self, images: int, size: int):
        self._images = images
        self._pace = _Pace(size)
        self._last = time.monotonic()

    def update(self, done: int, done_size: int) -> None:
        pace = self._pace.describe(done, done_size)
        if time.monotonic() - self._last < LINE_SECONDS:
            return
        self._last = time.monotonic()
        say(", ".join(filter(None, (f"{done:,} of {self._images:,} images", pace))))


class _Pace:
    """Speed since the first image was done; before that the workers only start up."""

    def __init__(self, size: int):
        self._size = size
        self._first: tuple[float, int, int] | None = None

    def describe(self, done: int, done_size: int) -> str:
        """Returns speed and time left, or nothing while these are not known."""
        now = time.monotonic()
        if self._first is None and done:
            self._first = (now, done, done_size)
        if self._first is None or self._first[1] == done:
            return ""
        start, images, size = self._first
        seconds = max(now - start, 1e-9)
        read = done_size - size
        # By bytes, since large images take longer.
        left = seconds * (self._size - done_size) / max(read, 1)
        return (
            f"{(done - images) / seconds:,.0f} images/s, {read / _MEGABYTE / seconds:,.1f} MB/s, "
            f"{_duration(left)} left"
        )


def print_summary(
    info: DatasetInfo, *, images: int, seconds: float, bytes_in: int, bytes_out: int
) -> None:
    """Prints the table of what was made and what became of the source files."""
    table = Table(show_header=False, title="Data set", title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    for name, split in info.splits.items():
        table.add_row(f"{name} records", f"{split.records:,} in {len(split.shards)} shard(s)")
    table.add_row("classes", f"{len(info.classes):,} fine, {len(info.coarse_classes):,} coarse")
    for key, count in _ordered_counts(info.counts):
        table.add_row(Text(key), f"{count:,}")
    table.add_row("bytes in", f"{bytes_in / _MEGABYTE:,.1f} MB")
    table.add_row("bytes out", f"{bytes_out / _MEGABYTE:,.1f} MB")
    table.add_row("time", _duration(seconds))
    table.add_row("speed", f"{images / max(seconds, 1e-9):,.0f} images/s")
    _stdout().print(table)


def print_next_command(output_dir: str, info: DatasetInfo) -> None:
    """Prints the command that trains on the data set, with what its records make necessary."""
    options = [f"--data_dir={shlex.quote(printable(output_dir))}", "--workdir=runs/first"]
    if info.num_frequencies < _ALL_FREQUENCIES:
        options.append(f"--num_frequencies={info.num_frequencies}")
    mcu = max(mcu_size(info.sampling))
    fits = min(info.smallest) // mcu * mcu
    if fits < _USUAL_SIZE:
        options.append(f"--image_size={max(fits, mcu)}")
    _stdout().print(
        f"Next: python train_main.py --mode=train {' '.join(options)}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def printable(text: str) -> str:
    """Returns a name in which bytes that are not UTF-8 are escaped, so that it can be printed."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def _ordered_counts(counts: dict[str, int]) -> list[tuple[str, int]]:
    """Returns the routes, each followed by its reasons, then the rest."""
    rows = []
    for route in ROUTES:
        rows.append((route, counts.get(route, 0)))
        rows += [
            (f"  {key.split(': ', 1)[1]}", count)
            for key, count in counts.items()
            if key.startswith(f"{route}: ")
        ]
    rejected = "rejected, see rejected.csv" if counts["rejected"] else "rejected"
    rows.append((rejected, counts["rejected"]))
    if "left out" in counts:
        rows.append(("left out as not asked for", counts["left out"]))
    return [*rows, ("ignored, no images", counts["ignored"])]


def _stdout() -> Console:
    return Console(file=sys.stdout)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
