"""What a run leaves: tables, TensorBoard's scalars, run.json, curves; what a kill does to them."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import rich.console
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from jpegkeras import run_log
from jpegkeras.run_log import COLUMNS, LOOK_COLUMNS, Progress, RateMeter, RunLog

ROOT = pathlib.Path(__file__).parents[1]


def look(step, **changes):
    """A look every 2 steps; epochs have 6."""
    return {
        "step": step,
        "epoch": (step - 1) // 6 + 1,
        "learning_rate": 0.1,
        "loss": 3.0 - step / 10,
        "top1": step / 20,
        "images_per_second": 100.0,
        **changes,
    }


def epoch(number, **changes):
    values = np.linspace(0.1, 0.7, len(COLUMNS)) + number / 100
    return {**dict(zip(COLUMNS, values)), "epoch": number, "step": 6 * number, **changes}


def make_log(workdir, step=0, **options):
    console = rich.console.Console(file=io.StringIO(), width=200)
    return RunLog(workdir, step, console=console, **options), console.file


def train(workdir, first, last, *, finish=True, **options):
    """Logs what a run does from one step to another."""
    log, output = make_log(workdir, first, **options)
    for step in range(first + 1, last + 1):
        if step % 2 == 0:
            log.add_look(look(step))
        if step % 6 == 0:
            log.add(epoch(step // 6))
    if finish:
        log.finish("finished")
    return log, output.getvalue()


def read_table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def scalars_of(workdir):
    """{tag: [(step, value)]} as TensorBoard itself reads the folder."""
    reader = EventAccumulator(str(workdir / "tensorboard"), size_guidance={"tensors": 0})
    reader.Reload()
    # The files of two runs of one second, as only tests have them, are in no order.
    return {
        tag: sorted((e.step, float(tf.make_ndarray(e.tensor_proto))) for e in reader.Tensors(tag))
        for tag in reader.Tags()["tensors"]
    }


def test_both_tables_and_tensorboard_hold_every_row(tmp_path):
    train(tmp_path, 0, 12)
    looks = read_table(tmp_path / "steps.csv")
    assert [int(row["step"]) for row in looks] == [2, 4, 6, 8, 10, 12]
    assert [float(row["loss"]) for row in looks] == [3.0 - step / 10 for step in range(2, 13, 2)]
    assert [row["gradient_norm"] for row in looks] == [""] * 6
    assert [*looks[0]] == [*LOOK_COLUMNS]
    epochs = read_table(tmp_path / "log.csv")
    assert [(row["epoch"], row["step"]) for row in epochs] == [("1", "6"), ("2", "12")]
    assert [*epochs[0]] == [*COLUMNS]
    found = scalars_of(tmp_path)
    assert set(found) == {
        *COLUMNS[2:],
        *(f"steps/{key}" for key in LOOK_COLUMNS[2:] if key not in ("gradient_norm", "loss_scale")),
    }
    assert found["steps/loss"] == [
        (step, pytest.approx(3.0 - step / 10)) for step in range(2, 13, 2)
    ]
    expected = [(6 * n, pytest.approx(epoch(n)["test_top1"])) for n in (1, 2)]
    assert found["test_top1"] == expected


def test_tensorboard_takes_them_for_scalars(tmp_path):
    train(tmp_path, 0, 6)
    reader = EventAccumulator(str(tmp_path / "tensorboard"))
    reader.Reload()
    content = reader.PluginTagToContent("scalars")
    assert "test_top1" in content
    assert "steps/loss" in content


def test_rows_may_lack_columns_but_not_the_step_and_have_no_others(tmp_path):
    log, _ = make_log(tmp_path)
    log.add_look({"step": 3, "gradient_norm": np.float32(2.5), "loss": None})
    assert log.looks == [{"step": 3, "gradient_norm": 2.5}]
    with pytest.raises(ValueError, match=r"steps\.csv has a step and none but step, epoch"):
        log.add_look({"step": 4, "lss": 1.0})
    with pytest.raises(ValueError, match=r"log\.csv has a step"):
        log.add({"epoch": 1})


@pytest.mark.parametrize("restored", [0, 2, 5, 6, 9])
def test_a_killed_run_that_continues_leaves_what_an_undisturbed_one_does(tmp_path, restored):
    train(tmp_path / "whole", 0, 12)
    train(tmp_path / "killed", 0, 11, finish=False)
    train(tmp_path / "killed", restored, 12)
    for name in ("steps.csv", "log.csv"):
        whole, killed = ((tmp_path / run / name).read_bytes() for run in ("whole", "killed"))
        assert whole == killed
    assert scalars_of(tmp_path / "whole") == scalars_of(tmp_path / "killed")
    epochs = [
        json.loads((tmp_path / run / "run.json").read_text())["epochs"]
        for run in ("whole", "killed")
    ]
    assert epochs[0] == epochs[1]


@pytest.mark.parametrize("lost", [1, 2, 5, 30])
def test_half_a_line_is_mended_when_the_run_continues(tmp_path, lost):
    train(tmp_path / "whole", 0, 12)
    train(tmp_path / "torn", 0, 12, finish=False)
    for name in ("steps.csv", "log.csv"):
        with (tmp_path / "torn" / name).open("r+b") as file:
            file.truncate(file.seek(0, os.SEEK_END) - lost)
    # The rows that were torn are beyond the checkpoint.
    train(tmp_path / "torn", 9, 12)
    for name in ("steps.csv", "log.csv"):
        assert (tmp_path / "torn" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_what_a_power_failure_leaves_in_a_table_is_left_out(tmp_path):
    train(tmp_path, 0, 6)
    with (tmp_path / "steps.csv").open("ab") as file:
        file.write(b"\0" * 40 + b"\n" + b"\xff\xfe,1\n8,two,,,,,,\n,,,,,,,\n9\n")
    log, _ = make_log(tmp_path, 12)
    assert [row["step"] for row in log.looks] == [2, 4, 6]


def test_a_table_of_other_columns_keeps_those_that_are_known(tmp_path):
    (tmp_path / "log.csv").write_text("step,epoch,perplexity,test_top1\r\n6,1,9.5,0.25\r\n")
    log, _ = make_log(tmp_path, 6)
    assert log.rows == [{"epoch": 1, "step": 6, "test_top1": 0.25}]


def test_a_torn_record_of_tensorboard_is_mended(tmp_path):
    train(tmp_path, 0, 12, finish=False)
    (path,) = (tmp_path / "tensorboard").glob("events*")
    with path.open("r+b") as file:
        file.truncate(file.seek(0, os.SEEK_END) - 7)
    train(tmp_path, 12, 18)
    found = scalars_of(tmp_path)
    assert [step for step, _ in found["steps/loss"]] == list(range(2, 19, 2))
    # The last one before the tear is lost.
    assert [step for step, _ in found["test_top1"]] == [6, 18]


def test_a_run_from_the_start_forgets_all_of_the_one_before(tmp_path):
    train(tmp_path, 0, 12)
    (marker := tmp_path / "tensorboard" / "events.out.tfevents.1.host.profile-empty").touch()
    train(tmp_path, 0, 2)
    assert scalars_of(tmp_path)["steps/loss"] == [(2, pytest.approx(2.8))]
    assert len(read_table(tmp_path / "log.csv")) == 2, "rewritten with the first epoch only"
    assert marker.exists()


def test_a_step_that_is_logged_again_has_one_row(tmp_path):
    log, _ = make_log(tmp_path)
    for loss in (2.0, 1.0):
        log.add_look(look(4))
        log.add_look(look(6, loss=loss))
        log.add(epoch(1, test_loss=loss))
    assert [(row["step"], row["loss"]) for row in read_table(tmp_path / "steps.csv")] == [
        ("4", "2.6"),
        ("6", "1.0"),
    ]
    assert [row["test_loss"] for row in read_table(tmp_path / "log.csv")] == ["1.0"]


def test_nothing_is_written_before_the_first_row(tmp_path):
    make_log(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_run_json_says_how_the_run_stands(tmp_path):
    path = tmp_path / "run.json"
    log, _ = make_log(tmp_path, facts={"settings": {"seed": 5}, "network": {"name": "tiny"}})
    log.add_look(look(2, loss=math.nan))
    for number, top1 in ((1, 0.5), (2, 0.75), (3, math.nan)):
        log.add(epoch(number, test_top1=top1, images_per_second=100.0 * number))
    content = json.loads(path.read_text())
    assert (content["state"], content["step"], content["reason"]) == ("running", 18, None)
    assert content["settings"] == {"seed": 5}
    assert content["network"] == {"name": "tiny"}
    assert content["best"]["epoch"] == 2
    assert content["images_per_second"] == 200
    assert [row["test_top1"] for row in content["epochs"]] == [0.5, 0.75, None]
    log.finish("diverged", "the loss is nan")
    content = json.loads(path.read_text())
    assert (content["state"], content["reason"]) == ("diverged", "the loss is nan")
    with pytest.raises(ValueError, match="state must be one of running, finished"):
        log.finish("done")


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (None, "finished", None),
        (KeyboardInterrupt(), "interrupted", "KeyboardInterrupt"),
        (SystemExit(1), "interrupted", "SystemExit"),
        (ValueError("a shard\nis torn"), "failed", "ValueError: a shard"),
    ],
)
def test_leaving_the_log_says_how_the_run_ended(tmp_path, error, state, reason):
    def body():
        with make_log(tmp_path)[0] as log:
            log.add(epoch(1))
            if error is not None:
                raise error

    if error is None:
        body()
    else:
        with pytest.raises(type(error)):
            body()
    content = json.loads((tmp_path / "run.json").read_text())
    assert (content["state"], content["reason"]) == (state, reason)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_an_end_that_was_told_is_kept_when_the_log_is_left(tmp_path):
    with pytest.raises(ValueError, match="diverged"), make_log(tmp_path)[0] as log:
        log.finish("diverged", "here")
        raise ValueError("diverged")
    assert json.loads((tmp_path / "run.json").read_text())["state"] == "diverged"


def test_run_json_lists_the_starts_that_count(tmp_path):
    train(tmp_path, 0, 8, finish=False)
    train(tmp_path, 6, 11, finish=False)
    train(tmp_path, 6, 12)
    starts = json.loads((tmp_path / "run.json").read_text())["starts"]
    assert [start["step"] for start in starts] == [0, 6]
    (tmp_path / "run.json").write_text("[")
    log, _ = make_log(tmp_path, 12)
    assert [start["step"] for start in log.describe()["starts"]] == [12]


def test_another_host_writes_nothing(tmp_path):
    with make_log(tmp_path, enabled=False)[0] as log:
        log.add_look(look(2))
        log.add(epoch(1))
    assert list(tmp_path.iterdir()) == []
    console = rich.console.Console(file=io.StringIO(), force_terminal=True)
    with Progress(console, 10, 0, enabled=False) as progress:
        progress.update(5, 8, 1.0)
        progress.print("a line")
    assert console.file.getvalue() == ""


def test_what_cannot_be_written_costs_a_line_and_not_the_run(tmp_path):
    for name in ("log.csv", "steps.csv", "run.json", "curves.png"):
        (tmp_path / name).mkdir()
    (tmp_path / "tensorboard").write_text("a file where the folder should be")
    log, output = train(tmp_path, 0, 18)
    lines = output.splitlines()
    assert len(lines) == 5
    for name in ("log.csv", "steps.csv", "run.json", "curves.png", "tensorboard"):
        (line,) = [line for line in lines if f"{tmp_path / name} cannot be written" in line]
        assert line.startswith("warning: ")
        assert line.endswith(". The run goes on without.")
        assert "{" not in line
    assert [row["step"] for row in log.rows] == [6, 12, 18]


def test_a_table_is_whole_again_as_soon_as_it_can_be(tmp_path):
    log, output = make_log(tmp_path)
    log.add_look(look(2))
    (tmp_path / "steps.csv").rename(tmp_path / "before.csv")
    (tmp_path / "steps.csv").mkdir()
    log.add_look(look(4))
    (tmp_path / "steps.csv").rmdir()
    log.add_look(look(6))
    assert [row["step"] for row in read_table(tmp_path / "steps.csv")] == ["2", "4", "6"]
    assert len(output.getvalue().splitlines()) == 1


_FULL_DISK = """
import resource, signal, sys
import rich.console
from jpegkeras.quiet import quiet_tensorflow
with quiet_tensorflow():
    from jpegkeras.run_log import RunLog
