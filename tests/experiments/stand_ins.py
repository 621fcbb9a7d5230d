"""Stands for the processes of the studies, without TensorFlow and in a moment.

    python -m tests.experiments.stand_ins MODULE SPEC.json

A file `stand_ins.json` in the results' folder says which cells end badly: {"cells": {key: how}},
where `how` is "error", "crash", "kill" or "slow"; `started.txt` there lists the cells that were
begun.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import signal
import sys
import time

from jpegkeras.experiments import cell_files
from jpegkeras.experiments.cell import end_with_parent
from jpegkeras.experiments.results import DONE, EvaluationResult

SETTINGS, STARTED = "stand_ins.json", "started.txt"


def started(folder):
    """The keys of the cells that were begun, in order."""
    path = pathlib.Path(folder, STARTED)
    return path.read_text().split() if path.is_file() else []


def bad(folder, **cells):
    """Makes cells end badly; keys with an underscore for what a keyword cannot hold."""
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    pathlib.Path(folder, SETTINGS).write_text(json.dumps({"cells": cells}))


def top1_of(network, variant):
    """What a network of these reaches on a variant."""
    return 0.5 + 0.001 * variant.resolution + 0.0001 * variant.quality + 0.01 * len(network)


def _evaluation(spec, variant):
    path = f"{spec.run}/evaluations/{variant.key}.json"
    top1 = top1_of(spec.cell.network, variant)
    return EvaluationResult(variant.resolution, variant.quality, top1, 0.9, 0.5, 6, path)


def _cell(argument):
    spec = cell_files.load_spec(argument)
    folder = pathlib.Path(spec.output_dir)
    with (folder / STARTED).open("a") as file:
        file.write(f"{spec.cell.key}\n")
    how = None
    if (folder / SETTINGS).is_file():
        how = json.loads((folder / SETTINGS).read_text())["cells"].get(spec.cell.key)
    if how == "error":
        print("some lines before it\nerror: the loss is nan: it has diverged.")
        return 1
    if how == "crash":
        raise RuntimeError("a bug")
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "slow":
        _be_slow(spec)
    result = dataclasses.replace(
        spec.pending(),
        state=DONE,
        image_size=spec.training.image_size,
        epochs=spec.training.epochs,
        train_records=30,
        train_seconds=10.0,
        multiply_adds=1000,
        parameters=100,
        own=_evaluation(spec, spec.cell.variant),
        others=tuple(_evaluation(spec, variant) for variant in spec.evaluated_on),
        classes=({"class": "stripes", "records": 6, "top1": 0.5, "top5": 1.0},),
        confusion=((6,),),
    )
    cell_files.save_result(spec, result)
    return 0


def _be_slow(spec):
    def stop(*_):
        (spec.workdir / "saved").touch()
        sys.exit(143)

    signal.signal(signal.SIGTERM, stop)
    end_with_parent()
    with (spec.workdir / "steps.csv").open("w") as file:
        file.write("step,epoch,learning_rate,loss,top1,images_per_second\n3,1,0.1,1.5,0.2,7\n")
    time.sleep(60)


def _measurements(argument):
    spec = json.loads(pathlib.Path(argument).read_text())
    if spec["what"] == "costs":
        keys = ["/".join(map(str, network)) for network in spec["networks"]]
        row = {"approach": "ResNet-50 + RGB", "input_channels": "3x1", "model": "resnet50_rgb"}
        row.update(num_frequencies=64, paper_gflops=3.86, gflops=3.858)
        row.update(gflops_difference_percent=-0.05, paper_parameters_millions=25.6)
        row.update(parameters=25636712, trainable_parameters=25583592)
        found = {
            # So that larger inputs cost more.
            "costs": {key: 10**6 * int(key.split("/")[2]) for key in keys},
            "complexity": [row],
            "machine": {"cpu": "a processor", "cores": 2, "gpus": []},
        }
    else:
        found = {
            "images_per_second": dict.fromkeys(spec["networks"], 100.0),
            "batch_size": spec["batch_size"],
            "image_size": spec["image_size"],
            "rounds": 7,
            "where": "a processor",
        }
    pathlib.Path(spec["output"]).write_text(json.dumps(found))
    return 0


def main():
    run = {
        "jpegkeras.experiments.cell": _cell,
        "jpegkeras.experiments.measurements": _measurements,
    }
    return run[sys.argv[1]](sys.argv[2])


if __name__ == "__main__":
    sys.exit(main())
