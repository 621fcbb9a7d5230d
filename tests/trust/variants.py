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


def make_variants(data: bytes) -> Iterator[Variant]:
    """Yield a JPEG's variants.

    Raises:
        subprocess.CalledProcessError: one of the tools failed.
    """
    color = _is_color(data)
    for name, (arguments, script) in _TRANSCODED.items():
        if script and not color:  # the scripts name three components
            continue
        yield Variant(name, _run("jpegtran", *arguments, script=script, data=data), True)
    for name, arguments in _ARITHMETIC.items():
        coded = _run("jpegtran", *arguments, data=data)
        yield Variant(name, coded, True, "arithmetic coding")
    yield Variant("luma alone", _run("jpegtran", "-grayscale", data=data), False)
    pixels = _run("djpeg", "-pnm", data=data)
    for number, (name, factors) in enumerate(_SAMPLINGS.items() if color else ()):
        quality = ("-quality", str(_QUALITIES[number % len(_QUALITIES)]))
        for coding, restarts in itertools.product(_CODINGS, _RESTARTS):
            options = ("-sample", factors, *quality, *_CODINGS[coding], *_RESTARTS[restarts])
            full_name = ", ".join(filter(None, (f"encoded {name}", coding, restarts)))
            yield Variant(full_name, _run("cjpeg", *options, data=pixels), False)
    yield Variant("encoded gray", _run("cjpeg", "-grayscale", data=pixels), False)
    gray = _run("cjpeg", "-grayscale", "-progressive", data=pixels)
    yield Variant("encoded gray, progressive", gray, False)
    for quality in sorted(_QUALITIES):
        coded = _run("cjpeg", "-quality", str(quality), "-optimize", data=pixels)
        yield Variant(f"encoded, quality {quality}, optimised", coded, False)
    if color:
        yield Variant("encoded RGB", _run("cjpeg", "-rgb", data=pixels), False)
        mixed = _run("cjpeg", "-sample", "2x2,2x1,1x2", data=pixels)
        yield Variant("encoded with factors 2x2, 2x1, 1x2", mixed, False)


def _is_color(data: bytes) -> bool:
    header = _run("djpeg", "-pnm", "-scale", "1/8", data=data)
    return header.startswith(b"P6")


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
