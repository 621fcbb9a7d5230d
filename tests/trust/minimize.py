"""Make a finding smaller while it stays the same: fewer segments, fewer bytes, more zeros."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.trust import anatomy


def minimize(data: bytes, shows: Callable[[bytes], bool], seconds: float) -> bytes:
    """Return the smallest data found, within this time, for which shows(data) is still true."""
    deadline = time.monotonic() + seconds
    data = bytes(data)
    before = None
    while before != data and time.monotonic() < deadline:
        before = data
        data = _without_pieces(data, shows, deadline)
        data = _without_ranges(data, shows, deadline)
    return _with_zeros(data, shows, deadline)


def _without_pieces(data: bytes, shows: Callable[[bytes], bool], deadline: float) -> bytes:
    """Whole segments, and segments with the data of their scan, the last ones first."""
    index = len(anatomy.pieces(data)) - 1
    while index >= 0 and time.monotonic() < deadline:
        pieces = anatomy.pieces(data)[index:]
        for count in (2, 1):
            if len(pieces) < count:
                continue
            shorter = data[: pieces[0].start] + data[pieces[count - 1].end :]
            if shows(shorter):
                data = shorter
                break
        index = min(index, len(anatomy.pieces(data))) - 1
    return data


def _without_ranges(data: bytes, shows: Callable[[bytes], bool], deadline: float) -> bytes:
    size = max(len(data) // 2, 1)
    while size and time.monotonic() < deadline:
        at = 0
        while at < len(data) and time.monotonic() < deadline:
            shorter = data[:at] + data[at + size :]
            if shows(shorter):
                data = shorter
            else:
                at += size
        size //= 2
    return data


def _with_zeros(data: bytes, shows: Callable[[bytes], bool], deadline: float) -> bytes:
    for at in range(len(data)):
        if time.monotonic() > deadline:
            break
        if data[at]:
            simpler = data[:at] + b"\0" + data[at + 1 :]
            if shows(simpler):
                data = simpler
    return data
