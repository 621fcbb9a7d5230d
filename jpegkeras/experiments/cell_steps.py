"""What the process of a cell does: it trains, or continues, evaluates, and gathers the result."""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
import shutil
import sys
import time
from collections.abc import Mapping
from typing import Any

import keras
import rich.console
import tensorflow as tf

from jpegkeras.bands import Bands, read_bands
from jpegkeras.checkpoints import find_checkpoint, read_description, restore_network
from jpegkeras.config import TrainConfig
from jpegkeras.dataset_info import load_dataset_info
from jpegkeras.description import NetworkDescription
from jpegkeras.errors import InputError
from jpegkeras.evaluation import Evaluator
from jpegkeras.experiments.cell_files import EVALUATIONS, GATE, CellSpec
from jpegkeras.experiments.cells import Variant
from jpegkeras.experiments.config import crop_size, learns_bands
from jpegkeras.experiments.results import DONE, CellResult, EvaluationResult, GateResult
from jpegkeras.files import write_json
from jpegkeras.input_pipeline import Source, evaluation_batches
from jpegkeras.learned_bands import BANDS_FILE, MAPS_FILE, write_learned_bands
from jpegkeras.run_log import RUN_FILE
from jpegkeras.training import train

_WIDTH = 120


def run(spec: CellSpec) -> CellResult:
    """Does what is missing of a cell; returns its result.

    Leaves `evaluations/<variant>.json` in the run's folder for each variant, besides what a
    training leaves; `best/` is removed, as the test split has chosen it. A network that learns its
    bands is trained with its gate first, in the folder `gate`, and then afresh on the fixed list
    that came of it.

    Raises what `jpegkeras.training.train` raises, and InputError for a network that has diverged or
    data sets that do not fit together.
    """
    training, gate = spec.training, None
    if learns_bands(training):
        bands, gate = _learn_bands(spec)
        # The lists themselves: the folder may be moved.
        training = dataclasses.replace(training, bands=bands.to_text())
    facts = _train(spec, training, spec.workdir)
    trained = _Trained(spec, spec.workdir)
    own = trained.evaluate(spec.cell.variant)
    others = tuple(trained.evaluate(variant) for variant in spec.evaluated_on)
    evaluations = [_result(evaluation, spec.run) for evaluation in (own, *others)]
    return dataclasses.replace(
        spec.pending(),
        state=DONE,
        image_size=spec.training.image_size,
        epochs=spec.training.epochs,
        train_records=facts["data"]["records"]["train"],
        train_seconds=_seconds(facts, spec.training.batch_size, own["seconds"]),
        multiply_adds=facts["network"]["multiply_adds"],
        parameters=facts["network"]["parameters"],
        own=evaluations[0],
        others=tuple(evaluations[1:]),
        classes=tuple(own["classes"]),
        confusion=tuple(map(tuple, own["confusion"])),
        bands=_bands(spec.workdir).to_dict() if training.bands else None,
        gate=gate,
    )


def _learn_bands(spec: CellSpec) -> tuple[Bands, GateResult]:
    """Trains the network with its gate; returns the list that comes of it, and how it went."""
    folder, directory = spec.workdir / GATE, spec.records[spec.cell.variant.key].directory
    facts = _train(spec, spec.training, folder)
    own = _Trained(spec, folder).evaluate(spec.cell.variant)
    file = folder / BANDS_FILE
    # The maps come last.
    if not (file.is_file() and (folder / MAPS_FILE).is_file()):
        write_learned_bands(folder, directory)
    run = f"{spec.run}/{GATE}"
    result = GateResult(
        own=_result(own, run),
        train_seconds=_seconds(facts, spec.training.batch_size, own["seconds"]),
        multiply_adds=facts["network"]["multiply_adds"],
        mean_kept=json.loads(file.read_text("utf-8"))["mean_kept"],
        bands_file=f"{run}/{BANDS_FILE}",
    )
    # What comes next finds its process as a new one would.
    keras.utils.clear_session()
    return read_bands(str(file)), result


def _train(spec: CellSpec, training: TrainConfig, folder: pathlib.Path) -> dict[str, Any]:
    """Trains, or continues, unless the whole training is done; returns what `run.json` tells."""
    facts = _finished_run(training, folder)
    if facts is None:
        console = rich.console.Console(file=sys.stdout, width=_WIDTH)
        train(training, spec.records[spec.cell.variant.key].directory, folder, console)
        facts = _finished_run(training, folder)
        if facts is None:
            raise InputError(f"{folder / RUN_FILE}: does not tell of a finished run.")
    shutil.rmtree(folder / "best", ignore_errors=True)
    return facts


def _bands(folder: pathlib.Path) -> Bands:
    """Returns the bands of the network that a folder holds."""
    description = read_description(find_checkpoint(folder))
    return description.bands or Bands.lowest(*[description.num_frequencies] * 3)


