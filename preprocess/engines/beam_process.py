"""The process in which the runner works, started by `preprocess.engines.beam`.

A process of its own, since a runner may never return: FnApiRunner waits for ever for a worker that
was killed. With its group it can be ended from outside. It reads the job from its standard input,
and answers with one line of JSON on its standard output. It ends all of its group if there is more
on its input, which tells it to, or if the input is closed: its parent died.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import re
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import NoReturn

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineResult, PipelineState

from preprocess.engines.beam_options import use_options
from preprocess.engines.beam_pipeline import add_steps
from preprocess.tasks import ShardTask

_CANCEL_SECONDS = 20.0
# FnApiRunner waits for each worker process in a thread of this name, which raises when one dies.
_WORKER_THREAD = "run_worker"
_STEP = re.compile(r"\s*\[while running .*", re.DOTALL)
_NAME = r"(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:Error|Exception)"
_LAST_LINE = re.compile(rf"^{_NAME}\b.*", re.MULTILINE)
# Errors that Beam cannot build again are quoted in one that it can.
_QUOTED = re.compile(rf"RuntimeError: (?={_NAME}\b)")


class _Answer:
    """The one answer of this process, whichever thread gives it first."""

    def __init__(self) -> None:
        self._file = os.dup(1)
        self._lock = threading.Lock()
        # What the runner and its workers print is not an answer.
        os.dup2(2, 1)

    def give(self, error: str | None = None, *, died: bool = False) -> NoReturn:
        """Ends this process; its parent ends the rest of the group."""
        self._lock.acquire()  # never released
        os.write(self._file, json.dumps({"error": error, "died": died}).encode())
        os._exit(0)


class _Run:
    """The pipeline's run, and its end before its time."""

    def __init__(self) -> None:
        self._result: PipelineResult | None = None

    def finish(self, arguments: Sequence[str], tasks: Sequence[ShardTask]) -> str | None:
        """Runs the pipeline to its end. Returns what went wrong, in one line."""
        try:
            use_options(arguments)
            pipeline = beam.Pipeline(options=PipelineOptions(list(arguments)))
            add_steps(pipeline, tasks, arguments)
            self._result = pipeline.run()
            state = self._result.wait_until_finish()
        except Exception as error:
            traceback.print_exc()
            return describe_error(error)
        if state not in (PipelineState.DONE, None):
            return f"the pipeline ended in the state {state}"
        return None

    def end_with_input(self, folder: str) -> None:
        """Waits for the word on the standard input, then ends the run and the process's group.

        `folder`: the parent's, with the files of this run.
        """
        orphaned = not sys.stdin.buffer.read(1)
        timer = threading.Timer(_CANCEL_SECONDS, _end_group)
        timer.daemon = True
        timer.start()
        if self._result is not None:
            try:
                self._result.cancel()
            except Exception:
                traceback.print_exc()
        if orphaned:
            shutil.rmtree(folder, ignore_errors=True)
        _end_group()


def describe_error(error: BaseException) -> str:
    """Returns in one line what was raised in a worker; Beam wraps it into long texts.

    >>> describe_error(RuntimeError("Traceback: …\\nOSError: disk full [while running 'Write']"))
    'OSError: disk full'
    """
    text = "".join(traceback.format_exception_only(type(error), error)).strip()
    lines = [_STEP.sub("", line) for line in _LAST_LINE.findall(text)]
    # Beam quotes a worker's traceback in the message of a RuntimeError of its own.
    quoted = [line for line in lines if "Traceback" not in line]
    last = (quoted or lines or text.splitlines()[-1:] or [type(error).__name__])[-1]
    return _QUOTED.sub("", " ".join(last.split()))


def _end_group() -> None:
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)


def main() -> None:
    """Runs the job that the standard input holds."""
    answer = _Answer()
    arguments, tasks, level, folder = pickle.load(sys.stdin.buffer)
    logging.basicConfig(level=level)
    run = _Run()

    def notice(failure: threading.ExceptHookArgs) -> None:
        threading.__excepthook__(failure)
        if failure.thread is not None and failure.thread.name == _WORKER_THREAD:
            answer.give(str(failure.exc_value), died=True)

    threading.excepthook = notice
    threading.Thread(target=run.end_with_input, args=(folder,), daemon=True).start()
    answer.give(run.finish(arguments, tasks))


if __name__ == "__main__":
    main()
