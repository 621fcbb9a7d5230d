"""The command line: exit statuses and one line for each mistake."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys

import pytest
from absl import flags

from preprocess import main, report
from tests.preprocess.helpers import (
    ROOT,
    encode,
    run_main,
    start_main,
    write_classes,
    write_files,
)
from tests.preprocess.sources_helpers import tar_bytes, write


@pytest.fixture
def folder(tmp_path):
    return write_classes(tmp_path / "in", {"a": 5, "b": 5})


def error_of(capsys, *arguments):
    """Runs the command line, which must fail with one line, and returns the line."""
    assert run_main("--workers=1", *arguments) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), captured.err
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--output_dir is missing"),
        (["--output_dir=o"], "--input_dir (a folder with one folder a class), --input_csv, --in"),
        (["--output_dir=o", "--input_dir=i", "--quality=101"], "quality must be from 1 to 100"),
        (["--output_dir=o", "--input_dir=i", "--smallest_side=0"], "smallest_side must be at"),
        (["--output_dir=o", "--input_dir=i", "--num_frequencies=65"], "num_frequencies must be"),
        (
            ["--output_dir=o", "--input_dir=i", "--downscale=3"],
            "downscale must be 1, 2, 4 or 8; got",
        ),
        (
            ["--output_dir=o", "--input_dir=i", "--downscale=2", "--smallest_side=64"],
            "downscale=2 and smallest_side=64 both set the size; give one of them",
        ),
        (["--output_dir=o", "--input_dir=i", "--test_fraction=1"], "test_fraction must lie"),
        (["--output_dir=o", "--input_dir=i", "more"], "unexpected argument 'more'"),
        (["--output_dir=o", "--input_dir=/nowhere"], "/nowhere: no such folder"),
        (["--output_dir=o", "--input_csv=/nowhere.csv"], "/nowhere.csv: no such file"),
    ],
)
def test_bad_settings(capsys, arguments, message):
    assert message in error_of(capsys, *arguments)


def test_bad_inputs(capsys, tmp_path, folder):
    out = f"--output_dir={tmp_path}/out"
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "the folder is empty" in error_of(capsys, f"--input_dir={empty}", out)
    write_files(empty, {"a/readme.txt": b""})
    assert "no image found among 1" in error_of(capsys, f"--input_dir={empty}", out)
    table = tmp_path / "list.csv"
    table.write_text("file,label\nx,y\n")
    assert "the column path is missing" in error_of(capsys, f"--input_csv={table}", out)
    table.write_text("path,label,split\nx,y,dev\n")
    assert "unknown split 'dev'" in error_of(capsys, f"--input_csv={table}", out)
    table.write_text("path,label\nx,y\n")
    labels = tmp_path / "labels.csv"
    labels.write_text("class,name,coarse\na,b,c\n")
    line = error_of(capsys, f"--input_csv={table}", f"--labels={labels}", out)
    assert "labels.csv: the data has the unknown class 'y'" in line
    assert "the test split is empty" in error_of(capsys, f"--input_csv={table}", out)
    assert not (tmp_path / "out").exists()


def test_bad_output(capsys, tmp_path, folder):
    source = f"--input_dir={folder}"
    write_files(tmp_path, {"file": b""})
    for name in ("file", "file/below"):
        line = error_of(capsys, source, f"--output_dir={tmp_path}/{name}")
        assert "is a file. Give a folder" in line
    assert run_main(source, f"--output_dir={tmp_path}/out", "--workers=1") == 0
    capsys.readouterr()
    line = error_of(capsys, source, f"--output_dir={tmp_path}/out", "--subsampling=4:4:4")
    assert "subsampling was 4:2:0 and is now 4:4:4" in line and "--overwrite" in line
    (tmp_path / "out/dataset.json").write_text("{")
    line = error_of(capsys, source, f"--output_dir={tmp_path}/out")
    assert "dataset.json: not valid JSON" in line


def test_every_image_rejected(capsys, tmp_path):
    write_files(tmp_path / "in", {f"a/{i}.jpg": b"no" for i in range(5)})
    arguments = [f"--input_dir={tmp_path}/in", f"--output_dir={tmp_path}/out"]
    assert "files were rejected" in error_of(capsys, *arguments)
    assert run_main(*arguments, "--workers=1", "--max_rejected=1") == 1
    assert "\nerror: all 5 files were rejected; see" in capsys.readouterr().err
    assert (tmp_path / "out/rejected.csv").read_text().count("\n") == 6


def test_what_cannot_be_written_is_one_line(capsys, tmp_path, folder, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("preprocess.filesystems.local.os.fsync", fail)
    line = error_of(capsys, f"--input_dir={folder}", f"--output_dir={tmp_path}/out")
    assert "No space left on device" in line


@pytest.mark.parametrize(
    "place",
    [
        "jpegkeras.batch_transcoding.read_packed",
        "jpegkeras.batch_transcoding.transcode",
        "jpegkeras.batch_transcoding.pack_image",
        "preprocess.shards.serialize_packed",
    ],
)
def test_a_lack_of_memory_is_one_line(capsys, tmp_path, folder, monkeypatch, place):
    def fail(*_, **__):
        raise MemoryError("Unable to allocate 3 GiB")

    monkeypatch.setattr(place, fail)
    # With a quality each file is transcoded and packed on its own.
    how = ["--quality=70"] if place.endswith(("transcode", "pack_image")) else []
    line = error_of(capsys, f"--input_dir={folder}", f"--output_dir={tmp_path}/out", *how)
    assert "memory ran out (Unable to allocate 3 GiB)" in line
    assert "fewer --workers" in line and "same command again" in line
    assert (tmp_path / "out/rejected.csv").read_text().count("\n") == 1
    assert not list((tmp_path / "out").rglob("*.tmp"))
    monkeypatch.undo()
    assert run_main(f"--input_dir={folder}", f"--output_dir={tmp_path}/out", *how) == 0


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EMFILE, "ulimit -n"),
        (errno.ENFILE, "fewer --workers"),
        (errno.ENOMEM, "fewer --workers"),
        (errno.EIO, "disk or the network"),
    ],
)
def test_what_the_machine_lacks_is_one_line(capsys, tmp_path, folder, monkeypatch, number, advice):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("preprocess.reading._read_file", fail)
    line = error_of(capsys, f"--input_dir={folder}", f"--output_dir={tmp_path}/out")
    assert os.strerror(number) in line and advice in line and f"{folder}/" in line
    assert (tmp_path / "out/rejected.csv").read_text().count("\n") == 1


def test_an_archive_that_changes_while_its_shard_is_made(capsys, tmp_path, monkeypatch):
    files = {f"{'ab'[i % 2]}/{i}.jpg": encode() for i in range(12)}
    path = write(tmp_path / "x.tar", tar_bytes(files.items()))
    monkeypatch.setattr("preprocess.parts.PartBuilder.add_record", _touching(path))
    out = tmp_path / "out"
    line = error_of(capsys, f"--input_tar={path}", f"--output_dir={out}", "--train_shards=1")
    assert "x.tar: changed since it was listed: modified at 1970" in line
    assert not list(out.glob("*.tfrecord*")) and not list((out / ".parts").iterdir())


def _touching(path):
    from preprocess.parts import PartBuilder

    add_record = PartBuilder.add_record

    def touch_and_add(*arguments):
        os.utime(path, ns=(0, 0))
        add_record(*arguments)

    return touch_and_add


def test_as_many_files_as_the_system_allows():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(500, before[1]), before[1]))
    try:
        main.raise_file_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
        main.raise_file_limit()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_an_ignored_interrupt_stays_ignored(tmp_path, folder):
    """As of a job that a shell without job control runs in the background."""
    code = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"
    process = subprocess.run(
        [sys.executable, "-c", f"{code}\nfrom runpy import run_module\n"
         "import sys; sys.argv = ['x', '--output_dir=o']\n"
         f"try: run_module('preprocess.main', run_name='__main__')\nfinally: {code}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )  # fmt: skip
    assert process.returncode == 1, process.stderr
    assert process.stderr.startswith("error: --input_dir")


def test_a_second_interrupt_does_not_break_the_first(tmp_path, folder):
    before = """
