"""Faults of Beam's workers, for tests: given as --beam_plugin, this module is imported there.

$TEST_BEAM_FAULT names one of `FAULTS`, or none. In the process that runs the tests, whose number is
$TEST_BEAM_PARENT, nothing happens.
"""

from __future__ import annotations

import errno
import os
import pathlib
import signal
import threading
import time

from jpegkeras.errors import InputError
from preprocess import shards

PLUGIN = f"--beam_plugin={__name__}"
FAULT_VARIABLE, FOLDER_VARIABLE = "TEST_BEAM_FAULT", "TEST_BEAM_FOLDER"
PARENT_VARIABLE = "TEST_BEAM_PARENT"

_write_shard = shards.write_shard


def _is_first(name):
    """Tells whether this is the first call with the name, in any process."""
    try:
        os.close(os.open(pathlib.Path(os.environ[FOLDER_VARIABLE], name), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def _lose(task, report):
    """One shard in five is not made, and nobody hears of it."""
    if int(task.shard.split("-")[1]) % 5:
        _write_shard(task, report)


def _write_twice(task, report):
    """Two threads make the shard at the same time, each whole."""
    meet = threading.Barrier(2)

    def write():
        meet.wait()
        _write_shard(task, lambda size: meet.wait(20))

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _fill_disk(task, report):
    path = f"{task.directory}/{task.shard}"
    raise OSError(errno.ENOSPC, "No space left on device", path)


def _find_input_changed(task, report):
    raise InputError("a.tar: changed since the job began.")


def _die_in_a_shard(task, report):
    """The worker that comes second to an image is killed there; only once."""

    def die(size):
        if not _is_first("begun") and _is_first("dead"):
            os.kill(os.getpid(), signal.SIGKILL)

    _write_shard(task, die)


def _take_long(task, report):
    """A tenth of a second for an image; the folder tells which processes are at work."""

    def wait(size):
        pathlib.Path(os.environ[FOLDER_VARIABLE], str(os.getpid())).touch()
        time.sleep(0.1)

    _write_shard(task, wait)


FAULTS = {
    "lose": _lose,
    "twice": _write_twice,
    "full": _fill_disk,
    "changed": _find_input_changed,
    "die": _die_in_a_shard,
    "slow": _take_long,
}


if os.environ.get(FAULT_VARIABLE) and os.environ.get(PARENT_VARIABLE) != str(os.getpid()):
    shards.write_shard = FAULTS[os.environ[FAULT_VARIABLE]]
