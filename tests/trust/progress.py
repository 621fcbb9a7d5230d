"""A bar on stderr with rate and time left, or lines where stderr is no terminal."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

LINE_SECONDS = 10.0


def say(message: str) -> None:
    """Print a line on stderr."""
    print(message, file=sys.stderr, flush=True)


@contextlib.contextmanager
def progress(total: int, what: str) -> Iterator[Callable[[int, str], None]]:
    """Yield what is to be called with (how many are done, a remark)."""
    began = last = time.monotonic()

    def pace(done: int, remark: str) -> str:
        seconds = max(time.monotonic() - began, 1e-9)
        left = seconds * (total - done) / done if done else 0.0
        parts = (f"{done / seconds:,.0f} {what}/s", f"{duration(left)} left", remark)
        return ", ".join(filter(None, parts))

    def print_line(done: int, remark: str) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            say(f"{done:,} of {total:,} {what}, {pace(done, remark)}")

    if not sys.stderr.isatty():
        yield print_line
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[pace]}"))
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total, pace="")
        yield lambda done, remark: bar.update(task, completed=done, pace=pace(done, remark))


def duration(seconds: float) -> str:
    """Return hours:minutes:seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
