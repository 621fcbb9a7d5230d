"""The plots of the report, as far as there are figures for them."""

from __future__ import annotations

from jpegkeras.experiments.report import band_plots, class_plots, cost_plots, study_plots
from jpegkeras.experiments.report.plot_files import Plot
from jpegkeras.experiments.results import Results


def make_plots(results: Results) -> list[Plot]:
    """Returns the plots that have something to show, in the order of the page."""
    return [
        *study_plots.make_plots(results),
        *band_plots.make_plots(results),
        *cost_plots.make_plots(results),
        *class_plots.make_plots(results),
    ]
