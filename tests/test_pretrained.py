"""--init_from: which weights a network takes from an RGB ResNet-50, and what is refused."""

from __future__ import annotations

import io
import json
import pathlib
import shutil
import zipfile

import h5py
import keras
import numpy as np
import pytest
import rich.console

from jpegkeras import checkpoints, models
from jpegkeras.description import NetworkDescription
from jpegkeras.errors import InputError
from jpegkeras.pretrained import init_from

CLASSES = 3
NAMES = ("ant", "bee", "cat")
# Convolutions and normalisations of each stage of ResNet-50: 3 a block and one for the shortcut.
LAYERS = {"conv1": 2, "conv2": 20, "conv3": 26, "conv4": 38, "conv5": 20}


def randomize_weights(model, seed=0):
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(size=w.shape).astype("float32") for w in model.get_weights()])
    return model


def published(classes=CLASSES, **kwargs):
    return keras.applications.ResNet50(
        weights=None, input_shape=(32, 32, 3), classes=classes, **kwargs
    )


def weights_of(model):
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def equal(some, others):
    return len(some) == len(others) and all(map(np.array_equal, some, others))


@pytest.fixture(scope="module")
def source():
    return randomize_weights(published())


@pytest.fixture(scope="module")
def saved(source, tmp_path_factory):
    """Where the source lies in each format."""
    folder = tmp_path_factory.mktemp("saved")
    paths = {name: folder / name for name in ("model.keras", "model.h5", "model.weights.h5")}
    source.save(paths["model.keras"])
    source.save(paths["model.h5"])
    source.save_weights(paths["model.weights.h5"])
    # As keras.applications publishes its weights.
    paths["published.h5"] = folder / "published.h5"
    with h5py.File(paths["model.h5"]) as whole, h5py.File(paths["published.h5"], "w") as weights:
        group = whole["model_weights"]
        for name, value in group.attrs.items():
            weights.attrs[name] = value
        for name in group:
            group.copy(name, weights)
    return paths


@pytest.fixture(scope="module")
def dct_network():
    return models.build_model("resnet50_dct", 2, CLASSES, 32)


@pytest.fixture
def dct(dct_network):
    return randomize_weights(dct_network, seed=1)


@pytest.mark.parametrize("file", ["model.keras", "model.h5", "model.weights.h5", "published.h5"])
def test_a_dct_network_takes_stages_4_and_5_and_the_classifier(dct, saved, source, file):
    before, theirs = weights_of(dct), weights_of(source)
    report = init_from(dct, saved[file])
    after = weights_of(dct)
    expected = [name for name in theirs if name.startswith(("conv4_", "conv5_"))]
    assert len(expected) == LAYERS["conv4"] + LAYERS["conv5"]
    assert sorted(report.taken) == sorted([*expected, "predictions"])
    for name in report.taken:
        assert equal(after[name], theirs[name])
        assert not equal(after[name], before[name])
    left = dict(report.left)
    assert sorted([*report.taken, *left]) == sorted(after)
    assert len(left) == len(report.left) == 1 + LAYERS["conv2"] + LAYERS["conv3"]
    for name, reason in left.items():
        assert equal(after[name], before[name])
        assert reason == (
            "the RGB network has no such layer"
            if name == "input_bn"
            else "stages 4 and 5 alone are taken from RGB"
        )


def test_an_rgb_network_takes_everything(saved, source):
    ours = randomize_weights(models.build_model("resnet50_rgb", 64, CLASSES, 32), seed=1)
    report = init_from(ours, saved["model.keras"])
    assert len(report.taken) == sum(LAYERS.values()) + 1
    assert report.left == ()
    assert equal(ours.get_weights(), source.get_weights())


def test_our_own_rgb_network_is_a_source(dct, tmp_path):
    rgb = randomize_weights(models.build_model("resnet50_rgb", 4, CLASSES, 32), seed=2)
    rgb.save(tmp_path / "rgb.keras")
    rgb.save_weights(tmp_path / "rgb.weights.h5")
    theirs = weights_of(rgb)
    for file in ("rgb.keras", "rgb.weights.h5"):
        randomize_weights(dct, seed=1)
        report = init_from(dct, tmp_path / file)
        assert len(report.taken) == LAYERS["conv4"] + LAYERS["conv5"] + 1
        assert all(equal(weights_of(dct)[name], theirs[name]) for name in report.taken)


def test_the_classifier_stays_where_the_classes_are_others(saved):
    twelve = randomize_weights(models.build_model("resnet50_dct", 2, 12, 32), seed=1)
    before = twelve.get_layer("predictions").get_weights()
    report = init_from(twelve, saved["model.weights.h5"])
    assert dict(report.left)["predictions"] == "12 classes here, 3 in the source"
    assert equal(twelve.get_layer("predictions").get_weights(), before)


