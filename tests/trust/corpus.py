"""Compare the reader with libjpeg on folders of JPEGs, bit by bit.

    python -m tests.trust.corpus --input_dir=photos --variants --boundscheck --output=photos.json

Compared are sizes, sampling factors, quantisation tables and all coefficients. With --variants each
file is also made again in some 80 other forms (see variants.py): progressive, with restarts, in
every sampling, … The exit status is 1 if anything differs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.trust import bounds

SUFFIXES = frozenset([".jpg", ".jpeg", ".jpe", ".jfif"])
HANG_SECONDS = 300.0
_CACHE_DIR = Path("build/trust")


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Return the settings of a run."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.trust.corpus",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--input_dir", type=Path, action="append", required=True, help="May be given repeatedly."
    )
    parser.add_argument("--limit", type=int, help="Take only so many files, evenly spread.")
    parser.add_argument("--variants", action="store_true", help="Also other forms of each file.")
    parser.add_argument("--boundscheck", action="store_true", help="Check every index (Numba).")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--output", type=Path, required=True, help="Result file (JSON).")
    settings = parser.parse_args(arguments)
    for folder in settings.input_dir:
        if not folder.is_dir():
            parser.error(f"--input_dir must be a folder; {folder} is none")
    if settings.processes < 1 or (settings.limit is not None and settings.limit < 1):
        parser.error("--processes and --limit must be at least 1")
    return settings


def find_files(folders: list[Path], limit: int | None) -> list[Path]:
    """Return the JPEGs below these folders in order; with a limit, that many evenly spread."""
    found = {path for folder in folders for path in folder.rglob("*")}
    paths = sorted(path for path in found if path.suffix.lower() in SUFFIXES)
    if limit is None or limit >= len(paths):
        return paths
    return [paths[index * len(paths) // limit] for index in range(limit)]


def main(arguments: list[str]) -> int:
    """Run the comparison; return the exit status."""
    settings = parse_arguments(arguments)
    if settings.boundscheck:
        bounds.ensure("tests.trust.corpus", arguments, _CACHE_DIR)
        if not bounds.are_checked():
            sys.exit("Numba's bounds checking is not in force.")
    paths = find_files(settings.input_dir, settings.limit)
    if not paths:
        sys.exit("there are no JPEGs below the folders of --input_dir")
    # Only now, since these import Numba.
    from tests.trust import corpus_report, corpus_worker, fuzz_worker, libjpeg, variants
    from tests.trust.progress import say

    if settings.variants and not variants.are_available():
        sys.exit(f"--variants needs {variants.NEEDS}")
    began = time.monotonic()
    fuzz_worker.warm_up()
    with tempfile.TemporaryDirectory() as folder:
        library = libjpeg.build(folder)
        if library is None:
            say(f"Without {libjpeg.NEEDS} the package jpeglib gives the answers to compare with.")
        version = corpus_worker.open_oracle(library).version
        counts = _run(settings, paths, library)
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
