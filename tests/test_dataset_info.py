from __future__ import annotations

import copy
import dataclasses
import json

import pytest

from jpegkeras.dataset_info import (
    ClassInfo,
    DatasetInfo,
    ShardInfo,
    SplitInfo,
    load_dataset_info,
    parse_dataset_info,
)
from jpegkeras.errors import InputError


@pytest.fixture
def info(tmp_path):
    """A data set of two shards in `tmp_path`; its name holds a byte that is not UTF-8."""
    names = ("train-00000-of-00001.tfrecord", "test-00000-of-00001.tfrecord")
    for name in names:
        (tmp_path / name).write_bytes(b"")
    bands = {"mean": [0.5, -1.25], "std": [1.0, 1e-3], "zeros": [0.0, 0.5], "energy": [1.0, 2]}
    info = DatasetInfo(
        num_frequencies=2,
        sampling="4:2:0",
        compression="none",
        classes=(ClassInfo("n1", "a dog", 0), ClassInfo("caf\udce9", "a café", 1)),
        coarse_classes=("pets", "places"),
        splits={
            "train": SplitInfo(3, (2, 1), (ShardInfo(names[0], 3, "0f" * 4),)),
            "test": SplitInfo(1, (0, 1), (ShardInfo(names[1], 1, "11" * 4),)),
        },
        smallest=(3, 4),
        largest=(5, 6),
        statistics={key: copy.deepcopy(bands) for key in ("y", "cb", "cr")},
        transcoding={"quality": None},
        settings={"seed": 0},
        counts={"untouched": 4},
        jpegkeras_version="1.2",
    )
    info.save(tmp_path)
    return info


def change(folder, **values):
    path = folder / "dataset.json"
    content = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({key: v for key, v in content.items() if v is not None}))


def test_what_is_saved_is_loaded(info, tmp_path):
    assert load_dataset_info(tmp_path) == info
    assert info.class_names("fine") == ["a dog", "a café"]
    assert info.class_names("coarse") == ["pets", "places"]
    assert not list(tmp_path.glob("*.tmp"))


def test_no_data_set(tmp_path):
    with pytest.raises(InputError, match=r"no data set here\. Make one with: python -m preprocess"):
        load_dataset_info(tmp_path)


@pytest.mark.parametrize("text", ["", "{", '{"schema_version": 1', "\x00"])
def test_broken_json(info, tmp_path, text):
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(InputError, match="dataset.json: not valid JSON"):
        load_dataset_info(tmp_path)


@pytest.mark.parametrize("version", [1, 3, 0, "2", 2.0, True, None])
def test_another_schema_version(info, tmp_path, version):
    change(tmp_path, schema_version=version)
    expected = f"schema version {version!r}, but this jpegkeras reads version 2.* --overwrite"
    with pytest.raises(InputError, match=expected):
        load_dataset_info(tmp_path)


def test_json_of_something_else(tmp_path):
    (tmp_path / "dataset.json").write_text("[1, 2]")
    with pytest.raises(InputError, match="schema version None"):
        load_dataset_info(tmp_path)


@pytest.mark.parametrize("key", [field.name for field in dataclasses.fields(DatasetInfo)][:-1])
def test_a_missing_key(info, tmp_path, key):
    change(tmp_path, **{key: None})
    with pytest.raises(
        InputError, match=f"dataset.json: incomplete: {key} is missing.* --overwrite"
    ):
        load_dataset_info(tmp_path)


#: What nobody expects: of every type, empty, huge, negative, no text.
ODD = (
    None, True, 0, -1, 1, 2, 65_536, 1 << 70, 0.5, -1.5, 1e300, float("nan"), float("inf"),
    "", "x", "../x", "a/b", "\0", "\ud800", "4:1:1", [], [[]], [1], ["x"], {}, {"x": 1},
)  # fmt: skip


def places(value, path=()):
    """The path of every value in a JSON object: those of parts, too."""
    yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, entry in entries if isinstance(value, (dict, list)) else ():
        yield from (
            places(entry, (*path, key)) if isinstance(entry, (dict, list)) else [(*path, key)]
        )


