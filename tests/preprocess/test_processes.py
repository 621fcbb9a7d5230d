"""Worker processes: the same bytes as without them, and every way in which they can be ended.

Starting workers takes seconds, since each imports TensorFlow: there are few tests here.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from preprocess import job
from preprocess.config import PreprocessConfig
from preprocess.engines.base import WorkerDiedError
from tests.preprocess.helpers import (
    ROOT,
    children_of,
    contents,
    is_running,
    needs_proc,
    plan_of,
    start_main,
    wait_until,
    write_classes,
)

# Makes the process kill itself, as nothing else can at a chosen place, at the 8th image.
KILLED_AT_THE_8TH = """
import itertools, os, signal
from preprocess import shards
original, count = shards.serialize_packed, itertools.count(1)
def serialize_packed(*arguments, **options):
    if next(count) == 8:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments, **options)
shards.serialize_packed = serialize_packed
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = write_classes(tmp_path_factory.mktemp("source"), {"a": 10, "b": 10})
    return PreprocessConfig(
        input_dir=str(folder),
        output_dir=str(tmp_path_factory.mktemp("data")),
        train_shards=4,
        workers=1,
    )


@pytest.fixture(scope="module")
def expected(config):
    """The files that one process makes without a break."""
    job.run(config)
    return contents(config.output_dir)


def arguments(config, directory, workers):
    return [
        f"--input_dir={config.input_dir}",
        f"--output_dir={directory}",
        f"--train_shards={config.train_shards}",
        f"--workers={workers}",
    ]


def wait_for_workers(process):
    """Waits until two workers run: each has its own children entry beside the resource tracker."""
    wait_until(lambda: process.poll() is not None or len(children_of(process)) >= 3)
    assert process.poll() is None, process.communicate()
    return children_of(process)


def test_killed_worker_then_two_workers_make_the_same_bytes(config, expected, tmp_path):
    two = dataclasses.replace(config, output_dir=str(tmp_path), workers=2)

    def kill_one():
        wait_until(multiprocessing.active_children)
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    with pytest.raises(WorkerDiedError, match="Run the same command again to continue"):
        job.run(two)
    killer.join()
    assert not multiprocessing.active_children()
    assert not list(tmp_path.glob("*.tmp"))
    job.run(two)
    assert contents(tmp_path) == expected


@pytest.mark.slow
def test_eight_workers_make_the_same_bytes(tmp_path):
    folder = write_classes(tmp_path / "in", {"a": 30, "b": 30})
    made = {}
    for workers in (1, 8):
        config = PreprocessConfig(
            input_dir=str(folder),
            output_dir=f"{tmp_path}/{workers}",
            train_shards=12,
            workers=workers,
        )
        job.run(config)
        made[workers] = contents(config.output_dir)
    assert len(made[8]) == 15
    assert made[8] == made[1]


def test_killed_job_continues_and_keeps_what_is_done(config, expected, tmp_path, capfd):
    process = start_main(*arguments(config, tmp_path, workers=1), before=KILLED_AT_THE_8TH)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    # Shards of 4: one whole, and the 8th image is in the second.
    first = plan_of(config).shards[0].file
    assert sorted(path.name for path in (tmp_path / ".parts").iterdir()) == [f"{first}.json"]
    assert len(list(tmp_path.glob("*.tmp"))) == 1
    assert not (tmp_path / "dataset.json").exists()
    made = (tmp_path / first).stat()
    job.run(dataclasses.replace(config, output_dir=str(tmp_path)))
    assert "Continuing: 1 of 5 shards" in capfd.readouterr().err
    assert (tmp_path / first).stat().st_ino == made.st_ino
    assert contents(tmp_path) == expected


def test_a_shard_that_was_cut_off_is_made_again(config, expected, tmp_path):
    process = start_main(*arguments(config, tmp_path, workers=1), before=KILLED_AT_THE_8TH)
    process.communicate(timeout=120)
    shard = tmp_path / plan_of(config).shards[0].file
    shard.write_bytes(shard.read_bytes()[:-1])
    job.run(dataclasses.replace(config, output_dir=str(tmp_path)))
    assert contents(tmp_path) == expected


@needs_proc
def test_interrupt_ends_the_workers_in_one_line(config, tmp_path):
    process = start_main(*arguments(config, tmp_path, workers=2), start_new_session=True)
    children = wait_for_workers(process)
    # As Ctrl-C does: to every process of the terminal.
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.endswith("interrupted: run the same command again to continue.\n")
    assert "Traceback" not in err
    wait_until(lambda: not any(is_running(child) for child in children))
    assert not list(tmp_path.glob("*.tmp"))


@needs_proc
@pytest.mark.parametrize("seconds", [0.02, 0.1, 0.3, 0.6])
def test_two_interrupts_are_as_one(config, tmp_path, seconds):
    process = start_main(*arguments(config, tmp_path, workers=2), start_new_session=True)
    children = wait_for_workers(process)
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)
    try:
        _, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "interrupted: run the same command again to continue."
    assert "Traceback" not in err
    wait_until(lambda: not any(is_running(child) for child in children))
    assert not list(tmp_path.glob("*.tmp"))


# A job that is no program of ours handles interrupts as Python does; its first worker hangs.
HANGING = """
import os, sys, time
from preprocess import job
from preprocess.config import PreprocessConfig
from preprocess.engines import local
local._GRACE_SECONDS = 1.0
write_shard = local.write_shard
def hang(task, report):
    if task.shard.startswith("test"):
        print("hanging", flush=True)
        time.sleep(1000)
    return write_shard(task, report)
local.write_shard = hang
if __name__ == "__main__":
    config = PreprocessConfig(
        input_dir=sys.argv[1], output_dir=sys.argv[2], train_shards=4, workers=2
    )
    try:
        job.run(config)
    except KeyboardInterrupt:
        sys.exit(130)
"""


@needs_proc
def test_a_worker_that_does_not_end_is_killed(config, tmp_path):
    (tmp_path / "hanging.py").write_text(HANGING)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "hanging.py", config.input_dir, tmp_path / "out"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        assert process.stdout.readline() == b"hanging\n"
        children = children_of(process)
        for _ in range(3):
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.2)
        _, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert b"Traceback" not in err
    wait_until(lambda: not any(is_running(child) for child in children))


@pytest.mark.parametrize("module", ["absl", "numpy", "rich", "preprocess.job"])
def test_an_interrupt_while_modules_are_loaded_says_nothing(tmp_path, module):
    # Python loads this before any program.
    (tmp_path / "sitecustomize.py").write_text(f"""
import os, signal, sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
""")
    process = start_main("--helpshort", env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 130


@needs_proc
def test_workers_end_with_a_killed_parent(config, tmp_path):
    process = start_main(*arguments(config, tmp_path, workers=2))
    children = wait_for_workers(process)
    process.kill()
    process.communicate(timeout=60)
    wait_until(lambda: not any(is_running(child) for child in children))
