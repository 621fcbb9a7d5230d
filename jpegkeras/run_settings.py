"""`config.json`: what a run was begun with, so that only the same run is continued."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
from typing import Any

from jpegkeras.config import TrainConfig
from jpegkeras.dataset_info import DatasetInfo
from jpegkeras.errors import InputError
from jpegkeras.files import write_json

FILE_NAME = "config.json"
# What the weights were at first: not compared, since a checkpoint has left it behind.
INIT_FROM = "init_from"
# What may change when a run continues: none of these decides what a step computes.
_FREE = frozenset({"checkpoint_every_steps", "keep_checkpoints", "strategy", "logical_cpus"})


def settings_of(
    config: TrainConfig, info: DatasetInfo, steps_per_epoch: int, hosts: int
) -> dict[str, Any]:
    """Returns everything that decides what a run's steps compute, and the rest of `config`.

    How many `hosts` there are decides nothing, unless each reads its own share of the data.
    """
    return {
        **dataclasses.asdict(config),
        "training_records": info.splits["train"].records,
        "training_data": _digest(info, "train"),
        "test_data": _digest(info, "test"),
        "steps_per_epoch": steps_per_epoch,
        "hosts": hosts if config.input_sharding == "files" else 1,
    }


def read_settings(workdir: pathlib.Path) -> dict[str, Any]:
    """Reads what `save_settings` has written. Raises InputError if that is missing or damaged."""
    path = workdir / FILE_NAME
    try:
        before = json.loads(path.read_text("utf-8"))
        if not isinstance(before, dict):
            raise ValueError("it holds no settings")
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: missing or damaged, so that the checkpoints beside it cannot be continued "
            f"({error}). Choose another --workdir."
        ) from error
    return before


def check_same_run(workdir: pathlib.Path, now: dict[str, Any]) -> None:
    """Raises InputError if the run that `workdir` holds has other settings than these.

    A run may be lengthened (`epochs`) if its learning rate does not depend on its length.
    """
    # What was begun before a setting existed is as its default leaves it.
    before = {**dataclasses.asdict(TrainConfig()), **read_settings(workdir)}
    free = _FREE | ({"epochs"} if now["schedule"] == "steps" else set())
    changes = [
        f"{name} was {before[name]} and is now {now[name]}"
        for name in now
        if name not in free and before.get(name, now[name]) != now[name]
    ]
    if changes:
        raise InputError(
            f"{workdir}: this run was begun with other settings: {'; '.join(changes)}. Continue it "
            "with its own, or choose another --workdir."
        )


def save_settings(workdir: pathlib.Path, settings: dict[str, Any]) -> None:
    """Writes `workdir/config.json`."""
    write_json(workdir / FILE_NAME, settings)


def _digest(info: DatasetInfo, split: str) -> str:
    shards = "".join(shard.crc32c for shard in info.splits[split].shards)
    return hashlib.sha256(shards.encode()).hexdigest()
