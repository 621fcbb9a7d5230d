"""Read a great many damaged JPEGs and check what comes out.

    python -m tests.trust.fuzz --inputs=1000000 --seed=0 --processes=2

Each input is a small JPEG made in code and then damaged; see seeds.py and mutations.py, and
properties.py for what is checked. The reader's code runs under Numba's bounds checking. Every
finding is saved below the output folder and made smaller. The exit status is 1 if there are any.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from jpegkeras.errors import InputError
from tests.trust import bounds, command_line

HANG_SECONDS = 30.0
MINIMIZE_SECONDS = 60.0
MINIMIZE_HANG_SECONDS = 5.0
#: So many different problems end a run early, as do so many lost processes.
MAX_PROBLEMS = 200
STEP = 256


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    """Return the settings of a run."""
    parser = command_line.Parser("tests.trust.fuzz", __doc__)

    def add_number(flag: str, default: int, text: str) -> None:
        help_text = f"{text} (default: %(default)s)."
        parser.add_argument(flag, type=int, default=default, metavar="N", help=help_text)

    add_number("--inputs", 1_000_000, "How many inputs")
    add_number("--first", 0, "Number of the first input")
    add_number("--seed", 0, "Another seed gives other inputs")
    add_number("--processes", 2, "How many processes share the inputs")
    parser.add_argument("--seconds", type=float, help="Stop after about this time (default: no).")
    parser.add_argument(
        "--output_dir",
        type=Path,
        default=Path("build/fuzz"),
        metavar="DIR",
        help="Folder for findings, examples of each class, the checked code that Numba has "
        "compiled, and the result file; *.jpg of an earlier run in its findings/ and examples/ "
        "are removed (default: %(default)s).",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="Result file, JSON (default: fuzz.json in the folder of --output_dir).",
    )
    parser.add_argument(
        "--no_boundscheck",
        action="store_true",
        help="Run the code as users run it (default: check every index).",
    )
    settings = parser.parse_args(arguments)
    if settings.inputs < 1 or settings.processes < 1 or settings.first < 0 or settings.seed < 0:
        parser.error("--inputs and --processes must be at least 1, --first and --seed at least 0")
    if settings.seconds is not None and not settings.seconds > 0:
        parser.error("--seconds must be more than 0")
    settings.output = settings.output or settings.output_dir / "fuzz.json"
    return settings


@command_line.with_one_line_errors
def main(arguments: list[str]) -> int:
    """Run the fuzzer; return the exit status."""
    settings = parse_arguments(arguments)
    for name in ("", "findings", "examples"):
        command_line.prepare_folder(settings.output_dir / name, "--output_dir")
    command_line.prepare_output(settings.output)
    if not settings.no_boundscheck:
        bounds.ensure("tests.trust.fuzz", arguments, settings.output_dir)
        if not bounds.are_checked():
            raise InputError("Numba's bounds checking is not in force")
    # Only now, since these import Numba.
    from tests.trust import fuzz_report, fuzz_worker, libjpeg
    from tests.trust.progress import say

    began = time.monotonic()
    say("Loading the reader's kernels; those of a new state of the code are compiled first.")
    fuzz_worker.warm_up()
    with tempfile.TemporaryDirectory() as folder:
        library = libjpeg.build(folder)
        version = None if library is None else libjpeg.Oracle(library).version
        if library is None:
            say(f"Nothing is compared with libjpeg: that needs {libjpeg.NEEDS}.")
        tally, stopped = _run(settings, library)
        findings = _save_findings(settings, tally, library)
    fuzz_report.save_examples(settings, tally)
    seconds = time.monotonic() - began
    result = fuzz_report.summarize(settings, tally, findings, stopped, version, seconds)
    fuzz_report.save_and_print(result, settings)
    return 1 if findings else 0


def _run(settings: argparse.Namespace, library: Path | None) -> tuple:
    """Return the tally of all inputs, and why the run ended early or ""."""
    from tests.trust import fuzz_worker, workers
    from tests.trust.progress import progress
    from tests.trust.properties import Problem
    from tests.trust.tally import Found, Tally

    tally = Tally()
    stopped = ""
    lost = 0
    deadline = None if settings.seconds is None else time.monotonic() + settings.seconds

    def why_stop() -> str:
        if deadline is not None and time.monotonic() > deadline:
            return "time is up"
        if len(tally.problems) > MAX_PROBLEMS or lost > MAX_PROBLEMS:
            return "too many findings"
        return ""

    events = workers.run(
        fuzz_worker.make_worker,
        (settings.seed, library),
        range(settings.first, settings.first + settings.inputs),
        processes=settings.processes,
        step=STEP,
        hang_seconds=HANG_SECONDS,
        until=lambda: bool(why_stop()),
    )
    with progress(settings.inputs, "inputs") as show:
        try:
            for event in events:
                if isinstance(event, workers.Lost):
                    lost += 1
                    problem = Problem(event.kind, event.text)
                    tally.problems.setdefault(problem, Found()).add(1, [event.number])
                    tally.inputs += 1
                else:
                    tally.merge(event.result)
                found = sum(found.count for found in tally.problems.values())
                show(tally.inputs, f"{found:,} findings" if found else "")
        except KeyboardInterrupt:
            stopped = "interrupted"
    if tally.inputs < settings.inputs:
        stopped = stopped or why_stop()
    return tally, stopped


def _save_findings(settings: argparse.Namespace, tally, library: Path | None) -> list[dict]:
    """Save the inputs that show a problem, the first of each also made smaller."""
    from tests.trust.fuzz_report import save_jpeg
    from tests.trust.minimize import minimize
    from tests.trust.mutations import make_input
    from tests.trust.probe import Probe
    from tests.trust.progress import say
    from tests.trust.seeds import all_seeds

    folder = _empty(settings.output_dir / "findings")
    findings = []
    with Probe(library, MINIMIZE_HANG_SECONDS) as probe:
        for index, (problem, found) in enumerate(sorted(tally.problems.items())):
            for number in found.numbers:
                data = make_input(settings.seed, number, all_seeds())
                save_jpeg(folder / f"{index:03d}-{problem.kind}-{number}.jpg", data)
            finding = {**problem._asdict(), "count": found.count, "inputs": found.numbers}
            findings.append(finding)
            if problem.kind == "batch":  # a group of inputs shows it, not one
                continue
            number = found.numbers[0]
            key = (problem.kind, "" if problem.kind in ("crash", "hang") else problem.text)

            def shows(data: bytes, number: int = number, key: tuple = key) -> bool:
                return any(tuple(seen) == key for seen in probe.problems(number, data))

            data = make_input(settings.seed, number, all_seeds())
            if not shows(data):
                finding["remark"] = "not seen again by itself"
                continue
            say(f"Making input {number} smaller: {problem.kind}, {problem.text}")
            smaller = minimize(data, shows, MINIMIZE_SECONDS)
            save_jpeg(folder / f"{index:03d}-{problem.kind}-{number}-smaller.jpg", smaller)
            finding["bytes"], finding["smaller"] = len(data), len(smaller)
    return findings


def _empty(folder: Path) -> Path:
    """Remove what an earlier run has left."""
    for path in folder.glob("*.jpg"):
        path.unlink()
    return folder


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
