"""The result of a corpus comparison: a JSON file and a table."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jpegkeras import files
from tests.trust import bounds, versions
from tests.trust.command_line import printable
from tests.trust.corpus_worker import Counts

_MAX_FAILURES = 200
_MAX_UNREADABLE = 5


def summarize(
    settings: argparse.Namespace,
    paths: list[Path],
    counts: Counts,
    libjpeg_version: str,
    seconds: float,
) -> dict:
    """Return what the result file holds. Folders and files go by their last name alone."""
    names = [folder.resolve().name for folder in settings.input_dir]
    unreadable = sorted(counts.unreadable)
    options = [f"--input_dir={name}" for name in names]
    if settings.limit is not None:
        options.append(f"--limit={settings.limit}")
    options += [f"--{name}" for name in ("variants", "boundscheck") if getattr(settings, name)]
    command = ["python", "-m", "tests.trust.corpus", *options, f"--processes={settings.processes}"]
    return {
        "tool": "corpus",
        "command": shlex.join(command),
        "folders": names,
        "files": len(paths) - len({path for path, _ in unreadable}.intersection(paths)),
        "unreadable": [
            {"file": printable(path.name), "reason": reason}
            for path, reason in unreadable[:_MAX_UNREADABLE]
        ],
        "unreadable_count": len(unreadable),
        "bounds_checked": settings.boundscheck,
        "batched": counts.batched,
        "failures": [
            {"form": form, "file": printable(paths[number].name), "problem": problem}
            for form, number, problem in counts.failures[:_MAX_FAILURES]
        ],
        "failure_count": len(counts.failures),
        "forms": {form: _row(row) for form, row in counts.rows.items()},
        "variants_not_made": _by_tool(counts.not_made),
        "libjpeg": libjpeg_version,
        "versions": versions.versions(),
        "reader": bounds.sources_digest(),
        "seconds": round(seconds, 1),
    }


def _row(row) -> dict:
    values = vars(row)
    return {
        name: dict(sorted(value.items())) if isinstance(value, dict) else value
        for name, value in values.items()
    }


def _by_tool(not_made: dict[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    """Counts by tool and reason."""
    tools: dict[str, dict[str, int]] = {}
    for (tool, reason), count in sorted(not_made.items()):
        tools.setdefault(tool, {})[reason] = count
    return tools


def groups(result: dict) -> dict[str, dict]:
    """Return the counts of a result added up over the forms of each group."""
    rows: dict[str, dict] = {}
    for form in result["forms"].values():
        row = rows.setdefault(
            form["group"],
            {"forms": 0, "files": 0, "compared": 0, "coefficients": 0, "damaged": 0, "refused": {}},
        )
        row["forms"] += 1
        for name in ("files", "compared", "coefficients"):
            row[name] += form[name]
        row["damaged"] += sum(form["damaged"].values())
        for name, count in form["refused"].items():
            row["refused"][name] = row["refused"].get(name, 0) + count
    return rows


def save_and_print(result: dict, output: Path) -> None:
    """Print the result and write the result file."""
    console = Console(soft_wrap=True, highlight=False)
    table = Table(title=", ".join(result["folders"]), title_justify="left")
    for name in ("form", "files", "the same", "coefficients", "refused", "damaged"):
        table.add_column(name, justify="left" if name == "form" else "right")
    for group, row in groups(result).items():
        table.add_row(
            group,
            f"{row['files']:,}",
            f"{row['compared']:,}",
            f"{row['coefficients']:,}",
            Text(", ".join(f"{count:,} {name}" for name, count in row["refused"].items())),
            f"{row['damaged']:,}",
        )
    console.print(table)
    for form, row in result["forms"].items():
        for kind in ("damaged", "remarks"):
            for name, count in row[kind].items():
                console.print(Text(f"{form}, {kind}: {count:,} × {name}"))
    not_made = result["variants_not_made"]
    if not_made:
        total = sum(sum(reasons.values()) for reasons in not_made.values())
        console.print(f"variants not made: {total:,}")
        for tool, reasons in not_made.items():
            for reason, count in reasons.items():
                console.print(Text(f"  {tool}: {count:,} × {reason}"))
    if result["unreadable"]:
        console.print(f"unreadable: {result['unreadable_count']:,}")
        for row in result["unreadable"]:
            console.print(Text(f"  {row['file']}: {row['reason']}"))
        if result["unreadable_count"] > len(result["unreadable"]):
            console.print("  …")
    for failure in result["failures"]:
        console.print(Text(f"FAILURE  {failure['file']}, {failure['form']}: {failure['problem']}"))
    console.print(
        f"{result['files']:,} files, {result['batched']:,} of them also in batches; "
        f"{sum(row['coefficients'] for row in result['forms'].values()):,} coefficients compared "
        f"with {result['libjpeg']}; {result['failure_count']:,} failures; "
        f"bounds checking {'on' if result['bounds_checked'] else 'off'}; "
        f"{result['seconds']:.0f} s"
    )
    files.write_json(output, result)
    print(f"result    {printable(str(output))}")
