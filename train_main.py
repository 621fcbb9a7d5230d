"""Trains, evaluates and exports networks on DCT coefficients, and predicts with them.

python train_main.py --mode=train    --data_dir=DIR --workdir=DIR --preset=smoke
python train_main.py --mode=evaluate --data_dir=DIR --workdir=DIR
python train_main.py --mode=export   --workdir=DIR --export_dir=DIR
python train_main.py --mode=predict  --workdir=DIR --images=a.jpg,b.jpg
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from absl import flags, logging

from jpegkeras import command_line
from jpegkeras.bands import FORMS
from jpegkeras.config import CHOICES, PRESETS, make_config
from jpegkeras.errors import InputError
from jpegkeras.preemption import PreemptedError
from jpegkeras.quiet import quiet_tensorflow

MODES = ("train", "evaluate", "export", "predict")

_MODE = flags.DEFINE_enum("mode", None, MODES, "What to do.", required=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Folder of shards that preprocess.main has made (train, evaluate)."
)
_PRESET = flags.DEFINE_enum("preset", "paper", list(PRESETS), "Settings to start from (train).")
_DRY_RUN = flags.DEFINE_bool(
    "dry_run", False, "Try everything that training does, a few steps of it, and keep nothing."
)
_BENCHMARK_STEPS = flags.DEFINE_integer(
    "benchmark_steps", None, "Instead of training, time so many steps: input, step, and both."
)
_PROFILE_STEPS = flags.DEFINE_string(
    "profile_steps", None, "FIRST:LAST: steps to record for TensorBoard's profiler (train)."
)
_INIT_FROM = flags.DEFINE_string(
    "init_from",
    None,
    "Weights to start from: an RGB ResNet-50 as .keras, .h5 or .weights.h5, or 'imagenet' (train).",
)
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
    "min_top1",
    0.0,
    "Fail if the top-1 accuracy is below this share (evaluate).",
    lower_bound=0,
    upper_bound=1,
)


def _help(name: str, text: str) -> str:
    """Returns the help of a flag that overrides a preset, with each preset's value."""
    values = (
        f"{preset}: {'none' if getattr(config, name) == '' else getattr(config, name)}"
        for preset, config in PRESETS.items()
    )
    return f"{text} ({', '.join(values)})"


def _override(define: Callable, name: str, text: str, *choices: Sequence[str]) -> flags.FlagHolder:
    return define(name, None, *map(list, choices), _help(name, text))


