"""SIGTERM, by which schedulers announce that a process must go: a run saves first."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


class PreemptedError(Exception):
    """A run was asked to end; `step` and `checkpoint` say what it has saved."""

    def __init__(self, step: int, checkpoint: str) -> None:
        super().__init__(f"stopped at step {step}, which is saved in {checkpoint}")
        self.step = step
        self.checkpoint = checkpoint


class StopRequest:
    """Whether this process was asked to end."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    @property
    def is_made(self) -> bool:
        """True from the first SIGTERM on."""
        return self._asked.is_set()

    def make(self, *_: object) -> None:
        """Asks; a signal's handler."""
        self._asked.set()


@contextlib.contextmanager
def listening() -> Iterator[StopRequest]:
    """Turns SIGTERM into a `StopRequest` while it lasts; a second one ends the process as ever.

    Outside the main thread, where Python takes no signals, nothing is ever asked.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def first(*_: object) -> None:
        request.make()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    before = signal.signal(signal.SIGTERM, first)
    try:
        yield request
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
