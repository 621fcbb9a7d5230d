"""Accuracy against what a network costs, and what its learning took."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from jpegkeras.experiments.networks import DIFFICULTY, NETWORKS, PAPER_TOP1
from jpegkeras.experiments.report.costs import LearningCost, learning_costs
from jpegkeras.experiments.report.drawing import add_legend, add_paper_points, add_points, finish
from jpegkeras.experiments.report.formatting import duration
from jpegkeras.experiments.report.palette import INK, style_of
from jpegkeras.experiments.report.plot_files import Plot
from jpegkeras.experiments.report.views import (
    PAPER_CLASSES,
    base_cells,
    base_entries,
    network_keys,
    network_title,
)
from jpegkeras.experiments.results import Results, Spread

# The paper's 10⁹ multiply–adds at 224 × 224 pixels and 1000 classes.
PAPER_GIGA_MULTIPLY_ADDS = {key: network.paper_gflops for key, network in NETWORKS.items()}

Points = Mapping[str, tuple[float, Spread]]


def make_plots(results: Results) -> list[Plot]:
    """Returns the plots that have a figure of ours."""
    accuracy = {
        network: entry.spread for network, entry in base_entries(results).items() if entry.spread
    }
    costs = {cell.network: cell.multiply_adds for cell in base_cells(results) if cell.multiply_adds}
    speeds = results.speed.get("images_per_second", {})
    plots = []
    if by_cost := {key: (costs[key], accuracy[key]) for key in accuracy if key in costs}:
        plots.append(_against_multiply_adds(by_cost, _side(results)))
    if by_speed := {key: (speeds[key], accuracy[key]) for key in accuracy if key in speeds}:
        plots.append(_against_speed(by_speed, results.speed))
    if learning := learning_costs(results):
        groups = {(cost.task, cost.resolution) for cost in learning}
        plots.append(
            Plot(
                "learning-cost",
                "Time to learn",
                "The mean time of a training: steps and evaluations, without its start.",
                "Bars: the time of a training of each network; figures in the table.",
                (5.4, 1.0 + 0.28 * (len(learning) + len(groups))),
                functools.partial(_draw_learning, costs=learning),
            )
        )
    return plots


def _side(results: Results) -> int | None:
    sides = [cell.image_size for cell in base_cells(results) if cell.image_size]
    return sides[0] if sides else None


def _against_multiply_adds(points: Points, side: int | None) -> Plot:
    crop = f" at {side}×{side} px" if side else ""
    return Plot(
        "multiply-adds",
        "Accuracy against multiply–adds",
        f"Above: here{crop}. Below: the paper at 224×224 px, with 1000 classes for the "
        "multiply–adds. Coarse classes; another scale in each panel.",
        "Top-1 on the coarse classes against multiply–adds, here and in the paper.",
        (5.4, 5.2),
        functools.partial(_draw_multiply_adds, points=points, crop=crop),
    )


def _against_speed(points: Points, speed: Mapping[str, Any]) -> Plot:
    facts = [f"on {speed['where']}"] if speed.get("where") else []
    facts += [f"batches of {speed['batch_size']}"] if speed.get("batch_size") else []
    if side := speed.get("image_size"):
        facts.append(f"{side}×{side} px")
    return Plot(
        "speed",
        "Accuracy against measured speed",
        f"The forward pass, networks in turns in one process: {', '.join(facts) or 'measured'}. "
        "The paper has no such figures.",
        "Top-1 on the coarse classes against images a second of the forward pass.",
        (5.4, 3.8),
        functools.partial(_draw_speed, points=points),
    )


def _draw_multiply_adds(figure: Any, points: Points, crop: str) -> None:  # noqa: ANN401
    ours, paper = figure.subplots(2, 1)
    giga = {key: (cost / 1e9, spread) for key, (cost, spread) in points.items()}
    networks = list(points)
    _add_all(ours, giga)
    _from_zero(ours, [cost for cost, _ in giga.values()])
    finish(ours, "", "top-1, %")
    ours.set_title(f"here{crop}", loc="left")
    for key, cost in PAPER_GIGA_MULTIPLY_ADDS.items():
        top1 = PAPER_TOP1[DIFFICULTY][key]["coarse"]
        add_paper_points(paper, [cost], [top1], key, networks, line=False)
    _from_zero(paper, PAPER_GIGA_MULTIPLY_ADDS.values())
    paper.set_ylim(93, 97)
    finish(paper, "10⁹ multiply–adds an image", "top-1, %")
    paper.set_title(
        f"the paper at 224×224 px, {PAPER_CLASSES['coarse']} classes of its own", loc="left"
    )
    add_legend(
        figure,
        [*networks, *(key for key in PAPER_GIGA_MULTIPLY_ADDS if key not in networks)],
        paper=False,
        line=False,
    )


def _draw_speed(figure: Any, points: Points) -> None:  # noqa: ANN401
    axes = figure.subplots()
    _add_all(axes, points)
    _from_zero(axes, [speed for speed, _ in points.values()])
    finish(axes, "images/s, forward", "top-1, %")
    add_legend(figure, list(points), paper=False, line=False)


def _add_all(axes: Any, points: Points) -> None:  # noqa: ANN401
    for key, (x, spread) in points.items():
        add_points(axes, [x], [spread.mean], [spread.deviation], key, list(points), line=False)
    axes.margins(y=0.25)


def _from_zero(axes: Any, values: Sequence[float]) -> None:  # noqa: ANN401
    """A cost begins at 0, so that distances are shares."""
    axes.set_xlim(0, 1.1 * max(values))


def _draw_learning(figure: Any, costs: list[LearningCost]) -> None:  # noqa: ANN401
    axes = figure.subplots()
    networks = network_keys(cell for cost in costs for cell in cost.cells)
    place, group = 0.0, None
    places, names = [], []
    longest = max(cost.seconds for cost in costs)
    for cost in costs:
        if (cost.task, cost.resolution) != group:
            group = (cost.task, cost.resolution)
            axes.annotate(
                f"{cost.task}, {cost.resolution} px",
                (0, place),
                fontweight="bold",
                fontsize=9,
                va="center",
                color=INK,
            )
            place += 1
        axes.barh(place, cost.seconds, height=0.72, color=style_of(cost.network, networks).color)
        axes.annotate(
            duration(cost.seconds),
            (cost.seconds, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=INK,
        )
        places.append(place)
        names.append(network_title(cost.network))
        place += 1
    axes.set_yticks(places, names)
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    axes.set_ylim(place - 0.4, -0.6)
    axes.set_xlim(0, 1.18 * longest if longest else 1)
    finish(axes, "", "")
    axes.grid(visible=False)
    axes.set_xticks([])
    for side in ("bottom", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
