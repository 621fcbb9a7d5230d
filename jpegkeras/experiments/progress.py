"""What the studies show while they run: one bar for all of them, and a line where a cell ends."""

from __future__ import annotations

import csv
import dataclasses
import datetime
import io
import pathlib
import time

import rich.console
import rich.progress
from rich.markup import escape

# Between two lines where the output is no terminal, in seconds.
_LINE_SECONDS = 30.0
# Before that the time that is left would be a guess.
_FIRST_SECONDS = 5.0
_STEPS_FILE = "steps.csv"
_TAIL_BYTES = 4096


@dataclasses.dataclass(frozen=True)
class RunState:
    """Where a training stands, by the last row of its `steps.csv`."""

    step: int = 0
    epoch: int = 0
    loss: float | None = None
    images_per_second: float | None = None


def read_state(workdir: pathlib.Path) -> RunState:
    """Returns where the training in a folder stands."""
    try:
        with (workdir / _STEPS_FILE).open("rb") as file:
            header = file.readline()
            file.seek(0, 2)
            file.seek(max(len(header), file.tell() - _TAIL_BYTES))
            tail = file.read()
    except OSError:
        return RunState()
    # The last line that has an end.
    lines = tail.split(b"\n")[:-1]
    if not lines or not lines[-1].strip():
        return RunState()
    names, values = (
        next(csv.reader(io.StringIO(line.decode("utf-8", "replace"))))
        for line in (header, lines[-1])
    )
    row = dict(zip(names, values))
    try:
        return RunState(
            int(row["step"]),
            int(row["epoch"]),
            float(row["loss"]),
            float(row["images_per_second"]),
        )
    except (LookupError, ValueError):
        return RunState()


class StudyProgress:
    """The progress of all cells, weighted by their cost in multiply–adds: a context manager.

    `total`: of all cells that are shown; `done`: of those that were done before.
    `seconds_per_cost`: what is known of the speed before anything has run here.
    """

    def __init__(
        self,
        console: rich.console.Console,
        total: float,
        done: float,
        seconds_per_cost: float | None = None,
    ) -> None:
        self._console = console
        self._total = max(total, 1.0)
        self._begun = self._done = done
        self._known = seconds_per_cost
        self._start = self._last_line = time.monotonic()
        self._bar = rich.progress.Progress(
            "{task.description}",
            rich.progress.BarColumn(bar_width=None),
            "{task.percentage:>3.0f} %",
            "{task.fields[left]}",
            console=console,
            disable=not console.is_terminal,
            expand=True,
        )
        self._task = self._bar.add_task("", total=self._total, completed=done, left="")

    def __enter__(self) -> StudyProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, title: str, state: RunState, epochs: int, steps: int, cost: float) -> None:
        """Shows the cell that runs: `cost` is what it has done of its own."""
        parts = []
        if state.step:
            parts = [f"epoch {state.epoch}/{epochs}", f"step {state.step}/{steps}"]
        if state.loss is not None:
            parts += [f"loss {state.loss:.3f}", f"{state.images_per_second:.0f} img/s"]
        detail = ", ".join(parts) or "starting"
        left = self._left(self._done + cost)
        self._bar.update(
            self._task,
            completed=self._done + cost,
            description=f"{escape(title)}\n{detail}",
            left=left,
        )
        now = time.monotonic()
        if not self._console.is_terminal and now - self._last_line >= _LINE_SECONDS:
            self._last_line = now
            self.say(", ".join(filter(None, (f"{title}: {detail}", left))))

    def finish(self, cost: float) -> None:
        """Counts a cell that has ended, whose whole cost this is."""
        self._done += cost
        self._bar.update(self._task, completed=self._done, left=self._left(self._done))

    def say(self, line: str) -> None:
        """Prints a line above the bar."""
        print_line(self._console, line)

    def _left(self, done: float) -> str:
        """Returns how long the rest takes, by this session's speed, or what was known before."""
        seconds, here = time.monotonic() - self._start, done - self._begun
        pace = seconds / here if here > 0 and seconds > _FIRST_SECONDS else self._known
        if pace is None:
            return ""
        return f"{format_seconds(pace * max(self._total - done, 0))} left"


def format_seconds(seconds: float) -> str:
    """Returns a duration: 0:01:30."""
    return str(datetime.timedelta(seconds=round(seconds)))


def print_line(console: rich.console.Console, line: str) -> None:
    """Prints a line as it is: paths may look like markup, and are not wrapped."""
    console.print(line, highlight=False, markup=False, soft_wrap=True)
