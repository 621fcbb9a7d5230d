"""Records chosen evenly over a split."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

import numpy as np

from jpegkeras.dataset_info import DatasetInfo
from jpegkeras.errors import InputError
from jpegkeras.record_format import Record, read_record
from preprocess.inspection.files import read_records


@dataclasses.dataclass(frozen=True)
class Choice:
    """So many `samples` of a split, by a seed; those in the `damaged` shards are left out."""

    split: str
    samples: int
    seed: int = 0
    damaged: Collection[str] = ()


@dataclasses.dataclass(frozen=True)
class Sample:
    """A record and its index in its split, from 0."""

    record: Record
    index: int


def choose_places(records: int, samples: int, seed: int) -> list[int]:
    """Returns which of `records` to take: one at random of each of so many equal stretches."""
    samples = min(samples, records)
    rng = np.random.default_rng(seed)
    bounds = [number * records // samples for number in range(samples + 1)] if samples else []
    return [int(rng.integers(first, last)) for first, last in zip(bounds, bounds[1:])]


def read_samples(directory: str, info: DatasetInfo, choice: Choice) -> list[Sample]:
    """Reads the records of a choice in their order; of each shard no more than is needed.

    Raises InputError for a record that cannot be read.
    """
    split = info.splits[choice.split]
    places = choose_places(split.records, choice.samples, choice.seed)
    found, first = [], 0
    for shard in split.shards:
        wanted = {place - first for place in places if first <= place < first + shard.records}
        if wanted and shard.file not in choice.damaged:
            records = _read(directory, info, shard.file, wanted)
            found += [Sample(record, first + place) for place, record in records]
        first += shard.records
    return found


def _read(
    directory: str, info: DatasetInfo, shard: str, wanted: set[int]
) -> list[tuple[int, Record]]:
    with read_records(directory, shard, info.compression) as records:
        return [
            (place, _parse(serialized, info, shard, place))
            for place, serialized in zip(range(max(wanted) + 1), records)
            if place in wanted
        ]


def _parse(serialized: bytes, info: DatasetInfo, shard: str, place: int) -> Record:
    try:
        record = read_record(serialized)
    except InputError as error:
        raise InputError(f"{shard}: record {place}: {error}") from error
    if not 0 <= record.label < len(info.classes):
        classes = len(info.classes)
        raise InputError(
            f"{shard}: record {place}: label {record.label}, where the data set has {classes} "
            "classes. Run preprocess.inspect without --quick to see all that is wrong."
        )
    return record
