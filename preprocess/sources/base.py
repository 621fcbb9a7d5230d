"""What the sources hand to the plan: where each image's bytes are, its class and its split."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

TRAIN, TEST = SPLITS = ("train", "test")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".png")


class SourceFile(NamedTuple):
    """One image.

    `path`: its name below the root, unique in the listing, with the bytes that are not UTF-8 as
    surrogates. `split`: None where the input gives none. `size` in bytes, −1 if it is missing.
    `modified`: the time of the last change in nanoseconds, 0 in a container. `container`: the path
    below the root of the archive or TFRecord file that holds it, "" for a file of its own; then
    `offset` is where its bytes begin in the (uncompressed) container, and `packed_size` how many
    they are if they are deflated there, as in a zip, else 0.
    """

    path: str
    label: str
    split: str | None
    size: int
    modified: int = 0
    container: str = ""
    offset: int = 0
    packed_size: int = 0


class Container(NamedTuple):
    """A file that holds images: `compression` is that of the whole, "" or "gzip", "bz2", "xz"."""

    path: str
    size: int
    modified: int
    compression: str = ""


@dataclasses.dataclass(frozen=True)
class Listing:
    """The images below `root`, sorted by path, and how many files beside them were ignored."""

    root: str
    files: tuple[SourceFile, ...]
    ignored: int = 0
    containers: tuple[Container, ...] = ()
