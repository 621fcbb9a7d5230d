"""What may happen to a run: kills, SIGTERM, a full disk, and the same with two hosts."""

from __future__ import annotations

import csv
import json
import pathlib
import random
import signal
import socket
import subprocess

import numpy as np
import pytest

from jpegkeras.checkpoints import find_checkpoint, restore_network
from jpegkeras.errors import InputError
from jpegkeras.preemption import PreemptedError, StopRequest
from jpegkeras.run_log import Progress
from tests.datasets import write_drawn_dataset
from tests.test_training import log_of, run, weights_of
from tests.training_process import start, steps_done, wait_for_step

pytestmark = pytest.mark.usefixtures("tiny_network")

# Enough steps that a kill at a random one does not come too late: 4 epochs of 60.
LONG = {"epochs": 4, "log_every_steps": 1, "checkpoint_every_steps": 4}
STEPS = 240


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("drawn")
    write_drawn_dataset(directory, train=24, test=7)
    return directory


@pytest.fixture(scope="module")
def long_data_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("drawn")
    write_drawn_dataset(directory, train=240, test=7)
    return directory


def final_weights(workdir):
    _, model = restore_network(find_checkpoint(workdir))
    return model.get_weights()


def rows_of(workdir, name):
    with (workdir / name).open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        del row["images_per_second"]
    return rows


@pytest.mark.slow
def test_a_run_killed_at_random_steps_ends_as_an_undisturbed_one_bit_for_bit(
    long_data_dir, tmp_path
):
    extras = {**LONG, "ema_decay": 0.9, "augment": "strong", "label_smoothing": 0.1}
    whole = start(long_data_dir, tmp_path / "whole", **extras)
    assert whole.communicate() and whole.returncode == 0
    killed = tmp_path / "killed"
    for low, high in ((5, 70), (80, 150), (160, 230)):
        process = start(long_data_dir, killed, **extras)
        wait_for_step(process, killed, random.Random(low).randint(low, high))
        process.kill()
        process.communicate()
        assert steps_done(killed) < STEPS
    last = start(long_data_dir, killed, **extras)
    assert last.communicate() and last.returncode == 0
    for one, two in zip(final_weights(tmp_path / "whole"), final_weights(killed)):
        np.testing.assert_array_equal(one, two)
    for name in ("log.csv", "steps.csv"):
        assert rows_of(tmp_path / "whole", name) == rows_of(killed, name)
    leftovers = [path for path in killed.rglob("*temp*") if path.name.startswith("ckpt")]
    assert leftovers == []


@pytest.mark.slow
def test_a_sigterm_saves_first(long_data_dir, tmp_path):
    process = start(long_data_dir, tmp_path, **{**LONG, "checkpoint_every_steps": 1000})
    wait_for_step(process, tmp_path, 14)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate()
    assert process.returncode == 143
    step = int(output.split("stopped at step ")[1].split(",")[0])
    assert step >= 14
    assert f"saved in {tmp_path / 'checkpoints'}/ckpt-{step}" in output
    state = json.loads((tmp_path / "run.json").read_text())
    assert (state["state"], state["step"]) == ("interrupted", step)


def asked_after(monkeypatch, step):
    """Makes a run be asked to end as soon as `step` is done."""
    update = Progress.update
    made = []

    def asking(self, done, images, loss):
        update(self, done, images, loss)
        if done == step:
            made.append(True)

    monkeypatch.setattr(Progress, "update", asking)
    monkeypatch.setattr(StopRequest, "is_made", property(lambda _: bool(made)))


@pytest.mark.parametrize("step", [3, 6])
def test_a_run_that_was_asked_to_end_continues_to_the_same_weights(
    data_dir, tmp_path, monkeypatch, step
):
    # Step 6 is the end of an epoch, where the evaluation is still to be made.
    undisturbed = run(data_dir, tmp_path / "whole")
    with monkeypatch.context() as patch:
        asked_after(patch, step)
        with pytest.raises(PreemptedError, match=f"stopped at step {step}, which is saved"):
            run(data_dir, tmp_path / "asked")
    resumed = run(data_dir, tmp_path / "asked")
    for one, two in zip(weights_of(undisturbed), weights_of(resumed)):
        np.testing.assert_array_equal(one, two)
    rows = [log_of(tmp_path / name) for name in ("whole", "asked")]
    for row in (*rows[0], *rows[1]):
        del row["images_per_second"]
    assert rows[0] == rows[1]


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of its own, of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a file system of a given size cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_does_not_spoil_the_last_checkpoint(data_dir, small_disk):
    run(data_dir, small_disk, epochs=1)
    before = final_weights(small_disk)
    filler = small_disk / "filler"
    free = 1 << 20
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError):
        while free:
            file.write(bytes(4096))
    with pytest.raises(OSError, match="is the disk full|Is the disk full|No space left"):
        run(data_dir, small_disk, epochs=2)
    for one, two in zip(before, final_weights(small_disk)):
        np.testing.assert_array_equal(one, two)
    filler.unlink()
    assert run(data_dir, small_disk, epochs=2).step == 12


