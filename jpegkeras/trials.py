"""What can be known of a run before it: whether it works, how fast it is, what it will take."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
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

from jpegkeras.checkpoints import CheckpointStore
from jpegkeras.config import TrainConfig
from jpegkeras.errors import InputError
from jpegkeras.evaluation import Evaluator
from jpegkeras.files import write_json
from jpegkeras.opening import draw_first_batch, show_summary
from jpegkeras.run_facts import run_facts
from jpegkeras.run_log import print_line
from jpegkeras.train_step import StepSums
from jpegkeras.training_setup import Setup, prepare

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
) -> DryRun:
    """Does everything that a run does, a few steps of it, and keeps nothing but the first batch.

    Trains some steps, evaluates a batch, saves and removes a checkpoint, and estimates time and
    disk space of the whole run. Raises what the run would raise.
    """
    setup = prepare(config, data_dir)
    show_summary(setup, console)
    batches = iter(setup.training_data(0))
    first = next(batches)
    picture = draw_first_batch(setup, first, pathlib.Path(workdir))
    # A data set of few batches may end before.
    taken = [first, *itertools.islice(batches, _WARM_UP + _TRIED - 1)]
    began, losses = time.monotonic(), []
    for number, (features, labels) in enumerate(taken):
        if number == min(_WARM_UP, len(taken) - 1):
            began = time.monotonic()
        sums = StepSums(*_train(setup, features, labels).numpy())
        losses.append(float(sums.loss) / config.batch_size)
    timed = len(taken) - min(_WARM_UP, len(taken) - 1)
    rate = timed * config.batch_size / (time.monotonic() - began)
    evaluator = Evaluator(setup.evaluated_model, len(setup.description.class_names), setup.strategy)
    evaluator.evaluate(itertools.islice(iter(setup.evaluation_data("test")), 1))
    size = _checkpoint_bytes(setup)
    seconds = setup.total_steps * config.batch_size / rate
    kept = size * config.keep_checkpoints
    for line in (
        f"loss of the first steps: {', '.join(f'{loss:.3f}' for loss in losses)}",
        f"{rate:.0f} img/s: {datetime.timedelta(seconds=round(seconds))} for "
        f"{setup.total_steps} steps, without the evaluations",
        f"a checkpoint takes {size / 1e6:.0f} MB, {config.keep_checkpoints} of them "
        f"{kept / 1e6:.0f} MB, and the best a part of one more",
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


def _checkpoint_bytes(setup: Setup) -> int:
    average = None if setup.average is None else setup.average.averaged
    with tempfile.TemporaryDirectory() as folder:
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
