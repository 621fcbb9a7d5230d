"""Prediction from files: the numbers a network sees are those of the data set's records."""

from __future__ import annotations

import dataclasses
import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from jpegkeras import commands
from jpegkeras.checkpoints import restore_network
from jpegkeras.dataset_info import load_dataset_info
from jpegkeras.errors import InputError
from jpegkeras.input_pipeline import parse_central
from jpegkeras.prediction import load_features, predict_file
from jpegkeras.record_format import serialize_record
from jpegkeras.transcoding import Transcoding, transcode
from tests.datasets import draw_jpeg, write_drawn_dataset
from tests.test_training import run

pytestmark = pytest.mark.usefixtures("tiny_network")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("drawn")
    write_drawn_dataset(directory, train=8, test=2)
    return directory


@pytest.fixture
def network(data_dir, tmp_path):
    return restore_network(run(data_dir, tmp_path / "run", epochs=1).checkpoint)


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
def test_a_file_gives_the_features_of_its_record(network, data_dir, tmp_path, subsampling):
    data = draw_jpeg(1, 77, height=50, width=71, subsampling=subsampling)
    (tmp_path / "a.jpg").write_bytes(data)
    description, _ = network
    features, route = load_features(tmp_path / "a.jpg", description)
    settings = Transcoding(**load_dataset_info(data_dir).transcoding)
    record = serialize_record(
        transcode(data, settings).image, label=0, coarse_label=0, name=b"a.jpg"
    )
    expected = parse_central(tf.constant(record), 8, 32, "4:2:0")
    assert route == ("untouched" if subsampling == "4:2:0" else "converted")
    assert sorted(features) == sorted(expected)
    for key, value in expected.items():
        assert features[key].dtype == value.numpy().dtype
        np.testing.assert_array_equal(features[key], value)


def test_a_prediction_is_the_networks_softmax(network, tmp_path):
    description, model = network
    (tmp_path / "a.jpg").write_bytes(draw_jpeg(0, 5))
    features, _ = load_features(tmp_path / "a.jpg", description)
    logits = np.asarray(model({key: value[None] for key, value in features.items()}))[0]
    prediction = predict_file(tmp_path / "a.jpg", model, description)
    order = np.argsort(-logits)
    assert prediction.classes == tuple(description.class_names[i] for i in order)
    softmax = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    np.testing.assert_allclose(prediction.probabilities, softmax[order], rtol=1e-4)


def test_an_image_smaller_than_the_crop_is_enlarged(network, tmp_path):
    description, _ = network
    (tmp_path / "small.jpg").write_bytes(draw_jpeg(0, 5, height=20, width=30))
    features, route = load_features(tmp_path / "small.jpg", description)
    assert features["y"].shape == (4, 4, 8)
    assert route == "re-encoded"


def test_an_image_too_small_to_be_downscaled_is_enlarged(network, tmp_path):
    description, _ = network
    transcoding = {**description.transcoding, "downscale": 2}
    description = dataclasses.replace(description, transcoding=transcoding)
    (tmp_path / "large.jpg").write_bytes(draw_jpeg(0, 5, height=64, width=80))
    (tmp_path / "small.jpg").write_bytes(draw_jpeg(0, 5, height=40, width=50))
    features, route = load_features(tmp_path / "large.jpg", description)
    assert (features["y"].shape, route) == ((4, 4, 8), "converted")
    features, route = load_features(tmp_path / "small.jpg", description)
    assert (features["y"].shape, route) == ((4, 4, 8), "re-encoded")


def test_a_network_from_before_a_setting_existed(network, tmp_path):
    description, _ = network
    (tmp_path / "a.jpg").write_bytes(draw_jpeg(0, 5))
    expected, _ = load_features(tmp_path / "a.jpg", description)
    old = {k: v for k, v in description.transcoding.items() if k in ("quality", "num_frequencies")}
    features, _ = load_features(
        tmp_path / "a.jpg", dataclasses.replace(description, transcoding=old)
    )
    np.testing.assert_array_equal(features["y"], expected["y"])


def test_a_png_is_taken_too(network, tmp_path):
    description, _ = network
    image = Image.open(io.BytesIO(draw_jpeg(0, 5)))
    image.save(tmp_path / "a.png")
    features, route = load_features(tmp_path / "a.png", description)
    assert features["cb"].shape == (2, 2, 8)
    assert route == "re-encoded"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file"),
        (b"hello, world", "it is no image"),
        (draw_jpeg(0, 1)[:-300], "a.jpg"),
    ],
)
def test_a_file_that_nothing_can_read_is_an_error_that_names_it(network, tmp_path, content, words):
    if content is not None:
        (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        load_features(tmp_path / "a.jpg", network[0])
    assert str(tmp_path / "a.jpg") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_that_look_like_markup_are_printed_as_they_are(network, tmp_path, capsys):
    path = tmp_path / "[red]a[bold].jpg"
    path.write_bytes(draw_jpeg(0, 5))
    commands.run_predict(tmp_path / "run", [str(path)])
    assert "[red]a[bold].jpg (untouched)" in capsys.readouterr().out


def test_one_bad_file_does_not_stop_the_others(network, tmp_path, capsys):
    for name, label in (("a.jpg", 0), ("b.jpg", 2)):
        (tmp_path / name).write_bytes(draw_jpeg(label, 5))
    images = [str(tmp_path / name) for name in ("a.jpg", "nowhere.jpg", "b.jpg")]
    output = tmp_path / "predictions.json"
    failures = commands.run_predict(tmp_path / "run", images, output=str(output))
    shown = capsys.readouterr()
    assert failures == 1
    assert shown.err.count("\n") == 1
    assert "nowhere.jpg: cannot be read" in shown.err
    assert "a.jpg" in shown.out
    assert "b.jpg" in shown.out
    assert [row["path"] for row in json.loads(output.read_text())] == [images[0], images[2]]
