"""Measures all readers in one run: in turns, so that what slows the machine slows them all."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence

from benchmarks import images as image_files
from benchmarks import libjpeg
from benchmarks.adapters import Options
from benchmarks.machine import choose_cores
from benchmarks.peers import Peer
from benchmarks.processes import ReaderCrashedError, ReaderError, ReaderProcess
from benchmarks.settings import Settings

_MEMORY = "/dev/shm"


@dataclasses.dataclass
class Outcome:
    """What came of one row.

    Attributes:
        peer: the row.
        library: name and version, once known.
        crc32: the checksum of each image's coefficients; None for pixels.
        wall: seconds of each pass.
        cpu: seconds of processor time of each pass, over all threads.
        absent: why there are no times, or None.
        crashed: absent because the process failed, not because something is missing.
    """

    peer: Peer
    library: str | None = None
    crc32: list[int] | None = None
    wall: list[float] = dataclasses.field(default_factory=list)
    cpu: list[float] = dataclasses.field(default_factory=list)
    absent: str | None = None
    crashed: bool = False

    @property
    def seconds(self) -> float:
        """The median pass."""
        return statistics.median(self.wall)

    @property
    def cpu_seconds(self) -> float:
        """The median processor time of a pass."""
        return statistics.median(self.cpu)

    @property
    def spread(self) -> float:
        """How much longer than the shortest the longest pass took, as a fraction."""
        return max(self.wall) / min(self.wall) - 1


def measure(
    peers: Sequence[Peer],
    jpegs: list[bytes],
    settings: Settings,
    advance: Callable[[], None] = lambda: None,
) -> list[Outcome]:
    """Measure the peers; `advance` is called after each of the repeats + 1 rounds.

    The first round is not counted. Every round begins one row further down.
    """
    outcomes = [Outcome(peer) for peer in peers]
    with contextlib.ExitStack() as stack:
        memory = _MEMORY if os.access(_MEMORY, os.W_OK) else None
        scratch = stack.enter_context(tempfile.TemporaryDirectory(dir=memory))
        path = pathlib.Path(scratch, "images")
        image_files.write_images(path, jpegs)
        processes = {}
        for outcome in outcomes:
            with _noting_failure([outcome]):
                key = outcome.peer.process
                if key not in processes:
                    processes[key] = _start(outcome.peer, path, settings, stack)
                    processes[key].send("checksum")
        _prepare(outcomes, processes)
        for number in range(settings.repeats + 1):
            _run_round(outcomes, processes, number)
            advance()
    return outcomes


def find_difference(outcomes: Iterable[Outcome]) -> str | None:
    """Return which two readers differ and where, if any two read different coefficients."""
    known = [outcome for outcome in outcomes if outcome.crc32 is not None]
    for first, second in itertools.combinations(known, 2):
        pairs = enumerate(zip(first.crc32, second.crc32))
        different = [index for index, (one, other) in pairs if one != other]
        if different:
            return (
                f"{first.peer.name} and {second.peer.name} read different coefficients of "
                f"{len(different)} of {len(first.crc32)} images, first of image {different[0]}"
            )
    return None


def _start(
    peer: Peer, path: pathlib.Path, settings: Settings, stack: contextlib.ExitStack
) -> ReaderProcess:
    cores = choose_cores(peer.threads)
    if len(cores) < peer.threads:
        raise ReaderError(f"needs {peer.threads} cores; there is {len(cores)}")
    if peer.library == "libjpeg":
        try:
            command = [str(libjpeg.build()), str(path), "-"]
        except libjpeg.BuildError as error:
            raise ReaderError(str(error)) from error
        command += ["trim"] if peer.trim else []
    else:
        scratch = path.with_name("-".join(map(str, peer.process)))
        scratch.mkdir()
        batch = settings.large_batch if peer.large else settings.batch
        options = Options(peer.threads, batch, settings.num_frequencies, str(scratch))
        command = [sys.executable, "-m", "benchmarks.worker", peer.library, str(path)]
        command.append(json.dumps(dataclasses.asdict(options)))
    process = ReaderProcess(command, cores)
    stack.callback(process.close)
    return process


def _prepare(
    outcomes: list[Outcome], processes: dict[tuple[str, int, bool, bool], ReaderProcess]
) -> None:
    """Waits until every process has loaded, and takes its checksums."""
    for key, process in processes.items():
        rows = [outcome for outcome in outcomes if outcome.peer.process == key]
        with _noting_failure(rows):
            answer = process.receive()
            for row in rows:
                row.library, row.crc32 = answer["library"], answer["crc32"]


def _run_round(
    outcomes: list[Outcome],
    processes: dict[tuple[str, int, bool, bool], ReaderProcess],
    number: int,
) -> None:
    first = number % len(outcomes)
    for outcome in outcomes[first:] + outcomes[:first]:
        if outcome.absent is not None:
            continue
        with _noting_failure([outcome]):
            process = processes[outcome.peer.process]
            process.send(outcome.peer.variant)
            answer = process.receive()
            if number:
                outcome.wall.append(answer["wall"])
                outcome.cpu.append(answer["cpu"])


@contextlib.contextmanager
def _noting_failure(outcomes: list[Outcome]) -> Iterator[None]:
    """Takes what a reader cannot do as the outcome of these rows; the others go on."""
    try:
        yield
    except ReaderError as error:
        for outcome in outcomes:
            outcome.absent = str(error)
            outcome.crashed = isinstance(error, ReaderCrashedError)
