"""The layers against numpy, scipy and libjpeg (through Pillow)."""

from __future__ import annotations

import io
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy import fft

from jpegkeras import layers
from jpegkeras.jpeg import read_coefficients

SAMPLES = Path(__file__).parents[2] / "shared" / "data" / "imagenet_samples"
FACTORS = {"4:4:4": (1, 1), "4:2:2": (1, 2), "4:2:0": (2, 2)}
# The zigzag order as ITU-T T.81 figure A.6 prints it: its place in the order, by raster position.
ZIGZAG_FIGURE = """
 0  1  5  6 14 15 27 28
 2  4  7 13 16 26 29 42
 3  8 12 17 25 30 41 43
 9 11 18 24 31 40 44 53
10 19 23 32 39 45 52 54
20 22 33 38 46 51 55 60
21 34 37 47 50 56 59 61
35 36 48 49 57 58 62 63
"""


def random_inputs(n=64, factor=(2, 2), batch=2, rows=4, cols=6, seed=0):
    rng = np.random.default_rng(seed)
    chroma = (rows // factor[0], cols // factor[1])
    shapes = {"y": (rows, cols), "cb": chroma, "cr": chroma}
    inputs = {k: rng.integers(-99, 100, (batch, *s, n)).astype("int16") for k, s in shapes.items()}
    inputs["quantization"] = rng.integers(1, 256, (batch, 3, n)).astype("uint16")
    return inputs


def random_bands(**kwargs):
    return {
        k: v.astype("float32") for k, v in random_inputs(**kwargs).items() if k != "quantization"
    }


def eager_and_in_tf_data(layer, inputs):
    """The layer's outputs, after checking them in tf.data and against the announced shapes."""
    eager = keras.tree.map_structure(keras.ops.convert_to_numpy, layer(inputs))
    dataset = tf.data.Dataset.from_tensors(inputs).map(layer)
    (mapped,) = dataset.as_numpy_iterator()
    specs = layer.compute_output_spec(
        keras.tree.map_structure(lambda x: keras.KerasTensor(x.shape, dtype=str(x.dtype)), inputs)
    )
    keras.tree.map_structure(np.testing.assert_array_equal, eager, mapped)
    keras.tree.map_structure(lambda x, s: check_spec(x, s), eager, specs)
    return eager


def check_spec(array, spec):
    assert array.shape == tuple(spec.shape)
    assert str(array.dtype) == keras.backend.standardize_dtype(spec.dtype)


def statistics(n=64, seed=0):
    rng = np.random.default_rng(seed)
    return {
        key: {"mean": rng.normal(0, 5, n).tolist(), "std": rng.uniform(0.5, 9, n).tolist()}
        for key in layers.COMPONENTS
    }


ALL_LAYERS = [
    layers.Dequantize(),
    layers.BandSelection(16),
    layers.ChosenBands([0, 1, 9], [0], [3]),
    layers.NormalizeBands(),
    layers.NormalizeBands(statistics()),
    layers.UpsampleChroma((2, 2)),
    layers.CoefficientsToPixels((1, 2)),
    layers.NormalizePixels(),
]


def assert_serialisable(layer):
    restored = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(restored) is type(layer)
    assert restored.get_config() == layer.get_config()
    assert restored.compute_dtype == "float32"


@pytest.mark.parametrize("layer", ALL_LAYERS, ids=lambda layer: layer.name)
def test_layer_survives_serialisation_and_has_no_weights(layer):
    assert_serialisable(layer)
    assert not layer.weights


def test_the_gate_survives_serialisation_and_has_a_state():
    layer = layers.BandGate(seed=3)
    assert_serialisable(layer)
    assert [weight.name for weight in layer.weights] == ["seed_generator_state"]
    assert not layer.trainable_weights


def test_every_public_layer_is_tested_for_serialisation():
    public = {
        value
        for name, value in vars(layers).items()
        if isinstance(value, type) and issubclass(value, keras.Layer) and not name.startswith("_")
    }
    assert {layers.BandGate, *map(type, ALL_LAYERS)} == public


@pytest.mark.parametrize("n", [1, 16, 64])
def test_dequantize_is_the_exact_product(n):
    inputs = random_inputs(n=n)
    inputs["y"].flat[:2] = -32768, 32767
    inputs["quantization"].flat[0] = 255
    outputs = eager_and_in_tf_data(layers.Dequantize(), inputs)
    assert sorted(outputs) == ["cb", "cr", "y"]
    for i, key in enumerate(layers.COMPONENTS):
        expected = inputs[key].astype(int) * inputs["quantization"][:, i, None, None, :]
        np.testing.assert_array_equal(outputs[key], expected)


def test_dequantize_says_what_does_not_fit():
    inputs = random_inputs(n=8)
    with pytest.raises(ValueError, match="'quantization' must be"):
        layers.Dequantize()({**inputs, "quantization": np.ones((2, 3, 16), "uint16")})
    with pytest.raises(ValueError, match="needs the key 'quantization'"):
        layers.Dequantize()(random_bands(n=8))
    with pytest.raises(ValueError, match=r"\['cr'\] are missing"):
        layers.Dequantize()({k: v for k, v in inputs.items() if k != "cr"})


def test_band_selection_keeps_the_first_bands_and_the_dtypes():
    inputs = random_inputs()
    outputs = eager_and_in_tf_data(layers.BandSelection(5), inputs)
    for key, value in inputs.items():
        np.testing.assert_array_equal(outputs[key], value[..., :5])
        assert outputs[key].dtype == value.dtype


@pytest.mark.parametrize("n", [0, 65])
def test_band_selection_refuses_other_numbers(n):
    with pytest.raises(ValueError, match="1 … 64"):
        layers.BandSelection(n)


def test_band_selection_refuses_too_few_bands():
    with pytest.raises(ValueError, match="only 8"):
        layers.BandSelection(9).compute_output_shape((None, 4, 4, 8))


def test_chosen_bands_are_those_listed():
    bands = random_bands(n=16)
    lists = {"y": [0, 1, 2], "cb": [0, 5, 15], "cr": [7]}
    outputs = eager_and_in_tf_data(layers.ChosenBands(**lists), bands)
    for key, positions in lists.items():
        expected = np.stack([bands[key][..., position] for position in positions], axis=-1)
        np.testing.assert_array_equal(outputs[key], expected)


def test_chosen_bands_say_which_is_missing():
    layer = layers.ChosenBands([0], [0, 8], [0])
    with pytest.raises(ValueError, match="keeps band 8 of 'cb'; its input has only 8 bands"):
        layer(random_bands(n=8))
    with pytest.raises(ValueError, match="ascending"):
        layers.ChosenBands([1, 0], [0], [0])


def gate(channels, logits_kept=2.0, logits_dropped=0.1, seed=3):
    """A gate with the same logits for every channel, whatever it is given."""
    layer = layers.BandGate(seed=seed)
    layer.build((None, 1, 1, channels))
    layer.scale.assign(np.zeros(2 * channels))
    layer.bias.assign(np.tile([logits_kept, logits_dropped], channels))
    return layer


def test_the_gate_begins_as_it_was_published():
    layer = layers.BandGate()
    layer.build((None, 1, 1, 6))
    np.testing.assert_allclose(layer.bias, np.tile([2, 0.1], 6))
    assert np.abs(layer.scale).max() < 0.01
    _, log_odds = layer(np.ones((2, 1, 1, 6), "float32"))
    np.testing.assert_allclose(log_odds, 1.9, atol=0.02)


def test_the_gates_logits_are_a_grouped_convolution():
    layer, x = layers.BandGate(), np.random.default_rng(0).normal(size=(3, 1, 1, 5))
    layer.build((None, 1, 1, 5))
    convolution = keras.layers.Conv2D(10, 1, groups=5)
    convolution.build((None, 1, 1, 5))
    rng = np.random.default_rng(1)
    for variable in (layer.scale, layer.bias):
        variable.assign(rng.normal(size=10))
    convolution.set_weights([np.reshape(layer.scale, (1, 1, 1, 10)), np.array(layer.bias)])
    logits = np.reshape(convolution(x), (3, 1, 1, 5, 2)).astype("float64")
    expected = np.exp(logits[..., 0]) / np.exp(logits).sum(axis=-1)
    kept, log_odds = layer(x.astype("float32"))
    np.testing.assert_allclose(1 / (1 + np.exp(-np.array(log_odds))), expected, rtol=1e-4)
    np.testing.assert_array_equal(kept, expected > 0.5)


@pytest.mark.parametrize("surplus", [-2.0, 0.0, 1.0])
def test_the_gate_keeps_as_many_as_is_likely(surplus):
    layer = gate(100, surplus, 0)
    kept, log_odds = layer(np.zeros((200, 1, 1, 100), "float32"), training=True)
    likely = 1 / (1 + np.exp(-surplus))
    np.testing.assert_allclose(log_odds, surplus, rtol=1e-5)
    kept = keras.ops.convert_to_numpy(kept)
    np.testing.assert_allclose(kept, np.round(kept), atol=1e-6)
    # Of 20,000 draws: four standard deviations.
    assert kept.mean() == pytest.approx(likely, abs=4 * np.sqrt(likely * (1 - likely) / 20_000))


def test_the_gates_noise_follows_from_its_state_alone():
    x = np.zeros((4, 1, 1, 50), "float32")
    first, second = gate(50, 0, 0, seed=1), gate(50, 0, 0, seed=2)
    one = [first(x, training=True)[0] for _ in range(3)]
    assert not np.array_equal(one[0], one[1])
    assert not np.array_equal(one[0], second(x, training=True)[0])
    second.set_weights(first.get_weights())
    np.testing.assert_array_equal(first(x, training=True)[0], second(x, training=True)[0])


def test_the_gates_gradient_is_that_of_the_soft_decision():
    layer = gate(2000, 0.5, 0)
    x = tf.zeros((1, 1, 1, 2000))
    with tf.GradientTape() as tape:
        kept, _ = layer(x, training=True)
        total = tf.reduce_sum(kept)
    gradient = tape.gradient(total, layer.bias.value).numpy().reshape(-1, 2)
    # Of sigmoid(s): s' = p (1 - p), with p anything from 0 to 1 as the noise has it.
    assert (gradient[:, 0] > 0).all()
    assert gradient.max() <= 0.25
    np.testing.assert_allclose(gradient[:, 0], -gradient[:, 1], rtol=1e-5)


def test_normalize_bands_with_statistics():
    bands, values = random_bands(n=16), statistics(64)
    values["cb"]["std"][3] = 0.0  # a band that is the same in all images
    outputs = eager_and_in_tf_data(layers.NormalizeBands(values), bands)
    for key, band in bands.items():
        std = np.array(values[key]["std"][:16])
        std[std == 0] = 1
        expected = (band - np.array(values[key]["mean"][:16])) / std
        np.testing.assert_allclose(outputs[key], expected, rtol=1e-5, atol=1e-5)


def test_normalize_bands_without_statistics_gives_dc_in_sample_values():
    samples = np.full((8, 8), 200.0)
    dc = fft.dctn(samples - 128, norm="ortho")[0, 0]
    bands = dict.fromkeys(layers.COMPONENTS, np.full((1, 1, 1, 1), dc, "float32"))
    outputs = eager_and_in_tf_data(layers.NormalizeBands(), bands)
    np.testing.assert_allclose(outputs["y"], 72, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("cr"), "'cr' cannot be read"),
        (lambda s: s["y"].pop("std"), "'y' cannot be read"),
        (lambda s: s["y"]["std"].pop(), "as many"),
        (lambda s: s["y"]["std"].__setitem__(0, -1.0), "not negative"),
        (lambda s: s["cb"]["mean"].__setitem__(0, float("nan")), "finite"),
    ],
)
def test_normalize_bands_refuses_bad_statistics(change, message):
    values = statistics()
    change(values)
    with pytest.raises(ValueError, match=message):
        layers.NormalizeBands(values)


