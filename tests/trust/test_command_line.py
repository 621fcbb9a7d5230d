"""The programs' flags and files: what is wrong is told in one line, before a run begins."""

from __future__ import annotations

import errno
import json
import os
import pathlib
import subprocess
import sys

import pytest

from jpegkeras import files
from tests.jpeg.conftest import draw_pixels, save
from tests.trust import command_line, corpus, corpus_worker, fuzz, fuzz_worker, hostile, tables

PROGRAMS = {"corpus": corpus, "fuzz": fuzz, "hostile": hostile, "tables": tables}
PAGE = "before\n<!-- corpus: begin -->\nthe figures\n<!-- corpus: end -->\nafter\n"


@pytest.fixture
def no_run(monkeypatch):
    """Fail a test in which a run begins."""

    def begin(*_):
        pytest.fail("the run has begun")

    monkeypatch.setattr(fuzz_worker, "warm_up", begin)
    monkeypatch.setattr(corpus.bounds, "ensure", begin)


def one_error(capsys):
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1 and err.endswith("\n")
    return err


def make_corpus(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(save(draw_pixels(1, 16, 16)))
    return f"--input_dir={folder}"


def bad_outputs(tmp_path):
    """Result files that cannot be written, with what must be said."""
    (tmp_path / "file").write_text("mine")
    os.mkfifo(tmp_path / "pipe")
    return {
        tmp_path: "is a folder",
        tmp_path / "file" / "result.json": "cannot be written",
        tmp_path / "pipe": "no regular file",
        tmp_path / ("x" * 250): "nothing can be written there",
        pathlib.Path("/dev/null"): "no regular file",
    }


@pytest.mark.parametrize("name", ["corpus", "fuzz", "hostile"])
def test_a_result_file_that_cannot_be_written_is_told_before_the_run(
    name, tmp_path, capsys, no_run
):
    arguments = {
        "corpus": lambda: [make_corpus(tmp_path), "--boundscheck"],
        "fuzz": lambda: [f"--output_dir={tmp_path / 'fuzz'}"],
        "hostile": lambda: [],
    }[name]()
    for path, expected in bad_outputs(tmp_path).items():
        assert PROGRAMS[name].main([*arguments, f"--output={path}"]) == 1
        assert expected in one_error(capsys)
    assert (tmp_path / "file").read_text() == "mine"


def test_an_output_folder_that_is_a_file_is_told_before_the_run(tmp_path, capsys, no_run):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        assert fuzz.main([f"--output_dir={path}"]) == 1
        assert f"--output_dir={path}" in one_error(capsys)


def test_checking_an_output_leaves_nothing(tmp_path):
    path = tmp_path / "new" / "result.json"
    command_line.prepare_output(path)
    assert list(tmp_path.rglob("*")) == [path.parent]
    path.write_text("older")
    command_line.prepare_output(path)
    assert path.read_text() == "older"


def test_a_result_is_whole_or_absent(tmp_path, capsys, monkeypatch):
    def fail(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "_sync", fail)
    output = tmp_path / "result.json"
    output.write_text("older")
    monkeypatch.setattr(corpus, "_run", lambda *_: corpus_worker.Counts())
    assert corpus.main([make_corpus(tmp_path), f"--output={output}"]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
    assert output.read_text() == "older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pictures", "result.json"]


@pytest.mark.parametrize("name", PROGRAMS)
def test_errors_in_flags_are_one_line(name, capsys):
    required = ["--input_dir=.", "--output=x"] if name == "corpus" else []
    with pytest.raises(SystemExit) as info:
        PROGRAMS[name].main([*required, "--nonsense=1\n2"])
    assert info.value.code == 2
    assert one_error(capsys).endswith(" (--help lists the flags)\n")


def test_flags_are_not_abbreviated_and_values_are_checked(tmp_path, capsys):
    for arguments in (["--process=1"], ["--inputs=many"], ["--seconds=0"], ["--seconds=nan"]):
        with pytest.raises(SystemExit) as info:
            fuzz.main([f"--output_dir={tmp_path}", *arguments])
        assert info.value.code == 2
        one_error(capsys)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("corpus", ["--processes N", "(default: 2)", "FILE", "Folder with JPEGs"]),
        ("fuzz", ["(default: 1000000)", "(default: build/fuzz)", "Folder for findings"]),
        ("hostile", ["(default: none)"]),
        ("tables", ["(default: docs/results/trust)", "(default: docs/trust.md)"]),
    ],
)
def test_help_tells_defaults(name, expected, capsys):
    with pytest.raises(SystemExit) as info:
        PROGRAMS[name].main(["--help"])
    assert info.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for words in expected:
        assert words in text


@pytest.mark.parametrize("case", ["missing", "empty", "a file", "not JSON", "another's", "a list"])
def test_without_results_the_page_stays(case, tmp_path, capsys):
    folder, page = tmp_path / "results", tmp_path / "page.md"
    page.write_text(PAGE)
    if case == "a file":
        folder.touch()
    elif case != "missing":
        folder.mkdir()
    content = {"not JSON": "{", "another's": '{"tool": ["corpus"]}', "a list": "[1]"}.get(case)
    if content is not None:
        (folder / "result.json").write_text(content)
    assert tables.main([f"--results={folder}", f"--page={page}"]) == 1
    assert str(folder) in one_error(capsys)
    assert page.read_text() == PAGE


def test_a_page_that_is_missing_or_asks_for_too_much_is_told(tmp_path, capsys):
    output, page = tmp_path / "results" / "a.json", tmp_path / "page.md"
    result = {"tool": "corpus", "forms": {}, "bounds_checked": False, "folders": ["a"]}
    output.parent.mkdir()
    output.write_text(json.dumps(result))
    arguments = [f"--results={output.parent}", f"--page={page}"]
    assert tables.main(arguments) == 1
    assert str(page) in one_error(capsys)
    page.write_text(PAGE.replace("corpus", "other"))
    assert tables.main(arguments) == 1
    assert "there is no table 'other'" in one_error(capsys)
    page.write_text(PAGE)
    assert tables.main(arguments) == 0
    assert "the figures" not in page.read_text()


def test_names_of_files_are_printed_whatever_they_are():
    assert command_line.printable("a\nb\udcff.jpg") == "a\\nb\\udcff.jpg"
    assert command_line.printable("Grüße 1.jpg") == "Grüße 1.jpg"


def test_the_exit_status_reaches_the_shell(tmp_path):
    command = [sys.executable, "-m", "tests.trust.tables", f"--results={tmp_path}"]
    root = pathlib.Path(__file__).parents[2]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
