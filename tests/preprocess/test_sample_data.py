from __future__ import annotations

import collections
import csv
import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from jpegkeras.errors import InputError
from jpegkeras.jpeg import read_coefficients
from preprocess.sample_data import make_jpeg, write_sample_data
from preprocess.sample_images import CLASSES
from tests.preprocess.helpers import ROOT, contents


def test_four_coarse_classes_of_three():
    counts = collections.Counter(entry.coarse for entry in CLASSES)
    assert len({entry.name for entry in CLASSES}) == 12
    assert list(counts.values()) == [3, 3, 3, 3]


def test_folders_labels_and_files(tmp_path):
    folder = write_sample_data(tmp_path / "new", images_per_class=2, seed=4)
    files = {
        f"{entry.name}/{entry.name}_{index:05d}.jpg": make_jpeg(entry, index, seed=4)
        for entry in CLASSES
        for index in range(2)
    }
    found = contents(folder)
    labels = found.pop("labels.csv").decode()
    assert found == files
    assert list(csv.DictReader(io.StringIO(labels))) == [
        {"class": e.name, "name": e.name.replace("_", " "), "coarse": e.coarse} for e in CLASSES
    ]
    # Pictures do not depend on how many there are; the seed changes them all.
    write_sample_data(tmp_path / "more", images_per_class=3, seed=4)
    assert contents(tmp_path / "more").items() >= files.items()
    write_sample_data(folder, images_per_class=2, seed=5)
    changed = contents(folder)
    assert all(changed[name] != data for name, data in files.items())


def test_every_kind_of_jpeg_occurs_and_the_first_of_each_class_is_progressive():
    kinds = collections.Counter()
    for entry in CLASSES:
        assert "progressive" in Image.open(io.BytesIO(make_jpeg(entry, 0, seed=0))).info
        for index in range(1, 40):
            data = make_jpeg(entry, index, seed=0)
            image = read_coefficients(data)
            assert "progressive" not in Image.open(io.BytesIO(data)).info
            assert all(64 <= side <= 140 for side in (image.height, image.width))
            kinds[image.subsampling] += 1
            kinds["restarts"] += b"\xff\xdd\x00\x04" in data
    total = 12 * 39
    shares = {kind: count / total for kind, count in kinds.items()}
    assert shares == pytest.approx(
        {"4:2:0": 0.5, "4:4:4": 0.25, "4:2:2": 0.2, "gray": 0.05, "restarts": 0.08}, abs=0.06
    )
    assert min(shares.values()) > 0.01


@pytest.mark.parametrize("entry", CLASSES, ids=lambda entry: entry.name)
def test_a_mask_fills_the_picture_with_both_colours(entry):
    for seed in range(5):
        mask = entry.draw(np.random.default_rng(seed), 70, 90)
        assert mask.shape == (70, 90)
        assert (mask.min(), mask.max()) == pytest.approx((0, 1), abs=0.1)
        assert 0.02 < (mask > 0.5).mean() < 0.98


def test_stripes_run_the_way_they_are_called():
    masks = {e.name: e.draw(np.random.default_rng(0), 96, 96) for e in CLASSES[:3]}
    change = {name: np.abs(np.gradient(mask)).mean(axis=(1, 2)) for name, mask in masks.items()}
    down, across = 0, 1
    assert change["horizontal_stripes"][down] > 3 * change["horizontal_stripes"][across]
    assert change["vertical_stripes"][across] > 3 * change["vertical_stripes"][down]
    assert change["diagonal_stripes"][across] == pytest.approx(
        change["diagonal_stripes"][down], rel=0.5
    )


def test_classes_show_in_gray():
    """The two colours differ in brightness, so that grayscale files can be told apart too."""
    for entry in CLASSES:
        for index in range(5):
            picture = Image.open(io.BytesIO(make_jpeg(entry, index, seed=1))).convert("L")
            assert np.ptp(np.percentile(np.asarray(picture), (2, 98))) > 35


def test_folders_with_other_content_are_refused(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(InputError, match="holiday.jpg: this is not a file of the data set"):
        write_sample_data(tmp_path, images_per_class=1)
    assert contents(tmp_path) == {"holiday.jpg": b"mine"}
    with pytest.raises(InputError, match="it is a file"):
        write_sample_data(tmp_path / "holiday.jpg")
    with pytest.raises(InputError, match="images_per_class must be at least 1; got 0"):
        write_sample_data(tmp_path, images_per_class=0)


def test_as_a_program(tmp_path):
    command = [sys.executable, "-m", "preprocess.sample_data", "--images_per_class=1"]
    done = subprocess.run(
        [*command, f"--output_dir={tmp_path}"], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "--input_dir=" in done.stdout and len(contents(tmp_path)) == 13
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "error: --output_dir is missing: the folder to write the images to.\n"
