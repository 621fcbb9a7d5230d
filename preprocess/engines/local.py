"""Runs shards on the cores of this machine.

Workers are spawned, never forked: a process with threads does not survive a fork.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool

from preprocess.engines.base import WORKER_ENVIRONMENT, Progress, WorkerDiedError, count_cores
from preprocess.parts import Part
from preprocess.reading import raise_file_limit
from preprocess.shards import write_shard
from preprocess.tasks import ShardTask, StoppedError

_POLL_SECONDS = 0.2
# So long a worker may take to end: for the image at hand. What is killed then is made again.
_GRACE_SECONDS = 5.0


def run(tasks: Sequence[ShardTask], workers: int, progress: Progress) -> Iterator[Part]:
    """Makes the shards and yields each one's part as it is finished, in any order.

    `workers` of 0 is one a core; never more than there are tasks. One worker is this process
    itself. Closing the iterator, and any exception, ends the workers and drops the shards that they
    were writing. Raises WorkerDiedError if a worker process is killed.
    """
    workers = min(workers or count_cores(), len(tasks))
    if workers <= 1:
        return _run_here(tasks, progress)
    return _run_workers(tasks, workers, progress)


def _run_here(tasks: Sequence[ShardTask], progress: Progress) -> Iterator[Part]:
    images = size = 0
    told = time.monotonic()

    def report(file_size: int) -> None:
        nonlocal images, size, told
        images += 1
        size += file_size
        if time.monotonic() > told + _POLL_SECONDS:
            told = time.monotonic()
            progress(images, size)

    for task in tasks:
        yield write_shard(task, report)
    progress(images, size)


def _run_workers(tasks: Sequence[ShardTask], workers: int, progress: Progress) -> Iterator[Part]:
    context = multiprocessing.get_context("spawn")
    shared = _Shared(context)
    with _environment(WORKER_ENVIRONMENT):
        pool = futures.ProcessPoolExecutor(workers, context, _start_worker, (shared,))
        try:
            with _interrupts_put_off():
                pending = {pool.submit(_work, task) for task in tasks}
            while pending:
                done, pending = futures.wait(
                    pending, _POLL_SECONDS, return_when=futures.FIRST_COMPLETED
                )
                progress(*shared.counts())
                for future in done:
                    yield future.result()
        except BrokenProcessPool as error:
            raise WorkerDiedError(
                "a worker process died (killed, or out of memory?). Run the same command again to "
                "continue, perhaps with fewer --workers."
            ) from error
        finally:
            with _interrupts_put_off():
                shared.stop.value = True
                _shut_down(pool)


def _shut_down(pool: futures.ProcessPoolExecutor) -> None:
    """Ends the pool and its processes, by force if need be.

    No interrupt may come in between: Python would take a thread of the pool that it interrupts the
    wait for as ended, and then wait for the workers for ever, whom nobody has told to end.
    """
    workers = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    end = time.monotonic() + _GRACE_SECONDS
    left = {worker.sentinel for worker in workers}
    while left and time.monotonic() < end:
        left -= set(multiprocessing.connection.wait(left, end - time.monotonic()))
    for worker in workers:
        if worker.sentinel in left:
            worker.kill()
    pool.shutdown()


class _Shared:
    """What all worker processes see: the counts of what is done, and the request to stop.

    The parent takes no lock of these: a worker that is killed may have held it.
    """

    def __init__(self, context: multiprocessing.context.BaseContext):
        self.stop = context.RawValue("b", 0)
        self._images = context.Value("q", 0)
        self._size = context.Value("q", 0)

    def report(self, file_size: int) -> None:
        """Counts one image; raises StoppedError if the job is to stop."""
        for value, step in ((self._images, 1), (self._size, file_size)):
            with value.get_lock():
                value.value += step
        if self.stop.value:
            raise StoppedError

    def counts(self) -> tuple[int, int]:
        """Returns the images done and the bytes read."""
        return self._images.get_obj().value, self._size.get_obj().value


class _Worker:
    """State of a worker process, which functions called through a pool can only find by name."""

    shared: _Shared


def _start_worker(shared: _Shared) -> None:
    raise_file_limit()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _Worker.shared = shared


def _end_with_parent() -> None:
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _work(task: ShardTask) -> Part:
    return write_shard(task, _Worker.shared.report)


@contextlib.contextmanager
def _interrupts_put_off() -> Iterator[None]:
    """Keeps Ctrl-C from the processes started inside; raises it for this one afterwards.

    It reaches every process of the terminal, but the parent alone decides what it means.
    """
    interrupted = []
    # Processes inherit the mask. Here it does not hold: libraries have threads without it.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    here = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    if here:
        signal.signal(signal.SIGINT, lambda *_: interrupted.append(True))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if here:
            signal.signal(signal.SIGINT, handler)
    if interrupted:
        raise KeyboardInterrupt


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Sets variables of the environment, or removes them; processes started inside inherit it."""
    before = {name: os.environ.get(name) for name in variables}
    _set_environment(variables)
    try:
        yield
    finally:
        _set_environment(before)


def _set_environment(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
