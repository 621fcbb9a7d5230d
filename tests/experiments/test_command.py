"""The command line of the studies."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

import pytest
from absl import flags

from jpegkeras.experiments import command, complexity, listing, runner, tables
from jpegkeras.experiments.networks import BANDS, DIFFICULTY, QUALITY, RESOLUTION
from jpegkeras.experiments.processes import StoppedError
from jpegkeras.experiments.results import load_results


def run_process(*arguments, cwd=None):
    """`python -m jpegkeras.experiments`: its own process, since absl's flags are global."""
    line = [sys.executable, "-m", "jpegkeras.experiments", *map(str, arguments)]
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(line, capture_output=True, text=True, cwd=cwd, env=environment)


def run(*arguments, launcher=None):
    """The command line in this process; returns its exit status."""
    values = flags.FlagValues()
    command.define_flags(values)
    argv = values(["experiments", *map(str, arguments)])
    return command.run(argv, values, *([launcher] if launcher else []))


@pytest.fixture
def asked(monkeypatch):
    """What `runner.run` would have been asked for."""
    requests = []
    monkeypatch.setattr(runner, "run", lambda request, *_: requests.append(request) or 0)
    return requests


@pytest.mark.slow
def test_complexity_is_printed_and_written(tmp_path):
    output_dir = tmp_path / "new" / "folder"
    process = run_process(f"--output_dir={output_dir}", cwd=tmp_path)
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


def test_help_lists_the_flags():
    process = run_process("--help")
    assert process.returncode == 0
    for flag in ("--table", "--input_tar", "--[no]list", "--seeds"):
        assert flag in process.stdout


def test_the_paper_has_four_networks():
    assert [(row.input_channels, row.num_frequencies) for row in complexity.PAPER] == [
        ("3x1", 64),
        ("3x64", 64),
        ("3x32", 32),
        ("3x16", 16),
    ]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--table=colours"], 2, "value should be one of <complexity|difficulty|resolution|"),
        (["--tabel=complexity"], 2, "Unknown command line flag 'tabel'"),
        (["complexity"], 1, "unexpected argument 'complexity'"),
        (["--table=all", "--config=smoke", "--seeds=a", "--output_dir=x"], 1, "--seeds must be"),
    ],
)
def test_wrong_arguments_are_told_in_a_line(tmp_path, arguments, status, message):
    process = run_process(*arguments, cwd=tmp_path)
    assert process.returncode == status
    assert message in process.stderr
    assert process.stderr.count("\n") == 1
    assert process.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--table=quality"], "--table=quality needs --config"),
        (["--table=quality", "--config=smoke"], "--output_dir is missing"),
        (["--table=quality", "--config=huge", "--output_dir=out"], "neither a preset"),
        (["--table=quality", "--config=imagenet211", "--output_dir=out"], "--input_dir"),
        (["--table=quality", "--config=smoke", "--output_dir=out", "--labels=a"], "their own"),
        (["--table=all", "--config=smoke", "--output_dir=out", "--networks=vgg"], "networks must"),
        (["--table=all", "--config=smoke", "--output_dir=out", "--qualities=101"], "1 to 100"),
        (["--table=all", "--config=smoke", "--output_dir=out", "--epochs=0"], "epochs"),
        (["--table=all", "--config=smoke", "--output_dir=out", "--calibrate"], "--list"),
        (["--table=bands", "--config=smoke", "--output_dir=out", "--networks=rgb"], "of its own"),
        (["--table=complexity", "--seeds=1"], "has no use for --seeds"),
        (
            ["--table=all", "--config=smoke", "--output_dir=out", "--input_dir=a", "--input_csv=b"]
            + ["--input_tar=c"],
            "--input_csv and --input_tar are both given",
        ),
    ],
)
def test_what_makes_no_sense_is_told_before_anything_runs(
    tmp_path, monkeypatch, capsys, asked, arguments, message
):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert message in said
    assert said.count("\n") == 1
    assert asked == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", ["--input_dir=absent", "--input_csv=absent.csv"])
