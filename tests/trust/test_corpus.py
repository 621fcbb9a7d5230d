"""The corpus comparison as it is run, on a few files."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from jpegkeras.jpeg import read_coefficients
from tests.jpeg import encoder
from tests.jpeg.conftest import draw_pixels, save
from tests.trust import corpus_worker, variants
from tests.trust.corpus import find_files, main

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path):
    """Three JPEGs that are read, one that is refused, one that is damaged, and a text."""
    folder = tmp_path / "pictures"
    (folder / "below").mkdir(parents=True)
    colour = save(draw_pixels(1, 50, 70), subsampling="4:2:0")
    (folder / "a.jpg").write_bytes(colour)
    (folder / "below" / "b.JPEG").write_bytes(save(draw_pixels(2, 33, 20, 1)))
    (folder / "c.jpg").write_bytes(save(draw_pixels(3, 16, 16), subsampling="4:4:4"))
    image = encoder.draw_image(1, 16, 16, [(1, 1)] * 3)
    (folder / "d.jpg").write_bytes(encoder.encode(image, marker=0xC9))
    (folder / "e.jpg").write_bytes(colour[:-100])
    (folder / "notes.txt").write_text("no JPEG")
    return folder


def run(folder, *options):
    output = folder.parent / "result.json"
    status = subprocess.run(
        [sys.executable, "-m", "tests.trust.corpus", f"--input_dir={folder}", f"--output={output}"]
        + list(options),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    return status, json.loads(output.read_text())


def test_files_of_a_folder(folder):
    status, result = run(folder)
    assert status.returncode == 0, status.stdout + status.stderr
    row = result["forms"]["original"]
    assert (row["files"], row["compared"], result["batched"]) == (5, 3, 3)
    assert row["refused"] == {"arithmetic coding": 1}
    assert sum(row["damaged"].values()) == 1
    images = [read_coefficients(folder / name) for name in ("a.jpg", "below/b.JPEG", "c.jpg")]
    sizes = [c.coefficients.size for image in images for c in image.components]
    assert row["coefficients"] == sum(sizes)
    assert result["folders"] == ["pictures"]
    assert str(folder.parent) not in json.dumps(result)


@pytest.mark.skipif(not variants.are_available(), reason=f"needs {variants.NEEDS}")
def test_variants_of_a_file(folder):
    for name in ("c.jpg", "d.jpg", "e.jpg"):
        (folder / name).unlink()
    status, result = run(folder, "--variants", "--processes=1")
    assert status.returncode == 0, status.stdout + status.stderr
    forms = result["forms"]
    for name in ("optimised", "restart every MCU", "restart every 7 MCUs", "restart every row"):
        assert forms[name]["same_as_original"] == forms[name]["compared"] == 2
    for name in ("arithmetic", "arithmetic, progressive"):
        assert forms[name]["refused"] == {"arithmetic coding": 2}
    for sampling in ("4:4:4", "4:2:2", "4:4:0", "4:2:0", "4:1:1"):
        assert forms[f"encoded {sampling}, restart every 7 MCUs"]["compared"] == 1


@pytest.mark.skipif(not variants.are_available(), reason=f"needs {variants.NEEDS}")
def test_variants_are_what_they_are_called():
    data = save(draw_pixels(1, 50, 70), subsampling="4:2:0")
    made = {variant.name: variant.data for variant in variants.make_variants(data, True)}
    assert len(made) > 80
    for name, variant in made.items():
        if "arithmetic" in name:
            frames = [b"\xff\xca" if "progressive" in name else b"\xff\xc9"]
        else:
            frames = [b"\xff\xc2"] if "progressive" in name else [b"\xff\xc0", b"\xff\xc1"]
        assert any(frame in variant for frame in frames), name
        assert ("restart" in name) == (b"\xff\xdd\x00\x04" in variant), name
    for name, expected in (("4:4:4", "4:4:4"), ("4:4:0", "4:4:0"), ("4:1:1", "4:1:1")):
        assert read_coefficients(made[f"encoded {name}"]).subsampling == expected


@pytest.mark.skipif(not variants.are_available(), reason=f"needs {variants.NEEDS}")
def test_variants_that_cannot_be_made_are_counted(folder):
    for name in ("a.jpg", "below/b.JPEG"):
        (folder / name).unlink()  # the refused and the damaged one stay
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("no JPEG")
    Image.fromarray(draw_pixels(1, 9, 9)).save(folder / "png.jpg", "PNG")
    cmyk = Image.fromarray(draw_pixels(1, 16, 16)).convert("CMYK")
    cmyk.save(folder / "cmyk.jpg", "JPEG")
    coloured = folder / "rgb.jpg"
    coloured.write_bytes(save(draw_pixels(4, 16, 16), keep_rgb=True))
    assert read_coefficients(coloured).color_space == "RGB"
    status, result = run(folder, "--variants", "--processes=1")
    assert status.returncode == 0, status.stdout + status.stderr
    original = result["forms"]["original"]
    assert original["files"] == 8
    assert sum(original["refused"].values()) + sum(original["damaged"].values()) == 6
    # jpegtran cannot take the luma of RGB; of the files that are refused nothing is tried.
    [(tool, reasons)] = result["variants_not_made"].items()
    assert (tool, sum(reasons.values())) == ("jpegtran", 1)
    assert "variants not made: 1" in status.stdout
    assert result["forms"]["optimised"]["compared"] == 2
    assert result["forms"]["luma alone"]["compared"] == 1


@pytest.mark.skipif(not variants.are_available(), reason=f"needs {variants.NEEDS}")
def test_forms_from_pixels_that_djpeg_cannot_give_are_named():
    whole = {form.name for form in variants.make_variants(save(draw_pixels(1, 16, 16)), True)}
    forms = list(variants.make_variants(b"no JPEG", True))
    assert {form.name for form in forms} == whole
    assert all(isinstance(form, variants.NotMade) for form in forms)
    assert {form.tool for form in forms} == {"jpegtran", "djpeg"}
    assert all("JPEG" in form.reason for form in forms)


def test_what_is_no_file_is_counted_as_unreadable(folder):
    (folder / "f.jpg").mkdir()
    (folder / "c.jpg").rename(folder / "f.jpg" / "c.jpg")
    for index in range(5):
        (folder / f"dangling{index}.jpg").symlink_to(folder / "none")
    (folder / "link.jpg").symlink_to(folder / "a.jpg")
    os.mkfifo(folder / "a-pipe.jpg")
    paths, unreadable = find_files([folder], None)
    below = [str(path.relative_to(folder)) for path in paths]
    assert below == ["a.jpg", "below/b.JPEG", "d.jpg", "e.jpg", "f.jpg/c.jpg", "link.jpg"]
    assert unreadable[0] == (folder / "a-pipe.jpg", "not a regular file")
    status, result = run(folder)
    assert status.returncode == 0, status.stdout + status.stderr
    assert (result["files"], result["unreadable_count"]) == (6, 6)
    assert result["unreadable"][0] == {"file": "a-pipe.jpg", "reason": "not a regular file"}
    assert result["unreadable"][1]["reason"] == "No such file or directory"
    assert "unreadable: 6" in status.stdout
    lines = [line for line in status.stdout.splitlines() if ".jpg: " in line]
    assert len(lines) == len(result["unreadable"]) == 5


def test_a_file_that_vanishes_during_a_run_is_unreadable(folder):
    paths = [folder / "a.jpg", folder / "gone.jpg"]
    counts = corpus_worker.make_worker(paths, False, None)(0, 2, frozenset(), lambda number: None)
    assert counts.unreadable == [(folder / "gone.jpg", "No such file or directory")]
    assert (counts.rows["original"].files, counts.failures) == (1, [])


def test_a_folder_without_files_that_can_be_read_is_told(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe.jpg")
    assert main([f"--input_dir={tmp_path}", f"--output={tmp_path / 'result.json'}"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: there are no JPEGs")
    assert error.count("\n") == 1


def test_differences_are_failures(monkeypatch, tmp_path, folder):
    real = read_coefficients

    def read(data, *arguments):
        image = real(data, *arguments)
        image.components[0].coefficients[0, 0, 3] += 1
        return image

    monkeypatch.setattr(corpus_worker, "read_coefficients", read)
    paths = [folder / "a.jpg", folder / "c.jpg"]
    counts = corpus_worker.make_worker(paths, False, None)(0, 2, frozenset(), lambda number: None)
    assert len([f for f in counts.failures if "differs in coefficients" in f[2]]) == 2
    assert len([f for f in counts.failures if "read_batch" in f[2]]) == 2
    assert counts.rows["original"].compared == 0


def test_a_limit_spreads_over_the_files(tmp_path):
    for index in range(10):
        (tmp_path / f"{index}.jpg").touch()
    names = [path.stem for path in find_files([tmp_path], 4)[0]]
    assert names == ["0", "2", "5", "7"]
    paths, unreadable = find_files([tmp_path, tmp_path], None)
    assert (len(paths), unreadable) == (10, [])


def test_a_missing_folder_is_told(tmp_path, capsys):
    with pytest.raises(SystemExit) as info:
        main([f"--input_dir={tmp_path / 'none'}", "--output=x.json"])
    assert info.value.code == 2
    assert "must be a folder" in capsys.readouterr().err


def test_zigzag_of_jpeglib_oracle():
    from tests.trust.jpeglib_oracle import _ZIGZAG

    assert _ZIGZAG[:6] == [0, 1, 8, 16, 9, 2]
    assert np.array_equal(np.sort(_ZIGZAG), np.arange(64))
