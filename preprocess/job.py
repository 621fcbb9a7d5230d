"""The job: plan → shards → dataset.json."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jpegkeras
from jpegkeras import dataset_info
from jpegkeras.dataset_info import DatasetInfo, ShardInfo, SplitInfo
from jpegkeras.errors import InputError
from jpegkeras.files import locked
from jpegkeras.sampling import COMPONENTS
from preprocess import output, report
from preprocess.config import PreprocessConfig
from preprocess.engines import local
from preprocess.engines.base import EngineError
from preprocess.filesystems import filesystem_of, is_remote, join
from preprocess.labels import read_labels
from preprocess.output import ShardRange
from preprocess.parts import Part, Rejected, load_part
from preprocess.plan import Plan, classes_without_training, make_plan, simple_settings
from preprocess.sources import (
    SPLITS,
    TRAIN,
    Container,
    find_containers,
    list_source,
    open_containers,
)
from preprocess.statistics import BandSums
from preprocess.tables import format_table
from preprocess.tasks import ShardTask
from preprocess.writing import write_text

# What takes longer is told.
_LONG_SECONDS = 2.0
REJECTED_HEADER = ("path", "split", "label", "reason")


@dataclasses.dataclass(frozen=True)
class Result:
    """How a job ended: the data set, and what this run had to do for it.

    `images` and `seconds` are of this run alone; `bytes_in` and `bytes_out` of the whole data set,
    0 if it was `finished_before` this run began.
    """

    info: DatasetInfo
    finished_before: bool = False
    images: int = 0
    seconds: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0


def run(config: PreprocessConfig) -> Result:
    """Makes the data set in `config.output_dir`, or what is missing of it.

    Raises InputError for an input or an output folder that cannot be used, or if more files than
    `config.max_rejected` are rejected; OSError where something cannot be written; `EngineError`
    where the engine failed. After any of these, and after a kill, the same call continues where the
    last one stopped.
    """
    start = time.monotonic()
    directory = config.output_dir
    _prepare_engine(config)
    inputs = _describe_inputs(config)
    info = None if config.overwrite else output.load_info(directory)
    if info and output.is_finished_as(info, simple_settings(config), inputs):
        return Result(info, finished_before=True)
    if config.labels:
        read_labels(config.labels)  # before the listing, which may take minutes
    containers = find_containers(config.source) or ()
    _check_reachable(config, containers)
    _check_apart(config, containers)
    with open_containers(containers) as opened:
        plan = make_plan(config, list_source(config.source, opened))
        with _held(directory):
            state, ranges = output.prepare(directory, plan, overwrite=config.overwrite)
            if state is output.State.FINISHED:
                return Result(output.load_info(directory), finished_before=True)
            _tell(plan, time.monotonic() - start)
            parts, images = _make_parts(config, _tasks(config, plan, ranges, opened), plan)
            info = _describe(config, plan, parts, inputs)
            write_text(join(directory, dataset_info.FILE_NAME), info.to_json())
            output.remove_working_files(directory)
    return Result(
        info=info,
        images=images,
        seconds=time.monotonic() - start,
        bytes_in=sum(part.bytes_in for part in parts),
        bytes_out=sum(part.bytes_out for part in parts),
    )


def _check_reachable(config: PreprocessConfig, containers: Sequence[Container]) -> None:
    packed = [entry for entry in containers if entry.compression]
    if packed and config.engine != "local":
        raise InputError(
            f"{packed[0].path}: --engine={config.engine} cannot read it, since it is compressed as "
            f"a whole ({packed[0].compression}), and only this machine's memory would hold what is "
            "in it. Uncompress it first, or use --engine=local."
        )


def _check_apart(config: PreprocessConfig, containers: Sequence[Container]) -> None:
    """Raises InputError where the job would take its output for input, or write over its input."""
    output_dir = _real(config.output_dir)
    if config.input_dir and not config.input_csv:
        input_dir = _real(config.input_dir)
        if f"{output_dir}/".startswith(f"{input_dir.rstrip('/')}/"):
            raise InputError(
                f"{config.output_dir}: it is in --input_dir={config.input_dir}, so that what is "
                "written there would be taken for input. Give a folder outside of it."
            )
    files = [entry.path for entry in containers]
    for path in (*files, config.input_csv, config.labels, config.test_labels):
        if path and _real(os.path.dirname(path) or ".") == output_dir:
            raise InputError(
                f"{path}: it is in --output_dir, whose files the job replaces. Give another "
                "--output_dir."
            )


def _real(path: str) -> str:
    return path.rstrip("/") if is_remote(path) else os.path.realpath(path)


@contextlib.contextmanager
def _held(directory: str) -> Iterator[None]:
    """Makes the folder, and holds it against another job where its file system has locks."""
    if is_remote(directory):
        filesystem_of(directory).make_folder(directory)
        yield
        return
    with locked(directory, "--output_dir"):
        yield


def _describe_inputs(config: PreprocessConfig) -> dict[str, Any]:
    """Returns what tells, without listing it, that an input of containers is what it was."""
    containers = find_containers(config.source)
    if containers is None:
        return {}
    tables = {
        name: hashlib.sha256(filesystem_of(path).read(path)).hexdigest()
        for name, path in (("labels", config.labels), ("test_labels", config.test_labels))
        if path and filesystem_of(path).exists(path)
    }
    return {
        "source": _given(config),
        "containers": [list(entry) for entry in containers],
        **tables,
    }


def _given(config: PreprocessConfig) -> dict[str, str]:
    return {key: value for key, value in vars(config.source).items() if value}


def _tell(plan: Plan, seconds: float) -> None:
    if seconds > _LONG_SECONDS:
        report.say(
            f"Planned {plan.images:,} images in {len(plan.shards):,} shards: {seconds:.0f} s."
        )
    untrained = classes_without_training(plan)
    if untrained:
        report.say(
            f"warning: {len(untrained)} of {len(plan.classes)} classes have test images, but none "
            f"to learn them from; the first is {untrained[0]!r}."
        )


def _tasks(
    config: PreprocessConfig, plan: Plan, ranges: Sequence[ShardRange], opened: dict[str, str]
) -> list[ShardTask]:
    return [
        ShardTask(
            shard=shard.file,
            split=shard.split,
            images=len(shard.images),
            size=shard.size,
            start=part.start,
            end=part.end,
            directory=config.output_dir,
            root=plan.root,
            containers=plan.containers,
            opened=opened,
            coarse=tuple(entry.coarse for entry in plan.classes),
            transcoding=config.transcoding,
            compression=config.compression,
        )
        for shard, part in zip(plan.shards, ranges)
    ]


def _make_parts(
    config: PreprocessConfig, tasks: Sequence[ShardTask], plan: Plan
) -> tuple[list[Part], int]:
    """Returns all shards' parts in order, and how many images this run went through."""
    directory = config.output_dir
    loaded = [load_part(directory, task.shard) for task in tasks]
    parts = {part.file: part for part in loaded if part is not None}
    missing = [task for task in tasks if task.shard not in parts]
    if parts:
        report.say(f"Continuing: {len(parts)} of {len(tasks)} shards are there already.")
    images = sum(task.images for task in missing)
    rejected = [entry for part in parts.values() for entry in part.rejected]
    try:
        _check_rejected(config, rejected, plan.images)
        size = sum(task.size for task in missing)
        with (
            report.progress(images, size) as progress,
            contextlib.closing(_engine(config)(missing, progress)) as finished,
        ):
            for part in finished:
                parts[part.file] = part
                rejected += part.rejected
                _check_rejected(config, rejected, plan.images)
    except BaseException:
        with contextlib.suppress(OSError):  # what went wrong before is what there is to tell
            _clean_up(config, plan, parts.values())
        raise
    _clean_up(config, plan, parts.values())
    lost = [task.shard for task in tasks if task.shard not in parts]
    if lost:
        raise EngineError(
            f"the engine ended without {len(lost)} of {len(tasks)} shards; the first is {lost[0]}. "
            "Run the same command again to continue."
        )
    ordered = [parts[task.shard] for task in tasks]
    _check_records(ordered)
    return ordered, images


