"""The fuzzer as it is run: a few hundred inputs, its result and its exit status."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

from tests.trust import bounds, libjpeg, tables

ROOT = pathlib.Path(__file__).parents[2]


def run(module, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def fuzz(folder, *arguments):
    result = run("tests.trust.fuzz", f"--output_dir={folder}", "--no_boundscheck", *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    return json.loads((folder / "fuzz.json").read_text())


def counts(result):
    return {name: result[name] for name in ("inputs", "bytes", "batches", "findings", "tables")}


def test_a_short_run_finds_nothing_whatever_the_number_of_processes(tmp_path):
    one = fuzz(tmp_path / "one", "--inputs=400", "--seed=5", "--processes=1")
    assert one["inputs"] == 400
    assert one["findings"] == []
    assert sum(one["tables"]["outcomes"].values()) == 400
    assert one["tables"]["outcomes"]["read"] > 20
    assert (one["libjpeg"] is None) == (libjpeg.load() is None)
    two = fuzz(tmp_path / "two", "--inputs=400", "--seed=5", "--processes=2")
    assert counts(one) == counts(two)
    index = json.loads((tmp_path / "one" / "examples" / "index.json").read_text())
    assert all((tmp_path / "one" / "examples" / name).exists() for name in index)
    page = "# Page\n<!-- fuzz: begin -->\nold\n<!-- fuzz: end -->\nrest\n"
    filled = tables.fill_page(page, {"fuzz": [one], "corpus": [], "hostile": []})
    assert "| inputs, seed | 400, 5 |" in filled
    assert "old" not in filled
    assert filled.endswith("<!-- fuzz: end -->\nrest\n")


def test_bounds_checking_is_in_force_where_it_is_asked_for(tmp_path):
    code = "from tests.trust import bounds; print(bounds.are_checked())"
    for environment, expected in ((bounds.environment(tmp_path), "True\n"), ({}, "False\n")):
        environment = {"NUMBA_BOUNDSCHECK": "0", **environment}
        result = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
        )
        assert result.stdout == expected, result.stderr


@pytest.mark.parametrize("argument", ["--inputs=0", "--processes=0", "--seed=-1"])
def test_settings_that_make_no_sense_are_refused(argument):
    result = run("tests.trust.fuzz", argument)
    assert result.returncode == 2
    assert "must be at least 1" in result.stderr.replace("\n", " ")


def test_the_page_shows_the_committed_results():
    page = (ROOT / "docs" / "trust.md").read_text()
    results = tables.load(ROOT / "docs" / "results" / "trust")
    assert tables.fill_page(page, results) == page
    for name in tables.TABLES:
        assert f"<!-- {name}: begin -->" in page
