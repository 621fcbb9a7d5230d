"""A profile of some steps of a training, for TensorBoard: `--profile_steps=FROM:TO`."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import re

import rich.console
import tensorflow as tf

from jpegkeras.errors import InputError
from jpegkeras.run_log import print_line

# More would fill the disk and TensorBoard's memory with what ten steps tell as well.
MOST_STEPS = 200


@dataclasses.dataclass(frozen=True)
class ProfiledSteps:
    """The steps to profile, counted from 1 as the progress bar does; `last` is one of them."""

    first: int
    last: int


def parse_profile_steps(text: str | None) -> ProfiledSteps | None:
    """Reads what `--profile_steps` says: "FROM:TO", both profiled, or nothing at all.

    Raises InputError for anything else, for a TO before FROM and for more than `MOST_STEPS`.
    """
    if not text:
        return None
    match = re.fullmatch(r"\s*([0-9]{1,15})\s*:\s*([0-9]{1,15})\s*", text)
    if match is None:
        raise InputError(
            f"--profile_steps must be FROM:TO, two numbers of steps, as 100:109 for ten of them; "
            f"got {text!r}."
        )
    first, last = int(match[1]), int(match[2])
    if first < 1 or last < first:
        raise InputError(
            f"--profile_steps must be FROM:TO with FROM at least 1 and TO no less; got {text!r}."
        )
    if last - first >= MOST_STEPS:
        raise InputError(
            f"--profile_steps={text} asks for {last - first + 1} steps; at most {MOST_STEPS} can "
            f"be profiled. Ten tell as much: {first}:{first + 9}."
        )
    return ProfiledSteps(first, last)


class Profiler:
    """Profiles the steps asked for into TensorBoard's folder: a context manager around a training.

    `before_step` and `after_step` are called around each step, or each call of a function that
    does several (then with the number of its last step); both cost nothing outside the profile. A
    profile that was begun is ended when the context is left, in whatever way. One that fails (a
    full disk, another profiler) costs a line on the console and not the run.
    """

    def __init__(
        self,
        steps: ProfiledSteps | None,
        folder: pathlib.Path,
        console: rich.console.Console,
        *,
        enabled: bool = True,
    ) -> None:
        self._steps = steps if enabled else None
        self._folder = folder
        self._console = console
        self._done = 0
        self._running = False
        self._marks = contextlib.ExitStack()

    def __enter__(self) -> Profiler:
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if self._running:
            self._stop()
        elif self._steps is not None and kind is None:
            self._say(
                f"--profile_steps={self._steps.first}:{self._steps.last}: no such step was "
                "trained now; nothing was profiled"
            )

    def before_step(self, step: int) -> None:
        """Begins the profile before its first step; `step` is the one that comes."""
        steps = self._steps
        if steps is None or not steps.first <= step <= steps.last:
            return
        if not self._running:
            self._start()
        if self._running:
            self._marks.enter_context(tf.profiler.experimental.Trace("train", step_num=step, _r=1))

    def after_step(self, step: int) -> None:
        """Ends the profile after its last step; `step` is the one that was done."""
        if not self._running:
            return
        self._marks.close()
        self._done += 1
        if step >= self._steps.last:
            self._stop()

    def _start(self) -> None:
        # What the device still has to do of earlier steps is none of the profile's.
        tf.test.experimental.sync_devices()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            tf.profiler.experimental.start(str(self._folder))
            self._running = True
        except (OSError, tf.errors.OpError) as error:
            self._fail(error)

    def _stop(self) -> None:
        self._marks.close()
        self._running = False
        try:
            # A device may be steps behind.
            tf.test.experimental.sync_devices()
            tf.profiler.experimental.stop()
        except (OSError, tf.errors.OpError) as error:
            self._fail(error)
            return
        finally:
            self._steps = None
        self._say(
            f"profile of {self._done} {'step' if self._done == 1 else 'steps'}: "
            f"{self._folder / 'plugins' / 'profile'}\n"
            f"to look at it: pip install tensorboard-plugin-profile, then tensorboard --logdir "
            f"{self._folder}, tab Profile"
        )

    def _fail(self, error: Exception) -> None:
        self._steps = None
        message = (getattr(error, "message", None) or str(error)).splitlines() or [""]
        self._say(f"warning: nothing was profiled into {self._folder} ({message[0]})")

    def _say(self, line: str) -> None:
        print_line(self._console, line)
