"""The bands that a network has learned to keep (`--bands=learned:n`), as a fixed list."""

from __future__ import annotations

import os
import pathlib

import keras
import numpy as np
import tensorflow as tf

from jpegkeras.band_maps import draw_maps
from jpegkeras.bands import top_bands
from jpegkeras.checkpoints import find_checkpoint, restore_network
from jpegkeras.dataset_info import load_dataset_info
from jpegkeras.errors import InputError
from jpegkeras.files import write_json
from jpegkeras.input_pipeline import Source, evaluation_batches
from jpegkeras.models import gating
from jpegkeras.sampling import COMPONENTS

BANDS_FILE, MAPS_FILE = "bands.json", "bands.png"
_BATCH_SIZE = 64


def write_learned_bands(
    workdir: str | os.PathLike,
    data_dir: str | os.PathLike,
    *,
    checkpoint: str | None = None,
    split: str = "train",
) -> pathlib.Path:
    """Writes `bands.json` and `bands.png` into a run's folder; returns the path of the first.

    Looks at the gate of the latest (or of another) `checkpoint` with the central crop of each image
    of a split. `y`, `cb` and `cr` are the 3n bands that are kept of most images, of equal ones
    those with the higher probability, and each component's DC in any case; so that `--bands=@FILE`
    takes the file. `keep`: of each band, in zigzag order, the share of the images that keep it;
    `mean_kept`: the mean number of bands an image keeps.

    Raises InputError where there is no checkpoint, or none of a network that learns its bands.
    """
    path = find_checkpoint(workdir, checkpoint)
    description, model = restore_network(path)
    count = description.learned_bands
    if not count:
        raise InputError(f"{path}: this network does not learn its bands (--bands=learned:n).")
    source = Source(
        pathlib.Path(data_dir),
        load_dataset_info(data_dir),
        description.num_frequencies,
        description.image_size,
        description.task,
    )
    kept, likely = _count(model, source, split)
    images = source.records(split)
    scores = {key: list(zip(kept[key].tolist(), likely[key].tolist())) for key in COMPONENTS}
    bands = top_bands(scores, 3 * count)
    keep = {key: [int(number) / images for number in kept[key]] for key in COMPONENTS}
    mean = sum(map(sum, keep.values()))
    file = pathlib.Path(workdir) / BANDS_FILE
    write_json(
        file,
        {
            **{key: list(positions) for key, positions in bands.to_dict().items()},
            "total": bands.total,
            "keep": keep,
            "mean_kept": mean,
            "images": images,
            "split": split,
            "checkpoint": path,
        },
    )
    draw_maps(
        keep,
        file.with_name(MAPS_FILE),
        title=f"Share of the images that keep a band ({mean:.1f} an image); framed: {bands.total}",
        chosen=bands,
    )
    return file


def _count(
    model: keras.Model, source: Source, split: str
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Returns how many images keep each band, and the sums of the probabilities to."""
    gate = keras.Model(model.input, [gating.decisions(model), gating.log_odds(model)])

    @tf.function(autograph=False)
    def step(features: dict[str, tf.Tensor], weights: tf.Tensor) -> list[tf.Tensor]:
        kept, log_odds = gate(features, training=False)
        return [
            tf.reduce_sum(values[:, 0, 0] * weights[:, tf.newaxis], axis=0)
            for values in (kept, tf.sigmoid(log_odds))
        ]

    sums = 0.0
    for features, _, weights in evaluation_batches(source, split=split, batch_size=_BATCH_SIZE):
        sums = sums + np.array([part.numpy() for part in step(features, weights)], np.float64)
    parts = (np.split(values, len(COMPONENTS)) for values in sums)
    kept, likely = (dict(zip(COMPONENTS, values)) for values in parts)
    return kept, likely
