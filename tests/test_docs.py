"""The code in docs/ and README.md does what the text says."""

from __future__ import annotations

import pathlib
import re

import numpy as np
import tensorflow as tf

from jpegkeras.records import parse_record
from tests import datasets

ROOT = pathlib.Path(__file__).parents[1]


def python_blocks(path):
    return re.findall(r"```python\n(.*?)```", (ROOT / path).read_text("utf-8"), re.DOTALL)


def test_ten_lines_read_a_record(tmp_path, monkeypatch, capsys):
    (code,) = python_blocks("docs/records.md")
    function = code[code.index("def read_luma") : code.index("shard = ")]
    assert len(function.strip().splitlines()[1:-1]) <= 10
    info = datasets.write_drawn_dataset(
        tmp_path / "records", num_frequencies=64, compression="gzip"
    )
    shard = info.splits["train"].shards[0].file
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    serialized = next(iter(tf.data.TFRecordDataset(f"records/{shard}", compression_type="GZIP")))
    expected = parse_record(serialized, 64)["y"]
    np.testing.assert_array_equal(names["read_luma"](serialized), expected)
    assert capsys.readouterr().out == f"{tuple(expected.shape)}\n"
