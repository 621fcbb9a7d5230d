"""The networks. NETWORKS drives the tests of each: a new network is one row."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from jpegkeras import models
from jpegkeras.bands import Bands
from jpegkeras.models import resnet


@dataclasses.dataclass(frozen=True)
class Network:
    """A row: what a network at 224×224 pixels, 4:2:0, with 1000 classes must cost."""

    name: str
    num_frequencies: int
    giga_multiply_adds: float  # the paper's
    million_parameters: float  # the paper's
    parameters: int

    def __str__(self):
        return f"{self.name}_{self.num_frequencies}"


BANDS = Bands((0, 1, 2), (0,), (9,))
# Read before any test adds a network of its own.
NAMES = tuple(models.MODELS)

# dos Santos et al., ICIP 2020, "Network Complexity".
NETWORKS = [
    Network("resnet50_rgb", 64, 3.86, 25.6, 25_636_712),
    Network("resnet50_dct", 64, 5.40, 28.4, 28_401_384),
    Network("resnet50_dct", 32, 3.68, 26.2, 26_203_752),
    Network("resnet50_dct", 16, 3.18, 25.6, 25_568_808),
]
each_network = pytest.mark.parametrize("network", NETWORKS, ids=str)


@functools.cache
def full_size(network):
    """The network as the paper counts it."""
    return models.build_model(network.name, network.num_frequencies)


def random_inputs(image_size=32, num_frequencies=64, sampling="4:2:0", batch=2, seed=0):
    rng = np.random.default_rng(seed)
    shapes = models.input_shapes(image_size, num_frequencies, sampling)
    inputs = {k: rng.integers(-9, 10, (batch, *s)).astype("int16") for k, s in shapes.items()}
    tables = rng.integers(1, 30, (batch, *shapes["quantization"]))
    return {**inputs, "quantization": tables.astype("uint16")}


def randomize_weights(model, seed=0):
    """Values that a mistake shows with: no batch normalisation is left at mean 0 and variance 1."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        value = rng.normal(0, 0.1, variable.shape)
        if variable.path.endswith(("gamma", "moving_variance")):
            value = 1 + np.abs(value)
        elif variable.path.endswith("kernel"):
            value = rng.normal(0, np.sqrt(1 / np.prod(variable.shape[:-1])), variable.shape)
        variable.assign(value)


def statistics(n=64):
    values = {"mean": np.linspace(20, 0, n).tolist(), "std": np.linspace(90, 2, n).tolist()}
    return {"y": values, "cb": values, "cr": values}


def test_every_network_is_on_the_table():
    assert {network.name for network in NETWORKS} == set(NAMES)


@pytest.mark.parametrize("family", models.MODELS.values(), ids=models.MODELS)
def test_every_network_has_a_one_line_description(family):
    assert family.description
    assert "\n" not in family.description


@each_network
def test_parameters_are_the_papers(network):
    parameters = full_size(network).count_params()
    assert parameters == network.parameters
    assert round(parameters / 1e6, 1) == network.million_parameters


@each_network
def test_interface(network):
    model = full_size(network)
    assert model.name == str(network)
    assert {key: x.dtype for key, x in model.input.items()} == {
        "y": "int16",
        "cb": "int16",
        "cr": "int16",
        "quantization": "uint16",
    }
    shapes = models.input_shapes(224, network.num_frequencies)
    assert {key: x.shape[1:] for key, x in model.input.items()} == shapes
    assert model.output.shape == (None, 1000)
    assert model.layers[-1].name == "predictions"
    assert model.layers[-1].activation is keras.activations.linear


@each_network
@pytest.mark.parametrize("sampling", models.CHROMA_FACTORS)
def test_forward(network, sampling):
    n = network.num_frequencies
    model = models.build_model(network.name, n, 7, 32, sampling=sampling)
    logits = keras.ops.convert_to_numpy(model(random_inputs(32, n, sampling)))
    assert logits.shape == (2, 7)
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()


@each_network
def test_saving_keeps_the_outputs(network, tmp_path):
    n = network.num_frequencies
    model = models.build_model(network.name, n, 5, 32, statistics=statistics())
    randomize_weights(model)
    inputs = random_inputs(32, n)
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(restored(inputs), model(inputs))
    assert restored.name == model.name


@pytest.mark.parametrize("n", range(1, 65))
def test_stage_2_has_4n_channels(n):
    stage_2, *others = resnet.dct_stages(n)
    assert stage_2 == resnet.Stage("conv2", 4 * n, (1, 2, 3), stride=1)
    assert others == list(resnet.dct_stages(64)[1:])