def _clean_up(config: PreprocessConfig, plan: Plan, parts: Iterable[Part]) -> None:
    """Removes what killed workers left, and lists the rejected files."""
    output.remove_temporaries(config.output_dir)
    _write_rejected(plan, parts, config.output_dir)


def _prepare_engine(config: PreprocessConfig) -> None:
    """Finds what is wrong with the engine's options before anything is listed."""
    if config.engine != "beam":
        return
    try:
        from preprocess.engines import beam  # an extra
    except ImportError as error:
        raise InputError(
            "--engine=beam needs Apache Beam. Install it: pip install 'jpegkeras[beam]'."
        ) from error
    inputs = [path for path in dataclasses.astuple(config.source) if path]
    paths = [path for given in inputs for path in given.split(",")]
    beam.prepare(config.beam_options, [*paths, config.output_dir])


def _engine(
    config: PreprocessConfig,
) -> Callable[[Sequence[ShardTask], local.Progress], Iterator[Part]]:
    if config.engine == "local":
        return lambda tasks, progress: local.run(tasks, config.workers, progress)
    from preprocess.engines import beam  # an extra

    return lambda tasks, progress: beam.run(tasks, config.beam_options, progress)


def _check_rejected(config: PreprocessConfig, rejected: Sequence[Rejected], total: int) -> None:
    """Raises InputError as soon as too many files are rejected, rather than after hours."""
    if len(rejected) <= config.max_rejected * total and len(rejected) < total:
        return
    path = join(config.output_dir, output.REJECTED_FILE)
    first = f"The first: {rejected[0].path}: {rejected[0].reason}."
    if len(rejected) == total:
        raise InputError(f"all {total} files were rejected; see {path}. {first}")
    raise InputError(
        f"stopped: {len(rejected)} files were rejected so far, more than --max_rejected="
        f"{config.max_rejected} of all {total}; see {path}. {first} Mend or remove them, or allow "
        "more."
    )


