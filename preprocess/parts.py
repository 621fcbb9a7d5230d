"""What is known of one finished shard, kept beside it until the data set is whole."""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Iterable
from typing import Any

from jpegkeras.record_format import PackedImage
from jpegkeras.sampling import COMPONENTS
from preprocess.filesystems import filesystem_of, join
from preprocess.statistics import BandSums, SumsBuilder
from preprocess.workplace import part_path
from preprocess.writing import write_json


@dataclasses.dataclass(frozen=True)
class Rejected:
    """A file that cannot be used: its path below the root, its class's index, and a line why."""

    path: str
    label: int
    reason: str


@dataclasses.dataclass(frozen=True)
class Part:
    """One finished shard.

    `class_counts[label]` are its records; `counts` what became of its files, by route and by
    reason, of which a file may have several; `smallest` and `largest` (height, width) over its
    records, each side on its own, None without records; `sums` of each component, for the train
    split alone.
    """

    file: str
    split: str
    records: int
    crc32c: str
    bytes_in: int
    bytes_out: int
    class_counts: tuple[int, ...]
    counts: dict[str, int]
    rejected: tuple[Rejected, ...]
    smallest: tuple[int, int] | None
    largest: tuple[int, int] | None
    sums: dict[str, BandSums]


class PartBuilder:
    """Collects what there is to say about a shard while it is written."""

    def __init__(self, file: str, split: str, num_classes: int):
        self._file = file
        self._split = split
        self._class_counts = [0] * num_classes
        self._counts: collections.Counter = collections.Counter()
        self._rejected: list[Rejected] = []
        self._smallest: tuple[int, int] | None = None
        self._largest: tuple[int, int] | None = None
        self._sums = {key: SumsBuilder() for key in COMPONENTS}
        self._bytes_in = 0

    def add_record(self, label: int, size: tuple[int, int], bytes_in: int) -> None:
        """Counts a record of `label` and of (height, width), made from a file of `bytes_in`."""
        self._class_counts[label] += 1
        self._smallest = tuple(map(min, self._smallest or size, size))
        self._largest = tuple(map(max, self._largest or size, size))
        self._bytes_in += bytes_in

    def add_route(self, route: str, reasons: Iterable[str]) -> None:
        """Counts the way that a file took, and each reason why."""
        self._counts[route] += 1
        self._counts.update(f"{route}: {reason}" for reason in reasons)

    def add_sums(self, image: PackedImage) -> None:
        """Adds the sums of one image."""
        for key, plane, table in zip(COMPONENTS, image.planes, image.quantization):
            self._sums[key].add(plane, table)

    def reject(self, path: str, label: int, error: Exception) -> None:
        """Notes that a file cannot be used."""
        reason = " ".join(str(error).split()) or type(error).__name__
        self._rejected.append(Rejected(path, label, reason))

    def build(self, crc32c: str, bytes_out: int) -> Part:
        """Returns the part of the finished shard."""
        return Part(
            file=self._file,
            split=self._split,
            records=sum(self._class_counts),
            crc32c=crc32c,
            bytes_in=self._bytes_in,
            bytes_out=bytes_out,
            class_counts=tuple(self._class_counts),
            counts=dict(sorted(self._counts.items())),
            rejected=tuple(self._rejected),
            smallest=self._smallest,
            largest=self._largest,
            sums={key: sums.build() for key, sums in self._sums.items()},
        )


def save_part(directory: str, part: Part) -> None:
    """Writes the part, which says that the shard is in its place and whole."""
    write_json(part_path(directory, part.file), dataclasses.asdict(part))


def load_part(directory: str, shard: str) -> Part | None:
    """Returns the part of a shard that is finished, else None."""
    system = filesystem_of(directory)
    try:
        part = _from_json(json.loads(system.read(part_path(directory, shard))))
        size = system.status(join(directory, shard)).size
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return part if part.bytes_out == size else None


def _from_json(content: dict[str, Any]) -> Part:
    return Part(
        **{
            **content,
            "class_counts": tuple(content["class_counts"]),
            "rejected": tuple(Rejected(**entry) for entry in content["rejected"]),
            "smallest": content["smallest"] and tuple(content["smallest"]),
            "largest": content["largest"] and tuple(content["largest"]),
            "sums": {
                key: BandSums(
                    value["blocks"],
                    tuple(value["total"]),
                    tuple(value["squares"]),
                    tuple(value["zeros"]),
                )
                for key, value in content["sums"].items()
            },
        }
    )
