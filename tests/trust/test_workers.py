"""Work over processes goes on when some of them crash, hang or fail."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.trust import workers
from tests.trust.workers import Done, Lost


def make_worker(bad):
    """A worker that adds up its numbers, except that some of them go wrong."""

    def work(start, end, skip, mark):
        total = 0
        for number in range(start, end):
            if number in skip:
                continue
            mark(number)
            if bad.get(number) == "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            if bad.get(number) == "hang":
                time.sleep(60)
            if bad.get(number) == "fail":
                raise ValueError("the worker itself is broken")
            total += number
        return total

    return work


def run(bad, count=40, **options):
    options = {"processes": 2, "step": 8, "hang_seconds": 1.0, **options}
    return list(workers.run(make_worker, (bad,), range(count), **options))


def test_crashes_and_hangs_are_reported_and_left_out():
    events = run({5: "crash", 20: "hang"})
    lost = {(event.number, event.kind, event.text) for event in events if isinstance(event, Lost)}
    assert lost == {(5, "crash", "SIGSEGV"), (20, "hang", "more than 1 s")}
    done = [event for event in events if isinstance(event, Done)]
    assert sorted(event.start for event in done) == [0, 8, 16, 24, 32]
    assert sum(event.result for event in done) == sum(range(40)) - 25


def test_the_rest_is_left_when_it_should_stop():
    events = run({}, count=800, until=lambda: True)
    assert len(events) == 2


def test_a_broken_worker_is_no_finding():
    with pytest.raises(RuntimeError, match="the worker itself is broken"):
        run({3: "fail"})