def _check_records(parts: Sequence[Part]) -> None:
    for split in SPLITS:
        if not sum(part.records for part in parts if part.split == split):
            raise InputError(
                f"the {split} split is empty, since all of its files were rejected; see "
                f"{output.REJECTED_FILE}."
            )


def _write_rejected(plan: Plan, parts: Iterable[Part], directory: str) -> None:
    rows = sorted(
        (entry.path, part.split, plan.classes[entry.label].name, entry.reason)
        for part in parts
        for entry in part.rejected
    )
    write_text(join(directory, output.REJECTED_FILE), format_table(REJECTED_HEADER, rows))


def _describe(
    config: PreprocessConfig, plan: Plan, parts: Sequence[Part], inputs: dict[str, Any]
) -> DatasetInfo:
    filled = [part for part in parts if part.records]
    return DatasetInfo(
        num_frequencies=config.transcoding.num_frequencies,
        sampling=config.transcoding.subsampling,
        compression=config.compression,
        classes=plan.classes,
        coarse_classes=plan.coarse_classes,
        splits={split: _describe_split(split, parts) for split in SPLITS},
        smallest=tuple(min(part.smallest[axis] for part in filled) for axis in (0, 1)),
        largest=tuple(max(part.largest[axis] for part in filled) for axis in (0, 1)),
        statistics=_statistics(parts),
        transcoding=dataclasses.asdict(config.transcoding),
        settings={
            **plan.settings,
            "plan": plan.digest,
            "source": _given(config),
            "inputs": inputs,
            "labels_file": config.labels,
            "max_rejected": config.max_rejected,
        },
        counts=_counts(plan, parts),
        jpegkeras_version=jpegkeras.__version__,
    )


def _describe_split(split: str, parts: Sequence[Part]) -> SplitInfo:
    mine = [part for part in parts if part.split == split]
    return SplitInfo(
        records=sum(part.records for part in mine),
        class_counts=tuple(map(sum, zip(*(part.class_counts for part in mine)))),
        shards=tuple(ShardInfo(part.file, part.records, part.crc32c) for part in mine),
    )


def _statistics(parts: Sequence[Part]) -> dict[str, dict[str, list[float]]]:
    statistics = {}
    for key in COMPONENTS:
        total = sum((part.sums[key] for part in parts if part.split == TRAIN), BandSums())
        statistics[key] = total.describe()
    return statistics


def _counts(plan: Plan, parts: Sequence[Part]) -> dict[str, int]:
    """Returns what became of the files: by route, route and reason, rejected, left out, ignored."""
    counts = collections.Counter()
    for part in parts:
        counts.update(part.counts)
        counts["rejected"] += len(part.rejected)
    left_out = {"left out": plan.left_out} if plan.left_out else {}
    return {**dict(sorted(counts.items())), **left_out, "ignored": plan.ignored}
