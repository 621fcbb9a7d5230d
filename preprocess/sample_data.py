"""Writes the built-in data set: 12 classes in 4 coarse ones, as JPEGs of every usual kind.

    python -m preprocess.sample_data --output_dir=DIR [--images_per_class=100 --seed=0]

The pictures depend on the seed, their class and their number alone. Sizes, qualities and samplings
vary, a few files are grayscale, have restart markers or optimised Huffman tables, and the first of
each class is progressive.
"""

from __future__ import annotations

import io
import os
import pathlib
import sys

import numpy as np
from absl import flags
from PIL import Image

from jpegkeras import command_line
from jpegkeras.errors import InputError
from jpegkeras.files import TEMPORARY_SUFFIX, replacing
from preprocess.labels import COLUMNS
from preprocess.sample_images import CLASSES, SampleClass, draw_picture
from preprocess.tables import write_table

LABELS_FILE = "labels.csv"
QUALITIES = (60, 95)
# How often each sampling occurs.
_SAMPLINGS = {"4:2:0": 0.5, "4:4:4": 0.25, "4:2:2": 0.2, "gray": 0.05}
_RESTART_FRACTION = 0.08
_OPTIMIZED_FRACTION = 0.08


def write_sample_data(
    output_dir: str | os.PathLike, images_per_class: int = 100, seed: int = 0
) -> pathlib.Path:
    """Writes class folders of JPEGs, then `labels.csv`, and returns the folder.

    Files that an earlier call with as many images wrote are written again. Raises InputError if
    `images_per_class` is less than 1, or if the folder holds anything else.
    """
    if images_per_class < 1:
        raise InputError(f"images_per_class must be at least 1; got {images_per_class}.")
    folder = pathlib.Path(output_dir)
    files = {
        folder / sample_class.name / f"{sample_class.name}_{index:05d}.jpg": (sample_class, index)
        for sample_class in CLASSES
        for index in range(images_per_class)
    }
    labels = folder / LABELS_FILE
    _check_folder(folder, {*files, labels})
    for path, (sample_class, index) in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(make_jpeg(sample_class, index, seed))
    write_table(labels, COLUMNS, [(entry.name, entry.title, entry.coarse) for entry in CLASSES])
    return folder


def make_jpeg(sample_class: SampleClass, index: int, seed: int) -> bytes:
    """Returns the JPEG of one picture; number 0 of each class is progressive."""
    rng = np.random.default_rng([seed, CLASSES.index(sample_class), index])
    picture = draw_picture(sample_class, rng)
    return _encode(picture, rng, progressive=index == 0)


def _encode(picture: Image.Image, rng: np.random.Generator, *, progressive: bool) -> bytes:
    sampling = str(rng.choice(list(_SAMPLINGS), p=list(_SAMPLINGS.values())))
    options = {
        "quality": int(rng.integers(*QUALITIES, endpoint=True)),
        "progressive": progressive,
        "optimize": bool(rng.random() < _OPTIMIZED_FRACTION),
    }
    if rng.random() < _RESTART_FRACTION:
        options["restart_marker_rows"] = 1
    if sampling == "gray":
        picture = picture.convert("L")
    else:
        options["subsampling"] = sampling
    out = io.BytesIO()
    picture.save(out, "JPEG", **options)
    return out.getvalue()


def _check_folder(folder: pathlib.Path, ours: set[pathlib.Path]) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: it is a file. Give a folder as --output_dir.")
    for path in folder.rglob("*"):
        if path.is_dir() or path in ours or path.suffix == TEMPORARY_SUFFIX:
            continue
        raise InputError(
            f"{path}: this is not a file of the data set to be written. Give a new folder."
        )


def main(argv: list[str]) -> int:
    """Runs the command line and returns the exit status."""
    try:
        if len(argv) > 1:
            raise InputError(f"unexpected argument {argv[1]!r}; every setting is a --flag=value.")
        if not flags.FLAGS.output_dir:
            raise InputError("--output_dir is missing: the folder to write the images to.")
        folder = write_sample_data(
            flags.FLAGS.output_dir, flags.FLAGS.images_per_class, flags.FLAGS.seed
        )
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(
        f"Wrote {len(CLASSES)} classes of {flags.FLAGS.images_per_class} images.\n"
        f"Next: python -m preprocess.main --input_dir={folder} --labels={folder / LABELS_FILE} "
        "--output_dir=…"
    )
    return 0


# Only as a program: flags are global, and preprocess.main has some of the same names.
if __name__ == "__main__":
    flags.DEFINE_string("output_dir", None, "Folder to write the class folders to.")
    flags.DEFINE_integer("images_per_class", 100, "Images of each class.")
    flags.DEFINE_integer("seed", 0, "Seed of everything random.")
    command_line.run(main)
