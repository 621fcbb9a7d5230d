"""Results as tables: which figures stand where, and from which runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from jpegkeras.experiments.networks import (
    DIFFICULTY,
    NETWORKS,
    PAPER_TOP1,
    QUALITY,
    RESOLUTION,
    SELECTIONS,
    network_of,
)
from jpegkeras.experiments.results import (
    DONE,
    CellResult,
    EvaluationResult,
    Results,
    Spread,
    spread,
)

#: The network that the others are compared with.
BASELINE = "rgb"
#: The state of a figure whose training is done, without the evaluation that it would be.
NOT_EVALUATED = "not evaluated"
#: Of the paper's data and recipe; its "coarse" is what it varies resolution and quality on.
PAPER_CLASSES = {"fine": 211, "coarse": 12}
PAPER_RESOLUTION, PAPER_QUALITY = 256, 100

_TASKS = ("fine", "coarse")


@dataclasses.dataclass(frozen=True)
class Reading:
    """What one training, of one seed, has for a place in a table."""

    cell: CellResult
    evaluation: EvaluationResult | None

    @property
    def state(self) -> str:
        """DONE, PENDING, FAILED or NOT_EVALUATED."""
        if self.cell.state == DONE and self.evaluation is None:
            return NOT_EVALUATED
        return self.cell.state

    @property
    def top1(self) -> float | None:
        """In per cent."""
        return 100 * self.evaluation.top1 if self.state == DONE else None


@dataclasses.dataclass(frozen=True)
class Entry:
    """A place in a table. Accuracies are top-1 in per cent, drops in points of them.

    `spread`: over the readings that are done; `drop`: its mean less that of `BASELINE` in the same
    column. Without readings the place was not planned.
    """

    readings: tuple[Reading, ...]
    spread: Spread | None
    drop: float | None
    paper: float | None
    paper_drop: float | None

    def count(self, state: str) -> int:
        """Returns how many readings are in a state."""
        return sum(reading.state == state for reading in self.readings)


@dataclasses.dataclass(frozen=True)
class Column:
    """`key` as in `PAPER_TOP1`; `value` is a resolution or a quality, None for a task."""

    key: str
    heading: str
    value: int | None = None


@dataclasses.dataclass(frozen=True)
class Row:
    """A network's entries, one a column."""

    network: str
    entries: tuple[Entry, ...]


@dataclasses.dataclass(frozen=True)
class StudyTable:
    """A table of a study: a row a network, a column a value of what the study varies.

    `name` is that of its file; `trained`: the column whose network is evaluated in all, if that is
    what the table is of.
    """

    name: str
    study: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    trained: Column | None = None


def study_tables(results: Results) -> list[StudyTable]:
    """Returns the tables of the studies that have cells."""
    tables = [_difficulty(results)]
    for study in (RESOLUTION, QUALITY):
        tables += [_trained_at_each(results, study), _one_network(results, study)]
    return [table for table in tables if table is not None]


def network_title(key: str) -> str:
    """Returns what tables call a network."""
    return network_of(key).title if key in NETWORKS or key in SELECTIONS else key


def network_keys(cells: Iterable[CellResult]) -> list[str]:
    """Returns the cells' networks: the paper's in its order, then others as they come."""
    found = dict.fromkeys(cell.network for cell in cells)
    return [key for key in NETWORKS if key in found] + [key for key in found if key not in NETWORKS]


def base_cells(results: Results, task: str = "coarse") -> list[CellResult]:
    """Returns the trainings on the variant of the data that the studies share.

    Without the `SELECTIONS`, which have a table of their own.
    """
    return [
        cell
        for cell in results.cells
        if cell.task == task
        and cell.network not in SELECTIONS
        and cell.resolution == results.config.get("resolution")
        and cell.quality == results.config.get("quality")
    ]


def base_entries(results: Results, task: str = "coarse") -> dict[str, Entry]:
    """Returns network → its entry on the variant that the studies share."""
    cells = base_cells(results, task)
    column = Column(task, task)
    rows = _rows(network_keys(cells), (column,), cells, lambda cell, _: cell.own, DIFFICULTY)
    return {row.network: row.entries[0] for row in rows}


def _difficulty(results: Results) -> StudyTable | None:
    cells = _of_study(results, DIFFICULTY)
    counts = {"fine": results.data.get("classes"), "coarse": results.data.get("coarse_classes")}
    columns = tuple(
        Column(task, f"{task}, {counts[task]} classes" if counts[task] else task)
        for task in _TASKS
        if any(cell.task == task for cell in cells)
    )
    if not columns:
        return None
    return StudyTable(
        DIFFICULTY,
        DIFFICULTY,
        "Difficulty of the task",
        f"{_at(results)}; the paper: {PAPER_CLASSES['fine']} fine and {PAPER_CLASSES['coarse']} "
        f"coarse classes at {PAPER_RESOLUTION} px, quality {PAPER_QUALITY}.",
        columns,
        _rows(
            network_keys(cells),
            columns,
            cells,
            lambda cell, column: cell.own if cell.task == column.key else _ELSEWHERE,
            DIFFICULTY,
        ),
    )


