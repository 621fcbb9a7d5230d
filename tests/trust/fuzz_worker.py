"""What a process of the fuzzer does: makes inputs by their numbers, checks and counts them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from jpegkeras.jpeg import read_coefficients
from tests.trust import libjpeg, usage
from tests.trust.mutations import make_input
from tests.trust.properties import Report, check_batch, check_input
from tests.trust.seeds import all_seeds
from tests.trust.tally import Tally

#: Inputs that also go through read_batch together. Ranges of inputs hold whole groups.
GROUP = 8
_EXTRA_ADDRESS_SPACE = 3 << 30


def warm_up() -> None:
    """Compile or load the kernels, so that no input is blamed for it."""
    for _, data in all_seeds():
        # What is wrong here is found again later, with its number.
        with contextlib.suppress(Exception):
            read_coefficients(data)


def make_worker(seed: int, library: Path | None) -> Callable:
    """Return a worker as workers.run() wants it, which returns a Tally."""
    oracle = None if library is None else libjpeg.Oracle(library)
    warm_up()
    # What needs gigabytes ends in a MemoryError, a finding, and not in a machine without memory.
    usage.limit_address_space(_EXTRA_ADDRESS_SPACE)

    def work(start: int, end: int, skip: frozenset[int], mark: Callable[[int], None]) -> Tally:
        tally = Tally()
        for first in range(start, end, GROUP):
            group: list[tuple[bytes, Report]] = []
            for number in range(first, min(first + GROUP, end)):
                if number in skip:
                    continue
                mark(number)
                data = make_input(seed, number, all_seeds())
                report = check_input(number, data, oracle)
                tally.add(number, len(data), report)
                group.append((data, report))
            if group:
                frequencies, num_threads = (1, 16, 64)[first // GROUP % 3], 1 + first // GROUP % 2
                tally.add_batch(first, check_batch(group, frequencies, num_threads))
        return tally

    return work


def make_checker(library: Path | None) -> Callable:
    """Return a function (number, data) -> the problems this data shows under that number."""
    oracle = None if library is None else libjpeg.Oracle(library)
    warm_up()
    usage.limit_address_space(_EXTRA_ADDRESS_SPACE)
    return lambda number, data: check_input(number, data, oracle).problems
