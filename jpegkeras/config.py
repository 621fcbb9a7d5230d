"""The settings of one training run, and the presets.

Imports nothing but the standard library, and modules that do the same, so that a command line can
be parsed before TensorFlow is loaded.
"""

from __future__ import annotations

import dataclasses
import math

from jpegkeras.bands import LEARNED, parse_bands
from jpegkeras.errors import InputError

STRATEGIES = ("auto", "none", "mirrored", "multiworker")
SCHEDULES = ("steps", "cosine")
TASKS = ("fine", "coarse")
AUGMENTATIONS = ("none", "paper", "strong")
PRECISIONS = ("float32", "bfloat16", "float16")
SHARDINGS = ("exact", "files")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Everything that decides how a network is trained. Raises InputError for a value out of range.

    Sizes are in pixels; `batch_size` is over all devices of all hosts together. With the schedule
    "steps" the learning rate is multiplied by `decay_factor` every `decay_every_epochs` epochs;
    with "cosine" it falls to 0 along half a cosine over all steps. During the first `warmup_epochs`
    it is that, times a factor that rises linearly to 1. `clip_norm` and `ema_decay` are off at 0.
    `bands`, unless empty, is a text of `jpegkeras.bands.FORMS` and decides instead of
    `num_frequencies`; `bands_cost` weighs what a network that learns its bands pays for too many.
    """

    model: str = "resnet50_dct"
    num_frequencies: int = 64
    bands: str = ""
    bands_cost: float = 10.0
    task: str = "fine"
    image_size: int = 224
    batch_size: int = 128
    epochs: int = 120
    learning_rate: float = 0.05
    momentum: float = 0.9
    schedule: str = "steps"
    decay_every_epochs: int = 30
    decay_factor: float = 0.1
    warmup_epochs: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    label_smoothing: float = 0.0
    ema_decay: float = 0.0
    batch_norm_momentum: float = 0.99
    zero_init_residual: bool = False
    augment: str = "paper"
    shuffle_buffer: int = 4096
    input_sharding: str = "exact"
    overfit_one_batch: bool = False
    precision: str = "float32"
    jit: bool = False
    deterministic: bool = True
    checkpoint_every_steps: int = 1000
    keep_checkpoints: int = 2
    log_every_steps: int = 10
    strategy: str = "auto"
    logical_cpus: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise InputError(f"--{field.name} must be a finite number; got {value}.")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"--seed must be from 0 to {2**32 - 1}; got {self.seed}.")
        for name in _POSITIVE:
            if getattr(self, name) <= 0:
                raise InputError(f"--{name} must be above 0; got {getattr(self, name)}.")
        for name in _BELOW_1:
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"--{name} must be from 0 to below 1; got {getattr(self, name)}.")
        for name in ("weight_decay", "clip_norm", "warmup_epochs", "bands_cost"):
            if getattr(self, name) < 0:
                raise InputError(f"--{name} must not be negative; got {getattr(self, name)}.")
        if self.num_frequencies > 64:
            raise InputError(f"--num_frequencies must be from 1 to 64; got {self.num_frequencies}.")
        if self.warmup_epochs >= self.epochs:
            raise InputError(
                f"--warmup_epochs={self.warmup_epochs:g} must be fewer than --epochs={self.epochs}."
            )
        if self.logical_cpus > 1 and self.strategy != "mirrored":
            raise InputError(
                f"--logical_cpus={self.logical_cpus} is for --strategy=mirrored; got "
                f"{self.strategy}."
            )
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise InputError(
                    f"--{name} must be one of {', '.join(allowed)}; got {getattr(self, name)!r}."
                )
        if self.bands:
            parse_bands(self.bands)


_POSITIVE = (
    "num_frequencies",
    "image_size",
    "batch_size",
    "epochs",
    "learning_rate",
    "decay_every_epochs",
    "decay_factor",
    "shuffle_buffer",
    "checkpoint_every_steps",
    "keep_checkpoints",
    "log_every_steps",
    "logical_cpus",
)
_BELOW_1 = ("momentum", "batch_norm_momentum", "label_smoothing", "ema_decay")

#: The fields that take one of a few values, and these.
CHOICES = {
    "strategy": STRATEGIES,
    "task": TASKS,
    "schedule": SCHEDULES,
    "augment": AUGMENTATIONS,
    "precision": PRECISIONS,
    "input_sharding": SHARDINGS,
}

PRESETS = {
    # The recipe of the ICIP 2020 paper (slide "Implementation Details"). Nobody has run it with
    # this project: 215,018 training images × 120 epochs want GPUs.
    "paper": TrainConfig(),
    # The built-in data set on two CPU cores, in about two minutes (see `make demo`). Few steps, so
    # the moving statistics of the batch normalisation must follow faster than in a long run.
    "smoke": TrainConfig(
        num_frequencies=16,
        image_size=48,
        batch_size=32,
        epochs=6,
        learning_rate=0.02,
        schedule="cosine",
        batch_norm_momentum=0.9,
        zero_init_residual=True,
    ),
}


def make_config(preset: str, **overrides: object) -> TrainConfig:
    """Returns a preset with every override that is not None put in.

    Raises InputError for an unknown preset or a value out of range.
    """
    if preset not in PRESETS:
        raise InputError(f"--preset must be one of {', '.join(PRESETS)}; got {preset!r}.")
    given = {key: value for key, value in overrides.items() if value is not None}
    _check_bands(given)
    return dataclasses.replace(PRESETS[preset], **given)


def _check_bands(given: dict[str, object]) -> None:
    """Raises InputError where one setting would leave another without use."""
    bands = given.get("bands")
    if bands and "num_frequencies" in given:
        raise InputError(
            f"--bands={bands} says which frequencies; leave --num_frequencies out. (lowest:n is "
            "--num_frequencies=n.)"
        )
    if "bands_cost" in given and not (bands and parse_bands(str(bands)).kind == LEARNED):
        raise InputError(
            "--bands_cost is for networks that learn their bands. Leave it out, or give "
            "--bands=learned:16."
        )
