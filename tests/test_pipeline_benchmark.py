"""The benchmark of the input pipeline runs, on few images, and says what it measured."""

from __future__ import annotations

import json

import pytest

from benchmarks import goals, pipeline


@pytest.mark.slow
def test_rows_stages_and_bytes(tmp_path, capsys):
    output = tmp_path / "pipeline.json"
    arguments = ["--images=72", "--repeats=1", "--batches=2", "--batch_size=8"]
    arguments += ["--shuffle_buffer=16", f"--output={output}", f"--scratch_dir={tmp_path}"]
    assert pipeline.main(arguments) == 0
    result = json.loads(output.read_text())
    rows = {row["key"]: row for row in result["rows"]}
    for count in (16, 64):
        for compression in ("none", "gzip"):
            for kind in ("packed", "inputs", "inputs, not compiled", "reading", "parsing"):
                assert rows[f"n={count}, {compression}: {kind}"]["images_per_second"] > 0
    assert rows["rgb"]["bytes"] == 224 * 224 * 3
    # The coefficients of the whole 256 × 256 pixels, with room for 8 overflows a component at
    # least, tables and draws.
    assert 24 * 16 * 16 * 4 < rows["n=16, none: packed"]["bytes"] < 24 * 16 * 16 * 4 * 1.2
    host = rows["n=16, none, cropped by the host: packed"]["bytes"]
    assert 0.7 < host / rows["n=16, none: packed"]["bytes"] < 0.85
    assert len(result["goals"]) == 4
    text = capsys.readouterr().out
    assert "Where the time goes" in text and "unpacking" in text
    assert str(tmp_path) not in result["command"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pipeline.json", "pipeline.png"]


def test_stages_add_up_to_the_whole():
    stages = {"reading": 5, "shuffling": 6, "parsing": 9, "checks, bytes to numbers": 9.5}
    stages |= {"packed": 10, "inputs": 14}
    rows = [
        {"key": f"n={count}, {compression}: {stage}", "cpu_microseconds": value * count}
        for count in (16, 64)
        for compression in ("none", "gzip")
        for stage, value in stages.items()
    ]
    found = pipeline._find_stages(rows)
    assert found["n=64, gzip"] == {
        "reading": 5 * 64,
        "shuffling": 64,
        "parsing": 3 * 64,
        "checks, bytes to numbers": 32,
        "draws": 32,
        "unpacking": 4 * 64,
        "all": 14 * 64,
    }


def test_goals_are_judged():
    rates = {"rgb": 100.0, "n=16, none: inputs": 401.0, "n=64, none: inputs": 149.0}
    rows = {key: {"images_per_second": rate, "absent": None} for key, rate in rates.items()}
    met = [verdict.met for verdict in goals.judge(goals.PIPELINE, rows)]
    assert met == [True, False, None]
    assert goals.judge_bytes(24, 100).met and not goals.judge_bytes(26, 100).met


def test_the_users_errors_are_one_line(tmp_path, capsys):
    assert pipeline.main(["--input_dir=/nowhere"]) == 1
    assert "no such folder" in capsys.readouterr().err
    assert pipeline.main(["--batches=0", f"--scratch_dir={tmp_path}"]) == 2
    assert "--batches must be at least 1; got 0" in capsys.readouterr().err
    assert pipeline.main(["--images=20", f"--scratch_dir={tmp_path}"]) == 1
    assert "20 images are too few: at least 64" in capsys.readouterr().err
