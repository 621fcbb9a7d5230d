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
# What may change when a run continues: none of these decides what a step computes.
_FREE = frozenset({"checkpoint_every_steps", "keep_checkpoints", "strategy", "logical_cpus"})


def check_same_run(workdir: pathlib.Path, config: TrainConfig, info: DatasetInfo) -> None:
    """Raises InputError if the run that `workdir` holds has other settings or another data set.

    A run may be lengthened (`epochs`) if its learning rate does not depend on its length.
    """
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
    now = _settings(config, info)
    free = _FREE | ({"epochs"} if config.schedule == "steps" else set())
    changes = [
        f"{name} was {before.get(name)} and is now {now[name]}"
        for name in now
        if name not in free and before.get(name) != now[name]
    ]
    if changes:
        raise InputError(
            f"{workdir}: this run was begun with other settings: {'; '.join(changes)}. Continue it "
            "with its own, or choose another --workdir."
        )


def save_settings(workdir: pathlib.Path, config: TrainConfig, info: DatasetInfo) -> None:
    """Writes `workdir/config.json`."""
    write_json(workdir / FILE_NAME, _settings(config, info))


def _settings(config: TrainConfig, info: DatasetInfo) -> dict[str, Any]:
    shards = "".join(shard.crc32c for shard in info.splits["train"].shards)
    return {
        **dataclasses.asdict(config),
        "training_records": info.splits["train"].records,
        "training_data": hashlib.sha256(shards.encode()).hexdigest(),
    }