def two_hosts(data_dir, workdir, **changes):
    """Starts two processes that are each other's hosts."""
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    return [
        start(
            data_dir,
            workdir,
            strategy="multiworker",
            environment={
                "TF_CONFIG": json.dumps(
                    {"cluster": cluster, "task": {"type": "worker", "index": index}}
                )
            },
            **changes,
        )
        for index in range(2)
    ]


def ends_of(processes, seconds=120):
    """Waits for all; returns their statuses and what they have said."""
    said = [process.communicate(timeout=seconds) for process in processes]
    return [process.returncode for process in processes], said


@pytest.mark.slow
@pytest.mark.parametrize("augment", ["paper", "strong"])
def test_two_hosts_train_as_one_process(data_dir, tmp_path, augment):
    # 20 steps and more, with synchronised batch normalisation, averages and clipping.
    extras = {"epochs": 4, "augment": augment, "ema_decay": 0.9, "clip_norm": 1.0}
    one = run(data_dir, tmp_path / "one", **extras)
    statuses, said = ends_of(two_hosts(data_dir, tmp_path / "two", **extras))
    assert statuses == [0, 0], said
    for a, b in zip(weights_of(one), final_weights(tmp_path / "two")):
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-5)
    for a, b in zip(log_of(tmp_path / "one"), log_of(tmp_path / "two")):
        assert float(a["train_loss"]) == pytest.approx(float(b["train_loss"]), rel=1e-5)
        assert float(a["test_loss"]) == pytest.approx(float(b["test_loss"]), rel=1e-5)
        assert a["test_top1"] == b["test_top1"]


@pytest.mark.slow
def test_two_hosts_killed_in_turn_end_where_undisturbed_ones_do(long_data_dir, tmp_path):
    settings = {**LONG, "epochs": 2}
    statuses, said = ends_of(two_hosts(long_data_dir, tmp_path / "whole", **settings))
    assert statuses == [0, 0], said
    for victim, step in ((1, 25), (0, 75)):
        processes = two_hosts(long_data_dir, tmp_path / "killed", **settings)
        wait_for_step(processes[victim], tmp_path / "killed", step)
        processes[victim].kill()
        statuses, said = ends_of(processes)
        assert statuses[victim] == -signal.SIGKILL
        # The other one notices by itself.
        assert statuses[1 - victim] not in (0, None)
        assert steps_done(tmp_path / "killed") < STEPS // 2
    statuses, said = ends_of(two_hosts(long_data_dir, tmp_path / "killed", **settings))
    assert statuses == [0, 0], said
    whole, killed = (log_of(tmp_path / name) for name in ("whole", "killed"))
    assert [row["step"] for row in whole] == [row["step"] for row in killed]
    assert float(whole[-1]["train_loss"]) == pytest.approx(
        float(killed[-1]["train_loss"]), rel=1e-5, abs=1e-5
    )
    assert float(whole[-1]["test_loss"]) == pytest.approx(
        float(killed[-1]["test_loss"]), rel=1e-5, abs=1e-5
    )


@pytest.mark.slow
def test_a_sigterm_to_one_of_two_hosts_saves_on_both(long_data_dir, tmp_path):
    processes = two_hosts(long_data_dir, tmp_path, **{**LONG, "checkpoint_every_steps": 1000})
    wait_for_step(processes[0], tmp_path, 20)
    processes[1].send_signal(signal.SIGTERM)
    statuses, said = ends_of(processes)
    assert statuses == [143, 143], said
    step = int(said[0][0].split("stopped at step ")[1].split(",")[0])
    assert find_checkpoint(tmp_path).endswith(f"ckpt-{step}")


@pytest.mark.slow
def test_hosts_that_see_different_folders_are_an_error(data_dir, tmp_path):
    run(data_dir, tmp_path / "0", epochs=1)
    processes = []
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    for index in range(2):
        config = {
            "cluster": {"worker": [f"127.0.0.1:{port}" for port in ports]},
            "task": {"type": "worker", "index": index},
        }
        processes.append(
            start(
                data_dir,
                tmp_path / str(index),
                strategy="multiworker",
                epochs=2,
                environment={"TF_CONFIG": json.dumps(config)},
            )
        )
    statuses, said = ends_of(processes)
    assert statuses == [1, 1]
    assert "All hosts must see the same --workdir" in said[1][1]
    assert not pathlib.Path(tmp_path, "1", "log.csv").exists()


def test_errors_of_hosts_are_told_before_anything_starts(data_dir, tmp_path, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(InputError, match="TF_CONFIG"):
        run(data_dir, tmp_path / "run", strategy="multiworker")
    assert not (tmp_path / "run").exists()
