"""Small files on which the reader, or a draft of it, once did something wrong."""

from __future__ import annotations

import json
import pathlib

import pytest

from tests.trust import libjpeg
from tests.trust.properties import check_input

FOLDER = pathlib.Path(__file__).with_name("regressions")
EXPECTED = json.loads((FOLDER / "expected.json").read_text())


@pytest.mark.parametrize("name", EXPECTED)
def test_file(name):
    data = (FOLDER / name).read_bytes()
    oracle = libjpeg.load()
    for number in range(24):  # the number chooses the options
        report = check_input(number, data, oracle)
        assert report.problems == [], number
        assert report.outcome.startswith(EXPECTED[name]["outcome"])


def test_every_file_is_listed_and_small():
    files = {path.name: path.stat().st_size for path in FOLDER.glob("*.jpg")}
    assert set(files) == set(EXPECTED)
    assert max(files.values()) <= 4096