def _trained_at_each(results: Results, study: str) -> StudyTable | None:
    cells = _of_study(results, study)
    columns = _columns(study, cells)
    if not columns:
        return None
    return StudyTable(
        study,
        study,
        f"{_TITLES[study]}: a network trained at each",
        f"Each figure is of a network trained and evaluated at the {study} of its column. "
        f"{_held(results, study)}",
        columns,
        _rows(
            network_keys(cells),
            columns,
            cells,
            lambda cell, column: cell.own if _value(study, cell) == column.value else _ELSEWHERE,
            study,
        ),
    )


def _one_network(results: Results, study: str) -> StudyTable | None:
    cells = base_cells(results)
    columns = _columns(study, [*_of_study(results, study), *cells])
    if not cells or len(columns) < 2 or not _of_study(results, study):
        return None
    (trained,) = (column for column in columns if column.value == _value(study, cells[0]))
    return StudyTable(
        f"{study}-one-network",
        study,
        f"{_TITLES[study]}: one network evaluated at all",
        f"Each row is of the networks trained at {trained.heading}, evaluated as they are on test "
        f"images of every other {study}. {_held(results, study)} The paper's figures are the same "
        "as above: its slides do not say in which of the two ways they were measured.",
        columns,
        _rows(
            network_keys(cells),
            columns,
            cells,
            lambda cell, column: _evaluated_at(cell, study, column.value),
            study,
        ),
        trained,
    )


# In the place of an evaluation: the cell has nothing to do with the column.
_ELSEWHERE: Any = object()
_TITLES = {RESOLUTION: "Resolution", QUALITY: "JPEG quality"}


def _rows(
    networks: Sequence[str],
    columns: Sequence[Column],
    cells: Sequence[CellResult],
    find: Callable[[CellResult, Column], EvaluationResult | None],
    study: str,
) -> tuple[Row, ...]:
    grid = {}
    for network in networks:
        for column in columns:
            own = sorted(
                (cell for cell in cells if cell.network == network), key=lambda cell: cell.seed
            )
            found = [(cell, find(cell, column)) for cell in own]
            grid[network, column] = tuple(
                Reading(cell, evaluation)
                for cell, evaluation in found
                if evaluation is not _ELSEWHERE
            )
    return tuple(
        Row(network, tuple(_entry(grid, network, column, study) for column in columns))
        for network in networks
    )


def _entry(grid: dict, network: str, column: Column, study: str) -> Entry:
    readings = grid[network, column]
    ours = _spread(readings)
    baseline = _spread(grid.get((BASELINE, column), ()))
    paper = PAPER_TOP1[study].get(network, {}).get(column.key)
    paper_baseline = PAPER_TOP1[study][BASELINE].get(column.key)
    compared = network != BASELINE
    return Entry(
        readings,
        ours,
        ours.mean - baseline.mean if compared and ours and baseline else None,
        paper,
        paper - paper_baseline if compared and paper is not None else None,
    )


def _spread(readings: Iterable[Reading]) -> Spread | None:
    return spread(reading.top1 for reading in readings if reading.state == DONE)


def _of_study(results: Results, study: str) -> list[CellResult]:
    return [cell for cell in results.cells if study in cell.studies]


def _value(study: str, cell: CellResult | EvaluationResult) -> int:
    return cell.resolution if study == RESOLUTION else cell.quality


def _columns(study: str, cells: Iterable[CellResult]) -> tuple[Column, ...]:
    heading = "{} px" if study == RESOLUTION else "quality {}"
    return tuple(
        Column(str(value), heading.format(value), value)
        for value in sorted({_value(study, cell) for cell in cells})
    )


def _evaluated_at(cell: CellResult, study: str, value: int) -> EvaluationResult | None:
    """Returns the evaluation at a value of what the study varies, all else as in training."""
    held = QUALITY if study == RESOLUTION else RESOLUTION
    for evaluation in (cell.own, *cell.others):
        if (
            evaluation is not None
            and _value(study, evaluation) == value
            and _value(held, evaluation) == _value(held, cell)
        ):
            return evaluation
    return None


def _at(results: Results) -> str:
    return f"At {results.config.get('resolution')} px, quality {results.config.get('quality')}"


def _held(results: Results, study: str) -> str:
    count = results.data.get("coarse_classes")
    classes = f"{count} coarse classes" if count else "coarse classes"
    paper = f"{PAPER_CLASSES['coarse']} classes, quality {PAPER_QUALITY}"
    ours = f"quality {results.config.get('quality')}"
    if study == QUALITY:
        paper = f"{PAPER_CLASSES['coarse']} classes, {PAPER_RESOLUTION} px"
        ours = f"{results.config.get('resolution')} px"
    return f"All with {classes}, {ours}; the paper's with {paper}."
