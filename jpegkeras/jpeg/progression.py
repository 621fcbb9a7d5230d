"""Which scans a progressive image may have, one after the other (T.81 G.1.1.1)."""

from __future__ import annotations

from dataclasses import dataclass

from jpegkeras.jpeg.markers import ScanHeader
from jpegkeras.jpeg.types import BLOCK_COEFFICIENTS

#: The largest Al (T.81 Table B.3).
MAX_APPROXIMATION = 13


@dataclass(frozen=True)
class ProgressionProblem:
    """What a scan header breaks of T.81 G.1.1.1.

    Attributes:
        sentence: what is wrong, and what was expected.
        fatal: libjpeg refuses the file too; else it goes on, with or without a warning.
    """

    sentence: str
    fatal: bool


class Progression:
    """How far each coefficient of a progressive frame has come (T.81 G.1.1.1).

    Attributes:
        levels: a list of 64 for each component, the Al of the last scan of each coefficient; -1
            before the first one.
    """

    def __init__(self, components: int):
        self.levels = [[-1] * BLOCK_COEFFICIENTS for _ in range(components)]

    @property
    def is_finished(self) -> bool:
        """All coefficients are complete: no more scans can follow."""
        return not any(any(levels) for levels in self.levels)

    @property
    def is_started(self) -> bool:
        """Each component has had a scan of DC, without which it is not an image."""
        return all(levels[0] >= 0 for levels in self.levels)

    def add_scan(self, header: ScanHeader) -> ProgressionProblem | None:
        """Take note of a scan, and say what is wrong with its header.

        A fatal problem leaves the levels as they are. With another one, too, they are set as the
        header says, as libjpeg does.
        """
        start, end = header.spectral_start, header.spectral_end
        high, low = header.approximation_high, header.approximation_low
        sentence = _check_scan(len(header.components), start, end, high, low)
        if sentence is not None:
            return ProgressionProblem(sentence, fatal=True)
        problem = None
        for component in header.components:
            levels = self.levels[component.index]
            if problem is None:
                sentence = _check_levels(levels, start, end, high)
                if sentence is not None:
                    name = f"component {component.index + 1} of the frame"
                    problem = ProgressionProblem(f"{name}: {sentence}", fatal=False)
            levels[start : end + 1] = [low] * (end + 1 - start)
        return problem


def _check_scan(components: int, start: int, end: int, high: int, low: int) -> str | None:
    """Say what is wrong with a scan whatever came before it (T.81 G.1.1.1.1, Table B.3)."""
    if start == 0 and end != 0:
        return f"a progressive scan of DC must have the band 0 to 0; got 0 to {end}"
    if not start <= end < BLOCK_COEFFICIENTS:
        return f"the band of a scan must be upwards within 0 to 63; got {start} to {end}"
    if start > 0 and components != 1:
        return f"a progressive scan of AC must have one component; got {components}"
    if high != 0 and low != high - 1:
        return f"a refinement must have Al = Ah - 1; got Ah {high} and Al {low}"
    if low > MAX_APPROXIMATION:
        return f"Al must be from 0 to {MAX_APPROXIMATION}; got {low}"
    return None


def _check_levels(levels: list[int], start: int, end: int, high: int) -> str | None:
    """Say what is wrong with a scan of a component after those before it."""
    if start > 0 and levels[0] < 0:
        return "a scan of AC stands before the first one of DC"
    expected = high if high > 0 else -1
    band = levels[start : end + 1]
    if band.count(expected) == len(band):
        return None
    level = next(level for level in band if level != expected)
    k = start + band.index(level)
    if level < 0:
        return f"coefficient {k} is refined before its first scan"
    if high == 0:
        return f"coefficient {k} has a first scan already, with Al {level}; expected a refinement"
    return f"coefficient {k} is refined from Ah {high}; expected {level}, the Al of its last scan"
