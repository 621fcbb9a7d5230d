from __future__ import annotations

import random

import pytest
import tensorflow as tf

from jpegkeras.errors import InputError
from preprocess.sources import SourceSpec, find_containers, list_source
from preprocess.sources.example_wire import locate_image
from tests.preprocess.sources_helpers import (
    REMOTE,
    described,
    example,
    list_and_read,
    serve_remotely,
    write,
    write_records,
)


def numbered(count, start=0):
    return [example(bytes([index]) * index, index) for index in range(start, start + count)]


@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_images_and_classes(tmp_path, compression):
    path = write_records(tmp_path / "some.tfrecord", numbered(3), compression)
    listing, contents = list_and_read(input_tfrecords=path)
    assert described(listing) == [
        ("some.tfrecord#000000", "0", None, 0),
        ("some.tfrecord#000001", "1", None, 1),
        ("some.tfrecord#000002", "2", None, 2),
    ]
    assert list(contents.values()) == [b"", b"\1", b"\2\2"]
    assert {file.container for file in listing.files} == {path}
    assert [entry.compression for entry in listing.containers] == [compression.lower()]


def test_synsets_are_the_classes_if_all_records_have_one(tmp_path):
    named = [example(b"1", 7, image__class__synset=b"n01", image__class__text=b"a dog")]
    path = write_records(tmp_path / "x", named * 2)
    assert [file.label for file in list_source(SourceSpec(input_tfrecords=path)).files] == [
        "n01"
    ] * 2
    path = write_records(tmp_path / "x", [*named, example(b"1", 12)])
    assert [file.label for file in list_source(SourceSpec(input_tfrecords=path)).files] == [
        "7",
        "12",
    ]


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["train-0", "validation-0"], ["train", "test"]),
        (["train_a", "val_a", "test_a"], ["train", "test", "test"]),
        (["train-0", "train-1"], [None, None]),
        (["train-0", "other-0"], [None, None]),
        (["test-0"], [None]),
    ],
)
def test_splits_by_the_names_of_files(tmp_path, names, splits):
    for name in names:
        write_records(tmp_path / name, numbered(1))
    paths = ",".join(f"{tmp_path}/{name}" for name in names)
    listing = list_source(SourceSpec(input_tfrecords=paths))
    found = {file.container: file.split for file in listing.files}
    assert [found[f"{tmp_path}/{name}"] for name in names] == splits


def test_splits_by_flags_and_names_below_the_common_folder(tmp_path):
    for name in ("a/x-0", "a/x-1", "b/x-0"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_records(tmp_path / name, numbered(1, start=3))
    listing = list_source(
        SourceSpec(input_tfrecords=f"{tmp_path}/a/x-*", test_tfrecords=f"{tmp_path}/b/x-0")
    )
    assert described(listing) == [
        ("a/x-0#000000", "3", "train", 3),
        ("a/x-1#000000", "3", "train", 3),
        ("b/x-0#000000", "3", "test", 3),
    ]


def test_names_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep").mkdir()
    for name in ("x", "y", "deep/z"):
        write_records(tmp_path / name, numbered(1))
    assert [f.path for f in list_source(SourceSpec(input_tfrecords="x,y")).files] == [
        "x#000000",
        "y#000000",
    ]
    listing, contents = list_and_read(input_tfrecords="x,deep/z")
    assert list(contents) == ["deep/z#000000", "x#000000"]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (
            example(image__encoded=None, height=3, image__class__text=b"dog"),
            r"x: record 1, at byte \d+: it has no image/encoded; its keys: height, "
            "image/class/label, image/class/text. Expected image/encoded",
        ),
        (example(label=None), "it has no image/class/label; its keys: image/encoded"),
        (example(encoded=3), "image/encoded should be one byte string; it has 0"),
        (example(encoded=[b"1", b"2"]), "image/encoded should be one byte string; it has 2"),
        (example(label=b"dog"), "image/class/label should be one int64; it has 0"),
        (example(label=1.5), "image/class/label should be one int64; it has 0"),
        (example(label=[1, 2]), "image/class/label should be one int64; it has 2"),
        (b"", "it has no image/encoded; its keys: none"),
        (b"\xff" * 30, "it is no tf.train.Example"),
        (example()[:-3], "it is no tf.train.Example"),
    ],
)
def test_records_without_an_image(tmp_path, record, message):
    path = write_records(tmp_path / "x", [example(), record])
    with pytest.raises(InputError, match=message):
        list_source(SourceSpec(input_tfrecords=path))


