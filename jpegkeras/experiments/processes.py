"""The processes that the studies start, and the signals by which they are stopped."""

from __future__ import annotations

import contextlib
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any

from jpegkeras.errors import InputError
from jpegkeras.files import locked

#: What starts a module of this project: the module's name and its arguments follow.
LAUNCHER = (sys.executable, "-m")
_POLL_SECONDS = 0.2
# Of a process's output: where the reason of its end is looked for.
_TAIL_BYTES = 4096
_ERROR = "error: "


class StoppedError(KeyboardInterrupt):
    """The studies were asked to end; `status` is the exit status that says so."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.status = 128 + signal_number


class StopRequests:
    """The SIGINT and SIGTERM that have come: a context manager.

    While a `section` "interruptible" lasts, the first one raises StoppedError at once; otherwise it
    is only noted. Interrupts that were ignored before, as in the background of a shell, stay so.
    """

    def __init__(self) -> None:
        self.count = 0
        self._first: int | None = None
        self._raising = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequests:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        """Raises StoppedError if the studies were asked to end."""
        if self._first is not None:
            raise StoppedError(self._first)

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Lets a request end what is inside."""
        self.check()
        self._raising = True
        try:
            yield
        except StoppedError:
            raise
        except KeyboardInterrupt as error:
            # Of a handler that was set inside.
            raise StoppedError(self._first or signal.SIGINT) from error
        finally:
            self._raising = False
        self.check()

    def _note(self, number: int, _: FrameType | None) -> None:
        self.count += 1
        if self._first is None:
            self._first = number
        if not self._raising:
            return
        # The preprocessing puts interrupts off where one would do harm; a SIGTERM becomes one.
        if number == signal.SIGTERM and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.raise_signal(signal.SIGINT)
            return
        # Once: what comes later must not disturb the orderly end.
        self._raising = False
        raise StoppedError(self._first)


def run(
    command: Sequence[str],
    log: pathlib.Path,
    stop: StopRequests,
    look: Callable[[], None] = lambda: None,
) -> int:
    """Runs a process to its end, its output added to `log`; returns its exit status.

    It leads a session of its own, so that a terminal's Ctrl-C does not reach it: the first request
    to stop is handed on as a SIGTERM, the second one kills it. Its standard input ends when this
    process does. `look` is called several times a second.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        told = 0
        try:
            while process.poll() is None:
                if stop.count > told:
                    told = stop.count
                    (process.terminate if told == 1 else process.kill)()
                look()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL_SECONDS)
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            process.stdin.close()
    return process.returncode


def measure(
    launcher: Sequence[str], what: str, arguments: Mapping[str, Any], stop: StopRequests
) -> dict[str, Any]:
    """Returns what `jpegkeras.experiments.measurements` finds in a process of its own.

    Raises StoppedError, and InputError with the reason where it fails.
    """
    with tempfile.TemporaryDirectory(prefix="jpegkeras-") as folder:
        spec, output, log = (pathlib.Path(folder, name) for name in ("spec", "output", "log"))
        spec.write_text(json.dumps({"what": what, "output": str(output), **arguments}), "utf-8")
        module = "jpegkeras.experiments.measurements"
        status = run((*launcher, module, str(spec)), log, stop)
        stop.check()
        if status or not output.is_file():
            raise InputError(f"the {what} of the networks: {reason(status, log)}")
        return json.loads(output.read_text("utf-8"))


def reason(status: int, log: pathlib.Path) -> str:
    """Returns why a process ended as it did, in one line: the end of its output, or a signal."""
    if status < 0:
        name = signal.Signals(-status).name
        killed = ", perhaps for want of memory" if name == "SIGKILL" else ""
        return f"it was ended by {name}{killed}; see {log}"
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - _TAIL_BYTES))
        lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines()]
        lines = [line for line in lines if line]
        if lines and lines[-1].startswith(_ERROR):
            return lines[-1][len(_ERROR) :]
        if lines:
            return f"status {status}: {lines[-1]}"
    return f"status {status}, without a word; see {log}"


def wait_until_free(folder: pathlib.Path, seconds: float, stop: StopRequests) -> None:
    """Waits, so long at most, while another process writes to a run's folder.

    That is one whose studies were killed, and which saves its training before it ends.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        stop.check()
        try:
            with locked(folder, "--output_dir"):
                return
        except InputError:
            time.sleep(_POLL_SECONDS)
