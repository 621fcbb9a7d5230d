"""Measures what augmentation takes of a training step, on this machine, with nothing else on it.

python -m jpegkeras.augmentation.cost --output=cost.json
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import flags

from jpegkeras import command_line
from jpegkeras.augmentation.policy import POLICIES, Policy
from jpegkeras.augmentation.slots import NUM_DRAWS
from jpegkeras.errors import InputError
from jpegkeras.files import write_json
from jpegkeras.quiet import quiet_tensorflow

_OUTPUT = flags.DEFINE_string("output", None, "JSON file to write.", required=True)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 16, "Images a step.", lower_bound=2)
_IMAGE_SIZE = flags.DEFINE_integer("image_size", 224, "Side in pixels, a multiple of 16.")
_NUM_FREQUENCIES = flags.DEFINE_integer(
    "num_frequencies", 16, "Bands of the network.", lower_bound=1, upper_bound=64
)
_REPEATS = flags.DEFINE_integer("repeats", 5, "Runs, of which the median counts.", lower_bound=1)

_STRONG = POLICIES["strong"]
#: Each transform alone, then together.
MEASURED = {
    "flip_vertical": Policy(orientations=("identity", "flip_vertical")),
    "translation": Policy(translation=_STRONG.translation),
    "brightness": Policy(brightness=_STRONG.brightness),
    "contrast": Policy(contrast=_STRONG.contrast),
    "saturation": Policy(saturation=_STRONG.saturation),
    "hue": Policy(hue=_STRONG.hue),
    "chroma_drop": Policy(chroma_drop=_STRONG.chroma_drop),
    "cutout": Policy(cutout=_STRONG.cutout),
    "zoom_in": Policy(zoom_in=_STRONG.zoom_in),
    "zoom_out": Policy(zoom_out=0.25),
    "mixup": Policy(mixup=_STRONG.mixup),
    "strong": _STRONG,
}


def measure(batch_size: int, image_size: int, n: int, repeats: int) -> dict[str, Any]:
    """Times each policy of `MEASURED`, and a step of SGD of the network on n bands, as graphs.

    Returns seconds, and each policy's percentage of the step; 4:2:0, 1000 classes, float32.
    """
    import tensorflow as tf

    from jpegkeras.augmentation.augment import augment_bands
    from jpegkeras.models import build_model

    rng = np.random.default_rng(0)
    rows = image_size // 8
    sizes = {"y": rows, "cb": rows // 2, "cr": rows // 2}
    inputs = {
        key: tf.constant(rng.integers(-9, 10, (batch_size, size, size, n)), tf.int16)
        for key, size in sizes.items()
    }
    bands = {key: tf.cast(values, tf.float32) * 8 for key, values in inputs.items()}
    inputs["quantization"] = tf.cast(tf.fill([batch_size, 3, n], 8), tf.uint16)
    targets = tf.one_hot(rng.integers(1000, size=batch_size), 1000)
    draws = tf.constant(rng.random((batch_size, NUM_DRAWS), np.float32))

    model = build_model("resnet50_dct", n, image_size=image_size)
    optimizer = tf.keras.optimizers.SGD(0.01, momentum=0.9)
    optimizer.build(model.trainable_variables)

    @tf.function(autograph=False)
    def train() -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = model(inputs, training=True)
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, logits))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables))
        return loss

    step = _median_seconds(train, repeats)
    seconds = {}
    for name, policy in MEASURED.items():
        augment = tf.function(augment_bands, autograph=False)
        # As arguments, or the graph's optimiser would compute all of it before the first run.
        seconds[name] = _median_seconds(
            lambda augment=augment, policy=policy: augment(bands, targets, draws, policy),
            10 * repeats,
        )
    return {
        "batch_size": batch_size,
        "image_size": image_size,
        "num_frequencies": n,
        "device": "GPU" if tf.config.list_physical_devices("GPU") else "CPU",
        "cores": os.cpu_count(),
        "training_step_seconds": round(step, 3),
        "seconds": {name: round(value, 5) for name, value in seconds.items()},
        "percent_of_step": {name: round(100 * v / step, 2) for name, v in seconds.items()},
        "strong": dataclasses.asdict(_STRONG),
    }


def _median_seconds(function: Callable[[], Any], repeats: int) -> float:
    def run() -> float:
        start = time.perf_counter()
        result = function()
        last = result[1] if isinstance(result, tuple) else result
        last.numpy()  # waits for the device
        return time.perf_counter() - start

    run()
    return statistics.median(run() for _ in range(repeats))


def main(argv: list[str]) -> int:
    """Measures as the flags say, writes the file; returns the exit status."""
    try:
        if len(argv) > 1:
            raise InputError(f"unexpected arguments: {' '.join(argv[1:])} (write --name=value).")
        if not pathlib.Path(_OUTPUT.value).parent.is_dir():
            raise InputError(f"{_OUTPUT.value}: there is no such folder. Make it first.")
        with quiet_tensorflow():
            import tensorflow  # noqa: F401
        sizes = (_BATCH_SIZE.value, _IMAGE_SIZE.value, _NUM_FREQUENCIES.value)
        result = measure(*sizes, _REPEATS.value)
        write_json(_OUTPUT.value, result)
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    for name, percent in result["percent_of_step"].items():
        print(f"{name:14} {1e3 * result['seconds'][name]:8.2f} ms  {percent:6.2f} % of a step")
    print(f"training step  {1e3 * result['training_step_seconds']:8.0f} ms")
    return 0


if __name__ == "__main__":
    command_line.run(main)
