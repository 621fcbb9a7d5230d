"""The tables of the page, and where each of their figures is from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jpegkeras.experiments.networks import NETWORKS
from jpegkeras.experiments.report.class_views import ClassRow, class_rows, coarse_cells
from jpegkeras.experiments.report.costs import learning_costs
from jpegkeras.experiments.report.formatting import (
    amount,
    duration,
    percent,
    plus_minus,
    points,
    whole,
)
from jpegkeras.experiments.report.html import Html, element, join, link, quote
from jpegkeras.experiments.report.palette import css_names, style_of
from jpegkeras.experiments.report.views import (
    BASELINE,
    Column,
    Entry,
    Reading,
    StudyTable,
    base_cells,
    base_entries,
    network_keys,
    network_title,
)
from jpegkeras.experiments.results import DONE, FAILED, PENDING, CellResult, Results

NONE = "–"
#: Of `source_row`.
SOURCE_HEADINGS = ("Figure", "Seed", "Top-1, %", "Top-5, %", "Images", "File")


def study_table(table: StudyTable) -> Html:
    """Returns a study's table: a network's figure, the paper's beside it, and drops from RGB."""
    networks = [row.network for row in table.rows]
    over = [element("th", "Network", rowspan=2)]
    sub = []
    for column in table.columns:
        trained = table.trained == column
        heading = join(column.heading, element("span", "trained here", class_="small"))
        over.append(element("th", heading if trained else column.heading, colspan=2))
        sub += [element("th", "here"), element("th", "paper")]
    rows = []
    for row in table.rows:
        cells = [network_heading(row.network, networks)]
        for column, entry in zip(table.columns, row.entries):
            base = " base" if table.trained == column else ""
            cells += [
                element(
                    "td", ours(entry, anchor(table, row.network, column)), class_=f"ours{base}"
                ),
                element("td", paper(entry), class_=f"paper{base}"),
            ]
        rows.append(element("tr", *cells))
    return scrolled(
        element("thead", element("tr", *over, class_="over"), element("tr", *sub, class_="sub")),
        element("tbody", *rows),
        label=table.title,
    )


def study_sources(table: StudyTable) -> Html:
    """Returns a list, closed at first, of the run behind every figure of a table."""
    rows = [
        source_row(
            reading,
            f"{network_title(row.network)}, {column.heading}",
            anchor(table, row.network, column) if number == 0 else None,
        )
        for row in table.rows
        for column, entry in zip(table.columns, row.entries)
        for number, reading in enumerate(entry.readings)
    ]
    return folded(
        f"Where each figure is from ({len(rows)}), also in {table.name}.csv",
        plain_table(SOURCE_HEADINGS, rows),
    )


def overview_table(results: Results) -> Html | None:
    """Returns the networks in brief: coarse accuracy, cost, speed; None before there are cells."""
    cells = base_cells(results)
    entries = base_entries(results)
    if not cells:
        return None
    speeds = results.speed.get("images_per_second", {})
    seconds = {
        cost.network: cost.seconds
        for cost in learning_costs(results)
        if (cost.task, cost.resolution) == ("coarse", cells[0].resolution)
    }
    rows = []
    networks = list(entries)
    for network, entry in entries.items():
        of_network = [cell for cell in cells if cell.network == network]
        macs, parameters = (
            next((getattr(cell, name) for cell in of_network if getattr(cell, name)), None)
            for name in ("multiply_adds", "parameters")
        )
        rows.append(
            element(
                "tr",
                network_heading(network, networks),
                element("td", ours(entry, f"from-overview-{_id(network)}"), class_="ours"),
                element("td", paper(entry), class_="paper"),
                element("td", NONE if macs is None else amount(macs)),
                element("td", NONE if parameters is None else amount(parameters)),
                element("td", amount(speeds[network]) if network in speeds else NONE),
                element("td", duration(seconds[network]) if network in seconds else NONE),
            )
        )
    headings = (
        "Network",
        join("Top-1, %", _small("here")),
        join("Top-1, %", _small("paper")),
        join("Multiply–adds", _small("an image")),
        "Parameters",
        join("Images/s", _small("forward")),
        join("Learning", _small("mean of a run")),
    )
    sources = [
        source_row(
            reading,
            network_title(network),
            f"from-overview-{_id(network)}" if number == 0 else None,
        )
        for network, entry in entries.items()
        for number, reading in enumerate(entry.readings)
    ]
    return join(
        plain_table(headings, rows, label="Overview"),
        folded(
            f"Where each figure is from ({len(sources)})",
            plain_table(SOURCE_HEADINGS, sources),
        ),
    )


