"""What each mode of `train_main.py` does and prints: training, evaluation, export, prediction."""

from __future__ import annotations

import contextlib
import math
import os
import pathlib
import re
import sys
from collections.abc import Callable, Iterator, Sequence

import rich.console
import rich.progress
import rich.table
import rich.text
import tensorflow as tf

from jpegkeras.checkpoints import find_checkpoint, read_description, restore_network
from jpegkeras.config import TrainConfig
from jpegkeras.dataset_info import find_damage, load_dataset_info
from jpegkeras.description import NetworkDescription
from jpegkeras.distribution import find_hosts, make_strategy
from jpegkeras.errors import InputError
from jpegkeras.evaluation import Evaluation, Evaluator
from jpegkeras.export import export
from jpegkeras.files import write_json
from jpegkeras.input_pipeline import Source, evaluation_batches
from jpegkeras.learned_bands import write_learned_bands
from jpegkeras.prediction import Prediction, predict_file
from jpegkeras.run_log import print_line
from jpegkeras.training import train
from jpegkeras.trials import benchmark, dry_run

# Where the network is given by a checkpoint, a flag may confirm these but not change them.
_OF_THE_NETWORK = ("model", "num_frequencies", "image_size", "task")
# What TensorFlow says of records that are damaged, too few, missing, or not as dataset.json says.
_RECORD_ERRORS = (
    tf.errors.DataLossError,
    tf.errors.FailedPreconditionError,
    tf.errors.NotFoundError,
    tf.errors.InvalidArgumentError,
)


def run_train(
    config: TrainConfig,
    data_dir: str,
    workdir: str,
    *,
    init_from: str | None = None,
    profile_steps: str | None = None,
) -> None:
    """Trains, or continues, and prints where everything lies.

    Of a network that learns its bands it also writes which these are.
    """
    console = rich.console.Console()
    with _naming_damaged_shards(data_dir):
        result = train(
            config, data_dir, workdir, console, init_from=init_from, profile_steps=profile_steps
        )
    print_line(
        console,
        f"step {result.step}: test top-1 {result.evaluation.top1:.2%}\n"
        f"checkpoint {result.checkpoint}\n"
        f"log {pathlib.Path(workdir) / 'log.csv'}, curves {pathlib.Path(workdir) / 'curves.png'}\n"
        f"next: python train_main.py --mode=evaluate --data_dir={data_dir} --workdir={workdir}",
    )
    if read_description(result.checkpoint).learned_bands and find_hosts(config.strategy).writes:
        with _naming_damaged_shards(data_dir):
            path = write_learned_bands(workdir, data_dir)
        print_line(console, f"bands {path}: train a network on them with --bands=@{path}")


def run_dry(
    config: TrainConfig, data_dir: str, workdir: str, *, init_from: str | None = None
) -> None:
    """Tries what training does."""
    with _naming_damaged_shards(data_dir):
        dry_run(config, data_dir, workdir, rich.console.Console(), init_from=init_from)


def run_benchmark(config: TrainConfig, data_dir: str, workdir: str, steps: int) -> None:
    """Times steps of training."""
    with _naming_damaged_shards(data_dir):
        benchmark(config, data_dir, workdir, steps, rich.console.Console())


def run_evaluate(
    data_dir: str,
    workdir: str,
    *,
    split: str,
    checkpoint: str | None = None,
    output: str | None = None,
    batch_size: int = 64,
    min_top1: float = 0.0,
    expected: dict[str, object] | None = None,
) -> Evaluation:
    """Evaluates a checkpoint on every record of a split; prints a table and writes JSON.

    `expected` are fields of the network that the user named; another value in the checkpoint is an
    error, and so is a top-1 below `min_top1`.
    """
    info = load_dataset_info(data_dir)
    path = find_checkpoint(workdir, checkpoint)
    description = read_description(path)
    check_expected(path, description, expected or {})
    _check_classes(path, description, data_dir, info.class_names(description.task))
    source = Source(
        pathlib.Path(data_dir),
        info,
        description.num_frequencies,
        description.image_size,
        description.task,
    )
    source.records(split)
    strategy = make_strategy("none")
    _, model = restore_network(path)
    evaluator = Evaluator(model, len(description.class_names), strategy)
    batches = evaluation_batches(source, split=split, batch_size=batch_size)
    console = rich.console.Console()
    with _naming_damaged_shards(data_dir), _bar(console, source.records(split)) as report:
        evaluation = evaluator.evaluate(batches, report)
    if not math.isfinite(evaluation.loss):
        raise InputError(f"{path}: its loss is {evaluation.loss}; the network has diverged.")
    names = list(description.class_names)
    output = output or str(pathlib.Path(workdir) / f"evaluation-{split}.json")
    write_json(
        output,
        {
            "checkpoint": path,
            "data_dir": str(data_dir),
            "split": split,
            "model": model.name,
            "task": description.task,
            **evaluation.to_dict(names),
        },
    )
    console.print(
        _evaluation_table(evaluation, names, f"{model.name}, {description.task}, {split}")
    )
    print_line(console, f"results {output}")
    if evaluation.top1 < min_top1:
        raise InputError(f"top-1 {evaluation.top1:.2%} is below --min_top1={min_top1:g}.")
    return evaluation


