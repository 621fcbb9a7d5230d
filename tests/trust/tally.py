"""What many inputs gave, in counts that can be added up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.trust.properties import Problem, Report

#: How many inputs are kept of those that show the same problem.
KEPT = 3


@dataclass
class Found:
    """Inputs that show one problem: how many, and the numbers of the first few."""

    count: int = 0
    numbers: list[int] = field(default_factory=list)

    def add(self, count: int, numbers: list[int]) -> None:
        """Count these too."""
        self.count += count
        self.numbers = sorted({*self.numbers, *numbers})[:KEPT]


@dataclass
class Tally:
    """Counts over inputs; add() and merge() give the same in any order.

    `tables` holds counts by table and class, and `examples` the first input of each class.
    `slowest` and `largest` are (seconds of processor time or bytes of memory, input).
    """

    inputs: int = 0
    size: int = 0
    batches: int = 0
    tables: dict[str, Counter] = field(default_factory=dict)
    examples: dict[tuple[str, str], int] = field(default_factory=dict)
    problems: dict[Problem, Found] = field(default_factory=dict)
    slowest: tuple[float, int] = (0.0, -1)
    largest: tuple[int, int] = (0, -1)

    def add(self, number: int, size: int, report: Report) -> None:
        """Count an input."""
        self.inputs += 1
        self.size += size
        if report.outcome:
            self.count("outcomes", report.outcome, number)
        for table, name in report.classes:
            self.count(table, name, number)
        self.note(number, report)

    def add_batch(self, number: int, report: Report) -> None:
        """Count a batch, under the number of its first input."""
        self.batches += 1
        self.note(number, report)

    def note(self, number: int, report: Report) -> None:
        """Take over what a report found and measured."""
        for problem in set(report.problems):
            self.problems.setdefault(problem, Found()).add(1, [number])
        self.slowest = max(self.slowest, (report.seconds, number))
        self.largest = max(self.largest, (report.growth, number))

    def count(self, table: str, name: str, number: int, times: int = 1) -> None:
        """Count a class of a table."""
        self.tables.setdefault(table, Counter())[name] += times
        self.examples[table, name] = min(self.examples.get((table, name), number), number)

    def merge(self, other: Tally) -> None:
        """Add the counts of another tally."""
        self.inputs += other.inputs
        self.size += other.size
        self.batches += other.batches
        for table, counts in other.tables.items():
            for name, times in counts.items():
                self.count(table, name, other.examples[table, name], times)
        for problem, found in other.problems.items():
            self.problems.setdefault(problem, Found()).add(found.count, found.numbers)
        self.slowest = max(self.slowest, other.slowest)
        self.largest = max(self.largest, other.largest)
