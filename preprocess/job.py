"""The job: plan → shards → dataset.json."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import pathlib
import time
from collections.abc import Sequence

import jpegkeras
from jpegkeras.dataset_info import DatasetInfo, ShardInfo, SplitInfo, load_dataset_info
from jpegkeras.errors import InputError
from jpegkeras.files import locked
from jpegkeras.sampling import COMPONENTS
from preprocess import output, report
from preprocess.config import PreprocessConfig
from preprocess.engines import local
from preprocess.parts import Part, load_part
from preprocess.plan import Plan, ShardPlan, classes_without_training, make_plan
from preprocess.sources import SPLITS, TRAIN
from preprocess.statistics import BandSums
from preprocess.tables import write_table
from preprocess.tasks import ShardTask

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
    `config.max_rejected` are rejected; OSError where something cannot be written;
    `local.WorkerDiedError`. After any of these, and after a kill, the same call continues where the
    last one stopped.
    """
    start = time.monotonic()
    plan = make_plan(config)
    with locked(config.output_dir, "--output_dir") as directory:
        state = output.prepare(directory, plan, overwrite=config.overwrite)
        if state is output.State.FINISHED:
            return Result(load_dataset_info(directory), finished_before=True)
        _warn(plan)
        parts, images = _make_parts(config, plan, directory)
        info = _describe(config, plan, parts)
        info.save(directory)
        output.remove_working_files(directory)
    return Result(
        info=info,
        images=images,
        seconds=time.monotonic() - start,
        bytes_in=sum(part.bytes_in for part in parts),
        bytes_out=sum(part.bytes_out for part in parts),
    )


def _warn(plan: Plan) -> None:
    untrained = classes_without_training(plan)
    if untrained:
        report.say(
            f"warning: {len(untrained)} of {len(plan.classes)} classes have test images, but none "
            f"to learn them from; the first is {untrained[0]!r}."
        )


def _make_parts(
    config: PreprocessConfig, plan: Plan, directory: pathlib.Path
) -> tuple[list[Part], int]:
    """Returns all shards' parts in order, and how many images this run went through."""
    loaded = [load_part(directory, shard.file) for shard in plan.shards]
    parts = {part.file: part for part in loaded if part is not None}
    missing = [shard for shard in plan.shards if shard.file not in parts]
    if parts:
        report.say(f"Continuing: {len(parts)} of {len(plan.shards)} shards are there already.")
    tasks = [_make_task(config, plan, shard, directory) for shard in missing]
    images = sum(len(shard.images) for shard in missing)
    try:
        _check_rejected(config, plan, parts.values())
        size = sum(shard.size for shard in missing)
        with (
            report.progress(images, size) as progress,
            contextlib.closing(local.run(tasks, config.workers, progress)) as finished,
        ):
            for part in finished:
                parts[part.file] = part
                _check_rejected(config, plan, parts.values())
    finally:
        ordered = [parts[shard.file] for shard in plan.shards if shard.file in parts]
        _write_rejected(plan, ordered, directory)
        output.remove_temporaries(directory)  # of workers that were killed
    _check_records(ordered)
    return ordered, images


def _make_task(
    config: PreprocessConfig, plan: Plan, shard: ShardPlan, directory: pathlib.Path
) -> ShardTask:
    return ShardTask(
        shard=shard,
        root=plan.root,
        directory=directory,
        classes=plan.classes,
        transcoding=config.transcoding,
        compression=config.compression,
    )


def _check_rejected(config: PreprocessConfig, plan: Plan, parts: Sequence[Part]) -> None:
    """Raises InputError as soon as too many files are rejected, rather than after hours."""
    rejected = [entry for part in parts for entry in part.rejected]
    total = sum(len(shard.images) for shard in plan.shards)
    if len(rejected) <= config.max_rejected * total and len(rejected) < total:
        return
    path = pathlib.Path(config.output_dir) / output.REJECTED_FILE
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


def _write_rejected(plan: Plan, parts: Sequence[Part], directory: pathlib.Path) -> None:
    rows = sorted(
        (entry.path, part.split, plan.classes[entry.label].name, entry.reason)
        for part in parts
        for entry in part.rejected
    )
    write_table(directory / output.REJECTED_FILE, REJECTED_HEADER, rows)


def _describe(config: PreprocessConfig, plan: Plan, parts: Sequence[Part]) -> DatasetInfo:
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
            "input_dir": config.input_dir,
            "input_csv": config.input_csv,
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
        shards=tuple(ShardInfo(part.file, part.records, part.sha256) for part in mine),
    )


def _statistics(parts: Sequence[Part]) -> dict[str, dict[str, list[float]]]:
    statistics = {}
    for key in COMPONENTS:
        total = sum((part.sums[key] for part in parts if part.split == TRAIN), BandSums())
        statistics[key] = {"mean": total.mean(), "std": total.std()}
    return statistics


def _counts(plan: Plan, parts: Sequence[Part]) -> dict[str, int]:
    """Returns what became of the files: by route, by route and reason, rejected, and ignored."""
    counts = collections.Counter()
    for part in parts:
        counts.update(part.counts)
        counts["rejected"] += len(part.rejected)
    return {**dict(sorted(counts.items())), "ignored": plan.ignored}
