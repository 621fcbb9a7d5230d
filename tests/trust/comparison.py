"""The reader's answer beside libjpeg's: the same, or in which way not."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from jpegkeras.jpeg import JpegCoefficients
from tests.trust import anatomy
from tests.trust.libjpeg import Oracle, Reading

SAME = "same"
_EOI = b"\xff\xd9"
# What libjpeg says where max_memory is too little.
_TOO_LARGE = "Backing store not supported"


class Comparison(NamedTuple):
    """What a comparison showed.

    `verdict` is a class to count: it begins with SAME, "libjpeg refuses", "libjpeg warns",
    "differs" or "not compared". `wrong` says what differs where it must not, else it is empty.
    """

    verdict: str
    wrong: str = ""


def difference(image: JpegCoefficients, reading: Reading) -> str:
    """Say what is not the same in what both have read; empty if all is."""
    if (image.height, image.width) != (reading.height, reading.width):
        return "size"
    if len(image.components) != len(reading.planes):
        return "number of components"
    if image.color_space != reading.color_space:
        return "colour space"
    n = image.num_frequencies
    for component, plane in zip(image.components, reading.planes):
        if component.sampling != plane.sampling:
            return "sampling factors"
        # All zero: no scan of the component came, so that libjpeg never took its table.
        used = plane.quantization.any()
        if used and not np.array_equal(component.quantization, plane.quantization[:n]):
            return "quantisation tables"
        if not np.array_equal(component.coefficients, plane.coefficients[..., :n]):
            return "coefficients"
    return ""


def compare(image: JpegCoefficients, data: bytes, oracle: Oracle, max_memory: int) -> Comparison:
    """Compare what was read from this data with what libjpeg reads from it.

    A sequential image ends, for the reader, with the scan that completes it; libjpeg looks on. So
    where the two differ, or libjpeg complains, libjpeg also gets the data up to there. And libjpeg
    skips DNL, which may define or redefine the height (T.81 B.2.5): it gets it in the frame header.
    """
    prefix = ""
    patched = _with_height(data, image.height)
    if patched is not None:
        prefix, data = "DNL: ", patched
    reading = oracle.read(data, max_memory)
    answer = _judge(image, reading)
    if answer.verdict == SAME:
        return Comparison(prefix + SAME)
    end = anatomy.end_of_sequential_image(data)
    if end is not None and data[end:] != _EOI:
        shorter = _judge(image, oracle.read(data[:end] + _EOI, max_memory))
        if shorter.verdict == SAME:
            return Comparison(f"{prefix}{SAME} up to the last scan; after it {answer.verdict}")
        if answer.wrong or reading.error is not None:
            answer = shorter
    return Comparison(prefix + answer.verdict, answer.wrong)


def _judge(image: JpegCoefficients, reading: Reading) -> Comparison:
    if reading.error == _TOO_LARGE:
        return Comparison("not compared: larger than libjpeg is allowed here")
    if reading.error is not None:
        return Comparison(f"libjpeg refuses: {reading.error}")
    wrong = difference(image, reading)
    warnings = " + ".join(reading.warnings)
    if wrong:
        return Comparison(f"differs in {wrong}; libjpeg warns: {warnings or 'nothing'}", wrong)
    return Comparison(f"libjpeg warns: {warnings}, and reads the same" if warnings else SAME)


def _with_height(data: bytes, height: int) -> bytes | None:
    """Return the data with this height in the frame header, if a DNL segment gave another one."""
    pieces = anatomy.pieces(data, skip=True)
    frame = next((piece for piece in pieces if piece.marker in anatomy.FRAMES), None)
    if frame is None or all(piece.marker != anatomy.DNL for piece in pieces):
        return None
    start = frame.start
    while data[start + 1] == 0xFF:
        start += 1
    if data[start + 5 : start + 7] == height.to_bytes(2, "big"):
        return None
    return data[: start + 5] + height.to_bytes(2, "big") + data[start + 7 :]


def message_class(problem: str) -> str:
    """Return a message without its numbers, so that like ones can be counted."""
    problem = re.sub(r"0x[0-9A-Fa-f]+", "#", problem)
    problem = re.sub(r"the bytes [0-9a-f ]+", "the bytes #", problem)
    problem = re.sub(r"got [0-9a-f]{2}( [0-9a-f]{2})+$", "got #", problem)
    problem = re.sub(r"-?\b\d+\b", "#", problem)
    return re.sub(r"\[#(, #)*\]", "[#]", problem)
