"""The results as rows, as tables on the terminal and as a chart."""

from __future__ import annotations

import contextlib
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import rich.console
import rich.progress
import rich.table
import rich.text

from benchmarks.goals import Verdict
from benchmarks.measure import Outcome
from benchmarks.peers import REFERENCE
from benchmarks.startup import PARTS
from jpegkeras import files

_MEGABYTE = 1e6
_READS = {"coefficients": "to coefficients", "RGB": "to pixels"}


def make_rows(outcomes: Sequence[Outcome], images: int, size: int) -> list[dict[str, Any]]:
    """Return a row of results for each peer; the numbers are None where `absent` says why.

    Ratios are of medians; those of threaded rows are to the reference on one thread.
    """
    reference = next((o for o in outcomes if o.peer.key == REFERENCE and not o.absent), None)
    rows = []
    for outcome in outcomes:
        peer, measured = outcome.peer, not outcome.absent
        row = {
            "key": peer.key,
            "name": peer.name,
            "library": outcome.library,
            "reads": peer.reads,
            "threads": peer.threads,
            "absent": outcome.absent,
            "install": peer.source.install,
            "licence": peer.source.licence,
            "images_per_second": images / outcome.seconds if measured else None,
            "images_per_cpu_second": images / outcome.cpu_seconds if measured else None,
            "megabytes_per_second": size / _MEGABYTE / outcome.seconds if measured else None,
            "ratio": None,
            "cpu_ratio": None,
            "spread": outcome.spread if measured else None,
            "wall_seconds": outcome.wall,
            "cpu_seconds": outcome.cpu,
        }
        if measured and reference:
            row["ratio"] = reference.seconds / outcome.seconds
            row["cpu_ratio"] = reference.cpu_seconds / outcome.cpu_seconds
        rows.append(row)
    return rows


def print_rows(rows: Sequence[Mapping[str, Any]], title: str, notes: Sequence[str]) -> None:
    """Print the table of the peers, what is missing and how to get it."""
    table = rich.table.Table(title=title, title_justify="left")
    table.add_column("reader")
    columns = ("images/s", "× libjpeg-turbo", "images/CPU s", "× by CPU", "MB/s", "spread")
    for column in columns:
        table.add_column(column, justify="right")
    for reads, heading in _READS.items():
        measured = [row for row in rows if row["reads"] == reads and not row["absent"]]
        if measured:
            table.add_section()
            table.add_row(rich.text.Text(heading, style="italic"))
        for row in measured:
            table.add_row(rich.text.Text(row["name"]), *_format_numbers(row))
    _stdout().print(table)
    for note in notes:
        say(note)
    for row in rows:
        if row["absent"]:
            say(f"{row['name']}: {row['absent']} (get it: {row['install']}; {row['licence']})")


def print_verdicts(verdicts: Sequence[Verdict]) -> None:
    """Print a line for each goal."""
    say()
    for verdict in verdicts:
        say(verdict.line)


def print_startup(startup: Mapping[str, Any]) -> None:
    """Print the parts of a start, cold and warm."""
    table = rich.table.Table(title="Time to the first image, in s", title_justify="left")
    table.add_column("")
    table.add_column("cached code, median", justify="right")
    table.add_column("compiling", justify="right")
    for part, what in PARTS.items():
        table.add_row(what, f"{startup['warm'][part]:.2f}", f"{startup['cold'][part]:.2f}")
    _stdout().print(table)


def draw_chart(rows: Sequence[Mapping[str, Any]], path: pathlib.Path) -> bool:
    """Draw images a second as bars into a PNG; return False if matplotlib is not installed."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    bars = [row for row in reversed(rows) if not row["absent"]]
    colours = [_colour(row) for row in bars]
    figure, axes = pyplot.subplots(figsize=(9, 1 + 0.35 * len(bars)), layout="constrained")
    drawn = axes.barh(
        [row["name"] for row in bars], [row["images_per_second"] for row in bars], color=colours
    )
    axes.bar_label(drawn, fmt="{:,.0f}", padding=3)
    axes.margins(x=0.12)
    axes.set_xlabel("images a second (green: this reader; blue: coefficients; grey: pixels)")
    axes.spines[["top", "right"]].set_visible(False)
    with files.replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    pyplot.close(figure)
    return True


def say(line: str = "") -> None:
    """Print one line on stdout, as it is."""
    print(line, flush=True)


@contextlib.contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Yield what is to be called after each of `total` steps; a bar if stderr is a terminal."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    with rich.progress.Progress(console=rich.console.Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


def _format_numbers(row: Mapping[str, Any]) -> list[str]:
    return [
        f"{row['images_per_second']:,.0f}",
        _format_ratio(row["ratio"]),
        f"{row['images_per_cpu_second']:,.0f}",
        _format_ratio(row["cpu_ratio"]),
        f"{row['megabytes_per_second']:,.1f}",
        f"{row['spread']:.0%}",
    ]


def _format_ratio(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.2f}"


def _colour(row: Mapping[str, Any]) -> str:
    if row["key"].startswith("jpegkeras"):
        return "tab:green"
    return "tab:blue" if row["reads"] == "coefficients" else "tab:gray"


def _stdout() -> rich.console.Console:
    # A table that is piped into a file is not to be folded at 80 columns.
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 120
    return rich.console.Console(width=width)