def test_any_value_of_a_wrong_kind_is_an_input_error(info):
    content = json.loads(info.to_json())
    refused = accepted = 0
    for path in list(places(content))[1:]:
        for odd in ODD:
            changed = copy.deepcopy(content)
            part = changed
            for key in path[:-1]:
                part = part[key]
            part[path[-1]] = odd
            try:
                found = parse_dataset_info(json.dumps(changed).encode(), "dataset.json")
            except InputError as error:
                refused += 1
                assert str(error).startswith("dataset.json: ")
                assert "--overwrite" in str(error)
                assert "\n" not in str(error)
            else:
                accepted += 1
                # What is accepted can be written, and be read again.
                assert parse_dataset_info(found.to_json().encode(), "x") == found
    assert refused > 5 * accepted > 0


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a": 1e999}', b'{"a": NaN}', b'"\\ud800"'])
def test_json_that_python_reads_and_others_do_not(text):
    with pytest.raises(InputError, match="dataset.json: not valid JSON .* --overwrite"):
        parse_dataset_info(text, "dataset.json")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("statistics/y/mean", [1.0] * 3, "statistics/y/mean has 3 values; expected 2"),
        ("statistics/cr/std/1", -0.5, "statistics/cr/std/1 is -0.5; expected a number from 0"),
        ("statistics/cb/zeros/0", 1.5, "expected a number from 0 to 1"),
        ("statistics/cb", {"mean": [0, 0]}, "incomplete: statistics/cb/std is missing"),
        ("splits/train/class_counts", [3], "splits/train/class_counts has 1 values; expected 2"),
        ("splits/test/shards/0/records", 1.0, "is 1.0; expected a whole number from 0"),
        ("splits/test/shards/0/file", "/etc/passwd", "expected the name of a file in this folder"),
        ("splits/test/shards/0/crc32c", "0" * 7, "expected 8 hexadecimal digits"),
        ("splits/test/shards/0/file", "train-00000-of-00001.tfrecord", "of another shard too"),
        ("splits", {}, "incomplete: splits/train is missing"),
        ("classes/1/coarse", 2, "classes/1/coarse is 2; expected a whole number from 0 to 1"),
        ("classes/1/colour", 2, "classes/1/'colour' is nothing that a data set has"),
        ("sampling", "4:1:1", "sampling is '4:1:1'; expected one of 4:4:4, 4:2:2, 4:2:0"),
        ("compression", "zstd", "compression is 'zstd'; expected one of gzip, none"),
        ("smallest", [9, 4], "smallest is [9, 4], but largest [5, 6]"),
        ("transcoding/downscale", 3, "transcoding: downscale must be 1, 2, 4 or 8; got 3"),
        ("transcoding/quality", "high", "transcoding/quality is 'high'; expected int or null"),
        ("counts/untouched", -4, "counts/untouched is -4"),
    ],
)
def test_what_is_wrong_is_named(info, path, value, message):
    content = json.loads(info.to_json())
    *parents, last = [int(key) if key.isdigit() else key for key in path.split("/")]
    part = content
    for key in parents:
        part = part[key]
    part[last] = value
    with pytest.raises(InputError) as error:
        parse_dataset_info(json.dumps(content).encode(), "dataset.json")
    assert message in str(error.value)


def test_zeros_and_energy_may_be_missing(info):
    content = json.loads(info.to_json())
    for known in content["statistics"].values():
        del known["zeros"], known["energy"]
    assert parse_dataset_info(json.dumps(content).encode(), "x").statistics["y"]["mean"] == [
        0.5,
        -1.25,
    ]


def test_a_missing_shard(info, tmp_path):
    (tmp_path / "test-00000-of-00001.tfrecord").unlink()
    with pytest.raises(InputError, match="test-00000-of-00001.tfrecord: this shard is missing"):
        load_dataset_info(tmp_path)


def test_numbers_that_json_does_not_have_are_refused(info, tmp_path):
    bad = dataclasses.replace(info, statistics={"y": {"mean": [float("nan")], "std": [0.0]}})
    with pytest.raises(ValueError, match="JSON"):
        bad.save(tmp_path)
    assert load_dataset_info(tmp_path) == info
