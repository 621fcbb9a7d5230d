"""Mutual information of bands with the class: against exact sums, on data whose answer is known."""

from __future__ import annotations

import collections
import json
import math
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from jpegkeras.band_information import (
    BandInformation,
    load_information,
    measure_information,
    mutual_information,
    summarize,
)
from jpegkeras.band_maps import draw_maps
from jpegkeras.bands import Bands
from jpegkeras.dataset_info import load_dataset_info
from jpegkeras.errors import InputError
from jpegkeras.jpeg import Component, JpegCoefficients
from tests.datasets import write_dataset, write_drawn_dataset

ROOT = pathlib.Path(__file__).parents[1]
PNG = b"\x89PNG\r\n\x1a\n"


def plain_information(cells, labels):
    """Σ p(c, l) log₂ p(c, l) / (p(c) p(l)), and Miller's correction, in bits."""
    n = len(cells)
    joint = collections.Counter(zip(cells, labels))
    of_cells, of_labels = collections.Counter(cells), collections.Counter(labels)
    total = sum(
        count / n * math.log2(count * n / (of_cells[cell] * of_labels[label]))
        for (cell, label), count in joint.items()
    )
    spare = (len(of_cells) - 1) + (len(of_labels) - 1) - (len(joint) - 1)
    return total, spare / (2 * n * math.log(2))


def test_a_feature_that_is_the_label_tells_all_of_it():
    labels = np.tile(np.arange(4), 100)
    # 2 bits, and of 3 + 3 − 3 spare cells half a nat each over 400.
    expected = 2 + 3 / 800 / math.log(2)
    assert mutual_information(labels[:, None] * 7.0 - 3, labels) == pytest.approx(expected)


def test_a_feature_that_never_changes_tells_nothing():
    labels = np.tile(np.arange(4), 100)
    assert mutual_information(np.full((400, 1), 3.5), labels) == pytest.approx(0, abs=1e-12)


def test_a_noisy_bit_tells_what_the_channel_lets_through():
    # A binary symmetric channel that is wrong in exactly 11 % of the cases: 1 − H(0.11).
    labels = np.repeat([0, 1], 10_000)
    values = labels.copy()
    values[:1100], values[-1100:] = 1, 0
    known = 1 + 0.11 * math.log2(0.11) + 0.89 * math.log2(0.89)
    found = mutual_information(values[:, None], labels)[0]
    assert found == pytest.approx(known - 1 / 40_000 / math.log(2), abs=1e-9)


def test_quantiles_make_bins_of_equal_numbers():
    # 320 different values, 16 bins of 20 in order; the label is the half of its bin.
    rng = np.random.default_rng(0)
    values = rng.permutation(320)
    labels = values % 20 // 10
    cells = values // 20
    total, correction = plain_information(cells.tolist(), labels.tolist())
    assert total == pytest.approx(0, abs=1e-12)
    found = mutual_information(np.exp(values / 50.0)[:, None], labels)
    assert found == pytest.approx(total + correction)
    labels = cells % 2
    total, correction = plain_information(cells.tolist(), labels.tolist())
    assert total == pytest.approx(1)
    assert mutual_information(values[:, None], labels) == pytest.approx(total + correction)


def test_equal_values_share_a_bin():
    rng = np.random.default_rng(1)
    values = rng.choice([0.0, 0.0, 0.0, 1.0, 2.0], 500)
    labels = rng.integers(0, 5, 500)
    expected = sum(plain_information(values.tolist(), labels.tolist()))
    assert mutual_information(values[:, None], labels) == pytest.approx(expected)


def test_without_relation_there_is_nothing_on_average():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 10, 2000)
    found = mutual_information(rng.normal(size=(2000, 60)), labels)
    # Uncorrected it would be (16 − 1) (10 − 1) / 2N nats: 0.049 bits.
    assert np.mean(found) == pytest.approx(0, abs=0.002)
    assert np.abs(found).max() < 0.03


def test_as_many_labels_as_rows_are_needed():
    with pytest.raises(ValueError, match="a label a row; got 3 and 2"):
        mutual_information(np.zeros((3, 1)), np.array([0, 1]))
    with pytest.raises(ValueError, match="got 0 and 0"):
        mutual_information(np.zeros((0, 1)), np.array([], int))


def image(rng, bands=None, n=4):
    """An image of 32×32 pixels with random coefficients; `bands`: of luma, by frequency."""
    components = []
    for key, side in (("y", 4), ("cb", 2), ("cr", 2)):
        blocks = rng.integers(-30, 31, (side, side, n)).astype(np.int16)
        for frequency, value in (bands or {}).items() if key == "y" else ():
            blocks[..., frequency] = value
        table = rng.integers(1, 9, n).astype(np.uint16)
        components.append(Component(blocks, table, (2, 2) if key == "y" else (1, 1)))
    return JpegCoefficients(32, 32, tuple(components))


