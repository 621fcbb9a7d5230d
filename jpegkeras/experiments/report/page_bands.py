"""The table of the page that compares selections of bands."""

from __future__ import annotations

from jpegkeras.experiments.report.band_views import BandRow, band_rows
from jpegkeras.experiments.report.formatting import amount, plus_minus, points
from jpegkeras.experiments.report.html import Html, element, join, link
from jpegkeras.experiments.report.page_tables import (
    NONE,
    SOURCE_HEADINGS,
    folded,
    ours,
    plain_table,
    source_row,
)
from jpegkeras.experiments.results import Results


def bands_table(results: Results) -> Html | None:
    """Returns a row a selection; None where the study has no cells."""
    rows = band_rows(results)
    if not rows:
        return None
    headings = (
        "Bands",
        "Y",
        "Cb",
        "Cr",
        "Top-1, %",
        join("Points", _small(f"to {rows[0].selection}")),
        join("Multiply–adds", _small("an image")),
        "Parameters",
    )
    return plain_table(headings, [_row(row) for row in rows], label="Which bands")


def bands_sources(results: Results) -> Html:
    """Returns a list, closed at first, of the runs and lists behind the table."""
    sources = []
    for row in band_rows(results):
        for number, reading in enumerate(row.entry.readings):
            id_ = _anchor(row) if number == 0 else None
            sources.append(source_row(reading, row.selection, id_))
            gate = reading.cell.gate
            if gate is None:
                continue
            learned = element(
                "tr",
                element("th", f"{row.selection}, gated"),
                element("td", reading.cell.seed),
                element("td", f"{100 * gate.own.top1:.2f}"),
                element("td", f"{100 * gate.own.top5:.2f}"),
                element("td", f"{gate.own.records:,}"),
                element(
                    "td",
                    element("div", link(gate.own.file, gate.own.file)),
                    element("div", link(gate.bands_file, gate.bands_file)),
                    class_="left",
                ),
            )
            sources.append(learned)
    return folded(
        f"Where each figure is from ({len(sources)}), also in bands.csv",
        plain_table(SOURCE_HEADINGS, sources),
    )


def caption(results: Results) -> str:
    """Returns what stands above the table."""
    rows, config = band_rows(results), results.config
    gated = any(row.gated for row in rows)
    return (
        f"Not of the paper: networks on other bands than the lowest, {_total(rows)} in all, so "
        f"that each takes as many multiply–adds. Coarse classes at {config.get('resolution')} px, "
        f"quality {config.get('quality')}. Top-1 in per cent, mean ± standard deviation over seeds."
        + (
            " Learned bands are chosen by a gate in a training of its own (gated: its network’s "
            "accuracy, which looks at other bands of each image); the figure is of a network "
            "trained afresh on the fixed list."
            if gated
            else ""
        )
    )


def _total(rows: list[BandRow]) -> str:
    totals = {bands.total for row in rows for bands in row.bands}
    return " or ".join(map(str, sorted(totals)))


def _row(row: BandRow) -> Html:
    counts = [
        element("td", *_lines(values))
        for values in zip(*row.counts)  # a component's, of seeds that differ
    ] or [element("td", NONE)] * 3
    gated = _small(f"gated {plus_minus(row.gated)}") if row.gated else None
    return element(
        "tr",
        element("th", row.selection),
        *counts,
        element("td", ours(row.entry, _anchor(row)), gated, class_="ours"),
        element("td", NONE if row.difference is None else points(row.difference)),
        element("td", NONE if row.multiply_adds is None else amount(row.multiply_adds)),
        element("td", NONE if row.parameters is None else amount(row.parameters)),
    )


def _lines(values: tuple[int, ...]) -> list[Html]:
    return [element("div", value) for value in values]


def _anchor(row: BandRow) -> str:
    return f"from-bands-{row.network}"


def _small(content: object) -> Html:
    return element("span", content, class_="small")
