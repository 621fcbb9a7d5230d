"""Maps of the bands that each selection has."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from jpegkeras.bands import Bands, zigzag_positions
from jpegkeras.experiments.networks import BANDS
from jpegkeras.experiments.report.band_views import BandRow, band_rows
from jpegkeras.experiments.report.palette import FAINT, FILL, GRID
from jpegkeras.experiments.report.plot_files import Plot
from jpegkeras.experiments.results import Results
from jpegkeras.sampling import COMPONENTS

_NAMES = {"y": "Y", "cb": "Cb", "cr": "Cr"}
_INCHES_A_ROW, _SIDE = 1.3, 8
# Of a square, so that neighbours are told apart.
_FILLED = 0.86


def make_plots(results: Results) -> list[Plot]:
    """Returns the maps, once there are cells of the study."""
    rows = [row for row in band_rows(results) if row.bands]
    if not rows:
        return []
    several = any(len(set(row.bands)) > 1 for row in rows)
    return [
        Plot(
            BANDS,
            "The bands of each selection",
            "Each square is a band of an 8×8 block: to the right higher horizontal frequencies, "
            "downwards vertical ones, the mean at the top left."
            + (" Paler: of some seeds only." if several else ""),
            "Maps of the bands that each selection takes of Y, Cb and Cr; how many in the table.",
            (5.4, 0.3 + _INCHES_A_ROW * len(rows)),
            functools.partial(_draw, rows=rows),
        )
    ]


def _draw(figure: Any, rows: Sequence[BandRow]) -> None:  # noqa: ANN401
    panels = figure.subplots(len(rows), len(COMPONENTS), squeeze=False)
    for row, of_row in zip(rows, panels):
        for axes, key in zip(of_row, COMPONENTS):
            _draw_map(axes, _seeds(row.bands, key), len(row.bands))
            counts = dict.fromkeys(len(getattr(bands, key)) for bands in row.bands)
            axes.set_title(f"{_NAMES[key]}: {', '.join(map(str, counts))}", fontsize=9, pad=3)
        of_row[0].set_ylabel(
            row.selection, rotation=0, ha="right", va="center", labelpad=8, parse_math=False
        )


def _seeds(lists: Sequence[Bands], component: str) -> dict[int, int]:
    """Returns position → of how many seeds."""
    found: dict[int, int] = {}
    for bands in lists:
        for position in getattr(bands, component):
            found[position] = found.get(position, 0) + 1
    return found


def _draw_map(axes: Any, seeds: dict[int, int], most: int) -> None:  # noqa: ANN401
    from matplotlib.patches import PathPatch

    groups: dict[int, list[tuple[int, int]]] = {}
    for position, place in enumerate(zigzag_positions()):
        groups.setdefault(seeds.get(position, 0), []).append(place)
    for count, places in groups.items():
        # One colour, more or less of it: right on a white ground and on a dark one.
        color, alpha = (FILL, count / most) if count else (GRID, 0.55)
        axes.add_patch(PathPatch(_squares(places), facecolor=color, alpha=alpha, linewidth=0))
    axes.set_xlim(-0.6, _SIDE - 0.4)
    axes.set_ylim(_SIDE - 0.4, -0.6)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(FAINT)
        spine.set_linewidth(0.5)


def _squares(places: Sequence[tuple[int, int]]) -> Any:  # noqa: ANN401
    """Returns squares around places, (row, column), as one path."""
    from matplotlib.path import Path

    half = _FILLED / 2
    corners = ((-half, -half), (half, -half), (half, half), (-half, half), (-half, -half))
    vertices = [(col + x, row + y) for row, col in places for x, y in corners]
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY] * len(places)
    return Path(vertices, codes)
