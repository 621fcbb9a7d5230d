"""What is timed of each network, and the rounds in which everything takes turns."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from benchmarks import network_cases, network_reading
from benchmarks.network_report import Key, Timing
from benchmarks.network_settings import END_TO_END, FOLDED, FORWARD, LAYERS, STEP, NetworkSettings

_WARM_UP = 2


@dataclasses.dataclass(frozen=True)
class Timed:
    """Something to run, and what its runs took."""

    run: Callable[[], None]
    timing: Timing


def list_passes(case: network_cases.Case, settings: NetworkSettings, backend: Any) -> dict:
    """Returns what is to be timed of a network on a batch that is on the device, by Key."""
    batch = backend.put(case.inputs)
    labels = backend.put(np.arange(settings.batch_size) % network_cases.CLASSES)
    passes: dict[Key, Timed] = {}

    def add(key: Key, function: Callable[..., Any], *arguments: Any) -> None:
        def run() -> None:
            for _ in range(settings.steps):
                result = function(*arguments)
            backend.wait(result)

        passes[(case.key, *key)] = Timed(run, Timing(settings.batch_size * settings.steps))

    def forward(model: keras.Model, **options: bool) -> Callable[..., Any]:
        return backend.make_forward(model, jit=settings.jit, **options)

    def step(model: keras.Model, loss: Callable[..., Any]) -> Callable[..., Any]:
        return backend.make_step(model, network_cases.make_optimizer(), loss, jit=settings.jit)

    shares = LAYERS in settings.what and case.num_frequencies is not None
    if FORWARD in settings.what or shares:
        add((FORWARD,), forward(case.model), batch)
    if FOLDED in settings.what:
        add((FOLDED,), forward(case.folded()), batch)
    if STEP in settings.what or shares:
        add((STEP,), step(case.model, network_cases.cross_entropy), batch, labels)
    if not shares:
        return passes
    ours, rest = case.split()
    between = backend.put(keras.ops.convert_to_numpy(ours(case.inputs, training=False)))
    add((FORWARD, "ours"), forward(ours), batch)
    add((FORWARD, "rest"), forward(rest), between)
    if ours.trainable_variables:
        add((STEP, "ours"), step(ours, network_cases.mean_square), batch, labels)
    else:
        add((STEP, "ours"), forward(ours, training=True), batch)
    add((STEP, "rest"), step(rest, network_cases.cross_entropy), between, labels)
    return passes


def list_ends(
    case: network_cases.Case, settings: NetworkSettings, backend: Any, jpegs: Sequence[bytes]
) -> dict:
    """Returns what is to be timed of a network on JPEGs in memory, and of the reading alone."""
    size, threads = settings.image_size, settings.threads
    model = case.model
    if case.num_frequencies is not None:
        batches = network_reading.coefficient_batches(
            jpegs, case.num_frequencies, size, settings.batch_size, threads
        )
    else:
        model = network_cases.take_uint8(model)
        read = (
            network_reading.tensorflow_batches
            if settings.backend == "tensorflow"
            else network_reading.pillow_batches
        )
        batches = read(jpegs, size, settings.batch_size, threads)
    forward = backend.make_forward(model, jit=settings.jit)

    def run() -> None:
        for batch in batches():
            logits = forward(backend.put(batch))
        backend.wait(logits)

    def read_alone() -> None:
        for _ in batches():
            pass

    count = len(jpegs) // settings.batch_size * settings.batch_size
    return {
        (case.key, END_TO_END): Timed(run, Timing(count)),
        (case.key, END_TO_END, "reading"): Timed(read_alone, Timing(count)),
    }


def run_rounds(passes: Mapping[Key, Timed], rounds: int, advance: Callable[[], None]) -> None:
    """Times each pass once a round; every round begins one further down. Calls `advance` after
    the warm-up and each round."""
    for timed in passes.values():
        for _ in range(_WARM_UP):
            timed.run()
    advance()
    everything = list(passes.values())
    for number in range(rounds):
        first = number % len(everything)
        for timed in everything[first:] + everything[:first]:
            cpu, wall = time.process_time(), time.perf_counter()
            timed.run()
            timed.timing.seconds.append(time.perf_counter() - wall)
            timed.timing.cpu_seconds.append(time.process_time() - cpu)
        advance()
