"""What a run is about, before its first step: the network, the data set, devices and steps.

The facts are dataclasses of plain values, so that they can be printed, tested, and written into
`run.json` (`dataclasses.asdict`).
"""

from __future__ import annotations

import collections
import dataclasses
import math
import os
import pathlib
import re
from collections.abc import Iterable, Sequence

import keras
import rich.table
import rich.text

from jpegkeras import complexity
from jpegkeras.dataset_info import DatasetInfo
from jpegkeras.sampling import COMPONENTS

# conv2_block1_1_conv belongs to stage conv2.
_STAGE = re.compile(r"((?:conv|stage|block)\d+)(?:_|/|$)")
_LAYERS_BEFORE, _LAYERS_BEHIND = "input", "classifier"
_BYTE_UNITS = ("kB", "MB", "GB", "TB", "PB")
_COUNT_UNITS = ("k", "M", "G", "T")
# So wide is a folder's path at most, that the table fits into 80 columns.
_WIDEST = 57


@dataclasses.dataclass(frozen=True)
class Stage:
    """Layers of a network in a row.

    `output_shape` is without the batch; `dtypes` are those that its layers compute in, the one of
    most layers first.
    """

    name: str
    output_shape: tuple[int | None, ...]
    layers: int
    parameters: int
    multiply_adds: int
    dtypes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class NetworkFacts:
    """A network: its inputs' (shape without the batch, dtype), its stages, its size.

    `parameters` include moving statistics, which `trainable_parameters` do not; `multiply_adds` are
    those of one image (`jpegkeras.complexity`).
    """

    name: str
    inputs: dict[str, tuple[tuple[int | None, ...], str]]
    stages: tuple[Stage, ...]
    parameters: int
    trainable_parameters: int
    multiply_adds: int


@dataclasses.dataclass(frozen=True)
class DataFacts:
    """A data set, and what of it the network takes.

    `records`: of each split; `num_bytes`: of all shards that are there; `smallest` and `largest`:
    (height, width) in pixels, each side on its own; `quality`: of what was encoded anew, or None
    for the files' own tables.
    """

    directory: str
    task: str
    classes: int
    records: dict[str, int]
    shards: dict[str, int]
    num_bytes: int
    smallest: tuple[int, int]
    largest: tuple[int, int]
    image_size: int
    sampling: str
    quality: int | None
    frequencies_stored: int
    frequencies_used: int
    compression: str


@dataclasses.dataclass(frozen=True)
class PlanFacts:
    """Who trains, on what, how long.

    `devices`: the names of one host's; `batch_size`: over all replicas of all hosts; `first_step`:
    the steps that are done already; `settings`: whatever else is to be shown, a line each.
    """

    devices: tuple[str, ...]
    replicas: int
    hosts: int
    batch_size: int
    steps_per_epoch: int
    epochs: int
    first_step: int = 0
    settings: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def total_steps(self) -> int:
        """The steps of the whole run."""
        return self.steps_per_epoch * self.epochs


def describe_network(model: keras.Model) -> NetworkFacts:
    """Returns the facts about a built network, counted over its graph.

    Raises ValueError where `jpegkeras.complexity` cannot count.
    """
    found = complexity.measure(model)
    return NetworkFacts(
        name=model.name,
        inputs={
            tensor.name: (tuple(tensor.shape[1:]), keras.backend.standardize_dtype(tensor.dtype))
            for tensor in model.inputs
        },
        stages=_list_stages(model, found.per_layer),
        parameters=found.parameters,
        trainable_parameters=found.trainable_parameters,
        multiply_adds=found.multiply_adds,
    )


def describe_data(
    info: DatasetInfo,
    directory: str | os.PathLike,
    *,
    num_frequencies: int,
    image_size: int,
    task: str,
) -> DataFacts:
    """Returns the facts about a data set, and what a network takes of it."""
    shards = {name: [shard.file for shard in split.shards] for name, split in info.splits.items()}
    return DataFacts(
        directory=str(directory),
        task=task,
        classes=len(info.class_names(task)),
        records={name: split.records for name, split in info.splits.items()},
        shards={name: len(files) for name, files in shards.items()},
        num_bytes=_count_bytes(directory, [file for files in shards.values() for file in files]),
        smallest=info.smallest,
        largest=info.largest,
        image_size=image_size,
        sampling=info.sampling,
        quality=info.transcoding.get("quality"),
        frequencies_stored=info.num_frequencies,
        frequencies_used=num_frequencies,
        compression=info.compression,
    )


