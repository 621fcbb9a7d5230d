"""What must hold for whatever bytes the reader is given: the fuzzer's oracle."""

from __future__ import annotations

import inspect
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jpegkeras.jpeg import (
    JpegCoefficients,
    JpegError,
    JpegFormatError,
    JpegUnsupportedError,
    read_batch,
    read_coefficients,
)
from tests.trust import anatomy, usage
from tests.trust.comparison import compare, message_class
from tests.trust.libjpeg import Oracle
from tests.trust.mutations import Draws

MAX_SECONDS = 2.0
MAX_GROWTH = 256 << 20
#: libjpeg gives up where it would need more.
ORACLE_MEMORY = 48 << 20
MAX_DC = 2047
MAX_AC = 1023
_OPTIONS = frozenset(inspect.signature(read_coefficients).parameters)
_STREAM = 1 << 20  # keeps the draws of the checks apart from those that made the input


class Problem(NamedTuple):
    """Something that must not be: its kind, and a text that is the same for the same bug."""

    kind: str
    text: str


@dataclass
class Report:
    """What came out for one input.

    `outcome` is "read" or the error's name and class of message; `classes` are (table, class)
    pairs to count; `image` is what was read, None for an error.
    """

    outcome: str = ""
    classes: list[tuple[str, str]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    seconds: float = 0.0
    growth: int = 0
    image: JpegCoefficients | None = None
    error: JpegError | None = None


def can_fill() -> bool:
    """Say whether the reader also reads truncated files, if asked to."""
    return "on_truncated" in _OPTIONS


def check_input(number: int, data: bytes, oracle: Oracle | None) -> Report:
    """Read this data in several ways and check every answer."""
    draws = Draws(_STREAM, number)
    report = Report()
    frequencies = draws.pick((1, 16, 64, 64))
    report.image, report.error = _call(report, draws.pick(_TYPES)(data), frequencies)
    if report.image is not None:
        report.outcome = "read"
        _check_image(report, report.image, frequencies, complete=True)
        _check_ranges(report, report.image, data)
    elif report.error is not None:
        report.outcome = _error_class(report.error)
        _check_error(report, report.error, len(data))
    else:
        return report
    if frequencies != 64:
        _check_other_frequencies(report, data, frequencies)
    if can_fill() and (report.image is None or draws.below(4) == 0):
        _check_fill(report, data, draws.pick((1, 16, 64)), oracle)
    if "max_pixels" in _OPTIONS and draws.below(16) == 0:
        _check_limits(report, data, draws)
    if oracle is not None:
        _compare_with_libjpeg(report, data, oracle)
    return report


def check_batch(batch: list[tuple[bytes, Report]], frequencies: int, num_threads: int) -> Report:
    """Check that read_batch gives for these inputs what reading them one by one gave."""
    report = Report()
    usable = [pair for pair in batch if pair[1].image is not None or pair[1].error is not None]
    good = [pair for pair in usable if pair[1].image is not None]
    images, error = _call_batch(report, [data for data, _ in good], frequencies, num_threads)
    if images is None or len(images) != len(good):
        report.problems.append(Problem("batch", f"no batch of readable inputs: {error}"))
        return report
    for image, (_, one) in zip(images, good):
        n = min(frequencies, one.image.num_frequencies)
        if not _equal(image, one.image, n):
            report.problems.append(Problem("batch", "an image of a batch differs"))
    failing = next((index for index, (_, one) in enumerate(usable) if one.error is not None), None)
    if failing is not None:
        first = usable[failing][1].error
        _, error = _call_batch(report, [data for data, _ in usable], frequencies, num_threads)
        same = type(error) is type(first)
        same = same and (error.problem, error.offset) == (first.problem, first.offset)
        if not same or error.source != f"<bytes {failing}>":
            report.problems.append(Problem("batch", "a batch does not raise its first error"))
    return report


_TYPES = (bytes, bytes, bytearray, memoryview)


def _call(report: Report, data, frequencies: int, **options):
    """Return (image, None) or (None, documented error), or (None, None) with a problem noted."""
    return _guard(report, lambda: read_coefficients(data, frequencies, **options))


def _call_batch(report: Report, items: list[bytes], frequencies: int, num_threads: int):
    return _guard(report, lambda: read_batch(items, frequencies, num_threads))


def _guard(report: Report, call):
    def run():
        try:
            return call(), None
        except Exception as error:
            return None, error

    (image, error), seconds, growth = usage.measure(run)
    if seconds > MAX_SECONDS:  # once more: the first time something may have been compiled
        (image, error), seconds, growth = usage.measure(run)
    report.seconds = max(report.seconds, seconds)
    report.growth = max(report.growth, growth)
    if seconds > MAX_SECONDS:
        report.problems.append(Problem("slow", f"more than {MAX_SECONDS:g} s"))
    if growth > MAX_GROWTH:
        report.problems.append(Problem("memory", f"more than {MAX_GROWTH >> 20} MB"))
    if error is not None and type(error) not in (JpegFormatError, JpegUnsupportedError):
        report.problems.append(Problem("exception", _describe(error)))
        return None, None
    return image, error


def _describe(error: Exception) -> str:
    """The type of an error and the innermost place in the project it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    inner = [frame for frame in frames if "jpegkeras" in Path(frame.filename).parts] or frames
    place = f"{Path(inner[-1].filename).name}:{inner[-1].name}"
    return f"{type(error).__name__} in {place}: {message_class(str(error))[:120]}"


def _error_class(error: JpegError) -> str:
    if isinstance(error, JpegUnsupportedError):
        return f"JpegUnsupportedError: {message_class(error.feature)}"
    return f"JpegFormatError: {message_class(error.problem)}"


def _check_error(report: Report, error: JpegError, size: int) -> None:
    if error.source != "<bytes>":
        report.problems.append(Problem("error", f"source {error.source!r}"))
    if not isinstance(error.offset, int) or not 0 <= error.offset <= size:
        report.problems.append(Problem("error", f"offset outside the data: {_error_class(error)}"))
    if "\n" in str(error):
        report.problems.append(Problem("error", f"more than one line: {_error_class(error)}"))


def _check_image(report: Report, image: JpegCoefficients, frequencies: int, complete: bool) -> None:
    wrong = []
    if type(image) is not JpegCoefficients or image.num_frequencies != frequencies:
        wrong.append("not what was asked for")
    if len(image.components) not in (1, 3):
        wrong.append(f"{len(image.components)} components")
    if image.complete is not complete:
        wrong.append(f"complete is not {complete}")
    h_max, v_max = (max(c.sampling[axis] for c in image.components) for axis in (0, 1))
    for component in image.components:
        h, v = component.sampling
        rows = -(-image.height * v // (8 * v_max))
        columns = -(-image.width * h // (8 * h_max))
        coefficients, quantization = component.coefficients, component.quantization
        if coefficients.shape != (rows, columns, frequencies) or coefficients.dtype != np.int16:
            wrong.append("shape or dtype of coefficients")
        if quantization.shape != (frequencies,) or quantization.dtype != np.uint16:
            wrong.append("shape or dtype of a quantisation table")
        if not quantization.all():
            wrong.append("quantisation by 0")
    report.problems += [Problem("invariant", text) for text in wrong]


def _check_ranges(report: Report, image: JpegCoefficients, data: bytes) -> None:
    """DC and AC of a sequential image have bounds; progressive scans can give any int16."""
    frame = next((p.marker for p in anatomy.pieces(data) if p.marker in anatomy.FRAMES), None)
    for component in image.components:
        dc, ac = component.coefficients[..., 0], component.coefficients[..., 1:]
        for name, values, bound in (("DC", dc, MAX_DC), ("AC", ac, MAX_AC)):
            if values.size == 0 or -bound <= values.min() <= values.max() <= bound:
                continue
            report.classes.append(("ranges", f"frame 0x{frame:02X}: {name} beyond {bound}"))
            if frame in (0xC0, 0xC1):
                report.problems.append(Problem("invariant", f"{name} beyond {bound}"))


def _check_other_frequencies(report: Report, data: bytes, frequencies: int) -> None:
    """All 64 frequencies must give the same answer, as far as both go."""
    image, error = _call(report, data, 64)
    if (image is None) != (report.image is None):
        report.problems.append(Problem("frequencies", f"{frequencies} and 64: one is an error"))
    elif error is not None and report.error is not None and str(error) != str(report.error):
        report.problems.append(Problem("frequencies", f"{frequencies} and 64: other errors"))
    elif image is not None and not _equal(image, report.image, frequencies):
        report.problems.append(Problem("frequencies", f"{frequencies} and 64: other coefficients"))


def _check_fill(report: Report, data: bytes, frequencies: int, oracle: Oracle | None) -> None:
    """on_truncated="fill" gives what is whole as it is, and more files, marked as incomplete."""
    image, error = _call(report, data, frequencies, on_truncated="fill")
    if error is not None:
        _check_error(report, error, len(data))
        if report.image is not None:
            report.problems.append(Problem("fill", "refuses what is read without it"))
        elif type(error) is not type(report.error):
            report.classes.append(("fill raises another error", _error_class(error)))
        return
    if image is None:
        return
    _check_image(report, image, frequencies, complete=report.image is not None)
    if report.image is not None:
        if not _equal(image, report.image, min(frequencies, report.image.num_frequencies)):
            report.problems.append(Problem("fill", "changes what is read without it"))
    elif isinstance(report.error, JpegUnsupportedError):
        report.problems.append(Problem("fill", f"reads {_error_class(report.error)}"))
    elif oracle is not None:
        answer = compare(image, data, oracle, ORACLE_MEMORY)
        if answer.wrong:
            report.classes.append(("fill", f"differs in {answer.wrong}"))
            text = f"{answer.wrong} | {_error_class(report.error)}"
            report.classes.append(("fill differs", text))
        elif "same" in answer.verdict:
            report.classes.append(("fill", "same as libjpeg"))
        else:
            report.classes.append(("fill", answer.verdict.replace("DNL: ", "")))


def _check_limits(report: Report, data: bytes, draws: Draws) -> None:
    """Limits that are met change nothing; others only refuse."""
    max_pixels, max_scans = draws.pick((1, 64, 256, 1024)), draws.pick((1, 2, 5, 10))
    image, error = _call(report, data, 1, max_pixels=max_pixels, max_scans=max_scans)
    if error is not None:
        _check_error(report, error, len(data))
    if image is None:
        return
    if image.height * image.width > max_pixels:
        report.problems.append(Problem("limits", "more pixels than max_pixels"))
    if report.image is None or not _equal(image, report.image, 1):
        report.problems.append(Problem("limits", "change what is read"))


def _compare_with_libjpeg(report: Report, data: bytes, oracle: Oracle) -> None:
    if report.image is not None:
        answer = compare(report.image, data, oracle, ORACLE_MEMORY)
        report.classes.append(("accepted", answer.verdict))
        if answer.wrong:
            report.problems.append(Problem("libjpeg", answer.verdict))
    elif isinstance(report.error, JpegFormatError):
        reading = oracle.read(data, ORACLE_MEMORY)
        if reading.error is not None:
            report.classes.append(("refused", "libjpeg refuses too"))
        elif reading.warnings:
            report.classes.append(("refused", "libjpeg warns"))
        else:
            report.classes.append(("refused", "libjpeg reads it"))
            report.classes.append(("stricter than libjpeg", _error_class(report.error)))


def _equal(a: JpegCoefficients, b: JpegCoefficients, n: int) -> bool:
    """Whether two images are the same in the n lowest frequencies."""
    return (
        (a.height, a.width, a.color_space, a.orientation, a.complete)
        == (b.height, b.width, b.color_space, b.orientation, b.complete)
        and len(a.components) == len(b.components)
        and all(
            x.sampling == y.sampling
            and np.array_equal(x.quantization[:n], y.quantization[:n])
            and np.array_equal(x.coefficients[..., :n], y.coefficients[..., :n])
            for x, y in zip(a.components, b.components)
        )
    )