def test_a_missing_input_is_told_in_a_line(tmp_path, monkeypatch, capsys, missing):
    monkeypatch.chdir(tmp_path)
    assert run("--table=quality", "--config=smoke", "--output_dir=out", missing) == 1
    said = capsys.readouterr().err
    assert "absent" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("path", ["file", "file/below"])
@pytest.mark.parametrize("table", ["complexity", "quality"])
def test_an_output_dir_that_is_a_file_is_told_in_a_line(tmp_path, capsys, path, table):
    (tmp_path / "file").write_text("kept")
    arguments = [] if table == "complexity" else ["--config=smoke"]
    assert run(f"--table={table}", f"--output_dir={tmp_path / path}", *arguments) == 1
    said = capsys.readouterr().err
    assert "--output_dir" in said
    assert said.count("\n") == 1
    assert (tmp_path / "file").read_text() == "kept"


def test_flags_say_what_is_asked_for(asked, tmp_path):
    status = run(
        "--table=all",
        "--config=tiny_imagenet",
        f"--output_dir={tmp_path}",
        "--input_tar=a.tar",
        "--labels=l.csv",
        "--networks=fbs16,rgb",
        "--seeds=0,1",
        "--resolutions=64,32",
        "--qualities=50",
        "--epochs=3",
        "--train_per_class=20",
        "--test_per_class=5",
        "--workers=2",
        "--only_labelled",
        "--title=Tiny",
        "--note=a note",
        "--fail_fast",
    )
    assert status == 0
    (request,) = asked
    assert request.studies == (DIFFICULTY, RESOLUTION, QUALITY)
    config = request.config
    assert config.networks == ("rgb", "fbs16")
    assert (config.seeds, config.resolutions, config.qualities) == ((0, 1), (32, 64), (50,))
    assert (config.train_per_class, config.test_per_class) == (20, 5)
    assert (config.training.epochs, config.training.schedule) == (3, "cosine")
    assert request.given.source.input_tar == "a.tar"
    assert request.given.only_labelled
    assert (request.given.title, request.given.note) == ("Tiny", "a note")
    assert request.fail_fast


def test_one_table_alone_is_asked_for(asked, tmp_path):
    assert run("--table=quality", "--config=smoke", f"--output_dir={tmp_path}") == 0
    assert asked[0].studies == (QUALITY,)
    # No images: the built-in ones.
    assert asked[0].given.source is None
    assert run("--table=bands", "--config=smoke", f"--output_dir={tmp_path}") == 0
    assert asked[1].studies == (BANDS,)


def test_failed_cells_and_signals_are_the_exit_status(monkeypatch, capsys, tmp_path):
    arguments = ["--table=quality", "--config=smoke", f"--output_dir={tmp_path}"]
    monkeypatch.setattr(runner, "run", lambda *_: 2)
    assert run(*arguments) == 1
    assert "2 cells failed" in capsys.readouterr().err

    def stopped(*_):
        raise StoppedError(15)

    monkeypatch.setattr(runner, "run", stopped)
    assert run(*arguments) == 143
    assert capsys.readouterr().err == "stopped; the same command continues.\n"


def test_a_list_runs_nothing(monkeypatch, asked, tmp_path):
    shown = []
    monkeypatch.setattr(listing, "show", lambda *args, **options: shown.append(options))
    arguments = ["--table=quality", "--config=smoke", f"--output_dir={tmp_path}", "--list"]
    assert run(*arguments, "--calibrate") == 0
    assert (shown, asked) == ([{"calibrate": True}], [])


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


@pytest.mark.long
def test_the_real_networks_go_through_all_of_it(tmp_path):
    line = ["--table=difficulty", f"--output_dir={tmp_path / 'out'}"]
    line += ["--config=smoke", "--networks=fbs16", "--resolutions=32", "--epochs=1"]
    line += ["--train_per_class=3", "--test_per_class=1"]
    process = run_process(*line)
    assert process.returncode == 0, process.stderr
    results = load_results(tmp_path / "out")
    assert [cell.state for cell in results.cells] == ["done"] * 2
    assert set(results.speed["images_per_second"]) == {"fbs16"}
    assert len(results.complexity) == 4
    assert "report.html" in process.stdout
