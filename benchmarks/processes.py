"""The processes that read, from outside: one answer a line."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

_ROOT = pathlib.Path(__file__).parents[1]


class ReaderError(RuntimeError):
    """A process cannot read; the message says why."""


class ReaderCrashedError(ReaderError):
    """A process has ended when it should have answered."""


class ReaderProcess:
    """A process that answers each line with a line of JSON, on some cores only."""

    def __init__(self, command: Sequence[str], cores: Iterable[int]):
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        with _on_cores(cores):
            self._process = subprocess.Popen(
                command,
                cwd=_ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
            )

    def send(self, line: str) -> None:
        """Ask for something; `receive` gets the answer."""
        with contextlib.suppress(BrokenPipeError):  # receive says why
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        """Return the answer to the line sent.

        Raises:
            ReaderError: the process says that it cannot read.
            ReaderCrashedError: it has ended.
        """
        line = self._process.stdout.readline()
        if not line:
            raise ReaderCrashedError(self._last_words())
        answer = json.loads(line)
        if "absent" in answer:
            raise ReaderError(answer["absent"])
        return answer

    def close(self) -> None:
        """End the process, if it has not ended."""
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._errors.close()

    def _last_words(self) -> str:
        status = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"failed: {lines[-1] if lines else f'ended with status {status}'}"


@contextlib.contextmanager
def _on_cores(cores: Iterable[int]) -> Iterator[None]:
    """Gives the processes started inside these cores alone; they inherit them."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
