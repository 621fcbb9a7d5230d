"""The real training loop on a tiny network: learning, resuming, several devices, bad input."""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import json
import multiprocessing
import pathlib
import re

import numpy as np
import pytest
import rich.console
import tensorflow as tf
from tensorflow.python.autograph.impl import api as autograph_api

from jpegkeras import optimization, run_log, training
from jpegkeras.checkpoints import find_checkpoint, read_description, restore_network
from jpegkeras.config import PRESETS, TrainConfig, make_config
from jpegkeras.errors import InputError
from jpegkeras.files import locked
from jpegkeras.optimization import make_schedule
from jpegkeras.run_log import Progress
from jpegkeras.train_step import TrainStep, bands_to_logits
from jpegkeras.training_setup import prepare
from tests import networks
from tests.datasets import write_drawn_dataset
from tests.networks import TINY

CONFIG = TrainConfig(
    model=TINY,
    num_frequencies=8,
    image_size=32,
    batch_size=4,
    epochs=2,
    learning_rate=0.02,
    batch_norm_momentum=0.9,
    strategy="none",
    seed=5,
)

pytestmark = pytest.mark.usefixtures("tiny_network")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("drawn")
    write_drawn_dataset(directory, train=24, test=7)
    return directory


def run(data_dir, workdir, **changes):
    console = rich.console.Console(file=io.StringIO())
    return training.train(dataclasses.replace(CONFIG, **changes), data_dir, workdir, console)


def weights_of(result):
    _, model = restore_network(result.checkpoint)
    return model.get_weights()


def log_of(workdir):
    with (workdir / "log.csv").open() as file:
        return list(csv.DictReader(file))


class StoppedError(Exception):
    """Stands for a kill."""


def stop_after(monkeypatch, step):
    """Makes the run die as soon as `step` is done."""
    update = Progress.update

    def dying(self, done, images, loss):
        update(self, done, images, loss)
        if done == step:
            raise StoppedError

    monkeypatch.setattr(Progress, "update", dying)


def test_a_run_learns_and_leaves_its_files(data_dir, tmp_path):
    result = run(data_dir, tmp_path, epochs=12)
    rows = log_of(tmp_path)
    assert [int(row["epoch"]) for row in rows] == list(range(1, 13))
    assert [int(row["step"]) for row in rows] == list(range(6, 73, 6))
    assert float(rows[-1]["train_loss"]) < 0.6 * float(rows[0]["train_loss"])
    assert result.step == 72
    assert result.evaluation.records == 7
    assert float(rows[-1]["test_top1"]) == pytest.approx(result.evaluation.top1)
    assert json.loads((tmp_path / "config.json").read_text())["seed"] == 5
    assert list((tmp_path / "tensorboard").glob("events*"))
    best = max(float(row["test_top1"]) for row in rows)
    first_best = next(row["step"] for row in rows if float(row["test_top1"]) == best)
    assert find_checkpoint(tmp_path, "best") == str(tmp_path / "best" / f"ckpt-{first_best}")