def network_table(facts: NetworkFacts) -> rich.table.Table:
    """Returns the network as a table of its stages."""
    title = rich.text.Text(f"{facts.name}: {_describe_inputs(facts.inputs)}")
    table = rich.table.Table(title=title, title_justify="left")
    table.add_column("stage", no_wrap=True)
    table.add_column("output", no_wrap=True)
    for name in ("parameters", "mult–adds"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("computes in", no_wrap=True)
    for stage in facts.stages:
        table.add_row(
            rich.text.Text(stage.name),
            _describe_shape(stage.output_shape),
            describe_count(stage.parameters),
            describe_count(stage.multiply_adds),
            ", ".join(stage.dtypes),
        )
    table.add_section()
    table.add_row(
        "all",
        "",
        describe_count(facts.parameters),
        describe_count(facts.multiply_adds),
        f"{describe_count(facts.trainable_parameters)} trained",
    )
    return table


def data_table(facts: DataFacts) -> rich.table.Table:
    """Returns the data set as a table."""
    table = _plain_table("data set")
    low, high = ("×".join(map(str, size)) for size in (facts.smallest, facts.largest))
    sizes = low if low == high else f"{low} to {high}"
    quality = "the files' own tables" if facts.quality is None else str(facts.quality)
    records = (f"{name} {count:,}" for name, count in facts.records.items())
    shards = sum(facts.shards.values())
    rows = {
        "folder": facts.directory,
        "classes": f"{facts.classes:,} ({facts.task})",
        "records": ", ".join(records),
        "heights × widths": f"{sizes} pixels; crops of {facts.image_size}×{facts.image_size}",
        "chroma sampling": facts.sampling,
        "quality": quality,
        "frequencies": f"{facts.frequencies_used} used of {facts.frequencies_stored} stored",
        "shards": f"{shards:,}, compression {facts.compression}, {describe_bytes(facts.num_bytes)}",
    }
    for name, text in rows.items():
        table.add_row(name, _fitted(text))
    return table


def plan_table(facts: PlanFacts) -> rich.table.Table:
    """Returns devices and steps as a table."""
    table = _plain_table("training")
    share = facts.batch_size // facts.replicas
    batch = f"{facts.batch_size:,} images"
    if facts.replicas > 1:
        batch += f", {share:,} a replica"
    steps = f"{facts.total_steps:,} = {facts.epochs:,} epochs of {facts.steps_per_epoch:,}"
    if facts.first_step:
        steps += f"; {facts.first_step:,} done"
    counts = collections.Counter(facts.devices)
    devices = ", ".join(f"{count} × {name}" for name, count in counts.items())
    rows = {
        "devices": devices,
        "replicas": f"{facts.replicas} on {facts.hosts} {'host' if facts.hosts == 1 else 'hosts'}",
        "batch": batch,
        "steps": steps,
        **facts.settings,
    }
    for name, text in rows.items():
        table.add_row(rich.text.Text(name), _fitted(text))
    return table


def describe_count(number: int) -> str:
    """Returns a number with three or four digits and a unit: 25.57 M."""
    if number < 1000:
        return str(number)
    return _scaled(number, _COUNT_UNITS)


def describe_bytes(size: int) -> str:
    """Returns a number of bytes in the unit that suits it: 1.23 MB."""
    if size < 1000:
        return f"{size} bytes"
    return _scaled(size, _BYTE_UNITS)


def _scaled(number: int, units: Sequence[str]) -> str:
    power = min(int(math.log10(number)) // 3, len(units))
    value = number / 1000**power
    return f"{value:,.{2 if value < 100 else 1}f} {units[power - 1]}"


def _list_stages(
    model: keras.Model, rows: Sequence[complexity.LayerComplexity]
) -> tuple[Stage, ...]:
    """Groups the layers by the stage that their names begin with.

    What stands before the first stage is the input's, what stands behind the last the
    classifier's; layers without a stage in between (a pooling) belong to the stage before.
    """
    rows = [row for row in rows if row.type != "InputLayer"]
    named = [_STAGE.match(row.name.rpartition("/")[2]) for row in rows]
    last = max((index for index, match in enumerate(named) if match), default=-1)
    groups: dict[str, list[complexity.LayerComplexity]] = {}
    current = _LAYERS_BEFORE
    for index, (row, match) in enumerate(zip(rows, named)):
        if match:
            current = match[1]
        elif index > last >= 0:
            current = _LAYERS_BEHIND
        groups.setdefault(current, []).append(row)
    dtypes = _compute_dtypes(model)
    return tuple(
        Stage(
            name=name,
            output_shape=_last_shape(members[-1].output_shape),
            layers=len(members),
            parameters=sum(row.parameters for row in members),
            multiply_adds=sum(row.multiply_adds for row in members),
            dtypes=_ranked(dtypes[row.name] for row in members),
        )
        for name, members in groups.items()
    )


def _compute_dtypes(model: keras.Model, prefix: str = "") -> dict[str, str]:
    """What each layer computes in, by the names of `jpegkeras.complexity`."""
    found = {}
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found.update(_compute_dtypes(layer, f"{prefix}{layer.name}/"))
        else:
            found[f"{prefix}{layer.name}"] = layer.compute_dtype
    return found


def _ranked(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(value for value, _ in collections.Counter(values).most_common())


def _last_shape(shapes: tuple) -> tuple[int | None, ...]:
    """The shape without the batch; of a layer with several outputs, the first one's."""
    shape = shapes[0] if shapes and isinstance(shapes[0], tuple) else shapes
    return tuple(shape[1:])


def _describe_inputs(inputs: dict[str, tuple[tuple[int | None, ...], str]]) -> str:
    """Says once what several inputs have in common: y 28×28×16 int16; cb, cr 14×14×16 int16."""
    names: dict[tuple[tuple[int | None, ...], str], list[str]] = {}
    # Luma first; Keras sorts by name.
    for name in sorted(inputs, key=lambda name: (name not in COMPONENTS, name != COMPONENTS[0])):
        names.setdefault(inputs[name], []).append(name)
    return "; ".join(
        f"{', '.join(group)} {_describe_shape(shape)} {dtype}"
        for (shape, dtype), group in names.items()
    )


def _describe_shape(shape: Sequence[int | None]) -> str:
    return "×".join("?" if side is None else str(side) for side in shape)


def _count_bytes(directory: str | os.PathLike, files: Sequence[str]) -> int:
    paths = (pathlib.Path(directory) / file for file in files)
    return sum(path.stat().st_size for path in paths if path.is_file())


def _plain_table(title: str) -> rich.table.Table:
    table = rich.table.Table(show_header=False, title=title, title_justify="left")
    table.add_column(no_wrap=True)
    table.add_column()
    return table


def _fitted(text: str) -> rich.text.Text:
    """Returns the text; of a long path the end, where the folder's own name is."""
    if len(text) > _WIDEST and os.sep in text:
        text = f"…{text[1 - _WIDEST :]}"
    return rich.text.Text(text)