def test_normalize_bands_refuses_statistics_of_fewer_bands():
    with pytest.raises(ValueError, match="cover 8 bands; the input has 16"):
        layers.NormalizeBands(statistics(8))(random_bands(n=16))


@pytest.mark.parametrize("factor", FACTORS.values(), ids=FACTORS)
def test_upsample_chroma_repeats_blocks(factor):
    bands = random_bands(n=3, factor=factor)
    outputs = eager_and_in_tf_data(layers.UpsampleChroma(factor), bands)
    np.testing.assert_array_equal(outputs["y"], bands["y"])
    for key in ("cb", "cr"):
        expected = bands[key].repeat(factor[0], axis=1).repeat(factor[1], axis=2)
        np.testing.assert_array_equal(outputs[key], expected)
        assert outputs[key].shape == outputs["y"].shape


@pytest.mark.parametrize("layer", [layers.UpsampleChroma, layers.CoefficientsToPixels])
def test_other_chroma_factors_are_refused(layer):
    with pytest.raises(ValueError, match="4:2:0"):
        layer((2, 1))


def test_zigzag_is_that_of_the_standard():
    figure = np.array(ZIGZAG_FIGURE.split(), int).reshape(8, 8)
    assert [figure[position] for position in layers.zigzag_positions()] == list(range(64))