def test_where_there_is_no_terminal_lines_tell_how_far_it_is(data_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(run_log, "_LINE_SECONDS", 0.0)
    console = rich.console.Console(file=io.StringIO())
    training.train(dataclasses.replace(CONFIG, epochs=1), data_dir, tmp_path, console)
    lines = console.file.getvalue().splitlines()
    pattern = r"step 6 of 6, loss \d+\.\d+, \d+ img/s, 0:00:00 left"
    assert [line for line in lines if re.fullmatch(pattern, line)]
    assert sum(line.startswith("step ") for line in lines) == 6


def test_tensorboard_has_the_figures_of_the_csv(data_dir, tmp_path):
    run(data_dir, tmp_path, epochs=1)
    (events,) = (tmp_path / "tensorboard").glob("events*")
    found = {
        value.tag: float(tf.make_ndarray(value.tensor))
        for record in tf.data.TFRecordDataset(str(events))
        for value in tf.compat.v1.Event.FromString(record.numpy()).summary.value
    }
    (row,) = log_of(tmp_path)
    for name in ("train_loss", "test_top1", "learning_rate"):
        assert found[name] == pytest.approx(float(row[name]), rel=1e-6)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(data_dir, tmp_path):
    first = weights_of(run(data_dir, tmp_path / "a", epochs=1))
    again = weights_of(run(data_dir, tmp_path / "b", epochs=1))
    other = weights_of(run(data_dir, tmp_path / "c", epochs=1, seed=6))
    for one, two in zip(first, again):
        np.testing.assert_array_equal(one, two)
    assert any((one != two).any() for one, two in zip(first, other))


@pytest.mark.parametrize("killed_at", [1, 4, 6, 9])
def test_a_killed_run_continues_to_the_same_weights_bit_for_bit(
    data_dir, tmp_path, monkeypatch, killed_at
):
    undisturbed = run(data_dir, tmp_path / "whole", checkpoint_every_steps=2)
    with monkeypatch.context() as patch:
        stop_after(patch, killed_at)
        with pytest.raises(StoppedError):
            run(data_dir, tmp_path / "killed", checkpoint_every_steps=2)
    resumed = run(data_dir, tmp_path / "killed", checkpoint_every_steps=2)
    for one, two in zip(weights_of(undisturbed), weights_of(resumed)):
        np.testing.assert_array_equal(one, two)
    rows = [log_of(tmp_path / name) for name in ("whole", "killed")]
    for row in (*rows[0], *rows[1]):
        del row["images_per_second"]
    assert rows[0] == rows[1]


def test_a_finished_run_does_nothing_more_and_says_so(data_dir, tmp_path):
    first = run(data_dir, tmp_path)
    console = rich.console.Console(file=io.StringIO())
    again = training.train(CONFIG, data_dir, tmp_path, console)
    assert "finished already" in console.file.getvalue()
    assert again.step == first.step
    assert again.evaluation.top1 == first.evaluation.top1
    assert len(log_of(tmp_path)) == CONFIG.epochs


def test_only_the_latest_checkpoints_are_kept(data_dir, tmp_path):
    run(data_dir, tmp_path, checkpoint_every_steps=2, keep_checkpoints=2)
    kept = sorted(path.name for path in (tmp_path / "checkpoints").glob("*.index"))
    assert kept == ["ckpt-10.index", "ckpt-12.index"]


def _train_on_two_devices(data_dir, workdir):
    networks.add_tiny_network()
    run(data_dir, workdir, epochs=3, strategy="mirrored", logical_cpus=2)


def test_nothing_is_read_from_the_sources_once_the_run_has_begun(data_dir, tmp_path, monkeypatch):
    # AutoGraph reads a function's source when it first traces it; who edits the file while a run
    # is in its first epoch would make its evaluation fail.
    converted = []
    convert = autograph_api._convert_actual

    def noting(entity, context):
        converted.append(entity.__module__)
        return convert(entity, context)

    monkeypatch.setattr(autograph_api, "_convert_actual", noting)
    run(data_dir, tmp_path, epochs=1)
    assert [module for module in converted if module.startswith("jpegkeras")] == []


def test_two_devices_train_as_one(data_dir, tmp_path):
    # Without its batch normalisation in common, or with gradients averaged instead of summed,
    # the two would part after one step.
    one = weights_of(run(data_dir, tmp_path / "one", epochs=3))
    # In a process of its own: TensorFlow's collectives of two strategies in one process collide.
    other = multiprocessing.get_context("spawn").Process(
        target=_train_on_two_devices, args=(data_dir, tmp_path / "two")
    )
    other.start()
    other.join()
    assert other.exitcode == 0
    _, model = restore_network(find_checkpoint(tmp_path / "two"))
    assert len(log_of(tmp_path / "two")) == 3
    for a, b in zip(one, model.get_weights()):
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-5)


def test_a_batch_that_two_devices_cannot_share_is_an_error(data_dir, tmp_path):
    with pytest.raises(InputError, match="batch_size=5 cannot be shared equally by 2 devices"):
        run(data_dir, tmp_path, batch_size=5, strategy="mirrored", logical_cpus=2)