@pytest.mark.parametrize("file", ["trunk.keras", "trunk.weights.h5"])
def test_a_source_without_classifier(dct, tmp_path, file):
    trunk = randomize_weights(published(include_top=False, pooling="avg"), seed=3)
    (trunk.save if file.endswith(".keras") else trunk.save_weights)(tmp_path / file)
    report = init_from(dct, tmp_path / file)
    assert dict(report.left)["predictions"] == "the source has no classifier"
    assert len(report.taken) == LAYERS["conv4"] + LAYERS["conv5"]
    assert equal(weights_of(dct)["conv5_block3_3_bn"], weights_of(trunk)["conv5_block3_3_bn"])


def test_a_source_inside_another_model(dct, tmp_path):
    trunk = published(include_top=False, pooling="avg")
    inputs = keras.Input((32, 32, 3))
    head = keras.layers.Dense(CLASSES, name="head")
    outer = randomize_weights(keras.Model(inputs, head(trunk(inputs))), seed=4)
    outer.save(tmp_path / "outer.keras")
    report = init_from(dct, tmp_path / "outer.keras")
    assert "predictions" in report.taken
    assert equal(weights_of(dct)["predictions"], head.get_weights())
    assert equal(weights_of(dct)["conv4_block1_1_conv"], weights_of(trunk)["conv4_block1_1_conv"])


def write_checkpoint(folder, model_name, names=NAMES, **options):
    """A checkpoint as a training leaves it; returns its network."""
    options = {"num_frequencies": 4, **options}
    values = dict.fromkeys(("mean", "std"), [1.0] * 4)
    description = NetworkDescription(
        model=model_name,
        image_size=32,
        sampling="4:2:0",
        task="fine",
        class_names=names,
        statistics=dict.fromkeys(("y", "cb", "cr"), values),
        batch_norm_momentum=0.9,
        transcoding={},
        **options,
    )
    network = randomize_weights(description.build(), seed=5)
    store = checkpoints.CheckpointStore(
        pathlib.Path(folder), description, network, keras.optimizers.SGD(), {}, keep=1
    )
    return network, store.save_best(7)


def test_a_checkpoint_and_its_class_names(dct, tmp_path):
    rgb, prefix = write_checkpoint(tmp_path / "run", "resnet50_rgb")
    theirs = weights_of(rgb)
    report = init_from(dct, tmp_path / "run", class_names=NAMES)
    assert len(report.taken) == LAYERS["conv4"] + LAYERS["conv5"] + 1
    assert all(equal(weights_of(dct)[name], theirs[name]) for name in report.taken)
    report = init_from(dct, f"{prefix}.index", class_names=["cat", "bee", "ant"])
    assert dict(report.left)["predictions"] == "the source's classes have other names"


def test_a_checkpoint_of_a_dct_network_is_refused(dct, tmp_path):
    _, prefix = write_checkpoint(tmp_path, "resnet50_dct")
    before = dct.get_weights()
    with pytest.raises(
        InputError, match="no ResNet-50 on RGB pixels: there is no layer conv1_conv"
    ):
        init_from(dct, prefix)
    assert equal(dct.get_weights(), before)


def small_network():
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(4, 3, name="conv1_conv")(inputs)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


@pytest.mark.parametrize(
    ("build", "problem"),
    [
        (
            lambda: keras.applications.ResNet101(weights=None, include_top=False),
            r"layer conv4_block\d+_1_bn is one too many",
        ),
        (
            lambda: keras.applications.ResNet50V2(weights=None, include_top=False),
            "there is no layer conv1_bn",
        ),
        (small_network, r"conv1_conv has weights \[\(3, 3, 3, 4\), \(4,\)\], not"),
    ],
    ids=["deeper", "version 2", "narrower"],
)
def test_other_networks_are_refused(dct, tmp_path, build, problem):
    build().save(tmp_path / "other.keras")
    before = dct.get_weights()
    with pytest.raises(InputError, match=problem) as raised:
        init_from(dct, tmp_path / "other.keras")
    assert "no ResNet-50 on RGB pixels" in str(raised.value)
    assert equal(dct.get_weights(), before)


def test_weights_of_another_network_are_refused(dct, tmp_path):
    small_network().save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(InputError, match="cannot be read as a ResNet-50 of Keras") as raised:
        init_from(dct, tmp_path / "other.weights.h5")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("file", ["model.keras", "model.h5", "model.weights.h5", "published.h5"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.6, 0.999])
def test_truncated_files_are_refused_in_one_line(dct, saved, tmp_path, file, share):
    data = saved[file].read_bytes()
    path = tmp_path / file
    path.write_bytes(data[: int(len(data) * share)])
    before = dct.get_weights()
    with pytest.raises(InputError, match="cannot be read as a ResNet-50 of Keras") as raised:
        init_from(dct, path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)
    assert equal(dct.get_weights(), before)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("group", ["layers/conv2d_40", "layers/batch_normalization_3/vars/2"])
