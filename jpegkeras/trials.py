"""What can be known of a run before it: whether it works, how fast it is, what it will take."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import itertools
import math
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import rich.console
import rich.table
import tensorflow as tf

from jpegkeras.checkpoints import CheckpointStore, latest_checkpoint
from jpegkeras.config import TrainConfig
from jpegkeras.errors import InputError
from jpegkeras.evaluation import Evaluator
from jpegkeras.files import locked, write_json
from jpegkeras.opening import draw_first_batch, show_summary
from jpegkeras.run_facts import run_facts
from jpegkeras.run_log import print_line
from jpegkeras.run_settings import check_same_run
from jpegkeras.train_step import StepSums
from jpegkeras.training_setup import Setup, prepare, start_from

# Steps before the first that is timed: graphs are traced, threads started, files opened.
_WARM_UP = 3
_TRIED = 3
# Stretches that a benchmark's steps are cut into; what is told is the median of them.
_STRETCHES = 5
BENCHMARK_FILE = "benchmark.json"


@dataclasses.dataclass(frozen=True)
class DryRun:
    """What a dry run found: the loss of the first steps, and estimates of the whole run."""

    losses: tuple[float, ...]
    images_per_second: float
    seconds: float
    checkpoint_bytes: int


def dry_run(
    config: TrainConfig,
    data_dir: str | os.PathLike,
    workdir: str | os.PathLike,
    console: rich.console.Console,
    *,
    init_from: str | None = None,
) -> DryRun:
    """Does everything that a run does, a few steps of it, and keeps nothing but the first batch.

    Trains some steps, evaluates a batch, saves and removes a checkpoint, and estimates time and
    disk space of the whole run. Where `workdir` holds a run, its picture of the first batch stays.
    Raises what the run would raise, as far as some steps show it.
    """
    workdir = pathlib.Path(workdir)
    setup = prepare(config, data_dir)
    with contextlib.ExitStack() as stack:
        if setup.hosts.writes:
            stack.enter_context(locked(workdir, "--workdir"))
        return _try_everything(setup, workdir, console, init_from)


def _try_everything(
    setup: Setup, workdir: pathlib.Path, console: rich.console.Console, init_from: str | None
) -> DryRun:
    config = setup.config
    begun = latest_checkpoint(workdir) is not None
    if begun:
        check_same_run(workdir, setup.settings)
    elif init_from:
        start_from(setup, init_from, console)
    show_summary(setup, console)
    batches = _endless(setup)
    first = next(batches)
    picture = None if begun else draw_first_batch(setup, first, workdir)
    losses, began = [], time.monotonic()
    for number, (features, labels) in enumerate(
        itertools.chain([first], itertools.islice(batches, _WARM_UP + _TRIED - 1))
    ):
        sums = StepSums(*_train(setup, features, labels).numpy())
        losses.append(float(sums.loss) / config.batch_size)
        if number == _WARM_UP - 1:
            # From here on the batches are timed too: one of them is made during each step.
            began = time.monotonic()
    rate = _TRIED * config.batch_size / (time.monotonic() - began)
    if not all(map(math.isfinite, losses)):
        raise InputError(
            f"the loss of the first steps is {', '.join(f'{loss:g}' for loss in losses)}: the "
            f"training diverges at once. Lower --learning_rate (now {config.learning_rate:g})."
        )
    evaluator = Evaluator(setup.evaluated_model, len(setup.description.class_names), setup.strategy)
    evaluator.evaluate(itertools.islice(iter(setup.evaluation_data("test")), 1))
    size = _checkpoint_bytes(setup, workdir)
    seconds = setup.total_steps * config.batch_size / rate
    kept = size * config.keep_checkpoints
    for line in (
        f"loss of the first steps: {', '.join(f'{loss:.3f}' for loss in losses)}",
        f"{rate:.0f} img/s: {datetime.timedelta(seconds=round(seconds))} for "
        f"{setup.total_steps} steps, without the evaluations",
        f"a checkpoint takes {size / 1e6:.0f} MB, {config.keep_checkpoints} of them "
        f"{kept / 1e6:.0f} MB, one more while it is written, and the best a part of one",
        f"first batch {picture}" if picture else "",
        "dry run: everything works; nothing was kept but the picture of the batch.",
    ):
        if line:
            print_line(console, line)
    return DryRun(tuple(losses), rate, seconds, size)


def benchmark(
    config: TrainConfig,
    data_dir: str | os.PathLike,
    workdir: str | os.PathLike,
    steps: int,
    console: rich.console.Console,
) -> dict[str, Any]:
    """Times the input pipeline alone, the step alone (on one batch) and both, over `steps` steps.

    Prints a table and writes `benchmark.json` into `workdir`; trains nothing that is kept. Returns
    what the file holds. Raises InputError where an epoch has no batch.
    """
    if steps < 1:
        raise InputError(f"--benchmark_steps must be at least 1; got {steps}.")
    setup = prepare(config, data_dir)
    show_summary(setup, console)
    one = next(iter(setup.training_data(0)))
    every = _endless(setup)
    parts: dict[str, Callable[[], Any]] = {
        "input alone": lambda: next(every),
        "step alone": lambda: _train(setup, *one).numpy(),
        "input and step": lambda: _train(setup, *next(every)).numpy(),
    }
    rows = [_time(name, call, steps, config.batch_size) for name, call in parts.items()]
    result = {
        "command": f"--benchmark_steps={steps}",
        "steps": steps,
        "rows": rows,
        **run_facts(setup),
    }
    path = pathlib.Path(workdir) / BENCHMARK_FILE
    if setup.hosts.writes:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, result)
    table = rich.table.Table(title=f"{setup.model.name}, batches of {config.batch_size}")
    table.add_column("")
    for column in ("img/s", "least", "most", "ms a step"):
        table.add_column(column, justify="right")
    for row in rows:
        rates = [f"{row[key]:.1f}" for key in ("images_per_second", "least", "most")]
        table.add_row(row["part"], *rates, f"{row['seconds_per_step'] * 1e3:.1f}")
    console.print(table)
    print_line(console, f"results {path}")
    return result


def _train(setup: Setup, features: Any, labels: Any) -> tf.Tensor:  # noqa: ANN401
    return setup.step(features, labels, tf.constant(0, tf.int64), tf.constant(0.0))


def _endless(setup: Setup) -> Iterator[Any]:
    for epoch in itertools.count():
        yield from setup.training_data(epoch)


def _time(name: str, call: Callable[[], Any], steps: int, batch_size: int) -> dict[str, Any]:
    for _ in range(_WARM_UP):
        call()
    rates = []
    for stretch in range(min(_STRETCHES, steps)):
        count = len(range(stretch, steps, _STRETCHES))
        began = time.monotonic()
        for _ in range(count):
            call()
        rates.append(count * batch_size / (time.monotonic() - began))
    middle = statistics.median(rates)
    return {
        "part": name,
        "images_per_second": middle,
        "least": min(rates),
        "most": max(rates),
        "seconds_per_step": batch_size / middle,
    }


def _checkpoint_bytes(setup: Setup, workdir: pathlib.Path) -> int:
    average = None if setup.average is None else setup.average.averaged
    # Where the run's will be: on that disk there must be room.
    beside = workdir if setup.hosts.writes else None
    with tempfile.TemporaryDirectory(prefix=".dry-run-", dir=beside) as folder:
        store = CheckpointStore(
            pathlib.Path(folder),
            setup.description,
            setup.model,
            setup.optimizer,
            {},
            keep=1,
            averaged=average,
        )
        store.save(0)
        return sum(path.stat().st_size for path in pathlib.Path(folder).rglob("ckpt*"))
