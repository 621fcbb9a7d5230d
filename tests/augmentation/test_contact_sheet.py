"""The contact sheet and the figures beside it, from the command line on."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from jpegkeras.augmentation import POLICIES, relations
from jpegkeras.augmentation.columns import make_columns
from jpegkeras.augmentation.contact_sheet import draw_sheet
from jpegkeras.augmentation.examples import load_examples
from jpegkeras.errors import InputError
from jpegkeras.jpeg import read_coefficients
from tests import datasets

ROOT = pathlib.Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results" / "augmentation"


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Images of 48 × 64 pixels with all 64 frequencies."""
    directory = tmp_path_factory.mktemp("records")
    datasets.write_drawn_dataset(directory, num_frequencies=64, train=9)
    return directory


def run(*arguments):
    command = [sys.executable, "-m", "jpegkeras.augmentation", *arguments]
    # Set by what loaded TensorFlow here, it would tell the command to show TensorFlow's messages.
    kept = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=kept)


def test_examples_are_the_records(records):
    examples = load_examples(records, num_images=9)
    assert examples.image_size == 48
    assert set(examples.places) == {(1, 2)}
    drawn = [read_coefficients(datasets.draw_jpeg(i % 3, i)) for i in range(9)]
    expected = sorted(image.components[1].coefficients[:3, :3].tobytes() for image in drawn)
    cropped = [image["cb"][:3, :3].tobytes() for image in examples.images]
    assert sorted(cropped) == expected
    again = load_examples(records, num_images=9, seed=1)
    assert [image["cb"][:3, :3].tobytes() for image in again.images] != cropped


def test_examples_are_dequantised_crops(records):
    examples = load_examples(records, num_images=2, num_frequencies=10)
    tables = examples.images[1]["quantization"].astype(int)
    for draw, left in ((0.1, 0), (0.6, 1), (0.999, 1)):
        bands = examples.random_bands(np.array([[0.5, draw]] * 2))
        expected = examples.images[1]["y"][:6, 2 * left : 2 * left + 6] * tables[0]
        np.testing.assert_array_equal(bands["y"][1], expected)
        expected = examples.images[1]["cr"][:3, left : left + 3] * tables[2]
        np.testing.assert_array_equal(bands["cr"][1], expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_size": 40}, "multiple of 16 pixels .* at most 48.*got 40"),
        ({"image_size": 64}, "at most 48.*got 64"),
        ({"num_images": 10}, "has 9 images; got --num_images=10"),
    ],
)
def test_what_the_data_set_has_not_is_refused(records, settings, message):
    with pytest.raises(InputError, match=message):
        load_examples(records, **{"num_images": 2, **settings})


def test_columns_show_what_their_titles_say(records):
    columns = {
        column.title: column.pictures.astype(int)
        for column in make_columns(load_examples(records, num_images=4))
    }
    originals = columns["original"]
    assert {pictures.shape for pictures in columns.values()} == {(4, 48, 48, 3)}
    assert np.abs(columns["flip horizontal"] - originals[:, :, ::-1]).mean() < 0.5
    assert np.abs(columns["rotate 90"] - np.rot90(originals, -1, (1, 2))).mean() < 0.5
    means = columns["brightness"].mean(axis=(1, 2, 3)) - originals.mean(axis=(1, 2, 3))
    assert means[0] < -20 < 20 < means[3]  # from one end to the other
    assert np.ptp(columns["chroma drop"], axis=-1).max() == 0
    assert ((columns["cutout"] == 128).all(axis=-1).sum(axis=(1, 2)) >= 200).all()
    assert (columns["zoom out"] == 128).mean() > 0.5
    for title, pictures in columns.items():
        if title in ("hue", "strong", "transpose", "zoom in", "mixup"):
            changed = (pictures != originals).any(axis=(1, 2, 3))
            assert changed.sum() >= 2, title


def test_few_bands_have_no_columns_that_exchange_rows_and_columns(records):
    columns = make_columns(load_examples(records, num_images=2, num_frequencies=16))
    titles = [column.title for column in columns]
    assert {"rotate 180", "flip vertical", "strong"} <= {*titles}
    assert not {"rotate 90", "rotate 270", "transpose", "transverse"} & {*titles}


