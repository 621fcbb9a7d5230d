"""Accuracy a class and confusion matrices, of the coarse classes."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from jpegkeras.experiments.report.class_views import (
    ClassRow,
    class_rows,
    coarse_cells,
    confusion,
)
from jpegkeras.experiments.report.drawing import MARK_SIZE, add_legend, finish
from jpegkeras.experiments.report.palette import FAINT, FILL, GRID, INK, style_of
from jpegkeras.experiments.report.plot_files import Plot
from jpegkeras.experiments.report.views import network_title
from jpegkeras.experiments.results import Results

# More classes than these make no legible picture.
_MOST_ROWS, _MOST_CONFUSED = 60, 40
# Shares below are left white; up to so many classes have room for figures.
_LEAST_SHARE, _MOST_FIGURES = 0.005, 16
_MOST_LETTERS = 24


def make_plots(results: Results) -> list[Plot]:
    """Returns the accuracy a class and a confusion matrix a network, where there are any."""
    plots = []
    if rows := class_rows(results):
        shown = rows[-_MOST_ROWS:]
        left_out = (
            f" Only the {_MOST_ROWS} worst recognised of {len(rows)} classes."
            if len(shown) < len(rows)
            else ""
        )
        plots.append(
            Plot(
                "per-class",
                "Accuracy a coarse class",
                f"The mean over seeds of test images of each class.{left_out}",
                "Top-1 of each network on each coarse class; figures in the table.",
                (5.4, 1.3 + 0.28 * len(shown)),
                functools.partial(_draw_classes, rows=shown),
            )
        )
    for network, cells in coarse_cells(results).items():
        found = confusion(cells)
        if found is None or not 1 < len(found[0]) <= _MOST_CONFUSED:
            continue
        seeds = "one seed" if len(cells) == 1 else f"{len(cells)} seeds together"
        plots.append(
            Plot(
                f"confusion-{_file_part(network)}",
                f"{network_title(network)}: which classes are taken for which",
                f"Per cent of the test images of a true class, {seeds}. Shares below "
                f"{100 * _LEAST_SHARE:.1f} % are left out.",
                f"Confusion matrix of {network_title(network)}.",
                (5.4, 5.4),
                functools.partial(_draw_confusion, names=found[0], counts=found[1]),
            )
        )
    return plots


def _draw_classes(figure: Any, rows: list[ClassRow]) -> None:  # noqa: ANN401
    axes = figure.subplots()
    networks = list(dict.fromkeys(network for row in rows for network in row.top1))
    for place, row in enumerate(rows):
        values = row.top1.values()
        axes.plot(
            [min(values), max(values)], [place] * 2, color=GRID, linewidth=4, solid_capstyle="round"
        )
        for network, value in row.top1.items():
            style = style_of(network, networks)
            axes.plot(
                value, place, color=style.color, marker=style.marker, markersize=MARK_SIZE - 1
            )
    axes.set_yticks(range(len(rows)), [_shorten(row.name) for row in rows])
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    finish(axes, "top-1, %", "")
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", linewidth=0.8)
    axes.tick_params(axis="y", length=0)
    add_legend(figure, networks, paper=False, line=False)


def _draw_confusion(figure: Any, names: list[str], counts: np.ndarray) -> None:  # noqa: ANN401
    from matplotlib.patches import Rectangle

    axes = figure.subplots()
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    for row, column in zip(*np.nonzero(shares >= _LEAST_SHARE)):
        share = shares[row, column]
        # One colour, more or less of it: right on a white ground and on a dark one.
        axes.add_patch(
            Rectangle(
                (column - 0.5, row - 0.5), 1, 1, facecolor=FILL, alpha=share**0.7, linewidth=0
            )
        )
        if len(names) <= _MOST_FIGURES:
            axes.text(
                column,
                row,
                f"{100 * share:.0f}",
                ha="center",
                va="center",
                fontsize=8,
                color="white" if share >= 0.4 else INK,
                # It lies inside its square; the layout would measure each one.
                in_layout=False,
            )
    size = len(names)
    axes.set_xlim(-0.5, size - 0.5)
    axes.set_ylim(size - 0.5, -0.5)
    axes.set_aspect("equal")
    labels = [_shorten(name) for name in names]
    letters = 9 if size <= _MOST_FIGURES else 6
    axes.set_xticks(range(size), labels, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(size), labels)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_parse_math(False)
        label.set_fontsize(letters)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_color(GRID)
    axes.set_xlabel("predicted", color=FAINT)
    axes.set_ylabel("true", color=FAINT)


def _shorten(name: str) -> str:
    name = " ".join(name.split())
    return name if len(name) <= _MOST_LETTERS else f"{name[: _MOST_LETTERS - 1]}…"


def _file_part(network: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in network)
