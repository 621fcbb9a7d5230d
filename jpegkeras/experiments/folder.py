"""An output folder of studies: where everything lies in it, and which studies it holds."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from jpegkeras.config import TrainConfig
from jpegkeras.errors import InputError
from jpegkeras.experiments import config as study_config
from jpegkeras.experiments.config import StudyConfig
from jpegkeras.experiments.networks import NETWORKS
from jpegkeras.files import write_json

STUDY_FILE, COSTS_FILE = "study.json", "costs.json"
RUNS, RECORDS = "runs", "records"
#: Of a training's settings, those that do not decide what a step computes.
FREE = frozenset({"checkpoint_every_steps", "keep_checkpoints", "strategy", "logical_cpus"})
# The settings to which values may be added.
_LISTS = ("networks", "resolutions", "qualities", "seeds")


@dataclasses.dataclass(frozen=True)
class Study:
    """What a folder's studies are: tables, settings, and the images.

    `name`: the preset or file that the settings are from. `images`: whatever tells that images,
    split and classes are the same, as JSON; {} where that is not known yet.
    """

    tables: tuple[str, ...]
    config: StudyConfig
    name: str
    images: dict[str, Any] = dataclasses.field(default_factory=dict)


def load_study(folder: pathlib.Path) -> Study | None:
    """Returns what the folder holds, None where it holds nothing. Raises InputError."""
    path = folder / STUDY_FILE
    try:
        content = json.loads(path.read_text("utf-8"))
        config = study_config.replace(StudyConfig(), content["config"])
        return Study(tuple(content["tables"]), config, content["name"], dict(content["images"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(
            f"{path}: damaged, or of another version of jpegkeras ({error}). Choose another "
            "--output_dir, or --overwrite to begin anew here."
        ) from error


def save_study(folder: pathlib.Path, study: Study) -> None:
    """Writes `study.json`."""
    write_json(folder / STUDY_FILE, dataclasses.asdict(study))


def join(folder: pathlib.Path, before: Study, now: Study) -> Study:
    """Returns the studies of a folder after those of `now` have been asked for as well.

    Tables, networks, resolutions, qualities and seeds may be others: the folder then holds all.
    Raises InputError where anything else was another, and says what.
    """
    changes = _changes(before.config, now.config)
    if before.images and now.images and before.images != now.images:
        changes.append("the images, their split or their classes (--labels) are others now")
    if changes:
        raise InputError(
            f"{folder}: its studies were begun with other settings: {'; '.join(changes)}. Continue "
            "them with their own, choose another --output_dir, or give --overwrite, which makes "
            "anew what is no longer the same."
        )
    lists = {
        name: _union(name, getattr(before.config, name), getattr(now.config, name))
        for name in _LISTS
    }
    return Study(
        _union("tables", before.tables, now.tables),
        dataclasses.replace(now.config, **lists),
        now.name,
        now.images or before.images,
    )


def _changes(before: StudyConfig, now: StudyConfig) -> list[str]:
    """Says, a phrase a setting, what is not what it was."""
    names = [field.name for field in dataclasses.fields(StudyConfig)]
    pairs = [
        (name, getattr(before, name), getattr(now, name))
        for name in names
        if name not in (*_LISTS, "training")
    ]
    pairs += [
        (field.name, getattr(before.training, field.name), getattr(now.training, field.name))
        for field in dataclasses.fields(TrainConfig)
        if field.name not in FREE
    ]
    return [f"{name} was {old} and is now {new}" for name, old, new in pairs if old != new]


def _union(name: str, before: Sequence, now: Sequence) -> tuple:
    found = tuple(dict.fromkeys((*before, *now)))
    if name in ("resolutions", "qualities"):
        return tuple(sorted(found))
    return in_order(found) if name == "networks" else found


def in_order(networks: Iterable[str]) -> tuple[str, ...]:
    """Returns keys of networks in the order of the paper's tables."""
    networks = set(networks)
    return tuple(key for key in NETWORKS if key in networks)
