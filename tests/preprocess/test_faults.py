"""What can go wrong under a job: kills, full disks, files that change, broken files, two jobs."""

from __future__ import annotations

import csv
import dataclasses
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

from jpegkeras.errors import InputError
from jpegkeras.transcoding import Transcoding
from preprocess import job, output
from preprocess.config import PreprocessConfig
from tests.preprocess.helpers import (
    contents,
    draw,
    encode,
    is_running,
    needs_proc,
    read_split,
    start_main,
    wait_until,
    workers_of,
    write_classes,
    write_files,
)

KILLS = 20
NOBODY = 65534


def config_of(folder, directory, **settings):
    return PreprocessConfig(
        **{"input_dir": str(folder), "output_dir": str(directory), "workers": 1, **settings}
    )


def rejected_reasons(directory):
    path = pathlib.Path(directory, "rejected.csv")
    with path.open(newline="", errors="surrogateescape") as file:
        return {row["path"]: row["reason"] for row in csv.DictReader(file)}


@pytest.mark.slow
@needs_proc
def test_twenty_kills_at_random_moments(tmp_path):
    """Workers and parents are killed; in the end the job has made what it makes undisturbed."""
    # Large pictures and the slow way to resize them: the job must outlive 20 kills.
    pictures = [encode(draw(seed, 1500, 2000)) for seed in range(3)]
    names = [f"{'ab'[index % 2]}/{index}.jpg" for index in range(150)]
    files = {name: pictures[index % 3] for index, name in enumerate(names)}
    folder = write_files(tmp_path / "in", files)
    settings = {"train_shards": 60, "test_shards": 15}
    transcoding = Transcoding(90, resize="exact")
    config = config_of(folder, tmp_path / "undisturbed", transcoding=transcoding, **settings)
    job.run(config)
    out = tmp_path / "out"
    arguments = [f"--{name}={value}" for name, value in settings.items()]
    arguments += [f"--input_dir={folder}", f"--output_dir={out}", "--workers=2"]
    arguments += ["--smallest_side=90", "--resize=exact"]
    rng = random.Random(0)
    kills = {"parent": 0, "worker": 0}
    processes, done = [], []
    while sum(kills.values()) < KILLS:
        process = start_main(*arguments)
        if rng.random() < 0.75:  # else while it starts
            wait_until(lambda started=process: started.poll() is not None or workers_of(started))
        # At a random moment, but at most one shard further: the job is not to end before the kills
        # do. Every second one waits for that shard: on a slow machine there would be none else.
        seconds = rng.uniform(0.2, 2.2) if sum(kills.values()) % 2 else 60
        end, before = time.monotonic() + seconds, shards_in(out)
        while time.monotonic() < end and shards_in(out) == before and process.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.05))
        assert process.poll() is None, process.communicate()
        workers = workers_of(process)
        processes += workers
        victim = rng.choice(["parent", "worker"]) if workers else "parent"
        os.kill(process.pid if victim == "parent" else rng.choice(workers), signal.SIGKILL)
        kills[victim] += 1
        _, err = process.communicate(timeout=60)
        assert "Traceback" not in err
        assert not (out / "dataset.json").exists()
        done.append(shards_in(out))
    assert min(kills.values()) > 3, kills
    # They came all along the job.
    assert done == sorted(done) and len(set(done)) > 2, done
    wait_until(lambda: not any(map(is_running, processes)))
    _, err = start_main(*arguments).communicate(timeout=120)
    assert contents(out) == contents(config.output_dir), err


def shards_in(directory):
    return len(list(directory.glob("*.tfrecord.gz")))


def changing(monkeypatch, change):
    """Has `change` called between the plan and the reading of the first file."""
    prepare = output.prepare

    def prepare_and_change(*arguments, **options):
        prepared = prepare(*arguments, **options)
        change()
        return prepared

    monkeypatch.setattr(output, "prepare", prepare_and_change)


def test_files_that_vanish_or_change_after_the_plan(tmp_path, monkeypatch):
    folder = write_classes(tmp_path / "in", {"a": 20, "b": 20})
    same = (folder / "a/a_2.jpg").stat()

    def change():
        (folder / "a/a_0.jpg").unlink()
        (folder / "a/a_1.jpg").write_bytes(encode(draw(77, 64, 64)))
        content = (folder / "a/a_3.jpg").read_bytes()
        (folder / "a/a_2.jpg").write_bytes(content[: same.st_size].ljust(same.st_size, b"\0"))
        (folder / "a/a_4.jpg").unlink()
        os.mkfifo(folder / "a/a_4.jpg")

    changing(monkeypatch, change)
    config = config_of(folder, tmp_path / "out", max_rejected=0.2)
    info = job.run(config).info
    reasons = rejected_reasons(config.output_dir)
    assert info.counts["rejected"] == len(reasons) == 4
    assert reasons["a/a_0.jpg"] == "No such file or directory"
    assert "changed since it was listed" in reasons["a/a_1.jpg"]
    assert "changed since it was listed" in reasons["a/a_2.jpg"]
    assert reasons["a/a_4.jpg"] == "not a regular file"
    names = {r["name"].decode() for s in info.splits for r in read_split(tmp_path / "out", info, s)}
    assert len(names) == 36 and not names & set(reasons)


