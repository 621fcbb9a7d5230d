"""Is the content of a `dataset.json` of the types, lengths and ranges that `DatasetInfo` has?"""

from __future__ import annotations

import dataclasses
import re
import reprlib
from collections.abc import Collection, Sequence
from typing import Any

from jpegkeras.sampling import BLOCK, COMPONENTS, SAMPLINGS
from jpegkeras.transcoding import Transcoding

_SPLITS = ("train", "test")
_MOST_BANDS = BLOCK * BLOCK
# T.81 B.2.2: sizes have 16 bits.
_LONGEST_SIDE = 65_535
_MOST_RECORDS = 1 << 48
# A dequantised coefficient is below 2^31, so that its square is below 2^62.
_LARGEST = float(1 << 62)
# Least and largest of each statistic, and whether one can do without it to train.
_STATISTICS = {
    "mean": (-_LARGEST, _LARGEST),
    "std": (0.0, _LARGEST),
    "zeros": (0.0, 1.0),
    "energy": (0.0, _LARGEST),
}
_NEEDED_STATISTICS = ("mean", "std")
_FILE_NAME = re.compile(r"\w[\w.-]*", re.ASCII)
_CRC32C = re.compile(r"[0-9a-f]{8}")
_SIZES = ("smallest", "largest")


class ContentError(ValueError):
    """What is wrong with the content: "splits/train/records is -1; expected …"."""


def check_content(
    content: dict[str, Any], keys: Collection[str], compressions: Collection[str]
) -> None:
    """Raises ContentError for the first thing in `content` that a data set cannot have.

    `keys`: those that it must have, and no others; `compressions`: those that there are. Whether
    the numbers are those of the records is not looked at.
    """
    _check_object(content, "", keys)
    bands = _check_number(content["num_frequencies"], "num_frequencies", 1, _MOST_BANDS)
    _check_choice(content["sampling"], "sampling", SAMPLINGS)
    _check_choice(content["compression"], "compression", compressions)
    _check_text(content["jpegkeras_version"], "jpegkeras_version")
    _check_classes(content["classes"], content["coarse_classes"])
    _check_splits(content["splits"], len(content["classes"]))
    _check_sizes(content)
    _check_statistics(content["statistics"], bands)
    _check_transcoding(content["transcoding"])
    _check_object(content["settings"], "settings")
    _check_object(content["counts"], "counts")
    for key, count in content["counts"].items():
        _check_number(count, f"counts/{key}", 0, _MOST_RECORDS)


def _check_classes(classes: Any, coarse_classes: Any) -> None:  # noqa: ANN401
    _check_list(coarse_classes, "coarse_classes")
    for index, name in enumerate(coarse_classes):
        _check_text(name, f"coarse_classes/{index}")
    _check_list(classes, "classes")
    for index, entry in enumerate(classes):
        where = f"classes/{index}"
        _check_object(entry, where, ("name", "title", "coarse"))
        _check_text(entry["name"], f"{where}/name")
        _check_text(entry["title"], f"{where}/title")
        _check_number(entry["coarse"], f"{where}/coarse", 0, len(coarse_classes) - 1)


def _check_splits(splits: Any, classes: int) -> None:  # noqa: ANN401
    _check_object(splits, "splits", _SPLITS)
    files = set()
    for name, split in splits.items():
        where = f"splits/{name}"
        _check_object(split, where, ("records", "class_counts", "shards"))
        _check_number(split["records"], f"{where}/records", 0, _MOST_RECORDS)
        _check_list(split["class_counts"], f"{where}/class_counts", classes)
        for label, count in enumerate(split["class_counts"]):
            _check_number(count, f"{where}/class_counts/{label}", 0, _MOST_RECORDS)
        _check_list(split["shards"], f"{where}/shards")
        for index, shard in enumerate(split["shards"]):
            _check_shard(shard, f"{where}/shards/{index}")
            if shard["file"] in files:
                raise ContentError(f"{where}/shards/{index}/file is that of another shard too")
            files.add(shard["file"])