@pytest.mark.parametrize("n", [1, 10, 64])
def test_samples_are_the_inverse_dct(n):
    rng = np.random.default_rng(n)
    bands = rng.normal(0, 60, (2, 3, 5, n)).astype("float32")
    blocks = np.zeros((2, 3, 5, 8, 8))
    for k, (row, col) in enumerate(layers.zigzag_positions()[:n]):
        blocks[..., row, col] = bands[..., k]
    expected = fft.idctn(blocks, axes=(-2, -1), norm="ortho")
    expected = expected.transpose(0, 1, 3, 2, 4).reshape(2, 24, 40) + 128
    samples = keras.ops.convert_to_numpy(layers.bands_to_samples(bands))
    # Half a level is the rounding; the rest is float32.
    assert np.abs(samples - expected.clip(0, 255)).max() <= 0.5 + 1e-3
    assert samples.min() >= 0
    assert samples.max() <= 255


def triangle_by_hand(row):
    """h2v1 fancy upsampling of one row, sample by sample."""
    out = []
    for i, value in enumerate(row):
        out.append((3 * value + row[max(i - 1, 0)] + 1) // 4)
        out.append((3 * value + row[min(i + 1, len(row) - 1)] + 2) // 4)
    return out


def test_upsample_samples_horizontally():
    plane = np.random.default_rng(0).integers(0, 256, (1, 3, 8))
    upsampled = layers.upsample_samples(plane.astype("float32"), (1, 2))
    np.testing.assert_array_equal(
        upsampled[0], [triangle_by_hand(row) for row in plane[0].tolist()]
    )


def test_upsample_samples_in_both_directions():
    plane = np.random.default_rng(0).integers(0, 256, (8, 10))
    padded = np.pad(plane, 1, mode="edge")
    expected = np.empty((16, 20))
    for row in range(16):
        for col in range(20):
            near = np.array([row // 2, col // 2]) + 1
            far = near + np.array([row % 2, col % 2]) * 2 - 1
            total = (
                9 * padded[near[0], near[1]]
                + 3 * padded[far[0], near[1]]
                + 3 * padded[near[0], far[1]]
                + padded[far[0], far[1]]
            )
            expected[row, col] = (total + (7 if col % 2 else 8)) // 16
    upsampled = layers.upsample_samples(plane[None].astype("float32"), (2, 2))
    np.testing.assert_array_equal(upsampled[0], expected)


def test_colours_are_those_of_pillow():
    rng = np.random.default_rng(0)
    ycc = rng.integers(0, 256, (64, 64, 3)).astype("uint8")
    expected = np.asarray(Image.fromarray(ycc, "YCbCr").convert("RGB")).astype(int)
    rgb = layers.ycbcr_to_rgb(*np.moveaxis(ycc[None].astype("float32"), -1, 0))
    assert np.abs(np.asarray(rgb)[0] - expected).max() <= 1


def test_pixels_run_in_tf_data_and_for_unknown_sizes():
    layer, bands = layers.CoefficientsToPixels((2, 2)), random_bands()
    pixels = eager_and_in_tf_data(layer, bands)
    assert pixels.shape == (2, 32, 48, 3)
    # libjpeg's sizes are known only when the file is read.
    spec = tf.TensorSpec([None, None, None, 64])
    function = tf.function(layer.call, input_signature=[dict.fromkeys(bands, spec)])
    np.testing.assert_array_equal(function(bands), pixels)


def test_pixels_say_what_does_not_fit():
    with pytest.raises(ValueError, match="Pad luma"):
        layers.CoefficientsToPixels((2, 2))(random_bands(factor=(1, 1)))
    with pytest.raises(ValueError, match="64 coefficients"):
        layers.CoefficientsToPixels((2, 2))(random_bands(n=65))


def test_normalize_pixels_is_kerass_preprocessing():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3)).astype("float32")
    expected = keras.applications.resnet.preprocess_input(pixels.copy())
    outputs = eager_and_in_tf_data(layers.NormalizePixels(), pixels)
    np.testing.assert_allclose(outputs, expected, atol=1e-4)
    with pytest.raises(ValueError, match="three values"):
        layers.NormalizePixels([1.0])


# --- Against libjpeg ------------------------------------------------------------------------------


def decode(data):
    """A JPEG's pixels by our reader and layers: float32 [height, width, 3].

    None for a sampling that the layer does not have.
    """
    image = read_coefficients(data)
    components = image.components
    factor = (1, 1)
    if len(components) == 3:
        (h, v), *chroma = (c.sampling for c in components)
        if chroma != [(1, 1), (1, 1)] or (v, h) not in FACTORS.values():
            return None
        factor = (v, h)
    elif len(components) != 1:
        return None
    rows, cols, n = components[-1].coefficients.shape
    inputs = {key: np.zeros((1, rows, cols, n), "int16") for key in ("cb", "cr")}
    inputs["y"] = np.zeros((1, rows * factor[0], cols * factor[1], n), "int16")
    inputs["quantization"] = np.ones((1, 3, n), "uint16")
    for i, (key, component) in enumerate(zip(layers.COMPONENTS, components)):
        coefficients = component.coefficients
        inputs[key][0, : coefficients.shape[0], : coefficients.shape[1]] = coefficients
        inputs["quantization"][0, i] = component.quantization
    pixels = layers.CoefficientsToPixels(factor)(layers.Dequantize()(inputs))
    return np.asarray(pixels)[0, : image.height, : image.width]


def agreement(data, pixels):
    """The share of values within 2 levels of libjpeg's, and the greatest difference."""
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), "float32")
    differences = np.abs(pixels - expected)
    return (differences <= 2).mean(), differences.max()


