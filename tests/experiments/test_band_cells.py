"""Cells on given, measured and learned bands, really trained, on a tiny network."""

from __future__ import annotations

import csv
import dataclasses
import json
import pathlib
import signal

import numpy as np
import pytest

from jpegkeras import training
from jpegkeras.bands import Bands
from jpegkeras.checkpoints import find_checkpoint, read_description
from jpegkeras.experiments import cell_files, cell_steps
from jpegkeras.experiments.cell_files import CellSpec, training_of
from jpegkeras.experiments.cells import Cell, Variant, plan_cells
from jpegkeras.experiments.datasets import DataSets
from jpegkeras.experiments.networks import BANDS, LOWEST, SELECTIONS
from jpegkeras.experiments.results import DONE, load_results
from jpegkeras.preemption import PreemptedError
from tests.experiments.studies import CONFIG, WITH_TINY, request, run

pytestmark = pytest.mark.usefixtures("tiny_studies")
OWN = Variant(32, 90)
STEPS = 14


@pytest.fixture(scope="module")
def records(images, tmp_path_factory):
    """The data set that the cells are trained on."""
    data = DataSets(images, CONFIG, tmp_path_factory.mktemp("records"), workers=1)
    data.make(OWN)
    return {OWN.key: data.records(OWN)}


def spec_of(records, folder, network, **changes):
    one = Cell(network, OWN, "coarse", seed=3, studies=(BANDS,))
    settings = dataclasses.replace(training_of(one, CONFIG), **changes)
    return CellSpec(one, settings, str(folder), records)


def run_cell(spec):
    spec.save()
    result = cell_steps.run(spec)
    cell_files.save_result(spec, result)
    return result


def last_step(folder):
    with (folder / "steps.csv").open() as file:
        return int(list(csv.DictReader(file))[-1]["step"])


@pytest.mark.parametrize("network", ["y32c8", "energy16", "info16"])
def test_a_cell_is_trained_on_its_bands(records, tmp_path, network):
    spec = spec_of(records, tmp_path, network)
    result = run_cell(spec)
    assert result.state == DONE
    assert result.gate is None
    bands = Bands.from_lists(result.bands)
    assert bands.total == 12
    assert read_description(find_checkpoint(spec.workdir)).bands == bands
    folder = pathlib.Path(records[OWN.key].directory)
    if network == "y32c8":
        assert bands == Bands.lowest(8, 2, 2)
    if network == "energy16":
        statistics = json.loads((folder / "dataset.json").read_text())["statistics"]
        deviations = {key: np.array(statistics[key]["std"]) for key in ("y", "cb", "cr")}
        chosen = np.concatenate(
            [deviations[key][list(getattr(bands, key))[1:]] for key in bands.to_dict()]
        )
        left = np.concatenate(
            [np.delete(deviations[key], list(getattr(bands, key))) for key in bands.to_dict()]
        )
        assert chosen.min() >= left.max()
    if network == "info16":
        assert (folder / "band_information.json").is_file()
    # As it comes back, and nothing is trained again.
    again = cell_files.load_result(spec)
    assert Bands.from_lists(again.bands) == bands
    assert run_cell(spec).own == result.own


def test_learned_bands_are_trained_with_the_gate_and_then_afresh(records, tmp_path):
    spec = spec_of(records, tmp_path, "learned16")
    result = run_cell(spec)
    gate, workdir = spec.workdirs
    assert (gate, workdir) == (spec.workdir / "gate", spec.workdir)
    content = json.loads((gate / "bands.json").read_text())
    bands = Bands.from_lists(content)
    assert bands.total == 12
    assert result.bands == bands.to_dict()
    gated, fixed = (read_description(find_checkpoint(folder)) for folder in (gate, workdir))
    assert (gated.learned_bands, gated.bands) == (4, None)
    assert fixed.learned_bands == 0
    assert fixed.bands == (None if bands.is_lowest else bands)
    # The recipe and the number of steps are the same, and only the bands differ.
    of_gate, of_list = (
        json.loads((folder / "run.json").read_text())["settings"] for folder in (gate, workdir)
    )
    assert {key for key in of_list if of_list[key] != of_gate[key]} <= {"bands", "num_frequencies"}
    assert last_step(gate) == last_step(workdir) == STEPS
    assert result.gate.mean_kept == content["mean_kept"]
    assert tmp_path / result.gate.bands_file == gate / "bands.json"
    for found in (result.own, result.gate.own):
        file = json.loads((tmp_path / found.file).read_text())
        assert (file["top1"], file["records"]) == (found.top1, 6)
    assert (tmp_path / result.gate.own.file).parent == gate / "evaluations"
    epochs = json.loads((gate / "run.json").read_text())["epochs"]
    assert result.gate.own.loss == pytest.approx(epochs[-1]["test_loss"], rel=1e-5)
    assert result.gate.train_seconds > 0
    assert not (gate / "best").exists()
    found = cell_files.load_result(spec)
    assert found.gate == result.gate
    assert Bands.from_lists(found.bands) == bands


