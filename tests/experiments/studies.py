"""Studies small enough for tests: a folder of drawn JPEGs, few steps, the tiny network."""

from __future__ import annotations

import dataclasses
import io
import pathlib
import sys

import rich.console

from jpegkeras.config import TrainConfig
from jpegkeras.experiments import runner
from jpegkeras.experiments.config import StudyConfig
from jpegkeras.experiments.datasets import Input
from jpegkeras.experiments.networks import (
    DIFFICULTY,
    NETWORKS,
    QUALITY,
    RESOLUTION,
    SELECTIONS,
)
from preprocess.sources import SourceSpec

# `tests.networks.TINY` and `tests.band_networks.TINY_BANDS`; processes that only start others do
# without TensorFlow.
TINY, TINY_BANDS = "tiny", "tiny_bands"
ALL = (DIFFICULTY, RESOLUTION, QUALITY)
STAND_INS = (sys.executable, "-m", "tests.experiments.stand_ins")
WITH_TINY = (sys.executable, "-m", "tests.experiments.with_tiny")
CONFIG = StudyConfig(
    networks=("rgb", "fbs16"),
    resolutions=(32, 48),
    qualities=(50, 90),
    resolution=32,
    quality=90,
    training=TrainConfig(
        batch_size=4,
        epochs=2,
        learning_rate=0.02,
        batch_norm_momentum=0.9,
        strategy="none",
        log_every_steps=1,
        checkpoint_every_steps=3,
    ),
)


def make_networks_tiny():
    """Puts tiny networks in the places of two of the paper's, and of those on other bands.

    These take 12 bands. Returns what undoes it.
    """
    before, selections = dict(NETWORKS), dict(SELECTIONS)
    for key, num_frequencies in (("rgb", 8), ("fbs16", 4)):
        NETWORKS[key] = dataclasses.replace(
            NETWORKS[key], model=TINY, num_frequencies=num_frequencies
        )
    for key, bands in (
        ("y32c8", "y:8,c:2"),
        ("set48", "y=0-7,cb=0+2,cr=0+2"),
        ("energy16", "energy:4"),
        ("info16", "information:4"),
        ("learned16", "learned:4"),
    ):
        SELECTIONS[key] = dataclasses.replace(
            SELECTIONS[key], model=TINY_BANDS, num_frequencies=4, bands=bands
        )

    def undo():
        NETWORKS.update(before)
        SELECTIONS.update(selections)

    return undo


def write_images(folder, per_class=12):
    """Writes three classes of JPEGs and labels.csv, which has two coarse ones; returns the input.

    A fifth of each class, 2 of 12, goes to the test split.
    """
    from tests.datasets import draw_jpeg

    folder = pathlib.Path(folder)
    for label, name in enumerate(("across", "down", "grain")):
        (folder / "images" / name).mkdir(parents=True)
        for number in range(per_class):
            data = draw_jpeg(label, number)
            (folder / "images" / name / f"{name}{number}.jpg").write_bytes(data)
    labels = folder / "labels.csv"
    labels.write_text(
        "class,name,coarse\nacross,Across,stripes\ndown,Down,stripes\ngrain,Grain,grain\n"
    )
    return Input(SourceSpec(input_dir=str(folder / "images")), str(labels), title="drawn")


def request(given, folder, studies=ALL, **changes):
    """What to ask `runner.run` for; fields of `StudyConfig` and of `Request` may be changed."""
    names = {field.name for field in dataclasses.fields(StudyConfig)}
    config = dataclasses.replace(
        CONFIG, **{name: value for name, value in changes.items() if name in names}
    )
    rest = {name: value for name, value in changes.items() if name not in names}
    return runner.Request(
        studies, config, "test.json", str(folder), given, **{"workers": 1, **rest}
    )


def run(asked, launcher=STAND_INS):
    """Runs studies; returns how many cells failed, and what was printed."""
    out = io.StringIO()
    failed = runner.run(asked, rich.console.Console(file=out, width=200), launcher)
    return failed, out.getvalue()
