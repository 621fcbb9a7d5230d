"""Is every byte of a data set what the preprocessing wrote? Shard by shard, in several threads."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import os
import re
import threading
from collections.abc import Callable, Sequence

from jpegkeras import dataset_info
from jpegkeras.dataset_info import DatasetInfo, ShardInfo, SplitInfo
from jpegkeras.errors import InputError
from jpegkeras.packing import pack
from jpegkeras.record_format import Record, read_record
from jpegkeras.sampling import COMPONENTS
from jpegkeras.transcoding import ROUTES, UNTOUCHED, Transcoding
from preprocess.filesystems import filesystem_of, join
from preprocess.inspection.files import checksum_file, read_records
from preprocess.sources import TRAIN
from preprocess.statistics import BandSums, SumsBuilder

RESTORE = "Restore it from a copy, or run preprocess.main again with --overwrite."
REMOVE = "Nothing reads it: move it away, or remove it."
RENAME = (
    "If the two were swapped, give each its own name; else restore it from a copy, or run "
    "preprocess.main again with --overwrite."
)
MAKE_READABLE = "Check its permissions and the disk."
REMAKE = "Run preprocess.main again with --overwrite."
_SHARD = re.compile(r".+-\d{5}-of-\d{5}\.tfrecord(\.gz)?")
_LEAST_THREADS, _MOST_THREADS = 2, 16


@dataclasses.dataclass(frozen=True)
class Problem:
    """What is wrong with one file of the data set, and what to do about it."""

    file: str
    what: str
    advice: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what}. {self.advice}"


@dataclasses.dataclass(frozen=True)
class Verification:
    """What was looked at, and what is wrong.

    `sizes`: the bytes of each shard that is there; `records`: how many were read, 0 if `quick`.
    """

    quick: bool
    sizes: dict[str, int]
    records: int
    problems: tuple[Problem, ...]

    @property
    def damaged(self) -> set[str]:
        """The files that have a problem."""
        return {problem.file for problem in self.problems}


@dataclasses.dataclass(frozen=True)
class _Content:
    """What the records of one shard are, or why they are not right.

    `sums`: of each component, for the train split alone.
    """

    problem: Problem | None = None
    records: int = 0
    labels: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    heights: frozenset[int] = frozenset()
    widths: frozenset[int] = frozenset()
    sums: tuple[BandSums, ...] = ()


def shard_sizes(directory: str, info: DatasetInfo) -> dict[str, int]:
    """Returns the bytes of each of the data set's shards that is there."""
    system, sizes = filesystem_of(directory), {}
    for split in info.splits.values():
        for shard in split.shards:
            try:
                sizes[shard.file] = system.status(join(directory, shard.file)).size
            except FileNotFoundError:
                continue
    return sizes


def verify(
    directory: str, info: DatasetInfo, *, quick: bool, report: Callable[[int], None]
) -> Verification:
    """Compares the shards with dataset.json: their CRC-32C and, unless `quick`, every record.

    `report` is called from several threads with bytes done: of each shard its size once, and once
    more for its records. Raises OSError where the folder cannot be listed.
    """
    sizes = shard_sizes(directory, info)
    problems = _check_info(info)
    contents = _check_shards(directory, info, sizes, quick=quick, report=report)
    problems += [content.problem for content in contents.values() if content.problem]
    problems += _find_extra(directory, info)
    if not quick and not problems:
        problems += _check_totals(info, contents)
    records = sum(content.records for content in contents.values())
    return Verification(quick, sizes, records, tuple(problems))


def _check_info(info: DatasetInfo) -> list[Problem]:
    """Looks for what dataset.json says of itself and cannot be."""
    found = []
    for name, split in info.splits.items():
        in_shards = sum(shard.records for shard in split.shards)
        if {sum(split.class_counts), in_shards} != {split.records}:
            found.append(
                f"{name} has {split.records} records, but {sum(split.class_counts)} in its classes "
                f"and {in_shards} in its shards"
            )
    found += _check_counts(info)
    found += _check_settings(info)
    return [Problem(dataset_info.FILE_NAME, what, REMAKE) for what in found]


