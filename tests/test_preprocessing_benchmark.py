"""The benchmark of the job runs, on few images, and says what it measured."""

from __future__ import annotations

import json

import pytest

from benchmarks import preprocessing


@pytest.mark.slow
def test_speed_and_sizes(tmp_path, capsys):
    output = tmp_path / "speed.json"
    arguments = [
        "--images=60",
        "--copies=3",
        "--repeats=1",
        f"--output={output}",
        f"--scratch_dir={tmp_path}",
    ]
    assert preprocessing.main(arguments) == 0
    result = json.loads(output.read_text())
    assert len(result["jobs"]) == 8
    assert {row["workers"] for row in result["jobs"]} == {1, 2}
    sizes = {row["name"]: row["size"] for row in result["jobs"]}
    assert sizes["n=16, gzip"] < sizes["n=64, gzip"] < sizes["n=16, none"] < sizes["n=64, none"]
    assert "…" in result["command"] and str(tmp_path) not in result["command"]
    assert "n=64, none" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["speed.json"]


@pytest.mark.slow
def test_memory(tmp_path):
    output = tmp_path / "memory.json"
    arguments = ["--memory", "--images=4000", f"--output={output}", f"--scratch_dir={tmp_path}"]
    assert preprocessing.main(arguments) == 0
    result = json.loads(output.read_text())
    assert result["files"] == 4000
    assert 50 < max(result["largest_worker_megabytes"]) < 400


def test_as_found_needs_a_folder(capsys):
    assert preprocessing.main(["--as_found"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert preprocessing.main(["--as_found", "--input_dir=/nowhere"]) == 1
    assert "no such folder" in capsys.readouterr().err
