"""Makes one shard: files → coefficients → TFRecord file, whole or not at all."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence

from jpegkeras.batch_transcoding import BatchTranscoder, PackedResult
from jpegkeras.jpeg import JpegError
from jpegkeras.record_format import serialize_packed
from jpegkeras.tfrecord_files import RecordFileWriter
from preprocess.filesystems import filesystem_of, join
from preprocess.parts import Part, PartBuilder, load_part, save_part
from preprocess.plan import PlannedImage, parse_images
from preprocess.reading import SourceReader
from preprocess.sources import TRAIN
from preprocess.tasks import ShardTask
from preprocess.workplace import images_path
from preprocess.writing import replacing

# Images that are read and transcoded together.
_CHUNK = 32


def write_shard(task: ShardTask, report: Callable[[int], None]) -> Part:
    """Writes the shard, then its part, and returns the part; if they are there, returns it at once.

    `report` is called after each image with the bytes of its file. A file that cannot be used is
    noted in the part with its reason. Raises OSError where the shard cannot be written; InputError
    for an archive that changed; whatever `report` raises drops the shard.
    """
    part = load_part(task.directory, task.shard)
    if part is not None:
        return part
    images = _read_plan(task)
    builder = PartBuilder(task.shard, task.split, len(task.coarse))
    transcoder = BatchTranscoder(task.transcoding)
    # What Pillow warns of (odd EXIF, large images) is nothing that the user of this job can act on.
    with (
        replacing(join(task.directory, task.shard)) as temporary,
        RecordFileWriter(temporary, task.compression) as writer,
        SourceReader(task.root, task.opened, task.containers) as reader,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        for chunk, contents in reader.read_chunks(images, _CHUNK):
            for image, data, result in _transcode(chunk, contents, transcoder):
                _add_image(task, image, data, result, builder, writer)
                report(max(0, image.size))
        writer.close()
        reader.check_unchanged()
        part = builder.build(writer.crc32c, writer.size)
    save_part(task.directory, part)
    return part


def _read_plan(task: ShardTask) -> list[PlannedImage]:
    path = images_path(task.directory)
    with filesystem_of(path).open(path) as file:
        file.seek(task.start)
        data = file.read(task.end - task.start)
    return parse_images(data, [entry.path for entry in task.containers])


def _transcode(
    images: Sequence[PlannedImage],
    contents: Sequence[bytes | Exception],
    transcoder: BatchTranscoder,
) -> Iterator[tuple[PlannedImage, bytes | Exception, PackedResult | Exception]]:
    """Yields each image with what was read of it and what became of that."""
    transcoded = iter(
        transcoder.transcode([data for data in contents if not isinstance(data, Exception)])
    )
    for image, data in zip(images, contents):
        yield image, data, data if isinstance(data, Exception) else next(transcoded)


def _add_image(
    task: ShardTask,
    image: PlannedImage,
    data: bytes | Exception,
    result: PackedResult | Exception,
    builder: PartBuilder,
    writer: RecordFileWriter,
) -> None:
    if isinstance(result, Exception):
        builder.reject(image.path, image.label, _without_path(result))
        return
    packed = result.image
    record = serialize_packed(
        packed,
        label=image.label,
        coarse_label=task.coarse[image.label],
        name=os.fsencode(image.path),
    )
    writer.write(*record)
    builder.add_route(result.route, result.reasons)
    builder.add_record(image.label, (packed.height, packed.width), len(data))
    if task.split == TRAIN:
        builder.add_sums(packed)


def _without_path(error: Exception) -> Exception:
    """Returns an error without the name of the file, which stands beside the reason anyway."""
    if isinstance(error, JpegError):
        return ValueError(f"byte {error.offset}: {error.problem}")
    if isinstance(error, OSError) and error.strerror:
        return OSError(error.strerror)
    if isinstance(error, (OSError, ValueError)):
        return error
    return RuntimeError(f"unexpected error: {error!r}")
