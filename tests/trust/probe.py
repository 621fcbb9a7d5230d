"""Check single inputs in a process that may be lost over them."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

from tests.trust import fuzz_worker
from tests.trust.properties import Problem

_CONTEXT = multiprocessing.get_context("spawn")
_START_SECONDS = 120.0


class Probe:
    """A context manager with a process that is started again when it is lost."""

    def __init__(self, library: Path | None, hang_seconds: float):
        self._library = library
        self._hang_seconds = hang_seconds
        self._process = None
        self._connection = None

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *details: object) -> None:
        self._end()

    def problems(self, number: int, data: bytes) -> list[Problem]:
        """Return the problems of this data under that number; "crash" and "hang" have no text."""
        if self._process is None:
            self._start()
        self._connection.send((number, data))
        if not self._connection.poll(self._hang_seconds):
            self._end()
            return [Problem("hang", "")]
        try:
            return self._connection.recv()
        except (EOFError, ConnectionResetError):
            self._end()
            return [Problem("crash", "")]

    def _start(self) -> None:
        self._connection, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(self._library, theirs), daemon=True)
        self._process.start()
        theirs.close()
        if not self._connection.poll(_START_SECONDS):
            raise RuntimeError(f"a process did not start within {_START_SECONDS:g} s")
        self._connection.recv()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()
        self._process = None


def _serve(library: Path | None, connection) -> None:
    check = fuzz_worker.make_checker(library)
    connection.send("ready")
    while True:
        try:
            number, data = connection.recv()
        except EOFError:
            return
        connection.send(check(number, data))
