"""Batch normalisation folded into convolutions: the same answers with fewer layers."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from jpegkeras import models
from jpegkeras.complexity import measure
from jpegkeras.models.folding import fold_batch_norm
from tests.test_models import random_inputs, randomize_weights, statistics


def norms(model):
    return [layer.name for layer in model.layers if isinstance(layer, layers.BatchNormalization)]


@pytest.mark.parametrize("name", ["resnet50_rgb", "resnet50_dct"])
def test_folded_networks_answer_the_same(name):
    model = models.build_model(name, 4, 10, 64, statistics=statistics())
    randomize_weights(model)
    before = model.get_weights()
    folded = fold_batch_norm(model)
    inputs = random_inputs(64, 4)
    expected = keras.ops.convert_to_numpy(model(inputs, training=False))
    assert expected.std() > 0.1  # else there would be little to compare
    answers = keras.ops.convert_to_numpy(folded(inputs, training=False))
    np.testing.assert_allclose(answers, expected, atol=1e-4, rtol=1e-4)
    assert norms(folded) == (["input_bn"] if name == "resnet50_dct" else [])
    assert folded.name == model.name
    assert folded.input.keys() == model.input.keys()
    assert all(map(np.array_equal, model.get_weights(), before))


def test_folding_keeps_the_multiply_adds_and_saves_parameters():
    model = models.build_model("resnet50_dct", 2, 10, 64)
    folded = fold_batch_norm(model)
    assert measure(folded).multiply_adds == measure(model).multiply_adds
    gone = [model.get_layer(name) for name in norms(model) if name != "input_bn"]
    saved = sum(layer.count_params() for layer in gone)
    assert folded.count_params() == model.count_params() - saved


def test_a_folded_network_is_saved_like_another(tmp_path):
    model = models.build_model("resnet50_dct", 2, 3, 32)
    randomize_weights(model)
    folded = fold_batch_norm(model)
    folded.save(tmp_path / "folded.keras")
    restored = keras.saving.load_model(tmp_path / "folded.keras")
    inputs = random_inputs(32, 2)
    np.testing.assert_array_equal(restored(inputs), folded(inputs))


def test_what_cannot_be_folded_stays():
    inputs = keras.Input((8, 8, 3))
    shared = layers.Conv2D(4, 1, name="shared")(inputs)
    first = layers.BatchNormalization(name="beside_another")(shared)
    active = layers.Conv2D(4, 1, activation="relu")(shared)
    second = layers.BatchNormalization(name="after_activation")(active)
    plain = layers.Conv2D(4, 3, padding="same", use_bias=False, name="plain")(second)
    third = layers.BatchNormalization(scale=False, center=False, name="folded")(plain)
    model = keras.Model(inputs, [layers.Add()([first, third]), active])
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.5, 1, w.shape) for w in model.get_weights()])
    folded = fold_batch_norm(model)
    assert {*norms(folded)} == {"beside_another", "after_activation"}
    x = rng.normal(size=(2, 8, 8, 3)).astype("float32")
    for mine, other in zip(folded(x), model(x)):
        np.testing.assert_allclose(mine, other, atol=1e-4, rtol=1e-4)


def test_keras_applications_networks_can_be_folded():
    model = keras.applications.ResNet50(weights=None, input_shape=(32, 32, 3), classes=3)
    randomize_weights(model)
    folded = fold_batch_norm(model)
    assert norms(folded) == []
    x = np.random.default_rng(0).normal(0, 50, (2, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(folded(x), model(x), atol=1e-4)
