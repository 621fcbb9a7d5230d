"""The tables that the command prints."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.columns import Columns
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jpegkeras.dataset_info import DatasetInfo
from jpegkeras.transcoding import ROUTES
from preprocess.inspection.bands import NAMES, Band
from preprocess.inspection.class_counts import count_classes, extremes
from preprocess.report import printable

FIRST_BANDS = 16
_LONGEST_NAME = 24
_EXPLAINED = {
    "rejected": "rejected, in rejected.csv",
    "left out": "left out as not asked for",
    "ignored": "ignored, no images",
}
_UNITS = ("kB", "MB", "GB", "TB")


def print_tables(
    console: Console,
    info: DatasetInfo,
    sizes: dict[str, int],
    bands: dict[str, list[Band]],
    *,
    all_bands: bool,
) -> None:
    """Prints what dataset.json says, with the bytes of the shards that are there."""
    console.print(_splits_table(info, sizes))
    console.print(_settings_table(info))
    console.print(_files_table(info))
    shown = len(bands["y"]) if all_bands else FIRST_BANDS
    tables = [_bands_table(NAMES[key], entries, shown) for key, entries in bands.items()]
    console.print(Columns(tables, padding=(0, 2)))


def describe_bytes(size: int) -> str:
    """Returns a number of bytes in the unit that suits it: 1.23 MB."""
    if size < 1000:
        return f"{size} bytes"
    power = min(int(math.log10(size)) // 3, len(_UNITS))
    return f"{size / 1000**power:,.{2 if size < 1000**power * 10 else 1}f} {_UNITS[power - 1]}"


def _splits_table(info: DatasetInfo, sizes: dict[str, int]) -> Table:
    table = Table(title="Splits", title_justify="left")
    table.add_column("")
    for name in info.splits:
        table.add_column(Text(name), justify="right")
    splits = info.splits.values()
    totals = [sum(sizes.get(shard.file, 0) for shard in split.shards) for split in splits]
    table.add_row("records", *(f"{split.records:,}" for split in splits))
    table.add_row("shards", *(f"{len(split.shards):,}" for split in splits))
    table.add_row("bytes", *map(describe_bytes, totals))
    table.add_row(
        "bytes a record",
        *(f"{total / max(split.records, 1):,.0f}" for total, split in zip(totals, splits)),
    )
    for task in _tasks(info):
        found = [extremes(count_classes(info, name, task)) for name in info.splits]
        table.add_section()
        count = f"{len(info.class_names(task)):,}"
        table.add_row(f"{task} classes", *(count for _ in info.splits))
        table.add_row("  smallest", *(_describe_class(*low) for low, _ in found))
        table.add_row("  largest", *(_describe_class(*high) for _, high in found))
    return table


def _tasks(info: DatasetInfo) -> list[str]:
    """Returns the tasks to show; where no classes are grouped, the coarse are the fine ones."""
    if [entry.coarse for entry in info.classes] == list(range(len(info.coarse_classes))):
        return ["fine"]
    return ["fine", "coarse"]


def _settings_table(info: DatasetInfo) -> Table:
    low, high = ("×".join(map(str, size)) for size in (info.smallest, info.largest))
    sizes = low if low == high else f"{low} to {high}"
    table = _plain_table("Records")
    table.add_row("heights × widths", f"{sizes} pixels")
    table.add_row("chroma sampling", Text(info.sampling))
    table.add_row("frequencies", f"{info.num_frequencies} of 64")
    table.add_row("compression", Text(info.compression))
    table.add_section()
    for key, value in info.transcoding.items():
        table.add_row(Text(f"--{key}"), Text("–" if value is None else str(value)))
    table.add_section()
    table.add_row("schema version", str(info.schema_version))
    table.add_row("made by jpegkeras", Text(info.jpegkeras_version))
    return table


def _files_table(info: DatasetInfo) -> Table:
    table = _plain_table("Source files")
    for key, count in _ordered_counts(info.counts):
        table.add_row(Text(key), f"{count:,}")
    return table


def _ordered_counts(counts: dict[str, int]) -> list[tuple[str, int]]:
    """Returns the routes, each followed by its reasons, then the rest."""
    rows = []
    for route in ROUTES:
        rows.append((route, counts.get(route, 0)))
        reasons = [key for key in counts if key.startswith(f"{route}: ")]
        rows += [(f"  {key.split(': ', 1)[1]}", counts[key]) for key in reasons]
    rest = [key for key in counts if key.split(": ", 1)[0] not in ROUTES]
    return rows + [(_EXPLAINED.get(key, key) if counts[key] else key, counts[key]) for key in rest]


def _bands_table(name: str, bands: Sequence[Band], shown: int) -> Table:
    table = Table(title=f"{name}: bands of the train split", title_justify="left")
    for column in ("band", "row, col", "mean", "std", "zeros", "energy"):
        table.add_column(column, justify="right")
    for band in bands[:shown]:
        table.add_row(
            str(band.index),
            f"{band.row}, {band.column}",
            _signed(band.mean),
            f"{band.std:,.2f}",
            f"{band.zeros:.1%}",
            _percent(band.energy_share),
        )
    rest = bands[shown:]
    if rest:
        zeros = sum(band.zeros for band in rest) / len(rest)
        share = math.fsum(band.energy_share for band in rest)
        first, last = rest[0].index, rest[-1].index
        table.add_section()
        table.add_row(f"{first}–{last}", "", "", "", f"{zeros:.1%}", _percent(share))
    return table


def _plain_table(title: str) -> Table:
    table = Table(show_header=False, title=title, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    return table


def _describe_class(name: str, count: int) -> Text:
    text = " ".join(printable(name).split())
    short = text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 1]}…"
    return Text(f"{short}: {count:,}")


def _percent(share: float) -> str:
    return f"{share:.3%}"


def _signed(number: float) -> str:
    text = f"{number:,.2f}"
    return "0.00" if text == "-0.00" else text