def test_an_image_is_summed_up_band_by_band():
    picture = image(np.random.default_rng(0))
    found = summarize(picture)
    expected = []
    for component in picture.components:
        for frequency in range(4):
            values = [
                float(block[frequency]) * float(component.quantization[frequency])
                for row in component.coefficients
                for block in row
            ]
            logs = [math.log(1 + abs(value)) for value in values]
            expected.append(sum(logs if frequency else values) / len(values))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """240 images of three classes, of which luma's second frequency tells the class, no other."""
    directory = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(3)
    # Tables are drawn anew, so magnitudes of the classes are far apart.
    items = [(image(rng, {1: 30 ** (i % 3)}), i % 3) for i in range(240)]
    write_dataset(directory, {"train": items, "test": items[:6]}, num_frequencies=4)
    return directory


def test_the_band_that_tells_the_class_is_found(data_dir):
    found = measure_information(data_dir, load_dataset_info(data_dir))
    assert found.records == 240
    assert found.class_bits == pytest.approx(math.log2(3))
    bits = np.array([found.bits[key] for key in ("y", "cb", "cr")])
    assert bits[0, 1] == pytest.approx(math.log2(3), abs=0.1)  # two bins are of two classes
    bits[0, 1] = 0
    assert np.abs(bits).max() < 0.15


@pytest.mark.parametrize(("limit", "records"), [(240, 240), (0, 240), (100, 80), (239, 120)])
def test_of_many_records_every_kth_is_taken(data_dir, limit, records):
    told = []
    found = measure_information(data_dir, load_dataset_info(data_dir), limit, told.append)
    assert found.records == records <= (limit or 240)
    assert told == list(range(1, records + 1))


def test_what_was_measured_is_kept_with_the_data_set(tmp_path):
    info = write_drawn_dataset(tmp_path, train=6, test=3, compression="gzip")
    found = load_information(tmp_path, info)
    file = tmp_path / "band_information.json"
    assert BandInformation(**json.loads(file.read_text())) == found
    # The file is believed while the shards are the same and as many records are wanted.
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "class_bits": 99.0}))
    assert load_information(tmp_path, info).class_bits == 99.0
    assert load_information(tmp_path, info, limit=3).records == 3
    file.write_text(json.dumps({**content, "class_bits": 99.0, "training_data": "another"}))
    assert load_information(tmp_path, info) == found
    for broken in ("", "[]", '{"bits": {}}'):
        file.write_text(broken)
        assert load_information(tmp_path, info) == found


def test_a_folder_that_cannot_be_written_to_is_no_obstacle(tmp_path, monkeypatch):
    info = write_drawn_dataset(tmp_path, train=6, test=3)

    def failing(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("jpegkeras.band_information.measurement.write_json", failing)
    assert load_information(tmp_path, info).records == 6
    assert not (tmp_path / "band_information.json").exists()


def test_a_damaged_shard_is_named(tmp_path):
    info = write_drawn_dataset(tmp_path, train=6, test=3)
    (shard,) = tmp_path.glob("train*")
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(InputError, match=f"{shard.name}: record 3.*The file is damaged"):
        measure_information(tmp_path, info)


def program(*arguments):
    command = [sys.executable, "-m", "jpegkeras.band_information", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_the_program_prints_a_table_and_writes_what_is_asked_for(data_dir, tmp_path):
    result = program(f"--data_dir={data_dir}", f"--output={tmp_path / 'found.json'}")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert "bits of 1.58 about the class, 240 records" in result.stdout
    found = json.loads((tmp_path / "found.json").read_text())
    assert f"{found['bits']['y'][1]:.3f}" in result.stdout
    result = program(f"--data_dir={data_dir}", f"--output={tmp_path / 'found.png'}")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "found.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data_dir=nowhere"], "nowhere/dataset.json: no data set here"),
        (["--data_dir=nowhere", "--output=a.txt"], "must be the name of a *.json or *.png"),
        (["--data_dir=nowhere", "more"], "unexpected arguments: more"),
        ([], "--data_dir"),
    ],
)
def test_each_mistake_gets_one_line(arguments, words):
    result = program(*arguments)
    assert result.returncode in (1, 2)
    assert result.stderr.startswith("error: ")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


def test_maps_of_fewer_frequencies_and_of_nothing_at_all_are_drawn(tmp_path):
    for number, values in enumerate(([0.5, 0.25, -0.01], [0.0] * 64, [1.0] * 64)):
        path = tmp_path / f"{number}.png"
        chosen = Bands((0, 1), (0,), (0, 2)) if number == 0 else None
        draw_maps(dict.fromkeys(("y", "cb", "cr"), values), path, title="a $ b", chosen=chosen)
        assert path.read_bytes().startswith(PNG)
