"""What learning took: a row a kind of training, over its seeds."""

from __future__ import annotations

import dataclasses
import statistics

from jpegkeras.experiments.report.views import network_keys
from jpegkeras.experiments.results import DONE, CellResult, Results


@dataclasses.dataclass(frozen=True)
class LearningCost:
    """The trainings of one network, task and resolution that are done, of all seeds and qualities.

    `multiply_adds`: of an image's forward pass; `total`: that times images times epochs, None where
    it is not known; `seconds`: the mean of a training; `images_per_second`: trained on.
    """

    network: str
    task: str
    resolution: int
    cells: tuple[CellResult, ...]
    epochs: int | None
    train_records: int | None
    multiply_adds: int | None
    total: float | None
    seconds: float
    images_per_second: float | None


def learning_costs(results: Results) -> list[LearningCost]:
    """Returns the costs by task and resolution, the networks of each together."""
    done = [cell for cell in results.cells if cell.state == DONE and cell.train_seconds is not None]
    groups = sorted({(cell.task, cell.resolution) for cell in done})
    return [
        _cost(network, task, resolution, cells)
        for task, resolution in groups
        for network in network_keys(done)
        if (
            cells := tuple(
                cell
                for cell in done
                if (cell.network, cell.task, cell.resolution) == (network, task, resolution)
            )
        )
    ]


def _cost(network: str, task: str, resolution: int, cells: tuple[CellResult, ...]) -> LearningCost:
    first = cells[0]
    seconds = statistics.fmean(cell.train_seconds for cell in cells)
    images = first.epochs * first.train_records if first.epochs and first.train_records else None
    return LearningCost(
        network,
        task,
        resolution,
        cells,
        first.epochs,
        first.train_records,
        first.multiply_adds,
        images * first.multiply_adds if images and first.multiply_adds else None,
        seconds,
        images / seconds if images and seconds else None,
    )
