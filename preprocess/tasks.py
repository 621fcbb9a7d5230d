"""What a worker gets to make one shard. Imports no TensorFlow: the parent needs none."""

from __future__ import annotations

import dataclasses
import pathlib

from jpegkeras.dataset_info import ClassInfo
from jpegkeras.transcoding import Transcoding
from preprocess.plan import ShardPlan


class StoppedError(Exception):
    """The job was told to stop; the shard that was being written is dropped."""


@dataclasses.dataclass(frozen=True)
class ShardTask:
    """One shard to make: the images below `root` it takes, and the file in `directory`."""

    shard: ShardPlan
    root: pathlib.Path
    directory: pathlib.Path
    classes: tuple[ClassInfo, ...]
    transcoding: Transcoding
    compression: str
