from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from jpegkeras.errors import InputError
from preprocess.sources import SourceSpec, find_containers, list_source, memory, open_containers
from tests.preprocess.helpers import ROOT
from tests.preprocess.sources_helpers import PACK, SUFFIXES, tar_bytes, write

TAR = tar_bytes([("a/1.jpg", b"1" * 3000)])


@pytest.mark.parametrize(
    "flags",
    [
        {"input_dir": "x"},
        {"input_dir": "x", "test_labels": "l"},
        {"input_csv": "x"},
        {"input_csv": "x", "input_dir": "y"},
        {"input_tar": "x, y"},
        {"input_tar": "x", "test_tar": "y", "test_labels": "l"},
        {"input_tar": "x", "test_labels": "l"},
        {"input_tfrecords": "x", "test_tfrecords": "y"},
    ],
)
def test_one_input_with_what_belongs_to_it(flags):
    assert str(SourceSpec(**flags)) == flags[sorted(flags)[0]]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({}, "^--input_dir .*, --input_csv, --input_tar or --input_tfrecords is missing.$"),
        ({"input_dir": ""}, "is missing.$"),
        ({"test_tar": "x"}, "is missing. --test_tar is not an input of its own."),
        ({"input_dir": "x", "input_tar": "y"}, "--input_dir and --input_tar are both given"),
        ({"input_csv": "x", "input_tar": "y"}, "--input_csv and --input_tar are both given"),
        ({"input_tar": "x", "input_tfrecords": "y"}, "--input_tar and --input_tfrecords are both"),
        ({"input_csv": "x", "test_labels": "l"}, "goes with --input_dir or --input_tar, not with"),
        ({"input_csv": "x", "input_dir": "y", "test_labels": "l"}, "--test_labels goes with"),
        ({"input_dir": "x", "test_tar": "y"}, "--test_tar goes with --input_tar, not with --inp"),
        ({"input_tfrecords": "x", "test_tar": "y"}, "--test_tar goes with --input_tar"),
        ({"input_tar": "x", "test_tfrecords": "y"}, "--test_tfrecords goes with --input_tfrecords"),
        ({"input_tar": "x,,y"}, "--input_tar=x,,y: a path is empty"),
        ({"input_tfrecords": "x", "test_tfrecords": "y,"}, "--test_tfrecords=y,: a path is empty"),
    ],
)
def test_inputs_that_are_missing_or_contradict(flags, message):
    with pytest.raises(ValueError, match=message):
        SourceSpec(**flags)


@pytest.mark.parametrize("compression", PACK)
def test_any_process_can_open_what_is_unpacked(tmp_path, compression):
    path = write(tmp_path / f"x.tar{SUFFIXES[compression]}", PACK[compression](TAR))
    calls = []
    with memory.unpacked(path, compression, lambda *call: calls.append(call)) as unpacked:
        code = "import sys, pathlib; print(len(pathlib.Path(sys.argv[1]).read_bytes()))"
        command = [sys.executable, "-c", code, unpacked]
        assert int(subprocess.run(command, capture_output=True, check=True).stdout) == len(TAR)
        with open(unpacked, "rb") as file:  # noqa: PTH123
            assert file.read() == TAR
    assert not os.path.exists(unpacked)  # noqa: PTH110
    assert calls[-1] == ((tmp_path / f"x.tar{SUFFIXES[compression]}").stat().st_size,) * 2


def test_several_streams_one_behind_the_other(tmp_path):
    path = write(tmp_path / "x", PACK["gzip"](TAR[:700]) + PACK["gzip"](TAR[700:]))
    with memory.unpacked(path, "gzip") as unpacked, open(unpacked, "rb") as file:  # noqa: PTH123
        assert file.read() == TAR


@pytest.mark.parametrize(
    ("name", "compression", "advice"),
    [
        ("x.tar.gz", "gzip", "gzip -dc {}/x.tar.gz > {}/x.tar"),
        ("x.tgz", "gzip", "gzip -dc {}/x.tgz > {}/x.tar"),
        ("x y.tar.xz", "xz", "xz -dc '{}/x y.tar.xz' > '{}/x y.tar'"),
        ("x.tbz2", "bz2", "bzip2 -dc {}/x.tbz2 > {}/x.tar"),
        ("x", "bz2", "bzip2 -dc {}/x > {}/x.uncompressed"),
    ],
)
def test_what_is_too_large_for_the_memory(tmp_path, monkeypatch, name, compression, advice):
    path = write(tmp_path / name, PACK[compression](TAR))
    monkeypatch.setattr(memory, "available_memory", lambda: 2 * len(TAR) - 2)
    with pytest.raises(InputError, match="takes more than 0.0 GiB, half of the memory") as error:
        memory.unpacked(path, compression).__enter__()
    assert str(error.value).endswith(advice.format(tmp_path, tmp_path))
    monkeypatch.setattr(memory, "available_memory", lambda: 2 * len(TAR))
    with memory.unpacked(path, compression):
        pass
    command = str(error.value).partition("the result: ")[2]
    subprocess.run(command, shell=True, check=True)
    written = [entry for entry in tmp_path.iterdir() if entry.name != name]
    assert [entry.read_bytes() for entry in written] == [TAR]