_INTEGERS = {
    "num_frequencies": "Frequencies a component, 1 to 64; 32 and 16 are the paper's FBS.",
    "image_size": "Side of the crop in pixels, a multiple of 16 (of 8 for 4:4:4).",
    "batch_size": "Images a step, over all devices of all hosts.",
    "epochs": "Passes over the training split.",
    "decay_every_epochs": "With the schedule of steps: epochs between two decays.",
    "shuffle_buffer": "Records to shuffle among.",
    "checkpoint_every_steps": "Steps between checkpoints, besides one an epoch.",
    "keep_checkpoints": "Latest checkpoints to keep, besides the best.",
    "log_every_steps": "Steps between two looks at the loss; each waits for the devices.",
    "logical_cpus": "With mirrored on a machine without GPU: devices to pretend.",
    "seed": "Seed of weights, order, crops and flips.",
}
_NUMBERS = {
    "learning_rate": "Initial learning rate of SGD.",
    "momentum": "Momentum of SGD.",
    "decay_factor": "What a decay multiplies the learning rate by.",
    "warmup_epochs": "Epochs in which the learning rate rises from 0.",
    "weight_decay": "Decoupled weight decay, not of biases and batch normalisation.",
    "clip_norm": "Largest global norm of the gradients; 0: any.",
    "label_smoothing": "Share of the target that is spread over all classes.",
    "bands_cost": "With learned bands: weight of what too many, or too few, cost in the loss.",
    "ema_decay": "Evaluate a moving average of the weights with this decay; 0: the weights.",
    "batch_norm_momentum": "Momentum of the batch normalisation's moving statistics.",
}
_SWITCHES = {
    "zero_init_residual": "Start each block as its shortcut alone: short runs learn sooner.",
    "overfit_one_batch": "Train on the first batch again and again: the loss must go to 0.",
    "jit": "Compile the step with XLA; on one device.",
    "deterministic": "On GPUs, only operations that give the same result each time.",
}
_CHOICES = {
    "task": "Which labels to learn.",
    "augment": "none: central crops; paper: random crops and flips; strong: see the docs.",
    "schedule": "How the learning rate falls: in steps or as a cosine.",
    "precision": "Of the activations; bfloat16 and float16 keep the weights in float32.",
    "strategy": (
        "mirrored: all GPUs of this host; auto: that from two GPUs on; multiworker: all GPUs of "
        "the hosts in TF_CONFIG."
    ),
    "input_sharding": (
        "With several hosts: exact reads every shard on each, and batches are those of one host; "
        "files reads a share of the shards on each."
    ),
}
# Each overrides the preset; none has a default of its own.
_OVERRIDES = {
    "model": _override(flags.DEFINE_string, "model", "Network: resnet50_dct or resnet50_rgb."),
    "bands": _override(
        flags.DEFINE_string,
        "bands",
        f"Instead of --num_frequencies, which bands: {'; '.join(FORMS)} (docs/bands.md).",
    ),
    **{name: _override(flags.DEFINE_integer, name, text) for name, text in _INTEGERS.items()},
    **{name: _override(flags.DEFINE_float, name, text) for name, text in _NUMBERS.items()},
    **{name: _override(flags.DEFINE_bool, name, text) for name, text in _SWITCHES.items()},
    **{
        name: _override(flags.DEFINE_enum, name, text, CHOICES[name])
        for name, text in _CHOICES.items()
    },
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
    except PreemptedError as error:
        # As the shell tells of a process that a SIGTERM has ended.
        return _fail(f"{error}; the same command continues from there.", status=143)
    except KeyboardInterrupt:
        hint = "; the same command continues from the last checkpoint, if there is one"
        return _fail(f"interrupted{hint if _MODE.value == 'train' else ''}.", status=130)


def _run(mode: str) -> int:
    overrides = {name: flag.value for name, flag in _OVERRIDES.items()}
    if mode in ("train", "evaluate") and not _DATA_DIR.value:
        raise InputError(f"--mode={mode} needs --data_dir, a folder that preprocess.main has made.")
    if mode == "predict" and not _IMAGES.value:
        raise InputError("--mode=predict needs --images=a.jpg,b.jpg.")
    _refuse_unused(mode)
    config = make_config(_PRESET.value, **overrides)
    # Only now: TensorFlow takes seconds to load, and a wrong flag should be told at once.
    with quiet_tensorflow():
        from jpegkeras import commands

    if mode == "train" and _DRY_RUN.value:
        commands.run_dry(config, _DATA_DIR.value, _WORKDIR.value, init_from=_INIT_FROM.value)
        return 0
    if mode == "train" and _BENCHMARK_STEPS.value is not None:
        commands.run_benchmark(config, _DATA_DIR.value, _WORKDIR.value, _BENCHMARK_STEPS.value)
        return 0
    if mode == "train":
        commands.run_train(
            config,
            _DATA_DIR.value,
            _WORKDIR.value,
            init_from=_INIT_FROM.value,
            profile_steps=_PROFILE_STEPS.value,
        )
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


# Flags that a mode would leave unused, so that giving them is a mistake.
_NETWORK = {"model", "num_frequencies", "image_size", "task"}
_TRAINING = {"dry_run", "benchmark_steps", "profile_steps", "init_from"}
_TRAINING |= _OVERRIDES.keys() - _NETWORK
_UNUSED = {
    "train": {"checkpoint", "split", "output", "min_top1", "export_dir", "images"},
    "evaluate": {"export_dir", "images"} | _TRAINING,
    "export": {"split", "output", "min_top1", "images"} | _TRAINING,
    "predict": {"split", "min_top1", "export_dir"} | _TRAINING,
}

_UNUSED_IN_TRIALS = {
    "dry_run": ("benchmark_steps", "profile_steps"),
    "benchmark_steps": ("init_from", "profile_steps"),
}


def _refuse_unused(mode: str) -> None:
    given = sorted(name for name in _UNUSED[mode] if not flags.FLAGS[name].using_default_value)
    if given:
        raise InputError(f"--mode={mode} has no use for --{', --'.join(given)}; leave it out.")
    for trial, unused in _UNUSED_IN_TRIALS.items():
        given = [name for name in unused if not flags.FLAGS[name].using_default_value]
        if given and not flags.FLAGS[trial].using_default_value:
            raise InputError(f"--{trial} has no use for --{', --'.join(given)}; leave it out.")


def _fail(message: str, status: int = 1) -> int:
    print(f"error: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    command_line.run(main)
