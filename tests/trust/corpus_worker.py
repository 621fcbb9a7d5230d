"""What a process of the corpus comparison does: reads files by number, here and by libjpeg."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from jpegkeras.jpeg import (
    JpegCoefficients,
    JpegError,
    JpegUnsupportedError,
    read_batch,
    read_coefficients,
)
from tests.trust import libjpeg
from tests.trust.command_line import reason
from tests.trust.comparison import SAME, compare, message_class
from tests.trust.libjpeg import Plane
from tests.trust.variants import NotMade, Variant, make_variants

ORIGINAL = "original"
#: Files that also go through read_batch together. Ranges of files hold whole groups.
GROUP = 16
_MAX_MEMORY = 2 << 30


@dataclass
class Row:
    """Counts over the files of one form: originals, or one kind of variant, of a group.

    `refused` counts by the feature that is not supported, `damaged` by what is wrong, `remarks` by
    what libjpeg warned about.
    """

    group: str = ORIGINAL
    files: int = 0
    compared: int = 0
    coefficients: int = 0
    same_as_original: int = 0
    refused: Counter = field(default_factory=Counter)
    damaged: Counter = field(default_factory=Counter)
    remarks: Counter = field(default_factory=Counter)

    def merge(self, other: Row) -> None:
        """Add other counts."""
        for name in ("files", "compared", "coefficients", "same_as_original"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("refused", "damaged", "remarks"):
            getattr(self, name).update(getattr(other, name))


@dataclass
class Counts:
    """Rows by form, and (form, number of the file, what is wrong) for everything that is.

    `not_made` counts variants by (tool that failed, what it said), and `unreadable` are files with
    the reason.
    """

    rows: dict[str, Row] = field(default_factory=dict)
    batched: int = 0
    not_made: Counter = field(default_factory=Counter)
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    failures: list[tuple[str, int, str]] = field(default_factory=list)

    def row(self, form: str, group: str) -> Row:
        """Return the row of a form."""
        return self.rows.setdefault(form, Row(group))

    def merge(self, other: Counts) -> None:
        """Add other counts."""
        for form, row in other.rows.items():
            self.row(form, row.group).merge(row)
        self.batched += other.batched
        self.not_made.update(other.not_made)
        self.unreadable += other.unreadable
        self.failures += other.failures


def open_oracle(library: Path | None):
    """Return the compiled oracle, or without one that of jpeglib."""
    if library is not None:
        return libjpeg.Oracle(library)
    from tests.trust.jpeglib_oracle import JpeglibOracle

    return JpeglibOracle()


def make_worker(paths: list[Path], with_variants: bool, library: Path | None) -> Callable:
    """Return a worker as workers.run() wants it, which returns Counts."""
    oracle = open_oracle(library)

    def work(start: int, end: int, skip: frozenset[int], mark: Callable[[int], None]) -> Counts:
        counts = Counts()
        for first in range(start, end, GROUP):
            batch: list[tuple[int, bytes, JpegCoefficients]] = []
            for number in range(first, min(first + GROUP, end)):
                if number in skip:
                    continue
                mark(number)
                try:
                    data = paths[number].read_bytes()
                except OSError as error:
                    counts.unreadable.append((paths[number], reason(error)))
                    continue
                image = _check(counts, number, Variant(ORIGINAL, data, True), (), oracle)
                if image is None:
                    continue
                batch.append((number, data, image))
                if with_variants:
                    _check_variants(counts, number, data, image, oracle)
            _check_batch(counts, batch)
        return counts

    return work


def _check_variants(
    counts: Counts, number: int, data: bytes, image: JpegCoefficients, oracle
) -> None:
    """Read the other forms of a JPEG here and by libjpeg, and count them."""
    planes = oracle.read(data, _MAX_MEMORY).planes
    for form in make_variants(data, color=len(image.components) == 3):
        if isinstance(form, NotMade):
            counts.not_made[form.tool, message_class(form.reason)] += 1
        else:
            _check(counts, number, form, planes, oracle)


def _check(
    counts: Counts, number: int, form: Variant, planes: tuple[Plane, ...], oracle
) -> JpegCoefficients | None:
    """Read one JPEG here and by libjpeg, count it, and return what was read."""
    row = counts.row(form.name, ORIGINAL if form.name == ORIGINAL else form.group)
    row.files += 1
    try:
        image = read_coefficients(form.data)
    except JpegUnsupportedError as error:
        row.refused[error.feature] += 1
        if form.refused and error.feature != form.refused:
            counts.failures.append((form.name, number, f"refused as {error.feature}"))
        return None
    except JpegError as error:
        row.damaged[message_class(error.problem)] += 1
        reading = oracle.read(form.data, _MAX_MEMORY)
        if reading.error is None and not reading.warnings:
            counts.failures.append((form.name, number, f"libjpeg reads it; here {error.problem}"))
        return None
    if form.refused:
        counts.failures.append((form.name, number, f"read, but should be refused: {form.refused}"))
    answer = compare(image, form.data, oracle, _MAX_MEMORY)
    if answer.verdict != SAME:
        row.remarks[answer.verdict] += 1
    if answer.wrong or answer.verdict.startswith("libjpeg refuses"):
        counts.failures.append((form.name, number, answer.verdict))
        return image
    row.compared += 1
    row.coefficients += sum(component.coefficients.size for component in image.components)
    if planes and form.lossless:
        if _equal_planes(image, planes):
            row.same_as_original += 1
        else:
            counts.failures.append((form.name, number, "differs from the original"))
    return image


def _equal_planes(image: JpegCoefficients, planes: tuple[Plane, ...]) -> bool:
    return len(image.components) == len(planes) and all(
        np.array_equal(component.coefficients, plane.coefficients)
        for component, plane in zip(image.components, planes)
    )


def _check_batch(counts: Counts, batch: list[tuple[int, bytes, JpegCoefficients]]) -> None:
    """What read_batch gives for these files must be what reading them one by one gave."""
    images = read_batch([data for _, data, _ in batch], num_threads=2) if batch else []
    for (number, _, one), image in zip(batch, images):
        counts.batched += 1
        if not all(
            np.array_equal(a.coefficients, b.coefficients)
            and np.array_equal(a.quantization, b.quantization)
            for a, b in zip(image.components, one.components)
        ):
            counts.failures.append((ORIGINAL, number, "read_batch gives something else"))
