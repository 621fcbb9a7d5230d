"""What must be known of a trained network to build it, feed it and name its answers.

It travels inside every checkpoint and beside every SavedModel, so that neither needs the data set
again.
"""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

import keras

from jpegkeras.band_information import load_information
from jpegkeras.bands import Bands, Selection, select_bands
from jpegkeras.config import TrainConfig
from jpegkeras.dataset_info import DatasetInfo
from jpegkeras.models import build_model


@dataclasses.dataclass(frozen=True)
class NetworkDescription:
    """A network's name, shape, normalisation and classes, and what its input images go through.

    `statistics` are the data set's, of `num_frequencies` bands (`DatasetInfo.statistics`);
    `transcoding` are the keyword arguments of `jpegkeras.transcoding.Transcoding`.
    `bands` are those of the `num_frequencies` lowest that it looks at, None for all;
    `learned_bands` is n where a gate learns which 3n to keep, else 0.
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
    bands: Bands | None = None
    learned_bands: int = 0

    def to_json(self) -> str:
        """Returns the description as JSON text."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> NetworkDescription:
        """Reads what `to_json` wrote; raises ValueError or TypeError for other text."""
        content = json.loads(text)
        bands = content.get("bands")
        return cls(
            **{
                **content,
                "class_names": tuple(content["class_names"]),
                "bands": None if bands is None else Bands.from_lists(bands),
            }
        )

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
            bands=self.bands,
            learned_bands=self.learned_bands or None,
            **training_options,
        )

    def differences(self, other: NetworkDescription) -> list[str]:
        """Says, a phrase a field, where weights of `other` would not fit or not mean the same."""
        phrases = []
        for name in (
            "model",
            "num_frequencies",
            "bands",
            "learned_bands",
            "image_size",
            "sampling",
            "task",
            "class_names",
        ):
            mine, others = getattr(self, name), getattr(other, name)
            if name == "class_names" and mine != others:
                mine, others = f"{len(mine)} classes", f"{len(others)} classes of other names"
            if name == "bands":
                mine, others = (
                    "all" if bands is None else bands.to_text() for bands in (mine, others)
                )
            if mine != others:
                phrases.append(f"{name} is {mine}, not {others}")
        return phrases


def describe(
    config: TrainConfig, info: DatasetInfo, directory: str | os.PathLike
) -> NetworkDescription:
    """Returns the description of the network that `config` trains on the data set in a folder.

    Its `num_frequencies` are those that records must hold, whatever `config.num_frequencies` is if
    there are `config.bands`. Raises InputError where these cannot be had of the data set.
    """
    selection = Selection(config.num_frequencies)
    if config.bands:
        selection = select_bands(
            config.bands,
            info.num_frequencies,
            info.statistics,
            lambda: load_information(directory, info).bits,
        )
    n = selection.num_frequencies
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
        bands=selection.bands,
        learned_bands=selection.learned,
    )
