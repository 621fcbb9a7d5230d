"""Dry runs: they find what a run would find, and leave a run that is there as it is."""

from __future__ import annotations

import dataclasses
import io

import pytest
import rich.console

from jpegkeras import trials
from jpegkeras.errors import InputError
from jpegkeras.files import locked
from tests.datasets import write_drawn_dataset
from tests.test_training import CONFIG, run

pytestmark = pytest.mark.usefixtures("tiny_network")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("drawn")
    write_drawn_dataset(directory, train=24, test=7)
    return directory


def dry_run(data_dir, workdir, init_from=None, **changes):
    console = rich.console.Console(file=io.StringIO())
    config = dataclasses.replace(CONFIG, **changes)
    return trials.dry_run(config, data_dir, workdir, console, init_from=init_from)


def test_it_keeps_the_picture_alone_and_tries_six_steps(data_dir, tmp_path):
    found = dry_run(data_dir, tmp_path / "run", epochs=5)
    assert [path.name for path in (tmp_path / "run").iterdir() if path.name[0] != "."] == [
        "batch.png"
    ]
    assert len(found.losses) == 6 and found.checkpoint_bytes > 1000
    assert found.seconds == pytest.approx(5 * 24 / found.images_per_second)


def test_fewer_batches_than_it_tries_are_enough(data_dir, tmp_path):
    assert len(dry_run(data_dir, tmp_path / "run", batch_size=12).losses) == 6


def test_the_run_that_is_there_stays_as_it_is(data_dir, tmp_path):
    run(data_dir, tmp_path, epochs=1)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    dry_run(data_dir, tmp_path)
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {p: d for p, d in after.items() if p.name[0] != "."} == {
        p: d for p, d in before.items() if p.name[0] != "."
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 77}, "seed was 5 and is now 77"),
        ({"learning_rate": 1e30}, "learning_rate was 0.02 and is now 1e[+]30"),
    ],
)
def test_other_settings_than_the_runs_are_an_error(data_dir, tmp_path, changes, message):
    run(data_dir, tmp_path, epochs=1)
    with pytest.raises(InputError, match=message):
        dry_run(data_dir, tmp_path, **changes)


def test_a_training_that_diverges_at_once_does_not_work(data_dir, tmp_path):
    with pytest.raises(InputError, match="diverges at once. Lower --learning_rate"):
        dry_run(data_dir, tmp_path, learning_rate=1e30)


def test_weights_that_are_not_there_are_an_error(data_dir, tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.keras"):
        dry_run(data_dir, tmp_path, init_from="nowhere.keras")


def test_a_run_in_progress_is_not_disturbed(data_dir, tmp_path):
    with locked(tmp_path, "--workdir"), pytest.raises(InputError, match="another|in use"):
        dry_run(data_dir, tmp_path)