def photograph(height, width, seed=0):
    """A smooth image with some noise and edges, uint8 [height, width, 3]."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 12 + 2, width // 12 + 2, 3)).astype("uint8")
    image = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    image = image.astype(int) + rng.normal(0, 6, image.shape).astype(int)
    image[height // 3 : height // 2, width // 4 : width // 2] = rng.integers(0, 256, 3)
    return image.clip(0, 255).astype("uint8")


def encode(image, **options):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize("quality", [25, 75, 95])
@pytest.mark.parametrize("size", [(96, 128), (75, 101), (49, 33)], ids=str)
@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_pixels_are_those_of_libjpeg(sampling, size, quality):
    data = encode(photograph(*size), quality=quality, subsampling=sampling)
    share, greatest = agreement(data, decode(data))
    assert share >= 0.999, f"{share:.5f} within 2 levels; greatest difference {greatest}"


def test_grey_pixels_are_those_of_libjpeg():
    data = encode(photograph(75, 101)[..., 0], quality=90)
    share, greatest = agreement(data, decode(data))
    assert share == 1
    assert greatest <= 1


def test_pixels_of_the_sample_images_are_those_of_libjpeg():
    if not SAMPLES.is_dir():
        pytest.skip(f"the sample images are not at {SAMPLES}")
    compared = 0
    for path in sorted(SAMPLES.glob("*.JPEG")):
        data = path.read_bytes()
        pixels = decode(data)
        if pixels is None:
            continue
        share, greatest = agreement(data, pixels)
        assert share >= 0.999, f"{path.name}: {share:.5f} within 2 levels, greatest {greatest}"
        compared += 1
    assert compared > 100
