"""The benchmark of the job runs, on few images, and says what it measured."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from benchmarks import images, preprocessing
from jpegkeras.jpeg import read_coefficients


@pytest.mark.slow
def test_speed_and_sizes(tmp_path, capsys):
    output = tmp_path / "speed.json"
    arguments = [
        "--images=60",
        "--copies=3",
        "--repeats=1",
        f"--output={output}",
        f"--scratch_dir={tmp_path}",
    ]
    assert preprocessing.main(arguments) == 0
    result = json.loads(output.read_text())
    assert len(result["jobs"]) == 8
    assert {row["workers"] for row in result["jobs"]} == {1, 2}
    sizes = {row["name"]: row["size"] for row in result["jobs"]}
    assert sizes["n=16, gzip"] < sizes["n=64, gzip"] < sizes["n=16, none"] < sizes["n=64, none"]
    assert "…" in result["command"] and str(tmp_path) not in result["command"]
    assert "n=64, none" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["speed.json"]


@pytest.mark.slow
def test_memory(tmp_path):
    output = tmp_path / "memory.json"
    arguments = ["--memory", "--images=4000", f"--output={output}", f"--scratch_dir={tmp_path}"]
    assert preprocessing.main(arguments) == 0
    result = json.loads(output.read_text())
    assert result["files"] == 4000
    assert 50 < max(result["largest_worker_megabytes"]) < 400


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--as_found"], "--as_found needs --input_dir"),
        (["--cut"], "--cut needs --input_dir"),
        (["--cut", "--as_found", "--input_dir=/nowhere"], "exclude each other"),
    ],
)
def test_flags_that_do_not_fit(capsys, flags, message):
    assert preprocessing.main(flags) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and message in error


def test_a_folder_that_is_not_there(capsys):
    assert preprocessing.main(["--as_found", "--input_dir=/nowhere"]) == 1
    assert "no such folder" in capsys.readouterr().err


def test_squares_are_cut_from_the_centres_of_what_is_large_enough(tmp_path):
    rng = np.random.default_rng(0)
    for number, (height, width) in enumerate([(300, 420), (256, 256), (255, 400)]):
        # Blocks of one colour survive a JPEG of high quality.
        colours = rng.integers(0, 256, (height // 20 + 1, width // 20 + 1), dtype=np.uint8)
        pixels = colours.repeat(20, 0).repeat(20, 1)[:height, :width]
        Image.fromarray(pixels).convert("RGB").save(tmp_path / f"{number}.jpg", quality=98)
    values = preprocessing._parse([f"--input_dir={tmp_path}", "--cut"])
    found = images.collect(preprocessing._image_settings(values))
    assert found.skipped == {"smaller than 256×256": 1}
    assert "cut from the centres" in found.origin and "quality 75, 4:2:0" in found.origin
    assert len(found.jpegs) == 2
    with Image.open(tmp_path / "0.jpg") as whole, Image.open(io.BytesIO(found.jpegs[0])) as cut:
        assert cut.size == (256, 256)
        expected = np.asarray(whole, np.int64)[22:278, 82:338]
        assert np.abs(np.asarray(cut, np.int64) - expected).mean() < 6
    assert read_coefficients(found.jpegs[0]).subsampling == "4:2:0"