# A file that would become longer fails as on a full disk.
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
with RunLog(sys.argv[1], 0, console=rich.console.Console(width=300)) as log:
    for step in range(1, 100):
        log.add_look({"step": step, "loss": 1 / step, "images_per_second": 123.456})
        if step % 50 == 0:
            log.add({"epoch": step // 50, "step": step, "test_top1": 0.5})
print(len(log.looks), "looks")
"""


def test_a_full_disk_does_not_stop_the_run(tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    lines = result.stdout.splitlines()
    assert lines[-1] == "99 looks"
    # The tables are smaller than that.
    warned = {pathlib.Path(line.split()[1]).name for line in lines[:-1]}
    assert warned == {"tensorboard", "curves.png"}, lines
    assert len(read_table(tmp_path / "steps.csv")) == 99
    assert json.loads((tmp_path / "run.json").read_text())["state"] == "finished"
    assert not list(tmp_path.glob("*.tmp"))
    # What TensorBoard's file holds can be read and continued.
    train(tmp_path, 4, 6)
    assert [step for step, _ in scalars_of(tmp_path)["steps/loss"]] == [1, 2, 3, 4, 6]


def test_curves_are_drawn_after_an_epoch_but_not_after_each(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(run_log.curves, "draw", lambda looks, *_: drawn.append(len(looks)))
    train(tmp_path / "a", 0, 18)
    assert drawn == [9]
    drawn.clear()
    monkeypatch.setattr(run_log, "_DRAWING_SECONDS", 0.0)
    train(tmp_path / "b", 0, 18)
    assert drawn == [3, 6, 9, 9]


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""

    class Clock:
        now = 1000.0

    monkeypatch.setattr(run_log.time, "monotonic", lambda: Clock.now)
    return Clock


def test_a_rate_is_that_of_the_window_without_pauses(clock):
    overall, recent = RateMeter(), RateMeter(10.0)
    for _ in range(20):
        clock.now += 1
        for meter in (overall, recent):
            meter.add(100)
    assert overall.value == recent.value == 100
    with overall.paused(), recent.paused():
        clock.now += 50
    assert overall.value == recent.value == 100
    for _ in range(20):
        clock.now += 1
        for meter in (overall, recent):
            meter.add(300)
    assert overall.value == 200
    assert recent.value == 300


def test_a_rate_before_the_first_image_is_nothing(clock):
    assert RateMeter().value == 0
    assert RateMeter(5.0).value == 0


def test_lines_tell_how_far_a_run_without_a_terminal_is(clock):
    console = rich.console.Console(file=io.StringIO(), width=40)
    with Progress(console, 1000, 100) as progress:
        progress.update(100, 0, None)
        for step in range(101, 162):
            clock.now += 1
            progress.update(step, 32, 2.0 if step % 10 == 0 else None)
    assert console.file.getvalue().splitlines() == [
        "step 130 of 1000, loss 2.000, 32 img/s, 0:14:30 left",
        "step 160 of 1000, loss 2.000, 32 img/s, 0:14:00 left",
    ]


def test_the_bar_fits_a_terminal_of_80_columns():
    console = rich.console.Console(
        file=io.StringIO(), force_terminal=True, width=80, color_system=None
    )
    with Progress(console, 1_234_567, 0) as progress:
        progress.update(123_456, 128, 2.345)
        with progress.phase("evaluating"):
            progress.print("test top-1 12.3% [a name/like markup]")
    text = console.file.getvalue()
    assert "test top-1 12.3% [a name/like markup]" in text
    last = text.rstrip("\n\x1b[?25h").splitlines()[-1]
    assert "training" in last
    assert "123456/1234567 loss 2.345" in last
    assert last.rstrip().endswith("left")
