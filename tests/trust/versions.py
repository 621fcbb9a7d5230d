"""Which versions made a result."""

from __future__ import annotations

import importlib.metadata
import platform


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that matter to a result."""
    packages = {name: importlib.metadata.version(name) for name in ("numpy", "numba", "pillow")}
    return {"python": platform.python_version(), **packages}
