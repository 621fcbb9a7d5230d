"""--profile_steps: what it may say, and that a profile of these steps lies where it should."""

from __future__ import annotations

import io

import pytest
import rich.console
import tensorflow as tf

from jpegkeras.errors import InputError
from jpegkeras.profiling import MOST_STEPS, ProfiledSteps, Profiler, parse_profile_steps


class StoppedError(Exception):
    """Ends a training."""


def train(folder, steps, first, last, *, stop_at=None, per_call=1, **options):
    """Trains the steps from `first` to `last`; returns what was printed."""
    console = rich.console.Console(file=io.StringIO(), width=300)
    weights = tf.Variable(tf.ones([8, 8]))

    @tf.function(autograph=False)
    def train_step():
        weights.assign(tf.matmul(weights, weights) / 8)

    with Profiler(parse_profile_steps(steps), folder, console, **options) as profiler:
        for step in range(first, last + 1, per_call):
            profiler.before_step(step)
            train_step()
            if step == stop_at:
                raise StoppedError(console.file)
            profiler.after_step(step)
    return console.file.getvalue()


def traces(folder):
    return sorted(folder.glob("plugins/profile/*/*.xplane.pb"))


def test_the_steps_asked_for_are_profiled(tmp_path):
    folder = tmp_path / "tensorboard"
    output = train(folder, "3:5", 1, 8)
    (trace,) = traces(folder)
    content = trace.read_bytes()
    # The names of what was done, and the numbers of the steps, are in the trace as they are.
    assert b"train_step" in content
    assert output.splitlines() == [
        f"profile of 3 steps: {folder / 'plugins' / 'profile'}",
        "to look at it: pip install tensorboard-plugin-profile, then tensorboard --logdir "
        f"{folder}, tab Profile",
    ]


def test_nothing_is_done_where_nothing_was_asked_for(tmp_path):
    assert train(tmp_path, "", 1, 3) == ""
    assert train(tmp_path, None, 1, 3) == ""
    assert train(tmp_path, "1:2", 1, 3, enabled=False) == ""
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_continues_among_the_steps_profiles_the_rest(tmp_path):
    output = train(tmp_path, "3:6", 5, 8)
    assert output.startswith("profile of 2 steps: ")
    assert len(traces(tmp_path)) == 1


def test_a_run_that_ends_among_the_steps_keeps_its_profile(tmp_path):
    assert train(tmp_path, "3:60", 1, 5).startswith("profile of 3 steps: ")
    assert len(traces(tmp_path)) == 1


@pytest.mark.parametrize(("first", "last"), [(7, 9), (1, 2)])
def test_steps_that_are_not_trained_are_told(tmp_path, first, last):
    output = train(tmp_path, "3:6", first, last)
    assert output == "--profile_steps=3:6: no such step was trained now; nothing was profiled\n"
    assert traces(tmp_path) == []


def test_an_error_in_a_profiled_step_ends_the_profile(tmp_path):
    with pytest.raises(StoppedError):
        train(tmp_path, "2:6", 1, 8, stop_at=4)
    assert len(traces(tmp_path)) == 1
    # The profiler is free for another.
    assert train(tmp_path / "next", "1:2", 1, 3).startswith("profile of 2 steps: ")


def test_calls_of_several_steps_are_profiled(tmp_path):
    assert train(tmp_path, "3:6", 2, 8, per_call=2).startswith("profile of 2 steps: ")


def test_another_profiler_costs_a_line_and_not_the_run(tmp_path):
    tf.profiler.experimental.start(str(tmp_path / "other"))
    try:
        output = train(tmp_path / "ours", "2:3", 1, 4)
    finally:
        tf.profiler.experimental.stop(save=False)
    assert output.startswith(f"warning: nothing was profiled into {tmp_path / 'ours'} (")
    assert len(output.splitlines()) == 1


def test_a_folder_that_cannot_be_made_costs_a_line_and_not_the_run(tmp_path):
    (tmp_path / "file").write_text("")
    output = train(tmp_path / "file", "2:3", 1, 4)
    assert output.startswith("warning: nothing was profiled into ")
    assert len(output.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("100:109", ProfiledSteps(100, 109)),
        (" 7 : 7 ", ProfiledSteps(7, 7)),
        (f"1:{MOST_STEPS}", ProfiledSteps(1, MOST_STEPS)),
        ("", None),
        (None, None),
    ],
)
def test_steps_are_read(text, steps):
    assert parse_profile_steps(text) == steps


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("10", "must be FROM:TO, two numbers"),
        ("10,5", "must be FROM:TO, two numbers"),
        ("-1:5", "must be FROM:TO, two numbers"),
        ("1:2:3", "must be FROM:TO, two numbers"),
        ("a:b", "must be FROM:TO, two numbers"),
        ("٣:٥", "must be FROM:TO, two numbers"),
        (":", "must be FROM:TO, two numbers"),
        ("0:5", "FROM at least 1 and TO no less; got '0:5'"),
        ("9:8", "FROM at least 1 and TO no less; got '9:8'"),
        ("1:10000", "asks for 10000 steps; at most 200 .* 1:10"),
        (f"1:{10**30}", "must be FROM:TO"),
    ],
)
def test_nonsense_is_an_error_of_one_line(text, words):
    with pytest.raises(InputError, match=words) as error:
        parse_profile_steps(text)
    assert "\n" not in str(error.value)