@pytest.mark.parametrize("n", [1, 2, 16])
def test_dct_network_layer_by_layer(n):
    model = models.build_model("resnet50_dct", n, 10, 224)
    names = (
        "concat",
        "conv2_block3_out",
        "conv3_block4_out",
        "conv4_block6_out",
        "conv5_block3_out",
    )
    shapes = {name: model.get_layer(name).output.shape[1:] for name in names}
    assert shapes["concat"] == (28, 28, 3 * n)
    assert shapes["conv2_block3_out"] == (28, 28, 16 * n)
    assert shapes["conv3_block4_out"] == (28, 28, 512)
    assert shapes["conv4_block6_out"] == (14, 14, 1024)
    assert shapes["conv5_block3_out"] == (7, 7, 2048)
    convolutions = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    kernels = {x.name: x.kernel_size[0] for x in convolutions}
    assert [kernels[f"conv2_block{i}_2_conv"] for i in (1, 2, 3)] == [1, 2, 3]
    assert not [name for name in kernels if name.startswith("conv1")]
    strided = [x.name for x in convolutions if x.strides != (1, 1)]
    assert sorted(strided) == [f"conv{s}_block1_{c}_conv" for s in (4, 5) for c in (0, 1)]


def test_rgb_network_is_keras_applications_resnet50():
    ours = models.build_model("resnet50_rgb", 64, 10, 64)
    theirs = keras.applications.ResNet50(
        weights=None, input_shape=(64, 64, 3), classes=10, classifier_activation=None
    )
    randomize_weights(theirs)
    names = [layer.name for layer in theirs.layers if layer.weights]
    assert [layer.name for layer in ours.layers if layer.weights] == names
    ours.set_weights(theirs.get_weights())

    inputs = random_inputs(64)
    pixels = keras.Model(ours.input, ours.get_layer("pixels").output)(inputs)
    pixels = keras.ops.convert_to_numpy(pixels)
    assert pixels.std() > 20  # else there would be little to compare
    expected = theirs(keras.applications.resnet.preprocess_input(pixels.copy()))
    expected = keras.ops.convert_to_numpy(expected)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(ours(inputs), expected, atol=1e-4, rtol=1e-4)

    from_pixels = keras.Model(ours.get_layer("pixels").output, ours.output)
    np.testing.assert_allclose(from_pixels(pixels), expected, atol=1e-4, rtol=1e-4)


def test_rgb_network_takes_a_weights_file_of_keras_applications(tmp_path):
    theirs = keras.applications.ResNet50(
        weights=None, input_shape=(32, 32, 3), classes=10, classifier_activation=None
    )
    randomize_weights(theirs)
    theirs.save_weights(tmp_path / "resnet50.weights.h5")
    ours = models.build_model("resnet50_rgb", 64, 10, 32)
    ours.load_weights(tmp_path / "resnet50.weights.h5")
    for mine, other in zip(ours.get_weights(), theirs.get_weights()):
        np.testing.assert_array_equal(mine, other)


@each_network
def test_mixed_precision_keeps_inputs_and_logits_in_float32(network):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = models.build_model(network.name, network.num_frequencies, 5, 32)
    finally:
        keras.config.set_dtype_policy(before)
    logits = model(random_inputs(32, network.num_frequencies))
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    assert model.get_layer("dequantize").compute_dtype == "float32"
    assert model.get_layer("conv2_block1_1_conv").compute_dtype == "bfloat16"
    assert np.isfinite(keras.ops.convert_to_numpy(logits)).all()


@each_network
def test_batch_normalisation_has_the_options(network):
    options = {"batch_norm_momentum": 0.8, "batch_norm_epsilon": 1e-3, "synchronized": True}
    model = models.build_model(network.name, network.num_frequencies, 5, 32, **options)
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    convolutions = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    assert len(norms) == len(convolutions) + (network.name == "resnet50_dct")
    for norm in norms:
        assert (norm.momentum, norm.epsilon, norm.synchronized) == (0.8, 1e-3, True)
    assert all(convolution.use_bias for convolution in convolutions)


@pytest.mark.parametrize("name", NAMES)
def test_inputs_with_more_bands_are_cut(name):
    cut = models.build_model(name, 4, 5, 32, input_frequencies=64)
    plain = models.build_model(name, 4, 5, 32)
    randomize_weights(plain)
    cut.set_weights(plain.get_weights())
    inputs = random_inputs(32, 64)
    np.testing.assert_array_equal(cut(inputs), plain({k: v[..., :4] for k, v in inputs.items()}))


