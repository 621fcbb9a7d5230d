"""One measurement of benchmarks.preprocessing, in a process of its own; prints a line of JSON.

    python -m benchmarks.job_worker decode LIST    images a second of tf.io.decode_jpeg
    python -m benchmarks.job_worker pillow LIST    … of opening, resizing and saving with Pillow
    python -m benchmarks.job_worker job LIST DIR WORKERS SETTINGS   seconds of the job, its bytes

LIST is a CSV with the columns path,label; SETTINGS is JSON.
"""

from __future__ import annotations

import csv
import io
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable

from benchmarks import machine

_SMALLEST_SIDE, _QUALITY = 256, 75


def main(arguments: list[str]) -> None:
    kind, *rest = arguments
    print(json.dumps({"decode": _decode, "pillow": _pillow, "job": _job}[kind](*rest)))


def _decode(table: str) -> dict[str, float]:
    _hold(1)
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    jpegs = [path.read_bytes() for path in _paths(table)]
    return {"images_per_second": _rate(tf.io.decode_jpeg, jpegs)}


def _pillow(table: str) -> dict[str, float]:
    _hold(1)
    from PIL import Image

    def convert(path: pathlib.Path) -> None:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        scale = _SMALLEST_SIDE / min(picture.size)
        size = tuple(max(_SMALLEST_SIDE, round(side * scale)) for side in picture.size)
        small = picture.resize(size, Image.Resampling.BICUBIC)
        small.save(io.BytesIO(), "JPEG", quality=_QUALITY)

    return {"images_per_second": _rate(convert, _paths(table))}


def _job(table: str, directory: str, workers: str, settings: str) -> dict[str, float]:
    _hold(int(workers))
    from jpegkeras.transcoding import Transcoding
    from preprocess import job
    from preprocess.config import PreprocessConfig

    options = json.loads(settings)
    config = PreprocessConfig(
        input_csv=table,
        output_dir=directory,
        workers=int(workers),
        # Enough of them that the last one keeps no worker waiting for long.
        train_shards=16,
        test_shards=4,
        compression=options.pop("compression"),
        transcoding=Transcoding(**options),
    )
    start = time.perf_counter()
    result = job.run(config)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "bytes_in": result.bytes_in, "bytes_out": result.bytes_out}


def _rate(function: Callable, items: list) -> float:
    for item in items[:50]:
        function(item)
    start = time.perf_counter()
    for item in items:
        function(item)
    return len(items) / (time.perf_counter() - start)


def _paths(table: str) -> list[pathlib.Path]:
    folder = pathlib.Path(table).parent
    with pathlib.Path(table).open(newline="") as file:
        return [folder / row["path"] for row in csv.DictReader(file)]


def _hold(cores: int) -> None:
    os.sched_setaffinity(0, machine.choose_cores(cores))


if __name__ == "__main__":
    main(sys.argv[1:])
