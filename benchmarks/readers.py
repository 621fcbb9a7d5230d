"""Measures the coefficient reader beside other readers, all in one run.

    python -m benchmarks.readers [--input_dir=DIR] [--output_dir=DIR] [--check]
    python -m benchmarks.readers --startup

Each library reads in a process of its own, held to one core, or to two for two threads; the passes
of all of them take turns, and medians are compared.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import pathlib
import shlex
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

# So that `python benchmarks/readers.py` works as well.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import goals, images, machine, measure, peers, report, startup
from benchmarks.settings import SUBSAMPLINGS, Settings
from jpegkeras import files
from jpegkeras.errors import InputError

_DEFAULT_OUTPUT = "build/benchmarks"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message} (--help lists the flags)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status; the user's errors are one line."""
    parser = _make_parser()
    values = parser.parse_args(argv)
    run = _run_startup if values.startup else _run_readers
    try:
        settings = _make_settings(values)
        return run(settings, _make_folder(values.output_dir), values.check)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except ValueError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print("interrupted: nothing was written.", file=sys.stderr)
        return 130


def _run_readers(settings: Settings, output_dir: pathlib.Path, check: bool) -> int:
    described = machine.describe()
    print("Preparing the images …", file=sys.stderr, flush=True)
    chosen = images.collect(settings)
    count = len(chosen.jpegs)
    rows_wanted = peers.list_peers(settings.num_frequencies, settings.libraries)
    with report.progress("measuring", settings.repeats + 1) as advance:
        outcomes = measure.measure(rows_wanted, chosen.jpegs, settings, advance)
    rows = report.make_rows(outcomes, count, chosen.size)
    report.print_rows(rows, _title(chosen, settings), _notes(outcomes, chosen))

    wanted = _choose_goals(settings)
    verdicts = goals.judge(wanted, {row["key"]: row for row in rows})
    if wanted:
        report.print_verdicts(verdicts)
    else:
        report.say("No goals: they are for --size=256 --quality=75 --subsampling=4:2:0, as found.")
    difference = measure.find_difference(outcomes)
    files.write_json(
        output_dir / "readers.json",
        {
            **_provenance(described),
            "settings": dataclasses.asdict(settings),
            "images": chosen.describe(),
            "readers": rows,
            "coefficients": difference or "equal",
            "goals": [dataclasses.asdict(verdict) for verdict in verdicts],
        },
    )
    if not report.draw_chart(rows, output_dir / "readers.png"):
        report.say("No chart: matplotlib is not installed (pip install matplotlib).")
    report.say(f"Written: {output_dir / 'readers.json'}")
    return _exit_status(verdicts, check, _find_failure(outcomes, difference))


def _run_startup(settings: Settings, output_dir: pathlib.Path, check: bool) -> int:
    described = machine.describe()
    (jpeg,) = images.collect(dataclasses.replace(settings, images=1)).jpegs
    with report.progress("starting processes", settings.repeats + 1) as advance:
        result = startup.measure(jpeg, settings.repeats, advance)
    report.print_startup(result)
    verdicts = [goals.judge_startup(result["warm"]["total"])]
    report.print_verdicts(verdicts)
    judged = [dataclasses.asdict(verdict) for verdict in verdicts]
    files.write_json(
        output_dir / "startup.json", {**_provenance(described), "startup": result, "goals": judged}
    )
    report.say(f"Written: {output_dir / 'startup.json'}")
    return _exit_status(verdicts, check, None)


def _make_folder(name: str) -> pathlib.Path:
    folder = pathlib.Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--output_dir={name}: not a folder ({error.strerror})") from error
    return folder


def _choose_goals(settings: Settings) -> tuple[goals.Goal, ...]:
    if settings.as_found:
        return goals.AS_FOUND
    return goals.STANDARD if settings.standard else ()


