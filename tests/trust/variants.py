"""One JPEG made again in other forms by cjpeg, djpeg and jpegtran (libjpeg-turbo)."""

from __future__ import annotations

import functools
import itertools
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TOOLS = ("cjpeg", "djpeg", "jpegtran")
NEEDS = f"{', '.join(TOOLS)} (Debian: libjpeg-turbo-progs)"

# Scan scripts: components, then band and successive approximation.
_ONE_BY_ONE = "0;\n1;\n2;\n"
_LUMA_FIRST = "0;\n1 2;\n"
_BANDS = """0 1 2: 0 0, 0, 0;
0: 1 5, 0, 0;
2: 1 63, 0, 0;
1: 1 63, 0, 0;
0: 6 63, 0, 0;
"""
_APPROXIMATION = """0: 0 0, 0, 3;
1 2: 0 0, 0, 1;
0: 0 0, 3, 2;
0: 1 8, 0, 2;
1: 1 63, 0, 1;
0: 9 63, 0, 3;
0: 9 63, 3, 2;
0: 0 0, 2, 1;
2: 1 63, 0, 0;
0: 1 63, 2, 1;
1 2: 0 0, 1, 0;
0: 0 0, 1, 0;
0: 1 63, 1, 0;
1: 1 63, 1, 0;
"""


@dataclass(frozen=True)
class Variant:
    """A JPEG made from another.

    Attributes:
        name: what was done.
        data: the JPEG.
        lossless: its coefficients are those of the original.
        refused: the feature for which the reader must refuse it, "" for none.
    """

    name: str
    data: bytes
    lossless: bool
    refused: str = ""

    @property
    def group(self) -> str:
        """The kind of form: how its coefficients came about, and how they are coded."""
        coding = "progressive" if "progressive" in self.name else "sequential"
        made = "recoded" if self.lossless else "encoded again"
        return f"{made}, {'arithmetic' if self.refused else coding}"


@dataclass(frozen=True)
class NotMade:
    """A variant that could not be made: its name, the tool that failed and what that said."""

    name: str
    tool: str
    reason: str


def are_available() -> bool:
    """Say whether all of the tools are on the PATH."""
    return all(shutil.which(tool) for tool in TOOLS)


# Other codings of the same coefficients: name → arguments of jpegtran, script or "".
_TRANSCODED = {
    "optimised": (("-optimize",), ""),
    "restart every MCU": (("-restart", "1B"), ""),
    "restart every 7 MCUs": (("-restart", "7B"), ""),
    "restart every row": (("-restart", "1"), ""),
    "optimised, restart every 7 MCUs": (("-optimize", "-restart", "7B"), ""),
    "a scan each": ((), _ONE_BY_ONE),
    "luma, then chroma, restart every row": (("-restart", "1"), _LUMA_FIRST),
    "progressive": (("-progressive",), ""),
    "progressive, restart every MCU": (("-progressive", "-restart", "1B"), ""),
    "progressive, restart every 7 MCUs": (("-progressive", "-restart", "7B"), ""),
    "progressive, restart every row, optimised": (
        ("-progressive", "-restart", "1", "-optimize"),
        "",
    ),
    "progressive by bands": ((), _BANDS),
    "progressive by bits, restart every 7 MCUs": (("-restart", "7B"), _APPROXIMATION),
}
_ARITHMETIC = {
    "arithmetic": ("-arithmetic",),
    "arithmetic, progressive": ("-arithmetic", "-progressive"),
}
_SAMPLINGS = {"4:4:4": "1x1", "4:2:2": "2x1", "4:4:0": "1x2", "4:2:0": "2x2", "4:1:1": "4x1"}
_CODINGS = {"": (), "optimised": ("-optimize",), "progressive": ("-progressive",)}
_RESTARTS = {
    "": (),
    "restart every MCU": ("-restart", "1B"),
    "restart every 7 MCUs": ("-restart", "7B"),
    "restart every row": ("-restart", "1"),
}
_QUALITIES = (75, 3, 95, 100, 50)


def make_variants(data: bytes, color: bool) -> Iterator[Variant | NotMade]:
    """Yield a JPEG's variants; with `color` those that need three components too."""
    for name, (arguments, script) in _TRANSCODED.items():
        if color or not script:  # the scripts name three components
            yield _make(name, "jpegtran", arguments, data, lossless=True, script=script)
    for name, arguments in _ARITHMETIC.items():
        refused = "arithmetic coding"
        yield _make(name, "jpegtran", arguments, data, lossless=True, refused=refused)
    yield _make("luma alone", "jpegtran", ("-grayscale",), data)
    try:
        pixels = _run("djpeg", "-pnm", data=data)
    except subprocess.CalledProcessError as error:
        for name, _ in _encodings(color):
            yield NotMade(name, "djpeg", _reason(error))
        return
    for name, arguments in _encodings(color):
        yield _make(name, "cjpeg", arguments, pixels)


def _encodings(color: bool) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield names and arguments of cjpeg for the forms made from pixels."""
    for number, (name, factors) in enumerate(_SAMPLINGS.items() if color else ()):
        quality = ("-quality", str(_QUALITIES[number % len(_QUALITIES)]))
        for coding, restarts in itertools.product(_CODINGS, _RESTARTS):
            options = ("-sample", factors, *quality, *_CODINGS[coding], *_RESTARTS[restarts])
            yield ", ".join(filter(None, (f"encoded {name}", coding, restarts))), options
    yield "encoded gray", ("-grayscale",)
    yield "encoded gray, progressive", ("-grayscale", "-progressive")
    for quality in sorted(_QUALITIES):
        yield f"encoded, quality {quality}, optimised", ("-quality", str(quality), "-optimize")
    if color:
        yield "encoded RGB", ("-rgb",)
        yield "encoded with factors 2x2, 2x1, 1x2", ("-sample", "2x2,2x1,1x2")


def _make(
    name: str,
    tool: str,
    arguments: tuple[str, ...],
    data: bytes,
    *,
    lossless: bool = False,
    refused: str = "",
    script: str = "",
) -> Variant | NotMade:
    try:
        made = _run(tool, *arguments, data=data, script=script)
    except subprocess.CalledProcessError as error:
        return NotMade(name, tool, _reason(error))
    return Variant(name, made, lossless, refused)


def _reason(error: subprocess.CalledProcessError) -> str:
    """The last line a tool has printed, or how it ended."""
    lines = error.stderr.decode("ascii", "replace").strip().splitlines()
    return lines[-1] if lines and error.returncode > 0 else f"exit status {error.returncode}"


def _run(tool: str, *arguments: str, data: bytes, script: str = "") -> bytes:
    if script:
        arguments = ("-scans", _script_file(script), *arguments)
    return subprocess.run([tool, *arguments], input=data, capture_output=True, check=True).stdout


@functools.lru_cache(maxsize=1)
def _script_folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory()


@functools.cache
def _script_file(script: str) -> str:
    path = Path(_script_folder().name) / f"{_script_file.cache_info().currsize}.txt"
    path.write_text(script)
    return str(path)
