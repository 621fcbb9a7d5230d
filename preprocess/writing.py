"""Files that are either whole or absent, on whatever file system: written elsewhere, then put."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import uuid
from collections.abc import Iterator
from typing import Any

from jpegkeras.files import TEMPORARY_SUFFIX
from preprocess.filesystems import filesystem_of, is_remote


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Yields a local file name; what was written there takes `path`'s place if nothing raised.

    The name is unique: two workers that make the same file at once never mix their bytes, and both
    put the same ones. Raises OSError that names `path` where it cannot be written.
    """
    unique = f"{os.getpid()}-{uuid.uuid4().hex[:8]}{TEMPORARY_SUFFIX}"
    folder = tempfile.gettempdir() if is_remote(path) else os.path.dirname(path)
    temporary = os.path.join(folder, f"{os.path.basename(path)}.{unique}")
    try:
        yield temporary
        filesystem_of(path).publish(temporary, path)
    except OSError as error:
        if error.filename not in (temporary, None):
            raise
        raise OSError(error.errno, error.strerror or str(error), path) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def write_text(path: str, text: str) -> None:
    """Writes `text` as UTF-8; bytes of file names that are not UTF-8 come back as they were."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(text.encode("utf-8", "surrogateescape"))


def write_json(path: str, value: Any) -> None:  # noqa: ANN401
    """Writes `value` as indented JSON."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")
