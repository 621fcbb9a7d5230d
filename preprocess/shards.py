"""Makes one shard: files → coefficients → TFRecord file, whole or not at all."""

from __future__ import annotations

import os
import pathlib
import stat
import warnings
from collections.abc import Callable

import tensorflow as tf

from jpegkeras.dataset_info import COMPRESSIONS
from jpegkeras.files import file_sha256, replacing
from jpegkeras.jpeg import JpegError
from jpegkeras.records import serialize_record
from jpegkeras.sampling import COMPONENTS
from jpegkeras.transcoding import Transcoded, transcode
from preprocess.parts import Part, PartBuilder, save_part
from preprocess.plan import PlannedImage
from preprocess.sources import TRAIN
from preprocess.statistics import sum_bands
from preprocess.tasks import ShardTask

# zlib's Z_FILTERED at level 4. Coefficients have runs, but few repeated strings. Measured on 40
# photos of 256 pixels a side and on 1,000 images of 64: shards 3 to 5 % smaller than the default
# (level 6) makes them in half its time. Run lengths alone (Z_RLE) take a third of the time again
# and do as well on photos, but cannot compress the keys, which made the small images' shards 70 %
# larger.
_FILTERED, _LEVEL = 1, 4


def write_shard(task: ShardTask, report: Callable[[int], None]) -> Part:
    """Writes the shard, then its part, and returns the part.

    `report` is called after each image with the bytes of its file. A file that cannot be used is
    noted in the part with its reason. Raises OSError where the shard cannot be written; whatever
    `report` raises drops the shard.
    """
    shard = task.shard
    builder = PartBuilder(shard.file, shard.split, len(task.classes))
    path = task.directory / shard.file
    options = tf.io.TFRecordOptions(
        compression_type=COMPRESSIONS[task.compression],
        compression_level=_LEVEL,
        compression_strategy=_FILTERED,
    )
    # What Pillow warns of (odd EXIF, large images) is nothing that the user of this job can act on.
    with replacing(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with tf.io.TFRecordWriter(os.fsencode(temporary), options) as writer:
                for image in shard.images:
                    _add_image(task, image, builder, writer)
                    report(max(0, image.size))
        except tf.errors.OpError as error:
            raise OSError(f"{path}: cannot be written ({error.message}).") from error
        part = builder.build(file_sha256(temporary), temporary.stat().st_size)
    save_part(task.directory, part)
    return part


def _add_image(
    task: ShardTask, image: PlannedImage, builder: PartBuilder, writer: tf.io.TFRecordWriter
) -> None:
    try:
        data = _read(task.root / image.path)
        transcoded = transcode(data, task.transcoding)
        record = _serialize(task, image, transcoded)
    except (OSError, ValueError) as error:
        builder.reject(image.path, image.label, _without_path(error))
        return
    except Exception as error:  # One odd file must not stop a job over a million files.
        builder.reject(image.path, image.label, RuntimeError(f"unexpected error: {error!r}"))
        return
    writer.write(record)
    builder.add_route(transcoded.route, transcoded.reasons)
    builder.add_record(image.label, (transcoded.image.height, transcoded.image.width), len(data))
    if task.shard.split == TRAIN:
        components = zip(COMPONENTS, transcoded.image.components)
        builder.add_sums({key: sum_bands(component) for key, component in components})


def _serialize(task: ShardTask, image: PlannedImage, transcoded: Transcoded) -> bytes:
    return serialize_record(
        transcoded.image,
        label=image.label,
        coarse_label=task.classes[image.label].coarse,
        name=os.fsencode(image.path),
    )


def _read(path: pathlib.Path) -> bytes:
    # Opening a pipe would wait for ever.
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("not a regular file")
    return path.read_bytes()


def _without_path(error: Exception) -> Exception:
    """Returns an error without the name of the file, which stands beside the reason anyway."""
    if isinstance(error, JpegError):
        return ValueError(f"byte {error.offset}: {error.problem}")
    return OSError(error.strerror) if isinstance(error, OSError) and error.strerror else error
