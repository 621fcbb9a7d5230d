"""What is collected of a shard."""

from __future__ import annotations

import sys

import pytest

from preprocess.parts import PartBuilder, load_part, save_part


def test_sizes_are_of_each_side_on_its_own():
    builder = PartBuilder("s", "test", 2)
    for size in ((40, 56), (30, 99), (35, 17)):
        builder.add_record(1, size, 10)
    part = builder.build("", 0)
    assert (part.smallest, part.largest) == ((30, 17), (40, 99))
    assert (part.records, part.class_counts, part.bytes_in) == (3, (0, 3), 30)


def test_a_shard_without_records_has_no_sizes():
    builder = PartBuilder("s", "test", 2)
    builder.reject("a.jpg", 0, ValueError("no\nJPEG"))
    part = builder.build("", 0)
    assert (part.records, part.smallest, part.largest) == (0, None, None)
    assert part.rejected[0].reason == "no JPEG"


def test_a_record_takes_no_memory():
    builder = PartBuilder("s", "test", 1)

    def held():
        return sum(
            sys.getsizeof(value) + sum(map(sys.getsizeof, value))
            for value in vars(builder).values()
            if isinstance(value, (list, tuple))
        )

    builder.add_record(0, (1000, 2000), 1)
    before = held()
    for index in range(1000):
        builder.add_record(0, (1001 + index, 2001 + index), 1)
    assert held() - before < 500


@pytest.mark.parametrize("records", [0, 2])
def test_saved_and_loaded(tmp_path, records):
    builder = PartBuilder("s", "train", 1)
    for index in range(records):
        builder.add_record(0, (8 + index, 9), 5)
    part = builder.build("hash", 4)
    (tmp_path / ".parts").mkdir()
    save_part(str(tmp_path), part)
    assert load_part(str(tmp_path), "s") is None  # without its shard
    (tmp_path / "s").write_bytes(b"1234")
    assert load_part(str(tmp_path), "s") == part
    (tmp_path / "s").write_bytes(b"123")
    assert load_part(str(tmp_path), "s") is None
