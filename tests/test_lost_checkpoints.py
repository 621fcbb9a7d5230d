"""Checkpoints of which a file, or TensorFlow's list of them, is lost: nothing else may go."""

from __future__ import annotations

import dataclasses
import io
import os
import pathlib
import shutil
import time

import numpy as np
import pytest
import rich.console
import tensorflow as tf

from jpegkeras import training
from jpegkeras.checkpoint_files import whole_checkpoints
from jpegkeras.checkpoints import find_checkpoint
from jpegkeras.errors import InputError
from tests import networks
from tests.datasets import write_drawn_dataset
from tests.test_training import CONFIG, log_of, run, weights_of

pytestmark = pytest.mark.usefixtures("tiny_network")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("drawn")
    write_drawn_dataset(directory, train=24, test=7)
    return directory


@pytest.fixture(scope="module")
def runs(data_dir, tmp_path_factory):
    """A run of 3 epochs, whose weights are expected, and one that has done 2 of them."""
    networks.add_tiny_network()
    folder = tmp_path_factory.mktemp("runs")
    try:
        expected = weights_of(run(data_dir, folder / "whole", epochs=3))
        run(data_dir, folder / "begun", epochs=2, checkpoint_every_steps=4)
    finally:
        networks.remove_tiny_network()
    return expected, folder / "begun"


@pytest.fixture
def begun(runs, tmp_path):
    """A copy of the run that is begun: its checkpoints are of the steps 8 and 12."""
    folder = tmp_path / "run"
    shutil.copytree(runs[1], folder)
    assert names(folder / "checkpoints") == ["ckpt-8", "ckpt-12"]
    return folder


def names(folder):
    return [pathlib.Path(path).name for path in whole_checkpoints(folder)]


def continue_run(data_dir, workdir):
    """Continues to the third epoch; returns what it has said."""
    said = io.StringIO()
    config = dataclasses.replace(CONFIG, epochs=3)
    console = rich.console.Console(file=said, width=400)
    return training.train(config, data_dir, workdir, console), said.getvalue()


def lose_list(folder):
    (folder / "checkpoint").unlink()


def empty_list(folder):
    (folder / "checkpoint").write_bytes(b"")


def lose_index(folder):
    (folder / "ckpt-12.index").unlink()


def empty_data(folder):
    (folder / "ckpt-12.data-00000-of-00001").write_bytes(b"")


def cut_index(folder):
    os.truncate(folder / "ckpt-12.index", 40)


@pytest.mark.parametrize(
    ("lose", "first_step"),
    [(lose_list, 12), (empty_list, 12), (lose_index, 8), (empty_data, 8), (cut_index, 8)],
)
def test_the_run_continues_from_what_is_left(data_dir, runs, begun, lose, first_step):
    lose(begun / "checkpoints")
    result, said = continue_run(data_dir, begun)
    assert f"continuing from {begun / 'checkpoints'}/ckpt-{first_step}" in said
    assert ("passed over for an earlier one" in said) == (lose in (empty_data, cut_index))
    for one, two in zip(runs[0], weights_of(result)):
        np.testing.assert_array_equal(one, two)
    assert [int(row["step"]) for row in log_of(begun)] == [6, 12, 18]
    # What is of the future of before does not stand in the way later.
    assert find_checkpoint(begun) == result.checkpoint


def test_a_clock_that_was_wrong_costs_nothing(data_dir, runs, begun, monkeypatch):
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 86_400)
    best = names(begun / "best")
    result, said = continue_run(data_dir, begun)
    assert "continuing from" in said and "ckpt-12" in said
    for one, two in zip(runs[0], weights_of(result)):
        np.testing.assert_array_equal(one, two)
    assert best and names(begun / "best")


@pytest.mark.parametrize("kind", ["index", "data-00000-of-00001"])
def test_a_run_never_begins_again_by_itself(data_dir, begun, kind):
    folder = begun / "checkpoints"
    for step in (8, 12):
        os.truncate(folder / f"ckpt-{step}.{kind}", 30)
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(InputError, match="damaged"):
        continue_run(data_dir, begun)
    for step in (8, 12):
        (folder / f"ckpt-{step}.data-00000-of-00001").unlink()
    with pytest.raises(InputError, match="parts of checkpoints here, but none is whole"):
        continue_run(data_dir, begun)
    assert [n for n in before if "index" in n] == sorted(p.name for p in folder.glob("*.index"))


def test_what_a_killed_process_left_half_written_goes(data_dir, begun):
    folder = begun / "checkpoints"
    (folder / "ckpt-15_temp").mkdir()
    (folder / "ckpt-15_temp" / "part-00000-of-00001.data-00000-of-00001").write_bytes(b"x")
    (folder / "ckpt-15.data-00000-of-00001").write_bytes(b"x")
    (folder / "ckpt-15.index.tempstate123").write_bytes(b"x")
    (folder / "notes.txt").write_text("mine")
    continue_run(data_dir, begun)
    assert sorted(path.name for path in folder.iterdir() if "15" in path.name) == []
    assert (folder / "notes.txt").exists()


def test_a_workdir_that_is_relative(data_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workdir = pathlib.Path("runs/one")
    result = run(data_dir, workdir, epochs=1, checkpoint_every_steps=2)
    assert result.checkpoint == "runs/one/checkpoints/ckpt-6"
    assert names(workdir / "checkpoints") == ["ckpt-4", "ckpt-6"]
    assert len(names(workdir / "best")) == 1
    # As other programs find it.
    assert tf.train.latest_checkpoint("runs/one/checkpoints") == result.checkpoint
    assert run(data_dir, workdir, epochs=2).step == 12
