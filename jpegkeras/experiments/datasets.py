"""The data sets of the studies: one a variant of the images, made once and kept.

A data set's folder is named by its variant and a digest of everything that decides what is in it,
so that one that is finished costs nothing, and no other is ever taken for it.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import json
import math
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from PIL import Image

from jpegkeras import dataset_info
from jpegkeras.dataset_info import DatasetInfo, load_dataset_info
from jpegkeras.errors import InputError
from jpegkeras.experiments.cell_files import Records
from jpegkeras.experiments.cells import Variant
from jpegkeras.experiments.config import StudyConfig
from jpegkeras.files import write_json
from jpegkeras.transcoding import Transcoding
from preprocess import job
from preprocess.config import PreprocessConfig
from preprocess.labels import read_labels
from preprocess.plan import Plan, make_plan, simple_settings
from preprocess.reading import SourceReader
from preprocess.sample_data import LABELS_FILE, write_sample_data
from preprocess.sample_images import CLASSES
from preprocess.sources import (
    TEST,
    TRAIN,
    SourceSpec,
    find_containers,
    list_source,
    open_containers,
)

# Images whose size is looked at.
_LOOKED_AT = 50
# Of each class of the built-in pictures, where nothing says how many are needed.
_PICTURES = 100
_DIGITS = 12


@dataclasses.dataclass(frozen=True)
class Input:
    """Where the images are from. Without a `source` they are the built-in pictures.

    `labels`: the CSV of their classes; with `only_labelled` they are the only ones. `title` and
    `note` are for the report.
    """

    source: SourceSpec | None = None
    labels: str | None = None
    only_labelled: bool = False
    title: str = ""
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Content:
    """What the input holds, split and limited as the studies take it.

    `settings`: those of the job but for the transcoding, with digests of images and classes; {}
    where the images are not drawn yet. `sides`: the shorter sides of some images, in pixels.
    """

    settings: Mapping[str, Any]
    classes: int
    coarse_classes: int
    train_images: int
    test_images: int
    sides: tuple[int, ...] = ()

    @property
    def identity(self) -> dict[str, Any]:
        """What tells that images, split and classes are the same."""
        return {key: self.settings[key] for key in ("input", "labels") if key in self.settings}


class DataSets:
    """The data sets of one input, in folders below `folder`, made by `workers` processes."""

    def __init__(
        self, given: Input, config: StudyConfig, folder: pathlib.Path, workers: int = 0
    ) -> None:
        self._given = given
        self._config = config
        self._folder = folder
        self._workers = workers

    @functools.cached_property
    def content(self) -> Content:
        """What the input holds; it is listed for that, or was listed before.

        Raises InputError for an input or labels that cannot be used, OSError where something cannot
        be read.
        """
        if self._given.source is None and not self._are_drawn:
            return self._content_to_draw()
        config = self._job(Variant(self._config.resolution, self._config.quality), "-")
        if config.labels:
            read_labels(config.labels)  # before the listing, which may take minutes
        containers = find_containers(config.source)
        if containers is None:
            listing = list_source(config.source)
            return _describe(make_plan(config, listing), {})
        kept = self._folder / f"input-{self._digest_input(config, containers)}.json"
        content = _load_content(kept)
        if content is None:
            with open_containers(containers) as opened:
                plan = make_plan(config, list_source(config.source, opened))
                content = _describe(plan, opened)
            if self._folder.is_dir():
                write_json(kept, dataclasses.asdict(content))
        return content

    def draw_pictures(self) -> int:
        """Draws the built-in pictures if they are wanted and not there; returns how many."""
        if self._given.source is not None or self._are_drawn:
            return 0
        write_sample_data(self._pictures, self._pictures_per_class)
        vars(self).pop("content", None)
        return len(CLASSES) * self._pictures_per_class

    def describe(self) -> dict[str, Any]:
        """Returns what `Results.data` holds."""
        content, config = self.content, self._config
        notes = [self._given.note]
        if self._given.source is None:
            notes.append("pictures that the project draws itself, not photographs")
        limits = [
            f"{limit} {split}"
            for split, limit in (
                ("training", config.train_per_class),
                ("test", config.test_per_class),
            )
            if limit
        ]
        if limits:
            notes.append(f"a subset: at most {' and '.join(limits)} images of each class")
        source = self._given.source
        return {
            "source": "built-in pictures" if source is None else os.path.abspath(str(source)),  # noqa: PTH100
            "title": self._given.title or _title(source),
            "classes": content.classes,
            "coarse_classes": content.coarse_classes,
            "train_records": content.train_images,
            "test_records": content.test_images,
            "note": "; ".join(filter(None, notes)),
        }

    def records(self, variant: Variant) -> Records:
        """Returns where a variant's data set is, or will be."""
        settings = {**self.content.settings, **dataclasses.asdict(_transcoding(variant))}
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
        directory = self._folder / f"{variant.key}-{digest[:_DIGITS]}"
        return Records(str(directory.absolute()), digest)

    def load(self, variant: Variant) -> DatasetInfo | None:
        """Returns the variant's data set if it is whole; raises InputError if it is damaged."""
        directory = pathlib.Path(self.records(variant).directory)
        if not (directory / dataset_info.FILE_NAME).is_file():
            return None
        return load_dataset_info(directory)

    def make(self, variant: Variant) -> DatasetInfo:
        """Makes the variant's data set, or what is missing of it.

        Raises InputError, OSError and `EngineError` as `preprocess.job.run` does, and InputError if
        the input is no longer what it was.
        """
        directory = pathlib.Path(self.records(variant).directory)
        directory.parent.mkdir(parents=True, exist_ok=True)
        config = self._job(variant, str(directory))
        info = job.run(config).info
        same = json.loads(json.dumps(self.content.identity))
        if not same.items() <= info.settings.items():
            raise InputError(
                f"{config.source}: the images changed while the studies were under "
                "way. Run the same command again."
            )
        return info

    def disk_bytes(self, variant: Variant) -> int | None:
        """Returns how much the variant's data set takes, None where it is not whole."""
        directory = pathlib.Path(self.records(variant).directory)
        if not (directory / dataset_info.FILE_NAME).is_file():
            return None
        return sum(path.stat().st_size for path in directory.iterdir() if path.is_file())

    @property
    def _pictures(self) -> pathlib.Path:
        return self._folder / f"pictures-{self._pictures_per_class}"

    @property
    def _pictures_per_class(self) -> int:
        fraction = PreprocessConfig.test_fraction
        config = self._config
        return max(
            math.ceil(config.train_per_class / (1 - fraction)) or _PICTURES,
            math.ceil(config.test_per_class / fraction) or _PICTURES,
        )

    @property
    def _are_drawn(self) -> bool:
        # Which is written last.
        return (self._pictures / LABELS_FILE).is_file()

    def _content_to_draw(self) -> Content:
        config, count = self._config, self._pictures_per_class
        tests = round(PreprocessConfig.test_fraction * count)
        train = min(count - tests, config.train_per_class or count)
        return Content(
            settings={},
            classes=len(CLASSES),
            coarse_classes=len({entry.coarse for entry in CLASSES}),
            train_images=len(CLASSES) * train,
            test_images=len(CLASSES) * min(tests, config.test_per_class or count),
        )

    def _job(self, variant: Variant, output_dir: str) -> PreprocessConfig:
        given, config = self._given, self._config
        source, labels = given.source, given.labels
        if source is None:
            source = SourceSpec(input_dir=str(self._pictures))
            labels = str(self._pictures / LABELS_FILE)
        try:
            return PreprocessConfig(
                output_dir=output_dir,
                **vars(source),
                labels=labels,
                only_labelled=given.only_labelled,
                transcoding=_transcoding(variant),
                train_per_class=config.train_per_class,
                test_per_class=config.test_per_class,
                workers=self._workers,
            )
        except ValueError as error:
            raise InputError(str(error)) from error

    def _digest_input(self, config: PreprocessConfig, containers: Iterable) -> str:
        tables = [
            pathlib.Path(path).read_bytes().hex()
            for path in (config.labels, config.test_labels)
            if path
        ]
        described = [
            dataclasses.asdict(config.source),
            [list(container) for container in containers],
            tables,
            simple_settings(config),
        ]
        digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
        return digest[:_DIGITS]


