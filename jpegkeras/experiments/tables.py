"""Writing a study's rows to files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jpegkeras import files


class SaveError(OSError):
    """A result cannot be written; the message names the file and the reason."""


def save(rows: Sequence[Mapping[str, Any]], output_dir: Path, stem: str) -> list[Path]:
    """Writes rows to `stem`.json, a list of objects, and `stem`.csv, with a header line.

    Args:
      rows: at least one, all with the same keys; values that JSON can hold.
      output_dir: an existing folder.
      stem: the files' name without suffix.

    Returns:
      The two paths.

    Raises:
      SaveError: a file cannot be written; one that was there before stays as it was.
    """
    table = io.StringIO()
    writer = csv.DictWriter(table, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    texts = {".json": json.dumps(list(rows), indent=2) + "\n", ".csv": table.getvalue()}
    paths = []
    for suffix, text in texts.items():
        path = output_dir / f"{stem}{suffix}"
        try:
            files.write_text(path, text)
        except OSError as error:
            raise SaveError(f"cannot write {path}: {error.strerror}.") from error
        paths.append(path)
    return paths
