"""What a run leaves to look at: a CSV row an epoch, TensorBoard scalars, and a progress bar."""

from __future__ import annotations

import csv
import datetime
import pathlib
import time

import rich.console
import rich.progress
import tensorflow as tf

from jpegkeras.files import replacing

COLUMNS = (
    "epoch",
    "step",
    "learning_rate",
    "train_loss",
    "train_top1",
    "test_loss",
    "test_top1",
    "test_top5",
    "images_per_second",
)


class RunLog:
    """Writes `log.csv` and TensorBoard's event files into `workdir`.

    A run that continues from `step` keeps the rows up to there and drops later ones, which it is
    about to make again.
    """

    def __init__(self, workdir: pathlib.Path, step: int) -> None:
        self._path = workdir / "log.csv"
        self.rows = [row for row in _read_rows(self._path) if int(row["step"]) <= step]
        self._writer = tf.summary.create_file_writer(str(workdir / "tensorboard"))

    def add(self, row: dict[str, float]) -> None:
        """Adds one epoch's row, whose keys are `COLUMNS`."""
        self.rows.append(row)
        with replacing(self._path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(self.rows)
        with self._writer.as_default(step=int(row["step"])):
            for name in COLUMNS[2:]:
                tf.summary.scalar(name, row[name])
        self._writer.flush()


# Between two lines where the output is no terminal, in seconds.
_LINE_SECONDS = 30.0


class Progress:
    """A run's steps with loss, images a second and time left: a bar on a terminal, else lines."""

    def __init__(self, console: rich.console.Console, total_steps: int, first_step: int) -> None:
        self._console = console
        self._bar = rich.progress.Progress(
            "[progress.description]{task.description}",
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            "{task.fields[loss]}",
            "{task.fields[rate]}",
            rich.progress.TimeElapsedColumn(),
            "left",
            rich.progress.TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(
            "training", total=total_steps, completed=first_step, loss="", rate=""
        )
        self._total_steps = total_steps
        self._first_step = first_step
        self._rate = RateMeter()
        self._loss = ""
        self._last_line = self._start = time.monotonic()

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, step: int, images: int, loss: float | None) -> None:
        """Shows `step`, after `images` more; `loss` is the mean so far, or None to leave it."""
        self._rate.add(images)
        rate = f"{self._rate.value:.0f} img/s"
        if loss is not None:
            self._loss = f"loss {loss:.3f}"
        self._bar.update(self._task, completed=step, loss=self._loss, rate=rate)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._last_line >= _LINE_SECONDS:
            self._last_line = now
            left = (now - self._start) / (step - self._first_step) * (self._total_steps - step)
            left = f"{datetime.timedelta(seconds=round(left))} left"
            parts = (f"step {step} of {self._total_steps}", self._loss, rate, left)
            self.print(", ".join(filter(None, parts)))

    def print(self, line: str) -> None:
        """Prints a line above the bar."""
        print_line(self._console, line)


def print_line(console: rich.console.Console, line: str) -> None:
    """Prints a line as it is: paths and class names may look like markup, and are not wrapped."""
    console.print(line, highlight=False, markup=False, soft_wrap=True)


class RateMeter:
    """Images a second since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._images = 0

    def add(self, images: int) -> None:
        """Counts `images` more."""
        self._images += images

    @property
    def value(self) -> float:
        """Images a second."""
        return self._images / max(time.monotonic() - self._start, 1e-9)


def _read_rows(path: pathlib.Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