class _Trained:
    """The network that a folder holds, evaluated at any size of its input."""

    def __init__(self, spec: CellSpec, folder: pathlib.Path) -> None:
        self._spec = spec
        self._folder = folder
        self._checkpoint = find_checkpoint(folder)
        self._network: tuple[NetworkDescription, keras.Model] | None = None
        self._evaluators: dict[int, Evaluator] = {}

    def evaluate(self, variant: Variant) -> dict[str, Any]:
        """Returns what the evaluation's file holds, which it writes unless it is there already."""
        spec = self._spec
        records = spec.records[variant.key]
        path = self._folder / EVALUATIONS / f"{variant.key}.json"
        same = {"training_digest": spec.training_digest, "records_digest": records.digest}
        found = _load(path)
        if found is not None and same.items() <= found.items():
            return found
        description, _ = self._restored()
        size = crop_size(variant.resolution)
        info = load_dataset_info(records.directory)
        names = info.class_names(spec.cell.task)
        if names != list(description.class_names):
            raise InputError(f"{records.directory}: its classes are not those of the training.")
        source = Source(
            pathlib.Path(records.directory),
            info,
            description.num_frequencies,
            size,
            spec.cell.task,
        )
        batches = evaluation_batches(source, split="test", batch_size=spec.training.batch_size)
        print(f"evaluating on {variant.key}, {source.records('test')} records", flush=True)
        evaluator, clock = self._evaluator(size), _Clock()
        evaluation = evaluator.evaluate(batches, clock.tick)
        if not math.isfinite(evaluation.loss):
            raise InputError(f"{self._checkpoint}: its loss on {variant.key} is {evaluation.loss}.")
        content = {
            **same,
            "cell": spec.cell.key,
            "variant": dataclasses.asdict(variant),
            "checkpoint": self._checkpoint,
            "data_dir": records.directory,
            "split": "test",
            "image_size": size,
            "seconds": clock.seconds,
            **evaluation.to_dict(names),
        }
        path.parent.mkdir(exist_ok=True)
        write_json(path, content)
        return content

    def _restored(self) -> tuple[NetworkDescription, keras.Model]:
        if self._network is None:
            self._network = restore_network(self._checkpoint)
        return self._network

    def _evaluator(self, size: int) -> Evaluator:
        if size not in self._evaluators:
            description, model = self._restored()
            if size != description.image_size:
                # Convolutions and a mean over places: the same weights at any size.
                weights = model.get_weights()
                model = dataclasses.replace(description, image_size=size).build()
                model.set_weights(weights)
            self._evaluators[size] = Evaluator(
                model, len(description.class_names), tf.distribute.get_strategy()
            )
        return self._evaluators[size]


class _Clock:
    """The seconds that all batches take, if the first, which takes longer, is as the rest."""

    def __init__(self) -> None:
        self._times = [time.monotonic()]

    def tick(self, _: int) -> None:
        """Is called after each batch."""
        self._times.append(time.monotonic())

    @property
    def seconds(self) -> float:
        """The seconds of all."""
        begun, first, *rest = self._times
        if not rest:
            return first - begun
        return (rest[-1] - first) * (len(rest) + 1) / len(rest)


def _finished_run(training: TrainConfig, folder: pathlib.Path) -> dict[str, Any] | None:
    """Returns what `run.json` tells if the whole training is done."""
    facts = _load(folder / RUN_FILE)
    if facts is None or facts.get("state") != "finished":
        return None
    settings = json.loads(json.dumps(dataclasses.asdict(training)))
    if training.bands:
        # It follows from the bands.
        del settings["num_frequencies"]
    epochs = facts.get("epochs") or [{}]
    done = epochs[-1].get("epoch") == training.epochs
    return facts if done and settings.items() <= facts["settings"].items() else None


def _seconds(facts: Mapping[str, Any], batch_size: int, evaluation: float) -> float:
    """Returns what the steps took, by the epochs' speed, and as many evaluations as epochs."""
    epochs = facts["epochs"]
    usual = facts["images_per_second"]
    images = epochs[0]["step"] * batch_size
    # An epoch that was continued at its very end has no speed of its own.
    steps = sum(images / (row.get("images_per_second") or usual or math.inf) for row in epochs)
    return steps + len(epochs) * evaluation


def _result(content: Mapping[str, Any], run: str) -> EvaluationResult:
    """Returns an evaluation of a run, whose folder is given below the results' folder."""
    variant = Variant(**content["variant"])
    return EvaluationResult(
        resolution=variant.resolution,
        quality=variant.quality,
        top1=content["top1"],
        top5=content["top5"],
        loss=content["loss"],
        records=content["records"],
        file=f"{run}/{EVALUATIONS}/{variant.key}.json",
    )


def _load(path: pathlib.Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
