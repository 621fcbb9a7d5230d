"""The command line of the studies: flags, what they ask for, and exit statuses."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from absl import flags

from jpegkeras.errors import InputError
from jpegkeras.experiments.config import PRESETS, StudyConfig, load_config
from jpegkeras.experiments.folder import in_order
from jpegkeras.experiments.networks import BANDS, DIFFICULTY, NETWORKS, QUALITY, RESOLUTION
from jpegkeras.experiments.processes import LAUNCHER
from jpegkeras.quiet import quiet_tensorflow

COMPLEXITY, ALL = "complexity", "all"
# Those of the paper: "all" is all of these.
STUDIES = (DIFFICULTY, RESOLUTION, QUALITY)
_SOURCES = (
    "input_dir",
    "input_csv",
    "input_tar",
    "test_tar",
    "test_labels",
    "input_tfrecords",
    "test_tfrecords",
)
# The preset whose images are drawn where none are given.
_DRAWN = "smoke"
_LISTS = ("seeds", "resolutions", "qualities")
_NUMBERS = ("train_per_class", "test_per_class")


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of this command, with their help."""
    string = functools.partial(flags.DEFINE_string, flag_values=values)
    integer = functools.partial(flags.DEFINE_integer, flag_values=values)
    boolean = functools.partial(flags.DEFINE_bool, flag_values=values)
    listed = functools.partial(flags.DEFINE_list, flag_values=values)
    flags.DEFINE_enum(
        "table",
        COMPLEXITY,
        [COMPLEXITY, *STUDIES, BANDS, ALL],
        "Which table to make; all but complexity train networks. All is the paper's: not bands.",
        flag_values=values,
    )
    string(
        "output_dir",
        None,
        "Folder for results, report and runs; made if absent. Complexity prints without one.",
    )
    string(
        "config",
        None,
        f"Settings: {', '.join(PRESETS)}, or a JSON file (see docs/studies.md). A study needs one.",
    )
    string("cache_dir", None, "Folder for the data sets; default: records in --output_dir.")
    string("input_dir", None, "Folder with one folder a class, or train/ and test/ of such.")
    string("input_csv", None, "CSV: path,label[,split], paths relative to it or --input_dir.")
    string("input_tar", None, "Tar or zip archives of class folders, or of tars a class; a,b,….")
    string("test_tar", None, "Archives of the test split, where --input_tar is the train split.")
    string("test_labels", None, "Classes of a flat test archive: one a line, or file and class.")
    string("input_tfrecords", None, "TFRecords with image/encoded and image/class/label; globs.")
    string("test_tfrecords", None, "TFRecords of the test split; by default by their names.")
    string("labels", None, "CSV with the columns class,name,coarse: titles and coarse classes.")
    boolean("only_labelled", False, "Leave out the classes that --labels lacks.")
    listed("networks", None, f"Networks: of {', '.join(NETWORKS)}; default: the config's.")
    listed("seeds", None, "Seeds, a training each; default: the config's.")
    listed("resolutions", None, "Smallest sides in pixels; default: the config's.")
    listed("qualities", None, "JPEG qualities, 1 to 100; default: the config's.")
    integer("epochs", None, "Epochs of each training; default: the config's.")
    integer("train_per_class", None, "At most so many training images a class; 0: all.")
    integer("test_per_class", None, "At most so many test images a class; 0: all.")
    integer("workers", 0, "Processes that make the data sets; 0: one a core.")
    string("title", "", "What the report calls the data; default: the input's name.")
    string("note", "", "What the report says about the data.")
    boolean("list", False, "Show what would be done, and what it costs; do nothing.")
    boolean("calibrate", False, "With --list: measure some training steps to tell the time.")
    boolean("fail_fast", False, "Stop after a cell that fails, instead of doing the others.")
    boolean("overwrite", False, "Take other settings than the folder's; remake what changed.")


def main(argv: Sequence[str]) -> int:
    """Runs the command line that absl has parsed; returns the exit status."""
    return run(argv, flags.FLAGS)


def run(argv: Sequence[str], values: flags.FlagValues, launcher: Sequence[str] = LAUNCHER) -> int:
    """Runs one table and returns the exit status; every error of the user's is a line on stderr.

    `launcher`: see `runner.run`.
    """
    try:
        if len(argv) > 1:
            raise InputError(f"unexpected argument {argv[1]!r}; every setting is a --flag=value.")
        if values.table == COMPLEXITY:
            return _run_complexity(values)
        return _run_studies(values, launcher)
    except (InputError, OSError) as error:
        return _fail(str(error))
    except MemoryError:
        return _fail("memory ran out; give fewer --workers, and run the same command again.")
    except KeyboardInterrupt as error:
        status = getattr(error, "status", 130)
        return _fail("stopped; the same command continues.", status, "")


