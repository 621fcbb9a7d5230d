"""One cell, really trained, on the tiny network."""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from jpegkeras.checkpoints import find_checkpoint, read_description, restore_network
from jpegkeras.errors import InputError
from jpegkeras.experiments import cell, cell_files, cell_steps
from jpegkeras.experiments.cell_files import CellSpec, Records, training_of
from jpegkeras.experiments.cells import Cell, Variant
from jpegkeras.experiments.datasets import DataSets
from jpegkeras.experiments.results import DONE, PENDING
from jpegkeras.records import parse_record
from tests.experiments.studies import CONFIG

pytestmark = pytest.mark.usefixtures("tiny_studies")
LABELS = {"fine": "label", "coarse": "coarse_label"}
OWN, LARGER, COARSER = Variant(32, 90), Variant(48, 90), Variant(32, 50)


@pytest.fixture(scope="module")
def records(images, tmp_path_factory):
    """The data sets of three variants."""
    data = DataSets(images, CONFIG, tmp_path_factory.mktemp("records"), workers=1)
    for variant in (OWN, LARGER, COARSER):
        data.make(variant)
    return {variant.key: data.records(variant) for variant in (OWN, LARGER, COARSER)}


def spec_of(records, folder, *, network="rgb", task="coarse", others=(LARGER, COARSER), **changes):
    """The task of a cell; `changes` are of its training."""
    one = Cell(network, OWN, task, seed=3, evaluated_on=tuple(others), studies=("resolution",))
    training = dataclasses.replace(training_of(one, CONFIG), **changes)
    return CellSpec(one, training, str(folder), records)


def run(spec):
    spec.save()
    result = cell_steps.run(spec)
    cell_files.save_result(spec, result)
    return result


def count_right(spec, variant, size):
    """How many test records the trained network gets right, one by one, at central crops."""
    description, trained = restore_network(find_checkpoint(spec.workdir))
    network = dataclasses.replace(description, image_size=size).build()
    network.set_weights(trained.get_weights())
    folder = pathlib.Path(spec.records[variant.key].directory)
    info = json.loads((folder / "dataset.json").read_text())
    right = total = 0
    for shard in info["splits"]["test"]["shards"]:
        for serialized in tf.data.TFRecordDataset(str(folder / shard["file"]), "GZIP"):
            record = parse_record(serialized, description.num_frequencies)
            inputs = {"quantization": np.asarray(record["quantization"])[None]}
            top, left = ((int(record[name]) - size) // 2 // 16 for name in ("height", "width"))
            for key, scale in (("y", 2), ("cb", 1), ("cr", 1)):
                blocks = np.asarray(record[key])
                rows, cols = (slice(scale * i, scale * (i + size // 16)) for i in (top, left))
                inputs[key] = blocks[rows, cols][None]
            logits = np.asarray(network(inputs, training=False))[0]
            right += int(logits.argmax()) == int(record[LABELS[spec.cell.task]])
            total += 1
    return right, total


def test_a_cell_leaves_a_result_that_its_files_prove(records, tmp_path):
    spec = spec_of(records, tmp_path)
    result = run(spec)
    assert result.state == DONE
    assert (result.image_size, result.epochs, result.train_records) == (32, 2, 30)
    assert result.seed == 3
    assert [(e.resolution, e.quality) for e in result.others] == [(32, 50), (48, 90)]
    for found in (result.own, *result.others):
        file = json.loads((tmp_path / found.file).read_text())
        assert file["top1"] == found.top1
        assert file["records"] == found.records == 6
    assert np.sum(result.confusion) == 6
    assert [row["class"] for row in result.classes] == ["grain", "stripes"]
    run_file = json.loads((spec.workdir / "run.json").read_text())
    assert result.multiply_adds == run_file["network"]["multiply_adds"]
    assert run_file["settings"]["seed"] == 3
    assert result.own.top1 == pytest.approx(run_file["epochs"][-1]["test_top1"])
    assert result.own.loss == pytest.approx(run_file["epochs"][-1]["test_loss"], rel=1e-5)
    assert 0 < result.train_seconds < 600
    assert not (spec.workdir / "best").exists()
    assert len(list((spec.workdir / "checkpoints").glob("*.index"))) == 1
    assert cell_files.load_result(spec) == dataclasses.replace(result)


def test_other_variants_are_evaluated_at_their_own_crops(records, tmp_path):
    spec = spec_of(records, tmp_path, task="fine", learning_rate=0.05, epochs=4)
    result = run(spec)
    for variant, size, found in (
        (OWN, 32, result.own),
        (COARSER, 32, result.others[0]),
        (LARGER, 48, result.others[1]),
    ):
        right, total = count_right(spec, variant, size)
        assert found.top1 == pytest.approx(right / total), variant.key


def test_what_is_done_is_not_done_again(records, tmp_path, monkeypatch):
    first = run(spec_of(records, tmp_path, others=()))
    monkeypatch.setattr(cell_steps, "train", lambda *_: pytest.fail("it trains again"))
    more = spec_of(records, tmp_path, others=(LARGER,))
    assert cell_files.load_result(more).state == PENDING
    second = run(more)
    assert second.own == first.own
    assert second.train_seconds == first.train_seconds
    assert len(second.others) == 1


def test_records_that_changed_are_evaluated_again(records, tmp_path):
    spec = spec_of(records, tmp_path, others=(COARSER,))
    run(spec)
    path = spec.workdir / "evaluations" / f"{COARSER.key}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "top1": 7.0}))
    assert run(spec).others[0].top1 == 7.0
    changed = {**records, COARSER.key: Records(records[COARSER.key].directory, "another")}
    again = dataclasses.replace(spec, records=changed)
    assert again.training_digest == spec.training_digest
    assert run(again).others[0].top1 <= 1.0


def test_a_loss_that_diverges_is_the_reason_on_the_last_line(records, tmp_path, capsys):
    spec = spec_of(records, tmp_path, learning_rate=1e30)
    path = spec.save()
    assert run_main(path) == 1
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert "the training has diverged" in last
    assert cell_files.load_result(spec).state == PENDING


def run_main(path):
    """`cell.main` without the thread that watches the standard input."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cell, "end_with_parent", lambda: None)
        return cell.main([str(path)])


def test_a_missing_data_set_and_a_bug_are_a_last_line(records, tmp_path, capsys, monkeypatch):
    gone = {key: Records(str(tmp_path / "gone"), "x") for key in records}
    assert run_main(spec_of(gone, tmp_path / "a").save()) == 1
    assert "no data set here" in capsys.readouterr().out.strip().splitlines()[-1]
    monkeypatch.setattr(cell_steps, "run", lambda _: [][0])
    assert run_main(spec_of(records, tmp_path / "b").save()) == 1
    out = capsys.readouterr().out
    assert "Traceback" in out
    assert out.strip().splitlines()[-1] == "error: IndexError: list index out of range"


def test_a_task_comes_back_as_it_was_saved(records, tmp_path):
    spec = spec_of(records, tmp_path)
    assert cell_files.load_spec(spec.save()) == spec
    assert cell_files.begun_as(spec.workdir) == spec.training_digest
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(InputError, match="not a cell's task"):
        cell_files.load_spec(tmp_path / "bad.json")


def test_the_network_keeps_its_classes(records, tmp_path):
    spec = spec_of(records, tmp_path, network="fbs16", task="fine", others=())
    result = run(spec)
    description = read_description(find_checkpoint(spec.workdir))
    assert description.class_names == ("Across", "Down", "Grain")
    assert description.num_frequencies == 4
    assert len(result.confusion) == 3
    assert math.isfinite(result.own.loss)