def _transcoding(variant: Variant) -> Transcoding:
    return Transcoding(smallest_side=variant.resolution, quality=variant.quality)


def check_same(infos: Mapping[Variant, DatasetInfo]) -> None:
    """Raises InputError unless all variants have the same classes, and records of each class."""
    if not infos:
        return
    first, *others = infos
    for other in others:
        one, two = infos[first], infos[other]
        same = (
            one.classes == two.classes
            and one.coarse_classes == two.coarse_classes
            and all(
                one.splits[split].class_counts == two.splits[split].class_counts
                for split in (TRAIN, TEST)
            )
        )
        if not same:
            counts = [
                f"{info.splits[TRAIN].records} and {info.splits[TEST].records}"
                for info in (one, two)
            ]
            raise InputError(
                f"{other.key} has other training and test records ({counts[1]}) or classes than "
                f"{first.key} ({counts[0]}): some images could be read in one of them only. "
                "Compare their rejected.csv, and mend or remove these images."
            )


def _describe(plan: Plan, opened: Mapping[str, str]) -> Content:
    splits = dict.fromkeys((TRAIN, TEST), 0)
    for shard in plan.shards:
        splits[shard.split] += len(shard.images)
    return Content(
        settings=plan.settings,
        classes=len(plan.classes),
        coarse_classes=len(plan.coarse_classes),
        train_images=splits[TRAIN],
        test_images=splits[TEST],
        sides=_look_at(plan, opened),
    )


def _look_at(plan: Plan, opened: Mapping[str, str]) -> tuple[int, ...]:
    """Returns the shorter sides of the first images, which are chosen by a hash."""
    images = plan.shards[0].images[:_LOOKED_AT]
    sides = []
    with SourceReader(plan.root, opened, plan.containers) as reader:
        for image in images:
            try:
                with Image.open(io.BytesIO(reader.read(image))) as picture:
                    sides.append(min(picture.size))
            except (OSError, ValueError, Image.DecompressionBombError):
                continue  # the job tells of it
    return tuple(sides)


def _load_content(path: pathlib.Path) -> Content | None:
    try:
        content = json.loads(path.read_text("utf-8"))
        return Content(**{**content, "sides": tuple(content["sides"])})
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _title(source: SourceSpec | None) -> str:
    if source is None:
        return "built-in pictures"
    return pathlib.PurePath(str(source).split(",")[0]).name or str(source)
