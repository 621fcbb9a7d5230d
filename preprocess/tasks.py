"""What a worker gets to make one shard, wherever it runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from jpegkeras.transcoding import Transcoding
from preprocess.sources import Container


class StoppedError(Exception):
    """The job was told to stop; the shard that was being written is dropped."""


@dataclasses.dataclass(frozen=True)
class ShardTask:
    """One shard to make in `directory`, from the `images` (of `size` bytes) that the plan lists.

    `start` and `end`: the bytes of the plan's list that are this shard's. `root`: what the images'
    paths are below; `containers`: those that the list refers to by number; `opened`: where each is
    to be opened. `coarse[label]`: the coarse class of a fine one.
    """

    shard: str
    split: str
    images: int
    size: int
    start: int
    end: int
    directory: str
    root: str
    containers: tuple[Container, ...]
    opened: Mapping[str, str]
    coarse: tuple[int, ...]
    transcoding: Transcoding
    compression: str
