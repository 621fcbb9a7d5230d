"""What libjpeg reads from the same bytes, by a small C library compiled when it is needed.

Needs a C compiler (cc, or what CC names) and libjpeg's headers; load() returns None without.
"""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).with_name("libjpeg_oracle.c")
NEEDS = "a C compiler and libjpeg's headers (Debian: gcc, libjpeg62-turbo-dev)"

_MAX_COMPONENTS = 10
_MAX_CODES = 16
# jpeglib.h, J_COLOR_SPACE.
_COLOR_SPACES = {1: "grayscale", 2: "RGB", 3: "YCbCr", 4: "CMYK", 5: "YCCK"}


class _Answer(ctypes.Structure):
    _fields_ = (
        ("width", ctypes.c_int),
        ("height", ctypes.c_int),
        ("components", ctypes.c_int),
        ("color_space", ctypes.c_int),
        ("progressive", ctypes.c_int),
        ("rows", ctypes.c_int * _MAX_COMPONENTS),
        ("columns", ctypes.c_int * _MAX_COMPONENTS),
        ("h", ctypes.c_int * _MAX_COMPONENTS),
        ("v", ctypes.c_int * _MAX_COMPONENTS),
        ("quantization", ctypes.c_ushort * 64 * _MAX_COMPONENTS),
        ("error", ctypes.c_int),
        ("warnings", ctypes.c_int),
        ("codes", ctypes.c_int),
        ("warning_codes", ctypes.c_int * _MAX_CODES),
        ("size", ctypes.c_long),
        ("coefficients", ctypes.POINTER(ctypes.c_short)),
    )


@dataclass(frozen=True)
class Plane:
    """A component as libjpeg reads it.

    Coefficients int16 [rows, cols, 64] and quantization uint16 [64] in zigzag order, sampling
    (h, v).
    """

    coefficients: np.ndarray
    quantization: np.ndarray
    sampling: tuple[int, int]


@dataclass(frozen=True)
class Reading:
    """What libjpeg makes of some bytes.

    `error` is the message with which it gave up, None if it did not; `warnings` are the different
    messages it gave, sorted. Messages are as libjpeg's table has them, with % for numbers. Without
    an error there are the planes.
    """

    error: str | None
    warnings: tuple[str, ...] = ()
    height: int = 0
    width: int = 0
    color_space: str = ""
    progressive: bool = False
    planes: tuple[Plane, ...] = ()


class Oracle:
    """libjpeg in this process; it survives whatever it reads."""

    def __init__(self, path: Path | str):
        library = ctypes.CDLL(str(path))
        self._read = library.oracle_read
        self._read.argtypes = (
            ctypes.c_char_p,
            ctypes.c_ulong,
            ctypes.c_long,
            ctypes.POINTER(_Answer),
        )
        self._read.restype = None
        self._free = library.oracle_free
        self._free.argtypes = (ctypes.POINTER(_Answer),)
        self._free.restype = None
        library.oracle_message.argtypes = (ctypes.c_int,)
        library.oracle_message.restype = ctypes.c_char_p
        library.oracle_version.restype = ctypes.c_char_p
        self.message = functools.lru_cache(maxsize=None)(
            lambda code: library.oracle_message(code).decode("ascii")
        )
        self.version = library.oracle_version().decode("ascii")

    def read(self, data: bytes, max_memory: int = 1 << 30) -> Reading:
        """Return what libjpeg reads; where it would take more than max_memory bytes it gives up."""
        answer = _Answer()
        self._read(data, len(data), max_memory, ctypes.byref(answer))
        try:
            warnings = tuple(sorted(map(self.message, answer.warning_codes[: answer.codes])))
            if answer.error:
                return Reading(self.message(answer.error), warnings)
            return Reading(
                None,
                warnings,
                answer.height,
                answer.width,
                _COLOR_SPACES.get(answer.color_space, "unknown"),
                bool(answer.progressive),
                _copy_planes(answer),
            )
        finally:
            self._free(ctypes.byref(answer))


def _copy_planes(answer: _Answer) -> tuple[Plane, ...]:
    flat = np.ctypeslib.as_array(answer.coefficients, (answer.size,)).copy()
    tables = np.ctypeslib.as_array(answer.quantization).copy()
    planes = []
    start = 0
    for index in range(answer.components):
        shape = (answer.rows[index], answer.columns[index], 64)
        end = start + shape[0] * shape[1] * shape[2]
        sampling = (answer.h[index], answer.v[index])
        planes.append(Plane(flat[start:end].reshape(shape), tables[index], sampling))
        start = end
    return tuple(planes)


def build(folder: Path | str) -> Path | None:
    """Compile the library into this folder; None where compiler or headers are missing."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        return None
    path = Path(folder) / "libjpeg_oracle.so"
    command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(path), str(SOURCE), "-ljpeg"]
    result = subprocess.run(command, capture_output=True)
    return path if result.returncode == 0 else None


@functools.lru_cache(maxsize=1)
def load() -> Oracle | None:
    """Return the oracle, compiled once a process; None where it cannot be (see NEEDS)."""
    with tempfile.TemporaryDirectory() as folder:
        path = build(folder)
        # A loaded library outlives its file.
        return None if path is None else Oracle(path)
