"""Loading TensorFlow without what it prints about devices that are not there."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

_LEVEL = "TF_CPP_MIN_LOG_LEVEL"


@contextlib.contextmanager
def quiet_tensorflow() -> Iterator[None]:
    """Keeps the first import of TensorFlow, to be made inside, off the standard error.

    Its native libraries write some lines whatever the log level, so the file descriptor itself is
    turned away; if the import fails, what was written is shown. A user who sets
    TF_CPP_MIN_LOG_LEVEL gets what that level gives.
    """
    if _LEVEL in os.environ:
        yield
        return
    os.environ[_LEVEL] = "3"
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(terminal, kept.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
