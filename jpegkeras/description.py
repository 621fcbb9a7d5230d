"""What must be known of a trained network to build it, feed it and name its answers.

It travels inside every checkpoint and beside every SavedModel, so that neither needs the data set
again.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import keras

from jpegkeras.config import TrainConfig
from jpegkeras.dataset_info import DatasetInfo
from jpegkeras.models import build_model


@dataclasses.dataclass(frozen=True)
class NetworkDescription:
    """A network's name, shape, normalisation and classes, and what its input images go through.

    `statistics` are the data set's, of `num_frequencies` bands (`DatasetInfo.statistics`);
    `transcoding` are the keyword arguments of `jpegkeras.transcoding.Transcoding`.
    """

    model: str
    num_frequencies: int
    image_size: int
    sampling: str
    task: str
    class_names: tuple[str, ...]
    statistics: dict[str, dict[str, list[float]]]
    batch_norm_momentum: float
    transcoding: dict[str, Any]

    def to_json(self) -> str:
        """Returns the description as JSON text."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> NetworkDescription:
        """Reads what `to_json` wrote; raises ValueError or TypeError for other text."""
        content = json.loads(text)
        return cls(**{**content, "class_names": tuple(content["class_names"])})

    def build(self, **training_options: bool) -> keras.Model:
        """Builds the network afresh.

        `training_options`: those of `build_model` that matter only while it trains (`synchronized`,
        `zero_init_residual`).
        """
        return build_model(
            self.model,
            num_frequencies=self.num_frequencies,
            num_classes=len(self.class_names),
            image_size=self.image_size,
            sampling=self.sampling,
            statistics=self.statistics,
            batch_norm_momentum=self.batch_norm_momentum,
            **training_options,
        )

    def differences(self, other: NetworkDescription) -> list[str]:
        """Says, a phrase a field, where weights of `other` would not fit or not mean the same."""
        phrases = []
        for name in ("model", "num_frequencies", "image_size", "sampling", "task", "class_names"):
            mine, others = getattr(self, name), getattr(other, name)
            if name == "class_names" and mine != others:
                mine, others = f"{len(mine)} classes", f"{len(others)} classes of other names"
            if mine != others:
                phrases.append(f"{name} is {mine}, not {others}")
        return phrases


def describe(config: TrainConfig, info: DatasetInfo) -> NetworkDescription:
    """Returns the description of the network that `config` trains on a data set."""
    n = config.num_frequencies
    return NetworkDescription(
        model=config.model,
        num_frequencies=n,
        image_size=config.image_size,
        sampling=info.sampling,
        task=config.task,
        class_names=tuple(info.class_names(config.task)),
        statistics={
            component: {name: list(bands[name][:n]) for name in ("mean", "std")}
            for component, bands in info.statistics.items()
        },
        batch_norm_momentum=config.batch_norm_momentum,
        transcoding={**info.transcoding, "num_frequencies": n},
    )
