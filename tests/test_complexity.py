"""Multiply–adds and parameters: against the paper, TensorFlow's profiler and counts by hand."""

from __future__ import annotations

import keras
import pytest
import tensorflow as tf
from keras import layers

from jpegkeras import models
from jpegkeras.complexity import measure
from tests.test_models import each_network, full_size


@each_network
def test_multiply_adds_are_the_papers(network):
    giga_multiply_adds = measure(full_size(network)).multiply_adds / 1e9
    assert giga_multiply_adds == pytest.approx(network.giga_multiply_adds, rel=0.005)


@each_network
def test_multiply_adds_agree_with_tensorflows_profiler(network):
    model = full_size(network)
    specs = {key: tf.TensorSpec((1, *x.shape[1:]), x.dtype) for key, x in model.input.items()}
    graph = tf.function(lambda x: model(x, training=False)).get_concrete_function(specs).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    operations = tf.compat.v1.profiler.profile(graph, options=options).total_float_ops
    assert measure(model).multiply_adds == pytest.approx(operations / 2, rel=0.02)


@each_network
def test_parameters(network):
    model = full_size(network)
    complexity = measure(model)
    assert complexity.parameters == network.parameters
    moving = sum(2 * x.gamma.shape[0] for x in model.layers if hasattr(x, "moving_mean"))
    assert complexity.trainable_parameters == network.parameters - moving


@each_network
def test_rows_sum_to_the_totals(network):
    model = full_size(network)
    complexity = measure(model)
    assert sum(row.multiply_adds for row in complexity.per_layer) == complexity.multiply_adds
    assert sum(row.parameters for row in complexity.per_layer) == complexity.parameters
    assert {row.name for row in complexity.per_layer} == {layer.name for layer in model.layers}
    rows = {row.name: row for row in complexity.per_layer}
    assert rows["predictions"].type == "Dense"
    assert rows["predictions"].output_shape == (None, 1000)
    assert rows["predictions"].multiply_adds == 2048 * 1000
    assert rows["predictions"].parameters == 2049 * 1000


def bottleneck(pixels, channels, width, kernel, projection):
    """Multiply–adds of a block by hand; `pixels`: of its output."""
    count = channels * width + kernel**2 * width**2 + width * 4 * width
    return pixels * (count + projection * channels * 4 * width)


@pytest.mark.parametrize("n", [1, 2, 16])
def test_multiply_adds_of_fewer_bands_by_hand(n):
    width = 4 * n
    expected = bottleneck(28**2, 3 * n, width, 1, True)
    expected += bottleneck(28**2, 16 * n, width, 2, False)
    expected += bottleneck(28**2, 16 * n, width, 3, False)
    channels = 16 * n
    for pixels, width, blocks in ((28**2, 128, 4), (14**2, 256, 6), (7**2, 512, 3)):
        for i in range(blocks):
            expected += bottleneck(pixels, channels, width, 3, i == 0)
            channels = 4 * width
    expected += 2048 * 211
    assert measure(models.build_model("resnet50_dct", n, 211)).multiply_adds == expected


def cost_of(layer, *shape):
    inputs = keras.Input(shape)
    return measure(keras.Model(inputs, layer(inputs))).multiply_adds


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (layers.Conv2D(8, 3, padding="same"), (10, 12, 4), 10 * 12 * 3 * 3 * 4 * 8),
        (layers.Conv2D(8, (1, 5), strides=2), (10, 12, 4), 5 * 4 * 5 * 4 * 8),
        (layers.Conv2D(8, 3, groups=2), (10, 12, 4), 8 * 10 * 9 * 2 * 8),
        (layers.Conv2D(8, 3, dilation_rate=2), (10, 12, 4), 6 * 8 * 9 * 4 * 8),
        (layers.DepthwiseConv2D(3, depth_multiplier=2), (10, 12, 4), 8 * 10 * 9 * 4 * 2),
        (layers.Conv2DTranspose(6, 2, strides=2), (7, 7, 4), 14 * 14 * 4 * 6),
        (layers.Dense(5), (7,), 35),
        (layers.Dense(5), (3, 4, 7), 3 * 4 * 35),
        (layers.MaxPooling2D(2), (10, 12, 4), 0),
        (layers.BatchNormalization(), (10, 12, 4), 0),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_multiply_adds_of_single_layers(layer, shape, expected):
    assert cost_of(layer, *shape) == expected


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (layers.SeparableConv2D(8, 3), (10, 12, 4)),
        (layers.Conv1D(8, 3), (10, 4)),
        (layers.EinsumDense("ab,bc->ac", output_shape=8), (4,)),
        (layers.LSTM(4), (10, 4)),
        (layers.TimeDistributed(layers.Dense(3)), (10, 4)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_layers_that_it_does_not_know_are_refused(layer, shape):
    with pytest.raises(ValueError, match="cannot count the multiply–adds of layer"):
        cost_of(layer, *shape)


def test_shapes_that_are_not_known_are_refused():
    with pytest.raises(ValueError, match="fixed image size"):
        cost_of(layers.Conv2D(8, 3), None, None, 4)


def test_models_without_a_graph_are_refused():
    class Subclassed(keras.Model):
        pass

    for model in (Subclassed(), keras.Sequential([layers.Dense(3)])):
        with pytest.raises(ValueError, match="functional and sequential"):
            measure(model)


def test_a_shared_layer_costs_each_call_but_its_parameters_once():
    dense = layers.Dense(5)
    inputs = [keras.Input((5,)), keras.Input((5,))]
    outputs = layers.add([dense(x) for x in inputs])
    complexity = measure(keras.Model(inputs, outputs))
    assert complexity.multiply_adds == 2 * 25
    assert complexity.parameters == 30
    assert sum(row.parameters for row in complexity.per_layer) == 30


def test_other_models_that_share_layers_do_not_count():
    inputs = keras.Input((5,))
    hidden = layers.Dense(6, name="hidden")(inputs)
    model = keras.Model(inputs, layers.Dense(7, name="last")(hidden))
    head = keras.Model(hidden, model.output)
    assert measure(model).multiply_adds == 30 + 42
    assert measure(head).multiply_adds == 42


def test_nested_models_are_opened():
    inner = keras.Sequential([keras.Input((5,)), layers.Dense(6, name="dense")], name="inner")
    inputs = keras.Input((5,))
    complexity = measure(keras.Model(inputs, layers.Dense(7)(inner(inputs))))
    assert complexity.multiply_adds == 30 + 42
    assert complexity.parameters == 36 + 49
    assert "inner/dense" in [row.name for row in complexity.per_layer]


def test_frozen_layers_are_not_trainable_parameters():
    model = keras.Sequential([keras.Input((5,)), layers.Dense(6), layers.Dense(7)])
    model.layers[0].trainable = False
    complexity = measure(model)
    assert (complexity.parameters, complexity.trainable_parameters) == (36 + 49, 49)