def test_a_file_without_some_weights_is_refused(dct, saved, tmp_path, group):
    path = tmp_path / "part.weights.h5"
    shutil.copy(saved["model.weights.h5"], path)
    with h5py.File(path, "a") as file:
        del file[group]
    with pytest.raises(InputError, match="1 objects could not be loaded"):
        init_from(dct, path)


def test_a_changed_byte_in_an_archive_is_refused(dct, saved, tmp_path):
    data = bytearray(saved["model.keras"].read_bytes())
    data[len(data) // 2] ^= 1
    path = tmp_path / "model.keras"
    path.write_bytes(data)
    with pytest.raises(InputError, match="CRC"):
        init_from(dct, path)


def test_weights_that_are_not_finite_are_refused(dct, tmp_path):
    source = randomize_weights(published(), seed=6)
    kernel, *others = source.get_layer("conv5_block1_1_conv").get_weights()
    kernel[0, 0, 0, 0] = np.nan
    source.get_layer("conv5_block1_1_conv").set_weights([kernel, *others])
    source.save_weights(tmp_path / "nan.weights.h5")
    with pytest.raises(InputError, match="conv5_block1_1_conv are not finite"):
        init_from(dct, tmp_path / "nan.weights.h5")


def test_files_that_are_not_there_or_not_of_keras(dct, saved, tmp_path):
    with pytest.raises(InputError, match=r"no such file\. --init_from takes a \.keras"):
        init_from(dct, tmp_path / "absent.keras")
    shutil.copy(saved["model.keras"], tmp_path / "model.zip")
    with pytest.raises(InputError, match=r"end in \.keras"):
        init_from(dct, tmp_path / "model.zip")
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as file:
        file.writestr("config.json", "{}")
    with pytest.raises(InputError, match="cannot be read"):
        init_from(dct, tmp_path / "other.keras")
    with pytest.raises(InputError, match="no checkpoint here"):
        init_from(dct, tmp_path)


def test_a_network_without_these_stages_is_refused(saved):
    with pytest.raises(InputError, match="no layer of narrow can be started"):
        inputs = keras.Input((4,))
        narrow = keras.Model(inputs, keras.layers.Dense(5)(inputs), name="narrow")
        init_from(narrow, saved["model.weights.h5"])


# --- ImageNet's weights, which the tests do not download -----------------------------------------


@pytest.fixture
def downloads(monkeypatch, tmp_path, source):
    """Keras as if the weights (of three classes) and their names could be downloaded."""
    index = tmp_path / "index.json"
    index.write_text(json.dumps({str(i): [f"n0{i}", name] for i, name in enumerate(NAMES)}))
    monkeypatch.setattr(keras.applications, "ResNet50", lambda weights: source)
    monkeypatch.setattr(keras.utils, "get_file", lambda *_, **__: str(index))


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (None, True),
        (NAMES, True),
        (("n00", "n01", "n02"), True),
        (("n00", "n02", "n01"), False),
        (("dog", "emu", "fox"), False),
    ],
    ids=str,
)
def test_imagenets_classifier_is_taken_for_its_classes(dct, downloads, names, taken):
    report = init_from(dct, "imagenet", class_names=names)
    assert ("predictions" in report.taken) == taken
    assert "conv4_block1_1_conv" in report.taken


def test_imagenet_without_the_names_of_its_classes(dct, downloads, monkeypatch):
    monkeypatch.setattr(keras.utils, "get_file", fail_to_download)
    report = init_from(dct, "imagenet", class_names=NAMES)
    assert "cannot be downloaded (URL fetch failure on" in dict(report.left)["predictions"]
    # Nothing to compare: they are not asked for.
    assert "predictions" in init_from(dct, "imagenet").taken


def fail_to_download(*_, **__):
    raise Exception("URL fetch failure on https://x: None -- no network\nmore")


def test_imagenet_without_a_network_connection(dct, monkeypatch):
    monkeypatch.setattr(keras.applications, "ResNet50", fail_to_download)
    with pytest.raises(InputError, match="cannot be downloaded.*give the .h5 file") as raised:
        init_from(dct, "imagenet")
    assert "\n" not in str(raised.value)


def test_the_report_as_a_table(dct, saved):
    report = init_from(dct, saved["model.weights.h5"])
    text = io.StringIO()
    report.print(rich.console.Console(file=text, width=100))
    assert text.getvalue().startswith("Weights from")
    rows = [line.replace("│", " ").split() for line in text.getvalue().splitlines()]
    assert ["conv4", "38", "taken"] in rows
    assert ["conv5", "20", "taken"] in rows
    assert ["predictions", "1", "taken"] in rows
    assert ["conv3", "26", "left:", "stages", "4", "and", "5"] in [row[:7] for row in rows]
    assert ["input_bn", "1", "left:", "the", "RGB", "network", "has"] in [row[:7] for row in rows]
