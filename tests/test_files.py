"""Files are whole or absent."""

from __future__ import annotations

import json

import google_crc32c
import pytest

from jpegkeras.files import file_crc32c, replacing, write_json, write_text


def test_what_was_written_takes_the_place(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": [1, 2]})
    write_json(path, {"b": None})
    assert json.loads(path.read_text()) == {"b": None}
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_keeps_the_earlier_file_and_leaves_nothing(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "earlier")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_nan_is_refused_since_json_has_none(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", float("nan"))
    assert list(tmp_path.iterdir()) == []


def test_bytes_of_a_name_that_is_not_utf8_come_back(tmp_path):
    write_text(tmp_path / "names.csv", b"caf\xe9.jpg".decode("utf-8", "surrogateescape"))
    assert (tmp_path / "names.csv").read_bytes() == b"caf\xe9.jpg"


def test_crc32c_is_that_of_the_whole_file(tmp_path):
    content = bytes(range(256)) * 9000
    (tmp_path / "a").write_bytes(content)
    assert file_crc32c(tmp_path / "a") == f"{google_crc32c.value(content):08x}"
