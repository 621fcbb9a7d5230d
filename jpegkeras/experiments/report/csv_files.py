"""The tables as CSV: a row a training and evaluation, with the files that its figures are from."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from jpegkeras.experiments.report.band_views import band_rows, bands_of
from jpegkeras.experiments.report.class_views import coarse_cells
from jpegkeras.experiments.report.costs import learning_costs
from jpegkeras.experiments.report.views import Reading, StudyTable, study_tables
from jpegkeras.experiments.results import DONE, CellResult, Results
from jpegkeras.sampling import COMPONENTS


def csv_texts(results: Results) -> dict[str, str]:
    """Returns file name → content, for every table that has rows.

    Accuracies are in per cent. What is not known, or not done, is empty.
    """
    tables: dict[str, list[Mapping[str, Any]]] = {"complexity": list(results.complexity)}
    for table in study_tables(results):
        tables[table.name] = list(_study_rows(table))
    tables["bands"] = list(_band_rows(results))
    tables["per-class"] = list(_class_rows(results))
    tables["learning-cost"] = list(_cost_rows(results))
    tables["speed"] = list(_speed_rows(results))
    return {f"{name}.csv": _to_csv(rows) for name, rows in tables.items() if rows}


def _study_rows(table: StudyTable) -> Iterable[Mapping[str, Any]]:
    for row in table.rows:
        for column, entry in zip(table.columns, row.entries):
            for reading in entry.readings:
                yield {
                    **_cell_columns(reading.cell),
                    "column": column.key,
                    "state": reading.state,
                    **_evaluation_columns(reading),
                    "paper_top1_percent": entry.paper,
                    "error": " ".join(reading.cell.error.split()),
                }


def _band_rows(results: Results) -> Iterable[Mapping[str, Any]]:
    for row in band_rows(results):
        for reading in row.entry.readings:
            cell, bands = reading.cell, bands_of(reading.cell)
            gate = cell.gate.own if cell.gate else None
            yield {
                "selection": row.selection,
                **_cell_columns(cell),
                **{
                    f"{key}_bands": len(places) if places else None
                    for key, places in (
                        bands.to_dict() if bands else dict.fromkeys(COMPONENTS)
                    ).items()
                },
                "bands": bands.to_text() if bands else None,
                "multiply_adds": cell.multiply_adds,
                "parameters": cell.parameters,
                "state": reading.state,
                **_evaluation_columns(reading),
                "gated_top1_percent": _percent(gate.top1) if gate else None,
                "gated_file": gate.file if gate else None,
                "error": " ".join(cell.error.split()),
            }


def _cell_columns(cell: CellResult) -> dict[str, Any]:
    return {
        "network": cell.network,
        "task": cell.task,
        "trained_resolution": cell.resolution,
        "trained_quality": cell.quality,
        "seed": cell.seed,
        "run": cell.run,
    }


def _evaluation_columns(reading: Reading) -> dict[str, Any]:
    names = ("resolution", "quality", "records", "top1_percent", "top5_percent", "loss", "file")
    evaluation = reading.evaluation if reading.state == DONE else None
    if evaluation is None:
        return dict.fromkeys(names)
    values = (
        evaluation.resolution,
        evaluation.quality,
        evaluation.records,
        _percent(evaluation.top1),
        _percent(evaluation.top5),
        evaluation.loss,
        evaluation.file,
    )
    return dict(zip(names, values))


def _class_rows(results: Results) -> Iterable[Mapping[str, Any]]:
    for cells in coarse_cells(results).values():
        for cell in cells:
            for row in cell.classes:
                yield {
                    **_cell_columns(cell),
                    "class": row["class"],
                    "records": row["records"],
                    "top1_percent": _percent(row["top1"]),
                    "top5_percent": _percent(row["top5"]),
                    "file": cell.own.file if cell.own else None,
                }


def _cost_rows(results: Results) -> Iterable[Mapping[str, Any]]:
    for cost in learning_costs(results):
        for cell in cost.cells:
            yield {
                **_cell_columns(cell),
                "image_size": cell.image_size,
                "epochs": cell.epochs,
                "train_records": cell.train_records,
                "multiply_adds": cell.multiply_adds,
                "parameters": cell.parameters,
                "train_seconds": cell.train_seconds,
            }


def _speed_rows(results: Results) -> Iterable[Mapping[str, Any]]:
    for network, speed in results.speed.get("images_per_second", {}).items():
        yield {
            "network": network,
            "images_per_second": speed,
            **{
                name: results.speed.get(name)
                for name in ("image_size", "batch_size", "rounds", "where")
            },
        }


def _percent(share: float | None) -> float | None:
    # Of a share in binary, more digits are noise.
    return None if share is None else round(100 * share, 6)


def _to_csv(rows: list[Mapping[str, Any]]) -> str:
    names = dict.fromkeys(name for row in rows for name in row)
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
