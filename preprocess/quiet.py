"""Loading Apache Beam without what it logs about parts of it that are not installed."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_beam() -> Iterator[None]:
    """Keeps warnings off the standard error while Apache Beam is imported inside."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