def test_the_learning_rate_falls_at_the_epochs_ends(data_dir, tmp_path):
    config = dataclasses.replace(CONFIG, epochs=7, decay_every_epochs=2, learning_rate=1.0)
    schedule = make_schedule(config, 6)
    rates = [float(schedule(step)) for step in range(42)]
    expected = [10.0 ** -(step // 12) for step in range(42)]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)
    run(data_dir, tmp_path, epochs=3, decay_every_epochs=1)
    assert [float(row["learning_rate"]) for row in log_of(tmp_path)] == pytest.approx(
        [0.02, 0.002, 0.0002]
    )


def test_a_cosine_falls_from_the_learning_rate_to_nothing():
    config = dataclasses.replace(CONFIG, epochs=5, schedule="cosine", learning_rate=1.0)
    schedule = make_schedule(config, 8)
    rates = [float(schedule(step)) for step in (0, 10, 20, 30, 40)]
    np.testing.assert_allclose(rates, [1, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5, 0], atol=1e-6)


def test_weight_decay_shrinks_the_weights(data_dir, tmp_path):
    plain = weights_of(run(data_dir, tmp_path / "a", epochs=1))
    decayed = weights_of(run(data_dir, tmp_path / "b", epochs=1, weight_decay=0.5))
    assert sum(np.abs(w).sum() for w in decayed) < sum(np.abs(w).sum() for w in plain)


def test_coarse_labels_make_a_network_of_fewer_classes(data_dir, tmp_path):
    result = run(data_dir, tmp_path, epochs=1, task="coarse")
    description = read_description(result.checkpoint)
    assert description.class_names == ("stripes", "grain")
    assert result.evaluation.confusion.shape == (2, 2)


def test_a_diverging_run_stops_and_says_where(data_dir, tmp_path):
    with pytest.raises(InputError, match=r"between the steps .* lower --learning_rate"):
        run(data_dir, tmp_path, learning_rate=1e30, epochs=3)


def test_a_diverged_network_is_never_saved(data_dir, tmp_path):
    with pytest.raises(InputError, match="diverged"):
        run(data_dir, tmp_path, learning_rate=1e30, checkpoint_every_steps=1)
    for path in (tmp_path / "checkpoints").glob("*.index"):
        _, model = restore_network(str(path.with_suffix("")))
        assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_a_second_run_in_the_same_folder_is_refused(data_dir, tmp_path):
    with locked(tmp_path, "--workdir"), pytest.raises(InputError, match="another job is writing"):
        run(data_dir, tmp_path)


def test_a_start_without_a_checkpoint_binds_nobody(data_dir, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(StoppedError):
            run(data_dir, tmp_path)
    assert run(data_dir, tmp_path, batch_size=6, epochs=1).step == 4


def test_checkpoints_without_their_settings_are_not_continued(data_dir, tmp_path):
    run(data_dir, tmp_path, epochs=1)
    for content in ("[]", "{"):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(InputError, match=r"config\.json: missing or damaged"):
            run(data_dir, tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(InputError, match=r"config\.json: missing or damaged"):
        run(data_dir, tmp_path)


def test_fewer_epochs_than_are_done_is_an_error(data_dir, tmp_path):
    run(data_dir, tmp_path, epochs=2)
    with pytest.raises(InputError, match="2 epochs are done already; --epochs=1 is fewer"):
        run(data_dir, tmp_path, epochs=1)


def test_a_checkpoint_that_cannot_be_written_is_an_os_error(data_dir, tmp_path):
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    with pytest.raises(OSError):
        run(data_dir, tmp_path, epochs=1)


def test_a_checkpoint_of_another_network_is_an_error(data_dir, tmp_path):
    run(data_dir, tmp_path, epochs=1)
    (tmp_path / "config.json").unlink()
    with pytest.raises(InputError, match=r"config\.json: missing or damaged"):
        run(data_dir, tmp_path, epochs=1, num_frequencies=4)
    # Settings that say what the run is, and a checkpoint that was put in its place.
    run(data_dir, tmp_path / "other", epochs=1, num_frequencies=4)
    (tmp_path / "other" / "config.json").replace(tmp_path / "config.json")
    with pytest.raises(InputError, match="another network: num_frequencies is 8, not 4"):
        run(data_dir, tmp_path, epochs=1, num_frequencies=4)


def test_a_run_is_not_continued_with_other_settings(data_dir, tmp_path):
    run(data_dir, tmp_path, epochs=1)
    before = (tmp_path / "config.json").read_text()
    with pytest.raises(InputError, match="batch_size was 4 and is now 8; seed was 5 and is now 6"):
        run(data_dir, tmp_path, epochs=1, batch_size=8, seed=6)
    with pytest.raises(InputError, match="schedule was steps and is now cosine"):
        run(data_dir, tmp_path, epochs=1, schedule="cosine")
    assert (tmp_path / "config.json").read_text() == before


def test_a_run_is_not_continued_on_other_data(data_dir, tmp_path):
    run(data_dir, tmp_path / "run", epochs=1)
    write_drawn_dataset(tmp_path / "data", train=28, test=7)
    with pytest.raises(InputError, match="training_records was 24 and is now 28; training_data"):
        run(tmp_path / "data", tmp_path / "run", epochs=2)


def test_a_run_of_steps_can_be_lengthened_and_one_of_a_cosine_cannot(data_dir, tmp_path):
    run(data_dir, tmp_path / "a", epochs=1)
    longer = weights_of(run(data_dir, tmp_path / "a", epochs=2, keep_checkpoints=1))
    for one, two in zip(longer, weights_of(run(data_dir, tmp_path / "b", epochs=2))):
        np.testing.assert_array_equal(one, two)
    run(data_dir, tmp_path / "c", epochs=1, schedule="cosine")
    with pytest.raises(InputError, match="epochs was 1 and is now 2"):
        run(data_dir, tmp_path / "c", epochs=2, schedule="cosine")


def test_a_damaged_checkpoint_is_an_error(data_dir, tmp_path):
    result = run(data_dir, tmp_path, epochs=1)
    for name in (".data-00000-of-00001", ".index"):
        with pathlib.Path(f"{result.checkpoint}{name}").open("r+b") as file:
            file.truncate(40)
        with pytest.raises(InputError, match="damaged"):
            run(data_dir, tmp_path, epochs=1)
        with pytest.raises(InputError, match="damaged"):
            restore_network(result.checkpoint)


def test_too_few_records_for_a_batch_is_an_error(data_dir, tmp_path):
    with pytest.raises(InputError, match="24 training records .* do not fill one batch"):
        run(data_dir, tmp_path, batch_size=32)
    assert not (tmp_path / "config.json").exists()


def test_the_paper_preset_is_the_papers_recipe():
    paper = PRESETS["paper"]
    assert (paper.batch_size, paper.epochs, paper.image_size) == (128, 120, 224)
    assert (paper.learning_rate, paper.momentum) == (0.05, 0.9)
    assert (paper.decay_every_epochs, paper.decay_factor, paper.augment) == (30, 0.1, "paper")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 0}, "--epochs must be above 0"),
        ({"momentum": 1.0}, "--momentum must be from 0 to below 1"),
        ({"num_frequencies": 65}, "--num_frequencies must be from 1 to 64"),
        ({"task": "medium"}, "--task must be one of fine, coarse"),
        ({"weight_decay": -0.1}, "--weight_decay must not be negative"),
    ],
)
def test_values_out_of_range_are_errors(changes, words):
    with pytest.raises(InputError, match=words):
        make_config("smoke", **changes)


