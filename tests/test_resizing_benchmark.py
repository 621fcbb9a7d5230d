"""The benchmark of resizing: it runs, judges, and says what is wrong with its input in one line."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import resizing, resizing_quality, resizing_reference, resizing_routes
from jpegkeras.jpeg import read_coefficients
from jpegkeras.quality import quantization_tables
from tests.jpeg.conftest import draw_pixels, save

ROOT = pathlib.Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "resizing.py"


def run_resizing(*arguments):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        cwd=ROOT.parent,  # it must not depend on where it is started
        capture_output=True,
        text=True,
    )


def check_results(ran, path, images):
    assert ran.returncode == 0, ran.stderr
    found = json.loads(path.read_text())
    assert [row["key"] for row in found["speed"]] == list(resizing_routes.NAMES)
    for row in found["speed"]:
        assert row["images_per_second"] == pytest.approx(images / np.median(row["cpu_seconds"]))
        assert row["name"] in ran.stdout
    pillow = found["speed"][0]["images_per_second"]
    for row in found["speed"]:
        assert row["ratio"] == pytest.approx(row["images_per_second"] / pillow)
    assert found["images"]["images"] == images
    assert len(found["goals"]) == 3
    for goal in found["goals"]:
        assert f"{'PASS' if goal['met'] else 'MISS'}  {goal['what']}" in ran.stdout
    return found


def test_drawn_images(tmp_path):
    path = tmp_path / "deep" / "resizing.json"
    arguments = ["--images=3", "--size=80x60", "--smallest_side=24", "--quality=60"]
    ran = run_resizing(*arguments, "--factors=1,2.5", "--repeats=2", f"--output={path}")
    found = check_results(ran, path, 3)
    assert found["images"]["origin"] == "drawn, 80×60, quality 90, 4:4:4, 4:2:0"
    assert "--size=80x60" in found["command"]
    assert [(row["factor"], row["component"], row["images"]) for row in found["quality"]] == [
        (factor, component, 3) for factor in (1, 2.5) for component in ("y", "cb", "cr")
    ]
    for row in found["quality"]:
        for key in resizing_quality.NAMES:
            assert 20 < row["least"][key] <= row["mean"][key]
    assert found["machine"]["cores"] >= 1


def test_images_of_a_folder(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "colour.jpg").write_bytes(save(draw_pixels(0, 40, 60)))
    (folder / "gray.jpg").write_bytes(save(draw_pixels(1, 40, 60, 1)))
    (folder / "text.jpg").write_text("no JPEG")
    path = tmp_path / "resizing.json"
    arguments = [f"--input_dir={folder}", "--smallest_side=20", "--factors=2", "--repeats=1"]
    found = check_results(run_resizing(*arguments, f"--output={path}"), path, 2)
    assert found["images"]["skipped"] == {"damaged, or no JPEG": 1}
    assert [(row["component"], row["images"]) for row in found["quality"]] == [
        ("y", 2), ("cb", 1), ("cr", 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--imges=3"], "unrecognized arguments: --imges=3"),
        (["--images=0"], "expected a number of at least 1; got '0'"),
        (["--quality=101"], "expected a quality from 1 to 100; got '101'"),
        (["--size=80"], "expected a size such as 500x375; got '80'"),
        (["--size=0x9"], "expected a size such as 500x375; got '0x9'"),
        (["--subsampling=4:1:1"], "expected some of 4:2:0, 4:2:2, 4:4:4; got 4:1:1"),
        (["--factors=1,two"], "expected numbers such as 1,2,4; got '1,two'"),
        (["--factors=0"], "expected numbers such as 1,2,4; got '0'"),
        (["--input_dir=absent"], "--input_dir=absent: there is no such folder"),
    ],
)
def test_bad_input_is_told_in_one_line(tmp_path, arguments, message):
    ran = run_resizing(*arguments, f"--output={tmp_path / 'resizing.json'}")
    assert ran.returncode != 0
    lines = [line for line in ran.stderr.splitlines() if not line.startswith("Preparing")]
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert message in lines[0]


def make_row(component, fast, exact, quantized):
    values = {"fast": fast, "exact": exact, "quantized": quantized, "between": 45, "next": 44}
    return resizing_quality.Row(2.0, component, 5, values, values)


def test_the_goals_are_judged_by_the_worst_plane():
    rows = [make_row("y", 35.0, 35.05, 35.0), make_row("cb", 40.0, 39.0, 40.3)]
    speed = [{"key": "fast", "ratio": 1.6}]
    fast, beside_exact, beside_quantized = resizing._judge(speed, rows)
    assert (fast.met, fast.measured) == (True, 1.6)
    assert beside_exact.met and beside_exact.measured == pytest.approx(0.05)
    assert not beside_quantized.met and beside_quantized.measured == pytest.approx(0.3)
    assert not resizing._judge([{"key": "fast", "ratio": 1.4}], rows)[0].met


@pytest.mark.parametrize("name", ["originals", "drawn", "photos"])
def test_the_documentation_has_the_figures_of_the_results(name):
    found = json.loads((ROOT / "docs/results/resizing" / f"{name}.json").read_text())
    page = (ROOT / "docs/resizing.md").read_text()
    for row in found["speed"]:
        figure = f"{row['images_per_second']:,.0f}"
        assert figure in page if row["key"] == "pillow" else f"{figure} ({row['ratio']:.2f}" in page
    assert all(goal["met"] for goal in found["goals"])
    if name == "originals":
        for row in found["quality"]:
            for key in ("quantized", "fast", "exact"):
                assert f" {row['mean'][key]:.2f} " in page


@pytest.mark.parametrize("sampling", ["4:2:0", "4:4:4"])
def test_the_reference_at_the_same_size_is_the_picture(sampling):
    image = read_coefficients(save(draw_pixels(2, 37, 51), quality=90, subsampling=sampling))
    planes = resizing_reference.decode_planes(image)
    for plane, same in zip(planes, resizing_reference.resize_planes(image, 37, 51, sampling)):
        np.testing.assert_allclose(plane, same, atol=1e-9)
        assert resizing_reference.measure_psnr(plane, same) > 119


def test_quantising_what_was_quantised_changes_nothing():
    pixels = np.asarray(draw_pixels(3, 32, 48, 1)) // 4 + 96  # nothing to clip
    image = read_coefficients(save(pixels, quality=75))
    planes = resizing_reference.decode_planes(image)
    again = resizing_reference.quantize_planes(planes, [quantization_tables(75)[0]])
    np.testing.assert_allclose(again[0], planes[0], atol=1e-9)
    psnr = resizing_reference.measure_psnr(planes[0], planes[0] + 1)
    assert psnr == pytest.approx(48.13, abs=0.01)