def _check_counts(info: DatasetInfo) -> list[str]:
    """Compares what became of the source files with the records."""
    found = []
    records = sum(split.records for split in info.splits.values())
    routed = sum(info.counts.get(route, 0) for route in ROUTES)
    if routed != records:
        found.append(f"{records} records, but {routed} files that became one")
    for route in ROUTES:
        count = info.counts.get(route, 0)
        reasons = [info.counts[key] for key in info.counts if key.startswith(f"{route}: ")]
        # Each has a reason, and may have several.
        if max(reasons, default=0) > count or (route != UNTOUCHED and sum(reasons) < count):
            found.append(f"{count} files are {route}, but those of each reason {reasons}")
    files = info.settings.get("input")
    files = files.get("files") if isinstance(files, dict) else None
    rejected = info.counts.get("rejected", 0)
    if files is not None and records + rejected != files:
        found.append(f"{files} files, but {records} records and {rejected} rejected files")
    return found


def _check_settings(info: DatasetInfo) -> list[str]:
    """Compares what dataset.json says twice or thrice."""
    transcoding = Transcoding.recorded(info.transcoding)
    said = [
        ("num_frequencies", info.num_frequencies, transcoding.num_frequencies),
        ("sampling", info.sampling, transcoding.subsampling),
        ("compression", info.compression, info.settings.get("compression", info.compression)),
        *(
            (f"transcoding/{key}", value, info.settings.get(key, value))
            for key, value in info.transcoding.items()
        ),
    ]
    return [
        f"{key} is {one}, but {other} elsewhere in it" for key, one, other in said if one != other
    ]


class _StoppedError(Exception):
    """The check was interrupted."""


def _check_shards(
    directory: str,
    info: DatasetInfo,
    sizes: dict[str, int],
    *,
    quick: bool,
    report: Callable[[int], None],
) -> dict[str, _Content]:
    shards = [shard for split in info.splits.values() for shard in split.shards]
    owners = {shard.crc32c: shard.file for shard in shards}
    train = frozenset(shard.file for shard in info.splits[TRAIN].shards)
    stop = threading.Event()

    def advance(count: int) -> None:
        if stop.is_set():
            raise _StoppedError
        report(count)

    def check(shard: ShardInfo) -> _Content:
        if shard.file not in sizes:
            return _Content(Problem(shard.file, "missing", RESTORE))
        try:
            found = checksum_file(join(directory, shard.file), advance)
            if found != shard.crc32c:
                owner = owners.get(found)
                return _Content(_blame(directory, info, shard, found, owner, advance))
            if quick:
                return _Content()
            with_sums = shard.file in train
            return _read(directory, info, shard, sizes[shard.file], advance, with_sums=with_sums)
        except MemoryError:
            return _Content(
                Problem(shard.file, "a record needs more memory than there is", RESTORE)
            )
        except OSError as error:
            what = f"it cannot be read ({error.strerror or error})"
            return _Content(Problem(shard.file, what, MAKE_READABLE))

    threads = min(max(os.cpu_count() or 1, _LEAST_THREADS), _MOST_THREADS)
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        try:
            contents = list(pool.map(check, shards))
        except BaseException:
            stop.set()
            raise
    return {shard.file: content for shard, content in zip(shards, contents)}


def _blame(
    directory: str,
    info: DatasetInfo,
    shard: ShardInfo,
    found: str,
    owner: str | None,
    report: Callable[[int], None],
) -> Problem:
    """Says in what a shard differs whose CRC-32C is `found`, that of the shard `owner` if any."""
    if owner is not None:
        return Problem(shard.file, f"it holds what belongs into {owner}", RENAME)
    problem = _read(directory, info, shard, 0, report).problem
    if problem is not None:
        return problem
    what = (
        f"its CRC-32C is {found}, not the {shard.crc32c} of dataset.json, although "
        "its records can be read"
    )
    return Problem(shard.file, what, RESTORE)


