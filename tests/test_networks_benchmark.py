"""The benchmark of the networks: it runs, compares like with like, and says what it measured."""

from __future__ import annotations

import ast
import importlib.util
import io
import json
import os
import pathlib
import subprocess
import sys
import types

import keras
import numpy as np
import pytest
from PIL import Image

from benchmarks import network_goals, network_reading, network_report, networks
from benchmarks.network_report import Timing
from benchmarks.network_settings import MEASURES, NetworkSettings
from jpegkeras import layers
from tests.jpeg.conftest import draw_pixels, save

ROOT = pathlib.Path(__file__).parents[1]
# Run before anything else of a process, it shows what would load TensorFlow.
BLOCKER = """
import importlib.abc, sys
class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] == 'tensorflow':
            raise ImportError(f'{name} must not be loaded')
sys.meta_path.insert(0, Blocker())
"""
SETTINGS = NetworkSettings(
    backend="tensorflow",
    precision="float32",
    batch_size=2,
    image_size=32,
    models=("keras", "rgb", "2"),
    what=MEASURES,
    rounds=2,
    steps=1,
    images=4,
    threads=1,
    jit=False,
)


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_everything_is_measured(tmp_path, capsys):
    output = tmp_path / "networks.json"
    arguments = [
        *("--models=keras,rgb,2", "--image_size=32", "--batch_size=2", "--rounds=1"),
        f"--output={output}",
    ]
    assert networks.main(arguments) == 0
    check_results(json.loads(output.read_text()), capsys.readouterr().out)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision(tmp_path, precision):
    output = tmp_path / "networks.json"
    arguments = [
        *("--models=2", "--image_size=32", "--batch_size=2", "--rounds=1"),
        *("--what=forward,step", f"--precision={precision}", f"--output={output}"),
    ]
    assert networks.main(arguments) == 0
    assert keras.config.dtype_policy().name == "float32"
    result = json.loads(output.read_text())
    assert result["settings"]["precision"] == precision
    assert result["networks"][0]["step"]["ratio"] is None


@pytest.mark.slow
def test_everything_is_measured_on_jax_without_tensorflow(tmp_path):
    if importlib.util.find_spec("jax") is None:
        pytest.skip("jax is not installed")
    output = tmp_path / "networks.json"
    arguments = [
        *("--models=keras,rgb,2", "--image_size=32", "--batch_size=2", "--rounds=1"),
        *("--backend=jax", f"--output={output}"),
    ]
    code = f"{BLOCKER}\nfrom benchmarks import networks\nsys.exit(networks.main({arguments}))"
    ran = run_python(code)
    assert ran.returncode == 0, ran.stderr
    result = json.loads(output.read_text())
    assert "jax" in result["machine"]["backend"]
    check_results(result, ran.stdout)


def check_results(result, text):
    assert [row["key"] for row in result["networks"]] == ["keras", "rgb", "2"]
    assert [row["key"] for row in result["layers"]] == ["rgb", "2"]
    assert [row["key"] for row in result["end_to_end"]] == ["keras", "rgb", "2"]
    for row in result["networks"]:
        for what in ("forward", "folded", "step"):
            assert row[what]["images_per_second"] == pytest.approx(2 / row[what]["seconds"][0])
        assert row["name"] in text
    published, rgb, _ = result["networks"]
    assert published["multiply_adds"] == rgb["multiply_adds"]
    assert published["parameters"] == rgb["parameters"]
    expected = published["step"]["seconds"][0] / rgb["step"]["seconds"][0]
    assert rgb["step"]["ratio"] == pytest.approx(expected)
    assert result["images"]["images"] == 8
    assert "--output=…" in result["command"]
    assert "16" not in [row["key"] for row in result["networks"]]
    assert [goal["met"] for goal in result["goals"][:3]] == [None] * 3


