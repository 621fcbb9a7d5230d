from __future__ import annotations

import gzip

import google_crc32c
import numpy as np
import pytest
import tensorflow as tf

from jpegkeras import tfrecord_files
from jpegkeras.dataset_info import COMPRESSIONS
from jpegkeras.errors import InputError
from jpegkeras.tfrecord_files import RecordFileWriter, read_tfrecords

RNG = np.random.default_rng(0)
RECORDS = [b"", b"a", RNG.bytes(1_500_000), b"coefficients " * 999, b"\0" * 12, *[b"x"] * 3000]


@pytest.fixture(params=list(COMPRESSIONS))
def compression(request):
    return request.param


@pytest.fixture
def path(tmp_path, compression):
    path = tmp_path / "shard"
    with RecordFileWriter(path, compression) as writer:
        for record in RECORDS:
            writer.write(record)
    assert writer.size == path.stat().st_size
    assert writer.crc32c == f"{google_crc32c.value(path.read_bytes()):08x}"
    return path


def test_tensorflow_reads_what_is_written(path, compression):
    dataset = tf.data.TFRecordDataset(str(path), COMPRESSIONS[compression])
    assert list(dataset.as_numpy_iterator()) == RECORDS


def test_what_tensorflow_writes_is_read_and_has_the_same_bytes(path, compression, tmp_path):
    other = tmp_path / "other"
    with tf.io.TFRecordWriter(str(other), COMPRESSIONS[compression]) as writer:
        for record in RECORDS:
            writer.write(record)
    assert list(read_tfrecords(other, compression)) == RECORDS
    if compression == "none":
        assert other.read_bytes() == path.read_bytes()


def test_round_trip(path, compression):
    assert list(read_tfrecords(path, compression)) == RECORDS


@pytest.mark.parametrize("size", [10, 1000, 100_000])
def test_a_record_in_parts_is_the_same_record(tmp_path, compression, size):
    values = RNG.integers(-128, 128, size).astype(np.int8)
    parts = [b"head", values, b"", values.view(np.uint8)[::-1].copy(), values[:0], b"end"]
    whole = b"".join(bytes(part) for part in parts)
    for name, record in (("parts", parts), ("whole", [whole])):
        with RecordFileWriter(tmp_path / name, compression) as writer:
            for _ in range(12):
                writer.write(*record)
        content = (tmp_path / name).read_bytes()
        assert (writer.size, writer.crc32c) == (len(content), f"{google_crc32c.value(content):08x}")
    assert content == (tmp_path / "parts").read_bytes()
    assert list(read_tfrecords(tmp_path / "parts", compression)) == [whole] * 12


def test_what_the_system_takes_in_pieces_is_written_whole(tmp_path, monkeypatch):
    original = tfrecord_files.os.writev
    monkeypatch.setattr(
        tfrecord_files.os,
        "writev",
        lambda file, parts: original(file, [memoryview(b"".join(parts))[:1000]]),
    )
    parts = [b"head", RNG.integers(-128, 128, 700_000).astype(np.int8), b"end"]
    with RecordFileWriter(tmp_path / "shard", "none") as writer:
        writer.write(*parts)
        writer.write(b"x")
    records = list(read_tfrecords(tmp_path / "shard", "none"))
    assert records == [b"".join(map(bytes, parts)), b"x"]


def test_an_empty_file_has_no_records(tmp_path, compression):
    with RecordFileWriter(tmp_path / "empty", compression):
        pass
    assert list(read_tfrecords(tmp_path / "empty", compression)) == []


def test_gzip_has_no_time_in_it(tmp_path):
    contents = set()
    for name in ("a", "b"):
        with RecordFileWriter(tmp_path / name, "gzip") as writer:
            writer.write(b"record")
        contents.add((tmp_path / name).read_bytes())
    assert len(contents) == 1
    assert gzip.decompress(contents.pop())[12:18] == b"record"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-1], "record 1, at byte 17: .* (cut off|damaged)"),
        (lambda data: data[:-5], "record 1, at byte 17: .* (cut off|damaged)"),
        (lambda data: data[:20], "record 1, at byte 17: .* (cut off|damaged)"),
        (lambda data: data[:17] + b"\1" + data[18:], "record 1, at byte 17: .* length is wrong"),
        (lambda data: data[:30] + b"\1" + data[31:], "record 1, at byte 17: .* data is wrong"),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_damage_is_named(tmp_path, damage, message, compressed):
    with RecordFileWriter(tmp_path / "shard", "none") as writer:
        writer.write(b"x")
        writer.write(b"yyyy")
    data = damage((tmp_path / "shard").read_bytes())
    (tmp_path / "shard").write_bytes(gzip.compress(data) if compressed else data)
    records = read_tfrecords(tmp_path / "shard", "gzip" if compressed else "none")
    assert next(records) == b"x"
    with pytest.raises(InputError, match=message):
        next(records)


def test_a_gzip_stream_that_was_cut_off(tmp_path):
    with RecordFileWriter(tmp_path / "shard", "gzip") as writer:
        for _ in range(3):
            writer.write(RNG.bytes(1000))
    data = (tmp_path / "shard").read_bytes()
    (tmp_path / "shard").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="record 1, at byte 1016: "):
        list(read_tfrecords(tmp_path / "shard", "gzip"))
    (tmp_path / "shard").write_bytes(b"no gzip at all")
    with pytest.raises(InputError, match="record 0, at byte 0: "):
        list(read_tfrecords(tmp_path / "shard", "gzip"))


def test_a_failed_writer_has_no_checksum(tmp_path):
    with pytest.raises(KeyError), RecordFileWriter(tmp_path / "shard", "none") as writer:
        writer.write(b"x")
        raise KeyError
    assert writer.crc32c == ""
