"""The tables before the first step: what they say, and that they fit a terminal."""

from __future__ import annotations

import dataclasses
import io
import json

import keras
import pytest
import rich.console

from jpegkeras import complexity, summary
from jpegkeras.dataset_info import load_dataset_info
from jpegkeras.models import build_model
from jpegkeras.summary import NetworkFacts, PlanFacts, Stage
from tests.datasets import write_drawn_dataset


def show(*tables, width=80):
    console = rich.console.Console(file=io.StringIO(), width=width)
    for table in tables:
        console.print(table)
    return console.file.getvalue()


def cells(text):
    """The rows of a table's cells, without its lines."""
    rows = [line for line in text.splitlines() if line[:1] in "│┃"]
    return [
        [cell.strip() for cell in line.strip("│┃").replace("┃", "│").split("│")] for line in rows
    ]


def network(n, image_size=224):
    return build_model("resnet50_dct", n, 1000, image_size)


@pytest.fixture(scope="module")
def facts():
    return summary.describe_network(network(16))


def test_a_network_is_told_stage_by_stage(facts):
    assert facts.name == "resnet50_dct_16"
    assert facts.inputs["y"] == ((28, 28, 16), "int16")
    assert facts.inputs["quantization"] == ((3, 16), "uint16")
    shapes = {stage.name: stage.output_shape for stage in facts.stages}
    assert shapes == {
        "input": (28, 28, 48),
        "conv2": (28, 28, 256),
        "conv3": (28, 28, 512),
        "conv4": (14, 14, 1024),
        "conv5": (7, 7, 2048),
        "classifier": (1000,),
    }
    assert facts.stages[-1].multiply_adds == 2048 * 1000
    assert facts.stages[-1].parameters == 2049 * 1000


def test_the_stages_add_up_to_the_network(facts):
    model = network(16)
    found = complexity.measure(model)
    assert sum(stage.multiply_adds for stage in facts.stages) == found.multiply_adds
    assert sum(stage.parameters for stage in facts.stages) == model.count_params()
    assert facts.multiply_adds == found.multiply_adds
    # Every layer but the four inputs is in one of them.
    assert sum(stage.layers for stage in facts.stages) == len(model.layers) - 4


def test_the_table_shows_the_papers_figures(facts):
    text = show(summary.network_table(facts))
    assert "resnet50_dct_16: y 28×28×16 int16; cb, cr 14×14×16 int16; quantization" in text
    rows = {row[0]: row[1:] for row in cells(text)}
    assert rows["all"][1:3] == ["25.57 M", "3.19 G"]
    assert rows["conv4"][0] == "14×14×1024"
    assert rows["conv4"][3] == "float32"


def test_a_pooling_belongs_to_the_stage_before_it():
    found = summary.describe_network(build_model("resnet50_rgb", 64, 10, 64))
    stages = {stage.name: stage for stage in found.stages}
    assert [*stages] == ["input", "conv1", "conv2", "conv3", "conv4", "conv5", "classifier"]
    assert stages["input"].output_shape == (64, 64, 3)
    assert stages["conv1"].output_shape == (16, 16, 64)
    assert stages["input"].parameters == 0


def test_layers_say_what_they_compute_in():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        found = summary.describe_network(network(16, 64))
    finally:
        keras.config.set_dtype_policy(policy)
    dtypes = {stage.name: stage.dtypes for stage in found.stages}
    assert dtypes["conv3"] == ("bfloat16",)
    # Dequantisation and logits are never in half precision.
    assert "float32" in dtypes["input"]
    assert set(dtypes["classifier"]) == {"bfloat16", "float32"}


def test_a_network_without_stages_and_with_a_network_inside():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="conv2_dense")])
    inputs = keras.Input((4,), name="x")
    found = summary.describe_network(keras.Model(inputs, inner(inputs), name="nested"))
    assert [(stage.name, stage.parameters) for stage in found.stages] == [("conv2", 15)]
    plain = keras.Model(inputs, keras.layers.Dense(3)(inputs), name="[bold]plain")
    found = summary.describe_network(plain)
    assert [(stage.name, stage.output_shape) for stage in found.stages] == [("input", (3,))]
    assert "[bold]plain: x 4 float32" in show(summary.network_table(found))


