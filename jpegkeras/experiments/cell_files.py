"""What passes between the studies and the process of one cell: its task, its result, its failure.

All of it lies in the cell's run folder: `spec.json`, then `cell.json` once everything is done, or
`failed.json`. A result counts as long as the task is what it was when the result was written.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from jpegkeras.config import TrainConfig
from jpegkeras.errors import InputError
from jpegkeras.experiments.cells import Cell, Variant
from jpegkeras.experiments.config import StudyConfig, crop_size, learns_bands
from jpegkeras.experiments.folder import FREE, RUNS
from jpegkeras.experiments.networks import network_of
from jpegkeras.experiments.results import FAILED, PENDING, CellResult, parse_cell
from jpegkeras.files import write_json

SPEC_FILE, RESULT_FILE, FAILURE_FILE = "spec.json", "cell.json", "failed.json"
LOG_FILE, EVALUATIONS = "log.txt", "evaluations"
#: In the run's folder of a network that learns its bands: the training with the gate, which is a
#: run of its own.
GATE = "gate"


@dataclasses.dataclass(frozen=True)
class Records:
    """A variant's data set: its folder, and the digest of everything that decides its content."""

    directory: str
    digest: str


@dataclasses.dataclass(frozen=True)
class CellSpec:
    """One cell's task. `records`: of the variants that it is trained and evaluated on, by key."""

    cell: Cell
    training: TrainConfig
    output_dir: str
    records: Mapping[str, Records]

    @property
    def run(self) -> str:
        """The run's folder below the results' folder."""
        return f"{RUNS}/{self.cell.key}"

    @property
    def workdir(self) -> pathlib.Path:
        """The run's folder."""
        return pathlib.Path(self.output_dir) / self.run

    @property
    def workdirs(self) -> tuple[pathlib.Path, ...]:
        """The folders of the trainings, in their order: that of the gate first, if there is one."""
        gate = (self.workdir / GATE,) if learns_bands(self.training) else ()
        return (*gate, self.workdir)

    @property
    def training_digest(self) -> str:
        """What tells two trainings apart: settings and training data."""
        default = TrainConfig()
        # Without the defaults: a setting that a later version adds does not make it another one.
        settings = {
            field.name: getattr(self.training, field.name)
            for field in dataclasses.fields(TrainConfig)
            if field.name not in FREE
            and getattr(self.training, field.name) != getattr(default, field.name)
        }
        return _digest([settings, self.records[self.cell.variant.key].digest])

    @property
    def digest(self) -> str:
        """What tells two results apart: the training, and on what it is evaluated."""
        others = {variant.key: self.records[variant.key].digest for variant in self.evaluated_on}
        return _digest([self.training_digest, others])

    @property
    def evaluated_on(self) -> tuple[Variant, ...]:
        """The further variants, in their order."""
        return tuple(sorted(self.cell.evaluated_on))

    def pending(self) -> CellResult:
        """Returns the cell as it stands before anything is done."""
        cell = self.cell
        return CellResult(
            key=cell.key,
            network=cell.network,
            resolution=cell.variant.resolution,
            quality=cell.variant.quality,
            task=cell.task,
            seed=cell.seed,
            studies=cell.studies,
            run=self.run,
            state=PENDING,
        )

    def save(self) -> pathlib.Path:
        """Writes the task into the run's folder, which it makes; returns the file."""
        path = self.workdir / SPEC_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {**dataclasses.asdict(self), "training_digest": self.training_digest})
        return path


def training_of(cell: Cell, config: StudyConfig) -> TrainConfig:
    """Returns the settings of a cell's training.

    One checkpoint is kept: nothing chooses among several. Where there are `bands`, the number of
    frequencies follows from them.
    """
    network = network_of(cell.network)
    frequencies = TrainConfig().num_frequencies if network.bands else network.num_frequencies
    return dataclasses.replace(
        config.training,
        model=network.model,
        num_frequencies=frequencies,
        bands=network.bands,
        task=cell.task,
        image_size=crop_size(cell.variant.resolution),
        seed=cell.seed,
        keep_checkpoints=1,
    )


def load_spec(path: str | os.PathLike) -> CellSpec:
    """Reads what `CellSpec.save` wrote; raises InputError."""
    try:
        content = json.loads(pathlib.Path(path).read_text("utf-8"))
        cell = content["cell"]
        return CellSpec(
            cell=Cell(
                cell["network"],
                Variant(**cell["variant"]),
                cell["task"],
                cell["seed"],
                tuple(Variant(**variant) for variant in cell["evaluated_on"]),
                tuple(cell["studies"]),
            ),
            training=TrainConfig(**content["training"]),
            output_dir=content["output_dir"],
            records={key: Records(**entry) for key, entry in content["records"].items()},
        )
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a cell's task ({error!r}).") from error


def begun_as(workdir: pathlib.Path) -> str | None:
    """Returns the `training_digest` that a run's folder was begun with, None where it is empty."""
    content = _load(workdir / SPEC_FILE)
    return None if content is None else content.get("training_digest", "")


def save_result(spec: CellSpec, result: CellResult) -> None:
    """Writes `cell.json`, which says that the cell is done."""
    content = {
        "digest": spec.digest,
        "training_digest": spec.training_digest,
        "result": dataclasses.asdict(result),
    }
    write_json(spec.workdir / RESULT_FILE, content)


def save_failure(spec: CellSpec, error: str) -> None:
    """Writes `failed.json`."""
    write_json(spec.workdir / FAILURE_FILE, {"digest": spec.digest, "error": error})


def forget_failure(spec: CellSpec) -> None:
    """Removes `failed.json`."""
    (spec.workdir / FAILURE_FILE).unlink(missing_ok=True)


def load_result(spec: CellSpec) -> CellResult:
    """Returns the cell as it stands: done, failed or pending."""
    found = _load(spec.workdir / RESULT_FILE)
    if found is not None and found.get("digest") == spec.digest:
        try:
            result = parse_cell(found["result"])
        except (LookupError, TypeError, ValueError):
            return spec.pending()
        return dataclasses.replace(result, studies=spec.cell.studies)
    failed = _load(spec.workdir / FAILURE_FILE)
    if failed is not None and failed.get("digest") == spec.digest:
        return dataclasses.replace(
            spec.pending(), state=FAILED, error=str(failed.get("error", "unknown"))
        )
    return spec.pending()


def is_trained(spec: CellSpec) -> bool:
    """Tells whether the cell was done before, and lacks evaluations at most."""
    found = _load(spec.workdir / RESULT_FILE)
    return found is not None and found.get("training_digest") == spec.training_digest


def _load(path: pathlib.Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _digest(value: Any) -> str:  # noqa: ANN401
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