def complexity_table(rows: Sequence[Mapping[str, Any]]) -> Html:
    """Returns the paper's table of complexity beside ours."""
    body = []
    models = {(value.model, value.num_frequencies): key for key, value in NETWORKS.items()}
    for row in rows:
        key = models.get((row.get("model"), row.get("num_frequencies")))
        body.append(
            element(
                "tr",
                network_heading(key, list(NETWORKS))
                if key
                else element("th", row.get("approach", "")),
                element("td", row.get("input_channels", NONE)),
                element("td", _fixed(row.get("gflops"), 3), class_="ours"),
                element("td", _fixed(row.get("paper_gflops"), 2), class_="paper"),
                element("td", _signed_percent(row.get("gflops_difference_percent"))),
                element("td", _millions(row.get("parameters"), 2), class_="ours"),
                element("td", _fixed(row.get("paper_parameters_millions"), 1), class_="paper"),
            )
        )
    headings = (
        "Network",
        "Input",
        join("10⁹ multiply–adds", _small("here")),
        _small("paper"),
        _small("difference"),
        join("10⁶ parameters", _small("here")),
        _small("paper"),
    )
    return plain_table(headings, body, label="Complexity")


def class_table(results: Results) -> Html | None:
    """Returns top-1 a coarse class and network; None where there are no rows a class."""
    rows = class_rows(results)
    if not rows:
        return None
    found = coarse_cells(results)
    body = [_class_row(row, list(found)) for row in rows]
    headings = ("Class", "Test images", *(network_title(key) for key in found))
    sources = [
        _run_row(cell, network_title(network), cell.own.file if cell.own else cell.run)
        for network, cells in found.items()
        for cell in cells
    ]
    return join(
        plain_table(headings, body, label="Accuracy a class"),
        folded(
            "Where each column is from, also in per-class.csv",
            plain_table(("Column", "Seed", "File"), sources),
        ),
    )


def cost_table(results: Results) -> Html | None:
    """Returns what learning took; None before a training is done."""
    costs = learning_costs(results)
    if not costs:
        return None
    networks = network_keys(cell for cost in costs for cell in cost.cells)
    body = [
        element(
            "tr",
            network_heading(cost.network, networks),
            element("td", f"{cost.task}, {cost.resolution} px", class_="left"),
            element("td", len(cost.cells)),
            element("td", NONE if cost.epochs is None else cost.epochs),
            element("td", NONE if cost.train_records is None else whole(cost.train_records)),
            element("td", NONE if cost.multiply_adds is None else amount(cost.multiply_adds)),
            element("td", NONE if cost.total is None else amount(cost.total)),
            element("td", duration(cost.seconds)),
            element(
                "td", NONE if cost.images_per_second is None else amount(cost.images_per_second)
            ),
        )
        for cost in costs
    ]
    headings = (
        "Network",
        "Task",
        "Runs",
        "Epochs",
        "Images",
        join("Multiply–adds", _small("forward, an image")),
        join("Multiply–adds", _small("forward, a run")),
        join("Time", _small("mean of a run")),
        join("Images/s", _small("while learning")),
    )
    sources = [
        _run_row(cell, f"{network_title(cost.network)}, {duration(cell.train_seconds)}")
        for cost in costs
        for cell in cost.cells
    ]
    return join(
        plain_table(headings, body, label="Learning cost"),
        folded(
            f"Where each row is from ({len(sources)} runs), also in learning-cost.csv",
            plain_table(("Run", "Seed", "Folder"), sources),
        ),
    )


def runs_table(cells: Iterable[CellResult]) -> Html:
    """Returns all trainings, with their state, and the reason of a failure."""
    rows = [
        element(
            "tr",
            element("th", run_link(cell)),
            element("td", state_mark(cell.state, None), class_="left"),
            element("td", NONE if cell.own is None else _file_link(cell.own.file, cell.own.top1)),
            element("td", NONE if cell.train_seconds is None else duration(cell.train_seconds)),
            element("td", ", ".join(cell.studies), class_="left"),
            element("td", cell.error, class_="wide"),
        )
        for cell in cells
    ]
    return plain_table(("Run", "State", "Top-1, %", "Time", "Studies", "What failed"), rows)


def ours(entry: Entry, sources: str) -> Html:
    """Returns our figure with its drop and seeds, or what there is in its place."""
    marks = [
        state_mark(state, count, _failures(entry) if state == FAILED else None)
        for state in (FAILED, PENDING)
        if (count := entry.count(state))
    ]
    if entry.spread is None:
        if not entry.readings:
            return element("span", NONE, class_="faint", title="not planned")
        return join(*marks) if marks else state_mark("not evaluated", None)
    done = [reading for reading in entry.readings if reading.state == DONE]
    where = [reading.evaluation.file for reading in done]
    # One figure leads to its file, a mean to the list of those that it is of.
    shown = element(
        "a",
        element("span", plus_minus(entry.spread), class_="value"),
        href=quote(where[0]) if len(where) == 1 else f"#{sources}",
        title="\n".join(where),
    )
    facts = [f"{points(entry.drop)} to RGB"] if entry.drop is not None else []
    if len(entry.readings) > 1:
        of = f" of {len(entry.readings)}" if len(done) < len(entry.readings) else ""
        facts.append(f"{len(done)}{of} seeds")
    return join(shown, *(_small(fact) for fact in facts), *marks)


