"""The fuzzer's result: a JSON file, a table, and an example of each class."""

from __future__ import annotations

import argparse
import hashlib
import shlex
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jpegkeras import files
from tests.trust import bounds, seeds, versions
from tests.trust.command_line import printable
from tests.trust.mutations import make_input
from tests.trust.tally import Tally

_KEPT_EXAMPLES = ("accepted", "stricter than libjpeg", "fill", "fill differs", "ranges")


def summarize(
    settings: argparse.Namespace,
    tally: Tally,
    findings: list[dict],
    stopped: str,
    libjpeg_version: str | None,
    seconds: float,
) -> dict:
    """Return what the result file holds."""
    options = [f"--inputs={settings.inputs}", f"--seed={settings.seed}"]
    if settings.first:
        options.append(f"--first={settings.first}")
    if settings.no_boundscheck:
        options.append("--no_boundscheck")
    command = ["python", "-m", "tests.trust.fuzz", *options, f"--processes={settings.processes}"]
    return {
        "tool": "fuzz",
        "command": shlex.join(command),
        "seed": settings.seed,
        "first": settings.first,
        "inputs": tally.inputs,
        "bytes": tally.size,
        "batches": tally.batches,
        "stopped": stopped,
        "bounds_checked": not settings.no_boundscheck,
        "findings": findings,
        "slowest": {"seconds": round(tally.slowest[0], 3), "input": tally.slowest[1]},
        "largest": {"megabytes": round(tally.largest[0] / 2**20, 1), "input": tally.largest[1]},
        "tables": {
            table: dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
            for table, counts in sorted(tally.tables.items())
        },
        "libjpeg": libjpeg_version,
        "versions": versions.versions(),
        "reader": bounds.sources_digest(),
        "start_files": {"count": len(seeds.all_seeds()), "digest": seeds.digest()},
        "seconds": round(seconds, 1),
    }


def save_examples(settings: argparse.Namespace, tally: Tally) -> None:
    """Save the first input of each class, and which is which in index.json."""
    folder = settings.output_dir / "examples"
    for path in folder.glob("*.jpg"):
        path.unlink()
    index = {}
    for (table, name), number in sorted(tally.examples.items()):
        if table in _KEPT_EXAMPLES:
            code = hashlib.sha256(name.encode()).hexdigest()[:8]
            path = folder / f"{table.replace(' ', '-')}-{code}.jpg"
            save_jpeg(path, make_input(settings.seed, number, seeds.all_seeds()))
            index[path.name] = {"table": table, "class": name, "input": number}
    files.write_json(folder / "index.json", index)


def save_jpeg(path: Path, data: bytes) -> None:
    """Write a JPEG, whole or not at all."""
    with files.replacing(path) as temporary:
        temporary.write_bytes(data)


def save_and_print(result: dict, settings: argparse.Namespace) -> None:
    """Print the result and write the result file."""
    console = Console(soft_wrap=True, highlight=False)
    console.print(_overview(result))
    for table, counts in result["tables"].items():
        rows = Table(title=table, title_justify="left", show_header=False)
        rows.add_column(justify="right")
        rows.add_column()
        for name, count in counts.items():
            rows.add_row(f"{count:,}", Text(name))
        console.print(rows)
    for finding in result["findings"]:
        text = f"FINDING  {finding['kind']}: {finding['text']} ({finding['count']:,} times; "
        console.print(Text(f"{text}inputs {', '.join(map(str, finding['inputs']))})"))
    files.write_json(settings.output, result)
    folder = printable(str(settings.output_dir))
    print(f"result    {printable(str(settings.output))}\nexamples  {folder}/examples")
    if result["findings"]:
        print(f"findings  {folder}/findings")


def _overview(result: dict) -> Table:
    table = Table(title="Damaged JPEGs", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    read = result["tables"].get("outcomes", {}).get("read", 0)
    slowest, largest = result["slowest"], result["largest"]
    rows = {
        "inputs": f"{result['inputs']:,}",
        "read": f"{read:,}",
        "findings": f"{len(result['findings']):,}",
        "slowest": f"{slowest['seconds']:.3f} s, input {slowest['input']}",
        "largest": f"{largest['megabytes']:.1f} MB, input {largest['input']}",
        "bounds checking": "on" if result["bounds_checked"] else "off",
        "compared with": result["libjpeg"] or "nothing: no C compiler or no libjpeg",
        "time": f"{result['seconds']:.0f} s",
    }
    if result["stopped"]:
        rows["stopped"] = result["stopped"]
    for name, value in rows.items():
        table.add_row(name, value)
    return table