def _check_shard(shard: Any, where: str) -> None:  # noqa: ANN401
    _check_object(shard, where, ("file", "records", "crc32c"))
    _check_number(shard["records"], f"{where}/records", 0, _MOST_RECORDS)
    for key, pattern, expected in (
        ("file", _FILE_NAME, "the name of a file in this folder"),
        ("crc32c", _CRC32C, "8 hexadecimal digits"),
    ):
        if not isinstance(shard[key], str) or not pattern.fullmatch(shard[key]):
            raise _unexpected(shard[key], f"{where}/{key}", expected)


def _check_sizes(content: dict[str, Any]) -> None:
    for key in _SIZES:
        _check_list(content[key], key, 2)
        for axis, side in enumerate(content[key]):
            _check_number(side, f"{key}/{axis}", 1, _LONGEST_SIDE)
    smallest, largest = (content[key] for key in _SIZES)
    if any(low > high for low, high in zip(smallest, largest)):
        raise ContentError(f"smallest is {smallest}, but largest {largest}")


def _check_statistics(statistics: Any, bands: int) -> None:  # noqa: ANN401
    _check_object(statistics, "statistics", COMPONENTS)
    for component, known in statistics.items():
        where = f"statistics/{component}"
        _check_object(known, where, _NEEDED_STATISTICS, _STATISTICS)
        for name, values in known.items():
            _check_list(values, f"{where}/{name}", bands)
            low, high = _STATISTICS[name]
            for band, value in enumerate(values):
                # A truth value is an int to Python, and NaN fails every comparison.
                if type(value) not in (int, float) or not low <= value <= high:
                    expected = f"a number from {low:g} to {high:g}"
                    raise _unexpected(value, f"{where}/{name}/{band}", expected)


def _check_transcoding(settings: Any) -> None:  # noqa: ANN401
    defaults = {field.name: field.default for field in dataclasses.fields(Transcoding)}
    _check_object(settings, "transcoding", (), defaults)
    for key, value in settings.items():
        # What is None unless it is given is a whole number.
        kinds = (int, type(None)) if defaults[key] is None else (type(defaults[key]),)
        if type(value) not in kinds:
            names = " or ".join(kind.__name__ for kind in kinds).replace("NoneType", "null")
            raise _unexpected(value, f"transcoding/{key}", names)
    try:
        Transcoding.recorded(settings)
    except ValueError as error:
        raise ContentError(f"transcoding: {str(error).rstrip('.')}") from error


def _check_object(
    value: Any,  # noqa: ANN401
    where: str,
    needed: Sequence[str] | None = None,
    others: Collection[str] = (),
) -> None:
    """Checks the keys of an object; any will do if `needed` is None."""
    if not isinstance(value, dict):
        raise _unexpected(value, where, "an object")
    if needed is None:
        return
    prefix = f"{where}/" if where else ""
    missing = [key for key in needed if key not in value]
    if missing:
        raise ContentError(f"incomplete: {prefix}{missing[0]} is missing")
    unknown = [key for key in value if key not in needed and key not in others]
    if unknown:
        raise ContentError(f"{prefix}{reprlib.repr(unknown[0])} is nothing that a data set has")


def _check_list(value: Any, where: str, length: int | None = None) -> None:  # noqa: ANN401
    """Checks that it is a list, of so many values, or of one at least."""
    if not isinstance(value, list):
        raise _unexpected(value, where, "a list")
    if length is None and not value:
        raise ContentError(f"{where} is empty")
    if length is not None and len(value) != length:
        raise ContentError(f"{where} has {len(value)} values; expected {length}")


def _check_number(value: Any, where: str, low: int, high: int) -> int:  # noqa: ANN401
    if type(value) is not int or not low <= value <= high:
        raise _unexpected(value, where, f"a whole number from {low} to {high}")
    return value


def _check_choice(value: Any, where: str, choices: Collection[str]) -> None:  # noqa: ANN401
    if not isinstance(value, str) or value not in choices:
        raise _unexpected(value, where, f"one of {', '.join(choices)}")


def _check_text(value: Any, where: str) -> None:  # noqa: ANN401
    if not isinstance(value, str):
        raise _unexpected(value, where, "text")


def _unexpected(value: Any, where: str, expected: str) -> ContentError:  # noqa: ANN401
    return ContentError(f"{where} is {reprlib.repr(value)}; expected {expected}")
