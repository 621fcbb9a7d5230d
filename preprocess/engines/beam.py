"""Runs shards by Apache Beam, on whatever its runners run on.

Nothing is taken from what Beam returns: finished shards are found in the output folder, by their
parts. So what a runner lost is noticed, and it does no harm if it works at a shard twice.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pickle
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence

from jpegkeras.errors import InputError
from preprocess import report
from preprocess.engines.base import WORKER_ENVIRONMENT, EngineError, Progress, WorkerDiedError
from preprocess.filesystems import filesystem_of, is_remote
from preprocess.parts import Part, load_part
from preprocess.quiet import quiet_beam
from preprocess.tasks import ShardTask
from preprocess.workplace import parts_folder
from preprocess.writing import write_text

with quiet_beam():
    from preprocess.engines.beam_options import BeamOptions, parse_options, use_options
    from preprocess.engines.beam_pipeline import stop_path

_POLL_SECONDS, _REMOTE_POLL_SECONDS = 0.5, 5.0
# A shared disk may show a file some time after another machine wrote it.
_LAG_SECONDS = (0.5, 1.0, 2.0)
# As it stands before the message of one that a worker raised.
_INPUT_ERROR = f"{InputError.__module__}.{InputError.__name__}: "
_CANCEL_SECONDS, _DEATH_SECONDS = 30.0, 5.0


def prepare(options: str, paths: Iterable[str]) -> None:
    """Checks the options, and lets this process open files as they say; to be called first.

    `paths`: the job's input and output. Raises InputError for options that Beam does not take, and
    for paths that the runner's workers cannot see.
    """
    parsed = parse_options(options)
    use_options(parsed.arguments)
    for line in parsed.unknown:
        report.say(f"warning: --beam_options: {line} It is handed on to the job server.")
    disks = [path for path in paths if not is_remote(path)]
    if parsed.here or not disks:
        return
    if parsed.runner == "DataflowRunner":
        raise InputError(
            f"{disks[0]}: the workers of Dataflow cannot see this machine's disks. Give gs:// "
            "paths as input and output."
        )
    report.say(
        f"warning: {disks[0]} must be a disk that the workers of {parsed.runner} share, under the "
        "same path."
    )


def run(tasks: Sequence[ShardTask], options: str, progress: Progress) -> Iterator[Part]:
    """Makes the shards and yields each one's part as it is found finished, in any order.

    `options`: those of Beam, as in "--runner=FlinkRunner --flink_master=…". Closing the iterator,
    and any exception, cancels the pipeline where the runner can be told so; workers that it does
    not reach begin no more shards. Raises InputError for options that Beam does not take, and where
    a worker raises it; EngineError if the pipeline fails or ends without all shards;
    WorkerDiedError if a worker process of FnApiRunner, or the runner's own, is killed.
    """
    parsed = parse_options(options)
    use_options(parsed.arguments)
    if not tasks:
        return
    directory = tasks[0].directory
    seconds = _REMOTE_POLL_SECONDS if is_remote(directory) else _POLL_SECONDS
    search = _Search(tasks, progress)
    filesystem_of(directory).remove(stop_path(directory))
    with _started(parsed, tasks) as runner:
        try:
            while not runner.has_ended(seconds):
                yield from search.find()
        except BaseException:
            if not parsed.here:
                with contextlib.suppress(OSError):
                    write_text(stop_path(directory), "stop\n")
            raise
        runner.end()
        for lag in (0.0,) if parsed.here else (0.0, *_LAG_SECONDS):
            time.sleep(lag)
            yield from search.find()
            if not search.missing:
                return
        raise runner.failure(len(search.missing), len(tasks))


class _Search:
    """Finds finished shards in the output folder, each once."""

    def __init__(self, tasks: Sequence[ShardTask], progress: Progress):
        self.missing = {task.shard: task for task in tasks}
        self._directory = tasks[0].directory
        self._progress = progress
        self._images = self._size = 0

    def find(self) -> Iterator[Part]:
        """Yields the parts that are new since the last call."""
        names = set(filesystem_of(self._directory).names(parts_folder(self._directory)))
        for shard in [shard for shard in self.missing if f"{shard}.json" in names]:
            part = load_part(self._directory, shard)
            if part is None:
                continue
            task = self.missing.pop(shard)
            self._images += task.images
            self._size += task.size
            yield part
        self._progress(self._images, self._size)


@contextlib.contextmanager
def _started(options: BeamOptions, tasks: Sequence[ShardTask]) -> Iterator[_Runner]:
    """Starts the runner's process; at the end it, what it started and its files are gone."""
    folder = tempfile.mkdtemp(prefix="preprocess-beam-")
    try:
        runner = _Runner(options, tasks, folder)
        try:
            yield runner
        finally:
            runner.end()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Runner:
    """The process in which Beam's runner works, and its group. `folder`: for its files."""

    def __init__(self, options: BeamOptions, tasks: Sequence[ShardTask], folder: str):
        self._answer = b""
        self._log = os.path.join(folder, "beam.log")
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "preprocess.engines.beam_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_environment(folder),
                start_new_session=True,
            )
        if not options.here:
            report.say(f"The log of {options.runner}: {self._log}")
        level = logging.ERROR if options.here else logging.INFO
        with contextlib.suppress(BrokenPipeError):  # It ended; its log says why.
            job = (options.arguments, tuple(tasks), level, folder)
            pickle.dump(job, self._process.stdin)
            self._process.stdin.flush()

    def has_ended(self, seconds: float) -> bool:
        """Waits so long for its end."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self._process.returncode is not None

    def end(self) -> None:
        """Cancels the pipeline if it is still running, and ends the process and its group."""
        if self._process.stdin.closed:
            return
        with contextlib.suppress(OSError):
            self._process.stdin.write(b"stop")
            self._process.stdin.flush()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_CANCEL_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        # Those of the group hold its other end, and write as long as they live.
        poll = select.poll()
        poll.register(self._process.stdin, 0)
        poll.poll(_DEATH_SECONDS * 1000)
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        with self._process.stdout as answer:
            self._answer = answer.read()

    def failure(self, missing: int, total: int) -> EngineError | InputError:
        """Returns why shards are missing at the end, as far as the runner said."""
        reported = json.loads(self._answer) if self._answer else {}
        error = reported.get("error") or ""
        if error.startswith(_INPUT_ERROR):
            return InputError(error[len(_INPUT_ERROR) :])
        kind = EngineError
        if reported.get("died"):
            kind = WorkerDiedError
            what = f"a worker process of Beam's runner died ({error}); out of memory?"
        elif error:
            what = f"the Beam pipeline failed: {error.rstrip('.')}."
        elif reported:
            what = "the Beam pipeline ended as if nothing were wrong, but not all was done."
        elif self._process.returncode == -signal.SIGKILL:
            kind = WorkerDiedError
            what = "the process of Beam's runner was killed; out of memory?"
        else:
            what = f"Beam's runner failed: {self._last_words().rstrip('.')}."
        return kind(
            f"{what} {missing} of {total} shards are missing. Run the same command again to "
            f"continue. Its log: {self._keep_log()}"
        )

    def _keep_log(self) -> str:
        """Moves the log to where it stays."""
        descriptor, path = tempfile.mkstemp(prefix="preprocess-beam-", suffix=".log")
        os.close(descriptor)
        self._log = shutil.move(self._log, path)
        return self._log

    def _last_words(self) -> str:
        with open(self._log, encoding="utf-8", errors="replace") as log:
            lines = [line.strip() for line in log]
        return next(filter(None, reversed(lines)), f"status {self._process.returncode}")


def _environment(folder: str) -> dict[str, str]:
    """Returns the environment of the runner's process, which its workers inherit.

    They find the modules that this process finds, and leave no temporary files.
    """
    modules = os.pathsep.join(entry for entry in sys.path if entry)
    return {**os.environ, **WORKER_ENVIRONMENT, "PYTHONPATH": modules, "TMPDIR": folder}