def test_a_data_set_is_told(tmp_path):
    write_drawn_dataset(tmp_path, train=24, test=7, num_frequencies=8)
    info = load_dataset_info(tmp_path)
    found = summary.describe_data(info, tmp_path, num_frequencies=6, image_size=32, task="coarse")
    size = sum(path.stat().st_size for path in tmp_path.glob("*.tfrecord"))
    assert found.num_bytes == size
    rows = dict(cells(show(summary.data_table(found))))
    assert rows["classes"] == "2 (coarse)"
    assert rows["records"] == "train 24, test 7"
    assert rows["heights × widths"] == "48×64 pixels; crops of 32×32"
    assert rows["chroma sampling"] == "4:2:0"
    assert rows["quality"] == "the files' own tables"
    assert rows["frequencies"] == "6 used of 8 stored"
    assert rows["shards"] == f"2, compression none, {summary.describe_bytes(size)}"
    changed = dataclasses.replace(found, quality=75, largest=(480, 640), task="fine", classes=1000)
    rows = dict(cells(show(summary.data_table(changed))))
    assert rows["quality"] == "75"
    assert rows["heights × widths"] == "48×64 to 480×640 pixels; crops of 32×32"
    assert rows["classes"] == "1,000 (fine)"


def test_the_plan_is_told():
    plan = PlanFacts(
        devices=("NVIDIA H200",) * 8,
        replicas=16,
        hosts=2,
        batch_size=2048,
        steps_per_epoch=625,
        epochs=120,
        first_step=1000,
        settings={"precision": "mixed_bfloat16"},
    )
    assert plan.total_steps == 75_000
    assert dict(cells(show(summary.plan_table(plan)))) == {
        "devices": "8 × NVIDIA H200",
        "replicas": "16 on 2 hosts",
        "batch": "2,048 images, 128 a replica",
        "steps": "75,000 = 120 epochs of 625; 1,000 done",
        "precision": "mixed_bfloat16",
    }
    small = PlanFacts(("CPU",), 1, 1, 32, 10, 2)
    rows = dict(cells(show(summary.plan_table(small))))
    assert rows == {
        "devices": "1 × CPU",
        "replicas": "1 on 1 host",
        "batch": "32 images",
        "steps": "20 = 2 epochs of 10",
    }


def test_everything_fits_80_columns_and_40_lines(tmp_path, facts):
    write_drawn_dataset(tmp_path / ("a/long/path/" * 10), train=6, test=3)
    directory = tmp_path / ("a/long/path/" * 10)
    info = load_dataset_info(directory)
    data = summary.describe_data(info, directory, num_frequencies=8, image_size=32, task="fine")
    half = tuple(
        dataclasses.replace(stage, dtypes=("bfloat16", "float32")) for stage in facts.stages
    )
    stem = Stage("conv1", (112, 112, 64), 6, 999_900_000, 999_900_000, ("float32",))
    widest: NetworkFacts = dataclasses.replace(facts, stages=(stem, *half))
    plan = PlanFacts(("NVIDIA H200",) * 8, 64, 8, 8192, 1680, 120, 3000, {"precision": "float16"})
    text = show(summary.network_table(widest), summary.data_table(data), summary.plan_table(plan))
    assert len(text.splitlines()) <= 40
    # What does not fit would end in an ellipsis; the long path begins with one.
    assert text.count("…") == 1
    assert "/path" in dict(cells(show(summary.data_table(data))))["folder"]
    assert "bfloat16, float32" in text


def test_facts_can_be_written_as_json(tmp_path, facts):
    write_drawn_dataset(tmp_path, train=6, test=3)
    info = load_dataset_info(tmp_path)
    data = summary.describe_data(info, tmp_path, num_frequencies=8, image_size=32, task="fine")
    plan = PlanFacts(("CPU",), 1, 1, 32, 10, 2)
    for value in (facts, data, plan):
        json.dumps(dataclasses.asdict(value), allow_nan=False)


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (1000, "1.00 k"), (25_571_112, "25.57 M"), (3_858_000_000, "3.86 G"),
     (254_000, "254.0 k"), (10**16, "10,000.0 T")],
)  # fmt: skip
def test_counts_have_a_unit(number, text):
    assert summary.describe_count(number) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.00 kB"), (190_500_000, "190.5 MB")],
)
def test_bytes_have_a_unit(size, text):
    assert summary.describe_bytes(size) == text
