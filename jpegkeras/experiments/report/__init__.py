"""The report of the studies, made of `results.json` alone.

`python -m jpegkeras.experiments.report DIR` makes that of a folder again.
`views`, `band_views`, `costs` and `class_views` make tables of results; the others show them.
"""

from jpegkeras.experiments.report.terminal import print_tables
from jpegkeras.experiments.report.writing import write_report

__all__ = ["print_tables", "write_report"]
