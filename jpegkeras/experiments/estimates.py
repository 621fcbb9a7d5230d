"""How much work the cells are, in multiply–adds, and how long that takes here."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jpegkeras.config import TrainConfig
from jpegkeras.experiments.cells import Cell, Variant
from jpegkeras.experiments.config import StudyConfig, crop_size, learns_bands
from jpegkeras.experiments.networks import LOWEST, SELECTIONS, network_of
from jpegkeras.experiments.results import CellResult

# Of a training step beside a forward pass: there and back, and back again for the weights.
TRAINING_FACTOR = 3


@dataclasses.dataclass(frozen=True, order=True)
class NetworkSize:
    """A network as `build_model` takes it; `image_size` in pixels."""

    model: str
    num_frequencies: int
    image_size: int
    num_classes: int

    @property
    def key(self) -> str:
        """Its name in a file."""
        return f"{self.model}/{self.num_frequencies}/{self.image_size}/{self.num_classes}"


@dataclasses.dataclass(frozen=True)
class Work:
    """What a cell does.

    `steps`: of one training; `multiply_adds`: of the network, for one image; `images`: those of all
    steps together; `evaluations`: multiply–adds of all evaluations; `trainings`: 2 where bands are
    learned first.
    """

    records: int
    steps: int
    images: int
    multiply_adds: int
    evaluations: int
    trainings: int = 1

    @property
    def forward(self) -> int:
        """Multiply–adds × images × epochs: of the forward passes of the training."""
        return self.multiply_adds * self.images

    @property
    def training(self) -> int:
        """Multiply–adds of the training's steps."""
        return TRAINING_FACTOR * self.forward

    @property
    def cost(self) -> int:
        """Multiply–adds of everything."""
        return self.training + self.evaluations

    def left(self, *, trained: bool) -> int:
        """Multiply–adds of what is left to do."""
        return self.evaluations if trained else self.cost


def network_size(cell: Cell, variant: Variant, classes: Mapping[str, int]) -> NetworkSize:
    """Returns a cell's network, at the size of a variant; `classes`: how many a task has.

    Networks on as many bands cost the same, whichever these are; a gate's 1 % more is left out.
    """
    network = network_of(cell.network)
    return NetworkSize(
        network.model,
        network.num_frequencies,
        crop_size(variant.resolution),
        classes[cell.task],
    )


def network_sizes(cells: Iterable[Cell], classes: Mapping[str, int]) -> list[NetworkSize]:
    """Returns every network, at every size, that the cells need."""
    found = {
        network_size(cell, variant, classes)
        for cell in cells
        for variant in (cell.variant, *cell.evaluated_on)
    }
    return sorted(found)


def work_of(
    cell: Cell,
    training: TrainConfig,
    records: Mapping[str, int],
    classes: Mapping[str, int],
    costs: Mapping[str, int],
) -> Work:
    """Returns the work of a cell.

    `records`: of the "train" and "test" split; `costs`: multiply–adds by `NetworkSize.key`.
    """
    multiply_adds = {
        variant: costs[network_size(cell, variant, classes).key]
        for variant in (cell.variant, *cell.evaluated_on)
    }
    steps = records["train"] // training.batch_size * training.epochs
    trainings = 2 if learns_bands(training) else 1
    own = multiply_adds[cell.variant]
    # After each epoch, and once more of what was saved.
    evaluated = own * (training.epochs + 1) * trainings
    evaluated += sum(multiply_adds[variant] for variant in cell.evaluated_on)
    return Work(
        records=records["train"],
        steps=steps,
        images=steps * training.batch_size * trainings,
        multiply_adds=own,
        evaluations=evaluated * records["test"],
        trainings=trainings,
    )


@dataclasses.dataclass(frozen=True)
class Pace:
    """Seconds a multiply–add, by network where known, and of all. Empty: nothing is known."""

    by_network: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def seconds(self, network: str, cost: float) -> float | None:
        """Returns how long a network takes for so many multiply–adds; None if nobody knows."""
        if not self.by_network:
            return None
        # Other bands of the same number take as long.
        like = LOWEST if network in SELECTIONS else network
        usual = statistics.fmean(self.by_network.values())
        return cost * self.by_network.get(network, self.by_network.get(like, usual))


def pace_of_cells(cells: Sequence[CellResult], works: Mapping[str, Work]) -> Pace:
    """Returns the pace of the cells that are done; `works` by the cells' keys."""
    seconds: dict[str, float] = {}
    costs: dict[str, float] = {}
    for cell in cells:
        if cell.train_seconds and cell.key in works:
            taken = cell.train_seconds + (cell.gate.train_seconds if cell.gate else 0)
            seconds[cell.network] = seconds.get(cell.network, 0) + taken
            costs[cell.network] = costs.get(cell.network, 0) + works[cell.key].cost
    return Pace({network: seconds[network] / costs[network] for network in seconds})


def pace_of_speeds(speeds: Mapping[str, Any], costs: Mapping[str, int]) -> Pace:
    """Returns the pace that a calibration found: images a second of training, by network.

    `costs`: multiply–adds of these networks for an image, at the size that was measured.
    """
    return Pace(
        {
            network: 1 / (speed * TRAINING_FACTOR * costs[network])
            for network, speed in speeds.items()
        }
    )


def batch_problem(config: StudyConfig, train_records: int) -> str | None:
    """Says what is wrong with a batch that is larger than the training split, None if it is not."""
    if train_records >= config.training.batch_size:
        return None
    return (
        f"there are {train_records} training images, fewer than one batch of "
        f"{config.training.batch_size}. Give more, or a smaller batch_size in --config=FILE."
    )
