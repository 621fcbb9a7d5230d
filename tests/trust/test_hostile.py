"""No input of 64 kB takes more than 2 s or 256 MB, whatever it is made to do."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

from tests.trust import hostile, usage
from tests.trust.properties import MAX_GROWTH, MAX_SECONDS

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def measured():
    """Results by case. In a process of its own, so that a crash or hang is one of it."""
    command = [sys.executable, "-m", "tests.trust.hostile"]
    try:
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
        output, ended = result.stdout, f"status {result.returncode}: {result.stderr[-2000:]}"
    except subprocess.TimeoutExpired as error:
        output, ended = (error.stdout or b"").decode(), "it takes more than 300 s"
    results = {}
    for line in output.splitlines():
        row = json.loads(line)
        results.setdefault(row["case"], []).append(row)
    return results, ended


def check(measured, case):
    results, ended = measured
    assert case in results, f"the process was lost before it finished this case; {ended}"
    for row in results[case]:
        assert row["bytes"] <= hostile.MAX_BYTES, row
        assert row["seconds"] <= MAX_SECONDS, row
        assert row["megabytes"] <= MAX_GROWTH / 2**20, row


@pytest.mark.parametrize("case", hostile.SEQUENTIAL)
def test_sequential(measured, case):
    check(measured, case)


@pytest.mark.parametrize("case", hostile.PROGRESSIVE)
def test_progressive(measured, case):
    check(measured, case)


@pytest.mark.skipif(not usage.measures_memory(), reason="needs Linux's /proc/self/clear_refs")
def test_cost_is_measured():
    _, seconds, growth = usage.measure(lambda: len(bytearray(100 << 20)))
    assert 90 << 20 < growth < 120 << 20
    assert 0 < seconds < 1
    _, _, growth = usage.measure(lambda: None)
    assert growth < 1 << 20


def test_those_that_are_valid_are_read(measured):
    results, _ = measured
    outcomes = {name: rows[0]["outcome"] for name, rows in results.items()}
    for name, size in {
        "65500 x 8": "65500 x 8",
        "8 x 65500": "8 x 65500",
        "the most blocks that fit": "4032 x 4096",
        "the most blocks that fit in 4:4:4": "2560 x 2048",
        "restarts every block": "64000 x 8",
        "fill bytes": "16 x 16",
        "empty APP segments": "16 x 16",
        "Huffman tables": "16 x 16",
        "EXIF whose directory follows itself": "16 x 16",
        "scans behind the image": "8 x 8",
        "images behind the image": "8 x 8",
    }.items():
        assert outcomes[name] == f"read {size}"
    assert all(
        outcome.startswith(("read ", "JpegFormatError: ", "JpegUnsupportedError: "))
        for outcome in outcomes.values()
    )
