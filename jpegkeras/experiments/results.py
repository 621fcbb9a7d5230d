"""What the studies have found so far: `results.json`, of which all tables and pictures are made."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jpegkeras import files
from jpegkeras.errors import InputError

FILE_NAME = "results.json"
PENDING, DONE, FAILED = "pending", "done", "failed"
SCHEMA_VERSION = 1


@dataclasses.dataclass(frozen=True)
class EvaluationResult:
    """The accuracy of a trained network on the test split of one variant of the data.

    `top1`, `top5`: shares, 0 … 1; `file`: where the numbers come from, below the results' folder.
    """

    resolution: int
    quality: int
    top1: float
    top5: float
    loss: float
    records: int
    file: str


@dataclasses.dataclass(frozen=True)
class GateResult:
    """The training in which a network learned its bands, before the one on the fixed list.

    `own`: the network with its gate, evaluated; `train_seconds`: as in `CellResult`; `mean_kept`:
    bands that an image of the train split keeps; `bands_file`: the list that came of it, below the
    results' folder.
    """

    own: EvaluationResult
    train_seconds: float
    multiply_adds: int
    mean_kept: float
    bands_file: str


@dataclasses.dataclass(frozen=True)
class CellResult:
    """One training: what it was, how it went, what came of it.

    `state`: PENDING, DONE or FAILED, with the reason in `error`. What follows `error` is None or
    empty unless it is DONE. `train_seconds`: its steps and evaluations alone. `own`: on the variant
    it was trained on; `others`: on further ones. `classes`: a row a class, `{"class", "records",
    "top1", "top5"}`; `confusion`: true class down, predicted across. `run`: its folder below the
    results' folder. `bands`: of a network that was given or learned them, zigzag positions by
    component; None for the lowest. `gate`: of one that learned them; what else is here is of the
    network on the fixed list.
    """

    key: str
    network: str
    resolution: int
    quality: int
    task: str
    seed: int
    studies: tuple[str, ...]
    run: str
    state: str = PENDING
    error: str = ""
    image_size: int | None = None
    epochs: int | None = None
    train_records: int | None = None
    train_seconds: float | None = None
    multiply_adds: int | None = None
    parameters: int | None = None
    own: EvaluationResult | None = None
    others: tuple[EvaluationResult, ...] = ()
    classes: tuple[Mapping[str, Any], ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    bands: Mapping[str, Sequence[int]] | None = None
    gate: GateResult | None = None


@dataclasses.dataclass(frozen=True)
class Results:
    """All cells of all studies, done or not.

    `config`: the `StudyConfig` as plain values, and its `name`; `data`: where the images are from,
    how many classes and records; `machine`: what it ran on; `complexity`: rows of the paper's table
    beside ours; `speed`: network key → images a second of the forward pass, in turns in one
    process, on the base variant, and how it was measured.
    """

    config: Mapping[str, Any]
    data: Mapping[str, Any]
    machine: Mapping[str, Any]
    cells: tuple[CellResult, ...] = ()
    complexity: tuple[Mapping[str, Any], ...] = ()
    speed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    jpegkeras_version: str = ""
    schema_version: int = SCHEMA_VERSION


@dataclasses.dataclass(frozen=True)
class Spread:
    """The mean over seeds, the standard deviation (None for one seed), and how many seeds."""

    mean: float
    deviation: float | None
    count: int


def spread(values: Iterable[float]) -> Spread | None:
    """Returns mean and standard deviation of a sample; None where there is no value."""
    values = list(values)
    if not values:
        return None
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Spread(statistics.fmean(values), deviation, len(values))


def save_results(results: Results, folder: str | os.PathLike) -> None:
    """Writes `results.json`; raises OSError."""
    files.write_json(pathlib.Path(folder) / FILE_NAME, dataclasses.asdict(results))


def load_results(folder: str | os.PathLike) -> Results:
    """Reads `results.json`; raises InputError where there is none, or of another version."""
    path = pathlib.Path(folder) / FILE_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content["schema_version"]
        if version != SCHEMA_VERSION:
            raise InputError(f"{path}: of version {version}; this program reads {SCHEMA_VERSION}.")
        cells = tuple(map(parse_cell, content.pop("cells")))
        return Results(cells=cells, complexity=tuple(content.pop("complexity")), **content)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not the results of studies ({error!r}).") from error


def parse_cell(content: dict[str, Any]) -> CellResult:
    """Returns a cell from its fields as JSON has them; raises KeyError or TypeError."""
    content = dict(content)
    own, gate = content.pop("own"), content.pop("gate", None)
    if gate is not None:
        gate = GateResult(**{**gate, "own": EvaluationResult(**gate["own"])})
    return CellResult(
        studies=tuple(content.pop("studies")),
        own=None if own is None else EvaluationResult(**own),
        gate=gate,
        others=tuple(EvaluationResult(**other) for other in content.pop("others")),
        classes=tuple(content.pop("classes")),
        confusion=tuple(map(tuple, content.pop("confusion"))),
        **content,
    )
