"""Trains, evaluates and exports networks on DCT coefficients, and predicts with them.

python train_main.py --mode=train    --data_dir=DIR --workdir=DIR --preset=smoke
python train_main.py --mode=evaluate --data_dir=DIR --workdir=DIR
python train_main.py --mode=export   --workdir=DIR --export_dir=DIR
python train_main.py --mode=predict  --workdir=DIR --images=a.jpg,b.jpg
"""

from __future__ import annotations

import sys

from absl import app, flags, logging

from jpegkeras.config import PRESETS, SCHEDULES, STRATEGIES, TASKS, make_config
from jpegkeras.errors import InputError
from jpegkeras.quiet import quiet_tensorflow

MODES = ("train", "evaluate", "export", "predict")

_MODE = flags.DEFINE_enum("mode", None, MODES, "What to do.", required=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Folder of shards that preprocess.main has made (train, evaluate)."
)
_PRESET = flags.DEFINE_enum("preset", "paper", list(PRESETS), "Settings to start from (train).")
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "A checkpoint's path, or 'best'; by default the latest of --workdir."
)
_SPLIT = flags.DEFINE_string("split", "test", "Split to evaluate.")
_EXPORT_DIR = flags.DEFINE_string(
    "export_dir", None, "Folder of the SavedModel; by default WORKDIR/saved_model."
)
_IMAGES = flags.DEFINE_list("images", None, "Image files to predict, separated by commas.")
_OUTPUT = flags.DEFINE_string(
    "output", None, "JSON file for the results; by default WORKDIR/evaluation-SPLIT.json."
)

_MIN_TOP1 = flags.DEFINE_float(
    "min_top1", 0.0, "Fail if the top-1 accuracy is below this share (evaluate)."
)

# Each overrides the preset; the defaults are the preset's.
_OVERRIDES = {
    "model": flags.DEFINE_string("model", None, "Network: resnet50_dct or resnet50_rgb."),
    "num_frequencies": flags.DEFINE_integer(
        "num_frequencies", None, "Frequencies a component, 1 to 64: 32 and 16 are the paper's FBS."
    ),
    "task": flags.DEFINE_enum("task", None, list(TASKS), "Which labels to learn."),
    "image_size": flags.DEFINE_integer("image_size", None, "Side of the crop, in pixels."),
    "batch_size": flags.DEFINE_integer("batch_size", None, "Images a step, over all devices."),
    "epochs": flags.DEFINE_integer("epochs", None, "Passes over the training split."),
    "learning_rate": flags.DEFINE_float("learning_rate", None, "Initial learning rate of SGD."),
    "momentum": flags.DEFINE_float("momentum", None, "Momentum of SGD."),
    "schedule": flags.DEFINE_enum(
        "schedule", None, list(SCHEDULES), "How the learning rate falls: in steps or as a cosine."
    ),
    "decay_every_epochs": flags.DEFINE_integer(
        "decay_every_epochs", None, "With the schedule of steps: epochs between two decays."
    ),
    "decay_factor": flags.DEFINE_float("decay_factor", None, "What a decay multiplies by."),
    "weight_decay": flags.DEFINE_float("weight_decay", None, "Decoupled weight decay."),
    "batch_norm_momentum": flags.DEFINE_float(
        "batch_norm_momentum", None, "Momentum of the batch normalisation's moving statistics."
    ),
    "zero_init_residual": flags.DEFINE_bool(
        "zero_init_residual", None, "Start each block as its shortcut alone."
    ),
    "augment": flags.DEFINE_bool("augment", None, "Random crops and flips, else central crops."),
    "shuffle_buffer": flags.DEFINE_integer("shuffle_buffer", None, "Records to shuffle among."),
    "checkpoint_every_steps": flags.DEFINE_integer(
        "checkpoint_every_steps", None, "Steps between checkpoints, besides one an epoch."
    ),
    "keep_checkpoints": flags.DEFINE_integer(
        "keep_checkpoints", None, "Latest checkpoints to keep, besides the best."
    ),
    "strategy": flags.DEFINE_enum(
        "strategy", None, list(STRATEGIES), "mirrored: all GPUs; auto: mirrored from two GPUs on."
    ),
    "logical_cpus": flags.DEFINE_integer(
        "logical_cpus", None, "With mirrored on a machine without GPU: devices to pretend."
    ),
    "seed": flags.DEFINE_integer("seed", None, "Seed of weights, order, crops and flips."),
}


def main(argv: list[str]) -> int:
    """Runs one mode; returns the process's exit status."""
    if len(argv) > 1:
        return _fail(f"unexpected argument {argv[1]!r}; every option is a --flag=value.")
    if not flags.FLAGS["verbosity"].present:
        # TensorFlow's savers tell of every file at INFO.
        logging.set_verbosity(logging.WARNING)
    try:
        return _run(_MODE.value)
    except (InputError, OSError) as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return _fail("interrupted; the same command continues from the last checkpoint.")


def _run(mode: str) -> int:
    overrides = {name: flag.value for name, flag in _OVERRIDES.items()}
    if mode in ("train", "evaluate") and not _DATA_DIR.value:
        raise InputError(f"--mode={mode} needs --data_dir, a folder that preprocess.main has made.")
    if mode == "predict" and not _IMAGES.value:
        raise InputError("--mode=predict needs --images=a.jpg,b.jpg.")
    config = make_config(_PRESET.value, **overrides)
    # Only now: TensorFlow takes seconds to load, and a wrong flag should be told at once.
    with quiet_tensorflow():
        from jpegkeras import commands

    if mode == "train":
        commands.run_train(config, _DATA_DIR.value, _WORKDIR.value)
        return 0
    chosen = {"checkpoint": _CHECKPOINT.value, "expected": overrides}
    if mode == "evaluate":
        commands.run_evaluate(
            _DATA_DIR.value,
            _WORKDIR.value,
            split=_SPLIT.value,
            output=_OUTPUT.value,
            min_top1=_MIN_TOP1.value,
            **chosen,
        )
        return 0
    if mode == "export":
        commands.run_export(_WORKDIR.value, _EXPORT_DIR.value, **chosen)
        return 0
    failures = commands.run_predict(_WORKDIR.value, _IMAGES.value, output=_OUTPUT.value, **chosen)
    return 1 if failures else 0


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    app.run(main)
