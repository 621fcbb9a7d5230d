"""Which bands a network looks at: the texts of --bands, the lists, and networks trained on them."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import json
import multiprocessing
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import rich.console
import tensorflow as tf

from jpegkeras import learned_bands, models, training
from jpegkeras.bands import (
    ENERGY,
    FILE,
    FORMS,
    INFORMATION,
    LEARNED,
    Bands,
    Selection,
    parse_bands,
    published_bands,
    read_bands,
    select_bands,
    top_bands,
)
from jpegkeras.checkpoints import find_checkpoint, read_description, restore_network
from jpegkeras.complexity import measure
from jpegkeras.config import TrainConfig, make_config
from jpegkeras.dataset_info import load_dataset_info
from jpegkeras.description import NetworkDescription
from jpegkeras.errors import InputError
from jpegkeras.export import export
from jpegkeras.input_pipeline import Source, evaluation_batches
from jpegkeras.models import gating
from jpegkeras.models.folding import fold_batch_norm
from jpegkeras.run_log import Progress
from jpegkeras.training_setup import prepare
from tests import band_networks
from tests.datasets import draw_jpeg, write_drawn_dataset
from tests.test_layers import ZIGZAG_FIGURE
from tests.test_models import random_inputs, randomize_weights, statistics

LUMA = Bands((0, 1, 2, 5), (0, 3), (0,))


# Texts and lists.


def lowest(*counts):
    return Bands(*(tuple(range(count)) for count in counts))


@pytest.mark.parametrize(
    ("text", "bands"),
    [
        ("lowest:1", lowest(1, 1, 1)),
        ("lowest:64", lowest(64, 64, 64)),
        ("y:32,c:8", lowest(32, 8, 8)),
        ("y:32,cb:8,cr:4", lowest(32, 8, 4)),
        ("cr:4,y:32,cb:8", lowest(32, 8, 4)),
        ("y=0-2+5,cb=0+3,cr=0", LUMA),
        ("y=5+0-2,cr=0,cb=3+0", LUMA),
        ("y=0,c=0-63", Bands((0,), tuple(range(64)), tuple(range(64)))),
        ("y=63,c=62-63", Bands((63,), (62, 63), (62, 63))),
    ],
)
def test_a_text_gives_lists(text, bands):
    assert parse_bands(text).bands == bands
    assert parse_bands(bands.to_text()).bands == bands


@pytest.mark.parametrize("kind", [ENERGY, INFORMATION, LEARNED])
def test_a_text_can_ask_for_the_data_sets_bands(kind):
    choice = parse_bands(f"{kind}:16")
    assert (choice.kind, choice.count, choice.bands) == (kind, 16, None)


def test_a_text_can_name_a_file():
    choice = parse_bands("@runs/a=b,c:1.json")
    assert (choice.kind, choice.path) == (FILE, "runs/a=b,c:1.json")


@pytest.mark.parametrize("text", FORMS)
def test_every_form_is_understood(text):
    parse_bands(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("16", "it must be one of lowest:16, y:32,c:8"),
        ("all", "it must be one of"),
        ("lowest", "it must be one of"),
        ("lowest:", "number must be from 1 to 64. Example: --bands=lowest:16"),
        ("lowest:0", "number must be from 1 to 64"),
        ("lowest:65", "number must be from 1 to 64"),
        ("lowest:-3", "number must be from 1 to 64"),
        ("lowest:16.5", "number must be from 1 to 64"),
        ("lowest:1" + "0" * 5000, "number must be from 1 to 64"),
        ("lowest: 16", "number must be from 1 to 64"),
        ("lowest:²", "number must be from 1 to 64"),
        ("energy:0", "Example: --bands=energy:16"),
        ("information:x", "Example: --bands=information:16"),
        ("learned:65", "Example: --bands=learned:16"),
        ("channels:32", "published sets have 24, 48 or 64 bands. Example: --bands=channels:48"),
        ("highest:16", "'highest:16' is not understood. Example: --bands=y:32,c:8"),
        ("y:32", "cb and cr missing"),
        ("y:32,cb:8", "cr missing"),
        ("y:32,c:0", "each number must be from 1 to 64"),
        ("y:32,c:65", "each number must be from 1 to 64"),
        ("y:32,c:", "each number must be from 1 to 64"),
        ("y:32,c:8,cb:8", "cb is there twice"),
        ("y:32,y:32,c:8", "y is there twice"),
        ("y:32;c:8", "cb and cr missing"),
        ("r:32,g:8", "'r:32' is not understood"),
        ("y=0-15,cb=0-3", "cr missing. Example: --bands=y=0-15+20,cb=0-3,cr=0-3"),
        ("y=0-64,c=0", "positions are from 0 to 63"),
        ("y=64,c=0", "positions are from 0 to 63"),
        ("y=5-3,c=0", "ranges ascending"),
        ("y=,c=0", "'' is no list of positions"),
        ("y=0--3,c=0", "'0--3' is no list"),
        ("y=0+,c=0", "'0+' is no list"),
        ("y=0-3+2,c=0", "a position of y is there twice"),
        ("y=1" + "0" * 5000 + ",c=0", "is no list of positions"),
        ("=", "'=' is not understood"),
        ("@", "the name of a file is missing"),
        ("two\nlines", "two lines: it must be one of"),
    ],
)
def test_a_mistake_in_a_text_is_one_line_with_an_example(text, words):
    with pytest.raises(InputError) as caught:
        parse_bands(text)
    message = str(caught.value)
    assert words in message
    assert "Example: --bands=" in message
    assert "\n" not in message
    with pytest.raises(InputError):
        TrainConfig(bands=text)


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        (((), (0,), (0,)), "y has none"),
        (((0,), (0,), ()), "cr has none"),
        (((0,), (0, 64), (0,)), "cb has 64"),
        (((0,), (-1,), (0,)), "cb has -1"),
        (((0.0,), (0,), (0,)), "y has 0.0"),
        (((True,), (0,), (0,)), "y has True"),
        (((1, 0), (0,), (0,)), "ascending"),
        (((0,), (0,), (2, 2)), "each once"),
    ],
)
def test_other_lists_are_refused(lists, words):
    with pytest.raises(ValueError, match=words):
        Bands(*lists)


def test_what_is_known_of_lists():
    assert LUMA.total == 7
    assert LUMA.counts == (4, 2, 1)
    assert LUMA.highest == 5
    assert LUMA.to_text() == "y=0-2+5,cb=0+3,cr=0"
    assert not LUMA.is_lowest
    assert not lowest(4, 2, 2).is_lowest
    assert lowest(4, 4, 4).is_lowest


def test_the_published_sets_are_those_of_their_figure():
    # ITU-T T.81 figure A.6 says of each place in a block which position it has.
    figure = np.array(ZIGZAG_FIGURE.split(), int).reshape(8, 8)
    luma = {total: np.zeros((8, 8), bool) for total in (24, 48, 64)}
    luma[24][:4, :4] = True
    luma[48][:4, :6] = True
    luma[48][4:6, :4] = True
    luma[64][:2, :7] = True
    luma[64][2:7, :6] = True
    chroma = {24: [0, 1, 8, 9], 48: [0, 1, 2, 8, 9, 10, 16, 17]}
    chroma[64] = [*chroma[48], 24, 25]
    counts = {24: (16, 4, 4), 48: (32, 8, 8), 64: (44, 10, 10)}
    for total, mask in luma.items():
        bands = parse_bands(f"channels:{total}").bands
        assert bands == published_bands(total)
        assert bands.counts == counts[total]
        assert {*bands.y} == {*figure[mask].tolist()}
        assert {*bands.cb} == {*bands.cr} == {*figure.ravel()[chroma[total]].tolist()}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read (No such file or directory)"),
        ("", "It must be JSON of zigzag positions"),
        ("[1]", "it does not hold lists y, cb and cr"),
        ('{"y": [0], "cb": [0]}', "it does not hold lists"),
        ('{"y": [0], "cb": [0], "cr": 3}', "it does not hold lists"),
        ('{"y": [0], "cb": [0], "cr": [64]}', "cr has 64"),
        ('{"y": [0], "cb": [0], "cr": ["1"]}', "cr has '1'"),
        ('{"y": [1, 0], "cb": [0], "cr": [0]}', "must be ascending"),
        ("[" * 100_000, "It must be JSON"),
        (b"\xff\xfe", "It must be JSON"),
    ],
)
def test_a_mistake_in_a_file_is_one_line_with_an_example(tmp_path, content, words):
    path = tmp_path / "bands.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as caught:
        read_bands(str(path))
    message = str(caught.value)
    assert message.startswith(f"--bands=@{path}: ")
    assert words in message
    assert '{"y": [0, 1, 2, 3]' in message
    assert "\n" not in message


# What they are on a data set.


def no_information():
    raise AssertionError("nothing was to be measured")


def select(text, available=64, stds=None, information=no_information):
    rng = np.random.default_rng(4)
    stds = stds or {key: rng.uniform(0, 9, available).tolist() for key in ("y", "cb", "cr")}
    statistics = {key: {"mean": [9e9] * available, "std": stds[key]} for key in stds}
    return select_bands(text, available, statistics, information)


def test_lists_need_no_more_frequencies_than_their_highest():
    assert select("y=0-2+5,cb=0+3,cr=0") == Selection(6, LUMA)
    assert select("y:32,c:8") == Selection(32, lowest(32, 8, 8))


@pytest.mark.parametrize("text", ["lowest:8", "y:8,c:8", "y=0-7,cb=0-7,cr=0-7"])
def test_the_lowest_are_those_of_a_number_of_frequencies(text):
    assert select(text) == Selection(8)


def test_learned_bands_begin_with_all():
    assert select("learned:5", available=20) == Selection(20, learned=5)


def test_a_file_is_read(tmp_path):
    path = tmp_path / "bands.json"
    path.write_text(json.dumps({**LUMA.to_dict(), "keep": {"y": [1.0]}}))
    assert select(f"@{path}") == Selection(6, LUMA)


@pytest.mark.parametrize("n", [2, 7, 64])
def test_energy_is_the_variance(n):
    rng = np.random.default_rng(n)
    variances = rng.permutation(192).reshape(3, 64) + 1.0
    stds = {key: np.sqrt(row).tolist() for key, row in zip(("y", "cb", "cr"), variances)}
    # Each DC in any case, then whatever is highest.
    ranked = variances.copy()
    ranked[:, 0] = np.inf
    chosen = np.zeros(192, bool)
    chosen[np.argsort(-ranked.ravel())[: 3 * n]] = True
    found = select(f"energy:{n}", stds=stds)
    lists = [np.flatnonzero(row).tolist() for row in chosen.reshape(3, 64)]
    if n == 64:
        assert found == Selection(64)
    else:
        assert found.bands == Bands(*map(tuple, lists))
        assert found.bands.total == 3 * n
        assert found.num_frequencies == max(max(row) for row in lists) + 1


def test_information_is_measured_when_it_is_asked_for():
    bits = {"y": [0.0, 0.1, 0.9, 0.8], "cb": [0.5, 0.7, 0, 0], "cr": [0.0, 0, 0, 0]}
    found = select("information:2", available=4, information=lambda: bits)
    assert found.bands == Bands((0, 2, 3), (0, 1), (0,))


def test_of_equal_scores_the_lower_frequencies_come_first():
    scores = {key: [0.0] * 64 for key in ("y", "cb", "cr")}
    assert top_bands(scores, 3) == lowest(1, 1, 1)
    assert top_bands(scores, 4) == lowest(2, 1, 1)
    assert top_bands(scores, 48) == lowest(16, 16, 16)
    pairs = {key: [(1, 0.5)] * 4 for key in ("y", "cb", "cr")}
    pairs["cr"] = [(1, 0.5), (1, 0.6), (0, 0.9), (1, 0.7)]
    assert top_bands(pairs, 5) == Bands((0,), (0,), (0, 1, 3))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("channels:48", "needs 41 frequencies of a component, but the records hold 8"),
        ("lowest:9", "needs 9 frequencies of a component, but the records hold 8"),
        ("energy:9", "the records hold 8 frequencies of each component"),
        ("information:9", "the records hold 8 frequencies of each component"),
        ("learned:9", "the records hold 8 frequencies of each component"),
    ],
)
def test_bands_that_the_records_do_not_hold_are_an_error(text, words):
    with pytest.raises(InputError, match=words):
        select(text, available=8)


# The settings of a run.


def test_a_number_of_frequencies_beside_bands_is_an_error():
    with pytest.raises(InputError, match="leave --num_frequencies out"):
        make_config("smoke", bands="y:8,c:2", num_frequencies=8)
    assert make_config("smoke", bands="y:8,c:2").bands == "y:8,c:2"


def test_a_cost_without_a_gate_is_an_error():
    for bands in (None, "y:8,c:2", ""):
        with pytest.raises(InputError, match="--bands_cost is for networks that learn"):
            make_config("smoke", bands=bands, bands_cost=1.0)
    assert make_config("smoke", bands="learned:4", bands_cost=1.0).bands_cost == 1.0
    with pytest.raises(InputError, match="--bands_cost must not be negative"):
        make_config("smoke", bands="learned:4", bands_cost=-1.0)


def description(**changes):
    return NetworkDescription(
        model="resnet50_dct",
        num_frequencies=6,
        image_size=32,
        sampling="4:2:0",
        task="fine",
        class_names=("a", "b"),
        statistics=statistics(6),
        batch_norm_momentum=0.9,
        transcoding={},
        **changes,
    )


def test_descriptions_travel_with_their_bands():
    for changes in ({}, {"bands": LUMA}, {"learned_bands": 2}):
        mine = description(**changes)
        assert NetworkDescription.from_json(mine.to_json()) == mine


def test_descriptions_of_before_have_all_bands():
    content = json.loads(description().to_json())
    del content["bands"], content["learned_bands"]
    assert NetworkDescription.from_json(json.dumps(content)) == description()


def test_descriptions_tell_other_bands():
    found = description(bands=LUMA).differences(description())
    assert found == ["bands is y=0-2+5,cb=0+3,cr=0, not all"]
    found = description(learned_bands=2).differences(description())
    assert found == ["learned_bands is 2, not 0"]
    assert not description(bands=LUMA).differences(description(bands=LUMA))


# The networks.


def test_equal_totals_cost_the_same():
    # 3×16 of dos Santos et al. 2020, the published 32/8/8, and a list with gaps.
    gaps = Bands.from_lists({"y": range(1, 60, 2), "cb": [0, 63], "cr": range(16)})
    assert gaps.total == 48
    expected = measure(models.build_model("resnet50_dct", 16))
    for bands in (published_bands(48), lowest(32, 8, 8), gaps):
        model = models.build_model("resnet50_dct", bands=bands)
        found = measure(model)
        assert found.multiply_adds == expected.multiply_adds
        assert found.parameters == expected.parameters
        assert model.name == "resnet50_dct_" + "_".join(map(str, bands.counts))


@pytest.mark.parametrize(("total", "width"), [(24, 32), (48, 64), (64, 84)])
def test_stage_2_is_as_wide_as_there_are_bands(total, width):
    model = models.build_model("resnet50_dct", 64, 3, 32, bands=published_bands(total))
    assert model.get_layer("conv2_block1_1_conv").filters == width
    assert model.get_layer("concat").output.shape[-1] == total


def test_the_lowest_are_the_network_of_fewer_frequencies():
    plain = models.build_model("resnet50_dct", 4, 5, 32, statistics=statistics())
    chosen = models.build_model(
        "resnet50_dct", 16, 5, 32, statistics=statistics(), bands=lowest(4, 4, 4)
    )
    same = models.build_model("resnet50_dct", 4, 5, 32, bands=lowest(4, 4, 4))
    assert chosen.name == plain.name == same.name
    assert [w.path for w in chosen.weights] == [w.path for w in plain.weights]
    assert [layer.name for layer in same.layers] == [layer.name for layer in plain.layers]
    randomize_weights(plain)
    chosen.set_weights(plain.get_weights())
    inputs = random_inputs(32, 16)
    np.testing.assert_array_equal(
        chosen(inputs), plain({key: value[..., :4] for key, value in inputs.items()})
    )


@pytest.mark.parametrize("sampling", models.CHROMA_FACTORS)
def test_a_network_sees_its_bands_and_no_others(sampling):
    model = models.build_model(
        "resnet50_dct", 8, 5, 32, statistics=statistics(), sampling=sampling, bands=LUMA
    )
    assert model.input["cb"].shape[-1] == 8
    joined = keras.Model(model.input, model.get_layer("concat").output)
    inputs = random_inputs(32, 8, sampling)
    found = keras.ops.convert_to_numpy(joined(inputs))
    v, h = models.CHROMA_FACTORS[sampling]
    parts = []
    for place, (key, positions) in enumerate(LUMA.to_dict().items()):
        values = inputs[key].astype(float) * inputs["quantization"][:, place, None, None]
        known = statistics()[key]
        values = (values - known["mean"][:8]) / known["std"][:8]
        if key != "y":
            values = values.repeat(v, axis=1).repeat(h, axis=2)
        parts += [values[..., position] for position in positions]
    np.testing.assert_allclose(found, np.stack(parts, axis=-1), rtol=1e-4, atol=1e-5)


def test_inputs_with_yet_more_bands_are_cut():
    cut = models.build_model("resnet50_dct", 8, 5, 32, input_frequencies=64, bands=LUMA)
    plain = models.build_model("resnet50_dct", 6, 5, 32, bands=LUMA)
    randomize_weights(plain)
    cut.set_weights(plain.get_weights())
    inputs = random_inputs(32, 64)
    fewer = {key: value[..., :6] for key, value in inputs.items()}
    np.testing.assert_array_equal(cut(inputs), plain(fewer))


@pytest.mark.parametrize("options", [{"bands": LUMA}, {"learned_bands": 2}], ids=str)
def test_networks_with_bands_are_saved_and_folded_like_others(options, tmp_path):
    model = models.build_model("resnet50_dct", 6, 5, 32, statistics=statistics(), **options)
    state = [w for w in model.weights if "seed" in w.path]
    drawn = [np.array(w) for w in state]
    randomize_weights(model)
    for variable, value in zip(state, drawn):
        variable.assign(value)
    inputs = random_inputs(32, 6)
    expected = keras.ops.convert_to_numpy(model(inputs))
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(restored(inputs), expected)
    folded = fold_batch_norm(model)
    np.testing.assert_allclose(folded(inputs), expected, atol=1e-4, rtol=1e-4)
    if "learned_bands" in options:
        kept = keras.Model(model.input, gating.decisions(model))(inputs)
        assert 0 < np.mean(kept) < 1  # else the gate has had nothing to say
    else:
        assert measure(folded).multiply_adds == measure(model).multiply_adds


def test_what_a_gate_adds_is_small():
    plain = measure(models.build_model("resnet50_dct", 16))
    gated = measure(models.build_model("resnet50_dct", 64, learned_bands=16))
    # Stage 2 is that of 3×16, but its first convolutions see all 192 channels: 28×28 places times
    # 144 channels more into 64 + 256; the gate's own is 192 into 192.
    more = 28 * 28 * 144 * (64 + 256) + 192 * 192
    assert gated.multiply_adds == plain.multiply_adds + more
    assert more < 0.012 * plain.multiply_adds


def test_the_cost_is_that_of_too_many_and_too_few():
    # All of 12 bands, the 6 that are wanted, none, and all at log-odds that count as 3/4.
    log_odds = np.full((4, 1, 1, 12), -9, "float32")
    log_odds[0] = log_odds[1, ..., :6] = 9
    log_odds[3] = np.log(3) / 4
    found = gating.excess_cost(keras.ops.convert_to_tensor(log_odds), 2)
    np.testing.assert_allclose(found, [1.0, 0.0, 1.0, 0.25], atol=1e-6)


# Training.


@pytest.fixture(autouse=True)
def _tiny_network():
    band_networks.add_band_network()
    yield
    band_networks.remove_band_network()


CONFIG = TrainConfig(
    model=band_networks.TINY_BANDS,
    num_frequencies=64,
    image_size=32,
    batch_size=4,
    epochs=2,
    learning_rate=0.02,
    batch_norm_momentum=0.9,
    strategy="none",
    seed=5,
)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("drawn")
    write_drawn_dataset(directory, train=24, test=7)
    return directory


def run(data_dir, workdir, **changes):
    console = rich.console.Console(file=io.StringIO())
    return training.train(dataclasses.replace(CONFIG, **changes), data_dir, workdir, console)


def weights_of(result):
    _, model = restore_network(result.checkpoint)
    return model.get_weights()


@pytest.mark.parametrize("text", ["y=0-2+5,cb=0+3,cr=0", "information:3", "learned:3"])
def test_a_network_on_bands_is_trained_evaluated_and_exported(data_dir, tmp_path, text):
    result = run(data_dir, tmp_path, bands=text, epochs=1)
    assert result.evaluation.records == 7
    assert json.loads((tmp_path / "config.json").read_text())["bands"] == text
    found, model = restore_network(result.checkpoint)
    source = Source(data_dir, load_dataset_info(data_dir), found.num_frequencies, 32, "fine")
    ((features, *_),) = evaluation_batches(source, split="test", batch_size=7)
    expected = model(features)
    directory = export(model, found, tmp_path / "saved_model")
    signatures = tf.saved_model.load(str(directory)).signatures
    records = tf.data.TFRecordDataset(str(data_dir / "test-00000-of-00001.tfrecord"))
    for name, arguments in (
        ("coefficients", features),
        ("serving_default", {"examples": tf.stack(list(records))}),
    ):
        answer = signatures[name](**arguments)["logits"]
        np.testing.assert_allclose(answer, expected, atol=1e-5)
    again = run(data_dir, tmp_path, bands=text, epochs=1)
    assert again.evaluation.top1 == result.evaluation.top1


def test_the_lowest_are_trained_as_a_number_of_frequencies_is(data_dir, tmp_path):
    text = run(data_dir, tmp_path / "a", bands="lowest:4")
    number = run(data_dir, tmp_path / "b", num_frequencies=4)
    assert read_description(text.checkpoint) == read_description(number.checkpoint)
    for one, two in zip(weights_of(text), weights_of(number)):
        np.testing.assert_array_equal(one, two)


def test_records_are_read_no_further_than_the_highest_band(data_dir):
    setup = prepare(dataclasses.replace(CONFIG, bands="y=0-2+5,cb=0+3,cr=0"), data_dir)
    assert setup.source.num_frequencies == setup.config.num_frequencies == 6
    assert setup.description.bands == LUMA
    assert setup.model.input["y"].shape[-1] == 6


def test_a_network_on_pixels_with_bands_is_an_error(data_dir):
    config = dataclasses.replace(CONFIG, model="resnet50_rgb", bands="y:8,c:2")
    with pytest.raises(InputError, match="--bands is for networks on bands; resnet50_rgb"):
        prepare(config, data_dir)


def test_a_run_is_not_continued_with_other_bands(data_dir, tmp_path):
    path = tmp_path / "bands.json"
    path.write_text(json.dumps(LUMA.to_dict()))
    run(data_dir, tmp_path / "run", bands=f"@{path}", epochs=1)
    path.write_text(json.dumps(Bands((0, 2, 4, 5), (0, 1), (0,)).to_dict()))
    with pytest.raises(InputError, match="bands is y=0-2.*, not y=0.2.4-5"):
        run(data_dir, tmp_path / "run", bands=f"@{path}", epochs=2)


def test_information_is_measured_once(data_dir, tmp_path, monkeypatch):
    write_drawn_dataset(tmp_path / "data", train=12, test=3)
    setup = prepare(dataclasses.replace(CONFIG, bands="information:2"), tmp_path / "data")
    cached = json.loads((tmp_path / "data" / "band_information.json").read_text())
    assert cached["records"] == 12
    monkeypatch.setattr("jpegkeras.band_information.measurement.summarize", no_information)
    again = prepare(dataclasses.replace(CONFIG, bands="information:2"), tmp_path / "data")
    assert again.description == setup.description
    assert setup.description.bands.total == 6


# Training with a gate.

GATED = {"bands": "learned:3", "bands_cost": 20.0}


def kept_of_an_image(setup):
    """The number of bands that an image keeps on average, outside of training."""
    gate = keras.Model(setup.model.input, gating.decisions(setup.model))
    ((features, *_),) = evaluation_batches(setup.source, split="test", batch_size=7)
    return float(np.sum(gate(features)) / 7)


def train_steps(setup, epochs):
    for epoch in range(epochs):
        for features, labels in setup.training_data(epoch):
            setup.step(features, labels, tf.constant(0, tf.int64), tf.constant(0.0))


@pytest.mark.parametrize("augment", ["paper", pytest.param("strong", marks=pytest.mark.long)])
def test_a_gate_comes_to_keep_what_it_is_to(data_dir, augment):
    setup = prepare(dataclasses.replace(CONFIG, augment=augment, **GATED), data_dir)
    assert kept_of_an_image(setup) == 24
    train_steps(setup, 25)
    assert kept_of_an_image(setup) == pytest.approx(9, abs=2)


def test_a_gate_without_cost_keeps_nearly_all(data_dir):
    setup = prepare(dataclasses.replace(CONFIG, bands="learned:3", bands_cost=0.0), data_dir)
    train_steps(setup, 12)
    assert kept_of_an_image(setup) > 18


def test_every_weight_of_the_gate_gets_a_gradient(data_dir):
    setup = prepare(dataclasses.replace(CONFIG, **GATED), data_dir)
    weights = [w for w in setup.model.trainable_variables if "gate" in w.path]
    before = [np.array(w) for w in weights]
    train_steps(setup, 1)
    unchanged = [w.path for w, old in zip(weights, before) if np.array_equal(w, old)]
    # Batch normalisation takes the bias of the convolution before it away again.
    assert [path for path in unchanged if "gate_conv/bias" not in path] == []
    assert len(weights) == 6


@pytest.mark.parametrize(
    "changes",
    [
        {},
        pytest.param({"ema_decay": 0.9}, marks=pytest.mark.long),
        pytest.param({"jit": True}, marks=pytest.mark.long),
    ],
    ids=str,
)
def test_a_killed_run_with_a_gate_continues_bit_for_bit(data_dir, tmp_path, monkeypatch, changes):
    options = {"checkpoint_every_steps": 2, **GATED, **changes}
    whole = run(data_dir, tmp_path / "whole", **options)

    class StoppedError(Exception):
        pass

    update = Progress.update

    def dying(self, done, images, loss):
        update(self, done, images, loss)
        if done == 5:
            raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "update", dying)
        with pytest.raises(StoppedError):
            run(data_dir, tmp_path / "killed", **options)
    resumed = run(data_dir, tmp_path / "killed", **options)
    for one, two in zip(weights_of(whole), weights_of(resumed)):
        np.testing.assert_array_equal(one, two)
    state = tf.train.load_checkpoint(resumed.checkpoint)
    names = [key for key in state.get_variable_to_shape_map() if "seed_state" in key]
    assert any(state.get_tensor(key)[1] == 12 for key in names)  # draws, one a step


def test_another_seed_draws_otherwise(data_dir, tmp_path):
    one, two = (run(data_dir, tmp_path / str(s), epochs=1, seed=s, **GATED) for s in (1, 2))
    assert any((a != b).any() for a, b in zip(weights_of(one), weights_of(two)))


def _without_noise(data_dir, workdir, **changes):
    """Trains with a gate that draws 1/2 always: the noise of a batch depends on its size."""
    band_networks.add_band_network()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.random, "uniform", lambda shape, *_, **__: keras.ops.full(shape, 0.5))
        return run(data_dir, workdir, epochs=3, **GATED, **changes)


def _on_two_devices(data_dir, workdir, noise):
    band_networks.add_band_network()
    changes = {"strategy": "mirrored", "logical_cpus": 2}
    if noise:
        run(data_dir, workdir, **GATED, **changes)
    else:
        _without_noise(data_dir, workdir, **changes)


def in_another_process(target, *arguments):
    other = multiprocessing.get_context("spawn").Process(target=target, args=arguments)
    other.start()
    other.join()
    assert other.exitcode == 0


def test_the_cost_is_the_same_on_two_devices(data_dir, tmp_path):
    one = weights_of(_without_noise(data_dir, tmp_path / "one"))
    in_another_process(_on_two_devices, data_dir, tmp_path / "two", False)
    _, model = restore_network(find_checkpoint(tmp_path / "two"))
    for path, a, b in zip((w.path for w in model.weights), one, model.get_weights()):
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-5, err_msg=path)


@pytest.mark.slow
def test_a_gate_on_two_devices_is_the_same_each_time(data_dir, tmp_path):
    results = []
    for name in ("a", "b"):
        in_another_process(_on_two_devices, data_dir, tmp_path / name, True)
        _, model = restore_network(find_checkpoint(tmp_path / name))
        results.append(model.get_weights())
    for one, two in zip(*results):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_gate_decides_in_float32_under_half_precision(data_dir, precision):
    config = dataclasses.replace(CONFIG, precision=precision, **GATED)
    setup = prepare(config, data_dir)
    assert setup.model.get_layer("gate").compute_dtype == "float32"
    train_steps(setup, 2)
    assert np.isfinite(kept_of_an_image(setup))


def test_the_learned_bands_are_those_of_most_images(data_dir, tmp_path):
    run(data_dir, tmp_path, **GATED)
    path = learned_bands.write_learned_bands(tmp_path, data_dir)
    assert path == tmp_path / "bands.json"
    found = json.loads(path.read_text())
    _, model = restore_network(find_checkpoint(tmp_path))
    source = Source(data_dir, load_dataset_info(data_dir), 8, 32, "fine")
    gate = keras.Model(model.input, model.get_layer("gate").output)
    kept, likely = [], []
    for features, _, weights in evaluation_batches(source, split="train", batch_size=5):
        decisions, log_odds = (np.array(x)[weights > 0, 0, 0] for x in gate(features))
        kept.append(decisions)
        likely.append(1 / (1 + np.exp(-log_odds)))
    share = np.concatenate(kept).mean(axis=0)
    mean = np.concatenate(likely).mean(axis=0)
    np.testing.assert_allclose(np.concatenate(list(found["keep"].values())), share, atol=1e-6)
    assert found["mean_kept"] == pytest.approx(share.sum())
    assert (found["images"], found["total"], found["split"]) == (24, 9, "train")
    order = sorted(range(24), key=lambda i: (i % 8 == 0, share[i], mean[i]), reverse=True)
    expected = {key: [] for key in ("y", "cb", "cr")}
    for index in sorted(order[:9]):
        expected[("y", "cb", "cr")[index // 8]].append(index % 8)
    assert {key: found[key] for key in expected} == expected
    with (tmp_path / "bands.png").open("rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"
    # And the list is one that a network can be trained on.
    again = run(data_dir, tmp_path / "again", bands=f"@{path}", epochs=1)
    bands = read_description(again.checkpoint).bands
    assert bands == Bands(**{key: tuple(positions) for key, positions in expected.items()})


def test_other_networks_have_no_learned_bands(data_dir, tmp_path):
    run(data_dir, tmp_path, bands="y:8,c:2", epochs=1)
    with pytest.raises(InputError, match="does not learn its bands"):
        learned_bands.write_learned_bands(tmp_path, data_dir)


def test_a_prediction_needs_the_networks_frequencies_alone(data_dir, tmp_path):
    from jpegkeras.prediction import predict_file

    result = run(data_dir, tmp_path, bands="y=0-2+5,cb=0+3,cr=0", epochs=1)
    found, model = restore_network(result.checkpoint)
    (tmp_path / "a.jpg").write_bytes(draw_jpeg(1, 3))
    prediction = predict_file(tmp_path / "a.jpg", model, found)
    assert sum(prediction.probabilities) == pytest.approx(1)


@pytest.mark.slow
def test_networks_on_bands_run_on_jax():
    if importlib.util.find_spec("jax") is None:
        pytest.skip("jax is not installed")
    program = (
        "import numpy as np; from jpegkeras import models; from jpegkeras.bands import Bands\n"
        "from jpegkeras.models import gating\n"
        "import keras\n"
        "shapes = models.input_shapes(32, 6)\n"
        "inputs = {k: np.ones((2, *s), 'int16') for k, s in shapes.items()}\n"
        "for options in ({'bands': Bands((0, 5), (1,), (0,))}, {'learned_bands': 2}):\n"
        "    model = models.build_model('resnet50_dct', 6, 3, 32, **options)\n"
        "    assert model(inputs, training=True).shape == (2, 3)\n"
        "likely = keras.Model(model.input, gating.log_odds(model))(inputs)\n"
        "assert gating.excess_cost(likely, 2).shape == (2,)\n"
    )
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