def test_a_cell_that_learns_its_bands_continues_in_either_training(records, tmp_path, monkeypatch):
    whole = run_cell(spec_of(records, tmp_path / "whole", "learned16"))
    spec = spec_of(records, tmp_path / "stopped", "learned16")
    seen = []
    add_look = training.RunLog.add_look

    def look(*arguments):
        add_look(*arguments)
        seen.append(True)
        if len(seen) in (4, STEPS + 5):
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(training.RunLog, "add_look", look)
    for looks in (4, STEPS + 5):
        with pytest.raises(PreemptedError):
            run_cell(spec)
        assert len(seen) == looks
    result = run_cell(spec)
    # No step is done twice.
    assert len(seen) == 2 * STEPS
    assert result.own.loss == whole.own.loss
    assert result.gate.own.loss == whole.gate.own.loss
    assert result.bands == whole.bands


def test_an_end_before_the_list_is_written_makes_it_from_the_trained_gate(
    records, tmp_path, monkeypatch
):
    spec = spec_of(records, tmp_path, "learned16")
    with monkeypatch.context() as patch:
        patch.setattr(cell_steps, "write_learned_bands", lambda *_: [][0])
        with pytest.raises(IndexError):
            run_cell(spec)
    modified = (spec.workdir / "gate" / "steps.csv").stat().st_mtime_ns
    assert run_cell(spec).bands is not None
    assert (spec.workdir / "gate" / "steps.csv").stat().st_mtime_ns == modified


def test_a_moved_folder_continues(records, tmp_path):
    spec = spec_of(records, tmp_path / "before", "learned16")
    first = run_cell(spec)
    (spec.workdir / "cell.json").unlink()
    (tmp_path / "before").rename(tmp_path / "after")
    moved = dataclasses.replace(spec, output_dir=str(tmp_path / "after"))
    steps = (moved.workdir / "steps.csv").read_bytes()
    assert run_cell(moved).own == first.own
    assert (moved.workdir / "steps.csv").read_bytes() == steps


def test_other_bands_are_other_trainings(records, tmp_path):
    digests = {spec_of(records, tmp_path, network).digest for network in (LOWEST, *SELECTIONS)}
    assert len(digests) == 1 + len(SELECTIONS)


@pytest.mark.long
def test_the_whole_study_from_images_to_the_report(images, tmp_path):
    asked = request(images, tmp_path / "out", (BANDS,))
    failed, said = run(asked, WITH_TINY)
    assert failed == 0, said
    cells = load_results(tmp_path / "out").cells
    assert [cell.network for cell in cells] == [LOWEST, *SELECTIONS]
    assert {cell.key for cell in cells} == {cell.key for cell in plan_cells(CONFIG, (BANDS,))}
    assert "Which bands" in said
    rows = list(csv.DictReader((tmp_path / "out" / "bands.csv").open()))
    assert [row["selection"] for row in rows] == [
        "lowest:4",
        *(network.bands for network in SELECTIONS.values()),
    ]
    for row in rows:
        assert sum(int(row[f"{key}_bands"]) for key in ("y", "cb", "cr")) == 12
        assert (tmp_path / "out" / row["file"]).is_file()
    assert (tmp_path / "out" / rows[-1]["gated_file"]).is_file()
    assert (tmp_path / "out" / "plots" / "bands.svg").is_file()
