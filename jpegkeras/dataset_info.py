"""`dataset.json`: what a folder of shards holds, and every setting that made it."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pathlib
import reprlib
from collections.abc import Iterable
from typing import Any

from jpegkeras.dataset_checks import ContentError, check_content
from jpegkeras.errors import InputError
from jpegkeras.files import file_crc32c, write_text
from jpegkeras.record_format import SCHEMA_VERSION
from jpegkeras.tfrecord_files import read_tfrecords

FILE_NAME = "dataset.json"
COMPRESSIONS = {"gzip": "GZIP", "none": ""}
#: What to do about a dataset.json that cannot be used.
ADVICE = "Restore it from a copy, or run the preprocessing again with --overwrite."


@dataclasses.dataclass(frozen=True)
class ClassInfo:
    """One fine class: its id (folder or CSV label), readable title and coarse class's index."""

    name: str
    title: str
    coarse: int


@dataclasses.dataclass(frozen=True)
class ShardInfo:
    """One shard: its file name, its number of records and its CRC-32C, 8 hexadecimal digits."""

    file: str
    records: int
    crc32c: str


@dataclasses.dataclass(frozen=True)
class SplitInfo:
    """One split: its number of records, the records of each fine class, and its shards in order."""

    records: int
    class_counts: tuple[int, ...]
    shards: tuple[ShardInfo, ...]


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """Everything about a data set but its records.

    `statistics[component]["mean" | "std" | "zeros" | "energy"]` has one float for each of the
    `num_frequencies` bands, in zigzag order: of the *dequantised* coefficients of the train split,
    in units of sample levels times the orthonormal DCT's scale (T.81 A.3.3), so that a DC of 8 is
    one level; `zeros` is the share of them that are 0, `energy` the mean of their squares.
    `smallest` and
    `largest` are the (height, width) in pixels over all records, each side on its own.
    `transcoding` are the settings that a JPEG must pass through to look like these records;
    `counts` says what became of the source files.
    """

    num_frequencies: int
    sampling: str
    compression: str
    classes: tuple[ClassInfo, ...]
    coarse_classes: tuple[str, ...]
    splits: dict[str, SplitInfo]
    smallest: tuple[int, int]
    largest: tuple[int, int]
    statistics: dict[str, dict[str, list[float]]]
    transcoding: dict[str, Any]
    settings: dict[str, Any]
    counts: dict[str, int]
    jpegkeras_version: str
    schema_version: int = SCHEMA_VERSION

    def class_names(self, task: str) -> list[str]:
        """Returns the readable names of the task's classes, in the order of their labels."""
        if task == "coarse":
            return list(self.coarse_classes)
        return [entry.title for entry in self.classes]

    def to_json(self) -> str:
        """Returns the content of `dataset.json`."""
        return json.dumps(dataclasses.asdict(self), indent=1, allow_nan=False) + "\n"

    def save(self, directory: str | os.PathLike) -> pathlib.Path:
        """Writes `dataset.json` into `directory`, whole or not at all."""
        path = pathlib.Path(directory) / FILE_NAME
        write_text(path, self.to_json())
        return path


def load_dataset_info(directory: str | os.PathLike) -> DatasetInfo:
    """Reads `directory/dataset.json`.

    Raises InputError where it is missing, is not JSON, is of another schema version, lacks a key,
    or names a shard that is not there.
    """
    path = pathlib.Path(directory) / FILE_NAME
    if not path.is_file():
        raise InputError(
            f"{path}: no data set here. Make one with: python -m preprocess.main --input_dir=… "
            f"--output_dir={directory}"
        )
    info = parse_dataset_info(path.read_bytes(), path)
    check_shards(info, directory, [entry.name for entry in path.parent.iterdir()])
    return info


