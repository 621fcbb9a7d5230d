"""Runs shards on the cores of this machine.

Workers are spawned, never forked: TensorFlow does not survive a fork. This module imports no
TensorFlow, so that the parent process starts at once.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from concurrent.futures.process import BrokenProcessPool

from jpegkeras.quiet import quiet_tensorflow
from preprocess.parts import Part
from preprocess.tasks import ShardTask, StoppedError

# Called with the images done and the bytes read so far.
Progress = Callable[[int, int], None]

_POLL_SECONDS = 0.2
# A worker is one core: libraries inside it must not start threads of their own, nor take the GPU.
_WORKER_ENVIRONMENT = {
    # quiet_tensorflow has set it in this process, and would leave alone what it finds set.
    "TF_CPP_MIN_LOG_LEVEL": None,
    "CUDA_VISIBLE_DEVICES": "",
    "NUMBA_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}


class WorkerDiedError(RuntimeError):
    """A worker process ended without saying why: it was killed, or memory ran out."""


def run(tasks: Sequence[ShardTask], workers: int, progress: Progress) -> Iterator[Part]:
    """Makes the shards and yields each one's part as it is finished, in any order.

    `workers` of 0 is one a core; never more than there are tasks. One worker is this process
    itself. Closing the iterator, and any exception, ends the workers and drops the shards that they
    were writing. Raises WorkerDiedError if a worker process is killed.
    """
    workers = min(workers or _count_cores(), len(tasks))
    if workers <= 1:
        return _run_here(tasks, progress)
    return _run_workers(tasks, workers, progress)


def _count_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _run_here(tasks: Sequence[ShardTask], progress: Progress) -> Iterator[Part]:
    write_shard = _import_write_shard()

    images = size = 0

    def report(file_size: int) -> None:
        nonlocal images, size
        images += 1
        size += file_size
        progress(images, size)

    for task in tasks:
        yield write_shard(task, report)


def _run_workers(tasks: Sequence[ShardTask], workers: int, progress: Progress) -> Iterator[Part]:
    context = multiprocessing.get_context("spawn")
    shared = _Shared(context)
    with _environment(_WORKER_ENVIRONMENT):
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
            shared.stop.value = True
            pool.shutdown(cancel_futures=True)


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
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _Worker.shared = shared


def _end_with_parent() -> None:
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _work(task: ShardTask) -> Part:
    return _import_write_shard()(task, _Worker.shared.report)


def _import_write_shard() -> Callable[[ShardTask, Callable[[int], None]], Part]:
    with quiet_tensorflow():
        from preprocess.shards import write_shard
    return write_shard


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
def _environment(variables: dict[str, str | None]) -> Iterator[None]:
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
