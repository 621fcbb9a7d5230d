"""The process of one Python library: answers lines of stdin with JSON, as libjpeg_read does.

    python -m benchmarks.worker LIBRARY IMAGES OPTIONS

A process a library keeps their threads, allocators and imports out of each other's times. The line
`checksum` is answered with the library's version and, for one that reads coefficients, the CRC-32
of those of each image; the name of a variant with the time of one pass over the images.
"""

from __future__ import annotations

import json
import os
import sys
import time
import zlib
from collections.abc import Callable

import numpy as np

from benchmarks.adapters import OPENERS, Options, Planes, Reader
from benchmarks.images import read_images


def main(library: str, images: str, options: str) -> None:
    """Answers the lines of stdin until it ends."""
    # What libraries print goes to stderr: stdout is for the answers.
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        reader = _open(library, images, Options(**json.loads(options)))
        for line in sys.stdin:
            print(json.dumps(_answer(reader, line.strip())), file=answers, flush=True)


def _open(library: str, images: str, options: Options) -> Reader | str:
    """Returns the reader, or why there is none."""
    try:
        return OPENERS[library](read_images(images), options)
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] in (library, "PIL", "cv2"):
            return "not installed"
        return f"does not load: {error}"
    except ImportError as error:
        return f"does not load: {error}"


def _answer(reader: Reader | str, command: str) -> dict[str, object]:
    if isinstance(reader, str):
        return {"absent": reader}
    if command != "checksum":
        return _time_pass(reader.passes[command])
    checksums = None
    if reader.planes is not None:
        checksums = [_checksum(planes) for planes in reader.planes()]
    return {"library": reader.version, "crc32": checksums}


def _time_pass(read: Callable[[], None]) -> dict[str, object]:
    wall, cpu = time.perf_counter(), time.process_time()
    read()
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def _checksum(planes: Planes) -> int:
    crc = 0
    for plane in planes:
        crc = zlib.crc32(np.ascontiguousarray(plane, np.int16), crc)
    return crc


if __name__ == "__main__":
    main(*sys.argv[1:])