def test_every_damaged_byte_is_noticed(tmp_path):
    data = (tmp_path / write_records(tmp_path / "x", numbered(3))).read_bytes()
    second = len(data) // 3
    generator = random.Random(0)
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= generator.randint(1, 255)
        with pytest.raises(InputError, match=r"x: record \d, at byte \d+: the checksum of its"):
            list_source(SourceSpec(input_tfrecords=write(tmp_path / "x", damaged)))
    for size in range(1, second):
        path = write(tmp_path / "x", data[:-size])
        with pytest.raises(InputError, match=r"x: record 2, at byte \d+: the file ends within it"):
            list_source(SourceSpec(input_tfrecords=path))


def test_empty_and_foreign_files(tmp_path):
    with pytest.raises(InputError, match="x: there is no record in it"):
        list_source(SourceSpec(input_tfrecords=write(tmp_path / "x", b"")))
    with pytest.raises(InputError, match="x: record 0, at byte 0: .* It is no TFRecord file"):
        list_source(SourceSpec(input_tfrecords=write(tmp_path / "x", b"\xff\xd8" + bytes(99))))


def test_a_length_that_begins_like_gzip(tmp_path):
    record = example(bytes(0x088B1F))
    record = example(bytes(0x088B1F - (len(record) - 0x088B1F)))
    assert len(record) == 0x088B1F
    path = write_records(tmp_path / "x", [record])
    assert (tmp_path / "x").read_bytes().startswith(b"\x1f\x8b\x08")
    assert find_containers(SourceSpec(input_tfrecords=path))[0].compression == ""


def test_the_image_is_where_tensorflow_finds_it():
    generator = random.Random(0)
    for _ in range(300):
        extra = {
            f"key{index}": generator.choice([1, -1, b"x" * 300, 2.5, [1, 2, 1 << 60], [b"", b"1"]])
            for index in range(generator.randint(0, 6))
        }
        label = generator.choice([0, 1, 127, 128, 1000, -1, (1 << 63) - 1, -(1 << 63)])
        record = example(
            generator.randbytes(generator.choice([0, 1, 127, 128, 70000])), label, **extra
        )
        located = locate_image(record)
        feature = tf.train.Example.FromString(record).features.feature
        image = record[located.offset : located.offset + located.size]
        assert image == feature["image/encoded"].bytes_list.value[0]
        assert located.label == feature["image/class/label"].int64_list.value[0]


def field(number, data):
    assert len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data


def test_forms_that_tensorflow_does_not_write():
    image = field(1, field(1, b"image/encoded") + field(2, field(1, field(1, b"JPEG"))))
    unpacked = field(1, field(1, b"image/class/label") + field(2, field(3, b"\x08\x05")))
    superseded = field(1, field(1, b"image/class/label") + field(2, field(3, b"\x08\x09")))
    unknown = b"\x78\x01" + b"\x79" + bytes(8) + b"\x7d" + bytes(4)  # varint, 8 and 4 bytes
    record = unknown + field(1, superseded + image) + field(1, unknown + unpacked)
    feature = tf.train.Example.FromString(record).features.feature
    assert feature["image/class/label"].int64_list.value[:] == [5]
    located = locate_image(record)
    assert (located.label, record[located.offset :][: located.size]) == (5, b"JPEG")


def test_damaged_examples_raise_value_errors_alone():
    generator = random.Random(1)
    record = example(b"JPEG" * 20, 300, image__class__synset=b"n01", other=[1, 2])
    for _ in range(3000):
        damaged = bytearray(record)
        for _ in range(generator.randint(1, 3)):
            damaged[generator.randrange(len(record))] = generator.randrange(256)
        try:
            located = locate_image(bytes(damaged[: generator.randint(0, 2 * len(record))]))
        except ValueError:
            continue
        assert 0 <= located.offset <= located.offset + located.size <= len(record)


def test_records_elsewhere(tmp_path, monkeypatch):
    serve_remotely(monkeypatch, tmp_path)
    (tmp_path / "d").mkdir()
    for index in range(3):
        write_records(tmp_path / f"d/train-{index}", numbered(2))
    write_records(tmp_path / "d/val-0", numbered(1, start=9), "GZIP")
    listing, contents = list_and_read(input_tfrecords=f"{REMOTE}/d/train-[01],{REMOTE}/d/val*")
    assert described(listing) == [
        ("train-0#000000", "0", "train", 0),
        ("train-0#000001", "1", "train", 1),
        ("train-1#000000", "0", "train", 0),
        ("train-1#000001", "1", "train", 1),
        ("val-0#000000", "9", "test", 9),
    ]
    assert contents["val-0#000000"] == b"\t" * 9
