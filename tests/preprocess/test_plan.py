from __future__ import annotations

import hashlib

import pytest

from jpegkeras.errors import InputError
from jpegkeras.transcoding import Transcoding
from preprocess import sources
from preprocess.config import PreprocessConfig
from preprocess.plan import (
    PlannedImage,
    classes_without_training,
    format_images,
    make_plan,
    parse_images,
)
from tests.preprocess.helpers import plan_of, reverse_listings, write_files


def make_folder(path, **counts):
    files = {f"{name}/{name}{index}.jpg": b"x" for name, n in counts.items() for index in range(n)}
    return str(write_files(path, files))


def config(folder, **settings):
    return PreprocessConfig(input_dir=str(folder), output_dir="out", **settings)


def rank(seed, name):
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()


def test_shards_records_and_their_order(tmp_path):
    folder = make_folder(tmp_path, a=10, b=5)
    tests = {
        f"{label}/{name}"
        for label, n, count in (("a", 10, 2), ("b", 5, 1))
        for name in sorted((f"{label}{i}.jpg" for i in range(n)), key=lambda x: rank(7, x))[:count]
    }
    everything = [f"{label}/{label}{i}.jpg" for label, n in (("a", 10), ("b", 5)) for i in range(n)]
    ordered = sorted(everything, key=lambda name: rank(7, name))
    train = [name for name in ordered if name not in tests]
    plan = plan_of(config(folder, seed=7, train_shards=5, compression="none"))
    # 12 records in 5 shards: cut at 12 i // 5.
    assert [(s.file, [i.path for i in s.images]) for s in plan.shards] == [
        ("train-00000-of-00005.tfrecord", train[0:2]),
        ("train-00001-of-00005.tfrecord", train[2:4]),
        ("train-00002-of-00005.tfrecord", train[4:7]),
        ("train-00003-of-00005.tfrecord", train[7:9]),
        ("train-00004-of-00005.tfrecord", train[9:12]),
        ("test-00000-of-00001.tfrecord", [name for name in ordered if name in tests]),
    ]
    assert [i.label for i in plan.shards[0].images] == ["ab".index(n[0]) for n in train[:2]]


@pytest.mark.parametrize(("count", "shards"), [(3, 1), (1499, 1), (1501, 2), (4100, 4)])
def test_about_a_thousand_records_a_shard(count, shards):
    files = [sources.SourceFile(f"{i:05d}.jpg", "a", "train", 1) for i in range(count)]
    files.append(sources.SourceFile("z.jpg", "a", "test", 1))
    plan = make_plan(config("in"), sources.Listing("in", tuple(files)))
    names = [s.file for s in plan.shards if s.split == "train"]
    assert names == [f"train-{i:05d}-of-{shards:05d}.tfrecord.gz" for i in range(shards)]
    assert sum(len(s.images) for s in plan.shards) == count + 1


def test_the_plan_does_not_depend_on_the_listing_order(tmp_path, monkeypatch):
    folder = make_folder(tmp_path, a=8, b=8)
    plan = plan_of(config(folder))
    reverse_listings(monkeypatch)
    assert plan_of(config(folder)) == plan


def test_the_digest_tells_settings_and_inputs_apart(tmp_path):
    folder = make_folder(tmp_path / "one", a=5, b=5)
    same = make_folder(tmp_path / "two", a=5, b=5)
    other = make_folder(tmp_path / "three", a=5, b=5)
    (tmp_path / "three/a/a0.jpg").write_bytes(b"longer")
    digest = plan_of(config(folder)).digest
    assert plan_of(config(same, workers=3, overwrite=True, max_rejected=1)).digest == digest
    changed = [
        plan_of(config(other)),
        plan_of(config(folder, seed=1)),
        plan_of(config(folder, compression="none")),
        plan_of(config(folder, transcoding=Transcoding(quality=50))),
    ]
    assert digest not in {plan.digest for plan in changed}


def test_images_are_written_and_read_back():
    containers = [sources.Container("a.tar", 9, 1), sources.Container("b.zip", 9, 1)]
    images = [
        PlannedImage("plain.jpg", 0, 5),
        PlannedImage("new\nline, \udcff and ü.jpg", 3, -1, 17),
        PlannedImage("x/in tar.jpg", 1, 77, 0, "a.tar", 512),
        PlannedImage("x/in zip.jpg", 1, 77, 0, "b.zip", 1 << 40, 60),
    ]
    data = format_images(images, containers)
    assert data.isascii() and data.count(b"\n") == 4
    assert parse_images(data, ["a.tar", "b.zip"]) == images


def test_empty_splits_and_too_many_shards(tmp_path):
    with pytest.raises(InputError, match="the test split is empty"):
        plan_of(config(make_folder(tmp_path / "ones", a=1, b=1)))
    with pytest.raises(InputError, match="--test_shards=3 is more than the 2 image"):
        plan_of(config(make_folder(tmp_path / "fives", a=5, b=5), test_shards=3))


def test_classes_that_cannot_be_learnt_are_told(tmp_path):
    write_files(tmp_path, {"train/a/1.jpg": b"", "test/a/2.jpg": b"", "test/b/3.jpg": b""})
    assert classes_without_training(plan_of(config(tmp_path))) == ["b"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"output_dir": ""}, "--output_dir is missing"),
        ({"input_dir": None}, "--input_dir"),
        ({"compression": "zip"}, "compression must be one of gzip, none; got 'zip'"),
        ({"test_fraction": 1.0}, "test_fraction must lie between 0 and 1"),
        ({"test_fraction": float("nan")}, "test_fraction must lie between 0 and 1"),
        ({"max_rejected": -0.1}, "max_rejected must be from 0 to 1"),
        ({"train_shards": -1}, "train_shards must be from 0"),
        ({"workers": -1}, "workers must be at least 0"),
        ({"engine": "spark"}, "engine must be one of local, beam; got 'spark'"),
        ({"beam_options": "--runner=X"}, "--beam_options are given, but --engine is not beam"),
        ({"engine": "beam", "workers": 2}, "--workers is of --engine=local"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        PreprocessConfig(**{"input_dir": "in", "output_dir": "out", **settings})
