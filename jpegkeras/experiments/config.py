"""The settings of the studies, their presets, and the files that hold them.

Imports nothing that takes long, so that a command line is judged at once.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

from jpegkeras.bands import LEARNED, parse_bands
from jpegkeras.config import TrainConfig
from jpegkeras.errors import InputError
from jpegkeras.experiments.networks import NETWORKS

# Crops are of so large a part of an image's smallest side, as the paper's 224 of 256 pixels.
_CROPPED = 7 / 8
# MCUs of 4:2:0.
_MCU = 16


@dataclasses.dataclass(frozen=True)
class StudyConfig:
    """What all studies share. Raises InputError for a value out of range.

    `resolutions` (smallest side in pixels) and `qualities` are what the studies of these vary;
    `resolution` and `quality` hold where they do not. `train_per_class` and `test_per_class` limit
    the images of each fine class (0: all). `training`: the recipe; its network, task, crop and seed
    are the cell's own.
    """

    networks: tuple[str, ...] = tuple(NETWORKS)
    resolutions: tuple[int, ...] = (32, 64, 128, 256)
    qualities: tuple[int, ...] = (25, 50, 75, 100)
    resolution: int = 256
    quality: int = 100
    seeds: tuple[int, ...] = (0,)
    train_per_class: int = 0
    test_per_class: int = 0
    training: TrainConfig = TrainConfig()

    def __post_init__(self) -> None:
        for name in ("networks", "resolutions", "qualities", "seeds"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise InputError(f"{name} must be one or more different values; got {values}.")
        unknown = [key for key in self.networks if key not in NETWORKS]
        if unknown:
            raise InputError(f"networks must be of {', '.join(NETWORKS)}; got {unknown[0]!r}.")
        for side in (self.resolution, *self.resolutions):
            if side < _MCU:
                raise InputError(f"a resolution must be at least {_MCU} pixels; got {side}.")
        for quality in (self.quality, *self.qualities):
            if not 1 <= quality <= 100:
                raise InputError(f"a quality must be from 1 to 100; got {quality}.")
        for name in ("train_per_class", "test_per_class"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} must not be negative; got {getattr(self, name)}.")


def crop_size(resolution: int) -> int:
    """Returns the side of the crops in pixels: 7/8 of the smallest side, in whole MCUs of 4:2:0.

    224 of 256, as in the paper, 112 of 128, and, since halves are rounded up, 64 of 64, 32 of 32;
    never more than there is.
    """
    return min(int(_CROPPED * resolution / _MCU + 0.5), resolution // _MCU) * _MCU


def learns_bands(training: TrainConfig) -> bool:
    """Tells whether a network learns its bands first, in a training of its own."""
    return bool(training.bands) and parse_bands(training.bands).kind == LEARNED


PRESETS = {
    # The paper's recipe (slide "Implementation Details"); takes any list of classes.
    "imagenet211": StudyConfig(),
    # All of Tiny-ImageNet, for a GPU: some hours.
    "tiny_imagenet": StudyConfig(
        resolutions=(32, 64),
        resolution=64,
        training=TrainConfig(
            epochs=30,
            schedule="cosine",
            warmup_epochs=1,
            weight_decay=1e-4,
            batch_norm_momentum=0.97,
            zero_init_residual=True,
        ),
    ),
    # A stratified part of Tiny-ImageNet, for two CPU cores: some two hours.
    "tiny_imagenet_subset": StudyConfig(
        resolutions=(16, 32),
        resolution=32,
        train_per_class=50,
        training=TrainConfig(
            batch_size=64,
            epochs=5,
            learning_rate=0.05,
            schedule="cosine",
            warmup_epochs=0.5,
            weight_decay=1e-4,
            batch_norm_momentum=0.95,
            zero_init_residual=True,
        ),
    ),
    # The built-in data set on two CPU cores: minutes.
    "smoke": StudyConfig(
        resolutions=(32, 64),
        qualities=(25, 100),
        resolution=32,
        train_per_class=60,
        test_per_class=20,
        training=TrainConfig(
            batch_size=32,
            epochs=4,
            learning_rate=0.02,
            schedule="cosine",
            batch_norm_momentum=0.9,
            zero_init_residual=True,
        ),
    ),
}


def load_config(name: str, overrides: dict[str, Any] | None = None) -> StudyConfig:
    """Returns a preset, or what a JSON file holds, with the `overrides` put in.

    A file has fields of `StudyConfig`, those of `training` as an object, and may name the preset
    that it starts from as `preset` ("imagenet211" if it does not). Raises InputError for a name
    that is neither, a field that does not exist, or a value out of range.
    """
    config = PRESETS[name] if name in PRESETS else _load_file(name)
    return replace(config, overrides or {})


def replace(config: StudyConfig, values: dict[str, Any]) -> StudyConfig:
    """Returns `config` with other values; those of `training` as a dict. Raises InputError."""
    values = dict(values)
    training = values.pop("training", {})
    fields = {field.name for field in dataclasses.fields(StudyConfig)}
    for where, given, known in (
        ("", values, fields),
        ("training: ", training, {field.name for field in dataclasses.fields(TrainConfig)}),
    ):
        unknown = sorted(set(given) - known)
        if unknown:
            raise InputError(f"{where}no such setting: {unknown[0]}.")
    lists = {
        key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
    }
    return dataclasses.replace(
        config, **lists, training=dataclasses.replace(config.training, **training)
    )


def _load_file(path: str) -> StudyConfig:
    try:
        content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"--config={path}: neither a preset ({', '.join(PRESETS)}) nor a file that can be read "
            f"({error.strerror})."
        ) from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}).") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: must hold a JSON object of settings.")
    preset = content.pop("preset", "imagenet211")
    if preset not in PRESETS:
        raise InputError(f"{path}: preset must be one of {', '.join(PRESETS)}; got {preset!r}.")
    try:
        return replace(PRESETS[preset], content)
    except (InputError, TypeError) as error:
        raise InputError(f"{path}: {error}") from error
