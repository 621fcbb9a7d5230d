"""Makes the report of a studies' folder again: `python -m jpegkeras.experiments.report DIR`."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console

from jpegkeras.errors import InputError
from jpegkeras.experiments.report import print_tables, write_report
from jpegkeras.experiments.results import FILE_NAME, load_results


def main(arguments: list[str] | None = None) -> int:
    """Reads results.json, prints the tables, writes the report; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m jpegkeras.experiments.report",
        description=f"Makes report.html, plots and CSVs of a folder's {FILE_NAME}.",
    )
    parser.add_argument("folder", metavar="DIR", help="the --output_dir of the studies")
    folder = parser.parse_args(arguments).folder
    try:
        results = load_results(folder)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print_tables(results, Console())
    try:
        paths = write_report(results, folder)
    except OSError as error:
        print(f"error: {error.filename or folder}: {error.strerror}.", file=sys.stderr)
        return 1
    print(f"Wrote {paths[0]} and {len(paths) - 1} files beside it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