def test_the_sheet_has_every_picture(records):
    columns = make_columns(load_examples(records, num_images=2))
    sheet = np.asarray(draw_sheet(columns, "title", "subtitle"))
    found = set()
    for picture in (picture for column in columns for picture in column.pictures):
        enlarged = picture.repeat(2, axis=0).repeat(2, axis=1)
        corners = np.argwhere((sheet == enlarged[0, 0]).all(axis=-1))
        found |= {
            (top, left)
            for top, left in corners.tolist()
            if np.array_equal(sheet[top, left : left + 96], enlarged[0])
            and np.array_equal(sheet[top : top + 96, left : left + 96], enlarged)
        }
    # In two panels of two rows; places differ even where pictures are equal.
    assert len(found) == 2 * len(columns)
    assert len({top for top, _ in found}) == 4
    assert len({left for _, left in found}) == -(-len(columns) // 2)


def test_the_command_writes_the_sheet_and_the_figures(records, tmp_path):
    done = run(
        f"--data_dir={records}",
        f"--output={tmp_path / 'sheet.png'}",
        f"--json={tmp_path / 'figures.json'}",
        "--num_images=3",
        "--num_frequencies=16",
    )
    assert (done.returncode, done.stderr) == (0, "")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.format == "PNG"
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["images"] == 3
    assert (figures["num_frequencies"], figures["stored_frequencies"]) == (16, 64)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures.json", "sheet.png"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--data_dir=nowhere", "--output={}/a.png"], "nowhere/dataset.json: no data set here"),
        (["--data_dir={records}", "--output={}/a.txt"], "must be the name of a PNG file"),
        (["--data_dir={records}", "--output={}/no/a.png"], "there is no folder"),
        (["--data_dir={records}", "--output={}/a.png", "--image_size=56"], "got 56"),
        (["--data_dir={records}", "--output={}/a.png", "more"], "unexpected arguments: more"),
    ],
)
def test_bad_input_is_one_line(records, tmp_path, flags, message):
    done = run(*(flag.format(tmp_path, records=records) for flag in flags))
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_figures_are_exact_where_nothing_is_rounded(records):
    full = load_examples(records, num_images=3)
    figures = relations.measure(full, full)["transforms"]
    assert {name for name, figure in figures.items() if figure["samples"] > 0.001} == set()
    assert {figure["missing_bands"] for figure in figures.values()} == {0}
    few = load_examples(records, num_images=3, num_frequencies=16)
    figures = relations.measure(few, full)["transforms"]
    for name in ("samples", "missing_bands"):
        assert {key for key, figure in figures.items() if figure[name] > 0.001} == (
            {"zoom_in", "zoom_out"}
        )


@pytest.mark.parametrize("name", ["n64", "n16"])
def test_the_docs_have_the_figures(name):
    figures = json.loads((RESULTS / f"{name}.json").read_text())
    assert figures["transforms"].keys() == {relation.name for relation in relations.RELATIONS}
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in (ROOT / "docs" / "augmentation.md").read_text("utf-8").splitlines()
        if line.startswith("| ")
    ]
    shown = {row[0]: row[1:] for row in rows if len(row) == 7}
    first = {"n64": 0, "n16": 3}[name]
    for key, figure in figures["transforms"].items():
        expected = [f"{figure['samples']:g}", f"{figure['rgb_mean']:g}", f"{figure['rgb_largest']}"]
        assert shown[key.replace("_", " ")][first : first + 3] == expected


def test_the_docs_have_the_cost_and_the_strengths():
    cost = json.loads((RESULTS / "cost.json").read_text())
    strong = {**vars(POLICIES["strong"]), "orientations": list(POLICIES["strong"].orientations)}
    assert cost["strong"] == strong
    text = (ROOT / "docs" / "augmentation.md").read_text("utf-8")
    assert f"{cost['percent_of_step']['strong']:g} %" in text
