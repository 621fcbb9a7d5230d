"""The plan of a job: which image goes into which shard, at which place.

The plan depends only on the input and the settings, never on the order in which a disk lists files
or on the number of workers. It is written before anything else, and is what makes a job that was
killed continue where it stopped; a worker needs nothing but its part of it.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from jpegkeras.dataset_info import ClassInfo
from jpegkeras.errors import InputError
from preprocess.choice import keep_classes, limit_classes
from preprocess.config import PreprocessConfig
from preprocess.labels import make_classes, read_labels
from preprocess.sources import SPLITS, TEST, TRAIN, Container, Listing, SourceFile
from preprocess.splits import assign_splits, stable_hash

RECORDS_PER_SHARD = 1000
# What the five digits of a shard's name can count.
_MOST_SHARDS = 99_999


class PlannedImage(NamedTuple):
    """One image: see `sources.SourceFile`; `label`: its class's index."""

    path: str
    label: int
    size: int
    modified: int = 0
    container: str = ""
    offset: int = 0
    packed_size: int = 0


@dataclasses.dataclass(frozen=True)
class ShardPlan:
    """One shard: its file name, its split, and its images in the order of their records."""

    file: str
    split: str
    images: tuple[PlannedImage, ...]

    @property
    def size(self) -> int:
        """How many bytes its images have."""
        return sum(max(0, image.size) for image in self.images)


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything a job does. `settings`: those that change a byte of the shards, as JSON.

    Of what was listed, `ignored` files are no images, and `left_out` images are not wanted.
    """

    root: str
    classes: tuple[ClassInfo, ...]
    coarse_classes: tuple[str, ...]
    shards: tuple[ShardPlan, ...]
    containers: tuple[Container, ...]
    ignored: int
    left_out: int
    settings: dict[str, Any]

    @property
    def digest(self) -> str:
        """The SHA-256 of the settings, which include one of the input, in hexadecimal."""
        return _digest_json(self.settings)

    @functools.cached_property
    def images(self) -> int:
        """How many images it has in all."""
        return sum(len(shard.images) for shard in self.shards)


def make_plan(config: PreprocessConfig, listing: Listing) -> Plan:
    """Distributes what was listed. Raises InputError for an input that cannot be used."""
    listed = listing.files
    if config.only_labelled:
        listed = keep_classes(listed, read_labels(config.labels), config.labels)
    classes, coarse_classes = make_classes((file.label for file in listed), config.labels)
    limits = {TRAIN: config.train_per_class, TEST: config.test_per_class}
    files = assign_splits(listed, config.test_fraction, config.seed)
    files = limit_classes(files, limits, config.seed)
    shards = []
    for split, requested in ((TRAIN, config.train_shards), (TEST, config.test_shards)):
        images = _order(files, split, classes, config.seed)
        _check_size(split, len(images), requested, config)
        shards += _divide(split, images, requested, config.compression)
    return Plan(
        root=listing.root,
        classes=classes,
        coarse_classes=coarse_classes,
        shards=tuple(shards),
        containers=listing.containers,
        ignored=listing.ignored,
        left_out=len(listing.files) - len(files),
        settings={
            "input": {"files": len(files), "sha256": _digest_files(files)},
            "labels": _digest_json(
                [[dataclasses.astuple(entry) for entry in classes], coarse_classes]
            ),
            **simple_settings(config),
        },
    )


def simple_settings(config: PreprocessConfig) -> dict[str, Any]:
    """Returns the settings that are known without the input."""
    return {
        **dataclasses.asdict(config.transcoding),
        "compression": config.compression,
        "test_fraction": config.test_fraction,
        "train_shards": config.train_shards,
        "test_shards": config.test_shards,
        "train_per_class": config.train_per_class,
        "test_per_class": config.test_per_class,
        "only_labelled": config.only_labelled,
        "seed": config.seed,
    }


def classes_without_training(plan: Plan) -> list[str]:
    """Returns the ids of the classes that have test images but no image to learn them from."""
    trained = {
        image.label for shard in plan.shards if shard.split == TRAIN for image in shard.images
    }
    return [entry.name for index, entry in enumerate(plan.classes) if index not in trained]


def format_images(images: Iterable[PlannedImage], containers: Sequence[Container]) -> bytes:
    """Returns a line of JSON an image: `PlannedImage`'s fields, 0 and "" left out at the end.

    The container is given by its number from 1.
    """
    numbers = {"": 0, **{entry.path: number for number, entry in enumerate(containers, 1)}}
    lines = []
    for image in images:
        values = list(image)
        values[4] = numbers[image.container]
        while not values[-1]:
            values.pop()
        lines.append(json.dumps(values, separators=(",", ":")))
    return "".join(f"{line}\n" for line in lines).encode("ascii")


def parse_images(data: bytes, containers: Sequence[str]) -> list[PlannedImage]:
    """Reads what `format_images` has written, with the paths of the same containers."""
    names = ("", *containers)
    images = []
    for values in json.loads(b"[%s]" % b",".join(data.splitlines())):
        path, label, size, modified, container, offset, packed_size = _filled(values)
        images.append(
            PlannedImage(path, label, size, modified, names[container], offset, packed_size)
        )
    return images


def _filled(values: list) -> list:
    return values + [0] * (len(PlannedImage._fields) - len(values))


def _order(
    files: Sequence[SourceFile], split: str, classes: Sequence[ClassInfo], seed: int
) -> list[PlannedImage]:
    """Returns the split's images by the hash of their paths: every shard mixes classes."""
    labels = {entry.name: index for index, entry in enumerate(classes)}
    images = [
        PlannedImage(
            file.path,
            labels[file.label],
            file.size,
            file.modified,
            file.container,
            file.offset,
            file.packed_size,
        )
        for file in files
        if file.split == split
    ]
    return sorted(images, key=lambda image: stable_hash(seed, image.path))


def _check_size(split: str, count: int, requested: int, config: PreprocessConfig) -> None:
    if not count:
        raise InputError(
            f"{config.source}: the {split} split is empty. Give a split that has images in both of "
            f"{' and '.join(SPLITS)}, or more images a class or another --test_fraction "
            f"(now {config.test_fraction})."
        )
    if requested > count:
        raise InputError(
            f"--{split}_shards={requested} is more than the {count} image(s) of the {split} split. "
            "Give fewer, or 0 to have the number chosen."
        )


def _divide(
    split: str, images: Sequence[PlannedImage], requested: int, compression: str
) -> list[ShardPlan]:
    """Cuts the images into contiguous ranges, whose lengths differ by one at most."""
    count = requested or min(_MOST_SHARDS, max(1, round(len(images) / RECORDS_PER_SHARD)))
    suffix = ".gz" if compression == "gzip" else ""
    bounds = [index * len(images) // count for index in range(count + 1)]
    return [
        ShardPlan(
            file=f"{split}-{index:05d}-of-{count:05d}.tfrecord{suffix}",
            split=split,
            images=tuple(images[bounds[index] : bounds[index + 1]]),
        )
        for index in range(count)
    ]


def _digest_files(files: Sequence[SourceFile]) -> str:
    """Returns the SHA-256 over path, class, split and size of each file."""
    lines = sorted(
        os.fsencode(f"{file.path}\0{file.label}\0{file.split}\0{file.size}") for file in files
    )
    return hashlib.sha256(b"\n".join(lines)).hexdigest()


def _digest_json(value: Any) -> str:  # noqa: ANN401
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
