"""Numbered work over several processes that may crash or hang while they do it.

A worker is a function (start, end, skip, mark) -> result: it calls mark(number) before it begins
each number from start to end - 1, and leaves out those in skip. If its process dies or takes too
long over a number, that number is reported, and the range is done again without it.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

_CONTEXT = multiprocessing.get_context("spawn")
_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Done:
    """A range is done: what the worker returned for it."""

    start: int
    end: int
    result: object


@dataclass(frozen=True)
class Lost:
    """A process was lost over a number: "crash" with what ended it, or "hang"."""

    number: int
    kind: str
    text: str


@dataclass
class _Range:
    start: int
    end: int
    skip: set[int] = field(default_factory=set)


class _Worker:
    """A process, the range it works on, and since when on which number."""

    def __init__(self, make_worker: Callable, arguments: tuple):
        self.range: _Range | None = None
        self._mark = _CONTEXT.RawArray("d", 2)
        self.connection, theirs = _CONTEXT.Pipe()
        self.process = _CONTEXT.Process(
            target=_serve, args=(make_worker, arguments, theirs, self._mark), daemon=True
        )
        self.process.start()
        theirs.close()

    def give(self, work: _Range) -> None:
        self.range = work
        self._mark[0], self._mark[1] = work.start, 0.0
        self.connection.send((work.start, work.end, frozenset(work.skip)))

    @property
    def number(self) -> int:
        return int(self._mark[0])

    def seconds_on_number(self) -> float:
        """How long it has been at its number; 0 before its first."""
        began = self._mark[1]
        return time.monotonic() - began if began else 0.0

    def end(self, grace: float = 0.0) -> str:
        """End the process unless it ends by itself in this time; say how it ended."""
        self.connection.close()
        self.process.join(grace)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        code = self.process.exitcode
        return signal.Signals(-code).name if code < 0 else f"exit status {code}"


def run(
    make_worker: Callable,
    arguments: tuple,
    numbers: range,
    *,
    processes: int,
    step: int,
    hang_seconds: float,
    until: Callable[[], bool] = lambda: False,
) -> Iterator[Done | Lost]:
    """Yield what the workers make_worker(*arguments) do with the ranges of step numbers.

    Stops handing out ranges once until() is true. A number over which two processes in a row are
    lost before it could be skipped ends the run.
    """
    waiting = deque(
        _Range(start, min(start + step, numbers.stop))
        for start in range(numbers.start, numbers.stop, step)
    )
    workers = [_Worker(make_worker, arguments) for _ in range(min(processes, len(waiting)))]
    try:
        for worker in workers:
            worker.give(waiting.popleft())
        while any(worker.range is not None for worker in workers):
            ready = multiprocessing.connection.wait(
                [worker.connection for worker in workers if worker.range], _POLL_SECONDS
            )
            for index, worker in enumerate(workers):
                if worker.range is None:
                    continue
                event = None
                if worker.connection in ready:
                    event = _receive(worker)
                elif worker.seconds_on_number() > hang_seconds:
                    worker.end()
                    event = Lost(worker.number, "hang", f"more than {hang_seconds:g} s")
                if event is None:
                    continue
                yield event
                if isinstance(event, Lost):
                    again = worker.range
                    if event.number in again.skip:
                        raise RuntimeError(
                            f"the process was lost over {event.number} although it was to skip it: "
                            f"{event.text}"
                        )
                    again.skip.add(event.number)
                    waiting.appendleft(again)
                    workers[index] = worker = _Worker(make_worker, arguments)
                worker.range = None
                if waiting and not until():
                    worker.give(waiting.popleft())
    finally:
        for worker in workers:
            if worker.process.is_alive():
                worker.process.kill()
            worker.process.join()


def _receive(worker: _Worker) -> Done | Lost:
    try:
        succeeded, answer = worker.connection.recv()
    except (EOFError, ConnectionResetError):
        number = worker.number
        return Lost(number, "crash", worker.end(grace=5.0))
    if not succeeded:
        raise RuntimeError(f"a worker failed, not what it checks:\n{answer}")
    return Done(worker.range.start, worker.range.end, answer)


def _serve(make_worker: Callable, arguments: tuple, connection, shared) -> None:
    import traceback

    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def mark(number: int) -> None:
        shared[0] = number
        shared[1] = time.monotonic()

    try:
        worker = make_worker(*arguments)
        while True:
            start, end, skip = connection.recv()
            result = worker(start, end, skip, mark)
            shared[1] = 0.0
            connection.send((True, result))
    except EOFError:
        return
    except Exception:
        connection.send((False, traceback.format_exc()))
