"""Measures the input pipelines, all in one process on one core; prints a line of JSON a round.

    python -m benchmarks.pipeline_worker SETTINGS

SETTINGS is JSON: `rgb` (a folder), `data_sets` ([[frequencies, compression, folder], …]), `rounds`,
`batch_size`, `batches`, `shuffle_buffer`. The first line names the rows and the bytes of an image
that each sends to the device, the others have wall and CPU seconds of an image of each row.
"""

from __future__ import annotations

import gc
import json
import os
import pathlib
import sys
import time
from typing import Any

from benchmarks import machine

# Batches that are not timed: they fill the buffers, and trace and compile what is called.
_UNTIMED = 4


def main(arguments: list[str]) -> None:
    settings = json.loads(arguments[0])
    os.sched_setaffinity(0, machine.choose_cores(1))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    rows = _make_rows(settings)
    sizes = {name: _bytes_of_image(row, settings["batch_size"]) for name, row in rows.items()}
    _print(sizes)
    names = list(rows)
    for number in range(settings["rounds"] + 1):
        first = number % len(names)
        times = {name: _time(rows[name], settings) for name in names[first:] + names[:first]}
        if number:
            _print(times)


def _make_rows(settings: dict[str, Any]) -> dict[str, Any]:
    from benchmarks import pipeline_rows

    common = settings["batch_size"], settings["shuffle_buffer"]
    rows = {"rgb": pipeline_rows.rgb(pathlib.Path(settings["rgb"]), *common)}
    for count, compression, folder in settings["data_sets"]:
        folder = pathlib.Path(folder)
        name = f"n={count}, {compression}"
        for kind, row in pipeline_rows.ours(folder, count, *common).items():
            rows[f"{name}: {kind}"] = row
        if compression == "none":
            cropped = pipeline_rows.ours(folder, count, *common, mixed=True)
            for kind in ("packed", "inputs"):
                rows[f"{name}, cropped by the host: {kind}"] = cropped[kind]
        for stage, row in pipeline_rows.stages(folder, count, *common).items():
            rows[f"{name}: {stage}"] = row
    return rows


def _time(row: Any, settings: dict[str, Any]) -> tuple[float, float]:  # noqa: ANN401
    """Returns wall and CPU seconds an image, in the steady state of a fresh iterator."""
    gc.collect()
    iterator = iter(row.batches())
    for _ in range(_UNTIMED):
        _take(iterator, row)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(settings["batches"]):
        _take(iterator, row)
    images = settings["batches"] * settings["batch_size"]
    return (time.perf_counter() - wall) / images, (time.process_time() - cpu) / images


def _take(iterator: Any, row: Any) -> None:  # noqa: ANN401
    batch = next(iterator)
    if row.finish is not None:
        row.finish(batch)


def _bytes_of_image(row: Any, batch_size: int) -> float:  # noqa: ANN401
    """Returns the bytes that a batch of the pipeline has, without its labels, for each image."""
    import tensorflow as tf

    features = next(iter(row.batches()))
    features = features[0] if isinstance(features, tuple) else features
    values = [value for value in tf.nest.flatten(features) if value.dtype != tf.string]
    return sum(int(tf.size(value)) * value.dtype.size for value in values) / batch_size


def _print(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
