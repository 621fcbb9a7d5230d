"""The options of --beam_options, checked: Beam itself passes over what it does not know."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import logging
import shlex
from collections.abc import Sequence
from typing import NoReturn

from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions, SetupOptions, StandardOptions
from apache_beam.runners.runner import create_runner

from jpegkeras.errors import InputError
from preprocess.engines.base import count_cores

# Their workers are processes of this machine, which the runner itself starts and ends.
_RUNNERS_HERE = ("FnApiRunner", "SwitchingDirectRunner", "BundleBasedDirectRunner")
# These hand options on to a job server, which may know more of them than Beam's Python side does.
_RUNNERS_OF_JOB_SERVERS = ("PortableRunner", "FlinkRunner", "SparkRunner")
# Beam knows this one by its full name alone.
_LONG_NAMES = {"--runner=DaskRunner": "--runner=apache_beam.runners.dask.dask_runner.DaskRunner"}


@dataclasses.dataclass(frozen=True)
class BeamOptions:
    """Options for Beam, and the name of the runner's class.

    `here`: the workers are processes of this machine, which see its disks and end with the runner.
    `unknown`: options that the runner's job server may know, but Beam's Python side does not.
    """

    arguments: tuple[str, ...]
    runner: str
    here: bool
    unknown: tuple[str, ...]


def parse_options(text: str) -> BeamOptions:
    """Parses "--runner=… --flag=value"; without a runner it is FnApiRunner on all cores.

    Raises InputError for a runner that is not there, and for an option or a value that Beam does
    not know.
    """
    # It warns of what is checked here.
    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    try:
        given = shlex.split(text)
    except ValueError as error:
        raise InputError(f"--beam_options={text!r} cannot be split: {error}.") from error
    given = [_LONG_NAMES.get(argument, argument) for argument in given]
    arguments = [*given, *_defaults(given)]
    runner = _load_runner(PipelineOptions(arguments).view_as(StandardOptions).runner)
    unknown = _find_unknown(arguments)
    if unknown and runner not in _RUNNERS_OF_JOB_SERVERS:
        raise InputError(f"--beam_options: {_describe_unknown(unknown[0])}")
    if runner == "DaskRunner" and not _gives(given, "dask_npartitions", "dask_partition_size"):
        # A partition is what a worker takes at a time. Dask's default is 128 elements.
        arguments.append("--dask_partition_size=1")
    return BeamOptions(
        arguments=tuple(arguments),
        runner=runner,
        here=runner in _RUNNERS_HERE,
        unknown=tuple(_describe_unknown(name) for name in unknown),
    )


def use_options(arguments: Sequence[str]) -> None:
    """Makes this process open files as the options say: Beam's runners do not see to it everywhere.

    Imports what --beam_plugins names (other file systems, for one). Raises InputError where that
    fails.
    """
    options = PipelineOptions(list(arguments))
    for plugin in options.view_as(SetupOptions).beam_plugins or []:
        _import_plugin(plugin)
    FileSystems.set_options(options)


def _defaults(arguments: Sequence[str]) -> list[str]:
    if _gives(arguments, "runner"):
        return []
    # Not DirectRunner, Beam's own default: it first tries to download another runner's program.
    defaults = ["--runner=FnApiRunner"]
    if not _gives(arguments, "direct_running_mode", "direct_num_workers"):
        defaults += [
            "--direct_running_mode=multi_processing",
            f"--direct_num_workers={count_cores()}",
        ]
    return defaults


def _gives(arguments: Sequence[str], *names: str) -> bool:
    return any(argument.split("=")[0] in [f"--{name}" for name in names] for argument in arguments)


def _load_runner(name: str) -> str:
    """Returns the name of the runner's class. Its module adds the options that the runner has."""
    try:
        return type(create_runner(name)).__name__
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"--beam_options: --runner={name} cannot be imported ({error}). Some runners need an "
            "extra, as in pip install 'apache-beam[gcp]' or 'apache-beam[dask]'."
        ) from error
    except ValueError as error:
        known = StandardOptions.KNOWN_RUNNER_NAMES
        close = difflib.get_close_matches(name, known, 1)
        hint = f" Did you mean {close[0]}?" if close else f" There are {', '.join(known)}."
        raise InputError(f"--beam_options: Beam has no runner {name!r}.{hint}") from error


def _find_unknown(arguments: Sequence[str]) -> list[str]:
    """Returns the options that no class of Beam's takes."""
    parsers = []

    def keep(parser: object) -> None:
        parser.error = _raise_input_error
        parsers.append(parser)

    PipelineOptions(list(arguments)).get_all_options(add_extra_args_fn=keep)
    _, unknown = parsers[0].parse_known_args(list(arguments))
    stray = [argument for argument in unknown if not argument.startswith("--")]
    options = [argument.split("=")[0] for argument in unknown if argument.startswith("--")]
    if stray and not options:
        raise InputError(f"--beam_options: {stray[0]!r} is no option; expected --name=value.")
    return options


def _describe_unknown(name: str) -> str:
    known = []
    PipelineOptions([]).get_all_options(
        add_extra_args_fn=lambda parser: known.extend(parser._option_string_actions)
    )
    close = difflib.get_close_matches(name, known, 1)
    return f"Beam knows no option {name}" + (f". Did you mean {close[0]}?" if close else ".")


def _raise_input_error(message: str) -> NoReturn:
    raise InputError(f"--beam_options: {message}.")


def _import_plugin(name: str) -> None:
    """Imports a module, or the module of a class, by its dotted name."""
    module = name
    try:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError:
            module = name.rpartition(".")[0]
            if not module:
                raise
            importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"--beam_options: --beam_plugin={name} cannot be imported ({error})."
        ) from error