def test_memory_that_is_available():
    assert 1 << 20 < memory.available_memory() < 1 << 50


def test_containers_that_changed_or_went_before_they_are_opened(tmp_path):
    path = write(tmp_path / "x.tar", TAR)
    containers = find_containers(SourceSpec(input_tar=path))
    with open_containers(containers) as opened:
        assert opened == {path: path}
    os.utime(path, ns=(0, 1))
    with (
        pytest.raises(
            InputError, match="x.tar: changed since it was listed: modified at 1970-01-01"
        ),
        open_containers(containers),
    ):
        pass
    write(tmp_path / "x.tar", TAR + bytes(1))
    with (
        pytest.raises(InputError, match=r"x.tar: changed .*: 10,240 bytes then, 10,241 now\. Run"),
        open_containers(containers),
    ):
        pass
    (tmp_path / "x.tar").unlink()
    with pytest.raises(InputError, match="x.tar: cannot be opened"), open_containers(containers):
        pass


def test_nothing_is_left_open(tmp_path):
    paths = [write(tmp_path / f"x.tar.{kind}", pack(TAR)) for kind, pack in PACK.items()]
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for path in paths:
        list_source(SourceSpec(input_tar=path))
        with pytest.raises(InputError):
            list_source(SourceSpec(input_tar=write(f"{path}.cut", b"\x1f\x8b\x08\0")))
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127])
def test_a_name_that_a_file_in_memory_cannot_have(tmp_path, name):
    path = write(tmp_path / name, PACK["gzip"](TAR))
    with memory.unpacked(path, "gzip") as unpacked, open(unpacked, "rb") as file:  # noqa: PTH123
        assert file.read() == TAR


def test_a_container_that_changes_while_it_is_unpacked(tmp_path):
    path = write(tmp_path / "x.tar.gz", PACK["gzip"](TAR))
    containers = find_containers(SourceSpec(input_tar=path))
    with (
        pytest.raises(InputError, match="x.tar.gz: changed since it was listed"),
        open_containers(containers, lambda done, size: os.utime(path, ns=(0, 1))),
    ):
        pass


def open_many(folder, count, soft, hard):
    """Opens so many compressed archives in a process that may have so many files open."""
    for number in range(count):
        write(folder / f"{number}.tgz", PACK["gzip"](TAR))
    code = (
        "import resource, sys\n"
        "from jpegkeras.errors import InputError\n"
        "from preprocess.sources import SourceSpec, find_containers, open_containers\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        "containers = find_containers(SourceSpec(input_tar=sys.argv[1]))\n"
        "try:\n"
        "    with open_containers(containers) as opened:\n"
        "        print(len({open(path, 'rb').read() for path in opened.values()}), len(opened))\n"
        "except InputError as error:\n"
        "    print(error)"
    )
    command = [sys.executable, "-c", code, f"{folder}/*.tgz"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_more_compressed_files_than_may_be_open(tmp_path):
    assert open_many(tmp_path, 120, soft=100, hard=300) == "1 120\n"
    message = open_many(tmp_path, 120, soft=100, hard=150)
    assert message == (
        "120 compressed files must be open at a time, but a process may open 150 (ulimit -n). "
        "Raise that limit, give fewer files, or uncompress them first (gzip -d).\n"
    )


def test_the_system_has_no_room_for_another_file(tmp_path, monkeypatch):
    def fail(name):
        raise OSError(errno.ENFILE, os.strerror(errno.ENFILE))

    path = write(tmp_path / "x.tgz", PACK["gzip"](TAR))
    containers = find_containers(SourceSpec(input_tar=path))
    monkeypatch.setattr(os, "memfd_create", fail)
    with (
        pytest.raises(InputError, match="x.tgz: Too many open files in system. Raise that limit"),
        open_containers(containers),
    ):
        pass


def test_tensorflow_is_not_loaded(tmp_path):
    path = write(tmp_path / "x.tar.gz", PACK["gzip"](TAR))
    code = (
        "import sys\n"
        "from preprocess import reading, sources\n"
        "listing = sources.list_source(sources.SourceSpec(input_tar=sys.argv[1]))\n"
        "print(len(listing.files), 'tensorflow' in sys.modules)"
    )
    command = [sys.executable, "-c", code, path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "1 False\n", done.stderr
