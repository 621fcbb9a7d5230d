from __future__ import annotations

import dataclasses
import json

import pytest

from jpegkeras.dataset_info import (
    ClassInfo,
    DatasetInfo,
    ShardInfo,
    SplitInfo,
    load_dataset_info,
)
from jpegkeras.errors import InputError


@pytest.fixture
def info(tmp_path):
    """A data set of two shards in `tmp_path`; its name holds a byte that is not UTF-8."""
    names = ("train-00000-of-00001.tfrecord", "test-00000-of-00001.tfrecord")
    for name in names:
        (tmp_path / name).write_bytes(b"")
    bands = {"mean": [0.5, -1.25], "std": [1.0, 1e-3]}
    info = DatasetInfo(
        num_frequencies=2,
        sampling="4:2:0",
        compression="none",
        classes=(ClassInfo("n1", "a dog", 0), ClassInfo("caf\udce9", "a café", 1)),
        coarse_classes=("pets", "places"),
        splits={
            "train": SplitInfo(3, (2, 1), (ShardInfo(names[0], 3, "00"),)),
            "test": SplitInfo(1, (0, 1), (ShardInfo(names[1], 1, "11"),)),
        },
        smallest=(3, 4),
        largest=(5, 6),
        statistics={"y": bands, "cb": bands, "cr": bands},
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


@pytest.mark.parametrize("version", [2, 0, "1", None])
def test_another_schema_version(info, tmp_path, version):
    change(tmp_path, schema_version=version)
    with pytest.raises(InputError, match=f"schema version {version!r}, but this jpegkeras reads"):
        load_dataset_info(tmp_path)


def test_json_of_something_else(tmp_path):
    (tmp_path / "dataset.json").write_text("[1, 2]")
    with pytest.raises(InputError, match="schema version None"):
        load_dataset_info(tmp_path)


@pytest.mark.parametrize("key", [field.name for field in dataclasses.fields(DatasetInfo)][:-1])
def test_a_missing_key(info, tmp_path, key):
    change(tmp_path, **{key: None})
    with pytest.raises(InputError, match="dataset.json: incomplete"):
        load_dataset_info(tmp_path)


def test_a_missing_shard(info, tmp_path):
    (tmp_path / "test-00000-of-00001.tfrecord").unlink()
    with pytest.raises(InputError, match="test-00000-of-00001.tfrecord: this shard is missing"):
        load_dataset_info(tmp_path)


def test_numbers_that_json_does_not_have_are_refused(info, tmp_path):
    bad = dataclasses.replace(info, statistics={"y": {"mean": [float("nan")], "std": [0.0]}})
    with pytest.raises(ValueError, match="JSON"):
        bad.save(tmp_path)
    assert load_dataset_info(tmp_path) == info