import os, signal
from preprocess import job, report
original = report.say
def interrupt(*_):
    os.kill(os.getpid(), signal.SIGINT)
def say(message):
    interrupt()
    original(message)
    interrupt()
job.run, report.say = interrupt, say
"""
    process = start_main(f"--input_dir={folder}", f"--output_dir={tmp_path}/out", before=before)
    _, err = process.communicate(timeout=60)
    assert err == "interrupted: run the same command again to continue.\n"
    assert process.returncode == 130


def test_progress_in_lines_without_a_terminal(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(report.time, "monotonic", lambda: now[0])
    with report.progress(1000, 8_000_000) as progress:
        for seconds, images, size in (
            (9, 0, 0),
            (2, 10, 80_000),
            (4, 200, 1e6),
            (8, 410, 4_080_000),
        ):
            now[0] += seconds
            progress(images, int(size))
    # The clock of the speed starts with the first images: 400 images and 4 MB in 12 seconds.
    assert capsys.readouterr().err.splitlines() == [
        "10 of 1,000 images",
        "410 of 1,000 images, 33 images/s, 0.3 MB/s, 0:00:12 left",
    ]


# Of flags that exclude each other.
CHOICES = [
    {"smallest_side": 5, "input_dir": "i", "input_csv": "c", "workers": 10},
    {"downscale": 4, "input_tar": "i", "test_tar": "t", "test_labels": "l", "engine": "local"},
    {"input_tfrecords": "r", "test_tfrecords": "s", "engine": "beam", "beam_options": "--x=1"},
]


@pytest.mark.parametrize("chosen", CHOICES)
def test_every_flag_reaches_the_config(chosen):
    values = flags.FlagValues()
    main.define_flags(values)
    given = {
        **chosen,
        "output_dir": "o",
        "labels": "l",
        "quality": 6,
        "respect_orientation": True,
        "subsampling": "4:4:4",
        "num_frequencies": 7,
        "resize": "exact",
        "compression": "none",
        "test_fraction": 0.25,
        "train_shards": 8,
        "test_shards": 9,
        "train_per_class": 12,
        "test_per_class": 13,
        "only_labelled": True,
        "seed": 11,
        "max_rejected": 0.5,
        "overwrite": True,
    }
    values(["main", *(f"--{name}={value}" for name, value in given.items())])
    assert set(values.flag_values_dict()) == {*given, *(key for some in CHOICES for key in some)}
    config = main._make_config(["main"], values)
    transcoding = config.transcoding
    for name, value in given.items():
        assert getattr(transcoding if hasattr(transcoding, name) else config, name) == value


def test_as_a_program_with_names_that_are_not_utf8(tmp_path):
    write_files(tmp_path, {"in/a/1.jpg": encode(), "in/a/2.jpg": encode(), "in/a/3.jpg": b"no"})
    os.rename(tmp_path / "in/a", os.fsencode(tmp_path / "in") + b"/caf\xe9")  # noqa: PTH104
    command = [sys.executable, "-m", "preprocess.main", f"--input_dir={tmp_path}/in"]
    command = [os.fsencode(part) for part in (*command, "--workers=1", "--test_fraction=0.4")]
    command.append(b"--output_dir=" + os.fsencode(tmp_path) + b"/out\xe9")
    done = subprocess.run(command, cwd=ROOT, capture_output=True)
    assert done.returncode == 1
    # The JPEG kernels may say before that they were compiled.
    line = done.stderr.decode().splitlines()[-1]
    assert (
        line.startswith("error: stopped: 1 files were rejected so far") and r"caf\xe9/3.jpg" in line
    )
    table = tmp_path.joinpath(os.fsdecode(b"out\xe9"), "rejected.csv").read_bytes()
    assert b"\ncaf\xe9/3.jpg," in table
    done = subprocess.run([*command, b"--max_rejected=0.5"], cwd=ROOT, capture_output=True)
    assert done.returncode == 0 and "Traceback" not in done.stderr.decode()
    assert rb"/out\xe9'" in done.stdout.replace(b"\n", b"")


def test_misspelt_flag_as_a_program():
    command = [sys.executable, "-m", "preprocess.main", "--qualty=80"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0
    assert "Unknown command line flag 'qualty'" in done.stderr and "Traceback" not in done.stderr