def test_statistics_reach_the_normalisation():
    model = models.build_model("resnet50_dct", 4, 5, 32, statistics=statistics())
    # Keras lists a layer's outputs by sorted key: cb, cr, y.
    normalized = keras.Model(model.input, model.get_layer("normalize_bands").output[2])
    inputs = random_inputs(32, 4)
    y = inputs["y"] * inputs["quantization"][:, 0, None, None].astype(int)
    values = statistics()["y"]
    expected = (y - np.array(values["mean"][:4])) / np.array(values["std"][:4])
    np.testing.assert_allclose(normalized(inputs), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_training_step_reaches_every_weight(name):
    model = models.build_model(name, 2, 5, 32)
    before = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        run_eagerly=True,  # compiling the graph would take longer than the step
    )
    assert np.isfinite(model.train_on_batch(random_inputs(32, 2, batch=4), np.arange(4)))
    unchanged = [
        v.path for v, old in zip(model.trainable_variables, before) if np.array_equal(v, old)
    ]
    # Batch normalisation takes a bias away again: its gradient can be zero, no other may.
    assert [path for path in unchanged if not path.endswith("bias")] == []


@pytest.mark.slow
def test_networks_run_on_jax():
    if importlib.util.find_spec("jax") is None:
        pytest.skip("jax is not installed")
    program = (
        "import numpy as np; from jpegkeras import models\n"
        "for name in models.MODELS:\n"
        "    shapes = models.input_shapes(32, 2)\n"
        "    inputs = {k: np.ones((1, *s), 'int16') for k, s in shapes.items()}\n"
        "    assert models.build_model(name, 2, 3, 32)(inputs).shape == (1, 3)\n"
    )
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "resnet18"}, r"'resnet50_dct', 'resnet50_rgb'.*got 'resnet18'"),
        ({"num_frequencies": 0}, "num_frequencies must be an integer 1 … 64.*got 0"),
        ({"num_frequencies": 65}, "got 65"),
        ({"num_frequencies": 16, "input_frequencies": 8}, "must not be fewer"),
        ({"input_frequencies": 65}, "input_frequencies must be an integer"),
        ({"sampling": "4:1:1"}, "'4:2:0'.*got '4:1:1'"),
        ({"image_size": 200}, "multiple of 16 pixels for 4:2:0; got 200.*192 and 208"),
        ({"image_size": 100, "sampling": "4:2:2"}, "multiple of 16.*96 and 112"),
        ({"image_size": 100, "sampling": "4:4:4"}, "multiple of 8.*96 and 104"),
        ({"image_size": 0}, "Nearest that fit: 16"),
        ({"image_size": -16}, "Nearest that fit: 16"),
        ({"image_size": 224.0}, "got 224.0"),
        ({"num_classes": 0}, "num_classes must be a positive integer; got 0"),
        ({"batch_norm_momentum": 1.0}, "batch_norm_momentum"),
        ({"batch_norm_epsilon": 0.0}, "batch_norm_epsilon"),
        ({"statistics": statistics(8)}, "cover 8 bands"),
        ({"statistics": {"y": {}}}, "'mean' and 'std'"),
        ({"name": "resnet50_rgb", "bands": BANDS}, "resnet50_rgb takes no bands"),
        ({"name": "resnet50_rgb", "learned_bands": 4}, "resnet50_rgb takes no bands"),
        ({"bands": BANDS, "num_frequencies": 9}, r"must be below num_frequencies \(9\).*cr=9"),
        ({"bands": Bands.lowest(9, 9, 9), "num_frequencies": 8}, "must not be fewer"),
        ({"learned_bands": 0}, "learned_bands must be an integer 1"),
        ({"learned_bands": 9, "num_frequencies": 8}, r"learned_bands \(9\) must not be more"),
        ({"bands": BANDS, "learned_bands": 4}, "given or learned; got both"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    options = {"name": "resnet50_dct", **options}
    with pytest.raises(ValueError, match=message):
        models.build_model(**options)


def test_the_smallest_image_is_one_mcu():
    assert models.build_model("resnet50_dct", 1, 2, 8, sampling="4:4:4")(
        random_inputs(8, 1, "4:4:4")
    ).shape == (2, 2)


@pytest.mark.parametrize(
    ("sampling", "chroma"),
    [("4:4:4", (28, 28, 16)), ("4:2:2", (28, 14, 16)), ("4:2:0", (14, 14, 16))],
)
def test_input_shapes(sampling, chroma):
    assert models.input_shapes(224, 16, sampling) == {
        "y": (28, 28, 16),
        "cb": chroma,
        "cr": chroma,
        "quantization": (3, 16),
    }
