"""What the plots have in common: frames, legends, series with error bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jpegkeras.experiments.report.palette import FAINT, style_of
from jpegkeras.experiments.report.views import network_title

MARK_SIZE = 6.5


def add_points(
    axes: Any,  # noqa: ANN401
    x: Sequence[float],
    y: Sequence[float],
    deviations: Sequence[float | None],
    network: str,
    networks: Sequence[str],
    line: bool = True,
) -> None:
    """Draws our figures: filled marks, a line through them, and a bar a standard deviation."""
    style = style_of(network, networks)
    axes.errorbar(
        x,
        y,
        yerr=[deviation or 0.0 for deviation in deviations] if any(deviations) else None,
        color=style.color,
        marker=style.marker,
        markersize=MARK_SIZE,
        linestyle="-" if line else "none",
        linewidth=1.8,
        capsize=3,
        zorder=3,
    )


def add_paper_points(
    axes: Any,  # noqa: ANN401
    x: Sequence[float],
    y: Sequence[float],
    network: str,
    networks: Sequence[str],
    line: bool = True,
) -> None:
    """Draws the paper's figures: hollow marks and a dashed line."""
    style = style_of(network, networks)
    axes.plot(
        x,
        y,
        color=style.color,
        marker=style.marker,
        markersize=MARK_SIZE,
        markerfacecolor="none",
        linestyle=(0, (4, 2.5)) if line else "none",
        linewidth=1.0,
        zorder=2,
    )


def finish(axes: Any, x_label: str, y_label: str) -> None:  # noqa: ANN401
    """Gives a panel its labels, a faint grid, and no frame above and to the right."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_axisbelow(True)
    axes.grid(axis="y", linewidth=0.8)
    axes.tick_params(length=3)


def add_legend(figure: Any, networks: Sequence[str], paper: bool, line: bool = True) -> None:  # noqa: ANN401
    """Names the networks below the panels and, where both are drawn, ours and the paper's."""
    from matplotlib.lines import Line2D

    handles = []
    for network in networks:
        style = style_of(network, networks)
        handles.append(
            Line2D(
                [],
                [],
                color=style.color,
                marker=style.marker,
                markersize=MARK_SIZE,
                linestyle="-" if line else "none",
                label=network_title(network),
            )
        )
    if paper:
        common = {"color": FAINT, "marker": "o", "markersize": MARK_SIZE}
        ours, theirs = ("-", (0, (4, 2.5))) if line else ("none", "none")
        handles += [
            Line2D([], [], linestyle=ours, label="here", **common),
            Line2D([], [], linestyle=theirs, markerfacecolor="none", label="the paper", **common),
        ]
    columns = len(handles) if len(handles) <= 4 else -(-len(handles) // 2)
    legend = figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        handlelength=2.2,
        columnspacing=1.4,
    )
    for text in legend.get_texts():
        # A name with dollars would begin a formula.
        text.set_parse_math(False)