def test_what_runs_on_jax_loads_no_tensorflow():
    """By the sources, for JAX may be absent: what modules import when they are loaded."""
    ours = {"benchmarks", "jpegkeras"}
    left = ["benchmarks.networks", "benchmarks.network_passes", "benchmarks.network_jax"]
    left.append("jpegkeras.pretrained")
    seen = set()
    while left:
        module = left.pop()
        for name in imports_on_loading(module):
            assert name.split(".")[0] != "tensorflow", f"{module} loads {name}"
            if name not in seen and name.split(".")[0] in ours:
                seen.add(name)
                left.append(name)
    assert {"jpegkeras.layers", "jpegkeras.transforms", "benchmarks.network_cases"} <= seen


def imports_on_loading(module):
    """The modules that a module imports outside of its functions."""
    path = ROOT / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    statements = list(ast.parse(path.read_text("utf-8")).body)
    while statements:
        node = statements.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                file = ROOT / name.replace(".", "/")
                if file.is_dir() or file.with_suffix(".py").is_file():
                    yield name
        elif not isinstance(node, ast.FunctionDef):
            statements += ast.iter_child_nodes(node)


def test_flags_load_neither_keras_nor_tensorflow():
    ran = run_python(
        "import sys\nfrom benchmarks import networks\n"
        "print(sorted({'keras', 'tensorflow'} & set(sys.modules)))"
    )
    assert ran.stdout == "[]\n", ran.stderr


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--models=rgb,65", "1 … 64; got '65'"),
        ("--what=speed", "some of forward, folded"),
        ("--image_size=200", "multiple of 16; got 200"),
        ("--batch_size=0", "at least 1; got 0"),
        ("--images=3", "must fill a batch of 32; got 3"),
        ("--precision=float8", "invalid choice"),
    ],
)
def test_flags_out_of_range_are_refused(argument, message, capsys):
    with pytest.raises(SystemExit) as raised:
        networks.main([argument])
    assert raised.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_backend_that_cannot_be_had(capsys, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    assert networks.main(["--backend=jax"]) == 1
    error = capsys.readouterr().err
    assert "--backend=jax" in error
    assert "pip install jax" in error or "loaded on tensorflow already" in error
    assert error.count("\n") == 1


@pytest.fixture(scope="module")
def jpegs():
    """Five JPEGs of different sizes, 4:2:0."""
    sizes = [(64, 64), (96, 64), (70, 101), (64, 80), (64, 64)]
    return [save(draw_pixels(0, *size), quality=75, subsampling=2) for size in sizes]


def test_all_readers_give_the_same_crops(jpegs):
    """The same 32×32 pixels, whether decoded here, by TensorFlow or from our coefficients."""
    by_pillow = list(network_reading.pillow_batches(jpegs, 32, 2, 2)())
    by_tensorflow = list(network_reading.tensorflow_batches(jpegs, 32, 2, 2)())
    by_us = list(network_reading.coefficient_batches(jpegs, 64, 32, 2, 2)())
    assert len(by_pillow) == len(by_tensorflow) == len(by_us) == 2
    for pillow, tensorflow, ours in zip(by_pillow, by_tensorflow, by_us):
        assert pillow.shape == (2, 32, 32, 3)
        assert pillow.dtype == np.uint8
        # TensorFlow takes libjpeg's fast inverse DCT; the next pixel would be some 20 levels off.
        assert np.abs(pillow - np.asarray(tensorflow).astype(int)).mean() < 3
        pixels = layers.CoefficientsToPixels((2, 2))(layers.Dequantize()(ours))
        # Chroma at the crop's edge is upsampled from the crop alone.
        inside = np.s_[:, 2:-2, 2:-2]
        differences = np.abs(np.asarray(pixels) - pillow)[inside]
        assert (differences <= 2).mean() > 0.999
    whole = np.asarray(Image.open(io.BytesIO(jpegs[1])).convert("RGB"))
    np.testing.assert_array_equal(by_pillow[0][1], whole[32:64, 16:48])


def test_fewer_bands_are_a_prefix(jpegs):
    (all_bands, _), (few, _) = (
        list(network_reading.coefficient_batches(jpegs, n, 32, 2, 1)()) for n in (64, 5)
    )
    assert few["quantization"].dtype == np.uint16
    for key in ("y", "cb", "cr", "quantization"):
        np.testing.assert_array_equal(few[key], all_bands[key][..., :5])


def test_everything_is_timed_and_a_step_trains():
    from benchmarks import network_cases, network_passes, network_tensorflow

    case = network_cases.build_case("2", SETTINGS)
    passes = network_passes.list_passes(case, SETTINGS, network_tensorflow)
    assert set(passes) == {
        ("2", "forward"),
        ("2", "folded"),
        ("2", "step"),
        ("2", "forward", "ours"),
        ("2", "forward", "rest"),
        ("2", "step", "ours"),
        ("2", "step", "rest"),
    }
    before = case.model.get_weights()
    rounds = []
    network_passes.run_rounds({("2", "step"): passes["2", "step"]}, 3, lambda: rounds.append(0))
    assert len(passes["2", "step"].timing.seconds) == 3
    assert len(rounds) == 4
    changed = [not np.array_equal(a, b) for a, b in zip(case.model.get_weights(), before)]
    assert np.mean(changed) > 0.6  # a convolution's bias has no gradient before a normalisation


def test_the_parts_make_up_the_whole():
    from benchmarks import network_cases

    for key in ("rgb", "3"):
        case = network_cases.build_case(key, SETTINGS)
        expected = case.model(case.inputs, training=False)
        ours, rest = case.split()
        np.testing.assert_allclose(rest(ours(case.inputs)), expected, rtol=1e-5, atol=1e-5)
        kinds = {type(layer) for layer in rest.layers}
        assert not kinds & {layers.Dequantize, layers.UpsampleChroma, layers.CoefficientsToPixels}


def test_ratios_are_medians_of_the_rounds():
    timings = {
        ("keras", "forward"): Timing(4, [2.0, 20.0, 2.2], [1.0] * 3),
        ("rgb", "forward"): Timing(4, [2.5, 25.0, 2.5], [1.0] * 3),
        ("16", "forward"): Timing(4, [1.0, 10.0, 2.2], [1.0] * 3),
    }
    cases = [
        types.SimpleNamespace(key=key, name=key, multiply_adds=1, parameters=1)
        for key in ("keras", "rgb", "16")
    ]
    rows = network_report.make_rows(cases, timings)
    row = rows["networks"]["16"]["forward"]
    assert row["images_per_second"] == pytest.approx(4 / 2.2)
    assert row["ratio"] == pytest.approx(2.0)
    assert row["ratio_to_ours"] == pytest.approx(2.5)
    verdicts = {verdict.what: verdict for verdict in network_goals.judge(rows, "gpu")}
    assert verdicts["3×16 forward / keras.applications.ResNet50"].met
    assert verdicts["3×16 forward / our RGB"].limit == "at least 1.5"
    assert verdicts["3×16 from JPEG bytes / decoding and ResNet50"].met is None


def test_shares_of_our_layers():
    case = types.SimpleNamespace(key="16", name="3×16", multiply_adds=1, parameters=1)
    timings = {}
    for what in ("forward", "step"):
        timings["16", what] = Timing(4, [1.0, 4.0], [1.0] * 2)
        timings["16", what, "ours"] = Timing(4, [0.1, 0.4], [1.0] * 2)
        timings["16", what, "rest"] = Timing(4, [0.8, 3.2], [1.0] * 2)
    rows = network_report.make_rows([case], timings)
    row = rows["layers"]["16"]["step"]
    assert row["share"] == pytest.approx(0.1)
    assert row["share_by_difference"] == pytest.approx(0.2)
    assert network_goals.judge(rows, "cpu")[-1].met is False