def _run_complexity(values: flags.FlagValues) -> int:
    unused = [
        name
        for name in values
        if values[name].present and name not in ("table", "output_dir") and name in _own_flags()
    ]
    if unused:
        raise InputError(
            f"--table={COMPLEXITY} has no use for --{', --'.join(sorted(unused))}; leave it out, "
            f"or name another --table."
        )
    output_dir = None if values.output_dir is None else pathlib.Path(values.output_dir)
    if output_dir is not None:
        # Before the work, and not after it.
        try:
            output_dir.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise InputError(f"--output_dir must be a folder; {output_dir} is a file.") from None
        except OSError as error:
            raise InputError(
                f"cannot make the folder --output_dir={output_dir}: {error.strerror}."
            ) from error
    with quiet_tensorflow():
        from jpegkeras.experiments import complexity
    complexity.run(output_dir)
    return 0


@functools.lru_cache
def _own_flags() -> frozenset[str]:
    own = flags.FlagValues()
    define_flags(own)
    return frozenset(own)


def _run_studies(values: flags.FlagValues, launcher: Sequence[str]) -> int:
    config = _config(values)
    if not values.output_dir:
        raise InputError("--output_dir is missing: the folder for results, report and runs.")
    if values.table == BANDS and values.networks is not None:
        raise InputError(f"--table={BANDS} has networks of its own; leave --networks out.")
    if values.calibrate and not values.list:
        raise InputError("--calibrate is of --list; leave it out.")
    # Only now: loading takes a second, and a wrong flag should be told at once.
    import rich.console

    from jpegkeras.experiments import listing, runner

    request = _request(values, config)
    console = rich.console.Console()
    if values.list:
        listing.show(request, console, launcher, calibrate=values.calibrate)
        return 0
    failed = runner.run(request, console, launcher)
    if failed:
        return _fail(
            f"{failed} cell{'s' if failed > 1 else ''} failed, see above; the same command tries "
            "again."
        )
    return 0


def _config(values: flags.FlagValues) -> StudyConfig:
    if not values.config:
        raise InputError(
            f"--table={values.table} needs --config: {', '.join(PRESETS)}, or a JSON file."
        )
    overrides: dict[str, Any] = {
        name: _numbers(name, getattr(values, name))
        for name in _LISTS
        if getattr(values, name) is not None
    }
    for name in _NUMBERS:
        if getattr(values, name) is not None:
            overrides[name] = getattr(values, name)
    if values.networks is not None:
        overrides["networks"] = [name.strip() for name in values.networks]
    if values.epochs is not None:
        overrides["training"] = {"epochs": values.epochs}
    config = load_config(values.config, overrides)
    return _sorted(config)


def _sorted(config: StudyConfig) -> StudyConfig:
    """Returns the settings with networks and values in the order of the paper's tables."""
    return dataclasses.replace(
        config,
        networks=in_order(config.networks),
        resolutions=tuple(sorted(config.resolutions)),
        qualities=tuple(sorted(config.qualities)),
    )


def _numbers(name: str, texts: Sequence[str]) -> list[int]:
    try:
        return [int(text) for text in texts]
    except ValueError as error:
        raise InputError(
            f"--{name} must be whole numbers, separated by commas; got {','.join(texts)}."
        ) from error


def _request(values: flags.FlagValues, config: StudyConfig) -> Any:  # noqa: ANN401
    from jpegkeras.experiments.datasets import Input
    from jpegkeras.experiments.runner import Request

    return Request(
        studies=STUDIES if values.table == ALL else (values.table,),
        config=config,
        name=pathlib.Path(values.config).name,
        output_dir=values.output_dir,
        given=Input(
            source=_source(values),
            labels=values.labels,
            only_labelled=values.only_labelled,
            title=values.title,
            note=values.note,
        ),
        cache_dir=values.cache_dir,
        workers=values.workers,
        overwrite=values.overwrite,
        fail_fast=values.fail_fast,
    )


def _source(values: flags.FlagValues) -> Any:  # noqa: ANN401
    """Returns where the images are, None for the built-in ones."""
    from preprocess.sources import SourceSpec

    given = {name: getattr(values, name) for name in _SOURCES}
    if not any(given.values()) and values.config == _DRAWN:
        if values.labels:
            raise InputError("--labels are given, but no images; the built-in ones have their own.")
        return None
    try:
        return SourceSpec(**given)
    except ValueError as error:
        raise InputError(str(error)) from error


def _fail(message: str, status: int = 1, prefix: str = "error: ") -> int:
    print(f"{prefix}{message}", file=sys.stderr)
    return status