def run_export(
    workdir: str,
    export_dir: str | None = None,
    *,
    checkpoint: str | None = None,
    expected: dict[str, object] | None = None,
) -> pathlib.Path:
    """Exports a checkpoint as a SavedModel."""
    path = find_checkpoint(workdir, checkpoint)
    check_expected(path, read_description(path), expected or {})
    description, model = restore_network(path)
    directory = export(model, description, export_dir or pathlib.Path(workdir) / "saved_model")
    print_line(
        rich.console.Console(),
        f"SavedModel {directory}\nlook: saved_model_cli show --dir {directory} --all",
    )
    return directory


def run_predict(
    workdir: str,
    images: Sequence[str],
    *,
    checkpoint: str | None = None,
    output: str | None = None,
    expected: dict[str, object] | None = None,
) -> int:
    """Prints the likeliest classes of each image; returns how many images could not be read.

    One that cannot be read gets its line on the standard error and does not stop the others.
    """
    path = find_checkpoint(workdir, checkpoint)
    check_expected(path, read_description(path), expected or {})
    description, model = restore_network(path)
    console = rich.console.Console()
    predictions, failures = [], 0
    for image in images:
        try:
            predictions.append(predict_file(image, model, description))
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            failures += 1
            continue
        print_line(console, f"{image} ({predictions[-1].route})")
        console.print(_prediction_table(predictions[-1]))
    if output:
        write_json(output, [vars(prediction) for prediction in predictions])
    return failures


def check_expected(
    path: str | os.PathLike, description: NetworkDescription, expected: dict[str, object]
) -> None:
    """Raises InputError if the user named another network than the checkpoint holds."""
    differences = [
        f"{name} is {getattr(description, name)}, not {expected[name]}"
        for name in _OF_THE_NETWORK
        if expected.get(name) not in (None, getattr(description, name))
    ]
    if differences:
        raise InputError(
            f"{path}: this checkpoint is of another network: {'; '.join(differences)}. "
            "Leave the flag out, or choose the checkpoint that you mean."
        )


@contextlib.contextmanager
def _naming_damaged_shards(data_dir: str) -> Iterator[None]:
    """Makes TensorFlow's errors about damaged and missing records one that names the shard."""
    try:
        yield
    except _RECORD_ERRORS as error:
        damage = find_damage(data_dir, load_dataset_info(data_dir))
        said = re.search(r"the record of .*", error.message)
        if not damage and said is None:
            raise
        what = "; ".join(damage) or said.group().rstrip("]")
        raise InputError(
            f"{data_dir}: {what}. The data set is not what the preprocessing wrote: restore it, or "
            "run the preprocessing again with --overwrite."
        ) from error


@contextlib.contextmanager
def _bar(console: rich.console.Console, records: int) -> Iterator[Callable[[int], None]]:
    columns = (
        "evaluating",
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        "records",
        rich.progress.TimeElapsedColumn(),
        "left",
        rich.progress.TimeRemainingColumn(),
    )
    with rich.progress.Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=records)
        yield lambda count: bar.advance(task, count)


def _check_classes(
    path: str, description: NetworkDescription, data_dir: str, class_names: list[str]
) -> None:
    mine = list(description.class_names)
    if mine == class_names:
        return
    if len(mine) != len(class_names):
        difference = (
            f"{len(mine)} {description.task} classes, but {data_dir} has {len(class_names)}"
        )
    else:
        pair = next((a, b) for a, b in zip(mine, class_names) if a != b)
        difference = f"the class {pair[0]!r}, where {data_dir} has {pair[1]!r}"
    raise InputError(
        f"{path}: trained on {difference}. Evaluate on the data set it was trained on, or one with "
        "the same classes and --labels."
    )


def _evaluation_table(evaluation: Evaluation, names: list[str], title: str) -> rich.table.Table:
    table = rich.table.Table(title=title)
    table.add_column("class")
    for column in ("records", "top-1", "top-5"):
        table.add_column(column, justify="right")
    for row in evaluation.per_class(names):
        table.add_row(
            rich.text.Text(row["class"]),
            str(row["records"]),
            _percent(row["top1"]),
            _percent(row["top5"]),
        )
    table.add_section()
    table.add_row(
        "all", str(evaluation.records), _percent(evaluation.top1), _percent(evaluation.top5)
    )
    return table


def _prediction_table(prediction: Prediction) -> rich.table.Table:
    table = rich.table.Table()
    table.add_column("class")
    table.add_column("probability", justify="right")
    for name, probability in zip(prediction.classes, prediction.probabilities):
        table.add_row(rich.text.Text(name), _percent(probability))
    return table


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.2%}"
