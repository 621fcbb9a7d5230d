"""Builds the C program that reads with libjpeg."""

from __future__ import annotations

import pathlib
import shutil
import subprocess

from jpegkeras import files

SOURCE = pathlib.Path(__file__).with_name("libjpeg_read.c")
_ROOT = pathlib.Path(__file__).parents[1]


class BuildError(RuntimeError):
    """The program cannot be built; the message says what is missing."""


def build(build_dir: pathlib.Path = _ROOT / "build" / "benchmarks") -> pathlib.Path:
    """Return the program's path, built anew if its source is younger.

    Raises:
        BuildError: there is no C compiler or no jpeglib.h.
    """
    program = build_dir / "libjpeg_read"
    if program.exists() and program.stat().st_mtime >= SOURCE.stat().st_mtime:
        return program
    compiler = shutil.which("cc")
    if compiler is None:
        raise BuildError("there is no C compiler (cc)")
    build_dir.mkdir(parents=True, exist_ok=True)
    with files.replacing(program) as temporary:
        command = [compiler, "-O3", "-o", str(temporary), str(SOURCE), "-ljpeg"]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode:
            raise BuildError(_explain(result.stderr))
    return program


def _explain(output: str) -> str:
    if "jpeglib.h" in output or "-ljpeg" in output:
        return "jpeglib.h or libjpeg is not installed"
    lines = output.strip().splitlines() or ["no message"]
    return f"cc fails: {lines[-1]}"
