"""Compare the reader with libjpeg on folders of JPEGs, bit by bit.

    python -m tests.trust.corpus --input_dir=photos --variants --boundscheck --output=photos.json

Compared are sizes, sampling factors, quantisation tables and all coefficients. With --variants each
file is also made again in some 80 other forms (see variants.py): progressive, with restarts, in
every sampling, … A file that the reader refuses gets none, and a form that the tools cannot make of
a file is counted. So is what has the name of a JPEG and cannot be read; links to folders are not
followed. The exit status is 1 if anything differs.
"""

from __future__ import annotations

import argparse
import os
import stat
import sys
import tempfile
import time
from pathlib import Path

from jpegkeras.errors import InputError
from tests.trust import bounds, command_line
from tests.trust.command_line import reason

SUFFIXES = frozenset([".jpg", ".jpeg", ".jpe", ".jfif"])
HANG_SECONDS = 300.0
_CACHE_DIR = Path("build/trust")


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Return the settings of a run."""
    parser = command_line.Parser("tests.trust.corpus", __doc__)
    add = parser.add_argument
    add(
        "--input_dir",
        type=Path,
        action="append",
        required=True,
        metavar="DIR",
        help="Folder with JPEGs, in any depth; may be given repeatedly; required.",
    )
    add("--limit", type=int, metavar="N", help="Take N files, evenly spread (default: all).")
    add("--variants", action="store_true", help="Also other forms of each file (default: no).")
    add("--boundscheck", action="store_true", help="Check every index by Numba (default: no).")
    add(
        "--processes",
        type=int,
        default=2,
        metavar="N",
        help="How many processes share the files (default: %(default)s).",
    )
    add("--output", type=Path, required=True, metavar="FILE", help="Result file (JSON); required.")
    settings = parser.parse_args(arguments)
    for folder in settings.input_dir:
        if not folder.is_dir():
            parser.error(f"--input_dir must be a folder; {folder} is none")
    if settings.processes < 1 or (settings.limit is not None and settings.limit < 1):
        parser.error("--processes and --limit must be at least 1")
    return settings


def find_files(folders: list[Path], limit: int | None) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Return (the JPEGs below these folders in order, what cannot be read there and why).

    With a limit it is that many JPEGs, evenly spread.
    """
    found: set[Path] = set()
    unreadable: dict[Path, str] = {}

    def note(error: OSError) -> None:
        unreadable[Path(error.filename)] = reason(error)

    for folder in folders:
        for parent, _, names in os.walk(folder, onerror=note):
            found.update(Path(parent, name) for name in names)
    paths = []
    for path in sorted(path for path in found if path.suffix.lower() in SUFFIXES):
        problem = _why_unreadable(path)
        if problem:
            unreadable[path] = problem
        else:
            paths.append(path)
    if limit is not None and limit < len(paths):
        paths = [paths[index * len(paths) // limit] for index in range(limit)]
    return paths, sorted(unreadable.items())


def _why_unreadable(path: Path) -> str:
    """Say what keeps a file from being read, without opening it: a pipe would wait; "" if none."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return reason(error)
    if not stat.S_ISREG(mode):
        return "not a regular file"
    return "" if os.access(path, os.R_OK) else "not allowed to read it"


@command_line.with_one_line_errors
def main(arguments: list[str]) -> int:
    """Run the comparison; return the exit status."""
    settings = parse_arguments(arguments)
    command_line.prepare_output(settings.output)
    if settings.boundscheck:
        bounds.ensure("tests.trust.corpus", arguments, _CACHE_DIR)
        if not bounds.are_checked():
            raise InputError("Numba's bounds checking is not in force")
    paths, unreadable = find_files(settings.input_dir, settings.limit)
    if not paths:
        also = f"; {len(unreadable):,} could not be read" if unreadable else ""
        raise InputError(f"there are no JPEGs below the folders of --input_dir{also}")
    # Only now, since these import Numba.
    from tests.trust import corpus_report, corpus_worker, fuzz_worker, libjpeg, variants
    from tests.trust.progress import say

    if settings.variants and not variants.are_available():
        raise InputError(f"--variants needs {variants.NEEDS}")
    began = time.monotonic()
    fuzz_worker.warm_up()
    with tempfile.TemporaryDirectory() as folder:
        library = libjpeg.build(folder)
        if library is None:
            say(f"Without {libjpeg.NEEDS} the package jpeglib gives the answers to compare with.")
        version = corpus_worker.open_oracle(library).version
        counts = _run(settings, paths, library)
    counts.unreadable += unreadable
    result = corpus_report.summarize(settings, paths, counts, version, time.monotonic() - began)
    corpus_report.save_and_print(result, settings.output)
    return 1 if counts.failures else 0


def _run(settings: argparse.Namespace, paths: list[Path], library: Path | None):
    """Return the counts over all files."""
    from tests.trust import corpus_worker, workers
    from tests.trust.progress import progress

    counts = corpus_worker.Counts()
    done = 0
    events = workers.run(
        corpus_worker.make_worker,
        (paths, settings.variants, library),
        range(len(paths)),
        processes=settings.processes,
        step=4 if settings.variants else 4 * corpus_worker.GROUP,
        hang_seconds=HANG_SECONDS,
    )
    with progress(len(paths), "files") as show:
        for event in events:
            if isinstance(event, workers.Lost):
                lost = (corpus_worker.ORIGINAL, event.number, f"{event.kind}: {event.text}")
                counts.failures.append(lost)
                continue
            counts.merge(event.result)
            done += event.end - event.start
            show(done, f"{len(counts.failures):,} failures" if counts.failures else "")
    return counts


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
