"""The runner of the studies, with processes that only pretend to train."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
import signal
import threading
import time

import pytest

from jpegkeras.dataset_info import load_dataset_info
from jpegkeras.errors import InputError
from jpegkeras.experiments import cell_files, report
from jpegkeras.experiments.cells import Variant
from jpegkeras.experiments.datasets import DataSets, check_same
from jpegkeras.experiments.networks import (
    BANDS,
    DIFFICULTY,
    LOWEST,
    QUALITY,
    RESOLUTION,
    SELECTIONS,
)
from jpegkeras.experiments.processes import StoppedError
from jpegkeras.experiments.results import DONE, FAILED, PENDING, load_results
from jpegkeras.files import locked
from tests.experiments import stand_ins
from tests.experiments.studies import CONFIG, request, run, write_images

BASE = "r32-q90-coarse"


pytestmark = pytest.mark.usefixtures("without_report")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """The data sets, which the tests have in common."""
    return str(tmp_path_factory.mktemp("records"))


@pytest.fixture
def asked(images, cache, tmp_path):
    """What to ask for, in a folder of its own."""
    return lambda *studies, **changes: request(
        images, tmp_path / "out", *([studies] if studies else []), cache_dir=cache, **changes
    )


def states(folder):
    return {cell.key: cell.state for cell in load_results(folder).cells}


def test_all_studies_leave_results_of_every_cell(asked, monkeypatch):
    written = []
    monkeypatch.setattr(report, "write_report", lambda results, _: written.append(results) or [])
    failed, said = run(asked())
    assert failed == 0, said
    results = load_results(asked().folder)
    # Coarse at the base, fine, another resolution, another quality: two networks each.
    assert len(results.cells) == 8
    assert {cell.state for cell in results.cells} == {DONE}
    assert {cell.studies for cell in results.cells if cell.key.startswith(BASE)} == {
        (DIFFICULTY, RESOLUTION, QUALITY)
    }
    (base,) = (cell for cell in results.cells if cell.key == f"{BASE}/rgb/seed0")
    assert [(other.resolution, other.quality) for other in base.others] == [(32, 50), (48, 90)]
    assert base.own.top1 == pytest.approx(stand_ins.top1_of("rgb", Variant(32, 90)))
    assert results.data["classes"] == 3
    assert results.data["coarse_classes"] == 2
    assert (results.data["train_records"], results.data["test_records"]) == (30, 6)
    assert results.data["title"] == "drawn"
    assert results.config["name"] == "test.json"
    assert results.complexity[0]["gflops"] == 3.858
    assert results.speed["images_per_second"] == {"rgb": 100.0, "fbs16": 100.0}
    # The report is renewed after each cell, and at the end.
    assert len(written) == 9
    assert written[-1] == results
    assert [cell.state for cell in written[0].cells] == [DONE, *[PENDING] * 7]


def test_a_report_that_cannot_be_drawn_does_not_stop_the_studies(asked, monkeypatch):
    calls = []

    def failing(*_):
        calls.append(True)
        if len(calls) == 1:
            raise OSError("no space left")

    monkeypatch.setattr(report, "write_report", failing)
    failed, said = run(asked(DIFFICULTY, networks=("rgb",)))
    assert failed == 0
    assert "warning: the report cannot be written (OSError: no space left)" in said


def test_the_variants_have_the_size_the_quality_and_the_same_images(asked, cache):
    run(asked(networks=("rgb",)))
    spec = cell_files.load_spec(asked().folder / "runs" / BASE / "rgb" / "seed0" / "spec.json")
    infos = {}
    for variant in (Variant(32, 90), Variant(48, 90), Variant(32, 50)):
        folder = pathlib.Path(spec.records[variant.key].directory)
        assert folder.parent == pathlib.Path(cache)
        info = infos[variant] = load_dataset_info(folder)
        assert min(info.smallest) == variant.resolution
        assert info.transcoding["quality"] == variant.quality
        assert info.num_frequencies == 64
        assert info.compression == "gzip"
        assert info.splits["train"].class_counts == (10, 10, 10)
    assert len({info.settings["input"]["sha256"] for info in infos.values()}) == 1
    assert len({info.settings["plan"] for info in infos.values()}) == 3


def test_a_second_run_does_nothing(asked):
    run(asked())
    started = stand_ins.started(asked().folder)
    before = {
        path: path.stat().st_mtime_ns for path in asked().folder.glob("runs/**/*") if path.is_file()
    }
    failed, said = run(asked())
    assert failed == 0
    assert "8 cells, 8 done before" in said
    assert stand_ins.started(asked().folder) == started
    for path, modified in before.items():
        assert path.stat().st_mtime_ns == modified


def test_two_seeds_are_two_cells(asked):
    run(asked(DIFFICULTY, networks=("rgb",)))
    failed, _ = run(asked(DIFFICULTY, networks=("rgb",), seeds=(0, 1)))
    assert failed == 0
    assert stand_ins.started(asked().folder) == [
        f"{BASE}/rgb/seed0",
        "r32-q90-fine/rgb/seed0",
        f"{BASE}/rgb/seed1",
        "r32-q90-fine/rgb/seed1",
    ]
    assert len(states(asked().folder)) == 4


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("error", "the loss is nan: it has diverged."),
        ("crash", "status 1: RuntimeError: a bug"),
        ("kill", "it was ended by SIGKILL, perhaps for want of memory"),
    ],
)
def test_a_cell_that_fails_is_shown_and_the_others_go_on(asked, how, error):
    bad = f"{BASE}/rgb/seed0"
    folder = asked().folder
    stand_ins.bad(folder, **{bad: how})
    failed, said = run(asked(DIFFICULTY))
    assert failed == 1
    found = {cell.key: cell for cell in load_results(folder).cells}
    assert found[bad].state == FAILED
    assert found[bad].error.startswith(error)
    assert f"{bad}: failed: {error}" in said
    assert [cell.state for cell in found.values()].count(DONE) == 3
    # Mended, it alone is tried again.
    (folder / stand_ins.SETTINGS).unlink()
    (folder / stand_ins.STARTED).unlink()
    assert run(asked(DIFFICULTY))[0] == 0
    assert stand_ins.started(folder) == [bad]
    assert set(states(folder).values()) == {DONE}


def test_fail_fast_leaves_the_rest_pending(asked):
    stand_ins.bad(asked().folder, **{f"{BASE}/rgb/seed0": "error"})
    failed, _ = run(asked(DIFFICULTY, fail_fast=True))
    assert failed == 1
    assert list(states(asked().folder).values()) == [FAILED, PENDING, PENDING, PENDING]


def test_added_values_evaluate_again_what_was_trained(asked):
    run(asked(RESOLUTION, networks=("rgb",)))
    folder = asked().folder
    (folder / stand_ins.STARTED).unlink()
    run(asked(RESOLUTION, networks=("rgb",), resolutions=(32, 48, 64)))
    # The base has one more variant to be evaluated on; what needs nothing is left alone.
    assert stand_ins.started(folder) == [f"{BASE}/rgb/seed0", "r64-q90-coarse/rgb/seed0"]
    base = load_results(folder).cells[0]
    assert [other.resolution for other in base.others] == [48, 64]


def test_another_table_keeps_what_the_first_has_found(asked):
    run(asked(RESOLUTION, networks=("rgb",)))
    run(asked(QUALITY, networks=("rgb",)))
    results = load_results(asked().folder)
    assert {cell.key for cell in results.cells} == {
        f"{BASE}/rgb/seed0",
        "r48-q90-coarse/rgb/seed0",
        "r32-q50-coarse/rgb/seed0",
    }
    (base,) = (cell for cell in results.cells if cell.key.startswith(BASE))
    assert len(base.others) == 2
    assert base.studies == (RESOLUTION, QUALITY)


def test_the_study_of_bands_trains_what_the_others_have_not(asked):
    run(asked(QUALITY, networks=("rgb", "fbs16")))
    folder = asked().folder
    before = {cell.key: cell for cell in load_results(folder).cells}
    (folder / stand_ins.STARTED).unlink()
    stand_ins.bad(folder, **{f"{BASE}/energy16/seed0": "error"})
    failed, said = run(asked(BANDS, networks=("rgb", "fbs16")))
    assert failed == 1
    assert "bands: 6 cells, 1 done before" in said
    assert stand_ins.started(folder) == [f"{BASE}/{key}/seed0" for key in SELECTIONS]
    found = {cell.key: cell for cell in load_results(folder).cells}
    shared = f"{BASE}/{LOWEST}/seed0"
    assert found[shared].studies == (QUALITY, BANDS)
    assert found[shared].others == before[shared].others != ()
    assert {*before} <= {*found}
    # The paper's studies have no use for them.
    assert "4 cells, 4 done before" in run(asked(QUALITY, networks=("rgb", "fbs16")))[1]


def test_fewer_networks_run_alone_and_the_others_stay(asked):
    run(asked(DIFFICULTY))
    (asked().folder / stand_ins.STARTED).unlink()
    failed, said = run(asked(DIFFICULTY, networks=("rgb",)))
    assert (failed, stand_ins.started(asked().folder)) == (0, [])
    assert len(load_results(asked().folder).cells) == 4


def test_other_settings_are_an_error_that_names_them(asked):
    run(asked(DIFFICULTY))
    longer = dataclasses.replace(CONFIG.training, epochs=3)
    with pytest.raises(InputError, match="epochs was 2 and is now 3") as caught:
        run(asked(DIFFICULTY, training=longer))
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="quality was 90 and is now 80"):
        run(asked(DIFFICULTY, quality=80))
    with pytest.raises(InputError, match="train_per_class was 0 and is now 4"):
        run(asked(DIFFICULTY, train_per_class=4))
    # What decides nothing may change.
    often = dataclasses.replace(CONFIG.training, checkpoint_every_steps=1, strategy="auto")
    assert run(asked(DIFFICULTY, training=often))[0] == 0
    assert len(stand_ins.started(asked().folder)) == 4


def test_other_labels_are_an_error(asked, images, tmp_path):
    run(asked(DIFFICULTY))
    labels = tmp_path / "labels.csv"
    text = pathlib.Path(images.labels).read_text()
    labels.write_text(text.replace("Down,stripes", "Down,grain"))
    other = dataclasses.replace(asked(DIFFICULTY), given=dataclasses.replace(images, labels=labels))
    with pytest.raises(InputError, match=r"the images, their split or their classes"):
        run(other)


def test_overwrite_makes_anew_what_changed(asked):
    run(asked(DIFFICULTY))
    folder = asked().folder
    old = folder / "runs" / BASE / "rgb" / "seed0" / "old"
    old.touch()
    longer = dataclasses.replace(CONFIG.training, epochs=3)
    failed, _ = run(asked(DIFFICULTY, training=longer, overwrite=True))
    assert failed == 0
    assert len(stand_ins.started(folder)) == 8
    assert not old.exists()
    assert {cell.epochs for cell in load_results(folder).cells} == {3}
    # And keeps what did not.
    assert run(asked(DIFFICULTY, training=longer, overwrite=True))[0] == 0
    assert len(stand_ins.started(folder)) == 8


def test_limits_take_a_part_of_each_class(asked):
    failed, _ = run(asked(DIFFICULTY, networks=("rgb",), train_per_class=4, test_per_class=1))
    assert failed == 0
    data = load_results(asked().folder).data
    assert (data["train_records"], data["test_records"]) == (12, 3)
    assert data["note"] == "a subset: at most 4 training and 1 test images of each class"


def test_a_second_runner_is_refused(asked):
    with (
        locked(asked().folder, "--output_dir"),
        pytest.raises(InputError, match="another job is writing here"),
    ):
        run(asked(DIFFICULTY))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_cell_save_and_the_next_run_continues(asked, number, monkeypatch):
    slow = "r32-q90-fine/rgb/seed0"
    folder = asked().folder
    stand_ins.bad(folder, **{slow: "slow"})
    steps = folder / "runs" / slow / "steps.csv"

    # A shell in the background may have left interrupts ignored.
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.SIG_DFL)

    def interrupt():
        end = time.monotonic() + 60
        while not (steps.is_file() and steps.stat().st_size) and time.monotonic() < end:
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(StoppedError) as caught:
        run(asked(DIFFICULTY, networks=("rgb",)))
    assert caught.value.status == 128 + number
    assert (folder / "runs" / slow / "saved").exists()
    assert states(folder) == {f"{BASE}/rgb/seed0": DONE, slow: PENDING}
    (folder / stand_ins.SETTINGS).unlink()
    assert run(asked(DIFFICULTY, networks=("rgb",)))[0] == 0
    assert stand_ins.started(folder) == [f"{BASE}/rgb/seed0", slow, slow]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_records_are_made_ends_the_studies(asked, number, monkeypatch):
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.SIG_DFL)
    monkeypatch.setattr(DataSets, "load", lambda *_: signal.raise_signal(number))
    with pytest.raises(StoppedError) as caught:
        run(asked(DIFFICULTY))
    assert caught.value.status == 128 + number
    assert set(states(asked().folder).values()) == {PENDING}


def test_records_that_cannot_be_made_fail_their_cells_alone(asked, cache, tmp_path):
    own = str(tmp_path / "own")
    shutil.copytree(cache, own)
    wanted = {**asked(RESOLUTION, networks=("rgb",)).__dict__, "cache_dir": own}
    wanted["config"] = dataclasses.replace(wanted["config"], resolutions=(32, 80))
    # Where the folder should be, a file is in the way.
    again = dataclasses.replace(asked(RESOLUTION), **wanted)
    run_free = dataclasses.replace(again, output_dir=str(tmp_path / "free"))
    run(run_free)
    (made,) = pathlib.Path(own).glob("r80-*")
    shutil.rmtree(made)
    made.write_text("in the way")
    failed, said = run(again)
    # The base is evaluated on it, and the other one trained on it.
    assert failed == 2
    assert "its records r80-q90 cannot be made" in said
    assert stand_ins.started(again.folder) == []


def test_variants_that_differ_in_their_records_are_an_error(asked):
    run(asked(DIFFICULTY, networks=("rgb",)))
    spec = cell_files.load_spec(asked().folder / "runs" / BASE / "rgb" / "seed0" / "spec.json")
    info = load_dataset_info(spec.records["r32-q90"].directory)
    fewer = dataclasses.replace(info.splits["train"], records=29, class_counts=(10, 10, 9))
    other = dataclasses.replace(info, splits={**info.splits, "train": fewer})
    check_same({Variant(32, 90): info, Variant(48, 90): info})
    with pytest.raises(InputError, match="r48-q90 has other training and test records .29 and 6"):
        check_same({Variant(32, 90): info, Variant(48, 90): other})


def test_small_images_are_enlarged_and_it_is_said(asked):
    _, said = run(asked(RESOLUTION, networks=("rgb",), resolutions=(32, 64)))
    assert "note: 30 of 30 images looked at are smaller than 64 pixels; they are enlarged." in said
    assert "than 32 pixels" not in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": None}, "the studies learn coarse classes"),
        ({"labels": "absent.csv"}, "absent.csv"),
    ],
)
def test_labels_that_do_not_serve_are_an_error(asked, images, change, message):
    given = dataclasses.replace(images, **change)
    with pytest.raises((InputError, OSError), match=message):
        run(dataclasses.replace(asked(DIFFICULTY), given=given))


def test_labels_that_lack_a_class_are_an_error_unless_they_are_the_list(asked, images, tmp_path):
    labels = tmp_path / "labels.csv"
    text = pathlib.Path(images.labels).read_text().replace("down,Down,stripes\n", "")
    labels.write_text(text)
    given = dataclasses.replace(images, labels=str(labels))
    with pytest.raises(InputError, match="the data has the unknown class 'down'"):
        run(dataclasses.replace(asked(DIFFICULTY), given=given))
    given = dataclasses.replace(given, only_labelled=True)
    assert run(dataclasses.replace(asked(DIFFICULTY), given=given))[0] == 0
    assert load_results(asked().folder).data["classes"] == 2


def test_too_few_images_for_a_batch_are_an_error(tmp_path):
    given = write_images(tmp_path, per_class=3)
    training = dataclasses.replace(CONFIG.training, batch_size=16)
    with pytest.raises(InputError, match="fewer than one batch"):
        run(request(given, tmp_path / "out", training=training))


def test_a_result_of_another_task_does_not_count(asked):
    run(asked(DIFFICULTY, networks=("rgb",)))
    path = asked().folder / "runs" / BASE / "rgb" / "seed0" / "cell.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "digest": "another"}))
    run(asked(DIFFICULTY, networks=("rgb",)))
    assert stand_ins.started(asked().folder)[2:] == [f"{BASE}/rgb/seed0"]
    spec = cell_files.load_spec(path.with_name("spec.json"))
    assert cell_files.load_result(spec).state == DONE


def test_a_setting_that_a_later_version_adds_leaves_results_valid(asked):
    run(asked(DIFFICULTY, networks=("rgb",)))
    spec = cell_files.load_spec(asked().folder / "runs" / BASE / "rgb" / "seed0" / "spec.json")
    changed = dataclasses.replace(
        spec, training=dataclasses.replace(spec.training, label_smoothing=0.1)
    )
    assert changed.training_digest != spec.training_digest
    # A field with its default is not part of the digest.
    default = dataclasses.replace(
        changed, training=dataclasses.replace(changed.training, label_smoothing=0.0)
    )
    assert default.training_digest == spec.training_digest