def _read(
    directory: str,
    info: DatasetInfo,
    shard: ShardInfo,
    size: int,
    report: Callable[[int], None],
    *,
    with_sums: bool = False,
) -> _Content:
    """Reads every record of a shard."""
    labels, heights, widths = collections.Counter(), set(), set()
    sums = [SumsBuilder() for _ in COMPONENTS] if with_sums else []
    place = 0
    try:
        with read_records(directory, shard.file, info.compression) as records:
            for place, serialized in enumerate(records, 1):  # noqa: B007
                record = _parse(serialized, place - 1)
                _check_record(record, info, place - 1)
                labels[record.label] += 1
                heights.add(record.image.height)
                widths.add(record.image.width)
                for builder, component in zip(sums, record.image.components):
                    builder.add(pack(component.coefficients), component.quantization)
                report(size // max(shard.records, 1))
    except InputError as error:
        return _Content(Problem(shard.file, _without_path(error, shard.file), RESTORE))
    if place != shard.records:
        what = f"{place} records, where dataset.json has {shard.records}"
        return _Content(Problem(shard.file, what, RESTORE))
    built = tuple(builder.build() for builder in sums)
    return _Content(None, place, labels, frozenset(heights), frozenset(widths), built)


def _parse(serialized: bytes, place: int) -> Record:
    try:
        return read_record(serialized)
    except InputError as error:
        raise InputError(f"record {place}: {error}") from error


def _check_record(record: Record, info: DatasetInfo, place: int) -> None:
    """Raises InputError for a record that does not belong into this data set.

    That its shapes fit each other has been checked when it was read.
    """
    image = record.image
    if image.num_frequencies != info.num_frequencies:
        what = f"{image.num_frequencies} frequencies, where the data set has {info.num_frequencies}"
    elif image.subsampling != info.sampling:
        what = f"sampling {image.subsampling}, where the data set has {info.sampling}"
    elif not 0 <= record.label < len(info.classes):
        what = f"label {record.label}, where the data set has {len(info.classes)} classes"
    elif record.coarse_label != info.classes[record.label].coarse:
        what = (
            f"coarse label {record.coarse_label}, where that of class {record.label} is "
            f"{info.classes[record.label].coarse}"
        )
    else:
        return
    raise InputError(f"record {place}: {what}")


def _without_path(error: InputError, file: str) -> str:
    """Returns the message without the path of the shard, by which it may begin."""
    message = str(error)
    if file in message:
        message = message[message.index(file) + len(file) :].lstrip(": ")
    return message.rstrip(".")


def _find_extra(directory: str, info: DatasetInfo) -> list[Problem]:
    ours = {shard.file for split in info.splits.values() for shard in split.shards}
    names = filesystem_of(directory).names(directory)
    return [
        Problem(name, "a shard that dataset.json does not name", REMOVE)
        for name in sorted(set(names) - ours)
        if _SHARD.fullmatch(name)
    ]


def _check_totals(info: DatasetInfo, contents: dict[str, _Content]) -> list[Problem]:
    """Compares what all records together say with dataset.json."""
    found = []
    for name, split in info.splits.items():
        found += _check_classes(name, split, [contents[shard.file] for shard in split.shards])
    for axis, key in ((0, "heights"), (1, "widths")):
        sides = frozenset().union(*(getattr(content, key) for content in contents.values()))
        said = (info.smallest[axis], info.largest[axis])
        if sides and (min(sides), max(sides)) != said:
            found.append(
                f"{key} are from {said[0]} to {said[1]}, but those of the records from "
                f"{min(sides)} to {max(sides)}"
            )
    found += _check_statistics(info, [contents[shard.file] for shard in info.splits[TRAIN].shards])
    return [Problem(dataset_info.FILE_NAME, what, REMAKE) for what in found]


def _check_classes(name: str, split: SplitInfo, contents: Sequence[_Content]) -> list[str]:
    labels = sum((content.labels for content in contents), collections.Counter())
    wrong = [label for label, count in enumerate(split.class_counts) if labels[label] != count]
    if not wrong:
        return []
    return [
        f"{name} has {split.class_counts[wrong[0]]} records of class {wrong[0]}, but its shards "
        f"hold {labels[wrong[0]]} ({len(wrong)} classes differ)"
    ]


def _check_statistics(info: DatasetInfo, contents: Sequence[_Content]) -> list[str]:
    """Compares the statistics, which are rounded once and thus the same to the last digit."""
    found = []
    for key, *sums in zip(COMPONENTS, *(content.sums for content in contents)):
        total = sum(sums, BandSums())
        expected = total.describe() if total.blocks else {}
        for name, values in expected.items():
            said = info.statistics[key][name]
            wrong = [band for band, value in enumerate(values) if said[band] != value]
            if wrong:
                found.append(
                    f"the {name} of band {wrong[0]} of {key} is {said[wrong[0]]}, but that of the "
                    f"records {values[wrong[0]]} ({len(wrong)} bands differ)"
                )
    return found
