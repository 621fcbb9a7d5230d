"""The complexity table and the command line that makes it."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

import pytest

from jpegkeras.experiments import complexity, tables


def run(*arguments, cwd=None):
    """`python -m jpegkeras.experiments`: its own process, since absl's flags are global."""
    command = [sys.executable, "-m", "jpegkeras.experiments", *map(str, arguments)]
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)


@pytest.mark.slow
def test_command_line_prints_and_writes_the_table(tmp_path):
    output_dir = tmp_path / "new" / "folder"
    process = run("--table=complexity", f"--output_dir={output_dir}", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    for text in ("3x1", "3x64", "3x32", "3x16", "5.40", "5.397", "28.4 M", "28.40 M"):
        assert text in process.stdout
    assert sorted(path.name for path in output_dir.iterdir()) == [
        "complexity.csv",
        "complexity.json",
    ]
    rows = json.loads((output_dir / "complexity.json").read_text())
    with (output_dir / "complexity.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [{key: str(value) for key, value in row.items()} for row in rows] == lines
    for row in rows:
        assert abs(row["gflops_difference_percent"]) < 0.5
        assert row["gflops"] == pytest.approx(row["paper_gflops"], rel=0.005)
        assert round(row["parameters"] / 1e6, 1) == row["paper_parameters_millions"]
        assert 0 < row["trainable_parameters"] < row["parameters"]


def test_the_paper_has_four_networks():
    assert [(row.input_channels, row.num_frequencies) for row in complexity.PAPER] == [
        ("3x1", 64),
        ("3x64", 64),
        ("3x32", 32),
        ("3x16", 16),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--table=colours"], "flag --table=colours: value should be one of <complexity>"),
        (["--tabel=complexity"], "Unknown command line flag 'tabel'"),
        (["complexity"], "unexpected arguments: complexity"),
    ],
)
def test_wrong_arguments_are_told_in_a_line(arguments, message):
    process = run(*arguments)
    assert process.returncode != 0
    assert message in process.stderr
    assert "Traceback" not in process.stderr
    assert process.stdout == ""


@pytest.mark.parametrize("path", ["file", "file/below"])
def test_an_output_dir_that_is_a_file_is_told_in_a_line(tmp_path, path):
    (tmp_path / "file").write_text("kept")
    process = run(f"--output_dir={tmp_path / path}")
    assert process.returncode != 0
    assert "--output_dir" in process.stderr
    assert process.stderr.count("\n") == 1
    assert (tmp_path / "file").read_text() == "kept"


def test_save_replaces_whole_files(tmp_path):
    rows = [{"network": "a, b", "gflops": 1.5}, {"network": "ü", "gflops": 2}]
    (tmp_path / "table.json").write_text("old")
    paths = tables.save(rows, tmp_path, "table")
    assert paths == [tmp_path / "table.json", tmp_path / "table.csv"]
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert json.loads(paths[0].read_text(encoding="utf-8")) == rows
    assert paths[1].read_text(encoding="utf-8") == 'network,gflops\n"a, b",1.5\nü,2\n'


def test_save_leaves_no_half_file(tmp_path):
    (tmp_path / "table.csv").mkdir()  # a name that cannot be replaced
    with pytest.raises(tables.SaveError, match="cannot write .*table.csv"):
        tables.save([{"a": 1}], tmp_path, "table")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["table.csv", "table.json"]


def test_save_names_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(tables.SaveError, match="cannot write .*table.json: No such file"):
        tables.save([{"a": 1}], tmp_path / "absent", "table")
