"""Shows what a data set of preprocess.main holds, checks every byte of it, and draws pictures.

python -m preprocess.inspect DIR
"""

from __future__ import annotations

import contextlib
import functools
import json
import sys
from collections.abc import Callable, Iterator

from absl import flags
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

from jpegkeras import command_line
from jpegkeras.dataset_info import DatasetInfo
from jpegkeras.errors import InputError
from preprocess import report
from preprocess.filesystems import join
from preprocess.inspection import files
from preprocess.inspection.bands import list_bands
from preprocess.inspection.description import describe
from preprocess.inspection.pictures import draw_pictures
from preprocess.inspection.samples import Choice
from preprocess.inspection.tables import describe_bytes, print_tables
from preprocess.inspection.verification import Verification, shard_sizes, verify
from preprocess.sources import SPLITS, TRAIN
from preprocess.writing import write_text

OUTPUT_FOLDER = "inspection"
_MOST_SAMPLES = 1000


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this command, with their help."""
    string = functools.partial(flags.DEFINE_string, flag_values=values)
    integer = functools.partial(flags.DEFINE_integer, flag_values=values, lower_bound=0)
    boolean = functools.partial(flags.DEFINE_bool, flag_values=values)
    choice = functools.partial(flags.DEFINE_enum, flag_values=values)
    string("data_dir", None, "Folder of the data set; or give it without a flag.")
    boolean("quick", False, "Check the CRC-32C of the shards, but do not read their records.")
    boolean("all_bands", False, "Print every band, not the first 16 and the sum of the others.")
    string("json", None, "File that gets everything that is printed, for machines.")
    boolean("pictures", True, "Draw the bands and a contact sheet of records, as PNG.")
    string("output_dir", None, f"Folder for the pictures; default: DIR/{OUTPUT_FOLDER}.")
    integer("samples", 32, "Records on the contact sheet.", upper_bound=_MOST_SAMPLES)
    choice("split", TRAIN, list(SPLITS), "Split that the contact sheet shows.")
    integer("seed", 0, "Seed of the choice of the records on the contact sheet.")


def main(argv: list[str]) -> int:
    """Runs the command line that absl has parsed and returns the exit status."""
    return run(argv, flags.FLAGS)


def run(argv: list[str], values: flags.FlagValues) -> int:
    """Inspects a data set; returns 0 if it is as the preprocessing wrote it, else 1.

    Every error of the user's, and every shard that is not as it should be, is one line on stderr.
    """
    if hasattr(sys.stdout, "reconfigure"):  # what the terminal cannot show is escaped
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return _inspect(_data_dir(argv, values), values)
    except (InputError, OSError) as error:
        report.say(f"error: {report.printable(str(error))}")
        return 1
    except MemoryError:
        report.say("error: there is not enough memory. End other programs, or use another machine.")
        return 1
    except KeyboardInterrupt:
        report.say("interrupted.")
        return 130


def _data_dir(argv: list[str], values: flags.FlagValues) -> str:
    given = [*argv[1:], *([values.data_dir] if values.data_dir else [])]
    if not given:
        raise InputError("which data set? Give its folder: python -m preprocess.inspect DIR.")
    if len(given) > 1:
        raise InputError(f"one folder is inspected at a time; got {' and '.join(given)}.")
    return given[0]


def _inspect(directory: str, values: flags.FlagValues) -> int:
    info = files.load_info(directory)
    bands = list_bands(info)
    console = Console(file=sys.stdout)
    print_tables(console, info, shard_sizes(directory, info), bands, all_bands=values.all_bands)
    with _progress(directory, info, quick=values.quick) as advance:
        verification = verify(directory, info, quick=values.quick, report=advance)
    for problem in verification.problems:
        report.say(f"error: {report.printable(join(directory, str(problem)))}")
    pictures = []
    if values.pictures:
        pictures = draw_pictures(
            directory,
            values.output_dir or join(directory, OUTPUT_FOLDER),
            info,
            bands,
            Choice(values.split, values.samples, values.seed, verification.damaged),
        )
        _say(console, f"pictures: {', '.join(pictures)}")
    if values.json:
        content = describe(directory, info, bands, verification, pictures)
        write_text(values.json, json.dumps(content, indent=1, allow_nan=False) + "\n")
        _say(console, f"everything as JSON: {values.json}")
    if verification.problems:
        return 1
    _say(console, _describe_success(verification))
    return 0


@contextlib.contextmanager
def _progress(directory: str, info: DatasetInfo, *, quick: bool) -> Iterator[Callable[[int], None]]:
    """Shows a bar if stderr is a terminal; yields what is to be told how many bytes went by."""
    console, passes = Console(stderr=True), 1 if quick else 2
    columns = ("checking", BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    total = passes * sum(shard_sizes(directory, info).values())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=total)
        yield lambda count: bar.advance(task, count)


def _describe_success(verification: Verification) -> str:
    shards = f"{len(verification.sizes):,} shards"
    size = describe_bytes(sum(verification.sizes.values()))
    if verification.quick:
        return f"verified: the CRC-32C of {shards}, {size}; their records were not read (--quick)."
    return (
        f"verified: {shards}, {size}, {verification.records:,} records: their CRC-32C, framing, "
        "schema, shapes, labels, counts and statistics are as dataset.json says."
    )


def _say(console: Console, line: str) -> None:
    console.print(report.printable(line), markup=False, highlight=False, soft_wrap=True)


# Only as a program: flags are global, and other programs here have some of the same names.
if __name__ == "__main__":
    define_flags(flags.FLAGS)
    command_line.run(main)
