"""Plots as PNG and SVG files with the same bytes each time, and as a part of a page."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import warnings
from collections.abc import Callable
from typing import Any

from jpegkeras.experiments.report.palette import FAINT, GRID, INK, css_names
from jpegkeras.files import replacing

_DOTS_PER_INCH = 150
_STYLE = {
    "font.size": 10,
    "axes.facecolor": "none",
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "legend.fontsize": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.titlecolor": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": GRID,
    # Letters stay letters: small files, and the page's own font.
    "svg.fonttype": "none",
}


@dataclasses.dataclass(frozen=True)
class Plot:
    """A picture: `draw` fills a figure of `inches` (width, height).

    `name` is that of its files; `alternative` says in words what is seen.
    """

    name: str
    title: str
    caption: str
    alternative: str
    inches: tuple[float, float]
    draw: Callable[[Any], None]


@dataclasses.dataclass(frozen=True)
class SavedPlot:
    """A plot with its files, and the SVG as text."""

    plot: Plot
    svg: pathlib.Path
    png: pathlib.Path
    text: str


def save_plot(plot: Plot, folder: pathlib.Path) -> SavedPlot:
    """Draws NAME.svg and NAME.png into a folder; raises OSError."""
    # Without pyplot, which would keep every figure and ask for a window system.
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    svg, png = (folder / f"{plot.name}.{form}" for form in ("svg", "png"))
    # The salt makes the ids of an SVG the same each time, and other than those of its neighbours.
    style = {**_STYLE, "svg.hashsalt": plot.name}
    with matplotlib.rc_context(style), warnings.catch_warnings():
        # About letters of a class's name that the font has not.
        warnings.simplefilter("ignore", UserWarning)
        figure = Figure(figsize=plot.inches, dpi=_DOTS_PER_INCH, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        plot.draw(figure)
        # The layout takes longest; once found, it holds for both files.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        with replacing(png) as temporary:
            canvas.print_figure(str(temporary), format="png", metadata={"Software": None})
        with replacing(svg) as temporary:
            no_facts = dict.fromkeys(("Creator", "Date", "Format", "Type"))
            canvas.print_figure(str(temporary), format="svg", metadata=no_facts)
            text = temporary.read_text(encoding="utf-8")
    return SavedPlot(plot, svg, png, text)


def inline_svg(text: str, alternative: str) -> str:
    """Returns an SVG file's text as a part of a page, in the page's font and colours.

    `alternative` is escaped text, for those who cannot see the picture.
    """
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # It would be for the whole page, which has it in its own.
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\n?", "", text, flags=re.DOTALL)
    # The ground is the page's.
    text = re.sub(r'<g id="patch_1">.*?</g>\n?', "", text, count=1, flags=re.DOTALL)
    text = _only_used_ids(text)
    for color, name in css_names().items():
        text = text.replace(color, f"var(--{name})")
    # Not of the file: its size in points, and name spaces, which a page needs not.
    opening = re.search(r'viewBox="[^"]*"', text).group()
    body = text[text.index(">") + 1 :].replace("xlink:href", "href")
    return f'<svg {opening} role="img" aria-label="{alternative}">{body.rstrip()}'


def _only_used_ids(text: str) -> str:
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    return re.sub(
        r' id="([^"]*)"', lambda match: match.group() if match.group(1) in used else "", text
    )