def paper(entry: Entry) -> Html:
    """Returns the paper's figure with its drop, or a dash."""
    if entry.paper is None:
        return element("span", NONE)
    drop = None if entry.paper_drop is None else _small(points(entry.paper_drop))
    return join(percent(entry.paper), drop)


def state_mark(state: str, count: int | None, title: str | None = None) -> Html:
    """Returns a state as a label; `count` trainings are in it, if that is more than one."""
    words = f"{count} {state}" if count is not None and count > 1 else state
    return element("span", words, class_=f"state {state.split()[0]}", title=title)


def run_link(cell: CellResult) -> Html:
    """Returns the link to what a training left: its JSON, its log if it failed."""
    if cell.state == PENDING:
        return element("span", cell.key)
    name = "log.txt" if cell.state == FAILED else "cell.json"
    return link(f"{cell.run}/{name}", cell.key)


def network_heading(key: str, networks: Sequence[str]) -> Html:
    """Returns the head of a network's row, with its colour."""
    title = "the others are compared with it" if key == BASELINE else None
    variable = css_names()[style_of(key, networks).color]
    return element(
        "th", network_title(key), class_="name", style=f"--net: var(--{variable})", title=title
    )


def plain_table(headings: Sequence[object], rows: Sequence[Html], label: str | None = None) -> Html:
    """Returns a table in its box."""
    head = element("tr", *(element("th", heading) for heading in headings))
    return scrolled(element("thead", head), element("tbody", *rows), label=label)


def scrolled(*parts: object, label: str | None = None) -> Html:
    """Returns a table in a box that scrolls sideways where it is wider than the page."""
    # With a place in the order of the tabulator key, so that the arrow keys scroll it.
    return element(
        "div",
        element("table", *parts),
        class_="scroll",
        tabindex=0,
        role="region" if label else None,
        aria_label=label,
    )


def folded(summary: str, *parts: object) -> Html:
    """Returns what is closed until somebody asks for it."""
    return element("details", element("summary", summary), *parts)


def source_row(reading: Reading, figure: str, id_: str | None) -> Html:
    """Returns the run behind a figure: its seed, its accuracy, its file."""
    evaluation = reading.evaluation
    if reading.state != DONE:
        facts = [
            element("td", state_mark(reading.state, None), colspan=3, class_="left"),
            element("td", run_link(reading.cell), class_="left"),
        ]
    else:
        facts = [
            element("td", percent(100 * evaluation.top1)),
            element("td", percent(100 * evaluation.top5)),
            element("td", whole(evaluation.records)),
            element("td", link(evaluation.file, evaluation.file), class_="left"),
        ]
    return element("tr", element("th", figure), element("td", reading.cell.seed), *facts, id=id_)


def anchor(table: StudyTable, network: str, column: Column) -> str:
    """Returns the id of the first run behind a figure."""
    return f"from-{table.name}-{_id(network)}-{_id(column.key)}"


def _run_row(cell: CellResult, what: str, file: str | None = None) -> Html:
    where = run_link(cell) if file is None else link(file, file)
    return element(
        "tr", element("th", what), element("td", cell.seed), element("td", where, class_="left")
    )


def _class_row(row: ClassRow, networks: list[str]) -> Html:
    figures = (
        element("td", percent(row.top1[key]) if key in row.top1 else NONE) for key in networks
    )
    return element("tr", element("th", row.name), element("td", whole(row.records)), *figures)


def _failures(entry: Entry) -> str:
    return "\n".join(
        f"seed {reading.cell.seed}: {reading.cell.error}"
        for reading in entry.readings
        if reading.state == FAILED
    )


def _file_link(file: str, top1: float) -> Html:
    return link(file, percent(100 * top1), title=file)


def _small(content: object) -> Html:
    return element("span", content, class_="small")


def _id(key: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in key)


def _fixed(value: float | None, digits: int) -> str:
    return NONE if value is None else f"{value:.{digits}f}"


def _millions(value: float | None, digits: int) -> str:
    return NONE if value is None else f"{value / 1e6:.{digits}f}"


def _signed_percent(value: float | None) -> str:
    return NONE if value is None else f"{points(value)} %"
