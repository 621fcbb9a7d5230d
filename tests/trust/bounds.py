"""Run a program again in an environment in which Numba checks every index.

Numba's cache does not tell checked code from unchecked code, nor notices that a module has changed
from which a kernel takes its constants: so checked code goes into a folder of its own for every
state of the reader's sources.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "jpegkeras" / "jpeg"


def sources_digest() -> str:
    """Return a checksum of the reader's sources."""
    total = hashlib.sha256()
    for path in sorted(SOURCES.glob("*.py")):
        total.update(path.name.encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:16]


def environment(cache_dir: Path) -> dict[str, str]:
    """Return what must be added to the environment, before Numba is imported."""
    folder = cache_dir.resolve() / f"numba-checked-{sources_digest()}"
    return {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(folder)}


def ensure(module: str, arguments: list[str], cache_dir: Path) -> None:
    """Replace this process by `python -m module` under bounds checking, unless it is under it."""
    wanted = environment(cache_dir)
    if all(os.environ.get(name) == value for name, value in wanted.items()):
        return
    command = [sys.executable, "-m", module, *arguments]
    os.execve(sys.executable, command, {**os.environ, **wanted})


def are_checked() -> bool:
    """Say whether an index out of bounds raises IndexError in compiled code here."""
    import numba
    import numpy as np

    if not numba.config.BOUNDSCHECK:
        return False

    @numba.njit
    def element(array, index):
        return array[index]

    try:
        element(np.zeros(1), 1)
    except IndexError:
        return True
    return False
