"""The package around the code: requirements, what loads what, what is printed while loading."""

from __future__ import annotations

import ast
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def run_python(code, **environment):
    kept = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**kept, **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("build", ["tensorflow", "tensorflow-cpu"])
def test_one_build_of_tensorflow_is_required(tmp_path, build):
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("jpegkeras", "preprocess"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "train_main.py", tmp_path)
    (tmp_path / "metadata").mkdir()
    # As pip does it: what the metadata of the wheel say is what gets installed.
    code = "import setuptools.build_meta as b; b.prepare_metadata_for_build_wheel('metadata')"
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "JPEGKERAS_TENSORFLOW": build},
        check=True,
        capture_output=True,
    )
    (metadata,) = (tmp_path / "metadata").glob("*.dist-info/METADATA")
    required = [
        line.split()[1]
        for line in metadata.read_text().splitlines()
        if line.startswith("Requires-Dist: tensorflow") and "extra ==" not in line
    ]
    assert required == [f"{build}>=2.20"]
    (sources,) = (tmp_path / "metadata").glob("*.egg-info/SOURCES.txt")
    sources = sources.read_text().split()
    assert {"train_main.py", "preprocess/engines/local.py", "jpegkeras/jpeg/scan.py"} <= {*sources}


def test_another_build_of_tensorflow_is_refused():
    result = subprocess.run(
        [sys.executable, "setup.py", "--name"],
        cwd=ROOT,
        env={**os.environ, "JPEGKERAS_TENSORFLOW": "tensorflow-gpu"},
        capture_output=True,
        text=True,
    )
    assert result.returncode != 0
    assert "JPEGKERAS_TENSORFLOW must be one of" in result.stderr


def test_loading_tensorflow_quietly_prints_nothing():
    result = run_python(
        "from jpegkeras.quiet import quiet_tensorflow\n"
        "with quiet_tensorflow():\n"
        "    import tensorflow as tf\n"
        "print(int(tf.constant(1) + 1))"
    )
    assert (result.stdout, result.stderr) == ("2\n", "")


def test_what_a_failing_import_wrote_is_shown():
    result = run_python(
        "import os\n"
        "from jpegkeras.quiet import quiet_tensorflow\n"
        "with quiet_tensorflow():\n"
        "    os.write(2, b'a library is missing')\n"
        "    raise ImportError('no tensorflow')"
    )
    assert "a library is missing" in result.stderr
    assert "ImportError: no tensorflow" in result.stderr


def test_flags_and_settings_load_without_tensorflow():
    result = run_python(
        "import sys, train_main, jpegkeras.config, jpegkeras.jpeg\n"
        "print(sorted({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    assert result.stdout == "[]\n", result.stderr


@pytest.mark.parametrize("name", ["layers.py", "complexity.py", "models/resnet.py"])
def test_networks_import_keras_but_not_tensorflow(name):
    # They also run on Keras's JAX backend, where TensorFlow may be absent.
    tree = ast.parse((ROOT / "jpegkeras" / name).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    modules = {alias.name for node in imports for alias in node.names}
    assert "keras" in modules
    assert "tensorflow" not in modules
