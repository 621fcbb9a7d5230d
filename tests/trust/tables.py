"""Put the figures of result files into a page.

    python -m tests.trust.tables --results=docs/results/trust --page=docs/trust.md

What stands between `<!-- NAME: begin -->` and `<!-- NAME: end -->` on the page is replaced by the
table of that name, made from all result files (*.json) in the folder.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from jpegkeras import files
from jpegkeras.errors import InputError
from tests.trust import command_line, corpus_report

_NOTHING = "No result file yet."


def load(folder: Path) -> dict[str, list[dict]]:
    """Return the results in a folder by the tool that made them, each with its file's name.

    Raises:
        InputError: a file (*.json) is no result of one of the tools.
    """
    results: dict[str, list[dict]] = {"corpus": [], "fuzz": [], "hostile": []}
    for path in sorted(folder.glob("*.json")):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
            tool = result["tool"]
        except (ValueError, TypeError, KeyError):
            tool = None
        if not isinstance(tool, str) or tool not in results:
            raise InputError(
                f"{path}: no result file of {', '.join(results)}; keep other files elsewhere"
            )
        results[tool].append({**result, "path": f"{folder.name}/{path.name}"})
    return results


def corpus_table(results: dict[str, list[dict]]) -> str:
    """What was compared with libjpeg, file by file."""
    header = ("files", "form", "read", "the same", "coefficients", "refused", "bounds checked")
    rows = []
    for result in results["corpus"]:
        checked = "yes" if result["bounds_checked"] else "no"
        for group, row in corpus_report.groups(result).items():
            forms = f", {row['forms']} forms" if row["forms"] > 1 else ""
            refused = ", ".join(f"{count:,} {name}" for name, count in row["refused"].items())
            damaged = f"{row['damaged']:,} damaged" if row["damaged"] else ""
            read = row["files"] - row["damaged"] - sum(row["refused"].values())
            rows.append(
                (
                    " and ".join(result["folders"]),
                    f"{group}{forms}",
                    f"{read:,}",
                    f"{row['compared']:,}",
                    f"{row['coefficients']:,}",
                    ", ".join(filter(None, (refused, damaged))) or "–",
                    checked,
                )
            )
    return _markdown(header, rows, "llrrrll")


def fuzz_table(results: dict[str, list[dict]]) -> str:
    """What the damaged inputs gave."""
    rows = []
    for result in results["fuzz"]:
        tables = result["tables"]
        outcomes = tables.get("outcomes", {})
        refused = {"JpegFormatError": 0, "JpegUnsupportedError": 0}
        for name, count in outcomes.items():
            error = name.partition(":")[0]
            if error in refused:
                refused[error] += count
        accepted = tables.get("accepted", {})
        kinds = _add_up(accepted)
        filled = tables.get("fill", {})
        filled_kinds = _add_up(filled)
        rows += [
            ("command", f"`{result['command']}`"),
            ("inputs, seed", f"{result['inputs']:,}, {result['seed']}"),
            ("bounds checking", "on" if result["bounds_checked"] else "off"),
            ("read", f"{outcomes.get('read', 0):,}"),
            ("of these with libjpeg's coefficients", f"{kinds['same']:,}"),
            ("with others", f"{kinds['differs']:,}"),
            ("refused by libjpeg", f"{kinds['refuses']:,}"),
            ("too large to compare", f"{kinds['not compared']:,}"),
            *((name, f"{count:,}") for name, count in refused.items()),
            ('damaged, read with `on_truncated="fill"`', f"{sum(filled.values()):,}"),
            ("of these with libjpeg's coefficients", f"{filled_kinds['same']:,}"),
            ("with others", f"{filled_kinds['differs']:,}"),
            ("refused by libjpeg", f"{filled_kinds['refuses']:,}"),
            ("too large to compare", f"{filled_kinds['not compared']:,}"),
            ("findings", f"{len(result['findings']):,}"),
            ("slowest input", f"{result['slowest']['seconds']:.3f} s"),
            ("most memory for an input", f"{result['largest']['megabytes']:.1f} MB"),
            ("compared with", result["libjpeg"] or "nothing"),
            ("time", f"{result['seconds'] / 60:.1f} minutes"),
        ]
    return _markdown(("", ""), rows, "lr")


def strictness_table(results: dict[str, list[dict]]) -> str:
    """Where the reader refuses what libjpeg reads, and the other way round."""
    rows = []
    for result in results["fuzz"]:
        for name, count in result["tables"].get("accepted", {}).items():
            if name != "same":
                rows.append(("reads", name, f"{count:,}"))
        for name, count in result["tables"].get("stricter than libjpeg", {}).items():
            rows.append(
                (f"refuses: {name.partition(': ')[2]}", "reads without a word", f"{count:,}")
            )
    return _markdown(("the reader", "libjpeg", "inputs"), rows, "llr")


def hostile_table(results: dict[str, list[dict]]) -> str:
    """What the files made to be slow or large cost."""
    rows = [
        (
            row["case"] + (f", `{row['mode']}`" if row["mode"] else ""),
            _shorten(row["outcome"]),
            f"{row['seconds']:.3f}",
            f"{row['megabytes']:.1f}",
        )
        for result in results["hostile"]
        for row in result["cases"]
    ]
    return _markdown(("file of at most 64 kB", "outcome", "seconds", "MB"), rows, "llrr")


TABLES = {
    "corpus": corpus_table,
    "fuzz": fuzz_table,
    "strictness": strictness_table,
    "hostile": hostile_table,
}


def fill_page(page: str, results: dict[str, list[dict]]) -> str:
    """Return the page with its tables made anew.

    Raises:
        InputError: the page has a place for a table that does not exist.
    """

    def replace(match: re.Match) -> str:
        name = match["name"]
        if name not in TABLES:
            raise InputError(f"there is no table {name!r}; the tables are {', '.join(TABLES)}")
        return f"<!-- {name}: begin -->\n{TABLES[name](results)}\n<!-- {name}: end -->"

    pattern = r"<!-- (?P<name>\w+): begin -->\n.*?<!-- (?P=name): end -->"
    return re.sub(pattern, replace, page, flags=re.DOTALL)


def _markdown(header: tuple[str, ...], rows: list[tuple[str, ...]], alignment: str) -> str:
    if not rows:
        return _NOTHING
    line = ["---:" if side == "r" else "---" for side in alignment]
    cells = [header, line, *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells
    )


def _add_up(verdicts: dict[str, int]) -> dict[str, int]:
    """Counts by kind of verdict."""
    kinds = {"same": 0, "differs": 0, "not compared": 0, "refuses": 0}
    for verdict, count in verdicts.items():
        kinds[_kind(verdict)] += count
    return kinds


def _kind(verdict: str) -> str:
    """The kind of a verdict of comparison.compare()."""
    verdict = verdict.removeprefix("DNL: ")
    for kind in ("differs", "not compared"):
        if verdict.startswith(kind):
            return kind
    return "same" if "same" in verdict else "refuses"


def _shorten(outcome: str) -> str:
    return outcome.partition(";")[0]


@command_line.with_one_line_errors
def main(arguments: list[str]) -> int:
    """Rewrite the page; return the exit status."""
    parser = command_line.Parser("tests.trust.tables", __doc__)
    for flag, default, text in (
        ("--results", "docs/results/trust", "Folder with result files"),
        ("--page", "docs/trust.md", "Page to rewrite"),
    ):
        help_text = f"{text} (default: %(default)s)."
        parser.add_argument(flag, type=Path, default=Path(default), metavar="PATH", help=help_text)
    settings = parser.parse_args(arguments)
    results = load(settings.results)
    if not any(results.values()):
        # Filling the page from nothing would erase its figures.
        raise InputError(f"--results={settings.results}: there are no result files (*.json)")
    try:
        page = settings.page.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"--page={settings.page}: no text in UTF-8") from None
    files.write_text(settings.page, fill_page(page, results))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