def parse_dataset_info(content: bytes, path: str | os.PathLike) -> DatasetInfo:
    """Returns what the content of the `dataset.json` at `path` says.

    Raises InputError where it is not JSON, is of another schema version, lacks a key, or has what
    no data set has: see `dataset_checks`. `zeros` and `energy` may be missing, as nothing is
    trained with them.
    """
    try:
        content = _parse_json(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON ({error}). {ADVICE}") from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if type(version) is not int or version != SCHEMA_VERSION:
        raise InputError(
            f"{path}: schema version {reprlib.repr(version)}, but this jpegkeras reads version "
            f"{SCHEMA_VERSION}. Run the preprocessing again with this version, and --overwrite."
        )
    try:
        check_content(
            content, [field.name for field in dataclasses.fields(DatasetInfo)], COMPRESSIONS
        )
    except ContentError as error:
        raise InputError(f"{path}: {error}. {ADVICE}") from error
    return _from_json(content)


def check_shards(info: DatasetInfo, directory: str | os.PathLike, names: Iterable[str]) -> None:
    """Raises InputError for a shard that is not among the `names` of the folder's files."""
    names = set(names)
    for split in info.splits.values():
        for shard in split.shards:
            if shard.file not in names:
                raise InputError(
                    f"{os.path.join(directory, shard.file)}: this shard is missing. Restore it, or "  # noqa: PTH118
                    "run the preprocessing again with --overwrite."
                )


def find_damaged_shards(directory: str | os.PathLike, info: DatasetInfo) -> list[str]:
    """Returns the names of the shards that are missing or whose CRC-32C is another one."""
    shards = [shard for split in info.splits.values() for shard in split.shards]
    paths = [pathlib.Path(directory) / shard.file for shard in shards]
    return [
        shard.file
        for shard, path in zip(shards, paths)
        if not path.exists() or file_crc32c(path) != shard.crc32c
    ]


def find_damage(directory: str | os.PathLike, info: DatasetInfo) -> list[str]:
    """Returns a line for each damaged shard: its file name, the record, and what is wrong with it.

    Reads every shard for its CRC-32C, and the damaged ones record by record. Raises OSError for one
    that is there and cannot be read.
    """
    damaged = find_damaged_shards(directory, info)
    shards = [shard for split in info.splits.values() for shard in split.shards]
    return [
        f"{shard.file}: {_describe_damage(pathlib.Path(directory) / shard.file, shard, info)}"
        for shard in shards
        if shard.file in damaged
    ]


def _describe_damage(path: pathlib.Path, shard: ShardInfo, info: DatasetInfo) -> str:
    if not path.exists():
        return "it is missing"
    count = 0
    try:
        for _ in read_tfrecords(path, info.compression):
            count += 1
    except InputError as error:
        return str(error).replace(f"{path}: ", "").rstrip(".")
    if count != shard.records:
        return f"it ends after {count} of {shard.records} records"
    return "its records can be read, but they are not those that were written"


def _parse_json(text: bytes) -> Any:  # noqa: ANN401
    content = json.loads(text, parse_float=_parse_float, parse_constant=_parse_float)
    # Raises UnicodeError, a ValueError, for halves of characters, which nothing can print.
    json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogateescape")
    return content


def _parse_float(text: str) -> float:
    """Returns a number; JSON has neither NaN nor infinity, which Python's would read."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no finite number")
    return value


def _from_json(content: dict[str, Any]) -> DatasetInfo:
    splits = {
        name: SplitInfo(
            records=split["records"],
            class_counts=tuple(split["class_counts"]),
            shards=tuple(ShardInfo(**shard) for shard in split["shards"]),
        )
        for name, split in content["splits"].items()
    }
    return DatasetInfo(
        **{
            **content,
            "classes": tuple(ClassInfo(**entry) for entry in content["classes"]),
            "coarse_classes": tuple(content["coarse_classes"]),
            "splits": splits,
            "smallest": tuple(content["smallest"]),
            "largest": tuple(content["largest"]),
        }
    )
