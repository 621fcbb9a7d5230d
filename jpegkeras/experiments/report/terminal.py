"""The tables on a terminal of 100 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jpegkeras.experiments.report.band_views import BandRow, band_rows
from jpegkeras.experiments.report.costs import learning_costs
from jpegkeras.experiments.report.formatting import (
    amount,
    duration,
    percent,
    plus_minus,
    points,
)
from jpegkeras.experiments.report.views import (
    Entry,
    StudyTable,
    base_entries,
    network_title,
    study_tables,
)
from jpegkeras.experiments.results import FAILED, PENDING, Results

# So many columns of a study stand beside each other.
_MOST_COLUMNS = 4
_NONE = "–"


def print_tables(results: Results, console: Console) -> None:
    """Prints complexity, the studies, bands, speed and learning cost, as far as there are figures.

    A place of a study has our top-1 in per cent, its distance from RGB, and the paper's.
    """
    if results.complexity:
        console.print(_complexity(results))
    for table in study_tables(results):
        for part in _parts(table):
            console.print(part)
    if rows := band_rows(results):
        console.print(_bands(rows))
    if results.speed.get("images_per_second"):
        console.print(_speed(results))
    if learning_costs(results):
        console.print(_costs(results))
    failed = [cell for cell in results.cells if cell.state == FAILED]
    for cell in failed:
        reason = " ".join(cell.error.split())
        console.print(Text(f"failed: {cell.key}: {reason}", style="red"), soft_wrap=True)


def _complexity(results: Results) -> Table:
    headings = ("Network", "Input", "10⁹ mult.–adds", "paper", "10⁶ params", "paper")
    table = _table("Complexity at 224×224 pixels, 1000 classes", headings)
    for row in results.complexity:
        table.add_row(
            Text(str(row.get("approach", ""))),
            Text(str(row.get("input_channels", ""))),
            _fixed(row.get("gflops"), 3),
            _fixed(row.get("paper_gflops"), 2),
            _fixed(row["parameters"] / 1e6 if row.get("parameters") else None, 2),
            _fixed(row.get("paper_parameters_millions"), 1),
        )
    return table


def _parts(study: StudyTable) -> Iterator[Table]:
    for start in range(0, len(study.columns), _MOST_COLUMNS):
        places = range(start, min(start + _MOST_COLUMNS, len(study.columns)))
        columns = [study.columns[place] for place in places]
        headings = [
            f"{column.heading}, trained" if column == study.trained else column.heading
            for column in columns
        ]
        seeds = max(len(entry.readings) for row in study.rows for entry in row.entries)
        of = f", mean ± standard deviation of {seeds} seeds" if seeds > 1 else ""
        table = _table(f"{study.title}; top-1, %{of}", ("Network", *headings))
        table.show_lines = True
        for row in study.rows:
            entries = (_entry(row.entries[place]) for place in places)
            table.add_row(Text(network_title(row.network)), *entries)
        yield table


def _entry(entry: Entry) -> Text:
    lines = []
    if entry.spread:
        lines.append((plus_minus(entry.spread), "bold"))
        if entry.drop is not None:
            lines.append((f"{points(entry.drop)} to RGB", ""))
        if entry.spread.count < len(entry.readings):
            lines.append((f"{entry.spread.count} of {len(entry.readings)} seeds", "dim"))
    elif not entry.readings:
        lines.append((_NONE, "dim"))
    lines += _states(entry)
    if not lines:
        lines.append(("not evaluated", "dim"))
    if entry.paper is not None:
        drop = "" if entry.paper_drop is None else f" ({points(entry.paper_drop)})"
        lines.append((f"paper {percent(entry.paper)}{drop}", "dim"))
    return Text("\n").join(Text(line, style) for line, style in lines)


def _states(entry: Entry) -> list[tuple[str, str]]:
    """Returns, a line a state with its style, what is not done."""
    return [
        (state if len(entry.readings) == 1 else f"{count} {state}", style)
        for state, style in ((FAILED, "red"), (PENDING, "dim"))
        if (count := entry.count(state))
    ]


def _bands(rows: Sequence[BandRow]) -> Table:
    title = f"Which bands, of equally many; coarse classes; points to {rows[0].selection}"
    headings = (
        "Selection",
        "Y+Cb+Cr",
        "Mult.–adds",
        "Parameters",
        "Top-1, %",
        "Points",
    )
    table = _table(title, headings)
    table.columns[0].no_wrap = True
    for row in rows:
        lines = [(plus_minus(row.entry.spread), "bold")] if row.entry.spread else []
        lines += _states(row.entry)
        if row.gated:
            lines.append((f"gated {plus_minus(row.gated)}", "dim"))
        table.add_row(
            Text(row.selection),
            "\n".join("+".join(map(str, counts)) for counts in row.counts) or _NONE,
            _NONE if row.multiply_adds is None else amount(row.multiply_adds),
            _NONE if row.parameters is None else amount(row.parameters),
            Text("\n").join(Text(line, style) for line, style in lines),
            _NONE if row.difference is None else points(row.difference),
        )
    return table


def _speed(results: Results) -> Table:
    side = results.speed.get("image_size")
    title = f"Forward pass{f' at {side}×{side} px' if side else ''}"
    table = _table(title, ("Network", "images/s", "top-1, % (coarse)"))
    accuracy = base_entries(results)
    for network, speed in results.speed["images_per_second"].items():
        entry = accuracy.get(network)
        shown = plus_minus(entry.spread) if entry and entry.spread else _NONE
        table.add_row(Text(network_title(network)), amount(speed), shown)
    return table


def _costs(results: Results) -> Table:
    headings = ("Network", "Task", "Runs", "Epochs", "Mult.–adds a run", "Time a run", "images/s")
    table = _table("Learning cost (multiply–adds of forward passes)", headings)
    for cost in learning_costs(results):
        speed = cost.images_per_second
        table.add_row(
            Text(network_title(cost.network)),
            f"{cost.task}, {cost.resolution} px",
            str(len(cost.cells)),
            _NONE if cost.epochs is None else str(cost.epochs),
            _NONE if cost.total is None else amount(cost.total),
            duration(cost.seconds),
            _NONE if speed is None else amount(speed),
        )
    return table


def _table(title: str, headings: Sequence[str]) -> Table:
    table = Table(title=Text(title, style="bold"), title_justify="left")
    for number, heading in enumerate(headings):
        table.add_column(Text(heading), justify="left" if number == 0 else "right")
    return table


def _fixed(value: float | None, digits: int) -> str:
    return _NONE if value is None else f"{value:.{digits}f}"