def test_a_file_that_loses_its_read_permission(monkeypatch):
    base = pathlib.Path(tempfile.mkdtemp())  # pytest's folders can be entered by their owner alone
    folder = write_classes(base / "in", {"a": 10, "b": 10})

    def change():
        (folder / "b/b_3.jpg").chmod(0)
        if os.geteuid() == 0:  # who may read everything
            for path in (base, *base.rglob("*")):
                if path.name != "b_3.jpg":
                    os.chown(path, NOBODY, NOBODY)
            os.seteuid(NOBODY)

    changing(monkeypatch, change)
    user = os.geteuid()
    try:
        info = job.run(config_of(folder, base / "out", max_rejected=0.2)).info
    finally:
        os.seteuid(user)
    assert info.counts["rejected"] == 1
    assert rejected_reasons(base / "out") == {"b/b_3.jpg": "Permission denied"}
    shutil.rmtree(base)


@pytest.mark.parametrize(
    ("broken", "passes", "workers"),
    [(2, True, 1), (100, False, 1), (100, False, 2), (200, False, 1), (200, False, 2)],
)
def test_broken_files(tmp_path, broken, passes, workers):
    files = {f"a/{i:03d}.jpg": encode(draw(i)) for i in range(200)}
    for name in random.Random(1).sample(sorted(files), broken):
        files[name] = files[name][: len(files[name]) // 3]
    folder = write_files(tmp_path / "in", files)
    config = config_of(folder, tmp_path / "out", train_shards=8, workers=workers)
    if passes:
        info = job.run(config).info
        assert info.counts["rejected"] == broken
        assert sum(split.records for split in info.splits.values()) == 200 - broken
    else:
        with pytest.raises(InputError, match="rejected.*see .*rejected.csv"):
            job.run(config)
        assert not (tmp_path / "out/dataset.json").exists()
    reasons = rejected_reasons(tmp_path / "out")
    # It stops as soon as there are more than 5 %, and lists what it has seen by then.
    assert len(reasons) == broken if passes else 10 < len(reasons) <= broken
    assert all("truncated" in reason for reason in reasons.values())
    assert not list((tmp_path / "out").rglob("*.tmp"))


@needs_proc
def test_the_second_of_two_jobs_is_refused(tmp_path):
    files = {f"{'ab'[i % 2]}/{i}.jpg": encode(draw(i, 900, 1200)) for i in range(40)}
    folder = write_files(tmp_path / "in", files)
    arguments = [f"--input_dir={folder}", f"--output_dir={tmp_path}/out", "--smallest_side=90"]
    first = start_main(*arguments, "--workers=2")
    try:
        wait_until((tmp_path / "out/.plan/plan.json").exists)
        _, err = start_main(*arguments, "--workers=1", "--overwrite").communicate(timeout=60)
        assert err.endswith(
            f"{tmp_path}/out: another job is writing here. Wait for its end, or "
            "give another --output_dir.\n"
        )
    finally:
        _, err = first.communicate(timeout=120)
    assert first.returncode == 0, err
    assert (tmp_path / "out/dataset.json").exists()


def test_names_with_blanks_newlines_and_other_bytes(tmp_path):
    names = ["a b", "new\nline", "tab\t", "quote\"'", "back\\slash", "comma,", "#", " lead", "ü"]
    names = [*names, os.fsdecode(b"latin \xfc\xff"), os.fsdecode(b"\xe2\x28\xa1")]
    files = {f"c {i % 2}\n/{name}.jpg": encode(draw(i)) for i, name in enumerate(names)}
    files["c 0\n/broken\n\udcff.jpg"] = b"no"
    folder = write_files(tmp_path / "in", files)
    config = config_of(folder, tmp_path / "out", workers=2, train_shards=2, max_rejected=0.2)
    info = job.run(config).info
    found = {
        os.fsdecode(bytes(r["name"]))
        for s in info.splits
        for r in read_split(config.output_dir, info, s)
    }
    assert found == {name for name in files if "broken" not in name}
    assert list(rejected_reasons(tmp_path / "out")) == ["c 0\n/broken\n\udcff.jpg"]
    assert [entry.name for entry in info.classes] == ["c 0\n", "c 1\n"]
    assert job.run(config).finished_before


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 200 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=200k", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs root, to mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("workers", [1, 2])
def test_disk_full(tmp_path, small_disk, workers):
    folder = write_classes(tmp_path / "in", {"a": 30, "b": 30})
    config = config_of(
        folder, tmp_path / "roomy", train_shards=12, test_shards=4, compression="none"
    )
    job.run(config)
    full = dataclasses.replace(config, output_dir=f"{small_disk}/out", workers=workers)
    with pytest.raises(OSError, match="No space left on device: '") as raised:
        job.run(full)
    assert raised.value.filename.startswith(f"{small_disk}/out/")
    assert not list(small_disk.rglob("*.tmp"))
    # What is there is whole.
    for path in small_disk.glob("out/*.tfrecord"):
        assert path.read_bytes() == pathlib.Path(config.output_dir, path.name).read_bytes()
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    job.run(full)
    assert contents(full.output_dir) == contents(config.output_dir)


def test_the_plan_on_a_full_disk(tmp_path, small_disk):
    folder = write_classes(tmp_path / "in", {"a": 6})
    (small_disk / "ballast").write_bytes(b"x" * 190_000)
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "more").write_bytes(b"x" * 20_000)
    with pytest.raises(OSError, match="No space left on device: "):
        job.run(config_of(folder, small_disk / "out"))
    (small_disk / "more").unlink()
    assert [p for p in small_disk.rglob("*") if p.is_file()] == [small_disk / "ballast"]