def test_overrides_that_are_none_keep_the_preset():
    assert make_config("smoke", epochs=None) == PRESETS["smoke"]
    assert make_config("smoke", epochs=3).epochs == 3
    with pytest.raises(InputError, match="--preset must be one of paper, smoke"):
        make_config("fast")


def test_other_hosts_or_steps_than_the_runs_are_an_error(data_dir, tmp_path):
    run(data_dir, tmp_path, epochs=1)
    path = tmp_path / "config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, "hosts": 2, "steps_per_epoch": 5}))
    with pytest.raises(
        InputError, match="steps_per_epoch was 5 and is now 6; hosts was 2 and is now 1"
    ):
        run(data_dir, tmp_path, epochs=2)


def test_settings_are_compared_before_weights(data_dir, tmp_path):
    run(data_dir, tmp_path, epochs=1)
    with pytest.raises(InputError, match="ema_decay was 0.0 and is now 0.9"):
        run(data_dir, tmp_path, epochs=2, ema_decay=0.9)


def test_float16_on_two_devices(data_dir, tmp_path):
    run(
        data_dir,
        tmp_path,
        precision="float16",
        strategy="mirrored",
        logical_cpus=2,
        epochs=1,
        log_every_steps=3,
    )
    with (tmp_path / "steps.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss_scale"]) for row in rows] == [2.0**15] * 2


