"""`dataset.json`: what a folder of shards holds, and every setting that made it."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from typing import Any

from jpegkeras.errors import InputError
from jpegkeras.files import file_sha256, write_json

FILE_NAME = "dataset.json"
SCHEMA_VERSION = 1
COMPRESSIONS = {"gzip": "GZIP", "none": ""}


@dataclasses.dataclass(frozen=True)
class ClassInfo:
    """One fine class: its id (folder or CSV label), readable title and coarse class's index."""

    name: str
    title: str
    coarse: int


@dataclasses.dataclass(frozen=True)
class ShardInfo:
    """One shard: its file name, its number of records and its SHA-256 in hexadecimal."""

    file: str
    records: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class SplitInfo:
    """One split: its number of records, the records of each fine class, and its shards in order."""

    records: int
    class_counts: tuple[int, ...]
    shards: tuple[ShardInfo, ...]


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """Everything about a data set but its records.

    `statistics[component]["mean" | "std"]` has one float for each of the `num_frequencies` bands,
    in zigzag order: of the *dequantised* coefficients of the train split, in units of sample levels
    times the orthonormal DCT's scale (T.81 A.3.3), so that a DC of 8 is one level. `smallest` and
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

    def save(self, directory: str | os.PathLike) -> pathlib.Path:
        """Writes `dataset.json` into `directory`, whole or not at all."""
        path = pathlib.Path(directory) / FILE_NAME
        write_json(path, dataclasses.asdict(self))
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
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise InputError(
            f"{path}: not valid JSON ({error}). Run the preprocessing again."
        ) from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{path}: schema version {version!r}, but this jpegkeras reads version "
            f"{SCHEMA_VERSION}. Run the preprocessing again with this version."
        )
    try:
        info = _from_json(content)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: incomplete ({error!r}). Run the preprocessing again.") from error
    for split in info.splits.values():
        for shard in split.shards:
            if not path.with_name(shard.file).is_file():
                raise InputError(
                    f"{path.with_name(shard.file)}: this shard is missing. Restore it, or run the "
                    "preprocessing again with --overwrite."
                )
    return info


def find_damaged_shards(directory: str | os.PathLike, info: DatasetInfo) -> list[str]:
    """Returns the file names of the shards whose SHA-256 is not that of `dataset.json`."""
    shards = [shard for split in info.splits.values() for shard in split.shards]
    return [
        shard.file
        for shard in shards
        if file_sha256(pathlib.Path(directory) / shard.file) != shard.sha256
    ]


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
