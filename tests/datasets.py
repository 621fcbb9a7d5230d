"""Data sets for tests, written record by record without the preprocessing job."""

from __future__ import annotations

import dataclasses
import io
import pathlib

import numpy as np
import tensorflow as tf
from PIL import Image

from jpegkeras.dataset_info import COMPRESSIONS, ClassInfo, DatasetInfo, ShardInfo, SplitInfo
from jpegkeras.files import file_crc32c
from jpegkeras.jpeg import Component, JpegCoefficients
from jpegkeras.record_format import serialize_record
from jpegkeras.sampling import COMPONENTS, SAMPLINGS
from jpegkeras.transcoding import Transcoding, transcode

CLASSES = (ClassInfo("a", "across", 0), ClassInfo("d", "down", 0), ClassInfo("g", "grain", 1))


def draw_jpeg(label: int, seed: int, *, height=48, width=64, quality=80, subsampling="4:2:0"):
    """Bytes of a JPEG of class `label`: stripes across, stripes down, or grain."""
    rng = np.random.default_rng([label, seed])
    y, x = np.mgrid[:height, :width]
    wave = [np.sin(y / 2.5), np.sin(x / 2.5), rng.normal(0, 0.7, (height, width))][label]
    pixels = 128 + 70 * wave[..., None] * rng.uniform(0.5, 1, 3) + rng.normal(0, 8, (1, 1, 3))
    out = io.BytesIO()
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    image.save(out, "JPEG", quality=quality, subsampling=subsampling)
    return out.getvalue()


def write_dataset(directory, images, *, num_frequencies=8, sampling="4:2:0", compression="none"):
    """Writes `images`, {split: [(JpegCoefficients, label)]}, as a data set of one shard a split."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    splits = {}
    for split, items in images.items():
        suffix = ".tfrecord.gz" if compression == "gzip" else ".tfrecord"
        path = directory / f"{split}-00000-of-00001{suffix}"
        options = tf.io.TFRecordOptions(compression_type=COMPRESSIONS[compression])
        with tf.io.TFRecordWriter(str(path), options) as writer:
            for index, (image, label) in enumerate(items):
                writer.write(
                    serialize_record(
                        image,
                        label=label,
                        coarse_label=CLASSES[label].coarse,
                        name=f"{split}/{index}.jpg".encode(),
                    )
                )
        counts = np.bincount([label for _, label in items], minlength=len(CLASSES))
        digest = file_crc32c(path)
        splits[split] = SplitInfo(
            len(items), tuple(map(int, counts)), (ShardInfo(path.name, len(items), digest),)
        )
    everything = [image for items in images.values() for image, _ in items]
    info = DatasetInfo(
        num_frequencies=num_frequencies,
        sampling=sampling,
        compression=compression,
        classes=CLASSES,
        coarse_classes=("stripes", "grain"),
        splits=splits,
        smallest=(min(i.height for i in everything), min(i.width for i in everything)),
        largest=(max(i.height for i in everything), max(i.width for i in everything)),
        statistics={
            key: {"mean": [0.0] * num_frequencies, "std": [40.0] * num_frequencies}
            for key in COMPONENTS
        },
        transcoding=dataclasses.asdict(
            Transcoding(subsampling=sampling, num_frequencies=num_frequencies)
        ),
        settings={},
        counts={},
        jpegkeras_version="test",
    )
    info.save(directory)
    return info


def write_drawn_dataset(directory, *, train=24, test=7, num_frequencies=8, **options):
    """Writes a data set of drawn images, the three classes in turn."""
    settings = Transcoding(num_frequencies=num_frequencies)
    images = {
        split: [
            (transcode(draw_jpeg(i % 3, seed + i), settings).image, i % 3) for i in range(count)
        ]
        for split, count, seed in (("train", train, 0), ("test", test, 1000))
    }
    return write_dataset(directory, images, num_frequencies=num_frequencies, **options)


def numbered_image(number, *, height, width, sampling="4:2:0", num_frequencies=3):
    """An image that tells where each block came from.

    Band 0 of every block is `number`, band 1 its row and band 2 its column, of the component.
    """
    h, v = SAMPLINGS[sampling]
    components = []
    for key in COMPONENTS:
        ratio_v, ratio_h = (1, 1) if key == "y" else (v, h)
        rows, cols = -(-height // (8 * ratio_v)), -(-width // (8 * ratio_h))
        blocks = np.zeros((rows, cols, num_frequencies), np.int16)
        blocks[..., 0] = number
        blocks[..., 1], blocks[..., 2] = np.mgrid[:rows, :cols]
        tables = np.ones(num_frequencies, np.uint16)
        components.append(Component(blocks, tables, (h, v) if key == "y" else (1, 1)))
    return JpegCoefficients(height, width, tuple(components))
