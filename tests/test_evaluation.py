"""Accuracy over every record, on one device and on two."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from jpegkeras import commands
from jpegkeras.dataset_info import load_dataset_info
from jpegkeras.distribution import make_strategy
from jpegkeras.errors import InputError
from jpegkeras.evaluation import Evaluation, Evaluator
from jpegkeras.files import write_json
from jpegkeras.input_pipeline import Source, evaluation_batches
from jpegkeras.models import build_model
from jpegkeras.training_setup import evaluation_data
from tests.datasets import write_drawn_dataset
from tests.networks import TINY
from tests.test_training import run

pytestmark = pytest.mark.usefixtures("tiny_network")

RECORDS = 11


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("drawn")
    write_drawn_dataset(directory, train=8, test=RECORDS)
    return directory


@pytest.fixture(scope="module")
def source(data_dir):
    return Source(data_dir, load_dataset_info(data_dir), 8, 32, "fine")


def evaluate(source, batch_size, strategy):
    tf.keras.utils.set_random_seed(3)
    with strategy.scope():
        model = build_model(TINY, num_frequencies=8, num_classes=3, image_size=32)
    batches = evaluation_data(source, strategy, split="test", batch_size=batch_size)
    reported = []
    evaluation = Evaluator(model, 3, strategy).evaluate(batches, reported.append)
    assert sum(reported) == RECORDS
    return model, evaluation


@pytest.mark.parametrize("batch_size", [1, 4, 11, 16])
def test_every_record_counts_once_whatever_the_batch(source, batch_size):
    model, evaluation = evaluate(source, batch_size, make_strategy("none"))
    ((features, labels, _),) = evaluation_batches(source, split="test", batch_size=RECORDS)
    logits = model.predict(features, verbose=0).astype(np.float64)
    expected = np.zeros((3, 3), int)
    np.add.at(expected, (labels.numpy(), logits.argmax(axis=1)), 1)
    np.testing.assert_array_equal(evaluation.confusion, expected)
    log_sums = np.log(np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1))
    losses = log_sums + logits.max(axis=1) - logits[np.arange(RECORDS), labels.numpy()]
    assert evaluation.records == RECORDS
    assert evaluation.loss == pytest.approx(losses.mean(), rel=1e-4)


def test_two_devices_count_as_one(source):
    _, one = evaluate(source, 4, make_strategy("none"))
    _, two = evaluate(source, 4, make_strategy("mirrored", 2))
    np.testing.assert_array_equal(one.confusion, two.confusion)
    np.testing.assert_array_equal(one.top_k_hits, two.top_k_hits)
    assert one.loss == pytest.approx(two.loss, rel=1e-5)


def test_figures_follow_from_the_counts():
    evaluation = Evaluation(np.array([[3, 1, 0], [0, 2, 2], [0, 0, 0]]), np.array([4, 3, 0]), 4.0)
    assert evaluation.records == 8
    assert evaluation.top1 == 5 / 8
    assert evaluation.top5 == 7 / 8
    assert evaluation.loss == 0.5
    assert evaluation.per_class(["a", "b", "c"]) == [
        {"class": "a", "records": 4, "top1": 0.75, "top5": 1.0},
        {"class": "b", "records": 4, "top1": 0.5, "top5": 0.75},
        {"class": "c", "records": 0, "top1": None, "top5": None},
    ]


def test_top5_is_among_the_five_likeliest():
    class Fixed(tf.keras.Model):
        def call(self, features, training=False):
            return features["logits"]

    logits = np.tile(np.arange(7.0, dtype=np.float32)[::-1], (7, 1))  # class 0 is the likeliest
    batches = tf.data.Dataset.from_tensors(
        ({"logits": logits}, np.arange(7, dtype=np.int64), np.ones(7, np.float32))
    )
    evaluation = Evaluator(Fixed(), 7, make_strategy("none")).evaluate(batches)
    assert list(evaluation.top_k_hits) == [1, 1, 1, 1, 1, 0, 0]
    assert list(evaluation.confusion[:, 0]) == [1] * 7


def test_the_command_writes_json_and_a_table(data_dir, tmp_path, capsys):
    run(data_dir, tmp_path, epochs=1)
    evaluation = commands.run_evaluate(data_dir, tmp_path, split="test", batch_size=4)
    written = json.loads((tmp_path / "evaluation-test.json").read_text())
    assert written["records"] == RECORDS
    assert written["top1"] == evaluation.top1
    assert [row["class"] for row in written["classes"]] == ["across", "down", "grain"]
    assert np.array(written["confusion"]).sum() == RECORDS
    shown = capsys.readouterr().out
    assert "grain" in shown
    assert f"{evaluation.top1:.2%}" in shown


def test_other_classes_than_those_trained_on_are_an_error(data_dir, tmp_path):
    run(data_dir, tmp_path / "run", epochs=1)
    content = json.loads((data_dir / "dataset.json").read_text())
    content["classes"][1]["title"] = "sideways"
    for shard in data_dir.glob("*.tfrecord"):
        (tmp_path / shard.name).write_bytes(shard.read_bytes())
    write_json(tmp_path / "dataset.json", content)
    with pytest.raises(InputError, match="the class 'down', where .* has 'sideways'"):
        commands.run_evaluate(tmp_path, tmp_path / "run", split="test")


def test_an_accuracy_below_the_floor_is_an_error(data_dir, tmp_path):
    run(data_dir, tmp_path, epochs=1)
    with pytest.raises(InputError, match=r"top-1 .* is below --min_top1=1.01"):
        commands.run_evaluate(data_dir, tmp_path, split="test", min_top1=1.01)
    assert (tmp_path / "evaluation-test.json").exists()
