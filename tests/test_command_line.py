"""Every command: help that succeeds, and one line for a flag that is wrong."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
COMMANDS = {
    "preprocess.main": "--smallest_side",
    "preprocess.sample_data": "--images_per_class",
    "preprocess.inspect": "--samples",
    "train_main": "--batch_size",
    "jpegkeras.experiments": "--table",
}


def run(module, *arguments):
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("module", COMMANDS)
def test_help_succeeds(module):
    done = run(module, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert COMMANDS[module] in done.stdout


@pytest.mark.parametrize("module", COMMANDS)
def test_a_wrong_flag_is_one_line(module):
    done = run(module, f"{COMMANDS[module]}x=1")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: Unknown command line flag ")
    assert "(--help lists the flags)" in done.stderr
