"""The benchmark of readers: it runs, compares what was read, and says what is missing."""

from __future__ import annotations

import io
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from benchmarks import goals, images, libjpeg, measure, peers, report
from benchmarks.drawing import draw_picture

ROOT = pathlib.Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "readers.py"


def run_readers(*arguments):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        cwd=ROOT.parent,  # it must not depend on where it is started
        capture_output=True,
        text=True,
    )


def encode(pixels, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    ran = run_readers("--images=6", "--size=40", "--repeats=1", "--batch=4", "--output_dir", folder)
    assert ran.returncode == 0, ran.stderr
    return ran, json.loads((folder / "readers.json").read_text())


def test_every_reader_has_a_speed_or_a_reason(results):
    ran, found = results
    wanted = peers.list_peers((64, 16), peers.LIBRARIES)
    assert [row["key"] for row in found["readers"]] == [peer.key for peer in wanted]
    for row in found["readers"]:
        if row["absent"]:
            assert row["images_per_second"] is None
            assert f"{row['name']}: {row['absent']} (get it: " in ran.stdout
        else:
            assert row["images_per_second"] == pytest.approx(6 / row["wall_seconds"][0])
            assert row["library"]
    measured = {row["key"] for row in found["readers"] if not row["absent"]}
    assert {"jpegkeras-64", "jpegkeras-16", "tensorflow", "pillow"} <= measured


def test_results_say_where_they_come_from(results):
    _, found = results
    assert found["images"]["images"] == 6
    assert found["images"]["origin"].startswith("drawn, 40×40, quality 75, 4:2:0")
    assert "--size=40" in found["command"]
    assert found["machine"]["cores"] >= 1
    assert found["goals"] == []  # they are for 256 × 256 pixels


def test_readers_agree_on_the_coefficients(results):
    _, found = results
    readers = {row["library"].split()[0] for row in found["readers"] if row["library"]}
    if "libjpeg-turbo" not in readers:
        pytest.skip("the C program cannot be built: cc or jpeglib.h is absent")
    assert found["coefficients"] == "equal"


def test_files_as_found_are_compared_in_every_sampling(tmp_path):
    pixels = np.asarray(draw_picture(np.random.default_rng(1), 75))[:50]
    folder = tmp_path / "images" / "deep"
    folder.mkdir(parents=True)
    for sampling in ("4:4:4", "4:2:2", "4:2:0"):
        path = folder / f"{sampling[2:].replace(':', '')}.JPEG"
        path.write_bytes(encode(pixels, subsampling=sampling, optimize=True))
    (folder / "gray.jpg").write_bytes(encode(pixels[..., 0]))
    (folder / "text.jpg").write_text("no JPEG")
    ran = run_readers(
        f"--input_dir={tmp_path / 'images'}",
        "--as_found",
        "--repeats=1",
        "--num_frequencies=64,10",
        "--peers=libjpeg,jpeglib",
        f"--output_dir={tmp_path}",
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads((tmp_path / "readers.json").read_text())
    assert found["images"]["images"] == 4
    assert found["images"]["skipped"] == {"damaged, or no JPEG": 1}
    assert found["coefficients"] == "equal"
    assert [goal["what"] for goal in found["goals"]] == [goal.what for goal in goals.AS_FOUND]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--imges=3"], "unrecognized arguments: --imges=3"),
        (["--images=0"], "--images must be at least 1; got 0"),
        (["--num_frequencies=65"], "--num_frequencies must be from 1 to 64; got 65"),
        (["--peers=libjpg"], "libjpg: expected some of libjpeg, "),
        (["--as_found"], "--as_found needs --input_dir"),
        (["--input_dir=absent"], "--input_dir=absent: there is no such folder"),
        ([f"--input_dir={ROOT / 'benchmarks'}"], "no file in it ends in .jpg or .jpeg"),
    ],
)
def test_bad_input_is_told_in_one_line(tmp_path, arguments, message):
    ran = run_readers(*arguments, f"--output_dir={tmp_path}")
    assert ran.returncode != 0
    lines = [line for line in ran.stderr.splitlines() if not line.startswith("Preparing")]
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert message in lines[0]


def test_different_coefficients_are_found():
    same, other = [1, 2, 3], [1, 2, 4]
    known = {peer.key: peer for peer in peers.list_peers((64,), peers.LIBRARIES)}
    outcomes = [
        measure.Outcome(known["jpegkeras-64"], crc32=same),
        measure.Outcome(known["pillow"], crc32=None),
        measure.Outcome(known[peers.REFERENCE], crc32=list(same)),
    ]
    assert measure.find_difference(outcomes) is None
    outcomes[2].crc32 = other
    assert "1 of 3 images, first of image 2" in measure.find_difference(outcomes)


def test_goals_are_judged_by_the_medians():
    known = {peer.key: peer for peer in peers.list_peers((64,), peers.LIBRARIES)}
    walls = {
        "jpegkeras-64": [1.0, 9.0, 1.0],
        peers.REFERENCE: [1.5, 1.5, 0.1],
        "jpeglib": [2.9, 2.9, 2.9],
    }
    outcomes = [measure.Outcome(known[key], wall=wall, cpu=wall) for key, wall in walls.items()]
    rows = {row["key"]: row for row in report.make_rows(outcomes, 10, 1000)}
    verdicts = {verdict.what: verdict for verdict in goals.judge(goals.STANDARD, rows)}
    assert verdicts["n=64 / libjpeg-turbo"].line.startswith("PASS")
    assert verdicts["n=64 / libjpeg-turbo"].measured == pytest.approx(1.5)
    assert verdicts["n=64 / jpeglib"].line.startswith("MISS")
    assert verdicts["n=64 / simplejpeg"].line.startswith("not measured")
    assert rows["jpegkeras-64"]["ratio"] == pytest.approx(1.5)


def test_a_missing_header_is_named(tmp_path, monkeypatch):
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho 'fatal error: jpeglib.h: No such file' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(libjpeg.BuildError, match=r"jpeglib\.h or libjpeg is not installed"):
        libjpeg.build(tmp_path / "build")
    compiler.unlink()
    with pytest.raises(libjpeg.BuildError, match="no C compiler"):
        libjpeg.build(tmp_path / "build")


def test_the_file_of_images_keeps_them(tmp_path):
    jpegs = [b"\xff\xd8one", b"", b"\xff\xd8three" * 1000]
    images.write_images(tmp_path / "images", jpegs)
    assert images.read_images(tmp_path / "images") == jpegs