def _find_failure(outcomes: Sequence[measure.Outcome], difference: str | None) -> str | None:
    """Returns what makes the results worthless, if anything does."""
    for outcome in outcomes:
        # On a machine of one core, two threads are no failure.
        failed = outcome.crashed or (outcome.absent and outcome.peer.threads == 1)
        if outcome.peer.library == "jpegkeras" and failed:
            return f"{outcome.peer.name}: {outcome.absent}"
    return difference


def _exit_status(verdicts: Sequence[goals.Verdict], check: bool, failure: str | None) -> int:
    if failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    missed = sum(verdict.met is False for verdict in verdicts)
    if check and missed:
        print(f"error: {missed} goal(s) missed", file=sys.stderr)
        return 1
    if check and all(verdict.met is None for verdict in verdicts):
        print("error: --check, but no goal could be measured", file=sys.stderr)
        return 1
    return 0


def _title(chosen: images.Images, settings: Settings) -> str:
    count = len(chosen.jpegs)
    return (
        f"{count:,} images {chosen.origin}; {chosen.size / count / 1000:.1f} kB each; "
        f"median of {settings.repeats}"
    )


def _notes(outcomes: Sequence[measure.Outcome], chosen: images.Images) -> list[str]:
    notes = [f"left out: {count} files ({reason})" for reason, count in chosen.skipped.items()]
    notes += [o.peer.note for o in outcomes if o.peer.note and not o.absent]
    cores = machine.choose_cores(2)
    if len(cores) == 2 and machine.thread_siblings(cores[0]) == machine.thread_siblings(cores[1]):
        notes.append("the two cores of the threaded rows share one physical core")
    return notes


def _provenance(described: dict[str, Any]) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.timezone.utc)
    return {
        "date": now.isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "benchmarks.readers", *sys.argv[1:]]),
        "machine": described,
    }


def _make_settings(values: argparse.Namespace) -> Settings:
    return Settings(
        images=values.images,
        input_dir=values.input_dir,
        as_found=values.as_found,
        size=values.size,
        quality=values.quality,
        subsampling=values.subsampling,
        optimize=values.optimize,
        num_frequencies=values.num_frequencies,
        repeats=values.repeats,
        batch=values.batch,
        large_batch=values.large_batch,
        libraries=values.peers,
    )


def _make_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m benchmarks.readers",
        description="Measures the coefficient reader beside other readers, all in one run.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--images", type=int, default=1000, metavar="N", help="how many images at most")
    add("--input_dir", metavar="DIR", help="folder with images, in any depth; none: they are drawn")
    add("--as_found", action="store_true", help="take the JPEGs of --input_dir as they are")
    add("--size", type=int, default=256, metavar="PIXELS", help="side of the centre crops")
    add("--quality", type=int, default=75, metavar="Q", help="quality of the JPEGs")
    add("--subsampling", choices=SUBSAMPLINGS, default="4:2:0", help="chroma sampling of the JPEGs")
    add("--optimize", action="store_true", help="Huffman tables made for each image")
    add(
        "--num_frequencies",
        type=_parse_numbers,
        default="64,16",
        metavar="N,…",
        help="how many coefficients a block jpegkeras reads",
    )
    add("--repeats", type=int, default=7, metavar="N", help="passes, of which the median counts")
    add("--batch", type=int, default=32, metavar="N", help="images a call of read_batch")
    add("--large_batch", type=int, default=256, metavar="N", help="the same for large batches")
    add(
        "--peers",
        type=_parse_libraries,
        default=",".join(peers.LIBRARIES),
        metavar="NAME,…",
        help="what to compare with",
    )
    add("--output_dir", default=_DEFAULT_OUTPUT, metavar="DIR", help="folder for the results")
    add("--startup", action="store_true", help="measure the time to the first image instead")
    add("--check", action="store_true", help="fail if a goal is missed")
    return parser


def _parse_numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers such as 64,16; got {text!r}") from None


def _parse_libraries(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(filter(None, text.split(","))))
    unknown = [name for name in names if name not in peers.LIBRARIES]
    if unknown:
        known = ", ".join(peers.LIBRARIES)
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: expected some of {known}")
    return names


if __name__ == "__main__":
    sys.exit(main())
