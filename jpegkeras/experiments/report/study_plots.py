"""Accuracy against what each study varies."""

from __future__ import annotations

import functools
from typing import Any

from jpegkeras.experiments.networks import DIFFICULTY, PAPER_TOP1, RESOLUTION
from jpegkeras.experiments.report.drawing import add_legend, add_paper_points, add_points, finish
from jpegkeras.experiments.report.palette import FAINT
from jpegkeras.experiments.report.plot_files import Plot
from jpegkeras.experiments.report.views import StudyTable, study_tables
from jpegkeras.experiments.results import Results

_INCHES = (5.4, 4.0)
# Between the networks of a task, and between a network's own mark and the paper's.
_STEP, _BESIDE = 0.19, 0.065


def make_plots(results: Results) -> list[Plot]:
    """Returns a plot a table that has a figure of ours."""
    return [
        Plot(
            table.name,
            table.title,
            "Filled: here. Hollow, dashed: the paper, on its own data. Bars: ± one standard "
            "deviation over seeds.",
            f"Top-1 of the networks against {_AXES[table.study]}; figures in the table.",
            _INCHES,
            functools.partial(
                _draw_tasks if table.study == DIFFICULTY else _draw_values, table=table
            ),
        )
        for table in study_tables(results)
        if any(entry.spread for row in table.rows for entry in row.entries)
    ]


_AXES = {
    DIFFICULTY: "the task",
    "resolution": "smallest side of the images, px",
    "quality": "JPEG quality",
}


def _draw_values(figure: Any, table: StudyTable) -> None:  # noqa: ANN401
    axes = figure.subplots()
    networks = [row.network for row in table.rows]
    ticks = {column.value for column in table.columns}
    for row in table.rows:
        paper = PAPER_TOP1[table.study].get(row.network, {})
        if paper:
            values = [int(key) for key in paper]
            ticks.update(values)
            add_paper_points(axes, values, list(paper.values()), row.network, networks)
        done = [
            (column.value, entry.spread)
            for column, entry in zip(table.columns, row.entries)
            if entry.spread
        ]
        add_points(
            axes,
            [value for value, _ in done],
            [spread.mean for _, spread in done],
            [spread.deviation for _, spread in done],
            row.network,
            networks,
        )
    if table.study == RESOLUTION:
        axes.set_xscale("log", base=2)
    axes.minorticks_off()
    ticks = sorted(ticks)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    if table.trained is not None:
        axes.axvline(table.trained.value, color=FAINT, linewidth=1, linestyle=":", zorder=1)
        axes.annotate(
            " trained here",
            (table.trained.value, 0.02),
            xycoords=("data", "axes fraction"),
            color=FAINT,
            fontsize=9,
            ha="right" if table.trained.value == ticks[-1] else "left",
        )
    finish(axes, _AXES[table.study], "top-1, %")
    add_legend(figure, networks, paper=any(key in PAPER_TOP1[table.study] for key in networks))


def _draw_tasks(figure: Any, table: StudyTable) -> None:  # noqa: ANN401
    axes = figure.subplots()
    networks = [row.network for row in table.rows]
    for number, row in enumerate(table.rows):
        for place, entry in enumerate(row.entries):
            x = place + (number - (len(networks) - 1) / 2) * _STEP
            if entry.spread:
                mean, deviation = entry.spread.mean, entry.spread.deviation
                add_points(
                    axes, [x - _BESIDE / 2], [mean], [deviation], row.network, networks, line=False
                )
            if entry.paper is not None:
                add_paper_points(
                    axes, [x + _BESIDE / 2], [entry.paper], row.network, networks, line=False
                )
    axes.set_xlim(-0.5, len(table.columns) - 0.5)
    axes.set_xticks(range(len(table.columns)), [column.heading for column in table.columns])
    finish(axes, "", "top-1, %")
    add_legend(
        figure, networks, paper=any(key in PAPER_TOP1[DIFFICULTY] for key in networks), line=False
    )
