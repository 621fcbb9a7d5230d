"""The records that the input pipelines are measured on: of coefficients, and of the same JPEGs."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from jpegkeras.example_proto import Example
from jpegkeras.tfrecord_files import RecordFileWriter
from jpegkeras.transcoding import Transcoding
from preprocess import job
from preprocess.config import PreprocessConfig

#: Of our pipeline; what follows them is drawing random numbers, and unpacking.
STAGES = ("reading", "shuffling", "parsing", "checks, bytes to numbers")
SHARDS = 8
_CLASSES = 10
# A data set must have some; nobody reads them.
_TESTS = 8


def write_images(folder: pathlib.Path, jpegs: Sequence[bytes]) -> pathlib.Path:
    """Writes the JPEGs and returns the CSV that lists them."""
    folder.mkdir()
    lines = ["path,label,split"]
    for number, jpeg in enumerate(jpegs):
        name = f"{number:05d}.jpg"
        (folder / name).write_bytes(jpeg)
        lines.append(f"{name},{number % _CLASSES},{'test' if number < _TESTS else 'train'}")
    table = folder / "list.csv"
    table.write_text("\n".join(lines) + "\n")
    return table


def write_coefficients(
    table: pathlib.Path, folder: pathlib.Path, num_frequencies: int, compression: str
) -> None:
    """Makes a data set of the images of a CSV with the preprocessing job."""
    job.run(
        PreprocessConfig(
            input_csv=str(table),
            output_dir=str(folder),
            workers=1,
            train_shards=SHARDS,
            test_shards=1,
            compression=compression,
            transcoding=Transcoding(num_frequencies=num_frequencies),
        )
    )


def write_jpegs(jpegs: Sequence[bytes], folder: pathlib.Path) -> None:
    """Writes the images of the train split as uncompressed TFRecords of JPEGs and labels."""
    folder.mkdir()
    for shard in range(SHARDS):
        with RecordFileWriter(folder / f"train-{shard}.tfrecord", "none") as writer:
            for number in range(_TESTS + shard, len(jpegs), SHARDS):
                example = Example()
                feature = example.features.feature
                feature["jpeg"].bytes_list.value.append(jpegs[number])
                feature["label"].int64_list.value.append(number % _CLASSES)
                writer.write(example.SerializeToString())
