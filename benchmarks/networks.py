"""Measures the networks beside keras.applications.ResNet50: forward, training step, from JPEGs.

    python -m benchmarks.networks [--backend=tensorflow|jax] [--precision=bfloat16] [--check]

Everything runs in one process under one precision and takes turns: each round runs each thing
once, and ratios are medians over the rounds. "folded" is a forward pass after `fold_batch_norm`, on
both sides. On JAX nothing loads TensorFlow.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import importlib
import importlib.metadata
import os
import pathlib
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

# So that `python benchmarks/networks.py` works as well.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import images, machine, network_goals, network_report, report
from benchmarks.network_settings import END_TO_END, MEASURES, PUBLISHED, RGB, NetworkSettings
from benchmarks.settings import Settings
from jpegkeras import files
from jpegkeras.errors import InputError

_DEFAULT_OUTPUT = "build/benchmarks/networks.json"
_BACKENDS = ("tensorflow", "jax")
_PRECISIONS = ("float32", "bfloat16", "float16")
_MODELS = (PUBLISHED, RGB, "64", "32", "16")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message} (--help lists the flags)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status; the user's errors are one line."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    values = _parse(arguments)
    settings = NetworkSettings(
        **{field.name: getattr(values, field.name) for field in dataclasses.fields(NetworkSettings)}
    )
    try:
        backend = _load_backend(settings.backend)
        with _precision(settings.precision):
            result, verdicts = _measure(settings, backend, values.input_dir)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: nothing was written.", file=sys.stderr)
        return 130
    report.print_verdicts(verdicts)
    output = pathlib.Path(values.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    provenance = {
        "command": shlex.join(["python", "-m", "benchmarks.networks", *_shown(arguments)]),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": {**machine.describe(), "backend": _versions(backend.PACKAGES)},
    }
    result["settings"] = dataclasses.asdict(settings)
    judged = [dataclasses.asdict(verdict) for verdict in verdicts]
    files.write_json(output, {**provenance, **result, "goals": judged})
    report.say(f"Written: {output}")
    return int(values.check and any(verdict.met is False for verdict in verdicts))


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    default_backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    add("--backend", choices=_BACKENDS, default=default_backend, help="of Keras")
    add("--precision", choices=_PRECISIONS, default="float32")
    add("--batch_size", type=_count, default=32)
    add("--image_size", type=_count, default=224, help="side in pixels, a multiple of 16")
    add("--models", type=_list_models, default=_MODELS, help="keras, rgb, and n of 3×n bands")
    add("--what", type=_list_measures, default=MEASURES, help=", ".join(MEASURES))
    add("--rounds", type=_count, default=7, help="each runs everything once; medians are reported")
    add("--steps", type=_count, default=1, help="passes that are timed together; on a GPU, more")
    add("--images", type=_count, help="JPEGs a pass from bytes (default: four batches)")
    add("--input_dir", help="folder of JPEGs to make these from (default: they are drawn)")
    add("--threads", type=_count, default=len(os.sched_getaffinity(0)), help="of the readers")
    add("--jit", action="store_true", help="compile with XLA (JAX always does)")
    add("--output", default=_DEFAULT_OUTPUT)
    add("--check", action="store_true", help="fail where a goal is missed")
    values = parser.parse_args(argv)
    values.images = values.images or 4 * values.batch_size
    if values.image_size % 16:
        parser.error(f"--image_size must be a multiple of 16; got {values.image_size}")
    if values.images < values.batch_size:
        parser.error(f"--images must fill a batch of {values.batch_size}; got {values.images}")
    return values


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1; got {text}")
    return int(text)


def _list_models(text: str) -> tuple[str, ...]:
    keys = tuple(dict.fromkeys(text.split(",")))
    for key in keys:
        if key not in (PUBLISHED, RGB) and not (key.isdigit() and 1 <= int(key) <= 64):
            raise argparse.ArgumentTypeError(f"{PUBLISHED}, {RGB} or 1 … 64; got {key!r}")
    return keys


def _list_measures(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if not set(names) <= set(MEASURES):
        raise argparse.ArgumentTypeError(f"some of {', '.join(MEASURES)}; got {text!r}")
    return names


def _shown(arguments: Sequence[str]) -> list[str]:
    hidden = ("--output", "--input_dir")
    return [a if not a.startswith(hidden) else f"{a.partition('=')[0]}=…" for a in arguments]


def _load_backend(name: str) -> Any:
    """Has Keras take the backend; returns the module that measures on it."""
    os.environ["KERAS_BACKEND"] = name
    try:
        module = importlib.import_module(f"benchmarks.network_{name}")
    except ModuleNotFoundError as error:
        raise InputError(f"--backend={name} needs {error.name}: pip install {name}.") from error
    import keras

    if keras.backend.backend() != name:
        raise InputError(
            f"--backend={name}: Keras has been loaded on {keras.backend.backend()} already; set "
            f"KERAS_BACKEND={name}."
        )
    module.start()
    return module


@contextlib.contextmanager
def _precision(name: str) -> Iterator[None]:
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name if name == "float32" else f"mixed_{name}")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _versions(packages: Sequence[str]) -> dict[str, str]:
    versions = {}
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions


def _measure(
    settings: NetworkSettings, backend: Any, input_dir: str | None
) -> tuple[dict[str, Any], list[Any]]:
    # These load Keras.
    from benchmarks import network_cases, network_passes

    jpegs = _collect_images(settings, input_dir) if END_TO_END in settings.what else None
    print("Building the networks …", file=sys.stderr, flush=True)
    cases = [network_cases.build_case(key, settings) for key in settings.models]
    passes = {}
    for case in cases:
        passes.update(network_passes.list_passes(case, settings, backend))
        if jpegs:
            passes.update(network_passes.list_ends(case, settings, backend, jpegs.jpegs))
    with report.progress("measuring", settings.rounds + 1) as advance:
        network_passes.run_rounds(passes, settings.rounds, advance)
    timings = {key: timed.timing for key, timed in passes.items()}
    kind, device = backend.describe_device()
    rows = network_report.make_rows(cases, timings)
    network_report.print_rows(rows, f"{device}, {settings.title}", jpegs.origin if jpegs else "")
    result = {
        "device": {"kind": kind, "name": device},
        "images": jpegs.describe() if jpegs else None,
        **{name: list(found.values()) for name, found in rows.items()},
    }
    return result, network_goals.judge(rows, kind)


def _collect_images(settings: NetworkSettings, input_dir: str | None) -> images.Images:
    """JPEGs a little larger than the networks' crop, as a data set's are."""
    collected = images.collect(
        Settings(
            images=settings.images,
            input_dir=input_dir,
            as_found=False,
            size=settings.image_size + 32,
            quality=75,
            subsampling="4:2:0",
            optimize=False,
            num_frequencies=(64,),
            repeats=settings.rounds,
            batch=settings.batch_size,
            large_batch=settings.batch_size,
            libraries=(),
        )
    )
    if len(collected.jpegs) < settings.batch_size:
        raise InputError(
            f"--input_dir={input_dir}: {len(collected.jpegs)} images do not fill a batch of "
            f"--batch_size={settings.batch_size}"
        )
    return collected


if __name__ == "__main__":
    sys.exit(main())
