"""Draws a number a band as three 8×8 maps, one a component."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np

from jpegkeras.bands import Bands, zigzag_positions
from jpegkeras.files import replacing
from jpegkeras.sampling import COMPONENTS

_INCHES, _DOTS_PER_INCH = (13.0, 5.0), 100
_TITLES = {"y": "Y", "cb": "Cb", "cr": "Cr"}
_CHOSEN, _ABSENT = "#D55E00", "#DDDDDD"


def draw_maps(
    values: Mapping[str, Sequence[float]],
    path: str | os.PathLike,
    *,
    title: str,
    chosen: Bands | None = None,
) -> None:
    """Draws maps with one scale of colours into a PNG, and frames the `chosen` bands.

    Args:
      values: of each component, in zigzag order, 64 or fewer; bands without one are grey.
      path: the file to write, whole or not at all.
      title: what stands above.
      chosen: bands to frame.

    Raises:
      OSError: the file cannot be written.
    """
    # Without pyplot, which would keep every figure and ask for a window system.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_INCHES, dpi=_DOTS_PER_INCH, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=14, parse_math=False)
    highest = max(max(values[key]) for key in COMPONENTS)
    panels = figure.subplots(1, len(COMPONENTS))
    image = None
    for axes, key in zip(panels, COMPONENTS):
        grid = _grid(values[key])
        axes.set_facecolor(_ABSENT)
        image = axes.imshow(grid, cmap="viridis", vmin=0, vmax=highest or 1)
        _write_numbers(axes, grid, highest)
        if chosen is not None:
            _frame(axes, getattr(chosen, key))
        count = "" if chosen is None else f": {len(getattr(chosen, key))} bands"
        axes.set_title(f"{_TITLES[key]}{count}")
        axes.set_xlabel("horizontal frequency")
        axes.set_xticks(range(8))
        axes.set_yticks(range(8))
    panels[0].set_ylabel("vertical frequency")
    figure.colorbar(image, ax=list(panels), shrink=0.85, pad=0.01)
    with replacing(path) as temporary:
        canvas.print_figure(str(temporary), format="png", dpi=_DOTS_PER_INCH)


def _grid(values: Sequence[float]) -> np.ndarray:
    """The values at their places in a block, [8, 8]; NaN where there is none."""
    grid = np.full((8, 8), np.nan)
    for (row, col), value in zip(zigzag_positions(), values):
        grid[row, col] = value
    return grid


def _write_numbers(axes: object, grid: np.ndarray, highest: float) -> None:
    for (row, col), value in np.ndenumerate(grid):
        if np.isfinite(value):
            color = "black" if value > 0.6 * highest else "white"
            text = f"{value:.2f}".lstrip("0") or "0"
            axes.text(col, row, text, ha="center", va="center", fontsize=8, color=color)


def _frame(axes: object, positions: Sequence[int]) -> None:
    from matplotlib.patches import Rectangle

    places = zigzag_positions()
    for position in positions:
        row, col = places[position]
        frame = Rectangle((col - 0.46, row - 0.46), 0.92, 0.92, fill=False, edgecolor=_CHOSEN)
        frame.set_linewidth(2)
        axes.add_patch(frame)
