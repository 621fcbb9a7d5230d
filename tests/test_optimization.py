"""Learning rates, and what becomes of gradients, against the same by hand."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from jpegkeras.averaging import WeightAverage
from jpegkeras.config import TrainConfig
from jpegkeras.optimization import GradientStep, make_optimizer, make_schedule

CONFIG = TrainConfig(learning_rate=0.5, momentum=0.0, epochs=10, decay_every_epochs=4)
WITHOUT_DISTRIBUTION = tf.distribute.get_strategy()


def network():
    """Two trainable kernels, biases, scales and shifts."""
    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3, bias_initializer="ones"),
            keras.layers.BatchNormalization(beta_initializer="ones"),
            keras.layers.Dense(2, bias_initializer="ones"),
        ]
    )


def step_of(config, model):
    optimizer = make_optimizer(config, make_schedule(config, 10), model.trainable_variables)
    return optimizer, GradientStep(optimizer, config, 1)


@pytest.mark.parametrize("schedule", ["steps", "cosine"])
def test_a_warm_up_rises_to_the_schedule_and_leaves_it_alone(schedule):
    config = dataclasses.replace(CONFIG, schedule=schedule)
    plain = make_schedule(config, 10)
    warm = make_schedule(dataclasses.replace(config, warmup_epochs=2.5), 10)
    for step in (0, 1, 12, 23, 24, 25, 39, 40, 99):
        factor = min(1, (step + 1) / 25)
        assert float(warm(step)) == pytest.approx(factor * float(plain(step)), rel=1e-6)


def test_weights_decay_but_not_biases_and_batch_normalisation():
    model = network()
    config = dataclasses.replace(CONFIG, weight_decay=0.1)
    _, step = step_of(config, model)
    before = [variable.numpy() for variable in model.trainable_variables]
    step.apply([tf.zeros(v.shape) for v in before], model.trainable_variables)
    for variable, old in zip(model.trainable_variables, before):
        kept = 1 - 0.5 * 0.1 if variable.name == "kernel" else 1
        np.testing.assert_allclose(variable.numpy(), kept * old, rtol=1e-6)
    assert sum(variable.name == "kernel" for variable in model.trainable_variables) == 2


@pytest.mark.parametrize(("clip_norm", "factor"), [(0.0, 1.0), (1.0, 0.1), (20.0, 1.0)])
def test_gradients_are_clipped_by_the_norm_of_all_together(clip_norm, factor):
    model = network()
    _, step = step_of(dataclasses.replace(CONFIG, clip_norm=clip_norm), model)
    before = [variable.numpy() for variable in model.trainable_variables]
    gradients = [np.random.default_rng(i).normal(size=v.shape) for i, v in enumerate(before)]
    norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients))
    gradients = [(10 / norm * gradient).astype(np.float32) for gradient in gradients]
    told = step.apply([tf.constant(g) for g in gradients], model.trainable_variables)
    assert float(told) == pytest.approx(10, rel=1e-5)
    for variable, old, gradient in zip(model.trainable_variables, before, gradients):
        np.testing.assert_allclose(variable.numpy(), old - 0.5 * factor * gradient, atol=1e-6)


def test_float16_scales_the_loss_and_leaves_out_a_step_that_overflows():
    model = network()
    config = dataclasses.replace(CONFIG, precision="float16", clip_norm=1e6)
    optimizer, step = step_of(config, model)
    scale = float(optimizer.dynamic_scale)
    assert float(step.scale(tf.constant(2.0))) == 2 * scale
    before = [variable.numpy() for variable in model.trainable_variables]
    ones = [tf.ones(v.shape) for v in before]
    told = step.apply([scale * one for one in ones], model.trainable_variables)
    size = sum(v.size for v in before)
    assert float(told) == pytest.approx(np.sqrt(size), rel=1e-5)
    after = [variable.numpy() for variable in model.trainable_variables]
    for new, old in zip(after, before):
        np.testing.assert_allclose(new, old - 0.5, atol=1e-5)
    step.apply([ones[0] * float("inf"), *ones[1:]], model.trainable_variables)
    for variable, old in zip(model.trainable_variables, after):
        np.testing.assert_array_equal(variable.numpy(), old)
    assert float(optimizer.dynamic_scale) == scale / 2


def test_an_average_follows_the_weights_and_copies_the_moving_statistics():
    model, averaged = network(), network()
    average = WeightAverage(model, averaged, 0.5)
    for one, other in zip(model.get_weights(), averaged.get_weights()):
        np.testing.assert_array_equal(one, other)
    expected = model.layers[0].kernel.numpy()
    for step in range(1, 13):
        model.layers[0].kernel.assign_add(tf.fill((4, 3), float(step)))
        average.update(WITHOUT_DISTRIBUTION, tf.constant(step, tf.int64))
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model.layers[0].kernel.numpy()
        np.testing.assert_allclose(averaged.layers[0].kernel.numpy(), expected, rtol=1e-5)
    model.layers[1].moving_mean.assign([1.0, 2.0, 3.0])
    assert averaged.layers[1].moving_mean.numpy().tolist() == [0, 0, 0]
    average.copy_statistics()
    assert averaged.layers[1].moving_mean.numpy().tolist() == [1, 2, 3]
