"""The SavedModel: equal answers where neither Keras nor jpegkeras can be imported."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from jpegkeras import export as export_module
from jpegkeras.checkpoints import restore_network
from jpegkeras.dataset_info import load_dataset_info
from jpegkeras.errors import InputError
from jpegkeras.export import DESCRIPTION_FILE, export
from jpegkeras.input_pipeline import Source, evaluation_batches
from jpegkeras.record_format import serialize_record
from jpegkeras.transcoding import Transcoding, transcode
from tests.datasets import draw_jpeg, write_drawn_dataset
from tests.test_training import run

pytestmark = pytest.mark.usefixtures("tiny_network")

RECORDS = 5

_ELSEWHERE = """
import sys
for name in ("keras", "jpegkeras"):
    sys.modules[name] = None  # makes an import fail
import numpy as np
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
inputs = np.load(sys.argv[2])
features = {key: tf.constant(inputs[key]) for key in ("y", "cb", "cr", "quantization")}
records = {"examples": tf.stack(list(tf.data.TFRecordDataset(sys.argv[3])))}
outputs = {}
for signature, arguments in (("coefficients", features), ("serving_default", records)):
    for key, value in model.signatures[signature](**arguments).items():
        kind = str if value.dtype == tf.string else None
        outputs[f"{signature}/{key}"] = value.numpy().astype(kind)
np.savez(sys.argv[4], **outputs)
"""


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("drawn")
    write_drawn_dataset(directory, train=8, test=RECORDS)
    return directory


def trained(data_dir, workdir):
    return restore_network(run(data_dir, workdir, epochs=1).checkpoint)


def test_outputs_are_equal_without_keras_and_jpegkeras(data_dir, tmp_path):
    description, model = trained(data_dir, tmp_path / "run")
    directory = export(model, description, tmp_path / "saved_model")
    source = Source(data_dir, load_dataset_info(data_dir), 8, 32, "fine")
    ((features, *_),) = evaluation_batches(source, split="test", batch_size=RECORDS)
    np.savez(tmp_path / "in.npz", **{key: value.numpy() for key, value in features.items()})
    (tmp_path / "elsewhere.py").write_text(_ELSEWHERE)
    subprocess.run(
        [
            sys.executable,
            "elsewhere.py",
            directory,
            "in.npz",
            data_dir / "test-00000-of-00001.tfrecord",
            "out.npz",
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    outputs = np.load(tmp_path / "out.npz")
    logits = np.asarray(model(features, training=False))
    probabilities = tf.nn.softmax(logits).numpy()
    order = np.argsort(-probabilities, axis=1)
    names = np.array(["across", "down", "grain"])
    for signature in ("coefficients", "serving_default"):
        np.testing.assert_allclose(outputs[f"{signature}/logits"], logits, atol=1e-5)
        np.testing.assert_allclose(outputs[f"{signature}/probabilities"], probabilities, atol=1e-5)
        np.testing.assert_array_equal(outputs[f"{signature}/classes"], names[order])
        np.testing.assert_allclose(
            outputs[f"{signature}/scores"], np.take_along_axis(probabilities, order, 1), atol=1e-5
        )


def test_the_inputs_are_the_networks_own(data_dir, tmp_path):
    description, model = trained(data_dir, tmp_path / "run")
    directory = export(model, description, tmp_path / "saved_model")
    signature = tf.saved_model.load(str(directory)).signatures["coefficients"]
    specs = signature.structured_input_signature[1]
    assert {key: (spec.dtype, spec.shape.as_list()) for key, spec in specs.items()} == {
        "y": (tf.int16, [None, 4, 4, 8]),
        "cb": (tf.int16, [None, 2, 2, 8]),
        "cr": (tf.int16, [None, 2, 2, 8]),
        "quantization": (tf.uint16, [None, 3, 8]),
    }
    carried = json.loads((directory / "assets.extra" / DESCRIPTION_FILE).read_text())
    assert carried["class_names"] == ["across", "down", "grain"]


def test_an_earlier_export_is_replaced_and_nothing_else_is(data_dir, tmp_path):
    description, model = trained(data_dir, tmp_path / "run")
    directory = export(model, description, tmp_path / "saved_model")
    (directory / "stale").touch()
    export(model, description, directory)
    assert not (directory / "stale").exists()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="is no SavedModel; it is left alone"):
        export(model, description, mine)
    assert (mine / "thesis.txt").read_text() == "years of work"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "run", "saved_model"]


def test_a_failed_export_leaves_the_earlier_one(data_dir, tmp_path, monkeypatch):
    description, model = trained(data_dir, tmp_path / "run")
    directory = export(model, description, tmp_path / "saved_model")

    class FullDisk:
        def write_out(self, path, **_):
            pathlib.Path(path).mkdir()
            (pathlib.Path(path) / "saved_model.pb").touch()
            raise OSError(28, "No space left on device", path)

    monkeypatch.setattr(export_module, "_archive", lambda *_: FullDisk())
    with pytest.raises(OSError, match="No space"):
        export(model, description, directory)
    assert (directory / "saved_model.pb").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "saved_model"]


def test_a_class_name_that_is_not_utf8_comes_back(data_dir, tmp_path):
    description, model = trained(data_dir, tmp_path / "run")
    names = ("caf\udce9", "down", "grain")
    description = dataclasses.replace(description, class_names=names)
    directory = export(model, description, tmp_path / "saved_model")
    records = tf.data.TFRecordDataset(str(data_dir / "test-00000-of-00001.tfrecord"))
    signature = tf.saved_model.load(str(directory)).signatures["serving_default"]
    answer = signature(examples=tf.stack(list(records)))
    assert {*answer["classes"].numpy()[0]} == {b"caf\xe9", b"down", b"grain"}


def test_an_export_that_cannot_take_its_place_leaves_the_earlier_one(
    data_dir, tmp_path, monkeypatch
):
    description, model = trained(data_dir, tmp_path / "run")
    directory = export(model, description, tmp_path / "saved_model")
    (directory / "mark").touch()
    rename = pathlib.Path.rename

    def failing(self, target):
        if self.name.endswith(".tmp"):
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(pathlib.Path, "rename", failing)
    with pytest.raises(OSError, match="Input/output error"):
        export(model, description, directory)
    assert (directory / "mark").exists()
    assert (directory / "saved_model.pb").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "saved_model"]


def test_a_record_of_another_sampling_is_refused(data_dir, tmp_path):
    description, model = trained(data_dir, tmp_path / "run")
    directory = export(model, description, tmp_path / "saved_model")
    image = transcode(draw_jpeg(0, 1), Transcoding(subsampling="4:4:4", num_frequencies=8)).image
    record = serialize_record(image, label=0, coarse_label=0, name=b"a.jpg")
    signature = tf.saved_model.load(str(directory)).signatures["serving_default"]
    with pytest.raises(tf.errors.InvalidArgumentError, match="another sampling"):
        signature(examples=tf.constant([record]))
