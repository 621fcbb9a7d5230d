"""Writing all files of the report."""

from __future__ import annotations

import os
import pathlib

from jpegkeras import files
from jpegkeras.experiments.report.csv_files import csv_texts
from jpegkeras.experiments.report.page import PAGE_NAME, make_page
from jpegkeras.experiments.report.plot_files import save_plot
from jpegkeras.experiments.report.plots import make_plots
from jpegkeras.experiments.results import Results

PLOTS = "plots"


def write_report(results: Results, folder: str | os.PathLike) -> list[pathlib.Path]:
    """Writes report.html, plots/*.png and *.svg, and a CSV a table; returns their paths.

    The page comes first among these. Whatever is not done, or failed, is shown as such. The same
    results give the same bytes. Raises OSError where a file cannot be written.
    """
    folder = pathlib.Path(folder)
    (folder / PLOTS).mkdir(parents=True, exist_ok=True)
    paths = []
    drawn = {}
    for plot in make_plots(results):
        saved = save_plot(plot, folder / PLOTS)
        drawn[plot.name] = saved
        paths += [saved.svg, saved.png]
    for name, text in csv_texts(results).items():
        paths.append(folder / name)
        files.write_text(paths[-1], text)
    page = folder / PAGE_NAME
    files.write_text(page, make_page(results, drawn))
    return [page, *paths]
