"""Accuracy a class, and which classes are taken for which, on the data that the studies share."""

from __future__ import annotations

import dataclasses
import statistics

import numpy as np

from jpegkeras.experiments.report.views import base_cells, network_keys
from jpegkeras.experiments.results import DONE, CellResult, Results


@dataclasses.dataclass(frozen=True)
class ClassRow:
    """A coarse class: its test images, and network → mean top-1 over seeds in per cent."""

    name: str
    records: int
    top1: dict[str, float]

    @property
    def mean(self) -> float:
        """The mean over the networks."""
        return statistics.fmean(self.top1.values())


def coarse_cells(results: Results) -> dict[str, list[CellResult]]:
    """Returns network → its finished trainings on the coarse classes that have rows a class."""
    done = [cell for cell in base_cells(results) if cell.state == DONE and cell.classes]
    return {key: [cell for cell in done if cell.network == key] for key in network_keys(done)}


def class_rows(results: Results) -> list[ClassRow]:
    """Returns the classes that have test images, those recognised best first."""
    records: dict[str, int] = {}
    found: dict[str, dict[str, list[float]]] = {}
    for network, cells in coarse_cells(results).items():
        for cell in cells:
            for row in cell.classes:
                if row["top1"] is None:
                    continue
                name = str(row["class"])
                records[name] = row["records"]
                found.setdefault(name, {}).setdefault(network, []).append(100 * row["top1"])
    rows = [
        ClassRow(
            name,
            records[name],
            {network: statistics.fmean(values) for network, values in networks.items()},
        )
        for name, networks in found.items()
    ]
    return sorted(rows, key=lambda row: (-row.mean, row.name))


def confusion(cells: list[CellResult]) -> tuple[list[str], np.ndarray] | None:
    """Returns class names and the sum over seeds, int64, true class down, predicted across.

    None where no cell has a confusion matrix.
    """
    cells = [cell for cell in cells if cell.confusion]
    if not cells:
        return None
    names = [str(row["class"]) for row in cells[0].classes]
    # Seeds of one study have the same classes; one that has not cannot be added.
    alike = [cell for cell in cells if [str(row["class"]) for row in cell.classes] == names]
    return names, np.sum([np.array(cell.confusion, np.int64) for cell in alike], axis=0)
