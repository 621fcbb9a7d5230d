"""The command line: modes, one line for each mistake, a status that is not zero."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest
from absl.testing import flagsaver

import train_main
from jpegkeras import commands
from jpegkeras.preemption import PreemptedError
from tests import band_networks
from tests.datasets import draw_jpeg, write_drawn_dataset
from tests.networks import TINY
from tests.test_training import run as train_tiny

pytestmark = pytest.mark.usefixtures("tiny_network")

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("drawn")
    write_drawn_dataset(directory, train=8, test=3)
    return directory


def main(**values):
    """Runs train_main with flags set, in this process; returns the exit status."""
    with flagsaver.flagsaver(**values):
        return train_main.main(["train_main.py"])


def program(*arguments):
    return subprocess.run(
        [sys.executable, "train_main.py", *arguments], cwd=ROOT, capture_output=True, text=True
    )


def one_error_line(capsys):
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


def test_help_lists_the_flags():
    result = program("--help")
    assert "--num_frequencies" in result.stdout
    assert "Traceback" not in result.stderr


def test_help_tells_the_presets_values():
    words = " ".join(program("--help").stdout.split())
    assert "over all devices of all hosts. (paper: 128, smoke: 32)" in words
    assert "(paper: fine, smoke: fine)" in words


def test_a_misspelt_flag_is_named():
    result = program("--mode=train", "--workdir=x", "--epoch=3")
    assert result.returncode != 0
    assert "Unknown command line flag 'epoch'" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unknown_mode_lists_the_modes():
    result = program("--mode=tune", "--workdir=x")
    assert result.returncode != 0
    assert "<train|evaluate|export|predict>" in result.stderr


def test_every_mode_in_turn(data_dir, tmp_path, capsys):
    tiny = {"model": TINY, "num_frequencies": 8, "image_size": 32, "batch_size": 4, "epochs": 1}
    common = {"workdir": str(tmp_path), "data_dir": str(data_dir), "preset": "smoke"}
    assert main(mode="train", **common, **tiny) == 0
    assert "next: python train_main.py --mode=evaluate" in capsys.readouterr().out
    assert main(mode="evaluate", **common) == 0
    assert json.loads((tmp_path / "evaluation-test.json").read_text())["records"] == 3
    assert main(mode="export", **common) == 0
    assert (tmp_path / "saved_model" / "saved_model.pb").is_file()
    (tmp_path / "a.jpg").write_bytes(draw_jpeg(1, 3))
    assert main(mode="predict", images=[str(tmp_path / "a.jpg")], **common) == 0
    assert "down" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"mode": "train"}, "--mode=train needs --data_dir"),
        ({"mode": "evaluate"}, "--mode=evaluate needs --data_dir"),
        ({"mode": "predict"}, "--mode=predict needs --images"),
        ({"mode": "train", "data_dir": "nowhere"}, "nowhere/dataset.json: no data set here"),
        ({"mode": "export"}, "no checkpoint here. Train first"),
        ({"mode": "export", "checkpoint": "gone"}, "gone: no such checkpoint"),
        ({"mode": "train", "data_dir": "x", "epochs": -1}, "--epochs must be above 0; got -1"),
        ({"mode": "train", "data_dir": "x", "seed": -1}, "--seed must be from 0"),
        ({"mode": "train", "data_dir": "x", "momentum": float("nan")}, "must be a finite number"),
        ({"mode": "train", "data_dir": "x", "checkpoint": "best"}, "no use for --checkpoint"),
        ({"mode": "evaluate", "data_dir": "x", "dry_run": True}, "no use for --dry_run"),
        ({"mode": "train", "data_dir": "x", "clip_norm": -1.0}, "--clip_norm must not be negative"),
        ({"mode": "train", "data_dir": "x", "ema_decay": 1.0}, "--ema_decay must be from 0 to"),
        ({"mode": "train", "data_dir": "x", "bands": "best:3"}, "'best:3' is not understood. Ex"),
        (
            {"mode": "train", "data_dir": "x", "bands": "y:8,c:2", "num_frequencies": 8},
            "--bands=y:8,c:2 says which frequencies; leave --num_frequencies out",
        ),
        ({"mode": "train", "data_dir": "x", "bands_cost": 1.0}, "--bands_cost is for networks"),
        ({"mode": "evaluate", "data_dir": "x", "bands": "y:8,c:2"}, "no use for --bands"),
        ({"mode": "train", "data_dir": "x", "profile_steps": "5"}, "--profile_steps must be FROM:"),
        (
            {"mode": "export", "epochs": 3, "seed": 1},
            "--mode=export has no use for --epochs, --seed",
        ),
    ],
)
def test_each_mistake_gets_one_line(values, words, tmp_path, capsys):
    assert main(workdir=str(tmp_path), **values) == 1
    assert words in one_error_line(capsys)


def test_an_unknown_network_is_an_error_that_lists_them(data_dir, tmp_path, capsys):
    values = {"workdir": str(tmp_path), "data_dir": str(data_dir), "preset": "smoke"}
    values.update(num_frequencies=8, image_size=32, batch_size=4, model="resnet51")
    assert main(mode="train", **values) == 1
    line = one_error_line(capsys)
    assert "resnet51" in line
    assert "resnet50_dct" in line


def test_bands_that_cannot_be_had_are_an_error(data_dir, tmp_path, capsys):
    values = {"workdir": str(tmp_path), "data_dir": str(data_dir), "preset": "smoke"}
    values.update(image_size=32, batch_size=4, mode="train")
    for bands, model, words in (
        (
            "channels:48",
            "resnet50_dct",
            "needs 41 frequencies of a component, but the records hold",
        ),
        ("@none.json", "resnet50_dct", "--bands=@none.json: cannot be read"),
        ("y:8,c:2", "resnet50_rgb", "resnet50_rgb needs all that pixels consist of"),
        ("y:8,c:2", TINY, "--bands is for networks on bands"),
    ):
        assert main(bands=bands, model=model, **values) == 1
        assert words in one_error_line(capsys)


def test_a_network_that_learns_its_bands_leaves_a_list(data_dir, tmp_path, capsys):
    band_networks.add_band_network()
    values = {"workdir": str(tmp_path), "data_dir": str(data_dir), "preset": "smoke"}
    values.update(image_size=32, batch_size=4, epochs=1, mode="train")
    assert main(model=band_networks.TINY_BANDS, bands="learned:2", bands_cost=9.0, **values) == 0
    path = tmp_path / "bands.json"
    assert f"--bands=@{path}" in capsys.readouterr().out.replace("\n", "")
    values["workdir"] = str(tmp_path / "again")
    assert main(model=band_networks.TINY_BANDS, bands=f"@{path}", **values) == 0
    assert main(mode="evaluate", workdir=values["workdir"], data_dir=str(data_dir)) == 0
    band_networks.remove_band_network()


def test_a_positional_argument_is_an_error(capsys):
    assert train_main.main(["train_main.py", "train"]) == 1
    assert "unexpected argument 'train'" in one_error_line(capsys)


def test_a_data_set_of_another_schema_version_is_an_error(data_dir, tmp_path, capsys):
    content = json.loads((data_dir / "dataset.json").read_text())
    (tmp_path / "dataset.json").write_text(json.dumps({**content, "schema_version": 99}))
    assert main(mode="train", data_dir=str(tmp_path), workdir=str(tmp_path / "run")) == 1
    assert "schema version 99" in one_error_line(capsys)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_damaged_shard_is_named(tmp_path, capsys, compression):
    write_drawn_dataset(tmp_path / "data", train=8, test=3, compression=compression)
    (shard,) = (tmp_path / "data").glob("train*")
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) // 2 + 11])
    values = {"model": TINY, "num_frequencies": 8, "image_size": 32, "batch_size": 4, "epochs": 1}
    status = main(
        mode="train", data_dir=str(tmp_path / "data"), workdir=str(tmp_path / "run"), **values
    )
    assert status == 1
    line = one_error_line(capsys)
    assert f"{shard.name}: record " in line
    assert "test-00000" not in line
    assert "{{" not in line
    assert not (tmp_path / "run" / "log.csv").exists()


def test_a_missing_shard_is_named(tmp_path, capsys):
    write_drawn_dataset(tmp_path / "data", train=8, test=3)
    (shard,) = (tmp_path / "data").glob("train*")
    shard.unlink()
    values = {"model": TINY, "num_frequencies": 8, "image_size": 32, "batch_size": 4, "epochs": 1}
    status = main(
        mode="train", data_dir=str(tmp_path / "data"), workdir=str(tmp_path / "run"), **values
    )
    assert status == 1
    assert f"{shard.name}: this shard is missing" in one_error_line(capsys)


def test_a_dry_run_and_a_benchmark_keep_nothing_of_a_network(data_dir, tmp_path, capsys):
    tiny = {"model": TINY, "num_frequencies": 8, "image_size": 32, "batch_size": 4, "epochs": 1}
    common = {"data_dir": str(data_dir), "preset": "smoke", "mode": "train", **tiny}
    assert main(workdir=str(tmp_path / "dry"), dry_run=True, **common) == 0
    output = capsys.readouterr().out
    assert "everything works" in output
    assert "conv2" in output
    assert [path.name for path in (tmp_path / "dry").rglob("*")] == ["batch.png"]
    assert main(workdir=str(tmp_path / "timed"), benchmark_steps=4, **common) == 0
    assert "input and step" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "timed").rglob("*")] == ["benchmark.json"]
    rows = json.loads((tmp_path / "timed" / "benchmark.json").read_text())["rows"]
    assert [row["part"] for row in rows] == ["input alone", "step alone", "input and step"]
    assert all(row["images_per_second"] > 0 for row in rows)


def test_a_run_that_was_asked_to_end_has_the_status_of_a_sigterm(data_dir, tmp_path, capsys):
    def stopped(*_, **__):
        raise PreemptedError(12, "somewhere/ckpt-12")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commands, "run_train", stopped)
        assert main(mode="train", workdir=str(tmp_path), data_dir=str(data_dir)) == 143
    assert "step 12, which is saved in somewhere/ckpt-12; the same" in one_error_line(capsys)


def test_a_flag_that_contradicts_the_checkpoint_is_an_error(data_dir, tmp_path, capsys):
    train_tiny(data_dir, tmp_path, epochs=1)
    common = {"mode": "evaluate", "workdir": str(tmp_path), "data_dir": str(data_dir)}
    assert main(model="resnet50_rgb", **common) == 1
    assert f"another network: model is {TINY}, not resnet50_rgb" in one_error_line(capsys)


def test_an_image_that_cannot_be_read_makes_the_status_1(data_dir, tmp_path, capsys):
    train_tiny(data_dir, tmp_path, epochs=1)
    assert main(mode="predict", workdir=str(tmp_path), images=["nowhere.jpg"]) == 1
    assert "nowhere.jpg: cannot be read" in one_error_line(capsys)


def test_a_bug_is_not_hidden_behind_one_line(monkeypatch, tmp_path):
    def broken(*_, **__):
        raise ValueError("a bug")

    monkeypatch.setattr(commands, "run_export", broken)
    with pytest.raises(ValueError, match="a bug"):
        main(mode="export", workdir=str(tmp_path))