def test_the_learning_rate_told_is_the_one_that_was_used(data_dir, tmp_path, monkeypatch):
    # So large a scale overflows: its steps are left out, and the schedule waits for them.
    monkeypatch.setattr(
        optimization.keras.optimizers,
        "LossScaleOptimizer",
        functools.partial(tf.keras.optimizers.LossScaleOptimizer, initial_scale=2.0**34),
    )
    run(data_dir, tmp_path, precision="float16", epochs=2, decay_every_epochs=1)
    rates = [float(row["learning_rate"]) for row in log_of(tmp_path)]
    assert rates[0] == pytest.approx(0.02)
    assert rates[1] == pytest.approx(0.02)


def test_the_weights_it_began_with_are_recorded_and_not_taken_again(data_dir, tmp_path, capsys):
    run(data_dir, tmp_path, epochs=1)
    assert json.loads((tmp_path / "config.json").read_text())["init_from"] is None
    said = io.StringIO()
    config = dataclasses.replace(CONFIG, epochs=2)
    training.train(
        config, data_dir, tmp_path, rich.console.Console(file=said), init_from="nowhere.keras"
    )
    assert "--init_from=nowhere.keras is ignored: the run continues." in said.getvalue()


def test_a_data_set_without_test_records_is_an_error(tmp_path):
    write_drawn_dataset(tmp_path / "data", train=8, test=0)
    with pytest.raises(InputError, match="the test split has no records"):
        run(tmp_path / "data", tmp_path / "run")


def test_a_run_says_from_its_first_step_on_that_it_is_running(data_dir, tmp_path, monkeypatch):
    run(data_dir, tmp_path, epochs=1)
    states = []
    update = Progress.update

    def looking(self, done, images, loss):
        update(self, done, images, loss)
        states.append(json.loads((tmp_path / "run.json").read_text())["state"])

    monkeypatch.setattr(Progress, "update", looking)
    run(data_dir, tmp_path, epochs=2)
    assert states[0] == "running"
    assert json.loads((tmp_path / "run.json").read_text())["state"] == "finished"


def test_too_little_memory_is_one_line(data_dir, tmp_path, monkeypatch):
    def exhausted(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating\nmore")

    monkeypatch.setattr(TrainStep, "__call__", exhausted)
    with pytest.raises(InputError, match="OOM when allocating.*Lower --batch_size"):
        run(data_dir, tmp_path)


def test_of_a_mixture_the_larger_part_counts(data_dir):
    setup = prepare(dataclasses.replace(CONFIG, augment="strong"), data_dir)
    ((features, labels),) = [next(iter(setup.training_data(0)))]
    bands, _ = setup.step.network_bands(features, labels)
    logits = bands_to_logits(setup.model)([bands[key] for key in ("y", "cb", "cr")], training=True)
    others = tf.one_hot(tf.argmax(logits, axis=1), 3) * 0.6 + 0.2
    _, right, _ = setup.step._differentiate_plainly(bands, (labels + 1) % 3, others)
    assert float(right) == CONFIG.batch_size


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"warmup_epochs": 2.0}, "--warmup_epochs=2 must be fewer than --epochs=2"),
        ({"logical_cpus": 2}, "--logical_cpus=2 is for --strategy=mirrored; got none"),
    ],
)
def test_settings_that_do_not_go_together(changes, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(CONFIG, **changes)
