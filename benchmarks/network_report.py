"""The times of the networks as rows and as tables. Loads neither Keras nor TensorFlow."""

from __future__ import annotations

import dataclasses
import os
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import rich.console
import rich.table

from benchmarks.network_settings import END_TO_END, FOLDED, FORWARD, LAYERS, PUBLISHED, RGB, STEP

Key = tuple  # of the network, what is timed, and which part of it, if not the whole
NETWORKS = "networks"
_WHOLE = {FORWARD: "forward", FOLDED: "folded", STEP: "step"}


@dataclasses.dataclass(frozen=True)
class Timing:
    """The images of a run; seconds and processor seconds (over all threads) of each run."""

    images: int
    seconds: list[float] = dataclasses.field(default_factory=list)
    cpu_seconds: list[float] = dataclasses.field(default_factory=list)

    @property
    def images_per_second(self) -> float:
        """Of the median run."""
        return self.images / statistics.median(self.seconds)


Timings = Mapping[Key, Timing]


def make_rows(cases: Sequence[Any], timings: Timings) -> dict[str, dict[str, Any]]:
    """Returns {"networks", "layers", "end_to_end"}: the rows of each by the network's key.

    `cases`: `network_cases.Case`s. Ratios are of images a second to keras.applications.ResNet50
    ("ratio") and to our RGB network ("ratio_to_ours"), medians of the rounds' ratios; with "cpu_"
    they are of processor time, over all threads.
    """
    return {
        NETWORKS: {case.key: _network_row(case, timings) for case in cases},
        LAYERS: {
            case.key: _layers_row(case, timings)
            for case in cases
            if (case.key, STEP, "ours") in timings
        },
        END_TO_END: {
            case.key: _end_row(case, timings) for case in cases if (case.key, END_TO_END) in timings
        },
    }


def _network_row(case: Any, timings: Timings) -> dict[str, Any]:
    row = {**_names(case), "multiply_adds": case.multiply_adds, "parameters": case.parameters}
    for what in _WHOLE:
        if (case.key, what) in timings:
            row[what] = _speed(case, (what,), timings)
    return row


def _end_row(case: Any, timings: Timings) -> dict[str, Any]:
    reading = timings[case.key, END_TO_END, "reading"]
    return {
        **_names(case),
        **_speed(case, (END_TO_END,), timings),
        "reading_images_per_second": reading.images_per_second,
        "reading_seconds": reading.seconds,
    }


def _layers_row(case: Any, timings: Timings) -> dict[str, Any]:
    """The share of our layers, timed alone ("share") and as what the rest takes less."""
    row = _names(case)
    for what in (FORWARD, STEP):
        whole = timings[case.key, what].seconds
        ours = timings[case.key, what, "ours"].seconds
        rest = timings[case.key, what, "rest"].seconds
        row[what] = {
            "share": _median_ratio(ours, whole),
            "share_by_difference": 1 - _median_ratio(rest, whole),
            "seconds": {"whole": whole, "ours": ours, "rest": rest},
        }
    return row


def _names(case: Any) -> dict[str, Any]:
    return {"key": case.key, "name": case.name}


def _speed(case: Any, what: tuple[str, ...], timings: Timings) -> dict[str, Any]:
    timing = timings[(case.key, *what)]
    speed = {"images_per_second": timing.images_per_second}
    for name, key in (("ratio", PUBLISHED), ("ratio_to_ours", RGB)):
        other = timings.get((key, *what))
        speed[name] = _median_ratio(other.seconds, timing.seconds) if other else None
        # For a machine that others use too.
        speed[f"cpu_{name}"] = (
            _median_ratio(other.cpu_seconds, timing.cpu_seconds) if other else None
        )
    return {**speed, "seconds": timing.seconds, "cpu_seconds": timing.cpu_seconds}


def _median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """The median over the rounds: what slows the machine for a while slows both."""
    return statistics.median(a / b for a, b in zip(above, below))


# --- Tables ---------------------------------------------------------------------------------------


def print_rows(rows: Mapping[str, Mapping[str, Any]], title: str, origin: str) -> None:
    """Prints the tables; `origin` says what the JPEGs are."""
    _print_networks(list(rows[NETWORKS].values()), title)
    if rows[LAYERS]:
        _print_layers(rows[LAYERS].values())
    if rows[END_TO_END]:
        _print_ends(rows[END_TO_END].values(), origin)


def _print_networks(rows: Sequence[Mapping[str, Any]], title: str) -> None:
    found = [what for what in _WHOLE if what in rows[0]]
    table = _table(title, "network")
    for column in ("10⁹\nMACs", "10⁶\nparams"):
        table.add_column(column, justify="right")
    for what in found:
        for column in (f"{_WHOLE[what]}\nimg/s", "× Keras", "× ours"):
            table.add_column(column, justify="right", vertical="bottom")
    for row in rows:
        cells = [f"{row['multiply_adds'] / 1e9:.3f}", f"{row['parameters'] / 1e6:.2f}"]
        for what in found:
            cells += _speed_cells(row[what])
        table.add_row(row["name"], *cells)
    _stdout().print(table)


def _print_layers(rows: Iterable[Mapping[str, Any]]) -> None:
    table = _table("Our layers before the network proper", "network")
    for what in ("forward", "step"):
        table.add_column(f"ms a {what}", justify="right")
        table.add_column("share", justify="right")
        table.add_column("by difference", justify="right")
    for row in rows:
        cells = []
        for what in (FORWARD, STEP):
            part = row[what]
            milliseconds = 1e3 * statistics.median(part["seconds"]["ours"])
            cells.append(f"{milliseconds:.2f}")
            cells += [f"{part['share']:.1%}", f"{part['share_by_difference']:.1%}"]
        table.add_row(row["name"], *cells)
    _stdout().print(table)


def _print_ends(rows: Iterable[Mapping[str, Any]], origin: str) -> None:
    table = _table(f"From JPEG bytes in memory to logits ({origin})", "network")
    for column in ("img/s", "× Keras", "× ours", "reading alone, img/s"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(row["name"], *_speed_cells(row), f"{row['reading_images_per_second']:,.0f}")
    _stdout().print(table)


def _speed_cells(row: Mapping[str, Any]) -> list[str]:
    ratios = (row["ratio"], row["ratio_to_ours"])
    return [
        f"{row['images_per_second']:,.1f}",
        *("–" if ratio is None else f"{ratio:.2f}" for ratio in ratios),
    ]


def _table(title: str, first: str) -> rich.table.Table:
    table = rich.table.Table(title=title, title_justify="left")
    table.add_column(first, no_wrap=True)
    return table


def _stdout() -> rich.console.Console:
    # A table that is piped into a file is not to be folded at 80 columns.
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 140
    return rich.console.Console(width=width)
