"""What a run leaves to look at: tables, TensorBoard, `run.json`, curves; and its progress bar."""

from __future__ import annotations

import collections
import contextlib
import csv
import datetime
import json
import math
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import rich.console
import rich.progress
import tensorflow as tf

from jpegkeras import curves
from jpegkeras.errors import InputError
from jpegkeras.files import replacing, write_json
from jpegkeras.tfrecord_files import read_tfrecords

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
LOOK_COLUMNS = (
    "step",
    "epoch",
    "learning_rate",
    "loss",
    "top1",
    "images_per_second",
    "gradient_norm",
    "loss_scale",
)
EPOCHS_FILE, LOOKS_FILE, RUN_FILE, CURVES_FILE = "log.csv", "steps.csv", "run.json", "curves.png"
TENSORBOARD_FOLDER = "tensorboard"
# How a run stands. One that says that it is running, while nobody writes to its folder, was killed.
STATES = ("running", "finished", "interrupted", "diverged", "failed")

_WHOLE_NUMBERS = frozenset({"epoch", "step"})
# Curves are drawn at the end of an epoch only if the last drawing is so old, in seconds.
_DRAWING_SECONDS = 20.0

Row = Mapping[str, float]


class RunLog:
    """Writes what a run leaves into `workdir`: a context manager, whose end is the run's.

    * `log.csv`: a row an epoch (`COLUMNS`); `steps.csv`: a row a look at the device
      (`LOOK_COLUMNS`; loss, top-1 and images a second of the steps since the last one). What a row
      lacks is empty.
    * `tensorboard/`: the same as scalars, those of the looks under "steps/".
    * `run.json`: how the run stands (one of `STATES`), all epochs, the best, and `facts`, what is
      to be known of its settings, network and data, as JSON takes it; written after every epoch.
    * `curves.png`: `jpegkeras.curves`, at the end, and after an epoch every 20 seconds at most.

    A run that continues from `step` keeps what there is up to there and drops what is later, which
    it is about to make again; halves of lines and of TensorBoard's records, which a kill can leave,
    are dropped as well. A file that cannot be written costs one line on the `console`, and not the
    run: tables are written whole as soon as they can be again, TensorBoard stays off.

    With `enabled=False`, which is for all hosts of a run but one, it writes and reads nothing.
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        step: int,
        *,
        facts: Mapping[str, Any] | None = None,
        title: str = "",
        console: rich.console.Console | None = None,
        enabled: bool = True,
    ) -> None:
        self._workdir = pathlib.Path(workdir)
        self._step = step
        self._facts = dict(facts or {})
        self._title = title
        self._console = console or rich.console.Console(stderr=True)
        self._enabled = enabled
        self._failed: set[str] = set()
        self._epochs = _Table(self._workdir / EPOCHS_FILE, COLUMNS, step, enabled)
        self._looks = _Table(self._workdir / LOOKS_FILE, LOOK_COLUMNS, step, enabled)
        self._tensorboard: _TensorBoard | None = None
        self._starts = _read_starts(self._workdir / RUN_FILE, step) if enabled else []
        self._starts.append({"step": step, "at": _now()})
        self._state, self._reason = STATES[0], None
        self._last_drawing = time.monotonic()

    @property
    def rows(self) -> list[dict[str, float]]:
        """The epochs' rows."""
        return self._epochs.rows

    @property
    def looks(self) -> list[dict[str, float]]:
        """The looks' rows."""
        return self._looks.rows

    def __enter__(self) -> RunLog:
        if self._enabled:
            self._write_run()
        return self

    def __exit__(self, kind: type | None, error: object, traceback: object) -> None:
        """Closes the log of a run that nobody has closed: it has finished, or failed."""
        if self._state != STATES[0]:
            return
        if kind is None:
            self.finish("finished")
        elif issubclass(kind, (KeyboardInterrupt, SystemExit)):
            self.finish("interrupted", kind.__name__)
        else:
            self.finish("failed", f"{kind.__name__}: {error}".splitlines()[0])

    def add(self, row: Row) -> None:
        """Adds one epoch's row, whose keys are among `COLUMNS`."""
        if not self._enabled:
            return
        added = self._epochs.add(row)
        self._try(EPOCHS_FILE, self._epochs.write)
        self._add_scalars(added, "")
        self._write_run()
        if time.monotonic() - self._last_drawing >= _DRAWING_SECONDS:
            self._draw()

    def add_look(self, row: Row) -> None:
        """Adds one look's row, whose keys are among `LOOK_COLUMNS`."""
        if not self._enabled:
            return
        added = self._looks.add(row)
        self._try(LOOKS_FILE, self._looks.append)
        self._add_scalars(added, "steps/")

    def finish(self, state: str, reason: str | None = None) -> None:
        """Says how the run ended, one of `STATES`, and why; writes and draws everything."""
        if state not in STATES:
            raise ValueError(f"state must be one of {', '.join(STATES)}; got {state!r}.")
        self._state, self._reason = state, reason
        if not self._enabled:
            return
        self._write_run()
        self._draw()
        if self._tensorboard is not None:
            self._try(TENSORBOARD_FOLDER, self._tensorboard.close)

    def describe(self) -> dict[str, Any]:
        """Returns what `run.json` holds."""
        rates = sorted(row["images_per_second"] for row in self.rows if "images_per_second" in row)
        ranked = [row for row in self.rows if math.isfinite(row.get("test_top1", math.nan))]
        steps = [row["step"] for row in (*self.rows[-1:], *self.looks[-1:])]
        described = {
            "state": self._state,
            "reason": self._reason,
            "step": max(steps, default=self._step),
            "starts": self._starts,
            "updated": _now(),
            "best": max(ranked, key=lambda row: row["test_top1"], default=None),
            # Of a usual epoch: the first one waits for the graph to be traced.
            "images_per_second": rates[len(rates) // 2] if rates else None,
            **self._facts,
            "epochs": self.rows,
        }
        return _without_nan(described)

    def _write_run(self) -> None:
        self._try(RUN_FILE, write_json, self._workdir / RUN_FILE, self.describe())

    def _draw(self) -> None:
        path = self._workdir / CURVES_FILE
        self._try(CURVES_FILE, curves.draw, self.looks, self.rows, path, self._title)
        self._last_drawing = time.monotonic()

    def _add_scalars(self, row: Row, prefix: str) -> None:
        if TENSORBOARD_FOLDER in self._failed:
            return
        scalars = {f"{prefix}{key}": row[key] for key in row if key not in _WHOLE_NUMBERS}
        self._try(TENSORBOARD_FOLDER, self._write_scalars, int(row["step"]), scalars)

    def _write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        if self._tensorboard is None:
            self._tensorboard = _TensorBoard(self._workdir / TENSORBOARD_FOLDER, self._step)
        self._tensorboard.add(step, scalars)

    def _try(self, name: str, write: Callable[..., None], *args: object) -> None:
        """Writes; where that fails, says so once, until it works again."""
        try:
            write(*args)
        except (OSError, ImportError, tf.errors.OpError) as error:
            if name not in self._failed:
                line = f"warning: {self._workdir / name} cannot be written ({_first_line(error)})"
                print_line(self._console, f"{line}. The run goes on without.")
            self._failed.add(name)
        else:
            self._failed.discard(name)


class _Table:
    """A CSV file of numbers and its rows, of which those after `step` are forgotten.

    Nothing is written before the first row; that writes the file anew, and so does the one after a
    failure, whatever that has left.
    """

    def __init__(
        self, path: pathlib.Path, columns: Sequence[str], step: int, enabled: bool
    ) -> None:
        self._path = path
        self._columns = columns
        self._is_whole = False
        rows = _read_rows(path, columns) if enabled else []
        self.rows = [row for row in rows if row["step"] <= step]

    def add(self, row: Row) -> dict[str, float]:
        """Adds a row to those in memory, in the place of one that is of its step or of later ones.

        Returns it as plain numbers.
        """
        unknown = [key for key in row if key not in self._columns]
        if unknown or "step" not in row:
            raise ValueError(
                f"a row of {self._path.name} has a step and none but {', '.join(self._columns)}; "
                f"got {', '.join(row)}."
            )
        numbers = {key: _number(key, row[key]) for key in self._columns if row.get(key) is not None}
        while self.rows and self.rows[-1]["step"] >= numbers["step"]:
            self.rows.pop()
            self._is_whole = False
        self.rows.append(numbers)
        return numbers

    def write(self) -> None:
        """Writes all rows."""
        self._is_whole = False
        with replacing(self._path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(self.rows)
        self._is_whole = True

    def append(self) -> None:
        """Writes the last row behind those that are written."""
        if not self._is_whole:
            self.write()
            return
        self._is_whole = False
        with self._path.open("a", newline="") as file:
            csv.DictWriter(file, self._columns).writerow(self.rows[-1])
        self._is_whole = True


def _read_rows(path: pathlib.Path, columns: Sequence[str]) -> list[dict[str, float]]:
    """Reads the whole lines of a table; what is no row of numbers with a step is left out."""
    if not path.is_file():
        return []
    # After the last line's end there is nothing, or the half of a line.
    header, *lines = path.read_bytes().split(b"\n")[:-1] or [b""]
    names = header.decode("utf-8", "replace").strip().split(",")
    rows = []
    for line in lines:
        values = line.decode("utf-8", "replace").strip().split(",")
        if len(values) != len(names):
            continue
        with contextlib.suppress(ValueError):
            found = {key: _number(key, value) for key, value in zip(names, values) if value}
            if "step" in found:
                rows.append({key: found[key] for key in columns if key in found})
    return rows


def _number(key: str, value: Any) -> float:  # noqa: ANN401
    return int(value) if key in _WHOLE_NUMBERS else float(value)


class _TensorBoard:
    """TensorBoard's scalars in a folder, of which those after `step` are forgotten first."""

    def __init__(self, folder: pathlib.Path, step: int) -> None:
        _forget_events(folder, step)
        self._writer = tf.summary.create_file_writer(str(folder))

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Adds scalars and sends them to the file, that a kill loses none before a checkpoint."""
        # All at once, as `tf.summary.scalar` for each would cost four times as much.
        summary = tf.compat.v1.Summary()
        for name, value in scalars.items():
            tensor = tf.make_tensor_proto(value, tf.float32)
            summary.value.add(tag=name, metadata=_scalar_metadata(), tensor=tensor)
        with self._writer.as_default(step=step):
            tf.summary.experimental.write_raw_pb(summary.SerializeToString())
        self._writer.flush()

    def close(self) -> None:
        """Closes the file."""
        self._writer.close()


def _scalar_metadata() -> tf.compat.v1.SummaryMetadata:
    """By what TensorBoard knows a scalar."""
    plugin = tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
    return tf.compat.v1.SummaryMetadata(plugin_data=plugin, data_class="DATA_CLASS_SCALAR")


def _forget_events(folder: pathlib.Path, step: int) -> None:
    """Drops what TensorBoard's files tell of steps after `step`, and torn ends.

    TensorBoard would draw the steps twice that a run makes again: the line goes back.
    """
    for path in sorted(folder.glob("events.out.tfevents.*")):
        # The profiler marks a folder with an empty one.
        if path.name.endswith(".profile-empty"):
            continue
        kept, dropped, scalars = [], False, False
        try:
            for serialized in read_tfrecords(path, "none"):
                event = tf.compat.v1.Event.FromString(serialized)
                if event.step > step:
                    dropped = True
                    continue
                kept.append(serialized)
                scalars = scalars or event.HasField("summary")
        except InputError:
            dropped = True
        if dropped and not scalars:
            path.unlink()
        elif dropped:
            with replacing(path) as temporary, tf.io.TFRecordWriter(str(temporary)) as writer:
                for serialized in kept:
                    writer.write(serialized)


def _read_starts(path: pathlib.Path, step: int) -> list[dict[str, Any]]:
    """Reads when the run that is continued at `step` was started before."""
    try:
        starts = json.loads(path.read_text("utf-8"))["starts"]
        return [dict(start) for start in starts if start["step"] < step]
    except (OSError, ValueError, LookupError, TypeError):
        return []


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def _first_line(error: Exception) -> str:
    # TensorFlow puts the name of a node first, in double braces, and an operation last.
    message = (getattr(error, "message", None) or str(error)).rpartition("}} ")[2]
    lines = message.partition(" [Op:")[0].strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".;")


def _without_nan(value: Any) -> Any:  # noqa: ANN401
    """Returns the value with None for each number that JSON has not."""
    if isinstance(value, Mapping):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


# Between two lines where the output is no terminal, in seconds.
_LINE_SECONDS = 30.0
# Over which the speed is shown, in seconds.
_RATE_SECONDS = 20.0


class Progress:
    """A run's steps with loss, images a second and time left: a bar on a terminal, else lines.

    With `enabled=False`, which is for all hosts of a run but one, it shows and prints nothing.
    """

    def __init__(
        self,
        console: rich.console.Console,
        total_steps: int,
        first_step: int,
        *,
        enabled: bool = True,
    ) -> None:
        self._console = console
        self._enabled = enabled
        self._bar = rich.progress.Progress(
            "[progress.description]{task.description}",
            # As wide as the rest leaves room for.
            rich.progress.BarColumn(bar_width=None),
            rich.progress.MofNCompleteColumn(),
            "{task.fields[loss]}",
            "{task.fields[rate]}",
            rich.progress.TimeRemainingColumn(compact=True),
            "left",
            console=console,
            disable=not (enabled and console.is_terminal),
            expand=True,
        )
        self._task = self._bar.add_task(
            "training", total=total_steps, completed=first_step, loss="", rate=""
        )
        self._total_steps = total_steps
        self._first_step = first_step
        self._rate = RateMeter(_RATE_SECONDS)
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
            done = max(step - self._first_step, 1)
            left = (now - self._start) / done * (self._total_steps - step)
            left = f"{datetime.timedelta(seconds=round(left))} left"
            parts = (f"step {step} of {self._total_steps}", self._loss, rate, left)
            self.print(", ".join(filter(None, parts)))

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Names what goes on inside, instead of "training"; it does not count as slow training."""
        self._bar.update(self._task, description=name)
        try:
            with self._rate.paused():
                yield
        finally:
            self._bar.update(self._task, description="training")

    def print(self, line: str) -> None:
        """Prints a line above the bar."""
        if self._enabled:
            print_line(self._console, line)


def print_line(console: rich.console.Console, line: str) -> None:
    """Prints a line as it is: paths and class names may look like markup, and are not wrapped."""
    console.print(line, highlight=False, markup=False, soft_wrap=True)


class RateMeter:
    """Images a second over the last `window` seconds, or since it was made."""

    def __init__(self, window: float = math.inf) -> None:
        self._window = window
        self._images = 0
        self._pauses = 0.0
        # Times, without the pauses, and how many images there were until then.
        self._marks = collections.deque([(self._clock(), 0)])

    def add(self, images: int) -> None:
        """Counts `images` more."""
        self._images += images
        now = self._clock()
        # A hundred marks are enough for a window, and one for all time.
        if now - self._marks[-1][0] >= self._window / 100:
            self._marks.append((now, self._images))
        # The oldest one that is kept is the last before the window.
        while len(self._marks) > 1 and now - self._marks[1][0] >= self._window:
            self._marks.popleft()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Leaves out the time that passes inside."""
        start = time.monotonic()
        try:
            yield
        finally:
            self._pauses += time.monotonic() - start

    @property
    def value(self) -> float:
        """Images a second."""
        start, images = self._marks[0]
        return (self._images - images) / max(self._clock() - start, 1e-9)

    def _clock(self) -> float:
        return time.monotonic() - self._pauses
